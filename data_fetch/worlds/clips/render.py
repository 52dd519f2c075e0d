"""From what is in each clip to its frames and masks.

The table and everything that stands still are drawn once a clip; each frame adds the shadow, the arm, the moved thing
and the thumb. Everything is drawn with a margin, and each frame is cut out where a slightly unsteady camera looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from data_fetch.worlds.clips import containers, hands
from data_fetch.worlds.clips.actions import CONTAINERS, KINDS, SCRIPT_NAMES
from data_fetch.worlds.clips.casting import Casting
from data_fetch.worlds.clips.motion import Poses
from data_fetch.worlds.clips.stills import REACH, cast_shadows, draw, paint, stills
from data_fetch.worlds.clips.things import EXTENTS
from data_fetch.worlds.raster import Canvas, Pen, Sprite, hashed
from data_fetch.worlds.textures import grain

HAND, THING, FRONT = 1, 2, 3  # owners on the canvas
_BLOCK = 1024  # clips whose tables are drawn together
_CHUNK = 256  # frames drawn together
_WIDEST = 4096  # pixels; no window is as wide
_POINTING = [SCRIPT_NAMES.index(name) for name in ("tap", "nudge")]


@dataclass(frozen=True)
class Rendered:
    """frames (n, T, 3, S, S) uint8; masks, hand_masks (n, T, S, S) bool; centres (n, T, 2) in pixels."""

    frames: Tensor
    masks: Tensor
    hand_masks: Tensor
    centres: Tensor


def render(cast: Casting, frames: int, size: int, noise: float) -> Rendered:
    """Every clip, on the device of `cast`; a clip depends on its own row alone."""
    device, count = cast.seeds.device, len(cast)
    shape = (count, frames, size, size)
    result = Rendered(
        torch.empty(count, frames, 3, size, size, dtype=torch.uint8, device=device),
        torch.empty(shape, dtype=torch.bool, device=device),
        torch.empty(shape, dtype=torch.bool, device=device),
        torch.empty(count, frames, 2, device=device),
    )
    motion = cast.poses(frames)
    for block in torch.arange(count).split(_BLOCK):
        _render_block(result, cast, motion, block, noise)
    return result


def _render_block(result: Rendered, cast: Casting, motion: Poses, block: Tensor, noise: float) -> None:
    frames, size = result.frames.shape[1], result.frames.shape[-1]
    device, margin = cast.seeds.device, max(1, round(size * 0.03))
    plates = stills(cast[block.to(device)], motion[block], size, margin)
    keys = _drawn_alike(cast.moved.cpu()[block], motion.scale[block].amax(1), size, margin)
    for chosen in keys.argsort(stable=True).split(max(1, _CHUNK // frames)):
        rows = block[chosen].to(device)
        here = cast[rows]
        flat = _Flat(motion[block[chosen]], here, size, margin, frames)
        canvas = Canvas(plates[chosen.to(device)].repeat_interleave(frames, 0))
        cast_shadows(canvas.images, flat.x, flat.ground, flat.spread, flat.shade)
        _act(canvas, flat, here, keys[chosen])
        shift = _camera(here, frames, margin).to(device)
        picture = _cut(canvas.images, shift, size) + grain(_frame_seeds(here, frames), size, noise)
        result.frames[rows] = _bytes(picture).view(-1, frames, 3, size, size)
        owner = _cut(canvas.owner[:, None], shift, size).view(-1, frames, size, size)
        result.masks[rows], result.hand_masks[rows] = owner == THING, owner == HAND
        result.centres[rows] = (torch.stack([flat.x, flat.y], 1) - shift).view(-1, frames, 2)


def _bytes(picture: Tensor) -> Tensor:
    return picture.clamp_(0, 1).mul_(255).add_(0.5).to(torch.uint8)


def _drawn_alike(moved: Tensor, scale: Tensor, size: int, margin: int) -> Tensor:
    """(n,) a number for each clip: kind and window of its moved thing; clips with the same one are drawn together."""
    need, step = 2 * REACH[moved] * scale * size + 4, max(4, size // 4)
    windows = ((need / step).ceil() * step).long().clamp(max=size + 2 * margin)
    return moved * _WIDEST + windows


class _Flat:
    """The poses of every frame, (n T,), in pixels of the drawing with its margin."""

    def __init__(self, motion: Poses, cast: Casting, size: int, margin: int, frames: int):
        device = cast.seeds.device
        self.frames = frames
        for name in ("x", "y", "ground", "hand_x", "hand_y"):
            setattr(self, name, getattr(motion, name).to(device).reshape(-1) * size + margin)
        for name in ("angle", "opening", "arm", "grip"):
            setattr(self, name, getattr(motion, name).to(device).reshape(-1))
        lifted = motion.lifted.to(device).reshape(-1)
        self.scale = motion.scale.to(device).reshape(-1) * size
        extents = EXTENTS.to(device)[cast.moved].repeat_interleave(frames, 0)
        half = extents[:, 0] * torch.cos(self.angle).abs() + extents[:, 1] * torch.sin(self.angle).abs()
        self.spread = half * self.scale * (1 + lifted)
        self.shade = 0.5 * (1 - 1.6 * lifted).clamp(min=0.15)
        self.other = {
            "x": motion.other_x.to(device) * size + margin,
            "y": motion.other_y.to(device) * size + margin,
            "scale": motion.other_scale.to(device) * size,
        }
        self.hand_scale = torch.full_like(self.scale, 0.155 * size)

    def hand_seen(self, side: int) -> Tensor:
        """(n T,) bool: a hand that is drawn back further than this lies outside the image, and so does its arm."""
        room = 0.75 * self.hand_scale
        across = (self.hand_x > -room) & (self.hand_x < side + room)
        return across & (self.hand_y > -room) & (self.hand_y < side + room)

    def each(self, value: Tensor) -> Tensor:
        """A number or colour of each clip, for each of its frames."""
        return value.repeat_interleave(self.frames, 0)


def _act(canvas: Canvas, flat: _Flat, cast: Casting, keys: Tensor) -> None:
    """Arm, thing, the front of a container, thumb."""
    numbers = hashed(cast.seeds + 49_979_687, 8)
    skin = flat.each(hands.palette(hands.SKINS, numbers[:, 0]) * (0.92 + 0.12 * numbers[:, 1:2]))
    pointing = flat.each(torch.isin(cast.scripts, torch.tensor(_POINTING, device=skin.device)))
    seen = flat.hand_seen(canvas.images.shape[-1])
    shown, held, poking = (torch.nonzero(chosen)[:, 0] for chosen in (seen, seen & ~pointing, seen & pointing))
    if len(shown):
        canvas.paste(_arm(canvas, flat, shown, skin, numbers), shown, HAND)
    if len(held):
        canvas.paste(_hand(canvas, flat, held, skin, "back"), held, HAND)
    colours = paint(torch.where(cast.swapped, cast.other_colours, cast.colours), cast.seeds)
    colours, keys = flat.each(colours), flat.each(keys.to(skin.device))
    for key in keys.unique().tolist():
        rows = torch.nonzero(keys == key)[:, 0]
        canvas.paste(_thing(canvas, flat, rows, key // _WIDEST, key % _WIDEST, colours[rows]), rows, THING)
    _fronts(canvas, flat, cast)
    if len(held):
        canvas.paste(_hand(canvas, flat, held, skin, "front"), held, HAND)
    if len(poking):
        canvas.paste(_hand(canvas, flat, poking, skin, "point"), poking, HAND)


def _arm(canvas: Canvas, flat: _Flat, rows: Tensor, skin: Tensor, numbers: Tensor) -> Sprite:
    pen = Pen(
        canvas.images.shape[-1], flat.hand_x[rows], flat.hand_y[rows], flat.hand_scale[rows], **_turned(flat.arm[rows])
    )
    numbers = flat.each(numbers)[rows]
    sleeve = hands.palette(hands.SLEEVES, numbers[:, 2])
    hands.forearm(pen, skin[rows], sleeve, numbers[:, 3] < 0.65, -1.5 - 1.1 * numbers[:, 4])
    return pen.sprite()


def _turned(arm: Tensor) -> dict[str, Tensor]:
    """An arm from the right is one from the left in the mirror, so that the thumb stays below."""
    flip = torch.cos(arm) < 0
    return {"angle": torch.where(flip, arm - math.pi, arm), "flip": flip}


def _hand(canvas: Canvas, flat: _Flat, rows: Tensor, skin: Tensor, what: str) -> Sprite:
    side = canvas.images.shape[-1]
    window = min(side, math.ceil(0.155 * side * 3 / 4) * 4)
    place = flat.hand_x[rows], flat.hand_y[rows], flat.hand_scale[rows]
    pen = Pen(window, *place, **_turned(flat.arm[rows]), image=side)
    if what == "back":
        hands.grip_back(pen, skin[rows], flat.grip[rows])
    elif what == "front":
        hands.grip_front(pen, skin[rows], flat.grip[rows])
    else:
        hands.pointing(pen, skin[rows])
    return pen.sprite()


def _thing(canvas: Canvas, flat: _Flat, rows: Tensor, kind: int, window: int, colour: Tensor) -> Sprite:
    place = flat.x[rows], flat.y[rows], flat.scale[rows]
    pen = Pen(window, *place, angle=flat.angle[rows], image=canvas.images.shape[-1])
    draw(pen, kind, colour, flat.opening[rows])
    return pen.sprite()


def _fronts(canvas: Canvas, flat: _Flat, cast: Casting) -> None:
    """The wall of a container, before the thing inside it."""
    for name in CONTAINERS:
        clips = torch.nonzero(cast.still == KINDS.index(name))[:, 0]
        if len(clips):
            x, y, scale = (flat.other[key][clips] for key in ("x", "y", "scale"))
            side = canvas.images.shape[-1]
            pen = Pen(side, x, y, scale)
            containers.container(pen, name, paint(cast.other_colours, cast.seeds + 1)[clips], front_only=True)
            rows = (clips[:, None] * flat.frames + torch.arange(flat.frames, device=clips.device)).reshape(-1)
            canvas.paste(pen.sprite()[torch.arange(len(clips)).repeat_interleave(flat.frames)], rows, FRONT)


# ---------------------------------------- the camera
def _camera(cast: Casting, frames: int, margin: int) -> Tensor:
    """(n T, 2): left and top of each frame in the drawing: a hand-held camera that sways by a pixel or two."""
    numbers = hashed(cast.seeds.cpu() + 122_949_823, 6)
    time = torch.linspace(0, 1, frames)
    waves = torch.stack([numbers[:, k, None] + (0.3 + 0.7 * numbers[:, 2 + k, None]) * time for k in range(2)], -1)
    sway = torch.sin(2 * math.pi * waves) * (0.3 + 0.9 * numbers[:, 4:5, None])
    shift = margin + (margin * sway.clamp(-1, 1)).round().long()
    return torch.where(cast.backward.cpu()[:, None, None], shift.flip(1), shift).reshape(-1, 2)


def _frame_seeds(cast: Casting, frames: int) -> Tensor:
    number = torch.arange(frames, device=cast.seeds.device).expand(len(cast), frames)
    number = torch.where(cast.backward[:, None], number.flip(1), number)
    return (cast.seeds[:, None] * 64 + number).reshape(-1)


def _cut(images: Tensor, shift: Tensor, size: int) -> Tensor:
    """(n, C, S, S): the part of each image that begins at column and row `shift` (n, 2)."""
    count, planes, side = images.shape[:3]
    first = (torch.arange(count, device=images.device) * planes)[:, None] + torch.arange(planes, device=images.device)
    lines = (shift[:, 1, None] + torch.arange(size, device=images.device)) * side + shift[:, :1]
    starts = (first[:, :, None] * (side * side) + lines[:, None]).view(-1)
    runs = images.reshape(-1).as_strided((images.numel() - size + 1, size), (1, 1))
    return runs[starts].view(count, planes, size, size)
