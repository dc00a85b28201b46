"""The training loop: steps, validation, the collapse guard, checkpoints, and what is shown meanwhile.

Everything that decides the weights is in the loop's state, which a checkpoint holds: network, optimizer and dropout
seeds, the place in both streams of chance, guard, history, the best weights and those to go back to. Nothing depends on
the clock but when checkpoints are written.

Shapes: B batch, D dimension, F features.
"""

import logging
import math
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from beedex.training.errors import TrainingError
from beedex.training.fitting.checkpoints import Checkpoint
from beedex.training.fitting.feed import Feed
from beedex.training.fitting.fitconfig import FitConfig, Schedule
from beedex.training.fitting.guard import Action, Guard
from beedex.training.fitting.history import MEASURED, Evaluation, History, HistoryRecorder
from beedex.training.fitting.inputs import Rows, embed_photos, first_rows
from beedex.training.fitting.interruption import StoppedBySignal, StopRequest
from beedex.training.fitting.observation import measure_spread, observe_batch
from beedex.training.fitting.outlets import Outlets
from beedex.training.fitting.step import TrainingStep, compile_embedding
from beedex.training.fitting.validation import Validator

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["TrainingLoop"]

log = logging.getLogger(__name__)

# Numbers are fetched, and a batch is looked at, this often: fetching them at each step would wait for it each time.
STEPS_BETWEEN_LOOKS = 10

# How often weights are put aside to go back to; a multiple of the above, as they must have been looked at.
STEPS_BETWEEN_KEPT = 50

Weights = list[NDArray[Any]]


