"""One call for every data set: by name, from the folder that the download filled."""

from __future__ import annotations

import importlib
import inspect

import pytest
import torch
from PIL import Image

from data_fetch.fields import Texts
from data_fetch.readers import READERS, read
from data_fetch.registry import datasets


def test_every_reader_has_a_record_and_every_record_with_pictures_or_texts_a_reader():
    assert set(READERS) <= set(datasets())
    assert set(datasets()) - set(READERS) <= {"xlsa17", "sbd"}, "what only other readers use"


@pytest.mark.parametrize("name", READERS)
def test_readers_take_the_common_arguments(name):
    module, fixed = READERS[name]
    parameters = list(inspect.signature(importlib.import_module(f"data_fetch.readers.{module}").read).parameters)
    assert parameters[:2] == ["folder", "split"] and set(fixed) <= set(parameters)
    if name not in ("sst2", "imdb"):
        assert {"size", "how"} <= set(parameters)


def test_reads_from_the_data_folder_or_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="python -m data_fetch get sst2"):
        read("sst2")
    folder = tmp_path / "sst2" / "SST-2"
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_text("sentence\tlabel\na joy \t1\na bore \t0\n")
    data = read("sst2", "train")
    assert isinstance(data, Texts) and data.labels.tolist() == [1, 0] and data.words[0] == ("a", "joy")


def test_the_same_code_reads_a_world_and_a_data_set(tmp_path):
    """An experiment's loop over batches does not know which it got."""
    from data_fetch.fields import batches
    from data_fetch.worlds.scenes import objects

    names = ("00_dog", "01_bird", "02_wheeled vehicle", "03_reptile", "04_carnivore", "05_insect",
             "06_musical instrument", "07_primate", "08_fish")  # fmt: skip
    for number, name in enumerate(names):
        place = tmp_path / "bg_challenge" / "original" / "val" / name
        place.mkdir(parents=True)
        Image.new("RGB", (30, 40), (20 * number, 0, 0)).save(place / f"n{number}.JPEG")
    real = read("in9", "val", folder=tmp_path, size=24)
    for data in (objects(9, size=24), real):
        found = list(batches(data, "images", "labels", size=4))
        assert [len(batch["labels"]) for batch in found] == [4, 4, 1]
        assert found[0]["images"].shape == (4, 3, 24, 24) and found[0]["images"].dtype == torch.float32
        assert len(data[data.labels < 3]) == 3


def test_wrong_names_are_told():
    with pytest.raises(ValueError, match="no reader for 'mnist'"):
        read("mnist")
    with pytest.raises(TypeError, match="decides year"):
        read("voc2007", year=2012)
