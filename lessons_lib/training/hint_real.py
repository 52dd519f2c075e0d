"""VQA-CP v2 with the human attention of VQA-HAT, for lesson 11: the same fields as the rendered questions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import partial

import torch
from torch import Tensor
from torchvision.ops import roi_align

from data_fetch.fields import Column, Loaded, Pictures, Questions
from data_fetch.readers import read
from data_fetch.worlds.scenes.priors import PriorSets
from lessons_lib.models import imagenet

_CELLS = (4, 3)  # regions: squares of a quarter of the side, and of half the side that overlap
_STRIDE = 32  # pixels of the picture for one cell of the last features


def real_sets(seed: int, *, train: int, test: int, answers: int, size: int = 224) -> PriorSets:
    """The first `train` questions of VQA-CP v2's training set, and `test` each of held-out training pictures and of the test.

    seed : which training pictures are held out.  answers : training questions with one of the so many most frequent
    answers are kept; the others are dropped from training alone.

    Raises
    ------
    FileNotFoundError : vqacp2, coco2014, vqahat or vqa2 is missing; the message has the command that gets it.
    ValueError : no question of the training set has a map of human attention.
    """
    maps = _HumanMaps(size)
    options = {"size": size, "seed": seed}
    parts = [
        read("vqacp2", split, limit=n, **options) for split, n in (("train", train), ("val", test), ("test", test))
    ]
    known = {answer for answer, _ in Counter(parts[0].answers).most_common(answers)}
    parts[0] = parts[0][[n for n, answer in enumerate(parts[0].answers) if answer in known]]
    found = PriorSets(*(maps.attach(_with_regions(part)) for part in parts))
    if not found.train.has_attention.any():
        raise ValueError("none of these training questions has a map in VQA-HAT; read more of them")
    return found


@torch.no_grad()
def real_features(pictures: Pictures, device: torch.device | str = "cpu", batch: int = 32) -> Tensor:
    """(M, R, D) of the regions: means of the last features of EfficientNet-Lite0, scaled to mean 1, as ImageNet taught it."""
    network = imagenet.load(device=device)
    kept: list[Tensor] = []
    handle = network.get_submodule(network.explain_layer).register_forward_hook(lambda *given: kept.append(given[2]))
    found = []
    try:
        for rows in torch.arange(len(pictures)).split(batch):
            kept.clear()
            network(pictures.images[rows].to(device))
            boxes = list(pictures.proposals[rows].to(device))
            pooled = roi_align(kept[-1].clamp(0, 6), boxes, 1, spatial_scale=1 / _STRIDE, aligned=True)
            found.append(pooled.view(len(rows), -1, pooled.shape[1]))
    finally:
        handle.remove()
    features = torch.cat(found)
    return features / features.mean().clamp(min=1e-6)


def _with_regions(questions: Questions) -> Questions:
    pictures = questions.pictures
    size, boxes = pictures.images[:1].shape[-1], []
    for number, cells in enumerate(_CELLS):
        side = size / (4, 2)[number]
        starts = [(size - side) * k / (cells - 1) for k in range(cells)]
        boxes += [(x, y, x + side, y + side) for y in starts for x in starts]
    proposals = torch.tensor(boxes).expand(len(pictures), -1, -1)
    return dataclasses.replace(questions, pictures=dataclasses.replace(pictures, proposals=proposals))


class _HumanMaps:
    """VQA-HAT's maps of both of its splits, by the number of the question in VQA v2."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.places: dict[int, tuple[Column, int]] = {}
        for split in ("train", "val"):
            hat = read("vqahat", split, size=size)
            self.places |= {number: (hat.attention, n) for n, number in enumerate(hat.ids)}

    def attach(self, questions: Questions) -> Questions:
        """The questions with `attention` and `has_attention`."""
        has = torch.tensor([number in self.places for number in questions.ids])
        column = Loaded(
            partial(_heat, self.size, [self.places.get(number) for number in questions.ids]), len(questions)
        )
        return dataclasses.replace(questions, attention=column, has_attention=has)


def _heat(size: int, places: list[tuple[Column, int] | None], n: int) -> Tensor:
    if places[n] is None:
        return torch.zeros(size, size)
    column, row = places[n]
    return column[row]
