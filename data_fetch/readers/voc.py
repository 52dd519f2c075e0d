"""PASCAL VOC 2007 and 2012: pictures of 20 kinds of objects with boxes, and some with masks.

Layout: VOCdevkit/VOC<year>/ with JPEGImages/*.jpg, Annotations/*.xml, ImageSets/{Main,Segmentation}/<split>.txt,
SegmentationClass/*.png and SegmentationObject/*.png. Both kinds of PNG are palette images whose indices are the
numbers: 0 background, 255 void (a border around objects, and what is hard to tell), else class or object.

References
----------
Everingham, Van Gool, Williams, Winn, Zisserman, "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010.
Hariharan, Arbelaez, Bourdev, Maji, Malik, "Semantic Contours from Inverse Detectors", ICCV 2011 (SBD).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.io import loadmat
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from data_fetch.fields import Pictures
from data_fetch.readers import official
from data_fetch.readers.pixels import Fit, column, open_picture, pictures

CLASSES = tuple(
    "aeroplane bicycle bird boat bottle bus car cat chair cow "
    "diningtable dog horse motorbike person pottedplant sheep sofa train tvmonitor".split()
)
VOID = 255
SPLITS = {
    2007: ("train", "val", "trainval", "test", "seg_train", "seg_val", "seg_trainval", "seg_test"),
    2012: ("train", "val", "trainval", "seg_train", "seg_val", "seg_trainval", "train_aug"),
}


class Scene(NamedTuple):
    """What one annotation says of the n objects in a picture.

    width, height; boxes (n, 4) x0, y0, x1, y1 in pixels of the picture; labels (n,) numbers of CLASSES; difficult
    (n,) bool; placed (n, 4) the boxes in the square, and shown (n,) bool whether anything of them is in it.
    """

    width: int
    height: int
    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    placed: Tensor
    shown: Tensor


def read(
    folder: Path | str,
    split: str = "train",
    *,
    year: int | None = None,
    size: int = 224,
    how: str = "squash",
    sbd: Path | str | None = None,
) -> Pictures:
    """Pictures with their boxes, read at once, and masks, read when asked for.

    Parameters
    ----------
    folder : where the archives were extracted, or VOCdevkit, or VOC2007 or VOC2012 itself.
    split : "train", "val", "trainval", for 2007 also "test": the pictures of ImageSets/Main. "seg_train", "seg_val",
        "seg_trainval", for 2007 also "seg_test": those of ImageSets/Segmentation, which have masks. "train_aug"
        (2012): seg_train and all of SBD, without seg_val. The annotations of VOC 2012's test set are not public.
    year : 2007 or 2012; None where the folder holds one of them.
    size, how : see `pixels.Fit`.
    sbd : for "train_aug", where SBD's benchmark.tgz was extracted; None looks inside `folder` and for sbd/ beside it.

    Returns
    -------
    Pictures. VOC counts pixels from 1 and includes the last one: xmin..xmax becomes xmin - 1, xmax. ignored :
    "difficult". Parts (heads, hands) are no objects. Objects that a crop cuts off entirely are left out.
    segmentation : the seg splits and "train_aug", where SBD's masks, drawn by other annotators and without void,
    stand in for pictures that VOC has none of. object_masks : the seg splits alone, see `_object_masks`.

    Raises
    ------
    ValueError : an unknown split or year, or a file that does not fit, with its name.
    FileNotFoundError : a file that is missing.
    """
    fit = Fit(size, how)
    root, year = _root(Path(folder), year)
    official.choose(split, SPLITS[year])
    if split == "train_aug":
        berkeley = _berkeley(Path(folder) if sbd is None else Path(sbd))
        ids = _augmented(root, berkeley)
    else:
        kind = "Segmentation" if split.startswith("seg_") else "Main"
        ids = _list(root / f"ImageSets/{kind}/{split.removeprefix('seg_')}.txt", f"voc{year}")

    scenes = [_scene(root / f"Annotations/{name}.xml", f"voc{year}", fit) for name in ids]
    segmentation = objects = None
    if split == "train_aug":
        own = set(_list(root / "ImageSets/Segmentation/train.txt", "voc2012"))
        masks = [root / f"SegmentationClass/{n}.png" if n in own else berkeley / f"cls/{n}.mat" for n in ids]
        segmentation = column(partial(_segmentation, fit), masks)
    elif split.startswith("seg_"):
        segmentation = column(partial(_segmentation, fit), [root / f"SegmentationClass/{n}.png" for n in ids])
        objects = column(partial(_object_masks, fit, root), list(zip(ids, scenes)), ragged=True)
    return Pictures(
        images=pictures([root / f"JPEGImages/{name}.jpg" for name in ids], fit),
        class_names=CLASSES,
        boxes=tuple(scene.placed[scene.shown] for scene in scenes),
        box_labels=tuple(torch.from_numpy(scene.labels)[scene.shown] for scene in scenes),
        ignored=tuple(torch.from_numpy(scene.difficult)[scene.shown] for scene in scenes),
        object_masks=objects,
        segmentation=segmentation,
        names=tuple(ids),
    )


def _root(folder: Path, year: int | None) -> tuple[Path, int]:
    if year not in (None, *SPLITS):
        raise ValueError(f"year must be 2007 or 2012, got {year}")
    years = tuple(SPLITS) if year is None else (year,)
    places = {y: (f"VOCdevkit/VOC{y}", f"VOC{y}") + (("",) if folder.name == f"VOC{y}" else ()) for y in years}
    there = [y for y in years if any((folder / place / "ImageSets").exists() for place in places[y])]
    if len(there) > 1:
        raise ValueError(f"{folder} holds VOC 2007 and VOC 2012: say which one with year=")
    chosen = there[0] if there else years[-1]
    return official.inside(folder, places[chosen], "ImageSets", f"voc{chosen}"), chosen


def _list(path: Path, name: str) -> list[str]:
    """Names of pictures, one a line."""
    found = official.lines(path, name)
    for number, text in found:
        if len(text.split()) != 1:
            raise ValueError(f"{path}, line {number}: expected the name of one picture, got {text!r}")
    return [text for _, text in found]


def _berkeley(folder: Path) -> Path:
    inner = "benchmark_RELEASE/dataset"
    return official.inside(folder, (inner, f"sbd/{inner}", f"../sbd/{inner}", "dataset", ""), "cls", "sbd")


def _augmented(root: Path, berkeley: Path) -> list[str]:
    """The names that SBD's two lists and seg_train hold, without those of seg_val, sorted."""
    own, held_out = (_list(root / f"ImageSets/Segmentation/{split}.txt", "voc2012") for split in ("train", "val"))
    more = [name for split in ("train", "val") for name in _list(berkeley / f"{split}.txt", "sbd")]
    return sorted({*own, *more} - set(held_out))


