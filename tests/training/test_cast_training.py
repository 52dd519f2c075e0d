"""Pre-training for lesson 14: resumes to the last bit, each step one update, crops and colours as promised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from data_fetch.worlds.backgrounds import object_scenes
from lessons_lib.feedback.cast import covered_share
from lessons_lib.training import cast as training
from lessons_lib.training.cast import Classifier, Terms, objective, pretrain, random_boxes, recolour, supervise, view
from lessons_lib.training.checkpoint import CheckpointError

CAST = Terms(cover=0.4, attention=1.0, size=16)
OPTIONS = {"epochs": 2, "lr": 1e-3, "batch_size": 8, "seed": 5}
CHILD = """
import os, signal, sys
sys.path[:0] = [{root!r}, {here!r}]
from test_cast_training import CAST, OPTIONS, new_model, pictures
from lessons_lib.training.cast import pretrain
some = pictures()
def progress(report):
    if report.step == 7:
        os.kill(os.getpid(), signal.SIGKILL)
pretrain(new_model(), some.images, some.masks, CAST, checkpoint={path!r}, checkpoint_every=3, progress=progress, **OPTIONS)
"""


def pictures():
    return object_scenes(40, seed=2, size=24)


def new_model():
    return training.new_model(width=4, dimension=8, length=16, decay=0.9, seed=1)


@pytest.fixture(scope="module")
def whole():
    torch.set_num_threads(1)
    model, some = new_model(), pictures()
    history = pretrain(model, some.images, some.masks, CAST, **OPTIONS)
    return model, history


def same_state(model, other):
    mine, theirs = model.state_dict(), other.state_dict()
    return [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def test_the_terms_go_down_and_everything_moves(whole):
    model, history = whole
    assert len(history.loss) == 10 and set(history.metrics) == {"contrast", "attention"}
    fresh = new_model()
    for part in ("encoder", "momentum"):
        assert not same_state(getattr(model, part), getattr(fresh, part))
    assert not torch.equal(model.queue, fresh.queue)


def test_stopped_and_resumed_is_the_same_to_the_last_bit(whole, tmp_path):
    some, path = pictures(), tmp_path / "cast.pt"

    class Stop(Exception):
        pass

    def progress(report):
        if report.step == 4:
            raise Stop

    with pytest.raises(Stop):
        pretrain(new_model(), some.images, some.masks, CAST, checkpoint=path, progress=progress, **OPTIONS)
    model = new_model()
    history = pretrain(model, some.images, some.masks, CAST, checkpoint=path, **OPTIONS)
    assert same_state(model, whole[0]) and history.loss == whole[1].loss


def test_killed_and_resumed_is_the_same_to_the_last_bit(whole, tmp_path):
    path, here = tmp_path / "cast.pt", Path(__file__).resolve().parent
    code = CHILD.format(root=str(here.parents[1]), here=str(here), path=str(path))
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120)
    assert done.returncode == -signal.SIGKILL and path.exists()
    some, model, steps = pictures(), new_model(), []
    pretrain(model, some.images, some.masks, CAST, checkpoint=path, progress=lambda r: steps.append(r.step), **OPTIONS)
    assert steps[0] == 7  # the state of step 6 was the last that was stored
    assert same_state(model, whole[0])


def test_a_checkpoint_of_other_terms_is_refused(tmp_path):
    some, path = pictures(), tmp_path / "cast.pt"
    pretrain(new_model(), some.images, some.masks, CAST, checkpoint=path, **OPTIONS)
    with pytest.raises(CheckpointError):
        pretrain(new_model(), some.images, some.masks, Terms(cover=0.4, size=16), checkpoint=path, **OPTIONS)


def test_one_update_of_the_momentum_encoder_a_step_and_masked_keys_stay_out_of_the_queue():
    model, some, calls = new_model().train(), pictures(), []
    update = model.update
    model.update = lambda queue: (calls.append(len(queue)), update(queue))
    old = model.queue.clone()
    loss, values = objective(model, some.images[:6], some.masks[:6], CAST, torch.Generator().manual_seed(0))
    assert calls == [16] and torch.equal(model.queue[:10], old[6:])
    assert float(loss.detach()) == pytest.approx((values["contrast"] + values["attention"]) / 2, rel=1e-5)


def test_the_attention_loss_reaches_the_first_convolution():
    model, some = new_model().train(), pictures()
    loss, _ = objective(
        model, some.images[:6], some.masks[:6], Terms(size=16, attention=1e9), torch.Generator().manual_seed(0)
    )
    loss.backward()
    assert model.encoder.features.conv1.weight.grad.abs().sum() > 0


def test_views_hold_the_share_that_is_asked_and_masks_go_along():
    some = object_scenes(60, seed=4)
    crops, masks = view(some.images, some.masks, Terms(cover=0.9, jitter=0), torch.Generator().manual_seed(1))
    assert crops.shape == (60, 3, 32, 32) and masks.shape == (60, 32, 32) and masks.flatten(1).any(1).all()
    again = view(some.images, some.masks, Terms(cover=0.9, jitter=0), torch.Generator().manual_seed(1))[0]
    assert torch.equal(crops, again)
    boxes = random_boxes(2000, (48, 40), torch.Generator().manual_seed(0))
    assert (boxes[:, :2] >= 0).all() and boxes[:, 2].max() <= 40 and boxes[:, 3].max() <= 48
    area = ((boxes[:, 2:] - boxes[:, :2]).prod(1) / (48 * 40)).double()
    assert area.min() > 0.15 and 0.5 < area.mean() < 0.65
    assert float((covered_share(some.masks, boxes[:60].clamp(max=40)) < 0.5).float().mean()) > 0.1


def test_colours_change_and_some_pictures_turn_grey():
    images = object_scenes(400, seed=4, size=24).images
    changed = recolour(images, torch.Generator().manual_seed(0), 0.4)
    assert changed.min() >= 0 and changed.max() <= 1
    grey = (changed.amax(1) - changed.amin(1)).amax((1, 2)) < 1e-4
    assert 0.12 < grey.float().mean() < 0.3
    assert torch.equal(recolour(images, torch.Generator(), 0.0), images)
    left = (changed - images).abs().amax((1, 2, 3)) < 1e-4
    assert 0.3 < left.float().mean() < 0.5  # half keep their colours, a fifth of those turn grey


def test_with_labels_the_same_encoder_learns():
    some = object_scenes(96, seed=7, size=24, classes=("star", "gear"))
    model = Classifier(new_model().encoder, 2, seed=0)
    history = supervise(
        model, some.images, some.masks, some.labels, Terms(size=24), epochs=8, lr=5e-3, batch_size=16, seed=0
    )
    assert history.recent(steps=5) < 0.9 * history.loss[0]


def test_bad_arguments_are_named():
    some = pictures()
    with pytest.raises(ValueError, match="masks must be bool"):
        pretrain(new_model(), some.images, some.masks[:3], CAST, **OPTIONS)
    for options in ({"cover": 2}, {"attention": -1}, {"size": 2}, {"temperature": 0}, {"jitter": -1}):
        with pytest.raises(ValueError, match="cover must"):
            Terms(**options)
