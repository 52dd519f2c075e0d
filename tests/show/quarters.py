"""A model over the four quarters of a picture, and methods to explain it, for the tests of the explorer."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import nn


class Where(nn.Module):
    """Logits = mean brightness of the four quarters: class 0 upper left, 1 upper right, 2 lower left, 3 lower right."""

    categories = ("upper left", "upper right", "lower left", "lower right corner")
    layers = {"pooled, 2 x 2": "pool", "none": "flat"}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.pool, self.flat = nn.AdaptiveAvgPool2d(2), nn.Flatten()
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return 8 * self.flat(self.pool(images).mean(1))


def bright(quarter, size=16):
    image = torch.full((3, size, size), 0.2)
    row, column = divmod(quarter, 2)
    half = size // 2
    image[:, row * half : (row + 1) * half, column * half : (column + 1) * half] = 0.9
    return image


def gradient(model, images, target):
    images = images.clone().requires_grad_()
    model(images)[0, target].backward()
    return images.grad.abs().sum(1)


calls = []


def corner(model, images, target, *, layer=None):
    calls.append((target, layer))
    maps = torch.zeros(1, 2, 2)
    maps[0, target // 2, target % 2] = 1.0
    return maps


def fails(model, images, target):
    raise RuntimeError("the map went missing")


def refuses(model, images, target):
    raise ValueError("this method needs another network")


METHODS = {"corner": corner, "gradient": gradient, "fails": fails, "refuses": refuses}
IMAGES = {"one": bright(0), "two": bright(3)}


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def hot_quarter(png):
    """The quarter of the right panel with the most colour."""
    image = pixels(png)[:320, -320:]
    colour = np.ptp(image, axis=-1)
    return int(np.argmax([colour[r : r + 160, c : c + 160].sum() for r in (0, 160) for c in (0, 160)]))
