"""Batched, anti-aliased drawing in torch: a `Pen` draws one kind of thing for n images at once, a `Canvas` stacks them.

A thing is drawn by a function of a pen: ellipses, boxes, polygons, strokes, one after another, back to front. Its
coordinates are the thing's own: u to the right, v up, about -1 to 1. What varies from image to image (place, size,
turn, colours, an open mouth) is a tensor (n,). The result is a `Sprite`: colours, opacity, and for every pixel the
part that lies on top. Everything runs on whole batches of planes, on the CPU as on a GPU.

A pixel belongs to the topmost part that covers its centre: masks are exact, and the edges of the colours blend over
one pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

Number = float | Tensor  # the same for every image, or (n,): one value an image
Colour = Sequence[float] | Tensor  # (r, g, b), (n, 3), or (n, 3, H, W); 0 to 1
Point = tuple[Number, Number]


@dataclass(frozen=True)
class Sprite:
    """n drawn things, each in its own window of the image.

    colours (n, 4, W, W) : RGB times opacity, and opacity.  parts (n, W, W) uint8 : the part on top, 0 for none.
    x, y (n,) int64 : the window's left column and top row in the image.
    """

    colours: Tensor
    parts: Tensor
    x: Tensor
    y: Tensor

    def __getitem__(self, rows: Tensor) -> Sprite:
        return Sprite(self.colours[rows], self.parts[rows], self.x[rows], self.y[rows])

    @property
    def size(self) -> int:
        return self.parts.shape[-1]


class Pen:
    """Draws one kind of thing for n images.

    Attributes
    ----------
    u (n, 1, W) or (n, W, W), v (n, W, 1) or (n, W, W) : the coordinates of each pixel's centre.
    scale (n, 1, 1) : pixels for one unit.
    """

    def __init__(
        self,
        window: int,
        x: Tensor,
        y: Tensor,
        scale: Tensor,
        *,
        angle: Tensor | None = None,
        flip: Tensor | None = None,
        image: int | None = None,
        into: tuple[Tensor, Tensor] | None = None,
    ):
        """Put the origin of n things at the pixels (x, y) of the image, x to the right and y down.

        Parameters
        ----------
        window : side of the square that is drawn, in pixels; the part of a thing outside of it is cut off.
        x, y, scale : (n,); a unit is `scale` pixels long.
        angle : (n,), radians, anti-clockwise; None is upright, which is faster.
        flip : (n,) bool, mirrored left to right.
        image : side of the image: the window is centred on the origin, but kept inside the image. None: the
            window is the image.
        into : zeros (n, 4, W, W) float and (n, W, W) uint8 to draw in: parts of larger tensors that hold the sprites
            of several kinds. None: new ones.
        """
        if window < 1 or (image is not None and image < window):
            raise ValueError(f"a window of at least 1 pixel that fits the image is needed, got {window} in {image}")
        for name, value in (("x", x), ("y", y), ("scale", scale)):
            if value.ndim != 1 or len(value) != len(x):
                raise ValueError(f"{name} must have shape ({len(x)},), got {tuple(value.shape)}")
        left, top = torch.zeros_like(x), torch.zeros_like(y)
        if image is not None:
            left = (x - window / 2).round().clamp(0, image - window)
            top = (y - window / 2).round().clamp(0, image - window)
        self.left, self.top, self.window = left.long(), top.long(), window
        axis = torch.arange(window, device=x.device) + 0.5
        right = (axis - (x - left)[:, None])[:, None, :] / scale[:, None, None]  # (n, 1, W)
        up = ((y - top)[:, None] - axis)[:, :, None] / scale[:, None, None]  # (n, W, 1)
        if angle is not None:
            cosine, sine = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
            right, up = cosine * right + sine * up, cosine * up - sine * right
        if flip is not None:
            right = torch.where(flip[:, None, None], -right, right)
        self.u, self.v, self.scale = right, up, scale[:, None, None]
        self.colours, self.parts = empty_sprites(len(x), window, x.device) if into is None else into

    def __len__(self) -> int:
        return len(self.parts)

    def sprite(self) -> Sprite:
        """What was drawn."""
        return Sprite(self.colours, self.parts, self.left, self.top)

    # ------------------------------------ shapes: (n, W, W), distance to the outline in pixels, below 0 inside
    def ellipse(self, centre: Point, radii: Point | float, angle: Number | None = None) -> Tensor:
        """An ellipse with the half axes `radii`, turned by `angle` (radians, anti-clockwise)."""
        rx, ry = radii if isinstance(radii, tuple) else (radii, radii)
        a, b = self._local(centre, angle)
        rx, ry = _plane(rx), _plane(ry)
        a, b = a / rx, b / ry
        reach = self.scale * (2 * rx * ry / (rx + ry))  # exact on a circle; on an ellipse the inside is exact
        return (a.square() + b.square()).sqrt_().sub_(1).mul_(reach)

    def ring(self, centre: Point, radii: Point | float, width: Number, angle: Number | None = None) -> Tensor:
        """The line of an ellipse, `width` wide."""
        return self.ellipse(centre, radii, angle).abs_().sub_(self.scale * _plane(width) / 2)

    def box(self, centre: Point, half: Point, angle: Number | None = None, round: float = 0.0) -> Tensor:
        """A rectangle with half the width and height `half`; `round` is the radius of its corners."""
        a, b = self._local(centre, angle)
        a, b = a.abs() - (_plane(half[0]) - round), b.abs() - (_plane(half[1]) - round)
        flat = torch.maximum(a, b)
        if round:
            corner = (a.clamp(min=0).square() + b.clamp(min=0).square()).sqrt_()
            flat = torch.where(flat > 0, corner, flat).sub_(round)
        return flat.mul_(self.scale)

    def polygon(self, points: Sequence[Point]) -> Tensor:
        """A convex polygon; its corners in either direction around. `joined` makes others of several.

        Raises
        ------
        ValueError : fewer than three corners, or fixed corners that are not convex.
        """
        sign = _orientation(points)
        distance = None
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]]):
            dx, dy = _minus(x1, x0), _minus(y1, y0)
            length = _hypot(dx, dy)
            nx, ny = _plane(sign * dy / length), _plane(-sign * dx / length)
            side = self.u * nx + (self.v * ny - (_plane(x0) * nx + _plane(y0) * ny))
            distance = side if distance is None else torch.maximum(distance, side)
        return distance * self.scale

    def stroke(self, points: Sequence[Point], width: Number, closed: bool = False) -> Tensor:
        """A line through the points with round ends, `width` wide."""
        if len(points) < 2:
            raise ValueError(f"a stroke needs at least two points, got {len(points)}")
        ends = [*points, points[0]] if closed else list(points)
        nearest = None
        for (x0, y0), (x1, y1) in pairwise(ends):
            dx, dy = _minus(x1, x0), _minus(y1, y0)
            square = dx * dx + dy * dy
            if not isinstance(square, Tensor) and square == 0:
                raise ValueError(f"two points of a stroke that follow each other are the same: {(x0, y0)}")
            a, b = self.u - _plane(x0), self.v - _plane(y0)
            along = (a * _plane(dx / square) + b * _plane(dy / square)).clamp_(0, 1)
            found = (a - along * _plane(dx)).square_().add_((b - along * _plane(dy)).square_())
            nearest = found if nearest is None else torch.minimum(nearest, found)
        return nearest.sqrt_().sub_(_plane(width) / 2).mul_(self.scale)

    def half(self, point: Point, direction: Point) -> Tensor:
        """The half plane behind `point`: what lies in `direction` is outside."""
        nx, ny = direction
        length = _hypot(nx, ny)
        a, b = self.u - _plane(point[0]), self.v - _plane(point[1])
        return (a * _plane(nx / length) + b * _plane(ny / length)) * self.scale

    def _local(self, centre: Point, angle: Number | None) -> tuple[Tensor, Tensor]:
        a, b = self.u - _plane(centre[0]), self.v - _plane(centre[1])
        if angle is None:
            return a, b
        if isinstance(angle, Tensor):
            cosine, sine = _plane(torch.cos(angle)), _plane(torch.sin(angle))
        else:
            cosine, sine = math.cos(angle), math.sin(angle)
        return a * cosine + b * sine, b * cosine - a * sine

    # ------------------------------------ paint
    def fill(
        self,
        shape: Tensor,
        colour: Colour,
        part: int = 0,
        *,
        opacity: Number = 1.0,
        when: Tensor | None = None,
        outline: Colour | None = None,
        width: float = 1.0,
    ) -> None:
        """Paint the inside of a shape.

        Parameters
        ----------
        shape : distance to its outline in pixels, (n, W, W) or what broadcasts to it.
        part : 1 to 255; 0 is paint that belongs to no part, such as a shadow or a gleam.
        opacity : 0 to 1.
        when : (n,) bool, the images in which it is painted.
        outline : colour of a line around it, `width` pixels wide, half of it outside; it belongs to the part.
        """
        if outline is not None:
            self.fill(shape - width / 2, outline, part, opacity=opacity, when=when)
            shape = shape + width / 2
        cover = (0.5 - shape).clamp_(0, 1)
        if when is not None:
            cover = cover * when[:, None, None]
        if part:
            inside = (cover > 0.5).view(torch.uint8)  # arithmetic: several times as fast as masked_fill_
            self.parts.mul_(1 - inside).add_(inside, alpha=part)
        if isinstance(opacity, Tensor) or opacity != 1:
            cover = cover * _plane(opacity)
        self.colours.lerp_(self._rgba(colour), cover[:, None])

    def shade(self, toward: Point, amount: float) -> None:
        """Make what was drawn lighter in the direction `toward` and darker away from it, by up to `amount` a unit."""
        length = _hypot(*toward)
        light = self.u * (amount * toward[0] / length) + (self.v * (amount * toward[1] / length) + 1)
        self.colours[:, :3].mul_(light.clamp(0.3, 1.7)[:, None])
        torch.minimum(self.colours[:, :3], self.colours[:, 3:], out=self.colours[:, :3])

    def _rgba(self, colour: Colour) -> Tensor:
        if not isinstance(colour, Tensor):
            return _paint(tuple(colour), self.parts.device)
        colour = colour[:, :, None, None] if colour.ndim == 2 else colour
        return torch.cat([colour, torch.ones_like(colour[:, :1])], 1)


def empty_sprites(count: int, window: int, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Colours (n, 4, W, W) and parts (n, W, W) of sprites on which nothing is drawn yet."""
    colours = torch.zeros(count, 4, window, window, device=device)
    return colours, torch.zeros(count, window, window, dtype=torch.uint8, device=device)


