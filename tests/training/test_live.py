"""A live session: the loop stays free, Stop stops, errors are seen."""

from __future__ import annotations

import asyncio
import threading

import pytest
import torch

from lessons_lib.models.small import SmallCNN
from lessons_lib.training import LiveSession, fit, fit_steps

SETTINGS = {"epochs": 2, "lr": 1e-3, "batch_size": 4, "seed": 1}


def data():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(16, 3, 12, 12, generator=generator), torch.arange(16) % 2


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_live_and_plain_runs_end_alike():
    models = [SmallCNN(2, width=2) for _ in range(3)]
    fit(models[0], data(), **SETTINGS)
    seen = []
    LiveSession(fit_steps(models[1], data(), **SETTINGS), seen.append).run()

    async def cell():
        session = LiveSession(fit_steps(models[2], data(), **SETTINGS)).start()
        assert session.running and not session.ended
        await session.finished()
        assert session.ended and not session.running

    asyncio.run(cell())
    assert [report.step for report in seen] == list(range(1, 9))
    assert torch.equal(weights(models[0]), weights(models[1])) and torch.equal(weights(models[0]), weights(models[2]))


def test_other_tasks_run_between_steps_and_stop_stops():
    async def cell():
        steps, beats = [], []
        session = LiveSession(iter(range(10_000)), steps.append).start()

        async def button():
            for _ in range(20):
                beats.append(len(steps))
                await asyncio.sleep(0)
            session.stop()

        await asyncio.gather(button(), session.finished())
        assert len(set(beats)) > 15, "the loop was not let in between steps"
        assert 15 <= len(steps) < 30 and not session.ended and not session.running
        done = len(steps)
        session.start()  # goes on where it was
        await asyncio.sleep(0)
        session.stop()
        await session.finished()
        assert steps == list(range(len(steps))) and len(steps) > done

    asyncio.run(cell())


def test_error_is_kept_shown_and_raised_again():
    def steps():
        yield 1
        raise ZeroDivisionError("step two")

    shown, ended = [], []

    async def cell():
        session = LiveSession(steps(), on_error=shown.append, on_end=lambda: ended.append(True)).start()
        with pytest.raises(ZeroDivisionError, match="step two"):
            await session.finished()
        assert isinstance(session.error, ZeroDivisionError)

    asyncio.run(cell())
    assert len(shown) == 1 and "step two" in shown[0] and "Traceback" in shown[0] and ended == [True]


def test_error_in_the_callback_is_not_swallowed():
    def callback(report):
        raise KeyError("no such curve")

    async def cell():
        await LiveSession(iter([1, 2]), callback).start().finished()

    with pytest.raises(KeyError, match="no such curve"):
        asyncio.run(cell())
    with pytest.raises(KeyError, match="no such curve"):
        LiveSession(iter([1, 2]), callback).run()


def test_a_step_waits_for_the_lock():
    """A callback on another thread that holds the lock sees no half-made step."""
    inside, session = [], None

    def steps():
        for step in range(50):
            inside.append(True)
            yield step
            inside.append(False)

    session = LiveSession(steps())
    with session.lock:
        worker = threading.Thread(target=session.run)
        worker.start()
        worker.join(0.1)
        assert worker.is_alive() and not inside, "a step was made while the lock was held"
    worker.join(5)
    assert session.ended and not worker.is_alive()


def test_start_needs_an_event_loop():
    with pytest.raises(RuntimeError, match=r"call run\(\) instead"):
        LiveSession(iter([])).start()


def test_stopped_live_training_keeps_its_checkpoint(tmp_path):
    file, model = tmp_path / "live.pt", SmallCNN(2, width=2)
    steps = fit_steps(model, data(), **SETTINGS, checkpoint=file)
    session = LiveSession(steps, lambda report: session.stop() if report.step == 3 else None)
    session.run()
    steps.close()
    whole, seen = SmallCNN(2, width=2), []
    fit(whole, data(), **SETTINGS)
    fit(model, data(), **SETTINGS, checkpoint=file, progress=lambda report: seen.append(report.step))
    assert seen == [4, 5, 6, 7, 8] and torch.equal(weights(model), weights(whole))
