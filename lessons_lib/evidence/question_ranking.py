"""How well a model ranks the questions that a reasoning question rests on above irrelevant ones about the same picture.

The metrics of Dharur et al., "SOrT-ing VQA Models", NAACL 2021 (arXiv 2010.10038), as the notebook of the release
computes them. A group is one reasoning question with its candidates, sorted by similarity; it has candidates of both kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class RankingScores:
    """Means over groups.

    mpr : mean precision at 1, whether the first candidate is relevant.  ranking_accuracy : whether all relevant ones
    stand above all others.  mrr : 1 / rank of the first relevant one.  All in [0, 1], more is better.
    wpr : weighted pairwise rank, mean over the groups with a mistake (0 without one); less is better. At every rank that
    holds the wrong kind, the similarity there is compared with the one that stands there in the right order (relevant
    ones first, each kind by similarity), and the absolute differences are summed. It grows with the spread of similarities.
    """

    mpr: float
    ranking_accuracy: float
    mrr: float
    wpr: float

    def as_dict(self) -> dict[str, float]:
        return {field.name: getattr(self, field.name) for field in fields(self)}


def ranking_scores(group: Tensor, similarity: Tensor, relevant: Tensor) -> RankingScores:
    """Scores of C candidates: group (C,) int64, the number of each one's group; similarity (C,); relevant (C,) bool.

    Of two equal similarities the irrelevant candidate counts as the higher one: who cannot tell them apart gains nothing.

    Raises
    ------
    ValueError : shapes that differ, no candidate, similarities that are not finite, a group with one kind only.
    """
    if not group.shape == similarity.shape == relevant.shape or group.ndim != 1 or not len(group):
        raise ValueError(
            "group, similarity and relevant must be (C,), at least one candidate, got "
            f"{tuple(group.shape)}, {tuple(similarity.shape)} and {tuple(relevant.shape)}"
        )
    if relevant.dtype != torch.bool:
        raise ValueError(f"relevant must be bool, got {relevant.dtype}")
    if not torch.isfinite(similarity).all():
        raise ValueError("similarities must be finite")
    group, similarity, relevant = group.cpu(), similarity.detach().double().cpu(), relevant.cpu()
    groups, number = group.unique(return_inverse=True)
    sizes, wanted = torch.bincount(number), torch.bincount(number, relevant.double(), len(groups)).long()
    single = groups[(wanted == 0) | (wanted == sizes)]
    if len(single):
        raise ValueError(f"group {int(single[0])} has candidates of one kind only; a ranking needs both")
    order = _sorted(number, -similarity, relevant.long())
    ideal = _sorted(number, -relevant.long(), -similarity)
    starts = sizes.cumsum(0) - sizes
    kind, row = relevant[order], number[order]
    rank = torch.arange(len(order)) - starts[row]
    first = torch.full((len(groups),), len(order)).scatter_reduce(0, row[kind], rank[kind], "amin")
    wrong = kind != relevant[ideal]
    apart = torch.where(wrong, (similarity[order] - similarity[ideal]).abs(), 0)
    loss = torch.zeros(len(groups), dtype=torch.float64).index_add(0, row, apart)
    mistaken = torch.zeros(len(groups)).index_add(0, row, wrong.float()) > 0
    return RankingScores(
        mpr=float((first == 0).double().mean()),
        ranking_accuracy=float((~mistaken).double().mean()),
        mrr=float((1 / (first + 1).double()).mean()),
        wpr=float(loss[mistaken].mean()) if mistaken.any() else 0.0,
    )


def random_scores(
    group: Tensor, relevant: Tensor, first: Tensor | None = None, *, rounds: int = 50, seed: int = 0
) -> RankingScores:
    """What similarities drawn from 0 to 1 give on these groups, mean over `rounds`.

    first (C,) bool : candidates that come before the others (1 is added), each part in random order.

    Raises
    ------
    ValueError : as `ranking_scores`.
    """
    generator, found = torch.Generator().manual_seed(seed), []
    lead = torch.zeros(len(group)) if first is None else first.cpu().float()
    for _ in range(rounds):
        drawn = lead + torch.rand(len(group), generator=generator)
        found.append(ranking_scores(group, drawn.to(group.device), relevant).as_dict())
    return RankingScores(**{name: sum(one[name] for one in found) / rounds for name in found[0]})


def _sorted(*keys: Tensor) -> Tensor:
    """The order of rows by the first key, then the second and so on, each ascending."""
    order = torch.arange(len(keys[0]))
    for key in reversed(keys):
        order = order[torch.argsort(key[order], stable=True)]
    return order
