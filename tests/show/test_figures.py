"""Figures of maps: legible (no text over other text, none cut off, none small), small, and described in words."""

from __future__ import annotations

import base64
import io
import sys

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from lessons_lib.show import grid, show
from lessons_lib.show import overlay as colouring
from lessons_lib.show.picture import Picture, small_png, wrap

LONG = "Integrated Gradients for 'Egyptian cat' with a black baseline and fifty steps"


def picture(size=64, seed=0):
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed))


def blob(size=7, row=2, column=2):
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 4.0)


def png(figure):
    bundle, _ = figure._repr_mimebundle_()
    return Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 12, 16])
def test_any_number_of_maps_is_legible(count, assert_legible):
    maps = {f"{LONG} number {place}": blob(row=place % 7) for place in range(count)}
    figure = show(picture(), maps, scores=[0.5] * count, image_title="A photograph with quite a long name of its own")
    assert_legible(figure)
    assert len([axes for axes in figure.axes if axes.images and axes.get_position().height > 0.1]) >= count


def test_names_without_spaces_are_broken(assert_legible, texts_of):
    name = "network.features.denseblock4.denselayer16.conv2.with_an_endless_name_that_has_no_space"
    figure = show(picture(), {name: blob(), "b": blob(), "c": blob(), "d": blob()})
    assert_legible(figure)
    assert name in "".join(texts_of(figure)).replace("\n", "")


def test_the_text_says_where_the_heat_of_each_map_lies():
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[:32, :32] = True
    figure = show(
        picture(), {"Grad-CAM": blob(8, 1, 1), "LRP": blob(8, 6, 6) - blob(8, 1, 1)}, masks=mask,
        scores={"LRP": {"pointing": 0.25}}, image_title="cat",
    )  # fmt: skip
    assert figure.alt.startswith("A picture (cat) and 2 maps of it. Grad-CAM: ")
    first, second = figure.alt.split("LRP (pointing 0.25): ")
    assert "upper left quarter" in first and "inside the marked object, which covers 25 %" in first
    assert "50 % of the map's total is positive and 50 % negative" in second
    assert "lower right quarter" in second
    bundle, metadata = figure._repr_mimebundle_()
    assert bundle["text/plain"] == figure.alt == metadata["image/png"]["alt"]
    assert png(figure).size == figure.canvas.get_width_height()


def test_an_empty_map_says_so_in_the_figure(texts_of):
    figure = show(picture(), {"Grad-CAM": torch.zeros(7, 7)}, scores=[0.5])
    assert "0.50, zero everywhere" in texts_of(figure)
    assert "the map is zero everywhere" in figure.alt


def test_the_scale_is_stated(texts_of):
    def legend(**options):
        return " ".join(texts_of(show(picture(), **options))).replace("\n", " ")

    assert "percentile 99.5 of the values" in legend(maps=blob())
    assert "largest value" in legend(maps=blob(), percentile=100)
    signed = legend(maps=blob() - 0.5)
    assert "evidence against" in signed and "the middle is 0" in signed and "heat" not in signed
    assert "grey is 0" in legend(maps=[torch.randn(3, 64, 64)])