def joined(*shapes: Tensor) -> Tensor:
    """The union of shapes."""
    result = shapes[0]
    for shape in shapes[1:]:
        result = torch.minimum(result, shape)
    return result


def within(*shapes: Tensor) -> Tensor:
    """Where the shapes overlap."""
    result = shapes[0]
    for shape in shapes[1:]:
        result = torch.maximum(result, shape)
    return result


def without(shape: Tensor, hole: Tensor) -> Tensor:
    """A shape with a hole cut out."""
    return torch.maximum(shape, -hole)


def mix(low: Colour, high: Colour, share: Tensor) -> Tensor:
    """(n, 3, H, W): from one colour to another, `share` (n, H, W) of the way, kept within 0 to 1."""
    low, high = (_image(c, share.device) for c in (low, high))
    return torch.lerp(low, high, share.clamp(0, 1)[:, None])


class Canvas:
    """N square images, and for each of their pixels what lies on top: `images` (N, 3, S, S) float, painted in place."""

    def __init__(self, images: Tensor):
        self.images = images
        shape = (len(images), images.shape[-2], images.shape[-1])
        self._top = torch.zeros(shape, dtype=torch.int16, device=images.device)

    @property
    def owner(self) -> Tensor:
        """(N, S, S) uint8: the thing pasted last on each pixel, 0 for none."""
        return (self._top >> 8).to(torch.uint8)

    @property
    def part(self) -> Tensor:
        """(N, S, S) uint8: the part of the owner that lies on top, 0 for none."""
        return (self._top & 255).to(torch.uint8)

    def paste(self, sprite: Sprite, rows: Tensor, owner: int | Tensor) -> None:
        """Lay the sprites over the images `rows` (n,), all different; `owner` is a number, or (n,), 1 to 127.

        Raises
        ------
        ValueError : another number of rows than of sprites, or a row twice.
        """
        count, size, side = len(rows), sprite.size, self.images.shape[-1]
        if count != len(sprite.parts) or len(rows.unique()) != count:
            raise ValueError(f"{len(sprite.parts)} sprites need as many different rows, got {rows.tolist()}")
        first = sprite.y * side + sprite.x  # where in its plane a window begins
        lines = torch.arange(size, device=rows.device) * side
        plane = (rows[:, None] * 3 + torch.arange(3, device=rows.device)) * (side * side)
        starts = (plane[:, :, None] + first[:, None, None] + lines).view(-1)
        runs = _runs(self.images, size)
        under = runs[starts].view(count, 3, size, size)
        alpha = sprite.colours[:, 3:]
        runs[starts] = (under + sprite.colours[:, :3]).addcmul_(under, alpha, value=-1).view(-1, size)
        starts = ((rows * (side * side) + first)[:, None] + lines).view(-1)
        runs = _runs(self._top, size)
        parts = sprite.parts.to(torch.int16)
        owner = owner.to(torch.int16)[:, None, None] if isinstance(owner, Tensor) else owner
        under = runs[starts].view(count, size, size)
        runs[starts] = torch.where(parts > 0, parts + owner * 256, under).view(-1, size)


