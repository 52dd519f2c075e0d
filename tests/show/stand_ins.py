"""Small models for the tests of the web demo: of the real classes, with random or hand-set weights; and picture files."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import nn

from data_fetch.words import Vocabulary, split_words
from lessons_lib.models.answerer import Answerer
from lessons_lib.models.captioner import Captioner, caption_vocabulary
from lessons_lib.models.namer import Namer

SENTENCES = ("A man is riding a white horse on the beach.", "A red kite.", "Two dogs near a tree.")
QUESTIONS = ("What color is the dog?", "Is there a horse?", "What place is this?", "How many dogs are there?")
ANSWERS = ("yes", "no", "red", "brown", "beach", "tennis court", "white", "2")


def captioner(progress=None) -> Captioner:
    words = caption_vocabulary([split_words(text.lower()) for text in SENTENCES])
    return Captioner(words, Namer(("dog", "horse", "kite"), width=4), hidden=16, seed=3).eval()


def answerer(progress=None) -> Answerer:
    words = Vocabulary.of([split_words(text.lower()) for text in QUESTIONS])
    return Answerer(words, ANSWERS, Namer(("dog", "horse", "kite"), width=4), hidden=16, seed=3).eval()


class Colours(nn.Module):
    """Logits = eight times the mean red, green and blue: a classifier that the tests can compute by hand."""

    categories = ("red light", "green light", "blue", "Blue Whale")
    input_size = 64  # as large as the patches of `PHOTO_OFFERS`

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        with torch.no_grad():
            self.look.weight.zero_()
            self.look.weight[range(3), range(3), 1, 1] = 8.0
        self.positive, self.pool, self.flat = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.explain_layer = "positive"

    def forward(self, images):
        return self.flat(self.pool(self.positive(self.look(images))))


def picture(mode: str = "RGB", size: tuple[int, int] = (60, 40), colour=(230, 30, 20)) -> Image.Image:
    """A picture of one colour with a black left edge."""
    image = Image.new("RGB", size, colour)
    image.paste((0, 0, 0), (0, 0, max(1, size[0] // 10), size[1]))
    return image.convert(mode)


def file(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees when it is shown
    return file(picture(), "JPEG", exif=exif)


def _moving() -> bytes:
    return file(picture(), "GIF", save_all=True, append_images=[picture(colour=(0, 0, 255))], duration=100)


# name -> a file that must be taken; all show the same red picture, as far as their kind allows
GOOD = {
    "plain.png": lambda: file(picture()),
    "photo.jpg": lambda: file(picture(), "JPEG"),
    "grey.png": lambda: file(picture("L")),
    "black and white.png": lambda: file(picture("1")),
    "see-through.png": lambda: file(picture("RGBA")),
    "grey see-through.png": lambda: file(picture("LA")),
    "palette.png": lambda: file(picture("P")),
    "palette.gif": lambda: file(picture("P"), "GIF"),
    "16 bit grey.png": lambda: file(Image.fromarray(np.full((40, 60), 40_000, np.uint16))),
    "print.jpg": lambda: file(picture("CMYK"), "JPEG"),
    "turned.jpg": _turned,
    "moving.gif": _moving,
    "web.webp": lambda: file(picture(), "WEBP"),
    "scan.tiff": lambda: file(picture(), "TIFF"),
    "one pixel grey.png": lambda: file(picture(size=(1, 1))),
    "thin.png": lambda: file(picture(size=(2000, 3))),
    "large grey.jpg": lambda: file(Image.new("L", (12_000, 9_000), 90), "JPEG", quality=20),
}


def _half(kind: str, part: float = 0.5) -> bytes:
    data = file(picture(size=(400, 300)), kind)
    return data[: int(len(data) * part)]


# name -> a file that must be refused, and a part of the message
BAD = {
    "paper.png": (lambda: b"%PDF-1.7 and so on", "PDF"),
    "empty.png": (lambda: b"", "empty file"),
    "words.jpg": (lambda: b"these are words" * 50, "not a picture"),
    "letter.docx": (lambda: b"PK\x03\x04" + bytes(100), "office document"),
    "drawing.svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "phone.heic": (lambda: b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
    "cut.jpg": (lambda: _half("JPEG"), "damaged"),
    "cut.png": (lambda: _half("PNG"), "damaged"),
    "beginning.jpg": (lambda: _half("JPEG", 0.01), "not a picture"),
    "bomb.png": (lambda: file(Image.new("1", (12_000, 12_000))), "12,000 × 12,000"),
    "bigger bomb.png": (lambda: file(Image.new("1", (14_000, 14_000))), "too many pixels"),
}
