"""The rules of layer-wise relevance propagation, for any layer that is linear in its inputs.

With contributions z_ij = a_i w_ij and z_j = sum_i z_ij + b_j a rule hands the relevance R_j of unit j to its inputs.
A `Part` is one choice of contributions (all, the positive ones, the negative ones, ...): its sum over the inputs, and
its transpose, which hands an amount per unit back in proportion. Every rule is a few lines over such parts.

References
----------
Bach et al. 2015, PLOS ONE, doi 10.1371/journal.pone.0130140 (epsilon, alpha-beta). Montavon et al., "Explaining
NonLinear Classification Decisions with Deep Taylor Decomposition", arXiv 1512.02479 (z+, w^2, z^B).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

Rule = Callable[["Layer", Tensor, "Settings"], tuple[Tensor, ...]]
BIAS = ("share", "absorb", "ignore")


@dataclass
class Settings:
    """What all rules of one run share.

    epsilon, gamma : of the rules of that name.  bias : "share", "absorb" or "ignore", see `lrp`.
    keep : the graphs of the parts are needed again (several targets).
    record : takes (layer name, cause, amount of relevance per unit) for what does not reach the inputs.
    """

    epsilon: float
    gamma: float
    bias: str
    keep: bool = False
    record: Callable[[str, str, Tensor], None] | None = None


@dataclass
class Layer:
    """One call of an operation that is linear in its inputs.

    name : path of the module that owns the weight, or the operation's name and number.
    kind : "conv", "linear", "pool", "add" or "affine" (scale and shift that could not be folded).
    op : (weight, *inputs) -> sum_i z_ij, without the bias.
    weight : None where all weights are positive and fixed (pooling, addition).
    bias : broadcasts against the output, or None.
    inside : 1 at true positions of the (single) input and 0 in explicit padding, or None when there is none.
    low, high : the bounds of the input if it is an affine image of the pixels, else None.
    """

    name: str
    kind: str
    op: Callable[..., Tensor]
    weight: Tensor | None = None
    bias: Tensor | None = None
    inside: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None
    inputs: tuple[Tensor, ...] = ()
    _parts: dict[str, Part] = field(default_factory=dict, init=False)

    @property
    def first(self) -> bool:
        """Whether it reads the (normalised) pixels."""
        return self.low is not None

    def part(self, which: str, settings: Settings) -> Part:
        if which not in self._parts:
            self._parts[which] = Part(self.op, self._terms(which), self.inputs[0].new_zeros(()), settings.keep)
        return self._parts[which]

    def release(self) -> None:
        """Forget the inputs and what was computed from them."""
        self.inputs = ()
        self._parts.clear()

    def _terms(self, which: str) -> list[tuple[Tensor | None, tuple[Tensor, ...]]]:
        """(weights, inputs) whose products are the contributions; together they are `which` part of all z_ij."""
        inputs, weight = self.inputs, self.weight
        if which == "all":
            return [(weight, inputs)]
        if which == "size":  # |z_ij|
            return [(None if weight is None else weight.abs(), tuple(a.abs() for a in inputs))]
        if which == "even":  # 1 for every input in the receptive field, padding left out
            ones = (self.inside,) if self.inside is not None else tuple(torch.ones_like(a) for a in inputs)
            return [(None if weight is None else torch.ones_like(weight), ones)]
        if which == "square":
            return [(weight**2, (self.inside if self.inside is not None else torch.ones_like(inputs[0]),))]
        up = None if weight is None else weight.clamp(min=0)
        down = None if weight is None else weight.clamp(max=0)
        if which == "box":  # (a - low) w+ + (a - high) w-  =  z - low w+ - high w-, all of it >= 0
            return [(up, ((inputs[0] - self.low).clamp(min=0),)), (down, ((inputs[0] - self.high).clamp(max=0),))]
        above, below = tuple(a.clamp(min=0) for a in inputs), tuple(a.clamp(max=0) for a in inputs)
        signed = any(bool(a.any()) for a in below)
        if weight is None:
            return [(None, above)] if which == "positive" else [(None, below)] if signed else []
        terms = [(up, above), (down, below)] if which == "positive" else [(down, above), (up, below)]
        return terms if signed else terms[:1]


class Part:
    """Some of the contributions of a layer: their sum per unit, and the way back to the inputs."""

    def __init__(self, op: Callable[..., Tensor], terms: list, none: Tensor, keep: bool) -> None:
        self._keep = keep
        with torch.enable_grad():
            self._leaves = [tuple(a.detach().requires_grad_() for a in inputs) for _, inputs in terms]
            sums = [op(weight, *leaves) for (weight, _), leaves in zip(terms, self._leaves)]
            self._sum = sum(sums[1:], sums[0]) if sums else none
        self.sums = self._sum.detach()

    def hand_back(self, per_unit: Tensor) -> tuple[Tensor, ...]:
        """sum_j z_ij per_unit_j over these contributions, one tensor an input."""
        if not self._leaves:
            return ()
        flat = [a for leaves in self._leaves for a in leaves]
        grads = torch.autograd.grad(self._sum, flat, per_unit.expand_as(self._sum), retain_graph=self._keep)
        shares = [(a.detach() * grad) for a, grad in zip(flat, grads)]
        count = len(self._leaves[0])
        return tuple(sum(shares[i + count :: count], shares[i]) for i in range(count))


def _divide(amount: Tensor, by: Tensor) -> Tensor:
    """amount / by, 0 where `by` is 0 (or so small that the quotient would overflow)."""
    zero = by.abs() <= torch.finfo(by.dtype).tiny * 1e8
    return torch.where(zero, 0, amount / torch.where(zero, 1, by))


def _undivided(amount: Tensor, by: Tensor) -> Tensor:
    """The amounts that `_divide` does not hand on."""
    return torch.where(by.abs() <= torch.finfo(by.dtype).tiny * 1e8, amount, 0)


def _plus(*shares: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    shares = [share for share in shares if share]
    return tuple(sum(column[1:], column[0]) for column in zip(*shares))


def _sign(total: Tensor) -> Tensor:
    return torch.where(total >= 0, 1, -1).to(total.dtype)


def _record(layer: Layer, settings: Settings, cause: str, amount: Tensor) -> None:
    if settings.record is not None:
        settings.record(layer.name, cause, amount)


def spread(layer: Layer, amount: Tensor, settings: Settings) -> tuple[Tensor, ...]:
    """Hand `amount` per unit to its inputs in proportion to |z_ij|; evenly where all its contributions are 0."""
    size = layer.part("size", settings)
    shares = size.hand_back(_divide(amount, size.sums))
    left = _undivided(amount, size.sums)
    return _plus(shares, spread_evenly(layer, left, settings)) if bool(left.any()) else shares


def spread_evenly(layer: Layer, amount: Tensor, settings: Settings) -> tuple[Tensor, ...]:
    """Hand `amount` per unit to all inputs in its receptive field alike."""
    even = layer.part("even", settings)
    _record(layer, settings, "no input", _undivided(amount, even.sums))
    return even.hand_back(_divide(amount, even.sums))


def _lost(layer: Layer, amount: Tensor, settings: Settings) -> tuple[Tensor, ...]:
    """Units for which the rule's denominator is 0: shared out, or entered into the account."""
    if settings.bias == "share":
        return spread(layer, amount, settings) if bool(amount.any()) else ()
    _record(layer, settings, "no contribution", amount)
    return ()


