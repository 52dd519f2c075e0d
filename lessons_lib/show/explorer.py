"""The explorer: choose picture, class, layer and method, and see the map at once."""

from __future__ import annotations

import html
import os
import threading
from collections.abc import Callable, Mapping, Sequence

from PIL import Image
from torch import Tensor, nn

from lessons_lib.show.describe import percent
from lessons_lib.show.explorer_state import ExplorerState
from lessons_lib.show.picture import Picture

_VIEW = "application/vnd.jupyter.widget-view+json"
_PREDICTED, _OWN_LAYER = -1, ""  # menus cannot show an entry whose value is None
_PLAIN = "The explorer's controls: they need a running kernel. The picture below shows their first setting."


def explore(
    model: nn.Module,
    images: Mapping[str, Tensor | Image.Image],
    *,
    methods: Sequence[str] | Mapping[str, Callable] | None = None,
    categories: Sequence[str] | None = None,
    layers: Sequence[str] | Mapping[str, str] | None = None,
    method: str | None = None,
    target: int | None = None,
    overlay: float = 0.55,
    seed: int = 0,
) -> Explorer:
    """Controls over picture, class, layer, method and strength of the colours, with the map beside the picture.

    Parameters
    ----------
    model : a classifier in eval mode: images (B, 3, H, W) in [0, 1] -> logits (B, K).
    images : name -> (3, H, W) tensor in [0, 1], or PIL image. Uploaded pictures are cut to a square and
        resized to the model's `input_size` (without one, to the width of the first tensor).
    methods : names of `lessons_lib.explain.METHODS`, default all; or label -> function(model, images,
        target), which may take `layer=` too, such as the reader's own.
    categories, layers : names of the classes, and label -> layer; default: the model's attributes of these
        names.
    method, target, overlay : the first setting; by default Grad-CAM where it is in the menu, the predicted class.
    seed : for the methods that draw samples.

    Returns
    -------
    Explorer, for display as the last expression of a cell. A static picture is stored below the controls;
    it stands alone where ipywidgets is missing or LESSONS_STATIC=1.

    Raises
    ------
    ValueError : no image, unknown method, a model in training mode, a picture outside [0, 1].
    """
    state = ExplorerState(
        model, images, methods=methods, categories=categories, layers=layers, method=method, target=target,
        overlay=overlay, seed=seed,
    )  # fmt: skip
    return Explorer(state, _widgets())


def _widgets():
    """The ipywidgets module, or None where there shall be no widgets."""
    if os.environ.get("LESSONS_STATIC", "") not in ("", "0"):
        return None
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets


def uploaded(value) -> list[tuple[str, bytes]]:
    """(name, content) of each file in the value of a FileUpload: a dict in ipywidgets 7, a tuple of dicts in 8."""
    if isinstance(value, Mapping):
        return [(str(name), bytes(entry["content"])) for name, entry in value.items()]
    return [(str(entry["name"]), bytes(entry["content"])) for entry in value]


