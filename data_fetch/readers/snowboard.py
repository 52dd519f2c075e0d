"""COCO-Bias, COCO-Balanced and COCO-Confident of "Women also Snowboard": pictures of people, captions, masks.

The authors' repository gives lists of COCO 2014 picture numbers, one a line: bias_splits/{train,dev,test}.ids.txt
and balanced_split/{val,test}_{man,woman}.txt (500 each). Bias has the split of "Men Also Like Shopping"; Confident is
the part of Bias where at least four captions name the gender.

The labels are words that annotators wrote about how somebody looks. They are not anybody's identity, annotators can
be wrong, and "person" is a right answer.

References
----------
Hendricks, Burns, Saenko, Darrell, Rohrbach, "Women also Snowboard", ECCV 2018 (arXiv 1803.09797).
Zhao, Wang, Yatskar, Ordonez, Chang, "Men Also Like Shopping", EMNLP 2017.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from data_fetch.fields import APPEARANCE, Pictures
from data_fetch.readers import coco, official, records
from data_fetch.readers.pixels import Fit
from data_fetch.words import split_words

SPLITS = {"bias": ("train", "val", "test"), "balanced": ("val", "test"), "confident": ("train", "val", "test")}
# The words by which the authors' evaluation tells captions apart ("he" is not among them).
MAN = frozenset(
    "boy brother dad husband man groom male guy men males boys guys dads dude policeman policemen father son fireman "
    "actor gentleman boyfriend mans his obama actors".split()
)
WOMAN = frozenset(
    "girl sister mom wife woman bride female lady women girls ladies females moms actress nun girlfriend her she".split()
)
_PLACES = ("", "data", "research/im2txt/data")


def read(
    folder: Path | str,
    split: str = "train",
    *,
    size: int = 224,
    how: str = "squash",
    subset: str = "bias",
    images: Path | str | None = None,
    level: int = 4,
    objects: bool = True,
    limit: int | None = None,
) -> Pictures:
    """Pictures in the order of the lists, with captions, boxes, masks and the annotators' word for the person.

    Parameters
    ----------
    folder : holds bias_splits and balanced_split, itself or under research/im2txt/data.
    split : "train", "val" (bias_splits/dev) or "test"; balanced has no "train".
    size, how : see `pixels.Fit`.
    subset : "bias", "balanced" or "confident".
    images : the folder of COCO 2014 with its annotations; None takes coco2014 beside `folder`.
    level : for "confident", how many captions must name the gender, by "man" or "woman" alone as the authors count.
    objects : False leaves COCO's objects unread: faster, but without boxes and masks.
    limit : the first so many pictures only (balanced: so many of each list).

    Returns
    -------
    Pictures; appearance numbers APPEARANCE. Balanced takes it from the lists, the others from the captions
    (`appearance`), since the authors' own labels lie in pickle files of another project. -1 where the captions have
    neither kind of word and COCO marks no person. mask_of("person") is what the models should look at.

    Raises
    ------
    ValueError : unknown subset or split, a line that is no number, a number twice or not in COCO 2014.
    FileNotFoundError : a missing list, or COCO 2014 itself.
    """
    if subset not in SPLITS:
        raise ValueError(f"there is no subset {subset!r}; there are {', '.join(SPLITS)}")
    official.choose(split, SPLITS[subset])
    records.check_limit(limit)
    if level < 1:
        raise ValueError(f"level is a number of captions, at least 1, got {level}")
    folder = Path(folder)
    wanted = _listed(folder, split, subset, None if subset == "confident" else limit)
    found, class_names = _found(folder.parent / "coco2014" if images is None else Path(images), wanted, objects)
    if subset == "balanced":
        labels = [APPEARANCE.index(wanted[record.number]) for record in found]
    elif subset == "bias":
        labels = [_label(record, objects, class_names) for record in found]
    else:
        named = [(record, confident(record.captions, level)) for record in found]
        kept = [(record, APPEARANCE.index(word)) for record, word in named if word != "person"][:limit]
        found, labels = [record for record, _ in kept], [label for _, label in kept]
    data = coco.as_pictures(found, class_names, Fit(size, how), objects=objects)
    return replace(data, appearance=torch.tensor(labels, dtype=torch.long), appearance_names=APPEARANCE)


def appearance(captions: Sequence[str], man: Collection[str] = MAN, woman: Collection[str] = WOMAN) -> str:
    """ "man" or "woman" where the captions together have words of exactly one list; "person" for none or both."""
    said = {word.split("'")[0] for caption in captions for word in split_words(caption.lower().replace("’", "'"))}
    hits = bool(said & set(man)), bool(said & set(woman))
    return {(True, False): "man", (False, True): "woman"}.get(hits, "person")


def confident(captions: Sequence[str], level: int = 4) -> str:
    """The word, "man" or "woman", that at least `level` captions have without the other; "person" if neither is."""
    named = [appearance([caption], {"man"}, {"woman"}) for caption in captions]
    return next((word for word in ("man", "woman") if named.count(word) >= level), "person")


def _listed(folder: Path, split: str, subset: str, limit: int | None) -> dict[int, str]:
    """{number of a picture: the list's word, or ""}, in order."""
    if subset == "balanced":
        files = {f"balanced_split/{split}_{word}.txt": word for word in ("man", "woman")}
    else:
        files = {f"bias_splits/{'dev' if split == 'val' else split}.ids.txt": ""}
    wanted: dict[int, str] = {}
    for file, word in files.items():
        path = official.inside(folder, _PLACES, file, "snowboard") / file
        for count, (number, line) in enumerate(official.lines(path, "snowboard")):
            if not re.fullmatch("[0-9]+", line) or int(line) in wanted:
                raise ValueError(f"{path}, line {number}: expected the number of another picture, got {line!r:.80}")
            if limit is None or count < limit:
                wanted[int(line)] = word
    return wanted


def _found(folder: Path, wanted: dict[int, str], objects: bool) -> tuple[list[coco.Record], tuple[str, ...]]:
    """The records of the pictures: a number stands for one picture, of train2014 or of val2014."""
    found, class_names = {}, ()
    for part in ("val2014", "train2014"):  # the small part first: the large one is read only where it is needed
        missing = {number for number in wanted if number not in found}
        if not missing:
            break
        here, names = coco.gather(folder, part, captions=True, objects=objects, only=missing)
        class_names = class_names or names
        found.update((record.number, record) for record in here)
    lost = [number for number in wanted if number not in found]
    if lost:
        raise ValueError(f"{folder} has no picture {lost[0]} ({len(lost)} of {len(wanted)} are not in COCO 2014)")
    return [found[number] for number in wanted], class_names


def _label(record: coco.Record, objects: bool, class_names: tuple[str, ...]) -> int:
    word = appearance(record.captions)
    nobody = objects and not any(class_names[thing.number] == "person" for thing in record.things)
    return -1 if nobody and word == "person" else APPEARANCE.index(word)
