"""Downloads from a server that misbehaves: resumed, taken from a mirror, or refused with nothing half under its name."""

from __future__ import annotations

import json
import re

import pytest
import server
from server import BODY, Reply, Toy

from data_fetch import download
from data_fetch.ledger import DataError
from data_fetch.registry import RemoteFile


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


def test_a_file_arrives_byte_by_byte(toy):
    toy.file(Reply(BODY))
    assert toy.get() == toy.root / "toy"
    assert toy.final.read_bytes() == BODY and not toy.part.exists()
    assert download.where("toy", folder=toy.root) == toy.root / "toy"
    assert download.state("toy", folder=toy.root) == "there"
    toy.get()
    assert len(toy.ranges()) == 1  # it is not asked for again


@pytest.mark.parametrize("cut", [1, 70_000, 199_999])
@pytest.mark.parametrize("known", [True, False])
def test_a_cut_connection_is_resumed_with_the_missing_bytes_only(toy, cut, known):
    toy.file(Reply(BODY, cut=cut), Reply(BODY), known=known)
    toy.get()
    assert toy.final.read_bytes() == BODY
    assert toy.ranges() == [None, f"bytes={cut}-"]


def test_many_cuts_are_no_reason_to_give_up(toy):
    toy.file(*[Reply(BODY, cut=20_000)] * 9, Reply(BODY))
    toy.get(patience={"tries": 1})
    assert toy.final.read_bytes() == BODY
    assert toy.ranges() == [None] + [f"bytes={20_000 * n}-" for n in range(1, 10)]


def test_the_part_stays_for_the_next_run(toy):
    toy.file(Reply(BODY, cut=50_000), Reply(b"", status=503))
    message = toy.fails("HTTP 503")
    assert toy.part.read_bytes() == BODY[:50_000]
    assert "Run the command again" in message
    toy.file(Reply(BODY))
    toy.get()
    assert toy.final.read_bytes() == BODY and toy.ranges()[-1] == "bytes=50000-"
    assert not list(toy.root.glob("toy/*.part*"))


def test_a_stalled_server_is_left_and_resumed(toy):
    toy.file(Reply(BODY, cut=65_536, stall=True), Reply(BODY))
    toy.get(patience={"read": 0.2})
    assert toy.final.read_bytes() == BODY and toy.ranges() == [None, "bytes=65536-"]


def test_a_server_that_never_answers_is_named(toy):
    toy.file(Reply(BODY, cut=0, stall=True))
    message = toy.fails("timed out", patience={"read": 0.1, "tries": 2})
    assert toy.path in message and len(toy.ranges()) == 2


def test_a_server_that_ignores_ranges_starts_again(toy):
    toy.file(Reply(BODY, cut=50_000, ranges=False), Reply(BODY, ranges=False))
    toy.get()
    assert toy.final.read_bytes() == BODY and toy.ranges() == [None, "bytes=50000-"]


@pytest.mark.parametrize("known", [True, False])
def test_a_file_that_changed_meanwhile_is_not_pasted_together(toy, known):
    new = server.noise(len(BODY), seed=7)
    toy.file(Reply(BODY, cut=50_000), Reply(new, etag='"two"'), body=new, known=known)
    toy.get()
    assert toy.final.read_bytes() == new and toy.ranges() == [None, "bytes=50000-"]  # If-Range: the second has it all


def test_two_halves_of_different_files_are_loaded_again_from_the_start(toy):
    """A server without ETag cannot say that the file changed: the checksum does."""
    new = server.noise(len(BODY), seed=8)
    toy.file(Reply(BODY, etag=None, cut=50_000), Reply(new, etag=None), body=new)
    toy.get()
    assert toy.final.read_bytes() == new and toy.ranges() == [None, "bytes=50000-", None]


def test_without_etag_and_checksum_nothing_is_resumed(toy):
    toy.file(Reply(BODY, etag=None, cut=50_000), Reply(BODY, etag=None), known=False)
    toy.get()
    assert toy.final.read_bytes() == BODY and toy.ranges() == [None, None]


