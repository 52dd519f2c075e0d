"""The explorer: its state without widgets, and thin widgets whose failures are seen."""

from __future__ import annotations

import io
import time

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lessons_lib.models.small import SmallCNN
from lessons_lib.show import ExplorerState, explore
from lessons_lib.show.explorer import Explorer, uploaded


class Where(nn.Module):
    """Logits = mean brightness of the four quarters: class 0 upper left, 1 upper right, 2 lower left, 3 lower right."""

    categories = ("upper left", "upper right", "lower left", "lower right corner")
    layers = {"pooled, 2 x 2": "pool", "none": "flat"}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.pool, self.flat = nn.AdaptiveAvgPool2d(2), nn.Flatten()
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return 8 * self.flat(self.pool(images).mean(1))


def bright(quarter, size=16):
    image = torch.full((3, size, size), 0.2)
    row, column = divmod(quarter, 2)
    half = size // 2
    image[:, row * half : (row + 1) * half, column * half : (column + 1) * half] = 0.9
    return image


def gradient(model, images, target):
    images = images.clone().requires_grad_()
    model(images)[0, target].backward()
    return images.grad.abs().sum(1)


calls = []


def corner(model, images, target, *, layer=None):
    calls.append((target, layer))
    maps = torch.zeros(1, 2, 2)
    maps[0, target // 2, target % 2] = 1.0
    return maps


def fails(model, images, target):
    raise RuntimeError("the map went missing")


def refuses(model, images, target):
    raise ValueError("this method needs another network")


METHODS = {"corner": corner, "gradient": gradient, "fails": fails, "refuses": refuses}
IMAGES = {"one": bright(0), "two": bright(3)}


@pytest.fixture
def state():
    calls.clear()
    return ExplorerState(Where(), IMAGES, methods=METHODS, method="corner")


@pytest.fixture
def explorer(state):
    return Explorer(state, ipywidgets)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def hot_quarter(png):
    """The quarter of the right panel with the most colour."""
    image = pixels(png)[:320, -320:]
    colour = np.ptp(image, axis=-1)
    return int(np.argmax([colour[r : r + 160, c : c + 160].sum() for r in (0, 160) for c in (0, 160)]))


# ---- state


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


# ---- widgets


def test_every_control_reaches_the_picture(explorer):
    assert hot_quarter(explorer.picture.value) == 0
    explorer.class_menu.value = 2
    assert hot_quarter(explorer.picture.value) == 2
    assert "lower left" in explorer.text.value
    explorer.image_menu.value = "two"
    assert hot_quarter(explorer.picture.value) == 2, "the chosen class stays for the next picture"
    explorer.class_menu.value = -1
    assert hot_quarter(explorer.picture.value) == 3
    explorer.layer_menu.value = "none"
    assert calls[-1] == (3, "flat")
    before = explorer.picture.value
    explorer.overlay.value = 0.95
    assert explorer.picture.value != before and explorer.state.overlay == 0.95
    explorer.method_menu.value = "gradient"
    assert explorer.layer_menu.disabled and "gradient for" in explorer.text.value
    assert explorer.error is None


def test_no_menu_is_left_blank(explorer):
    assert all(menu.index is not None for menu in (explorer.class_menu, explorer.layer_menu, explorer.image_menu))
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    bare = explore(model, IMAGES, methods={"corner": corner})
    assert bare.layer_menu.label == "the model's own" and bare.class_menu.label.startswith("predicted: class ")


def test_the_class_menu_offers_predictions_and_what_was_searched(explorer):
    labels = [label for label, _ in explorer.class_menu.options]
    assert labels[0].startswith("predicted: upper left (") and labels[1].startswith("upper left (")
    explorer.search.value = "corner"
    assert explorer.class_menu.value == 3 and hot_quarter(explorer.picture.value) == 3
    explorer.search.value = "zebra"
    assert "no class name contains" in explorer.message.value and "alert" in explorer.message.value
    assert hot_quarter(explorer.picture.value) == 3, "the last setting stays"
    explorer.search.value = ""
    assert explorer.error is None and "alert" not in explorer.message.value


def test_classes_of_the_same_name_stay_apart(state):
    state.categories = ["crane", "crane", "x", "y"]
    explorer = Explorer(state, ipywidgets)
    explorer.search.value = "crane"
    assert [value for _, value in explorer.class_menu.options].count(1) == 1
    explorer.class_menu.value = 1
    assert hot_quarter(explorer.picture.value) == 1


@pytest.mark.parametrize(
    "method, shown", [("refuses", "this method needs another network"), ("fails", "RuntimeError: the map went missing")]
)
def test_failures_are_shown_and_kept(explorer, method, shown):
    explorer.method_menu.value = method
    assert f'role="alert"' in explorer.message.value and shown in explorer.message.value  # noqa: F541
    assert isinstance(explorer.error, RuntimeError | ValueError) and explorer.error.__traceback__ is not None
    assert pixels(explorer.picture.value).shape[1] == 320, "the old map does not stand beside the message"
    assert "corner for" not in explorer.text.value
    explorer.method_menu.value = "corner"
    assert explorer.error is None and shown not in explorer.message.value
    assert hot_quarter(explorer.picture.value) == 0


def test_a_failure_at_the_start_is_raised():
    with pytest.raises(RuntimeError, match="went missing"):
        explore(Where(), IMAGES, methods={"fails": fails}, method="fails")


def test_a_slow_method_announces_itself(state):
    said = []

    def slow(model, images, target):
        said.append(explorer.message.value)
        return torch.ones(1, 2, 2)

    state.methods["slow <1>"] = state._own("slow <1>", slow)
    explorer = Explorer(state, ipywidgets)
    explorer.method_menu.value = "slow <1>"
    assert len(said) == 1 and "slow &lt;1&gt; is at work" in said[0] and 'role="status"' in said[0]
    assert "at work" not in explorer.message.value


@pytest.mark.parametrize("generation", [7, 8])
def test_uploads_of_both_widget_generations(explorer, generation):
    buffer = io.BytesIO()
    Image.new("RGB", (50, 40), (255, 0, 0)).save(buffer, "JPEG")

    def value(name, content):
        if generation == 7:
            return {name: {"metadata": {"name": name, "type": "image/jpeg"}, "content": content}}
        return ({"name": name, "type": "image/jpeg", "content": memoryview(content)},)

    assert uploaded(value("red.jpg", buffer.getvalue())) == [("red.jpg", buffer.getvalue())]
    upload = explorer._handler(explorer._upload)
    upload({"new": value("red.jpg", buffer.getvalue())})
    assert explorer.image_menu.value == "red.jpg" and list(explorer.image_menu.options) == ["one", "two", "red.jpg"]
    upload({"new": value("bad.jpg", b"no picture")})
    assert "not a picture" in explorer.message.value and explorer.image_menu.value == "red.jpg"
    assert isinstance(explorer.error, ValueError)
    assert uploaded({}) == uploaded(()) == []


def test_new_weights_need_a_refresh(explorer):
    before = len(calls)
    explorer.refresh()
    assert len(calls) == before + 1


def test_only_boxes_and_plain_controls_are_used(explorer):
    kinds, queue = set(), [explorer.view]
    while queue:
        widget = queue.pop()
        kinds.add(type(widget).__name__)
        queue += getattr(widget, "children", ())
    assert kinds == {"VBox", "HBox", "Dropdown", "FileUpload", "Text", "FloatSlider", "HTML", "Image"}


def test_the_output_holds_a_static_picture_with_a_description(explorer):
    bundle, metadata = explorer._repr_mimebundle_()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.view.model_id
    assert "corner for 'upper left'" in bundle["text/plain"] == metadata["image/png"]["alt"]
    assert "100 % of the heat lies in the upper left quarter" in bundle["text/plain"]
    assert len(bundle["image/png"]) < 250_000


@pytest.mark.parametrize("missing", ["LESSONS_STATIC", "ipywidgets"])
def test_without_widgets_the_static_picture_stands_alone(monkeypatch, missing):
    if missing == "ipywidgets":
        monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    else:
        monkeypatch.setenv("LESSONS_STATIC", "1")
    explorer = explore(Where(), IMAGES, methods=METHODS, method="corner")
    assert explorer.view is None
    assert set(explorer._repr_mimebundle_()[0]) == {"image/png", "text/plain"}
    explorer.refresh()


def test_display_gives_controls_and_picture(explorer, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda thing, **options: shown.append((thing, options)))
    explorer._ipython_display_()
    (controls, options), (figure, _) = shown
    assert options == {"raw": True} and "widget-view" in next(iter(controls))
    assert "controls" in controls["text/plain"] and figure.alt.startswith("A picture (one: upper left")


def test_the_model_is_left_as_it_was():
    model = SmallCNN(3, seed=0).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    explore(
        model, {"a": torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(1))}, methods=["grad_cam", "rise"]
    )
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not model.training and torch.equal(torch.get_rng_state(), random)
    assert not any(module._forward_hooks for module in model.modules())
