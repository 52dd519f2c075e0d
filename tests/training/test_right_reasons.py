"""A corner that gives the answer away is not used where it is marked."""

from __future__ import annotations

import torch

from lessons_lib.feedback.rrr import input_gradients
from lessons_lib.training.right_reasons import fit_right_reasons, pixel_network


def test_marked_pixels_lose_their_influence_and_the_seed_repeats():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    images = torch.rand(40, 3, 8, 8, generator=generator) * 0.2 + 0.4
    images[:, 0, 4:] += 0.1 * labels[:, None, None]  # weak, and everywhere
    images[:, :, 0, 0] = labels[:, None].float()  # strong, in the corner
    mark = torch.zeros(8, 8, dtype=torch.bool)
    mark[0, 0] = True
    shares = {}
    for weight in (0.0, 1.0):
        model = fit_right_reasons(pixel_network(8, 2, seed=1), images, labels, mark, weight=weight)
        pixels = images.clone().requires_grad_()
        gradient = input_gradients(model(pixels), pixels, create_graph=False).square().sum(1)
        shares[weight] = float(gradient[:, 0, 0].sum() / gradient.sum())
        assert (model(images).argmax(1) == labels).float().mean() > 0.9
    assert shares[1.0] < 0.2 * shares[0.0]
    again = pixel_network(8, 2, seed=1)
    assert torch.equal(again[1].weight, pixel_network(8, 2, seed=1)[1].weight)
    gray = torch.full((1, 3, 8, 8), 0.5)
    plain = torch.nn.functional.linear(torch.zeros(1, 192), again[1].weight, again[1].bias)
    assert torch.isfinite(again(gray)).all() and plain.shape == (1, 32)
