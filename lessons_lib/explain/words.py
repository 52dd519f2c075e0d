"""Which words did a text network use? Grad-CAM for 1-D convolutions, and baselines over words.

Every method is called as method(model, tokens, target) and gives one number a word, (B, L), zero at padding; larger
means more in favour of the target. The model is a `lessons_lib.models.text.TextCNN` in eval mode, or has its methods.
Any scalar is a target: None (the predicted class), a class, classes (B,), or a function from the logits (B, K) to
scores (B,), such as `lambda logits: logits[:, 1] - logits[:, 0]`.

References
----------
Selvaraju et al., "Grad-CAM", arXiv 1610.02391 (eqs. 1 and 2, here with positions in a text instead of pixels).
Lertvittayakumjorn and Toni, "Human-grounded Evaluations of Explanation Methods for Text Classification", EMNLP-IJCNLP
2019, arXiv 1908.11355; `winning_ngrams` follows its released code, plkumjorn/CNNAnalysis.
HaebinShin/grad-cam-text: Grad-CAM summed over kernel sizes, with the bilinear resize of `resize_words`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.explain.gradcam import grad_cam
from lessons_lib.explain.inputs import Target, check_differentiable, target_indices, target_scores
from lessons_lib.models.text import PAD, check_tokens, lengths, ngrams

UNKNOWN = 1  # the number of "<unk>" in every `data_fetch.words.Vocabulary`
ALIGNMENTS = ("spread", "resize")
REPLACEMENTS = ("unknown", "remove")


def grad_cam_words(
    model: nn.Module,
    tokens: Tensor,
    target: Target = None,
    *,
    relu: bool = True,
    counterfactual: bool = False,
    align: str = "spread",
) -> Tensor:
    """Grad-CAM over words: the n-grams' maps of every kernel size, brought to the words and summed.

    A filter's value stands at an n-gram, not at a word. With "spread" each of the n words gets the n-gram's whole
    value, as in the released code of Lertvittayakumjorn and Toni: every value is counted exactly n times, so a word
    far from the text's ends sums the n n-grams that it is part of. A text of fewer than n words is one n-gram, whose
    value is counted once for each of its words.

    Parameters
    ----------
    model : in eval mode.  tokens : (B, L) int64, padding (0) at the end.
    target : one a text, see above.
    relu, counterfactual : as in `grad_cam`; the ReLU acts on each kernel size's map, before the sum.
    align : "spread", or "resize" as in an older implementation, which misplaces words: see `resize_words`.

    Returns
    -------
    scores (B, L), >= 0 with `relu`, not normalised; more padding changes nothing but rounding.

    Raises
    ------
    ValueError, TypeError : tokens, mode, target or `align` that do not fit; the message says how.
    """
    if align not in ALIGNMENTS:
        raise ValueError(f"align must be one of {ALIGNMENTS}, got {align!r}")
    bring_to_words = spread if align == "spread" else resize_words
    maps = ngram_maps(model, tokens, target, relu=relu, counterfactual=counterfactual)
    return torch.stack([bring_to_words(values, n, tokens) for n, values in maps.items()]).sum(0)


def ngram_maps(
    model: nn.Module, tokens: Tensor, target: Target = None, *, relu: bool = True, counterfactual: bool = False
) -> dict[int, Tensor]:
    """For each kernel size n Grad-CAM at the n-grams: ReLU(sum_k alpha_k A^k) (B, positions), zero where padding is.

    alpha_k is the mean of d score / d A^k over the text's n-grams. `grad_cam` itself does the work; it takes the mean
    over all positions, of which those with padding have no gradient, so that the mean over the rest is a factor away.
    With max-pooling and a linear head of weights w only the winner has a gradient, w_k; with mean-pooling each of the
    Z n-grams has w_k / Z. Either way alpha_k = w_k / Z, so that Grad-CAM is CAM / Z here.

    Arguments and errors as in `grad_cam_words`.
    """
    _check(model, tokens)
    maps = {}
    for n, layer in model.layers.items():
        found = grad_cam(
            model,
            tokens,
            lambda output: _one_score(output, target),
            layer,
            relu=relu,
            counterfactual=counterfactual,
            layout="channels_first",
        )
        real = ngrams(tokens, n, found.shape[1])
        maps[n] = found * real * (found.shape[1] / real.sum(1, keepdim=True).to(found.dtype))
    return maps


def spread(values: Tensor, n: int, tokens: Tensor) -> Tensor:
    """Each n-gram's value (B, positions), added to all n of its words: (B, L), zero at padding.

    Raises
    ------
    ValueError : not one value for every n-gram of `tokens` (B, L).
    """
    _check_values(values, n, tokens)
    words = F.pad(values, (n - 1, n - 1)).unfold(1, n, 1).sum(2)[:, : tokens.shape[1]]
    return words * (tokens != PAD)


def resize_words(values: Tensor, n: int, tokens: Tensor) -> Tensor:
    """Values of n-grams (B, positions) resized to the words by bilinear interpolation: (B, L), zero at padding.

    The P = length - n + 1 n-grams of each text are stretched over its words as pixels are (align_corners=False). An
    n-gram at the text's start then counts for its first word, one at the end for its last: up to n - 1 words beside
    the one that mattered. Here to show that; use `spread`. Errors as there.
    """
    _check_values(values, n, tokens)
    length = lengths(tokens).clamp(min=1)[:, None]
    count = (length - n + 1).clamp(min=1)
    place = torch.arange(tokens.shape[1], device=tokens.device, dtype=values.dtype)
    place = (place + 0.5) * (count / length.to(values.dtype)) - 0.5  # (B, L), in n-grams
    place = torch.minimum(place.clamp(min=0), count - 1)
    low = place.long()
    high = torch.minimum(low + 1, count - 1)
    fraction = place - low
    words = values.gather(1, low) * (1 - fraction) + values.gather(1, high) * fraction
    return words * (tokens != PAD)


def winning_ngrams(model: nn.Module, tokens: Tensor, target: Target = None, *, against: bool = False) -> Tensor:
    """The n-grams that won the max-pooling, by how much they add to the score (Lertvittayakumjorn and Toni 2019).

    Filter k has the importance ReLU(d score / d f_k) f_k, f_k its pooled feature; it is added to each of the n words
    of the n-gram that won, and to no other word. Over a text of at least n words every filter counts exactly n times.

    Parameters
    ----------
    model, tokens, target : as in `grad_cam_words`.
    against : the counter-evidence instead, ReLU(-d score / d f_k) f_k.

    Returns
    -------
    scores (B, L) >= 0.

    Raises
    ------
    ValueError, TypeError : as `grad_cam_words`; a model without max-pooling, which has no winners.
    """
    _check(model, tokens)
    if model.pooling != "max":
        raise ValueError(f"only max-pooling has winning n-grams, this model has {model.pooling!r}: use grad_cam_words")
    with torch.no_grad():
        features = model.ngram_features(model.embedding(tokens))
        pooled = model.pool(features, tokens)
    gradient = _gradient(model.head, pooled, target)
    importance = ((-gradient if against else gradient).relu() * pooled).split(model.channels, 1)
    words = []
    for (n, values), part in zip(features.items(), importance, strict=True):
        winners = (values * ngrams(tokens, n, values.shape[2])[:, None]).argmax(2)  # (B, channels)
        at_ngrams = part.new_zeros(values.shape[0], values.shape[2]).scatter_add_(1, winners, part)
        words.append(spread(at_ngrams, n, tokens))
    return torch.stack(words).sum(0)


def gradient_words(model: nn.Module, tokens: Tensor, target: Target = None) -> Tensor:
    """The Euclidean norm of d score / d vector of each word, (B, L) >= 0: how much a small change would matter.

    It has no sign: evidence for and against look alike. Arguments and errors as in `grad_cam_words`.
    """
    _, gradient = _word_gradients(model, tokens, target)
    return gradient.norm(dim=2) * (tokens != PAD)


def gradient_x_input_words(model: nn.Module, tokens: Tensor, target: Target = None) -> Tensor:
    """d score / d vector times the word's vector, summed over its entries, (B, L), signed, in units of the score.

    A word whose vector is zero gets 0. Arguments and errors as in `grad_cam_words`.
    """
    vectors, gradient = _word_gradients(model, tokens, target)
    return (gradient * vectors).sum(2) * (tokens != PAD)


def occlusion_words(
    model: nn.Module, tokens: Tensor, target: Target = None, *, replace: str = "unknown", unknown: int = UNKNOWN
) -> Tensor:
    """How much the score falls when one word is replaced or taken out, (B, L), signed, in units of the score.

    It needs one forward pass a word and no gradient. With target None the class that is predicted for the whole text
    is kept.

    Parameters
    ----------
    model, tokens, target : as in `grad_cam_words`.
    replace : "unknown" puts the unknown word in its place; "remove" takes the word out, so that its neighbours meet.
    unknown : number of the unknown word.
    """
    _check(model, tokens)
    if replace not in REPLACEMENTS:
        raise ValueError(f"replace must be one of {REPLACEMENTS}, got {replace!r}")
    with torch.no_grad():
        output = model(tokens)
        target = target if callable(target) else target_indices(output, target)
        whole = _one_score(output, target)
        falls = torch.zeros(tokens.shape, dtype=whole.dtype, device=tokens.device)
        for place in range(int(lengths(tokens).max())):
            if replace == "remove":
                changed = torch.cat([tokens[:, :place], tokens[:, place + 1 :], torch.full_like(tokens[:, :1], PAD)], 1)
            else:
                changed = tokens.clone()
                changed[:, place].masked_fill_(tokens[:, place] != PAD, unknown)
            falls[:, place] = whole - _one_score(model(changed), target)
    return falls * (tokens != PAD)


METHODS: dict[str, Callable[..., Tensor]] = {
    "grad_cam_words": grad_cam_words,
    "winning_ngrams": winning_ngrams,
    "gradient": gradient_words,
    "gradient_x_input": gradient_x_input_words,
    "occlusion": occlusion_words,
}


def _check_values(values: Tensor, n: int, tokens: Tensor) -> None:
    rows, positions = len(tokens), tokens.shape[1] - n + 1
    if values.ndim != 2 or len(values) != rows or values.shape[1] < positions:
        raise ValueError(
            f"values ({rows}, {positions}) are needed, one for each of the n-grams of {n} words in texts of shape "
            f"{tuple(tokens.shape)}, got {tuple(values.shape)}"
        )


def _check(model: nn.Module, tokens: Tensor) -> None:
    check_tokens(tokens)
    if model.training:
        raise ValueError(
            "the model is in training mode: dropout would draw another explanation each time. Call model.eval()"
        )


def _one_score(output: Tensor, target: Target) -> Tensor:
    scores = target_scores(output, target)
    if scores.ndim != 1:
        raise ValueError(f"one target a text is needed, scores of shape (B,), got {tuple(scores.shape)}")
    return scores


def _gradient(function: Callable[[Tensor], Tensor], inputs: Tensor, target: Target) -> Tensor:
    """d score / d inputs, shaped like `inputs`; function(inputs) gives the logits."""
    with torch.inference_mode(False), torch.enable_grad():
        inputs = inputs.detach().clone().requires_grad_()
        scores = _one_score(function(inputs), target)
        check_differentiable(scores)
        return torch.autograd.grad(scores.sum(), inputs)[0]


def _word_gradients(model: nn.Module, tokens: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """The words' vectors and the score's gradient with respect to them, both (B, L, embedding)."""
    _check(model, tokens)
    vectors = model.embedding(tokens).detach()
    return vectors, _gradient(lambda changed: model.logits(changed, tokens), vectors, target)
