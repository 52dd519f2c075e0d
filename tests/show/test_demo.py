"""The web demo's pictures, predictions and maps: nonsense is refused with a reason, numbers are the library's own."""

from __future__ import annotations

import pytest
import torch
from stand_ins import BAD, GOOD, answerer, captioner

from lessons_lib.explain import METHODS, explain
from lessons_lib.models import imagenet
from lessons_lib.models.pictures import prepare
from lessons_lib.show.demo import pictures
from lessons_lib.show.demo.captions import Caption
from lessons_lib.show.demo.offers import PHOTO_OFFERS, WORD_OFFERS
from lessons_lib.show.demo.pictures import SIDE, photo, rendered, take_in
from lessons_lib.show.demo.subjects import Ask, Classify

# ---- pictures


@pytest.mark.parametrize("name", GOOD)
def test_pictures_of_every_kind_are_taken(name):
    data = GOOD[name]()
    shot = take_in(name, data, 32)
    assert shot.images.shape == (1, 3, 32, 32) and 0 <= shot.images.min() and shot.images.max() <= 1
    assert max(shot.display.shape) == SIDE and 0 <= shot.display.min() and shot.display.max() <= 1
    if not name.startswith("large"):
        assert torch.equal(shot.images, prepare(data, 32)), "the network gets what the library prepares"
    middle = shot.display[:, shot.display.shape[1] // 2, shot.display.shape[2] // 2]
    if "grey" not in name and "black" not in name:
        assert middle[0] > 0.6 and middle[1:].max() < 0.4, "red"


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_refused_with_a_reason(name):
    make, part = BAD[name]
    with pytest.raises(ValueError) as caught:
        take_in(name, make(), 32)
    assert part in str(caught.value) and name in str(caught.value)
    assert "PIL" not in str(caught.value) and "0x" not in str(caught.value)


def test_a_picture_keeps_its_shape_and_is_turned_upright():
    assert take_in("a", GOOD["plain.png"](), 32).display.shape == (3, SIDE * 40 // 60, SIDE)
    turned = take_in("a", GOOD["turned.jpg"](), 32).display
    assert turned.shape == (3, SIDE, SIDE * 40 // 60)
    assert turned[:, :10].max() < 0.3, "the black left edge is on top after the turn"
    assert take_in("a", GOOD["thin.png"](), 32).display.shape == (3, SIDE // 3, SIDE), "a strip stays visible"


def test_what_was_done_to_a_picture_is_said():
    assert "animated" in take_in("moving.gif", GOOD["moving.gif"](), 32).note
    assert "12,000 × 9,000" in take_in("large.jpg", GOOD["large grey.jpg"](), 32).note
    assert take_in("plain.png", GOOD["plain.png"](), 32).note == ""


def test_a_huge_file_is_refused_unread(monkeypatch):
    monkeypatch.setattr(pictures, "BYTES_MAX", 100)
    with pytest.raises(ValueError, match="at most 0 MB"):
        take_in("huge.png", GOOD["plain.png"](), 32)


def test_long_names_are_shortened():
    with pytest.raises(ValueError) as caught:
        take_in("n" * 300 + ".png", b"", 32)
    assert len(str(caught.value)) < 70


def test_rendered_scenes_come_with_questions_about_them():
    shots = rendered(3, 21)
    assert [shot.images.shape for shot in shots] == [(1, 3, 48, 48)] * 3 and shots[0].display.shape == (3, 240, 240)
    small = torch.nn.functional.interpolate(shots[0].display[None], (48, 48), mode="area")
    assert (small - shots[0].images).abs().mean() < 0.06, "the same scene, drawn finer"
    assert all(shot.truth and shot.questions and shot.rendered for shot in shots)
    assert not torch.equal(rendered(3, 22)[0].images, shots[0].images)


# ---- classify


def test_numbers_and_maps_are_the_librarys_own():
    model = imagenet.load()
    shot = photo("coffee", 224)
    subject = Classify(model)
    subject.look(shot)
    with torch.no_grad():
        wanted = model.top(model(imagenet.prepare(pictures.photos.load("coffee"))))[0]
    assert [(row.key, row.name) for row in subject.rows()] == [(index, name) for index, name, _ in wanted]
    assert [row.share for row in subject.rows()] == pytest.approx([p for _, _, p in wanted], abs=1e-5)
    maps, failed = subject.maps(["Grad-CAM", "Guided backprop"])
    assert not failed
    for label, method in (("Grad-CAM", "grad_cam"), ("Guided backprop", "guided_backprop")):
        wanted = explain(model, shot.images, subject.target, method)[0]
        assert torch.allclose(torch.as_tensor(maps[label]), wanted, atol=1e-6 * float(wanted.abs().max()))
    assert subject.find("teapot") == "" and subject.about() == "'teapot'"
    other, _ = subject.maps(["Grad-CAM"])
    assert abs(other["Grad-CAM"] - maps["Grad-CAM"]).max() > 0, "another class, another map"
    remark = subject.find("cat")
    assert "fits 8 classes" in remark and "Siamese cat" in remark
    with pytest.raises(ValueError, match="no class “zebrra”.*close: zebra"):
        subject.find("zebrra")


def test_caption_rows_are_the_probabilities_of_the_words():
    subject, shot = Caption(captioner()), rendered(3, 21)[0]
    subject.look(shot)
    words = tuple(subject.model.say(shot.images)[0])
    assert subject.words == words and subject.target == len(words), "the whole sentence is explained first"
    with torch.no_grad():
        wanted = subject.model.given(words)(shot.images)[0]
    assert [row.name for row in subject.rows()] == [*words, "the whole sentence"]
    assert [row.share for row in subject.rows()] == pytest.approx([*wanted.exp().tolist(), float(wanted.sum().exp())])
    for target, score in ((1, lambda out: out[:, 1]), (len(words), lambda out: out.sum(1))):
        subject.choose(target)
        maps, failed = subject.maps(["Grad-CAM", "Guided backprop"])
        assert not failed
        for label, method in (("Grad-CAM", "grad_cam"), ("Guided backprop", "guided_backprop")):
            expected = explain(subject.model.given(words), shot.images, score, method)[0]
            assert torch.allclose(torch.as_tensor(maps[label]), expected, atol=1e-5)


def test_perturbations_look_at_the_probability_of_a_word():
    subject, shot = Caption(captioner()), rendered(3, 21)[1]
    subject.look(shot)
    subject.tell("A man is riding a white horse")
    subject.choose(6)
    maps, failed = subject.maps(["Occlusion", "RISE", "LIME"])
    assert not failed and all(abs(values).max() <= 1 for values in maps.values())
    given = subject.model.given(subject.words)
    expected = explain(given, shot.images, lambda out: out[:, 6].exp(), "occlusion")[0]
    assert torch.allclose(torch.as_tensor(maps["Occlusion"]), expected, atol=1e-6)


def test_answers_are_the_models_own():
    subject, shot = Ask(answerer()), rendered(3, 21)[0]
    subject.look(shot)
    question, right = shot.questions[0]
    assert subject.question == question and subject.right_answer() == right
    with torch.no_grad():
        wanted = subject.model.asked(question)(shot.images)[0].softmax(0)
    assert subject.rows()[0].key == int(wanted.argmax())
    assert [row.share for row in subject.rows()] == pytest.approx(wanted.sort(descending=True).values[:5].tolist())


def test_every_offer_is_a_method_and_slow_ones_are_off():
    for offer in (*PHOTO_OFFERS, *WORD_OFFERS):
        assert set(offer.options) <= METHODS[offer.method].takes
        assert not (offer.on and offer.slow)


def test_ask_without_a_known_question_starts_with_a_general_one():
    subject = Ask(answerer())
    subject.look(take_in("plain.png", GOOD["plain.png"](), 48))
    assert subject.question == "What is this?" and subject.right_answer() == ""
