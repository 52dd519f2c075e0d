"""Does the map depend on what the network has learnt? Model randomisation, and how alike two maps are.

A map that stays the same when the network's layers are re-initialised shows the image, not the network's
reasons. The second test of the paper, training on permuted labels, needs a training loop; here is its one
ingredient, `permute_labels`.

References
----------
Adebayo et al., "Sanity Checks for Saliency Maps", 2018, arXiv 1810.03292.
"""

from __future__ import annotations

import copy
import itertools
import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lessons_lib.evidence.faithfulness import pearson, rank_correlation
from lessons_lib.evidence.localisation import check_maps
from lessons_lib.explain.layers import find_layer

Stages = int | Sequence[str] | None


def layers_top_down(model: nn.Module, sample: Tensor) -> list[str]:
    """Names of the layers with parameters, from the output to the input, in the order of execution.

    A layer is a module with parameters of its own. The order is that in which modules are called (a module
    that is called twice counts by its last call), not that of the class's attributes; a module whose
    parameters are used without calling it (the output projection of nn.MultiheadAttention) counts with the
    module around it. Layers that the output does not depend on are left out. The model itself has the name ""
    when it holds parameters directly.

    Parameters
    ----------
    model : left as it is: a copy in eval mode is run.
    sample : a batch that the model takes.

    Raises
    ------
    ValueError : the output does not depend on any parameter in a differentiable way.
    """
    probe = _copy(model).eval()
    for parameter in probe.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    called: dict[nn.Module, int] = {}
    clock = itertools.count(1)

    def note(module: nn.Module, _args: tuple) -> None:
        called[module] = next(clock)

    for module in probe.modules():
        module.register_forward_pre_hook(note)
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        outputs = [out for out in _tensors(probe(sample.detach().clone())) if out.requires_grad]
    parameters = [parameter for parameter in probe.parameters() if parameter.requires_grad]
    if not outputs or not parameters:
        raise ValueError("the model's output does not depend on its parameters in a differentiable way")
    ones = [torch.ones_like(out) for out in outputs]
    grads = torch.autograd.grad(outputs, parameters, ones, allow_unused=True)
    used = {parameter for parameter, grad in zip(parameters, grads) if grad is not None}
    places = []
    time_of = {}  # of a module that was not called: the time of the module around it
    for place, (name, module) in enumerate(probe.named_modules()):
        time_of[name] = called.get(module, time_of.get(name.rpartition(".")[0], 0))
        if any(parameter in used for parameter in module.parameters(recurse=False)):
            places.append((time_of[name], place, name))
    return [name for _, _, name in sorted(places, reverse=True)]


def _copy(model: nn.Module) -> nn.Module:
    with torch.inference_mode(False):  # the copy's parameters must be able to carry a gradient
        return copy.deepcopy(model)


def _tensors(output: object) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        yield from _tensors(list(output.values()))
    elif isinstance(output, tuple | list):
        for part in output:
            yield from _tensors(part)


def randomise(model: nn.Module, names: str | Iterable[str], *, seed: int) -> nn.Module:
    """A copy of `model` in which the named layers are as if never trained; all others keep their weights.

    A layer is re-initialised by its own `reset_parameters()`: PyTorch's default for its kind. A BatchNorm's
    running statistics are reset with its scale and shift. A parameter that this leaves as it was (class
    tokens, position embeddings, layers of one's own) is drawn from a normal distribution with the parameter's
    own mean and standard deviation; when all its entries are equal it has no spread to draw from and stays.
    What a layer draws depends on `seed` and its name alone: the steps of a cascade share the draws of the
    layers they share. The global random state is left as it was.

    Parameters
    ----------
    model : left as it is.
    names : names as of `layers_top_down`. The name of a module without parameters of its own (a block) stands
        for all layers inside it. Only a module's own parameters are re-initialised, not its children's.

    Raises
    ------
    ValueError : an unknown name, or a module that holds no parameters.  TypeError : not a name.
    """
    names = [names] if isinstance(names, str) else list(names)
    fresh = _copy(model)
    for name in names:
        module = fresh if name == "" else find_layer(fresh, name)
        full = next(path for path, part in fresh.named_modules() if part is module)
        layers = [(full, module)]
        if not _own(module):
            inside = module.named_modules()
            layers = [(f"{full}.{path}".strip("."), part) for path, part in inside if _own(part)]
        if not layers:
            kind = type(module).__name__
            raise ValueError(f"{name!r} is a {kind} without parameters: there is nothing to randomise")
        for path, layer in layers:
            _reset(layer, zlib.crc32(f"{seed}/{path}".encode()))
    return fresh


def _own(module: nn.Module) -> dict[str, nn.Parameter]:
    return dict(module.named_parameters(recurse=False))


def _reset(module: nn.Module, seed: int) -> None:
    """Draw fresh parameters on the CPU, the same ones for every device; the global state is put back."""
    generator = torch.Generator().manual_seed(seed)
    before = {name: parameter.detach().clone() for name, parameter in _own(module).items()}
    state = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    kept = {name: value.clone() for name, value in state.items() if "." in name}
    with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if callable(getattr(module, "reset_parameters", None)):
            home = next(iter(before.values())).device
            module.to("cpu").reset_parameters()
            module.to(home)
        for name, parameter in _own(module).items():
            if torch.equal(parameter, before[name]) and parameter.is_floating_point():
                old = before[name].double().cpu()
                if not (old == old.flatten()[0]).all():
                    drawn = torch.randn(old.shape, generator=generator, dtype=torch.float64)
                    parameter.copy_(old.mean() + old.std() * drawn)
        for name, value in module.state_dict().items():
            if name in kept:  # a reset_parameters() may have reached into the children
                value.copy_(kept[name])


