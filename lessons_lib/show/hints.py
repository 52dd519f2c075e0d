"""Lesson 11 in pictures: regions as heat, a question's regions by people and by the network, and a desk to annotate at."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from lessons_lib.experiments import hint
from lessons_lib.feedback.hint import human_scores
from lessons_lib.show.explorer import _VIEW, _widgets
from lessons_lib.show.figures import grid, show
from lessons_lib.show.overlay import as_picture
from lessons_lib.show.picture import Picture, small_png
from lessons_lib.training.hint import fine_tune, importances, replies

CELLS = 24  # cells a side of a painted map
_PLAIN = "A desk to paint at: it needs a running kernel. The picture below shows the maps that are used without it."


def region_map(values: Tensor, boxes: Tensor, size: int) -> Tensor:
    """(S, S): at each pixel the largest value (R,) of the boxes (R, 4) over it, less the smallest of all; 0 where none is."""
    found = torch.zeros(size, size)
    for value, (x0, y0, x1, y1) in zip((values - values.min()).tolist(), boxes.round().int().tolist()):
        part = found[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
        torch.clamp(part, min=value, out=part)
    return found


def show_question(world: hint.World, part: str, row: int, models: Mapping[str, hint.Trained]) -> Picture:
    """Question `row` of a part ("same" or "shifted"): where people look, and what each model relies on and answers."""
    questions, asked = getattr(world.sets, part), hint.asked(world, part)
    number = int(questions.image_index[row])
    boxes, size = questions.pictures.proposals[number].cpu(), questions.pictures.size
    maps, scores, here = {"people": questions.attention[row]}, {"people": questions.answers[row]}, torch.tensor([row])
    for name, model in models.items():
        maps[name] = region_map(importances(model.answerer, asked, here)[0].cpu(), boxes, size)
        said = replies(model.answerer, _row(asked, row))[0][0].argmax()
        scores[name] = f"says {model.answerer.answers[int(said)]}"
    mask = questions.evidence_masks[row]
    title = questions.questions[row]
    return show(
        questions.images[row], maps, scores=scores, masks=mask if mask.any() else None, image_title=title, columns=5
    )


def _row(asked: hint.Asked, row: int) -> hint.Asked:
    return hint.Asked(asked.features, asked.rows[[row]], asked.tokens[[row]], asked.labels[[row]])


class Annotator:
    """Paint where one should look for a few training questions, and fine-tune the seed's baseline on them.

    `heat` holds what was painted, one map (CELLS, CELLS) a question, all 0 where nothing was: there the simulated
    people's map is used. `view` is the widget, or None without anywidget and ipywidgets.
    """

    def __init__(self, world: hint.World, count: int = 20) -> None:
        train = world.sets.train
        known = [n for n in hint.marked(world)[0].tolist() if train.evidence[n]]
        if not 2 <= count <= len(known):
            raise ValueError(f"count must be 2 to {len(known)}, the marked questions that things decide, got {count}")
        self.world, self.rows, self.place, self.view = world, torch.tensor(known[:count]), 0, None
        self.questions = train[self.rows]
        self.heat = torch.zeros(count, CELLS, CELLS)
        widgets, Painter = _widgets(), _painter()
        if widgets is None or Painter is None:
            return
        self.canvas = Painter(cells=CELLS)
        self.label = widgets.HTML()
        self.buttons = [widgets.Button(description=text) for text in ("Previous", "Next", "Clear")]
        for button, act in zip(self.buttons, (lambda _: self.go(-1), lambda _: self.go(1), lambda _: self.clear())):
            button.on_click(act)
        self.canvas.observe(self._take, names="heat")
        self.go(0)
        self.view = widgets.VBox([self.label, self.canvas, widgets.HBox(self.buttons)])

    @property
    def painted(self) -> int:
        """How many questions have something painted."""
        return int(self.heat.flatten(1).any(1).sum())

    def go(self, step: int) -> None:
        """To another question; after the last one comes the first."""
        self.place = (self.place + step) % len(self.rows)
        pixels = (255 * as_picture(self.questions.images[self.place])).round().astype("uint8")
        self.canvas.picture = "data:image/png;base64," + base64.b64encode(small_png(pixels)).decode("ascii")
        self.canvas.heat = self.heat[self.place].flatten().int().tolist()
        text = f"{self.questions.questions[self.place]} Answer: {self.questions.answers[self.place]}."
        self.label.value = f"<b>{self.place + 1} of {len(self.rows)}. {text}</b> Paint what decides it."

    def paint(self, place: int, heat: Tensor) -> None:
        """What a brush does: heat (CELLS, CELLS) >= 0 for question number `place`."""
        if heat.shape != (CELLS, CELLS) or heat.min() < 0:
            raise ValueError(f"heat must be ({CELLS}, {CELLS}) and not negative, got {tuple(heat.shape)}")
        self.heat[place] = heat

    def clear(self) -> None:
        """Forget what was painted for the present question."""
        self.heat[self.place] = 0
        self.canvas.heat = [0] * CELLS**2

    def _take(self, change: dict) -> None:
        self.heat[self.place] = torch.tensor(change["new"], dtype=torch.float32).view(CELLS, CELLS)

    def maps(self) -> Tensor:
        """(n, S, S): what was painted, else what simulated people look at."""
        size = self.questions.pictures.size
        mine = F.interpolate(self.heat[:, None], (size, size), mode="bilinear")[:, 0]
        return torch.where(self.heat.flatten(1).any(1)[:, None, None], mine, self.questions.attention[:].cpu())

    def human(self) -> Tensor:
        """(n, R): the regions' scores by these maps."""
        return human_scores(self.maps(), self.questions.pictures.proposals[self.questions.image_index].cpu().float())

    def train(self, *, lr: float = hint.LR, steps: int = hint.STEPS) -> hint.Trained:
        """The seed's baseline, fine-tuned with HINT on these questions alone."""
        world = self.world
        asked, options = hint.asked(world, "train"), {"steps": steps, "lr": lr, "seed": world.seed}
        return hint.Trained(fine_tune(hint.start(world), asked, self.human(), self.rows, hint.HINT, **options))

    def static(self, shown: int = 8) -> Picture:
        """The first questions with their maps: the hotter half is outlined."""
        maps = self.maps()[:shown]
        names = [f"{q} {a}" for q, a in zip(self.questions.questions, self.questions.answers)][:shown]
        masks = maps > maps.amax((1, 2), keepdim=True) / 2
        return grid(self.questions.images[list(range(len(maps)))], titles=names, masks=masks, columns=4)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if self.view is not None:
            bundle = {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}}
            display({**bundle, "text/plain": _PLAIN}, raw=True)
        display(self.static())


def _painter():
    """The class of the canvas, or None without anywidget."""
    try:
        from lessons_lib.show.paint import Painter
    except ImportError:
        return None
    return Painter
