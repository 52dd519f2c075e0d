"""Curves, forests, bars, tables, trade-offs and source listings."""

from __future__ import annotations

import base64
import functools
import html.parser
import io
import itertools

import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest
import torch
from PIL import Image

from lessons_lib.evidence.statistics import Claim, t_interval
from lessons_lib.show import Chart, bars, curves, forest, scatter_tradeoff, show_source, table
from lessons_lib.show.curves import spread

X = np.linspace(0, 1, 11)
LONG = "Integrated Gradients with a black baseline and a long name"


@pytest.mark.parametrize("count", [1, 3, 8])
def test_curves_that_end_at_one_place_keep_their_names_apart(count, assert_legible):
    series = {f"{LONG} {place}": (X, np.exp(-(4 + place) * X)) for place in range(count)}
    figure = curves(series, xlabel="share deleted", ylabel="probability", title="Deletion", chance=0.1)
    assert_legible(figure)
    names = [t.get_text().replace("\n", " ") for t in figure.texts]
    assert all(name in names for name in series)


def test_curves_differ_by_more_than_colour():
    figure = curves({str(place): (X, X + place) for place in range(8)})
    lines = [line for line in figure.axes[0].lines if line.get_marker() != "None"]
    assert len({line.get_color() for line in lines}) == 8
    assert len({line.get_marker() for line in lines}) == 8
    assert len({str(line._unscaled_dash_pattern) + line.get_linestyle() for line in lines}) >= 7


def test_curves_that_run_to_the_left_are_drawn_whole():
    figure = curves({"right cues": ([0.89, 0.87, 0.85], [0.5, 0.53, 0.55]), "random": ([0.89, 0.8], [0.5, 0.6])})
    low, high = figure.axes[0].get_xlim()
    assert low <= 0.8 and high == pytest.approx(0.89)
    ends = [line.get_ydata()[0] for line in figure.axes[1].lines if len(line.get_xdata()) == 2]
    assert ends[0] == pytest.approx(ends[1]), "both names belong to the point where the lines meet"


def test_several_runs_show_their_mean_and_each_run():
    runs = torch.stack([torch.linspace(0, 1, 11), torch.linspace(0, 3, 11)])
    figure = curves({"deletion": (X, runs)})
    drawn = [line.get_ydata() for line in figure.axes[0].lines]
    assert len(drawn) == 3
    assert np.allclose(drawn[-1], np.linspace(0, 2, 11))
    assert "deletion: from 0 at 0 to 2 at 1, between 0 and 2." in figure.alt


@pytest.mark.parametrize(
    "series", [{}, {"a": (X, X[:-1])}, {"a": (X[:1], X[:1])}, {"a": (X, X * np.nan)}, {"a": (X, np.zeros((2, 3, 11)))}]
)
def test_curves_that_cannot_be_drawn_are_refused(series):
    with pytest.raises(ValueError, match="curve"):
        curves(series)


def test_spreading_keeps_order_space_and_distance():
    centres, sizes = [0.1, 0.1, 0.12, 2.9, 2.9], [0.3, 0.5, 0.3, 0.3, 0.3]
    placed = spread(centres, sizes, 3.0)
    assert sorted(range(5), key=placed.__getitem__) == [0, 1, 2, 3, 4]
    for (a, size_a), (b, size_b) in itertools.pairwise(zip(placed, sizes)):
        assert b - a >= (size_a + size_b) / 2 - 1e-9
    assert placed[0] >= 0.15 - 1e-9 and placed[-1] <= 2.85 + 1e-9
    assert spread([1.0, 2.0], [0.1, 0.1], 3.0) == [1.0, 2.0]


def claims():
    first, second = [0.1, 0.12, 0.09, 0.11], [0.02, -0.04, 0.01, 0.0]
    rows = [
        Claim.value("a", f"Grad-CAM is inside the object more often than chance {LONG}", first, threshold=0.0),
        Claim.value("b", "Guided backprop depends on the top layer", second, threshold=0.05),
        Claim("c", "One seed decides nothing", 0.3, None),
    ]
    return rows, {"a": first, "b": second}


