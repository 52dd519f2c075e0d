"""Right for the Right Reasons (Ross et al., arXiv 1703.03717): train where a person has marked what must not matter."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lessons_lib.feedback.rrr import input_gradients, right_for_the_right_reasons_loss


def fit_right_reasons(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    irrelevant: Tensor,
    *,
    weight: float,
    steps: int = 150,
    lr: float = 1e-3,
) -> nn.Module:
    """The model, trained by Adam on all images at every step, with the input gradient held to 0 where it is marked.

    irrelevant : bool (H, W), the same for all images, or (N, H, W).  weight : of that term; 0 is plain training.

    Raises
    ------
    ValueError : shapes that do not fit.
    """
    marked = irrelevant.expand(len(images), *images.shape[2:])
    optimiser = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        pixels = images.clone().requires_grad_()
        logits = model(pixels)
        gradients = input_gradients(logits, pixels)
        loss, _ = right_for_the_right_reasons_loss(logits, labels, gradients, marked, weight=weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def pixel_network(side: int, classes: int, seed: int = 0, hidden: int = 32) -> nn.Module:
    """Logits (B, classes) of images (B, 3, side, side) in [0, 1]: one hidden layer over all pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        layers = (nn.Linear(3 * side * side, hidden), nn.ReLU(), nn.Linear(hidden, classes))
        model = nn.Sequential(nn.Flatten(), *layers)
    with torch.no_grad():  # centred: the bias takes what images less 0.5 would
        model[1].bias -= 0.5 * model[1].weight.sum(1)
    return model