class Explorer:
    """Widgets over an `ExplorerState`; `state` may be used directly as well.

    Attributes
    ----------
    view : the widget that holds everything, or None without widgets.
    error : the last failure of a control, None after a success. Its message stands in the message line.
    """

    def __init__(self, state: ExplorerState, widgets) -> None:
        self.state, self.error = state, None
        self._lock, self._quiet = threading.RLock(), False
        self.view = None
        if widgets is not None:
            self._build(widgets)
            self._draw()

    def static(self) -> Picture:
        """The present setting as a figure with a description, without any widget."""
        return self.state.figure()

    def refresh(self) -> None:
        """Compute everything anew: call it when the model's weights have changed."""
        self.state.clear()
        if self.view is not None:
            self._act(lambda: None)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if self.view is not None:
            display(self._view_bundle(), raw=True)
        display(self.static())

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        data, metadata = self.static()._repr_mimebundle_()
        return {**({} if self.view is None else self._view_bundle()), **data}, metadata

    def _view_bundle(self) -> dict:
        # not the widget's own bundle: its plain text is a page of Python
        return {
            _VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id},
            "text/plain": _PLAIN,
        }

    # ---- widgets

    def _build(self, widgets) -> None:
        state, wide = self.state, {"description_width": "70px"}
        menu, box = widgets.Layout(width="340px"), widgets.Layout(flex_flow="row wrap")
        make = lambda kind, **options: kind(style=wide, layout=menu, **options)  # noqa: E731
        self.image_menu = make(widgets.Dropdown, description="Picture", options=list(state.images))
        self.upload = widgets.FileUpload(
            accept="image/*", multiple=False, description="Upload a picture", layout=widgets.Layout(width="180px")
        )
        self.search = make(
            widgets.Text, description="Search", placeholder="part of a class name, then Enter", continuous_update=False
        )
        self.class_menu = make(widgets.Dropdown, description="Class", options=self._classes(()))
        methods = [(choice.label, name) for name, choice in state.methods.items()]
        self.method_menu = make(widgets.Dropdown, description="Method", options=methods, value=state.method)
        layers = list(state.layers) or [("the model's own", _OWN_LAYER)]
        self.layer_menu = make(widgets.Dropdown, description="Layer", options=layers)
        slider = {"min": 0, "max": 1, "step": 0.05, "readout_format": ".2f"}
        self.overlay = make(widgets.FloatSlider, description="Colours", value=state.overlay, **slider)
        self.message, self.text = widgets.HTML(), widgets.HTML()
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", object_fit="contain"))
        rows = [
            (self.image_menu, self.upload), (self.class_menu, self.search), (self.method_menu, self.layer_menu),
            (self.overlay,),
        ]  # fmt: skip
        self.view = widgets.VBox(
            [*(widgets.HBox(list(row), layout=box) for row in rows), self.message, self.picture, self.text]
        )
        for control, action in (
            (self.image_menu, self._choose("image")), (self.class_menu, self._choose("target", _PREDICTED)),
            (self.method_menu, self._choose("method")), (self.layer_menu, self._choose("layer", _OWN_LAYER)),
            (self.overlay, self._choose("overlay")), (self.search, self._search), (self.upload, self._upload),
        ):  # fmt: skip
            control.observe(self._handler(action), names="value")

    def _handler(self, action: Callable[[object], None]) -> Callable:
        def handle(change) -> None:
            with self._lock:  # the lock first: another thread's change must not fall into a silent moment
                if not self._quiet:
                    self._act(lambda: action(change["new"]))

        return handle

    def _choose(self, name: str, none: object = None) -> Callable[[object], None]:
        return lambda value: self.state.select(**{name: None if value == none else value})

    def _upload(self, value) -> None:
        for name, content in uploaded(value):
            self.state.add_image(name, content)

    def _search(self, text: str) -> None:
        if not text.strip():
            return
        found = self.state.search(text)
        if not found:
            raise ValueError(f"no class name contains {text.strip()!r}")
        self.state.select(target=found[0][0])

    def _act(self, action: Callable[[], None]) -> None:
        """Do it and draw; a failure is shown in the message line and kept in `error`, never lost in a log.

        Where the action fails, the last setting stays; where its map cannot be made, the picture stands alone.
        """
        with self._lock:
            self.error = None
            for step in (action, self._draw):
                try:
                    step()
                except Exception as error:
                    self.error = self.error or error
                    if step is not action:
                        self._put(*self.state.render(with_map=False))
            if self.error is not None:
                kind = "" if isinstance(self.error, ValueError) else f"{type(self.error).__name__}: "
                self._say(f"{kind}{self.error}", alarm=True)

    def _draw(self) -> None:
        self._synchronise()
        self._say(self.state.busy())
        self._put(*self.state.render())
        self._say("")

    def _put(self, png: bytes, text: str) -> None:
        self.picture.value = png
        self.text.value = "<br>".join(html.escape(line) for line in text.split("\n"))

    def _say(self, text: str, *, alarm: bool = False) -> None:
        """The line between controls and picture; screen readers announce it when it changes."""
        mark = "Not possible: " if alarm else ""
        role = "alert" if alarm else "status"
        self.message.value = f'<div role="{role}" style="min-height:1.4em">{mark}{html.escape(text)}</div>'

    def _synchronise(self) -> None:
        """Menus follow the state, without calling back."""
        self._quiet = True
        try:
            state = self.state
            if list(self.image_menu.options) != list(state.images):
                self.image_menu.options = list(state.images)
            self.image_menu.value = state.image
            self.class_menu.options = self._classes(state.search(self.search.value))
            self.class_menu.value = _PREDICTED if state.target is None else state.target
            self.method_menu.value = state.method
            self.layer_menu.value = _OWN_LAYER if state.layer is None else state.layer
            self.layer_menu.disabled = not state.methods[state.method].takes_layer
            self.overlay.value = state.overlay
        finally:
            self._quiet = False

    def _classes(self, found: Sequence[tuple[int, str]]) -> list[tuple[str, int]]:
        """The predicted class, the next four, what the search found, and the chosen one."""
        state = self.state
        top = [(index, f"{name} ({percent(p)})") for index, name, p in state.top()]
        options = [(f"predicted: {top[0][1]}", _PREDICTED)] + [(label, index) for index, label in top]
        listed = {index for index, _ in top}
        options += [(name, index) for index, name in found if index not in listed]
        if state.target is not None and all(value != state.target for _, value in options):
            options.append((state.class_name(state.target), state.target))
        labels: dict[str, int] = {}
        for label, value in options:  # two classes of ImageNet share a name: the menu needs different ones
            labels[label if label not in labels else f"{label} [{value}]"] = value
        return list(labels.items())
