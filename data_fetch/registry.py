"""What is known of each real data set: addresses, sizes, checksums, licence, citation (the records: registry.json)."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

ARCHIVES = ("zip", "tar", "tar.gz", "gz", "pieces")


@dataclass(frozen=True)
class RemoteFile:
    """One file of a data set.

    Attributes
    ----------
    name : file name on this machine.
    group : what it belongs to, such as "images" or "annotations": what `--only` takes.
    urls : where it is, the official address first; empty where only a person can get it.
    bytes : its exact size as published, or None.
    about : its size to two or three figures where the exact one is not published, or None.
    md5, sha256 : as published (or of a copy that has the published md5), in hex, or None.
    archive : one of `ARCHIVES`, or None for a file that is used as it is. "pieces" is a tar.gz that was cut into
        numbered pieces, each of which may lie in a zip.
    into : folder below the data set's folder that it goes or is unpacked to.
    strip : a folder at the top of the archive that is left out, when everything lies in it.
    unpacked : bytes after unpacking; an estimate, except for tar archives.
    optional : got only when asked for by name or group.
    overlaps : another archive of the set may hold the same file in another version; the first one stays.
    """

    name: str
    group: str
    urls: tuple[str, ...] = ()
    bytes: int | None = None
    about: int | None = None
    md5: str | None = None
    sha256: str | None = None
    archive: str | None = None
    into: str = "."
    strip: str | None = None
    unpacked: int | None = None
    optional: bool = False
    overlaps: bool = False

    def __post_init__(self):
        if self.archive not in (None, *ARCHIVES):
            raise ValueError(f"{self.name}: archive must be None or one of {ARCHIVES}, got {self.archive!r}")
        if PurePosixPath(self.into).is_absolute() or ".." in PurePosixPath(self.into).parts or "/" in self.name:
            raise ValueError(f"{self.name}: into must be a folder below the data set's, got {self.into!r}")

    @property
    def size(self) -> int | None:
        """Bytes to download, exact or about; None where nothing is known."""
        return self.about if self.bytes is None else self.bytes

    @property
    def published(self) -> str | None:
        """The strongest checksum that is published: "sha256", "md5" or None."""
        return "sha256" if self.sha256 else "md5" if self.md5 else None


@dataclass(frozen=True)
class Dataset:
    """One data set.

    Attributes
    ----------
    name, title : short name for the command line, and what it is.
    licence : in one sentence; "Licence not stated ..." where none was found.
    licence_needs_consent : whether `get` asks first.
    citation : authors, title, place, with arXiv number, DOI or address.
    page : the official page.
    files : what it consists of.
    manual : what a person has to do first, or None.
    notes : dead links, quirks.
    """

    name: str
    title: str
    licence: str
    licence_needs_consent: bool
    citation: str
    page: str
    files: tuple[RemoteFile, ...]
    manual: str | None = None
    notes: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of its files, in the order of the record."""
        return tuple(dict.fromkeys(file.group for file in self.files))

    def select(self, only: str | None = None) -> tuple[RemoteFile, ...]:
        """Its files: all that are not optional, or those of one group, or one file by name.

        Raises
        ------
        ValueError : no such group or file.
        """
        if only is None:
            return tuple(file for file in self.files if not file.optional)
        chosen = tuple(file for file in self.files if only in (file.group, file.name))
        if not chosen:
            raise ValueError(f"{self.name} has no group {only!r}; its groups are {', '.join(self.groups)}")
        return chosen

    @property
    def download(self) -> int:
        """Bytes to download without optional files, as far as sizes are known."""
        return sum(file.size or 0 for file in self.select())

    @property
    def download_is_exact(self) -> bool:
        """Whether the size of every file that is not optional is published."""
        return all(file.bytes is not None for file in self.select())

    @property
    def disk(self) -> int:
        """Bytes on disk with archives kept, an estimate: what is downloaded and what is unpacked from it."""
        return self.download + sum(file.unpacked or 0 for file in self.select())


@cache
def datasets() -> dict[str, Dataset]:
    """Every data set by name, in alphabetical order."""
    records = json.loads(Path(__file__).with_name("registry.json").read_text(encoding="utf-8"))
    found = {}
    for record in sorted(records, key=lambda record: record["name"]):
        files = tuple(RemoteFile(**{**file, "urls": tuple(file["urls"])}) for file in record.pop("files"))
        found[record["name"]] = Dataset(files=files, **record)
    return found


def dataset(name: str) -> Dataset:
    """The record of one data set; ValueError for a name that is not there, with the nearest ones."""
    found = datasets()
    if name not in found:
        near = difflib.get_close_matches(name, found, 2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(found)}"
        raise ValueError(f"there is no data set {name!r}; {hint}")
    return found[name]
