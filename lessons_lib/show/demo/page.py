"""The page of the web demo: three tabs, one worker, one style."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import torch
from torch import nn

import lessons_lib.models.imagenet as imagenet
from lessons_lib.show.demo.offers import PHOTO_OFFERS, Offer
from lessons_lib.show.demo.pictures import photo
from lessons_lib.show.demo.tabs import AskTab, CaptionTab, ClassifyTab, Load, Progress
from lessons_lib.show.demo.worker import Worker
from lessons_lib.show.explorer import _VIEW, _widgets
from lessons_lib.show.picture import Picture

PHOTOS = ("chelsea", "coffee", "motorcycle_left", "flower", "rocket", "camera", "astronaut", "grace_hopper", "china")
_PLAIN = "The demo's controls: they need a running kernel."


def demo(
    *,
    photos: Sequence[str] = PHOTOS,
    model: nn.Module | None = None,
    captioner: Load | None = None,
    answerer: Load | None = None,
    offers: Sequence[Offer] = PHOTO_OFFERS,
    device: torch.device | str | None = None,
    threaded: bool = True,
) -> Demo:
    """The web demo as one widget, with the first photograph explained.

    Parameters
    ----------
    photos : names of `data_fetch.photos` for the first tab.
    model : the classifier: images (B, 3, S, S) in [0, 1] -> logits, with `input_size` and `categories`; default:
        EfficientNet-Lite0 with ImageNet weights.
    captioner, answerer : called with progress(done, total), return the models of the other tabs; default: those of
        `lessons_lib.training.ready`, which are trained once on this machine.
    offers : the methods of the first tab.
    device : where the models run; default: the CPU.
    threaded : False does everything at once in the calling thread: for tests.

    Raises ImportError where ipywidgets is missing. With LESSONS_STATIC=1 nothing but `static` is to be seen.
    """
    try:
        import ipywidgets as widgets
    except ImportError as error:
        raise ImportError("the demo needs ipywidgets: pip install ipywidgets") from error
    model = (imagenet.load() if model is None else model).to(device, memory_format=torch.channels_last)  # a bit faster
    shots = [photo(name, model.input_size) for name in photos]
    worker = Worker(threaded=threaded)
    tabs = [
        ClassifyTab(widgets, worker, shots, model, offers),
        CaptionTab(widgets, worker, _on(device, captioner or _ready("captioner"))),
        AskTab(widgets, worker, _on(device, answerer or _ready("answerer"))),
    ]
    return Demo(widgets, worker, tabs)


class Demo:
    """The page.

    Attributes
    ----------
    view : the widget.  classify, caption, ask : its tabs.  worker : does all the work; `worker.wait()` waits for it.
    """

    def __init__(self, widgets, worker: Worker, tabs: Sequence) -> None:
        self.worker = worker
        self.classify, self.caption, self.ask = self.tabs = tuple(tabs)
        style = widgets.HTML(f"<style>{(files(__package__) / 'style.css').read_text(encoding='utf-8')}</style>")
        self.chooser = widgets.Tab([tab.view for tab in self.tabs])
        for number, tab in enumerate(self.tabs):
            self.chooser.set_title(number, tab.title)
            worker.now(tab.draw)
        self.chooser.observe(lambda change: self.open(change["new"]), names="selected_index")
        self.view = widgets.VBox([style, self.chooser]).add_class("eaf-demo")

    def open(self, number: int | None) -> None:
        """What happens when a tab is opened: its model is fetched or trained."""
        tab = self.tabs[number or 0]
        if hasattr(tab, "open"):
            tab.open()

    def static(self) -> Picture:
        """What the first tab shows as a figure with a description, without any widget."""
        return self.classify.picture

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}
        return {**({_VIEW: view} if _widgets() else {}), "text/plain": _PLAIN}, {}


def _ready(name: str) -> Load:
    def load(progress: Progress) -> nn.Module:
        from lessons_lib.training import ready

        return getattr(ready, name)(progress=progress)

    return load


def _on(device, load: Load) -> Load:
    return lambda progress: load(progress).to(device).eval()
