"""The web demo's page without a browser: every control reaches the maps, and after nonsense the page goes on."""

from __future__ import annotations

import base64
import html
import io
import re
import threading
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from PIL import Image
from stand_ins import ANSWERS, BAD, GOOD, Colours, answerer, captioner, file, picture

from lessons_lib.show.demo import demo
from lessons_lib.show.demo.offers import Offer
from lessons_lib.show.demo.worker import Interrupted, Worker

OFFERS = (Offer("grad_cam", True), Offer("lrp", True, later=True), Offer("rise", slow="long", options={"masks": 10**6}))
SMALL = {"model": Colours(), "photos": ["chelsea", "coffee"], "answerer": answerer, "offers": OFFERS}


@pytest.fixture
def page():
    """The page over small models and few methods, everything done at once."""
    page = demo(captioner=captioner, threaded=False, **SMALL)
    page.caption.tick("Grad-CAM")
    page.ask.tick("Grad-CAM")
    return page


@pytest.fixture
def caption(page):
    page.caption.open(wait=True)
    return page.caption


@pytest.fixture
def ask(page):
    page.ask.open(wait=True)
    return page.ask


def said(tab) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", tab.message.value)).strip()


def alarmed(tab) -> bool:
    return 'role="alert"' in tab.message.value


def test_the_first_picture_is_explained_at_once(page):
    tab = page.classify
    assert tab.error is None and tab.picture is page.static()
    assert "The network sees: " in tab.said.value and tab.rows.value == tab.subject.target
    assert "Grad-CAM for 'red light'" in tab.picture.alt and "No" not in said(tab)
    assert Image.open(io.BytesIO(tab.data)).size == tuple(int(100 * side) for side in tab.picture.get_size_inches())


def test_the_page_offers_the_shown_picture_for_download(page):
    data = base64.b64encode(page.classify.data).decode()
    shown = page.classify.figure.value
    assert f'src="data:image/png;base64,{data}"' in shown and f'href="data:image/png;base64,{data}"' in shown
    assert re.search(r'download="chelsea_\w+\.png"', shown) and 'alt="A picture (chelsea' in shown


def test_choices_reach_the_maps(page):
    tab = page.classify
    tab.choose(2)
    assert tab.rows.value == 2 and "for 'blue'" in tab.picture.alt
    tab.typed.value = "whale"
    assert tab.subject.target == 3 and tab.typed.value == "" and tab.rows.value == 3
    tab.tick("Grad-CAM")
    assert "LRP" not in tab.picture.alt and len(tab.picture.axes) < 5
    tab.tick()
    assert tab.picture.alt.startswith("A sheet of 1 picture") and tab.error is None
    tab.pick(1)
    assert "coffee" in tab.picture.alt and tab.subject.target == tab.subject.state.top(1)[0][0]


@pytest.mark.parametrize(
    "text, part",
    [("gren light", "close: green light"), ("qqqq", "The classes are red light, green"), ("x" * 900, "xxx…")],
)
def test_unknown_names_are_answered_with_close_ones(page, text, part):
    before = page.classify.data
    page.classify.typed.value = text
    assert alarmed(page.classify) and part in said(page.classify) and len(said(page.classify)) < 200
    assert page.classify.data is before and page.classify.typed.value == text, "all stays, also for mending"
    page.classify.typed.value = "   "
    page.classify.choose(1)
    assert not alarmed(page.classify) and "green light" in page.classify.picture.alt


def test_uploads_good_and_bad(page):
    tab = page.classify
    for name in ("paper.png", "empty.png", "cut.jpg", "cut.png"):
        make, part = BAD[name]
        before, data = tab.shot, make()
        if tab.file.value == ():  # ipywidgets 8
            entry = {"name": name, "type": "image/png", "size": len(data), "content": memoryview(data)}
            tab.file.value = ({**entry, "last_modified": datetime.now(timezone.utc)},)
        else:
            tab._received({"new": {name: {"metadata": {"name": name}, "content": data}}})
        assert alarmed(tab) and part in said(tab) and tab.shot is before and not tab.file.value
    for name in ("plain.png", "moving.gif", "palette.png"):
        tab.upload(name, GOOD[name]())
        assert not alarmed(tab) and tab.shot.title == name and name in tab.picture.alt
    assert tab.subject.target == 0, "red"
    tab.upload("blue.png", file(picture(colour=(10, 10, 250))))
    assert tab.subject.target == 2


