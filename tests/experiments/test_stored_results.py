"""The tables that the lessons show: complete, of the present code, and with claims that follow from their numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lessons_lib import experiments
from lessons_lib.experiments import report

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "results"
LESSONS = sorted(path.stem for path in FOLDER.glob("*.json"))


def test_every_experiment_has_its_table():
    assert experiments.names() == LESSONS


@pytest.mark.parametrize("lesson", LESSONS)
def test_table_is_complete_and_its_claims_are_derived_from_it(lesson):
    results, module = report.load(lesson), experiments.load(lesson)
    assert results["lesson"] == lesson and results["profile"] == "quick" and len(results["seeds"]) >= 5
    assert list(results["arms"]) == list(module.ARMS)
    for arm, metrics in results["arms"].items():
        for name, values in metrics.items():
            assert len(values) == len(results["seeds"]), (arm, name)
    assert results["claims"] == [claim.as_dict() for claim in module.claims(results)]


@pytest.mark.parametrize("lesson", LESSONS)
def test_report_gives_rows_means_and_claims(lesson):
    results = report.load(lesson)
    rows, means = report.rows(results), report.means(results)
    assert len(rows) == len(results["arms"]) and all("±" in value for value in list(rows[0].values())[1:])
    arm, metrics = next(iter(results["arms"].items()))
    name, values = next(iter(metrics.items()))
    assert means[arm][name] == pytest.approx(sum(values) / len(values))
    assert [claim.id for claim in report.claims_of(results)] == [claim["id"] for claim in results["claims"]]
    assert json.loads((FOLDER / f"{lesson}.json").read_text()) == results


def test_missing_results_say_how_to_make_them():
    with pytest.raises(FileNotFoundError, match="python -m lessons_lib nonsense --out"):
        report.load("nonsense")
