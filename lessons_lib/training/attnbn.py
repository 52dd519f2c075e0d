"""Train one network on two domains: the arms of lesson 10, with the losses of `feedback.attnbn`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_fetch.worlds.scenes.domains import Domain
from lessons_lib.explain.layers import find_layer, watch
from lessons_lib.feedback.attnbn import (
    attended_features,
    attnbn_loss,
    bridge_loss,
    foreground_loss,
    reversal_strength,
)
from lessons_lib.feedback.gain import attention_maps, classification_loss
from lessons_lib.training.fit import fit
from lessons_lib.training.steps import Batch, History, StepReport

Progress = Callable[[StepReport], None] | None


@dataclass(frozen=True)
class Weights:
    """What an arm trains with.

    source : whether source pictures are learned from.  target : weight of the target's classification loss.
    foreground, bridge : weights of `attnbn_loss`; the judge's gradient reaches the network reversed, times `bridge`.
    whole_picture : the judge sees the mean over the whole picture, without a class, as DANN's does.
    shuffled : foreground masks are dealt to other source pictures.
    twice : twice as many target pictures a step, so that target pictures alone cost what both domains do.
    """

    source: bool = True
    target: float = 1.0
    foreground: float = 0.0
    bridge: float = 0.0
    whole_picture: bool = False
    shuffled: bool = False
    twice: bool = False


class Judge(nn.Module):
    """Tells source from target by features (..., K), scaled to one length, and the class asked for, one-hot (..., C)."""

    def __init__(self, features: int, classes: int, *, hidden: int = 64, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.layers = nn.Sequential(nn.Linear(features + classes, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.features = features

    def forward(self, given: Tensor) -> Tensor:
        """Logits (..., 1) of "this is of the source" for features and one-hot class side by side, (..., K + C)."""
        features, classes = given.split([self.features, given.shape[-1] - self.features], -1)
        return self.layers(torch.cat([F.normalize(features, dim=-1) * self.features**0.5, classes], -1))


class Bridged(nn.Module):
    """A network and the judge of its features, trained together.

    history : of the training; `metrics` holds the terms of the loss, "bridge" the judge's.
    """

    def __init__(self, network: nn.Module, judge: Judge) -> None:
        super().__init__()
        self.network, self.judge, self.history = network, judge, History()

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C)."""
        return self.network(images)