def test_a_weak_etag_is_no_seal(toy):
    toy.file(Reply(BODY, etag='W/"x"', cut=50_000), Reply(BODY, etag='W/"x"'), known=False)
    toy.get()
    assert toy.final.read_bytes() == BODY and toy.ranges() == [None, None]


def test_a_part_that_is_complete_already(toy):
    toy.file(Reply(BODY))
    toy.part.parent.mkdir(parents=True)
    toy.part.write_bytes(BODY)
    toy.get()
    assert toy.final.read_bytes() == BODY and toy.ranges() == [f"bytes={len(BODY)}-"]


def test_a_part_that_is_too_long_is_dropped(toy):
    toy.file(Reply(BODY))
    toy.part.parent.mkdir(parents=True)
    toy.part.write_bytes(BODY + b"more")
    toy.get()
    assert toy.final.read_bytes() == BODY


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_wrong_bytes_are_removed_and_the_mirror_is_taken(toy, seed):
    wrong = server.noise(len(BODY), seed)
    toy.file(Reply(wrong), mirrors=(toy.web.serve(toy.path + "/mirror", Reply(BODY)),))
    toy.get()
    assert toy.final.read_bytes() == BODY
    assert len(toy.ranges()) == len(toy.web.ranges(toy.path + "/mirror")) == 1


def test_wrong_bytes_everywhere_leave_nothing(toy):
    wrong = server.noise(len(BODY), 4)
    toy.file(Reply(wrong), mirrors=(toy.web.serve(toy.path + "/mirror", Reply(wrong)),))
    message = toy.fails("wrong md5")
    assert toy.path + "\n" in message and toy.path + "/mirror\n" in message
    assert not toy.part.exists() and "download data.bin from https://example.org/toy yourself" in message
    assert f"put it at {toy.final}" in message


def test_a_wrong_size_is_seen_before_anything_is_loaded(toy):
    toy.file(Reply(BODY + b"!"))
    toy.fails("200,001 bytes, 200,000 are expected")
    assert not toy.part.exists()


def test_a_size_that_is_not_true(toy):
    toy.file(Reply(BODY, length=len(BODY) + 500), Reply(BODY), known=False)
    toy.get()  # the connection ends early; the next request finds that nothing is missing
    assert toy.final.read_bytes() == BODY and toy.ranges() == [None, f"bytes={len(BODY)}-"]


def test_a_reply_without_a_length(toy):
    toy.file(Reply(BODY, chunked=True))
    toy.get()
    assert toy.final.read_bytes() == BODY


def test_a_cut_reply_without_a_length_is_caught_by_the_checksum(toy):
    toy.file(Reply(BODY, chunked=True, cut=1000))
    toy.fails("wrong bytes: 1000")


def test_mirrors_are_tried_in_order(toy):
    gone, good = (toy.web.serve(f"{toy.path}/{n}", r) for n, r in ((1, Reply(status=500)), (2, Reply(BODY))))
    toy.file(Reply(status=404), mirrors=(gone, good))
    toy.get()
    assert toy.final.read_bytes() == BODY
    spots = [path.removeprefix(toy.path) for path, _ in toy.web.requests if path.startswith(toy.path)]
    assert spots == ["", "/1", "/1", "/1", "/2"]  # 404 is final, 500 is tried three times


def test_a_mirror_goes_on_where_the_first_address_stopped(toy):
    good = toy.web.serve(toy.path + "/mirror", Reply(BODY, etag='"other"'))
    toy.file(Reply(BODY, cut=80_000), Reply(status=404), mirrors=(good,))
    toy.get()
    assert toy.final.read_bytes() == BODY and toy.web.ranges(toy.path + "/mirror") == ["bytes=80000-"]


