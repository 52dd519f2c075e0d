"""Pictures, plots, tables and controls for lessons. Every figure carries a description and needs no live widget.

`show` a picture with its maps, `grid` of pictures, `curves`, `forest` and `bars` of results, `table`, `show_source`,
`scatter_tradeoff` to explore, `describe` a map in words, `explore` a model.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "charts": ("Chart", "scatter_tradeoff"),
    "curves": ("curves",),
    "describe": ("describe", "summarise"),
    "explorer": ("Explorer", "explore"),
    "explorer_state": ("ExplorerState",),
    "figures": ("grid", "show"),
    "forest": ("bars", "forest"),
    "picture": ("Picture",),
    "source": ("show_source",),
    "tables": ("table",),
}
