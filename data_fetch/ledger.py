"""What is on the disk: which files are complete, with which checksum, and who is writing just now.

In the data folder, for a data set NAME:
    NAME/                    its files, in the official layout
    NAME/archives/           downloaded archives, and *.part of what is not complete
    NAME/.fetched/FILE.json  written last, when FILE is in place: bytes, sha256, address, date
    NAME/.fetched/FILE.list  what was unpacked from it: a path and a size a line
    checksums/NAME.json      sha256 recorded at the first download of files that have no published checksum
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from data_fetch.registry import Dataset, RemoteFile

CHUNK = 1 << 20
_NAMES = {"encoding": "utf-8", "errors": "surrogateescape"}  # names in archives may be in any encoding


class DataError(RuntimeError):
    """A data set could not be got, unpacked or found in order; the message says what to do."""


def today() -> str:
    """The date as 2025-01-31, in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def place(root: Path, data: Dataset, file: RemoteFile) -> Path:
    """Where the downloaded file lies: archives in NAME/archives, other files where they are used."""
    folder = root / data.name
    return folder / "archives" / file.name if file.archive else folder / file.into / file.name


def write_json(path: Path, content: dict) -> None:
    """Write in one step: a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}.new")
    half.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(half, path)


def read_json(path: Path) -> dict:
    """The content, or {} where there is no such file or it is no JSON object (it is then written anew)."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def marker(root: Path, data: Dataset, file: RemoteFile) -> dict:
    """What was written down when the file was complete; {} where it is not, or where its files were removed."""
    folder = root / data.name
    found = read_json(folder / ".fetched" / f"{file.name}.json")
    return found if found and all((folder / top).exists() for top in found.get("top", [])) else {}


def mark(root: Path, data: Dataset, file: RemoteFile, facts: dict, files: list[tuple[str, int]]) -> None:
    """Write down that `file` is complete: `files` are (path below the data set's folder, bytes)."""
    folder = root / data.name / ".fetched"
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / f"{file.name}.list"
    listing.write_text("".join(f"{path}\t{size}\n" for path, size in files), **_NAMES)
    tops = sorted({"/".join(path.split("/")[:2]) for path, _ in files})
    facts = {**facts, "date": today(), "files": len(files), "unpacked": sum(size for _, size in files)}
    write_json(folder / f"{file.name}.json", {**facts, "top": tops[:100]})  # the list has them all; `verify` reads it


def listed(root: Path, data: Dataset, file: RemoteFile) -> list[tuple[str, int]]:
    """(path below the data set's folder, bytes) of everything that came with a complete file."""
    text = (root / data.name / ".fetched" / f"{file.name}.list").read_text(**_NAMES)
    rows = [line.rsplit("\t", 1) for line in text.split("\n") if line]
    return [(path, int(size)) for path, size in rows]


def missing(root: Path, data: Dataset, files: tuple[RemoteFile, ...]) -> list[RemoteFile]:
    """Those of `files` that are not complete."""
    return [file for file in files if not marker(root, data, file)]


def recorded(root: Path, data: Dataset, file: RemoteFile) -> dict:
    """{"sha256", "bytes", "url", "date"} of the first download of a file without a published checksum, or {}."""
    return read_json(root / "checksums" / f"{data.name}.json").get(file.name, {})


def record(root: Path, data: Dataset, file: RemoteFile, facts: dict) -> None:
    """Keep the checksum of a first download, so that later ones are compared with it."""
    path = root / "checksums" / f"{data.name}.json"
    write_json(path, {**read_json(path), file.name: {**facts, "date": today()}})


def digests(path: Path, *, progress: bool | None = None) -> dict:
    """{"bytes", "md5", "sha256"} of a file, read once."""
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    bar = tqdm(
        total=path.stat().st_size, unit="B", unit_scale=True, desc=f"checking {path.name}", disable=hide(progress)
    )
    count = 0
    with path.open("rb") as stream, bar:
        while chunk := stream.read(CHUNK):
            md5.update(chunk)
            sha256.update(chunk)
            count += len(chunk)
            bar.update(len(chunk))
    return {"bytes": count, "md5": md5.hexdigest(), "sha256": sha256.hexdigest()}


def hide(progress: bool | None) -> bool | None:
    """tqdm's `disable` for our `progress`: None shows a bar on a terminal only."""
    return None if progress is None else not progress


@contextlib.contextmanager
def lock(root: Path, data: Dataset) -> Iterator[None]:
    """Hold the data set's folder against other processes; the operating system lets go when the holder ends.

    So a lock never outlives a crash, and no process number has to be guessed alive or dead.

    Raises
    ------
    DataError : another process holds it.
    """
    folder = root / data.name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+", encoding="utf-8") as stream:
        try:
            _take(stream)
        except OSError as error:
            raise DataError(f"{data.name} is being got by another process ({_holder(folder)}): {error}") from None
        write_json(folder / ".lock.json", {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()})
        try:
            yield
        finally:
            (folder / ".lock.json").unlink(missing_ok=True)
            _release(stream)


def _holder(folder: Path) -> str:
    found = read_json(folder / ".lock.json")
    return f"process {found['pid']} on {found['host']}" if {"pid", "host"} <= set(found) else "process unknown"


if sys.platform == "win32":
    import msvcrt

    def _take(stream) -> None:
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)

    def _release(stream) -> None:
        stream.seek(0)
        msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)
else:
    import fcntl

    def _take(stream) -> None:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(stream) -> None:
        fcntl.flock(stream, fcntl.LOCK_UN)
