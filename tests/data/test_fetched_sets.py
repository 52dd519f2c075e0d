"""Data sets on the disk: what counts as complete, recorded checksums, locks, disk space, files put there by hand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import server
from server import BODY, Reply, Toy

from data_fetch import download, ledger
from data_fetch.ledger import DataError
from data_fetch.registry import RemoteFile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def web():
    with server.running() as told:
        yield told


@pytest.fixture
def toy(web, tmp_path, monkeypatch, request):
    """A set with one plain file, and functions to get it and to look at what is there."""
    monkeypatch.delenv("LESSONS_OFFLINE", raising=False)
    monkeypatch.setattr(download, "MARGIN", 0)
    return Toy(web, tmp_path, monkeypatch, "/" + re.sub(r"\W", "-", request.node.name))


# Checksums that nobody published


def test_a_checksum_is_recorded_once_and_checked_from_then_on(toy):
    toy.file(Reply(BODY), known=False)
    toy.get()
    note = json.loads((toy.root / "checksums" / "toy.json").read_text())["data.bin"]
    assert note["sha256"] == server.published(BODY)["sha256"] and note["bytes"] == len(BODY)
    assert note["date"] == ledger.today() and note["url"].endswith(toy.path)
    shutil.rmtree(toy.root / "toy")  # the record outlives the data set
    toy.file(Reply(server.noise(len(BODY), 5)), known=False)
    toy.fails(f"is not the one recorded on {ledger.today()}")
    assert json.loads((toy.root / "checksums" / "toy.json").read_text())["data.bin"] == note
    toy.file(Reply(BODY), known=False)
    toy.get()
    assert toy.final.read_bytes() == BODY


def test_a_checksum_is_not_recorded_for_an_archive_that_is_broken(toy):
    good = server.tarred({"a.txt": BODY})
    url = toy.web.serve(toy.path, Reply(good, chunked=True, cut=len(good) // 2), Reply(good))
    toy.register(RemoteFile("a.tgz", "all", (url,), archive="tar.gz", unpacked=10))
    with pytest.raises(DataError, match=r"unpacked.*\n.*remove it to load it again"):
        toy.get()
    assert not (toy.root / "checksums").exists() and not (toy.root / "toy" / "a.txt").exists()
    (toy.root / "toy" / "archives" / "a.tgz").unlink()
    assert (toy.get() / "a.txt").read_bytes() == BODY
    assert (toy.root / "checksums" / "toy.json").exists()


def test_names_that_are_not_utf8(toy):
    body = server.tarred({"caf\udce9/a.txt": b"1", "\u00fc.txt": b"2"}, "w:gz")
    url = toy.web.serve(toy.path, Reply(body))
    toy.register(RemoteFile("a.tgz", "all", (url,), archive="tar.gz", unpacked=10))
    toy.get()
    assert download.verify("toy", folder=toy.root)[0].good
    assert download.state("toy", folder=toy.root) == "there"


def test_verify_tells_published_from_recorded(toy):
    toy.file(Reply(BODY), known=False)
    toy.get()
    (found,) = download.verify("toy", folder=toy.root)
    assert found.good and f"recorded on {ledger.today()}" in found.text and "none is published" in found.text
    toy.file(Reply(BODY))
    assert download.verify("toy", folder=toy.root)[0].text == "published sha256"


def test_verify_finds_what_changed(toy):
    toy.file(Reply(BODY))
    assert download.verify("toy", folder=toy.root)[0].good is None
    toy.get()
    toy.final.write_bytes(b"X" + BODY[1:])
    (found,) = download.verify("toy", folder=toy.root)
    assert found.good is False and "has changed" in found.text
    toy.final.write_bytes(BODY[:-1])
    assert "199,999 bytes, 200,000 were written" in download.verify("toy", folder=toy.root)[0].text
    toy.final.unlink()
    assert download.verify("toy", folder=toy.root)[0].good is False
    with pytest.raises(FileNotFoundError, match="is not there"):
        download.where("toy", folder=toy.root)


def test_verify_of_half_a_file(toy):
    toy.file(Reply(BODY, cut=1234), Reply(status=404))
    toy.fails("404")
    (found,) = download.verify("toy", folder=toy.root)
    assert found.good is False and "1,234 bytes loaded" in found.text


# Disk, locks, being offline, being stopped


def test_a_full_disk_is_seen_beforehand(toy, monkeypatch):
    usage = namedtuple("usage", "total used free")
    free = len(BODY) + 49_999
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 0, free))
    body = server.zipped({"a": BODY})
    url = toy.web.serve(toy.path, Reply(body))
    toy.register(RemoteFile("a.zip", "all", urls=(url,), archive="zip", unpacked=len(BODY), **server.published(body)))
    with pytest.raises(DataError, match="GB free. Free some"):
        toy.get()
    assert toy.ranges() == []
    free = 2 * len(BODY) + 1000
    assert (toy.get() / "a").read_bytes() == BODY


def test_a_disk_too_small_for_a_file_of_unknown_size(toy, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 0, 1000))
    toy.file(Reply(BODY), known=False)
    toy.fails("needs 200,000 more bytes")
    assert not toy.part.exists() or toy.part.stat().st_size == 0


HOLDER = """
import sys, time, pathlib
from data_fetch import ledger, registry
with ledger.lock(pathlib.Path(sys.argv[1]), registry.Dataset("toy", "", "", False, "", "", ())):
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_processes_do_not_write_the_same_file(toy):
    toy.file(Reply(BODY))
    command = [sys.executable, "-c", HOLDER, str(toy.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout.readline() == "held\n"
        toy.fails(f"another process .process {process.pid} on ")
        assert toy.ranges() == []
        process.kill()
    toy.get()  # the lock of a killed process does not stay
    assert toy.final.read_bytes() == BODY


def test_offline_refuses_to_load_but_not_to_use_what_is_there(toy, monkeypatch):
    monkeypatch.setenv("LESSONS_OFFLINE", "1")
    toy.file(Reply(BODY))
    toy.fails("LESSONS_OFFLINE")
    assert toy.ranges() == []
    toy.final.write_bytes(BODY)
    toy.get()
    assert download.where("toy", folder=toy.root)


def test_ctrl_c_leaves_the_part(toy):
    def stop(_seconds):
        raise KeyboardInterrupt

    toy.file(Reply(BODY, cut=90_000), Reply(BODY))
    toy.fails(None, error=KeyboardInterrupt, patience={"sleep": stop})
    assert toy.part.read_bytes() == BODY[:90_000]
    toy.get()
    assert toy.final.read_bytes() == BODY and toy.ranges() == [None, "bytes=90000-"]


# Whole sets: archives, groups, files put there by hand


def archives(toy, **change) -> dict[str, bytes]:
    bodies = {
        "pictures.zip": server.zipped({"train/1.jpg": b"one", "train/2.jpg": b"two"}),
        "words.tar.gz": server.tarred({"words/a.txt": b"a"}),
        "extra.zip": server.zipped({"extra/e": b"e"}),
    }
    files = []
    for name, body in bodies.items():
        url, kind = toy.web.serve(f"{toy.path}/{name}", Reply(body)), name.split(".", 1)[1]
        group = name.split(".")[0]
        files.append(RemoteFile(name, group, (url,), archive=kind, unpacked=100, optional=group == "extra"))
    toy.register(*files, **change)
    return bodies


def test_a_set_of_archives(toy):
    archives(toy)
    folder = toy.get(only="words")
    assert (folder / "words" / "a.txt").read_bytes() == b"a" and not (folder / "train").exists()
    assert download.state("toy", folder=toy.root) == "partly"
    with pytest.raises(FileNotFoundError, match=r"not complete .*missing: pictures.zip.*data_fetch get toy --dir"):
        download.where("toy", folder=toy.root)
    assert download.where("toy", only="words", folder=toy.root) == folder
    toy.get()
    assert (folder / "train" / "2.jpg").read_bytes() == b"two" and not (folder / "extra").exists()
    assert download.state("toy", folder=toy.root) == "there"
    with pytest.raises(FileNotFoundError, match="get toy --only extra --dir"):
        download.where("toy", only="extra", folder=toy.root)
    assert [found.good for found in download.verify("toy", folder=toy.root)] == [True, True, None]


def test_archives_can_be_deleted(toy):
    archives(toy)
    toy.get(delete_archives=True)
    assert list((toy.root / "toy" / "archives").iterdir()) == []
    toy.get()
    assert len(toy.web.ranges(f"{toy.path}/pictures.zip")) == 1
    found = download.verify("toy", folder=toy.root)[0]
    assert found.good and found.text.startswith("2 files as unpacked; archive deleted")
    (toy.root / "toy" / "train" / "1.jpg").write_bytes(b"longer")
    assert download.verify("toy", folder=toy.root)[0].good is False


def test_a_tree_that_was_removed_is_unpacked_again(toy):
    archives(toy)
    folder = toy.get()
    shutil.rmtree(folder / "train")
    assert download.state("toy", folder=toy.root) == "partly"
    toy.get()
    assert (folder / "train" / "1.jpg").exists()
    assert len(toy.web.ranges(f"{toy.path}/pictures.zip")) == 1  # the archive was still there


def test_an_archive_that_leads_out_is_refused_and_leaves_no_tree(toy):
    body = server.zipped({"train/1.jpg": b"one", "../../evil": b"bad"})
    url = toy.web.serve(toy.path, Reply(body))
    toy.register(RemoteFile("a.zip", "all", (url,), archive="zip", unpacked=10, **server.published(body)))
    with pytest.raises(DataError, match=r"'\.\.'"):
        toy.get()
    assert download.state("toy", folder=toy.root) == "-"
    assert not (toy.root / "toy" / "train").exists() and not list(toy.root.rglob("evil"))


def test_a_licence_that_needs_consent(toy):
    archives(toy, licence_needs_consent=True)
    with pytest.raises(download.ConsentNeeded, match=r"(?s)CC0.*--accept-licence"):
        toy.get()
    assert not (toy.root / "toy").exists()
    toy.get(accept_licence=True)
    assert toy.get() == toy.root / "toy"  # what is there needs no consent any more


def test_what_has_to_be_got_by_hand(toy):
    body = server.tarred({"clips/1.webm": BODY, "clips/2.webm": b"2"})
    labels = RemoteFile("labels.json", "labels")
    clips = RemoteFile("clips", "videos", archive="pieces", unpacked=300_000)
    toy.register(labels, clips, manual="Register and download.", licence_needs_consent=True)
    assert download.state("toy", folder=toy.root) == "manual"
    with pytest.raises(DataError) as caught:
        toy.get()
    spot = toy.root / "toy" / "archives" / "clips"
    for text in ("https://example.org/toy", "Register and download.", str(spot) + "-00", "toy/labels.json", "get toy"):
        assert text in str(caught.value)
    spot.with_name("clips-00").write_bytes(server.zipped({"clips-00": body[:100_000]}))
    spot.with_name("clips-01.zip").write_bytes(server.zipped({"clips-01": body[100_000:]}))
    assert download.verify("toy", folder=toy.root)[1].good is False  # there, not unpacked
    with pytest.raises(DataError, match=r"labels.json at"):
        toy.get()
    assert (toy.root / "toy" / "clips" / "1.webm").read_bytes() == BODY
    assert download.state("toy", folder=toy.root) == "partly"
    (toy.root / "toy" / "labels.json").write_text("[]")
    toy.get(delete_archives=True)
    assert [found.good for found in download.verify("toy", folder=toy.root)] == [True, True]


def test_a_wrong_file_put_there_by_hand_is_not_removed(toy):
    toy.file(Reply(BODY))
    toy.final.parent.mkdir()
    toy.final.write_bytes(b"something else")
    with pytest.raises(DataError, match="is not the file that is expected: wrong bytes"):
        toy.get()
    assert toy.final.read_bytes() == b"something else"


def test_names_and_groups_that_are_not_there(toy):
    archives(toy)
    for call in (download.get, download.where, download.complete):
        with pytest.raises(ValueError, match="did you mean toy"):
            call("toyy", folder=toy.root)
        with pytest.raises(ValueError, match="groups are pictures, words, extra"):
            call("toy", only="word", folder=toy.root)
