"""The training loop: it learns, it is deterministic, and an interruption leaves no trace in the weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lessons_lib.models.small import SmallCNN
from lessons_lib.training import (
    CheckpointError,
    as_columns,
    cross_entropy,
    fit,
    fit_steps,
    learning_rate,
    training_steps,
)

SETTINGS = {"epochs": 3, "lr": 3e-3, "batch_size": 8, "seed": 5}
seeds = pytest.mark.parametrize("seed", [0, 1, 2])


class Dropping(nn.Module):
    """BatchNorm and dropout: everything that makes resuming hard."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            self.conv, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
            self.drop, self.head = nn.Dropout(0.4), nn.Linear(6, 2)

    def forward(self, images):
        return self.head(self.drop(self.norm(self.conv(images)).relu().mean((2, 3))))


def data(rows=41, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 2
    images = torch.rand(rows, 3, 12, 12, generator=generator) * 0.5 + 0.4 * labels.view(-1, 1, 1, 1)
    return images, labels


def same(a: nn.Module, b: nn.Module) -> bool:
    other = b.state_dict()
    return all(torch.equal(value, other[name]) for name, value in a.state_dict().items())


@seeds
def test_learns_and_reports(seed):
    model = SmallCNN(2, width=4, seed=seed)
    history = fit(model, data(64, seed), epochs=6, lr=1e-2, batch_size=16, seed=seed)
    assert len(history.loss) == len(history.lr) == len(history.metrics["accuracy"]) == 24
    assert history.recent(steps=4) < 0.5 * sum(history.loss[:4]) / 4
    images, labels = data(64, seed + 50)
    assert float((model(images).argmax(1) == labels).float().mean()) > 0.9
    assert not model.training


@seeds
def test_one_seed_one_outcome_and_the_global_state_is_left_alone(seed):
    outcomes, before = [], torch.random.get_rng_state()
    for run in (seed, seed, seed + 1):
        torch.manual_seed(run * 17 + len(outcomes))  # the global seed must not matter
        model = Dropping()
        state = torch.random.get_rng_state()
        fit(model, data(), **{**SETTINGS, "seed": run})
        assert torch.equal(state, torch.random.get_rng_state())
        outcomes.append(model)
    torch.random.set_rng_state(before)
    assert same(outcomes[0], outcomes[1]) and not same(outcomes[0], outcomes[2])


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("stop", [1, 8, 11])
def test_interrupted_training_ends_with_the_same_weights(tmp_path, optimiser, stop):
    """Stopped by an error between steps, inside an epoch of 5 steps (the last of 41 rows is left out)."""
    options = {**SETTINGS, "optimiser": optimiser}
    whole = Dropping()
    history = fit(whole, data(), **options)

    def crash(report):
        if report.step == stop:
            raise KeyboardInterrupt

    file = tmp_path / "state.pt"
    with pytest.raises(KeyboardInterrupt):
        fit(Dropping(), data(), **options, checkpoint=file, progress=crash)
    seen, resumed = [], Dropping()
    again = fit(resumed, data(), **options, checkpoint=file, progress=lambda report: seen.append(report.step))
    assert seen == list(range(stop + 1, len(history.loss) + 1))
    assert same(whole, resumed)
    assert again.loss == history.loss and again.metrics == history.metrics and again.lr == history.lr


@pytest.mark.parametrize("stop", [9, 14])
def test_crash_inside_a_step_resumes_from_the_last_checkpoint(tmp_path, stop):
    whole, resumed, file = Dropping(), Dropping(), tmp_path / "state.pt"
    fit(whole, data(), **SETTINGS)

    class Power:
        def __init__(self, works):
            self.works = works

        def __call__(self, model, batch, step):
            if step == stop and not self.works:
                raise RuntimeError("power cut")
            return cross_entropy(model, batch, step)

    with pytest.raises(RuntimeError, match="power cut"):
        fit(Dropping(), data(), **SETTINGS, loss=Power(False), checkpoint=file, checkpoint_every=4)
    first = []
    fit(
        resumed,
        data(),
        **SETTINGS,
        loss=Power(True),
        checkpoint=file,
        progress=lambda r: first.append(r.step),
    )
    assert first[0] == stop // 4 * 4 + 1 and same(whole, resumed)


def test_finished_training_is_only_loaded(tmp_path):
    file, first, second = tmp_path / "deep" / "state.pt", Dropping(), Dropping()
    history = fit(first, data(), **SETTINGS, checkpoint=file)
    stamp = file.stat().st_mtime_ns
    calls = []
    again = fit(second, data(), **SETTINGS, checkpoint=file, progress=calls.append)
    assert not calls and same(first, second) and again.loss == history.loss and not second.training
    assert file.stat().st_mtime_ns == stamp and [p.name for p in file.parent.iterdir()] == ["state.pt"]


@pytest.mark.parametrize(
    "change, word",
    [
        ({"lr": 1e-2}, "lr: 0.003 there, 0.01 here"),
        ({"seed": 6}, "seed"),
        ({"epochs": 4}, "epochs"),
        ({"schedule": "cosine"}, "schedule"),
    ],
)
def test_checkpoint_of_other_settings_is_refused(tmp_path, change, word):
    file = tmp_path / "state.pt"
    fit(Dropping(), data(), **SETTINGS, checkpoint=file)
    with pytest.raises(CheckpointError, match=word):
        fit(Dropping(), data(), **{**SETTINGS, **change}, checkpoint=file)
    fit(Dropping(), data(), **{**SETTINGS, **change}, checkpoint=file, resume=False)


def test_checkpoint_of_another_model_or_data_is_refused(tmp_path):
    file = tmp_path / "state.pt"
    fit(Dropping(), data(), **SETTINGS, checkpoint=file)
    with pytest.raises(CheckpointError, match=r"another training .*model"):
        fit(SmallCNN(2, width=2), data(), **SETTINGS, checkpoint=file)
    with pytest.raises(CheckpointError, match="data images"):
        fit(Dropping(), data(seed=1), **SETTINGS, checkpoint=file)


@pytest.mark.parametrize("damage", ["empty", "short", "noise", "foreign"])
def test_damaged_checkpoint_names_the_file_to_delete(tmp_path, damage):
    file = tmp_path / "state.pt"
    fit(Dropping(), data(), **SETTINGS, checkpoint=file)
    whole = file.read_bytes()
    if damage == "foreign":
        torch.save({"weights": torch.zeros(2)}, file)
    else:
        file.write_bytes({"empty": b"", "short": whole[: len(whole) // 2], "noise": b"x" * 500}[damage])
    with pytest.raises(CheckpointError, match=r"state\.pt.*delete this file"):
        fit(Dropping(), data(), **SETTINGS, checkpoint=file)


def test_failed_write_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    file = tmp_path / "state.pt"
    steps = fit_steps(Dropping(), data(), **SETTINGS, checkpoint=file, checkpoint_every=2)
    next(steps), next(steps)
    before = file.read_bytes()

    def full_disk(state, target):
        target.write(b"half of it")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    next(steps)
    with pytest.raises(OSError, match="no space"):
        next(steps)
    assert file.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["state.pt"]


def test_model_can_be_explained_between_steps():
    model, modes = SmallCNN(2, width=2), []
    for report in fit_steps(model, data(), **{**SETTINGS, "epochs": 1}):
        modes.append(model.training)
        assert report.steps == 5 and report.epoch == 0
    assert modes == [False] * 5


def test_custom_loss_sees_every_column_and_the_step():
    images, labels = data(24)
    seen = []

    def loss(model, batch, step):
        seen.append((step, batch["masks"].shape, torch.equal(batch["masks"][:, 0, 0], batch["labels"].float())))
        logits = model(batch["images"])
        return F.cross_entropy(logits, batch["labels"]) + logits.pow(2).mean(), {"size": logits.detach().mean()}

    columns = {"images": images, "labels": labels, "masks": labels.float().view(-1, 1, 1).expand(24, 5, 5)}
    history = fit(Dropping(), columns, **{**SETTINGS, "epochs": 1}, loss=loss)
    assert seen == [(step, (8, 5, 5), True) for step in range(3)]
    assert len(history.metrics["size"]) == 3


def test_every_row_is_seen_once_an_epoch_in_another_order():
    model, rows = Dropping(), []

    def loss(model, batch, step):
        rows.extend(batch["row"].tolist())
        return model(batch["images"]).sum(), {}

    images, _ = data(32)
    fit(model, {"images": images, "row": torch.arange(32)}, **{**SETTINGS, "epochs": 2}, loss=loss)
    assert sorted(rows[:32]) == sorted(rows[32:]) == list(range(32)) and rows[:32] != rows[32:]


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_learning_rate_has_its_shape(schedule):
    rates = [learning_rate(step, 100, 2.0, schedule) for step in range(100)]
    assert max(rates) == 2.0
    if schedule == "constant":
        assert min(rates) == 2.0
    else:
        peak = 25 if schedule == "onecycle" else 0
        assert rates.index(2.0) == peak and rates[-1] < 0.01
        assert rates[:peak] == sorted(rates[:peak]) and rates[peak:] == sorted(rates[peak:], reverse=True)
    assert learning_rate(0, 1, 1.0, schedule) == 1.0


def test_training_steps_drive_any_batches():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    batch = {"images": torch.rand(4, 3, 2, 2), "labels": torch.tensor([0, 1, 0, 1])}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    reports = list(training_steps(model, [batch] * 5, cross_entropy, optimizer, first=10))
    assert [report.step for report in reports] == [11, 12, 13, 14, 15]
    assert reports[-1].loss < reports[0].loss and reports[0].lr == 0.5


@pytest.mark.parametrize(
    "loss, error, word",
    [
        (lambda model, batch, step: model(batch["images"]).sum(), TypeError, "must return"),
        (lambda model, batch, step: (model(batch["images"]), {}), TypeError, "single value"),
        (
            lambda model, batch, step: (model(batch["images"]).sum() * float("nan"), {}),
            FloatingPointError,
            "nan at step 0",
        ),
    ],
)
def test_bad_losses_are_explained(loss, error, word):
    model = Dropping()
    before = {name: value.clone() for name, value in model.state_dict().items() if "norm" not in name}
    with pytest.raises(error, match=word):
        fit(model, data(), **SETTINGS, loss=loss)
    assert not model.training
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize(
    "change, word",
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 1}, "batch_size"),
        ({"lr": 0.0}, "lr"),
        ({"optimiser": "lion"}, "optimiser"),
        ({"schedule": "steps"}, "schedule"),
    ],
)
def test_bad_settings_are_named(change, word):
    with pytest.raises(ValueError, match=word):
        fit(Dropping(), data(), **{**SETTINGS, **change})


def test_bad_data_is_named():
    images, labels = data(8)
    with pytest.raises(TypeError, match="list"):
        fit(Dropping(), [images], **SETTINGS)
    with pytest.raises(ValueError, match="'labels': 7"):
        fit(Dropping(), (images, labels[:7]), **SETTINGS)
    with pytest.raises(ValueError, match="needs 'images' and 'labels'"):
        fit(Dropping(), {"images": images}, **SETTINGS)
    with pytest.raises(ValueError, match="none"):
        as_columns({"name": "shapes"})
