"""What every lesson has, read from the stored files without a kernel (the notebooks themselves run under nbval)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

from lessons_lib.authoring import ADDRESS, SETUP, SOLUTION, WIDGET, from_text, student_copy, to_text

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LESSONS = [path for path in NOTEBOOKS if re.match(r"\d\d_", path.name) and not path.name.startswith("00_")]
KINDS = {"predict", "run", "read", "exercise", "hint", "check", "claim", "quiz"}
SECTIONS = ("See the problem", "The idea", "The experiment", "Evidence", "Play", "Your turn", "On real data",
            "What this does not show")  # fmt: skip
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
each_lesson = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, 4)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def images_of(cell: nbformat.NotebookNode) -> list[dict]:
    outputs = [o.data for o in cell.get("outputs", ()) if o.output_type in ("display_data", "execute_result")]
    return [data for data in outputs if "image/png" in data]


@each
def test_is_valid_and_small_and_holds_no_widget_state_or_errors(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < 2_000_000
    assert "widgets" not in notebook.metadata
    for cell in code(notebook):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert WIDGET not in output.get("data", {}), "a live widget is stored; store its static picture"
            assert output.get("name") != "stderr", cell.source


@each
def test_starts_with_title_front_matter_and_the_one_setup_cell(path):
    title, front, setup = read(path).cells[:3]
    assert title.cell_type == "markdown" and title.source.startswith("# ")
    assert front.cell_type == "markdown"
    for word in ("**Question.**", "**Time.**", "**You will be able to**"):
        assert word in front.source, f"the second cell lacks {word}"
    assert ADDRESS.sub("git+COURSE_ADDRESS", setup.source) == SETUP.replace("{lesson}", path.stem)


@each
def test_cells_are_short_and_outputs_are_stored(path):
    cells = code(read(path))
    for cell in cells:
        assert len(cell.source.splitlines()) <= 20, cell.source
    assert any(cell.outputs for cell in cells), "run it with `make notebooks`"
    assert all(cell.execution_count for cell in cells), "run it with `make notebooks`"
    for cell in cells[1:]:
        assert not re.search(r"^\s*[%!]\s*pip", cell.source, re.MULTILINE), "pip belongs into the setup cell"


@each
def test_pictures_have_alt_text_and_a_reading(path):
    """Every picture carries its text summary, and a text cell that reads it comes right after."""
    cells = read(path).cells
    for number, cell in enumerate(cells):
        pictures = images_of(cell)
        for data in pictures:
            text = data.get("text/plain", "")
            assert len(text) > 30 and not text.startswith("<"), f"cell {number}: no alt text: {text[:60]!r}"
        if pictures:
            after = cells[number + 1 : number + 3]
            assert any(c.cell_type == "markdown" for c in after), f"cell {number}: nobody reads the plot"
        if cell.cell_type == "markdown":
            assert "](http" not in re.sub(r"(?<!!)\[[^\]]*\]\(http", "[](", cell.source), "pictures from the network"
            for alt in re.findall(r"!\[([^\]]*)\]", cell.source):
                assert alt.strip(), "a picture without alt text"


@each
def test_headings_go_down_one_step_at_a_time(path):
    level = 0
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            for marks in re.findall(r"^(#+) ", re.sub(r"```.*?```", "", cell.source, flags=re.DOTALL), re.MULTILINE):
                assert len(marks) <= level + 1, cell.source[:80]
                level = len(marks)


@each_lesson
def test_lesson_has_its_anatomy(path):
    notebook = read(path)
    headings = [
        line for c in notebook.cells if c.cell_type == "markdown" for line in c.source.splitlines() if line[:3] == "## "
    ]
    places = [next((i for i, h in enumerate(headings) if section in h), None) for section in SECTIONS]
    assert None not in places, f"missing: {[s for s, p in zip(SECTIONS, places) if p is None]}"
    assert places == sorted(places)
    assert 35 <= len(notebook.cells) <= 55, f"{len(notebook.cells)} cells"
    words = sum(len(re.sub(r"[^\w\s]", " ", c.source).split()) for c in notebook.cells if c.cell_type == "markdown")
    assert 1200 <= words <= 2000, f"{words} words"


@each_lesson
def test_cells_say_what_they_are_for(path):
    kinds = [tags(cell) & KINDS for cell in read(path).cells]
    for kind in ("predict", "read", "exercise", "check", "claim", "quiz"):
        assert any(kind in found for found in kinds), f"no cell is tagged {kind!r}"
    assert all(len(found) <= 1 for found in kinds)


@each
def test_exercises_are_followed_by_their_check_and_have_a_solution(path):
    cells = read(path).cells
    exercises = [i for i, cell in enumerate(cells) if "exercise" in tags(cell) and cell.cell_type == "code"]
    if path in LESSONS:
        assert 2 <= len(exercises) <= 4
    ids = [cell.metadata["nbgrader"]["grade_id"] for cell in cells if "nbgrader" in cell.metadata]
    assert len(ids) == len(set(ids))
    for i in exercises:
        exercise = cells[i].metadata["nbgrader"]
        assert exercise["solution"] and not exercise["grade"] and exercise["schema_version"] == 3
        assert SOLUTION.search(cells[i].source), "no ### BEGIN SOLUTION ... ### END SOLUTION"
        check = next(cell for cell in cells[i + 1 :] if cell.cell_type == "code")
        assert "check" in tags(check) and "check_" in check.source
        graded = check.metadata["nbgrader"]
        assert graded["grade"] and graded["locked"] and not graded["solution"] and graded["points"] > 0


@each
def test_students_copy_has_no_solution_and_no_outputs(path):
    copy = student_copy(read(path))
    nbformat.validate(copy)
    for cell in code(copy):
        assert "SOLUTION" not in cell.source and not cell.outputs
        if "exercise" in tags(cell):
            assert "raise NotImplementedError" in cell.source
            compile(cell.source, path.name, "exec")
    assert read(path).cells[2].outputs, "making the copy must leave the lesson alone"


@each
def test_text_round_trip_keeps_source_tags_and_grades(path):
    before, after = read(path), from_text(to_text(path))
    assert [c.source for c in before.cells] == [c.source for c in after.cells]
    for key in ("tags", "nbgrader"):
        assert [c.metadata.get(key) for c in before.cells] == [c.metadata.get(key) for c in after.cells]


@each
def test_claims_named_in_a_lesson_are_in_the_stored_results(path):
    known = {
        claim["id"] for file in (FOLDER / "results").glob("*.json") for claim in json.loads(file.read_text())["claims"]
    }
    for cell in code(read(path)):
        for name in re.findall(r"claim\(\s*[\"']([\w.]+)[\"']", cell.source):
            assert name in known, f"{name} is in no stored result; known: {sorted(known)}"


def test_no_machine_is_named():
    for path in [*NOTEBOOKS, *(FOLDER / "results").glob("*.json")]:
        found = re.search(r"(/home/|/root/|/Users/|/work/|/tmp/|C:\\\\)[^\s\"']{0,40}", path.read_text())
        assert not found, f"{path.name}: {found.group(0)}"
