"""Lesson 15 in pictures: accuracy after every task, maps of old pictures as tasks go by, and a desk to try methods at."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lessons_lib.evidence.remembering import watched_rows
from lessons_lib.experiments import rrr
from lessons_lib.show.browser import show_view
from lessons_lib.show.explorer import _widgets
from lessons_lib.show.figures import show
from lessons_lib.show.picture import FAINT, INK, Picture, place_axes, write
from lessons_lib.training.continual import Course, Method
from lessons_lib.training.continual_maps import KINDS

_PLAIN = "Menus to choose a method with: they need a running kernel. The picture below shows one method."


def show_matrices(found: Mapping[str, Tensor], *, title: str = "", width: float = 8.6) -> Picture:
    """Accuracy matrices (T, T) side by side: row t is after task t, column j the test pictures of task j, in percent.

    Raises
    ------
    ValueError : no matrix, or one that is not square.
    """
    if not found or any(m.ndim != 2 or m.shape[0] != m.shape[1] for m in found.values()):
        raise ValueError("give at least one matrix (T, T)")
    gap, left, top = 0.35, 0.62, 0.78 if title else 0.5
    side = min(3.1, (width - left - gap * (len(found) - 1) - 0.1) / len(found))
    figure = Picture(width, top + side + 0.62)
    write(figure, 0.12, 0.1, title, 10, va="top")
    texts = []
    for place, (name, matrix) in enumerate(found.items()):
        tasks, percent = len(matrix), 100 * matrix
        axes = place_axes(figure, left + place * (side + gap), top, side, side)
        shown = percent.masked_fill(torch.ones_like(percent).triu(1).bool(), torch.nan)
        axes.imshow(shown.numpy(), cmap="cividis", vmin=0, vmax=100)
        axes.set(xticks=range(tasks), yticks=range(tasks))
        axes.set_xticklabels(range(1, tasks + 1), fontsize=8)
        axes.set_yticklabels(range(1, tasks + 1) if place == 0 else [], fontsize=8)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        small = 7.5 if tasks > 7 else 9
        for row in range(tasks):
            for column in range(row + 1):
                value = float(percent[row, column])
                axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=small,
                          color="white" if value < 55 else INK)  # fmt: skip
        mean = float(percent[-1].mean())
        write(figure, left + place * (side + gap), top - 0.12, f"{name}: {mean:.0f} % at the end", 9, va="bottom")
        write(figure, left + place * (side + gap) + side / 2, top + side + 0.3, "tested on task", 9, va="top",
              ha="center", color=FAINT)  # fmt: skip
        first = ", ".join(f"{v:.0f}" for v in percent[:, 0].tolist())
        texts.append(f"{name}: mean of the last row {mean:.0f} %; the first task after each task: {first} %.")
    write(figure, 0.16, top + side / 2, "after task", 9, rotation=90, va="center", color=FAINT)
    figure.alt = f"{title + '. ' if title else ''}Accuracy matrices. {' '.join(texts)}"
    return figure


def show_watched(course: Course, world: rrr.World, setting: str, number: int = 0, *, name: str = "") -> Picture:
    """One test picture of the first task, and the Grad-CAM of its true class after each task.

    number : which of the watched pictures.
    """
    tasks = world.settings[setting]
    row = watched_rows(tasks)[number]
    label = int(tasks.test_labels[row])
    maps, scores = {}, {}
    for record in _every(course.records, 6):
        task = int(record["task"])
        said = int(record["watched_said"][number])
        key = f"after task {task + 1}"
        maps[key] = record["watched"][number]
        scores[key] = "right" if said == label else f"says {tasks.class_names[said]}"
    masks = None if tasks.test_masks is None else tasks.test_masks[[int(row)]][0]
    title = f"{name}: {tasks.class_names[label]}" if name else tasks.class_names[label]
    return show(tasks.test_images[[int(row)]][0], maps, scores=scores, masks=masks, image_title=title,
                columns=len(maps) + 1)  # fmt: skip


def _every(records: list, most: int) -> list:
    """At most so many of the records, the first and the last among them."""
    if len(records) <= most:
        return records
    places = torch.linspace(0, len(records) - 1, most).round().long().tolist()
    return [records[place] for place in places]


class Desk:
    """Menus for memory size, map and weight; after a press the first tasks are learned anew with them.

    tasks : so many tasks of the regular setting (a fraction of a second to two seconds each).
    `course` is the present run, `method` what it ran with. Below the menus the matrix and the maps of one old picture are
    stored as static pictures.
    """

    def __init__(self, world: rrr.World, *, tasks: int = 4, keep: int = 2, explain: str | None = "grad_cam",
                 weight: float | None = None) -> None:  # fmt: skip
        self.world = rrr.shortened(world, tasks)
        self.view = None
        self.learn(keep, explain, rrr.WEIGHT if weight is None else weight)
        widgets = _widgets()
        if widgets is None:
            return
        wide = {"style": {"description_width": "130px"}, "layout": widgets.Layout(width="420px", max_width="100%")}
        self.keep = widgets.Dropdown(options=[0, 1, 2, 4, 8], value=keep, description="pictures a class", **wide)
        kinds = [("none", None), *((kind.replace("_", "-"), kind) for kind in KINDS)]
        self.kind = widgets.Dropdown(options=kinds, value=explain, description="map", **wide)
        self.weight = widgets.FloatLogSlider(value=self.method.weight or 1.0, min=-2, max=2, step=0.25,
                                             description="weight of the maps", **wide)  # fmt: skip
        self.button = widgets.Button(description=f"Learn {tasks} tasks")
        self.button.on_click(self._on_press)
        image = {"format": "png", "layout": widgets.Layout(max_width="100%", object_fit="contain")}
        self.pictures = [widgets.Image(**image), widgets.Image(**image)]
        self.text = widgets.HTML()
        self._draw()
        self.view = widgets.VBox([self.keep, self.kind, self.weight, self.button, *self.pictures, self.text])

    def learn(self, keep: int, explain: str | None, weight: float) -> Course:
        """Learn the tasks with this method; without kept pictures there is no map either."""
        explain = explain if keep else None
        self.method = Method(keep=keep, explain=explain, weight=weight if explain else 0.0, sgd=True)
        learner = rrr.train(self.world, "replay", self.world.seed, method=self.method, settings=("regular",))
        self.course = learner.courses["regular"]
        return self.course

    @property
    def label(self) -> str:
        """The present method in words."""
        if not self.method.keep:
            return "nothing kept"
        with_map = f", {self.method.explain}, weight {self.method.weight:.3g}" if self.method.explain else ", no map"
        return f"{self.method.keep} a class{with_map}"

    def _on_press(self, _) -> None:
        self.text.value = "learning ..."
        self.learn(self.keep.value, self.kind.value, self.weight.value)
        self._draw()

    def _draw(self) -> None:
        figures = self.static()
        for widget, figure in zip(self.pictures, figures):
            widget.value = figure.png()
        self.text.value = " ".join(figure.alt for figure in figures)

    def static(self) -> tuple[Picture, Picture]:
        """The matrix, and one old picture's map after each task."""
        matrix = show_matrices({self.label: rrr.matrix(self.course)}, width=5.0)
        return matrix, show_watched(self.course, self.world, "regular", name=self.label)

    def _ipython_display_(self) -> None:
        show_view(self.view, _PLAIN, *self.static())
