"""SST-2 and IMDB in their official layouts: quotes that quote nothing, tests without labels, ratings in file names."""

from __future__ import annotations

import pytest
from layouts import dump

from data_fetch.readers import imdb, sst2
from data_fetch.words import split_words

ROWS = ['a "quoted phrase \t1', "it 's n't bad , really \t1", '" half a quote \t0', "hide new secretions \t0"]


def put(path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("It's well-made, isn't it?", "It's|well-made|,|isn't|it|?"),
        ("it 's n't bad", "it|'s|n't|bad"),
        ("Wait... what?!", "Wait|...|what|?|!"),
        ("'quoted' 10/10", "'|quoted|'|10|/|10"),
        ("naïve\ncafé", "naïve|café"),
        (" ", ""),
    ],
)
def test_words(text, wanted):
    assert "|".join(split_words(text)) == wanted
    assert "".join(split_words(text)) == "".join(text.split()), "nothing is lost"


@pytest.mark.parametrize("place", ["SST-2", "."])
def test_sst2_quotes_are_text(tmp_path, place):
    put(tmp_path / place / "train.tsv", ["sentence\tlabel", *ROWS])
    data = sst2.read(tmp_path)
    assert data.texts == ('a "quoted phrase', "it 's n't bad , really", '" half a quote', "hide new secretions")
    assert data.labels.tolist() == [1, 1, 0, 0] and data.class_names == ("negative", "positive")
    assert data.words[1] == ("it", "'s", "n't", "bad", ",", "really") and data.evidence is None
    assert data.names == tuple(f"train.tsv:{n}" for n in (2, 3, 4, 5))
    assert sst2.read(tmp_path, limit=2).texts == data.texts[:2] and data[[3]].labels.tolist() == [0]


def test_sst2_test_has_no_labels_and_val_is_dev(tmp_path):
    put(tmp_path / "SST-2/test.tsv", ["index\tsentence", "0\tuneasy mishmash of styles", "1\tby the end"])
    put(tmp_path / "SST-2/dev.tsv", ["sentence\tlabel", "fine \t1"])
    data = sst2.read(tmp_path, "test")
    assert data.labels.tolist() == [-1, -1] and data.texts[1] == "by the end"
    assert sst2.read(tmp_path, "val").texts == ("fine",)


@pytest.mark.parametrize(
    "lines, word",
    [
        (["good\t1"], "should begin with the columns sentence and label"),
        ([], "should begin"),
        (["sentence\tlabel"], "no rows"),
        (["sentence\tlabel", "fine\t1", "bad"], "line 3"),
        (["sentence\tlabel", "bad\t0\tmore"], "line 2"),
        (["sentence\tlabel", "bad\tnegative"], "0 or 1"),
        (["sentence\tlabel", " \t1"], "line 2"),
    ],
)
def test_broken_sst2_rows_are_named(tmp_path, lines, word):
    put(tmp_path / "SST-2/train.tsv", lines)
    with pytest.raises(ValueError, match=word):
        sst2.read(tmp_path)


def test_missing_sst2_and_bad_split(tmp_path):
    with pytest.raises(FileNotFoundError, match="SST-2/train.tsv is missing.*data_fetch get sst2"):
        sst2.read(tmp_path)
    with pytest.raises(ValueError, match="train, val, test"):
        sst2.read(tmp_path, "dev")
    with pytest.raises(ValueError, match="limit"):
        sst2.read(tmp_path, limit=0)


@pytest.fixture
def reviews(tmp_path):
    texts = {
        "neg/10_1.txt": "Dull.<br /><br />And long.",
        "neg/9_4.txt": "Not good.",
        "pos/0_10.txt": "Wonderful!<BR/>Café scenes.",
        "pos/2_7.txt": "Fine.",
        "unsup/0_0.txt": "Nobody knows.",
    }
    for name, text in texts.items():
        put(tmp_path / "aclImdb/train" / name, [text])
    return tmp_path


def test_imdb_reviews(reviews):
    data = imdb.read(reviews)
    assert data.names == ("neg/9_4.txt", "neg/10_1.txt", "pos/0_10.txt", "pos/2_7.txt"), "by number, not by letter"
    assert data.labels.tolist() == [0, 0, 1, 1] and data.class_names == ("negative", "positive")
    assert data.texts[1] == "Dull.\n\nAnd long." and data.texts[2] == "Wonderful!\nCafé scenes."
    assert data.words[1] == ("Dull", ".", "And", "long", ".")
    assert imdb.read(reviews, limit=1).names == ("neg/9_4.txt", "pos/0_10.txt")
    assert imdb.read(reviews / "aclImdb").texts == data.texts


@pytest.mark.parametrize("name", ["pos/5_4.txt", "neg/5_7.txt", "neg/5_0.txt", "neg/five_1.txt", "neg/5.txt"])
def test_imdb_names_are_checked(reviews, name):
    put(reviews / "aclImdb/train" / name, ["Text."])
    with pytest.raises(ValueError, match=name.split("/")[1]):
        imdb.read(reviews)


def test_broken_and_missing_imdb(reviews):
    path = reviews / "aclImdb/train/pos/3_8.txt"
    path.write_bytes("Café".encode("latin-1"))
    with pytest.raises(ValueError, match="3_8.txt is not UTF-8"):
        imdb.read(reviews)
    path.write_text(" <br /> ")
    with pytest.raises(ValueError, match="3_8.txt is empty"):
        imdb.read(reviews)
    with pytest.raises(FileNotFoundError, match="aclImdb/test/neg is missing.*data_fetch get imdb"):
        imdb.read(reviews, "test")
    dump(reviews / "aclImdb/test/neg/readme.json", {})
    with pytest.raises(ValueError, match="holds no review"):
        imdb.read(reviews, "test")
    with pytest.raises(ValueError, match="train, test"):
        imdb.read(reviews, "unsup")
