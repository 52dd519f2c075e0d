"""Every attribute of a bird can be read back from its pixels, and every sentence says what is true and visible."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F

from data_fetch.worlds.birds import COLOURS, GROUPS, PALETTE, PARTS, birds
from data_fetch.worlds.birds.individuals import pose_column
from data_fetch.worlds.birds.skeleton import skeleton
from data_fetch.worlds.birds.vocabulary import SHOWN_BY, column
from data_fetch.worlds.birds.words import as_words


@pytest.fixture(scope="module")
def world():
    """Individuals that differ much from their species, so that values of groups are close to independent."""
    return birds(900, size=48, seed=5, variation=0.25, hidden=0.0)


@pytest.fixture(scope="module")
def lit(world):
    """The pictures with the brightness of the light divided out."""
    return world.images / pose_column(world.pose, "light")[:, None, None, None]


def _by_part(group: str) -> int:
    return PARTS.index(SHOWN_BY[group])


# ---------------------------------------- colours
@pytest.mark.parametrize("group", [g for g in GROUPS if g.endswith("_color")])
def test_colours_are_those_of_most_pixels_of_the_part(group, world, lit):
    palette = torch.tensor([PALETTE[name] for name in GROUPS[group]])
    part, truth = _by_part(group), column(world.values, group)
    right = total = 0
    for n in torch.nonzero(world.part_points[:, part, 2])[:300, 0].tolist():
        pixels = lit[n][:, world.parts[n] == part + 1].T
        right += int(torch.cdist(pixels, palette).argmin(1).mode().values == truth[n])
        total += 1
    assert total > 250 and right / total > 0.93, f"{group}: {right} of {total}"


# ---------------------------------------- patterns and shapes: few features, and a linear rule learned on other birds
def _linear_rule(features: torch.Tensor, truth: torch.Tensor, train: int = 600) -> float:
    """Accuracy, on the rows after the first `train`, of ridge regression to one-hot targets."""
    features = (features - features[:train].mean(0)) / (features[:train].std(0) + 1e-6)
    features = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    targets = F.one_hot(truth).double()
    gram = features[:train].T @ features[:train] + 3.0 * torch.eye(features.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, features[:train].T @ targets[:train])
    return float(((features[train:] @ weights).argmax(1) == truth[train:]).float().mean())


def _around(planes: torch.Tensor, world, x, y, turn, left, right, low, high, cells) -> torch.Tensor:
    """Planes (n, C, S, S) sampled in a frame of the bird: origin at its point (x, y), turned, in its units."""
    bones = skeleton(world.values, world.pose, world.size)
    p = torch.linspace(left, right, cells)[None, None, :]
    q = torch.linspace(high, low, cells)[None, :, None]
    cosine, sine = torch.cos(turn)[:, None, None], torch.sin(turn)[:, None, None]
    u, v = x[:, None, None] + p * cosine - q * sine, y[:, None, None] + p * sine + q * cosine
    across = bones.x[:, None, None] + bones.facing[:, None, None] * u * bones.scale[:, None, None]
    down = bones.y[:, None, None] - v * bones.scale[:, None, None]
    grid = torch.stack([across, down], -1) * 2 / world.size - 1
    return F.grid_sample(planes, grid, align_corners=False)


@pytest.mark.parametrize(
    "group, part, box",
    [
        ("has_bill_shape", "bill", (0.0, 1.0, -0.4, 0.3)),
        ("has_tail_shape", "tail", (0.0, 0.9, -0.5, 0.5)),
    ],
)
def test_shapes_of_parts_show_in_their_masks(group, part, box, world):
    bones = skeleton(world.values, world.pose, world.size)
    if part == "bill":
        origin, turn = (bones.head_x, bones.head_y), bones.pitch
    else:
        origin, turn = (bones.tail_x, bones.tail_y), bones.tail_turn
    mask = (world.parts == PARTS.index(part) + 1).float()[:, None]
    found = _around(mask, world, *origin, turn, *box, 14).flatten(1)
    assert _linear_rule(found, column(world.values, group)) > 0.9


def test_large_birds_are_larger_than_small_ones_whatever_their_build(world):
    scale = skeleton(world.values, world.pose, world.size).scale / world.size
    large = column(world.values, "has_size") == 1
    assert float(scale[large].min()) > 1.1 * float(scale[~large].max())


def test_build_and_size_show_in_the_masks(world):
    areas = torch.stack([(world.parts == p + 1).sum((1, 2)) for p in range(len(PARTS))], 1).float()
    middles = world.part_points[..., :2] / world.size
    facing = pose_column(world.pose, "facing")[:, None]
    body = middles[:, PARTS.index("belly")]
    steps = torch.cat([(middles[..., 0] - body[:, :1]) * facing, middles[..., 1] - body[:, 1:]], 1)
    shape, size = column(world.values, "has_shape"), column(world.values, "has_size")
    assert _linear_rule(torch.cat([areas.sqrt(), steps], 1), shape) > 0.95
    kind = F.one_hot(shape).float()  # a heron's head is small: what is large depends on the build
    lengths = torch.cat([areas.sqrt(), steps, kind], 1)
    assert _linear_rule(torch.cat([lengths, *(lengths * kind[:, k : k + 1] for k in range(5))], 1), size) > 0.95


def _waves(world, lit: torch.Tensor, part: str, turn: torch.Tensor) -> torch.Tensor:
    """How much a part's brightness varies, and goes in waves along and across it: a few lengths of waves each."""
    grey = lit.mul(torch.tensor((0.30, 0.59, 0.11)).view(1, 3, 1, 1)).sum(1)
    facing = pose_column(world.pose, "facing")
    axis = torch.arange(world.size) + 0.5
    u, v = axis[None, None, :] * facing[:, None, None], -axis[None, :, None]
    cosine, sine = torch.cos(turn)[:, None, None], torch.sin(turn)[:, None, None]
    mask = (world.parts == PARTS.index(part) + 1).float()
    many = mask.sum((1, 2)).clamp(min=1)
    grey = (grey - ((grey * mask).sum((1, 2)) / many)[:, None, None]) * mask
    found = [(grey.square().sum((1, 2)) / many).sqrt()]
    for length in (2.8, 3.4, 4.2, 5.4, 7.0, 10.0, 16.0):
        for p, q in ((1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)):
            phase = (p * (u * cosine + v * sine) + q * (v * cosine - u * sine)) * (2 * torch.pi / length)
            wave = [(grey * f(phase)).sum((1, 2)) / many for f in (torch.cos, torch.sin)]
            found.append((wave[0].square() + wave[1].square()).sqrt())
    found = torch.stack(found, 1)
    return torch.cat([found, found[:, 1:] / (found[:, :1] + 0.02)], 1)


