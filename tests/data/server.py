"""A web server on 127.0.0.1 that misbehaves as told, data sets that point to it, and archives of any kind."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from data_fetch import download, registry
from data_fetch.ledger import DataError
from data_fetch.registry import Dataset, RemoteFile
from data_fetch.transfer import Patience


@dataclass(frozen=True)
class Reply:
    """What the server does with one request.

    ranges : whether Range and If-Range are followed.  cut : close the connection after so many bytes of the body.
    stall : send `cut` bytes and then nothing.  length : a Content-Length that is not true.
    chunked : no Content-Length at all.
    """

    body: bytes = b""
    status: int = 200
    ranges: bool = True
    etag: str | None = '"one"'
    cut: int | None = None
    stall: bool = False
    length: int | None = None
    chunked: bool = False
    kind: str = "application/octet-stream"
    headers: dict = field(default_factory=dict)


class Server:
    """Paths with a reply for each request in turn (the last one is repeated), and the requests that came."""

    def __init__(self):
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[tuple[str, str | None]] = []  # (path, Range)
        self.released = threading.Event()
        self.address = ""

    def serve(self, path: str, *replies: Reply) -> str:
        """The address of `path`, which now gives these replies."""
        self.replies[path] = list(replies)
        return self.address + path

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of each request for `path`."""
        return [asked for spot, asked in self.requests if spot == path]

    def answer(self, path: str) -> Reply:
        plan = self.replies.get(path, [Reply(b"nothing here", status=404)])
        return plan.pop(0) if len(plan) > 1 else plan[0]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server: Server = self.server.told
        server.requests.append((self.path, self.headers.get("Range")))
        reply = server.answer(self.path)
        status, body, headers = reply.status, reply.body, {"Content-Type": reply.kind, **reply.headers}
        if reply.etag:
            headers["ETag"] = reply.etag
        asked = self.headers.get("Range")
        if status == 200 and asked and reply.ranges and self.headers.get("If-Range") in (None, reply.etag):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                status, headers["Content-Range"], body = 416, f"bytes */{len(body)}", b""
            else:
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                status, body = 206, body[start:]
        headers["Content-Length"] = str(len(body) if reply.length is None else reply.length)
        headers["Connection"] = "close"
        if reply.chunked:
            del headers["Content-Length"]
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body if reply.cut is None else body[: reply.cut])
        self.wfile.flush()
        if reply.stall:
            server.released.wait(20)
        self.close_connection = True

    def log_message(self, *_arguments) -> None:
        pass


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """A server in a thread, for as long as the block lasts."""
    told = Server()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as web:
        web.daemon_threads, web.told = True, told
        told.address = f"http://127.0.0.1:{web.server_address[1]}"
        thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield told
        finally:
            told.released.set()
            web.shutdown()
            thread.join()


def patience(**change) -> Patience:
    """Short time-outs, three tries, and no pause."""
    return Patience(**{"connect": 5.0, "read": 0.5, "tries": 3, "pause": 0.0, "sleep": lambda _seconds: None, **change})


def noise(count: int, seed: int = 0) -> bytes:
    """`count` bytes that do not compress, the same for one seed."""
    blocks = (hashlib.sha256(f"{seed} {i}".encode()).digest() for i in range(count // 32 + 1))
    return b"".join(blocks)[:count]


BODY = noise(200_000)


def data_set(*files: RemoteFile, name: str = "toy", **change) -> Dataset:
    """A record of the registry."""
    facts = {
        "title": "A toy set",
        "licence": "CC0.",
        "licence_needs_consent": False,
        "citation": "Nobody, arXiv 0000.00000.",
        "page": "https://example.org/toy",
    }
    return Dataset(name=name, files=files, **{**facts, **change})


def published(body: bytes) -> dict:
    """The facts of a file that are published: bytes and checksums."""
    return {
        "bytes": len(body),
        "md5": hashlib.md5(body, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def zipped(files: dict[str, bytes], *, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, body in files.items():
            archive.writestr(zipfile.ZipInfo(name), body, method)
    return out.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz", extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    """A tar archive with these files, and then members without content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
        for info in extra:
            archive.addfile(info)
    return out.getvalue()


class Toy:
    """A data set "toy" with one plain file, in a data folder of its own, and ways to get it."""

    def __init__(self, web, root, monkeypatch, path):
        self.web, self.root, self.path, self._patch = web, root, path, monkeypatch
        self.final = root / "toy" / "data.bin"
        self.part = root / "toy" / "data.bin.part"

    def file(self, *replies, body=BODY, known=True, mirrors=(), **change) -> None:
        """Register the file; the server gives `replies`. known : size and checksums are published."""
        urls = (self.web.serve(self.path, *replies), *mirrors)
        facts = published(body) if known is True else dict(known or {})
        self.register(RemoteFile("data.bin", "all", urls=urls, **{**facts, **change}))

    def register(self, *files, **change) -> None:
        sets = {"toy": data_set(*files, **change)}
        self._patch.setattr(registry, "datasets", lambda: sets)

    def get(self, **change) -> Path:
        wait = patience(**change.pop("patience", {}))
        return download.get("toy", folder=self.root, patience=wait, progress=False, **change)

    def fails(self, match: str | None, error=DataError, **change) -> str:
        """`get` fails, and there is nothing under the final name and no marker."""
        with pytest.raises(error, match=match) as caught:
            self.get(**change)
        assert not self.final.exists() and not list(self.root.glob("toy/.fetched/*.json"))
        return str(caught.value)

    def ranges(self):
        return self.web.ranges(self.path)