def _runs(tensor: Tensor, length: int) -> Tensor:
    """Every run of `length` neighbours in memory, as a view: a line of a window is one of them."""
    return tensor.view(-1).as_strided((tensor.numel() - length + 1, length), (1, 1))


# ---------------------------------------- randomness that belongs to one image
def hashed(seeds: Tensor, count: int) -> Tensor:
    """(n, count) uniform numbers in [0, 1), a function of each seed alone: the same in every set, on every device.

    seeds (n,) int64. The finaliser of SplitMix64 (Steele et al., OOPSLA 2014, doi 10.1145/2660193.2660195).
    """
    golden, first, second = -7046029254386353131, -4658895280553007687, -7723592293110705685
    mixed = seeds[:, None] + (torch.arange(count, device=seeds.device) + 1) * golden
    for shift, factor in ((30, first), (27, second), (31, 1)):
        mixed = (mixed ^ ((mixed >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return ((mixed >> 40) & 0xFFFFFF).float() / 2**24


# ---------------------------------------- small helpers for numbers that may be tensors
def _plane(value: Number) -> Number:
    return value[:, None, None] if isinstance(value, Tensor) and value.ndim == 1 else value


def _minus(a: Number, b: Number) -> Number:
    return a - b


def _hypot(a: Number, b: Number) -> Number:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return (torch.as_tensor(a) ** 2 + torch.as_tensor(b) ** 2).sqrt()
    return math.hypot(a, b)


@lru_cache(maxsize=512)
def _paint(colour: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor((*colour, 1.0), device=device).view(1, 4, 1, 1)


def _image(colour: Colour, device: torch.device) -> Tensor:
    if not isinstance(colour, Tensor):
        return torch.tensor(tuple(colour), dtype=torch.float32, device=device).view(1, 3, 1, 1)
    return colour[:, :, None, None] if colour.ndim == 2 else colour


def _orientation(points: Sequence[Point]) -> Number:
    """1 for corners that go around anti-clockwise, -1 for clockwise; a tensor where corners are tensors."""
    if len(points) < 3:
        raise ValueError(f"a polygon needs at least three corners, got {len(points)}")
    turns = []
    for i in range(len(points)):
        (x0, y0), (x1, y1), (x2, y2) = points[i - 2], points[i - 1], points[i]
        turns.append((x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1))
    if any(isinstance(turn, Tensor) for turn in turns):
        return torch.sign(sum(turns))
    if min(turns) < -1e-9 < 1e-9 < max(turns):
        raise ValueError(f"the corners {list(points)} do not go around a convex polygon; join several instead")
    return math.copysign(1.0, sum(turns))