def _bias(layer: Layer, settings: Settings) -> Tensor | None:
    return None if settings.bias == "ignore" else layer.bias


def epsilon(layer: Layer, relevance: Tensor, settings: Settings, eps: float | None = None) -> tuple[Tensor, ...]:
    """R_i = sum_j z_ij / (z_j + eps sign(z_j)) R_j with sign(0) = +1; eps absorbs its share."""
    eps = settings.epsilon if eps is None else eps
    part, bias = layer.part("all", settings), _bias(layer, settings)
    total = part.sums if bias is None else part.sums + bias
    stabiliser = eps * _sign(total)
    ratio = _divide(relevance, total + stabiliser)
    shares = part.hand_back(ratio)
    _record(layer, settings, "epsilon", ratio * stabiliser)
    if bias is not None:
        if settings.bias == "share":
            shares = _plus(shares, spread(layer, ratio * bias, settings))
        else:
            _record(layer, settings, "bias", ratio * bias)
    return _plus(shares, _lost(layer, _undivided(relevance, total + stabiliser), settings))


def zero(layer: Layer, relevance: Tensor, settings: Settings) -> tuple[Tensor, ...]:
    """LRP-0, R_i = sum_j z_ij / z_j R_j: gradient x input in a network of ReLUs, poolings and linear layers."""
    return epsilon(layer, relevance, settings, eps=0.0)


