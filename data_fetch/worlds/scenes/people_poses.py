"""Where a person's joints are in each pose, in half heights from the person's centre, facing right."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.worlds.scenes.vocabulary import POSES

Joint = tuple[Tensor, Tensor]
JOINTS = (
    "head", "neck", "hips", "left_shoulder", "left_elbow", "left_hand", "right_shoulder", "right_elbow", "right_hand",
    "left_knee", "left_foot", "right_knee", "right_foot",
)  # fmt: skip
_BODY = {"head": (0.0, 0.765), "neck": (0.0, 0.54), "hips": (0.0, -0.10)}
_ARMS = {
    "left_shoulder": (-0.19, 0.45), "left_elbow": (-0.275, 0.18), "left_hand": (-0.27, -0.10),
    "right_shoulder": (0.19, 0.45), "right_elbow": (0.28, 0.18), "right_hand": (0.29, -0.10),
}  # fmt: skip
_LEGS = {
    "left_knee": (-0.11, -0.52), "left_foot": (-0.13, -0.94), "right_knee": (0.12, -0.52), "right_foot": (0.14, -0.94),
}  # fmt: skip
_CROUCH = {
    "head": (0.12, 0.50), "neck": (0.07, 0.27), "hips": (-0.10, -0.28),
    "left_shoulder": (-0.10, 0.20), "left_elbow": (-0.34, 0.16), "left_hand": (-0.58, 0.30),
    "right_shoulder": (0.22, 0.16), "right_elbow": (0.44, 0.10), "right_hand": (0.66, -0.02),
    "left_knee": (-0.33, -0.54), "left_foot": (-0.30, -0.92), "right_knee": (0.27, -0.48), "right_foot": (0.29, -0.92),
}  # fmt: skip
_ASTRIDE = {
    "head": (0.09, 0.74), "neck": (0.04, 0.50), "hips": (-0.20, -0.16),
    "left_shoulder": (-0.10, 0.38), "left_elbow": (0.16, 0.12), "left_hand": (0.40, -0.12),
    "right_shoulder": (0.11, 0.38), "right_elbow": (0.20, 0.06), "right_hand": (0.43, -0.14),
    "left_knee": (0.10, -0.46), "left_foot": (0.10, -0.78), "right_knee": (0.15, -0.36), "right_foot": (-0.02, -0.84),
}  # fmt: skip
_CHANGES: dict[str, dict[str, tuple[float, float]]] = {
    "stand": {},
    "walk": {
        "left_elbow": (-0.32, 0.20), "left_hand": (-0.40, -0.06), "right_elbow": (0.32, 0.20), "right_hand": (0.48, 0.02),
        "left_knee": (-0.12, -0.50), "left_foot": (-0.36, -0.86), "right_knee": (0.22, -0.50), "right_foot": (0.30, -0.94),
    },
    "ride": _CROUCH,
    "sit": _ASTRIDE,
    "swing": {
        "right_elbow": (0.43, 0.24), "right_hand": (0.60, 0.36), "left_elbow": (-0.40, 0.30), "left_hand": (-0.58, 0.46),
        "left_knee": (-0.22, -0.50), "left_foot": (-0.34, -0.93), "right_knee": (0.24, -0.51), "right_foot": (0.32, -0.94),
    },
    "reach": {
        "right_elbow": (0.38, 0.64), "right_hand": (0.50, 0.88), "left_elbow": (-0.32, 0.20), "left_hand": (-0.40, -0.06),
        "left_knee": (-0.14, -0.52), "left_foot": (-0.20, -0.94),
    },
    "hold": {
        "left_elbow": (-0.29, 0.14), "left_hand": (0.12, 0.02), "right_elbow": (0.34, 0.16), "right_hand": (0.28, -0.04),
    },
    "mouth": {"right_elbow": (0.42, 0.22), "right_hand": (0.22, 0.50)},
    "ear": {"right_elbow": (0.44, 0.32), "right_hand": (0.22, 0.60)},
    "umbrella": {"right_elbow": (0.38, 0.14), "right_hand": (0.25, 0.28)},
    "kick": {
        "neck": (-0.05, 0.54), "head": (-0.03, 0.765), "left_elbow": (-0.40, 0.28), "left_hand": (-0.56, 0.06),
        "right_elbow": (0.36, 0.22), "right_hand": (0.50, 0.06), "left_knee": (-0.12, -0.52), "left_foot": (-0.16, -0.94),
        "right_knee": (0.24, -0.42), "right_foot": (0.46, -0.74),
    },
}  # fmt: skip
_TABLE = torch.tensor([[(_BODY | _ARMS | _LEGS | _CHANGES[pose])[joint] for joint in JOINTS] for pose in POSES])


@dataclass(frozen=True)
class Body:
    """The joints of n persons: `body["left_knee"]` is (u, v), each (n,)."""

    joints: Tensor

    def __getitem__(self, joint: str) -> Joint:
        u, v = self.joints[:, JOINTS.index(joint)].unbind(1)
        return u, v

    def near(self, joint: str, right: float, up: float) -> Joint:
        """A point beside a joint."""
        u, v = self[joint]
        return u + right, v + up


def body(pose: Tensor, sway: Tensor) -> Body:
    """The joints in each pose; `sway` (n,) in [0, 1) bends elbows and knees a little, hands and feet stay."""
    joints = _TABLE.to(sway.device)[pose]
    bend = 0.05 * (sway - 0.5)
    free = torch.tensor([name.endswith(("elbow", "knee")) for name in JOINTS], device=sway.device)
    aside = torch.stack([bend, 0.4 * bend], 1)[:, None]
    return Body(joints + free[:, None] * aside)