def test_uploads_of_the_older_widgets_are_taken_and_forgotten(page):
    entry = {"metadata": {"name": "plain.png"}, "content": GOOD["plain.png"]()}
    page.classify.file = SimpleNamespace(value={"plain.png": entry}, _counter=1)
    page.classify._received({"new": {"plain.png": entry}})
    assert page.classify.shot.title == "plain.png" and not page.classify.file.value and page.classify.file._counter == 0


def test_text_of_a_reader_cannot_become_markup(page):
    page.classify.typed.value = "<img src=x onerror=alert(1)>"
    assert "<img" not in page.classify.message.value
    page.classify.upload("<b>bold</b>.png", GOOD["plain.png"]())
    assert "<b>" not in page.classify.figure.value and "<b>" not in page.classify.said.value


def test_a_method_that_fails_leaves_the_others(page):
    def fails(model, images, target):
        raise ValueError("this method needs <another> network")

    choice = page.classify.subject.state.methods["LRP"]
    object.__setattr__(choice, "call", lambda batch, target, layer: fails(None, batch, target))
    page.classify.subject.state.clear()
    page.classify.choose(1)
    shown = page.classify.figure.value
    assert "LRP is not possible here: this method needs &lt;another&gt; network" in shown
    assert "Grad-CAM for 'green light'" in page.classify.picture.alt and "LRP for" not in page.classify.picture.alt


# ---- caption and ask


def test_a_tab_without_its_model_says_so(page):
    for tab, act in ((page.caption, lambda: page.caption.tell("a dog")), (page.ask, lambda: page.ask.ask("Is it?"))):
        act()
        assert alarmed(tab) and "not ready yet" in said(tab)
        tab.pick(2)
        assert not alarmed(tab) and tab.shot is tab.shots[2]


def test_a_typed_sentence_replaces_the_models_until_it_is_emptied(caption):
    own = caption.subject.words
    caption.sentence.value = "A man is riding a horse."
    assert "Your sentence: “a man is riding a horse.”" in html.unescape(caption.said.value)
    assert caption.subject.words == ("a", "man", "is", "riding", "a", "horse", ".")
    caption.choose(5)
    assert "for 'horse'" in caption.picture.alt
    caption.sentence.value = ""
    assert caption.subject.words == own and caption.error is None
    caption.sentence.value = "a hrse on the beach"
    assert alarmed(caption) and "'hrse' (close: horse" in said(caption) and caption.subject.words == own
    assert caption.sentence.value == "a hrse on the beach"
    caption.sentence.value = "a dog " * 200
    assert alarmed(caption) and "400 words; at most 30" in said(caption)
    caption.pick(3)
    assert not alarmed(caption) and caption.subject.own == () and caption.sentence.value == ""


def test_answers_are_typed_and_the_right_one_is_told(ask):
    question, right = ask.shot.questions[0]
    assert ask.question.value == question and f"The right answer: {right}." in html.unescape(ask.said.value)
    ask.typed.value = "tennis"
    assert ask.subject.about() == "'tennis court'" and ask.error is None
    ask.typed.value = "purple"
    assert alarmed(ask) and "no answer “purple”" in said(ask) and ANSWERS[0] in said(ask)


def test_questions_of_every_kind(ask):
    ask.question.value = "What color is the quokka?"
    assert not alarmed(ask) and "never met “quokka”" in said(ask) and ask.subject.question.endswith("quokka?")
    assert "right answer" not in ask.said.value, "nobody knows it"
    before = ask.subject.question
    for text, part in (("", "empty"), (" ?! ", "empty"), ("why " * 500, "500 words; at most 30")):
        ask.ask(text)
        assert alarmed(ask) and part in said(ask) and ask.subject.question == before
    ask.examples.value = ask.shot.questions[1][0]
    assert not alarmed(ask) and ask.question.value == ask.shot.questions[1][0] and ask.examples.value == ""


