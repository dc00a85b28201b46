"""What a training was like, step by step.

Shapes: S steps, T validations.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from beedex.training.fitting.guard import Action

__all__ = ["MEASURED", "Evaluation", "History", "HistoryRecorder"]

# The columns that are recorded of each step, in this order.
MEASURED: tuple[str, ...] = ("loss", "active_share", "positive_distance", "negative_distance", "learning_rate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Figures on held-out photos.

    Attributes:
        step: how many steps the network had been trained.
        map_at_r: mean over the photos.
        recall_at_1: mean over the photos.
        standard_error: of *map_at_r*, over the photos.
    """

    step: int
    map_at_r: float
    recall_at_1: float
    standard_error: float


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """One training.

    Attributes:
        steps: (S,) 1 to S; a step's numbers are those of its batch, before the weights change.
        loss: (S,).
        active_share: (S,) of the batch's triplets, in [0, 1].
        positive_distance: (S,) mean within families.
        negative_distance: (S,) mean between families.
        learning_rate: (S,).
        validation_steps: (T,) how many steps had been taken.
        validation_map_at_r: (T,).
        validation_recall_at_1: (T,).
        validation_standard_error: (T,) of MAP@R.
        actions: of the collapse guard, in order.
    """

    steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    active_share: NDArray[np.float64]
    positive_distance: NDArray[np.float64]
    negative_distance: NDArray[np.float64]
    learning_rate: NDArray[np.float64]
    validation_steps: NDArray[np.int64]
    validation_map_at_r: NDArray[np.float64]
    validation_recall_at_1: NDArray[np.float64]
    validation_standard_error: NDArray[np.float64]
    actions: tuple[Action, ...]


class HistoryRecorder:
    """Collects a history while it is made.

    Attributes:
        evaluations: so far.
        actions: so far.
    """

    def __init__(self) -> None:
        self._measured: list[NDArray[np.float32]] = []  # (n, len(MEASURED)) each
        self.evaluations: list[Evaluation] = []
        self.actions: list[Action] = []

    def extend(self, measured: NDArray[np.float32]) -> None:
        """Add the next steps: (n, 5), columns as in `MEASURED`."""
        self._measured.append(measured)

    def matrix(self) -> NDArray[np.float32]:
        """Return all steps, (S, 5)."""
        self._measured = [np.concatenate([np.empty((0, len(MEASURED)), np.float32), *self._measured])]
        return self._measured[0]

    def last(self) -> dict[str, float]:
        """Return the numbers of the last step by name; none before the first."""
        matrix = self.matrix()
        return dict(zip(MEASURED, matrix[-1].tolist(), strict=True)) if len(matrix) else {}

    def freeze(self) -> History:
        """Return what was collected."""
        columns = {name: column.astype(np.float64) for name, column in zip(MEASURED, self.matrix().T, strict=True)}
        return History(
            steps=np.arange(1, len(self.matrix()) + 1),
            **columns,
            validation_steps=np.array([evaluation.step for evaluation in self.evaluations], dtype=np.int64),
            validation_map_at_r=np.array([evaluation.map_at_r for evaluation in self.evaluations], dtype=np.float64),
            validation_recall_at_1=np.array([evaluation.recall_at_1 for evaluation in self.evaluations], np.float64),
            validation_standard_error=np.array([evaluation.standard_error for evaluation in self.evaluations]),
            actions=tuple(self.actions),
        )

    def state(self) -> dict[str, Any]:
        """Return evaluations and actions as JSON data; the steps are an array, `matrix`."""
        return {"evaluations": _describe(self.evaluations), "actions": _describe(self.actions)}

    @classmethod
    def restore(cls, state: dict[str, Any], matrix: NDArray[np.float32]) -> Self:
        """Return a recorder that goes on from a state."""
        recorder = cls()
        recorder.extend(matrix)
        recorder.evaluations = [Evaluation(**fields) for fields in state["evaluations"]]
        recorder.actions = [Action(**fields) for fields in state["actions"]]
        return recorder


def _describe(records: Iterable[Evaluation | Action]) -> list[dict[str, Any]]:
    return [asdict(record) for record in records]
