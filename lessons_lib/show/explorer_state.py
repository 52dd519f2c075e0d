"""What the explorer shows, without any widget: choices, predictions, maps, one PNG and one text."""

from __future__ import annotations

import inspect
import io
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from lessons_lib.explain.inputs import check_mode
from lessons_lib.models.pictures import prepare
from lessons_lib.show import overlay as colouring
from lessons_lib.show.describe import describe, percent
from lessons_lib.show.figures import show
from lessons_lib.show.picture import Picture

CACHED = 64  # maps and predictions kept
SIDE, GAP, STRIP = 320, 8, 10  # pixels: longer side of a picture, space between two, height of the colour scale


@dataclass(frozen=True)
class Choice:
    """A method in the menu: its label, what one map costs in words, whether it is drawn at a layer, how to call it."""

    label: str
    passes: str
    takes_layer: bool
    signed: bool | None
    call: Callable[[Tensor, int | None, str | None], Tensor]


class ExplorerState:
    """The state behind `explore`; parameters as there. `select` changes it, `render` shows it.

    Attributes
    ----------
    images : name -> (3, H, W) in [0, 1].  methods : name -> Choice.  layers : label -> dotted name.
    image, method, layer : the chosen names (`layer` is a label, or None without layers).
    target : a class index, or None for the predicted class.  overlay : 0 to 1.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Mapping[str, Tensor | Image.Image],
        *,
        methods: Sequence[str] | Mapping[str, Callable] | None = None,
        categories: Sequence[str] | None = None,
        layers: Sequence[str] | Mapping[str, str] | None = None,
        method: str | None = None,
        target: int | None = None,
        overlay: float = 0.55,
        seed: int = 0,
    ) -> None:
        if not images:
            raise ValueError("explore needs at least one image, as a dict name -> image")
        check_mode(model)
        self.model, self.seed = model, seed
        self.size = self._input_size(images)
        self.images = {str(name): self._as_tensor(image) for name, image in images.items()}
        self.categories = list(getattr(model, "categories", []) if categories is None else categories)
        layers = getattr(model, "layers", {}) if layers is None else layers
        self.layers = dict(layers) if isinstance(layers, Mapping) else {str(name): str(name) for name in layers}
        self.methods = self._choices(methods)
        self._cache: OrderedDict[tuple, object] = OrderedDict()
        self.image, self.target, self.overlay = next(iter(self.images)), None, 0.55
        self.layer = next(iter(self.layers), None)
        self.method = "grad_cam" if "grad_cam" in self.methods else next(iter(self.methods))
        self.select(method=method or self.method, target=target, overlay=overlay)

    # ---- choices

    def select(self, **choices) -> None:
        """Change some of image, target, layer, method and overlay.

        Raises ValueError for a name that is not in the menu, a class that the model has not, or an overlay
        outside [0, 1]; then nothing is changed.
        """
        menus = {"image": self.images, "method": self.methods, "layer": self.layers or {None: None}}
        for name, value in sorted(choices.items()):  # the image before the target, which is checked on it
            if name in menus:
                if value not in menus[name]:
                    raise ValueError(f"there is no {name} {value!r}; choose one of {list(menus[name])}")
            elif name == "target":
                classes = len(self.probabilities(choices.get("image", self.image)))
                if value is not None and not 0 <= value < classes:
                    raise ValueError(f"class {value} is out of range: the model has classes 0 to {classes - 1}")
            elif name == "overlay":
                if not 0 <= value <= 1:
                    raise ValueError(f"overlay must lie between 0 and 1, got {value}")
            else:
                raise ValueError(f"there is no choice {name!r}; there are image, target, layer, method, overlay")
        for name, value in choices.items():
            setattr(self, name, value)

    def add_image(self, name: str, data: bytes) -> str:
        """Take in a picture file, given as bytes, and choose it; returns its name in the menu.

        Raises ValueError where the bytes are no picture that can be read.
        """
        image = prepare(bytes(data), self.size, crop="center")[0]
        stem, number = name or "upload", 2
        name = stem
        while name in self.images:
            name, number = f"{stem} ({number})", number + 1
        self.images[name] = image
        self.select(image=name)
        return name

    def top(self, k: int = 5) -> list[tuple[int, str, float]]:
        """The k most probable classes of the chosen image: (index, name, probability)."""
        values, indices = self.probabilities(self.image).topk(min(k, len(self.probabilities(self.image))))
        return [(i, self.class_name(i), p) for i, p in zip(indices.tolist(), values.tolist())]

    def search(self, text: str, limit: int = 40) -> list[tuple[int, str]]:
        """Classes whose name contains `text` in any case, as (index, name).

        The whole name comes first, then names with `text` as a word ("tiger cat"), then the others ("catamaran");
        among these, what the model holds more probable for the chosen image.
        """
        wanted = text.strip().lower()
        if not wanted:
            return []
        probabilities = self.probabilities(self.image)
        word = re.compile(rf"(?<!\w){re.escape(wanted)}(?!\w)")
        found = []
        for index, probability in enumerate(probabilities.tolist()):
            name = self.class_name(index)
            if wanted in name.lower():
                rank = (name.lower() != wanted, not word.search(name.lower()), -probability)
                found.append((rank, index, name))
        return [(index, name) for _, index, name in sorted(found)[:limit]]

    def class_name(self, index: int) -> str:
        return self.categories[index] if index < len(self.categories) else f"class {index}"

    # ---- results

    def probabilities(self, image: str) -> Tensor:
        """Softmax of the model's logits for an image of the menu, (K,)."""
        key = ("probabilities", image)
        if key not in self._cache:
            with torch.no_grad():
                logits = self.model(self._batch(image))
            if not isinstance(logits, Tensor) or logits.ndim != 2:
                raise ValueError("explore needs a model that returns logits of shape (B, K)")
            self._remember(key, logits[0].float().softmax(0).cpu())
        return self._cache[key]

    def busy(self) -> str:
        """What the next `render` must compute first, in words; "" when the map is known already."""
        choice = self.methods[self.method]
        return "" if self._key() in self._cache else f"{choice.label} is at work ({choice.passes}) ..."

    def map(self) -> np.ndarray:
        """The map of the chosen image, class, layer and method: (h, w), or (H, W, 3) for a colour picture."""
        key = self._key()
        if key not in self._cache:
            choice = self.methods[self.method]
            layer = self.layers.get(self.layer) if choice.takes_layer else None
            maps = choice.call(self._batch(self.image), key[2], layer)
            self._remember(key, colouring.as_map(maps))
        self._cache.move_to_end(key)
        return self._cache[key]

    def render(self, *, with_map: bool = True) -> tuple[bytes, str]:
        """The picture beside its map as PNG, and what it shows in words; without the map, the picture alone."""
        picture = self._displayed()
        predicted = ", ".join(f"{name} {percent(p)}" for _, name, p in self.top(3))
        text = f"Predicted: {predicted}."
        panels = [picture]
        if with_map:
            values = self.map()
            signed = self._signed(values)
            panels.append(colouring.blend(picture, values, signed=signed, overlay=self.overlay))
            text += f"\n{describe(self._plane(values), label=self.title(), signed=signed and values.ndim == 2)}"
        return _png(panels, self._scale() if with_map else None), text

    def title(self) -> str:
        """The map's name: method, class and, where it matters, layer."""
        choice = self.methods[self.method]
        target = self.top(1)[0][0] if self.target is None else self.target
        at = f" at {self.layer}" if choice.takes_layer and self.layer else ""
        return f"{choice.label} for '{self.class_name(target)}'{at}"

    def figure(self) -> Picture:
        """The same as a figure that needs no widget."""
        values = self.map()
        values = values.transpose(2, 0, 1) if values.ndim == 3 else values
        predicted = ", ".join(f"{name} {percent(p)}" for _, name, p in self.top(3))
        return show(
            self.images[self.image], {self.title(): values}, image_title=f"{self.image}: {predicted}",
            signed=self._signed(values), overlay=self.overlay,
        )  # fmt: skip

    def clear(self) -> None:
        """Forget all maps and predictions: call it when the model's weights have changed."""
        self._cache.clear()

    # ---- inside

    def _key(self) -> tuple:
        target = self.top(1)[0][0] if self.target is None else self.target
        layer = self.layer if self.methods[self.method].takes_layer else None
        return ("map", self.image, target, layer, self.method)

    def _remember(self, key: tuple, value: object) -> None:
        self._cache[key] = value
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)

    def _batch(self, image: str) -> Tensor:
        weight = next(self.model.parameters(), None)
        device = torch.device("cpu") if weight is None else weight.device
        return self.images[image][None].to(device)

    def _signed(self, values: np.ndarray) -> bool:
        signed = self.methods[self.method].signed
        return colouring.is_signed(values) if signed is None else signed

    @staticmethod
    def _plane(values: np.ndarray) -> np.ndarray:
        return np.abs(values).sum(-1) if values.ndim == 3 else values

    def _displayed(self) -> np.ndarray:
        """The chosen picture at display size, (H, W, 3); the pixels of small pictures stay visible."""
        pixels = colouring.as_picture(self.images[self.image])
        scale = SIDE / max(pixels.shape[:2])
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        method = Image.Resampling.NEAREST if scale >= 3 else Image.Resampling.BICUBIC
        image = Image.fromarray((pixels * 255 + 0.5).astype(np.uint8)).resize(size, method)
        return np.asarray(image).astype(np.float32) / 255

    def _scale(self) -> np.ndarray | None:
        values = self.map()
        if values.ndim == 3:
            return None
        signed = self._signed(values)
        ramp = np.linspace(-1 if signed else 0, 1, SIDE, dtype=np.float32)[None].repeat(STRIP, 0)
        paper = np.full((*ramp.shape, 3), 0.6, np.float32)
        return colouring.blend(paper, ramp, signed=signed, overlay=self.overlay, percentile=100)

    def _input_size(self, images: Mapping) -> int:
        size = getattr(self.model, "input_size", None)
        tensors = [image for image in images.values() if isinstance(image, Tensor)]
        if size is None and tensors:
            size = tensors[0].shape[-1]
        return int(size or 224)

    def _as_tensor(self, image) -> Tensor:
        if isinstance(image, Tensor) and image.ndim in (3, 4):
            colouring.as_picture(image)  # raises where it is not a picture in [0, 1]
            return image.detach().reshape(image.shape[-3:]).float()
        return prepare(image, self.size, crop="center")[0]

    def _choices(self, methods) -> dict[str, Choice]:
        from lessons_lib.explain import METHODS, explain

        if isinstance(methods, Mapping):
            return {str(name): self._own(str(name), function) for name, function in methods.items()}
        unknown = [name for name in methods or () if name not in METHODS]
        if unknown:
            raise ValueError(f"unknown method {unknown[0]!r}; choose some of {', '.join(METHODS)}")

        def call(name: str) -> Callable:
            return lambda batch, target, layer: explain(self.model, batch, target, name, layer=layer, seed=self.seed)

        return {
            name: Choice(
                METHODS[name].label, METHODS[name].passes, "layer" in METHODS[name].takes, METHODS[name].signed,
                call(name),
            )
            for name in (METHODS if methods is None else methods)
        }  # fmt: skip

    def _own(self, name: str, function: Callable) -> Choice:
        """A reader's own method: function(model, images, target), with `layer=` where it takes one."""
        takes_layer = "layer" in inspect.signature(function).parameters

        def call(batch: Tensor, target: int | None, layer: str | None) -> Tensor:
            return function(self.model, batch, target, **({"layer": layer} if takes_layer else {}))

        return Choice(name, "your function", takes_layer, None, call)


def _png(panels: list[np.ndarray], scale: np.ndarray | None) -> bytes:
    """Panels side by side, the colour scale below the last one; quick rather than small."""
    height, width = panels[0].shape[:2]
    foot = 0 if scale is None else STRIP + 4
    sheet = np.ones((height + foot, len(panels) * (width + GAP) - GAP, 3), np.float32)
    for place, panel in enumerate(panels):
        left = place * (width + GAP)
        sheet[:height, left : left + width] = panel
    if scale is not None:
        sheet[-STRIP:, -width:] = scale[:, np.linspace(0, scale.shape[1] - 1, width).round().astype(int)]
    buffer = io.BytesIO()
    pixels = (sheet.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
