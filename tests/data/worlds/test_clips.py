"""The clips world as a set: classes, balance, ties, sentences, reversal, columns."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from data_fetch.fields import batches
from data_fetch.worlds.clips import CLASSES, ONE_WAY, PAIRS, SYMMETRIC, THINGS, Bytes, clips
from data_fetch.worlds.clips.actions import KINDS, SCRIPT_NAMES, SCRIPTS, opposites, sentence
from data_fetch.worlds.clips.render import render
from data_fetch.worlds.clips.sampling import possible_things, sample_casting
from data_fetch.worlds.clips.things import COLOUR_NAMES, PALETTES


@pytest.fixture(scope="module")
def world():
    return clips(2 * len(CLASSES), size=24, seed=4)


def test_there_are_enough_classes_and_things():
    assert len(CLASSES) == len(set(CLASSES)) == 2 * len(PAIRS) + len(SYMMETRIC) + len(ONE_WAY) == 27
    assert len(PAIRS) >= 7 and len(THINGS) >= 12
    assert all("[something]" in name for name in CLASSES)


def test_opposites_go_both_ways():
    table = opposites(CLASSES)
    for number, other in enumerate(table.tolist()):
        if CLASSES[number] in ONE_WAY:
            assert other == -1
        else:
            assert table[other] == number
            assert (other == number) == (CLASSES[number] in SYMMETRIC)
    assert opposites(("Opening [something]", "Moving [something] up")).tolist() == [-1, -1]


def test_a_push_played_backwards_is_a_pull_by_the_hand_on_the_same_side():
    table = opposites(CLASSES)
    pushed = CLASSES.index("Pushing [something] from left to right")
    assert CLASSES[table[pushed]] == "Pulling [something] from right to left"


def test_sentences_fill_every_placeholder(world):
    for text, label, thing, other in zip(world.texts, world.labels, world.things, world.others, strict=True):
        assert "[" not in text
        assert KINDS[thing] in text
        assert world.class_names[label].count("[something]") == 1 or KINDS[other] in text
    assert sentence("Uncovering [something]", "orange cup", "blue cloth") == "Uncovering an orange cup"
    assert sentence("Putting [something] into [something]", "red ball", "orange bowl") == (
        "Putting a red ball into an orange bowl"
    )


def test_shapes_and_types(world):
    assert world.frames[:3].shape == (3, 8, 3, 24, 24) and world.frames[:3].dtype == torch.float32
    assert world.masks.shape == world.hand_masks.shape == (54, 8, 24, 24) and world.masks.dtype == torch.bool
    assert world.boxes.shape == (54, 8, 4) and world.centres.shape == (54, 8, 2)
    assert not (world.masks & world.hand_masks).any()
    assert world.hand_masks.any(-1).any(-1).any(-1).all(), "every clip shows a hand"
    batch = next(batches(world, "frames", "labels", size=5))
    assert batch["frames"].shape == (5, 8, 3, 24, 24) and batch["labels"].tolist() == world.labels[:5].tolist()


def test_boxes_hold_the_mask_tightly(world):
    for mask, box in zip(world.masks[::5].flatten(0, 1), world.boxes[::5].flatten(0, 1), strict=True):
        if not mask.any():
            assert box.tolist() == [0, 0, 0, 0]
            continue
        rows, columns = torch.nonzero(mask, as_tuple=True)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("tie", [None, 0.0, 0.8, 1.0])
def test_classes_are_balanced_and_the_tie_is_reached(seed, tie):
    generator = torch.Generator().manual_seed(seed)
    cast, labels = sample_casting(27 * 20, CLASSES, THINGS, tie, generator)
    assert torch.bincount(labels).tolist() == [20] * 27
    for label, name in enumerate(CLASSES):
        possible = possible_things(name, THINGS)
        things = cast.things[labels == label]
        counts = torch.bincount(things, minlength=len(KINDS))[[KINDS.index(thing) for thing in possible]]
        assert counts.sum() == 20, "only things that the action can be done to"
        tied = int(counts[label % len(possible)])
        if tie is None:
            assert counts.max() - counts.min() <= 1
        else:
            assert tied == round(20 * tie)
            rest = torch.cat([counts[: label % len(possible)], counts[label % len(possible) + 1 :]])
            assert rest.max() - rest.min() <= 1


def test_the_card_says_what_was_asked_for_and_reached():
    data = clips(40, frames=2, size=24, classes=PAIRS[0] + PAIRS[2], tie=0.7, noise=0.0)
    card = data.card()
    assert json.loads(json.dumps(card)) == card
    assert card["clips"] == 40 and set(card["class_counts"].values()) == {10}
    assert card["share_of_tied_thing"] == 0.7 == card["tie"]
    assert card["share_if_independent"] == round(1 / 14, 4)
    assert sum(map(sum, card["class_by_thing"])) == sum(card["thing_counts"].values()) == 40
    assert card["opposite"] == dict(zip(data.class_names, [1, 0, 3, 2], strict=True))


@pytest.mark.parametrize("seed", [0, 3])
def test_same_arguments_same_bits_and_another_seed_another_set(seed):
    one, two = clips(9, size=24, seed=seed), clips(9, size=24, seed=seed)
    assert torch.equal(one.frames.values, two.frames.values) and torch.equal(one.masks, two.masks)
    assert not torch.equal(one.frames.values, clips(9, size=24, seed=seed + 1).frames.values)


def test_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    clips(4, size=24, seed=2)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("rows", [[7], [50, 3, 11, 20, 4], list(range(1, 54, 3))])
def test_a_clip_depends_on_its_own_row_alone(world, rows):
    drawn = render(world[rows].casting, 8, 24, world.noise)
    assert torch.equal(drawn.frames, world.frames.values[rows])
    assert torch.equal(drawn.masks, world.masks[rows]) and torch.equal(drawn.hand_masks, world.hand_masks[rows])


def test_a_backward_clip_is_exactly_the_forward_one_in_the_other_order(world):
    chosen = world.reversible
    cast = world[chosen].casting
    drawn = render(replace(cast, backward=~cast.backward), 8, 24, world.noise)
    assert torch.equal(drawn.frames.flip(1), world.frames.values[chosen])
    assert torch.equal(drawn.masks.flip(1), world.masks[chosen])
    assert torch.equal(drawn.hand_masks.flip(1), world.hand_masks[chosen])


def test_reversed_clips_carry_the_opposite_label(world):
    back = world.reversed()
    assert torch.equal(back.frames.values, world.frames.values.flip(1))
    for name in ("masks", "hand_masks", "boxes", "centres"):
        assert torch.equal(getattr(back, name), getattr(world, name).flip(1))
    assert torch.equal(back.labels, world.opposite[world.labels])
    assert torch.equal(back.labels >= 0, world.reversible)
    assert all((text == "") == (label < 0) for text, label in zip(back.texts, back.labels.tolist(), strict=True))
    again = back.reversed()
    assert torch.equal(again.labels, world.labels) and again.texts == world.texts
    assert torch.equal(again.frames.values, world.frames.values)
    assert back.card()["class_counts"]["Opening [something]"] == 2


def test_other_things_do_the_same(world):
    chosen = torch.tensor([SCRIPTS[SCRIPT_NAMES[s]].things == THINGS for s in world.scripts.tolist()])
    data = world[chosen & ~torch.isin(world.scripts, torch.tensor([SCRIPT_NAMES.index("cover")]))]
    other = data.with_things((data.things + 1) % len(THINGS))
    assert torch.equal(other.labels, data.labels) and torch.equal(other.tables, data.tables)
    assert all(KINDS[k] in text for k, text in zip(other.things.tolist(), other.texts, strict=True))
    for thing, colour in zip(other.things.tolist(), other.colours.tolist(), strict=True):
        assert colour in PALETTES[KINDS[thing]], COLOUR_NAMES[colour]
    assert not torch.equal(other.masks, data.masks)
    kept = (other.frames.values == data.frames.values).all(2).flatten(1).float().mean(1)
    assert (kept > 0.6).all(), "table and background stay, noise included"
    same = data.with_things(data.things)
    assert torch.equal(same.frames.values, data.frames.values)
    with pytest.raises(ValueError, match="clip 0 can be of box, book, laptop"):
        clips(2, size=24, classes=["Opening [something]"]).with_things(torch.tensor([0, 0]))
    with pytest.raises(ValueError, match="things must have shape"):
        data.with_things(torch.tensor([0]))


def test_bytes_are_floats_when_asked_for(world):
    plain = clips(2 * len(CLASSES), size=24, seed=4, storage="float")
    assert isinstance(world.frames, Bytes) and isinstance(plain.frames, torch.Tensor)
    assert torch.equal(world.frames[:], plain.frames) and torch.equal(world.frames[3], plain.frames[3])
    assert torch.equal(world[[5, 2]].frames[:], plain.frames[[5, 2]])
    assert torch.equal(plain.reversed().frames, world.reversed().frames[:])
    moved = world.to("cpu")
    assert isinstance(moved.frames, Bytes) and len(moved) == len(world)
    with pytest.raises(ValueError, match="uint8"):
        Bytes(torch.zeros(3))


@pytest.mark.parametrize("thing", ["hat", "apple", "toy car", "pencil"])
def test_colours_can_be_read_back_from_the_pixels(thing):
    data = clips(80, frames=2, size=32, seed=8, classes=PAIRS[0], things=[thing], noise=0.0)
    frames, masks = data.frames[:][:, 0], data.masks[:, 0]
    looks = torch.stack([picture[:, mask].median(1).values for picture, mask in zip(frames, masks, strict=True)])
    known, new = slice(0, 40), slice(40, 80)
    usual = torch.stack([looks[known][data.colours[known] == k].mean(0) for k in PALETTES[thing]])
    read = torch.tensor(PALETTES[thing])[torch.cdist(looks[new], usual).argmin(1)]
    assert (read == data.colours[new]).float().mean() > 0.85, f"{thing}: {[COLOUR_NAMES[k] for k in read.tolist()]}"


def test_noise_is_what_was_asked_for():
    clean, noisy = (clips(12, size=32, seed=1, noise=noise).frames[:] for noise in (0.0, 0.03))
    inside = (clean > 0.15) & (clean < 0.85)
    assert abs(float((noisy - clean)[inside].std()) - 0.03) < 0.002


@pytest.mark.parametrize(
    "bad",
    [
        {"count": 0},
        {"size": 12},
        {"frames": 1},
        {"frames": 33},
        {"classes": ["Eating [something]"]},
        {"classes": []},
        {"things": ["cup", "cup"]},
        {"things": ["cup", "ball"]},
        {"things": ["box", "cup", "ball"], "tie": 0.5},
        {"tie": 1.5},
        {"noise": -0.1},
        {"storage": "disk"},
    ],
)
def test_wrong_arguments_are_named(bad):
    with pytest.raises(ValueError, match=r"must be|is a share|can be done to"):
        clips(**{"count": 4, "size": 24, **bad})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_clips_come_out_of_a_gpu(world):
    other = clips(2 * len(CLASSES), size=24, seed=4, device="cuda")
    assert other.labels.is_cuda and other.frames[:2].is_cuda
    assert (other.masks.cpu() == world.masks).float().mean() > 0.999
    assert (other.frames[:].cpu() - world.frames[:]).abs().mean() < 0.002
