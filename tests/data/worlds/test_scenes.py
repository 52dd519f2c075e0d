"""Rendered scenes: masks, boxes and owners are those of a painter who draws one thing after the other."""

from __future__ import annotations

import json

import pytest
import torch

from data_fetch.fields import APPEARANCE
from data_fetch.worlds.raster import Pen, hashed
from data_fetch.worlds.scenes import people, places, scenes, things
from data_fetch.worlds.scenes.render import STYLES, render
from data_fetch.worlds.scenes.vocabulary import (
    ACTIVITIES,
    APPEARANCES,
    COLOURS,
    FACTS,
    KINDS,
    PLACE_NAMES,
    PLACES,
    POSES,
)

seeds = pytest.mark.parametrize("seed", [0, 6, 41])


@seeds
def test_fields_have_their_shapes_and_ranges(seed):
    world = scenes(60, size=48, seed=seed)
    assert world.images.shape == (60, 3, 48, 48) and world.images.dtype == torch.float32 and len(world) == 60
    assert 0 <= float(world.images.min()) and float(world.images.max()) <= 1
    for name in ("owner", "part", "region", "segmentation"):
        assert getattr(world, name).shape == (60, 48, 48) and getattr(world, name).dtype == torch.uint8
    assert float(world.images.flatten(1).std(1).min()) > 0.03, "no picture is empty"
    assert world.appearance_names == APPEARANCE and torch.equal(world.appearance, world.graph.appearance)
    assert [{"unclear": "person"}.get(word, word) for word in APPEARANCES] == list(APPEARANCE), "as in the readers"
    assert len(world.captions) == 60 and all(len(found) == 5 for found in world.captions)


@seeds
def test_same_arguments_same_bits_and_a_subset_is_drawn_as_in_the_whole(seed):
    world, again = scenes(40, size=32, seed=seed), scenes(40, size=32, seed=seed)
    assert torch.equal(world.images, again.images) and torch.equal(world.owner, again.owner)
    assert not torch.equal(world.images, scenes(40, size=32, seed=seed + 1).images)
    rows = torch.tensor([3, 11, 30])
    alone = render(world.graph[rows], 32, noise=world.noise)
    assert torch.equal(alone.owner, world.owner[rows])
    assert torch.allclose(alone.images, world.images[rows], atol=1e-6)
    part = world[rows]
    assert torch.equal(part.images, world.images[rows]) and list(part.captions) == [
        world.captions[n] for n in (3, 11, 30)
    ]


def painted(graph, n: int, size: int) -> torch.Tensor:
    """The owner map of one scene, each thing drawn alone in the whole image, the later ones over the earlier."""
    owner = torch.zeros(size, size, dtype=torch.uint8)
    slots = [s for s in range(graph.kind.shape[1]) if graph.kind[n, s] >= 0]
    for slot in sorted(slots, key=lambda s: int(graph.order[n, s])):
        row, kind = slice(n, n + 1), int(graph.kind[n, slot])
        x, y, reach = (getattr(graph, name)[row, slot] * size for name in ("x", "y", "reach"))
        pen = Pen(size, x, y, reach, flip=graph.flip[row, slot])
        vary = hashed(graph.seeds[row] + 1_000_003 * (slot + 1), 8)
        colour = torch.tensor([list(COLOURS.values())[graph.colour[n, slot]]])
        if kind:
            things.draw(KINDS[kind], pen, colour, graph.state[row, slot], vary[:, :4], "photo")
        else:
            names = ("hair", "hair_colour", "clothes", "beard", "back", "skin")
            look = people.Look(colour=colour, vary=vary[:, :4], **{name: getattr(graph, name)[row] for name in names})
            pose = POSES.index(list(ACTIVITIES.values())[graph.activity[n]].pose)
            people.draw(pen, torch.tensor([pose]), look, "photo")
        owner[pen.sprite().parts[0] > 0] = slot + 1
    return owner


@pytest.mark.parametrize("size", [32, 64])
@seeds
def test_owners_are_those_of_a_painter(seed, size):
    """No window cuts a thing off, none is drawn in the wrong order or place."""
    world = scenes(60, size=size, seed=seed, objects=(1, 5), repeat=0.4)
    differing = sum(int((painted(world.graph, n, size) != world.owner[n]).sum()) for n in range(60))
    assert differing == 0


@seeds
def test_boxes_labels_and_masks_follow_from_the_owners(seed):
    world = scenes(50, size=48, seed=seed, objects=(2, 4))
    assert sum(map(len, world.boxes)) > 100
    for n in range(50):
        masks, boxes, labels = world.object_masks[n], world.boxes[n], world.box_labels[n]
        slots = torch.nonzero(world.seen[n])[:, 0]
        assert len(masks) == len(boxes) == len(labels) == len(slots)
        for mask, box, label, slot in zip(masks, boxes, labels, slots):
            rows, columns = torch.nonzero(mask, as_tuple=True)
            expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert box.tolist() == [float(v) for v in expected]
            assert int(label) == int(world.graph.kind[n, slot])
            assert (world.segmentation[n][mask] == int(label) + 1).all()
            assert torch.equal(mask, world.owner[n] == int(slot) + 1)
        assert set(torch.nonzero(world.labels[n])[:, 0].tolist()) == set(labels.tolist())
        union = torch.zeros(48, 48, dtype=torch.bool)
        for mask, label in zip(masks, labels):
            union |= mask & (label == 0)
        assert torch.equal(world.mask_of("person")[n], union)
    assert ((world.segmentation > 0) == (world.owner > 0)).all()
    with pytest.raises(ValueError, match="no class 'unicorn'"):
        world.mask_of("unicorn")


