"""People: their parts against first principles, what their looks and poses show, and what nothing depends on."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from brute_shapes import BrutePen

from data_fetch.worlds.raster import Pen, hashed
from data_fetch.worlds.scenes.people import ARMS, HAIRS, HAT, HEAD, LEGS, PARTS, TORSO, Look, draw, skin_tone
from data_fetch.worlds.scenes.vocabulary import ACTIVITIES, CLOTHES, COLOURS, HAIR, HAIR_COLOURS, POSES, THINGS

SIZE, SCALE = 48, 21.0
seeds = pytest.mark.parametrize("seed", [0, 4, 77])
poses = pytest.mark.parametrize("pose", POSES)


def pen_for(count: int, kind: type = Pen, window: int = SIZE, scale: float = SCALE, **named) -> Pen:
    middle = torch.full((count,), window / 2)
    return kind(window, middle, middle.clone(), torch.full((count,), scale), **named)


def looks(count: int, seed: int = 0, **given) -> Look:
    numbers = hashed(torch.arange(count) + 1000 * seed, 12)
    colours = torch.tensor(tuple(COLOURS.values()))
    found = {
        "hair": (numbers[:, 0] * len(HAIR)).long(),
        "hair_colour": (numbers[:, 1] * len(HAIR_COLOURS)).long(),
        "clothes": (numbers[:, 2] * len(CLOTHES)).long(),
        "colour": colours[(numbers[:, 3] * len(colours)).long()],
        "beard": numbers[:, 4] < 0.3,
        "back": numbers[:, 5] < 0.2,
        "skin": numbers[:, 6],
        "vary": numbers[:, 7:11],
    }
    for name, value in given.items():
        same = torch.as_tensor(value)
        found[name] = same if same.ndim and len(same) == count else same.expand(count, *same.shape)
    return Look(**found)


def drawn(pose: str | torch.Tensor, look: Look, pen: Pen | None = None, style: str = "photo") -> Pen:
    count = len(look.skin)
    pen = pen or pen_for(count)
    numbers = torch.full((count,), POSES.index(pose)) if isinstance(pose, str) else pose
    draw(pen, numbers, look, style)
    return pen


def plain(count: int, **given) -> Look:
    """Looks without anything on the head, seen from the front."""
    base = {"hair": HAIR.index("short"), "clothes": CLOTHES.index("trousers"), "beard": False, "back": False}
    return looks(count, **(base | given))


@seeds
@pytest.mark.parametrize("flipped", [False, True])
def test_parts_are_those_of_a_pixel_by_pixel_drawing(seed, flipped):
    count = 44
    look, pose = looks(count, seed), torch.arange(count) % len(POSES)
    generator = torch.Generator().manual_seed(seed)
    x, y = (20 + 8 * torch.rand(count, generator=generator) for _ in range(2))
    scale = 14 + 8 * torch.rand(count, generator=generator)
    flip = torch.full((count,), flipped)
    real, brute = Pen(SIZE, x, y, scale, flip=flip), BrutePen(SIZE, x, y, scale, flip=flip)
    for pen in (real, brute):
        draw(pen, pose, look)
    clear = ~brute.close
    assert clear.float().mean() > 0.99
    assert torch.equal(real.parts[clear], brute.parts[clear])
    assert set(range(1, len(PARTS) + 1)) <= set(real.parts.unique().tolist())


def test_small_windows_change_no_pixel():
    count = 44
    look, pose = looks(count, 3), torch.arange(count) % len(POSES)
    quick = drawn(pose, look)
    whole = drawn(pose, look, pen_for(count, angle=torch.zeros(count)))
    assert (quick.parts != whole.parts).float().mean() < 1e-4, "a pen that is turned draws without insets"
    assert (quick.colours - whole.colours).abs().flatten(1).amax(1).median() < 1e-4
    assert (quick.colours - whole.colours).abs().mean() < 1e-5


@poses
@pytest.mark.parametrize("scale", [10.0, SCALE])
def test_every_pose_shows_head_torso_arms_and_legs(pose, scale):
    parts = drawn(pose, plain(12), pen_for(12, scale=scale)).parts
    share = torch.stack([(parts == part).flatten(1).sum(1) for part in (HEAD, TORSO, ARMS, LEGS)]) / scale**2
    assert (share.amin(1) > torch.tensor([0.05, 0.09, 0.06, 0.10])).all(), share.amin(1)


@pytest.mark.parametrize("clothes", CLOTHES)
def test_who_stands_fills_the_height_and_is_in_order(clothes):
    parts = drawn("stand", plain(8, clothes=CLOTHES.index(clothes))).parts
    row = torch.arange(SIZE) + 0.5
    height = {}
    for part in (HEAD, TORSO, LEGS):
        mask = (parts == part).float()
        height[part] = (mask.sum(2) * row).sum(1) / mask.sum((1, 2))
    assert (height[HEAD] < height[TORSO]).all() and (height[TORSO] < height[LEGS]).all()
    seen = (parts > 0).any(2)
    top, bottom = seen.float().argmax(1), SIZE - seen.flip(1).float().argmax(1)
    assert ((top - (SIZE / 2 - SCALE)).abs() <= 1.5).all() and ((bottom - (SIZE / 2 + SCALE)).abs() <= 1.5).all()
    wide = (parts > 0).any(1).float().sum(1)
    assert (wide < 2 * 0.52 * SCALE).all(), "the figure stays within its extent"


@pytest.mark.parametrize("name", [name for name, a in ACTIVITIES.items() if a.thing])
def test_hands_or_feet_meet_the_thing_of_the_activity(name):
    activity = ACTIVITIES[name]
    pen = drawn(activity.pose, plain(6))
    width, height = (activity.size * e + 0.03 for e in THINGS[activity.thing].extent)
    box = ((pen.u - activity.offset[0]).abs() < width) & ((pen.v - activity.offset[1]).abs() < height)
    if activity.pose in ("reach", "walk"):  # a line leads to it, which ends at the border of the window
        beyond = (pen.colours[:, 3] > 0.2) & (pen.parts == 0) & (pen.u > 0.7)
        above = activity.offset[1] > 0
        assert (beyond & ((pen.v > 0.9) if above else (pen.v < -0.15) & (pen.v > -0.7))).flatten(1).any(1).all()
        return
    part = {"ride": LEGS, "kick": LEGS}.get(activity.pose, ARMS)
    touching = ((pen.parts == part) & box).flatten(1).sum(1)
    assert (touching >= 2).all(), touching
    if part == ARMS and activity.pose != "sit":
        resting = (drawn("stand", plain(6)).parts == ARMS) & box
        assert (touching > resting.flatten(1).sum(1)).all(), "more of the arm is there than of who only stands"


def test_flipped_pens_mirror_the_person():
    count = 22
    look, pose = looks(count, 9), torch.arange(count) % len(POSES)
    right = drawn(pose, look)
    left = drawn(pose, look, pen_for(count, flip=torch.ones(count, dtype=torch.bool)))
    assert torch.equal(left.parts, right.parts.flip(2))
    assert torch.allclose(left.colours[:, 3], right.colours[:, 3].flip(2), atol=1e-5)
    hands = drawn("reach", plain(1)).parts[0] == ARMS
    assert hands[:10, SIZE // 2 :].any() and not hands[:10, : SIZE // 2].any(), "the right arm is raised on the right"


@pytest.mark.parametrize("clothes", CLOTHES)
def test_the_colour_of_the_clothes_can_be_read(clothes):
    names = tuple(COLOURS)
    palette = torch.tensor(tuple(COLOURS.values()))
    pen = drawn("stand", plain(len(names), colour=palette, clothes=CLOTHES.index(clothes)))
    upper = (pen.parts == TORSO) & (pen.v > 0.05) & (pen.v < 0.45)
    for number, name in enumerate(names):
        colour = pen.colours[number, :3, upper[number]].median(1).values
        nearest = int((palette - colour).square().sum(1).argmin())
        assert names[nearest] == name


def test_hair_colours_differ_and_skin_runs_from_light_to_dark():
    count = len(HAIR_COLOURS)
    pen = drawn("stand", plain(count, hair=HAIR.index("long"), hair_colour=torch.arange(count)))
    found = torch.stack([pen.colours[n, :3, pen.parts[n] == HAIRS].median(1).values for n in range(count)])
    apart = torch.cdist(found, found) + torch.eye(count)
    assert apart.min() > 0.15
    by_name = dict(zip(HAIR_COLOURS, found.mean(1).tolist()))
    assert by_name["black"] < by_name["brown"] < by_name["red"] < by_name["grey"]
    pen = drawn("stand", plain(9, hair=HAIR.index("bald"), skin=torch.linspace(0, 1, 9)))
    bright = torch.stack([pen.colours[n, :3, pen.parts[n] == HEAD].median(1).values.mean() for n in range(9)])
    assert (bright.diff() < -0.03).all()
    assert torch.allclose(skin_tone(torch.tensor([0.0, 1.0])), torch.tensor([[0.98, 0.84, 0.74], [0.36, 0.23, 0.16]]))


@poses
def test_hair_and_hats_show_what_they_say(pose):
    def share(part, **given):
        return (drawn(pose, plain(8, **given)).parts == part).flatten(1).sum(1)

    area = {name: share(HAIRS, hair=HAIR.index(name)) for name in HAIR}
    assert (area["long"] > 1.4 * area["short"]).all() and (area["bun"] > area["short"] + 4).all()
    assert not area["bald"].any() and not area["hidden"].any() and (area["short"] > 10).all()
    for name in HAIR:
        hat = share(HAT, hair=HAIR.index(name))
        assert (hat > 20).all() if name == "hidden" else not hat.any()
        assert (share(HAIRS, hair=HAIR.index(name), beard=True) > area[name] + 4).all(), "a beard shows"
        behind = share(HEAD, hair=HAIR.index(name), back=True)
        if name != "bald":
            assert (behind < 0.6 * share(HEAD, hair=HAIR.index(name))).all(), "no face from behind"
        assert torch.equal(share(HAIRS, hair=HAIR.index(name), back=True, beard=True),
                           share(HAIRS, hair=HAIR.index(name), back=True))  # fmt: skip


def test_clothes_differ_in_what_they_cover():
    area = {
        name: (drawn("stand", plain(8, clothes=n)).parts == TORSO).flatten(1).sum(1) for n, name in enumerate(CLOTHES)
    }
    assert (area["dress"] > 1.25 * area["trousers"]).all() and (area["skirt"] > 1.1 * area["trousers"]).all()
    assert (area["coat"] > 1.15 * area["trousers"]).all()
    skin = torch.full((8,), 0.5)
    for n, name in enumerate(CLOTHES):
        pen = drawn("stand", plain(8, clothes=n, skin=skin))
        low = (pen.parts == LEGS) & (pen.v < -0.6) & (pen.v > -0.85) & (pen.u > 0)
        legs = torch.stack([pen.colours[i, :3, low[i]].median(1).values for i in range(8)])
        bare = (legs - skin_tone(skin)).abs().amax(1) < 0.2
        assert bare.all() if name in ("dress", "skirt") else not bare.all()


@seeds
@pytest.mark.parametrize("style", ["photo", "flat"])
def test_a_person_depends_on_the_own_row_alone(seed, style):
    count = 40
    look, pose = looks(count, seed), torch.arange(count) % len(POSES)
    whole, again = drawn(pose, look, style=style), drawn(pose, look, style=style)
    assert torch.equal(whole.colours, again.colours)
    some = torch.tensor([31, 2, 17])
    few = Look(**{name: value[some] for name, value in vars(look).items()})
    subset = drawn(pose[some], few, style=style)
    assert torch.equal(subset.colours, whole.colours[some]) and torch.equal(subset.parts, whole.parts[some])


def test_nothing_but_cues_is_drawn():
    """The word that annotators use is no input of the drawing."""
    cues = {"hair", "hair_colour", "clothes", "colour", "beard", "back", "skin", "vary"}
    assert {f.name for f in dataclasses.fields(Look)} == cues


def test_flat_has_the_same_parts_and_no_shadow():
    look, pose = looks(22, 5), torch.arange(22) % len(POSES)
    photo, flat = drawn(pose, look), drawn(pose, look, style="flat")
    assert torch.equal(photo.parts, flat.parts) and not torch.equal(photo.colours, flat.colours)
    assert (photo.colours[:, :3] <= photo.colours[:, 3:] + 1e-5).all(), "colours are premultiplied"


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="style must be one of"):
        drawn("stand", looks(2), style="oil")
    with pytest.raises(ValueError, match="skin must have shape"):
        draw(pen_for(3), torch.zeros(3, dtype=torch.long), dataclasses.replace(looks(3), skin=torch.zeros(2)))
    with pytest.raises(ValueError, match="pose must have shape"):
        draw(pen_for(3), torch.zeros(4, dtype=torch.long), looks(3))
