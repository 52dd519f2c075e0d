"""Pictures of lesson 09: as many panels as maps, and words that say what they show."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.models.small import SmallCNN
from lessons_lib.show.localization import attention_sheet, show_erasing


def test_the_sheet_says_how_much_heat_lies_on_each_object():
    images, masks = torch.rand(2, 3, 24, 24), torch.zeros(2, 24, 24, dtype=torch.bool)
    masks[:, :12] = True
    maps = {"good": masks.float(), "even": torch.ones(2, 24, 24)}
    figure = attention_sheet(images, maps, masks, ("a dog", "a cat"))
    assert len([axes for axes in figure.axes if axes.images]) >= 6
    assert "a dog, a cat" in figure.alt
    assert "good: on the object lies 100%, 100%" in figure.alt and "even: on the object lies 50%, 50%" in figure.alt
    assert figure.png()[:4] == b"\x89PNG"


def test_sizes_that_do_not_fit_are_named():
    images, masks = torch.rand(2, 3, 24, 24), torch.ones(2, 24, 24, dtype=torch.bool)
    with pytest.raises(ValueError, match="'gain': 1"):
        attention_sheet(images, {"gain": torch.ones(1, 24, 24)}, masks, ("a", "b"))
    with pytest.raises(ValueError, match="each of 2 images needs"):
        attention_sheet(images, {}, masks, ("a", "b"))


def test_erasing_tells_the_area_and_both_probabilities():
    model = SmallCNN(2, width=2, seed=0).eval()
    image, heat = torch.rand(3, 24, 24), torch.zeros(24, 24)
    heat[:12] = 1.0
    figure = show_erasing(model, image, heat, 1, title="a cat")
    with torch.no_grad():
        before = float(model(image[None])[0, 1].sigmoid())
    assert f"probability {before:.2f} before" in figure.alt and "hides 50%" in figure.alt
    assert len(figure.axes) == 4
