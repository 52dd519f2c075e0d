"""The experiment of lesson 06 on a small world: what its parts mean, and claims that follow from numbers."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.experiments import transformer
from lessons_lib.training.vision_language import question_words


@pytest.fixture(scope="module")
def small():
    build = {"strides": (2, 2), "width": 16, "heads": 2, "image_blocks": 1, "text_blocks": 1, "fusion_blocks": 2}
    sizes = {"train": 320, "test": 60, "size": 32, "epochs": (1, 1), "keep": 0.5, "build": build}
    old = transformer.SIZES["quick"]
    transformer.SIZES["quick"] = sizes
    try:
        world = transformer.world(1200)
        yield world, transformer.train(world, "product", 1200)
    finally:
        transformer.SIZES["quick"] = old


def test_every_arm_explains_the_same_model(small):
    world, trained = small
    assert transformer.train(world, "uniform", 1200) is trained
    other = transformer.untrained(trained, world)
    assert other.vocabulary is trained.vocabulary
    pairs = zip(other.model.parameters(), trained.model.parameters())
    assert all(a.shape == b.shape for a, b in pairs)
    assert not torch.equal(other.model.embed.weight, trained.model.embed.weight)


@pytest.mark.parametrize("arm", list(transformer.ARMS))
def test_measures_are_shares(small, arm):
    world, trained = small
    found = transformer.measure(trained, world, arm)
    assert set(found) == {
        "noun_pointing",
        "pair_pointing",
        "noun_grounding",
        "noun_energy",
        "pair_energy",
        "question_pointing",
    }
    assert all(0 <= share <= 1 for share in found.values())


def test_the_uniform_arm_scores_the_area(small):
    world, trained = small
    found = transformer.measure(trained, world, "uniform")
    masks = torch.stack([noun.mask for noun in transformer.nouns(world)])
    assert found["noun_energy"] == pytest.approx(masks.float().mean((1, 2)).mean().item(), abs=1e-5)
    boxes = transformer.filled_boxes(masks)
    assert found["noun_pointing"] == pytest.approx(boxes.float().mean((1, 2)).mean().item(), abs=1e-5)


def test_maps_are_those_of_the_nouns_tokens(small):
    from lessons_lib.explain import word_maps

    world, trained = small
    singles, pairs = transformer.noun_maps("product", trained, world)
    nouns = transformer.nouns(world)
    coloured = [n for n, noun in enumerate(nouns) if noun.told.colour is not None]
    assert len(singles) == len(nouns) and len(pairs) == len(coloured)
    n = coloured[0]
    noun = nouns[n]
    one = word_maps(trained.model, (world.images[noun.row][None], trained.tokens([noun.told.words])), size="images")[0]
    torch.testing.assert_close(singles[n], one[slice(*noun.told.noun)].mean(0), atol=1e-6, rtol=1e-3)
    both = (one[slice(*noun.told.noun)].mean(0) + one[noun.told.colour]) / 2
    torch.testing.assert_close(pairs[0], both, atol=1e-6, rtol=1e-3)


def test_the_sentences_map_is_one_map_for_all_its_nouns(small):
    world, trained = small
    singles, _ = transformer.noun_maps("sentence", trained, world)
    rows = [noun.row for noun in transformer.nouns(world)]
    n = next(n for n in range(len(rows) - 1) if rows[n] == rows[n + 1])
    torch.testing.assert_close(singles[n], singles[n + 1], atol=1e-7, rtol=1e-4)


def test_questions_ask_for_the_colour_of_what_their_box_holds(small):
    world, _ = small
    asked, places, boxes = transformer.colour_questions(world)
    assert len(asked) == len(places) == len(boxes) > 0
    for question, place, box in zip(asked.questions, places, boxes):
        words = question_words(question)
        assert words[place - 1] in world.test.knobs.things and words[0] == "what" and box.any()


def test_a_model_that_looks_ranks_foils_by_the_picture(small):
    world, _ = small
    found = transformer.extra(world, 1200)
    assert found["nouns"] == len(transformer.nouns(world))
    roles = [found[f"matching_{role}"] for role in ("thing", "colour", "place", "activity")]
    assert found["matching"] == pytest.approx(sum(roles) / 4)
    assert all(0 <= found[name] <= 1 for name in ("matching", "ranking", "accuracy", "absent_refused"))


def results(**changes):
    arms = {
        "product": {"noun_pointing": 0.9, "pair_pointing": 0.95, "noun_energy": 0.45, "pair_energy": 0.5},
        "attention": {"noun_pointing": 0.92, "pair_pointing": 0.95, "noun_energy": 0.4, "pair_energy": 0.4},
        "gradient": {"noun_pointing": 0.3, "pair_pointing": 0.3, "noun_energy": 0.1, "pair_energy": 0.1},
        "sentence": {"noun_pointing": 0.6, "pair_pointing": 0.6, "noun_energy": 0.1, "pair_energy": 0.1},
        "absent_word": {"noun_pointing": 0.5, "pair_pointing": 0.5, "noun_energy": 0.2, "pair_energy": 0.2},
        "other_caption": {"noun_pointing": 0.4, "pair_pointing": 0.4, "noun_energy": 0.15, "pair_energy": 0.1},
        "random_weights": {"noun_pointing": 0.2, "pair_pointing": 0.2, "noun_energy": 0.1, "pair_energy": 0.1},
        "uniform": {"noun_pointing": 0.15, "pair_pointing": 0.15, "noun_energy": 0.07, "pair_energy": 0.07},
    }
    spread = (-0.01, 0.0, 0.01)
    filled = {}
    for arm, metrics in {**arms, **changes}.items():
        metrics = {**metrics, "question_pointing": metrics["noun_pointing"]}
        filled[arm] = {name: [value + s for s in spread] for name, value in metrics.items()}
    extra = {"matching": [0.93, 0.94, 0.95], "ranking": [0.97, 0.98, 0.99], "ranking_elsewhere": [0.5, 0.51, 0.49]}
    return {"arms": filled, "extra": extra}


def test_claims_hold_for_numbers_like_these_and_fail_for_others():
    good = {claim.id: claim.holds for claim in transformer.claims(results())}
    assert all(good.values()) and {"transformer.matching", "transformer.word_pointing_nouns"} <= set(good)
    same = {"noun_pointing": 0.9, "pair_pointing": 0.95, "noun_energy": 0.45, "pair_energy": 0.5}
    bad = {claim.id: claim.holds for claim in transformer.claims(results(random_weights=same, attention=same))}
    assert not bad["transformer.word_pointing_nouns"] and not bad["transformer.word_energy_nouns"]


def test_claims_about_arms_that_were_not_run_are_left_out():
    found = results()
    del found["arms"]["attention"], found["extra"]
    ids = {claim.id for claim in transformer.claims(found)}
    assert "transformer.word_energy_nouns" not in ids and "transformer.matching" not in ids
