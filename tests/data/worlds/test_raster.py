"""The pen and the canvas against pixel-by-pixel geometry from first principles."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from data_fetch.worlds.raster import Canvas, Pen, hashed, joined, mix, within, without
from data_fetch.worlds.textures import KINDS, Planes, grain

SIZE = 24
seeds = pytest.mark.parametrize("seed", [0, 5, 91])


def pen_and_points(seed: int, count: int = 6, turned: bool = False) -> tuple[Pen, np.ndarray]:
    """A pen with random places, and for every pixel centre its (u, v), by the rule that the docstring states."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.rand(count, generator=generator) * SIZE for _ in range(2))
    scale = 4 + 6 * torch.rand(count, generator=generator)
    angle = 6 * torch.rand(count, generator=generator) if turned else None
    flip = torch.rand(count, generator=generator) < 0.5
    pen = Pen(SIZE, x, y, scale, angle=angle, flip=flip)
    points = np.zeros((count, SIZE, SIZE, 2))
    for n in range(count):
        a = float(angle[n]) if turned else 0.0
        for row in range(SIZE):
            for column in range(SIZE):
                right, up = (column + 0.5 - float(x[n])) / float(scale[n]), (float(y[n]) - row - 0.5) / float(scale[n])
                u = math.cos(a) * right + math.sin(a) * up
                v = math.cos(a) * up - math.sin(a) * right
                points[n, row, column] = (-u if flip[n] else u, v)
    return pen, points


def inside_polygon(corners, u: float, v: float) -> bool:
    """Even-odd rule: how many edges a ray to the right crosses."""
    crossed = False
    for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]]):
        if (y0 > v) != (y1 > v) and u < x0 + (v - y0) / (y1 - y0) * (x1 - x0):
            crossed = not crossed
    return crossed


def to_segment(a, b, u: float, v: float) -> float:
    """Distance to a line from a to b: the nearest of many points on it, refined."""
    low, high = 0.0, 1.0
    for _ in range(60):  # the distance along a line has one minimum: ternary search
        first, second = low + (high - low) / 3, high - (high - low) / 3
        d1 = math.hypot(u - a[0] - first * (b[0] - a[0]), v - a[1] - first * (b[1] - a[1]))
        d2 = math.hypot(u - a[0] - second * (b[0] - a[0]), v - a[1] - second * (b[1] - a[1]))
        low, high = (low, second) if d1 < d2 else (first, high)
    return math.hypot(u - a[0] - low * (b[0] - a[0]), v - a[1] - low * (b[1] - a[1]))


def turned(u: float, v: float, centre, angle: float) -> tuple[float, float]:
    a, b = u - centre[0], v - centre[1]
    return a * math.cos(angle) + b * math.sin(angle), b * math.cos(angle) - a * math.sin(angle)


