"""The three questions of the web demo, without any widget: what is predicted, what can be explained, and the maps.

A subject fixes everything but the picture (the network; the question; the sentence), so that what is left is a network
from pictures to scores, which every explanation method serves. Its state is an `ExplorerState`.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from data_fetch.words import split_words
from lessons_lib.explain import METHODS, explain
from lessons_lib.show.demo.offers import ANSWER_OFFERS, PHOTO_OFFERS, Offer
from lessons_lib.show.demo.pictures import Shot
from lessons_lib.show.describe import percent
from lessons_lib.show.explorer_state import ExplorerState

WORDS_MAX = 30  # of a question or a sentence
KEPT = 12  # pictures whose predictions and maps are remembered
SHOWN = 5  # classes or answers listed


class Row(NamedTuple):
    """Something that can be explained: its number among the network's scores, its name, its probability."""

    key: int
    name: str
    share: float


class Subject:
    """A picture in front of a network, and the score that is explained.

    Attributes
    ----------
    offers : label -> Offer.  shot : the picture.  target : the number of the score that is explained.
    watch : called with (done, total) inside slow methods; what it raises ends them.
    """

    noun, nouns = "class", "classes"

    def __init__(self, offers: Sequence[Offer]) -> None:
        self.offers = {offer.label: offer for offer in offers}
        self.shot: Shot | None = None
        self.target = 0
        self.watch: Callable[[int, int], None] = lambda done, total: None
        self._kept: OrderedDict[tuple, ExplorerState] = OrderedDict()

    # ---- what differs between the three

    def _question(self) -> str:
        """What, besides the picture, decides the scores."""
        return ""

    def _network(self) -> tuple[nn.Module, Sequence[str]]:
        raise NotImplementedError

    # ---- what they share

    @property
    def state(self) -> ExplorerState:
        """Predictions and maps of the present picture and question; those of the last few are remembered."""
        key = (self.shot.key, self._question())
        if key not in self._kept:
            model, names = self._network()
            methods = {label: self._call(offer) for label, offer in self.offers.items()}
            self._kept[key] = self._explorer(model, names, methods)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def look(self, shot: Shot) -> None:
        """Take another picture; the predicted score is explained until another one is chosen."""
        before = self.shot
        self.shot = shot
        try:
            self.target = self._predicted()
        except Exception:
            self.shot = before
            raise

    def rows(self) -> list[Row]:
        """The likeliest classes or answers, and the chosen one where it is not among them."""
        rows = [Row(*found) for found in self.state.top(SHOWN)]
        if all(row.key != self.target for row in rows):
            share = float(self.state.probabilities(self.state.image)[self.target])
            rows.append(Row(self.target, self.state.class_name(self.target), share))
        return rows

    def said(self) -> str:
        """What the network says, in words."""
        return ", ".join(f"{name} {percent(share)}" for _, name, share in self.state.top(3))

    def about(self) -> str:
        """What is explained, in words."""
        return f"'{self.state.class_name(self.target)}'"

    def choose(self, key: int) -> None:
        """Explain the score number `key`; ValueError where the network has no such score."""
        self.state.select(target=key)
        self.target = key

    def find(self, text: str) -> str:
        """Explain the class or answer that is typed; returns a remark on what was taken, or "".

        Raises
        ------
        ValueError : no name contains the text; the message names close ones.
        """
        text = " ".join(text.split())
        found = self.state.search(text)
        if not found:
            raise ValueError(unknown(text, self.noun, self.nouns, self.state.categories))
        self.choose(found[0][0])
        if len(found) == 1 or found[0][1].lower() == text.lower():
            return ""
        others = ", ".join(name for _, name in found[1:7]) + ", …" * (len(found) > 7)
        return f"“{clip(text)}” fits {len(found)} {self.nouns}; taken: {found[0][1]}. Others: {others}."

    def maps(self, labels: Sequence[str], report: Callable[[int, int], None] | None = None):
        """Maps of the present picture and target by the methods of these labels.

        report : called with (done, total) before each map; what it raises ends the work.
        Returns (label -> (h, w) map, label -> why there is none).
        """
        maps: dict[str, np.ndarray] = {}
        failed: dict[str, str] = {}
        state = self.state
        for number, label in enumerate(labels):
            if report is not None:
                report(number, len(labels))
            state.select(method=label, target=self.target)
            try:
                maps[label] = state.map()
            except (ValueError, RuntimeError, NotImplementedError) as error:
                failed[label] = str(error)
        return maps, failed

    def knows(self, label: str) -> bool:
        """Whether the map of the present picture and target by this method is remembered."""
        self.state.select(method=label, target=self.target)
        return not self.state.busy()

    def signed(self, label: str) -> bool:
        return METHODS[self.offers[label].method].signed

    def _predicted(self) -> int:
        return self.state.top(1)[0][0]

    def _explorer(self, model: nn.Module, names: Sequence[str], methods: dict[str, Callable]) -> ExplorerState:
        return ExplorerState(model, {self.shot.title: self.shot.images}, categories=names, methods=methods)

    def _call(self, offer: Offer) -> Callable[[nn.Module, Tensor, int], Tensor]:
        def call(model: nn.Module, images: Tensor, target: int) -> Tensor:
            options = dict(offer.options)
            if "progress" in METHODS[offer.method].takes:
                options["progress"] = lambda done, total: self.watch(done, total)
            return explain(model, images, target, offer.method, **options)

        return call


