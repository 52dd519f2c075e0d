"""Maps, new rows, baselines and sentences: on toys whose answer is known, and on a small untrained network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lessons_lib.feedback.niwt import importance_loss
from lessons_lib.models.small import SmallCNN
from lessons_lib.training.zero_shot import (
    CosineMap,
    Course,
    by_gradient,
    by_jacobian,
    extended,
    features_of,
    fit_map,
    fit_rows,
    importances_of,
    jacobian_of,
    look,
)
from lessons_lib.training.zero_shot_baselines import fit_ale, fit_eszsl, fit_regression, ranking_loss
from lessons_lib.training.zero_shot_sets import bird_set, phrase_list, phrase_shares, phrases_of


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def seeing():
    network = SmallCNN(5, width=3, seed=1).eval()
    return network, torch.rand(6, 3, 24, 24, generator=torch.Generator().manual_seed(2))


# ---------------------------------------- looking into the network
def test_look_gives_one_forward_pass_whose_graph_begins_at_the_layer(seeing):
    network, images = seeing
    activations, features, logits = look(network, images, "features.relu3")
    torch.testing.assert_close(logits, network(images))
    torch.testing.assert_close(network.head(features), logits)
    torch.testing.assert_close(features.detach(), features_of(network, images, batch=4))
    logits.sum().backward(inputs=[activations])
    assert activations.grad is None or activations.grad.abs().sum() > 0  # a path leads there
    with pytest.raises(ValueError, match="linear"):
        look(network, images, "features.relu3", "features.relu4")


def test_importances_at_the_last_layer_are_the_rows(seeing):
    network, images = seeing
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    found = importances_of(network, images, labels, "features.relu4")
    torch.testing.assert_close(found, network.head.weight.detach()[labels])


def test_two_ways_to_the_importances_agree_and_lead_to_the_same_rows(seeing):
    network, images = seeing
    jacobian = jacobian_of(network, images, "features.relu3")
    numbers, rows = torch.tensor([4, 1, 1]), random(2, 12)
    fast, slow = by_jacobian(jacobian), by_gradient(network, images, "features.relu3")
    torch.testing.assert_close(fast(rows, numbers), slow(rows, numbers), rtol=1e-4, atol=1e-5)
    wanted, options = random(2, 12, seed=3), {"steps": 5, "batch": 3, "seed": 4}
    one = fit_rows(wanted, network.head.weight, fast, len(images), **options)
    other = fit_rows(wanted, network.head.weight, slow, len(images), **options)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert all(parameter.grad is None for parameter in network.parameters())


# ---------------------------------------- maps
@pytest.fixture(scope="module")
def toy():
    """Importances that are a linear function of ten attributes; 40 seen classes of 6 images, 8 unseen classes."""
    described = (random(48, 10, seed=5) > 0).float()
    truth = described @ random(10, 16, seed=6)
    labels = torch.arange(40).repeat_interleave(6)
    return described, truth, labels, truth[labels] + 0.1 * random(240, 16, seed=7)


def make_map():
    return CosineMap(10, 16, seed=0)


def test_a_linear_map_is_found_and_holds_for_classes_never_seen(toy):
    described, truth, labels, importances = toy
    fitted, course = fit_map(make_map, described[:40], importances, labels, seed=1, steps=300)
    with torch.no_grad():
        assert importance_loss(fitted(described[40:]), truth[40:]) < 0.03
        assert importance_loss(make_map()(described[40:]), truth[40:]) > 0.5  # before it learned
    assert course.best == len(course.loss) and course.held_out[course.best] == min(course.held_out.values())
    assert course.loss[-1] < course.loss[0]


def test_the_held_out_classes_teach_nothing_before_the_number_of_steps_is_known(toy):
    """With targets of the held-out classes replaced, only the validation changes, not how many classes it has."""
    described, _, labels, importances = toy
    options = {"seed": 1, "steps": 50, "held_out": 5}
    _, course = fit_map(make_map, described[:40], importances, labels, **options)
    away = torch.randperm(40, generator=torch.Generator().manual_seed(1))[:5]
    other = torch.where(torch.isin(labels, away)[:, None], -importances, importances)
    _, flipped = fit_map(make_map, described[:40], other, labels, **options)
    for step, loss in course.held_out.items():
        assert loss + flipped.held_out[step] == pytest.approx(2, abs=1e-4)  # cosines of the same map, of the other sign


def test_maps_repeat_and_leave_the_global_generator_alone(toy):
    described, _, labels, importances = toy
    before = torch.random.get_rng_state()
    start = lambda: CosineMap(10, 16, hidden=8, dropout=0.3, seed=2)  # noqa: E731
    one, _ = fit_map(start, described[:40], importances, labels, steps=25, seed=3)
    two, _ = fit_map(start, described[:40], importances, labels, steps=25, seed=3)
    assert torch.equal(one(described), two(described)) and not one.training
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_embedding_map_is_a_mean_of_embeddings():
    """Without ReLU and bias in the first layer, the map of a text is the map of the mean of its words' columns."""
    model = CosineMap(7, 4, hidden=3, relu=False, seed=0).eval()
    text = torch.tensor([0, 0.5, 0, 0.5, 0, 0, 0])
    columns = model.layers[0].weight.T
    torch.testing.assert_close(model(text), model.layers[2]((columns[1] + columns[3]) / 2))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"inputs": torch.ones(3, 10)}, "inputs one an image or a class"),
        ({"targets": torch.ones(3, 16)}, "row an image"),
        ({"held_out": 40}, "held_out"),
    ],
)
def test_a_map_refuses_what_does_not_fit(toy, change, message):
    described, _, labels, importances = toy
    given = {"inputs": described[:40], "targets": importances, "labels": labels, "steps": 1} | change
    with pytest.raises(ValueError, match=message):
        fit_map(make_map, **given)


