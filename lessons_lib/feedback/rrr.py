"""RRR: Remembering for the Right Reasons, and its ancestor of the same initials, Right for the Right Reasons.

Ebrahimi, Petryk, Gokul, Gan, Gonzalez, Rohrbach, Darrell, "Remembering for the Right Reasons: Explanations Reduce
Catastrophic Forgetting", ICLR 2021, arXiv 2010.01528: with every image that is kept for replay, keep the map that explained
it, and hold the map of today to it. The authors' program is SaynaEbrahimi/Remembering-for-the-Right-Reasons.

Ross, Hughes, Doshi-Velez, "Right for the Right Reasons: Training Differentiable Models by Constraining their Explanations",
IJCAI 2017, arXiv 1703.03717: a person marks what must not matter, and the input gradient has to vanish there. The authors'
program is dtak/rrr.

Shapes: images (B, C, H, W), maps (B, h, w) of `lessons_lib.explain.grad_cam` at the layer's resolution, labels (B,) int64.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from lessons_lib.feedback.cast import crop_resize

REDUCTIONS = ("mean", "sum")


# ---------------------------------------- Remembering for the Right Reasons
def saliency_loss(maps: Tensor, kept: Tensor, *, reduction: str = "mean") -> Tensor:
    """|kept - map of today|, the L1 distance of maps of the same images and of the class that was predicted then; >= 0.

    "mean" is over images and cells, as in the authors' program (with a weight of 100); "sum" is the norm itself, added up
    over images. The kept maps are detached. The maps of today are not, and they must come with create_graph: a
    map that was read from a gradient buffer is a constant, and this loss then moves no weight.

    Raises
    ------
    ValueError : maps of different shapes (they would broadcast without a word), an unknown reduction.
    """
    if maps.shape != kept.shape or maps.ndim < 3:
        raise ValueError(
            f"both maps must be (B, h, w), the same shape, got {tuple(maps.shape)} and {tuple(kept.shape)}"
        )
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    total = (maps - kept.detach()).abs().sum()
    return total / max(1, maps.numel()) if reduction == "mean" else total


def rrr_loss(
    logits: Tensor, labels: Tensor, saliency: Tensor | None = None, *, weight: float = 100.0
) -> tuple[Tensor, dict[str, float]]:
    """L = cross-entropy over new and replayed images together + weight times `saliency_loss` of the replayed ones.

    logits (B, K), labels (B,). Without saliency, in the first task, it is plain training; with weight 0, plain replay.
    The weight belongs to the unit of the maps, which is the score's: it has to be set again for another network.

    Returns
    -------
    (the total, {"task", "saliency": its terms before their weights; the last where it is given}).

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    _check_logits(logits, labels)
    task = F.cross_entropy(logits, labels)
    parts = {"task": float(task.detach())}
    if saliency is None:
        return task, parts
    return task + weight * saliency, {**parts, "saliency": float(saliency.detach())}


