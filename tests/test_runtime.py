"""What a lesson's first cell prints and promises, on this machine and on pretended ones."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lessons_lib
from lessons_lib import runtime


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("LESSONS_PROFILE", "LESSONS_SEED", "LESSONS_DATA", "COLAB_RELEASE_TAG", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def pretend_versions(monkeypatch, **versions):
    real = importlib.metadata.version

    def version(name):
        if name in versions and versions[name] is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions.get(name) or real(name)

    monkeypatch.setattr(runtime.metadata, "version", version)


def test_prints_a_short_text_and_returns_what_it_says(capsys):
    run = lessons_lib.start("02_judging_explanations")
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert 4 <= len(lines) <= 6 and all(len(line) < 120 for line in lines)
    assert "about" in lines[0] and "CPU core" in lines[1] and torch.__version__.split("+")[0] in text
    assert run.profile == "quick" and run.seed == 0 and run.lesson in lines[0]
    assert run.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    lessons_lib.start("02_judging_explanations")
    assert capsys.readouterr().out == text, "the text must not change from run to run"


def test_changes_nothing_but_the_threads(capsys):
    state, folder = torch.random.get_rng_state(), runtime.data_folder()
    existed, dtype = folder.exists(), torch.get_default_dtype()
    lessons_lib.start("00_start_here")
    assert torch.equal(state, torch.random.get_rng_state()) and torch.get_default_dtype() == dtype
    assert folder.exists() == existed and torch.get_num_threads() == 1


def test_environment_overrides_the_notebook(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("LESSONS_PROFILE", "full")
    monkeypatch.setenv("LESSONS_SEED", "101")
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path / "data"))
    run = lessons_lib.start("00_start_here", profile="quick", seed=3)
    assert (run.profile, run.seed, run.data) == ("full", 101, tmp_path / "data")
    assert run.seeds(3) == [101, 102, 103] and "full, seed 101" in capsys.readouterr().out


@pytest.mark.parametrize("seed", [0, 5, 101])
def test_generators_are_fresh_and_seeded(seed, capsys):
    run = lessons_lib.start("00_start_here", seed=seed)
    first, again, other = (torch.rand(4, generator=run.generator(k)) for k in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(first, torch.rand(4, generator=torch.Generator().manual_seed(seed)))
    with pytest.raises(ValueError, match="at least one seed"):
        run.seeds(0)


@pytest.mark.parametrize(
    "name, value, word",
    [("LESSONS_PROFILE", "fast", "quick"), ("LESSONS_SEED", "one", "integer, it is 'one'")],
)
def test_bad_environment_is_named(monkeypatch, name, value, word):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name}.*{word}"):
        lessons_lib.start("00_start_here")


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="profile"):
        lessons_lib.start("00_start_here", profile="smoke")
    with pytest.raises(TypeError, match="seed"):
        lessons_lib.start("00_start_here", seed="7")


@pytest.mark.parametrize(
    "versions, word",
    [
        ({"torch": "2.5.1+cu121"}, "pip install --upgrade torch torchvision"),
        ({"numpy": "1.25.2"}, "pip install --upgrade numpy"),
        ({"ipywidgets": "7.6.5"}, "ipywidgets 7.6.5 is older than 7.7"),
        ({"ipywidgets": None}, "pip install ipywidgets"),
    ],
)
def test_old_versions_come_with_advice(monkeypatch, capsys, versions, word):
    pretend_versions(monkeypatch, **versions)
    lessons_lib.start("00_start_here")
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning: ")]
    assert len(warnings) == 1 and word in warnings[0]


@pytest.mark.parametrize("version", ["2.6.0", "2.6.0+cu124", "2.10.1", "2.7.0a0", "3.0", "2.6rc1"])
def test_new_versions_pass_in_silence(monkeypatch, capsys, version):
    pretend_versions(monkeypatch, torch=version, torchvision="0.21.0", numpy="1.26.0", ipywidgets="7.7.1")
    lessons_lib.start("00_start_here")
    assert "Warning" not in capsys.readouterr().out


def test_missing_torch_is_explained(monkeypatch):
    pretend_versions(monkeypatch, torch=None)
    with pytest.raises(ModuleNotFoundError, match=r"torch is missing.*pip install torch"):
        lessons_lib.start("00_start_here")


def test_colab_is_named_and_gets_other_advice(monkeypatch, capsys):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab_20260819")
    pretend_versions(monkeypatch, torch="2.5.0")
    lessons_lib.start("00_start_here")
    text = capsys.readouterr().out
    assert "on Colab" in text and "Disconnect and delete runtime" in text and "pip" not in text


def test_data_folder_lies_in_the_users_cache(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "linux")
    assert runtime.data_folder() == Path.home() / ".cache" / "explain-and-fix"
    monkeypatch.setenv("LESSONS_DATA", "~/stick")
    assert runtime.data_folder() == Path.home() / "stick"
    lessons_lib.start("00_start_here")
    text = capsys.readouterr().out
    assert "~/stick" in text and str(Path.home()) not in text.replace("~", "")


@pytest.mark.parametrize("content, cores", [("200000 100000", 2), ("150000 100000", 2), ("max 100000", 9), ("", 9)])
def test_container_quota_limits_the_cores(tmp_path, content, cores):
    file = tmp_path / "cpu.max"
    file.write_text(content)
    assert runtime._quota(file, 9) == cores
    assert runtime._quota(tmp_path / "none", 9) == 9
    assert runtime.cpu_cores() >= 1


@pytest.mark.parametrize("text, count", [("3", 3), ("2,1", 2), ("", 8), ("many", 8)])
def test_threads_respect_the_environment(monkeypatch, text, count):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert runtime.threads(64) == count


def test_threads_wait_politely_before_torch_is_there():
    """The setting is read when torch is loaded: `start` makes it first. A user's own setting is kept."""
    code = "import lessons_lib, os; lessons_lib.start('00_start_here'); print(os.environ['GOMP_SPINCOUNT'])"
    for own in ({}, {"GOMP_SPINCOUNT": "7"}):
        environment = {name: text for name, text in os.environ.items() if name != "GOMP_SPINCOUNT"} | own
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.split()[-1] == own.get("GOMP_SPINCOUNT", "20000")


def test_package_exports_start_lazily():
    assert lessons_lib.__version__ and dir(lessons_lib) == ["__version__", "start"]
    with pytest.raises(AttributeError, match="no attribute 'begin'"):
        lessons_lib.begin  # noqa: B018