def looked_at(network: nn.Module, images: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """(activations (B, K, h, w) of the layer, logits (B, C)) of one forward pass, with their graph."""
    with watch(find_layer(network, layer), tuple(images.shape[-2:]), attach=True) as seen:
        logits = network(images)
    return seen.output, logits


def one_of(labels: Tensor, seed: int) -> Tensor:
    """(B,): for each row of labels (B, C) bool one of its true classes, drawn by the seed."""
    drawn = torch.rand(labels.shape, generator=torch.Generator().manual_seed(seed)).to(labels.device)
    return (drawn * labels).argmax(1)


def padded(labels: Tensor) -> Tensor:
    """(B, C) int64: the true classes of each row of labels (B, C) bool where they are, -1 elsewhere."""
    numbers = torch.arange(labels.shape[1], device=labels.device).expand(labels.shape)
    return torch.where(labels, numbers, -1)


def turns(count: int, need: int, seed: int) -> Tensor:
    """(need,) row numbers below `count`: every row once before any comes again, each time in another order."""
    generator = torch.Generator().manual_seed(seed)
    rounds = [torch.randperm(count, generator=generator) for _ in range(-(-need // count))]
    return torch.cat(rounds)[:need]


def train_bridged(
    network: nn.Module,
    source: Domain,
    target: Domain,
    weights: Weights,
    *,
    layer: str,
    steps: int,
    batch: int = 16,
    lr: float = 6e-3,
    seed: int,
    progress: Progress = None,
) -> Bridged:
    """The network, trained in place on `batch` pictures of each domain a step, and its judge.

    Both domains go through the network in one pass and share its BatchNorm. Of each picture one class is asked for: the
    source's own, one of the target's, drawn anew each time.

    Parameters
    ----------
    source : one class a picture, with its foreground.  target : only its labels are used.
    layer : where maps and features are taken.

    Raises
    ------
    ValueError : domains with other classes; source pictures of no or several classes; steps or batch below 1.
    """
    if source.class_names != target.class_names:
        raise ValueError(f"both domains need the same classes, got {source.class_names} and {target.class_names}")
    if steps < 1 or batch < 1:
        raise ValueError(f"steps and batch must be at least 1, got {steps} and {batch}")
    device = next(network.parameters()).device
    single, masks = source.single(), torch.arange(len(source))
    if weights.shuffled:
        masks = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))
    features = _channels(network, target.images[:1].to(device), layer)
    model = Bridged(network, Judge(features, len(source.class_names), seed=seed)).to(device)
    rows = {
        "target": turns(len(target), steps * batch * (1 + weights.twice), 2 * seed).view(steps * batch, -1),
        "source": turns(len(source), steps * batch, 2 * seed + 1),
    }

    def loss(model: Bridged, rows: Batch, step: int) -> tuple[Tensor, dict[str, float]]:
        here = rows["target"].flatten().cpu()
        images, labels = target.images[here].to(device), target.labels[here].to(device)
        if not weights.source:
            found = classification_loss(model.network(images), padded(labels))
            return found, {"target": float(found.detach())}
        there = rows["source"].cpu()
        own, wanted = single[there].to(device), _foregrounds(source, single, masks[there]).to(device)
        images = torch.cat([source.images[there].to(device), images]).contiguous(memory_format=torch.channels_last)
        seed_now = 1_000_003 * seed + step
        return two_domain_loss(model, images, own, labels, wanted, weights, layer, step / steps, seed_now)

    history = fit(model, rows, epochs=1, lr=lr, batch_size=batch, seed=seed, loss=loss, progress=progress)
    model.history = history
    return model


def two_domain_loss(
    model: Bridged,
    images: Tensor,
    own: Tensor,
    labels: Tensor,
    foregrounds: Tensor,
    weights: Weights,
    layer: str,
    progress: float,
    seed: int,
) -> tuple[Tensor, dict[str, float]]:
    """All terms of one step: (the total, {"source", "target", "foreground", "bridge"}).

    images (S + T, 3, H, W), the source's first; own (S,) int64; labels (T, C) bool; foregrounds (S, H, W) bool.
    progress : of the training, in [0, 1]; it decides how strongly the judge's gradient is reversed.
    """
    source = torch.arange(len(images), device=images.device) < len(own)
    asked = torch.cat([own, one_of(labels, seed)])
    activations, logits = looked_at(model.network, images, layer)
    maps, foreground, bridge = None, logits.new_zeros(()), logits.new_zeros(())
    if weights.foreground or (weights.bridge and not weights.whole_picture):
        maps = attention_maps(logits.gather(1, asked[:, None])[:, 0], activations)
    if weights.foreground:
        both = torch.cat([foregrounds, foregrounds.new_zeros(len(labels), *foregrounds.shape[1:])])
        foreground = foreground_loss(maps, both, source)
    if weights.bridge:
        hot = F.one_hot(asked, logits.shape[1]).to(logits.dtype)
        if weights.whole_picture:
            given = torch.cat([activations.mean((2, 3)), torch.zeros_like(hot)], 1)
        else:
            given = torch.cat([attended_features(activations, maps), hot], 1)
        bridge = bridge_loss(given, source, model.judge, strength=reversal_strength(progress))
    total, terms = attnbn_loss(
        logits[source], own, logits[~source], padded(labels), foreground, bridge,
        foreground_weight=weights.foreground, bridge_weight=weights.bridge,
    )  # fmt: skip
    return total + (weights.target - 1) * classification_loss(logits[~source], padded(labels)), terms


def _foregrounds(source: Domain, single: Tensor, rows: Tensor) -> Tensor:
    """(B, H, W) bool: the pixels of each row's one class."""
    return source.segmentation[rows] == (single[rows] + 1)[:, None, None].to(torch.uint8)


def _channels(network: nn.Module, images: Tensor, layer: str) -> int:
    was = network.training
    network.eval()
    with torch.no_grad():
        found = looked_at(network, images, layer)[0].shape[1]
    network.train(was)
    return found
