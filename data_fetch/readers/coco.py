"""COCO 2014 and 2017: pictures with captions, and with the boxes and masks of 80 kinds of objects.

Layout: train2014/COCO_train2014_000000000009.jpg (2017: train2017/000000000009.jpg) and annotations/ with
captions_train2014.json and instances_train2014.json; likewise val. Both files list the pictures (id, file_name, width,
height) and annotations (image_id; caption, or category_id, bbox, segmentation, iscrowd). A box is x, y, width, height.
A segmentation is a list of polygons, or run lengths: plain numbers where iscrowd is 1, now and then a packed string.
Category numbers have gaps (1 to 90 for 80 categories); here class k is the k-th entry of the list of categories.
pycocotools draws the masks; what needs none does without it.

References
----------
Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014.
Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server", 2015 (arXiv 1504.00325).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from data_fetch.fields import Pictures
from data_fetch.readers import official, records
from data_fetch.readers.pixels import Fit, column, pictures

SPLITS = ("train", "val")
YEARS = (2014, 2017)


class Thing(NamedTuple):
    """One object: its class, box x, y, width, height, whether it stands for a crowd, and polygons or run lengths."""

    number: int
    box: list[float]
    crowd: bool
    outline: list | dict


@dataclass
class Record:
    """One picture and what is known of it."""

    number: int
    path: Path
    width: int
    height: int
    captions: list[str] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)


def read(
    folder: Path | str,
    split: str = "train",
    *,
    size: int = 224,
    how: str = "squash",
    year: int = 2014,
    captions: bool = True,
    objects: bool = True,
    keep_empty: bool = True,
    limit: int | None = None,
) -> Pictures:
    """Pictures with their captions and objects, in the order of the official list; masks are drawn when asked for.

    Parameters
    ----------
    folder : where the archives were extracted: it holds train2014, val2014 and annotations.
    split : "train" or "val". The annotations of the test pictures are not public.
    size, how : see `pixels.Fit`.
    year : 2014 or 2017: the same pictures and annotations, divided otherwise.
    captions, objects : False leaves that file unread and its fields None; instances_train takes a while to read.
    keep_empty : False leaves out pictures without objects.
    limit : the first so many pictures only.

    Returns
    -------
    Pictures with names, captions, boxes, box_labels, ignored (iscrowd: one outline around many) and object_masks.
    Objects that a crop cuts off entirely are left out. A picture without objects has tensors with no rows.

    Raises
    ------
    ValueError : unknown split or year, a file that is not JSON, a broken record.  FileNotFoundError : a missing file.
    ImportError : pycocotools is not there when a mask is asked for.
    """
    official.choose(split, SPLITS)
    records.check_limit(limit)
    if year not in YEARS:
        raise ValueError(f"year must be 2014 or 2017, got {year!r}")
    if not (captions or objects):
        raise ValueError("ask for captions, objects or both; else nothing says which pictures there are")
    found, class_names = gather(Path(folder), f"{split}{year}", captions=captions, objects=objects)
    if not keep_empty and objects:
        found = [record for record in found if record.things]
    return as_pictures(found[:limit], class_names, Fit(size, how), captions=captions, objects=objects)


def gather(
    folder: Path, part: str, *, captions: bool, objects: bool, only: Collection[int] | None = None
) -> tuple[list[Record], tuple[str, ...]]:
    """Records of the pictures of `part` ("train2014"), or of those numbered in `only`, and the names of the classes."""
    name = f"coco{part[-4:]}"
    images = official.present(folder / part, name)
    found: dict[int, Record] = {}
    class_names: tuple[str, ...] = ()
    for wanted, kind in ((captions, "captions"), (objects, "instances")):
        if not wanted:
            continue
        path = folder / "annotations" / f"{kind}_{part}.json"
        content = records.load(path, name)
        found = found or _images(path, content, images)
        if kind == "captions":
            for where, entry in records.listed(content, "annotations", path):
                _owner(found, entry, where).captions.append(records.value(entry, "caption", str, where).strip())
            if only is not None and not any(number in only for number in found):
                return [], ()  # the large file of objects can stay unread
        else:
            class_names = _things(path, content, found)
    return [record for record in found.values() if only is None or record.number in only], class_names


def _images(path: Path, content: dict, images: Path) -> dict[int, Record]:
    found = {}
    for where, entry in records.listed(content, "images", path):
        number, width, height = (records.value(entry, key, int, where) for key in ("id", "width", "height"))
        file = records.value(entry, "file_name", str, where)
        if number in found or width < 1 or height < 1 or Path(file).name != file:
            raise ValueError(f"{where}: expected a new id, a file name without folders and a size, got {entry!r:.120}")
        found[number] = Record(number, images / file, width, height)
    return found


def _owner(found: dict[int, Record], entry: object, where: str) -> Record:
    number = records.value(entry, "image_id", int, where)
    if number not in found:
        raise ValueError(f"{where}: there is no picture {number}")
    return found[number]


def _things(path: Path, content: dict, found: dict[int, Record]) -> tuple[str, ...]:
    """Hangs every object on its picture; the lists of numbers stay those of the file, nothing is copied."""
    names, numbers = [], {}
    for where, entry in records.listed(content, "categories", path):
        numbers[records.value(entry, "id", int, where)] = len(names)
        names.append(records.value(entry, "name", str, where))
    for where, entry in records.listed(content, "annotations", path):
        owner = _owner(found, entry, where)
        box, category = records.value(entry, "bbox", list, where), records.value(entry, "category_id", int, where)
        outline = entry.get("segmentation")
        if len(box) != 4 or category not in numbers or not isinstance(outline, (list, dict)):
            raise ValueError(
                f"{where}: expected a box of 4 numbers, a listed category and a segmentation, "
                f"got {box}, {category} and {outline!r:.60}"
            )
        owner.things.append(Thing(numbers[category], box, bool(entry.get("iscrowd", 0)), outline))
    return tuple(names)


def as_pictures(
    found: Sequence[Record], class_names: tuple[str, ...], fit: Fit, *, captions: bool = True, objects: bool = True
) -> Pictures:
    """The records as a set, in their order."""
    if not found:
        raise ValueError("no picture is left")
    more = {}
    if objects:
        found, boxes = zip(*(_placed(record, fit) for record in found), strict=True)
        more = {
            "boxes": boxes,
            "box_labels": tuple(torch.tensor([t.number for t in r.things], dtype=torch.long) for r in found),
            "ignored": tuple(torch.tensor([t.crowd for t in r.things], dtype=torch.bool) for r in found),
            "object_masks": column(partial(_masks, fit), found, ragged=True),
        }
    return Pictures(
        images=pictures([record.path for record in found], fit),
        class_names=class_names,
        captions=tuple(tuple(record.captions) for record in found) if captions else None,
        names=tuple(record.path.name for record in found),
        **more,
    )


def _placed(record: Record, fit: Fit) -> tuple[Record, Tensor]:
    """The record without the objects that a crop cuts off, and the boxes (n, 4) of the others in the square."""
    try:
        boxes = np.array([thing.box for thing in record.things], np.float64).reshape(-1, 4)
    except (TypeError, ValueError):
        boxes = np.full((1, 4), np.nan)
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < 0).any():
        raise ValueError(f"{record.path.name}: a box must be 4 finite numbers with no negative width or height")
    boxes[:, 2:] += boxes[:, :2]
    placed = fit.boxes(boxes, record.width, record.height)
    if fit.how == "squash":
        return record, placed
    shown = (placed[:, 2:] > placed[:, :2]).all(1)
    return replace(record, things=[t for t, keep in zip(record.things, shown.tolist()) if keep]), placed[shown]


def _masks(fit: Fit, record: Record) -> Tensor:
    if not record.things:
        return torch.zeros(0, fit.size, fit.size, dtype=torch.bool)
    return torch.stack([fit.mask(draw(thing.outline, record)) for thing in record.things])


def draw(outline: list | dict, record: Record) -> np.ndarray:
    """(height, width) uint8 of polygons or run lengths; a polygon of fewer than three points covers nothing."""
    try:
        from pycocotools import mask as rle
    except ImportError as error:
        raise ImportError("the masks of COCO need pycocotools: pip install pycocotools") from error
    size = record.height, record.width
    try:
        if isinstance(outline, list):
            polygons = [points for points in outline if len(points) >= 6]  # 4 numbers would be taken for a box
            if any(len(points) % 2 for points in polygons):
                raise ValueError("a polygon with an odd number of coordinates")
            runs = rle.merge(rle.frPyObjects(polygons, *size)) if polygons else None
        else:
            runs = rle.frPyObjects(_checked(outline, size), *size)
        return rle.decode(runs) if runs else np.zeros(size, np.uint8)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{record.path.name} has a broken segmentation ({error})") from error


def _checked(outline: dict, size: tuple[int, int]) -> dict:
    """Run lengths as plain numbers that fill the picture: pycocotools shows stray memory where they fall short."""
    counts = outline["counts"]
    counts = _unpacked(counts) if isinstance(counts, str) else counts
    if tuple(outline["size"]) != size:
        raise ValueError(f"run lengths for {outline['size']} instead of {list(size)}")
    if min(counts, default=0) < 0 or sum(counts) != size[0] * size[1]:
        raise ValueError("run lengths that do not add up to the picture")
    return {"counts": counts, "size": list(size)}


def _unpacked(text: str) -> list[int]:
    """Run lengths of COCO's packed string: five bits a character from "0" on, low ones first, the sixth bit for more.

    The last character's fifth bit is the sign; from the fourth number on, each is the difference to the one two before.
    """
    counts: list[int] = []
    if any(not 0 <= ord(letter) - 48 < 64 for letter in text):
        raise ValueError("packed run lengths with strange characters")
    rest = iter([ord(letter) - 48 for letter in text])
    for code in rest:
        number, shift = code & 31, 5
        while code & 32:
            code = next(rest, None)
            if code is None:
                raise ValueError("packed run lengths that are cut short")
            number |= (code & 31) << shift
            shift += 5
        number -= (code & 16) << (shift - 4)
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
    return counts


def photographs(images: Path, wanted: Sequence[tuple[str, int]], fit: Fit) -> Pictures:
    """Pictures of COCO, named by part and number ("val2014", 42), without captions or objects."""
    for part in sorted({part for part, _ in wanted}):
        official.present(images / part, f"coco{part[-4:]}")
    paths = [images / part / f"COCO_{part}_{number:012d}.jpg" for part, number in wanted]
    return Pictures(images=pictures(paths, fit), class_names=(), names=tuple(path.name for path in paths))
