"""What an experiment gets, rendered or downloaded: the same fields, so that it does not know which it got.

Five kinds of set: `Labelled` (birds, CUB, AwA2, CIFAR-100, IN-9), `Pictures` (scenes, COCO, VOC), `Questions`
(scenes, VQA), `Clips` (things that move, Something-Something) and `Texts` (reviews, SST-2, IMDB). What a data set does
not have is None. Any of them takes a slice, a mask, a list or a tensor of row numbers and gives the smaller set.

A *column* holds one thing for every row: a tensor in memory, or `Loaded`, which reads the rows that it is asked for.
Both give a batch for an index of several rows, so `data.images[rows]` is (n, 3, S, S) either way.

Conventions: images are float in [0, 1]; masks bool; boxes (x0, y0, x1, y1) in pixels of the S x S image, x1 and y1
just outside; row and class numbers start at 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from typing import Self

Index = slice | Sequence[int] | Tensor


def rows(index: Index, count: int) -> list[int]:
    """The row numbers that `index` means in a set of `count` rows, negative ones counted from the end.

    Raises
    ------
    TypeError : a single integer (it would drop the batch axis).  IndexError : a number out of range, a mask of
    another length.
    """
    if isinstance(index, slice):
        return list(range(count))[index]
    if isinstance(index, int):
        raise TypeError(f"index with a slice, a list or a tensor: data[{index}:{index + 1}] keeps the batch axis")
    index = torch.as_tensor(index)
    if index.dtype == torch.bool:
        if index.shape != (count,):
            raise IndexError(f"a mask over {count} rows must have shape ({count},), got {tuple(index.shape)}")
        return torch.nonzero(index)[:, 0].tolist()
    numbers = index.reshape(-1).tolist()
    wrong = [n for n in numbers if not (isinstance(n, int) and -count <= n < count)]
    if wrong:
        raise IndexError(f"row {wrong[0]} of a set that has {count} rows")
    return [n % count for n in numbers]


class Loaded:
    """A column whose rows are read when they are asked for.

    column[rows] stacks them to one tensor (or gives a list, with `ragged`); column[3] is one row.
    """

    def __init__(self, load: Callable[[int], Tensor], numbers: int | Sequence[int], *, ragged: bool = False):
        """`load(n)` gives the n-th row; `numbers`: how many there are, or which n this column holds.

        For `batches` with workers on macOS and Windows `load` must be picklable: no lambda, but a partial.
        """
        self._load = load
        self._numbers = range(numbers) if isinstance(numbers, int) else list(numbers)
        self.ragged = ragged

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Index | int) -> Tensor | list:
        if isinstance(index, int):
            return self._load(self._numbers[index])
        found = [self._load(self._numbers[n]) for n in rows(index, len(self))]
        if self.ragged:
            return found
        if not found:
            raise IndexError("an empty index: there is no row to take the shape from")
        return torch.stack(found)

    def take(self, index: Index) -> Loaded:
        """The same column with fewer rows; nothing is read."""
        return Loaded(self._load, [self._numbers[n] for n in rows(index, len(self))], ragged=self.ragged)


class Taken:
    """Rows of another column, in another order or several times, without a copy: the images of many questions."""

    def __init__(self, column: Tensor | Loaded | Taken, numbers: Tensor):
        self.column, self.numbers = column, torch.as_tensor(numbers).long()

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Index | int) -> Tensor | list[Tensor]:
        if isinstance(index, int):
            return self.column[int(self.numbers[index])]
        return self.column[self.numbers[rows(index, len(self))]]

    def take(self, index: Index) -> Taken:
        return Taken(self.column, self.numbers[rows(index, len(self))])


Column = Tensor | Loaded | Taken


APPEARANCE = ("woman", "man", "person")  # the words for a person's looks, in every set; "person" where nothing tells
ROW = {"row": True}  # marks a dataclass field that holds one entry for every row of the set


def _take(value, numbers: list[int]):
    if value is None:
        return None
    if isinstance(value, Tensor):
        return value[torch.tensor(numbers, dtype=torch.long, device=value.device)]
    if isinstance(value, (Loaded, Taken)):
        return value.take(numbers)
    return value[numbers] if isinstance(value, Rows) else tuple(value[n] for n in numbers)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A set of rows: some fields hold an entry a row, the others describe the whole set."""

    def __post_init__(self):
        lengths = {name: len(value) for name, value in self.row_fields().items() if value is not None}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"every row needs an entry in every field; the fields have these lengths: {lengths}")

    @classmethod
    def row_names(cls) -> list[str]:
        """Names of the fields that hold an entry a row."""
        return [f.name for f in dataclasses.fields(cls) if f.metadata.get("row")]

    def row_fields(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.row_names()}

    def __len__(self) -> int:
        return next(len(value) for value in self.row_fields().values() if value is not None)

    def __getitem__(self, index: Index) -> Self:
        numbers = rows(index, len(self))
        return dataclasses.replace(self, **{k: _take(v, numbers) for k, v in self.row_fields().items()})

    def to(self, device: torch.device | str) -> Self:
        """The same set with every tensor on `device`; columns that are read from disk stay on the CPU."""
        moved = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return dataclasses.replace(self, **{k: v.to(device) for k, v in moved.items() if isinstance(v, (Tensor, Rows))})


