"""The things of the scenes world: their masks are exact, their colours can be read, and no two look the same."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from data_fetch.worlds.raster import Pen, hashed
from data_fetch.worlds.scenes.things import DRAW, PARTS, draw
from data_fetch.worlds.scenes.vocabulary import COLOUR_NAMES, COLOURS, THINGS

every_thing = pytest.mark.parametrize("name", THINGS)
WORDS = torch.tensor(list(COLOURS.values()))


def instances(name: str, each: int, seed: int):
    """(colour number, colour, state, vary) of `each` instances in every colour and state."""
    thing = THINGS[name]
    pairs = [(COLOUR_NAMES.index(c), s) for s in range(max(1, len(thing.states))) for c in thing.colours] * each
    drawn = hashed(torch.arange(len(pairs)) + 10_000 * seed, 8)
    word, state = torch.tensor(pairs).unbind(1)
    colour = (WORDS[word] + (drawn[:, :3] - 0.5) * 0.06).clamp(0, 1) * (0.94 + 0.06 * drawn[:, 3:4])
    return word, colour, state, drawn[:, 4:]


def drawn(name: str, colour, state, vary, *, scale=28.0, window=68, style="photo", pen=Pen, place=0.0, **turn):
    centre = torch.full((len(colour),), window / 2 + place)
    made = pen(window, centre, centre, torch.full((len(colour),), float(scale)), **turn)
    draw(name, made, colour, state, vary, style)
    return made


def straight(pen: Pen) -> torch.Tensor:
    """(n, 3, W, W): colours without the opacity in them."""
    return pen.colours[:, :3] / pen.colours[:, 3:].clamp(min=1e-3)


def test_every_thing_has_a_drawing_and_named_parts():
    assert set(DRAW) == set(PARTS) == set(THINGS)
    for name, words in PARTS.items():
        assert len(set(words)) == len(words) > 0, name


@every_thing
@pytest.mark.parametrize("seed", [0, 3])
def test_mask_fills_its_extent_and_stays_inside(name, seed):
    _, colour, state, vary = instances(name, 2, seed)
    pen = drawn(name, colour, state, vary)
    wide, high = THINGS[name].extent
    mask = pen.parts > 0
    assert not (mask & ((pen.u.abs() > wide) | (pen.v.abs() > high))).any(), "a part lies beyond the extent"
    share = mask.float().sum((1, 2)) / (4 * wide * high * 28**2)
    assert 0.12 < float(share.min()) and float(share.max()) < 0.98, share
    first = mask[state == 0]
    across, up = first.any(1).float().sum(1) / (56 * wide), first.any(2).float().sum(1) / (56 * high)
    assert float(across.min()) > 0.85 and float(up.min()) > 0.8, (across, up)
    painted = pen.colours[:, 3] > 0.02
    rim = 1.5 / 28
    assert not (painted & ((pen.u.abs() > 1.1 * wide + rim) | (pen.v.abs() > 1.1 * high + rim))).any()


@every_thing
def test_every_named_part_is_seen(name):
    _, colour, state, vary = instances(name, 4, 1)
    assert set(drawn(name, colour, state, vary).parts.unique().tolist()) == set(range(len(PARTS[name]) + 1))


@every_thing
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_colour_can_be_read_from_the_first_part(name, seed):
    word, colour, state, vary = instances(name, 4, seed)
    for reach, window in ((7, 18), (10, 24), (14, 32)):
        pen = drawn(name, colour, state, vary, scale=reach, window=window, place=0.3 * seed)
        where = (pen.parts == 1)[:, None]
        assert int(where.sum((1, 2, 3)).min()) >= 4, "the part is too small to be seen"
        mean = (straight(pen) * where).sum((2, 3)) / where.sum((2, 3))
        read = torch.cdist(mean, WORDS).argmin(1)
        for one in word.unique().tolist():
            right = float((read == one)[word == one].float().mean())
            found = [COLOUR_NAMES[r] for r in read[word == one].tolist()]
            assert right >= 0.8, f"{COLOUR_NAMES[one]} at {reach} px was read as {found}"


@pytest.mark.parametrize("name", [n for n, thing in THINGS.items() if thing.states])
@pytest.mark.parametrize("reach", [7, 14])
def test_states_look_different(name, reach):
    _, colour, _, vary = instances(name, 2, 5)
    first, second = (
        drawn(name, colour, torch.full((len(colour),), state), vary, scale=reach, window=32) for state in (0, 1)
    )
    seen = (first.parts > 0) | (second.parts > 0)
    change = (first.colours - second.colours).abs().amax(1)
    assert float(((change > 0.1) & seen).sum((1, 2)).div(seen.sum((1, 2))).min()) > 0.2


def test_silhouettes_of_different_things_differ():
    masks = {}
    for name in THINGS:
        _, colour, state, vary = instances(name, 1, 2)
        here = state == 0
        pen = drawn(name, colour[here], state[here], vary[here], scale=20, window=44)
        masks[name] = (pen.parts > 0).float().mean(0) > 0.5
    for one, other in combinations(masks, 2):
        both, either = (masks[one] & masks[other]).sum(), (masks[one] | masks[other]).sum()
        assert float(both / either) < 0.88, f"{one} and {other} cover the same pixels"


# ---------------------------------------- an independent brute force in float64, from first principles
class SlowPen(Pen):
    """Evaluates each shape pixel by pixel in float64: quadratic forms, points in polygons, distances to segments."""

    def __init__(self, window, x, y, scale, *, angle=None, flip=None):
        super().__init__(window, x, y, scale, angle=angle, flip=flip)
        axis, size = np.arange(window) + 0.5, len(x)
        x, y, scale = (t.double().numpy() for t in (x, y, scale))
        turn = np.zeros(size) if angle is None else angle.double().numpy()
        sign = np.ones(size) if flip is None else np.where(flip.numpy(), -1.0, 1.0)
        right = (axis[None, None, :] - x[:, None, None]) + np.zeros((1, window, 1))
        up = (y[:, None, None] - axis[None, :, None]) + np.zeros((1, 1, window))
        c, s = np.cos(turn)[:, None, None], np.sin(turn)[:, None, None]
        self.p = (c * right + s * up) * sign[:, None, None] / scale[:, None, None]
        self.q = (c * up - s * right) / scale[:, None, None]
        self.pixels = scale[:, None, None]
        self.truth = np.zeros(self.p.shape, dtype=np.uint8)
        self.near = np.zeros(self.p.shape, dtype=bool)

    def _number(self, value):
        return value.double().numpy()[:, None, None] if isinstance(value, torch.Tensor) else value

    def _turned(self, centre, angle):
        a, b = self.p - self._number(centre[0]), self.q - self._number(centre[1])
        turn = 0.0 if angle is None else angle
        return math.cos(turn) * a + math.sin(turn) * b, -math.sin(turn) * a + math.cos(turn) * b

    def ellipse(self, centre, radii, angle=None):
        rx, ry = (self._number(r) for r in (radii if isinstance(radii, tuple) else (radii, radii)))
        a, b = self._turned(centre, angle)
        form = a * a / rx**2 + b * b / ry**2
        return torch.from_numpy((np.sqrt(form) - 1) * self.pixels * 2 * rx * ry / (rx + ry))

    def ring(self, centre, radii, width, angle=None):
        line = self.ellipse(centre, radii, angle).numpy()
        return torch.from_numpy(np.abs(line) - self.pixels * self._number(width) / 2)

    def box(self, centre, half, angle=None, round=0.0):
        a, b = self._turned(centre, angle)
        a, b = np.abs(a) - self._number(half[0]) + round, np.abs(b) - self._number(half[1]) + round
        outside = np.hypot(np.maximum(a, 0), np.maximum(b, 0))
        return torch.from_numpy((np.where(outside > 0, outside, np.maximum(a, b)) - round) * self.pixels)

    def polygon(self, points):
        points = [(self._number(a), self._number(b)) for a, b in points]
        inside, nearest = np.zeros(self.p.shape, dtype=bool), np.full(self.p.shape, np.inf)
        for (x0, y0), (x1, y1) in pairwise([*points, points[0]]):
            nearest = np.minimum(nearest, self._segment(x0, y0, x1, y1))
            rise = np.where(np.equal(y1, y0), 1.0, np.subtract(y1, y0))
            crosses = ((y0 > self.q) != (y1 > self.q)) & (self.p < (x1 - x0) * (self.q - y0) / rise + x0)
            inside ^= crosses
        return torch.from_numpy(np.where(inside, -nearest, nearest) * self.pixels)

    def stroke(self, points, width, closed=False):
        points = [(self._number(a), self._number(b)) for a, b in points]
        ends = [*points, points[0]] if closed else points
        nearest = np.minimum.reduce([self._segment(*first, *last) for first, last in pairwise(ends)])
        return torch.from_numpy((nearest - self._number(width) / 2) * self.pixels)

    def half(self, point, direction):
        (x, y), (a, b) = ([self._number(v) for v in pair] for pair in (point, direction))
        return torch.from_numpy(((self.p - x) * a + (self.q - y) * b) / np.hypot(a, b) * self.pixels)

    def _segment(self, x0, y0, x1, y1):
        dx, dy = x1 - x0, y1 - y0
        share = np.clip(((self.p - x0) * dx + (self.q - y0) * dy) / (dx * dx + dy * dy), 0, 1)
        return np.hypot(self.p - x0 - share * dx, self.q - y0 - share * dy)

    def fill(self, shape, colour, part=0, *, opacity=1.0, when=None, outline=None, width=1.0):
        assert outline is None
        if part == 0:
            return
        distance = np.broadcast_to(shape.numpy(), self.p.shape)
        there = np.ones(len(self.p), dtype=bool) if when is None else when.numpy()
        self.truth[(distance < 0) & there[:, None, None]] = part
        self.near |= np.abs(distance) < 1e-4


@every_thing
@pytest.mark.parametrize("seed", [0, 4, 9])
def test_parts_equal_an_independent_brute_force(name, seed):
    _, colour, state, vary = instances(name, 1, seed)
    g = torch.Generator().manual_seed(seed)
    count = len(colour)
    x, y = 15 + 2 * torch.rand(2, count, generator=g)
    scale = 8 + 6 * torch.rand(count, generator=g)
    turn = {"flip": torch.rand(count, generator=g) < 0.5}
    if seed == 9:
        turn["angle"] = torch.rand(count, generator=g) * 2 - 1
    fast, slow = (kind(32, x, y, scale, **turn) for kind in (Pen, SlowPen))
    for pen in (fast, slow):
        draw(name, pen, colour, state, vary, "photo")
    wrong = (fast.parts.numpy() != slow.truth) & ~slow.near
    assert slow.near.mean() < 0.01 and (slow.truth > 0).mean() > 0.02
    assert not wrong.any(), np.argwhere(wrong)[:5]


# ---------------------------------------- mirrored, again, as a cartoon
@every_thing
@pytest.mark.parametrize("style", ["photo", "flat"])
def test_flip_mirrors_every_pixel(name, style):
    _, colour, state, vary = instances(name, 1, 6)
    plain = drawn(name, colour, state, vary, scale=12, window=32, style=style)
    flipped = drawn(name, colour, state, vary, scale=12, window=32, style=style, flip=torch.ones_like(state).bool())
    assert torch.equal(flipped.parts, plain.parts.flip(-1))
    assert torch.equal(flipped.colours, plain.colours.flip(-1))


@every_thing
def test_each_instance_depends_on_its_own_row_alone(name):
    _, colour, state, vary = instances(name, 3, 7)
    before = torch.random.get_rng_state()
    whole, again = (drawn(name, colour, state, vary, scale=10, window=24) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(whole.colours, again.colours) and torch.equal(whole.parts, again.parts)
    rows = torch.tensor([1, len(colour) - 1])
    some = drawn(name, colour[rows], state[rows], vary[rows], scale=10, window=24)
    assert torch.equal(some.colours, whole.colours[rows]) and torch.equal(some.parts, whole.parts[rows])


@every_thing
def test_vary_changes_the_drawing(name):
    _, colour, state, vary = instances(name, 1, 8)
    low, high = (
        drawn(name, colour, state, torch.full_like(vary, share), scale=14, window=32) for share in (0.02, 0.97)
    )
    changed = ((low.colours - high.colours).abs().amax(1) > 0.05).sum((1, 2))
    assert int(changed.min()) >= 3, changed


@every_thing
def test_a_cartoon_has_the_same_parts_a_dark_line_and_no_shadow(name):
    _, colour, state, vary = instances(name, 2, 9)
    photo, flat = (drawn(name, colour, state, vary, scale=14, window=36, style=s) for s in ("photo", "flat"))
    assert torch.equal(photo.parts, flat.parts)
    assert not torch.equal(photo.colours, flat.colours)
    mask = (flat.parts > 0).float()[:, None]
    grown = torch.nn.functional.max_pool2d(mask, 5, 1, 2)[:, 0] > 0
    assert not (flat.colours[:, 3][~grown] > 0.5).any(), "paint away from the thing"
    around = (flat.colours[:, 3] > 0.9) & (flat.parts == 0)
    assert int(around.sum((1, 2)).min()) > 20 and float(straight(flat).mean(1)[around].mean()) < 0.25
    for style in ("night", "sketch"):
        assert torch.equal(drawn(name, colour, state, vary, scale=14, window=36, style=style).colours, photo.colours)


# ---------------------------------------- what only some things have
def test_red_light_is_above_the_green_light():
    word, colour, state, vary = instances("traffic light", 3, 0)
    pen = drawn("traffic light", colour, state, vary)
    lit = (pen.parts == 1).float()
    height = (lit * pen.v).sum((1, 2)) / lit.sum((1, 2))
    red = word == COLOUR_NAMES.index("red")
    assert float(height[red].min()) > float(height[~red].max()) + 0.5


def test_a_lamp_that_is_on_shines_beyond_its_shade():
    _, colour, _, vary = instances("lamp", 1, 0)
    on, off = (drawn("lamp", colour, torch.full((len(colour),), s), vary, scale=14, window=36) for s in (0, 1))
    beside = (on.parts == 0) & (off.parts == 0) & (on.v > 0).expand_as(on.parts)
    glow = [(pen.colours[:, 0] * beside).sum((1, 2)) for pen in (on, off)]
    assert float((glow[0] - glow[1]).min()) > 2.0
    shade = [(straight(pen).mean(1) * (pen.parts == 1)).sum((1, 2)) / (pen.parts == 1).sum((1, 2)) for pen in (on, off)]
    assert float((shade[0] - shade[1]).min()) > 0.05


@every_thing
def test_nothing_is_made_on_another_device(name):
    """On torch's "meta" device an operation with a tensor from the CPU fails, as it would on a GPU."""
    _, colour, state, vary = (t.to("meta") for t in instances(name, 1, 3))
    place = torch.empty(len(colour), device="meta")
    pen = Pen(8, place, place, place)
    draw(name, pen, colour, state, vary, "flat" if name == "dog" else "photo")
    assert pen.colours.device.type == "meta" and pen.colours.shape == (len(colour), 4, 8, 8)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_draws_what_the_cpu_draws():
    for name in THINGS:
        _, colour, state, vary = instances(name, 1, 3)
        centre, scale = torch.full((len(colour),), 16.0), torch.full((len(colour),), 13.0)
        pens = [Pen(32, *(t.to(device) for t in (centre, centre, scale))) for device in ("cpu", "cuda")]
        for pen, device in zip(pens, ("cpu", "cuda")):
            draw(name, pen, *(t.to(device) for t in (colour, state, vary)), "photo")
        assert (pens[0].colours - pens[1].colours.cpu()).abs().max() < 1e-3, name
        assert (pens[0].parts != pens[1].parts.cpu()).float().mean() < 1e-3, name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "dragon"}, "no thing 'dragon'"),
        ({"style": "oil"}, "style must be one of"),
        ({"colour": torch.zeros(3, 3)}, r"colour must have shape \(2, 3\), got \(3, 3\)"),
        ({"state": torch.zeros(2, 1)}, r"state must have shape \(2,\)"),
        ({"vary": torch.zeros(2, 3)}, r"vary must have shape \(2, 4\)"),
    ],
)
def test_bad_input_is_refused(change, message):
    pen = Pen(16, torch.full((2,), 8.0), torch.full((2,), 8.0), torch.full((2,), 7.0))
    good = {"colour": torch.zeros(2, 3), "state": torch.zeros(2).long(), "vary": torch.zeros(2, 4), "style": "photo"}
    with pytest.raises(ValueError, match=message):
        draw(**{"name": "dog", "pen": pen, **good, **change})
    assert not pen.parts.any()
