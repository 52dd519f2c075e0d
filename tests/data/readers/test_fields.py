"""The field sets: any index gives the smaller set, nothing is read before it is asked for."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from data_fetch.fields import (
    QA,
    Clips,
    Labelled,
    Loaded,
    Pictures,
    Questions,
    Taken,
    Texts,
    batches,
    rows,
)

seeds = pytest.mark.parametrize("seed", [0, 1, 7])


def filled(size: int, n: int) -> Tensor:
    return torch.full((3, size, size), float(n))


def staircase(n: int) -> Tensor:
    """Row n holds n objects; object k covers row k of the picture."""
    masks = torch.zeros(n, 5, 5, dtype=torch.bool)
    masks[torch.arange(n), torch.arange(n)] = True
    return masks


class Counting:
    """A loader that remembers what it was asked for."""

    def __init__(self):
        self.asked: list[int] = []

    def __call__(self, n: int) -> Tensor:
        self.asked.append(n)
        return torch.full((2,), float(n))


def birds(count: int = 6) -> Labelled:
    return Labelled(
        images=Loaded(partial(filled, 4), count),
        labels=torch.arange(count) % 2,
        class_names=("crow", "gull"),
        boxes=torch.arange(4.0 * count).reshape(count, 4),
        class_attributes=torch.eye(2),
        names=tuple(f"bird {n}" for n in range(count)),
    )


def scenes() -> Pictures:
    """Four pictures of 0, 1, 2 and 3 objects of classes 0, 1, 0; the third object is ignored."""
    return Pictures(
        images=Loaded(partial(filled, 5), 4),
        class_names=("cat", "dog"),
        boxes=tuple(torch.zeros(n, 4) for n in range(4)),
        box_labels=tuple(torch.tensor([0, 1, 0][:n], dtype=torch.long) for n in range(4)),
        ignored=tuple(torch.tensor([False, False, True][:n], dtype=torch.bool) for n in range(4)),
        object_masks=Loaded(staircase, 4, ragged=True),
    )


def questions() -> Questions:
    return Questions(
        pictures=scenes(),
        image_index=torch.tensor([3, 3, 0, 2, 1]),
        questions=("a?", "b?", "c?", "d?", "e?"),
        answers=("1", "2", "3", "4", "5"),
        perception=((QA("f?", "yes"),), (), (), (), ()),
    )


@pytest.mark.parametrize(
    "index, expected",
    [
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [4, 2, 0]),
        ([0, -1, 0], [0, 4, 0]),
        ((2,), [2]),
        ([], []),
        (torch.tensor([3, 1]), [3, 1]),
        (torch.tensor(2), [2]),
        (torch.tensor([True, False, False, True, False]), [0, 3]),
        ([False] * 5, []),
        (range(2), [0, 1]),
    ],
)
def test_every_kind_of_index(index, expected):
    assert rows(index, 5) == expected
    assert birds(5)[index].names == tuple(f"bird {n}" for n in expected)


def test_indices_that_make_no_sense():
    with pytest.raises(TypeError, match=r"data\[2:3\]"):
        birds()[2]
    for wrong in ([6], [-7], [0.5], torch.tensor([1, 9])):
        with pytest.raises(IndexError, match="a set that has 6 rows"):
            birds()[wrong]
    with pytest.raises(IndexError, match=r"shape \(6,\), got \(5,\)"):
        birds()[torch.ones(5, dtype=torch.bool)]


def test_loaded_reads_only_what_is_asked_for():
    load = Counting()
    wide = Loaded(load, 100)
    part = wide.take(slice(10, 50)).take([0, -1, 5]).take(torch.tensor([2, 0]))
    assert load.asked == [] and len(part) == 2
    assert part[:].tolist() == [[15, 15], [10, 10]] and load.asked == [15, 10]
    assert part[1].tolist() == [10, 10] and part[-2].tolist() == [15, 15]
    assert Loaded(load, [7, 3])[torch.tensor([False, True])].tolist() == [[3, 3]]
    with pytest.raises(IndexError, match="empty index"):
        part[[]]
    with pytest.raises(IndexError):
        part[2]


def test_ragged_columns_give_lists():
    column = Loaded(staircase, 4, ragged=True)
    assert [len(row) for row in column[1:]] == [1, 2, 3] and column[[]] == []
    assert column.take([3]).ragged and column.take([3])[0].shape == (3, 5, 5)


@pytest.mark.parametrize("column", [torch.arange(10) * 10, Loaded(lambda n: torch.tensor(n * 10), 10)])
def test_taken_repeats_and_reorders(column):
    taken = Taken(column, torch.tensor([4, 4, 0, 9]))
    assert len(taken) == 4 and taken[:].tolist() == [40, 40, 0, 90] and int(taken[-1]) == 90
    assert taken.take([3, 0])[torch.tensor([True, True])].tolist() == [90, 40]
    assert Taken(taken, [2, 2])[[0, 1]].tolist() == [0, 0]


@seeds
def test_a_part_takes_every_row_field_and_no_other(seed):
    data, chosen = birds(), torch.randperm(6, generator=torch.Generator().manual_seed(seed))[:4]
    part = data[chosen]
    assert len(part) == 4 and torch.equal(part.labels, data.labels[chosen])
    assert torch.equal(part.boxes, data.boxes[chosen]) and torch.equal(part.images[:], data.images[chosen])
    assert part.names == tuple(data.names[n] for n in chosen)
    assert part.class_names == data.class_names and part.class_attributes is data.class_attributes
    assert part.masks is None and part.attributes is None


@pytest.mark.parametrize(
    "kind, more",
    [
        (Labelled, {"images": torch.zeros(3, 3, 2, 2), "labels": torch.zeros(2), "class_names": ("a",)}),
        (Clips, {"frames": torch.zeros(3, 2, 3, 2, 2), "labels": torch.zeros(4), "class_names": ("a",)}),
        (Texts, {"texts": ("a b",), "words": (("a", "b"), ("c",)), "labels": torch.zeros(1), "class_names": ("a",)}),
    ],
)
def test_fields_of_different_lengths_are_refused(kind, more):
    with pytest.raises(ValueError, match="every row needs an entry in every field"):
        kind(**more)


def test_moving_takes_the_tensors_and_leaves_the_columns():
    data = questions()
    moved = data.to("meta")
    assert moved.image_index.is_meta and moved.pictures.images is data.pictures.images
    there = birds().to("meta")
    assert there.labels.is_meta and there.class_attributes.is_meta and there.images[:2].shape == (2, 3, 4, 4)
    assert torch.equal(birds().to("cpu").boxes, birds().boxes)


def test_a_picture_shows_the_classes_of_its_boxes_but_not_of_ignored_ones():
    data = scenes()
    assert data.labels.tolist() == [[False, False], [True, False], [True, True], [True, True]]
    only = Pictures(
        images=torch.zeros(1, 3, 2, 2), class_names=("a", "b"), box_labels=(torch.tensor([1]),),
        ignored=(torch.tensor([True]),),
    )  # fmt: skip
    assert only.labels.tolist() == [[False, False]]
    with pytest.raises(ValueError, match="no boxes"):
        Pictures(images=torch.zeros(1, 3, 2, 2), class_names=("a",)).labels  # noqa: B018


def test_mask_of_a_class_is_the_union_without_crowds():
    data = scenes()
    cats, dogs = data.mask_of("cat"), data.mask_of("dog")
    assert cats[:].shape == (4, 5, 5) and cats[:].dtype == torch.bool
    assert cats[:].any(2).tolist() == [[False] * 5, *[[True] + [False] * 4] * 3]
    assert dogs[3].any(1).tolist() == [False, True, False, False, False] and not dogs[:2].any()
    assert torch.equal(data[[3, 1]].mask_of("cat")[:], cats[[3, 1]])
    with pytest.raises(ValueError, match="no class 'cow'; there are cat, dog"):
        data.mask_of("cow")
    with pytest.raises(ValueError, match="no masks"):
        Pictures(images=torch.zeros(1, 3, 2, 2), class_names=("cat",)).mask_of("cat")


def test_questions_point_at_their_pictures():
    data = questions()
    assert data.images[:][:, 0, 0, 0].tolist() == [3, 3, 0, 2, 1]
    part = data[[4, 0]]
    assert part.images[:][:, 0, 0, 0].tolist() == [1, 3] and part.questions == ("e?", "a?")
    assert len(part.pictures) == 4 and part.perception[1][0].answer == "yes" and part.perception[1][0].kind == ""


def test_batches_keep_the_order_and_end_with_what_is_left():
    found = list(batches(birds(), "images", "labels", "names", size=4))
    assert [len(batch["labels"]) for batch in found] == [4, 2]
    assert found[0]["images"].shape == (4, 3, 4, 4) and found[1]["names"] == ["bird 4", "bird 5"]
    assert list(found[0]) == ["images", "labels", "names"]


@seeds
def test_shuffled_batches_hold_every_row_once(seed):
    def order(number: int) -> list[float]:
        found = batches(birds(30), "images", "names", size=7, generator=torch.Generator().manual_seed(number))
        pairs = [
            (im, name) for batch in found for im, name in zip(batch["images"][:, 0, 0, 0].tolist(), batch["names"])
        ]
        assert all(name == f"bird {image:.0f}" for image, name in pairs)
        return [image for image, _ in pairs]

    assert sorted(order(seed)) == list(range(30))
    assert order(seed) == order(seed) != order(seed + 50)


def test_workers_read_the_same_batches():
    def run(workers: int) -> list[Tensor]:
        made = batches(birds(11), "images", size=3, generator=torch.Generator().manual_seed(3), workers=workers)
        return [batch["images"] for batch in made]

    assert all(torch.equal(one, two) for one, two in zip(run(0), run(2), strict=True))


def test_batches_of_properties_and_ragged_columns():
    found = list(batches(scenes(), "labels", "boxes", "object_masks", size=3))
    assert found[0]["labels"].shape == (3, 2) and [len(boxes) for boxes in found[0]["boxes"]] == [0, 1, 2]
    assert [len(masks) for masks in found[1]["object_masks"]] == [3]
    assert next(iter(batches(questions(), "images", size=2)))["images"][:, 0, 0, 0].tolist() == [3, 3]


def test_batches_refuse_what_is_not_there():
    with pytest.raises(ValueError, match="no masks, attributes"):
        next(batches(birds(), "images", "masks", "attributes", size=2))
    for columns, size in (((), 2), (("images",), 0)):
        with pytest.raises(ValueError, match="at least one column"):
            next(batches(birds(), *columns, size=size))


def test_a_pass_over_the_set_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    list(batches(birds(), "images", size=2, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(before, torch.random.get_rng_state())
