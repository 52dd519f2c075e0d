"""One tab of the web demo: pictures and methods on the left; what the network says, and why, on the right."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from lessons_lib.show.demo import markup
from lessons_lib.show.demo.offers import Offer
from lessons_lib.show.demo.pictures import Shot, figure, png, take_in
from lessons_lib.show.demo.subjects import Row, Subject
from lessons_lib.show.demo.worker import Interrupted, Worker
from lessons_lib.show.explorer import uploaded

PATIENCE = 0.4  # seconds until the progress bar appears


class Tab:
    """The widgets of a tab over a `Subject`. Everything that changes it runs in the page's worker.

    Attributes
    ----------
    view : the widget.  subject : None until there is a model.  error : the last failure, None after a success.
    picture : the figure that is shown, a `Picture` with its description; `data` : the same as PNG.
    """

    place, title, heading, typed_hint, size = "tab", "Tab", "The network says", "", 224

    def __init__(self, widgets, worker: Worker, shots: Sequence[Shot], offers: Sequence[Offer]) -> None:
        self.widgets, self.worker = widgets, worker
        self.subject: Subject | None = None
        self.offers = {offer.label: offer for offer in offers}
        self.shots, self.shot = list(shots), shots[0]
        self.error: Exception | None = None
        self.picture, self.data, self._drawn = None, b"", None
        self._uploads, self._at = 0, 0
        self._decorations = markup.Decorations(self.place)
        self._build()

    # ---- what the reader does

    def pick(self, number: int) -> None:
        """Take picture `number` of the gallery."""
        self.post(lambda: self.look(self.shots[number]))

    def upload(self, name: str, data: bytes) -> None:
        """Take an uploaded file."""

        def take() -> str:
            self._uploads += 1
            shot = take_in(name, data, self.size, f"upload {self._uploads}")
            self.look(shot)
            return " ".join(filter(None, (shot.note, self.about_uploads)))

        self.post(take)

    def choose(self, key: int) -> None:
        """Explain the row with this key."""
        self.post(lambda: self.asked.choose(key))

    def type(self, text: str) -> None:
        """Explain what is called so."""

        def find() -> str:
            remark = self.asked.find(text)
            self.typed.value = ""  # what was found is a row now
            return remark

        if text.strip():
            self.post(find)

    def tick(self, *labels: str) -> None:
        """Show the maps of these methods and of no others."""

        def tick() -> None:
            for label, box in self.boxes.items():
                box.value = label in labels

        self.post(tick)

    def post(self, action: Callable[[], str | None]) -> None:
        """Do `action` in the worker and draw; a text that it returns is shown, and so is its failure."""
        self.worker.post(self.place, lambda: self._act(action), self._draw_safely)

    @property
    def asked(self) -> Subject:
        """The subject; ValueError while there is none."""
        if self.subject is None:
            raise ValueError("the model of this tab is not ready yet; please wait for it.")
        return self.subject

    def look(self, shot: Shot) -> None:
        """Take another picture; for actions."""
        if self.subject is not None:
            self.subject.look(shot)
        self.shot = shot

    # ---- what tabs do in their own way

    about_uploads = ""

    def remarks(self) -> list[str]:
        """Lines of text below the headline."""
        return []

    def above(self) -> list:
        """Widgets above the headline."""
        return []

    def below_gallery(self) -> list:
        """Widgets between gallery and upload."""
        return []

    def below_rows(self) -> list:
        """Widgets between the rows and the maps."""
        w = self.widgets
        self.typed = w.Combobox(placeholder=self.typed_hint, continuous_update=False).add_class("eaf-typed")
        self.typed.observe(self.heard(self.type), names="value")
        return [self.typed]

    def label(self, row: Row) -> str:
        return markup.label(row)

    def headline(self) -> str:
        row = self.asked.rows()[0]
        return f"{self.heading}: {row.name} ({markup.short(row.share)})"

    def synchronise(self) -> None:
        """Bring the tab's own widgets up to date."""

    # ---- inside

    def _act(self, action: Callable[[], str | None]) -> None:
        """Do it, and say what is to be said; where it fails, everything stays as it was."""
        self.error = None
        try:
            self.message.value = markup.message(action() or "")
        except Exception as error:
            self._fail(error)

    def _draw_safely(self) -> None:
        try:
            self.draw()
        except Interrupted:
            raise
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.error = error
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        text = f"{kind}{error}"
        self.message.value = markup.message(text[:1].upper() + text[1:], alarm=True)

    def draw(self) -> None:
        """Bring everything up to date; raises `Interrupted` when the reader has done something else meanwhile."""
        if self.subject is None:
            self.style.value = self._decorations.css(self.shots, self.shot, ())
            self.figure.value = markup.only(self.shot)
            return
        subject = self.subject
        rows = subject.rows()
        self.style.value = self._decorations.css(self.shots, self.shot, rows)
        options = [(self.label(row), row.key) for row in rows]
        if list(self.rows.options) != options:
            self.rows.options = options
        self.rows.value = subject.target
        self.synchronise()
        self.said.value = markup.headline(self.headline(), self.remarks())
        labels = [label for label, box in self.boxes.items() if box.value]
        key = (self.shot.key, subject.said(), subject.target, tuple(labels))
        if key != self._drawn:
            steps = {label: 0 if subject.knows(label) else self.offers[label].step for label in labels}
            for step in sorted(set(steps.values())) or [0]:
                self._draw_maps([label for label in labels if steps[label] <= step])
            self._drawn = key
        self.bar.layout.display, self.status.value = "none", ""

    def _draw_maps(self, labels: list[str]) -> None:
        subject, start = self.subject, time.monotonic()

        def report(done: float, total: int) -> None:
            self.worker.check()
            self._at = int(done)
            if time.monotonic() - start > PATIENCE:
                self.bar.layout.display, self.bar.value = "", done / total
                self.status.value = markup.status(f"{labels[self._at]} is at work …")

        subject.watch = lambda done, total: report(self._at + min(done / total, 0.99), len(labels))
        found, failed = subject.maps(labels, report)
        signed = {label: subject.signed(label) for label in found}
        self.picture = figure(self.shot, found, signed=signed, said=subject.said(), about=subject.about())
        self.data = png(self.picture)
        self.figure.value = markup.maps(self.data, self.picture.alt, f"{self.shot.title} {subject.about()}", failed)

    # ---- widgets

    def _build(self) -> None:
        w = self.widgets
        self.style, self.message, self.said, self.status, self.figure = (w.HTML() for _ in range(5))
        self.gallery = w.Box([self.thumb(n, shot) for n, shot in enumerate(self.shots)]).add_class("eaf-gallery")
        self.file = w.FileUpload(
            accept="image/*",
            multiple=False,
            description="Upload a picture",
            tooltip="JPEG, PNG, WebP, GIF, BMP or TIFF",
        )
        self.file.observe(self._received, names="value")
        self.boxes = {label: self._box(offer) for label, offer in self.offers.items()}
        quick, slow = ([self.boxes[o.label] for o in self.offers.values() if bool(o.slow) == s] for s in (False, True))
        self.rows = w.ToggleButtons(options=[]).add_class("eaf-rows")
        self.rows.observe(self.heard(lambda key: key is not None and self.choose(key)), names="value")
        self.bar = w.FloatProgress(min=0, max=1, layout=w.Layout(display="none", width="240px"))
        working = w.HBox([self.bar, self.status]).add_class("eaf-working")
        slow = [w.HTML('<p class="eaf-slow">Slow:</p>'), *slow] if slow else []
        left = [
            w.VBox([w.HTML("<h4>Picture</h4>"), self.gallery, *self.below_gallery(), self.file]),
            w.VBox([w.HTML("<h4>Methods</h4>"), *quick, *slow]),
        ]
        right = [
            self.style,
            *self.above(),
            self.message,
            self.said,
            self.rows,
            *self.below_rows(),
            working,
            self.figure,
        ]
        sides = [w.VBox(left).add_class("eaf-left"), w.VBox(right).add_class("eaf-right")]
        self.view = w.Box(sides).add_class("eaf-tab").add_class(f"eaf-{self.place}")

    def thumb(self, number: int, shot: Shot):
        """A picture of the gallery."""
        button = self.widgets.Button(description=shot.title, tooltip=shot.truth or shot.title)
        button.on_click(lambda _: self.pick(number))
        return button

    def _box(self, offer: Offer):
        text = f"{offer.label} ({offer.slow})" if offer.slow else offer.label
        box = self.widgets.Checkbox(value=offer.on, description=text, indent=False)
        box.observe(self.heard(lambda _: self.post(lambda: None)), names="value")
        return box

    def heard(self, action: Callable[[object], object]) -> Callable:
        """An observer that is deaf to the changes that the page itself makes."""

        def handle(change) -> None:
            if not self.worker.inside:
                action(change["new"])

        return handle

    def _received(self, change) -> None:
        files = uploaded(change["new"]) if change["new"] else []
        if files:
            _empty(self.file)  # so that the same file can be chosen again
        for name, data in files:
            self.upload(name, data)


def _empty(upload) -> None:
    if isinstance(upload.value, dict):  # ipywidgets 7
        upload.value.clear()
        upload._counter = 0
    else:
        upload.value = ()