TRIANGLE = [(-0.9, -0.6), (0.8, -0.7), (0.2, 0.9)]
HEXAGON = [(math.cos(k * math.pi / 3), 0.7 * math.sin(k * math.pi / 3)) for k in range(6)]
PATH = [(-0.8, -0.5), (0.1, 0.7), (0.9, -0.3)]
SHAPES = {
    "ellipse": (
        lambda pen: pen.ellipse((0.2, -0.1), (0.9, 0.5)),
        lambda u, v: ((u - 0.2) / 0.9) ** 2 + ((v + 0.1) / 0.5) ** 2 - 1,
    ),
    "turned ellipse": (
        lambda pen: pen.ellipse((0.1, 0.3), (0.8, 0.3), 0.7),
        lambda u, v: sum((c / r) ** 2 for c, r in zip(turned(u, v, (0.1, 0.3), 0.7), (0.8, 0.3))) - 1,
    ),
    "box": (
        lambda pen: pen.box((0, 0.2), (0.7, 0.4), 0.4),
        lambda u, v: max(abs(c) - h for c, h in zip(turned(u, v, (0, 0.2), 0.4), (0.7, 0.4))),
    ),
    "round box": (
        lambda pen: pen.box((0, 0), (0.8, 0.5), round=0.25),
        lambda u, v: math.hypot(max(abs(u) - 0.55, 0), max(abs(v) - 0.25, 0)) - 0.25,
    ),
    "triangle": (lambda pen: pen.polygon(TRIANGLE), lambda u, v: -1.0 if inside_polygon(TRIANGLE, u, v) else 1.0),
    "clockwise": (
        lambda pen: pen.polygon(TRIANGLE[::-1]),
        lambda u, v: -1.0 if inside_polygon(TRIANGLE, u, v) else 1.0,
    ),
    "hexagon": (lambda pen: pen.polygon(HEXAGON), lambda u, v: -1.0 if inside_polygon(HEXAGON, u, v) else 1.0),
    "stroke": (
        lambda pen: pen.stroke(PATH, 0.3),
        lambda u, v: min(to_segment(a, b, u, v) for a, b in pairwise(PATH)) - 0.15,
    ),
    "closed stroke": (
        lambda pen: pen.stroke(PATH, 0.2, closed=True),
        lambda u, v: min(to_segment(a, b, u, v) for a, b in zip(PATH, [*PATH[1:], PATH[0]])) - 0.1,
    ),
    "ring": (
        lambda pen: pen.ring((0, 0), 0.7, 0.3),
        lambda u, v: abs(math.hypot(u, v) - 0.7) - 0.15,
    ),
    "half plane": (lambda pen: pen.half((0.1, 0.2), (1, 2)), lambda u, v: (u - 0.1) + 2 * (v - 0.2)),
    "crescent": (
        lambda pen: without(pen.ellipse((0, 0), 0.9), pen.ellipse((0.4, 0.1), 0.7)),
        lambda u, v: max(math.hypot(u, v) - 0.9, 0.7 - math.hypot(u - 0.4, v - 0.1)),
    ),
    "two": (
        lambda pen: joined(pen.ellipse((-0.5, 0), 0.4), pen.box((0.5, 0), (0.3, 0.3))),
        lambda u, v: min(math.hypot(u + 0.5, v) - 0.4, max(abs(u - 0.5), abs(v)) - 0.3),
    ),
    "lens": (
        lambda pen: within(pen.ellipse((-0.4, 0), 0.8), pen.ellipse((0.4, 0), 0.8)),
        lambda u, v: max(math.hypot(u + 0.4, v), math.hypot(u - 0.4, v)) - 0.8,
    ),
}


