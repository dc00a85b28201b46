"""The curves of one training: loss, active share, distances, validation and learning rate."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from beedex.training.report.content import GuardAction, History
from beedex.training.report.linechart import MOST_POINTS, LineChart, Mark, Series, plot_lines

__all__ = ["Curve", "Training", "plot_training"]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A chart, and a sentence on what to look at."""

    chart: LineChart
    caption: str


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training as the page shows it.

    Attributes:
        name: of it.
        curves: the charts that have values.
        best_step: whose weights were kept.
        actions: number and action of the collapse guard.
        binned: whether a line stands for more steps than it has points.
    """

    name: str
    curves: tuple[Curve, ...]
    best_step: int | None
    actions: tuple[tuple[int, GuardAction], ...]
    binned: bool


def plot_training(history: History) -> Training:
    """Return one training's charts, all over the same steps and with the same marks."""
    numbered = tuple(enumerate(history.actions, start=1))
    marks = [Mark(step=action.step, name=str(number), kind="guard") for number, action in numbered]
    if history.best_step is not None:
        marks.append(Mark(step=history.best_step, name="kept", kind="kept"))
    known = [*history.steps, *history.validation_steps, *(mark.step for mark in marks)] or [0]
    steps = (int(min(known)), int(max(known)))
    return Training(
        name=history.name,
        curves=tuple(_plot_all(history, marks, steps)),
        best_step=history.best_step,
        actions=numbered,
        binned=len(history.steps) > MOST_POINTS,
    )


def _plot_all(history: History, marks: list[Mark], steps: tuple[int, int]) -> Iterator[Curve]:
    validation = Series(
        name="validation MAP@R", steps=history.validation_steps, values=history.validation_map_at_r, dots=True
    )
    plans: tuple[tuple[str, list[Series], str, dict[str, bool]], ...] = (
        (
            "Loss",
            _series(history, loss=history.loss),
            "It should fall and level off. Stuck at the margin, all photos lie in one place.",
            {"from_zero": True},
        ),
        (
            "Active share",
            _series(history, active_share=history.active_share),
            "The triplets that still teach something. Near 0 the batches have become too easy.",
            {"from_zero": True},
        ),
        (
            "Mean distance",
            _series(history, within_families=history.positive_distance, between_families=history.negative_distance),
            "The two lines should part. Both going to 0 is a collapse.",
            {"from_zero": True},
        ),
        (
            "Validation MAP@R",
            [validation] if len(validation.values) else [],
            "On photos that this training did not see. The weights at its best were kept.",
            {},
        ),
        (
            "Learning rate",
            _series(history, learning_rate=history.learning_rate),
            "A step down is the schedule's, or the guard's where it is numbered.",
            {"logarithmic": True},
        ),
    )
    for name, series, caption, axes in plans:
        chart = plot_lines(name, series, marks=marks, steps=steps, **axes)
        if chart is not None:
            yield Curve(chart=chart, caption=caption)


def _series(history: History, **values: NDArray[np.float64]) -> list[Series]:
    return [
        Series(name=name.replace("_", " "), steps=history.steps, values=np.asarray(line, dtype=np.float64))
        for name, line in values.items()
        if len(line)
    ]
