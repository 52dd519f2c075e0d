"""Lesson 08's explanation of a picture and its desk for new birds, on a small world."""

from __future__ import annotations

import pytest
import torch

from data_fetch.worlds.birds import GROUPS
from lessons_lib.experiments import niwt
from lessons_lib.show.zero_shot import NewBird, explanation, show_explanation, show_tried, try_bird

SMALL = {"per_class": 3, "test": 1, "size": 32, "epochs": 2, "width": 4}


@pytest.fixture(scope="module")
def small():
    old = niwt.SIZES["quick"]
    niwt.SIZES["quick"] = SMALL
    try:
        yield niwt.world(1300)
    finally:
        niwt.SIZES["quick"] = old


def test_an_explanation_has_a_map_five_attributes_and_three_neurons(small):
    model, task = niwt.train(small, "niwt", 1300), small.task
    label = task.shown + 2
    image = task.test.images[(task.test_labels == label).nonzero()[0]]
    found = explanation(model, small, image, label)
    assert found.cam.shape == (8, 8) and len(set(found.attributes)) == 5
    assert set(found.attributes) <= set(task.attribute_names)
    contributions = [float(model.rows[2, k] * activations.mean()) for k, _, activations in found.neurons]
    assert len(contributions) == 3 and contributions == sorted(contributions, reverse=True)
    names = niwt.neuron_names(small).argmax(1)
    assert all(name == task.attribute_names[int(names[k])] for k, name, _ in found.neurons)
    figure = show_explanation(found, small, image)
    assert task.class_names[label] in figure.alt and f"neuron {found.neurons[0][0]}" in figure.alt


def test_a_described_bird_gets_a_classifier_and_is_drawn_as_described(small):
    like = small.task.class_names[-1]
    tried = try_bird(small, {"has_crown_color": "red"}, like=like, count=4)
    assert tried.images.shape == (4, 3, 32, 32) and tried.maps.shape == (4, 32, 32)
    assert [guess == "your bird" for guess in tried.guesses] == tried.recognised.tolist()
    again = try_bird(small, {"has_crown_color": "red"}, like=like, count=4)
    assert torch.equal(tried.images, again.images) and tried.guesses == again.guesses
    assert f"{int(tried.recognised.sum())} of 4 pictures recognised" in show_tried(tried).alt


def test_words_decide_the_classifier_and_choices_the_pictures(small):
    like = small.task.class_names[-1]
    one = try_bird(small, {}, like=like, text="A small bird with a red throat.", count=4)
    two = try_bird(small, {}, like=like, text="A large bird with a black belly.", count=4)
    assert torch.equal(one.images, two.images) and not torch.allclose(one.maps, two.maps)


def test_the_desk_follows_the_menus(small):
    desk = NewBird(small, {"has_throat_color": "red"}, like=small.task.class_names[-1])
    before = desk.tried
    assert desk.view is not None and desk.menus["has_throat_color"].value == "red"
    desk.menus["has_crown_color"].value = "blue"
    assert desk.choices == {"has_throat_color": "red", "has_crown_color": "blue"}
    assert not torch.equal(before.images, desk.tried.images)
    assert desk.text.value == desk.static().alt
    desk.menus["has_throat_color"].value = "as it is"
    assert desk.choices == {"has_crown_color": "blue"}
    assert set(desk.menus["has_crown_color"].options) == {"as it is", *GROUPS["has_crown_color"]}
