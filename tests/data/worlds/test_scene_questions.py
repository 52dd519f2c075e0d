"""Sets of questions: balance, priors that turn around, evidence and simulated human attention."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest
import torch

from data_fetch.worlds.scenes import ask, reason, scenes
from data_fetch.worlds.scenes.questions import KINDS, REASONS, favoured

seeds = pytest.mark.parametrize("seed", [0, 9, 52])


@pytest.fixture(scope="module")
def world():
    return scenes(400, size=32, seed=5, objects=(1, 4))


@seeds
def test_questions_point_at_their_pictures(world, seed):
    data = ask(world, per_image=3, seed=seed)
    assert len(data) == 1200 and Counter(data.image_index.tolist()) == dict.fromkeys(range(400), 3)
    assert len(set(data.ids)) == len(data)
    assert torch.equal(data.images[[7, 8]], world.images[data.image_index[[7, 8]]])
    for n in range(0, 1200, 3):
        assert len(set(data.questions[n : n + 3])) == 3
        assert all(world.seen[data.image_index[n], slot] for slot in data.evidence[n])
    part = data[torch.tensor([5, 600])]
    assert part.questions == (data.questions[5], data.questions[600])
    assert torch.equal(part.attention[:1][0], data.attention[5])
    assert set(data.kinds) == set(KINDS) and set(data.answer_types) == {"yes/no", "number", "other"}


@seeds
def test_yes_and_no_are_balanced_in_every_kind_without_a_prior(world, seed):
    yes_or_no = ("exists", "is_colour", "state", "indoors", "place_fact")
    for per_image, kinds in ((2, yes_or_no), (1, KINDS)):
        data = ask(world, per_image=per_image, kinds=kinds, seed=seed)
        counts = Counter(zip(data.kinds, data.answers))
        for kind in yes_or_no:
            assert abs(counts[kind, "yes"] - counts[kind, "no"]) <= 3 and counts[kind, "no"] > 0


@seeds
@pytest.mark.parametrize("strength", [0.6, 0.8, 1.0])
def test_priors_reach_their_strength_and_turn_around(world, seed, strength):
    train = ask(world, per_image=2, prior="train", strength=strength, seed=seed)
    test = ask(world, per_image=2, prior="test", strength=strength, seed=seed)
    shares = {}
    for name, data in (("train", train), ("test", test)):
        by_kind = defaultdict(list)
        for kind, answer in zip(data.kinds, data.answers):
            by_kind[kind].append(favoured(kind, answer))
        for kind, found in by_kind.items():
            expected = strength if name == "train" else 1 - strength
            assert abs(sum(found) - expected * len(found)) <= 1.5, (name, kind)
        shares[name] = data.card()["favoured_share"]
        assert len(by_kind) >= 10 and len(data) > 600
    assert set(shares["train"]) & set(shares["test"])
    favourites = {
        kind: Counter(a for k, a in zip(train.kinds, train.answers) if k == kind) for kind in set(train.kinds)
    }
    if strength > 0.7:
        blind = sum(
            favourites[kind].most_common(1)[0][0] == answer
            for kind, answer in zip(test.kinds, test.answers)
            if kind in favourites
        ) / len(test)
        own = sum(favourites[kind].most_common(1)[0][0] == a for kind, a in zip(train.kinds, train.answers)) / len(
            train
        )
        assert own - blind > 0.2, "answering without looking works in training and fails in the test"


@seeds
def test_attention_lies_on_the_evidence(world, seed):
    data = ask(world, per_image=2, kinds=("colour", "state", "clothes", "side"), seed=seed)
    better = []
    for n in range(0, len(data), 7):
        heat, mask = data.attention[n], data.evidence_masks[n]
        assert heat.shape == (32, 32) and float(heat.min()) >= 0 and abs(float(heat.max()) - 1) < 1e-6
        assert mask.any() and torch.equal(heat, data.attention[n]), "the same map each time"
        share = float(heat[mask].sum() / heat.sum())
        better.append(share / float(mask.float().mean()))
        rows, columns = torch.nonzero(mask, as_tuple=True)
        peak = divmod(int(heat.argmax()), 32)
        assert min((rows - peak[0]) ** 2 + (columns - peak[1]) ** 2) <= 8**2
    assert sum(better) / len(better) > 2.5, "heat is denser on the evidence than by chance"


@seeds
def test_a_share_of_the_questions_has_attention(world, seed):
    data = ask(world, per_image=3, attention=0.06, seed=seed)
    assert int(data.has_attention.sum()) == round(0.06 * len(data))
    without = torch.nonzero(~data.has_attention)[:5, 0]
    assert not data.attention[without].any()


@seeds
def test_reasoning_is_balanced_by_rule_and_comes_with_its_questions(world, seed):
    data = reason(world, per_image=2, seed=seed)
    counts = Counter(zip(data.kinds, data.answers))
    assert len({kind for kind, _ in counts}) >= 15
    for kind in {kind for kind, _ in counts}:
        assert counts[kind, "yes"] == counts[kind, "no"]
    assert all(data.perception) and len(data) <= 800
    assert sum(map(bool, data.irrelevant)) / len(data) > 0.8
    for subs, others in zip(data.perception, data.irrelevant):
        assert not {q.question for q in subs} & {q.question for q in others}
    one = reason(world, rules=("swim",), per_image=1, seed=seed)
    assert set(one.questions) == {"Could somebody swim here?"} and one.answers.count("yes") == one.answers.count("no")


def test_same_seed_same_questions(world):
    one, two, other = (ask(world, seed=s) for s in (3, 3, 4))
    assert one.questions == two.questions and torch.equal(one.attention[4], two.attention[4])
    assert one.questions != other.questions
    json.dumps(one.card())


def test_bad_arguments_are_named(world):
    for arguments, message in (
        ({"kinds": ("smell",)}, "kinds must be names out of.*smell"),
        ({"per_image": 0}, "per_image must be at least 1"),
        ({"prior": "validation"}, "prior must be None, 'train' or 'test'"),
        ({"strength": 1.4}, "strength is a share"),
        ({"attention": -1}, "attention is a share"),
    ):
        with pytest.raises(ValueError, match=message):
            ask(world, **arguments)
    with pytest.raises(ValueError, match="rules must be names"):
        reason(world, rules=("why",))
    lonely = scenes(3, size=24, people=0.0)
    with pytest.raises(ValueError, match="allow no question"):
        ask(lonely, kinds=("doing",))
    with pytest.raises(ValueError, match="with both answers"):
        reason(lonely, rules=("sport",))
    assert len(REASONS) >= 20
