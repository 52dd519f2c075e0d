"""Fine-tuning with the map in the loss, and what the maps' seeds teach."""

from __future__ import annotations

import pytest
import torch

from lessons_lib.evidence.localisation import energy_pointing
from lessons_lib.explain import grad_cam
from lessons_lib.feedback.gain import attention_mining_loss, erase, soft_mask
from lessons_lib.models.small import SmallCNN
from lessons_lib.training.gain import Terms, fine_tune, hide_cells, objective
from lessons_lib.training.gain_segmentation import VOID, Segmenter, fit_segmenter, seeds_of, segment

FAST = {"epochs": 4, "lr": 5e-3, "batch_size": 8, "external_batch": 8, "seed": 3}


@pytest.fixture(scope="module")
def squares():
    """24 pictures: a red or a blue square at a random place on grey; labels and masks."""
    generator = torch.Generator().manual_seed(0)
    images, masks = torch.full((24, 3, 24, 24), 0.5), torch.zeros(24, 24, 24, dtype=torch.bool)
    labels = torch.arange(24) % 2
    for n, (x, y) in enumerate(torch.randint(0, 14, (24, 2), generator=generator).tolist()):
        masks[n, y : y + 10, x : x + 10] = True
        images[n, 2 * int(labels[n]), y : y + 10, x : x + 10] = 1.0
    return images, labels, masks


@pytest.fixture(scope="module")
def classifier():
    return SmallCNN(2, width=4, seed=1).eval()


def test_the_start_is_left_alone_and_a_seed_repeats(squares, classifier):
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    images, labels, masks = squares
    options = {"annotated": (images, masks, labels), **FAST, "epochs": 1}
    models = [fine_tune(classifier, images, labels, Terms(1.0, 10.0), **options)[0] for _ in range(2)]
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    for first, again in zip(*(model.state_dict().items() for model in models)):
        assert torch.equal(first[1], again[1]), first[0]
    moved = {name for name, value in models[0].state_dict().items() if not torch.equal(value, before[name])}
    assert "features.conv1.weight" in moved and not any("running" in name for name in moved)


def test_masks_move_the_map_onto_the_object(squares, classifier):
    images, labels, masks = squares
    energy = []
    for terms, given in ((Terms(), None), (Terms(omega=10.0), (images, masks, labels))):
        model, course = fine_tune(classifier, images, labels, terms, annotated=given, **{**FAST, "epochs": 25})
        maps = grad_cam(model, images, labels, model.explain_layer, size="images")
        energy.append(float(energy_pointing(maps, masks).mean()))
    assert energy[1] > energy[0] + 0.1
    assert sum(course.metrics["external"][-3:]) < 0.7 * sum(course.metrics["external"][:3])


def test_each_path_reaches_the_weights_in_its_own_way(squares, classifier):
    images, labels = squares[0][:6], squares[1][:6]
    gradients = {}
    for path in ("both", "network", "map"):
        classifier.zero_grad()
        plain = objective(classifier, images, labels, labels, Terms(), None)[0]
        total, values = objective(classifier, images, labels, labels, Terms(1.0, path=path), None)
        (total - plain).backward()
        gradients[path] = torch.cat([w.grad.flatten().clone() for w in classifier.parameters() if w.grad is not None])
        assert values["mining"] + values["classification"] == pytest.approx(float(total.detach()), abs=1e-5)
        assert 0 < values["masked area"] < 1
    classifier.zero_grad()
    torch.testing.assert_close(gradients["both"], gradients["network"] + gradients["map"], atol=1e-5, rtol=1e-3)
    assert gradients["map"].abs().max() > 1e-6 and gradients["network"].abs().max() > 1e-6


def test_mining_is_the_true_class_on_what_is_left(squares, classifier):
    images, labels = squares[0][:6], squares[1][:6]
    values = objective(classifier, images, labels, labels, Terms(1.0), None, sigma=0.6, slope=9.0)[1]
    maps = grad_cam(classifier, images, labels, classifier.explain_layer)
    left = erase(images, soft_mask(maps, (24, 24), sigma=0.6, omega=9.0), fill=0.5)
    expected = attention_mining_loss(classifier(left), labels)
    assert values["mining"] == pytest.approx(float(expected.detach()), abs=1e-5)


def test_several_labels_a_picture_take_the_map_of_one(squares, classifier):
    images = squares[0]
    labels = torch.stack([squares[1], torch.full((24,), -1)], 1)
    labels[::3] = torch.tensor([0, 1])
    course = fine_tune(classifier, images, labels, Terms(1.0), **{**FAST, "epochs": 1})[1]
    assert len(course.metrics["mining"]) == 3
    with pytest.raises(ValueError, match="no label at all"):
        fine_tune(classifier, images, torch.full((24, 2), -1), Terms(1.0), **FAST)


def test_hidden_cells_are_grey_and_as_many_as_asked():
    images = torch.zeros(50, 3, 16, 16)
    hidden = hide_cells(images, 0.3, torch.Generator().manual_seed(0))
    assert set(hidden.unique().tolist()) == {0.0, 0.5}
    assert 0.25 < float((hidden == 0.5).float().mean()) < 0.35
    cells = hidden[:, 0].view(50, 4, 4, 4, 4).float()
    assert (cells.amax((2, 4)) == cells.amin((2, 4))).all()


@pytest.mark.parametrize(
    "change, message",
    [({"path": "sideways"}, "both, network, map"), ({"alpha": -1.0}, "at least 0"), ({"hide": 1.0}, "below 1")],
)
def test_bad_terms_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        Terms(**change)


def test_bad_input_is_named(squares, classifier):
    images, labels, _ = squares
    with pytest.raises(ValueError, match="no annotated images"):
        fine_tune(classifier, images, labels, Terms(omega=1.0), **FAST)
    with pytest.raises(ValueError, match="explain_layer"):
        fine_tune(torch.nn.Linear(2, 2), images, labels, Terms(), **FAST)
    with pytest.raises(ValueError, match="labels"):
        seeds_of(torch.ones(2, 4, 4), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="background <= share"):
        seeds_of(torch.ones(2, 4, 4), torch.zeros(2, dtype=torch.int64), share=0.1, background=0.3)


# ---------------------------------------- segmentation
def test_seeds_by_hand():
    maps = torch.tensor([[[1.0, 0.21, 0.1, 0.02]], [[0.0, 0.0, 0.0, 0.0]]])
    seeds = seeds_of(maps, torch.tensor([3, 1]))
    assert seeds.tolist() == [[[4, 4, VOID, 0]], [[0, 0, 0, 0]]]


def test_right_seeds_teach_a_segmentation(squares, classifier):
    images, labels, masks = squares
    seeds = torch.where(masks, (labels + 1)[:, None, None], 0)
    model = fit_segmenter(classifier, images, seeds, epochs=20, lr=2e-2, seed=1)
    found = segment(model, images)
    assert isinstance(model, Segmenter) and found.shape == (24, 24, 24)
    assert float((found == seeds).float().mean()) > 0.85
