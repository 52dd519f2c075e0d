"""Pictures become squares: masks, boxes and points go where the pixels go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from data_fetch.readers.pixels import Fit, column, open_picture, pictures

seeds = pytest.mark.parametrize("seed", [0, 1, 7])
hows = pytest.mark.parametrize("how", ["squash", "crop"])


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def save(path, array: np.ndarray, **more):
    Image.fromarray(array).save(path, **more)
    return path


def weights(start: float, end: float, count: int, size: int) -> np.ndarray:
    """(size, count): which source pixels have their centre in each target pixel along one side, as shares."""
    edges, centres = start + (end - start) * np.arange(size + 1) / size, np.arange(count) + 0.5
    inside = (centres > edges[:-1, None] - 1e-9) & (centres <= edges[1:, None] - 1e-9)
    return inside / inside.sum(1, keepdims=True)


@seeds
@hows
@pytest.mark.parametrize("width, height, size", [(60, 40, 8), (33, 51, 10), (40, 40, 20), (19, 64, 7)])
def test_masks_agree_with_the_covered_share(seed, how, width, height, size):
    mask = rng(seed).random((height // 5 + 1, width // 5 + 1)).repeat(5, 0).repeat(5, 1)[:height, :width] > 0.5
    fit = Fit(size, how)
    x0, y0, x1, y1 = fit.window(width, height)
    covered = weights(y0, y1, height, size) @ mask @ weights(x0, x1, width, size).T
    sure = np.abs(covered - 0.5) > 0.01
    assert sure.mean() > 0.5
    assert np.array_equal(fit.mask(mask).numpy()[sure], (covered >= 0.5)[sure])


def test_half_covered_counts_and_numbers_other_than_one_do_too():
    mask = np.zeros((2, 4))
    mask[0] = 7
    assert Fit(1).mask(mask).item() is True
    assert Fit(2).mask(mask).tolist() == [[True, True], [False, False]]


@seeds
def test_larger_masks_repeat_their_pixels(seed):
    mask = rng(seed).random((5, 6)) > 0.5
    assert np.array_equal(Fit(30).mask(mask).numpy(), mask.repeat(6, 0).repeat(5, 1))


@seeds
@hows
@pytest.mark.parametrize("width, height, size", [(50, 30, 15), (30, 50, 64), (64, 64, 32), (41, 23, 23)])
def test_boxes_enclose_their_masks(seed, how, width, height, size):
    generator, fit = rng(seed), Fit(size, how)
    for _ in range(20):
        x0, y0 = generator.integers(0, width - 8), generator.integers(0, height - 8)
        x1, y1 = generator.integers(x0 + 4, width + 1), generator.integers(y0 + 4, height + 1)
        mask = np.zeros((height, width), bool)
        mask[y0:y1, x0:x1] = True
        placed, box = fit.mask(mask), fit.boxes([[x0, y0, x1, y1]], width, height)[0]
        ys, xs = torch.nonzero(placed.any(1))[:, 0], torch.nonzero(placed.any(0))[:, 0]
        if len(xs) == 0:
            assert min(box[2] - box[0], box[3] - box[1]) <= 1
            continue
        extent = torch.stack([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]).float()
        assert (extent - box).abs().max() <= 0.5 + 0.5 * size / min(width, height) + 1e-3, (extent, box)
        assert 0 <= box.min() and box.max() <= size


@seeds
def test_boxes_agree_with_masks_to_the_pixel_where_edges_meet(seed):
    generator, fit = rng(seed), Fit(12)
    for _ in range(20):
        x0, x1 = sorted(generator.choice(13, 2, replace=False) * 4)
        y0, y1 = sorted(generator.choice(13, 2, replace=False) * 3)
        mask = np.zeros((36, 48), bool)
        mask[y0:y1, x0:x1] = True
        box = fit.boxes([[x0, y0, x1, y1]], 48, 36)[0].int().tolist()
        again = torch.zeros(12, 12, dtype=torch.bool)
        again[box[1] : box[3], box[0] : box[2]] = True
        assert torch.equal(fit.mask(mask), again)


@hows
def test_points_follow_a_bright_spot(tmp_path, how):
    fit = Fit(30, how)
    for x, y in ((30, 20), (62, 9), (45, 41)):
        image = np.zeros((50, 90, 3), np.uint8)
        image[y - 3 : y + 3, x - 3 : x + 3] = 255
        placed = fit.image(save(tmp_path / "spot.png", image)).sum(0)
        point = fit.points([[x, y]], 90, 50)[0]
        where = torch.arange(30) + 0.5
        centre = torch.stack([(placed.sum(0) * where).sum(), (placed.sum(1) * where).sum()]) / placed.sum()
        assert (centre - point).abs().max() < 0.1, (centre, point)


def test_a_crop_cuts_boxes_off_and_lets_points_fall_outside():
    fit = Fit(20, "crop")
    assert fit.window(60, 40) == (10, 0, 50, 40) and fit.window(40, 60) == (0, 10, 40, 50)
    assert fit.boxes([[0, 0, 30, 40], [0, 0, 5, 5]], 60, 40).tolist() == [[0, 0, 10, 20], [0, 0, 0, 2.5]]
    assert fit.points([[0, 40], [60, 0]], 60, 40).tolist() == [[-5, 20], [25, 0]]
    assert fit.points([], 60, 40).shape == (0, 2) and fit.boxes([], 60, 40).shape == (0, 4)


@seeds
@hows
@pytest.mark.parametrize("width, height, size", [(31, 20, 9), (20, 31, 48)])
def test_class_numbers_are_never_mixed(seed, how, width, height, size):
    numbers = rng(seed).choice(np.array([0, 3, 20, 255], np.uint8), (height, width))
    fit = Fit(size, how)
    x0, y0, x1, y1 = fit.window(width, height)
    xs = np.floor(x0 + (np.arange(size) + 0.5) * (x1 - x0) / size).astype(int)
    ys = np.floor(y0 + (np.arange(size) + 0.5) * (y1 - y0) / size).astype(int)
    placed = fit.classes(numbers)
    assert placed.dtype == torch.uint8 and np.array_equal(placed.numpy(), numbers[ys][:, xs])


@seeds
def test_heat_keeps_its_units(seed):
    heat = rng(seed).random((40, 60)) * 1000 - 200
    placed = Fit(20).heat(heat)
    assert placed.shape == (20, 20) and placed.dtype == torch.float32
    assert heat.min() <= placed.min() and placed.max() <= heat.max()
    assert abs(float(placed.mean()) - heat.mean()) < 10
    assert torch.allclose(Fit(16).heat(np.full((5, 9), 3.25)), torch.tensor(3.25))


@hows
def test_the_image_is_the_window(tmp_path, how):
    picture = rng(0).integers(0, 256, (48, 80, 3)).astype(np.uint8)
    fit = Fit(48, how)
    placed = fit.image(save(tmp_path / "noise.png", picture))
    assert placed.shape == (3, 48, 48) and placed.dtype == torch.float32 and 0 <= placed.min() and placed.max() <= 1
    if how == "crop":
        assert torch.equal(placed, torch.from_numpy(picture[:, 16:64]).permute(2, 0, 1) / 255)
    else:
        assert abs(float(placed.mean()) - picture.mean() / 255) < 0.01


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_every_mode_becomes_three_channels(tmp_path, mode):
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    Image.new("RGB", (9, 7), "white").convert(mode).save(path)
    placed = Fit(5).image(path)
    assert placed.shape == (3, 5, 5) and float(placed.min()) > 0.98


def test_a_palette_keeps_its_indices(tmp_path):
    picture = Image.fromarray(np.array([[0, 15], [255, 3]], np.uint8))
    picture.putpalette([value for n in range(256) for value in (n ^ 128, n // 2, 255 - n)])
    assert picture.mode == "P"
    picture.save(tmp_path / "palette.png")
    assert np.array(open_picture(tmp_path / "palette.png")).tolist() == [[0, 15], [255, 3]]


def test_files_that_are_no_pictures_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.jpg is missing"):
        Fit(8).image(tmp_path / "absent.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ValueError, match="text.jpg is no picture"):
        Fit(8).image(tmp_path / "text.jpg")
    whole = save(tmp_path / "cut.jpg", rng(0).integers(0, 256, (90, 90, 3)).astype(np.uint8)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="cut.jpg is no picture"):
        Fit(8).image(tmp_path / "cut.jpg")
    (tmp_path / "empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match="empty.png is no picture"):
        open_picture(tmp_path / "empty.png")


@pytest.mark.parametrize("arguments", [{"size": 0}, {"size": 8, "how": "stretch"}])
def test_bad_fits_are_refused(arguments):
    with pytest.raises(ValueError, match="size must be at least 1 and how"):
        Fit(**arguments)


def test_columns_read_rows_in_the_order_asked_for(tmp_path):
    paths = [save(tmp_path / f"{n}.png", np.full((6, 8, 3), 40 * n, np.uint8)) for n in range(4)]
    images = pictures(paths, Fit(4))
    assert len(images) == 4 and images[[3, 0]].shape == (2, 3, 4, 4)
    assert torch.allclose(images[torch.tensor([3, 0])].mean((1, 2, 3)) * 255, torch.tensor([120.0, 0.0]))
    ragged = column(torch.ones, [1, 2, 3], ragged=True)
    assert [len(row) for row in ragged[1:]] == [2, 3] and len(column(torch.ones, [5])[0]) == 5