def test_forest_of_claims_draws_every_seed_interval_threshold_and_verdict(assert_legible):
    rows, values = claims()
    figure = forest(rows, values=values, xlabel="difference", title="Claims over four seeds")
    assert_legible(figure)
    axes = figure.axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [sorted(line.get_xdata()) for line in dots] == [sorted(values["a"]), sorted(values["b"])]
    intervals = [
        tuple(line.get_xdata()) for line in axes.lines if line.get_marker() == "None" and line.get_linestyle() == "-"
    ]
    assert intervals == [rows[0].ci95, rows[1].ci95]
    thresholds = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
    assert thresholds == [0.0, 0.05, 0.0]
    marks = [line for line in axes.lines if line.get_marker() == "D"]
    assert [line.get_markerfacecolor() == "white" for line in marks] == [False, True, True]
    words = [t.get_text() for t in figure.texts]
    assert [word for word in ("holds", "does not hold", "needs more seeds") if word in words] == [
        "holds", "does not hold", "needs more seeds",
    ]  # fmt: skip
    assert "One seed decides nothing: 0.3 (no interval, asked > 0), needs more seeds." in figure.alt


def test_forest_reads_the_dicts_of_a_results_file():
    rows, _ = claims()
    assert forest([claim.as_dict() for claim in rows]).alt == forest(rows).alt


def test_forest_of_plain_values_has_the_t_interval(assert_legible):
    figure = forest({"baseline": [0.7, 0.72, 0.69], "HINT": [0.8, 0.82, 0.84], "alone": [0.5]}, threshold=0.6)
    interval = t_interval([0.8, 0.82, 0.84])
    assert f"HINT: 0.82 (95 % interval {interval.low:.3g} to {interval.high:.3g}, compared with 0.6)." in figure.alt
    assert_legible(figure)


def test_forest_refuses_what_it_cannot_draw():
    rows, _ = claims()
    for wrong in ([], {}, {"a": [0.1, float("nan")]}, {"a": []}):
        with pytest.raises(ValueError):
            forest(wrong)
    with pytest.raises(ValueError, match="'zz'"):
        forest(rows, values={"zz": [1.0]})


def test_bars_start_at_zero_and_carry_their_numbers(assert_legible):
    figure = bars({"tabby": 0.45, LONG: -0.1, "sofa": 0.0}, xlabel="probability", title="Top classes", threshold=0.3)
    assert_legible(figure)
    patches = figure.axes[0].patches
    assert [(patch.get_x(), patch.get_width()) for patch in patches] == [(0, 0.45), (0, -0.1), (0, 0.0)]
    assert f"tabby 0.45, {LONG} -0.1, sofa 0. A line marks 0.3." in figure.alt
    with pytest.raises(ValueError, match="finite"):
        bars({})


class Cells(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.rows, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


ROWS = [
    {"arm": "baseline", "accuracy": [0.70, 0.72], "heat <inside>": 0.4, "passes": 1000, "ok": True, "ci": (0.1, 0.25)},
    {"arm": "HINT & co", "accuracy": [0.80, 0.84], "heat <inside>": 0.9, "passes": 20, "ok": False, "ci": None},
]


def test_table_as_html_and_text_say_the_same():
    shown = table(ROWS, highlight={"accuracy": "max", "passes": "min"}, caption="Two <arms>")
    cells = Cells(shown._repr_html_())
    assert cells.rows[0] == ["arm", "accuracy", "heat <inside>", "passes", "ok", "ci"]
    assert cells.rows[2] == ["HINT & co", "0.820 ± 0.028 *", "0.900", "20 *", "no", ""]
    assert cells.rows[1] == ["baseline", "0.710 ± 0.014", "0.400", "1,000", "yes", "0.100 to 0.250"]
    text = repr(shown).splitlines()
    assert text[0] == "Two <arms>" and len(text) == 5
    assert all(cell in text[4] for cell in cells.rows[2])
    assert len({line.index("0.") for line in text[3:]}) == 1, "numbers stand under each other"
    assert sum(tag == "b" for tag, _ in cells.tags) == 2
    assert {attrs.get("scope") for tag, attrs in cells.tags if tag == "th"} == {"col", "row"}


def test_table_of_named_rows_and_chosen_columns():
    shown = table({"a": {"x": 1.23456, "y": "text"}, "b": {"x": torch.tensor(22000.4)}}, columns=["x"], digits=2)
    assert shown.columns == ["", "x"]
    assert shown.rows == [["a", "1.2"], ["b", "22,000"]]


def test_every_best_value_of_a_tie_is_marked():
    assert table([{"v": 2.0}, {"v": 1.0}, {"v": 2.0}], highlight={"v": "max"}).marked == {(0, 0), (2, 0)}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"rows": []}, "at least one row"),
        ({"columns": ["nope"]}, "'nope', which is not a column"),
        ({"highlight": {"accuracy": "best"}}, "'max' or 'min'"),
        ({"highlight": {"nope": "max"}}, "'nope'"),
    ],
)
def test_tables_that_cannot_be_made(options, message):
    with pytest.raises(ValueError, match=message):
        table(**{"rows": ROWS, **options})


