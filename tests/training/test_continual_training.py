"""Learning task after task: what each method holds, maps with a graph, and runs that are killed and go on."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from data_fetch.worlds.birds.tasks import bird_tasks
from lessons_lib.evidence.remembering import Looking
from lessons_lib.explain import backprop, grad_cam, smoothgrad
from lessons_lib.feedback.rrr import Samples
from lessons_lib.models.small import SmallCNN
from lessons_lib.training.checkpoint import CheckpointError
from lessons_lib.training.continual import Method, Pace, learn_tasks, map_distance, task_loss
from lessons_lib.training.continual_baselines import distillation_loss, ewc_penalty, fisher, merged
from lessons_lib.training.continual_maps import KINDS, NOISE, SAMPLES, maps_and_logits
from lessons_lib.training.continual_memory import restored, stored
from lessons_lib.training.continual_start import with_head

PACE = Pace(1, 2e-3, 4, 4)


@pytest.fixture(scope="module")
def tasks():
    return bird_tasks(1, (2, 2, 2), (4, 4, 4), test=3, size=24)


def network(classes=6, seed=3):
    return SmallCNN(classes, width=3, seed=seed).eval()


def weights(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])


# ---------------------------------------- maps
def test_maps_are_those_of_the_library_and_their_graph_reaches_the_weights():
    model, images = network(), torch.rand(3, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([0, 3, 5])
    noise = {"samples": SAMPLES, "noise": NOISE, "generator": torch.Generator().manual_seed(0)}
    expected = {
        "grad_cam": grad_cam(model, images, classes, model.explain_layer),
        "backprop": backprop(model, images, classes),
        "smoothgrad": smoothgrad(model, images, classes, **noise),
        "features": model.features((images - 0.5) / 0.25).mean(1),
    }
    assert set(expected) == set(KINDS)
    for kind, right in expected.items():
        plain, logits = maps_and_logits(model, images, classes, kind)
        torch.testing.assert_close(plain, right, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(logits, model(images))
        maps, _ = maps_and_logits(model, images, classes, kind, create_graph=True)
        torch.testing.assert_close(maps, right, rtol=1e-4, atol=1e-6)
        first = model.features.conv1.weight
        (gradient,) = torch.autograd.grad(map_distance(maps, torch.rand_like(maps), kind), first)
        assert gradient.abs().sum() > 0 and not plain.requires_grad, kind
    with pytest.raises(ValueError, match="kind must be one of grad_cam"):
        maps_and_logits(model, images, classes, "lime")


def test_distance_is_of_shape_not_of_scale():
    maps = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(1)) + 0.1
    assert float(map_distance(5 * maps, maps)) == pytest.approx(0, abs=1e-5)
    apart = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)
    apart[0][0, 0, 0], apart[1][0, 1, 1] = 1, 3
    assert float(map_distance(*apart)) == pytest.approx(2, abs=1e-5)
    assert float(map_distance(2 * maps, maps, "features")) == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_on_the_maps_alone_brings_them_back(tasks, kind):
    model, images = network(), stored(tasks.images[:6])
    classes = tasks.labels[:6]
    before = maps_and_logits(model, restored(images), classes, kind)[0].detach()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        for value in model.parameters():
            value += 0.1 * value.std() * torch.randn(value.shape, generator=generator) if value.numel() > 6 else 0
    method = Method(keep=1, explain=kind, weight=1.0)
    samples = Samples(images, classes, before, classes)

    def distance():
        return task_loss(model, tasks.images[:2], tasks.labels[:2], samples, method, 6)[1]["saliency"]

    first, optimiser = distance(), torch.optim.SGD(model.parameters(), lr=1e-3)
    for _ in range(5):
        maps, _ = maps_and_logits(model, restored(images), classes, kind, create_graph=True)
        optimiser.zero_grad()
        map_distance(maps, before, kind).backward()
        optimiser.step()
    assert first > 0 and distance() < first


# ---------------------------------------- baselines
def test_fisher_and_penalty_by_hand():
    model = torch.nn.Linear(2, 2, bias=False)
    images, labels = torch.tensor([[1.0, 2.0], [0.5, -1.0]]), torch.tensor([0, 1])
    found = fisher(model, images, labels, 2)["weight"]
    apart = model(images).softmax(1) - F.one_hot(labels, 2)
    torch.testing.assert_close(found, (apart[:, :, None] * images[:, None]).square().mean(0).detach())
    anchor = {"weight": model.weight.detach() - 1}
    assert ewc_penalty(model, anchor, {"weight": found}).item() == pytest.approx(float(found.sum()) / 2, rel=1e-4)
    torch.testing.assert_close(merged({"weight": found}, {"weight": found})["weight"], 2 * found)
    assert merged(None, {"weight": found})["weight"] is found
    with pytest.raises(ValueError, match="no weight 'weight'"):
        ewc_penalty(model, {}, {})


def test_distillation_is_zero_for_the_same_answers():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert float(distillation_loss(logits, logits + 2)) == pytest.approx(0, abs=1e-6)
    other, t = logits.flip(1), 2.0
    p, q = (other / t).softmax(1), (logits / t).softmax(1)
    right = t**2 * (p * (p.log() - q.log())).sum(1).mean()
    torch.testing.assert_close(distillation_loss(logits, other), right)
    with pytest.raises(ValueError, match="same shape"):
        distillation_loss(logits, logits[:2])
    with pytest.raises(ValueError, match="temperature"):
        distillation_loss(logits, logits, 0.0)


# ---------------------------------------- the loop
def test_each_method_learns_its_own_way_and_repeats(tasks):
    methods = [Method(), Method(keep=1), Method(keep=1, explain="grad_cam", weight=1.0), Method(ewc=100.0), Method(lwf=1.0),
               Method(keep=1, explain="grad_cam", weight=1.0, shuffled=True), Method(joint=True),
               Method(keep=1, sgd=True)]  # fmt: skip
    ends = [weights(learn_tasks(network(), tasks, method, PACE, seed=5).model) for method in methods]
    for number, end in enumerate(ends):
        assert not any(torch.equal(end, other) for other in ends[:number]), methods[number]
    again = learn_tasks(network(), tasks, methods[2], PACE, seed=5)
    assert torch.equal(weights(again.model), ends[2])
    assert not torch.equal(weights(learn_tasks(network(), tasks, methods[2], PACE, seed=6).model), ends[2])


def test_kept_pictures_have_the_maps_of_the_end_of_their_task(tasks):
    seen = []

    def look(model, task, buffer, records):
        seen.append(copy.deepcopy(model))
        return {}

    method = Method(keep=2, keep_first=1, explain="grad_cam", weight=1.0)
    buffer = learn_tasks(network(), tasks, method, PACE, seed=5, look=look).buffer
    assert torch.bincount(buffer.kept.labels).tolist() == [1, 1, 2, 2, 2, 2]
    assert buffer.kept.images.dtype == torch.uint8
    assert buffer.bytes == {"images": 10 * 3 * 24 * 24, "maps": 10 * 6 * 6 * 4}
    for task, model in enumerate(seen):
        mine = (tasks.task_of[buffer.kept.labels] == task).nonzero()[:, 0]
        images = restored(buffer.kept.images[mine])
        said = model(images)[:, : tasks.seen[task]].argmax(1)
        assert torch.equal(said, buffer.kept.predicted[mine])
        torch.testing.assert_close(grad_cam(model, images, said, model.explain_layer), buffer.kept.maps[mine])


@pytest.mark.parametrize("bytes_a_map, extra", [(0, 0), (144, 1), (1728, 6)])
def test_bytes_of_maps_buy_so_many_pictures(tasks, bytes_a_map, extra):
    buffer = learn_tasks(network(), tasks, Method(keep=1, extra_bytes=bytes_a_map), PACE, seed=5).buffer
    assert len(buffer) == 6 + extra and buffer.bytes["images"] - 6 * 1728 >= 6 * bytes_a_map
    assert len({image.numpy().tobytes() for image in buffer.kept.images}) == len(buffer)


def test_known_tasks_are_kept_but_not_trained(tasks):
    model = network()
    before = weights(model)
    alone = learn_tasks(model, tasks.first(1), Method(keep=1), PACE, seed=5)
    assert not torch.equal(before, weights(alone.model))
    two = replace(PACE, epochs=1)
    course = learn_tasks(network(), tasks.first(2), Method(keep=1), two, seed=5, known=1)
    assert len(course.buffer) == 4 and not torch.equal(before, weights(course.model))
    with pytest.raises(ValueError, match="known must be 0 to 2, got 3"):
        learn_tasks(network(), tasks, Method(), PACE, seed=5, known=3)


def test_a_loss_that_breaks_down_is_told(tasks):
    with pytest.raises(FloatingPointError, match="loss of task 0 is nan"):
        broken = network()
        torch.nn.init.constant_(broken.head.weight, float("nan"))
        learn_tasks(broken, tasks, Method(), PACE, seed=5)


@pytest.mark.parametrize(
    "wrong", [{"explain": "grad_cam"}, {"keep": 1, "explain": "lime"}, {"keep": -1}, {"ewc": -1.0}]
)
def test_methods_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match="maps need kept pictures|must not be negative"):
        Method(**wrong)
    with pytest.raises(ValueError, match="at least 1"):
        Pace(0, 1e-3)


def test_a_new_head_keeps_the_old_rows_first():
    model = network(4)
    wider = with_head(model, 6, keep=True)
    image = torch.rand(2, 3, 24, 24)
    torch.testing.assert_close(wider(image)[:, :4], model(image))
    assert not wider(image)[:, 4:].any() and not with_head(model, 2, keep=False)(image).any()
    with pytest.raises(ValueError, match="at most 3 rows"):
        with_head(model, 3, keep=True)


# ---------------------------------------- stopped and resumed
METHOD = Method(keep=1, explain="grad_cam", weight=1.0, ewc=10.0)


def test_killed_in_the_middle_it_ends_with_the_same_numbers(tasks, tmp_path):
    path = tmp_path / "run.pt"
    program = f"""
    import os, signal
    from data_fetch.worlds.birds.tasks import bird_tasks
    from lessons_lib.evidence.remembering import Looking
    from lessons_lib.models.small import SmallCNN
    from lessons_lib.training.continual import Method, Pace, learn_tasks
    import torch
    torch.set_num_threads({torch.get_num_threads()})
    tasks = bird_tasks(1, (2, 2, 2), (4, 4, 4), test=3, size=24)
    def die(report):
        if report.step == 5:  # in the third task
            os.kill(os.getpid(), signal.SIGKILL)
    learn_tasks(SmallCNN(6, width=3, seed=3).eval(), tasks, {METHOD!r}, {PACE!r}, seed=5, look=Looking(tasks),
                checkpoint={str(path)!r}, progress=die)
    """
    child = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    steps = []
    options = {"seed": 5, "look": Looking(tasks)}
    resumed = learn_tasks(
        network(), tasks, METHOD, PACE, checkpoint=path, progress=lambda r: steps.append(r.step), **options
    )
    assert steps == [5, 6], "only the third task was left to learn"
    whole = learn_tasks(network(), tasks, METHOD, PACE, **options)
    assert torch.equal(weights(resumed.model), weights(whole.model))
    for one, other in zip(resumed.records, whole.records, strict=True):
        assert set(one) == set(other)
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=0, atol=0, equal_nan=True)
    for name in ("images", "labels", "maps", "predicted"):
        assert torch.equal(getattr(resumed.buffer.kept, name), getattr(whole.buffer.kept, name))
    finished = learn_tasks(
        network(), tasks, METHOD, PACE, checkpoint=path, progress=lambda r: steps.append(0), **options
    )
    assert steps == [5, 6] and torch.equal(weights(finished.model), weights(whole.model))


def test_foreign_and_damaged_checkpoints_are_refused(tasks, tmp_path):
    path = tmp_path / "run.pt"
    learn_tasks(network(), tasks.first(1), METHOD, PACE, seed=5, checkpoint=path)
    for change in ({"seed": 6}, {"method": replace(METHOD, weight=2.0)}, {"model": network(seed=4)}, {"tasks": tasks}):
        given = {"model": network(), "tasks": tasks.first(1), "method": METHOD, "seed": 5, **change}
        with pytest.raises(CheckpointError, match="of another training"):
            learn_tasks(given["model"], given["tasks"], given["method"], PACE, seed=given["seed"], checkpoint=path)
    path.write_bytes(path.read_bytes()[: os.path.getsize(path) // 2])
    with pytest.raises(CheckpointError, match=r"run.pt cannot be read, it is damaged"):
        learn_tasks(network(), tasks.first(1), METHOD, PACE, seed=5, checkpoint=path)
