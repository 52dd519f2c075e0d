"""A hand and its forearm: u from the wrist to the fingertips, thumb and forefinger meet at the origin."""

from __future__ import annotations

import torch
from torch import Tensor

from data_fetch.worlds.raster import Pen

SKINS = ((0.98, 0.84, 0.74), (0.93, 0.74, 0.60), (0.82, 0.61, 0.44), (0.66, 0.45, 0.30), (0.48, 0.31, 0.21),
         (0.34, 0.22, 0.16))  # fmt: skip
SLEEVES = ((0.20, 0.28, 0.48), (0.72, 0.20, 0.22), (0.86, 0.86, 0.84), (0.24, 0.24, 0.26), (0.34, 0.50, 0.36),
           (0.90, 0.72, 0.30), (0.52, 0.40, 0.60))  # fmt: skip
FOREARM, PALM, SLEEVE = 1, 1, 2


def forearm(pen: Pen, skin: Tensor, sleeve: Tensor, sleeved: Tensor, cuff: Tensor) -> None:
    """The arm behind the hand, up to far outside the image; `cuff` (n,) is where a sleeve ends (u)."""
    arm = pen.polygon([(-0.9, 0.33), (-0.9, -0.33), (-8.0, -1.0), (-8.0, 1.0)])
    pen.fill(arm, skin, FOREARM, outline=skin * 0.6)
    cloth = pen.polygon([(cuff, 0.52 + 0 * cuff), (cuff, -0.52 + 0 * cuff), (-8.0, -1.25), (-8.0, 1.25)])
    pen.fill(cloth, sleeve, SLEEVE, when=sleeved, outline=sleeve * 0.55)
    pen.fill(pen.stroke([(cuff - 0.16, 0.46 + 0 * cuff), (cuff - 0.16, -0.46 + 0 * cuff)], 0.1), sleeve * 0.6,
             opacity=0.7, when=sleeved)  # fmt: skip


def grip_back(pen: Pen, skin: Tensor, grip: Tensor) -> None:
    """Palm and fingers, which lie behind the thing that is held. grip (n,): 0 open, 1 closed."""
    edge, spread = skin * 0.55, (1 - grip) * 0.22
    for k, (v, tip, reach) in enumerate(((0.40, 0.36, 0.10), (0.30, 0.30, 0.30), (0.14, 0.16, 0.40))):
        knuckle = (-0.1 + 0 * grip, v + 0.10 + spread * 0.6)
        end = (reach + 0.12 - 0.10 * grip, tip - 0.16 * grip + spread)
        finger = pen.stroke([(-0.6, v * 0.8), knuckle, end], 0.22 - 0.01 * k)
        pen.fill(finger, skin * (0.86 + 0.05 * k), PALM, outline=edge, width=0.8)
    palm = pen.ellipse((-0.72, 0.0), (0.46, 0.42))
    pen.fill(palm, skin, PALM, outline=edge)
    pen.fill(pen.box((-0.98, 0.0), (0.2, 0.3), round=0.1), skin, PALM)


def grip_front(pen: Pen, skin: Tensor, grip: Tensor) -> None:
    """The thumb, which lies before the thing."""
    drop = (1 - grip) * 0.2
    joint, end = (-0.3 + 0 * grip, -0.36 - drop * 0.5), (0.14 - 0.5 * drop, -0.10 - drop)
    pen.fill(pen.stroke([(-0.74, -0.14), joint, end], 0.24), skin, PALM, outline=skin * 0.55)
    pen.fill(pen.ellipse((0.1 - 0.5 * drop, -0.08 - drop), (0.09, 0.06)), skin + (1 - skin) * 0.45, opacity=0.8)


def pointing(pen: Pen, skin: Tensor) -> None:
    """A fist with the forefinger stretched out; its tip is at the origin."""
    edge = skin * 0.55
    pen.fill(pen.stroke([(-0.75, 0.16), (-0.12, 0.0)], 0.22), skin, PALM, outline=edge)
    pen.fill(pen.ellipse((-0.06, 0.0), (0.08, 0.06)), skin + (1 - skin) * 0.45, opacity=0.8)
    pen.fill(pen.ellipse((-0.88, -0.04), (0.40, 0.42)), skin, PALM, outline=edge)
    for v in (0.02, -0.16, -0.32):
        pen.fill(pen.ellipse((-0.58, v), (0.16, 0.10)), skin * 0.93, PALM, outline=edge, width=0.7)
    pen.fill(pen.stroke([(-1.0, -0.2), (-0.62, -0.12)], 0.2), skin, PALM, outline=edge, width=0.7)
    pen.fill(pen.box((-1.1, 0.0), (0.18, 0.3), round=0.1), skin, PALM)


def palette(colours: tuple, share: Tensor) -> Tensor:
    """(n, 3) the colour that a random number in [0, 1) means."""
    table = torch.tensor(colours, device=share.device)
    return table[(share * len(colours)).long().clamp(max=len(colours) - 1)]
