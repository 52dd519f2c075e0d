"""HINT: rank regions by their gradient importance as people rank them; with its rivals and its critics' controls.

Selvaraju, Lee, Shen, Jin, Ghosh, Heck, Batra, Parikh, "Taking a HINT: Leveraging Explanations to Make Vision and Language
Models More Grounded", ICCV 2019, arXiv 1902.03751. No program of the authors is known; "the release" is the one of the
critique, Shrestha, Kafle, Kanan, ACL 2020, arXiv 2004.05704 (erobic/negative_analysis_of_grounding). SCR: Wu and Mooney,
"Self-Critical Reasoning for Robust Visual Question Answering", NeurIPS 2019, arXiv 1905.09998.

Shapes: R regions a picture with features (B, R, D); importances and human scores (B, R); logits (B, A) of A answers;
boxes (B, R, 4) as x0, y0, x1, y1 in pixels, x1 and y1 outside. has_cue (B,) bool: questions that a person marked. valid
(B, R) bool: regions that exist, where pictures have different numbers of them. What people say is a constant everywhere, and
shapes that do not fit raise ValueError, in every function.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CUES = ("relevant", "irrelevant", "random", "shuffled")


# ---------------------------------------- regions: what people and what maps say of them
def pool_over_boxes(maps: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Means (B, R) of maps (B, h, w) within boxes given in pixels of a picture of size (H, W); differentiable in the maps.

    A cell counts by the share of it that the box covers, so a map coarser than the boxes does. With Grad-CAM maps of
    `grad_cam(..., create_graph=True)` it gives region importances to a network that has no region features. A box
    without area inside the picture gives 0.
    """
    inside, area = _sum_inside(maps, boxes, size)
    return inside / torch.where(area > 0, area, 1)


def human_scores(human_maps: Tensor, boxes: Tensor) -> Tensor:
    """Human importance (B, R) of boxes from maps (B, H, W) >= 0: in / (in + out), means inside and outside of a box.

    In [0, 1]; 0.5 is as hot as the rest, and what every box of an empty map gets, so such a map ranks nothing. So does
    a box that leaves no rest.

    Raises
    ------
    ValueError : shapes that do not fit, or a map with negative values.
    """
    inside, area = _sum_inside(human_maps, boxes, tuple(human_maps.shape[1:]))
    if (human_maps < 0).any():
        raise ValueError("human maps must not be negative")
    rest = human_maps[0].numel() - area
    within = inside / torch.where(area > 0, area, 1)
    beyond = (human_maps.sum((1, 2))[:, None] - inside).clamp(min=0) / torch.where(rest > 1e-3, rest, 1)
    beyond = torch.where(rest > 1e-3, beyond, within)
    both = within + beyond
    return torch.where(both > 0, within / torch.where(both > 0, both, 1), 0.5)


# ---------------------------------------- what the network relies on
def answer_score(logits: Tensor, targets: Tensor) -> Tensor:
    """(B,): the true answer's logit; with soft targets (B, A) the sum of the logits whose target is above 0.

    Logits and not probabilities: the gradient of a probability vanishes where the network is sure.
    """
    return (logits * (_soft(targets, logits) > 0)).sum(1)


def score_gradient(scores: Tensor, values: Tensor, *, create_graph: bool = True) -> Tensor:
    """d scores / d values, shape of values (B, ...), for scores (B,) that depend on their own picture alone.

    create_graph : keep the graph, without which a loss on the gradient trains nothing; False for measuring.

    Raises
    ------
    ValueError : shapes that do not fit; scores that do not depend on the values.
    """
    if values.ndim < 2 or scores.shape != values.shape[:1]:
        raise ValueError(
            f"scores must be (B,) and values (B, ...), got {tuple(scores.shape)} and {tuple(values.shape)}"
        )
    try:
        (gradient,) = torch.autograd.grad(
            scores.sum(), values, create_graph=create_graph, retain_graph=True, allow_unused=True
        )
    except RuntimeError as error:
        raise ValueError(
            f"no gradient leads from the scores to the values ({error}); inputs need requires_grad_()"
        ) from error
    if gradient is None:
        raise ValueError("the scores do not depend on the values: take both from the same forward pass")
    return gradient


def proposal_importance(
    scores: Tensor, features: Tensor, *, times_feature: bool = False, create_graph: bool = True
) -> Tensor:
    """Network importance (B, R) of regions: alpha_r = sum_d d score / d P_rd, of either sign, in units of the score.

    Nothing is detached. features (B, R, D) is the very tensor that the scores were computed from; one that comes from a
    file needs `requires_grad_()` before the forward pass.

    times_feature : gradient times feature, sum_d P_rd d score / d P_rd, in place of the release's plain sum.
    """
    if features.ndim != 3:
        raise ValueError(f"features must be (B, R, D), got {tuple(features.shape)}")
    gradient = score_gradient(scores, features, create_graph=create_graph)
    return (gradient * features if times_feature else gradient).sum(2)


