"""Lesson 12 in pictures: where two questions look, the four quadrants, and a browser of questions with sub-questions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from matplotlib.patches import Patch
from torch import Tensor

from lessons_lib.evidence.quadrants import Quadrants
from lessons_lib.experiments.squint import Replies, Tested, replies
from lessons_lib.models.updown import PLACE, UpDown
from lessons_lib.show import browser
from lessons_lib.show.figures import show
from lessons_lib.show.picture import FAINT, INK, OKABE_ITO, Picture, place_axes, plain_axes, write

QUADRANTS = {  # what the reader chooses: (main right, sub right)
    "right for a wrong reason (main right, sub wrong)": (True, False),
    "consistent (both right)": (True, True),
    "reasoning failed (main wrong, sub right)": (False, True),
    "undetermined (both wrong)": (False, False),
}
_SHORT = ("both right", "main only: a wrong reason", "sub only: reasoning failed", "neither")


def region_map(attention: Tensor, features: Tensor, size: int) -> Tensor:
    """(S, S): at every pixel the largest attention (R,) of the regions that cover it; features (R, D) end with their places."""
    heat = attention.new_zeros(size, size)
    corners = (features[:, -PLACE:-1] * size).round().long().tolist()
    for weight, (x0, y0, x1, y1) in sorted(zip(attention.tolist(), corners)):
        heat[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = weight
    return heat


def show_pair(test: Tested, said: Mapping[str, Replies], pair: int) -> Picture:
    """A picture with the attention of a reasoning question and of its sub-question, for each of the models.

    said : name of a model -> its replies.  pair : row of the pairs. The evidence is outlined where it is known.
    """
    first = next(iter(said.values()))
    row, place = int(first.data.row[pair]), int(first.data.picture[pair])
    image = test.asked.pictures.images[[place]][0]
    subs = first.data.row[:pair] == row
    sub = test.asked.perception[row][int(subs.sum())]
    asked = ((test.asked.questions[row], test.asked.answers[row]), (sub.question, sub.answer))
    maps, scores = {}, {}
    for name, reply in said.items():
        for (question, truth), answer, attention in zip(
            asked, (reply.main[pair], reply.sub[pair]), (reply.main_attention[pair], reply.sub_attention[pair])
        ):
            key = f"{name}: {question}"
            maps[key] = region_map(attention, test.features[place], image.shape[-1])
            known = reply.answers[int(answer)]
            scores[key] = f"says {known} ({'right' if known == truth else f'wrong: {truth}'})"
    masks = None if test.evidence is None else test.asked.evidence_masks[[row]][0]
    masks = None if masks is None or not masks.any() else masks
    return show(image, maps, scores=scores, masks=masks, image_title="picture", columns=2 * len(said) + 1)


def show_quadrants(found: Mapping[str, Quadrants], *, title: str = "", width: float = 8.6) -> Picture:
    """One bar a model, cut into the shares of the four quadrants, with the consistency behind it."""
    if not found:
        raise ValueError("show_quadrants needs at least one model")
    step, left, top = 0.42, 1.9, 0.72
    figure = Picture(width, top + step * len(found) + 0.55)
    if title:
        write(figure, 0.12, 0.1, title, 10, va="top")
    axes = place_axes(figure, left, top, width - left - 1.35, step * len(found))
    plain_axes(axes, xlabel="share of all pairs")
    axes.set(xlim=(0, 1), ylim=(len(found) - 0.5, -0.5), yticks=[])
    colours, hatches = (OKABE_ITO[0], OKABE_ITO[1], OKABE_ITO[5], "#d9d9d9"), ("", "///", "", "")
    for place, (name, cells) in enumerate(found.items()):
        start = 0.0
        for share, colour, hatch in zip(_shares(cells), colours, hatches):
            axes.barh(place, share, left=start, color=colour, hatch=hatch, edgecolor="white", linewidth=0.6, height=0.7)
            if share > 0.045:
                ink = "white" if colour in colours[:2] else INK
                box = {"facecolor": colour, "edgecolor": "none", "pad": 1.2}
                axes.text(start + share / 2, place, f"{100 * share:.0f}", color=ink, fontsize=9, ha="center",
                          va="center", bbox=box)  # fmt: skip
            start += share
        write(figure, left - 0.1, top + (place + 0.5) * step, name, 9, va="center", ha="right")
        text = f"{100 * cells.consistency:.1f} %"
        write(figure, width - 1.2, top + (place + 0.5) * step, text, 9, va="center")
    write(figure, width - 1.2, top - 0.12, "consistency", 9, va="center", color=FAINT)
    handles = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label)
        for label, colour, hatch in zip(_SHORT, colours, hatches)
    ]
    axes.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.25, 1.0), ncols=4, fontsize=8, frameon=False,
                handlelength=1.2, columnspacing=1.0)  # fmt: skip
    figure.alt = f"{title + '. ' if title else ''}" + " ".join(
        f"{name}: " + ", ".join(f"{label} {100 * share:.0f} %" for label, share in zip(_SHORT, _shares(cells)))
        + f", consistency {100 * cells.consistency:.1f} %."
        for name, cells in found.items()
    )  # fmt: skip
    return figure


def _shares(cells: Quadrants) -> tuple[float, ...]:
    return cells.both_right, cells.main_only, cells.sub_only, cells.neither


class Browser(browser.Browser):
    """Menus over the pairs of a test set: a quadrant of the first model, and a pair; all models' answers and attention.

    test : the set.  models : name -> model. `pair` is the present row, `chosen` the rows of the present quadrant.

    Raises
    ------
    ValueError : no model, or more than two: their panels would not fit.
    """

    choices, menu_name, row_name, unit = QUADRANTS, "Quadrant", "Pair", "pairs"
    nothing = "No pair is in this quadrant."
    plain = "Menus to browse questions with: they need a running kernel. The picture below shows one question."

    def __init__(self, test: Tested, models: Mapping[str, UpDown], *, seed: int = 0) -> None:
        if not 1 <= len(models) <= 2:
            raise ValueError(f"give one or two models, got {len(models)}")
        self.test, self.said = test, {name: replies(model, test) for name, model in models.items()}
        count = len(next(iter(self.said.values())).data)
        self.order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        self._build()

    @property
    def pair(self) -> int:
        """The present row of the pairs."""
        return int(self.chosen[self.number])

    def _rows(self, choice: str) -> Tensor:
        main, sub = QUADRANTS[choice]
        first = next(iter(self.said.values()))
        return self.order[((first.main_right == main) & (first.sub_right == sub)).cpu()[self.order]]

    def static(self) -> Picture:
        """The present pair as a figure."""
        return show_pair(self.test, self.said, self.pair)