def norm(layer: Layer, relevance: Tensor, settings: Settings) -> tuple[Tensor, ...]:
    """For sums and average pooling: R_i = z_ij / z_j R_j in a form that conserves and cannot divide by zero.

    z_j is moved away from zero by 8 rounding units of sum_i |z_ij|, and what that takes away is handed to the inputs in
    proportion to |z_ij|.
    """
    part, size = layer.part("all", settings), layer.part("size", settings)
    shift = 8 * torch.finfo(relevance.dtype).eps * size.sums * _sign(part.sums)
    ratio = _divide(relevance, part.sums + shift)
    lost = _undivided(relevance, part.sums + shift)
    return _plus(part.hand_back(ratio), spread(layer, ratio * shift + lost, settings))


def gamma(layer: Layer, relevance: Tensor, settings: Settings) -> tuple[Tensor, ...]:
    """Positive contributions of a positive unit (negative ones of a negative unit) count 1 + gamma times."""
    part, bias = layer.part("all", settings), _bias(layer, settings)
    total = part.sums if bias is None else part.sums + bias
    up = total >= 0
    favoured = [("positive", up)]
    if bool((relevance * ~up).any()):  # after a ReLU negative units have no relevance: nothing to compute
        favoured.append(("negative", ~up))
    extra = sum(torch.where(mine, layer.part(which, settings).sums, 0) for which, mine in favoured)
    liked = None if bias is None else torch.where(up, bias.clamp(min=0), bias.clamp(max=0))
    if bias is not None and settings.bias == "absorb":
        extra = extra + liked
    denominator = total + settings.gamma * extra + settings.epsilon * _sign(total)
    ratio = _divide(relevance, denominator)
    shares = [part.hand_back(ratio)]
    for which, mine in favoured:
        shares.append(layer.part(which, settings).hand_back(torch.where(mine, settings.gamma * ratio, 0)))
    _record(layer, settings, "epsilon", ratio * settings.epsilon * _sign(total))
    if bias is not None and settings.bias == "share":
        shares.append(spread(layer, ratio * bias, settings))
    elif bias is not None:
        _record(layer, settings, "bias", ratio * (bias + settings.gamma * liked))
    return _plus(*shares, _lost(layer, _undivided(relevance, denominator), settings))


