"""A column of frames kept as bytes."""

from __future__ import annotations

import torch
from torch import Tensor

from data_fetch.fields import Index, Loaded, rows


class Bytes(Loaded):
    """A column kept as uint8, a quarter of the memory; what is asked for comes out as float in [0, 1]."""

    def __init__(self, values: Tensor):
        """values (N, ...) uint8."""
        if values.dtype != torch.uint8:
            raise ValueError(f"a column of bytes needs a uint8 tensor, got {values.dtype}")
        self.values, self.ragged = values, False

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Index | int) -> Tensor:
        return (self.values[index] if isinstance(index, int) else self.take(index).values).float() / 255

    def take(self, index: Index) -> Bytes:
        chosen = torch.tensor(rows(index, len(self)), dtype=torch.long, device=self.values.device)
        return Bytes(self.values[chosen])

    def to(self, device: torch.device | str) -> Bytes:
        return Bytes(self.values.to(device))
