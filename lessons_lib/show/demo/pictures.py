"""What the web demo works with, without any widget: pictures that were checked, and a figure as PNG bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from data_fetch import photos
from data_fetch.worlds.scenes import ask, scenes
from lessons_lib.models.pictures import _BROKEN, PIXELS_MAX, prepare
from lessons_lib.show.figures import grid, show
from lessons_lib.show.picture import Picture
from lessons_lib.training.ready import KINDS, WORLD

SIDE = 480  # pixels of the longer side of a picture on the page
BYTES_MAX = 50_000_000  # of an uploaded file
STRETCH_MAX = 3.0  # a picture is shown at most this much wider than high, or higher than wide
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")  # no format that starts another program
READABLE = "JPEG, PNG, WebP, GIF, BMP and TIFF can be read"
_OTHERS = {  # how files begin that people take for pictures
    b"%PDF": "it is a PDF, whatever its name says",
    b"PK\x03\x04": "it is a ZIP archive or an office document",
    b"<svg": "it is a drawing in SVG",
    b"<?xml": "it is a text in XML",
    b"<!DOC": "it is a web page",
    b"<html": "it is a web page",
}


@dataclass(frozen=True)
class Shot:
    """A picture that was checked and is ready for a network.

    key : tells it from every other picture of the page.  title : its name in figures.
    images : (1, 3, S, S) in [0, 1], the whole picture squashed to the network's square.
    display : (3, h, w) in [0, 1], in its own shape.
    note : what was done to it, in a sentence, or "".
    truth : what a rendered scene shows, in a sentence, or "".  questions : (question, right answer) about it.
    rendered : a scene of the course's own world.
    """

    key: str
    title: str
    images: Tensor
    display: Tensor
    note: str = ""
    truth: str = ""
    questions: tuple[tuple[str, str], ...] = ()
    rendered: bool = False


def take_in(name: str, data: bytes, size: int, key: str | None = None) -> Shot:
    """An uploaded picture file as a `Shot` for a network that takes (3, size, size).

    JPEG files are made smaller while they are decoded, so that even very large photographs cost little.

    Raises
    ------
    ValueError : empty, too large, not a picture, damaged, or with values out of range; the message is for the page.
    """
    short = name if len(name) <= 40 else f"{name[:24]} … {name[-12:]}"
    if not data:
        raise ValueError(f"“{short}” is an empty file.")
    if len(data) > BYTES_MAX:
        raise ValueError(f"“{short}” has {len(data) / 1e6:.0f} MB; at most {BYTES_MAX / 1e6:.0f} MB are taken.")
    image, notes = _decoded(short, data)
    try:
        images = prepare(image, size)
        square = prepare(image, SIDE)[0]
    except ValueError as error:
        reason = str(error).replace("this PIL image", "it")
        raise ValueError(f"“{short}” cannot be used: {reason}.") from error
    display = _in_shape(square, image.width / image.height)
    return Shot(key or name, short, images, display, " ".join(notes))


def photo(name: str, size: int) -> Shot:
    """A photograph of `data_fetch.photos` as a `Shot`."""
    image = photos.load(name)
    display = _in_shape(prepare(image, SIDE)[0], image.width / image.height)
    return Shot(f"photo {name}", name.replace("_", " "), prepare(image, size), display)


@lru_cache(maxsize=4)  # two tabs show the same scenes
def rendered(count: int, seed: int, size: int = 48) -> tuple[Shot, ...]:
    """Freshly rendered scenes of the models' world, each with a sentence about it and questions with their answers.

    The network gets (size, size) pixels; the page shows the same scenes drawn finer.
    """
    coarse, fine = (scenes(count, seed=seed, size=side, **WORLD) for side in (size, SIDE // 2))
    asked = ask(coarse, per_image=6, kinds=KINDS, seed=seed)
    questions: list[list[tuple[str, str]]] = [[] for _ in range(count)]
    for number, question, answer in zip(asked.image_index.tolist(), asked.questions, asked.answers):
        questions[number].append((str(question), str(answer)))
    return tuple(
        Shot(
            f"scene {seed}.{number}", f"scene {number + 1} of set {seed}", coarse.images[number][None].clone(),
            fine.images[number].clone(), truth=coarse.captions[number][0], questions=tuple(questions[number]),
            rendered=True,
        )
        for number in range(count)
    )  # fmt: skip


def thumbnail(shot: Shot, side: int = 88) -> bytes:
    """The middle of a picture as a small JPEG file."""
    pixels = (shot.display.permute(1, 2, 0).clamp(0, 1) * 255 + 0.5).byte().numpy()
    buffer = io.BytesIO()
    ImageOps.fit(Image.fromarray(pixels), (side, side)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def figure(
    shot: Shot,
    maps: Mapping[str, np.ndarray],
    *,
    signed: Mapping[str, bool],
    said: str,
    about: str,
    overlay: float = 0.55,
) -> Picture:
    """The picture and its maps side by side, with what the network said and what is explained.

    maps : name -> (h, w) or (h, w, 3).  said : "Egyptian cat 53 %, tabby 20 %".  about : "'Egyptian cat'".
    """
    title = f"{shot.title}: {said}"
    if not maps:
        return grid([shot.display], [title], size=4.2)
    values = {name: np.moveaxis(v, -1, 0) if v.ndim == 3 else v for name, v in maps.items()}
    named = {f"{name} for {about}": value for name, value in values.items()}
    return show(
        shot.display, named, image_title=title, overlay=overlay, columns=min(3, 1 + len(named)),
        signed={f"{name} for {about}": signed[name] for name in maps},
    )  # fmt: skip


def png(picture: Picture) -> bytes:
    """A figure as PNG in true colours; quick rather than small."""
    picture.canvas.draw()
    pixels = np.ascontiguousarray(np.asarray(picture.canvas.buffer_rgba())[..., :3])
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _decoded(name: str, data: bytes) -> tuple[Image.Image, list[str]]:
    """The picture in the file, upright, and what is worth saying about it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # PIXELS_MAX is stricter
            image = Image.open(io.BytesIO(data), formats=_formats())
    except Image.DecompressionBombError as error:
        raise ValueError(f"“{name}” has too many pixels to be opened safely; make it smaller first.") from error
    except _BROKEN as error:
        kind = next((words for start, words in _OTHERS.items() if data.lstrip()[: len(start)] == start), "")
        if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
            kind = "it is an HEIC photo: let your phone or computer save it as JPEG"
        raise ValueError(f"“{name}” is not a picture that can be read{kind and f' ({kind})'}. {READABLE}.") from error
    width, height = image.size
    image.draft(None, (2 * SIDE, 2 * SIDE))  # JPEG alone: decoded at 1/2, 1/4 or 1/8
    if image.width * image.height > PIXELS_MAX:
        raise ValueError(
            f"“{name}” has {width:,} × {height:,} pixels; at most {PIXELS_MAX // 1_000_000} million are taken. "
            "Save it as JPEG or make it smaller first."
        )
    animated = getattr(image, "is_animated", False) and image.format != "MPO"
    try:
        image.load()
        upright = ImageOps.exif_transpose(image)
    except (*_BROKEN, MemoryError) as error:
        raise ValueError(f"“{name}” is a damaged picture: its end is missing or its data are broken.") from error
    notes = [f"“{name}” is animated: its first picture is used."] * bool(animated)
    if max(width, height) > 4000:
        notes.append(f"“{name}” has {width:,} × {height:,} pixels and was made smaller.")
    return upright, notes


@lru_cache
def _formats() -> tuple[str, ...]:
    """Those of `_FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _in_shape(square: Tensor, ratio: float) -> Tensor:
    """A squashed picture (3, S, S) stretched back to its own shape: width / height, within limits."""
    ratio = min(max(ratio, 1 / STRETCH_MAX), STRETCH_MAX)
    height, width = (SIDE, round(SIDE * ratio)) if ratio <= 1 else (round(SIDE / ratio), SIDE)
    return F.interpolate(square[None], (height, width), mode="bicubic", antialias=True)[0].clamp(0, 1)
