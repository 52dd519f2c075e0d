"""From the address to the fields: a registry record as it is, its archive from a local server, and the reader."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
import server
import torch
from PIL import Image
from server import Reply

from data_fetch import download, registry
from data_fetch.fields import Labelled, Questions, Texts
from data_fetch.readers import read


@pytest.fixture
def publish(tmp_path, monkeypatch):
    """Serve the files of one data set of the registry, {file name: bytes}; sizes and checksums become theirs."""
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    monkeypatch.delenv("LESSONS_OFFLINE", raising=False)
    monkeypatch.setattr(download, "MARGIN", 0)
    known = dict(registry.datasets())
    with server.running() as web:

        def serve(name: str, bodies: dict[str, bytes]) -> None:
            files = []
            for file in known[name].files:
                if file.name in bodies:
                    url = web.serve(f"/{name}/{file.name}", Reply(bodies[file.name]))
                    facts = server.published(bodies[file.name])
                    files.append(dataclasses.replace(file, urls=(url,), about=None, unpacked=1000, **facts))
            assert {file.name for file in files} == set(bodies), "the record has files of these names"
            sets = {**known, name: dataclasses.replace(known[name], files=tuple(files))}
            monkeypatch.setattr(registry, "datasets", lambda: sets)

        yield serve


def got(name: str) -> None:
    download.get(name, accept_licence=True, progress=False, patience=server.patience())
    assert download.where(name).is_dir() and all(found.good for found in download.verify(name, progress=False))


def jpeg(colour) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(out, "JPEG")
    return out.getvalue()


def test_sst2(publish):
    rows = {
        "train": "sentence\tlabel\na joy \t1\na bore \t0\n",
        "dev": "sentence\tlabel\nfine \t1\n",
        "test": "index\tsentence\n0\twell\n",
    }
    files = {f"SST-2/{split}.tsv": text.encode() for split, text in rows.items()}
    publish("sst2", {"SST-2.zip": server.zipped(files)})
    got("sst2")
    data = read("sst2", "train")
    assert isinstance(data, Texts) and data.labels.tolist() == [1, 0] and data.words[1] == ("a", "bore")


def test_imdb(publish):
    texts = {
        "train/pos/0_9.txt": b"Great fun.",
        "train/neg/0_2.txt": b"Dull.<br />Very.",
        "test/pos/0_8.txt": b"x",
        "test/neg/0_1.txt": b"y",
    }
    publish("imdb", {"aclImdb_v1.tar.gz": server.tarred({f"aclImdb/{k}": v for k, v in texts.items()})})
    got("imdb")
    data = read("imdb", "train")
    assert sorted(zip(data.labels.tolist(), data.words)) == [
        (0, ("Dull", ".", "Very", ".")),
        (1, ("Great", "fun", ".")),
    ]


def test_backgrounds_challenge(publish):
    names = ("00_dog", "01_bird", "02_wheeled vehicle", "03_reptile", "04_carnivore", "05_insect",
             "06_musical instrument", "07_primate", "08_fish")  # fmt: skip
    files = {f"bg_challenge/original/val/{n}/a_{k}.JPEG": jpeg((25 * k, 0, 0)) for k, n in enumerate(names)}
    publish("in9", {"backgrounds_challenge_data.tar.gz": server.tarred(files)})
    got("in9")
    data = read("in9", "val", size=16)
    assert isinstance(data, Labelled) and data.labels.tolist() == list(range(9))
    reds = data.images[torch.arange(9)][:, 0].mean((1, 2))
    assert torch.allclose(reds, torch.arange(9) * 25 / 255, atol=0.02)


def test_vqa_cp(publish, tmp_path):
    """Four plain files, and pictures of another data set beside them."""
    question = {"question_id": 7001, "image_id": 7, "question": "Is it red?", "coco_split": "train2014"}
    answer = {"question_id": 7001, "image_id": 7, "question_type": "is it", "answer_type": "yes/no", "coco_split": "train2014",
              "multiple_choice_answer": "yes", "answers": [{"answer": "yes", "answer_id": n} for n in range(10)]}  # fmt: skip
    bodies = {}
    for split in ("train", "test"):
        bodies[f"vqacp_v2_{split}_questions.json"] = json.dumps([question]).encode()
        bodies[f"vqacp_v2_{split}_annotations.json"] = json.dumps([answer]).encode()
    publish("vqacp2", bodies)
    got("vqacp2")
    pictures = tmp_path / "coco2014" / "train2014"
    pictures.mkdir(parents=True)
    (pictures / "COCO_train2014_000000000007.jpg").write_bytes(jpeg((200, 0, 0)))
    data = read("vqacp2", "test", size=16)
    assert isinstance(data, Questions) and data.answers == ("yes",) and len(data.votes[0]) == 10
    assert abs(float(data.images[:1][0, 0].mean()) - 200 / 255) < 0.02