@seeds
@pytest.mark.parametrize("turn", [False, True], ids=["upright", "turned"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_pixel_belongs_to_a_shape_when_its_centre_is_inside(name, turn, seed):
    draw, distance = SHAPES[name]
    pen, points = pen_and_points(seed, count=2, turned=turn)
    pen.fill(draw(pen).expand(2, SIZE, SIZE), (1, 0, 0), 3)
    values = np.array([distance(u, v) for u, v in points.reshape(-1, 2)]).reshape(2, SIZE, SIZE)
    clear = np.abs(values) > 1e-5
    assert clear.mean() > 0.99
    assert np.array_equal((pen.parts.numpy() == 3)[clear], (values < 0)[clear])
    assert set(pen.parts.unique().tolist()) <= {0, 3}
    assert 0 < (values < 0).sum() < values.size


@seeds
def test_edges_have_the_share_of_the_pixel_that_is_covered(seed):
    """Coverage of straight edges and large discs against 16 x 16 samples a pixel."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (8 + 8 * torch.rand(8, generator=generator) for _ in range(2))
    for draw, distance in (
        (lambda pen: pen.ellipse((0, 0), 1.0), lambda u, v: np.hypot(u, v) - 1),
        (lambda pen: pen.box((0, 0), (0.8, 0.6)), lambda u, v: np.maximum(np.abs(u) - 0.8, np.abs(v) - 0.6)),
        (lambda pen: pen.half((0, 0), (1, 2)), lambda u, v: u + 2 * v),
    ):
        pen = Pen(SIZE, x, y, torch.full((8,), 7.0))
        pen.fill(draw(pen), (1, 1, 1), 1)
        fine = (np.arange(SIZE * 16) + 0.5) / 16
        for n in range(8):
            u, v = (fine[None, :] - float(x[n])) / 7, (float(y[n]) - fine[:, None]) / 7
            share = (distance(u, v) < 0).reshape(SIZE, 16, SIZE, 16).mean((1, 3))
            error = np.abs(pen.colours[n, 3].numpy() - share)
            assert error.max() < 0.3 and error.mean() < 0.01, (error.max(), error.mean())


def test_numbers_may_differ_from_image_to_image():
    radii = torch.tensor([0.3, 0.6, 0.9])
    one = Pen(SIZE, *(torch.full((3,), v) for v in (12.0, 12.0, 8.0)))
    one.fill(one.ellipse((0, torch.zeros(3)), (radii, radii)), torch.eye(3), 1)
    for n, radius in enumerate(radii.tolist()):
        alone = Pen(SIZE, *(torch.full((1,), v) for v in (12.0, 12.0, 8.0)))
        alone.fill(alone.ellipse((0, 0), radius), torch.eye(3)[n : n + 1], 1)
        assert torch.allclose(one.colours[n], alone.colours[0], atol=1e-6)
        assert torch.equal(one.parts[n], alone.parts[0])
    corners = [(-radii, -0.5 * radii), (radii, -0.5 * radii), (torch.zeros(3), radii)]
    many = one.polygon(corners)
    for n, r in enumerate(radii.tolist()):
        single = one.polygon([(-r, -0.5 * r), (r, -0.5 * r), (0, r)])
        assert torch.allclose(many[n], single[n], atol=1e-4)


def test_when_outline_opacity_and_paint_without_a_part():
    pen = Pen(SIZE, *(torch.full((2,), v) for v in (12.0, 12.0, 8.0)))
    pen.fill(pen.ellipse((0, -0.9), (0.9, 0.2)), (0, 0, 0), opacity=0.5)
    assert not pen.parts.any() and float(pen.colours[:, 3].max()) == 0.5
    pen.fill(pen.ellipse((0, 0), 0.5), (1, 0, 0), 1, when=torch.tensor([True, False]))
    assert pen.parts[0].any() and not pen.parts[1].any()
    before = int((pen.parts[0] == 1).sum())
    pen.fill(pen.ellipse((0, 0), 0.5), (1, 0, 0), 1, outline=(0, 0, 0), width=2.0)
    assert int((pen.parts[0] == 1).sum()) > before, "the outer half of the outline belongs to the part"
    assert float(pen.colours[0, 0, 12, 12]) == 1.0 and float(pen.colours[:, :3].max()) <= 1
    assert (pen.colours[:, :3] <= pen.colours[:, 3:] + 1e-6).all(), "colours are premultiplied"
    pen.shade((-1, 1), 0.4)
    assert (pen.colours[:, :3] <= pen.colours[:, 3:] + 1e-6).all()


@seeds
def test_windows_and_paste_give_the_same_as_whole_planes(seed):
    generator = torch.Generator().manual_seed(seed)
    count = 9
    paper = torch.rand(count, 3, SIZE, SIZE, generator=generator)
    canvas, plain = Canvas(paper.clone()), paper.clone()
    owner, part = torch.zeros(count, SIZE, SIZE), torch.zeros(count, SIZE, SIZE)
    for number in (1, 2, 3):
        rows = torch.randperm(count, generator=generator)[:6]
        x, y = (torch.rand(6, generator=generator) * SIZE for _ in range(2))
        sprites = []
        for window in (12, SIZE):
            pen = Pen(window, x, y, torch.full((6,), 4.0), image=SIZE)
            pen.fill(pen.ellipse((0, 0), (1.0, 0.7)), (0.2, 0.5, 0.9), 1, opacity=0.8)
            pen.fill(pen.box((0.3, 0), (0.3, 0.3)), (0.9, 0.1, 0.1), 2)
            sprites.append(pen.sprite())
        canvas.paste(sprites[0], rows, number)
        for n, row in enumerate(rows.tolist()):
            colours, parts = sprites[1].colours[n], sprites[1].parts[n]
            plain[row] = plain[row] * (1 - colours[3]) + colours[:3]
            owner[row][parts > 0] = number
            part[row] = torch.where(parts > 0, parts.float(), part[row])
    assert torch.allclose(canvas.images, plain, atol=1e-6)
    assert torch.equal(canvas.owner.float(), owner) and torch.equal(canvas.part.float(), part)


def test_paste_takes_an_owner_for_each_row():
    pen = Pen(8, *(torch.full((2,), v) for v in (12.0, 12.0, 3.0)), image=SIZE)
    pen.fill(pen.box((0, 0), (0.9, 0.9)), (1, 1, 1), 1)
    canvas = Canvas(torch.zeros(3, 3, SIZE, SIZE))
    canvas.paste(pen.sprite(), torch.tensor([2, 0]), torch.tensor([7, 9]))
    assert canvas.owner.flatten(1).amax(1).tolist() == [9, 0, 7]


def test_bad_input_is_named():
    one = torch.ones(1)
    with pytest.raises(ValueError, match="window"):
        Pen(32, one, one, one, image=24)
    with pytest.raises(ValueError, match="scale must have shape"):
        Pen(8, one, one, torch.ones(2))
    pen = Pen(8, one, one, one)
    with pytest.raises(ValueError, match="at least three corners"):
        pen.polygon([(0, 0), (1, 1)])
    with pytest.raises(ValueError, match="convex"):
        pen.polygon([(0, 0), (1, 0), (0.1, 0.1), (0, 1)])
    with pytest.raises(ValueError, match="two points"):
        pen.stroke([(0, 0)], 0.1)
    with pytest.raises(ValueError, match="the same"):
        pen.stroke([(0, 0), (0, 0)], 0.1)
    with pytest.raises(ValueError, match="as many different rows"):
        Canvas(torch.zeros(2, 3, 8, 8)).paste(pen.sprite(), torch.tensor([0, 1]), 1)


def test_hashed_numbers_are_uniform_and_a_function_of_the_seed_alone():
    numbers = hashed(torch.arange(40_000), 4)
    assert abs(float(numbers.mean()) - 0.5) < 0.005 and abs(float(numbers.var()) - 1 / 12) < 0.001
    assert torch.corrcoef(numbers.T).fill_diagonal_(0).abs().max() < 0.02
    follow = torch.corrcoef(torch.stack([numbers[:-1, 0], numbers[1:, 0]]))[0, 1]
    assert abs(float(follow)) < 0.02, "neighbouring seeds are unrelated"
    assert torch.equal(hashed(torch.tensor([123]), 4)[0], numbers[123])
    assert float(numbers.min()) >= 0 and float(numbers.max()) < 1


def test_planes_depend_on_the_seed_alone_and_fill_their_range():
    many = torch.arange(50) * 977
    for kind in KINDS:
        plane = Planes(many, 32)[kind]
        assert plane.shape == (50, 32, 32) and float(plane.abs().max()) <= 1 and float(plane.std()) > 0.2
        assert torch.equal(Planes(many[7:8], 32)[kind][0], plane[7])
    noise = grain(many, 32, 0.1)
    assert abs(float(noise.std()) - 0.1) < 0.003 and torch.equal(grain(many[3:4], 32, 0.1)[0], noise[3])
    with pytest.raises(ValueError, match="no texture 'spots'"):
        Planes(many, 32)["spots"]


def test_mix_goes_from_one_colour_to_another():
    share = torch.tensor([[[-1.0, 0.0], [0.5, 2.0]]])
    found = mix((0, 0, 0), (1.0, 0.5, 0.25), share)
    assert found[0, :, 0, 0].tolist() == [0, 0, 0] and found[0, :, 1, 1].tolist() == [1.0, 0.5, 0.25]
    assert found[0, :, 1, 0].tolist() == [0.5, 0.25, 0.125]
