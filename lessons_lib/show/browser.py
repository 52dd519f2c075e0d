"""Menus over the rows of a test set: one choice, one number, one figure; what the browsers of lessons 12 and 13 share."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lessons_lib.show.explorer import _VIEW, _widgets
from lessons_lib.show.picture import Picture


class Browser:
    """A dropdown of choices and a slider over the rows of the present one, with the figure of the present row.

    A subclass has the words below and the methods `_rows` and `static`, and calls `_build` once both can be called.
    `choice` is the present one, `chosen` its rows, `number` the place among them. Below the menus one figure is stored as a
    static picture, which stands alone where ipywidgets is missing.

    choices : text of a choice -> what `_rows` makes of it.  menu_name, row_name : labels of dropdown and slider.
    unit : what is counted, in the plural.  nothing : said where a choice has no row.  plain : said without a kernel.
    """

    choices: Mapping[str, object] = {}
    menu_name = row_name = unit = nothing = plain = ""

    def _rows(self, choice: str) -> Tensor:
        """Rows (N,) int64 of a choice."""
        raise NotImplementedError

    def static(self) -> Picture:
        """The present row as a figure."""
        raise NotImplementedError

    def _build(self) -> None:
        self.view, self.choice, self.number = None, "", 0
        self._choose(next(text for text in self.choices if len(self._rows(text))))
        widgets = _widgets()
        if widgets is None:
            return
        options = [(f"{text}: {len(self._rows(text))} {self.unit}", text) for text in self.choices]
        wide = {"layout": widgets.Layout(width="560px", max_width="100%"), "style": {"description_width": "90px"}}
        self.menu = widgets.Dropdown(options=options, value=self.choice, description=self.menu_name, **wide)
        self.slider = widgets.IntSlider(
            value=1, min=1, max=len(self.chosen), description=self.row_name, continuous_update=False, **wide
        )
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", object_fit="contain"))
        self.text = widgets.HTML()
        self.menu.observe(self._on_menu, names="value")
        self.slider.observe(self._on_slider, names="value")
        self._draw()
        self.view = widgets.VBox([self.menu, self.slider, self.picture, self.text])

    def _choose(self, choice: str) -> None:
        self.choice, self.chosen, self.number = choice, self._rows(choice), 0

    def _on_menu(self, change) -> None:
        self._choose(change["new"])
        self.slider.max, self.slider.value = max(1, len(self.chosen)), 1
        self._draw()

    def _on_slider(self, change) -> None:
        self.number = min(change["new"] - 1, max(0, len(self.chosen) - 1))
        self._draw()

    def _draw(self) -> None:
        if not len(self.chosen):
            self.text.value = self.nothing
            return
        figure = self.static()
        self.picture.value, self.text.value = figure.png(), figure.alt

    def _ipython_display_(self) -> None:
        show_view(self.view, self.plain, self.static())


def show_view(view, plain: str, *figures: Picture) -> None:
    """Display a widget, `plain` where no kernel runs, and below it the figures; the figures alone where view is None."""
    from IPython.display import display

    if view is not None:
        bundle = {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": view.model_id}}
        display({**bundle, "text/plain": plain}, raw=True)
    for figure in figures:
        display(figure)
