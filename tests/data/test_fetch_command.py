"""The command line of data_fetch: what it prints, what it asks, and its exit status."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import server
from server import Reply

from data_fetch import __main__ as command
from data_fetch import download, folder, registry
from data_fetch.registry import RemoteFile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def web():
    with server.running() as told:
        yield told


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in a fresh data folder: (status, stdout, stderr)."""
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    monkeypatch.delenv("LESSONS_OFFLINE", raising=False)
    monkeypatch.setattr(download, "MARGIN", 0)
    monkeypatch.setattr(download, "Patience", server.patience)
    monkeypatch.setattr(sys, "stdin", io.StringIO())

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = command.main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        return status, *capsys.readouterr()

    return run


def toys(web, monkeypatch, **change) -> None:
    """Two sets: "toy" with words and pictures, "other" that has to be got by hand."""
    files = (
        RemoteFile("words.zip", "words", (web.serve("/words.zip", Reply(server.zipped({"words/a": b"a"}))),),
                   archive="zip", unpacked=1, **server.published(server.zipped({"words/a": b"a"}))),
        RemoteFile("list.txt", "list", (web.serve("/list.txt", Reply(b"1\n2\n")),)),
    )  # fmt: skip
    sets = {
        "other": server.data_set(RemoteFile("o.json", "all"), name="other", manual="Ask for it."),
        "toy": server.data_set(*files, **change),
    }
    monkeypatch.setattr(registry, "datasets", lambda: sets)
    web.requests.clear()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_list_has_a_row_for_every_set(run, tmp_path):
    status, out, err = run("list")
    assert status == 0 and not err
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for name, data in registry.datasets().items():
        assert data.title in rows[name] and data.licence in rows[name]
    assert "20.4 GB" in rows["coco2017"] and "~41.4 GB" in rows["coco2017"] and " manual " in rows["ssv2"]
    assert "~13.0 GB" in rows["awa2"] and str(tmp_path) in out


def test_list_of_one_set_says_all_that_is_known(run):
    status, out, _ = run("list", "vqacp2")
    data = registry.dataset("vqacp2")
    assert status == 0
    for text in (
        data.licence,
        data.citation,
        data.page,
        data.notes,
        *(url for file in data.files for url in file.urls),
    ):
        assert text in out
    assert "checksum recorded at first download" in out


def test_get_verify_where(run, web, monkeypatch, tmp_path):
    toys(web, monkeypatch)
    assert run("where", "toy")[0] == 1
    status, out, err = run("get", "toy")
    assert (status, out, err) == (0, f"toy: {tmp_path / 'toy'}\n", "")
    assert (tmp_path / "toy" / "words" / "a").read_bytes() == b"a"
    assert run("where", "toy") == (0, f"{tmp_path / 'toy'}\n", "")
    status, out, _ = run("verify", "toy")
    assert status == 0 and out.count("good") == 2 and "published sha256" in out and "recorded on" in out
    assert " there " in run("list")[1]
    (tmp_path / "toy" / "list.txt").write_text("1\n3\n")
    status, out, _ = run("verify", "--all")
    assert status == 1 and "WRONG  list.txt" in out and "other" not in out


def test_one_group_in_another_folder(run, web, monkeypatch, tmp_path):
    toys(web, monkeypatch)
    there = tmp_path / "else where"
    assert run("get", "toy", "--only", "words", "--dir", there, "--delete-archives")[0] == 0
    assert (there / "toy" / "words" / "a").exists() and not (there / "toy" / "list.txt").exists()
    assert not list(there.rglob("*.zip")) and not (tmp_path / "toy").exists()
    assert run("where", "toy", "--only", "words", "--dir", there)[:2] == (0, f"{there / 'toy'}\n")
    status, _, err = run("where", "toy", "--dir", there)
    assert status == 1 and "python -m data_fetch get toy" in err


