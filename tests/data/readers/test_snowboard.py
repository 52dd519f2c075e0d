"""The lists of "Women also Snowboard" with COCO 2014 beside them: which word, how sure, where the person is."""

from __future__ import annotations

import pytest
import torch
from layouts import coco_photo, dump

from data_fetch.fields import APPEARANCE
from data_fetch.readers.snowboard import MAN, WOMAN, appearance, confident, read

PERSON, DOG = 1, 18
SAID = {  # picture: captions; odd numbers lie in train2014, even ones in val2014
    1: ["A man on a snowboard."] * 4 + ["A boarder."],
    2: ["A woman cooks.", "A lady.", "Her kitchen.", "Someone cooks.", "A person."],
    3: ["A man and a woman."] * 5,
    4: ["A person walks."] * 5,
    5: ["A dog on a couch."] * 5,
    6: ["A woman."] * 4 + ["A man."],
}


def write_coco(folder, part: str, numbers: list[int]) -> None:
    images = [{"id": n, "file_name": f"COCO_{part}_{n:012d}.jpg", "width": 40, "height": 20} for n in numbers]
    said = [{"image_id": n, "caption": text} for n in numbers for text in SAID[n]]
    square = [[10, 0, 30, 0, 30, 20, 10, 20]]
    things = [
        {"image_id": n, "category_id": DOG if n == 5 else PERSON, "segmentation": square, "bbox": [10, 0, 20, 20]}
        for n in numbers
    ]
    categories = [{"id": PERSON, "name": "person"}, {"id": DOG, "name": "dog"}]
    dump(folder / f"annotations/captions_{part}.json", {"images": images, "annotations": said})
    content = {"images": images, "annotations": things, "categories": categories}
    dump(folder / f"annotations/instances_{part}.json", content)
    for n in numbers:
        coco_photo(folder, part, n, grey=10 * n)


def put(path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def folder(tmp_path):
    write_coco(tmp_path / "coco2014", "train2014", [1, 3, 5])
    write_coco(tmp_path / "coco2014", "val2014", [2, 4, 6])
    lists = tmp_path / "snowboard"
    put(lists / "bias_splits/train.ids.txt", "5\n1\n2\n3\n4\n6\n")
    put(lists / "bias_splits/dev.ids.txt", "6\n")
    put(lists / "balanced_split/test_man.txt", "3\n")
    put(lists / "balanced_split/test_woman.txt", "2\n6\n")
    return lists


def test_bias_takes_the_word_from_the_captions(folder):
    data = read(folder, size=8)
    assert data.appearance_names == APPEARANCE == ("woman", "man", "person")
    assert data.appearance.tolist() == [-1, 1, 0, 2, 2, 2], "a dog is nobody; man and woman together say person"
    assert [int(name[-6:-4]) for name in data.names] == [5, 1, 2, 3, 4, 6], "the order of the list"
    assert [round(float(x) * 255) for x in data.images[:].mean((1, 2, 3))] == [50, 10, 20, 30, 40, 60]
    assert data.captions[2][1] == "A lady." and data.labels[:, 0].tolist() == [False] + [True] * 5


def test_the_person_mask_is_the_person(folder):
    masks = read(folder, size=40).mask_of("person")[:]
    wanted = torch.zeros(40, 40, dtype=torch.bool)
    wanted[:, 10:30] = True
    assert not masks[0].any() and all(torch.equal(mask, wanted) for mask in masks[1:])


def test_balanced_takes_the_word_from_the_lists(folder):
    data = read(folder, "test", subset="balanced")
    assert data.appearance.tolist() == [1, 0, 0] and [int(n[-6:-4]) for n in data.names] == [3, 2, 6]
    assert len(read(folder, "test", subset="balanced", limit=1)) == 2, "so many of each list"
    with pytest.raises(ValueError, match="val, test"):
        read(folder, "train", subset="balanced")


def test_confident_wants_most_captions_to_agree(folder):
    data = read(folder, subset="confident")
    assert data.appearance.tolist() == [1, 0] and [int(n[-6:-4]) for n in data.names] == [1, 6]
    assert read(folder, subset="confident", limit=1).appearance.tolist() == [1]
    assert len(read(folder, subset="confident", level=1)) == 3
    with pytest.raises(ValueError, match="no picture is left"):
        read(folder, subset="confident", level=5)


@pytest.mark.parametrize(
    "captions, wanted",
    [
        (["A MAN."], "man"),
        (["The man's dog."], "man"),
        (["She’s here"], "woman"),
        (["He runs"], "person"),  # not in the authors' list
        (["A manager and a boat"], "person"),
        (["A boy", "A girl"], "person"),
        (["A policeman", "Someone"], "man"),
        ([], "person"),
    ],
)
def test_appearance(captions, wanted):
    assert appearance(captions) == wanted


def test_word_lists_have_the_sizes_of_the_authors_and_share_no_word():
    assert (len(MAN), len(WOMAN)) == (26, 18) and not MAN & WOMAN


@pytest.mark.parametrize("count, wanted", [(3, "person"), (4, "woman"), (5, "woman")])
def test_confident_counts_captions_with_one_of_the_two_words(count, wanted):
    assert confident(["A woman"] * count + ["A lady"] * (5 - count)) == wanted
    assert confident(["A woman and a man"] * count) == "person"


def test_without_objects_and_with_the_files_of_the_repository(folder, tmp_path):
    for path in (tmp_path / "coco2014/annotations").glob("instances*"):
        path.unlink()
    folder.rename(tmp_path / "data")
    put(tmp_path / "clone/research/im2txt/data/bias_splits/train.ids.txt", "1\n5\n")
    data = read(tmp_path / "clone", objects=False)
    assert data.boxes is None and data.appearance.tolist() == [1, 2], "without objects nobody can be ruled out"


def test_only_the_part_of_coco_that_is_needed_is_read(folder, tmp_path):
    (tmp_path / "coco2014/annotations/instances_train2014.json").write_text("broken")
    assert read(folder, "val").appearance.tolist() == [2]
    with pytest.raises(ValueError, match="instances_train2014.json"):
        read(folder)


@pytest.mark.parametrize("text, word", [("1\nx\n", "line 2"), ("1\n1\n", "another picture"), ("99\n", "no picture 99")])
def test_broken_lists_are_named(folder, text, word):
    put(folder / "bias_splits/train.ids.txt", text)
    with pytest.raises(ValueError, match=word):
        read(folder)


def test_missing_lists_and_bad_arguments(folder):
    with pytest.raises(FileNotFoundError, match="test.ids.txt is missing.*data_fetch get snowboard"):
        read(folder, "test")
    with pytest.raises(FileNotFoundError, match="get coco2014"):
        read(folder, images=folder / "nowhere")
    for arguments, word in (({"subset": "all"}, "bias, balanced, confident"), ({"level": 0}, "level")):
        with pytest.raises(ValueError, match=word):
            read(folder, **arguments)
