"""The house itself: one list of dependencies, the files a newcomer expects, no leftovers of one machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_conda_environment_lists_the_same_ranges_as_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert sorted(p for p in pip if not p.startswith("-e")) == sorted(PROJECT["dependencies"])
    assert "-e ." in pip and f"python{PROJECT['requires-python']}" in environment["dependencies"]


def test_ranges_leave_an_installed_torch_and_numpy_in_place():
    for line in PROJECT["dependencies"]:
        assert re.fullmatch(r"[a-z0-9-]+>=[\d.]+", line), f"{line}: a lower bound and nothing else"


def test_top_level_and_the_two_commands():
    for name in (
        "notebooks",
        "lessons_lib",
        "data_fetch",
        "tests",
        "environment.yml",
        "README.md",
        "LICENSE",
        "Makefile",
    ):
        assert (ROOT / name).exists(), name
    readme = (ROOT / "README.md").read_text()
    assert "make lab" in readme and "make test" in readme
    assert (ROOT / ".ci" / "run").read_text().strip().endswith("make test")


def test_test_files_have_names_of_their_own():
    """pytest imports them by their names alone: of two with one name it refuses the second."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)


@pytest.mark.parametrize("package", ["lessons_lib", "data_fetch"])
def test_imports_point_leftwards(package):
    """data_fetch -> models -> explain -> feedback -> training -> evidence -> experiments -> show: never backwards."""
    order = ["models", "explain", "feedback", "training", "evidence", "experiments", "show"]
    for path in (ROOT / package).rglob("*.py"):
        text = path.read_text()
        if package == "data_fetch":
            assert "from lessons_lib" not in text and "import lessons_lib" not in text, path
            continue
        own = path.relative_to(ROOT / package).parts[0].removesuffix(".py")
        if own not in order:
            continue
        for used in re.findall(r"^from lessons_lib\.(\w+)", text, re.MULTILINE):
            assert used not in order or order.index(used) <= order.index(own) or own == "show", f"{path} imports {used}"


def test_importing_the_library_is_cheap():
    """The first import must not pull torch in: `lessons_lib.start` can then name a missing or too old one."""
    code = "import sys, lessons_lib, lessons_lib.explain; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "False"