@pytest.mark.parametrize(
    "group, least", [("has_wing_pattern", 0.9), ("has_breast_pattern", 0.8), ("has_tail_pattern", 0.95)]
)
def test_patterns_show_in_the_variation_within_the_part(group, least, world, lit):
    bones = skeleton(world.values, world.pose, world.size)
    part = SHOWN_BY[group]
    turn = bones.tail_turn if part == "tail" else bones.slope
    shown = world.part_points[:, PARTS.index(part), 2] > 0
    accuracy = _linear_rule(_waves(world, lit, part, turn)[shown], column(world.values, group)[shown])
    assert accuracy > least, accuracy


def test_marks_of_the_head_show_between_crown_and_throat(world, lit):
    """Colours at a few places of the head, against each other, and what of the crown stands above the skull."""
    bones = skeleton(world.values, world.pose, world.size)
    spots = [(0.0, 0.70), (-0.08, 0.31), (-0.22, 0.01), (-0.1, -0.24)]  # crown, above the eye, behind it, below it
    colours = []
    for p, q in spots:
        c, s = torch.cos(bones.pitch), torch.sin(bones.pitch)
        x, y = bones.head_x + bones.r * (p * c - q * s), bones.head_y + bones.r * (p * s + q * c)
        colours.append(_around(lit, world, x, y, bones.pitch, -0.01, 0.01, -0.01, 0.01, 2).mean((2, 3)))
    apart = [(a - b).abs().sum(1) for i, a in enumerate(colours) for b in colours[:i]]
    crown = world.parts == PARTS.index("crown") + 1
    axis = torch.arange(world.size) + 0.5
    middle = bones.place(bones.head_x, bones.head_y)
    away = torch.hypot(axis[None, None, :] - middle[0][:, None, None], axis[None, :, None] - middle[1][:, None, None])
    outside = crown & (away > (1.05 * bones.r * bones.scale)[:, None, None])
    crest = outside.sum((1, 2)) / 10  # pixels of the crown that lie outside of the skull
    found = torch.stack([*apart, crest], 1)
    found = torch.cat([found.clamp(max=0.5), (found > 0.35).float()], 1)
    found = torch.cat([found, (found[:, :, None] * found[:, None]).flatten(1)], 1)  # so that the rule can say "and"
    accuracy = _linear_rule(found, column(world.values, "has_head_pattern"))
    assert accuracy > 0.9, accuracy


# ---------------------------------------- sentences
_COLOUR = "|".join(COLOURS)
_MARK = {"spotted": "spotted", "streaked": "striped", "barred": "barred"}
_BILL = {
    "short straight": "all-purpose",
    "stout cone-shaped": "cone",
    "long dagger-like": "dagger",
    "hooked": "hooked",
    "long curved": "curved",
    "broad spatulate": "spatulate",
}
_TAIL = {"square": "squared_tail", "pointed": "pointed_tail", "forked": "forked_tail", "fan-shaped": "fan-shaped_tail"}
_BUILD = {
    "perching": "perching-like",
    "duck-like": "duck-like",
    "long-legged": "long-legged-like",
    "owl-like": "owl-like",
    "chicken-like": "upland-ground-like",
}


