"""Readers of the official layouts: `read("cub200", "train")` gives what the rendered worlds give, see `fields`."""

from __future__ import annotations

import importlib
from pathlib import Path

from data_fetch.fields import Rows

READERS = {  # name of the registry: (module, arguments that the name stands for)
    "cub200": ("cub200", {}),
    "awa2": ("awa2", {}),
    "coco2014": ("coco", {"year": 2014}),
    "coco2017": ("coco", {"year": 2017}),
    "snowboard": ("snowboard", {}),
    "voc2007": ("voc", {"year": 2007}),
    "voc2012": ("voc", {"year": 2012}),
    "vqa1": ("vqa", {"version": 1}),
    "vqa2": ("vqa", {"version": 2}),
    "vqacp2": ("vqacp", {"version": 2}),
    "vqahat": ("vqahat", {}),
    "introspect": ("introspect", {}),
    "in9": ("in9", {}),
    "cifar100": ("cifar100", {}),
    "sst2": ("sst2", {}),
    "imdb": ("imdb", {}),
    "ssv2": ("ssv2", {}),
}


def read(name: str, split: str = "train", *, folder: Path | str | None = None, **options) -> Rows:
    """A real data set as one of the field sets of `fields`; images are read when they are asked for.

    Parameters
    ----------
    name : a key of `READERS`.
    split : see the reader's own docstring, `data_fetch.readers.<module>.read`.
    folder : where it lies; None: where `python -m data_fetch get NAME` put it.
    options : of the reader, such as size=224 and how="squash" or "crop".

    Raises
    ------
    ValueError : no such data set, split or option value.  TypeError : no such option.  FileNotFoundError : it is not
    there; the message has the command that gets it.
    """
    if name not in READERS:
        raise ValueError(f"there is no reader for {name!r}; there are readers for {', '.join(READERS)}")
    module, fixed = READERS[name]
    clash = set(fixed) & set(options)
    if clash:
        raise TypeError(f"the name {name!r} decides {', '.join(sorted(clash))}")
    if folder is None:
        folder = _folder(name)
    reader = importlib.import_module(f"data_fetch.readers.{module}")
    return reader.read(Path(folder), split, **fixed, **options)


def _folder(name: str) -> Path:
    """The data set's folder, complete or with one of its groups: a reader says itself which file it lacks."""
    from data_fetch import download
    from data_fetch.folder import data_folder

    folder = data_folder() / name
    return folder if folder.is_dir() else download.where(name)