# ---------------------------------------- rows
def test_rows_reach_the_wanted_importances_and_seen_rows_stay():
    jacobian = torch.linalg.qr(random(16, 8, seed=8)).Q.T.repeat(4, 1, 1)
    seen, truth = random(5, 8, seed=9), random(3, 8, seed=10)
    wanted, before, course = truth @ jacobian[0], seen.clone(), Course()
    rows = fit_rows(wanted, seen, by_jacobian(jacobian), 4, weight=0.0, steps=400, course=course)
    assert (F.cosine_similarity(rows, truth, dim=1) > 0.99).all()
    assert course.loss[-1] < 0.01 < course.loss[0] and torch.equal(seen, before)
    again = fit_rows(wanted, seen, by_jacobian(jacobian), 4, weight=0.0, steps=400)
    assert torch.equal(rows, again)


def test_a_strong_pull_gives_the_mean_and_flat_losses_end_the_fit():
    jacobian, seen = random(4, 8, 16, seed=8), random(5, 8, seed=9)
    course = Course()
    rows = fit_rows(random(2, 16), seen, by_jacobian(jacobian), 4, weight=1e4, steps=2000, lr=0.05, course=course)
    assert (rows - seen.mean(0)).abs().max() < 0.05
    assert len(course.loss) < 2000 and len(course.loss) % 40 == 0


def test_extended_networks_keep_the_seen_logits(seeing):
    network, images = seeing
    rows = random(2, 12)
    whole = extended(network, rows)
    with torch.no_grad():
        logits = whole(images)
        torch.testing.assert_close(logits[:, :5], network(images))
        torch.testing.assert_close(logits[:, 5:], features_of(network, images) @ rows.T + network.head.bias.mean())
    assert network.head.out_features == 5 and whole.head.out_features == 7
    with pytest.raises(ValueError, match="rows"):
        extended(network, random(2, 11))


def test_extended_finds_a_head_inside_another_module():
    inner = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(12, 6), nn.Linear(6, 3)))
    whole = extended(inner, random(2, 6), "1.1")
    assert whole(random(4, 3, 2, 2)).shape == (4, 5)


# ---------------------------------------- baselines
@pytest.fixture(scope="module")
def separable():
    """Features are a linear image of the class's attributes: 12 seen and 4 unseen classes."""
    described = (random(16, 9, seed=11) > 0).float()
    labels = torch.arange(16).repeat_interleave(10)
    return described, labels, described[labels] @ random(9, 20, seed=12) + 0.05 * random(160, 20, seed=13)


