"""Archives are unpacked whole or not at all, and never outside their folder."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import server

from data_fetch import extract, ledger, pieces, registry
from data_fetch.extract import Limits, UnsafeArchive, unpack
from data_fetch.ledger import DataError

ROOT = Path(__file__).resolve().parents[2]
PLENTY = Limits(bytes=1 << 30)
FILES = {"pictures/a.jpg": server.noise(3000, 1), "pictures/deep/b.jpg": server.noise(10, 2), "read me.txt": b"hello"}
PACKED = {
    "zip": lambda: server.zipped(FILES, method=zipfile.ZIP_DEFLATED),
    "tar": lambda: server.tarred(FILES, "w"),
    "tar.gz": lambda: server.tarred(FILES),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "outside.txt").write_text("untouched")
    return tmp_path / "set"


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def save(folder: Path, body: bytes, name: str = "archive") -> Path:
    path = folder.parent / name
    path.write_bytes(body)
    return path


def refuses(folder: Path, body: bytes, kind: str, match: str, limits: Limits = PLENTY, error=UnsafeArchive) -> None:
    """The archive is refused, its folder is empty, and nothing around it has changed."""
    around = {path for path in folder.parent.rglob("*") if path.is_file()} | {folder.parent / "archive"}
    with pytest.raises(error, match=match):
        unpack(save(folder, body), folder, kind, limits)
    assert list(folder.iterdir()) == []
    assert {path for path in folder.parent.rglob("*") if path.is_file()} == around
    assert (folder.parent / "outside.txt").read_text() == "untouched"


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("kind", PACKED)
def test_files_come_out_as_they_went_in(folder, kind):
    files = unpack(save(folder, PACKED[kind]()), folder, kind, PLENTY)
    assert tree(folder) == FILES
    assert dict(files) == {name: len(body) for name, body in FILES.items()}


def test_a_gz_is_one_file_and_a_tar_is_known_by_its_content(folder):
    body = gzip.compress(b"text " * 100)
    assert unpack(save(folder, body, "words.txt.gz"), folder, "gz", PLENTY) == [("words.txt", 500)]
    assert (folder / "words.txt").read_bytes() == b"text " * 100
    unpack(save(folder, server.tarred(FILES, "w"), "plain.tgz"), folder, "tar.gz", PLENTY)
    assert {**FILES, "words.txt": b"text " * 100} == tree(folder)


@pytest.mark.parametrize("top", [True, False])
def test_a_folder_at_the_top_can_be_left_out(folder, top):
    files = {f"maps/{name}" if top else name: body for name, body in FILES.items()}
    listed = unpack(save(folder, server.zipped(files)), folder, "zip", PLENTY, into="maps", strip="maps")
    assert tree(folder) == {f"maps/{name}": body for name, body in FILES.items()}
    assert {name for name, _ in listed} == set(tree(folder))
    assert os.stat(folder / "maps").st_mode & 0o777 == 0o777 & ~_umask()


def _umask() -> int:
    old = os.umask(0)
    os.umask(old)
    return old


@pytest.mark.parametrize(
    "name, match",
    [
        ("../outside.txt", "'..'"),
        ("a/../../outside.txt", "'..'"),
        ("a\\..\\..\\outside.txt", "'..'"),
        ("/outside.txt", "absolute"),
        ("\\outside.txt", "absolute"),
        ("C:/outside.txt", "absolute"),
        ("c:outside.txt", "absolute"),
        ("a\nb.txt", "control character"),
    ],
)
@pytest.mark.parametrize("kind", PACKED)
def test_paths_that_lead_out_are_refused(folder, kind, name, match):
    files = {"good.txt": b"good", name: b"bad"}
    body = server.zipped(files) if kind == "zip" else server.tarred(files, "w:gz" if kind == "tar.gz" else "w")
    refuses(folder, body, kind, match)


def test_a_name_cut_by_a_zero_byte_is_refused(folder):
    body = server.zipped({"goodXgood": b"1"}).replace(b"goodXgood", b"good\0good")
    refuses(folder, body, "zip", "control character")


@pytest.mark.parametrize("target", ["../outside.txt", "/etc/hostname", "C:\\x", "a/../../outside.txt"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_that_lead_out_are_refused(folder, target, kind):
    refuses(folder, server.tarred({"good.txt": b"good"}, extra=(link("bad", target, kind),)), "tar.gz", "leads out")


def test_writing_through_a_link_is_refused(folder):
    """The classic: a link to another folder, and then a file 'in' it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(link("door", ".."))
        info = tarfile.TarInfo("door/outside.txt")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"bad"))
    refuses(folder, out.getvalue(), "tar", "leads out")