def _read(sentence: str) -> tuple[dict[str, str], str]:
    """{group: value} that a sentence claims, and what is left of it when the claims are taken out."""
    claims, text = {}, sentence.lower()

    def take(pattern: str, use) -> None:
        nonlocal text
        for match in re.finditer(pattern, text):
            use(match)
        text = re.sub(pattern, "", text)

    def together(match) -> None:
        for part in re.findall(r"\w+", match[1].replace(" and ", " ")):
            claims[f"has_{part}_color"] = match[2]

    def breast(match) -> None:
        claims["has_breast_color"] = match[2]
        mark = "multi-colored" if match[3] else _MARK.get((match[1] or "").strip())
        claims.update({"has_breast_pattern": mark} if mark else {})

    def wings(match) -> None:
        claims["has_wing_color"] = match[2]
        claims.update({"has_wing_pattern": _MARK[match[1].strip()]} if match[1] else {})

    def tail(match) -> None:
        claims.update({"has_tail_shape": _TAIL[match[1]], "has_upper_tail_color": match[3]})
        claims.update({"has_tail_pattern": "striped"} if match[2] else {})

    take(rf"its ([\w, ]+) are ({_COLOUR})", together)
    take(rf"(spotted |streaked )?({_COLOUR}) breast( with a band across it)?", breast)
    take(rf"(spotted |streaked |barred )?({_COLOUR}) wings", wings)
    take(rf"({'|'.join(_TAIL)}) (banded )?({_COLOUR}) tail", tail)
    take(
        rf"({'|'.join(_BILL)}) ({_COLOUR}) bill",
        lambda m: claims.update({"has_bill_shape": _BILL[m[1]], "has_bill_color": m[2]}),
    )
    take(rf"({_COLOUR}) (crown|throat|nape|belly|back)\b", lambda m: claims.update({f"has_{m[2]}_color": m[1]}))
    for word, value in (("cap", "capped"), ("crest", "crested")):
        take(
            rf"({_COLOUR}) {word}\b",
            lambda m, value=value: claims.update({"has_crown_color": m[1], "has_head_pattern": value}),
        )
    take(rf"({_COLOUR}) (leg|eye)s", lambda m: claims.update({f"has_{m[2]}_color": m[1]}))
    take("mask through the eye", lambda m: claims.update({"has_head_pattern": "masked"}))
    take("stripe above the eye", lambda m: claims.update({"has_head_pattern": "eyebrow"}))
    take("small", lambda m: claims.update({"has_size": "small_(5_-_9_in)"}))
    take("large", lambda m: claims.update({"has_size": "large_(16_-_32_in)"}))
    take(rf"({'|'.join(_BUILD)})(?= bird)", lambda m: claims.update({"has_shape": _BUILD[m[1]]}))
    return claims, text


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sentences_say_only_what_is_true_and_visible(seed):
    world = birds(150, size=32, seed=seed, hidden=0.6, variation=0.2)
    told = set()
    for n in range(len(world)):
        truth = as_words(world.values[n])
        for sentence in world.descriptions[n]:
            claims, rest = _read(sentence)
            assert not re.search(rf"\b({_COLOUR}|spotted|streaked|barred|banded|bill|tail|wings)\b", rest), sentence
            for group, value in claims.items():
                assert truth[group] == value, (sentence, group, truth[group])
                part = SHOWN_BY[group]
                assert part is None or world.part_points[n, PARTS.index(part), 2] == 1, (sentence, part)
                told.add((group, value))
            assert sentence[0].isupper() and sentence.endswith(".")
    assert len(told) > 95, "nearly every attribute has words"


def test_sentences_of_a_bird_differ_in_what_they_tell():
    world = birds(100, size=32, seed=4)
    claims = [[_read(s)[0] for s in world.descriptions[n]] for n in range(100)]
    assert min(len({g for found in row for g in found}) for row in claims) >= 6
    openings = {world.descriptions[n][0].split()[0] for n in range(100)}
    assert len(openings) >= 3


def test_a_species_is_described_by_its_most_frequent_values():
    world = birds(2, size=24)
    for label in range(len(world.class_names)):
        claims, _ = _read(world.describe_class(label).replace(world.class_names[label], ""))
        assert len(claims) >= 14
        for group, value in claims.items():
            number = world.attribute_names.index(f"{group}={value}")
            assert float(world.class_attributes[label, number]) >= 0.5, (label, group)
