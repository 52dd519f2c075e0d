"""Momentum contrast as one network: encoder, momentum encoder and queue, so that a checkpoint of it holds all three.

He, Fan, Wu, Xie, Girshick, "Momentum Contrast for Unsupervised Visual Representation Learning", arXiv 1911.05722; the
projection of two layers is MoCo v2's (arXiv 2003.04297). GroupNorm instead of BatchNorm: statistics of a batch would
tell a query which key is its own (the paper shuffles the batch between GPUs against that).
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from lessons_lib.models.vision_language_losses import follow


class Encoder(nn.Module):
    """Four convolutions, a global average pool, and a projection to embeddings.

    Parameters
    ----------
    width : channels of the first convolution; the others have 2, 4 and 4 times as many.
    dimension : of the embeddings.  seed : decides the initial weights; the global random state is left alone.

    Attributes
    ----------
    explain_layer : the last layer with positions, a quarter of the image's side: 8 x 8 at 32 pixels.
    """

    explain_layer = "features.relu4"

    def __init__(self, *, width: int = 16, dimension: int = 32, seed: int = 0) -> None:
        super().__init__()
        if width < 1 or dimension < 1:
            raise ValueError(f"width and dimension must be at least 1, got {width} and {dimension}")
        self.channels = 4 * width
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.features, before = nn.Sequential(), 3
            for number, (times, stride) in enumerate(((1, 2), (2, 2), (4, 1), (4, 1)), start=1):
                after = times * width
                self.features.add_module(
                    f"conv{number}", nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
                )
                self.features.add_module(f"norm{number}", nn.GroupNorm(max(1, after // 4), after))
                self.features.add_module(f"relu{number}", nn.ReLU())
                before = after
            self.project = nn.Sequential(
                nn.Linear(self.channels, self.channels), nn.ReLU(), nn.Linear(self.channels, dimension)
            )
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def positions(self, images: Tensor) -> Tensor:
        """(B, channels, H/4, W/4) >= 0 of images (B, 3, H, W) in [0, 1], which are centred here."""
        return self.features((images - 0.5) / 0.25)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings (B, dimension), not normalised."""
        return self.project(self.positions(images).mean((2, 3)))


class MoCo(nn.Module):
    """The encoder, its follower and the keys of earlier batches.

    encoder : the one that learns and is explained.  momentum : a copy, moved by `update` alone, without gradients.
    queue (length, dimension) : a buffer of unit vectors, exchanged by `update`.

    Parameters
    ----------
    queue : the first keys, see `lessons_lib.feedback.cast.new_queue`.
    decay : of `momentum`, once a step.

    Raises
    ------
    ValueError : a decay outside [0, 1), a queue that is not (length, dimension).
    """

    def __init__(self, encoder: nn.Module, queue: Tensor, *, decay: float = 0.99) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        if queue.ndim != 2:
            raise ValueError(f"the queue must be (length, dimension), got {tuple(queue.shape)}")
        self.encoder = encoder
        self.momentum = deepcopy(encoder).requires_grad_(False)
        self.decay = decay
        self.register_buffer("queue", queue.clone())

    @torch.no_grad()
    def keys(self, images: Tensor) -> Tensor:
        """(B, dimension) of the momentum encoder; nothing else of the network changes."""
        return self.momentum(images)

    @torch.no_grad()
    def update(self, queue: Tensor) -> None:
        """The end of a step: the queue with the step's keys takes the place of the old one, the momentum encoder follows once.

        The old queue is left as it is, because the step's backward pass still needs it. The authors' program of CAST moves
        the momentum encoder in each of its two passes, so twice a step.
        """
        if queue.shape != self.queue.shape:
            raise ValueError(f"the queue must stay {tuple(self.queue.shape)}, got {tuple(queue.shape)}")
        self.queue = queue
        follow(self.momentum, self.encoder, self.decay)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings of the encoder."""
        return self.encoder(images)