def test_links_inside_become_copies(folder):
    extra = (link("pictures/same.jpg", "a.jpg"), link("hard.txt", "read me.txt", tarfile.LNKTYPE))
    unpack(save(folder, server.tarred(FILES, extra=extra)), folder, "tar.gz", PLENTY)
    assert tree(folder) == {**FILES, "pictures/same.jpg": FILES["pictures/a.jpg"], "hard.txt": b"hello"}
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert os.stat(folder / "hard.txt").st_nlink == 1


def test_links_to_nothing_are_refused(folder):
    refuses(folder, server.tarred({"a": b"1"}, extra=(link("b", "c"),)), "tar.gz", "does not hold")
    refuses(folder, server.tarred({"a": b"1"}, extra=(link("b", "b"),)), "tar.gz", "does not hold")


def test_a_link_in_a_zip_is_refused(folder):
    info = zipfile.ZipInfo("bad")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, "../outside.txt")
    refuses(folder, out.getvalue(), "zip", "link or a device")


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(folder, kind):
    info = tarfile.TarInfo("device")
    info.type = kind
    refuses(folder, server.tarred({"a": b"1"}, extra=(info,)), "tar.gz", "device or pipe")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["a.txt", "./a.txt", "b/./../a.txt"])
def test_two_members_of_one_name_are_refused(folder, second):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "one")
        archive.writestr(second, "two")
    refuses(folder, out.getvalue(), "zip", "twice|'..'")


def test_a_file_where_a_folder_should_be_is_refused(folder):
    refuses(folder, server.tarred({"a": b"1", "a/b": b"2"}), "tar.gz", "twice|unpacked", error=DataError)


def test_a_bomb_is_refused(folder):
    zeros = bytes(100 << 20)  # 100 MB out of 100 kB
    for kind, body in (
        ("zip", server.zipped({"zeros": zeros}, method=zipfile.ZIP_DEFLATED)),
        ("tar.gz", server.tarred({"zeros": zeros})),
        ("gz", gzip.compress(zeros, 1)),
    ):
        refuses(folder, body, kind, "unpacks to more")


def test_the_limit_on_bytes_counts_what_comes_out_not_what_is_claimed(folder):
    refuses(folder, server.zipped({"a": bytes(60), "b": bytes(60)}), "zip", "more than the 100", Limits(bytes=100))
    refuses(folder, gzip.compress(bytes(101)), "gz", "more than", Limits(bytes=100))
    assert unpack(save(folder, gzip.compress(bytes(100)), "ok.gz"), folder, "gz", Limits(bytes=100)) == [("ok", 100)]


def test_too_many_members_are_refused(folder):
    body = server.tarred({str(n): b"" for n in range(11)})
    refuses(folder, body, "tar.gz", "more than 10 members", Limits(bytes=100, members=10))


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("keep", [0.2, 0.5])
def test_a_broken_archive_leaves_nothing(folder, kind, keep):
    body = PACKED[kind]()
    refuses(folder, body[: int(len(body) * keep)], kind, "unpacked", error=DataError)