@seeds
def test_words_point_at_the_pixels_they_speak_of(seed):
    world = scenes(40, size=48, seed=seed)
    things_named = 0
    for n in range(40):
        annotated = world.annotated_captions(n)
        assert tuple(caption.text for caption in annotated) == world.captions[n]
        for mention in annotated[0].mentions:
            mask, word = world.mention_mask(n, mention), annotated[0].words[mention.start]
            assert mask.any()
            if mention.role == "place":
                assert torch.equal(mask, world.owner[n] == 0)
            elif mention.role == "person":
                assert torch.equal(mask, world.mask_of("person")[n])
            elif mention.role == "thing" and mention.end == mention.start + 1 and word in KINDS:
                things_named += 1
                assert not (mask & ~world.mask_of(word)[n]).any()
    assert things_named > 15


@seeds
def test_what_is_seen_shows_enough(seed):
    world = scenes(80, size=64, seed=seed, objects=(2, 5))
    counts = torch.stack([(world.owner == slot + 1).sum((1, 2)) for slot in range(world.graph.kind.shape[1])], 1)
    assert torch.equal(counts, world.visible)
    assert int(world.visible[world.seen].min()) >= 9
    there = world.graph.kind >= 0
    assert float(world.seen[there].float().mean()) > 0.9, "few things are hidden"
    assert not world.seen[~there].any()


@seeds
def test_places_show_their_facts(seed):
    world = scenes(100, size=48, seed=seed)
    for n in range(100):
        place = PLACES[PLACE_NAMES[world.graph.place[n]]]
        shown = {places.REGIONS[r] for r in world.region[n].unique().tolist()}
        assert set(place.facts) <= shown, (place.name, shown)
        assert not (set(FACTS) - set(place.facts)) & shown, (place.name, shown)


@seeds
def test_other_places_leave_the_things_as_they_are(seed):
    world = scenes(30, size=48, seed=seed, style="flat", noise=0.0)
    other = world.in_places((world.graph.place + 3) % 10)
    assert torch.equal(world.owner, other.owner) and not torch.equal(world.region, other.region)
    core = -torch.nn.functional.max_pool2d(-(world.owner > 0).float()[:, None], 3, 1, 1)[:, 0] > 0
    change = (world.images - other.images).abs().amax(1)
    assert core.sum() > 1000 and float((change[core] < 1e-4).float().mean()) > 0.97
    assert float((change[world.owner == 0] > 1e-3).float().mean()) > 0.8
    assert [c[0] for c in other.captions] != [c[0] for c in world.captions]
    for bad, message in (([0], "shape"), ([11] * 30, "0 to 9")):
        with pytest.raises(ValueError, match=message):
            world.in_places(bad)


@seeds
def test_styles_look_different_and_show_the_same(seed):
    drawn = {style: scenes(24, size=48, seed=seed, style=style, noise=0.0) for style in STYLES}
    for style, world in drawn.items():
        assert torch.equal(world.graph.kind, drawn["photo"].graph.kind)
        same = (world.owner == drawn["photo"].owner).float().mean()
        assert float(same) > (0.93 if style == "flat" else 0.9999), "flat things have an outline"
        assert float(world.images.flatten(1).std(1).min()) > 0.02
    assert float(drawn["night"].images.mean()) < 0.6 * float(drawn["photo"].images.mean())
    colourful = {style: float(world.images.std(1).mean()) for style, world in drawn.items()}
    assert colourful["sketch"] < 0.6 * colourful["photo"], "paper and pencil"


@seeds
def test_proposals_hold_every_seen_thing_and_distractors(seed):
    world = scenes(40, size=48, seed=seed).with_proposals(10, seed=seed)
    assert world.proposals.shape == (40, 10, 4)
    sides = world.proposals[..., 2:] - world.proposals[..., :2]
    assert float(sides.min()) > 0 and float(world.proposals.min()) >= 0 and float(world.proposals.max()) <= 48
    for proposals, boxes in zip(world.proposals, world.boxes):
        for box in boxes:
            low, high = torch.maximum(proposals[:, :2], box[:2]), torch.minimum(proposals[:, 2:], box[2:])
            shared = (high - low).clamp(min=0).prod(1)
            union = (proposals[:, 2:] - proposals[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - shared
            assert float((shared / union).max()) > 0.5
    with pytest.raises(ValueError, match="count must be at least"):
        world.with_proposals(3)


def test_card_says_what_is_in_the_set():
    world = scenes(400, size=24, seed=1, people=1.0, unclear=0.1, women=0.25, activity_tie=0.9, context={"boat": 1.0})
    card = json.loads(json.dumps(world.card()))
    assert card["images"] == 400 and card["knobs"]["women"] == 0.25 and card["knobs"]["context"] == {"boat": 1.0}
    assert card["appearance_counts"] == {"woman": 90, "man": 270, "unclear": 40}
    assert abs(card["activity_tie_reached"] - 0.9) < 0.005 and card["share_with_person"] == 1.0
    assert sum(card["place_counts"].values()) == 400
    empty = scenes(20, size=24, people=0.0).card()
    assert empty["activity_tie_reached"] is None and empty["activity_counts"] == {}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": 16}, ValueError, "size must be at least 24"),
        ({"style": "oil"}, ValueError, "style must be one of photo"),
        ({"noise": -0.1}, ValueError, "noise is a standard deviation"),
        ({"peopel": 0.5}, TypeError, "no argument peopel"),
        ({"people": 3}, ValueError, "people is a share"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        scenes(4, **arguments)


def test_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    scenes(5, size=24, seed=2).with_proposals()
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_gpu_draws_the_same():
    here, there = scenes(64, size=48, seed=3), scenes(64, size=48, seed=3, device="cuda")
    assert float((here.owner != there.owner.cpu()).float().mean()) < 1e-3
    assert float((here.images - there.images.cpu()).abs().mean()) < 1e-3
