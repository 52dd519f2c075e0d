"""Layer-wise relevance propagation for functional and module networks alike, with an account of what goes where.

References
----------
Bach et al. 2015, PLOS ONE, doi 10.1371/journal.pone.0130140.
The rules are in `lrp_rules`, the operations that they reach in `lrp_calls`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lessons_lib.explain.inputs import Target, check_differentiable, check_images, check_mode, target_scores
from lessons_lib.explain.lrp_calls import HANDLERS, KEEPS_GATE, ROUTES
from lessons_lib.explain.lrp_rules import BIAS, RULES, Layer, Rule, Settings
from lessons_lib.explain.lrp_trace import Trace, swap, tensors_in, tracked
from lessons_lib.explain.maps import over_channels


@dataclass(frozen=True)
class Composite:
    """Which rule serves which layer: a name out of `RULES`, or a function (layer, relevance, settings) -> shares.

    conv, linear, pool, add : for the layers of that kind.
    affine : for a constant scale and offset that no layer before it takes in, as in DenseNet's BatchNorm; None lets
        relevance through. (With an offset, gradient x input needs "zero" here.)
    first : for the weighted layers that read the (normalised) pixels; None to treat them like the others.
    named : layer names, or beginnings of them up to a dot ("features.0", "layer4"), with a rule of their own.
    bias : what `lrp` does with biases when it is not told.
    """

    conv: str | Rule
    linear: str | Rule = "epsilon"
    first: str | Rule | None = None
    pool: str | Rule = "norm"
    add: str | Rule = "norm"
    affine: str | Rule | None = None
    named: Mapping[str, str | Rule] = field(default_factory=dict)
    bias: str = "share"

    def rule_for(self, layer: Layer) -> Rule | None:
        """The rule of `layer`; the longest of the matching names wins."""
        path = layer.name.split(" ")[0]
        own = [name for name in self.named if path == name or path.startswith(name + ".")]
        if own:
            rule = self.named[max(own, key=len)]
        elif layer.first and self.first is not None and layer.kind in ("conv", "linear"):
            rule = self.first
        else:
            rule = getattr(self, layer.kind)
        if rule is None and layer.kind == "affine":
            return None
        if not callable(rule) and rule not in RULES:
            raise ValueError(f"no LRP rule is called {rule!r}; there are {', '.join(RULES)}")
        return rule if callable(rule) else RULES[rule]


COMPOSITES = {
    "zero": Composite("zero", "zero", pool="zero", add="zero", affine="zero", bias="absorb"),
    "epsilon": Composite("epsilon", "epsilon", affine="zero", bias="absorb"),
    "epsilon_plus": Composite("z_plus"),
    "epsilon_plus_flat": Composite("z_plus", first="flat"),
    "epsilon_alpha2_beta1": Composite("alpha2_beta1"),
    "epsilon_gamma_box": Composite("gamma", first="z_box"),
}


@dataclass(frozen=True)
class Balance:
    """Where the relevance went: score = relevance + everything in `absorbed`, for every image and target.

    score : relevance that started at the output, (B,) or (B, T): the score, if that is linear in the output.
    relevance : what arrived at the pixels, summed over them, (B,) or (B, T).
    absorbed : (layer, cause) -> (B,) or (B, T). Causes: "bias", "epsilon", "padding" (relevance handed to explicit
        zero padding), "no contribution" (the rule's denominator was 0), "no input" (a receptive field of padding).
    """

    score: Tensor
    relevance: Tensor
    absorbed: dict[tuple[str, str], Tensor]

    @property
    def total_absorbed(self) -> Tensor:
        return sum(self.absorbed.values(), torch.zeros_like(self.score))

    @property
    def error(self) -> Tensor:
        """What the account cannot explain: rounding."""
        return self.score - self.relevance - self.total_absorbed


def lrp(
    model: nn.Module,
    images: Tensor,
    target: Target = None,
    *,
    composite: str | Composite = "epsilon_plus",
    bounds: tuple[float | Tensor, float | Tensor] = (0.0, 1.0),
    epsilon: float = 1e-6,
    gamma: float = 0.25,
    bias: str | None = None,
    reduce: str | None = "sum",
    return_balance: bool = False,
) -> Tensor | tuple[Tensor, Balance]:
    """Layer-wise relevance propagation: the score, handed back layer by layer to what contributed to it.

    One forward pass, and one backward pass a target. Modules and functional calls are treated alike, modules may be
    used several times, in-place calls are fine. BatchNorm right after a convolution or linear layer is folded into it.
    Relevance passes through activations, dropout, constant factors and offsets (the normalisation of the input)
    and a BatchNorm elsewhere; the winner of a max-pooling takes all; average pooling and sums of two branches hand it on in
    proportion to the contributions, moved off a sum near zero as told in `lrp_rules.norm`; a gate (x * sigmoid(...))
    gets none, its signal gets all. Parameters' `.grad`, modes and buffers are left alone; frozen parameters and a
    surrounding `torch.no_grad()` are fine.

    Parameters
    ----------
    model : the network, no BatchNorm of it in training mode; it normalises its images itself.
    images : (B, C, H, W), floating point.
    target : None (the predicted class), a class for all images, classes (B,) or (B, T), or a function from the
        model's output to scores (B,) or (B, T). Take logits.
    composite : which rule serves which layer: a `Composite`, or one of
        "zero" (LRP-0 everywhere: gradient x normalised input), "epsilon" (epsilon rule),
        "epsilon_plus" (z+ in convolutions, epsilon in linear layers), "epsilon_plus_flat" (the same, flat in the first
        layer), "epsilon_alpha2_beta1" (alpha 2, beta 1 in convolutions), "epsilon_gamma_box" (gamma in
        convolutions, z^B in the first layer).
    bounds : the lowest and highest possible pixel values, for z^B: numbers, or tensors that broadcast to the images.
    epsilon : of the epsilon and gamma rules; it absorbs relevance.
    gamma : of the gamma rule.
    bias : what becomes of the share of a bias.
        "share": its inputs get it, in proportion to |z_ij|: nothing is lost. For alpha-beta and z+ that is the same as a
        bias that stays out of the denominators. A unit that has no contribution of the sign that its rule asks for
        hands its relevance to the others, and one without any contribution (all its inputs are 0, its bias
        alone holds it up) evenly to its receptive field.
        "absorb": the formulas to the letter, with the bias in the denominators; its share is lost.
        "ignore": the formulas to the letter, as if the bias were 0.
        None: "absorb" for "zero" and "epsilon", "share" for the other composites. Where every layer has a signed rule
        the share of a bias has to stay with the bias: handed to the inputs it grows with every cancelling sum on its
        way. Sum of |R| / score of "epsilon" on EfficientNet-Lite0 and a photograph of a cat: 118 with "absorb",
        8e13 with "share", overflow with "ignore"; of "epsilon_plus" with "share": 1.00.
    reduce : how the channels become one map, see `over_channels`; only "sum" and None keep the balance.
    return_balance : also return the account of what was absorbed where, a `Balance`.

    Returns
    -------
    maps (B, H, W), or (B, T, H, W) for T targets; with reduce=None (B, C, H, W) or (B, T, C, H, W). In units of the
    score, signed, not normalised.

    Raises
    ------
    ValueError, TypeError : what is wrong with images, target, mode or options; an operation without a rule
        (attention, LayerNorm, GELU, SiLU, a product of two activations ...), named; relevance that overflowed.

    Warns
    -----
    RuntimeWarning : relevance grew so large, with cancelling signs, that its sum is rounding noise.
    """
    check_images(images)
    check_mode(model)
    composite = _composite(composite)
    settings = _settings(epsilon, gamma, composite.bias if bias is None else bias)
    over_channels(images[:1, :1, :1, :1], reduce)
    account = _Account(len(images))
    settings.record = account if return_balance else None
    with torch.inference_mode(False), torch.enable_grad():
        leaf = images.detach().clone().requires_grad_()
        trace = Trace(model, HANDLERS, ROUTES, KEEPS_GATE, composite.rule_for, settings)
        pixels = trace.start(leaf, *_bounds(bounds, leaf))
        with trace:
            output = model(pixels)
        if composite.first is not None and not trace.first_layers:
            raise ValueError("the composite has a rule for the first layer, but no layer reads the pixels directly")
        ends, starts, several = _starts(trace, output, target)
        settings.keep = len(starts) > 1
        relevance = []
        for number, start in enumerate(starts):
            account.begin()
            (row,) = torch.autograd.grad(ends, leaf, start, retain_graph=number + 1 < len(starts))
            relevance.append(row)
    _check_size(relevance, starts)
    relevance = torch.stack(relevance, 1) if several else relevance[0]
    maps = over_channels(relevance, reduce)
    return (maps, account.balance(starts, relevance, several)) if return_balance else maps


class _Account:
    """Sums what the rules record, per image, layer and cause; one page a target."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._pages: list[dict[tuple[str, str], Tensor]] = []

    def begin(self) -> None:
        self._pages.append({})

    def __call__(self, layer: str, cause: str, amount: Tensor) -> None:
        amount, page = self._per_image(amount), self._pages[-1]
        page[layer, cause] = page[layer, cause] + amount if (layer, cause) in page else amount

    def _per_image(self, amount: Tensor) -> Tensor:
        return amount.reshape(self._batch, -1).sum(1)

    def balance(self, starts: list[list[Tensor]], relevance: Tensor, several: bool) -> Balance:
        scores = [sum(self._per_image(tensor) for tensor in start) for start in starts]
        join = (lambda rows: torch.stack(rows, 1)) if several else (lambda rows: rows[0])
        keys = list(dict.fromkeys(key for page in self._pages for key in page))
        zero = torch.zeros_like(scores[0])
        absorbed = {key: join([page.get(key, zero) for page in self._pages]) for key in keys}
        absorbed = {key: amount for key, amount in absorbed.items() if bool(amount.any())}
        return Balance(join(scores), relevance.sum((-3, -2, -1)), absorbed)


def _starts(trace: Trace, output: object, target: Target) -> tuple[list[Tensor], list[list[Tensor]], bool]:
    """The network's outputs, the relevance that each of them starts with for every target, and whether there are T.

    An output z starts with z d score / d z: the score itself at the unit of a class, 0 elsewhere.
    """
    ends = [tensor for tensor in tensors_in(output) if tracked(tensor)]
    if not ends:
        raise ValueError(
            "no relevance can flow from this model's output: it is detached, or comes out of a sigmoid, which LRP covers "
            "as a gate only; let the model return logits"
        )
    for tensor in ends:
        trace.look(tensor)
    copies = [tensor.detach().requires_grad_() for tensor in ends]
    pairs = list(zip(ends, copies))
    scores = target_scores(swap(output, lambda t: next((copy for end, copy in pairs if end is t), t)), target)
    check_differentiable(scores)
    starts = []
    for row in scores.unbind(1) if scores.ndim == 2 else [scores]:
        grads = torch.autograd.grad(row.sum(), copies, retain_graph=True, materialize_grads=True)
        starts.append([copy.detach() * grad for copy, grad in zip(copies, grads)])
    return ends, starts, scores.ndim == 2


def _check_size(relevance: list[Tensor], starts: list[list[Tensor]]) -> None:
    """Explosion must not pass in silence."""
    for row, start in zip(relevance, starts):
        size, given = float(row.abs().sum()), sum(float(tensor.abs().sum()) for tensor in start)
        if not math.isfinite(size):
            raise ValueError("relevance overflowed on its way to the pixels: choose another composite or bias")
        if size * torch.finfo(row.dtype).eps > 0.1 * given:
            message = f"relevance grew to {size / max(given, 1e-300):.1e} times the score: its sum is rounding noise"
            warnings.warn(message, RuntimeWarning, stacklevel=3)


def _composite(composite: str | Composite) -> Composite:
    if isinstance(composite, Composite):
        return composite
    if not isinstance(composite, str):
        raise TypeError(f"composite must be a name or a Composite, not {type(composite).__name__}")
    if composite not in COMPOSITES:
        raise ValueError(f"no composite is called {composite!r}; there are {', '.join(COMPOSITES)}")
    return COMPOSITES[composite]


def _settings(epsilon: float, gamma: float, bias: str) -> Settings:
    if bias not in BIAS:
        raise ValueError(f"bias must be one of {', '.join(map(repr, BIAS))} or None, not {bias!r}")
    for name, value in (("epsilon", epsilon), ("gamma", gamma)):
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be a finite number >= 0, got {value}")
    return Settings(float(epsilon), float(gamma), bias)


def _bounds(bounds: Sequence[float | Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    if len(bounds) != 2:
        raise ValueError(f"bounds must be a pair (low, high), got {len(bounds)} values")
    low, high = (torch.as_tensor(bound, dtype=images.dtype, device=images.device) for bound in bounds)
    if not bool((low < high).all()):
        raise ValueError("bounds must be (low, high) with low < high everywhere")
    return low, high