def _scene(path: Path, name: str, fit: Fit) -> Scene:
    """The objects of one annotation; only direct children count, for <part> holds boxes of its own."""
    try:
        tree = ET.parse(official.present(path, name)).getroot()
    except ET.ParseError as error:
        raise ValueError(f"{path}, line {error.position[0]}: no XML that can be read ({error})") from error
    width, height = (_number(path, tree, f"size/{side}") for side in ("width", "height"))
    if width < 1 or height < 1:
        raise ValueError(f"{path}: a picture needs a size of at least 1 x 1, got {width:g} x {height:g}")
    things = tree.findall("object")
    corners = [[_number(path, thing, f"bndbox/{k}") for k in ("xmin", "ymin", "xmax", "ymax")] for thing in things]
    boxes = np.array(corners).reshape(-1, 4) - (1, 1, 0, 0)
    wrong = np.flatnonzero((boxes[:, 2:] <= boxes[:, :2]).any(1))
    if wrong.size:
        raise ValueError(f"{path}: object {wrong[0] + 1} has a box without area: {corners[wrong[0]]}")
    labels = np.array([_class(path, thing) for thing in things], np.int64)
    difficult = np.array([thing.findtext("difficult", "0").strip() == "1" for thing in things], bool)
    placed = fit.boxes(boxes, int(width), int(height))
    return Scene(int(width), int(height), boxes, labels, difficult, placed, (placed[:, 2:] > placed[:, :2]).all(1))