@dataclass(frozen=True)
class Samples:
    """Images (N, C, H, W), their labels (N,), the maps (N, h, w) that explained them and the classes (N,) these explain."""

    images: Tensor
    labels: Tensor
    maps: Tensor
    predicted: Tensor

    def __post_init__(self) -> None:
        shapes = {field.name: tuple(getattr(self, field.name).shape) for field in fields(self)}
        ranks = [len(shape) for shape in shapes.values()]
        if ranks != [4, 1, 3, 1] or len({shape[0] for shape in shapes.values()}) != 1:
            raise ValueError(
                f"images (N, C, H, W), labels (N,), maps (N, h, w) and predicted (N,) must pair up, got {shapes}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, index: Tensor) -> Samples:
        """The samples of a row number or a bool an entry, copied and without any graph."""
        return Samples(*(getattr(self, field.name).detach()[index] for field in fields(self)))


@dataclass(frozen=True)
class ReplayBuffer:
    """What is kept of earlier tasks: at most `budget` samples, budget // classes for each class seen so far.

    It is never changed; `add` gives a new one. A sample's image, label and map stay together when classes are cut down.
    """

    budget: int
    kept: Samples | None = None

    def __len__(self) -> int:
        return 0 if self.kept is None else len(self.kept)

    def add(self, new: Samples) -> ReplayBuffer:
        """A buffer with the new samples too, whose maps were taken now, by the model at the end of their task.

        Of each class the samples that came first stay: give them in random order.

        Raises
        ------
        ValueError : a budget too small for one sample a class; images or maps of another size than those kept.
        """
        every = new if self.kept is None else _joined(self.kept, new)
        classes = every.labels.unique()
        share = self.budget // max(1, len(classes))
        if share < 1:
            raise ValueError(f"a budget of {self.budget} cannot hold one sample of each of {len(classes)} classes")
        own = (every.labels[:, None] == classes).long()
        place = (own.cumsum(0) * own).sum(1)  # from 1, within the sample's class
        return ReplayBuffer(self.budget, every.rows(place <= share))

    def sample(self, count: int, generator: torch.Generator | None = None) -> Samples:
        """`count` different samples at random, or all where there are fewer.

        Raises
        ------
        ValueError : the buffer is empty.
        """
        if not len(self):
            raise ValueError("the buffer is empty: add the samples of a task first")
        device = generator.device if generator is not None else "cpu"
        order = torch.randperm(len(self), generator=generator, device=device)[:count]
        return self.kept.rows(order.to(self.kept.labels.device))

    def with_other_maps(self, generator: torch.Generator | None = None) -> ReplayBuffer:
        """The control: every image with the map of another one. Needs two samples at least."""
        if len(self) < 2:
            raise ValueError(f"maps can change places among two samples at least, the buffer has {len(self)}")
        device = generator.device if generator is not None else "cpu"
        order = torch.randperm(len(self), generator=generator, device=device).to(self.kept.labels.device)
        other = torch.empty_like(order)
        other[order] = order.roll(1)  # one cycle through all of them: nobody keeps their own
        return ReplayBuffer(
            self.budget, Samples(self.kept.images, self.kept.labels, self.kept.maps[other], self.kept.predicted)
        )

    @property
    def bytes(self) -> dict[str, int]:
        """What images and maps take: the control with as many bytes holds bytes["maps"] worth of further images."""
        if self.kept is None:
            return {"images": 0, "maps": 0}
        return {"images": self.kept.images.nbytes, "maps": self.kept.maps.nbytes}


def replayed_views(
    samples: Samples, boxes: Tensor, *, flip: Tensor | None = None, size: tuple[int, int] | None = None
) -> Samples:
    """Random crops of replayed samples whose maps follow: each map is cut by its image's box and mirrored with it.

    Against a kept map that was not cut, today's map of another view is wrong by the view alone. It remains an
    approximation: a network that sees the crop alone knows less than one that saw it in its surroundings. Without any crop
    or flip nothing has to follow.

    Parameters
    ----------
    boxes : (B, 4) x0, y0, x1, y1 in pixels of the images, x1 and y1 exclusive.
    flip : bool (B,), which are mirrored left to right.
    size : (H, W) of the views; default that of the images. Maps keep their own number of cells.

    Raises
    ------
    ValueError : as `lessons_lib.feedback.cast.crop_resize`.
    """
    frame = tuple(samples.images.shape[-2:])
    images = crop_resize(samples.images, boxes, size or frame, flip=flip)
    maps = crop_resize(samples.maps, boxes, tuple(samples.maps.shape[-2:]), frame=frame, flip=flip)
    return Samples(images, samples.labels, maps, samples.predicted)


# ---------------------------------------- Right for the Right Reasons
def input_gradients(logits: Tensor, images: Tensor, *, create_graph: bool = True) -> Tensor:
    """d / d x of sum_k log p_k(x), shape of images: the explanation that Ross et al. constrain, over all classes at once.

    images must require a gradient before the network sees them. Without create_graph the gradients are a constant and a
    loss on them trains nothing.

    Raises
    ------
    ValueError : shapes that do not fit, logits that do not depend on the images or images without requires_grad.
    """
    if logits.ndim != 2 or images.ndim != 4 or len(logits) != len(images):
        raise ValueError(
            f"logits must be (B, K) and images (B, C, H, W), got {tuple(logits.shape)} and {tuple(images.shape)}"
        )
    total = logits.log_softmax(1).sum()
    if not images.requires_grad or not total.requires_grad:
        raise ValueError("no gradient leads to the images: call images.requires_grad_() before the network sees them")
    (gradient,) = torch.autograd.grad(total, images, create_graph=create_graph, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise ValueError("the logits do not depend on these images: take them from the same forward pass")
    return gradient


def right_reasons_loss(gradients: Tensor, irrelevant: Tensor) -> Tensor:
    """sum_d (A_d d/dx_d sum_k log p_k)^2 for every image, then their mean; >= 0, 0 where nothing is marked.

    The authors' TensorFlow program adds images up, with half the squares, and takes cross-entropy as a sum too; with both
    as means the proportion of the two is the same. Nothing is detached.

    Parameters
    ----------
    gradients : (B, C, H, W), from `input_gradients`.
    irrelevant : A, bool (B, H, W): the pixels that must not matter, in every colour channel.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    if gradients.ndim != 4 or irrelevant.shape != (len(gradients), *gradients.shape[2:]):
        raise ValueError(
            f"gradients must be (B, C, H, W) and irrelevant (B, H, W), got {tuple(gradients.shape)} and "
            f"{tuple(irrelevant.shape)}"
        )
    return (gradients.square() * irrelevant[:, None]).sum() / max(1, len(gradients))


def right_for_the_right_reasons_loss(
    logits: Tensor, labels: Tensor, gradients: Tensor, irrelevant: Tensor, *, weight: float
) -> tuple[Tensor, dict[str, float]]:
    """Right answers (cross-entropy) + weight times right reasons; a weight decay is left to the optimiser.

    Returns
    -------
    (the total, {"answers", "reasons": its terms before their weights}).

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    _check_logits(logits, labels)
    answers, reasons = F.cross_entropy(logits, labels), right_reasons_loss(gradients, irrelevant)
    return answers + weight * reasons, {"answers": float(answers.detach()), "reasons": float(reasons.detach())}


def _joined(first: Samples, second: Samples) -> Samples:
    for name in ("images", "maps"):
        one, other = getattr(first, name).shape[1:], getattr(second, name).shape[1:]
        if one != other:
            raise ValueError(f"{name} must have the size of those kept, {tuple(one)}, got {tuple(other)}")
    return Samples(*(torch.cat([getattr(first, f.name), getattr(second, f.name)]) for f in fields(Samples)))


def _check_logits(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits must be (B, K) and labels (B,), got {tuple(logits.shape)} and {tuple(labels.shape)}")
