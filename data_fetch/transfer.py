"""One file over HTTP: resumed where it stopped, tried again, taken from a mirror, and checked before it counts.

While a file is loaded it is FILE.part; FILE.part.json beside it says where it came from (address, ETag, date of
change). FILE itself appears in one step, after `check` found nothing wrong.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import requests
import urllib3
from tqdm import tqdm

from data_fetch.ledger import DataError, hide, read_json, write_json

_PIECE = 1 << 14  # bytes; what a stalled connection has sent of one piece is lost, so it is small
_RETRY = (408, 425, 429, 500, 502, 503, 504)


class WrongContent(Exception):
    """What arrived is not the file: another size, another checksum, a web page. Trying again does not help."""


class _Again(Exception):
    """A passing failure; `wait` is what the server asked for, in seconds."""

    def __init__(self, text: str, wait: float = 0.0):
        super().__init__(text)
        self.wait = wait


@dataclass(frozen=True)
class Patience:
    """How long to wait and how often to try.

    connect, read : seconds until a connection, and between two pieces of data.
    tries : for each address; a try that brought new bytes does not count.
    pause : seconds before the second try, doubled each time; `longest` bounds it and what a server asks for.
    """

    connect: float = 10.0
    read: float = 60.0
    tries: int = 4
    pause: float = 1.0
    longest: float = 60.0
    sleep: Callable[[float], None] = field(default=time.sleep, compare=False)


@dataclass(frozen=True)
class Wanted:
    """What to load: the addresses in order, the exact size or None, and whether a published checksum guards it.

    check : called with the finished part; raises WrongContent if it is not the file.
    """

    urls: tuple[str, ...]
    target: Path
    bytes: int | None
    guarded: bool
    check: Callable[[Path], None]


def load(wanted: Wanted, patience: Patience, *, progress: bool | None = None) -> str:
    """The address that the file now at `wanted.target` came from.

    Raises
    ------
    DataError : no address gave the file; the message has a line for each. Ctrl-C passes through; in both cases
        what has arrived stays in the part, for the next time, unless it was wrong.
    """
    wanted.target.parent.mkdir(parents=True, exist_ok=True)
    known = read_json(_notes(wanted.target)).get("url")
    urls = sorted(wanted.urls, key=lambda url: url != known)  # first where the part came from: it can be resumed
    failures = []
    with requests.Session() as session:
        session.max_redirects = 10
        session.headers.update({"Accept-Encoding": "identity", "User-Agent": "explain-and-fix data_fetch"})
        for url in urls:
            try:
                _from(session, url, wanted, patience, progress)
                os.replace(_part(wanted.target), wanted.target)
                _notes(wanted.target).unlink(missing_ok=True)
                return url
            except (WrongContent, _Again) as error:
                failures.append(f"  {url}\n    {error}")
    raise DataError(f"{wanted.target.name} could not be downloaded. Tried:\n" + "\n".join(failures))


def _from(session: requests.Session, url: str, wanted: Wanted, patience: Patience, progress: bool | None) -> None:
    """Fill the part from one address and check it, with all tries."""
    part, tries, fresh = _part(wanted.target), 0, False
    while True:
        before = _length(part)
        try:
            resumed = _once(session, url, wanted, patience, progress)
            try:
                wanted.check(part)
                return
            except WrongContent:
                _discard(wanted.target)
                if not resumed or fresh:
                    raise
                fresh = True  # two halves of different files look like this: once more from the start
        except _Again as error:
            tries = 0 if _length(part) > before else tries + 1
            if tries >= patience.tries:
                raise
            pause = max(error.wait, patience.pause * 2 ** max(tries - 1, 0))
            patience.sleep(min(pause, patience.longest))


def _once(session: requests.Session, url: str, wanted: Wanted, patience: Patience, progress: bool | None) -> bool:
    """One request that leaves the part complete; whether it went on from bytes that were there."""
    part = _part(wanted.target)
    headers = _resume_headers(url, wanted)
    try:
        with session.get(url, stream=True, headers=headers, timeout=(patience.connect, patience.read)) as reply:
            have = _begin(reply, url, wanted, bool(headers))
            if have is None:  # the part was complete already
                return True
            total = _total(reply)
            _room(wanted.target, None if total is None else total - have)
            _receive(reply, part, have, total, progress, wanted.target.name)
    except requests.TooManyRedirects as error:
        raise WrongContent(f"redirects in a circle ({error})") from None
    except (
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
    ) as error:
        raise WrongContent(f"not an address that can be loaded ({error})") from None
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _Again(_plain(error)) from None
    if total is not None and _length(part) != total:
        raise _Again(f"the connection ended after {_length(part):,} of {total:,} bytes")
    return have > 0


def _resume_headers(url: str, wanted: Wanted) -> dict[str, str]:
    """Range and If-Range to go on with the part; {} (and no part) where it cannot be trusted to be the same file.

    Another mirror's part is gone on with only if a published checksum will tell whether the halves fit.
    """
    have, notes = _length(_part(wanted.target)), read_json(_notes(wanted.target))
    same = notes.get("url") == url
    etag, date = notes.get("etag") or "", notes.get("modified") or ""
    seal = etag if etag and not etag.startswith("W/") else date
    if not have or not (wanted.guarded or (same and seal)):
        _discard(wanted.target)
        return {}
    return {"Range": f"bytes={have}-", **({"If-Range": seal} if same and seal else {})}


def _begin(reply: requests.Response, url: str, wanted: Wanted, asked: bool) -> int | None:
    """Bytes that are there already, and the part cut to them; None if the part is complete."""
    status, have = reply.status_code, _length(_part(wanted.target))
    if status == 416 and asked:
        total = re.fullmatch(r"bytes \*/(\d+)", reply.headers.get("Content-Range", ""))
        if total and int(total[1]) == have:
            return None
        _discard(wanted.target)
        raise _Again("the server has another length than the part; starting again")
    if status in _RETRY:
        raise _Again(f"HTTP {status} {reply.reason}", _retry_after(reply))
    if status not in (200, 206):
        raise WrongContent(f"HTTP {status} {reply.reason}")
    if "text/html" in reply.headers.get("Content-Type", "").lower() and not wanted.target.name.endswith(".html"):
        raise WrongContent("the server sent a web page, not the file")
    total = _total(reply)
    if None not in (total, wanted.bytes) and total != wanted.bytes:
        raise WrongContent(f"the server has {total:,} bytes, {wanted.bytes:,} are expected")
    notes = {"url": url, "etag": reply.headers.get("ETag"), "modified": reply.headers.get("Last-Modified")}
    old = read_json(_notes(wanted.target))
    if status == 206:
        start = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
        changed = old.get("url") == url and old.get("etag") and notes["etag"] not in (None, old["etag"])
        if not asked or not start or int(start[1]) != have or changed:
            _discard(wanted.target)
            raise _Again("the server sent another part of the file than asked for; starting again")
        if old.get("url") == url:
            notes = {key: value or old.get(key) for key, value in notes.items()}
    else:
        have = 0
        _discard(wanted.target)
    write_json(_notes(wanted.target), notes)
    return have


def _receive(
    reply: requests.Response, part: Path, have: int, total: int | None, progress: bool | None, name: str
) -> None:
    """Append what comes, exactly as the server stores it: nothing is decoded."""
    bar = tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=name, disable=hide(progress))
    with part.open("ab") as out, bar:
        for chunk in reply.raw.stream(_PIECE, decode_content=False):
            out.write(chunk)
            bar.update(len(chunk))
        out.flush()
        os.fsync(out.fileno())


def _total(reply: requests.Response) -> int | None:
    """Bytes of the whole file as this reply states them, or None."""
    if reply.status_code == 206:
        ranged = re.match(r"bytes \d+-\d+/(\d+)", reply.headers.get("Content-Range", ""))
        return int(ranged[1]) if ranged else None
    length = reply.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _room(target: Path, more: int | None) -> None:
    free = shutil.disk_usage(target.parent).free
    if more is not None and more > free:
        raise DataError(f"{target.name} needs {more:,} more bytes, but {target.parent} has only {free:,} free")


def _retry_after(reply: requests.Response) -> float:
    """Seconds of Retry-After; a date there counts as nothing, the usual pause is taken."""
    text = reply.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else 0.0


def _plain(error: Exception) -> str:
    """The innermost reason, without the wrapping of three libraries."""
    while True:
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, Exception)), None)
        if not isinstance(inner, Exception):
            return re.sub(r"<[^>]*>:? ?|\(?object at 0x\w+\)?", "", str(error)) or type(error).__name__
        error = inner


def _part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def _notes(target: Path) -> Path:
    return target.with_name(target.name + ".part.json")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _discard(target: Path) -> None:
    _part(target).unlink(missing_ok=True)
    _notes(target).unlink(missing_ok=True)
