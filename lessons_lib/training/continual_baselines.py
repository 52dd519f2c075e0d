"""What continual learning does without keeping images: EWC holds weights, LwF holds answers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Named = dict[str, Tensor]


def fisher(model: nn.Module, images: Tensor, labels: Tensor, classes: int) -> Named:
    """Diagonal of the Fisher information: the mean over images of (d log p(label) / d weight)^2, by a weight's name.

    It says how readily the answers to these images change with each weight (Kirkpatrick et al., "Overcoming catastrophic
    forgetting in neural networks", arXiv 1612.00796, call it F). Labels are those of the data ("empirical Fisher").

    Parameters
    ----------
    images (N, C, H, W), labels (N,).  classes : the model's logits beyond so many are ignored.
    """
    weights = dict(model.named_parameters())
    total = {name: torch.zeros_like(value) for name, value in weights.items()}
    for image, label in zip(images, labels):
        loss = F.cross_entropy(model(image[None])[:, :classes], label[None])
        grads = torch.autograd.grad(loss, list(weights.values()))
        for name, grad in zip(weights, grads):
            total[name] += grad.square() / len(images)
    return total


def merged(first: Mapping[str, Tensor] | None, second: Named) -> Named:
    """The sum over tasks: one anchor for all of them, that of the last task."""
    return second if not first else {name: first[name] + value for name, value in second.items()}


def ewc_penalty(model: nn.Module, anchor: Mapping[str, Tensor], importance: Mapping[str, Tensor]) -> Tensor:
    """sum_i F_i (theta_i - theta*_i)^2 / 2: a spring at every weight, as stiff as the weight was important; >= 0.

    Raises
    ------
    ValueError : names of the model's weights that the anchor or the importance lacks.
    """
    total = torch.zeros((), device=next(model.parameters()).device)
    for name, value in model.named_parameters():
        if name not in anchor or name not in importance:
            raise ValueError(f"the anchor has no weight {name!r}: it belongs to another model")
        total = total + (importance[name] * (value - anchor[name]).square()).sum()
    return total / 2


def distillation_loss(logits: Tensor, before: Tensor, temperature: float = 2.0) -> Tensor:
    """Learning without Forgetting: answers (B, K) to new images stay those (B, K) of the model before the task; >= 0.

    T^2 KL(softmax(before / T) || softmax(logits / T)), mean over images, over the classes known before (Li, Hoiem,
    "Learning without Forgetting", arXiv 1606.09282; they write the cross-entropy, whose gradient is the same).
    `before` is detached.

    Raises
    ------
    ValueError : logits of different shapes, a temperature that is not positive.
    """
    if logits.shape != before.shape or logits.ndim != 2:
        raise ValueError(
            f"both logits must be (B, K), the same shape, got {tuple(logits.shape)}, {tuple(before.shape)}"
        )
    if not temperature > 0:
        raise ValueError(f"the temperature must be positive, got {temperature}")
    now, then = (logits / temperature).log_softmax(1), (before.detach() / temperature).log_softmax(1)
    return temperature**2 * F.kl_div(now, then, log_target=True, reduction="batchmean")
