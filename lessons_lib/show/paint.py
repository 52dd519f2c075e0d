"""A canvas to paint on a picture with mouse, pen or finger; what was painted comes back as cells."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets


class Painter(anywidget.AnyWidget):
    """A picture and a brush.

    picture : what is painted on, as a data URL.  heat : 0 or 1 for each of cells x cells cells, row by row.
    brush : its radius in cells. Shift erases.
    """

    _esm = Path(__file__).with_name("paint.js")
    picture = traitlets.Unicode("").tag(sync=True)
    heat = traitlets.List(traitlets.Int(), []).tag(sync=True)
    cells = traitlets.Int(24).tag(sync=True)
    brush = traitlets.Float(1.6).tag(sync=True)