def test_pyplot_and_global_state_are_left_alone():
    before = dict(matplotlib.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    show(picture(), blob())._repr_png_()
    assert dict(matplotlib.rcParams) == before
    if not loaded:
        assert "matplotlib.pyplot" not in sys.modules
    else:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_a_dark_style_of_the_reader_does_not_hide_the_text():
    with matplotlib.rc_context({"text.color": "white", "figure.facecolor": "black", "axes.labelcolor": "white"}):
        figure = show(picture(), {"Grad-CAM": blob()})
        pixels = np.asarray(png(figure).convert("L"))
    assert pixels[0, 0] == 255 and pixels[:35, 300:].min() < 90


def test_photographs_stay_small_and_true():
    noisy = (picture(400) * 255).to(torch.uint8).permute(1, 2, 0).numpy()
    data = small_png(noisy, aim=60_000, limit=90_000)
    assert len(data) <= 90_000
    smooth = np.linspace(0, 255, 300).astype(np.uint8)[None, :, None].repeat(200, 0).repeat(3, 2)
    back = np.asarray(Image.open(io.BytesIO(small_png(smooth))).convert("RGB"))
    assert np.array_equal(back, smooth)
    maps = {f"map {place}": blob(row=place % 7) for place in range(8)}
    assert len(show(picture(224), maps)._repr_png_()) < 200_000


def test_the_map_is_where_it_should_be():
    """A hot corner changes that corner's pixels, and no others."""
    plain = colouring.as_picture(torch.full((3, 40, 40), 0.5))
    heat = np.zeros((4, 4), np.float32)
    heat[0, 3] = 1.0
    blended = colouring.blend(plain, heat)
    colourful = np.ptp(blended, axis=-1)
    assert colourful[:5, 35:].min() > 0.2
    assert colourful[20:, :].max() == 0 and colourful[:, :20].max() == 0


@pytest.mark.parametrize("overlay", [0.2, 0.55, 0.9])
def test_more_heat_is_never_drawn_fainter(overlay):
    paper = np.full((1, 101, 3), 0.6, np.float32)
    unit = np.linspace(0, 1, 101, dtype=np.float32)[None]
    blended = colouring.blend(paper, unit, overlay=overlay, percentile=100)
    bare = colouring.blend(paper, 0 * unit, overlay=overlay)
    colour = matplotlib.colormaps["inferno"]((unit[0] * 255 + 0.5).astype(int))[:, :3]
    alpha = ((blended - bare) * (colour - bare)).sum(-1)[0] / ((colour - bare) ** 2).sum(-1)[0]
    assert alpha[0] == 0 and (np.diff(alpha) > -1e-5).all() and overlay < alpha[-1] <= 1
    assert np.ptp(bare) == 0


def test_no_overlay_shows_the_picture_alone():
    original = colouring.as_picture(picture())
    assert np.allclose(colouring.blend(original, blob().numpy(), overlay=0.0), original, atol=1e-6)


def test_signed_colours_are_centred_on_zero():
    plain = np.full((1, 3, 3), 0.7, np.float32)
    against, zero, for_ = colouring.blend(plain, np.array([[-1.0, 0.0, 1.0]], np.float32), signed=True)[0]
    assert against[2] > against[0] + 0.1 and for_[0] > for_[2] + 0.1
    assert np.ptp(zero) < 1e-6
    grey = colouring.blend(plain, np.zeros((1, 3, 3), np.float32))
    assert np.allclose(grey, 0.5)


def test_one_outlier_does_not_blacken_a_map():
    values = np.ones((40, 40), np.float32)
    values[0, 0] = 1000.0
    assert colouring.largest(values) == 1.0
    lonely = np.zeros((40, 40), np.float32)
    lonely[0, 0] = 5.0
    assert colouring.largest(lonely) == 5.0


def test_signs_are_found_or_given(texts_of):
    assert not colouring.is_signed(np.array([[0.0, 1.0], [-1e-7, 1.0]]))
    assert colouring.is_signed(np.array([[-0.1, 1.0]]))
    for signed in (True, {"a": True}, [True]):
        figure = show(picture(), {"a": blob()}, signed=signed)
        assert "evidence against" in texts_of(figure)


def test_boxes_and_masks_are_drawn_on_every_panel():
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[20:40, 20:40] = True
    figure = show(picture(), {"a": blob(), "b": blob()}, boxes=[(4, 8, 60, 50)], masks=mask)
    for axes in figure.axes[:3]:
        assert len(axes.patches) == 2 and len(axes.images) == 3
        (x0, y0), width, height = axes.patches[0].get_xy(), axes.patches[0].get_width(), axes.patches[0].get_height()
        assert (x0 + 0.5, y0 + 0.5, width, height) == (4, 8, 56, 42)


def test_the_outline_runs_along_the_border_of_the_mask():
    mask = np.zeros((8, 8), bool)
    mask[2:6, 2:6] = True
    line = colouring.outline(mask, (80, 80))
    assert line[20, 30] and line[19, 30] and not line[30, 30] and not line[10, 10]
    assert line.sum() == pytest.approx(2 * 4 * 40, rel=0.05)


@pytest.mark.parametrize("count, row", [(2, 2), (5, 5), (6, 3), (7, 4), (8, 4), (12, 4), (17, 5)])
def test_rows_are_about_as_long_as_each_other(count, row):
    figure = grid([picture(8)] * count)
    tops = [round(axes.get_position().y1, 3) for axes in figure.axes]
    assert tops.count(tops[0]) == row
    assert max(tops.count(top) for top in tops) == row


@pytest.mark.parametrize("count, columns", [(1, None), (5, 2), (12, None), (3, 7)])
def test_grids(count, columns, assert_legible):
    figure = grid(
        [picture(32 + place) for place in range(count)], [f"{LONG} {p}" for p in range(count)], columns=columns
    )
    assert_legible(figure)
    assert len(figure.axes) == count
    assert figure.alt.startswith(f"A sheet of {count} picture")
    assert f"{LONG} 0" in figure.alt


def test_grid_of_pictures_of_other_shapes_keeps_their_shape():
    figure = grid([torch.rand(3, 30, 90), torch.rand(3, 90, 30)])
    figure.canvas.draw()
    ratios = [axes.get_window_extent().width / axes.get_window_extent().height for axes in figure.axes]
    assert ratios == [pytest.approx(3, rel=0.03), pytest.approx(1 / 3, rel=0.03)]


def test_wrapped_lines_keep_every_word_and_fit():
    figure = Picture(1, 1)
    lines = wrap(figure, LONG, 1.2, 10)
    assert " ".join(lines) == LONG and len(lines) > 3
    assert wrap(figure, "", 1, 10) == []


@pytest.mark.parametrize(
    "options, message",
    [
        ({"maps": []}, "at least one map"),
        ({"maps": torch.zeros(2, 2, 4, 5)}, r"shape \(H, W\)"),
        ({"maps": [torch.zeros(7, 7)], "titles": ["a", "b"]}, "2 titles do not fit 1 map"),
        ({"maps": {"a": blob()}, "scores": {"b": 1.0}}, "'b', which is not one of the maps"),
        ({"maps": {"a": blob()}, "overlay": 1.5}, "between 0 and 1"),
        ({"maps": {"a": torch.full((3, 3), float("nan"))}}, "NaN"),
        ({"maps": {"a": blob()}, "boxes": [(5, 5, 2, 2)]}, "x0 < x1"),
        ({"maps": {"a": blob()}, "columns": 0}, "at least 1"),
        ({"maps": {"a": blob()}, "colours": "no such"}, "not a matplotlib colour map"),
    ],
)
def test_wrong_input_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        show(picture(), **options)


def test_pictures_outside_their_range_are_refused():
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        show(picture() * 255, blob())
    with pytest.raises(ValueError, match=r"shape \(3, H, W\)"):
        show(torch.rand(2, 3, 8, 8), blob())
    with pytest.raises(ValueError, match="at least one image"):
        grid([])
