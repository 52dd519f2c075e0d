"""Places: regions against first principles, lines on which things stand, facts, and that each is told from the others."""

from __future__ import annotations

import pytest
import torch
from brute_shapes import FirstPrinciples

from data_fetch.worlds.scenes import places
from data_fetch.worlds.scenes.places import PLACES, REGIONS, draw
from data_fetch.worlds.scenes.places_base import Ground
from data_fetch.worlds.scenes.vocabulary import FACTS, PLACE_NAMES, THINGS
from data_fetch.worlds.scenes.vocabulary import PLACES as TABLE

each = pytest.mark.parametrize("name", PLACE_NAMES)
sizes = pytest.mark.parametrize("size", [32, 64])
FEET = {  # on what one stands there
    "beach": {"sand"}, "snow": {"snow"}, "kitchen": {"floor"}, "street": {"road"}, "office": {"floor"},
    "field": {"grass"}, "water": {"jetty"}, "court": {"court"}, "bedroom": {"floor", "rug"},
    "forest": {"grass", "path", "trees"},
}  # fmt: skip
TOPS = {"kitchen": {"table"}, "office": {"table"}, "bedroom": {"bed", "sideboard"}}


class BruteGround(FirstPrinciples, Ground):
    """The same places, painted pixel by pixel; it has no cheaper view of some rows."""

    def __init__(self, seeds, size, flat):
        super().__init__(seeds, size, flat)
        mirrored = self.u[:, 0, 0] > 0.5
        axis = (torch.arange(size, dtype=torch.float64) + 0.5) / size
        self.prepare()
        self.u[:] = torch.where(mirrored[:, None], 1 - axis, axis)[:, None, :]
        self.v[:] = axis[:, None]

    def rows(self, top, bottom):
        return self

    def fade(self, high, low, top, bottom):
        return high  # colours are not looked at

    def under(self, line):
        line = line[:, None, None] if isinstance(line, torch.Tensor) and line.ndim == 1 else line
        return torch.where(self.v > line, -1.0, 1.0) * (self.v - line).abs() * self.scale

    def band(self, top, bottom):
        above, below = -self.under(top), self.under(bottom)
        return torch.where((above > 0) & (below > 0), -torch.minimum(above, below), torch.maximum(-above, -below))

    def bars(self, axis, pitch, half, phase=0.0):
        phase = phase.double()[:, None, None] if isinstance(phase, torch.Tensor) and phase.ndim == 1 else phase
        number = (axis / pitch + phase).floor()
        nearest = min_over(axis - (number + k + 0.5 - phase) * pitch for k in (-1, 0, 1))
        return (nearest - half) * self.scale


def min_over(distances):
    return torch.stack([d.abs() for d in distances]).amin(0)


def share_of(regions: torch.Tensor, names: set[str]) -> torch.Tensor:
    """(n, S): per row the share of the pixels that belong to one of the regions."""
    return sum((regions == REGIONS.index(name)).float() for name in names).mean(2)


@each
@pytest.mark.parametrize("seed", [0, 500, 9_000])
def test_regions_are_those_of_a_pixel_by_pixel_painting(name, seed, monkeypatch):
    seeds, made = torch.arange(5) + seed, []
    _, regions = draw(name, seeds, 40)

    def brute(*arguments):
        made.append(BruteGround(*arguments))
        return made[0]

    monkeypatch.setattr(places, "Ground", brute)
    _, expected = draw(name, seeds, 40)
    clear = ~made[0].close
    assert clear.float().mean() > 0.98
    assert torch.equal(regions[clear], expected[clear])


@each
@sizes
def test_images_are_in_range_and_every_pixel_has_a_region(name, size):
    images, regions = draw(name, torch.arange(40) * 7, size)
    assert images.shape == (40, 3, size, size) and images.dtype == torch.float32
    assert regions.shape == (40, size, size) and regions.dtype == torch.uint8
    assert torch.isfinite(images).all() and 0 <= float(images.min()) and float(images.max()) <= 1
    assert 0 < int(regions.min()) and int(regions.max()) < len(REGIONS)


@each
@sizes
def test_facts_are_seen_and_nothing_else_that_one_could_ask_about(name, size):
    _, regions = draw(name, torch.arange(60) * 31, size)
    for fact in FACTS:
        area = (regions == REGIONS.index(fact)).flatten(1).float().mean(1)
        if fact in TABLE[name].facts:
            assert (area > (0.02 if fact in ("net", "table", "mountains") else 0.05)).all(), fact
        else:
            assert not area.any(), f"{fact} is no fact of the place"