class Classify(Subject):
    """What is in the picture? A classifier over named classes."""

    def __init__(self, model: nn.Module, offers: Sequence[Offer] = PHOTO_OFFERS) -> None:
        super().__init__(offers)
        self.model, self.size = model, model.input_size

    def _network(self) -> tuple[nn.Module, Sequence[str]]:
        return self.model, self.model.categories


class Ask(Subject):
    """An answer to a question about the picture."""

    noun, nouns = "answer", "answers"

    def __init__(self, model: nn.Module, offers: Sequence[Offer] = ANSWER_OFFERS) -> None:
        super().__init__(offers)
        self.model, self.size, self.question = model, model.size, ""

    def ask(self, question: str) -> str:
        """Ask another question; returns a remark on words that the model does not know, or "".

        Raises
        ------
        ValueError : no words, or too many.
        """
        question = " ".join(question.split())
        words = [word for word in split_words(question) if any(map(str.isalnum, word))]
        check_length(words, "question")
        if not words:
            raise ValueError("the question is empty: write one, such as “What color is the dog?”")
        before, self.question = self.question, question
        try:
            self.target = self._predicted()
        except Exception:
            self.question = before
            raise
        strange = [word for word in self.model.unknown(question) if word in words]
        if not strange:
            return ""
        told = ", ".join(f"“{clip(word)}”{_close(word, self.model.vocabulary.words)}" for word in strange[:6])
        return f"The model has never met {told}: it reads {'them' if len(strange) > 1 else 'it'} as an unknown word."

    def right_answer(self) -> str:
        """The answer that the scene itself gives, where it is known, else ""."""
        return dict(self.shot.questions).get(self.question, "")

    def look(self, shot: Shot) -> None:
        if not self.question:
            self.question = shot.questions[0][0] if shot.questions else "What is this?"
        super().look(shot)

    def _question(self) -> str:
        return self.question

    def _network(self) -> tuple[nn.Module, Sequence[str]]:
        return self.model.asked(self.question), self.model.answers

    def said(self) -> str:
        return f"“{self.question}” {super().said()}"


def clip(text: str, most: int = 40) -> str:
    """`text`, shortened where it is long."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def check_length(words: Sequence[str], what: str) -> None:
    """Raise a ValueError for a question or sentence of more than `WORDS_MAX` words."""
    if len(words) > WORDS_MAX:
        raise ValueError(f"this {what} has {len(words)} words; at most {WORDS_MAX} are taken. Make it shorter.")


def unknown(text: str, noun: str, nouns: str, names: Sequence[str]) -> str:
    """Why nothing is called so, with close names."""
    if not text:
        return f"type the name of one of the {len(names):,} {nouns}."
    close = _close(text, names, 6)
    listed = "" if close or len(names) > 60 else f" The {nouns} are {', '.join(names)}."
    return f"there is no {noun} “{clip(text)}”{close}.{listed}"


def _close(text: str, names: Sequence[str], most: int = 3) -> str:
    known = {name.lower(): name for name in names if not name.startswith("<")}
    found = difflib.get_close_matches(text.lower()[:80], known, n=most, cutoff=0.7)
    return f" (close: {', '.join(known[name] for name in found)})" if found else ""
