"""Get, verify and find the real data sets of the registry.

`get` downloads what is missing, checks it, unpacks it, and writes down that it is complete; run again, it goes on
where it stopped. `where` gives the folder to readers. See `ledger` for what lies where.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_fetch import extract, ledger, pieces, registry, transfer
from data_fetch.folder import data_folder
from data_fetch.ledger import DataError
from data_fetch.registry import Dataset, RemoteFile
from data_fetch.transfer import Patience, Wanted, WrongContent

_JSON_ENDS = ((b"{", b"}"), (b"[", b"]"))
MARGIN = 256 << 20  # bytes of the disk that stay free


class ConsentNeeded(DataError):
    """A licence that has to be accepted first."""


@dataclass(frozen=True)
class Finding:
    """What `verify` found for one file: good is None for a file that was not got."""

    file: str
    good: bool | None
    text: str


def get(
    name: str,
    *,
    only: str | None = None,
    accept_licence: bool = False,
    delete_archives: bool = False,
    folder: Path | str | None = None,
    progress: bool | None = None,
    patience: Patience | None = None,
) -> Path:
    """The folder of a data set that is complete now, or of the part of it that was asked for.

    Parameters
    ----------
    name : of the registry, such as "cub200".
    only : a group ("annotations") or a file name; default: everything that is not optional.
    accept_licence : True says that the licence, if it asks for consent, is accepted.
    delete_archives : remove each archive after it was unpacked.
    folder : the data folder; default `folder.data_folder()`.
    progress : True or False shows or hides bars; None shows them on a terminal.
    patience : time-outs and tries.

    Raises
    ------
    ValueError : unknown name or group.  ConsentNeeded : nothing was loaded.  DataError : says what went wrong and
    what to do; what is good so far stays.
    """
    data, root = registry.dataset(name), _root(folder)
    chosen = data.select(only)
    if not ledger.missing(root, data, chosen):
        return root / name
    if data.licence_needs_consent and not accept_licence and any(file.urls for file in chosen):
        raise ConsentNeeded(f"{name}: {data.licence}\nSee {data.page}. Accept it with --accept-licence.")
    with ledger.lock(root, data):
        todo = ledger.missing(root, data, chosen)
        _enough_disk(root, data, todo)
        by_hand = []
        for file in todo:
            if not file.urls and not _there(root, data, file):
                by_hand.append(file)
                continue
            facts = _obtain(root, data, file, progress, patience or Patience())
            _install(root, data, file, facts, delete_archives, progress)
            if file.published is None and not ledger.recorded(root, data, file):  # not before it could be unpacked
                ledger.record(root, data, file, {key: facts[key] for key in ("sha256", "bytes", "url")})
        if by_hand:
            raise DataError(_manual(root, data, by_hand))
    return root / name


def where(name: str, *, only: str | None = None, folder: Path | str | None = None) -> Path:
    """The folder of a data set that was got.

    Raises
    ------
    ValueError : unknown name or group.  FileNotFoundError : it is not there or not complete; names the command.
    """
    data, root = registry.dataset(name), _root(folder)
    absent = ledger.missing(root, data, data.select(only))
    if absent:
        command = f"python -m data_fetch get {name}" + (f" --only {only}" if only else "")
        command += f" --dir '{root}'" if folder is not None else ""
        what = "is not there" if len(absent) == len(data.select(only)) else "is not complete"
        files = ", ".join(file.name for file in absent)
        raise FileNotFoundError(f"{name} {what} in {root / name} (missing: {files}); get it with: {command}")
    return root / name


def complete(name: str, *, only: str | None = None, folder: Path | str | None = None) -> bool:
    """Whether `where` would give a folder."""
    data, root = registry.dataset(name), _root(folder)
    return not ledger.missing(root, data, data.select(only))


def state(name: str, *, folder: Path | str | None = None) -> str:
    """ "there", "partly", "manual" (nothing is there, and a person has to download it) or "-"."""
    data, root = registry.dataset(name), _root(folder)
    files = data.select()
    absent = ledger.missing(root, data, files)
    if not absent:
        return "there"
    some = len(absent) < len(files) or len(ledger.missing(root, data, data.files)) < len(data.files)
    return "partly" if some else "manual" if data.manual else "-"


def verify(name: str, *, folder: Path | str | None = None, progress: bool | None = None) -> list[Finding]:
    """A finding for every file of a data set: archives are read and compared, unpacked files counted and measured."""
    data, root = registry.dataset(name), _root(folder)
    return [_verify(root, data, file, progress) for file in data.files]


def _root(folder: Path | str | None) -> Path:
    return data_folder() if folder is None else Path(folder).expanduser()


def _there(root: Path, data: Dataset, file: RemoteFile) -> bool:
    path = ledger.place(root, data, file)
    return bool(pieces.find(path)) if file.archive == "pieces" else path.is_file()


def _enough_disk(root: Path, data: Dataset, todo: list[RemoteFile]) -> None:
    """DataError if what is still to load and to unpack does not fit; sizes are estimates where none is published."""
    need = MARGIN
    for file in todo:
        if file.urls and not _there(root, data, file):
            part = ledger.place(root, data, file).with_name(file.name + ".part")
            need += max((file.size or 0) - (part.stat().st_size if part.exists() else 0), 0)
        elif not file.urls and not _there(root, data, file):
            continue
        need += file.unpacked or 0 if file.archive else 0
    free = shutil.disk_usage(root / data.name).free
    if need > free:
        raise DataError(
            f"{data.name} needs about {need / 1e9:.1f} GB more, but the disk of {root} has {free / 1e9:.1f} GB free. "
            "Free some, get one group with --only, or set LESSONS_DATA to a folder on another disk."
        )


def _obtain(root: Path, data: Dataset, file: RemoteFile, progress: bool | None, patience: Patience) -> dict:
    """What is known of the file that is now in place: bytes, md5, sha256, url and how it was checked."""
    path = ledger.place(root, data, file)
    if _there(root, data, file):
        found, url = _found(root, data, file, path, progress), "found on disk"
    else:
        if os.environ.get("LESSONS_OFFLINE", "").strip() not in ("", "0"):
            raise DataError(f"{file.name} is missing and LESSONS_OFFLINE is set, so nothing is loaded")
        found = {}
        check = _checker(root, data, file, found, progress)
        wanted = Wanted(file.urls, path, file.bytes, file.published is not None, check)
        try:
            url = transfer.load(wanted, patience, progress=progress)
        except DataError as error:
            raise DataError(f"{error}\n{_yourself(data, file, path)}") from None
    return {**found, "url": url, "checked": file.published or "recorded"}


def _found(root: Path, data: Dataset, file: RemoteFile, path: Path, progress: bool | None) -> dict:
    """A file that lay there already, from an earlier run or put there by a person: it is never removed."""
    found: dict = {}
    try:
        _checker(root, data, file, found, progress)(path)
    except WrongContent as error:
        raise DataError(f"{path} is not the file that is expected: {error}. Remove it and run get again.") from None
    return found


def _checker(root: Path, data: Dataset, file: RemoteFile, found: dict, progress: bool | None) -> Callable[[Path], None]:
    """A function that raises WrongContent for a wrong file, and else puts its size and checksums into `found`."""

    def check(path: Path) -> None:
        if file.archive == "pieces":
            found.update(pieces.digests(path, progress=progress))
        else:
            _looks_right(file, path)
            found.update(ledger.digests(path, progress=progress))
        for key in ("bytes", "md5", "sha256"):
            right = getattr(file, key)
            if right is not None and found.get(key) != right:
                raise WrongContent(f"wrong {key}: {found.get(key)}, expected {right}")
        _same_as_before(root, data, file, found)

    return check


def _same_as_before(root: Path, data: Dataset, file: RemoteFile, found: dict) -> None:
    before = {} if file.published else ledger.recorded(root, data, file)
    if before and before["sha256"] != found["sha256"]:
        note = root / "checksums" / f"{data.name}.json"
        raise WrongContent(
            f"sha256 {found['sha256']} is not the one recorded on {before['date']} ({before['sha256']}); if the new "
            f"file is right, remove its entry from {note}"
        )


def _looks_right(file: RemoteFile, path: Path) -> None:
    """WrongContent for an empty file, for a web page under another name, and for an archive of another kind."""
    head = pieces.start(path)
    if not head:
        raise WrongContent("it is empty")
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        raise WrongContent("it is a web page or an error message, not the file")
    gz, tar = head.startswith(pieces.GZIP), head[257:262] == b"ustar"
    right = {
        "zip": head.startswith(pieces.ZIP),
        "gz": gz,
        "tar": gz or tar,
        "tar.gz": gz or tar,
    }
    if not right.get(file.archive, True):
        raise WrongContent(f"it is no {file.archive} archive")
    if file.name.endswith(".json") and (head.lstrip()[:1], pieces.end(path)[-1:]) not in _JSON_ENDS:
        raise WrongContent("it is no JSON, or cut short")


def _install(
    root: Path, data: Dataset, file: RemoteFile, facts: dict, delete_archives: bool, progress: bool | None
) -> None:
    """Unpack the file if it is an archive, and mark it as complete."""
    path, folder = ledger.place(root, data, file), root / data.name
    if file.archive is None:
        files = [(path.relative_to(folder).as_posix(), facts["bytes"])]
    else:
        free = shutil.disk_usage(folder).free
        limits = extract.Limits(min(max(4 * (file.unpacked or 0), 1 << 30), free))
        rules = {"into": file.into, "strip": file.strip, "overlaps": file.overlaps, "progress": progress}
        try:
            files = extract.unpack(path, folder, file.archive, limits, **rules)
        except DataError as error:
            raise DataError(f"{error}\nThe archive is at {path}; remove it to load it again.") from error
    ledger.mark(root, data, file, facts, files)
    if delete_archives and file.archive:
        for old in {piece.path for piece in pieces.find(path)} if file.archive == "pieces" else {path}:
            old.unlink()


def _yourself(data: Dataset, file: RemoteFile, path: Path) -> str:
    return (
        f"Run the command again later to go on, or by hand: download {file.name} from {data.page} yourself, "
        f"put it at {path}, and run get again."
    )


def _manual(root: Path, data: Dataset, files: list[RemoteFile]) -> str:
    """What a person has to do, step by step."""
    lines = [f"{data.name} has to be downloaded by hand:", f"  1. Open {data.page}", f"  2. {data.manual}"]
    lines.append("  3. Put")
    for file in files:
        path = ledger.place(root, data, file)
        path.parent.mkdir(parents=True, exist_ok=True)
        spot = f"{path}-00, {path.name}-01, ..." if file.archive == "pieces" else str(path)
        lines.append(f"       {file.name} at {spot}")
    return "\n".join([*lines, f"  4. Run again: python -m data_fetch get {data.name}"])


def _verify(root: Path, data: Dataset, file: RemoteFile, progress: bool | None) -> Finding:
    facts, folder = ledger.marker(root, data, file), root / data.name
    if not facts:
        return Finding(file.name, *_unfinished(root, data, file))
    for path, size in ledger.listed(root, data, file):
        spot = folder / path
        if not spot.is_file():
            return Finding(file.name, False, f"{spot} is gone; run get again")
        if spot.stat().st_size != size and not file.overlaps:
            return Finding(file.name, False, f"{spot} has {spot.stat().st_size:,} bytes, {size:,} were written")
    first = ledger.recorded(root, data, file).get("date", facts["date"])
    how = f"published {file.published}" if file.published else f"sha256 recorded on {first}, none is published"
    if not _there(root, data, file):
        return Finding(file.name, True, f"{facts['files']:,} files as unpacked; archive deleted, was checked: {how}")
    path = ledger.place(root, data, file)
    again = pieces.digests(path, progress=progress) if file.archive == "pieces" else None
    again = again or ledger.digests(path, progress=progress)
    if again["sha256"] != facts["sha256"]:
        return Finding(file.name, False, f"{path} has changed: sha256 {again['sha256']}, was {facts['sha256']}")
    return Finding(file.name, True, f"{facts['files']:,} files as unpacked; {how}" if file.archive else how)


def _unfinished(root: Path, data: Dataset, file: RemoteFile) -> tuple[bool | None, str]:
    """A file that is not complete: what is there of it."""
    path = ledger.place(root, data, file)
    part = path.with_name(file.name + ".part")
    if (root / data.name / ".fetched" / f"{file.name}.json").exists():
        return False, "what was unpacked is gone; run get again"
    if _there(root, data, file):
        return False, f"{path} is there but not unpacked or not checked yet; run get again"
    if part.exists():
        return False, f"{part.stat().st_size:,} bytes loaded; run get again to go on"
    return None, "not there"
