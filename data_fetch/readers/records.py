"""JSON files of data sets: read with their errors named, and their records checked field by field."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from data_fetch.readers import official


def load(path: Path, name: str, kind: type = dict) -> dict | list:
    """What a JSON file holds, a dict or a list.

    Raises
    ------
    FileNotFoundError : no such file, with the command that gets the data set `name`.  ValueError : not JSON (cut
    short, say), or of another kind.
    """
    try:
        with open(official.present(path, name), encoding="utf-8") as file:
            found = json.load(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON that can be read ({error})") from error
    if not isinstance(found, kind):
        raise ValueError(f"{path} should hold a {kind.__name__}, not a {type(found).__name__}")
    return found


def check_limit(limit: int | None) -> None:
    """ValueError for a number of rows below 1."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit is a number of rows, at least 1, or None for all; got {limit}")


def value(record: object, field: str, kind: type, where: object):
    """record[field], of the given kind; ValueError that names `where` otherwise. A bool is no int."""
    found = record.get(field) if isinstance(record, dict) else None
    if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
        raise ValueError(f"{where}: {field!r} should be a {kind.__name__}, got {found!r:.80}")
    return found


def listed(record: dict, field: str, where: object) -> Iterable[tuple[str, object]]:
    """(where it stands, entry) of every entry of the list record[field]."""
    return ((f"{where}, {field}[{n}]", entry) for n, entry in enumerate(value(record, field, list, where)))
