"""Losses of vision-language pre-training: contrast, matching with hard negatives, masked and replaced words, naming.

A caption is often true of other pictures of the batch, too ("a dog on the street"): such pairs are neither negatives of
the contrast nor hard negatives of the matching. Every function that could take them for negatives asks for `true`.

References
----------
Li et al., "Align before Fuse: Vision and Language Representation Learning with Momentum Distillation", arXiv 2107.07651.
Clark et al., "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than Generators", arXiv 2003.10555.
Fang et al., "From Captions to Visual Concepts and Back", arXiv 1411.4952 (words of captions as weak labels of regions).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def contrastive_loss(
    images: Tensor,
    texts: Tensor,
    temperature: Tensor | float,
    true: Tensor,
    *,
    momentum: tuple[Tensor, Tensor] | None = None,
    alpha: float = 0.4,
) -> Tensor:
    """Image-text contrast (ALBEF, section 3.2): each picture finds its text among the batch's, each text its picture.

    Parameters
    ----------
    images, texts : unit vectors (B, d); row i of both belong together.
    temperature : what the cosines are divided by.
    true (B, B) bool : entry i, j: text j is true of picture i; the diagonal is. Other true pairs leave the softmax.
    momentum : unit vectors of the momentum model for the same batch: the targets then are alpha times the softmax of
        its similarities plus 1 - alpha times the one-hot ones (eq. 6). No gradient goes there. Default: one-hot.

    Returns
    -------
    The mean of both directions, >= 0.
    """
    _check_true(true, len(images))
    if images.shape != texts.shape:
        raise ValueError(f"images and texts must pair up, got {tuple(images.shape)} and {tuple(texts.shape)}")
    eye = torch.eye(len(true), dtype=torch.bool, device=true.device)
    left_out = true & ~eye
    similarity = (images @ texts.t() / temperature).masked_fill(left_out, torch.finfo(images.dtype).min)
    if momentum is None:
        rows, columns = eye.to(images), eye.to(images)
    else:
        with torch.no_grad():
            other = (momentum[0] @ momentum[1].t() / temperature).masked_fill(left_out, torch.finfo(images.dtype).min)
            rows = alpha * other.softmax(1) + (1 - alpha) * eye
            columns = alpha * other.t().softmax(1) + (1 - alpha) * eye
    return 0.5 * (F.cross_entropy(similarity, rows) + F.cross_entropy(similarity.t(), columns))


@torch.no_grad()
def follow(momentum: nn.Module, model: nn.Module, decay: float = 0.995) -> None:
    """Move the momentum model's parameters towards the model's: m <- decay m + (1 - decay) p; buffers are copied."""
    for mine, other in zip(momentum.parameters(), model.parameters(), strict=True):
        mine.mul_(decay).add_(other, alpha=1 - decay)
    for mine, other in zip(momentum.buffers(), model.buffers(), strict=True):
        mine.copy_(other)


@torch.no_grad()
def hard_negatives(similarity: Tensor, true: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A wrong text for each picture and a wrong picture for each text, drawn in proportion to the contrast's softmax.

    Parameters
    ----------
    similarity (B, B) : pictures by texts, divided by the temperature.
    true (B, B) bool : entry i, j: text j is true of picture i. True pairs, the diagonal among them, have weight 0.

    Returns
    -------
    texts (B,), images (B,) int64. Where all of a row are true, its own partner is returned: look the label of every
    pair up in `true`.
    """
    _check_true(true, len(similarity))
    found = []
    for scores, bad in ((similarity, true), (similarity.t(), true.t())):
        weights = (scores.softmax(1) + 1e-6).masked_fill(bad, 0.0)
        own = torch.eye(len(bad), dtype=torch.bool, device=bad.device) & bad.all(1, keepdim=True)
        weights = weights.masked_fill(own, 1.0).cpu()
        found.append(torch.multinomial(weights, 1, generator=generator)[:, 0].to(scores.device))
    return found[0], found[1]


def matching_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Image-text matching: cross-entropy of logits (R, 2) with labels (R,), 1 for a match; both labels weigh one half.

    ALBEF takes the plain mean with two negatives a positive; with equal weights the decision at 0 is a balanced one.
    With one label alone it is the mean over that label.
    """
    losses = F.cross_entropy(logits, labels, reduction="none")
    parts = [losses[labels == label].mean() for label in (0, 1) if (labels == label).any()]
    return torch.stack(parts).mean()


def mask_words(
    tokens: Tensor, mask_number: int, generator: torch.Generator, *, share: float = 0.15, special: int = 4
) -> tuple[Tensor, Tensor]:
    """Tokens (R, L) with `share` of the words replaced by [MASK], and which ones, bool (R, L).

    Numbers below `special` (padding, unknown, [CLS], [MASK]) are never masked. A masked word is always shown as [MASK];
    ALBEF shows one in ten unchanged and one in ten as another word.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1], got {share}")
    drawn = torch.rand(tokens.shape, generator=generator).to(tokens.device)
    chosen = (drawn < share) & (tokens >= special)
    return tokens.masked_fill(chosen, mask_number), chosen


def masked_word_loss(logits: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy of logits (M, V) at the masked places with the words (M,) that stood there; 0 when M is 0."""
    return F.cross_entropy(logits, words) if len(words) else logits.sum()


def replaced_word_loss(
    logits: Tensor, tokens: Tensor, true_tokens: Tensor, *, weight: float = 4.0, special: int = 4
) -> Tensor:
    """Which words of a false caption are false of the picture (after ELECTRA, whose texts have no picture)?

    Parameters
    ----------
    logits (R, L) : of "this word was replaced".
    tokens, true_tokens (R, L) : the text as it is shown and as it is true; where they agree nothing was replaced.
    weight : of a replaced word, because there are few.

    Returns
    -------
    The mean over all words of the weighted binary cross-entropy; numbers below `special` are no words.
    """
    if not logits.shape == tokens.shape == true_tokens.shape:
        shapes = [tuple(t.shape) for t in (logits, tokens, true_tokens)]
        raise ValueError(f"logits, tokens and true tokens must have one shape (R, L), got {shapes}")
    words = tokens >= special
    replaced = (tokens != true_tokens).to(logits.dtype)
    positive = torch.tensor(weight, dtype=logits.dtype, device=logits.device)
    return F.binary_cross_entropy_with_logits(logits[words], replaced[words], pos_weight=positive)


def naming_loss(logits: Tensor, named: Tensor, counted: Tensor) -> Tensor:
    """Are the words of a picture's captions seen anywhere in it? Binary cross-entropy, summed over words.

    Parameters
    ----------
    logits (B, V) : of each word, the largest over the picture's patches.
    named (B, V) bool : the words of the picture's captions.  counted (V,) bool : the words that take part.
    """
    losses = F.binary_cross_entropy_with_logits(
        logits[:, counted], named[:, counted].to(logits.dtype), reduction="none"
    )
    return losses.sum(1).mean()


def _check_true(true: Tensor, batch: int) -> None:
    if true.dtype != torch.bool or tuple(true.shape) != (batch, batch):
        raise ValueError(
            f"true must be bool ({batch}, {batch}), pictures by texts, got {true.dtype} {tuple(true.shape)}"
        )
    if not true.diagonal().all():
        raise ValueError("every text must be true of its own picture: the diagonal of `true` must be true")