class TrainingLoop:
    """One training, from its first step or its checkpoint to its end.

    Args:
        network: trained in place.
        feed: of batches.
        config: how.
        schedule: how long.
        validator: of held-out photos, or None.
        outlets: what to write to.

    Attributes:
        steps: taken so far.
        best: the evaluation with the highest MAP@R so far; None without a validator.
    """

    def __init__(
        self,
        network: keras.Model,
        feed: Feed,
        config: FitConfig,
        *,
        schedule: Schedule,
        validator: Validator | None,
        outlets: Outlets,
    ) -> None:
        self._network, self._feed, self._config = network, feed, config
        self._schedule, self._validator, self._outlets = schedule, validator, outlets
        self._step = TrainingStep(network, config)
        self._embed = compile_embedding(network)
        self._guard = Guard(config.guard, config.mining) if config.guard else None
        self._history = HistoryRecorder()
        self._pending: list[tf.Tensor] = []  # of the steps since the last look
        self._initial = self._good = self._copy_weights()
        self._best_weights: Weights = []
        self.best: Evaluation | None = None
        self.steps = 0
        self._saved_at = time.monotonic()

    def run(self, request: StopRequest) -> History:
        """Train to the end, and leave the best weights in the network.

        Args:
            request: heeded after each step, where there is a checkpoint to save to.

        Raises:
            StoppedBySignal: the process was asked to end; the state is saved.
            TrainingError: the network collapsed or diverged, and the guard could not help.
        """
        if not self._resume():
            self._evaluate_if_due()
            while not self._is_done():
                self._advance()
                self._save_if_due(stop=request.received)
            self._finish()
        if request.received:
            _stop(f"this training was done, after {self.steps} steps; the same command goes on behind it")
        return self._history.freeze()

    def _is_done(self) -> bool:
        misses = 0
        if self.best is not None:
            misses = sum(evaluation.step > self.best.step for evaluation in self._history.evaluations)
        return self.steps == self._schedule.steps or misses >= self._config.patience

    def _advance(self) -> None:
        """Take a step, and do what is due before and behind it."""
        looked_at = self.steps % STEPS_BETWEEN_LOOKS == 0
        before = self._copy_weights() if self._guard and self.steps % STEPS_BETWEEN_KEPT == 0 else None
        rows, labels = self._feed.draw()
        rate = self._config.learning_rate * self._schedule.share(self.steps)
        rate *= self._guard.rate_scale if self._guard else 1.0
        try:
            measured, embeddings = self._step.take(rows, labels, rate)
        except tf.errors.InvalidArgumentError as error:
            # The loss refuses embeddings that aren't numbers.
            if self._guard is None or self._has_finite_weights():
                raise TrainingError(_word_divergence(self.steps)) from error
            self._look(rows, labels, np.full((len(labels), 1), np.nan, np.float32))
            return
        self._pending.append(measured)
        if looked_at:
            self._look(rows, labels, embeddings.numpy())
            if self._guard and self._guard.keeps_weights and before is not None:
                self._good = before
        self.steps += 1
        self._evaluate_if_due()

    def _look(self, rows: Rows, labels: NDArray[np.int64], embeddings: NDArray[np.float32]) -> None:
        """Fetch the numbers of the steps since the last look, show them, and let the guard judge the last one."""
        self._fetch()
        self._show()
        if self._guard is None:
            return
        numbers = self._history.last()
        margin = self._config.margin
        observation = observe_batch(
            self.steps,
            embeddings,
            labels,
            loss=numbers.get("loss", math.nan),
            collapsed_loss=math.log1p(math.exp(margin)) if self._config.soft else margin,
            active_share=numbers.get("active_share", 0.0),
            input_spread=measure_spread(first_rows(rows)),
        )
        action = self._guard.observe(observation)
        if action is not None:
            self._take_action(action)

    def _take_action(self, action: Action) -> None:
        log.warning("collapse guard at step %d: %s; %s", action.step, action.action, action.evidence)
        self._network.set_weights(self._initial if action.to_start else self._good)
        self._step.forget()
        self._step.mining = action.mining
        self._history.actions.append(action)
        self._outlets.show_action(action)

    def _evaluate_if_due(self) -> None:
        at_end = self.steps == self._schedule.steps
        if self._validator is None or not (at_end or self.steps % self._config.evaluate_every == 0):
            return
        if self._history.evaluations and self._history.evaluations[-1].step == self.steps:
            return  # the checkpoint that training goes on from was written behind it
        evaluation = self._validator.evaluate(self.embed, step=self.steps)
        self._history.evaluations.append(evaluation)
        if evaluation.map_at_r > (self.best.map_at_r if self.best else -math.inf):
            self.best, self._best_weights = evaluation, self._copy_weights()
        self._outlets.show_evaluation(evaluation)

    def embed(self, photos: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the vectors (n, D) that the network as it is now gives photos (n,)."""
        return embed_photos(self._embed, self._feed.inputs, photos)

    def _fetch(self) -> None:
        """Wait for the steps that were taken, and note their numbers."""
        if self._pending:
            self._history.extend(tf.stack(self._pending).numpy())
            self._outlets.count(len(self._pending))
            self._pending = []

    def _show(self) -> None:
        recent = self._history.matrix()[-STEPS_BETWEEN_LOOKS:]
        if len(recent):
            numbers = dict(zip(MEASURED, recent.mean(axis=0, dtype=np.float64).tolist(), strict=True))
            latest = self._history.evaluations[-1] if self._history.evaluations else None
            self._outlets.show_numbers(self.steps, numbers, latest=latest, best=self.best)

    def _finish(self) -> None:
        self._fetch()
        self._show()
        if self._best_weights:
            self._network.set_weights(self._best_weights)
        if not self._has_finite_weights():
            raise TrainingError(_word_divergence(self.steps))
        self._save(finished=True)

    def _resume(self) -> bool:
        """Go on from the checkpoint, if there is one, and return whether training was finished."""
        file = self._outlets.checkpoint
        checkpoint = file.read() if file else None
        if checkpoint:
            self._restore(checkpoint)
        self._outlets.begin(self.steps)
        return bool(checkpoint and checkpoint.header["finished"])

    def _save_if_due(self, *, stop: bool) -> None:
        file = self._outlets.checkpoint
        if file is None:
            return
        if stop:
            self._save()
            _stop(f"training stopped at step {self.steps} as asked; the same command goes on from there")
        if time.monotonic() - self._saved_at >= file.seconds_between_writes:
            self._save()

    def _save(self, *, finished: bool = False) -> None:
        self._outlets.flush()
        if self._outlets.checkpoint is None:
            return
        self._fetch()
        header = {
            "finished": finished,
            "steps": self.steps,
            "best": asdict(self.best) if self.best else None,
            "history": self._history.state(),
            "feed": self._feed.state(),
            "guard": self._guard.state() if self._guard else None,
        }
        parts: dict[str, Iterable[Any]] = {"network": self._network.variables}
        if not finished:
            good = [] if self._good is self._initial else self._good
            parts |= {"optimizer": self._step.optimizer.variables, "best": self._best_weights, "good": good}
        arrays = {f"{name}.{i}": np.asarray(array) for name, part in parts.items() for i, array in enumerate(part)}
        arrays["measured"] = self._history.matrix()
        self._outlets.checkpoint.write(Checkpoint(header=header, arrays=arrays))
        self._saved_at = time.monotonic()

    def _restore(self, checkpoint: Checkpoint) -> None:
        header = checkpoint.header
        self.steps = header["steps"]
        self.best = Evaluation(**header["best"]) if header["best"] else None
        self._history = HistoryRecorder.restore(header["history"], checkpoint.arrays["measured"])
        self._feed.restore(header["feed"])
        for variable, array in zip(self._network.variables, checkpoint.part("network"), strict=True):
            variable.assign(array)
        if header["finished"]:
            return
        for variable, array in zip(self._step.optimizer.variables, checkpoint.part("optimizer"), strict=True):
            variable.assign(array)
        self._best_weights = checkpoint.part("best")
        self._good = checkpoint.part("good") or self._initial
        if self._guard:
            self._guard.restore(header["guard"])
            self._step.mining = self._guard.mining

    def _copy_weights(self) -> Weights:
        return [np.array(array) for array in self._network.get_weights()]

    def _has_finite_weights(self) -> bool:
        return all(np.isfinite(array).all() for array in self._network.get_weights())


def _stop(message: str) -> NoReturn:
    print(f"beedex: note: {message}", file=sys.stderr)
    raise StoppedBySignal(message)


def _word_divergence(steps: int) -> str:
    return (
        f"training diverged: after {steps} steps the network's weights or vectors are no numbers any more; "
        "try a lower learning rate, and look for photos whose features are not finite"
    )