def _number(path: Path, element: ET.Element, tag: str) -> float:
    text = element.findtext(tag)
    try:
        return float(text)  # some boxes of 2012 are no whole numbers
    except (TypeError, ValueError):
        raise ValueError(f"{path}: <{element.tag}> needs a number in {tag}, got {text!r}") from None


def _class(path: Path, thing: ET.Element) -> int:
    name = thing.findtext("name", "").strip()
    if name not in CLASSES:
        raise ValueError(f"{path}: {name!r} is none of the 20 classes")
    return CLASSES.index(name)


def _indices(path: Path) -> np.ndarray:
    """(H, W) uint8, the palette's indices; turning the picture into colours would lose them."""
    picture = open_picture(path)
    if picture.mode not in ("P", "L"):
        raise ValueError(f"{path} must be a palette image whose indices are numbers, its mode is {picture.mode}")
    return np.array(picture)


def _class_map(path: Path) -> np.ndarray:
    """(H, W) uint8: 0 background, k + 1 for class k, 255 void; from a PNG of VOC or a .mat of SBD."""
    if path.suffix == ".mat":
        try:
            numbers = np.asarray(loadmat(official.present(path, "sbd"))["GTcls"][0]["Segmentation"][0], np.uint8)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ValueError(f"{path} does not hold GTcls.Segmentation as SBD's masks do ({error})") from error
    else:
        numbers = _indices(path)
    wrong = np.setdiff1d(numbers, (*range(len(CLASSES) + 1), VOID))
    if wrong.size:
        raise ValueError(f"{path}: a class must be 0 to {len(CLASSES)} or {VOID}, got {wrong[0]}")
    return numbers


def _segmentation(fit: Fit, path: Path) -> Tensor:
    return fit.classes(_class_map(path))


def _object_masks(fit: Fit, root: Path, item: tuple[str, Scene]) -> Tensor:
    """(n, S, S) bool, the mask of each box's object; empty for a box that no mask belongs to.

    SegmentationObject numbers the objects of a picture. A mask's class is the commonest one of its pixels in
    SegmentationClass. Masks and boxes of one class are paired so that the sum of the overlaps (intersection over
    union of the mask's extent and the box) is largest. That needs no trust in the order of the annotation.
    """
    name, scene = item
    objects = _indices(root / f"SegmentationObject/{name}.png")
    classes = _class_map(root / f"SegmentationClass/{name}.png")
    if objects.shape != classes.shape:
        raise ValueError(f"the two PNG of {name} differ in size: {objects.shape} and {classes.shape}")
    numbers = np.setdiff1d(objects, (0, VOID))
    overlap = np.zeros((len(numbers), len(scene.boxes)))
    for k, number in enumerate(numbers):
        mask = objects == number
        counts = np.bincount(classes[mask], minlength=VOID + 1)[1 : len(CLASSES) + 1]
        same = scene.labels == int(counts.argmax())
        overlap[k] = np.where(same & (counts.max() > 0), _overlap(mask, scene.boxes), 0)
    masks = torch.zeros(len(scene.boxes), fit.size, fit.size, dtype=torch.bool)
    for k, n in zip(*linear_sum_assignment(overlap, maximize=True)):
        if overlap[k, n] > 0:
            masks[n] = fit.mask(objects == numbers[k])
    return masks[scene.shown]


def _overlap(mask: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(n,) intersection over union of a mask's extent with each box."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    own = np.array([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1], float)
    sides = np.clip(np.minimum(own[2:], boxes[:, 2:]) - np.maximum(own[:2], boxes[:, :2]), 0, None)
    shared = sides.prod(1)
    return shared / ((own[2:] - own[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared)