class QA(NamedTuple):
    """A question about a picture, its answer, and what kind of question it is ("colour", "exists", ...)."""

    question: str
    answer: str
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class Labelled(Rows):
    """N images of one class each.

    images (N, 3, S, S); labels (N,) int64, numbers of `class_names`.
    masks (N, S, S) bool : the pixels of the labelled object.  boxes (N, 4) : the box around it.
    part_names, part_points (N, P, 3) : x, y in pixels and 1 where the part is visible.
    part_masks (N, P, S, S) bool : the visible pixels of each part.
    attribute_names, attributes (N, A) bool : what holds for this image; certainty (N, A) uint8 : 0 unknown, 1 not
    visible, 2 guessing, 3 probably, 4 definitely (CUB's numbers).
    class_attributes (C, A) float in [0, 1] : the share of the class's images, or of annotators, for which it holds.
    seen (C,) bool : the classes of a zero-shot split whose images may be used in training.
    descriptions : sentences for each image; a tuple, or a ragged column that writes them when they are asked for.
    names : for each image, the name of its file or its origin.
    """

    images: Column = field(metadata=ROW)
    labels: Tensor = field(metadata=ROW)
    class_names: tuple[str, ...]
    masks: Column | None = field(default=None, metadata=ROW)
    boxes: Tensor | None = field(default=None, metadata=ROW)
    part_names: tuple[str, ...] = ()
    part_points: Tensor | None = field(default=None, metadata=ROW)
    part_masks: Column | None = field(default=None, metadata=ROW)
    attribute_names: tuple[str, ...] = ()
    attributes: Tensor | None = field(default=None, metadata=ROW)
    certainty: Tensor | None = field(default=None, metadata=ROW)
    class_attributes: Tensor | None = None
    seen: Tensor | None = None
    descriptions: tuple[tuple[str, ...], ...] | Loaded | None = field(default=None, metadata=ROW)
    names: tuple[str, ...] | None = field(default=None, metadata=ROW)


@dataclass(frozen=True, kw_only=True)
class Pictures(Rows):
    """N pictures of several objects.

    images (N, 3, S, S).  boxes, box_labels : for each picture a tensor (n, 4) and one (n,) int64, numbers of
    `class_names`; ignored : (n,) bool, boxes that an evaluation leaves out (VOC's difficult, COCO's crowd).
    object_masks : ragged column; row i is (n, S, S) bool, the visible pixels of each box's object.
    segmentation (N, S, S) uint8 : 0 background, k + 1 for class k, 255 void.
    captions : for each picture its sentences; a tuple, or a ragged column that writes them when they are asked for.
    appearance (N,) int64, numbers of `appearance_names` (`APPEARANCE`) : the word that annotators used for a person, judged by
    looks alone, nobody's identity; -1 where there is no person.
    proposals (N, R, 4) : regions that a detector might propose, true and false ones.
    names : for each picture, the name of its file or its origin.
    """

    images: Column = field(metadata=ROW)
    class_names: tuple[str, ...]
    boxes: tuple[Tensor, ...] | None = field(default=None, metadata=ROW)
    box_labels: tuple[Tensor, ...] | None = field(default=None, metadata=ROW)
    ignored: tuple[Tensor, ...] | None = field(default=None, metadata=ROW)
    object_masks: Loaded | None = field(default=None, metadata=ROW)
    segmentation: Column | None = field(default=None, metadata=ROW)
    captions: tuple[tuple[str, ...], ...] | Loaded | None = field(default=None, metadata=ROW)
    appearance: Tensor | None = field(default=None, metadata=ROW)
    appearance_names: tuple[str, ...] = ()
    proposals: Tensor | None = field(default=None, metadata=ROW)
    names: tuple[str, ...] | None = field(default=None, metadata=ROW)

    @property
    def labels(self) -> Tensor:
        """(N, C) bool: the classes that a picture shows; ignored boxes do not count."""
        if self.box_labels is None:
            raise ValueError("this set has no boxes, so it does not say which classes a picture shows")
        found = torch.zeros(len(self), len(self.class_names), dtype=torch.bool)
        for n, numbers in enumerate(self.box_labels):
            found[n, numbers if self.ignored is None else numbers[~self.ignored[n]]] = True
        return found

    def mask_of(self, name: str) -> Loaded:
        """Column (N, S, S) bool: the union of the visible pixels of every object of the class; crowds left out.

        Raises
        ------
        ValueError : an unknown class, or a set without object masks.
        """
        if name not in self.class_names:
            raise ValueError(f"there is no class {name!r}; there are {', '.join(self.class_names)}")
        if self.object_masks is None or self.box_labels is None:
            raise ValueError("this set has no masks of its objects")
        wanted = self.class_names.index(name)

        chosen = [labels == wanted for labels in self.box_labels]
        if self.ignored is not None:
            chosen = [mask & ~ignored for mask, ignored in zip(chosen, self.ignored, strict=True)]
        return Loaded(partial(_union, self.object_masks, chosen), len(self))


