"""Triples of a reasoning question, a sub-question and an irrelevant one: which train, what an aim does, and the vectors."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from data_fetch.fields import QA, Questions
from data_fetch.words import Vocabulary
from lessons_lib.feedback.hint import answer_loss
from lessons_lib.feedback.sort import attraction_loss, contrastive_loss
from lessons_lib.models.updown import UpDown
from lessons_lib.training.ranked_reasoning import (
    Aim,
    known_triples,
    question_vectors,
    rank_tune,
    triple_loss,
    with_irrelevant,
)
from lessons_lib.training.reasoning import Triples

WORDS = Vocabulary.of([("is", "it", "ripe", "what", "colour", "lamp", "on")])
P = 96


@pytest.fixture(scope="module")
def small():
    generator = torch.Generator().manual_seed(7)
    features = torch.rand(12, 5, 6, generator=generator)
    draw = lambda *shape, low=0, high: torch.randint(low, high, shape, generator=generator)  # noqa: E731
    data = Triples(
        torch.arange(P), draw(P, high=12), draw(P, 4, low=2, high=9), draw(P, 3, low=2, high=9),
        draw(P, 5, low=2, high=9), draw(P, high=3), draw(P, high=3), draw(P, high=3),
    )  # fmt: skip
    return features, data, UpDown(WORDS, ("no", "yes", "red"), 6, hidden=16, seed=3)


def vectors(model, features, data):
    seen = features[data.picture]
    return [
        question_vectors(model, seen, getattr(data, name), getattr(data, f"{name}_answer"))
        for name in ("main", "sub", "other")
    ]


def batch_of(data):
    names = ("main", "sub", "other", "main_answer", "sub_answer", "other_answer")
    return {name: getattr(data, name) for name in names}


def test_rows_without_an_irrelevant_question_or_a_known_answer_do_not_train(small):
    features, data, model = small
    broken = Triples(**{name: getattr(data, name).clone() for name in data.__dataclass_fields__})
    broken.other[0] = 0
    broken.other_answer[1] = broken.sub_answer[2] = broken.main_answer[3] = -1
    assert known_triples(broken).tolist() == [False] * 4 + [True] * (P - 4)
    options = {"epochs": 1, "batch_size": 32, "seed": 2}
    trained = rank_tune(model, features, broken, Aim(1.0, 0.5), **options)
    assert torch.equal(
        trained.out[0].weight, rank_tune(model, features, broken[4:], Aim(1.0, 0.5), **options).out[0].weight
    )
    with pytest.raises(ValueError, match="no pair has an irrelevant question"):
        rank_tune(model, features, broken[:4], Aim(), seed=0)


def test_loss_is_that_of_its_parts(small):
    features, data, model = small
    model.eval()
    batch, seen = batch_of(data), features[data.picture]
    answers = [answer_loss(model(seen, batch[n]), batch[f"{n}_answer"]) for n in ("main", "sub", "other")]
    main, sub, other = vectors(model, features, data)
    expected = {
        Aim(irrelevant=False): sum(answers[:2]) / 3,
        Aim(): sum(answers) / 3,
        Aim(2.0, half="attraction"): sum(answers) / 3 + 2 * attraction_loss(main, sub),
        Aim(2.0, 0.5): sum(answers) / 3 + 2 * contrastive_loss(main, sub, other, margin=0.5),
        Aim(2.0, 0.5, swapped=True): sum(answers) / 3 + 2 * contrastive_loss(main, other, sub, margin=0.5),
    }
    found = [float(triple_loss(model, seen, batch, aim)[0].detach()) for aim in expected]
    assert found == pytest.approx([float(value.detach()) for value in expected.values()], rel=1e-5)
    assert len({round(value, 6) for value in found}) == len(found)


def test_training_ranks_and_leaves_the_start_alone_and_repeats(small):
    features, data, model = small
    before = [value.clone() for value in model.parameters()]
    options = {"epochs": 12, "batch_size": 32, "seed": 4}

    def gap(trained):
        main, sub, other = vectors(trained, features, data)
        return float((F.cosine_similarity(main, sub, dim=1) - F.cosine_similarity(main, other, dim=1)).mean())

    plain = rank_tune(model, features, data, Aim(), **options)
    ranked = rank_tune(model, features, data, Aim(10.0, 0.5), **options)
    swapped = rank_tune(model, features, data, Aim(10.0, 0.5, swapped=True), **options)
    assert gap(ranked) > gap(plain) + 0.05 and gap(swapped) < gap(plain) - 0.05
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    again = rank_tune(model, features, data, Aim(10.0, 0.5), **options)
    assert all(torch.equal(a, b) for a, b in zip(ranked.parameters(), again.parameters()))


def test_vectors_are_gradient_times_fused_vector_without_dropout(small):
    features, data, model = small
    seen = features[data.picture]
    model.train()
    found = question_vectors(model, seen, data.main, data.main_answer, rows=40)
    assert model.training and found.shape == (P, 16) and not found.requires_grad
    model.eval()
    joint = model.fuse(seen[:1], data.main[:1])[0].detach().requires_grad_()
    model.out(joint)[0, data.main_answer[0]].backward()
    torch.testing.assert_close(found[:1], joint.grad * joint.detach())
    assert all(
        parameter.grad is None or model.out[0].weight is not parameter or True for parameter in model.parameters()
    )
    with pytest.raises(ValueError, match="true answer"):
        question_vectors(model, seen[:1], data.main[:1], torch.tensor([-1]))


def test_bad_aims_are_named():
    with pytest.raises(ValueError, match="half must be"):
        Aim(half="both")
    with pytest.raises(ValueError, match="margin within 0 to 2"):
        Aim(1.0, 3.0)
    with pytest.raises(ValueError, match="irrelevant must be True"):
        Aim(1.0, irrelevant=False)


def test_irrelevant_questions_come_from_other_reasoning_questions_of_the_picture():
    qa = lambda text: QA(text, "yes", "perception")  # noqa: E731
    asked = Questions(
        pictures=SimpleNamespace(),
        image_index=torch.tensor([0, 0, 1]),
        questions=("a?", "b?", "c?"),
        answers=("yes",) * 3,
        perception=(
            (qa("Is there snow?"), qa("Is it cold?")),
            (qa("is there snow"), qa("Is he old?")),
            (qa("Is it red?"),),
        ),
    )
    found = with_irrelevant(asked).irrelevant
    assert [[one.question for one in row] for row in found] == [["Is he old?"], ["Is it cold?"], []]
    assert with_irrelevant(asked, most=0).irrelevant == ((), (), ())
    with pytest.raises(ValueError, match="no sub-questions"):
        with_irrelevant(
            Questions(pictures=SimpleNamespace(), image_index=torch.tensor([0]), questions=("a",), answers=("b",))
        )