POINTS = [
    {"method": name, "passes": passes, "score": score, "family": family}
    for name, passes, score, family in [
        ("Backprop", 2, 0.40, "gradient"), ("Grad-CAM", 1, 0.66, "activation"), ("CAM", 1, 0.655, "activation"),
        ("RISE", 1000, 0.70, "perturbation"), ("LIME", 1000, 0.60, "perturbation"),
        ("Occlusion", 196, 0.67, "perturbation"),
        (LONG, 100, 0.52, "gradient"),
    ]
]  # fmt: skip
OPTIONS = {"group": "family", "better": ("min", "max"), "log_x": True, "title": "What a better score costs"}


def test_tradeoff_joins_the_points_that_are_not_beaten():
    chart = scatter_tradeoff(POINTS, "passes", "score", "method", **OPTIONS)
    assert isinstance(chart, go.Figure) and not isinstance(chart, getattr(go, "FigureWidget", ()))
    assert list(chart.data[0].x) == [1, 196, 1000] and list(chart.data[0].y) == [0.66, 0.67, 0.70]
    assert sorted(name for trace in chart.data[1:] for name in trace.text) == sorted(p["method"] for p in POINTS)
    assert len({trace.marker.symbol for trace in chart.data[1:]}) == 3
    assert "Not beaten on both: Grad-CAM, Occlusion, RISE." in chart.twin.alt


def test_tradeoff_stores_a_static_twin(monkeypatch):
    chart = scatter_tradeoff(POINTS, "passes", "score", "method", **OPTIONS)
    monkeypatch.setattr(plotly.io.renderers, "default", "plotly_mimetype")
    bundle, metadata = chart._repr_mimebundle_()
    assert set(bundle) == {"application/vnd.plotly.v1+json", "image/png", "text/plain"}
    assert sum(len(str(part)) for part in bundle.values()) < 150_000
    assert metadata["image/png"]["alt"] == bundle["text/plain"] == chart.twin.alt
    assert Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).width > 500
    assert Chart._ipython_display_ is None


def test_static_tradeoff_is_legible(assert_legible):
    assert_legible(scatter_tradeoff(POINTS, "passes", "score", "method", static=True, **OPTIONS))
    assert_legible(scatter_tradeoff(POINTS[:1], "passes", "score", "method", static=True))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": []}, "at least one row"),
        ({"x": "nope"}, "no 'nope'"),
        ({"better": ("low", "max")}, "'min' and 'max'"),
        ({"rows": [{"method": "a", "passes": 0, "score": 1}], "group": None, "log_x": True}, "cannot be drawn"),
    ],
)
def test_tradeoffs_that_cannot_be_drawn(change, message):
    options = {"rows": POINTS, "x": "passes", "y": "score", "label": "method", **change}
    with pytest.raises(ValueError, match=message):
        scatter_tradeoff(**options)


def sample(x):
    """What it does.

    More words.
    """

    # a comment that stays
    def inner(y):
        "inner words"
        return y + 1  # also this

    return inner(x)


class Sample:
    """A class."""

    def only_words(self):
        """Nothing else."""


def test_source_with_and_without_docstrings():
    assert "More words." in str(show_source(sample))
    bare = str(show_source(sample, omit_docstring=True))
    assert "words" not in bare and "# a comment that stays" in bare and "# also this" in bare
    space = {}
    exec(bare, space)
    assert space["sample"](1) == 2
    kept = str(show_source(Sample, omit_docstring=True))
    assert "A class." not in kept and "Nothing else." in kept, "a body that is only a docstring keeps it"
    exec(kept, space)


def test_source_is_the_code_that_runs():
    from lessons_lib.explain.maps import to_unit

    shown = show_source(to_unit)
    space = {"torch": torch, "Tensor": torch.Tensor}
    exec(str(shown), space)
    maps = torch.randn(2, 4, 4)
    assert torch.equal(space["to_unit"](maps), to_unit(maps))
    assert shown.place.startswith("lessons_lib/explain/maps.py, line ")
    text = shown._repr_markdown_()
    assert text.startswith("`to_unit`, lessons_lib/explain/maps.py") and "```python\ndef to_unit(" in text


def test_source_sees_through_wrappers():
    @functools.wraps(sample)
    def wrapper(*args):
        return sample(*args)

    for function in (wrapper, functools.partial(sample, 1)):
        assert str(show_source(function)).startswith("def sample(x):")
    assert str(show_source(Sample.only_words)).startswith("def only_words(self):")


@pytest.mark.parametrize("thing", [len, 3, "text", torch.add])
def test_source_of_what_has_none_is_refused(thing):
    with pytest.raises(TypeError, match="written in Python"):
        show_source(thing)
