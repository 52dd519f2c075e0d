"""Contact sheets: every world draws one, with readable titles, and a failed one leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from data_fetch.__main__ import main
from data_fetch.sheet import WORLDS, Tile, enlarged, lay_out, wrap, write


@pytest.mark.parametrize("world", WORLDS)
def test_every_world_has_a_sheet_and_a_seed_decides_it(world, tmp_path):
    sheets = []
    for number, seed in enumerate((3, 3, 4)):
        out = tmp_path / f"{number}.png"
        assert main(["sheet", world, "--seed", str(seed), "--out", str(out), "--count", "3", "--size", "32"]) == 0
        with Image.open(out) as picture:
            sheets.append(np.array(picture.convert("RGB")))
    assert np.array_equal(sheets[0], sheets[1]) and not np.array_equal(sheets[0], sheets[2])
    height, width, _ = sheets[0].shape
    assert height > 80 and width > 300 and len(np.unique(sheets[0].reshape(-1, 3), axis=0)) > 20


def test_a_sheet_shows_its_pictures_pixel_by_pixel():
    pictures = torch.rand(3, 3, 40, 40)
    page = np.array(lay_out([Tile((p,), f"number {n}") for n, p in enumerate(pictures)], 2)).astype(float) / 255
    left = np.array(enlarged(pictures[0], 3)).astype(float) / 255
    assert np.array_equal(page[14 : 14 + 120, 14 : 14 + 120], left)
    assert np.abs(left[1::3, 1::3].transpose(2, 0, 1) - pictures[0].numpy()).max() < 0.5 / 255 + 1e-6
    below = page[14 + 120 : 14 + 145, 14 : 14 + 120]
    assert (below < 0.5).any(), "the title is written below"


def test_titles_are_wrapped_to_the_width():
    lines = wrap("a very long title that does not fit into one line at all", 120)
    assert len(lines) > 2 and " ".join(lines) == "a very long title that does not fit into one line at all"
    assert wrap("", 50) == [] and wrap("incomprehensibilities", 10) == ["incomprehensibilities"]


def test_wrong_input_is_named_and_leaves_no_file(tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert main(["sheet", "planets", "--out", str(out)]) == 2
    assert "no world 'planets'" in capsys.readouterr().err
    assert main(["sheet", "shapes", "--out", str(out), "--count", "0"]) == 2
    assert "count must be at least 1" in capsys.readouterr().err
    assert main(["sheet", "scenes", "--out", str(out), "--size", "4"]) == 2
    assert "size must be at least 24" in capsys.readouterr().err
    assert main(["sheet", "shapes", "--out", str(tmp_path / "nowhere" / "sheet.png")]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="no world"):
        write("planets", out)
