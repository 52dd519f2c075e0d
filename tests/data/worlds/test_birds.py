"""The birds world as a data set: fields, species, knobs, determinism, and birds of a reader's own description."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from data_fetch.worlds.birds import ATTRIBUTE_NAMES, GROUPS, HABITATS, PARTS, Birds, birds, from_attributes
from data_fetch.worlds.birds.individuals import values_of
from data_fetch.worlds.birds.species import APART, COUNT, UNSEEN, least_distance, species
from data_fetch.worlds.birds.vocabulary import COVER, binary, group_of_attribute

seeds = pytest.mark.parametrize("seed", [0, 1, 7])


@seeds
def test_fields_have_their_shapes_and_ranges(seed):
    world = birds(30, size=32, seed=seed)
    assert isinstance(world, Birds) and len(world) == 30
    assert world.images.shape == (30, 3, 32, 32) and 0 <= float(world.images.min()) <= float(world.images.max()) <= 1
    assert world.masks.shape == (30, 32, 32) and world.masks.dtype == torch.bool and world.masks.flatten(1).any(1).all()
    assert world.part_masks[[0, 5]].shape == (2, len(PARTS), 32, 32) and world.part_masks[4].dtype == torch.bool
    assert world.attributes.shape == (30, len(ATTRIBUTE_NAMES)) and len(ATTRIBUTE_NAMES) >= 90
    assert (world.attributes.sum(1) == len(GROUPS)).all(), "one value of each group"
    assert set(world.certainty.unique().tolist()) <= {1, 4}
    assert world.class_attributes.shape == (COUNT, len(ATTRIBUTE_NAMES)) and world.seen.shape == (COUNT,)
    assert len(world.descriptions) == 30 and len(world.names) == len(set(world.names)) == 30


@seeds
def test_masks_boxes_and_points_agree_with_the_map_of_parts(seed):
    world = birds(60, size=48, seed=seed, hidden=0.6)
    parts = world.part_masks[:]
    assert torch.equal(parts.any(1), world.masks) and int(parts.sum(1).max()) == 1
    for n in range(60):
        y, x = torch.nonzero(world.masks[n], as_tuple=True)
        assert world.boxes[n].tolist() == [x.min(), y.min(), x.max() + 1, y.max() + 1]
        for p in torch.nonzero(world.part_points[n, :, 2])[:, 0].tolist():
            y, x = torch.nonzero(parts[n, p], as_tuple=True)
            middle = torch.stack([x.double().mean() + 0.5, y.double().mean() + 0.5])
            assert torch.allclose(world.part_points[n, p, :2].double(), middle, atol=1e-4)
    hidden = world.part_points[..., 2] == 0
    assert 0.01 < float(hidden.float().mean()) < 0.3
    assert (world.part_points[..., :2] >= 0).all() and (world.part_points[..., :2] <= 48).all()


def test_what_is_hidden_is_not_certain_and_nothing_else_is():
    world = birds(200, size=48, seed=2, hidden=0.5)
    leg = [n for n, name in enumerate(ATTRIBUTE_NAMES) if name.startswith("has_leg_color")]
    shown = world.part_points[:, PARTS.index("leg"), 2] > 0
    assert torch.equal(world.certainty[:, leg] == 4, shown[:, None].expand(-1, len(leg)))
    assert (world.certainty[:, -2:] == 4).all(), "the size can always be judged"
    covered = (world.parts == COVER).flatten(1).any(1)
    assert abs(float(covered.float().mean()) - 0.5) < 0.1 and 20 < int((~shown).sum()) < 100
    clear = birds(100, size=48, seed=2, hidden=0.0)
    assert (clear.parts != COVER).all() and float((clear.certainty == 4).float().mean()) > 0.99


@seeds
def test_same_seed_same_pixels_other_seed_other_pixels(seed):
    first, again = birds(20, size=32, seed=seed), birds(20, size=32, seed=seed)
    assert torch.equal(first.images, again.images) and torch.equal(first.parts, again.parts)
    assert first.descriptions[:] == again.descriptions[:]
    assert not torch.equal(first.images, birds(20, size=32, seed=seed + 100).images)


def test_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    birds(3, size=32, seed=5)
    assert torch.equal(before, torch.random.get_rng_state())


def test_part_of_a_set_renders_as_in_the_whole():
    world = birds(300, size=32, seed=4, hidden=0.4)
    rows = torch.tensor([3, 70, 299])
    part = world[rows]
    again = part.with_habitats(part.habitats)
    assert torch.equal(part.images, world.images[rows]) and torch.equal(again.images, part.images)
    assert torch.equal(part.part_masks[:], world.part_masks[rows]) and part.descriptions[2] == world.descriptions[299]
    assert len(world[world.labels == 2]) == int((world.labels == 2).sum())


@seeds
def test_other_habitats_leave_the_birds_alone(seed):
    world = birds(40, size=48, seed=seed, hidden=0.3)
    other = world.with_habitats((world.habitats + 1 + seed) % len(HABITATS))
    changed = (world.images - other.images).abs().amax(1) > 1e-6
    core = F.max_pool2d((~world.masks).float()[:, None], 5, 1, 2)[:, 0] == 0
    outside = F.max_pool2d((world.parts > 0).float()[:, None], 5, 1, 2)[:, 0] == 0
    assert core.sum() > 500 and not changed[core].any()
    assert float(changed[outside].float().mean()) > 0.9
    assert torch.equal(world.parts, other.parts) and (world.with_habitats("snow").habitats == 6).all()


# ---------------------------------------- species
def test_species_are_many_apart_and_named_once():
    kinds = species()
    assert COUNT == len(set(kinds.names)) == 80 and int(kinds.seen.sum()) == COUNT - UNSEEN == 56
    groups, attributes = least_distance()
    assert groups >= APART == 9 and attributes == 2 * groups


def test_every_attribute_occurs_on_both_sides_of_the_split():
    kinds = species()
    has = binary(kinds.values)
    assert int(has[kinds.seen].sum(0).min()) >= 5 and int(has[~kinds.seen].sum(0).min()) >= 2


def test_names_are_true():
    kinds, often = species(), species().frequencies(0.25)
    words = {"throated": "throat", "breasted": "breast", "winged": "wing", "bellied": "belly", "crowned": "crown"}
    words |= {
        "naped": "nape",
        "eyed": "eye",
        "legged": "leg",
        "billed": "bill",
        "tailed": "upper_tail",
        "backed": "back",
    }
    words |= {"capped": "crown", "crested": "crown"}
    checked = 0
    for name, values in zip(kinds.names, kinds.values.tolist()):
        bird = {g: GROUPS[g][v] for g, v in zip(GROUPS, values)}
        colour, _, end = name.split()[0].partition("-")
        if end in words and colour in GROUPS["has_throat_color"]:
            assert bird[f"has_{words[end]}_color"] == colour, name
            place = ATTRIBUTE_NAMES.index(f"has_{words[end]}_color={colour}")
            assert float(often[kinds.names.index(name), place]) == 1, "true of every individual"
            checked += 1
    assert checked > 60


@pytest.mark.parametrize("variation", [0.0, 0.1, 0.25])
def test_class_attributes_are_the_shares_that_are_drawn(variation):
    kinds, many = species(), 4000
    for label in (0, 17, 42):
        drawn = values_of(kinds, torch.full((many,), label), torch.arange(many) * 7919, variation)
        share, expected = binary(drawn).float().mean(0), kinds.frequencies(variation)[label]
        assert float((share - expected).abs().max()) < 4 * (0.25 / many) ** 0.5 * min(1, variation * 100) + 1e-6
    world = birds(60, size=24, seed=1, variation=variation)
    assert torch.equal(world.class_attributes, kinds.frequencies(variation))
    assert torch.equal(world.values, values_of(kinds, world.labels, world.seeds, variation))
    totals = torch.zeros(COUNT, len(GROUPS)).index_add_(1, group_of_attribute(), world.class_attributes)
    assert torch.allclose(totals, torch.ones_like(totals), atol=1e-5)


@seeds
def test_species_stay_nearest_to_their_own_kind(seed):
    world = birds(400, size=24, seed=seed, variation=0.08)
    nearest = torch.cdist(world.attributes.float(), world.class_attributes).argmin(1)
    assert float((nearest == world.labels).float().mean()) > 0.98


# ---------------------------------------- knobs
@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, 1.0])
def test_habitats_are_tied_as_asked(correlation):
    world = birds(100, size=24, seed=3, classes=[10, 4], habitats=("pond", "snow"), correlation=correlation)
    assert world.card()["share_at_home"] == correlation
    assert world.home[[10, 4]].tolist() == [HABITATS.index("pond"), HABITATS.index("snow")]
    assert set(world.card()["class_counts"].values()) == {50}


def test_without_a_tie_each_class_is_everywhere():
    world = birds(7 * 6 * 2, size=24, seed=1, classes=range(6))
    table = torch.zeros(6, 7).index_put_((world.labels, world.habitats), torch.tensor(1.0), accumulate=True)
    assert (table == 2).all() and world.card()["share_at_home"] == pytest.approx(1 / 7, abs=1e-4)


def test_splits_and_classes_choose_species():
    seen, unseen = birds(112, size=24, split="seen"), birds(48, size=24, split="unseen")
    assert seen.seen[seen.labels].all() and not unseen.seen[unseen.labels].any()
    assert set(seen.card()["class_counts"].values()) == {2} and len(unseen.card()["class_counts"]) == 24
    assert seen.class_names == unseen.class_names, "labels mean the same on both sides"
    name = seen.class_names[5]
    assert set(birds(4, size=24, classes=[name]).labels.tolist()) == {5}


def test_card_is_plain_data():
    card = birds(20, size=24, hidden=0.2).card()
    assert json.loads(json.dumps(card)) == card
    assert card["images"] == 20 and card["knobs"]["hidden"] == 0.2 and card["least_distance"]["groups"] >= 9


@seeds
def test_noise_has_the_deviation_asked_for(seed):
    plain, noisy = birds(16, size=48, seed=seed, noise=0.0), birds(16, size=48, seed=seed, noise=0.1)
    middle = (plain.images > 0.35) & (plain.images < 0.65)
    assert abs(float((noisy.images - plain.images)[middle].std()) - 0.1) < 0.01
    assert torch.equal(plain.parts, noisy.parts)


# ---------------------------------------- a reader's own bird
@seeds
def test_described_birds_are_as_described(seed):
    choices = {"has_throat_color": "red", "has_bill_shape": "hooked", "has_size": "small_(5_-_9_in)"}
    world = from_attributes(choices, 24, seed=seed, size=32)
    for group, value in choices.items():
        assert world.attributes[:, ATTRIBUTE_NAMES.index(f"{group}={value}")].all()
        assert float(world.class_attributes[0, ATTRIBUTE_NAMES.index(f"{group}={value}")]) == 1
    assert int(world.attributes.any(0).sum()) > 40, "the rest comes from many species"
    like = from_attributes(choices, 4, like=species().names[3], size=32)
    assert len(like.values.unique(dim=0)) == 1
    usual = species().values[3]
    assert int((like.values[0] != usual).sum()) <= 3 and json.dumps(like.card())


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"choices": {"has_hat": "red"}}, "has_hat"),
        ({"choices": {"has_throat_color": "pink"}}, "black, white, grey"),
        ({"choices": {}, "like": "dodo"}, "dodo"),
        ({"choices": {}, "habitats": ("moon",)}, "moon"),
        ({"choices": {}, "count": 0}, "count"),
    ],
)
def test_bad_descriptions_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        from_attributes(**arguments)


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"count": 0}, "count"),
        ({"size": 16}, "size"),
        ({"classes": [80]}, "0 to 79"),
        ({"classes": ["dodo"]}, "dodo"),
        ({"classes": [1, 1]}, "different"),
        ({"classes": []}, "at least one"),
        ({"split": "half"}, "split"),
        ({"variation": 0.5}, "variation"),
        ({"habitats": ("moon",)}, "habitats"),
        ({"habitats": ()}, "habitats"),
        ({"correlation": 1.1}, "correlation"),
        ({"hidden": -0.1}, "hidden"),
        ({"noise": 1.0}, "noise"),
    ],
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        birds(**{"count": 4, "size": 32, **arguments})


def test_bad_habitats_are_named():
    world = birds(4, size=32)
    with pytest.raises(ValueError, match="shape"):
        world.with_habitats(torch.zeros(3))
    with pytest.raises(ValueError, match="0 to 6"):
        world.with_habitats(torch.full((4,), 7))
    with pytest.raises(ValueError, match="moon"):
        world.with_habitats("moon")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_world_on_a_gpu():
    here, there = birds(64, seed=3, hidden=0.4), birds(64, seed=3, hidden=0.4, device="cuda")
    assert there.images.is_cuda and float((here.images - there.images.cpu()).abs().mean()) < 1e-3
    assert float((here.parts != there.parts.cpu()).float().mean()) < 1e-3
    assert torch.equal(here.to("cuda").part_masks[:2], here.part_masks[:2].cuda())