@each
@sizes
def test_feet_things_and_boats_are_where_the_vocabulary_says(name, size):
    place = TABLE[name]
    _, regions = draw(name, torch.arange(60) * 13, size)
    first, last = (min(size - 1, int(line * size)) for line in place.floor)
    assert (share_of(regions, FEET[name])[:, first : last + 1] > 0.93).all()
    if place.table is not None:
        line = share_of(regions, TOPS[name])[:, int((place.table - 0.01) * size) : int((place.table + 0.03) * size) + 1]
        assert (line > 0.9).all(), "the table is there all across the picture"
    if place.water is not None:
        first, last = (int(line * size) for line in place.water)
        assert (share_of(regions, {"water"})[:, first : last + 1] > 0.8).all()
        under = share_of(regions, {"water"})[:, int((place.water[1] + 0.04) * size)]
        assert (under > 0.8).all(), "a hull dips into water"


def test_regions_do_not_name_things_or_living_beings():
    assert REGIONS[0] == "nothing" and len(set(REGIONS)) == len(REGIONS)
    assert set(FACTS) <= set(REGIONS) and not set(THINGS) & set(REGIONS) and "person" not in REGIONS
    assert tuple(PLACES) == PLACE_NAMES


@sizes
@pytest.mark.parametrize("style", ["photo", "flat"])
def test_places_are_told_apart_by_nearest_mean(size, style):
    """Thumbnails of 8 x 8: more than 95 % of new pictures are nearest to the mean of their own kind."""

    def thumbnails(seeds):
        drawn = [draw(name, seeds, size, style)[0] for name in PLACE_NAMES]
        return torch.stack([torch.nn.functional.avg_pool2d(d, size // 8).flatten(1) for d in drawn])

    means = thumbnails(torch.arange(40) + 10_000).mean(1)
    found = torch.cdist(thumbnails(torch.arange(40)), means).argmin(2)
    right = (found == torch.arange(len(PLACE_NAMES))[:, None]).float().mean(1)
    assert right.mean() > 0.95 and right.min() > 0.8, dict(zip(PLACE_NAMES, right.tolist()))


@each
def test_seeds_vary_the_picture_and_where_things_are(name):
    images, regions = draw(name, torch.arange(30), 32)
    spread = images.std(0).mean()
    assert spread > 0.04, "light, colours and shapes differ"
    apart = torch.cdist(images.flatten(1), images.flatten(1)) + 1e3 * torch.eye(30)
    assert apart.min() > 1.0, "no two are alike"
    assert (regions != regions[:1]).flatten(1).float().mean() > 0.01


@each
@pytest.mark.parametrize("style", ["photo", "flat"])
def test_a_picture_depends_on_its_seed_alone(name, style):
    seeds = torch.arange(20) * 101 + 3
    images, regions = draw(name, seeds, 32, style)
    again, _ = draw(name, seeds, 32, style)
    assert torch.equal(images, again)
    some = torch.tensor([17, 4, 9])
    few, few_regions = draw(name, seeds[some], 32, style)
    assert torch.equal(few, images[some]) and torch.equal(few_regions, regions[some])


@each
def test_a_cartoon_has_the_same_regions_in_fewer_colours(name):
    seeds = torch.arange(8)
    photo, regions = draw(name, seeds, 48)
    flat, same = draw(name, seeds, 48, "flat")
    assert torch.equal(regions, same)

    def colours(images):
        return [len((image * 255).round().flatten(1).T.unique(dim=0)) for image in images]

    assert all(f < 0.9 * p for f, p in zip(colours(flat), colours(photo)))


@each
def test_the_global_random_state_is_left_alone(name):
    before = torch.random.get_rng_state()
    draw(name, torch.arange(2), 24)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@each
def test_a_gpu_paints_the_same(name):
    seeds = torch.arange(6)
    images, regions = draw(name, seeds, 32)
    there, regions_there = draw(name, seeds.cuda(), 32)
    assert (there.cpu() - images).abs().mean() < 1e-3
    assert (regions_there.cpu() != regions).float().mean() < 1e-3


def test_bad_input_is_named():
    seeds = torch.arange(3)
    with pytest.raises(ValueError, match="no place 'moon'; there are beach"):
        draw("moon", seeds, 32)
    with pytest.raises(ValueError, match="style must be one of"):
        draw("beach", seeds, 32, "oil")
    with pytest.raises(ValueError, match="at least 16 pixels, got 8"):
        draw("beach", seeds, 8)
    with pytest.raises(ValueError, match="integers"):
        draw("beach", seeds.float(), 32)