def test_changed_bytes_are_noticed(folder):
    for kind in ("zip", "tar.gz"):
        body = bytearray(PACKED[kind]())
        body[len(body) // 2] ^= 0xFF
        refuses(folder, bytes(body), kind, "unpacked", error=DataError)


def test_an_empty_archive_is_an_error(folder):
    refuses(folder, server.zipped({}), "zip", "holds no file", error=DataError)


def test_archives_share_folders(folder):
    one, two = {"VOC/JPEG/1.jpg": b"1", "VOC/names": b"same"}, {"VOC/JPEG/2.jpg": b"2", "VOC/names": b"same"}
    unpack(save(folder, server.tarred(one, "w")), folder, "tar", PLENTY)
    unpack(save(folder, server.tarred(two, "w")), folder, "tar", PLENTY)
    assert tree(folder) == {**one, **two}


def test_a_file_that_is_there_is_not_overwritten(folder):
    unpack(save(folder, server.zipped({"x/a": b"old", "x/b": b"1"})), folder, "zip", PLENTY)
    archive = save(folder, server.zipped({"x/0": b"new", "x/a": b"new"}))
    with pytest.raises(DataError, match="differs"):
        unpack(archive, folder, "zip", PLENTY)
    assert tree(folder) == {"x/a": b"old", "x/b": b"1"}  # not even x/0: all or nothing
    unpack(archive, folder, "zip", PLENTY, overlaps=True)
    assert tree(folder) == {"x/0": b"new", "x/a": b"old", "x/b": b"1"}


def test_a_stop_half_way_leaves_nothing_and_the_next_time_works(folder, monkeypatch):
    real, count = extract._write, iter(range(100))

    def stops(*arguments):
        if next(count) == 2:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(extract, "_write", stops)
    archive = save(folder, PACKED["zip"]())
    with pytest.raises(KeyboardInterrupt):
        unpack(archive, folder, "zip", PLENTY)
    assert list(folder.iterdir()) == []
    unpack(archive, folder, "zip", PLENTY)
    assert tree(folder) == FILES


KILLED = """
import sys, time, pathlib
from data_fetch import extract
name, after = sys.argv[2], int(sys.argv[3])
real, count = getattr(extract, name), iter(range(1000))
def slow(*arguments):
    if next(count) == after:
        print("now", flush=True)
        time.sleep(60)
    return real(*arguments)
setattr(extract, name, slow)
folder = pathlib.Path(sys.argv[1])
extract.unpack(folder.parent / "archive", folder, "zip", extract.Limits(bytes=1 << 30))
"""


@pytest.mark.parametrize("name, after", [("_write", 1), ("_move_in", 2)])
def test_a_killed_process_leaves_a_tree_that_does_not_count(folder, monkeypatch, name, after):
    """Killed while it writes, and while it moves: no marker, so not complete; the next time repairs it."""
    save(folder, PACKED["zip"]())
    command = [sys.executable, "-c", KILLED, str(folder), name, str(after)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout.readline() == "now\n"
        process.kill()
    left = list(folder.glob(f"{extract.PREFIX}*"))
    assert len(left) == 1 and (tree(folder) != FILES)
    file = registry.RemoteFile("archive", "all", archive="zip")
    assert not ledger.marker(folder.parent, server.data_set(file, name="set"), file)
    unpack(folder.parent / "archive", folder, "zip", PLENTY)
    assert tree(folder) == FILES


def whole(folder: Path, body: bytes, count: int, *, zip_them: str) -> Path:
    """The body cut into pieces: "no", "each" in a zip of its own, "named" likewise but without .zip, or "two" zips."""
    cuts = [body[len(body) * i // count : len(body) * (i + 1) // count] for i in range(count)]
    names = [f"clips-{i:02}" for i in range(count)]
    if zip_them == "no":
        out = dict(zip(names, cuts))
    elif zip_them == "two":
        halves = [dict(list(zip(names, cuts))[: count // 2]), dict(list(zip(names, cuts))[count // 2 :])]
        out = {f"clips-{i:02}.zip": server.zipped(half) for i, half in enumerate(halves)}
    else:
        out = {n + ".zip" * (zip_them == "each"): server.zipped({n: cut}) for n, cut in zip(names, cuts)}
    for name, cut in out.items():
        (folder.parent / name).write_bytes(cut)
    return folder.parent / "clips"


@pytest.mark.parametrize("zip_them", ["no", "each", "named", "two"])
def test_pieces_are_joined(folder, zip_them):
    body = server.tarred(FILES)
    path = whole(folder, body, 4, zip_them=zip_them)
    assert pieces.digests(path)["sha256"] == server.published(body)["sha256"]
    unpack(path, folder, "pieces", PLENTY)
    assert tree(folder) == FILES


@pytest.mark.parametrize("gone, match", [(0, "numbered"), (1, "numbered"), (3, "unpacked")])
def test_a_missing_piece_is_named(folder, gone, match):
    path = whole(folder, server.tarred(FILES), 4, zip_them="no")
    (folder.parent / f"clips-{gone:02}").unlink()
    with pytest.raises(DataError, match=match):
        unpack(path, folder, "pieces", PLENTY)
    assert list(folder.iterdir()) == []


def test_a_zip_of_pieces_that_is_not_complete_is_named(folder):
    path = whole(folder, server.tarred(FILES), 4, zip_them="two")
    half = folder.parent / "clips-01.zip"
    half.write_bytes(half.read_bytes()[:-50])
    with pytest.raises(DataError, match="download it again"):
        pieces.find(path)
    half.write_bytes(server.zipped({"other": b"1"}))
    with pytest.raises(DataError, match="holds no file named clips-00"):
        pieces.find(path)
