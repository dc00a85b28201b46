"""Scales, line charts, the reliability diagram and the confusion table say what the numbers say."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beedex.index.metrics import Figure
from beedex.training.report import Confusion, ReliabilityBin
from beedex.training.report.confusion import MOST_FAMILIES, lay_out_confusion
from beedex.training.report.linechart import MOST_POINTS, Series, plot_lines
from beedex.training.report.markers import COLOURS, SHAPES, choose_marker
from beedex.training.report.reliability import plot_reliability
from beedex.training.report.sampling import sample_evenly
from beedex.training.report.scales import fit_scale, format_tick
from beedex.training.report.strips import WHOLE, fit_axis, make_strip

finite = st.floats(-1e6, 1e6).map(lambda value: 0.0 if abs(value) < 1e-6 else value)


@given(st.lists(finite, min_size=1, max_size=20))
def test_a_scale_holds_its_values_and_marks_few_round_ones(values: list[float]) -> None:
    scale = fit_scale(values, start=0, end=100)

    placed = scale.place(values)
    assert (placed >= -1e-6).all()
    assert (placed <= 100 + 1e-6).all()
    assert 2 <= len(scale.ticks) <= 8
    steps = np.diff(scale.ticks)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - round_one) for round_one in (1, 2, 5)) < 1e-6


@given(st.lists(finite, min_size=1, max_size=20))
def test_the_ticks_of_a_scale_are_written_differently(values: list[float]) -> None:
    ticks = fit_scale(values, start=0, end=100).ticks

    texts = [format_tick(tick, ticks) for tick in ticks]
    assert len(set(texts)) == len(ticks)
    # Seven digits at most: beyond, no label would fit.
    for text, tick in zip(texts, ticks, strict=True):
        assert float(text) == pytest.approx(tick, rel=0.1, abs=1e-9)


def test_factors_take_equal_room_on_a_logarithmic_scale() -> None:
    scale = fit_scale([1e-5, 1e-2], start=0, end=90, logarithmic=True)

    np.testing.assert_allclose(scale.place([1e-5, 1e-4, 1e-3, 1e-2]), [0, 30, 60, 90])
    assert not fit_scale([0.5, 0.9], start=0, end=1, logarithmic=True).logarithmic
    assert not fit_scale([0.0, 0.9], start=0, end=1, logarithmic=True).logarithmic


def read_path(path: str) -> list[list[tuple[float, float]]]:
    """The points of path data, a list for each stroke."""
    return [
        [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", stroke)]
        for stroke in path.split("M")
        if stroke
    ]


def test_a_line_goes_through_its_values_and_not_over_gaps() -> None:
    values = np.array([0.0, 1.0, np.nan, 0.5, np.inf, 0.25])

    chart = plot_lines("Loss", [Series(name="loss", steps=np.arange(6), values=values)], steps=(0, 5))

    assert chart is not None
    left, top, right, bottom = map(float, chart.frame)
    strokes = read_path(chart.lines[0].path)
    assert [len(stroke) for stroke in strokes] == [2, 1, 1]
    for (x, y), step in zip(itertools.chain(*strokes), [0, 1, 3, 5], strict=True):
        assert x == pytest.approx(left + step / 5 * (right - left), abs=0.06)
        assert y == pytest.approx(bottom - values[step] * (bottom - top), abs=0.06)
    assert "loss: 0 at step 0, 0.25 at step 5, lowest 0 at step 0, highest 1 at step 1." in chart.summary


def test_a_long_line_keeps_its_extremes_in_the_band() -> None:
    values = np.full(10_000, 0.5)
    values[[1234, 7777]] = 0.0, 1.0

    chart = plot_lines("Loss", [Series(name="loss", steps=np.arange(10_000), values=values)], steps=(0, 9999))

    assert chart is not None
    _, top, _, bottom = map(float, chart.frame)
    assert len(read_path(chart.lines[0].path)[0]) == MOST_POINTS
    heights = [y for _, y in read_path(chart.lines[0].band)[0]]
    assert (min(heights), max(heights)) == (top, bottom)


@pytest.mark.parametrize("values", [[], [np.nan, np.nan]])
def test_a_chart_without_a_number_is_none(values: list[float]) -> None:
    series = [Series(name="loss", steps=np.arange(len(values)), values=np.array(values))]

    assert plot_lines("Loss", series, steps=(0, 1)) is None
    assert plot_lines("Loss", [], steps=(0, 1)) is None


def test_a_chart_of_one_step_is_a_dot() -> None:
    chart = plot_lines("Loss", [Series(name="loss", steps=np.array([7]), values=np.array([0.0]))], steps=(7, 7))

    assert chart is not None
    assert len(chart.lines[0].dots) == 1


def test_a_reliability_dot_lies_at_its_confidence_and_share() -> None:
    bins = [
        ReliabilityBin(confidence=0.25, right=Figure(value=0.5, low=0.25, high=0.75), count=1),
        ReliabilityBin(confidence=0.75, right=Figure(value=1.0, low=float("nan"), high=float("nan")), count=100),
        ReliabilityBin(confidence=float("nan"), right=Figure(value=0.0, low=0.0, high=0.0), count=0),
    ]

    diagram = plot_reliability(bins)

    assert diagram is not None
    ends = [(float(x), float(y)) for (x, _), (y, _) in zip(diagram.x_ticks, diagram.y_ticks, strict=True)]
    (left, bottom), (right, top) = ends[0], ends[-1]
    first, second = diagram.dots
    assert float(first.x) == pytest.approx(left + 0.25 * (right - left))
    assert float(first.y) == pytest.approx((top + bottom) / 2)
    assert float(first.diagonal) == pytest.approx(bottom + 0.25 * (top - bottom))
    assert second.low is None
    assert float(first.radius) < float(second.radius)
    assert plot_reliability(bins[2:]) is None


def test_a_strip_is_placed_in_percent() -> None:
    strip = make_strip(Figure(value=0.5, low=0.25, high=0.875), WHOLE)

    assert strip is not None
    assert (strip.value, strip.low, strip.high) == ("50.00%", "25.00%", "87.50%")
    assert make_strip(float("nan"), WHOLE) is None
    assert make_strip(None, WHOLE) is None
    axis = fit_axis([Figure(value=0.41, low=0.38, high=0.44)])
    assert [label for _, label in axis.ticks] == ["0.38", "0.40", "0.42", "0.44"]


def test_a_shortened_confusion_still_counts_every_photo() -> None:
    generator = np.random.default_rng(0)
    families = tuple(f"family {i:02}" for i in range(40))
    counts = generator.integers(0, 5, (40, 41)).astype(np.float64)
    counts[11] += 3  # the family with the most mistakes
    confusion = Confusion(counts=counts, decisions=(*families, "UNKNOWN"))

    table = lay_out_confusion(confusion, families)

    assert len(table.rows) == MOST_FAMILIES
    assert table.shortened == 40 - MOST_FAMILIES + 1
    assert table.columns[-1] == "UNKNOWN"
    cells = np.array([[float(cell.text or 0) for cell in row] for _, _, row in table.rows])
    assert cells.sum() == counts.sum()
    assert cells[:, -1].sum() == counts[:, -1].sum()
    name, total, _ = next(row for row in table.rows if row[0] == "family 11")
    assert (name, float(total)) == ("family 11", counts[11].sum())


def test_mistakes_are_told_most_frequent_first() -> None:
    confusion = Confusion(counts=np.array([[9.0, 1, 0], [4, 5, 2], [0, 0, 7]]))

    table = lay_out_confusion(confusion, ("a", "b", "c"))

    assert table.mistakes == (("b", "a", "4"), ("b", "c", "2"), ("a", "b", "1"))
    assert [cell.right for cell in table.rows[1][2]] == [False, True, False]


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(0, 60))
def test_a_sample_takes_as_many_of_each_family_as_it_can(labels: list[int], limit: int) -> None:
    chosen = sample_evenly(np.array(labels, dtype=np.int64), limit)

    assert len(chosen) == min(limit, len(labels))
    assert len(set(chosen.tolist())) == len(chosen)
    taken = np.bincount([labels[i] for i in chosen], minlength=5)
    whole = np.bincount(labels, minlength=5) if labels else np.zeros(5)
    cut = taken < whole
    if cut.any():
        assert taken.max() - taken[cut].min() <= 1


def test_up_to_64_families_look_different() -> None:
    markers = [choose_marker(family) for family in range(COLOURS * len(SHAPES))]

    assert len(set(markers)) == 64
    assert len({marker.colour for marker in markers[:8]}) == len({marker.shape for marker in markers[:8]}) == 8


def test_counts_of_crowded_bins_are_not_written_over_one_another() -> None:
    bins = [
        ReliabilityBin(confidence=confidence, right=Figure(value=0.5, low=0.2, high=0.8), count=1234)
        for confidence in (0.2, 0.9, 0.95, 0.97, 0.99)
    ]

    diagram = plot_reliability(bins)

    assert diagram is not None
    assert [dot.label for dot in diagram.dots] == ["1234", "1234", "", "", ""]
    assert "Confidence 0.95" in diagram.summary
