"""Running an experiment over seeds: results, resuming, refusals, and the exit status of the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from lessons_lib import __main__ as command
from lessons_lib import experiments
from lessons_lib.experiments import report, runner


class Toy(SimpleNamespace):
    """An experiment in a few microseconds. `calls` counts trainings, `fail` makes one crash."""

    LESSON, ARMS, DATA, TIMINGS = "toy", ("plain", "better", "same"), ("world", "photos"), ("time_ratio",)
    __doc__ = "A toy experiment."
    margin = 0.05

    def __init__(self, fail=None, error=RuntimeError):
        super().__init__(calls=[], fail=fail, error=error)

    def world(self, seed, profile, data=None):
        return {"seed": seed, "data": data, "noise": torch.rand(3, generator=torch.Generator().manual_seed(seed))}

    def train(self, world, arm, seed, profile):
        self.calls.append((seed, arm))
        if (seed, arm) == self.fail:
            raise self.error("the machine went away")
        return {"plain": 0.5, "better": 0.7, "same": 0.5}[arm] + (0.1 if world["data"] == "photos" else 0)

    def measure(self, model, world, arm):
        wobble = {"plain": 0, "better": 1, "same": 2}[arm]
        return {"accuracy": model + 0.01 * float(world["noise"][wobble]), "time_ratio": torch.rand(()).item()}

    def extra(self, world, seed, profile):
        return {"head": 0.9 + 0.001 * seed}

    def claims(self, results):
        return [
            *runner.difference(
                results, "toy.better", "Better is better", "accuracy", "better", "plain", threshold=self.margin
            ),
            *runner.difference(
                results, "toy.control", "The control is below", "accuracy", "same", "better", direction="<"
            ),
            *runner.value(results, "toy.high", "Better is high", "accuracy", "better", threshold=0.6),
        ]


@pytest.fixture
def toy(monkeypatch):
    experiment = Toy()
    monkeypatch.setattr(experiments, "names", lambda: ["toy"])
    monkeypatch.setattr(experiments, "load", lambda name: _only_toy(name, experiment))
    monkeypatch.delenv("LESSONS_SEED", raising=False)
    monkeypatch.delenv("LESSONS_PROFILE", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return experiment


def _only_toy(name, experiment):
    if name != "toy":
        raise ValueError(f"there is no experiment {name!r}; choose one of toy")
    return experiment


def steady(results):
    """The results without what may differ from run to run."""
    return {key: value for key, value in results.items() if key not in ("seconds", "timings")}


@pytest.mark.parametrize("seeds", [[0, 1, 2], [101, 103, 102]])
def test_results_have_the_agreed_shape(tmp_path, seeds):
    file = tmp_path / "deep" / "r.json"
    results = runner.run(Toy(), seeds, out=file)
    assert json.loads(file.read_text()) == results
    assert set(results) >= {"lesson", "profile", "data", "seeds", "seconds", "arms", "claims"}
    assert results["lesson"] == "toy" and results["profile"] == "quick" and results["data"] == "world"
    assert results["seeds"] == seeds and list(results["arms"]) == list(Toy.ARMS)
    for arm, metrics in results["arms"].items():
        assert list(metrics) == ["accuracy"] and len(metrics["accuracy"]) == 3
        assert len(results["timings"][arm]["time_ratio"]) == len(results["timings"][arm]["seconds"]) == 3
    assert results["extra"] == {"head": [0.9 + 0.001 * seed for seed in seeds]}
    assert [claim["id"] for claim in results["claims"]] == ["toy.better", "toy.control", "toy.high"]
    assert all(claim["holds"] for claim in results["claims"])
    assert file.stat().st_mode & 0o777 == 0o644 and [p.name for p in file.parent.iterdir()] == ["r.json"]


def test_one_seed_gives_the_same_numbers_twice():
    assert steady(runner.run(Toy(), [4, 5])) == steady(runner.run(Toy(), [4, 5]))
    assert (
        runner.run(Toy(), [4])["arms"]["plain"]["accuracy"]
        == runner.run(Toy(), [5, 4])["arms"]["plain"]["accuracy"][1:]
    )


@pytest.mark.parametrize("fail", [(1, "plain"), (2, "same")])
def test_interrupted_run_goes_on(tmp_path, fail):
    file, whole = tmp_path / "r.json", runner.run(Toy(), [0, 1, 2, 3])
    with pytest.raises(RuntimeError, match="went away"):
        runner.run(Toy(fail), [0, 1, 2, 3], out=file)
    partial = json.loads(file.read_text())
    assert partial["seeds"] == list(range(fail[0])) and partial["claims"] == []
    second = Toy()
    results = runner.run(second, [0, 1, 2, 3], out=file)
    assert {seed for seed, _ in second.calls} == set(range(fail[0], 4))
    assert steady(results) == steady(whole) == steady(json.loads(file.read_text()))
    assert results["seconds"] >= partial["seconds"]


def test_finished_run_is_extended_in_the_order_asked_for(tmp_path):
    file = tmp_path / "r.json"
    runner.run(Toy(), [7, 9], out=file)
    more = Toy()
    results = runner.run(more, [9, 8, 7], out=file)
    assert {seed for seed, _ in more.calls} == {8} and results["seeds"] == [9, 8, 7]
    assert steady(results) == steady(runner.run(Toy(), [9, 8, 7]))


@pytest.mark.parametrize(
    "change, word",
    [
        ({"profile": "full"}, "profile: quick there, full here"),
        ({"data": "photos"}, "data: world there, photos here"),
        ({"arms": ["plain"]}, "arms"),
        ({"seeds": [0, 2]}, r"seeds: \[0, 1\] there, \[0, 2\] here"),
    ],
)
def test_file_of_another_run_is_refused_unless_overwritten(tmp_path, change, word):
    file = tmp_path / "r.json"
    runner.run(Toy(), [0, 1], out=file)
    before = file.read_text()
    arguments = {"seeds": [0, 1], "out": file, **change}
    with pytest.raises(ValueError, match=f"{word}.*--overwrite"):
        runner.run(Toy(), **arguments)
    assert file.read_text() == before
    results = runner.run(Toy(), **arguments, overwrite=True)
    assert json.loads(file.read_text()) == results


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '{"lesson": "toy"}'])
def test_foreign_file_is_refused(tmp_path, content):
    file = tmp_path / "r.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="is not a result of this program"):
        runner.run(Toy(), [0], out=file)
    assert file.read_text() == content


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / "r.json"
    runner.run(Toy(), [0], out=file)
    before = file.read_text()
    monkeypatch.setattr(runner.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        runner.run(Toy(), [0, 1], out=file)
    assert file.read_text() == before and [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_some_arms_only_and_their_claims():
    results = runner.run(Toy(), [0, 1], arms=["same", "better"])
    assert list(results["arms"]) == ["better", "same"]
    assert [claim["id"] for claim in results["claims"]] == ["toy.control", "toy.high"]


def test_nan_is_no_measurement():
    broken = Toy()
    broken.measure = lambda model, world: {"accuracy": float("nan")}
    with pytest.raises(ValueError, match=r"arm 'plain', seed 3: \['accuracy'\]"):
        runner.run(broken, [3])


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"seeds": []}, "at least one"),
        ({"seeds": [1, 1]}, "different"),
        ({"seeds": [-1]}, ">= 0"),
        ({"profile": "slow"}, "profile"),
        ({"data": "cub"}, "world, photos"),
        ({"arms": ["best"]}, r"no arm \['best'\]"),
        ({"arms": []}, "no arm"),
    ],
)
def test_bad_arguments_are_named(arguments, word):
    with pytest.raises(ValueError, match=word):
        runner.run(Toy(), **{"seeds": [0], **arguments})


def test_unknown_lesson_is_named():
    with pytest.raises(ValueError, match="no experiment 'palmistry'.*failure_modes"):
        runner.run("palmistry", [0])


def test_progress_counts_arms_and_time():
    seen = []
    runner.run(Toy(), [0, 1], progress=seen.append)
    assert [(p.seed, p.arm, p.done, p.total) for p in seen[:4]] == [
        (0, "plain", 1, 6), (0, "better", 2, 6), (0, "same", 3, 6), (1, "plain", 4, 6),
    ]  # fmt: skip
    assert seen[-1].done == seen[-1].total == 6 and seen[-1].seconds >= seen[0].seconds >= 0


def test_every_experiment_has_the_agreed_shape():
    for name in experiments.names():
        module = experiments.load(name)
        assert module.LESSON == name and len(module.ARMS) >= 2 and module.__doc__.strip()
        for function in ("world", "train", "measure", "claims"):
            assert callable(getattr(module, function)), f"{name} lacks {function}"
    assert {"judging", "failure_modes"} <= set(experiments.names())


def test_table_shows_means_intervals_and_claims():
    results = runner.run(Toy(), [0, 1, 2])
    text = report.table(results)
    values = results["arms"]["better"]["accuracy"]
    assert f"better  {sum(values) / 3:.3f} ± 0.0" in text and "seeds 0 to 2" in text
    assert "time_ratio" in text.split("Times, which differ from run to run")[1]
    assert all(len(line) <= report.WIDTH + 2 for line in text.splitlines())
    lines = report.claims(results).splitlines()
    assert lines[0].startswith("HOLDS") and "toy.better" in lines[0] and "Better is better" in lines[1]
    assert "no interval" in report.table(runner.run(Toy(), [0]))
    assert report.claims(runner.run(Toy(), [0], arms=["plain"])) == "No claims about these arms."


def test_wide_tables_are_broken_into_blocks():
    results = runner.run(Toy(), [0, 1])
    results["arms"] = {arm: {f"metric_number_{i}": [0.1, 0.2] for i in range(12)} for arm in Toy.ARMS}
    text = report.table(results)
    assert max(map(len, text.splitlines())) <= report.WIDTH and text.count("plain") >= 3
    assert all(text.count(f"metric_number_{i} ") + text.count(f"metric_number_{i}\n") == 1 for i in range(12))


@pytest.mark.parametrize(
    "text, seeds", [("3", [0, 1, 2]), ("101,103,102", [101, 103, 102]), ("7,", [7]), (" 1, 2 ", [1, 2])]
)
def test_seeds_are_a_number_or_a_list(text, seeds):
    assert command.parse_seeds(text) == seeds
    assert command.parse_seeds("2", first=50) == [50, 51]


@pytest.mark.parametrize("text", ["0", "-2", "a", "1,a", "1,1", "", ",", "1.5"])
def test_bad_seeds_are_wrong_usage(toy, text, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["toy", f"--seeds={text}"])
    assert stop.value.code == 2 and "seeds" in capsys.readouterr().err


def test_a_seed_that_would_be_taken_for_a_number_of_seeds_is_refused(toy, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["toy", "--seeds", "101"])
    assert stop.value.code == 2 and "for the one seed 101 write 101, with a comma" in capsys.readouterr().err
    assert len(command.parse_seeds("50")) == 50 and command.parse_seeds("101,") == [101]


def test_command_line_runs_and_prints(toy, tmp_path, capsys):
    file = tmp_path / "r.json"
    assert command.main(["toy", "--seeds", "3", "--out", str(file)]) == 0
    captured = capsys.readouterr()
    assert "HOLDS" in captured.out and "accuracy" in captured.out
    assert "seed 2, arm same: 9 of 9 arms" in captured.err and "arms a minute" in captured.err
    assert json.loads(file.read_text())["seeds"] == [0, 1, 2]


def test_exit_status_says_whether_the_claims_hold(toy, capsys):
    assert command.main(["toy", "--seeds", "3"]) == 0
    toy.margin = 0.5
    assert command.main(["toy", "--seeds", "3"]) == 1
    assert "DOES NOT HOLD  toy.better" in capsys.readouterr().out
    assert command.main(["toy", "--seeds", "3,"]) == 0, "a claim without an interval does not count"
    assert "NEEDS MORE SEEDS" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, word",
    [
        ([], "name a lesson"),
        (["palmistry"], "no experiment 'palmistry'"),
        (["toy", "--profile", "slow"], "invalid choice"),
        (["toy", "--data", "cub"], "no data 'cub'"),
        (["toy", "--arms", "plain,best"], "no arm"),
        (["toy", "--speed", "9"], "unrecognized"),
    ],
)
def test_wrong_usage_exits_with_2(toy, arguments, word, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2 and word in capsys.readouterr().err and not toy.calls


def test_other_settings_exit_with_2_before_anything_runs(toy, tmp_path, capsys):
    file = tmp_path / "r.json"
    assert command.main(["toy", "--seeds", "2", "--out", str(file)]) == 0
    toy.calls.clear()
    with pytest.raises(SystemExit) as stop:
        command.main(["toy", "--seeds", "2", "--data", "photos", "--out", str(file)])
    assert stop.value.code == 2 and not toy.calls and "--overwrite" in capsys.readouterr().err
    assert command.main(["toy", "--seeds", "2", "--data", "photos", "--out", str(file), "--overwrite"]) == 0


@pytest.mark.parametrize(
    "error, status, word", [(RuntimeError, 3, "went away"), (KeyboardInterrupt, 130, "goes on from")]
)
def test_crash_is_not_mistaken_for_a_failed_claim(toy, tmp_path, capsys, error, status, word):
    toy.fail, toy.error = (1, "plain"), error
    assert command.main(["toy", "--seeds", "2", "--out", str(tmp_path / "r.json")]) == status
    assert word in capsys.readouterr().err


def test_environment_decides_profile_and_first_seed(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_SEED", "40")
    monkeypatch.setenv("LESSONS_PROFILE", "full")
    file = tmp_path / "r.json"
    assert command.main(["toy", "--seeds", "2", "--out", str(file)]) == 0
    stored = json.loads(file.read_text())
    assert stored["seeds"] == [40, 41] and stored["profile"] == "full"
    assert command.main(["toy", "--seeds", "1,2", "--profile", "quick", "--out", str(tmp_path / "q.json")]) == 0
    assert json.loads((tmp_path / "q.json").read_text())["profile"] == "quick"


def test_list_from_a_shell():
    done = subprocess.run([sys.executable, "-m", "lessons_lib", "--list"], capture_output=True, text=True, check=True)
    assert "failure_modes: " in done.stdout and "arms: biased, balanced" in done.stdout and "judging: " in done.stdout