def cascading_randomisation(
    model: nn.Module, sample: Tensor, *, seed: int, stages: Stages = None
) -> Iterator[tuple[str, nn.Module]]:
    """Copies of `model` randomised from the output down to one layer after the other.

    Parameters
    ----------
    model : left as it is.  sample : a batch that the model takes, to find the order of its layers.
    seed : of the fresh weights.
    stages : None for one copy a layer; a number n for n copies (the layers in n groups of about equal length,
        from the output down); or names of layers or blocks in the order wanted, one copy each.

    Yields
    ------
    (name, copy) : the last layer that was randomised, and a copy in which it and all before it are.

    Raises
    ------
    ValueError, TypeError : as `layers_top_down` and `randomise`; a number of stages that is not 1 to the
        number of layers.
    """
    done: list[str] = []
    for group in _groups(model, sample, stages):
        done += group
        yield group[-1], randomise(model, done, seed=seed)


def independent_randomisation(
    model: nn.Module, sample: Tensor, *, seed: int, stages: Stages = None
) -> Iterator[tuple[str, nn.Module]]:
    """Copies of `model` with one layer (or group) randomised in each, and all others as trained.

    Parameters, names and errors as in `cascading_randomisation`; a layer gets the same fresh weights as
    there.
    """
    for group in _groups(model, sample, stages):
        yield group[-1], randomise(model, group, seed=seed)


def _groups(model: nn.Module, sample: Tensor, stages: Stages) -> list[list[str]]:
    if isinstance(stages, str):
        raise TypeError(f"stages must be a number, a list of names or None, not {stages!r}")
    if stages is not None and not isinstance(stages, int):
        return [[name] for name in stages]
    names = layers_top_down(model, sample)
    count = len(names) if stages is None else stages
    if not 1 <= count <= len(names):
        raise ValueError(f"stages must lie between 1 and the model's {len(names)} layers, got {stages}")
    cuts = [round(i * len(names) / count) for i in range(count + 1)]
    return [names[low:high] for low, high in itertools.pairwise(cuts)]


def map_similarity(a: Tensor, b: Tensor) -> dict[str, Tensor]:
    """How alike two batches of maps are, by the measures of Adebayo et al.: 1 for the same map.

    "spearman" : rank correlation of the maps as they are, sign included.
    "spearman_abs" : rank correlation of their absolute values (is the same place important?).
    "ssim" : structural similarity, 7 x 7 windows, of maps divided by their largest absolute value and moved
        from [-1, 1] to [0, 1] (with signed means SSIM would take a map and its negative for alike).
    "hog" : Pearson correlation of histograms of oriented gradients, 8 orientations, 3 x 3 cells a block,
        cells of 1/14 of the shorter side (16 pixels at 224) and at least 2.

    A constant map (an all-zero Grad-CAM of a randomised network) has no ranks and no gradients: its
    "spearman" and "hog" are 0, also with itself.

    Parameters
    ----------
    a, b : (B, H, W), floating point, finite, the same shape, at least 7 x 7.

    Returns
    -------
    dict of tensors (B,), values in [-1, 1].

    Raises
    ------
    TypeError, ValueError : shapes, NaN or infinite values.
    """
    a, b = check_maps(a, "a"), check_maps(b, "b")
    if a.shape != b.shape or min(a.shape[1:]) < 7:
        got = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"maps of one shape, at least 7 x 7 pixels, are needed: got {got}")
    from skimage.metrics import structural_similarity  # imported late: it takes longer than all the rest

    first, second = _unit(a), _unit(b)
    ssim = [structural_similarity((x + 1) / 2, (y + 1) / 2, data_range=1.0) for x, y in zip(first, second)]
    hogs = [torch.from_numpy(np.stack([_hog(image) for image in side])) for side in (first, second)]
    return {
        "spearman": rank_correlation(a, b),
        "spearman_abs": rank_correlation(a.abs(), b.abs()),
        "ssim": torch.tensor(ssim, dtype=a.dtype, device=a.device),
        "hog": pearson(*hogs).to(a),
    }


def _unit(maps: Tensor) -> np.ndarray:
    peak = maps.abs().amax((1, 2), keepdim=True)
    return (maps / torch.where(peak > 0, peak, torch.ones_like(peak))).double().cpu().numpy()


def _hog(image: np.ndarray) -> np.ndarray:
    from skimage.feature import hog

    cell = max(2, min(image.shape) // 14)
    return hog(image, orientations=8, pixels_per_cell=(cell, cell), cells_per_block=(3, 3))


def permute_labels(labels: Tensor, seed: int) -> Tensor:
    """The labels (N,) in a random order: the class frequencies stay, any relation to the images goes.

    For the data randomisation test: train on them, and a method's maps must change.
    """
    if not isinstance(labels, Tensor) or labels.ndim != 1 or len(labels) == 0:
        raise ValueError("labels must be a tensor (N,), one label an image")
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return labels[order.to(labels.device)]


def centre_gaussian(height: int, width: int, *, spread: float = 0.2) -> Tensor:
    """A blob in the middle, (H, W), 1 at its top: the map that sees neither picture nor model.

    spread : standard deviation, as a share of each side. What is drawn or photographed on purpose stands near the
    middle, so a method that does not beat this map has shown nothing.

    Raises
    ------
    ValueError : sides or a spread that are not positive.
    """
    if height < 1 or width < 1 or spread <= 0:
        raise ValueError(f"sides and spread must be positive, got {height}, {width} and {spread}")
    y, x = (((torch.arange(n) + 0.5) / n - 0.5) ** 2 for n in (height, width))
    return torch.exp(-(y[:, None] + x) / (2 * spread**2))