@pytest.mark.parametrize("find", [fit_regression, fit_eszsl, fit_ale])
def test_baselines_recognise_unseen_classes_of_a_linear_world(separable, find):
    described, labels, features = separable
    options = {
        fit_regression: {"ridge": 0.1},
        fit_eszsl: {"gamma": 0.1, "ridge": 0.1},
        fit_ale: {"epochs": 60, "lr": 1e-2},
    }
    seen = labels < 12
    found = find(features[seen], labels[seen], described[:12], **options[find])
    among = found.scores(features[~seen], described[12:]).argmax(1) + 12
    assert (among == labels[~seen]).float().mean() > 0.7  # by lot: 0.25
    with pytest.raises(ValueError, match="described classes"):
        find(features, labels, described[:12])


def test_eszsl_solves_its_equation(separable):
    """(F'F + gamma I) V (A'A + ridge I) = F'Y A."""
    described, labels, features = separable
    found = fit_eszsl(features, labels, described, gamma=2.0, ridge=0.5)
    known, signs = F.normalize(described, dim=1), 2 * F.one_hot(labels, 16).float() - 1
    left = (features.T @ features + 2.0 * torch.eye(20)) @ found.matrix @ (known.T @ known + 0.5 * torch.eye(9))
    torch.testing.assert_close(left, features.T @ signs @ known, rtol=1e-3, atol=1e-2)


def test_ranking_loss_by_hand():
    """Scores (0, 0.5, -3) with class 0 right: one violation of 1.5, weight 1. With (0, 0.5, 0): two, weight 3/4 each."""
    label = torch.tensor([0])
    assert ranking_loss(torch.tensor([[0.0, 0.5, -3.0]]), label).item() == pytest.approx(1.5)
    assert ranking_loss(torch.tensor([[0.0, 0.5, 0.0]]), label).item() == pytest.approx(0.75 * (1.5 + 1.0))
    assert ranking_loss(torch.tensor([[2.0, 0.5, 0.0]]), label).item() == 0


# ---------------------------------------- sentences and sets
def test_phrases_keep_what_belongs_together():
    found = phrases_of("A small bird with a red throat and black crown. It has yellow legs.")
    assert {"red throat", "black crown", "yellow legs", "small bird", "red"} <= found
    assert "throat black" not in found and "crown it" not in found


def test_phrase_shares_by_hand():
    told = (("a red throat", "red legs"), ("a red throat",), ("black legs",))
    phrases = phrase_list(told, least=2)
    assert phrases == ("a", "a red", "legs", "red", "red throat", "throat")
    shares = phrase_shares(told, torch.tensor([0, 0, 2]), phrases, 3)
    assert (
        shares[0].tolist() == [1, 1, 0.5, 1, 1, 1] and shares[1].sum() == 0 and shares[2].tolist() == [0, 0, 1, 0, 0, 0]
    )
    with pytest.raises(ValueError, match="do not fit"):
        phrase_shares(told, torch.tensor([0]), phrases, 3)


@pytest.fixture(scope="module")
def real():
    return bird_set(3, per_class=1, test_per_class=1, size=24)


def test_bird_sets_number_seen_classes_first_and_never_show_the_others(real):
    assert real.shown == 56 and len(real.class_names) == 80 and real.seen[:56].all()
    assert real.labels.unique().tolist() == list(range(56))
    names = [real.test.class_names[n] for n in real.test.labels.tolist()]
    assert names == [real.class_names[n] for n in real.test_labels.tolist()]
    assert len(real.attributes) == 80


def test_tuning_sets_leave_the_real_unseen_species_out(real):
    tuned = bird_set(3, per_class=5, test_per_class=1, size=24, tuning=12)
    assert tuned.shown == 44 and len(tuned.class_names) == 56
    assert set(tuned.class_names) == set(real.class_names[:56])
    assert (tuned.told[44:].sum(1) > 0).all() and "red throat" in tuned.phrases
