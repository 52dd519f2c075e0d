"""Networks for clips: one whose convolutions see neighbouring frames, and one that looks at single frames.

Both take clips (B, T, 3, H, W) in [0, 1], the layout of `data_fetch.fields.Clips.frames`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = ("gap", "time")
VIEWS = ("middle", "all")


class VideoCNN(nn.Module):
    """A convolution within each frame, a 3 x 3 x 3 convolution over time, height and width, and one of two heads.

    Both convolutions have BatchNorm and ReLU; the first halves the sides. A feature sees 3 frames and 8 x 8 pixels,
    so a map drawn at it says where in the clip its evidence lies.

    head "gap": the mean over time, height and width, and one linear layer. All the order that such a network can tell
    is the order within the 3 frames that one feature sees. head "time": the mean over height and width, and one
    linear layer over time x channels, in which every time step has weights of its own: "closed, and later open".

    Parameters
    ----------
    classes : number of logits.
    frames : T, the length of a clip; a network with the head "gap" takes clips of other lengths, too.
    head : "gap" or "time".
    width : channels of the second convolution; the first has half as many.
    seed : decides the initial weights; the global random state is left alone.

    Attributes
    ----------
    explain_layer : dotted name of the layer that Grad-CAM is drawn at; its output is (B, width, T, H / 2, W / 2).
    """

    explain_layer = "features.relu2"

    def __init__(self, classes: int, *, frames: int = 9, head: str = "time", width: int = 20, seed: int = 0) -> None:
        super().__init__()
        if head not in HEADS:
            raise ValueError(f"head must be one of {HEADS}, got {head!r}")
        if classes < 2 or frames < 1 or width < 2:
            raise ValueError(f"at least 2 classes, 1 frame and width 2 are needed, got {classes}, {frames} and {width}")
        self.classes, self.frames, self.head_name = classes, frames, head
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.features = nn.Sequential()
            _add(self.features, 1, nn.Conv3d(3, width // 2, (1, 4, 4), stride=(1, 2, 2), padding=(0, 1, 1), bias=False))
            _add(self.features, 2, nn.Conv3d(width // 2, width, 3, padding=1, bias=False))
            self.head = nn.Linear(width if head == "gap" else width * frames, classes)
        self.to(memory_format=torch.channels_last_3d)  # 3-D convolutions are faster so on CPUs

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (B, classes) of clips (B, T, 3, H, W) in [0, 1], H and W even; they are centred here."""
        check_clips(clips)
        if self.head_name == "time" and clips.shape[1] != self.frames:
            raise ValueError(
                f"this network weights {self.frames} time steps, but the clips have {clips.shape[1]} frames"
            )
        features = self.features(_centred(clips).transpose(1, 2))  # (B, width, T, H/2, W/2)
        if self.head_name == "gap":
            return self.head(features.mean((2, 3, 4)))
        return self.head(features.mean((3, 4)).flatten(1))


class FrameCNN(nn.Module):
    """The same two convolutions without time: the baseline that cannot know the order of the frames.

    view "middle": it looks at the middle frame of an odd number, which is the same in the reversed clip. view "all":
    at every frame, one by one, and the logits are averaged, so that it sees the clip as a set of frames. Either way a
    clip and its reversal get the same logits.

    Parameters
    ----------
    classes, width, seed : as in `VideoCNN`.
    view : "middle" or "all".
    """

    explain_layer = "features.relu2"

    def __init__(self, classes: int, *, view: str = "middle", width: int = 20, seed: int = 0) -> None:
        super().__init__()
        if view not in VIEWS:
            raise ValueError(f"view must be one of {VIEWS}, got {view!r}")
        if classes < 2 or width < 2:
            raise ValueError(f"at least 2 classes and width 2 are needed, got {classes} and {width}")
        self.classes, self.view = classes, view
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.features = nn.Sequential()
            _add(self.features, 1, nn.Conv2d(3, width // 2, 4, stride=2, padding=1, bias=False))
            _add(self.features, 2, nn.Conv2d(width // 2, width, 3, padding=1, bias=False))
            self.head = nn.Linear(width, classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Logits (B, classes) of clips (B, T, 3, H, W) in [0, 1], H and W even, T odd for the middle frame."""
        check_clips(clips)
        batch, count = clips.shape[:2]
        if self.view == "middle":
            if count % 2 == 0:
                raise ValueError(f"a clip of {count} frames has no middle one: an odd number is needed")
            clips, count = clips[:, count // 2, None], 1
        features = self.features(_centred(clips).flatten(0, 1))
        return self.head(features.mean((2, 3))).view(batch, count, -1).mean(1)


def check_clips(clips: Tensor) -> None:
    """Raise when `clips` is not floating point (B, T, 3, H, W) with even H and W.

    Raises
    ------
    TypeError : another type of numbers.  ValueError : another shape.
    """
    if not clips.is_floating_point():
        raise TypeError(f"clips must be floating point in [0, 1], got {clips.dtype}; use clips.float() / 255")
    if clips.ndim != 5 or clips.shape[2] != 3:
        hint = "; add the batch axis with clips[None]" if clips.ndim == 4 else ""
        raise ValueError(f"clips must be (B, T, 3, H, W), got shape {tuple(clips.shape)}{hint}")
    if clips.shape[3] % 2 or clips.shape[4] % 2:
        raise ValueError(f"height and width must be even, got {clips.shape[3]} x {clips.shape[4]}")


def _centred(clips: Tensor) -> Tensor:
    return (clips - 0.5) / 0.25


def _add(features: nn.Sequential, number: int, conv: nn.Conv2d | nn.Conv3d) -> None:
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    features.add_module(f"conv{number}", conv)
    norm = nn.BatchNorm3d if isinstance(conv, nn.Conv3d) else nn.BatchNorm2d
    features.add_module(f"norm{number}", norm(conv.out_channels))
    features.add_module(f"relu{number}", nn.ReLU())