def _union(masks: Loaded, chosen: Sequence[Tensor], n: int) -> Tensor:
    return masks[n][chosen[n]].any(0)


@dataclass(frozen=True, kw_only=True)
class Questions(Rows):
    """N questions about M pictures.

    pictures : M rows; image_index (N,) int64 : the row of each question's picture.
    questions, answers : text, and the most common answer; votes : all the answers given (ten in VQA, one in a world).
    question_types ("how many", ...), answer_types ("yes/no", "number", "other"), ids : the data set's own numbers.
    attention : column (N, S, S) float >= 0 : where people look for the answer, mean of the annotators, 0 to 1;
    zeros where has_attention (N,) is False.
    perception, irrelevant : for each question the sub-questions that a reasoning question rests on, and questions
    about the same picture that it does not rest on; empty where there are none.
    """

    pictures: Pictures
    image_index: Tensor = field(metadata=ROW)
    questions: tuple[str, ...] = field(metadata=ROW)
    answers: tuple[str, ...] = field(metadata=ROW)
    votes: tuple[tuple[str, ...], ...] | None = field(default=None, metadata=ROW)
    question_types: tuple[str, ...] | None = field(default=None, metadata=ROW)
    answer_types: tuple[str, ...] | None = field(default=None, metadata=ROW)
    ids: tuple[int, ...] | None = field(default=None, metadata=ROW)
    attention: Column | None = field(default=None, metadata=ROW)
    has_attention: Tensor | None = field(default=None, metadata=ROW)
    perception: tuple[tuple[QA, ...], ...] | None = field(default=None, metadata=ROW)
    irrelevant: tuple[tuple[QA, ...], ...] | None = field(default=None, metadata=ROW)

    @property
    def images(self) -> Taken:
        """Column (N, 3, S, S): the picture of each question, without a copy."""
        return Taken(self.pictures.images, self.image_index)


@dataclass(frozen=True, kw_only=True)
class Clips(Rows):
    """N clips of T frames.

    frames (N, T, 3, S, S); labels (N,) int64, numbers of `class_names` ("Pushing [something] left", ...).
    texts : the label with its placeholders filled in.  masks (N, T, S, S) bool : the thing that is moved.
    opposite (C,) int64 : the class that the reversed clip shows, -1 where there is none.
    """

    frames: Column = field(metadata=ROW)
    labels: Tensor = field(metadata=ROW)
    class_names: tuple[str, ...]
    texts: tuple[str, ...] | None = field(default=None, metadata=ROW)
    masks: Column | None = field(default=None, metadata=ROW)
    opposite: Tensor | None = None
    names: tuple[str, ...] | None = field(default=None, metadata=ROW)


@dataclass(frozen=True, kw_only=True)
class Texts(Rows):
    """N texts of one class each.

    texts : as written; words : the same, cut into words; labels (N,) int64, numbers of `class_names`.
    evidence : for each word whether it carries the label; None where nobody marked it.
    """

    texts: tuple[str, ...] = field(metadata=ROW)
    words: tuple[tuple[str, ...], ...] = field(metadata=ROW)
    labels: Tensor = field(metadata=ROW)
    class_names: tuple[str, ...]
    evidence: tuple[tuple[bool, ...], ...] | None = field(default=None, metadata=ROW)
    names: tuple[str, ...] | None = field(default=None, metadata=ROW)


def batches(
    data: Rows, *columns: str, size: int, generator: torch.Generator | None = None, workers: int = 0
) -> Iterator[dict[str, object]]:
    """One pass over the set in batches {column: (n, ...)} of `size` rows; the last one may be smaller.

    Parameters
    ----------
    columns : names of row fields, or of properties such as "labels" that hold an entry a row.
    generator : shuffles the rows; None keeps their order.
    workers : processes that read ahead (for columns that are read from disk).
    """
    if size < 1 or not columns:
        raise ValueError(f"name at least one column and a size of at least 1, got {columns} and {size}")
    values = {name: getattr(data, name) for name in columns}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ValueError(f"this set has no {', '.join(missing)}")
    order = torch.arange(len(data)) if generator is None else torch.randperm(len(data), generator=generator)
    table = _Batches(values, list(order.split(size)))
    # a generator of its own: otherwise the loader takes a number from torch's global one
    own = torch.Generator()
    yield from torch.utils.data.DataLoader(table, batch_size=None, num_workers=workers, generator=own)


class _Batches(torch.utils.data.Dataset):
    def __init__(self, values: dict[str, object], order: list[Tensor]):
        self.values, self.order = values, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, number: int) -> dict[str, object]:
        chosen = self.order[number]
        return {
            name: value[chosen] if isinstance(value, (Tensor, Loaded, Taken)) else [value[n] for n in chosen.tolist()]
            for name, value in self.values.items()
        }
