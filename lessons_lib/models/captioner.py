"""A captioner without attention: a convolutional network, whose summary of the picture is one vector, and an LSTM.

After NeuralTalk2, the captioner that the Grad-CAM paper explains (arXiv 1610.02391). The picture's vector comes with every
word, as in m-RNN (Mao et al., arXiv 1412.6632): told only once, the LSTM forgets it when training is as short as here. The
network never chooses where to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from difflib import get_close_matches

import torch
from torch import Tensor, nn

from data_fetch.words import Vocabulary, split_words
from lessons_lib.models.namer import GRID, Namer

START, END = "<start>", "<end>"


def caption_vocabulary(captions: Sequence[Sequence[str]], *, least: int = 1) -> Vocabulary:
    """The words of captions that are cut into words, with the two that a captioner needs besides."""
    return Vocabulary.of(captions, least=least, special=(START, END))


class Captioner(nn.Module):
    """Pictures to sentences.

    Parameters
    ----------
    vocabulary : of `caption_vocabulary`.
    namer : the network that it sees with, already trained. It is copied and stays as it is: only the language model
        learns.
    hidden : length of the vectors of picture and words and of the LSTM's state.
    size : side of the pictures that the namer was trained on; kept for whoever prepares pictures.
    seed : decides the initial weights; the global random state is left alone.

    Attributes
    ----------
    explain_layer : the last layer with positions, a quarter of the picture's side.
    """

    explain_layer = "namer." + Namer.explain_layer

    def __init__(
        self, vocabulary: Vocabulary, namer: Namer, *, hidden: int = 96, size: int = 48, seed: int = 0
    ) -> None:
        super().__init__()
        if not {START, END} <= set(vocabulary.words):
            raise ValueError(f"the vocabulary needs the words {START} and {END}: make it with caption_vocabulary")
        self.vocabulary, self.size, self.hidden = vocabulary, size, hidden
        self.namer = deepcopy(namer).requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.picture = nn.Linear(len(namer.names) * GRID**2, hidden)
            self.words = nn.Embedding(len(vocabulary), hidden)
            self.cell = nn.LSTMCell(hidden, hidden)
            self.dropout = nn.Dropout(0.2)
            self.out = nn.Linear(hidden, len(vocabulary))

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Logits (B, L, V) of the word at each place, given the picture and the words before that place.

        images (B, 3, S, S) in [0, 1]; tokens (B, L) int64, numbers of the vocabulary, without START.
        """
        return self.tell(self.look(images), tokens)

    def look(self, images: Tensor) -> Tensor:
        """The picture's vector (B, names * 9), >= 0: how far each name stands out in nine cells. It does not learn."""
        return self.namer.summary(images).flatten(1)

    def tell(self, seen: Tensor, tokens: Tensor) -> Tensor:
        """`forward` from the picture's vector on, for a training that looks at each picture once."""
        if tokens.ndim != 2 or len(tokens) != len(seen):
            raise ValueError(f"tokens must be ({len(seen)}, L), one sentence a picture, got {tuple(tokens.shape)}")
        picture = torch.tanh(self.picture(seen))
        state = self.cell(self.dropout(picture))
        start = tokens.new_full((len(tokens), 1), self.vocabulary.numbers[START])
        logits = []
        for word in torch.cat([start, tokens[:, :-1]], 1).unbind(1):
            state = self.cell(self.words(word) + picture, state)
            logits.append(self.out(self.dropout(state[0])))
        return torch.stack(logits, 1)

    @torch.no_grad()
    def say(self, images: Tensor, *, longest: int = 20) -> list[tuple[str, ...]]:
        """The sentence for each picture (B, 3, S, S): the likeliest word after the likeliest word, without END."""
        numbers = self.vocabulary.numbers
        picture = torch.tanh(self.picture(self.look(images)))
        state = self.cell(picture)
        word = torch.full((len(images),), numbers[START], device=images.device)
        found, going = [], torch.ones(len(images), dtype=torch.bool, device=images.device)
        for _ in range(longest):
            state = self.cell(self.words(word) + picture, state)
            logits = self.out(state[0])
            logits[:, : numbers[END]] = -torch.inf  # padding, <unk> and START are not said
            word = logits.argmax(1)
            going &= word != numbers[END]
            if not going.any():
                break
            found.append(torch.where(going, word, 0))
        if not found:
            return [()] * len(images)
        return list(self.vocabulary.decode(torch.stack(found, 1)))

    def given(self, words: Sequence[str] | str) -> GivenWords:
        """A network of pictures alone: the log-probability of each of these words, after the picture and the words before.

        Every explanation of a classifier explains it: `grad_cam(captioner.given(words), images, lambda p: p[:, k])` for
        word k in its context, `lambda p: p.sum(1)` for the whole caption, `lambda p: p` for every word in one pass.

        Raises
        ------
        ValueError : no words, or words that the captioner does not know (the message names them and close ones).
        """
        words = tuple(split_words(words) if isinstance(words, str) else words)
        check_known(words, self.vocabulary)
        return GivenWords(self, words)


class GivenWords(nn.Module):
    """A captioner asked about one sentence: images (B, 3, S, S) -> log-probabilities (B, L). Made by `Captioner.given`."""

    explain_layer = "captioner." + Captioner.explain_layer

    def __init__(self, captioner: Captioner, words: tuple[str, ...]) -> None:
        super().__init__()
        self.captioner, self.words = captioner, words
        self.register_buffer("tokens", captioner.vocabulary.encode([words])[0].to(captioner.out.weight.device), False)
        self.train(captioner.training)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.tokens.expand(len(images), -1)
        scores = self.captioner(images, tokens).log_softmax(2)
        return scores.gather(2, tokens[..., None])[..., 0]


def check_known(words: Sequence[str], vocabulary: Vocabulary) -> None:
    """Raise a ValueError that names the words that are not in the vocabulary, with close ones that are."""
    if not words:
        raise ValueError("there are no words: write a sentence")
    strange = [word for word in dict.fromkeys(words) if word not in vocabulary]
    if strange:
        known = [word for word in vocabulary.words if not word.startswith("<")]
        told = []
        for word in strange[:5]:
            close = get_close_matches(word.lower(), known, n=3, cutoff=0.5)
            told.append(f"{word!r}" + (f" (close: {', '.join(close)})" if close else ""))
        raise ValueError(f"the model does not know {', '.join(told)}; it knows {len(known)} words")
