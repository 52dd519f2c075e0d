"""A convolutional network for short texts (Kim 2014): n-gram detectors, pooling over time, one linear layer.

References
----------
Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014, arXiv 1408.5882.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOLINGS = ("max", "mean")
PAD = 0  # the number of padding in every `data_fetch.words.Vocabulary`


class TextCNN(nn.Module):
    """Embedding, one convolution for each kernel size n with ReLU, pooling over the n-grams, and a linear layer.

    A filter of kernel size n is a detector of n-grams: n words in a row. Padding is left out of the pooling, so that
    the same text with more padding has the same logits up to rounding. A text of fewer than n words counts as one
    n-gram, filled up with vectors of zeros. Every ReLU is a module of its own.

    Parameters
    ----------
    words : numbers that a word can have, padding and the unknown word included: `len(vocabulary)`.
    classes : number of logits.
    kernel_sizes : different sizes n.
    channels : filters of each size.
    embedding : length of a word's vector.
    pooling : "max" takes each filter's strongest n-gram (Kim 2014); "mean" averages over the text's n-grams, so that
        Grad-CAM is CAM up to a factor.
    dropout : share of the pooled features that are dropped in training.
    seed : decides the initial weights; the global random state is left alone.

    Attributes
    ----------
    layers : for each kernel size the dotted name of its ReLU, whose output (B, channels, positions) Grad-CAM takes.

    Raises
    ------
    ValueError : too few words or classes, kernel sizes that are repeated or below 1, an unknown pooling.
    """

    def __init__(
        self,
        words: int,
        classes: int = 2,
        *,
        kernel_sizes: Sequence[int] = (2, 3, 4),
        channels: int = 64,
        embedding: int = 48,
        pooling: str = "max",
        dropout: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if words < 3 or classes < 2:
            raise ValueError(f"at least 3 words (padding and <unk> are two) and 2 classes, got {words} and {classes}")
        if not kernel_sizes or min(kernel_sizes) < 1 or len(set(kernel_sizes)) != len(kernel_sizes):
            raise ValueError(f"kernel_sizes must be different whole numbers of at least 1, got {kernel_sizes!r}")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {POOLINGS}, got {pooling!r}")
        self.words, self.classes, self.pooling = words, classes, pooling
        self.kernel_sizes, self.channels = tuple(kernel_sizes), channels
        self.layers = {n: f"relu{n}" for n in self.kernel_sizes}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.embedding = nn.Embedding(words, embedding, padding_idx=PAD)
            for n in self.kernel_sizes:
                self.add_module(f"conv{n}", nn.Conv1d(embedding, channels, n))
                self.add_module(f"relu{n}", nn.ReLU())
            self.dropout = nn.Dropout(dropout)
            self.head = nn.Linear(channels * len(self.kernel_sizes), classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, classes) of word numbers (B, L) int64, with padding (0) at the end.

        Raises
        ------
        TypeError, ValueError : see `check_tokens`.
        """
        check_tokens(tokens, self.words)
        return self.logits(self.embedding(tokens), tokens)

    def logits(self, vectors: Tensor, tokens: Tensor) -> Tensor:
        """Logits of the words' vectors (B, L, embedding); `tokens` (B, L) only says where the padding is."""
        return self.head(self.dropout(self.pool(self.ngram_features(vectors), tokens)))

    def ngram_features(self, vectors: Tensor) -> dict[int, Tensor]:
        """For each kernel size n the features (B, channels, positions) >= 0; position p is the words p to p + n - 1.

        There are max(L, largest kernel) - n + 1 positions, those with padding in them included.
        """
        missing = max(0, max(self.kernel_sizes) - vectors.shape[1])
        vectors = F.pad(vectors, (0, 0, 0, missing)).transpose(1, 2)
        module = self.get_submodule
        return {n: module(f"relu{n}")(module(f"conv{n}")(vectors)) for n in self.kernel_sizes}

    def pool(self, features: dict[int, Tensor], tokens: Tensor) -> Tensor:
        """Features (B, channels * kernel sizes) of a whole text, in the order of the kernel sizes."""
        pooled = []
        for n, values in features.items():
            real = ngrams(tokens, n, values.shape[2])[:, None]
            values = values * real  # features are >= 0: a zero is never a maximum that counts
            pooled.append(values.amax(2) if self.pooling == "max" else values.sum(2) / real.sum(2))
        return torch.cat(pooled, 1)


def ngrams(tokens: Tensor, n: int, positions: int) -> Tensor:
    """bool (B, positions): the n-gram that starts there has no padding, or is the only one of a text below n words."""
    last = (lengths(tokens) - n).clamp(min=0)
    return torch.arange(positions, device=tokens.device) <= last[:, None]


def lengths(tokens: Tensor) -> Tensor:
    """(B,) int64: words of each text, without the padding."""
    return (tokens != PAD).sum(1)


def check_tokens(tokens: Tensor, words: int | None = None) -> None:
    """Raise when `tokens` is not a batch of word numbers (B, L) with its padding at the end.

    Raises
    ------
    TypeError : not a tensor of whole numbers.  ValueError : not two axes, empty, a number outside the vocabulary, or
    padding before a word.
    """
    if not isinstance(tokens, Tensor) or tokens.dtype not in (torch.int64, torch.int32):
        got = tokens.dtype if isinstance(tokens, Tensor) else type(tokens).__name__
        raise TypeError(f"tokens must be an int64 tensor (B, L) of word numbers, as Vocabulary.encode gives, got {got}")
    if tokens.ndim != 2 or tokens.numel() == 0:
        hint = "; add the batch axis with tokens[None]" if tokens.ndim == 1 else ""
        raise ValueError(f"tokens must have 2 axes (B, L) and not be empty, got shape {tuple(tokens.shape)}{hint}")
    low, high = (int(bound) for bound in tokens.aminmax())
    if low < 0 or (words is not None and high >= words):
        wrong, known = (low, "from 0 on") if low < 0 else (high, f"0 to {words - 1}")
        raise ValueError(f"word number {wrong} is out of range: the network knows {known}")
    real = tokens != PAD
    if (real[:, 1:] & ~real[:, :-1]).any():
        raise ValueError("padding (0) stands before a word: it belongs at the end, as Vocabulary.encode puts it")
