"""The command line: python -m data_fetch list | get | verify | where | sheet.

Exit status: 0 fine; 1 something failed, stderr says what; 2 wrong usage, or a licence that was not accepted;
130 interrupted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from data_fetch import download, registry
from data_fetch.folder import data_folder
from data_fetch.ledger import DataError


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    try:
        options = _parser().parse_args(arguments)
        return options.run(options)
    except (ValueError, download.ConsentNeeded) as error:
        return _fail(error, 2)
    except (DataError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; run the same command again to go on", 130)


def _fail(error: object, status: int) -> int:
    print(f"data_fetch: {error}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_fetch", description="Get the course's real data sets.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        if name != "sheet":
            added.add_argument("--dir", type=Path, help="data folder (default: LESSONS_DATA, or the user's cache)")
        return added

    listing = command("list", _list, "Table of the data sets, or all that is known of the named ones.")
    listing.add_argument("names", nargs="*", metavar="NAME")
    getting = command("get", _get, "Download, check and unpack; run again, it goes on where it stopped.")
    getting.add_argument("names", nargs="+", metavar="NAME")
    getting.add_argument("--only", metavar="GROUP", help="one group, such as annotations, or one file")
    getting.add_argument("--accept-licence", action="store_true", help="accept the licence without being asked")
    getting.add_argument("--delete-archives", action="store_true", help="remove each archive after unpacking")
    checking = command("verify", _verify, "Compare what is on the disk with checksums and with what was unpacked.")
    checking.add_argument("names", nargs="*", metavar="NAME")
    checking.add_argument("--all", action="store_true", help="every data set of which something is there")
    finding = command("where", _where, "Print the folder of a data set that was got.")
    finding.add_argument("name", metavar="NAME")
    finding.add_argument("--only", metavar="GROUP", help="ask for one group, or one file, alone")
    sheet = command("sheet", _sheet, "Draw a labelled contact sheet of a rendered world.")
    sheet.add_argument("world", metavar="WORLD")
    sheet.add_argument("--seed", type=int, default=0)
    sheet.add_argument("--out", type=Path, required=True, help="picture file, such as sheet.png")
    sheet.add_argument("--count", type=int, help="how many pictures")
    sheet.add_argument("--size", type=int, default=64, help="pixels of a side of each picture")
    return parser


def _list(options: argparse.Namespace) -> int:
    if options.names:
        print("\n\n".join(_details(registry.dataset(name)) for name in options.names))
        return 0
    rows = [("NAME", "DOWNLOAD", "DISK", "STATE", "TITLE AND LICENCE")]
    for data in registry.datasets().values():
        state = download.state(data.name, folder=options.dir)
        rows.append((data.name, _download(data), _human(data.disk, True), state, f"{data.title}. {data.licence}"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    room = shutil.get_terminal_size((160, 24)).columns - sum(widths) - 8
    for row in rows:
        text = row[4] if not sys.stdout.isatty() or len(row[4]) <= room else row[4][: max(room - 3, 20)] + "..."
        cells = [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2)), row[3].ljust(widths[3]), text]
        print("  ".join(cells))
    print(
        f"\nData folder: {options.dir or data_folder()}. ~ marks an estimate. Details: python -m data_fetch list NAME"
    )
    return 0


def _details(data: registry.Dataset) -> str:
    lines = [
        f"{data.name}: {data.title}",
        f"  licence   {data.licence}"
        + (" get asks for consent." if data.licence_needs_consent and not data.manual else ""),
        f"  cite      {data.citation}",
        f"  page      {data.page}",
        f"  disk      {_human(data.disk, True)}, archives kept",
    ]
    lines += [f"  by hand   {data.manual}"] if data.manual else []
    lines += [f"  notes     {data.notes}"] if data.notes else []
    for file in data.files:
        size = _human(file.size, file.bytes is None)
        check = f"published {file.published}" if file.published else "checksum recorded at first download"
        more = ", only when asked for" if file.optional else ""
        lines.append(f"  file      {file.name} ({file.group}{more}): {size}, {check}")
        lines += [f"            {url}" for url in file.urls]
    return "\n".join(lines)


def _human(count: int | None, estimate: bool) -> str:
    """Bytes in steps of 1,000; ~ before an estimate, ? for what is not known."""
    if not count:
        return "?"
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    digits = 0 if unit == "B" or value >= 100 else 1
    return f"{'~' if estimate else ''}{value:.{digits}f} {unit}"


def _download(data: registry.Dataset) -> str:
    return _human(data.download, not data.download_is_exact)


def _get(options: argparse.Namespace) -> int:
    chosen = [registry.dataset(name) for name in options.names]
    for data in chosen:
        data.select(options.only)  # a wrong group is told before anything is loaded
    root = options.dir or data_folder()
    accepted = [_consent(data, options) for data in chosen]
    for data, accept in zip(chosen, accepted):
        path = download.get(
            data.name,
            only=options.only,
            accept_licence=accept,
            delete_archives=options.delete_archives,
            folder=root,
        )
        print(f"{data.name}: {path}")
    return 0


def _consent(data: registry.Dataset, options: argparse.Namespace) -> bool:
    """Whether the licence is accepted: said so, not asked for, or answered on the terminal."""
    files = data.select(options.only)
    if options.accept_licence or not data.licence_needs_consent or not any(file.urls for file in files):
        return True
    if download.complete(data.name, only=options.only, folder=options.dir):
        return True
    if sys.stdin is not None and sys.stdin.isatty():
        print(f"{data.title}\nLicence: {data.licence}\nPage: {data.page}")
        try:
            answer = input("Do you accept it? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() in ("y", "yes"):
            return True
    raise download.ConsentNeeded(
        f"{data.name} was not loaded: its licence was not accepted. {data.licence} See {data.page}. "
        "To accept it without being asked, add --accept-licence."
    )


def _verify(options: argparse.Namespace) -> int:
    if bool(options.names) == options.all:
        raise ValueError("verify needs the names of data sets, or --all")
    names = options.names or [n for n in registry.datasets() if download.state(n, folder=options.dir) in _SOME]
    good = True
    for name in names:
        findings = download.verify(name, folder=options.dir)
        for found in findings:
            word = {True: "good", False: "WRONG", None: "-"}[found.good]
            print(f"{name}  {word:5}  {found.file}: {found.text}")
        good &= any(found.good for found in findings) and not any(found.good is False for found in findings)
    if options.all and not names:
        print(f"nothing is there in {options.dir or data_folder()}")
    return 0 if good else 1


_SOME = ("there", "partly")


def _where(options: argparse.Namespace) -> int:
    print(download.where(options.name, only=options.only, folder=options.dir))
    return 0


def _sheet(options: argparse.Namespace) -> int:
    from data_fetch import sheet  # draws with torch, which the other commands do without

    if options.world not in sheet.WORLDS:
        known = "\n".join(f"  {name}: {text}" for name, text in sheet.WORLDS.items())
        raise ValueError(f"there is no world {options.world!r}; the worlds are\n{known}")
    sheet.write(options.world, options.out, seed=options.seed, count=options.count, size=options.size)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
