"""Pictures of every kind, made ready for a network; and files that are no pictures."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from data_fetch import photos
from lessons_lib.models import pictures
from lessons_lib.models.pictures import prepare


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def as_array(tensor: torch.Tensor) -> np.ndarray:
    return tensor[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_way_in_gives_the_same_tensor(tmp_path, seed):
    array = noise(37, 61, seed=seed)
    image = Image.fromarray(array)
    file = tmp_path / "picture.png"
    image.save(file)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    expected = prepare(array, 32)
    assert expected.shape == (1, 3, 32, 32) and expected.dtype == torch.float32
    assert 0 <= expected.min() and expected.max() <= 1
    for same in (image, file, str(file), file.read_bytes(), memoryview(file.read_bytes()), tensor, tensor[None]):
        assert torch.equal(prepare(same, 32), expected)
    for close in (array / 255, tensor.double() / 255, array.astype(np.uint16) * 257):
        assert torch.allclose(prepare(close, 32), expected, atol=1e-6)


def test_a_picture_of_the_right_size_is_not_changed():
    array = noise(24, 24)
    assert np.allclose(as_array(prepare(array, 24)) * 255, array, atol=1e-4)


def test_resizing_is_that_of_pillow():
    image = photos.load("coffee")
    ours = as_array(prepare(image, 224)) * 255
    theirs = np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC)).astype(float)
    difference = np.abs(ours - theirs)  # Pillow rounds to whole numbers after the rows and after the columns
    assert difference.max() < 3 and difference.mean() < 0.5


def test_squash_keeps_everything_and_center_the_middle():
    array = np.zeros((10, 30, 3), np.uint8)
    array[:, :10], array[:, 10:20], array[:, 20:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert torch.allclose(prepare(array, 30).mean((0, 2, 3)), torch.full((3,), 1 / 3), atol=0.02)
    middle = prepare(array, 10, crop="center")
    assert torch.equal(middle, torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 10, 10))


@pytest.mark.parametrize("kind", ["grey", "grey array", "palette", "bit", "cmyk"])
def test_other_colours_become_rgb(kind):
    grey = np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))
    made = {
        "grey": Image.fromarray(grey),
        "grey array": grey,
        "palette": Image.fromarray(grey).convert("P"),
        "bit": Image.fromarray(grey > 127),
        "cmyk": Image.fromarray(grey).convert("RGB").convert("CMYK"),
    }
    expected = (grey > 127).astype(float) if kind == "bit" else grey / 255
    image = as_array(prepare(made[kind], 32))
    assert np.allclose(image, expected[..., None], atol=1e-5)


@pytest.mark.parametrize("how", ["array", "RGBA", "LA", "palette", "float tensor", "key colour"])
def test_what_is_transparent_becomes_white(how):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:, 4:, 3] = 255  # left half: nothing; right half: black
    image = Image.fromarray(rgba)
    palette = Image.fromarray(rgba[..., 3] // 255).convert("P")
    palette.putpalette([9, 9, 9, 0, 0, 0])
    key = Image.fromarray(np.where(rgba[..., 3:] > 0, 0, 77).astype(np.uint8).repeat(3, 2))
    made = {
        "array": rgba,
        "RGBA": encoded(image),
        "LA": image.convert("LA"),
        "palette": encoded(palette, transparency=0),
        "float tensor": torch.from_numpy(rgba).permute(2, 0, 1) / 255,
        "key colour": encoded(key, transparency=(77, 77, 77)),
    }
    result = prepare(made[how], 8)
    assert (result[..., :4] == 1).all() and (result[..., 4:] == 0).all()


def test_half_transparent_is_mixed_with_white():
    rgba = np.full((4, 4, 4), (0, 0, 0, 51), np.uint8)
    assert torch.allclose(prepare(rgba, 4), torch.full((1, 3, 4, 4), 0.8), atol=1e-6)


@pytest.mark.parametrize("container", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(container):
    values = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    result = prepare(encoded(Image.fromarray(values), container), 8)
    assert np.allclose(as_array(result)[..., 0], values / 65535, atol=1e-6)
    integers = Image.fromarray(values.astype(np.int32))
    assert integers.mode == "I" and torch.allclose(prepare(integers, 8), result)
    assert torch.allclose(prepare(values.astype(">u2"), 8), result)


def test_exif_orientation_is_applied():
    array = noise(16, 32)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees to the right
    turned = prepare(encoded(Image.fromarray(array), exif=exif), 16)
    assert torch.equal(turned, prepare(np.rot90(array, -1).copy(), 16))


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    red = prepare(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), 8)
    assert torch.equal(red, torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 8, 8))


@pytest.mark.parametrize("container", ["PNG", "JPEG"])
def test_large_pictures_give_nearly_what_full_decoding_gives(container):
    smooth = F.interpolate(
        torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0)), (1500, 2100), mode="bicubic"
    )
    array = (smooth[0].permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy()
    difference = (prepare(encoded(Image.fromarray(array), container), 64) - prepare(array, 64)).abs()
    assert difference.max() < 0.06 and difference.mean() < 0.01


def test_too_many_pixels_are_refused(monkeypatch):
    data = encoded(Image.new("1", (300, 300)))
    monkeypatch.setattr(pictures, "PIXELS_MAX", 80_000)
    with pytest.raises(ValueError, match="300 x 300 pixels: at most 80,000"):
        prepare(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20_000)  # Pillow's own limit, an error above twice of it
    with pytest.raises(ValueError, match="too many pixels: at most 80,000"):
        prepare(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60_000)
    monkeypatch.setattr(pictures, "PIXELS_MAX", 100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prepare(data, 8).shape == (1, 3, 8, 8)


def test_files_that_are_no_pictures(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no picture")
    with pytest.raises(ValueError, match=r"notes.txt is not a picture"):
        prepare(text)
    with pytest.raises(ValueError, match="10 bytes is not a picture"):
        prepare(b"no picture")
    with pytest.raises(ValueError, match="not a picture but a folder"):
        prepare(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        prepare(tmp_path / "nowhere.png")


@pytest.mark.parametrize("container", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_pictures_that_are_cut_off(container, share):
    data = encoded(Image.fromarray(noise(64, 64)), container)
    with pytest.raises(ValueError, match="damaged|not a picture"):
        prepare(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        (np.zeros((3, 8, 8)), ValueError, "channel-first"),
        (np.zeros((8, 8, 2)), ValueError, r"\(H, W, 3\)"),
        (np.zeros((0, 8, 3)), ValueError, r"\(H, W, 3\)"),
        (np.zeros((8, 8), np.int64), ValueError, "int64"),
        (np.full((8, 8, 3), 255.0), ValueError, "divide by 255"),
        (np.full((8, 8), np.nan), ValueError, r"in \[0, 1\]"),
        (np.full((8, 8), -0.5, np.float32), ValueError, r"in \[0, 1\]"),
        (torch.zeros(2, 3, 8, 8), ValueError, "one picture"),
        (torch.zeros(8, 8, 3), ValueError, "channels"),
        (torch.zeros(3, 8, 8, dtype=torch.int64), ValueError, "int64"),
        (Image.fromarray(np.full((4, 4), 70000, np.int32)), ValueError, "0 to 65535"),
        ([[0.0]], TypeError, "not list"),
        (None, TypeError, "not NoneType"),
    ],
)
def test_what_is_not_a_picture_in_memory(wrong, error, said):
    with pytest.raises(error, match=said):
        prepare(wrong)


def test_bad_options():
    for size in (0, -1, 5000, 2.5, True):
        with pytest.raises(ValueError, match="size must be"):
            prepare(noise(4, 4), size)
    with pytest.raises(ValueError, match="'squash' or 'center'"):
        prepare(noise(4, 4), crop="middle")


def test_the_callers_picture_is_left_alone(tmp_path):
    file = tmp_path / "picture.jpg"
    Image.fromarray(noise(800, 800)).save(file)
    with Image.open(file) as image:
        prepare(image, 8)
        assert image.size == (800, 800) and image.mode == "RGB"
    tensor = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = tensor.clone()
    prepare(tensor, 8).zero_()
    grey = torch.ones(1, 1, 8, 8)
    prepare(grey, 8).zero_()
    assert torch.equal(tensor, before) and grey.all()
