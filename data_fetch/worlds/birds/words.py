"""Sentences about birds, as an annotator or a field guide would write them: only what is true, and can be seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from data_fetch.worlds.birds.habitats import WHERE
from data_fetch.worlds.birds.vocabulary import COLOURS, GROUP_NAMES, GROUPS, HABITATS
from data_fetch.worlds.raster import hashed

_BUILD = {
    "perching-like": "perching bird",
    "duck-like": "duck-like bird",
    "long-legged-like": "long-legged bird",
    "owl-like": "owl-like bird",
    "upland-ground-like": "chicken-like bird",
}
_BILL = {
    "all-purpose": "short straight",
    "cone": "stout cone-shaped",
    "dagger": "long dagger-like",
    "hooked": "hooked",
    "curved": "long curved",
    "spatulate": "broad spatulate",
}
_TAIL = {"squared_tail": "square", "pointed_tail": "pointed", "forked_tail": "forked", "fan-shaped_tail": "fan-shaped"}
_MARKED = {"spotted": "spotted ", "striped": "streaked ", "barred": "barred "}
_PLAIN = ("crown", "nape", "throat", "breast", "belly", "back")  # parts that one verb can go with
_OPENINGS = (
    "{A} {size} {build} with {one}, {two} and {three}.",
    "This {size} {build} has {one}, {two} and {three}.",
    "{A} {size} {build} {where}, with {one} and {two}.",
    "Here is {a} {size} {build} that has {one} and {two}.",
)
_MIDDLES = ("It has {one} and {two}.", "It also shows {one} and {two}.", "{One} and {two} stand out.")
_ENDINGS = (
    "The bird, seen {where}, has {one}.",
    "You can tell it by {one}, {two} and {three}.",
    "Note {one} and {two}.",
)


def article(word: str) -> str:
    """ "an orange" for "orange"."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def phrases(bird: dict[str, str], shown: Callable[[str], bool] = lambda group: True) -> list[str]:
    """What can be said of a bird {group: value}, one noun phrase for each part of which enough is seen."""
    found = []
    marks = {
        "masked": "a dark or pale mask through the eye",
        "eyebrow": "a stripe above the eye",
        "capped": f"{article(bird['has_crown_color'])} cap",
        "crested": f"{article(bird['has_crown_color'])} crest",
    }
    if shown("has_head_pattern") and bird["has_head_pattern"] in marks:
        found.append(marks[bird["has_head_pattern"]])
    if shown("has_bill_shape"):
        found.append(article(f"{_BILL[bird['has_bill_shape']]} {bird['has_bill_color']} bill"))
    for part in ("throat", "crown", "nape", "belly", "back"):
        if shown(f"has_{part}_color"):
            found.append(article(f"{bird[f'has_{part}_color']} {part}"))
    if shown("has_breast_color"):
        mark, colour = bird["has_breast_pattern"], bird["has_breast_color"]
        band = " with a band across it" if mark == "multi-colored" else ""
        found.append(article(f"{_MARKED.get(mark, '')}{colour} breast{band}"))
    if shown("has_wing_color"):
        found.append(f"{_MARKED.get(bird['has_wing_pattern'], '')}{bird['has_wing_color']} wings")
    if shown("has_tail_shape"):
        banded = "banded " if bird["has_tail_pattern"] == "striped" else ""
        found.append(article(f"{_TAIL[bird['has_tail_shape']]} {banded}{bird['has_upper_tail_color']} tail"))
    if shown("has_leg_color"):
        found.append(f"{bird['has_leg_color']} legs")
    if shown("has_eye_color"):
        found.append(f"{bird['has_eye_color']} eyes")
    return found


def describe(bird: dict[str, str], where: str, dice: Sequence[float], shown=lambda group: True) -> tuple[str, ...]:
    """Three sentences about one bird; `dice` are at least 16 numbers in [0, 1) that decide the wording."""
    said = phrases(bird, shown)
    order = sorted(range(len(said)), key=lambda n: dice[n % len(dice)] + n * 1e-9)
    said = [said[n] for n in order]
    while len(said) < 8:  # a bird of which little is seen
        said.append(said[len(said) % max(1, len(order))])
    size = "small" if bird["has_size"].startswith("small") else "large"
    words = {"size": size, "build": _BUILD[bird["has_shape"]], "where": where, "A": "A", "a": "a"}
    sentences = [_fill(_pick(_OPENINGS, dice[-1]), said[:3], words)]
    same = _same(bird, shown)
    if same and dice[-2] < 0.6:
        sentences.append(same)
    else:
        sentences.append(_fill(_pick(_MIDDLES, dice[-2]), said[3:5], words))
    sentences.append(_fill(_pick(_ENDINGS, dice[-3]), said[5:8], words))
    return tuple(sentences)


def _pick(options: Sequence[str], share: float) -> str:
    return options[int(share * len(options))]


def _fill(pattern: str, said: list[str], words: dict[str, str]) -> str:
    names = dict(zip(("one", "two", "three"), said))
    return pattern.format(One=said[0][0].upper() + said[0][1:], **names, **words)


def _same(bird: dict[str, str], shown: Callable[[str], bool]) -> str | None:
    """ "Its crown, nape and back are brown." where at least two parts have one colour."""
    for colour in COLOURS:
        parts = [p for p in _PLAIN if bird[f"has_{p}_color"] == colour and shown(f"has_{p}_color")]
        if len(parts) > 1:
            return f"Its {', '.join(parts[:-1])} and {parts[-1]} are {colour}."
    return None


def as_words(values: Tensor) -> dict[str, str]:
    """{group: value} of one bird's values (groups,)."""
    return {group: GROUPS[group][n] for group, n in zip(GROUP_NAMES, values.tolist(), strict=True)}


def describe_row(values: Tensor, shown: Tensor, habitats: Tensor, seeds: Tensor, n: int) -> tuple[str, ...]:
    """Sentences about bird n of a set; shown (N, groups) bool: what can be seen of it."""
    seen = dict(zip(GROUP_NAMES, shown[n].tolist(), strict=True))
    dice = hashed(seeds[n : n + 1] + 15_487_469, 19)[0].tolist()
    return describe(as_words(values[n]), WHERE[HABITATS[int(habitats[n])]], dice, seen.__getitem__)


def describe_class(name: str, values: Tensor) -> str:
    """One paragraph about a species, as a field guide has it: the usual value of every group (groups,)."""
    bird = as_words(values)
    said = phrases(bird)
    size = "small" if bird["has_size"].startswith("small") else "large"
    middle = (len(said) + 1) // 2
    first, rest = said[:middle], said[middle:]
    return (
        f"The {name} is a {size} {_BUILD[bird['has_shape']]} with {', '.join(first[:-1])} and {first[-1]}. "
        f"It has {', '.join(rest[:-1])} and {rest[-1]}."
    )
