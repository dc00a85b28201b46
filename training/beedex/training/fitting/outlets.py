"""Where a training writes while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from beedex.index.progress import ProgressReport
from beedex.training.fitting.checkpoints import CheckpointFile
from beedex.training.fitting.events import EventLog
from beedex.training.fitting.guard import Action
from beedex.training.fitting.history import Evaluation

__all__ = ["Outlets"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlets:
    """What a training writes to; each may be left out.

    Attributes:
        checkpoint: where it keeps its state; with one, SIGTERM ends it after the step, saved.
        events: for TensorBoard.
        progress: is told of every step, those of an earlier process too, and of the last figures.
    """

    checkpoint: CheckpointFile | None = None
    events: EventLog | None = None
    progress: ProgressReport | None = None

    def begin(self, steps: int) -> None:
        """Say that training goes on after so many steps."""
        if self.events:
            self.events.begin(step=steps)
        self.count(steps)

    def count(self, steps: int) -> None:
        """Count further steps."""
        if self.progress:
            self.progress(steps)

    def show_numbers(
        self, steps: int, numbers: Mapping[str, float], *, latest: Evaluation | None, best: Evaluation | None
    ) -> None:
        """Show the means of the last steps, with the latest and the best evaluation."""
        if self.events:
            self.events.add_scalars(steps, {f"training/{name}": value for name, value in numbers.items()})
        if self.progress:
            validation = f", MAP@R {latest.map_at_r:.3f} (best {best.map_at_r:.3f})" if latest and best else ""
            text = f"loss {numbers['loss']:.4f}, active {numbers['active_share']:.0%}{validation}"
            self.progress.note(text)

    def show_evaluation(self, evaluation: Evaluation) -> None:
        """Show figures on held-out photos."""
        if self.events:
            figures = {"map_at_r": evaluation.map_at_r, "recall_at_1": evaluation.recall_at_1}
            self.events.add_scalars(evaluation.step, {f"validation/{name}": value for name, value in figures.items()})

    def show_action(self, action: Action) -> None:
        """Show what the guard did."""
        if self.events:
            self.events.add_text(action.step, "guard", f"{action.action}: {action.evidence}")

    def flush(self) -> None:
        """Bring the events to the disk."""
        if self.events:
            self.events.flush()
