"""The models that speak about pictures learn what can be learned, and are kept and found again."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.training import language, ready


@pytest.fixture(scope="module")
def pictures():
    """Red or blue squares on the left or on the right: four kinds of picture."""
    generator = torch.Generator().manual_seed(0)
    images = 0.4 + 0.1 * torch.rand(256, 3, 24, 24, generator=generator)
    kinds = torch.arange(256) % 4
    for n, kind in enumerate(kinds.tolist()):
        across = 3 + 12 * (kind // 2)
        images[n, :, 8:16, across : across + 8] = torch.tensor([0.9, 0.1, 0.1] if kind % 2 else [0.1, 0.1, 0.9])[
            :, None, None
        ]
    return images, kinds


@pytest.fixture(scope="module")
def namer(pictures):
    images, kinds = pictures
    shown = torch.stack([kinds % 2 == 1, kinds % 2 == 0], 1)
    return language.train_namer(images, ("red", "blue"), shown, epochs=8, seed=0, width=4)


def test_the_namer_learns_the_names_and_where_they_are(namer, pictures):
    images, kinds = pictures
    with torch.no_grad():
        logits = namer(images)
        scores = namer.score(namer.features((images - 0.5) / 0.25))
    assert (logits.argmax(1) == (kinds % 2 == 0)).float().mean() > 0.98
    own = scores[torch.arange(256), (kinds % 2 == 0).long()]  # (256, 6, 6), without ever having been told where
    assert ((own[..., :3].amax((1, 2)) > own[..., 3:].amax((1, 2))) == (kinds < 2)).float().mean() > 0.9


def test_the_captioner_says_what_is_there(namer, pictures):
    images, kinds = pictures
    words = [("red" if kind % 2 else "blue", "left" if kind < 2 else "right") for kind in kinds.tolist()]
    captions = [(f"A {colour} square on the {side}.", f"This is {colour}.") for colour, side in words]
    captioner = language.train_captioner(namer, images, captions, epochs=40, seed=0)
    assert captioner.size == 24
    said = captioner.say(images[:64])
    assert sum(colour in sentence for sentence, (colour, _) in zip(said, words)) >= 60
    assert all("." not in sentence for sentence in said)


def test_the_answerer_beats_the_one_that_does_not_look(namer, pictures):
    images, kinds = pictures
    questions = ["What color is it?", "Which side?"] * 128
    answers = [("red" if kind % 2 else "blue") if n % 2 == 0 else ("left" if kind < 2 else "right")
               for n, kind in enumerate(kinds[torch.arange(256) // 2].tolist())]  # fmt: skip
    rows = torch.arange(256) // 2
    right = {}
    for blind in (False, True):
        model = language.train_answerer(namer, images, questions, answers, rows, epochs=25, seed=0, blind=blind)
        with torch.no_grad():
            said = model(images[rows], model.tokens(questions)).argmax(1).tolist()
        right[blind] = sum(model.answers[n] == answer for n, answer in zip(said, answers)) / 256
    assert right[False] > 0.9 and right[True] < 0.65


def test_bad_input_is_named(namer, pictures):
    images, _ = pictures
    with pytest.raises(ValueError, match=r"shown must be \(256, 2\)"):
        language.train_namer(images, ("red", "blue"), torch.ones(5, 2), seed=0)
    with pytest.raises(ValueError, match="as many sentences"):
        language.train_captioner(namer, images, [("a",)] * 255 + [("a", "b")], seed=0)
    with pytest.raises(ValueError, match="got 2, 1 and 2"):
        language.train_answerer(namer, images, ["a?", "b?"], ["yes"], torch.tensor([0, 1]), seed=0)


def test_ready_models_are_trained_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    monkeypatch.setattr(ready, "EPOCHS", {"namer": 1, "captioner": 1, "answerer": 1})
    monkeypatch.setattr(ready._train, "__defaults__", (128,))
    told: list[tuple[int, int]] = []
    first = ready.captioner(lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] and [done for done, _ in told] == sorted(done for done, _ in told)
    assert ready.kept_at().is_file() and not list(ready.kept_at().parent.glob("*.tmp"))
    monkeypatch.setattr(ready, "_train", None)  # a second training would fail
    again, answers = ready.captioner(), ready.answerer()
    for one, other in zip(first.state_dict().values(), again.state_dict().values()):
        assert torch.equal(one, other)
    assert not again.training and answers.asked("Is there a dog?")(torch.rand(1, 3, 48, 48)).shape[1] == len(
        answers.answers
    )


def test_a_damaged_file_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_DATA", str(tmp_path))
    monkeypatch.setattr(ready, "EPOCHS", {"namer": 1, "captioner": 1, "answerer": 1})
    monkeypatch.setattr(ready._train, "__defaults__", (128,))
    ready.kept_at().parent.mkdir(parents=True)
    ready.kept_at().write_bytes(b"half of a file")
    assert ready.answerer().answers
    assert ready.kept_at().stat().st_size > 100_000
