"""Namer, captioner and answerer: what they see, say and reply, and that a bound sentence or question is a classifier."""

from __future__ import annotations

import pytest
import torch

from data_fetch.words import Vocabulary, split_words
from lessons_lib.explain import grad_cam, guided_backprop
from lessons_lib.models.answerer import Answerer
from lessons_lib.models.captioner import END, START, Captioner, caption_vocabulary
from lessons_lib.models.namer import Namer

SENTENCES = [("a", "red", "car"), ("a", "dog", "on", "the", "beach")]
QUESTIONS = ["What color is the car?", "Is there a dog?"]


@pytest.fixture(scope="module")
def namer() -> Namer:
    return Namer(("car", "dog", "red car", "beach"), width=4, seed=3).eval()


@pytest.fixture(scope="module")
def captioner(namer) -> Captioner:
    return Captioner(
        caption_vocabulary([(*words, END) for words in SENTENCES]), namer, hidden=8, size=24, seed=1
    ).eval()


@pytest.fixture(scope="module")
def answerer(namer) -> Answerer:
    vocabulary = Vocabulary.of([split_words(question) for question in QUESTIONS])
    return Answerer(vocabulary, ("no", "red", "yes"), namer, hidden=8, size=24, seed=1).eval()


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))


def test_a_names_score_lies_between_its_mean_and_its_maximum_over_positions(namer, images):
    with torch.no_grad():
        scores = namer.score(namer.features((images - 0.5) / 0.25)).flatten(2)
        pooled = namer(images)
    assert (pooled <= scores.amax(2) + 1e-5).all() and (pooled >= scores.mean(2) - 1e-5).all()
    torch.testing.assert_close(pooled, scores.exp().mean(2).log())


def test_summary_is_the_largest_rectified_score_of_each_cell(namer, images):
    with torch.no_grad():
        scores = namer.score(namer.features((images - 0.5) / 0.25))
        found = namer.summary(images)
    assert found.shape == (3, 4, 9)
    expected = ((scores + 3) / 4).relu()  # 6 x 6 positions: cells of 2 x 2
    expected = torch.stack(
        [expected[..., 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].amax((2, 3)) for i in range(3) for j in range(3)], 2
    )
    torch.testing.assert_close(found, expected)


def test_the_namer_is_copied_and_does_not_learn(namer, captioner, answerer):
    for model in (captioner, answerer):
        assert model.namer is not namer
        assert not any(p.requires_grad for p in model.namer.parameters())
        assert any(p.requires_grad for p in model.parameters())
    assert all(p.requires_grad for p in namer.parameters())


def test_same_seed_same_weights_and_the_global_state_is_left_alone(namer):
    vocabulary = caption_vocabulary(SENTENCES)
    before = torch.random.get_rng_state()
    one, two, other = (Captioner(vocabulary, namer, hidden=8, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(one.out.weight, two.out.weight) and not torch.equal(one.out.weight, other.out.weight)


def test_a_word_depends_on_the_words_before_it_and_not_on_those_after(captioner, images):
    tokens = captioner.vocabulary.encode([SENTENCES[1]])[0].expand(3, -1)
    changed = tokens.clone()
    changed[:, 2] = captioner.vocabulary.numbers["red"]
    with torch.no_grad():
        before, after = captioner(images, tokens), captioner(images, changed)
    torch.testing.assert_close(before[:, :3], after[:, :3])
    assert not torch.allclose(before[:, 3], after[:, 3])


def test_given_words_are_their_log_probabilities(captioner, images):
    bound = captioner.given("a dog on the beach")
    tokens = captioner.vocabulary.encode([SENTENCES[1]])[0].expand(3, -1)
    with torch.no_grad():
        expected = captioner(images, tokens).log_softmax(2).gather(2, tokens[..., None])[..., 0]
        torch.testing.assert_close(bound(images), expected)
    assert bound.words == SENTENCES[1] and (bound(images) < 0).all()


def test_say_takes_the_likeliest_next_word_and_stops_at_the_end(captioner, images):
    for image, words in zip(images.split(1), captioner.say(images)):
        assert not {START, END, "<pad>", "<unk>"} & set(words) and len(words) <= 20
        tokens = captioner.vocabulary.encode([(*words, END)])[0]
        with torch.no_grad():
            logits = captioner(image, tokens)
        allowed = captioner.vocabulary.numbers[END]
        likeliest = logits[0, :, allowed:].argmax(1) + allowed
        length = len(words) + (len(words) < 20)
        assert torch.equal(likeliest[:length], tokens[0, :length])


def test_all_words_in_one_pass_are_the_words_one_by_one(captioner, images):
    bound = captioner.given(SENTENCES[0])
    together = grad_cam(bound, images, lambda scores: scores)
    assert together.shape == (3, 3, 6, 6)
    for place in range(3):
        alone = grad_cam(bound, images, lambda scores, k=place: scores[:, k])
        torch.testing.assert_close(together[:, place], alone)
    assert guided_backprop(bound, images, lambda scores: scores.sum(1)).shape == (3, 24, 24)


def test_strange_words_are_named_with_close_ones(captioner):
    with pytest.raises(ValueError, match=r"'dgo' \(close: dog\)"):
        captioner.given("a dgo on the beach")
    with pytest.raises(ValueError, match="no words"):
        captioner.given("")


def test_padding_changes_no_answer(answerer, images):
    short, long = answerer.tokens(QUESTIONS[1:]), answerer.tokens(QUESTIONS[1:], length=12)
    assert short.shape[1] < long.shape[1]
    with torch.no_grad():
        one, two = (answerer(images, tokens.expand(3, -1)) for tokens in (short, long))
    torch.testing.assert_close(one, two)


def test_a_blind_model_answers_every_picture_alike_and_the_other_does_not(namer, answerer, images):
    blind = Answerer(answerer.vocabulary, answerer.answers, namer, hidden=8, blind=True, seed=1).eval()
    with torch.no_grad():
        scores, seeing = blind.asked(QUESTIONS[0])(images), answerer.asked(QUESTIONS[0])(images)
    torch.testing.assert_close(scores[0], scores[1])
    assert not torch.allclose(seeing[0], seeing[1])


def test_a_question_makes_a_classifier_of_pictures(answerer, images):
    bound = answerer.asked(QUESTIONS[0])
    maps = grad_cam(bound, images, [[0, 1, 2]] * 3, size="images")
    assert maps.shape == (3, 3, 24, 24)
    assert answerer.index("red") == 1
    with pytest.raises(ValueError, match="no answer 'blue'"):
        answerer.index("blue")


def test_the_picture_vector_has_one_length(answerer, images):
    lengths = answerer.look(images).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((3,), 6.0))  # sqrt(4 names x 9 cells)


def test_bad_input_is_named(namer, answerer, images):
    assert answerer.unknown("Is there a zebra?") == ("zebra",)
    with pytest.raises(ValueError, match="question is empty"):
        answerer.asked("  ")
    with pytest.raises(ValueError, match="one question a picture"):
        answerer(images, answerer.tokens(QUESTIONS))
    with pytest.raises(ValueError, match="two different answers"):
        Answerer(answerer.vocabulary, ("yes",), namer)
    with pytest.raises(ValueError, match="caption_vocabulary"):
        Captioner(Vocabulary.of(SENTENCES), namer)
    with pytest.raises(ValueError, match="names must be different"):
        Namer(("car", "car"))