# ---------------------------------------- HINT
def ranking_loss(
    importances: Tensor,
    human: Tensor,
    *,
    has_cue: Tensor | None = None,
    valid: Tensor | None = None,
    ties: bool = False,
) -> Tensor:
    """1 / (B R) sum_b sum_ij 1[h_i > h_j] max(0, alpha_j - alpha_i): what pairs cost that the network orders wrongly.

    >= 0, and 0 for every alpha in the order of h, however small: nothing fixes the scale, and shrinking all importances
    also lowers the loss. It sums over pairs and is divided by regions, so it grows with R. Pairs of equal h are free; a
    pair of equal alpha costs and moves nothing. Questions without a cue cost 0 and stay in the mean, as in the release.
    Only `importances` (B, R) move.

    ties : h_i >= h_j, as in the release. Tied regions are then pulled together from both sides; with masks or
        other scores of few values these pairs outweigh the ordered ones. For showing that.
    """
    _check_regions(importances, human=human, valid=valid, has_cue=has_cue)
    mine, other = human[:, :, None], human[:, None, :]
    counts = mine >= other if ties else mine > other
    if valid is not None:
        counts = counts & valid[:, :, None] & valid[:, None, :]
    if has_cue is not None:
        counts = counts & has_cue[:, None, None]
    ahead = F.relu(importances[:, None, :] - importances[:, :, None])
    return torch.where(counts, ahead, 0).sum() / importances.numel()


