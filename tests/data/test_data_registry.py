"""The records of the real data sets: complete, well formed, and honest about what is not known."""

from __future__ import annotations

import re

import pytest

from data_fetch import registry
from data_fetch.registry import RemoteFile

NAMES = list(registry.datasets())


def test_the_sets_of_the_course_are_there():
    asked = {"cub200", "awa2", "coco2014", "coco2017", "snowboard", "voc2007", "voc2012", "vqa2", "vqacp2", "vqahat",
             "introspect", "in9", "cifar100", "sst2", "imdb", "ssv2"}  # fmt: skip
    assert asked <= set(NAMES) and sorted(NAMES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_record_says_what_a_user_must_know(name):
    data = registry.dataset(name)
    assert data.name == name and re.fullmatch(r"[a-z][a-z0-9]+", name)
    assert data.title and data.page.startswith(("https://", "http://"))
    for sentence in (data.licence, data.citation):
        assert len(sentence) > 15 and sentence.endswith(".")
    assert re.search(r"arXiv \d{4}\.\d{5}|arXiv \d{4}\.\d{4}|doi 10\.|https?://", data.citation)
    assert re.search(r"\b(19|20)\d\d\b", data.citation)
    assert data.files and len({file.name for file in data.files}) == len(data.files)
    assert any(not file.optional for file in data.files)
    assert data.manual is None or data.manual.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_addresses_sizes_and_checksums_are_well_formed(name):
    data = registry.dataset(name)
    for file in data.files:
        assert bool(file.urls) == (data.manual is None), f"{file.name}: no address, and no word on what to do"
        assert len(set(file.urls)) == len(file.urls)
        for url in file.urls:
            assert re.fullmatch(r"https?://[a-z0-9.-]+\.[a-z]+/[^\s]+", url), url
        for size in (file.bytes, file.about, file.unpacked):
            assert size is None or size > 0
        assert file.bytes is None or file.about is None
        assert file.md5 is None or re.fullmatch(r"[0-9a-f]{32}", file.md5)
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert file.archive is None or file.unpacked, f"{file.name}: how much disk does it take?"
        endings = {"zip": ".zip", "tar": ".tar", "tar.gz": (".tar.gz", ".tgz")}
        assert file.archive not in endings or file.name.endswith(endings[file.archive])


def test_no_checksum_or_place_is_used_twice():
    files = [(data.name, file) for data in registry.datasets().values() for file in data.files]
    for key in ("md5", "sha256"):
        values = [getattr(file, key) for _, file in files if getattr(file, key)]
        assert len(values) == len(set(values)), key
    spots = [(name, file.into, file.name) for name, file in files]
    assert len(spots) == len(set(spots))


@pytest.mark.parametrize("name", ["cub200", "coco2014", "coco2017", "voc2007", "voc2012", "imdb", "snowboard"])
def test_sets_with_published_checksums_have_them_for_every_file(name):
    assert all(file.published and file.bytes for file in registry.dataset(name).files)


@pytest.mark.parametrize("name", ["awa2", "vqa2", "vqacp2", "vqahat", "in9", "ssv2", "introspect"])
def test_sets_without_published_checksums_claim_none(name):
    assert not any(file.published for file in registry.dataset(name).files)


def test_groups_and_files_can_be_chosen():
    coco = registry.dataset("coco2017")
    assert {file.group for file in coco.select()} == {"annotations", "images"}
    assert [file.name for file in coco.select("annotations")] == ["annotations_trainval2017.zip"]
    assert [file.group for file in coco.select("val2017.zip")] == ["images"]
    assert "karpathy" not in {file.group for file in registry.dataset("coco2014").select()}
    assert registry.dataset("coco2014").select("karpathy")[0].optional
    with pytest.raises(ValueError, match="its groups are annotations, images"):
        coco.select("annotation")


def test_sizes_add_up():
    voc = registry.dataset("voc2007")
    assert voc.download == 460_032_000 + 451_020_800 and voc.download_is_exact
    assert voc.disk == 2 * voc.download  # tar archives do not compress
    assert not registry.dataset("awa2").download_is_exact
    assert registry.dataset("awa2").download > 10e9


def test_unknown_names():
    with pytest.raises(ValueError, match="did you mean coco20"):
        registry.dataset("coco2013")
    with pytest.raises(ValueError, match="choose one of awa2"):
        registry.dataset("zzzzzz")


def test_records_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="archive must be"):
        RemoteFile("a", "g", archive="rar")
    for into in ("/abs", "../up", "a/../../b"):
        with pytest.raises(ValueError, match="below the data set"):
            RemoteFile("a", "g", into=into)
    with pytest.raises(ValueError, match="below the data set"):
        RemoteFile("../a", "g")