def test_a_mirror_without_checksum_starts_again(toy):
    good = toy.web.serve(toy.path + "/mirror", Reply(BODY))
    toy.file(Reply(BODY, cut=80_000), Reply(status=404), mirrors=(good,), known=False)
    toy.get()
    assert toy.final.read_bytes() == BODY and toy.web.ranges(toy.path + "/mirror") == [None]


def test_a_dead_host_is_left_for_the_mirror(toy):
    good = toy.web.serve(toy.path, Reply(BODY))
    facts = server.published(BODY)
    toy.register(RemoteFile("data.bin", "all", urls=("http://127.0.0.1:9/none", good), **facts))
    toy.get()
    assert toy.final.read_bytes() == BODY


def test_every_address_that_was_tried_is_listed(toy):
    urls = [toy.web.serve(f"{toy.path}/{n}", Reply(status=s)) for n, s in enumerate((404, 500, 403))]
    toy.register(RemoteFile("data.bin", "all", urls=(*urls, "http://127.0.0.1:9/x", "ftp://a.org/x")))
    message = toy.fails("could not be downloaded")
    for text in (*urls, "HTTP 404", "HTTP 500", "HTTP 403", "http://127.0.0.1:9/x", "ftp://a.org/x"):
        assert text in message


def test_redirects_are_followed(toy):
    there = toy.web.serve(toy.path + "/there", Reply(BODY))
    toy.file(Reply(status=302, headers={"Location": there}))
    toy.get()
    assert toy.final.read_bytes() == BODY


def test_a_circle_of_redirects_ends(toy):
    toy.file(Reply(status=302, headers={"Location": toy.path}))
    toy.fails("circle")
    assert len(toy.ranges()) == 11


def test_retry_after_is_followed_but_bounded(toy):
    naps = []
    replies = [Reply(status=429, headers={"Retry-After": text}) for text in ("7", "100000")]
    toy.file(*replies, Reply(BODY))
    toy.get(patience={"sleep": naps.append, "pause": 2.0, "longest": 30.0})
    assert naps == [7.0, 30.0] and toy.final.read_bytes() == BODY


def test_pauses_double(toy):
    naps = []
    toy.file(Reply(status=503))
    toy.fails("503", patience={"sleep": naps.append, "pause": 1.5, "tries": 4})
    assert naps == [1.5, 3.0, 6.0]


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/zip"])
def test_a_web_page_is_not_taken_for_an_archive(toy, kind):
    page = b"\n<!DOCTYPE html><html>Please log in" + b" " * 2000
    url = toy.web.serve(toy.path, Reply(page, kind=kind))
    toy.register(RemoteFile("data.zip", "all", urls=(url,), archive="zip", unpacked=10))
    with pytest.raises(DataError, match="web page"):
        toy.get()
    left = [path.name for path in (toy.root / "toy").rglob("*") if path.is_file()]
    assert left == [".lock"] and not (toy.root / "checksums").exists()


@pytest.mark.parametrize("archive, match", [("zip", "no zip archive"), ("tar.gz", "no tar.gz archive")])
def test_something_else_is_not_taken_for_an_archive(toy, archive, match):
    toy.file(Reply(BODY), known=False, archive=archive, unpacked=10)
    toy.fails(match)


def test_a_json_must_look_like_one(toy):
    url = toy.web.serve(toy.path, Reply(b"Error: busy"))
    toy.register(RemoteFile("list.json", "all", urls=(url,)))
    with pytest.raises(DataError, match="no JSON"):
        toy.get()
    toy.web.serve(toy.path, Reply(b' [{"a": 1}]'))
    assert json.loads((toy.get() / "list.json").read_text()) == [{"a": 1}]


def test_a_json_that_is_cut_short_without_a_length(toy):
    url = toy.web.serve(toy.path, Reply(b'[{"a": 1}, {"a"', chunked=True))
    toy.register(RemoteFile("list.json", "all", urls=(url,)))
    with pytest.raises(DataError, match="cut short"):
        toy.get()


def test_an_empty_file_is_refused(toy):
    toy.file(Reply(b""), known=False)
    toy.fails("empty")
