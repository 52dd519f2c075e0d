"""The explorer's widgets: thin, and with failures that are seen."""

from __future__ import annotations

import io

import ipywidgets
import pytest
import torch
from PIL import Image
from quarters import IMAGES, METHODS, Where, calls, corner, fails, hot_quarter, pixels
from torch import nn

from lessons_lib.models.small import SmallCNN
from lessons_lib.show import ExplorerState, explore
from lessons_lib.show.explorer import Explorer, uploaded


@pytest.fixture
def state():
    calls.clear()
    return ExplorerState(Where(), IMAGES, methods=METHODS, method="corner")


@pytest.fixture
def explorer(state):
    return Explorer(state, ipywidgets)


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
    assert 'role="alert"' in explorer.message.value and shown in explorer.message.value
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
