"""The captions of the web demo: a sentence about a picture, and every word of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from data_fetch.words import join_words, split_words
from lessons_lib.show.demo.offers import WORD_OFFERS, Offer
from lessons_lib.show.demo.pictures import Shot
from lessons_lib.show.demo.subjects import KEPT, Row, Subject, check_length
from lessons_lib.show.explorer_state import ExplorerState


class Caption(Subject):
    """A sentence about the picture, and every word of it: the model's own, or one that is typed.

    The score after those of the words is that of the whole sentence.
    """

    noun, nouns = "word of the sentence", "words of the sentence"
    WHOLE = "the whole sentence"

    def __init__(self, model: nn.Module, offers: Sequence[Offer] = WORD_OFFERS) -> None:
        super().__init__(offers)
        self.model, self.size = model, model.size
        self.own: tuple[str, ...] = ()  # the sentence that was typed; empty: the model's
        self._says: dict[str, tuple[str, ...]] = {}

    @property
    def words(self) -> tuple[str, ...]:
        """The sentence that is explained."""
        if self.own:
            return self.own
        if self.shot.key not in self._says:
            device = next(self.model.parameters()).device
            words = tuple(self.model.say(self.shot.images.to(device))[0])
            if not words:
                raise ValueError("the model says nothing about this picture; type a sentence of your own")
            self._says = {**dict(list(self._says.items())[-KEPT:]), self.shot.key: words}
        return self._says[self.shot.key]

    def tell(self, sentence: str) -> None:
        """Explain a typed sentence; an empty one gives the word back to the model.

        Raises
        ------
        ValueError : words that the model does not know (the message names close ones), or too many.
        """
        words = tuple(word.lower() for word in split_words(sentence))
        if words:
            check_length(words, "sentence")
            self.model.given(words)
        before, self.own = self.own, words
        try:
            self.target = self._predicted()
        except Exception:
            self.own = before
            raise

    def look(self, shot: Shot) -> None:
        own, self.own = self.own, ()
        try:
            super().look(shot)
        except Exception:
            self.own = own
            raise

    def rows(self) -> list[Row]:
        """The words in their order, each with its probability after the words before it, and the whole sentence."""
        shares = self.state.probabilities(self.state.image).tolist()
        return [Row(key, name, share) for key, (name, share) in enumerate(zip(self.state.categories, shares))]

    def said(self) -> str:
        return f"“{join_words(self.words)}”"

    def _predicted(self) -> int:
        return len(self.words)

    def about(self) -> str:
        return self.WHOLE if self.target == len(self.words) else super().about()

    def _question(self) -> str:
        return " ".join(self.words)

    def _network(self) -> tuple[nn.Module, Sequence[str]]:
        return WordsAndSentence(self.model.given(self.words)), (*self.words, self.WHOLE)

    def _explorer(self, model: nn.Module, names: Sequence[str], methods: dict[str, Callable]) -> ExplorerState:
        return WordState(model, {self.shot.title: self.shot.images}, categories=names, methods=methods)


class WordsAndSentence(nn.Module):
    """Log-probabilities (B, L) of words -> (B, L + 1): their sum, that of the sentence, comes last."""

    def __init__(self, given: nn.Module) -> None:
        super().__init__()
        self.given = given
        self.train(given.training)
        layer = getattr(given, "explain_layer", None)
        if layer is not None:
            self.explain_layer = f"given.{layer}"

    def forward(self, images: Tensor) -> Tensor:
        words = self.given(images)
        return torch.cat([words, words.sum(1, keepdim=True)], 1)


class WordState(ExplorerState):
    """An `ExplorerState` whose scores are log-probabilities, each for itself."""

    def probabilities(self, image: str) -> Tensor:
        """The probability of each word after the words before it, and that of the sentence."""
        key = ("probabilities", image)
        if key not in self._cache:
            with torch.no_grad():
                self._remember(key, self.model(self._batch(image))[0].float().exp().cpu())
        return self._cache[key]