def answer_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, summed over the answers and averaged over the batch, as VQA models are trained; >= 0.

    targets : (B,) integers or (B, A) in [0, 1].
    """
    each = F.binary_cross_entropy_with_logits(logits, _soft(targets, logits), reduction="none")
    return each.sum() / len(logits)


def hint_loss(
    logits: Tensor,
    targets: Tensor,
    features: Tensor,
    human: Tensor,
    *,
    weight: float = 2.0,
    has_cue: Tensor | None = None,
    valid: Tensor | None = None,
    times_feature: bool = False,
) -> tuple[Tensor, dict[str, float]]:
    """`answer_loss` + weight `ranking_loss` of the true answer's importances; 2 is the release's weight.

    Returns
    -------
    (the total, {"answer", "ranking": its terms before the weight}).
    """
    importances = proposal_importance(answer_score(logits, targets), features, times_feature=times_feature)
    answer = answer_loss(logits, targets)
    ranking = ranking_loss(importances, human, has_cue=has_cue, valid=valid)
    return answer + weight * ranking, {"answer": float(answer.detach()), "ranking": float(ranking.detach())}


# ---------------------------------------- the critique's controls, and rivals
def cues(human: Tensor, kind: str, generator: torch.Generator | None = None) -> Tensor:
    """Scores (B, R) in place of the human ones: "relevant" h, "irrelevant" 1 - h, "random" uniform in [0, 1).

    "shuffled" deals each picture's own scores out anew among its regions: their values stay, what they say goes.
    Random cues are fixed when they are drawn once for all questions before training, and fresh when drawn for every
    batch; the release's option says "every epoch" and draws every batch. "random" and "shuffled" need a generator (on
    the CPU).

    Raises
    ------
    ValueError : another kind, no generator for one that draws, or scores that are not (B, R).
    """
    if kind not in CUES or human.ndim != 2:
        raise ValueError(f"kind must be one of {', '.join(CUES)} and human (B, R), got {kind!r}, {tuple(human.shape)}")
    if kind in ("relevant", "irrelevant"):
        return human if kind == "relevant" else 1 - human
    if generator is None:
        raise ValueError(f"{kind} cues need a generator, whose seed says which they are")
    drawn = torch.rand(human.shape, generator=generator).to(human.device)
    return drawn.to(human.dtype) if kind == "random" else human.gather(1, drawn.argsort(1))


def zero_out_loss(logits: Tensor) -> Tensor:
    """The critique's regulariser without any cue: `answer_loss` against targets that are all zero; >= 0.

    It asks every answer to be unlikely and knows of no region. Give it the part of the batch that it is meant for; an
    empty part costs 0.
    """
    if logits.ndim != 2:
        raise ValueError(f"logits must be (B, A), got {tuple(logits.shape)}")
    return F.softplus(logits).sum() / max(1, len(logits))


def attention_supervision_loss(attention: Tensor, human: Tensor, *, has_cue: Tensor | None = None) -> Tensor:
    """1 / B sum_b sum_r (a_r - h_r / sum h)^2: attention (B, R) itself follows people, not what the answer relies on.

    In [0, 2] for attention that sums to 1. A rival of this course, in the spirit of supervised attention; only what
    computes the attention is trained. Scores that are all 0 count as no cue.
    """
    _check_regions(attention, human=human, has_cue=has_cue)
    total = human.sum(1, keepdim=True)
    counts = (total > 0) if has_cue is None else (total > 0) & has_cue[:, None]
    distance = (attention - human / torch.where(total > 0, total, 1)).square()
    return torch.where(counts, distance, 0).sum() / len(attention)


def top_boxes(human: Tensor, count: int = 5) -> Tensor:
    """SCR's proposals, bool (B, R): regions that score above the (count + 1)-th; at most count, ties at the border out.

    Raises
    ------
    ValueError : scores that are not (B, R), or a count outside 1 to R - 1.
    """
    if human.ndim != 2 or not 1 <= count < human.shape[1]:
        raise ValueError(f"human must be (B, R) with 1 <= count < R, got {tuple(human.shape)} and {count}")
    return human > human.topk(count + 1, dim=1).values[:, -1:]


def influential_box(importances: Tensor, proposed: Tensor) -> Tensor:
    """(B,): the number of the most important proposed region; 0 where none is proposed."""
    _check_regions(importances, proposed=proposed)
    return importances.detach().masked_fill(~proposed, -torch.inf).argmax(1)


def influence_loss(importances: Tensor, proposed: Tensor, *, margin: float = 1e-4) -> Tensor:
    """SCR's influence strengthening: 1 / B sum_b min_{i proposed} sum_{j not proposed} max(0, alpha_j - alpha_i + margin).

    One proposed region has to beat all others; the minimum is that of the most important one. >= 0. Which region leads
    is a constant, its importance moves. A question without proposals costs 0. (The release gives a region that has
    won a penalty of 10,000 before the minimum, so that another one must win, too.)
    """
    lead = importances.gather(1, influential_box(importances, proposed)[:, None])
    counts = ~proposed & proposed.any(1, keepdim=True)
    return torch.where(counts, F.relu(importances - lead + margin), 0).sum() / len(importances)


def self_critical_loss(true: Tensor, wrong: Tensor, true_chance: Tensor, wrong_chances: Tensor, lead: Tensor) -> Tensor:
    """SCR's self-critical term: the mean of w_k (S(wrong_k, lead) - S(true, lead)) over answers likelier than the true one.

    w_k is how much likelier the wrong answer is: detached, since a weight is nothing to learn (the release lets it move,
    and may scale it by how unlike the answers are). Of either sign. true (B, R) and wrong (B, K, R) are importances,
    true_chance (B,) and wrong_chances (B, K) probabilities, lead (B,) the region of `influential_box`. (The release takes
    the lead's rank among the proposals for its number, hence looks at another region.)
    """
    _check_regions(true)
    shapes = [tuple(part.shape) for part in (wrong, true_chance, wrong_chances, lead)]
    b, k, r = len(true), wrong.shape[1] if wrong.ndim == 3 else 0, true.shape[1]
    if shapes != [(b, k, r), (b,), (b, k), (b,)]:
        raise ValueError(f"for true {(b, r)} wrong must be (B, K, R), chances (B,) and (B, K), lead (B,), got {shapes}")
    gap = (wrong_chances - true_chance[:, None]).detach()
    more = wrong.gather(2, lead[:, None, None].expand(b, k, 1))[..., 0] - true.gather(1, lead[:, None])
    return torch.where(gap > 0, gap * more, 0).sum() / (gap > 0).sum().clamp(min=1)


# ---------------------------------------- what they share
def _sum_inside(maps: Tensor, boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Sums (B, R) of maps (B, h, w) over boxes in pixels of a picture (H, W), and the boxes' areas in cells."""
    if maps.ndim != 3 or boxes.ndim != 3 or len(boxes) != len(maps) or boxes.shape[2] != 4 or len(size) != 2:
        raise ValueError(
            f"maps must be (B, h, w), boxes (B, R, 4) and size (H, W), got {tuple(maps.shape)}, {tuple(boxes.shape)}, {size}"
        )
    covered = []
    for axis, (cells, pixels) in enumerate(zip(maps.shape[1:], size)):
        low, high = (boxes[..., corner, None].to(maps.dtype) * (cells / pixels) for corner in (1 - axis, 3 - axis))
        start = torch.arange(cells, device=maps.device, dtype=maps.dtype)
        covered.append((torch.minimum(high, start + 1) - torch.maximum(low, start)).clamp(min=0))
    rows, columns = covered
    return ((rows @ maps) * columns).sum(2), rows.sum(2) * columns.sum(2)


def _soft(targets: Tensor, logits: Tensor) -> Tensor:
    if logits.ndim == 2 and targets.shape == logits.shape:
        return targets.to(logits.dtype)
    if logits.ndim != 2 or targets.shape != logits.shape[:1] or targets.is_floating_point():
        raise ValueError(
            f"logits must be (B, A) and targets (B,) integers or (B, A), got {tuple(logits.shape)} and "
            f"{tuple(targets.shape)} {targets.dtype}"
        )
    return F.one_hot(targets.long(), logits.shape[1]).to(logits.dtype)


def _check_regions(values: Tensor, **others: Tensor | None) -> None:
    if values.ndim != 2 or values.numel() == 0:
        raise ValueError(f"regions' values must be (B, R) and not empty, got {tuple(values.shape)}")
    for name, other in others.items():
        wanted = values.shape[:1] if name == "has_cue" else values.shape
        if other is not None and (other.shape != wanted or (name != "human" and other.dtype != torch.bool)):
            kind = "" if name == "human" else " and bool"
            raise ValueError(f"{name} must be {tuple(wanted)}{kind}, got {tuple(other.shape)}, {other.dtype}")
