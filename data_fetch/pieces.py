"""One stream out of an archive, or out of the numbered pieces of one, each as it is or inside a zip."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from data_fetch.ledger import CHUNK, DataError, hide

GZIP, ZIP = b"\x1f\x8b", (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


class Piece(NamedTuple):
    """One piece: its number, the file it is in, and its name inside that file if that is a zip."""

    number: int
    path: Path
    member: str | None
    size: int


def start(path: Path, count: int = 512) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(count)


def end(path: Path, count: int = 512) -> bytes:
    """The last bytes of a file, without white space at its end."""
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - count, 0))
        return stream.read().rstrip()


def find(whole: Path) -> list[Piece]:
    """The pieces NAME-00, NAME-01, ... of `whole` (folder/NAME) in order; [] where there is none.

    A file NAME-00 or NAME-00.zip may be a piece itself, or a zip with one or more pieces in it: what it is shows in
    its first bytes, because browsers drop and add endings.

    Raises
    ------
    DataError : a piece that is missing between two others, or there twice; a zip that is broken or holds no piece.
    """
    found = []
    pattern = re.compile(re.escape(whole.name) + r"-(\d\d)")
    for path in sorted(whole.parent.glob(f"{whole.name}-*")):
        number = pattern.fullmatch(path.name.removesuffix(".zip"))
        if number is None or not path.is_file():
            continue
        if start(path, 4) not in ZIP:
            found.append(Piece(int(number[1]), path, None, path.stat().st_size))
            continue
        try:
            with zipfile.ZipFile(path) as opened:
                inside = [(pattern.fullmatch(info.filename.split("/")[-1]), info) for info in opened.infolist()]
        except zipfile.BadZipFile as error:
            raise DataError(f"{path} is not complete or broken ({error}); download it again") from None
        here = [Piece(int(name[1]), path, info.filename, info.file_size) for name, info in inside if name]
        if not here:
            raise DataError(f"{path} holds no file named {whole.name}-00 or the like")
        found += here
    found.sort(key=lambda piece: piece.number)
    numbers = [piece.number for piece in found]
    if numbers != list(range(len(numbers))):
        raise DataError(f"the pieces of {whole.name} must be numbered 00, 01, ...; found {numbers}")
    return found


def size(whole: Path) -> int:
    """Bytes of all pieces together."""
    return sum(piece.size for piece in find(whole))


@contextlib.contextmanager
def open_joined(whole: Path) -> Iterator[IO[bytes]]:
    """The pieces as one stream of bytes, read one after the other; nothing is copied."""
    with contextlib.closing(_Joined(find(whole))) as raw:
        yield io.BufferedReader(raw, CHUNK)


def digests(whole: Path, *, progress: bool | None = None) -> dict:
    """{"bytes", "sha256"} of the pieces joined."""
    sha256, count = hashlib.sha256(), 0
    bar = tqdm(total=size(whole), unit="B", unit_scale=True, desc=f"checking {whole.name}", disable=hide(progress))
    with open_joined(whole) as stream, bar:
        while chunk := stream.read(CHUNK):
            sha256.update(chunk)
            count += len(chunk)
            bar.update(len(chunk))
    return {"bytes": count, "sha256": sha256.hexdigest()}


@contextlib.contextmanager
def open_plain(archive: Path, *, joined: bool = False) -> Iterator[IO[bytes]]:
    """The archive as a stream, unzipped if it starts as gzip does, whatever its name says."""
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(open_joined(archive) if joined else archive.open("rb"))
        if stream.peek(2)[:2] == GZIP:
            stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
        yield stream


def open_gzip(path: Path) -> IO[bytes]:
    """The content of a gzip file."""
    return gzip.open(path, "rb")


class _Joined(io.RawIOBase):
    def __init__(self, found: list[Piece]):
        super().__init__()
        self._left = list(found)
        self._now: IO[bytes] | None = None
        self._zip: zipfile.ZipFile | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while True:
            if self._now is None:
                if not self._left:
                    return 0
                self._open(self._left.pop(0))
            chunk = self._now.read(len(buffer))
            if chunk:
                buffer[: len(chunk)] = chunk
                return len(chunk)
            self._shut()

    def _open(self, piece: Piece) -> None:
        if piece.member is None:
            self._now = piece.path.open("rb")
        else:
            self._zip = zipfile.ZipFile(piece.path)
            self._now = self._zip.open(piece.member)

    def _shut(self) -> None:
        for opened in (self._now, self._zip):
            if opened is not None:
                opened.close()
        self._now = self._zip = None

    def close(self) -> None:
        self._shut()
        super().close()
