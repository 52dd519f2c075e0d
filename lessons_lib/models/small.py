"""A small convolutional network for the rendered worlds: it trains in seconds on two CPU cores."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

HEADS = ("gap", "flatten")


class SmallCNN(nn.Module):
    """Four convolutions of widths 16, 32, 64, 64 with BatchNorm and ReLU, and one of two heads.

    head "gap": global average pool and one linear layer, so that CAM applies. head "flatten": the last
    features, pooled to 3 x 3, and two linear layers, as VGG has them; CAM does not apply, Grad-CAM does.
    Every ReLU is a module of its own and none works in place, so that guided backprop and LRP can follow
    each.

    Parameters
    ----------
    classes : number of logits.
    head : "gap" or "flatten".
    width : channels of the first convolution; the others have 2, 4 and 4 times as many.
    seed : decides the initial weights; the global random state is left alone.

    Attributes
    ----------
    explain_layer : dotted name of the last layer with positions, the one that Grad-CAM is drawn at: a quarter
        of the image's side (12 x 12 at 48 pixels).
    """

    explain_layer = "features.relu4"

    def __init__(self, classes: int, *, head: str = "gap", width: int = 16, seed: int = 0) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {HEADS}, got {head!r}")
        if classes < 2 or width < 1:
            raise ValueError(f"a network needs at least 2 classes and width 1, got {classes} and {width}")
        self.classes, self.head_name = classes, head
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.features = _features((3, width, 2 * width, 4 * width, 4 * width))
            self.head = _head(head, 4 * width, classes)
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, 3, H, W) in [0, 1], H and W at least 12; they are centred
        here.
        """
        features = self.features((images - 0.5) / 0.25)  # (B, 4 width, H/4, W/4)
        if self.head_name == "gap":
            return self.head(features.mean((2, 3)))
        return self.head(features)


def _features(widths: tuple[int, ...]) -> nn.Sequential:
    layers: dict[str, nn.Module] = {}
    for i, (before, after) in enumerate(pairwise(widths), start=1):
        layers[f"conv{i}"] = nn.Conv2d(before, after, 3, padding=1, bias=False)
        layers[f"norm{i}"] = nn.BatchNorm2d(after)
        layers[f"relu{i}"] = nn.ReLU()
        if i <= 2:
            layers[f"pool{i}"] = nn.MaxPool2d(2)
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    return model


def _head(head: str, width: int, classes: int) -> nn.Module:
    if head == "gap":
        return nn.Linear(width, classes)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(9 * width, width),
        nn.ReLU(),
        nn.Linear(width, classes),
    )
