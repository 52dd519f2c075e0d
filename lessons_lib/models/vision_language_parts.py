"""The parts of the vision-language transformer: convolutional stem, attention, blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def stem(width: int, strides: Sequence[int]) -> nn.Sequential:
    """Convolutions with BatchNorm and ReLU: `width` channels in the last, half as many in the others.

    The kernel is 3 wide for an odd stride and 4 for an even one, padded evenly, so that each token's receptive field is
    centred on its patch. With 3 x 3 kernels and stride 2 it would be centred on the patch's upper left corner, and every
    map would lie half a patch away from what it shows.
    """
    layers: list[nn.Module] = []
    before = 3
    for number, stride in enumerate(strides):
        after = width if number else width // 2
        kernel = 3 if stride % 2 else 4
        padding = (kernel - stride) // 2
        layers += [nn.Conv2d(before, after, kernel, stride, padding, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
        before = after
    return nn.Sequential(*layers)


class Attention(nn.Module):
    """Multi-head attention as written: softmax(Q K^T / sqrt(d)) V, the probabilities (R, heads, L, N) in the graph."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = nn.Dropout(dropout)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self, states: Tensor, others: Tensor | None = None, blocked: Tensor | None = None, rows: Tensor | None = None
    ) -> Tensor:
        """New states (R, L, D).

        Parameters
        ----------
        states (R, L, D) : what looks.  others (B, N, D) : what is looked at; default: `states` themselves.
        blocked : bool, broadcast to (R, heads, L, N): keys that are not looked at.
        rows (R,) : the row of `others` that each row of `states` looks at; default: the same row.
        """
        others = states if others is None else others
        query, key, value = (
            self._split(self.query(states)),
            self._split(self.key(others)),
            self._split(self.value(others)),
        )
        if rows is not None:
            key, value = key[rows], value[rows]
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        if blocked is not None:
            scores = scores.masked_fill(blocked, torch.finfo(scores.dtype).min)
        mixed = self.dropout(torch.softmax(scores, dim=-1)) @ value
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, states: Tensor) -> Tensor:
        return states.unflatten(2, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Sequential):
    """Two linear layers with a GELU between them, twice as wide in the middle."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


class Block(nn.Module):
    """A pre-norm block: self-attention and a feed-forward layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.self_attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.feed_forward = nn.LayerNorm(width), FeedForward(width)

    def forward(self, states: Tensor, blocked: Tensor | None = None) -> Tensor:
        states = states + self.self_attention(self.norm1(states), blocked=blocked)
        return states + self.feed_forward(self.norm2(states))


class FusionBlock(nn.Module):
    """A pre-norm block with cross-attention to the image between self-attention and feed-forward layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.self_attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm2, self.cross = nn.LayerNorm(width), Attention(width, heads)
        self.norm3, self.feed_forward = nn.LayerNorm(width), FeedForward(width)

    def forward(self, states: Tensor, image: Tensor, blocked: Tensor | None, rows: Tensor | None) -> Tensor:
        states = states + self.self_attention(self.norm1(states), blocked=blocked)
        states = states + self.cross(self.norm2(states), image, rows=rows)
        return states + self.feed_forward(self.norm3(states))