def alpha_beta(alpha: float, beta: float) -> Rule:
    """R_i = sum_j (alpha z_ij+ / sum_i z_ij+ - beta z_ij- / sum_i z_ij-) R_j, alpha - beta = 1, beta >= 0.

    With bias "share" a unit with contributions of one sign only hands its whole relevance to those.
    """
    if beta < 0 or abs(alpha - beta - 1) > 1e-9:
        raise ValueError(f"the alpha-beta rule needs alpha - beta = 1 and beta >= 0, got {alpha} and {beta}")

    def rule(layer: Layer, relevance: Tensor, settings: Settings) -> tuple[Tensor, ...]:
        if settings.bias == "share":
            return _alpha_beta_shared(layer, relevance, settings, alpha, beta)
        shares, bias = [], _bias(layer, settings)
        for which, factor in (("positive", alpha), ("negative", -beta)):
            if factor == 0:
                continue
            part = layer.part(which, settings)
            offset = torch.zeros_like(part.sums) if bias is None else bias
            offset = offset.clamp(min=0) if which == "positive" else offset.clamp(max=0)
            ratio = _divide(factor * relevance, part.sums + offset)
            shares.append(part.hand_back(ratio))
            _record(layer, settings, "bias", ratio * offset)
            _record(layer, settings, "no contribution", _undivided(factor * relevance, part.sums + offset))
        return _plus(*shares)

    return rule


def _alpha_beta_shared(
    layer: Layer, relevance: Tensor, settings: Settings, alpha: float, beta: float
) -> tuple[Tensor, ...]:
    positive = layer.part("positive", settings)
    if beta == 0:
        shares = positive.hand_back(_divide(relevance, positive.sums))
        left = _undivided(relevance, positive.sums)
        return _plus(shares, spread(layer, left, settings)) if bool(left.any()) else shares
    negative = layer.part("negative", settings)
    to_positive = torch.where(_undivided(torch.ones_like(relevance), negative.sums) == 0, alpha, 1) * relevance
    to_negative = torch.where(_undivided(torch.ones_like(relevance), positive.sums) == 0, -beta, 1) * relevance
    left = _undivided(_undivided(relevance, positive.sums), negative.sums)
    return _plus(
        positive.hand_back(_divide(to_positive, positive.sums)),
        negative.hand_back(_divide(to_negative, negative.sums)),
        spread_evenly(layer, left, settings) if bool(left.any()) else (),
    )


def _by(which: str, name: str, text: str) -> Rule:
    def rule(layer: Layer, relevance: Tensor, settings: Settings) -> tuple[Tensor, ...]:
        if layer.weight is None or len(layer.inputs) != 1:
            raise ValueError(f"the rule {name!r} needs a layer with weights, {layer.name!r} has none")
        part = layer.part(which, settings)
        shares = part.hand_back(_divide(relevance, part.sums))
        return _plus(shares, _lost(layer, _undivided(relevance, part.sums), settings))

    rule.__name__, rule.__doc__ = name, text
    return rule


w_square = _by("square", "w_square", "R_i = sum_j w_ij^2 / sum_i w_ij^2 R_j, for inputs without bounds.")
flat = _by("even", "flat", "R_i = sum_j R_j / (number of inputs of j): the same share for all inputs of a unit.")
_box = _by("box", "z_box", "")


def z_box(layer: Layer, relevance: Tensor, settings: Settings) -> tuple[Tensor, ...]:
    """z^B: numerators z_ij - l_i w_ij+ - h_i w_ij-, for the layer that reads pixels between the bounds l and h."""
    if not layer.first:
        raise ValueError(f"the rule 'z_box' is for the layer that reads the pixels; {layer.name!r} has no bounds")
    (pixels,), slack = layer.inputs, 1e-4 * (layer.high - layer.low)  # the bounds went through the normalisation too
    if bool(((pixels < layer.low - slack) | (pixels > layer.high + slack)).any()):
        raise ValueError(
            "the rule 'z_box' needs pixels within the bounds: pass bounds=(low, high) that hold for the images"
        )
    return _box(layer, relevance, settings)


RULES = {
    "zero": zero,
    "epsilon": epsilon,
    "gamma": gamma,
    "alpha1_beta0": alpha_beta(1.0, 0.0),
    "alpha2_beta1": alpha_beta(2.0, 1.0),
    "z_plus": alpha_beta(1.0, 0.0),
    "w_square": w_square,
    "flat": flat,
    "z_box": z_box,
    "norm": norm,
}
