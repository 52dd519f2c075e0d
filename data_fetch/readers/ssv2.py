"""Something-Something v2: short clips of what people do with things, in 174 classes.

Layout: 20bn-something-something-v2/<id>.webm (the archive's parts, joined and extracted) and labels.json, train.json,
validation.json and test.json, in labels/ or beside the clips; older copies call them something-something-v2-*.json.
labels.json: {"Pushing something from left to right": "93", ...}. A record: id; label, the template with the names of
the things; template, with brackets that labels.json lacks ("Pushing [something] from left to right"); placeholders.
test.json has ids alone; newer copies add test-answers.csv (id;class).

References
----------
Goyal et al., "The 'something something' video database for learning and evaluating visual common sense", ICCV 2017.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data_fetch.fields import Clips
from data_fetch.readers import official, records
from data_fetch.readers.pixels import Fit, column

SPLITS = {"train": "train", "val": "validation", "test": "test"}
# Classes that name opposite directions of one change. The reversed clip shows the motion of the other class, though
# not always its cause: pushed things that move backwards are led by the hand, as if they were pulled. Where time's
# direction shows otherwise (falling, pouring, tearing), reversal gives no class of the set, and there is no pair.
OPPOSITES = (
    ("Opening something", "Closing something"),
    ("Covering something with something", "Uncovering something"),
    ("Folding something", "Unfolding something"),
    ("Putting something into something", "Taking something out of something"),
    ("Moving something up", "Moving something down"),
    ("Moving something towards the camera", "Moving something away from the camera"),
    ("Moving something closer to something", "Moving something away from something"),
    ("Moving something and something closer to each other", "Moving something and something away from each other"),
    ("Approaching something with your camera", "Moving away from something with your camera"),
    ("Pushing something from left to right", "Pushing something from right to left"),
    ("Pulling something from left to right", "Pulling something from right to left"),
    ("Turning the camera left while filming something", "Turning the camera right while filming something"),
    ("Turning the camera upwards while filming something", "Turning the camera downwards while filming something"),
)


def read(
    folder: Path | str,
    split: str = "train",
    *,
    size: int = 224,
    how: str = "squash",
    frames: int = 8,
    limit: int | None = None,
) -> Clips:
    """Clips of so many frames each, decoded when asked for, with labels and texts.

    Parameters
    ----------
    folder : holds the clips' folder and the label files.
    split : "train", "val" (validation.json) or "test". Without test-answers.csv the labels of test are all -1; it has
        no texts.
    size, how : see `pixels.Fit`.
    frames : T. A clip is cut into T equal stretches and the frame in the middle of each is taken; a clip of fewer
        frames repeats some.
    limit : the first so many clips only.

    Returns
    -------
    Clips; class_names are the keys of labels.json, by number; opposite follows OPPOSITES, else -1.

    Raises
    ------
    ImportError : PyAV is not there.  ValueError : unknown split, a broken file or record, a template without a class,
    later a clip that cannot be decoded.  FileNotFoundError : a missing file.
    """
    official.choose(split, list(SPLITS))
    _av()
    fit = Fit(size, how)
    records.check_limit(limit)
    if frames < 1:
        raise ValueError(f"frames must be at least 1, got {frames}")
    folder = Path(folder)
    numbers = _classes(_labels_file(folder, "labels.json"))
    path = _labels_file(folder, f"{SPLITS[split]}.json")
    rows = [(f"{path}[{n}]", entry) for n, entry in enumerate(records.load(path, "ssv2", list))][:limit]
    ids = [_id(where, entry) for where, entry in rows]
    if not ids or len(set(ids)) < len(ids):
        raise ValueError(f"{path} should list clips, each of them once")
    labels = _answers(folder, ids, numbers) if split == "test" else [_label(*row, numbers) for row in rows]
    texts = None if split == "test" else tuple(records.value(entry, "label", str, where) for where, entry in rows)
    videos = official.present(folder / "20bn-something-something-v2", "ssv2")
    names = list(numbers)
    pairs = {a: b for pair in OPPOSITES for a, b in (pair, pair[::-1])}
    return Clips(
        frames=column(partial(_clip, fit, frames), [videos / f"{number}.webm" for number in ids]),
        labels=torch.tensor(labels, dtype=torch.long),
        class_names=tuple(names),
        texts=texts,
        opposite=torch.tensor([numbers.get(pairs.get(name), -1) for name in names]),
        names=tuple(f"{number}.webm" for number in ids),
    )


def _labels_file(folder: Path, file: str) -> Path:
    files = [f"{place}{start}{file}" for place in ("labels/", "") for start in ("", "something-something-v2-")]
    return next((folder / name for name in files if (folder / name).exists()), folder / files[0])


def _classes(path: Path) -> dict[str, int]:
    """{class: number}, by number."""
    content = records.load(path, "ssv2")
    texts = {name: str(number) for name, number in content.items()}
    if sorted(texts.values()) != sorted(map(str, range(len(texts)))) or not texts:
        raise ValueError(f"{path} should number its classes 0 to {len(texts) - 1}")
    return {name: int(number) for name, number in sorted(texts.items(), key=lambda item: int(item[1]))}


def _id(where: str, entry: object) -> str:
    number = records.value(entry, "id", str, where)
    if not re.fullmatch("[0-9]+", number):
        raise ValueError(f"{where}: the id should be a number, got {number!r:.80}")
    return number


def _label(where: str, entry: dict, numbers: dict[str, int]) -> int:
    template = records.value(entry, "template", str, where)
    name = re.sub(r"[\[\]]", "", template)
    if name not in numbers:
        raise ValueError(f"{where}: labels.json has no class {name!r} (template {template!r})")
    return numbers[name]


def _answers(folder: Path, ids: list[str], numbers: dict[str, int]) -> list[int]:
    path = _labels_file(folder, "test-answers.csv")
    if not path.exists():
        return [-1] * len(ids)
    found = {}
    for number, line in official.lines(path, "ssv2"):
        clip, _, name = line.partition(";")
        if name not in numbers:
            raise ValueError(f"{path}, line {number}: expected id;class, got {line!r:.80}")
        found[clip] = numbers[name]
    lost = [clip for clip in ids if clip not in found]
    if lost:
        raise ValueError(f"{path} has no answer for clip {lost[0]}")
    return [found[clip] for clip in ids]


def _av():
    try:
        import av
    except ImportError as error:
        raise ImportError("the clips of Something-Something need PyAV: pip install av") from error
    return av


def _clip(fit: Fit, count: int, path: Path) -> Tensor:
    """(T, 3, S, S) of a video file."""
    av = _av()
    if not path.exists():
        raise FileNotFoundError(f"the clip {path} is missing: the data set is not complete")
    try:
        with av.open(str(path)) as video:
            found = list(video.decode(video=0))  # WebM does not say how many frames there are
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} is no clip that can be read ({error})") from error
    if not found:
        raise ValueError(f"{path} has no frames")
    return torch.stack([_square(fit, found[n].to_image()) for n in middles(len(found), count)])


def middles(length: int, count: int) -> list[int]:
    """The middles of `count` equal stretches of `length` frames."""
    return [(2 * n + 1) * length // (2 * count) for n in range(count)]


def _square(fit: Fit, picture: Image.Image) -> Tensor:
    """As `Fit.image`, of a picture that is in memory already."""
    window = fit.window(*picture.size)
    square = picture.convert("RGB").resize((fit.size, fit.size), Image.Resampling.BICUBIC, box=window, reducing_gap=2.0)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255
