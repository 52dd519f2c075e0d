"""Unpack an archive that is not trusted: all of it or nothing, and never outside its folder.

Members are read and written one by one into a fresh folder beside the target; only when all are there are they moved
into place. Refused: absolute paths, "..", drive letters, links that lead out, devices, two members of one name, and
archives that unpack to far more than expected. Modes, owners and times of the archive are not taken over.
"""

from __future__ import annotations

import filecmp
import os
import posixpath
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tqdm import tqdm

from data_fetch import pieces
from data_fetch.ledger import CHUNK, DataError, hide

PREFIX = ".unpacking-"
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError)


class UnsafeArchive(DataError):
    """An archive that tries to write outside its folder, or to fill the disk."""


@dataclass(frozen=True)
class Limits:
    """What an archive may unpack to: bytes in all, number of members, bytes for each byte of the archive."""

    bytes: int
    members: int = 2_000_000
    ratio: float = 200.0
    free: int = 64 << 20  # the ratio does not count below this many bytes: small texts shrink a lot


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_folder: bool
    open: Callable[[], IO[bytes]] | None  # None for a folder, and for a link, which has `link`
    link: str | None = None  # path inside the archive that a link stands for


def unpack(
    archive: Path,
    folder: Path,
    kind: str,
    limits: Limits,
    *,
    into: str = ".",
    strip: str | None = None,
    overlaps: bool = False,
    progress: bool | None = None,
) -> list[tuple[str, int]]:
    """(path below `folder`, bytes) of every file of the archive, now in `folder`/`into`.

    Parameters
    ----------
    archive : the archive; for kind "pieces" the folder that holds them, with the name of the whole: see `pieces`.
    folder : an existing folder; temporary folders of its own inside it (from a crash) are removed first, so
        hold `ledger.lock`.
    kind : "zip", "tar" or "tar.gz" (which of the two is read from the file), "gz" (one file) or "pieces".
    into, strip, overlaps : as in `registry.RemoteFile`.

    Raises
    ------
    UnsafeArchive : see above; nothing of it is left.  DataError : a broken archive, or a file that is there already
    with other content and not `overlaps`; nothing is changed.
    """
    for left in folder.glob(f"{PREFIX}*"):
        shutil.rmtree(left)
    new = folder / f"{PREFIX}{os.getpid()}"
    new.mkdir()
    try:
        written = _write_all(archive, new, kind, limits, progress)
        source = new
        if strip and [child.name for child in new.iterdir()] == [strip] and (new / strip).is_dir():
            source = new / strip
            written = [(name.split("/", 1)[1], size) for name, size in written]
        target = folder / into
        _no_conflict(source, target, overlaps)
        _move_in(source, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return [(posixpath.normpath(posixpath.join(into, name)), size) for name, size in written]


def _write_all(archive: Path, folder: Path, kind: str, limits: Limits, progress: bool | None) -> list[tuple[str, int]]:
    packed = pieces.size(archive) if kind == "pieces" else archive.stat().st_size
    most = min(limits.bytes, max(int(limits.ratio * packed), limits.free))
    written, done, count = [], 0, 0
    with tqdm(unit="B", unit_scale=True, desc=f"unpacking {archive.name}", disable=hide(progress)) as bar:
        try:
            for member in _members(archive, kind, folder, most):
                count += 1
                if count > limits.members:
                    raise UnsafeArchive(f"{archive.name} has more than {limits.members:,} members")
                if done + member.size > most:
                    raise _too_big(archive.name, most)
                name = safe_name(member.name, archive.name)
                if name == ".":
                    continue
                path = folder / name
                if member.is_folder:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                size = _write(member, path, folder, most - done, archive.name)
                done += size
                bar.update(size)
                written.append((name, size))
        except DataError:
            raise
        except FileExistsError as error:
            raise UnsafeArchive(f"{archive.name} holds {Path(error.filename).name!r} twice") from None
        except _BROKEN as error:
            raise DataError(f"{archive.name} could not be unpacked: {error or type(error).__name__}") from error
    if not written:
        raise DataError(f"{archive.name} holds no file")
    return written


def safe_name(name: str, archive: str) -> str:
    """The member's path with / between its parts; UnsafeArchive if it could lead out of the folder."""
    path = name.replace("\\", "/")
    if not path or re.search(r"[\x00-\x1f]", path):
        raise UnsafeArchive(f"{archive} holds a member with a control character or no name: {name!r}")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise UnsafeArchive(f"{archive} holds the absolute path {name!r}")
    if ".." in path.split("/"):
        raise UnsafeArchive(f"{archive} holds a path with '..': {name!r}")
    return posixpath.normpath(path)


def _write(member: _Member, path: Path, folder: Path, left: int, archive: str) -> int:
    """Write one file and count its bytes, whatever the archive says about its size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with path.open("xb") as out:  # x: a second member of this name, in any spelling that the disk takes for it, fails
        with _original(member, folder, archive) if member.open is None else member.open() as stream:
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                if size > left:
                    raise _too_big(archive, left)
                out.write(chunk)
    return size


def _original(member: _Member, folder: Path, archive: str) -> IO[bytes]:
    """The file that a link stands for: it becomes a copy, so that no link is ever made."""
    link = member.link.replace("\\", "/")
    target = posixpath.normpath(link)
    if link.startswith("/") or re.match(r"[A-Za-z]:", link) or target.split("/")[0] == "..":
        raise UnsafeArchive(f"{archive} holds a link that leads out: {member.name!r} to {member.link!r}")
    if not (folder / target).is_file() or safe_name(member.name, archive) == target:
        raise UnsafeArchive(f"{archive} holds a link to what it does not hold: {member.name!r} to {member.link!r}")
    return (folder / target).open("rb")


def _too_big(name: str, most: int) -> UnsafeArchive:
    return UnsafeArchive(f"{name} unpacks to more than the {most:,} bytes that were expected at most")


def _members(archive: Path, kind: str, folder: Path, most: int) -> Iterator[_Member]:
    if kind == "zip":
        yield from _zip_members(archive, most)
    elif kind == "gz":
        with pieces.open_gzip(archive) as stream:
            yield _Member(archive.name.removesuffix(".gz"), 0, False, lambda: stream)
    elif kind in ("tar", "tar.gz", "pieces"):
        with pieces.open_plain(archive, joined=kind == "pieces") as stream:
            yield from _tar_members(stream, folder, archive.name)
            while stream.read(CHUNK):  # to the end: gzip's own checksum stands there
                pass
    else:
        raise ValueError(f"unknown kind of archive {kind!r}")


def _zip_members(archive: Path, most: int) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        if sum(info.file_size for info in infos) > most:
            raise _too_big(archive.name, most)
        for info in infos:
            mode = stat.S_IFMT(info.external_attr >> 16)
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UnsafeArchive(f"{archive.name} holds a link or a device: {info.filename!r}")
            yield _Member(info.orig_filename, info.file_size, info.is_dir(), lambda info=info: opened.open(info))


def _tar_members(stream: IO[bytes], folder: Path, archive: str) -> Iterator[_Member]:
    with tarfile.open(fileobj=stream, mode="r|") as opened:
        for member in opened:
            if not (member.isreg() or member.isdir() or member.islnk() or member.issym()):
                raise UnsafeArchive(f"{archive} holds a device or pipe: {member.name!r}")
            safe_name(member.name, archive)
            link = None
            if member.issym():
                link = posixpath.join(posixpath.dirname(member.name), member.linkname)
            elif member.islnk():
                link = member.linkname
            elif hasattr(tarfile, "data_filter"):  # Python's own opinion, where it has one
                tarfile.data_filter(member, str(folder))
            size = member.size if link is None else 0
            opener = None if link else lambda member=member: opened.extractfile(member)
            yield _Member(member.name, size, member.isdir(), opener, link)


def _no_conflict(source: Path, target: Path, overlaps: bool) -> None:
    """DataError where a file is in the way; nothing is moved yet."""
    if not target.exists():
        return
    if source.is_dir() and target.is_dir():
        for child in source.iterdir():
            _no_conflict(child, target / child.name, overlaps)
    elif source.is_dir() or target.is_dir() or not (overlaps or filecmp.cmp(source, target, shallow=False)):
        raise DataError(f"{target} is there already and differs from the one in the archive; move it away")


def _move_in(source: Path, target: Path) -> None:
    """Move a tree into place: a folder that is not there yet in one step, else what is in it, one by one."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)
    elif source.is_dir():
        for child in sorted(source.iterdir()):
            _move_in(child, target / child.name)
