"""What a zero-shot experiment learns from and is tested on: classes with descriptions, some of them never shown."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from data_fetch.fields import Column, Labelled
from data_fetch.readers import read
from data_fetch.words import split_words
from data_fetch.worlds.birds import birds
from data_fetch.worlds.birds.species import species
from data_fetch.worlds.scenes import scenes

_RARE = 5  # a phrase that fewer training pictures are told with says nothing that could be learned


@dataclass
class ZeroShotSet:
    """Classes are numbered anew: the S seen ones first, then the unseen ones.

    class_names (C,); seen (C,) bool.  images (N, 3, H, W), labels (N,) : to train on, seen classes only.
    test : pictures of all classes with what is known of them; test_labels (M,) in the new numbers.
    attributes (C, A) in [0, 1], attribute_names (A,).  told (C, V), phrases (V,) : the share of a class's descriptions
    that say a phrase.  unrelated (L, 3, H, W) : pictures without any of the classes.
    Everything but pictures that are read from disk lies on one device.
    """

    class_names: tuple[str, ...]
    seen: Tensor
    images: Column
    labels: Tensor
    test: Labelled
    test_labels: Tensor
    attributes: Tensor
    attribute_names: tuple[str, ...]
    told: Tensor
    phrases: tuple[str, ...]
    unrelated: Tensor

    @property
    def shown(self) -> int:
        """S, the number of seen classes."""
        return int(self.seen.sum())

    def to(self, device: torch.device | str) -> ZeroShotSet:
        """The same with every tensor on `device`."""
        moved = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        moved = {name: value.to(device) for name, value in moved.items() if isinstance(value, Tensor | Labelled)}
        return dataclasses.replace(self, **moved)


def bird_set(
    seed: int, *, per_class: int, test_per_class: int, size: int, tuning: int = 0, device: torch.device | str = "cpu"
) -> ZeroShotSet:
    """Rendered birds of 56 seen and 24 unseen species; sub-seeds of one seed never meet those of another.

    tuning : that many seen species, drawn by the seed, stand in for the unseen ones, which are left out altogether:
        weights are tuned on them, so that the real ones are looked at once.

    Unseen species are told by sentences about 20 birds of each, whose pictures are not kept.
    """
    kinds = species()
    shown = torch.nonzero(kinds.seen)[:, 0]
    hidden = torch.nonzero(~kinds.seen)[:, 0]
    if tuning:
        order = torch.randperm(len(shown), generator=torch.Generator().manual_seed(seed))
        shown, hidden = shown[order[tuning:]].sort().values, shown[order[:tuning]].sort().values
    chosen = torch.cat([shown, hidden])
    number = torch.full((len(kinds.names),), -1)
    number[chosen] = torch.arange(len(chosen))

    def drawn(classes: Tensor, each: int, offset: int, pixels: int = size) -> Labelled:
        return birds(each * len(classes), size=pixels, seed=4 * seed + offset, classes=classes.tolist()).to(device)

    train, test = drawn(shown, per_class, 0), drawn(chosen, test_per_class, 1)
    about = drawn(hidden, 20, 2, 24)
    phrases = phrase_list(train.descriptions)
    told = torch.cat(
        [
            phrase_shares(train.descriptions, number[train.labels.cpu()], phrases, len(shown)),
            phrase_shares(about.descriptions, number[about.labels.cpu()] - len(shown), phrases, len(hidden)),
        ]
    )
    number = number.to(device)
    return ZeroShotSet(
        class_names=tuple(kinds.names[n] for n in chosen.tolist()),
        seen=torch.arange(len(chosen), device=device) < len(shown),
        images=train.images,
        labels=number[train.labels],
        test=test,
        test_labels=number[test.labels],
        attributes=train.class_attributes[chosen.to(device)],
        attribute_names=train.attribute_names,
        told=told.to(device),
        phrases=phrases,
        unrelated=scenes(128, seed=4 * seed + 3, size=size).images.to(device),
    )


def real_set(
    name: str,
    seed: int,
    *,
    per_class: int | None = None,
    test_per_class: int | None = None,
    size: int = 224,
    folder: Path | str | None = None,
) -> ZeroShotSet:
    """CUB-200-2011 or AwA2 in the proposed split of Xian et al.; pictures are read from disk when they are asked for.

    The readers have no sentences, so a class is told by the words of its attributes: "black throat color".

    Parameters
    ----------
    name : "cub200" or "awa2".  per_class, test_per_class : so many pictures of each class, drawn by the seed; None: all.
    folder : where it lies; None: where `python -m data_fetch get NAME` put it.

    Raises
    ------
    FileNotFoundError, ValueError : the data set, or the split (`python -m data_fetch get xlsa17`), is not there.
    """
    every = read(name, "all", size=size, folder=folder)
    place = {file: n for n, file in enumerate(every.names)}
    rows = {
        split: torch.tensor([place[file] for file in read(name, split, size=size, folder=folder).names])
        for split in ("train_seen", "test_seen", "test_unseen")
    }
    chosen = torch.cat([every.labels[rows["train_seen"]].unique(), every.labels[rows["test_unseen"]].unique()])
    number = torch.full((len(every.class_names),), -1)
    number[chosen] = torch.arange(len(chosen))
    generator = torch.Generator().manual_seed(seed)
    train = _few(rows["train_seen"], every.labels, per_class, generator)
    test = torch.cat([_few(rows[s], every.labels, test_per_class, generator) for s in ("test_seen", "test_unseen")])
    attributes = every.class_attributes[chosen]
    phrases, told = _told_by_names(every.attribute_names, attributes)
    shown = len(every.labels[rows["train_seen"]].unique())
    return ZeroShotSet(
        class_names=tuple(every.class_names[n] for n in chosen.tolist()),
        seen=torch.arange(len(chosen)) < shown,
        images=every[train].images,
        labels=number[every.labels[train]],
        test=every[test],
        test_labels=number[every.labels[test]],
        attributes=attributes,
        attribute_names=every.attribute_names,
        told=told,
        phrases=phrases,
        unrelated=scenes(96, seed=4 * seed + 3, size=size).images,
    )


def _few(rows: Tensor, labels: Tensor, each: int | None, generator: torch.Generator) -> Tensor:
    """At most `each` of the rows of every class, in random order."""
    rows = rows[torch.randperm(len(rows), generator=generator)]
    if each is None:
        return rows
    return torch.cat([rows[labels[rows] == label][:each] for label in labels[rows].unique()])


def _told_by_names(names: Sequence[str], attributes: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """Phrases of "value part" for attributes such as has_throat_color::black, each as strong as its strongest attribute."""
    said = []
    for name in names:
        group, _, value = re.sub(r"::|=", "|", name).rpartition("|")
        said.append(phrases_of(f"{value} {group.removeprefix('has_')}".replace("_", " ").strip()))
    phrases = tuple(sorted(set().union(*said)))
    told = torch.zeros(len(attributes), len(phrases))
    for n, phrase in enumerate(phrases):
        told[:, n] = attributes[:, [phrase in one for one in said]].amax(1)
    return phrases, told


# ---------------------------------------- sentences
def phrases_of(text: str) -> set[str]:
    """The words of a text and its pairs of neighbours within a clause: "red throat", not "throat black".

    Words alone would not say which part has which colour.
    """
    found: set[str] = set()
    for clause in re.split(r"[.,;:]| and ", text.lower()):
        words = split_words(clause)
        found.update(words)
        found.update(" ".join(pair) for pair in pairwise(words))
    return found


def phrase_list(descriptions: Sequence[Sequence[str]], least: int = _RARE) -> tuple[str, ...]:
    """Phrases that at least `least` of the descriptions (each some sentences) say, in the order of the alphabet."""
    counts = Counter(
        phrase for number in range(len(descriptions)) for phrase in phrases_of(" ".join(descriptions[number]))
    )
    return tuple(sorted(phrase for phrase, count in counts.items() if count >= least))


def phrase_shares(
    descriptions: Sequence[Sequence[str]], labels: Tensor, phrases: Sequence[str], classes: int
) -> Tensor:
    """(classes, V): the share of each class's descriptions that say each phrase; one nobody describes has zeros.

    Raises
    ------
    ValueError : not one label a description.
    """
    if len(descriptions) != len(labels):
        raise ValueError(f"{len(labels)} labels do not fit {len(descriptions)} descriptions")
    number = {phrase: n for n, phrase in enumerate(phrases)}
    counts = torch.zeros(classes, len(phrases))
    for row, label in enumerate(labels.tolist()):
        said = phrases_of(" ".join(descriptions[row]))
        counts[label, [number[phrase] for phrase in said if phrase in number]] += 1
    return counts / torch.bincount(labels.cpu(), minlength=classes).clamp(min=1)[:, None]
