"""Draws people: whole figures in the poses of the activities, as they would be seen from across a room."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.worlds.raster import Pen, joined, within, without
from data_fetch.worlds.scenes import things_base
from data_fetch.worlds.scenes.insets import inset
from data_fetch.worlds.scenes.people_poses import Body, Joint, body
from data_fetch.worlds.scenes.vocabulary import CLOTHES, HAIR, HAIR_COLOURS, POSES

PARTS = ("head", "hair", "torso", "arms", "legs", "hat")
HEAD, HAIRS, TORSO, ARMS, LEGS, HAT = range(1, 7)
STYLES = ("photo", "flat", "night", "sketch")
_SKIN = ((0.98, 0.84, 0.74), (0.88, 0.68, 0.52), (0.63, 0.43, 0.29), (0.36, 0.23, 0.16))
_DYES = {  # of HAIR_COLOURS
    "black": (0.10, 0.09, 0.09), "brown": (0.38, 0.23, 0.13), "blond": (0.91, 0.75, 0.42), "red": (0.70, 0.31, 0.12),
    "grey": (0.68, 0.68, 0.69),
}  # fmt: skip
_CLOTHS = ((0.20, 0.28, 0.46), (0.17, 0.17, 0.20), (0.56, 0.48, 0.36), (0.34, 0.40, 0.52))  # trousers
_WOOL = ((0.80, 0.20, 0.22), (0.20, 0.34, 0.58), (0.92, 0.82, 0.42), (0.26, 0.46, 0.36))
_SHADOW = (0.02, -0.975, 0.34, 0.045)


@dataclass(frozen=True)
class Look:
    """How n persons look: cues that are seen, not what anybody would call the person.

    hair, hair_colour, clothes (n,) int64, numbers of HAIR, HAIR_COLOURS, CLOTHES.  colour (n, 3) in [0, 1], of the
    clothes.  beard, back (n,) bool: seen from behind.  skin (n,) in [0, 1], light to dark.  vary (n, 4) in [0, 1):
    trousers, sleeves, what hides the hair, sway.
    """

    hair: Tensor
    hair_colour: Tensor
    clothes: Tensor
    colour: Tensor
    beard: Tensor
    back: Tensor
    skin: Tensor
    vary: Tensor

    def wears(self, name: str) -> Tensor:
        return self.clothes == CLOTHES.index(name)

    def haired(self, name: str) -> Tensor:
        return self.hair == HAIR.index(name)


def skin_tone(skin: Tensor) -> Tensor:
    """(n, 3): the colour of the skin, from light (0) to dark (1)."""
    table = torch.tensor(_SKIN, device=skin.device)
    place = skin.clamp(0, 1) * (len(_SKIN) - 1)
    low = place.long().clamp(max=len(_SKIN) - 2)
    return torch.lerp(table[low], table[low + 1], (place - low)[:, None])


def draw(pen: Pen, pose: Tensor, look: Look, style: str = "photo") -> None:
    """Draw n persons, who face right unless the pen is flipped, in any mixture of poses.

    The pen's origin is the middle of the person and its unit half the height: the soles are at v = -1, the top of
    the head of who stands upright is at v = 1. Hands are where `ACTIVITIES` puts the thing that they hold; the line
    of a kite and the leash of a dog are drawn here and belong to no part. Parts are numbers of `PARTS` from 1.

    Parameters
    ----------
    pose : (n,) int64, numbers of `POSES`.
    style : "photo"; "flat" is a cartoon without light; "night" and "sketch" are drawn like "photo" and changed later.

    Raises
    ------
    ValueError : an unknown style, or a tensor of the wrong shape.
    """
    _check(pen, pose, look, style)
    joints = body(pose, look.vary[:, 3])
    skin, hair = skin_tone(look.skin), _dye(look)
    limbs = [joints[name] for name in ("hips", "left_knee", "left_foot", "right_knee", "right_foot")]
    with inset(pen, _middle(limbs, right=0.10), (0.50, 0.55)) as part:
        _legs(part, joints, look, skin)
        _below(part, joints, look)
    with inset(pen, joints.near("hips", 0.06, 0.20), (0.36, 0.54)) as part:
        _torso(part, joints, look, skin)
    for side in ("left", "right"):
        ends = [joints[f"{side}_{name}"] for name in ("shoulder", "elbow", "hand")]
        with inset(pen, _middle(ends), (0.36, 0.42)) as part:
            _arm(part, ends, look, skin)
    with inset(pen, joints.near("head", -0.01, -0.04), (0.25, 0.34)) as part:
        _head(part, joints, look, skin, hair)
        _hat(part, joints, look)
    finish = things_base.Look(look.colour, pose, look.vary, style == "flat")
    things_base.finish(pen, finish, _SHADOW)
    _lines(pen, pose, joints)


def _check(pen: Pen, pose: Tensor, look: Look, style: str) -> None:
    if style not in STYLES:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    shapes = {"colour": (3,), "vary": (4,)}
    for name, value in {"pose": pose, **vars(look)}.items():
        shape = (len(pen), *shapes.get(name, ()))
        if value.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {tuple(value.shape)}")


def _dye(look: Look) -> Tensor:
    table = torch.tensor([_DYES[name] for name in HAIR_COLOURS], device=look.skin.device)
    return table[look.hair_colour] * (0.92 + 0.16 * look.vary[:, 1:2])


def _middle(points: list[Joint], right: float = 0.0) -> Joint:
    """The middle of the box around the points, which may reach further on the right."""
    u, v = (torch.stack(axis) for axis in zip(*points))
    return (u.amin(0) + u.amax(0) + right) / 2, (v.amin(0) + v.amax(0)) / 2


def _lines(pen: Pen, pose: Tensor, joints: Body) -> None:
    """The line of the kite and the leash of the dog: thin paint that belongs to no part."""
    for name, end in (("reach", (1.05, 1.22)), ("walk", (1.02, -0.52))):
        rows = torch.nonzero(pose == POSES.index(name))[:, 0]
        if len(rows):
            some = copy.copy(pen)
            some.u, some.v, some.scale = pen.u[rows], pen.v[rows], pen.scale[rows]
            some.colours, some.parts = pen.colours[rows], pen.parts[rows]
            u, v = joints["right_hand"]
            line = some.stroke([(u[rows], v[rows]), end], 0.0) - 0.25  # a pixel wide, whatever the scale
            some.fill(line, (0.28, 0.25, 0.24), opacity=0.8)
            pen.colours[rows] = some.colours


def _legs(pen: Pen, joints: Body, look: Look, skin: Tensor) -> None:
    cloths = torch.tensor(_CLOTHS, device=skin.device)
    trousers = cloths[(look.vary[:, 0] * len(_CLOTHS)).long()]
    bare = look.wears("dress") | look.wears("skirt")
    colour = torch.where(bare[:, None], skin, trousers)
    width = torch.where(bare, 0.14, 0.185)
    shoes = torch.where((look.vary[:, 3:4] < 0.35), 0.86, 0.16).expand(-1, 3)
    for side, shade in (("left", 0.84), ("right", 1.0)):
        hip = joints.near("hips", -0.085 if side == "left" else 0.085, -0.02)
        limb = pen.stroke([hip, joints[f"{side}_knee"], joints[f"{side}_foot"]], width)
        pen.fill(limb, colour * shade, LEGS)
    soles = (joints.near(f"{side}_foot", 0.04, -0.012) for side in ("left", "right"))
    pen.fill(joined(*(pen.ellipse(spot, (0.125, 0.058)) for spot in soles)), shoes, LEGS)


def _torso(pen: Pen, joints: Body, look: Look, skin: Tensor) -> None:
    left, right, hips, neck = (joints[j] for j in ("left_shoulder", "right_shoulder", "hips", "neck"))
    pen.fill(pen.stroke([joints.near("neck", 0.0, -0.06), joints["head"]], 0.13), skin * 0.88, HEAD)
    (u, v), (x, y) = neck, hips
    sides = [(left[0] - 0.02, left[1] + 0.01), (u - 0.08, v + 0.015), (u + 0.08, v + 0.015)]
    sides += [(right[0] + 0.02, right[1] + 0.01), (x + 0.155, y - 0.05), (x - 0.155, y - 0.05)]
    chest = pen.polygon(sides)
    pen.fill(chest, look.colour, TORSO)
    coat = look.wears("coat")
    middle = (neck[0] + 0.02, neck[1] - 0.02), (hips[0] + 0.03, hips[1] - 0.28)
    pen.fill(pen.stroke(middle, 0.035), look.colour * 0.5, TORSO, when=coat & ~look.back)
    pen.fill(pen.box((hips[0], hips[1] + 0.10), (0.185, 0.032)), look.colour * 0.6, TORSO, when=coat)
    collar = pen.ellipse((neck[0] + 0.02, neck[1] + 0.01), (0.085, 0.07))
    pen.fill(collar, torch.where(coat[:, None], look.colour * 0.6, skin), TORSO, when=~look.back)


def _below(pen: Pen, joints: Body, look: Look) -> None:
    """What of a dress, a skirt or a coat hangs from the waist: along the thighs, wherever they point."""
    hips, left, right = joints["hips"], joints["left_knee"], joints["right_knee"]
    along = ((left[0] + right[0]) / 2 - hips[0], (left[1] + right[1]) / 2 - hips[1])
    length = (along[0].square() + along[1].square()).sqrt()
    along = (along[0] / length, along[1] / length)
    coat, skirt, dress = (look.wears(name) for name in ("coat", "skirt", "dress"))
    spread = ((left[0] - right[0]).square() + (left[1] - right[1]).square()).sqrt() / 2
    hem = (torch.where(coat, 0.235, 0.30) + 0.5 * (spread - 0.12).clamp(0, 0.2)) * (0.4 - 0.6 * along[1])
    reach = torch.where(coat, 0.30, torch.where(skirt, 0.36, 0.46))
    rise = torch.where(skirt, 0.03, 0.06)
    waist = torch.where(coat, 0.18, 0.155)
    start, end = ((hips[0] + along[0] * d, hips[1] + along[1] * d) for d in (-rise, reach))
    corners = [(p[0] + side * w * along[1], p[1] - side * w * along[0])
               for p, w, side in ((start, waist, 1), (start, waist, -1), (end, hem, -1), (end, hem, 1))]  # fmt: skip
    colour = torch.where(skirt[:, None], look.colour * 0.52 + 0.04, look.colour * 0.94)
    pen.fill(pen.polygon(corners), colour, TORSO, when=coat | skirt | dress)


def _arm(pen: Pen, ends: list[Joint], look: Look, skin: Tensor) -> None:
    shoulder, elbow, hand = ends
    bare = ~look.wears("coat") & ((look.vary[:, 1] < 0.6) | look.wears("dress"))
    sleeve = look.colour * 0.84
    pen.fill(pen.stroke([shoulder, elbow], 0.14), sleeve, ARMS)
    pen.fill(pen.stroke([elbow, hand], 0.115), torch.where(bare[:, None], skin * 0.95, sleeve), ARMS)
    pen.fill(pen.ellipse(hand, 0.072), skin, ARMS)


def _head(pen: Pen, joints: Body, look: Look, skin: Tensor, hair: Tensor) -> None:
    u, v = joints["head"]
    grown = ~(look.haired("bald") | look.haired("hidden"))
    locks = pen.box((u - 0.01, v - 0.10), (0.20, 0.24), round=0.12)
    locks = torch.where(look.back[:, None, None], locks, without(locks, pen.box((u + 0.03, v - 0.26), (0.085, 0.12))))
    pen.fill(locks, hair * 0.86, HAIRS, when=look.haired("long"))
    pen.fill(pen.ellipse((u - 0.155, v + 0.16), (0.115, 0.100)), hair * 0.9, HAIRS, when=look.haired("bun"))
    face = pen.ellipse((u + 0.01, v - 0.01), (0.155, 0.195))
    pen.fill(face, skin, HEAD)
    crown = pen.ellipse((u - 0.01, v + 0.03), (0.182, 0.20))
    nape = within(crown, pen.half((0.0, v - 0.12), (0.0, -1.0)))
    behind = torch.where(look.haired("long")[:, None, None], joined(crown, locks), nape)
    pen.fill(behind, hair, HAIRS, when=grown & look.back)
    _face(pen, u, v, look, skin, hair, face)
    brow = pen.ellipse((u + 0.045, v - 0.055), (0.155, 0.165))  # the hair ends around the face
    cap = within(crown, -brow, pen.half((0.0, v - 0.02), (0.0, -1.0)))
    pen.fill(cap, hair, HAIRS, when=grown & ~look.back)
    stubble = within(face, pen.half((u, v + 0.07), (0.25, -1.0)))
    pen.fill(stubble, torch.lerp(skin, hair, 0.4) * 0.9, opacity=0.55, when=look.haired("bald"))


def _face(pen: Pen, u: Tensor, v: Tensor, look: Look, skin: Tensor, hair: Tensor, face: Tensor) -> None:
    seen = ~look.back
    chin = within(face, pen.half((0.0, v - 0.055), (0.0, 1.0)))
    pen.fill(chin, hair * 0.95, HAIRS, when=seen & look.beard)
    eyes = joined(
        pen.ellipse((u - 0.030, v + 0.005), (0.026, 0.034)), pen.ellipse((u + 0.090, v + 0.005), (0.026, 0.034))
    )
    pen.fill(eyes, (0.10, 0.08, 0.08), HEAD, when=seen)
    mouth = pen.box((u + 0.035, v - 0.105), (0.045, 0.014))
    lips = torch.lerp(skin, skin.new_tensor((0.62, 0.20, 0.20)), 0.6)
    pen.fill(mouth, lips, HEAD, when=seen)


def _hat(pen: Pen, joints: Body, look: Look) -> None:
    """What hides the hair: a hood of the coat, or a woollen hat over the ears."""
    u, v = joints["head"]
    hood = look.haired("hidden") & (look.vary[:, 2] < 0.5)
    wool = look.haired("hidden") & ~hood
    shell = pen.ellipse((u - 0.01, v), (0.205, 0.235))
    opening = pen.ellipse((u + 0.04, v - 0.025), (0.13, 0.165))
    cloth = look.colour * 0.72
    ring = torch.where(look.back[:, None, None], shell, within(shell, -opening))
    pen.fill(ring, cloth, HAT, when=hood)
    dome = within(pen.ellipse((u - 0.005, v + 0.035), (0.185, 0.20)), pen.half((0.0, v + 0.05), (0.0, -1.0)))
    behind = within(shell, pen.half((0.0, v - 0.10), (0.0, -1.0)))
    tone = torch.tensor(_WOOL, device=u.device)[(look.vary[:, 2] * 8).long() % len(_WOOL)]
    pen.fill(torch.where(look.back[:, None, None], behind, dome), tone, HAT, when=wool)
    pen.fill(pen.box((u - 0.005, v + 0.075), (0.182, 0.038), round=0.03), tone * 0.72 + 0.02, HAT, when=wool)
