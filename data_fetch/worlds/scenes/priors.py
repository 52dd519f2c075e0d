"""Questions whose answers follow a prior in training and its reverse in the test, about pictures with region proposals.

As in VQA-CP (Agrawal et al., "Don't Just Assume; Look and Answer", CVPR 2018, arXiv 1712.00377), for rendered scenes: the
same test pictures are asked questions with the prior of training and with the reversed one, so that only the answers shift.
Every picture has `proposals`: a moved box for each thing and boxes that show nothing in particular.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.worlds.scenes.questions import KINDS as ASKED_KINDS
from data_fetch.worlds.scenes.questions import SceneQuestions, ask
from data_fetch.worlds.scenes.vocabulary import KINDS, THINGS
from data_fetch.worlds.scenes.world import Scenes, scenes

KINDS_OF_THINGS = ("colour", "clothes", "is_colour", "state", "exists", "count", "side", "doing", "using", "animal")
STRENGTH = 0.9  # share of favoured answers in training; 1 - STRENGTH in the shifted test
STATES = tuple(dict.fromkeys(word for thing in THINGS.values() for word in thing.states))
BACKGROUND, UNSURE = len(KINDS), -1  # kinds of a region that shows no thing, and of one that shows part of a thing
_SAME, _APART = 0.5, 0.3  # intersection over union from which a region shows a thing, and up to which it shows none


@dataclass(frozen=True)
class PriorSets:
    """Questions about two sets of pictures, both with proposals.

    train : answers follow the prior.  same : so do these, about the test pictures.  shifted : the prior is reversed,
    about the test pictures.
    """

    train: SceneQuestions
    same: SceneQuestions
    shifted: SceneQuestions


@dataclass(frozen=True)
class RegionLabels:
    """What each proposal (N, R) shows, int64 numbers.

    kind : of `KINDS`, `BACKGROUND`, or `UNSURE` where part of a thing is in it.  colour : of COLOUR_NAMES (of a person the
    clothes), state : of `STATES`; both -1 where there is none or the kind is not that of a thing.
    slot : number of the thing in the picture's scene graph, -1 for none.
    """

    kind: Tensor
    colour: Tensor
    state: Tensor
    slot: Tensor


def prior_sets(
    seed: int,
    *,
    train: int,
    test: int,
    per_image: int = 4,
    strength: float = STRENGTH,
    proposals: int = 10,
    kinds: Sequence[str] = KINDS_OF_THINGS,
    size: int = 48,
    device: torch.device | str = "cpu",
    **knobs,
) -> PriorSets:
    """`train` and `test` pictures and the questions about them; sub-seeds of one seed never meet those of another.

    Parameters
    ----------
    per_image : questions a picture, on average.  strength, kinds : see `ask`.  proposals : regions a picture.
    size, knobs : see `scenes`.

    Raises
    ------
    ValueError : as `scenes`, `Scenes.with_proposals` and `ask`.
    """
    if not 0.5 <= strength <= 1:
        raise ValueError(f"strength must be 0.5 (no prior) to 1 (no exception), got {strength}")
    unknown = [kind for kind in kinds if kind not in ASKED_KINDS]
    if unknown:
        raise ValueError(f"kinds must be names out of {', '.join(ASKED_KINDS)}; got {', '.join(unknown)}")
    worlds = [
        scenes(count, seed=3 * seed + n, size=size, **knobs).with_proposals(proposals, seed=3 * seed + n).to(device)
        for n, count in enumerate((train, test))
    ]
    options = {"per_image": per_image, "kinds": kinds, "strength": strength}
    return PriorSets(
        ask(worlds[0], prior="train", seed=3 * seed, **options),
        ask(worlds[1], prior="train", seed=3 * seed + 1, **options),
        ask(worlds[1], prior="test", seed=3 * seed + 2, **options),
    )


def region_labels(world: Scenes) -> RegionLabels:
    """What the proposals show, by their overlap with the boxes of the things that are seen.

    Raises
    ------
    ValueError : a set without proposals.
    """
    if world.proposals is None:
        raise ValueError("the set has no proposals: make them with with_proposals()")
    count, regions = world.proposals.shape[:2]
    slot = torch.full((count, regions), -1)
    kind = torch.full((count, regions), BACKGROUND)
    for n, boxes in enumerate(world.boxes):
        if not len(boxes):
            continue
        overlap, which = _overlaps(world.proposals[n].cpu(), boxes).max(1)
        slots = torch.nonzero(world.seen[n].cpu())[:, 0]
        slot[n] = torch.where(overlap >= _SAME, slots[which], -1)
        kind[n] = torch.where(overlap >= _SAME, world.box_labels[n][which], BACKGROUND)
        kind[n][(overlap > _APART) & (overlap < _SAME)] = UNSURE
    graph, there, at = world.graph.to("cpu"), slot >= 0, slot.clamp(min=0)
    colour = torch.where(there, graph.colour.gather(1, at), -1)
    return RegionLabels(kind, colour, torch.where(there, _states(kind, graph.state.gather(1, at)), -1), slot)


def evidence_regions(asked: SceneQuestions, labels: RegionLabels) -> Tensor:
    """(Q, R) bool: the proposals that show a thing which decides the answer; none where something absent was asked for.

    labels : of `region_labels` of the pictures that are asked about.
    """
    slot = labels.slot[asked.image_index.cpu()]
    return torch.stack(
        [torch.isin(row, torch.tensor(slots, dtype=row.dtype)) for row, slots in zip(slot, asked.evidence)]
    )


def _states(kind: Tensor, state: Tensor) -> Tensor:
    """Numbers of `STATES` for kinds (N, R) with states (N, R) of their own; -1 where a kind has none."""
    longest = max(len(thing.states) for thing in THINGS.values())
    table = torch.full((len(KINDS) + 2, longest), -1)  # the person, and both kinds of no thing, have no states
    for thing in THINGS.values():
        for n, word in enumerate(thing.states):
            table[KINDS.index(thing.name), n] = STATES.index(word)
    return table[kind, state.clamp(min=0)]


def _overlaps(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union (A, B) of boxes (A, 4) and (B, 4)."""
    low, high = torch.maximum(a[:, None, :2], b[None, :, :2]), torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    return shared / (areas[0][:, None] + areas[1][None] - shared).clamp(min=1e-9)