def test_a_licence_is_asked_for_on_a_terminal(run, web, monkeypatch, tmp_path):
    toys(web, monkeypatch, licence_needs_consent=True)
    for answer in ("n\n", "\n", ""):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        status, out, err = run("get", "toy")
        assert status == 2 and "Licence: CC0." in out and "not accepted" in err
    assert web.requests == [] and not (tmp_path / "toy").exists()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run("get", "toy")[0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run("get", "toy")[0] == 0  # all is there: nothing to ask


def test_without_a_terminal_a_licence_has_to_be_accepted_in_the_command(run, web, monkeypatch, tmp_path):
    toys(web, monkeypatch, licence_needs_consent=True)
    status, out, err = run("get", "toy")
    assert status == 2 and not out and "--accept-licence" in err and "CC0." in err
    assert web.requests == [] and not (tmp_path / "toy").exists()
    assert run("get", "toy", "--accept-licence")[0] == 0


def test_one_licence_that_is_not_accepted_stops_all(run, web, monkeypatch):
    toys(web, monkeypatch, licence_needs_consent=True)
    free = server.data_set(RemoteFile("f.txt", "all", (web.serve("/f.txt", Reply(b"f")),)), name="free")
    sets = {**registry.datasets(), "free": free}
    monkeypatch.setattr(registry, "datasets", lambda: sets)
    assert run("get", "free", "toy")[0] == 2 and web.requests == []


def test_a_set_by_hand_is_explained(run, web, monkeypatch, tmp_path):
    toys(web, monkeypatch)
    status, out, err = run("get", "other")
    assert status == 1 and not out and "Ask for it." in err and str(tmp_path / "other" / "o.json") in err
    assert run("verify", "other")[0] == 1


def test_a_failure_is_told_in_words(run, web, monkeypatch):
    toys(web, monkeypatch)
    web.serve("/words.zip", Reply(status=404))
    status, _, err = run("get", "toy")
    assert status == 1 and err.startswith("data_fetch: words.zip could not be downloaded.")
    assert "HTTP 404" in err and "Traceback" not in err and "yourself" in err


@pytest.mark.parametrize(
    "arguments",
    [(), ("fetch", "toy"), ("get",), ("get", "toi"), ("get", "toy", "--only", "nix"), ("verify",),
     ("verify", "toy", "--all"), ("where", "toi"), ("list", "toi"), ("sheet", "w"), ("get", "toy", "--dir")],
)  # fmt: skip
def test_wrong_usage(run, web, monkeypatch, arguments):
    toys(web, monkeypatch)
    status, _, err = run(*arguments)
    assert status == 2 and err and "Traceback" not in err and web.requests == []


def test_interrupted(run, monkeypatch):
    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "get", stop)
    status, _, err = run("get", "snowboard")
    assert status == 130 and "run the same command again" in err


def test_a_folder_that_cannot_be_made(run, web, monkeypatch, tmp_path):
    toys(web, monkeypatch)
    (tmp_path / "file").write_text("in the way")
    status, _, err = run("get", "toy", "--dir", tmp_path / "file")
    assert status == 1 and "file" in err and "Traceback" not in err


def test_sheet_hands_its_options_on(run, monkeypatch, tmp_path):
    calls = []
    fake = types.ModuleType("data_fetch.sheet")
    fake.WORLDS = {"birds": "Birds on branches.", "scenes": "People and things."}
    fake.write = lambda world, out, **options: calls.append((world, out, options))
    monkeypatch.setitem(sys.modules, "data_fetch.sheet", fake)
    monkeypatch.setattr("data_fetch.sheet", fake, raising=False)
    out = tmp_path / "sheet.png"
    assert run("sheet", "birds", "--seed", "3", "--out", out)[0] == 0
    assert run("sheet", "scenes", "--out", out, "--count", "9", "--size", "32")[0] == 0
    assert calls == [
        ("birds", out, {"seed": 3, "count": None, "size": 64}),
        ("scenes", out, {"seed": 0, "count": 9, "size": 32}),
    ]
    status, _, err = run("sheet", "bird", "--out", out)
    assert status == 2 and "scenes: People and things." in err


def test_as_a_program_without_torch(tmp_path):
    """The module runs, says on stderr what is wrong, and imports no torch for it."""
    environment = {**os.environ, "LESSONS_DATA": str(tmp_path), "LESSONS_OFFLINE": "1"}
    code = "import runpy, sys\n"
    code += "try: runpy.run_module('data_fetch', {}, '__main__')\nfinally: print('torch' in sys.modules)"
    for arguments, status in ((["list"], 0), (["get", "snowboard"], 1), (["where", "cub200"], 1), (["get", "x"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, env=environment
        )
        assert done.returncode == status and done.stdout.endswith("False\n"), done
        assert "Traceback" not in done.stderr and bool(done.stderr) == (status > 0)


@pytest.mark.parametrize("chosen", ["/data/sets", "~/sets"])
def test_data_folder_follows_the_variable(monkeypatch, chosen):
    monkeypatch.setenv("LESSONS_DATA", chosen)
    assert folder.data_folder() == Path(chosen).expanduser()


@pytest.mark.parametrize(
    "platform, variable, expected",
    [("linux", "XDG_CACHE_HOME", "explain-and-fix"), ("win32", "LOCALAPPDATA", "explain-and-fix"),
     ("darwin", None, "Library/Caches/explain-and-fix")],
)  # fmt: skip
def test_data_folder_is_in_the_users_cache(monkeypatch, tmp_path, platform, variable, expected):
    monkeypatch.setenv("LESSONS_DATA", " ")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    assert folder.data_folder() == tmp_path / expected
