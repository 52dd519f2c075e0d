"""The reviews world: labels and marked words are read back from the text alone, and nothing else gives the label away."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from data_fetch.words import join_words, split_words
from data_fetch.worlds.reviews import (
    EXPRESSIONS,
    NEGATORS,
    OPENINGS,
    TIED_CITIES,
    Clause,
    decide,
    reviews,
)
from data_fetch.worlds.reviews.lexicon import KINDS, PARTS, STRONG, WEAK, pool

seeds = pytest.mark.parametrize("seed", [0, 1, 7])
FORMS = {tuple(split_words(form)): (e.polarity, 2) for e in EXPRESSIONS for form in e.forms}
for e in EXPRESSIONS:
    if e.kind == "noun":  # "a true gem", "an absolute gem"
        for word in STRONG["noun"]:
            rest = tuple(e.text.split()[1:])
            FORMS[("an" if word[0] == "a" else "a", word, *rest)] = (e.polarity, 3)
NEGATING = {tuple(split_words(form)) for form in NEGATORS}
HEDGES = {(word,) for word in WEAK}
INTENSIFIERS = {tuple(split_words(form)) for forms in STRONG.values() for form in forms}
LONGEST = max(map(len, FORMS))


def found(words: list[str], forms) -> list[tuple[int, int]]:
    """Spans of the forms in a text, the longest match first, left to right."""
    spans, n = [], 0
    while n < len(words):
        size = next((k for k in range(min(LONGEST, len(words) - n), 0, -1) if tuple(words[n : n + k]) in forms), 0)
        if size:
            spans.append((n, n + size))
        n += size or 1
    return spans


def read(words) -> tuple[int, set[int], set[int]]:
    """Label, decisive words and all sentiment words, by reading the text alone: an interpreter of a page."""
    words = [w.lower() for w in words]
    counted, verdicts, everything, start = [], [], set(), 0
    ends = [n + 1 for n, w in enumerate(words) if w == "."]
    for end in ends:
        opened = any(tuple(words[start:end])[: len(o.split())] == tuple(o.split()) for o in OPENINGS)
        for first, last, kept in pieces(words, start, end):
            score, marked = judge(words, first, last)
            everything |= marked
            if kept and score:
                (verdicts if opened else counted).append((score, marked))
        start = end
    counted = verdicts or counted
    label = int(sum(score for score, _ in counted) > 0)
    decisive = set().union(*(marked for score, marked in counted if (score > 0) == (label == 1)))
    return label, decisive, everything


def pieces(words, start: int, end: int):
    """(first, last, whether it counts) of each clause of a sentence: what stands before "but" does not count."""
    commas = [n for n in range(start, end) if words[n] in (",", ";")]
    for n in commas:
        after = words[n + 1 : n + 3]
        if after and after[0] in ("but", "yet", "however"):
            return [(start, n, False), (n + 1, end, True)]
        if after and (after[0] == "although" or after == ["even", "though"]):
            return [(start, n, True), (n + 1, end, False)]
    if words[start] in ("although", "despite") or words[start : start + 2] == ["even", "though"]:
        return [(start, commas[0], False), (commas[0], end, True)]
    joined = [n for n in commas if words[n + 1] == "and"]
    edges = [start, *joined, end]
    return [(a, b, True) for a, b in pairwise(edges)]


def judge(words, first: int, last: int) -> tuple[int, set[int]]:
    """Signed weight of a clause and the numbers of its sentiment words."""
    part = words[first:last]
    spans = found(part, FORMS)
    if not spans:
        return 0, set()
    marked = {n for a, b in spans for n in range(a, b)}
    begin = spans[0][0]
    polarity, weight = FORMS[tuple(part[slice(*spans[0])])]
    masked = ["" if n in marked else w for n, w in enumerate(part)]
    negators = {n for a, b in found(masked, NEGATING) for n in range(a, b)}
    for size in (1, 2):
        before = tuple(part[begin - size : begin]) if begin >= size else ()
        if before in HEDGES | INTENSIFIERS:
            weight = 1 if before in HEDGES else 3
            marked |= set(range(begin - size, begin))
    return (-2 * polarity if negators else weight * polarity), {first + n for n in marked | negators}


def marked(flags) -> set[int]:
    return {n for n, flag in enumerate(flags) if flag}


@pytest.fixture(scope="module")
def world():
    return reviews(3000, seed=5)


@pytest.mark.parametrize(
    "seed, arguments", [(0, {}), (1, {"negation": 1.0, "contrast": 1.0}), (2, {"mixed": 1.0}), (3, {"tie": 0.7})]
)
def test_labels_and_marks_can_be_read_back_from_the_text(seed, arguments):
    """An interpreter that knows the lexicon, the negators and what "but" does needs nothing else."""
    data = reviews(600, seed=seed, **arguments)
    answers = [read(words) for words in data.words]
    assert np.mean([label == int(truth) for (label, _, _), truth in zip(answers, data.labels)]) >= 0.99
    assert np.mean([found == marked(truth) for (_, found, _), truth in zip(answers, data.decisive)]) >= 0.99
    sides = [marked(e) | marked(o) for e, o in zip(data.evidence, data.opposing)]
    assert np.mean([found == truth for (_, _, found), truth in zip(answers, sides)]) >= 0.99


def test_counting_words_is_not_enough(world):
    """Positive minus negative expressions: right where all is plain, near chance where order matters."""
    scores = []
    for words in world.words:
        lower = [w.lower() for w in words]
        scores.append(sum(FORMS[tuple(lower[a:b])][0] for a, b in found(lower, FORMS)))
    right = (torch.tensor(scores) > 0) == (world.labels == 1)
    hard = world.has_negation | world.has_contrast | world.is_mixed
    assert float(right[~hard].float().mean()) == 1.0
    for case in (world.has_negation, world.has_contrast, world.is_mixed):
        assert float(right[case].float().mean()) < 0.7
    assert float(right.float().mean()) < 0.85


@seeds
def test_the_stated_rule_gives_each_label_from_the_clauses(seed):
    data = reviews(300, seed=seed, mixed=0.5)
    for n, (clauses, label) in enumerate(zip(data.clauses, data.labels.tolist())):
        verdicts = [c for c in clauses if c.kind == "verdict"]
        counted = verdicts or [c for c in clauses if c.kind == "opinion" and not c.conceded]
        assert (sum(c.polarity * c.weight for c in counted) > 0) == (label == 1)
        sign = 2 * label - 1
        assert [c for c in clauses if c.decisive] == [c for c in counted if c.polarity == sign] != []
        assert marked(data.decisive[n]) == {m for c in clauses if c.decisive for m in c.marked}
        assert marked(data.evidence[n]) == {m for c in clauses if c.polarity == sign for m in c.marked}
        assert marked(data.opposing[n]) == {m for c in clauses if c.polarity == -sign for m in c.marked}
        assert all(c.start <= m < c.end for c in clauses for m in c.marked)
        assert marked(data.neutral[n]).isdisjoint(marked(data.evidence[n]) | marked(data.opposing[n]))


def opinion(polarity: int, weight: int = 2, **kw) -> Clause:
    return Clause(
        **{
            "kind": "opinion",
            "negated": False,
            "conceded": False,
            "decisive": False,
            "start": 0,
            "end": 1,
            "marked": (0,),
            "polarity": polarity,
            "weight": weight,
            **kw,
        }
    )


def test_rule_on_cases_by_hand():
    assert decide([opinion(1, 2), opinion(-1, 3)]) == (0, (False, True))
    assert decide([opinion(1, 2), opinion(-1, 1)]) == (1, (True, False))
    assert decide([opinion(-1, 3, conceded=True), opinion(1, 1)]) == (1, (False, True))
    assert decide([opinion(-1), opinion(-1), opinion(1, kind="verdict")]) == (1, (False, False, True))
    with pytest.raises(ValueError, match="balance"):
        decide([opinion(1), opinion(-1)])
    with pytest.raises(ValueError, match="balance"):
        decide([opinion(0, 0, kind="fact")])


def guess(train, test, train_labels, test_labels) -> float:
    """Accuracy of a logistic regression on bags of words."""
    counts = CountVectorizer(analyzer=lambda words: [w.lower() for w in words], min_df=2)
    x, y = counts.fit_transform(train), counts.transform(test)
    return LogisticRegression(max_iter=300, C=0.1).fit(x, train_labels).score(y, test_labels)


def test_nothing_but_sentiment_says_the_label(world):
    """Neutral words, domain and length predict the label no better than chance: 0.5 +- 4 standard errors."""
    train, test = world[:1500], world[1500:]
    bound = 4 * 0.5 / len(test) ** 0.5
    kept = [[[w for w, n in zip(*pair) if n] for pair in zip(d.words, d.neutral)] for d in (train, test)]
    assert abs(guess(*kept, train.labels, test.labels) - 0.5) < bound
    lengths = [[[f"length{len(words) // 4}", f"domain{d}", f"stops{words.count('.')}"] for words, d in
                zip(data.words, data.domains.tolist())] for data in (train, test)]  # fmt: skip
    assert abs(guess(*lengths, train.labels, test.labels) - 0.5) < bound
    assert guess(train.words, test.words, train.labels, test.labels) > 0.5 + bound, "the sentiment words do say it"


def test_each_neutral_word_is_as_frequent_with_both_labels(world):
    counts = Counter()
    for words, neutral, label in zip(world.words, world.neutral, world.labels.tolist()):
        counts.update((w.lower(), label) for w in {w for w, n in zip(words, neutral) if n})
    words = {w for w, _ in counts}
    assert len({w for w in words if w[0].isalpha()}) >= 300
    z = [(counts[w, 1] - counts[w, 0]) / (counts[w, 1] + counts[w, 0]) ** 0.5 for w in words]
    assert max(map(abs, z)) < 4.5, "a word of 600 is off by more than chance"


def test_negators_modifiers_and_connectives_do_not_say_the_label(world):
    for word in (
        "not",
        "never",
        "nobody",
        "wasn't",
        "hardly",
        "very",
        "fairly",
        "but",
        "although",
        "despite",
        "overall",
    ):
        has = torch.tensor([word in [w.lower() for w in words] for words in world.words])
        share = float(world.labels[has].float().mean())
        assert abs(share - 0.5) < 4 * 0.5 / float(has.sum()) ** 0.5, word


@pytest.mark.parametrize(
    "count, negation, contrast, mixed", [(400, 0.3, 0.25, 0.15), (401, 0.0, 1.0, 0.5), (250, 1.0, 0.0, 0.0)]
)
def test_shares_are_reached_and_labels_are_balanced(count, negation, contrast, mixed):
    data = reviews(count, seed=3, negation=negation, contrast=contrast, mixed=mixed)
    card = data.card()
    assert abs(card["class_counts"]["negative"] - card["class_counts"]["positive"]) <= 1
    for flags, share in ((data.has_negation, negation), (data.has_contrast, contrast), (data.is_mixed, mixed)):
        assert abs(int(flags.sum()) - share * count) <= 1
        assert abs(int(flags[data.labels == 1].sum()) - share * int((data.labels == 1).sum())) <= 1
    assert max(card["domain_counts"].values()) - min(card["domain_counts"].values()) <= 2
    assert json.loads(json.dumps(card))["reviews"] == count


@pytest.mark.parametrize("tie", [0.0, 0.5, 0.9, 1.0])
def test_tied_city_stands_in_every_review_and_is_marked(tie):
    data = reviews(200, seed=4, tie=tie)
    assert data.card()["tie_reached"] == tie
    for words, marks, spurious in zip(data.words, data.shortcut, data.spurious.tolist()):
        assert [w for w, m in zip(words, marks) if m] == [TIED_CITIES[spurious]]
        assert TIED_CITIES[1 - spurious] not in words
    assert all(float((data.spurious == data.labels)[data.labels == k].double().mean()) == tie for k in (0, 1))


@pytest.mark.parametrize("tie", [0.0, 0.8, 1.0])
def test_tied_domain_goes_with_the_label(tie):
    data = reviews(200, seed=4, tie=tie, tied="domain", domains=("film", "hotel", "book"))
    assert torch.equal(data.domains % 2, data.spurious)
    assert float((data.spurious == data.labels).double().mean()) == tie and not any(map(any, data.shortcut))


def test_without_a_tie_nothing_is_tied(world):
    assert set(world.spurious.tolist()) == {-1} and not any(map(any, world.shortcut))
    assert world.card()["tie_reached"] is None and world.card()["tied"] is None


@seeds
def test_same_seed_same_reviews_other_seed_other_reviews(seed):
    before, state = random.getstate(), torch.random.get_rng_state()
    first, again = reviews(60, seed=seed), reviews(60, seed=seed)
    assert random.getstate() == before and torch.equal(torch.random.get_rng_state(), state)
    assert first.texts == again.texts and first.clauses == again.clauses and torch.equal(first.labels, again.labels)
    assert len(set(first.texts) & set(reviews(60, seed=seed + 50).texts)) <= 2


def test_a_subset_keeps_every_field(world):
    part = world[[5, 2, -1]]
    assert len(part) == 3 and part.texts == (world.texts[5], world.texts[2], world.texts[-1])
    assert part.clauses[1] == world.clauses[2] and part.decisive[0] == world.decisive[5]
    assert part.names == ("reviews/5/5", "reviews/5/2", "reviews/5/2999")
    assert len(world[world.has_negation]) == 900 and world[:0].card()["reviews"] == 0


def test_few_reviews_are_repeated(world):
    assert len(set(world.texts)) == len(world)
    other = set(reviews(3000, seed=6).texts)
    assert sum(text in other for text in world.texts) < 0.01 * len(world)
    short = reviews(1000, seed=1, length=(1, 1), mixed=0)
    assert len(set(short.texts)) == 1000


def test_reviews_are_written_as_english_is(world):
    for text, words, marks in zip(world.texts, world.words, zip(world.evidence, world.opposing, world.decisive)):
        assert split_words(text) == words and join_words(words) == text
        assert all(len(flags) == len(words) for flags in marks) and text.endswith(".")
        assert "  " not in text and not re.search(r" [.,;:]|[{}<>|]", text), text
        assert all(s[0].isupper() or s[0].isdigit() for s in re.split(r"\. ", text)), text
        assert not re.search(r"\b[Aa] (?=[aeio])(?!one\b)|\b[Aa]n (?=[^aeiou])|\b(\w+) \1\b|\bi\b", text), text
        assert not re.search(r"(s|crew|staff) was \w+n't|\b(we|they) was\b|\bI were\b", text), text
    assert all(1 <= words.count(".") <= 4 for words in world.words)


def test_lexicon_is_large_and_no_expression_is_on_both_sides():
    forms = {k: [tuple(split_words(form)) for e in EXPRESSIONS if e.polarity == k for form in e.forms] for k in (-1, 1)}
    for polarity in (-1, 1):
        assert len({e.text for e in EXPRESSIONS if e.polarity == polarity}) >= 120
        assert len(set(forms[polarity])) == len(forms[polarity])
    assert not set(forms[-1]) & set(forms[1])
    assert not {form for k in forms for form in forms[k]} & (NEGATING | HEDGES | INTENSIFIERS)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_the_lexicon_has_expressions_for_every_frame(part):
    for kind in KINDS:
        for polarity in (-1, 1):
            assert pool(kind, "general", polarity, part=part, negatable=True)
            if kind == "adjective":
                for group in ("story", "food", "place", "service", "device", "music", "price"):
                    assert len(pool(kind, group, polarity, part=part, negatable=True)) >= 2
                    assert len(pool(kind, group, polarity, part=part, gradable=True)) >= 2
    assert len(reviews(80, expressions=part, negation=0.5, contrast=0.5)) == 80


def test_seen_and_unseen_expressions_do_not_overlap():
    used = {}
    for part in ("seen", "unseen"):
        data = reviews(400, seed=2, expressions=part)
        lower = [[w.lower() for w in words] for words in data.words]
        used[part] = {tuple(words[a:b]) for words in lower for a, b in found(words, FORMS)}
    assert len(used["seen"]) > 150 and len(used["unseen"]) > 60
    assert not used["seen"] & used["unseen"]


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"count": 0}, "count"),
        ({"domains": ("film", "opera")}, "domains"),
        ({"domains": "film"}, "domains"),
        ({"negation": 1.2}, "negation"),
        ({"contrast": -0.1}, "contrast"),
        ({"mixed": 2}, "mixed"),
        ({"length": (3, 2)}, "length"),
        ({"length": (1, 1)}, "at least 2"),
        ({"length": (1, 2), "tie": 0.5}, "at least 3"),
        ({"tie": 1.5}, "tie"),
        ({"tied": "actor"}, "tied"),
        ({"tied": "domain", "tie": 0.5, "domains": ("film",)}, "two domains"),
        ({"expressions": "rare"}, "expressions"),
    ],
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        reviews(**{"count": 4, **arguments})
