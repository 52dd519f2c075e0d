"""Cutting a text into words, and numbering them: what goes in comes out again."""

from __future__ import annotations

import pytest
import torch

from data_fetch.words import PAD, UNKNOWN, Vocabulary, join_words, split_words

TEXTS = (("A", "b", "b", "."), ("b", "c", "."), (), ("a",))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("I couldn't put it down!", ("I", "couldn't", "put", "it", "down", "!")),
        ("A first-rate, well-made film.", ("A", "first-rate", ",", "well-made", "film", ".")),
        ("It’s 90 minutes; no more...", ("It’s", "90", "minutes", ";", "no", "more", "...")),
        ('She said "no" (twice).', ("She", "said", '"', "no", '"', "(", "twice", ")", ".")),
        ("", ()),
        ("  spaces\n and\tlines ", ("spaces", "and", "lines")),
        ("Málaga – über", ("Málaga", "–", "über")),
    ],
)
def test_words_are_cut_by_the_stated_rule(text, expected):
    assert split_words(text) == expected


@pytest.mark.parametrize("text", ["Well, it wasn't bad; in short: good.", "What? No!", "One two"])
def test_joined_words_give_the_text_back(text):
    assert join_words(split_words(text)) == text


def test_numbers_go_by_frequency_then_by_the_alphabet():
    assert Vocabulary.of(TEXTS).words == (PAD, UNKNOWN, "b", ".", "a", "c")
    assert Vocabulary.of(TEXTS, lower=False).words == (PAD, UNKNOWN, "b", ".", "A", "a", "c")
    assert Vocabulary.of(TEXTS, least=2).words == (PAD, UNKNOWN, "b", ".", "a")
    assert Vocabulary.of(TEXTS, least=3, special=("<start>", "b")).words == (PAD, UNKNOWN, "<start>", "b")


def test_encoded_texts_are_padded_and_decoded_back():
    vocabulary = Vocabulary.of(TEXTS)
    numbers, lengths = vocabulary.encode(TEXTS)
    assert numbers.dtype == lengths.dtype == torch.int64 and numbers.shape == (4, 4)
    assert lengths.tolist() == [4, 3, 0, 1]
    assert numbers.tolist() == [[4, 2, 2, 3], [2, 5, 3, 0], [0, 0, 0, 0], [4, 0, 0, 0]]
    assert vocabulary.decode(numbers) == (("a", "b", "b", "."), ("b", "c", "."), (), ("a",))


def test_length_cuts_and_fills():
    vocabulary = Vocabulary.of(TEXTS)
    short, lengths = vocabulary.encode(TEXTS, length=2)
    assert short.shape == (4, 2) and lengths.tolist() == [2, 2, 0, 1] and short[1].tolist() == [2, 5]
    assert vocabulary.encode(TEXTS, length=9)[0].shape == (4, 9)
    assert vocabulary.encode([])[0].shape == (0, 1) and vocabulary.encode([()])[0].tolist() == [[0]]


def test_words_that_are_not_known_become_unknown():
    vocabulary = Vocabulary.of(TEXTS, least=2)
    numbers, _ = vocabulary.encode([("B", "zebra", "c")])
    assert numbers.tolist() == [[2, 1, 1]] and vocabulary.decode(numbers) == (("b", UNKNOWN, UNKNOWN),)
    assert "B" in vocabulary and "zebra" not in vocabulary and len(vocabulary) == 5


def test_bad_input_is_named():
    vocabulary = Vocabulary.of(TEXTS)
    with pytest.raises(ValueError, match="cut into words"):
        Vocabulary.of(["a string"])
    with pytest.raises(ValueError, match="cut into words"):
        vocabulary.encode(["a string"])
    with pytest.raises(ValueError, match="at least 1"):
        Vocabulary.of(TEXTS, least=0)
    with pytest.raises(ValueError, match="length"):
        vocabulary.encode(TEXTS, length=0)
    with pytest.raises(ValueError, match="number 6"):
        vocabulary.decode([[6]])
    with pytest.raises(ValueError, match="shape"):
        vocabulary.decode(torch.tensor([1, 2]))
    with pytest.raises(ValueError, match="begin with"):
        Vocabulary(("a", "b"))
