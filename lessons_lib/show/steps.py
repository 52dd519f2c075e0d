"""A slider over pictures that were drawn beforehand: the words of a caption, the frames of a clip."""

from __future__ import annotations

from collections.abc import Mapping

from lessons_lib.show.explorer import _VIEW, _widgets
from lessons_lib.show.picture import Picture

_PLAIN = "A slider: it needs a running kernel. The picture below shows one of its settings."


def steps(pictures: Mapping[str, Picture], *, label: str = "step", start: str | None = None) -> Steps:
    """A slider whose settings are pictures.

    Parameters
    ----------
    pictures : name of the setting -> figure; drawn once, so moving the slider costs nothing.
    label : what the settings are, such as "word".
    start : the first setting; default: the first one.

    Returns
    -------
    Steps, for display as the last expression of a cell. Below the slider one setting is stored as a static picture,
    which stands alone where ipywidgets is missing or LESSONS_STATIC=1.

    Raises
    ------
    ValueError : no picture, or a `start` that is not among them.
    """
    named = {str(name): picture for name, picture in pictures.items()}
    if not named:
        raise ValueError("steps needs at least one picture")
    start = next(iter(named)) if start is None else str(start)
    if start not in named:
        raise ValueError(f"there is no setting {start!r}; there are {', '.join(named)}")
    return Steps(named, label, start, _widgets())


class Steps:
    """The slider and its pictures. `view` is the widget, or None without widgets; `step` names the present setting."""

    def __init__(self, pictures: dict[str, Picture], label: str, start: str, widgets) -> None:
        self.pictures, self.step, self.view = pictures, start, None
        if widgets is None:
            return
        self._files = {name: picture.png() for name, picture in pictures.items()}
        self.slider = widgets.SelectionSlider(
            options=list(pictures),
            value=start,
            description=label,
            layout=widgets.Layout(width="600px", max_width="100%"),
            style={"description_width": "70px"},
        )
        self.picture = widgets.Image(
            value=self._files[start], format="png", layout=widgets.Layout(max_width="100%", object_fit="contain")
        )
        self.text = widgets.HTML(pictures[start].alt)
        self.slider.observe(self._move, names="value")
        self.view = widgets.VBox([self.slider, self.picture, self.text])

    def _move(self, change) -> None:
        self.step = change["new"]
        self.picture.value, self.text.value = self._files[self.step], self.pictures[self.step].alt

    def static(self) -> Picture:
        """The present setting as a figure."""
        return self.pictures[self.step]

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if self.view is not None:
            bundle = {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}}
            display({**bundle, "text/plain": _PLAIN}, raw=True)
        display(self.static())
