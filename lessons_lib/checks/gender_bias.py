"""Checks of the exercises of lesson 07: gender bias in captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lessons_lib.checks.core import fail, same, tensor

_WOMEN, _MEN = (3, 6), (4, 7)
_TOKENS = torch.tensor([[2, 3, 1, 0], [2, 7, 1, 0], [2, 5, 1, 0], [2, 4, 1, 0]])


def _chances() -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(4, 4, 8, generator=generator, dtype=torch.float64).softmax(-1)


def check_token_mask(function: Callable[[Tensor, Sequence[int]], Tensor]) -> None:
    """`function(tokens (B, L), words)`: bool (B, L), the places that hold any of the words."""
    words = (*_WOMEN, *_MEN)
    result = function(_TOKENS.clone(), words)
    if isinstance(result, Tensor) and result.dtype != torch.bool:
        fail(f"a mask of truth values (torch.bool) is expected, yours holds {result.dtype}")
    found = tensor(result, (4, 4), "your mask", {(4,): "one value a place, not one a caption"}).bool()
    right = torch.isin(_TOKENS, torch.tensor(words))
    if torch.equal(found, right):
        print("passed: the union over the words; two words never stand in one place")
        return
    if not found.any():
        fail("your mask is empty. If you keep the places of one word after another, you intersect: no place holds two "
             "words. Start from no place and add each word's places")  # fmt: skip
    if torch.equal(found, ~right):
        fail("you marked all the other words; marked are the places of the words that were given")
    if torch.equal(found, _TOKENS == words[-1]) or torch.equal(found, _TOKENS == words[0]):
        fail("only one of the words is marked: do you overwrite the mask for each word instead of adding to it?")
    n, t = torch.nonzero(found != right)[0].tolist()
    fail(f"caption {_TOKENS[n].tolist()} and words {words}: place {t} should be {bool(right[n, t])}")


def check_appearance_confusion(function: Callable[[Tensor, Tensor, Sequence[int], Sequence[int]], Tensor]) -> None:
    """`function(chances (B, L, V), mask (B, L), women, men)`: the Appearance Confusion Loss, one number."""
    chances, mask = _chances(), torch.isin(_TOKENS, torch.tensor((*_WOMEN, *_MEN)))
    found = tensor(
        function(chances.clone(), mask.clone(), _WOMEN, _MEN),
        (),
        "your loss",
        {(4, 4): "sum over the places, mean over the captions", (4,): "take the mean over the captions"},
    )
    gap = chances[..., list(_WOMEN)].sum(-1) - chances[..., list(_MEN)].sum(-1)
    right = (gap.abs() * mask).sum() / 4
    if same(right, found):
        print("passed: 0 where both sets of words are equally likely, at most 1 a place")
        return
    if same((gap * mask).sum() / 4, found) or same(-(gap * mask).sum() / 4, found):
        fail("the absolute value is missing: too many women's words here must not pay for too many men's words there")
    if same((gap * mask).sum().abs() / 4, found):
        fail("you took the absolute value of the sum; take it at each place, or errors cancel")
    if same(gap.abs().sum() / 4, found):
        fail("you counted every place; only those that the mask marks count")
    if same((gap.abs() * mask).sum(), found):
        fail("you took the sum over the captions; the loss is their mean")
    if same((gap.abs() * mask).sum() / mask.sum(), found):
        fail("you took the mean over the marked places; it is a sum over places and a mean over captions")
    first = (chances[..., _WOMEN[0]] - chances[..., _MEN[0]]).abs()
    if same((first * mask).sum() / 4, found):
        fail("you compared one word of each set; add up the probabilities of each set first")
    each = (chances[..., list(_WOMEN)] - chances[..., list(_MEN)]).abs().sum(-1)
    if same((each * mask).sum() / 4, found):
        fail("you compared word with word; add up the probabilities of each set first, then compare the sums")
    fail(f"for the four small captions of this check the loss is {float(right):.4f}, yours is {float(found):.4f}")


def check_confident_quotient(function: Callable[[Tensor, Tensor, Sequence[int], Sequence[int]], Tensor]) -> None:
    """`function(chances (B, L, V), tokens (B, L), women, men)`: the Confident Loss in its quotient form, epsilon 1e-5."""
    chances, count = _chances(), len(_TOKENS)
    found = tensor(
        function(chances.clone(), _TOKENS.clone(), _WOMEN, _MEN),
        (),
        "your loss",
        {(4, 4): "sum over the places, mean over the captions", (4,): "take the mean over the captions"},
    )
    woman, man = chances[..., list(_WOMEN)].sum(-1), chances[..., list(_MEN)].sum(-1)
    is_woman, is_man = (torch.isin(_TOKENS, torch.tensor(words)) for words in (_WOMEN, _MEN))
    quotients = man / (woman + 1e-5), woman / (man + 1e-5)
    right = (quotients[0] * is_woman + quotients[1] * is_man).sum() / count
    if same(right, found, 1e-6):
        print("passed: about 1 where both sets are equally likely, and 0 where the true one is certain")
        return
    if same((quotients[1] * is_woman + quotients[0] * is_man).sum() / count, found):
        fail("upside down: the wrong set belongs above the line, or your loss rewards mistakes")
    if same((quotients[0] * is_woman).sum() / count, found) or same((quotients[1] * is_man).sum() / count, found):
        fail("only one of the two sets counts: both kinds of mistakes must cost")
    if same((quotients[0] + quotients[1]).sum() / count, found):
        fail("every place counts for both sets; which set is right is decided by the true word at that place")
    if same(right * count, found):
        fail("you took the sum over the captions; the loss is their mean")
    fail(f"for the four small captions of this check the loss is {float(right):.4f}, yours is {float(found):.4f}")
