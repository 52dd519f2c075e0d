"""Lesson 14 on photographs: COCO to pre-train on, the Backgrounds Challenge to be tested with; the same parts as the scenes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from data_fetch.fields import Labelled, Pictures
from data_fetch.readers import read

_SIDE = 64  # pixels of a photograph
_MIXED = ("mixed_same", "mixed_rand", "mixed_next", "only_fg")


@dataclass(frozen=True)
class Part:
    """images (N, 3, S, S) in [0, 1]; labels (N,) int64; masks (N, S, S) bool of the objects, None where nobody marked them."""

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(cls, some: Labelled) -> Part:
        """The pictures of a set, read if they are not yet."""
        masks = None if some.masks is None else some.masks[range(len(some))]
        return cls(some.images[range(len(some))], some.labels, masks)

    def first(self, count: int) -> Part:
        masks = None if self.masks is None else self.masks[:count]
        return Part(self.images[:count], self.labels[:count], masks)

    def to(self, device: torch.device | str) -> Part:
        moved = {name: value.to(device) for name, value in vars(self).items() if value is not None}
        return replace(self, **moved)


def coco_parts(limits: tuple[int, int], *, folder=None, size: int = _SIDE) -> dict[str, object]:
    """COCO 2017: train2017 to pre-train and to learn the probe, val2017 to test it; no challenge.

    The label is the class of the largest object, the mask all pixels of all objects, crowds left out.

    limits : pictures with objects of train2017 and of val2017.  folder : of the reader.

    Raises
    ------
    FileNotFoundError : coco2017 is missing; the message has the command that gets it.
    """
    sets = [
        read("coco2017", split, folder=folder, size=size, captions=False, keep_empty=False, limit=n)
        for split, n in zip(("train", "val"), limits)
    ]
    train, test = (_largest(some) for some in sets)
    return {"classes": len(sets[0].class_names), "train": train, "probe": train, "test": test}


def _largest(some: Pictures) -> Part:
    images, labels, masks = [], [], []
    for n in range(len(some)):
        keep = ~some.ignored[n]
        shapes = some.object_masks[[n]][0][keep]
        if not len(shapes) or not shapes.any():
            continue
        images.append(some.images[[n]][0])
        labels.append(int(some.box_labels[n][keep][shapes.flatten(1).sum(1).argmax()]))
        masks.append(shapes.any(0))
    if not images:
        raise ValueError("none of these pictures of COCO has an object that is no crowd")
    return Part(torch.stack(images), torch.tensor(labels), torch.stack(masks))


def in9_parts(seed: int, *, folder=None, size: int = _SIDE) -> dict[str, object]:
    """The Backgrounds Challenge: half of its foregrounds to pre-train and to learn the probe, the other half to be tested.

    The released archive has test images alone, so they are divided; which half is which follows from the seed. only_bg is
    the official only_bg_t. Published figures use classifiers trained on ImageNet and all test images: not comparable.

    Raises
    ------
    FileNotFoundError : in9 is missing; the message has the command that gets it.
    """
    official = {
        name: read("in9", "val", folder=folder, variant=name, size=size) for name in ("original", *_MIXED, "only_bg_t")
    }
    whole = official["original"]
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed)).tolist()
    held = {whole.names[n] for n in order[: max(1, len(order) // 2)]}
    train = Part.of(whole[[n for n, name in enumerate(whole.names) if name not in held]])
    tests = {}
    for name, some in official.items():
        rows = [n for n, own in enumerate(some.names) if own in held]
        if rows:
            tests["only_bg" if name == "only_bg_t" else name] = Part.of(some[rows])
    return {
        "classes": len(whole.class_names), "train": train, "probe": train, "test": tests["original"],
        "challenge_train": train, "challenge": tests,
    }  # fmt: skip
