"""The three tabs of the web demo, and how the models of two of them come to be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from torch import nn

from lessons_lib.show.demo import markup
from lessons_lib.show.demo.captions import Caption
from lessons_lib.show.demo.offers import ANSWER_OFFERS, PHOTO_OFFERS, WORD_OFFERS, Offer
from lessons_lib.show.demo.pictures import rendered
from lessons_lib.show.demo.subjects import Ask, Classify, Row, Subject
from lessons_lib.show.demo.tab import Tab

SCENES = 9  # in the gallery
SEEDS = 10_000  # none of them is the one that the models were trained with
_ONE_AT_A_TIME = threading.Lock()  # two trainings would only make each other slow
_GETTING = (
    "Getting the model of this tab … The first time on a machine it is trained, which takes a minute or two. "
    "The other tabs work meanwhile."
)
_TRAINING = "The model of this tab is being trained, once on this machine. The other tabs work meanwhile."
Progress = Callable[[int, int], None]
Load = Callable[[Progress], nn.Module]


class ClassifyTab(Tab):
    """A photograph, and the class that a network trained on ImageNet sees in it."""

    place, title, heading = "classify", "Classify", "The network sees"
    typed_hint = "another class: type its name, then Enter"

    def __init__(self, widgets, worker, shots, model: nn.Module, offers: Sequence[Offer] = PHOTO_OFFERS) -> None:
        self.size = model.input_size
        super().__init__(widgets, worker, shots, offers)
        self.subject = Classify(model, offers)
        self.typed.options = list(dict.fromkeys(model.categories))
        self.look(self.shot)

    def remarks(self) -> list[str]:
        return ["Choose the class to explain, or type another one:"]


class SceneTab(Tab):
    """A tab over rendered scenes, whose model is made when the tab is opened for the first time.

    load : called with progress(done, total), returns the model. The first call on a machine trains it, later ones find
        its weights.
    """

    size = 48  # of the scenes
    about_uploads = "This model has only ever seen rendered scenes: what it says about another picture means little."

    def __init__(self, widgets, worker, load: Load, *, seed: int, offers: Sequence[Offer]) -> None:
        self.load, self.seed = load, seed
        self._thread: threading.Thread | None = None
        super().__init__(widgets, worker, rendered(SCENES, seed, self.size), offers)

    def open(self, *, wait: bool = False) -> None:
        """Get the model, unless it is there or under way. The page stays usable meanwhile."""
        if self.subject is not None or (self._thread is not None and self._thread.is_alive()):
            return
        self.again.layout.display = "none"
        self._thread = threading.Thread(target=self._prepare, name=f"demo {self.place}", daemon=True)
        self._thread.start()
        if wait:
            self._thread.join()

    def make(self, model: nn.Module) -> Subject:
        """The subject over a model that has come."""
        raise NotImplementedError

    def new_scenes(self, seed: int) -> None:
        """Render other scenes, and take the first of them."""

        def render() -> None:
            shots = rendered(SCENES, seed, self.size)
            self.look(shots[0])
            self.seed, self.shots = seed, list(shots)
            self.seed_field.value = seed
            self.gallery.children = [self.thumb(n, shot) for n, shot in enumerate(shots)]

        self.post(render)

    def below_gallery(self) -> list:
        w = self.widgets
        more = w.Button(description="New scenes", tooltip="Render nine other scenes")
        more.on_click(lambda _: self.new_scenes((self.seed + 1) % SEEDS))
        self.seed_field = w.BoundedIntText(
            value=self.seed, min=0, max=SEEDS - 1, description="seed", continuous_update=False
        )
        self.seed_field.observe(self.heard(self.new_scenes), names="value")
        return [w.HBox([more, self.seed_field]).add_class("eaf-seed")]

    def above(self) -> list:
        self.again = self.widgets.Button(description="Try again", layout=self.widgets.Layout(display="none"))
        self.again.on_click(lambda _: self.open())
        return [self.again]

    def _prepare(self) -> None:
        """Runs in a thread of its own; what it finds goes to the worker."""
        last = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal last
            self.worker.check(for_actions=False)  # ends the training when the page is closed
            now = time.monotonic()
            if now - last > 0.5:
                last, self.bar.layout.display, self.bar.value = now, "", min(done / max(1, total), 1.0)
                self.status.value = markup.status(_TRAINING)

        self.status.value = markup.status(_GETTING)
        try:
            with _ONE_AT_A_TIME:
                subject = self.make(self.load(progress))
        except Exception as error:
            self.post(lambda reason=error: self._not_made(reason))
        else:
            self.post(lambda: self._arrived(subject))

    def _not_made(self, reason: Exception) -> None:
        self.bar.layout.display, self.status.value = "none", ""
        self.again.layout.display = ""
        raise RuntimeError(f"the model of this tab could not be made ({reason})") from reason

    def _arrived(self, subject: Subject) -> None:
        self.subject = subject
        self.look(self.shot)


class CaptionTab(SceneTab):
    """A scene, the sentence that a captioner says about it, and every word of it."""

    place, title, heading = "caption", "Caption", "The model says"

    def __init__(self, widgets, worker, load: Load, *, seed: int = 12, offers: Sequence[Offer] = WORD_OFFERS) -> None:
        super().__init__(widgets, worker, load, seed=seed, offers=offers)

    def make(self, model: nn.Module) -> Caption:
        return Caption(model, tuple(self.offers.values()))

    def tell(self, sentence: str) -> None:
        """Explain a sentence that is typed; an empty one gives the word back to the model."""
        self.post(lambda: self.asked.tell(sentence))

    def above(self) -> list:
        self.sentence = self.widgets.Text(
            description="Sentence", placeholder="type one of your own, then Enter", continuous_update=False
        ).add_class("eaf-sentence")
        self.sentence.observe(self.heard(self.tell), names="value")
        return [*super().above(), self.sentence]

    def below_rows(self) -> list:
        return []

    def synchronise(self) -> None:
        if self.error is None and not self.asked.own:
            self.sentence.value = ""

    def label(self, row: Row) -> str:
        return markup.label(row, aligned=False)

    def headline(self) -> str:
        return f"{'Your sentence' if self.asked.own else self.heading}: {self.asked.said()}"

    def remarks(self) -> list[str]:
        told = [f"A right caption of this scene: “{self.shot.truth}”"] if self.shot.truth else []
        back = ["To hear the model again, empty the field above and press Enter."] if self.asked.own else []
        told += back
        return [*told, "Choose the word to explain. The numbers are probabilities, each after the words before it:"]


class AskTab(SceneTab):
    """A scene, a question about it, and the answer of a model."""

    place, title, heading = "ask", "Ask", "The model answers"
    typed_hint = "another answer: type it, then Enter"

    def __init__(self, widgets, worker, load: Load, *, seed: int = 12, offers: Sequence[Offer] = ANSWER_OFFERS) -> None:
        super().__init__(widgets, worker, load, seed=seed, offers=offers)

    def make(self, model: nn.Module) -> Ask:
        self.typed.options = list(model.answers)
        return Ask(model, tuple(self.offers.values()))

    def ask(self, question: str) -> None:
        """Ask a question."""
        self.post(lambda: self.asked.ask(question))

    def above(self) -> list:
        w = self.widgets
        self.question = w.Text(
            description="Question", placeholder="type a question, then Enter", continuous_update=False
        ).add_class("eaf-sentence")
        self.examples = w.Dropdown(description="or choose", options=[("", "")]).add_class("eaf-sentence")
        self.question.observe(self.heard(self.ask), names="value")
        self.examples.observe(self.heard(lambda text: text and self.ask(text)), names="value")
        return [*super().above(), self.question, self.examples]

    def synchronise(self) -> None:
        if self.error is None:
            self.question.value = self.asked.question
        options = [("questions about this scene", ""), *((q, q) for q, _ in self.shot.questions)]
        if list(self.examples.options) != options:
            self.examples.options = options
        self.examples.value = ""

    def remarks(self) -> list[str]:
        right = self.asked.right_answer()
        told = [f"The right answer: {right}."] if right else []
        return [*told, "Choose the answer to explain, or type another one:"]
