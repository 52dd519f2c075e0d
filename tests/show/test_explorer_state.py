"""What the explorer shows, tested without any widget."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image
from quarters import IMAGES, METHODS, Where, bright, calls, gradient, hot_quarter, pixels
from torch import nn

from lessons_lib.models.small import SmallCNN
from lessons_lib.show import ExplorerState


@pytest.fixture
def state():
    calls.clear()
    return ExplorerState(Where(), IMAGES, methods=METHODS, method="corner")


@pytest.mark.parametrize("name, predicted", [("one", 0), ("two", 3)])
def test_the_predicted_class_is_explained_by_default(state, name, predicted):
    state.select(image=name)
    png, text = state.render()
    assert hot_quarter(png) == predicted
    assert text.splitlines()[0].startswith(f"Predicted: {Where.categories[predicted]} ")
    assert f"corner for '{Where.categories[predicted]}' at pooled, 2 x 2: 100 % of the heat lies in the" in text
    assert pixels(png).shape[:2] == (334, 648)


@pytest.mark.parametrize("target", range(4))
def test_any_class_can_be_explained(state, target):
    state.select(target=target)
    for method in ("corner", "gradient"):
        state.select(method=method)
        assert hot_quarter(state.render()[0]) == target


def test_probabilities_are_the_softmax_of_the_logits(state):
    expected = Where()(IMAGES["one"][None]).softmax(1)[0]
    assert state.top(2) == [(0, "upper left", pytest.approx(float(expected[0]), rel=1e-5)), state.top(2)[1]]
    assert torch.allclose(state.probabilities("one"), expected)
    assert [p for _, _, p in state.top()] == sorted(expected.tolist(), reverse=True)


def test_maps_are_computed_once_for_each_image_class_layer_and_method(state):
    for _ in range(3):
        state.render()
    state.select(overlay=0.9)
    state.render()
    assert calls == [(0, "pool")]
    state.select(layer="none")
    assert state.busy() == "corner is at work (your function) ..."
    state.render()
    state.select(target=2)
    state.render()
    state.select(target=None, image="two")
    state.render()
    assert calls == [(0, "pool"), (0, "flat"), (2, "flat"), (3, "flat")]
    state.select(image="one", target=0)
    assert state.busy() == ""
    state.render()
    assert len(calls) == 4, "the predicted class and that class by its index share a map"
    passes = state.model.calls
    state.clear()
    state.render()
    assert len(calls) == 5 and state.model.calls == passes + 1


def test_the_cache_does_not_grow_without_end(state):
    from lessons_lib.show import explorer_state

    for place in range(3 * explorer_state.CACHED):
        state._remember(("map", place), np.zeros(1))
    assert len(state._cache) == explorer_state.CACHED


def test_stronger_colours_change_the_picture_only(state):
    pictures = {}
    for overlay in (0.0, 0.4, 0.9):
        state.select(overlay=overlay)
        pictures[overlay] = state.render()[0]
    plain, some, much = (np.ptp(pixels(pictures[o])[:320, -320:], axis=-1).sum() for o in (0.0, 0.4, 0.9))
    assert plain < some < much
    assert plain == 0, "without colours the grey picture stays grey"


@pytest.mark.parametrize("size", [(16, 16), (224, 224), (30, 90)])
def test_a_slider_step_takes_well_under_150_milliseconds(size):
    images = {"a": torch.rand(3, *size, generator=torch.Generator().manual_seed(0))}
    state = ExplorerState(Where(), images, methods={"gradient": gradient}, method="gradient")
    state.render()
    seconds = []
    for overlay in (0.1, 0.5, 0.9):
        started = time.thread_time()
        state.select(overlay=overlay)
        state.render()
        seconds.append(time.thread_time() - started)
    assert min(seconds) < 0.15


def test_search_ranks_names_words_and_parts(state):
    assert [name for _, name in state.search("LOWER")] == ["lower left", "lower right corner"]
    assert state.search("upper right") == [(1, "upper right")]
    assert [index for index, _ in state.search("right")] == [1, 3]
    assert state.search("  ") == [] and state.search("zebra") == []
    cats = ExplorerState(
        Where(), IMAGES, methods=METHODS, method="corner", categories=["catamaran", "tabby cat", "dog", "x"]
    )
    assert [name for _, name in cats.search("cat")] == ["tabby cat", "catamaran"], "a word before a part of a word"


def test_uploads_become_images(state):
    buffer = io.BytesIO()
    Image.fromarray((bright(2, 40).permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(buffer, "PNG")
    assert state.add_image("one", buffer.getvalue()) == "one (2)", "an image of the same name is kept"
    assert state.images["one (2)"].shape == (3, 16, 16)
    assert hot_quarter(state.render()[0]) == 2
    with pytest.raises(ValueError, match="not a picture"):
        state.add_image("bad", b"plain text")
    assert list(state.images) == ["one", "two", "one (2)"] and state.image == "one (2)"


def test_the_library_s_methods_are_the_default():
    model = SmallCNN(3, seed=1).eval()
    state = ExplorerState(model, {"a": torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(0))})
    assert {"grad_cam", "rise", "lrp"} <= set(state.methods) and state.method == "grad_cam"
    for method in ("grad_cam", "backprop", "cam"):
        state.select(method=method)
        assert state.map().shape == (48, 48)
    assert state.methods["grad_cam"].takes_layer and not state.methods["backprop"].takes_layer


@pytest.mark.parametrize(
    "options, message",
    [
        ({"images": {}}, "at least one image"),
        ({"images": {"a": IMAGES["one"] * 255}}, r"must lie in \[0, 1\]"),
        ({"methods": ["no such"]}, "unknown method 'no such'"),
        ({"method": "no such"}, "there is no method 'no such'"),
        ({"target": 4}, "class 4 is out of range: the model has classes 0 to 3"),
        ({"overlay": 2.0}, "between 0 and 1"),
        ({"model": nn.BatchNorm2d(3)}, "training mode"),
        ({"model": nn.Conv2d(3, 2, 1)}, r"logits of shape \(B, K\)"),
    ],
)
def test_what_cannot_be_explored_is_refused(options, message):
    arguments = {"model": Where(), "images": IMAGES, "methods": METHODS, "method": "corner", **options}
    with pytest.raises(ValueError, match=message):
        ExplorerState(arguments.pop("model"), arguments.pop("images"), **arguments).render()


def test_a_refused_choice_changes_nothing(state):
    for wrong in ({"image": "three"}, {"target": 9}, {"overlay": -1}, {"layer": "x"}, {"nonsense": 1}):
        with pytest.raises(ValueError):
            state.select(**{"method": "gradient", **wrong})
    assert (state.image, state.method, state.target, state.overlay) == ("one", "corner", None, 0.55)