def test_scenes_are_drawn_anew(ask):
    first = ask.shot
    ask.new_scenes(ask.seed + 1)
    assert ask.shot is ask.shots[0] and ask.shot.key != first.key and ask.seed_field.value == 13
    ask.seed_field.value = 12
    assert ask.shot.key == first.key and len(ask.gallery.children) == 9


def test_an_upload_into_a_world_of_scenes_is_taken_with_a_remark(ask, caption):
    for tab in (ask, caption):
        tab.upload("plain.png", GOOD["plain.png"]())
        assert not alarmed(tab) and "only ever seen rendered scenes" in said(tab)
        assert tab.subject.shot.images.shape == (1, 3, 48, 48) and "right" not in tab.said.value


def test_a_model_that_cannot_be_made_is_told_and_tried_again():
    tries = []

    def load(progress):
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no room on the disk")
        return captioner()

    page = demo(captioner=load, threaded=False, **SMALL)
    page.caption.open(wait=True)
    assert alarmed(page.caption) and "no room on the disk" in said(page.caption)
    assert page.caption.again.layout.display == ""
    page.caption.open(wait=True)
    assert (
        page.caption.subject is not None and not alarmed(page.caption) and page.caption.again.layout.display == "none"
    )


# ---- the worker


def test_other_tabs_work_while_a_model_is_trained():
    go = threading.Event()

    def load(progress):
        progress(3, 10)
        assert go.wait(30)
        return captioner()

    page = demo(captioner=load, **SMALL)
    page.chooser.selected_index = 1
    page.classify.pick(1)
    assert page.worker.wait(30) and "coffee" in page.classify.picture.alt
    assert page.caption.subject is None and page.caption.bar.value == pytest.approx(0.3)
    assert "is being trained" in page.caption.status.value and page.caption.bar.layout.display == ""
    go.set()
    page.caption._thread.join(30)
    assert page.worker.wait(30) and page.caption.subject is not None and page.caption.data
    assert page.caption.bar.layout.display == "none" and page.caption.status.value == ""
    page.worker.close()


def test_what_the_reader_does_interrupts_a_slow_map():
    page = demo(captioner=captioner, **SMALL)
    tab, started = page.classify, threading.Event()
    watch = type(tab)._draw_maps
    tab._draw_maps = lambda labels: ("RISE" in labels and started.set(), watch(tab, labels))
    tab.tick("RISE")  # a million masks take minutes
    assert started.wait(30)
    tab.tick("Grad-CAM")
    assert page.worker.wait(30) and "Grad-CAM for" in tab.picture.alt and "RISE" not in tab.picture.alt
    page.worker.close()


def test_quick_maps_do_not_wait_for_the_others(page):
    tab, shown = page.classify, []
    tab.figure.observe(lambda change: shown.append(tab.picture.alt), names="value")
    tab.choose(1)
    assert len(shown) == 2 and "1 map of it" in shown[0] and "LRP" not in shown[0] and "2 maps" in shown[1]
    tab.choose(0)
    assert len(shown) == 3 and "2 maps" in shown[2], "remembered maps are shown at once"


def test_actions_keep_their_order_and_places_are_drawn_once():
    done, gate = [], threading.Event()
    worker = Worker()
    worker.post("a", lambda: gate.wait(10), lambda: done.append("draw a"))
    for number in range(3):
        worker.post("b", lambda n=number: done.append(n), lambda: done.append("draw b"))
    gate.set()
    assert worker.wait(10) and done == [0, 1, 2, "draw b", "draw a"]
    assert not worker.inside
    worker.close()
    with pytest.raises(Interrupted):
        worker.check(for_actions=False)


def test_without_widgets_the_static_picture_remains(page, monkeypatch):
    assert "application/vnd.jupyter.widget-view+json" in page._repr_mimebundle_()[0]
    monkeypatch.setenv("LESSONS_STATIC", "1")
    assert list(page._repr_mimebundle_()[0]) == ["text/plain"] and page.static().alt
