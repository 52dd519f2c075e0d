"""Lesson 13 in pictures: cosines of importance vectors as histograms, and the ranked candidates of one reasoning question."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.patches import Patch
from torch import Tensor

from lessons_lib.experiments.sort import Candidates, candidates, similarities
from lessons_lib.experiments.squint import Tested
from lessons_lib.models.updown import UpDown
from lessons_lib.show import browser
from lessons_lib.show.picture import FAINT, INK, OKABE_ITO, Picture, place_axes, plain_axes, wrap, write

SUB, OTHER = OKABE_ITO[0], OKABE_ITO[1]
KINDS = ("sub-question", "irrelevant question")
CHOICES = {  # what the reader chooses: is the first candidate of the first, of the last model a sub-question?
    "the first model ranks an irrelevant question first": (False, None),
    "the last model ranks an irrelevant question first": (None, False),
    "all groups": (None, None),
}


def show_cosines(
    found: Mapping[str, Tensor], relevant: Tensor, *, title: str = "", columns: int = 2, width: float = 8.6
) -> Picture:
    """Histograms of the cosines with the reasoning question's vector, one panel a model; dashed: the means.

    found : name of a model -> cosines (C,).  relevant (C,) bool : sub-questions.

    Raises
    ------
    ValueError : no model; shapes that differ; one kind only.
    """
    if not found:
        raise ValueError("show_cosines needs at least one model")
    wrong = [name for name, near in found.items() if near.shape != relevant.shape]
    if wrong or relevant.all() or not relevant.any():
        raise ValueError(f"cosines must be {tuple(relevant.shape)} as relevant is, of both kinds; wrong: {wrong}")
    columns = min(columns, len(found))
    rows = -(-len(found) // columns)
    top, high, wide = 0.75 if title else 0.45, 1.55, (width - 0.55) / columns
    figure = Picture(width, top + rows * (high + 0.35) + 0.3)
    if title:
        write(figure, 0.12, 0.1, title, 10, va="top")
    bins, kept, texts = np.linspace(-1, 1, 41), relevant.cpu(), []
    for place, (name, near) in enumerate(found.items()):
        row, column = divmod(place, columns)
        axes = place_axes(figure, 0.6 + column * wide, top + row * (high + 0.35) + 0.22, wide - 0.3, high - 0.25)
        last = place + columns >= len(found)
        plain_axes(axes, xlabel="cosine with the reasoning question" if last else "", ylabel="")
        axes.set_title(name, fontsize=9, loc="left", color=INK, pad=3)
        axes.set(xlim=(-1, 1), xticks=(-1, -0.5, 0, 0.5, 1), yticks=[])
        means = []
        for part, colour, hatch, line in ((near[~relevant], OTHER, "///", ":"), (near[relevant], SUB, "", "--")):
            values = part.detach().cpu().numpy()
            axes.hist(values, bins=bins, density=True, histtype="stepfilled", color=colour, alpha=0.45, hatch=hatch,
                      edgecolor=colour, linewidth=1.2)  # fmt: skip
            axes.axvline(values.mean(), color=colour, linestyle=line, linewidth=2)
            means.append(float(values.mean()))
        texts.append(f"{name}: mean cosine {means[1]:.2f} of sub-questions, {means[0]:.2f} of irrelevant questions.")
    handles = [
        Patch(facecolor=colour, alpha=0.6, hatch=hatch, edgecolor=colour, label=f"{kind}s, {count}")
        for kind, colour, hatch, count in zip(KINDS, (SUB, OTHER), ("", "///"), (int(kept.sum()), int((~kept).sum())))
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.05, 1 - (top - 0.4) / figure.get_figheight()),
                  ncols=2, fontsize=9, frameon=False)  # fmt: skip
    figure.alt = f"{title + '. ' if title else ''}" + " ".join(texts)
    return figure


def show_ranking(test: Tested, asked: Candidates, near: Mapping[str, Tensor], group: int) -> Picture:
    """A picture with its reasoning question, and its candidates in the order in which each model ranks them.

    near : name of a model -> cosines (C,) of `similarities`.  group : 0 to G - 1.
    """
    if not near or not 0 <= group < len(asked):
        raise ValueError(f"give at least one model and a group of 0 to {len(asked) - 1}, got {group}")
    rows = torch.nonzero((asked.group == group).cpu())[:, 0]
    row = int(asked.row[group])
    left, top, line, part = 2.75, 0.25, 0.25, 0.5
    figure = Picture(8.6, max(3.6, top + len(near) * (len(rows) * line + part) + 0.25))
    image = test.asked.pictures.images[[int(asked.picture[group])]][0].permute(1, 2, 0).cpu().numpy()
    axes = place_axes(figure, 0.15, top, left - 0.5, left - 0.5)
    axes.imshow(image.clip(0, 1), interpolation="nearest")
    axes.set_axis_off()
    question = f"{test.asked.questions[row]} {test.asked.answers[row]}"
    lines = wrap(figure, question, left - 0.5, 9)
    write(figure, 0.15, top + left - 0.4, "\n".join(lines), 9, va="top", weight="bold")
    below = top + left - 0.3 + 0.17 * len(lines)
    write(figure, 0.15, below, "SUB: sub-question; irr.: irrelevant.\nBars: cosine, -1 to 1.", 8, va="top", color=FAINT)
    texts = []
    for place, (name, cosines) in enumerate(near.items()):
        order = rows[torch.argsort(cosines.cpu()[rows], descending=True)]
        start = top + place * (len(rows) * line + part)
        write(figure, left, start, name, 9, va="top", weight="bold")
        axes = place_axes(figure, 6.2, start + 0.22, 1.75, len(rows) * line)
        plain_axes(axes)
        axes.set(xlim=(-1, 1), ylim=(len(rows) - 0.5, -0.5), yticks=[], xticks=(-1, 0, 1))
        axes.axvline(0, color=FAINT, linewidth=0.8)
        said = []
        for rank, candidate in enumerate(order.tolist()):
            relevant, value = bool(asked.relevant[candidate]), float(cosines[candidate])
            column = test.asked.perception if relevant else test.asked.irrelevant
            qa = column[row][int(asked.number[candidate])]
            axes.barh(rank, value, color=SUB if relevant else OTHER, hatch="" if relevant else "///",
                      edgecolor="white", linewidth=0.4, height=0.75)  # fmt: skip
            text = f"{rank + 1}. {'SUB ' if relevant else 'irr. '} {qa.question} {qa.answer}"
            at = start + 0.22 + (rank + 0.5) * line
            write(figure, left, at, wrap(figure, text, 3.4, 8.5)[0], 8.5, va="center", color=SUB if relevant else INK)
            write(figure, 8.05, at, f"{value:+.2f}", 8.5, va="center")
            said.append(f"{qa.question} {qa.answer} ({KINDS[not relevant]}, {value:+.2f})")
        texts.append(f"{name}: " + "; ".join(said) + ".")
    figure.alt = f"{question} Candidates by cosine. " + " ".join(texts)
    return figure


class RankingBrowser(browser.Browser):
    """Menus over the groups of a test set, with the candidates as one or two models rank them.

    `group` is the present one, `chosen` those of the present choice.

    Raises
    ------
    ValueError : no model, or more than two: their lists would not fit.
    """

    choices, menu_name, row_name, unit = CHOICES, "Show", "Group", "groups"
    nothing = "No group is of this kind."
    plain = "Menus to browse groups with: they need a running kernel. The picture below shows one group."

    def __init__(self, test: Tested, models: Mapping[str, UpDown], *, seed: int = 0) -> None:
        if not 1 <= len(models) <= 2:
            raise ValueError(f"give one or two models, got {len(models)}")
        self.test = test
        self.asked = candidates(test, next(iter(models.values())))
        self.near = {name: similarities(model, test, self.asked) for name, model in models.items()}
        self.order = torch.randperm(len(self.asked), generator=torch.Generator().manual_seed(seed))
        firsts = [first_is_relevant(self.asked, near) for near in self.near.values()]
        self._firsts = (firsts[0], firsts[-1])
        self._build()

    @property
    def group(self) -> int:
        """The present group."""
        return int(self.chosen[self.number])

    def _rows(self, choice: str) -> Tensor:
        kept = torch.ones(len(self.asked), dtype=torch.bool)
        for wanted, first in zip(CHOICES[choice], self._firsts):
            if wanted is not None:
                kept &= first == wanted
        return self.order[kept[self.order]]

    def static(self) -> Picture:
        """The present group as a figure."""
        return show_ranking(self.test, self.asked, self.near, self.group)


def first_is_relevant(asked: Candidates, near: Tensor) -> Tensor:
    """(G,) bool on the CPU: whether each group's most similar candidate is a sub-question."""
    best = [torch.full((len(asked),), -2.0) for _ in range(2)]
    group, near, relevant = asked.group.cpu(), near.detach().float().cpu(), asked.relevant.cpu()
    for part, kind in zip(best, (relevant, ~relevant)):
        part.scatter_reduce_(0, group[kind], near[kind], "amax")
    return best[0] > best[1]
