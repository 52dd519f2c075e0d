"""Photographs that are already on the machine: inside scikit-image, scikit-learn and matplotlib.

Nothing is downloaded. What is known of each picture (photos.json) was written by looking at it: a caption,
the ImageNet class that fits best, and boxes around its parts, drawn by hand in pixels of the original.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

_FOLDERS = {  # module -> (name for pip, folder inside the package)
    "skimage": ("scikit-image", "data"),
    "sklearn": ("scikit-learn", "datasets/images"),
    "matplotlib": ("matplotlib", "mpl-data/sample_data"),
}


class LabelledBox(NamedTuple):
    """One thing in a picture: what it is, the ImageNet class nearest to it or None, and (x0, y0, x1, y1)."""

    label: str
    index: int | None
    box: tuple[float, float, float, float]  # x1 and y1 are just outside


@dataclass(frozen=True)
class Photo:
    """What is known of one picture.

    Attributes
    ----------
    name, package (as pip calls it), file, caption, size (width, height).
    licence : the licence of this very picture and whom to name, as its package states them.
    kind : "photograph", "texture", "medical", "astronomy", "text" or "drawing".
    category, index : the ImageNet class that fits best, by torchvision's name; None when none does.
    objects : boxes in pixels of the original.
    suitable : for tests of localisation: a photograph whose `category` is EfficientNet-Lite0's first choice,
        with a probability of at least 0.3, when the whole picture is squashed to 224 x 224 pixels.
    """

    name: str
    package: str
    file: str
    caption: str
    size: tuple[int, int]
    licence: str
    kind: str
    category: str | None
    index: int | None
    objects: tuple[LabelledBox, ...]
    suitable: bool

    @property
    def is_photo(self) -> bool:
        """False for textures, slides, pages and drawings: what an ImageNet network does not know."""
        return self.kind == "photograph"


@cache
def _photos() -> dict[str, tuple[Photo, str]]:
    records = json.loads(Path(__file__).with_name("photos.json").read_text(encoding="utf-8"))
    photos = {}
    for record in records:
        module = record.pop("package")
        record["size"] = tuple(record["size"])
        record["objects"] = tuple(LabelledBox(label, i, tuple(box)) for label, i, box in record["objects"])
        photos[record["name"]] = (Photo(package=_FOLDERS[module][0], **record), module)
    return photos


def _record(name: str) -> tuple[Photo, str]:
    photos = _photos()
    if name not in photos:
        close = difflib.get_close_matches(str(name), photos, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"choose one of {', '.join(photos)}"
        raise ValueError(f"there is no photo {name!r}; {hint}")
    return photos[name]


def names(*, photos_only: bool = False, suitable_only: bool = False) -> list[str]:
    """The names of all pictures, of the photographs alone, or of those suitable for tests of localisation."""
    return [
        photo.name
        for photo, _ in _photos().values()
        if (photo.is_photo or not photos_only) and (photo.suitable or not suitable_only)
    ]


def photo(name: str) -> Photo:
    """What is known of the picture `name`; ValueError for an unknown name."""
    return _record(name)[0]


def path(name: str) -> Path:
    """Where the file of the picture lies.

    Raises
    ------
    ValueError : unknown name.  ModuleNotFoundError : its package is not installed.
    FileNotFoundError : its package is there, but without the sample pictures.
    """
    found, module = _record(name)
    folder = _FOLDERS[module][1]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"the photo {name!r} comes with {found.package}: pip install {found.package}")
    file = Path(spec.submodule_search_locations[0]) / folder / found.file
    if not file.is_file():
        raise FileNotFoundError(
            f"the photo {name!r} is not at {file}: this {found.package} came without its sample pictures; "
            f"pip install --force-reinstall {found.package}"
        )
    return file


def load(name: str) -> Image.Image:
    """The picture as a PIL image in mode RGB; grey has three equal channels, transparency becomes white.

    Raises
    ------
    ValueError : unknown name, or a file of another size than the picture that the boxes were drawn on.
    ModuleNotFoundError, FileNotFoundError : as `path`.
    """
    found = photo(name)
    with Image.open(path(name)) as image:
        if image.size != found.size:
            raise ValueError(
                f"the photo {name!r} of this {found.package} has {image.size} pixels, not {found.size}: "
                "another picture than the one described here"
            )
        if image.mode != "RGBA":
            return image.convert("RGB")
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        return white.convert("RGB")


def boxes(name: str, size: int | None = None) -> list[LabelledBox]:
    """The boxes of a picture in pixels of the original, or of the picture squashed to size x size.

    Returns
    -------
    list of (label, index, (x0, y0, x1, y1)), with x to the right and y downwards; x1 and y1 are just outside.
    """
    found = photo(name)
    if size is None:
        return list(found.objects)
    if size < 1:
        raise ValueError(f"size must be a positive number of pixels, not {size}")
    width, height = found.size
    scale = (size / width, size / height, size / width, size / height)
    return [
        thing._replace(box=tuple(value * factor for value, factor in zip(thing.box, scale))) for thing in found.objects
    ]


def table() -> list[dict[str, str]]:
    """One row a picture, for display: name, kind, category, objects, package, licence, caption."""
    rows = []
    for found, _ in _photos().values():
        labels = list(dict.fromkeys(thing.label for thing in found.objects))
        rows.append(
            {
                "name": found.name,
                "kind": found.kind,
                "category": found.category or "",
                "objects": ", ".join(labels),
                "package": found.package,
                "licence": found.licence,
                "caption": found.caption,
            }
        )
    return rows
