"""Pictures, plots, tables and controls for lessons. Every figure carries a description and needs no live widget.

`show` a picture with its maps, `grid` of pictures, `curves`, `forest` and `bars` of results, `table`, `show_source`,
`show_words` with their scores, `scatter_tradeoff` to explore, `describe` a map in words, `explore` a model, `steps` to move
through pictures.
"""

from __future__ import annotations

from importlib import import_module

from lessons_lib.show.curves import curves
from lessons_lib.show.describe import describe, summarise
from lessons_lib.show.figures import grid, show
from lessons_lib.show.forest import bars, forest
from lessons_lib.show.picture import Picture
from lessons_lib.show.progress import progress
from lessons_lib.show.sentences import show_words
from lessons_lib.show.source import show_source
from lessons_lib.show.tables import table

_LATER = {  # plotly and the explorer are imported when they are first asked for
    "Chart": "charts",
    "scatter_tradeoff": "charts",
    "Explorer": "explorer",
    "explore": "explorer",
    "ExplorerState": "explorer_state",
    "steps": "steps",
}
__all__ = [
    "Picture",
    "bars",
    "curves",
    "describe",
    "forest",
    "grid",
    "progress",
    "show",
    "show_source",
    "show_words",
    "summarise",
    "table",
    *_LATER,
]


def __getattr__(name: str):
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(sorted(__all__))}")
    value = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value
