"""A guard against collapse: it tells a network that sends all photos to one place from a batch that says nothing.

With all embeddings equal, every triplet's term is exactly the margin and its gradient is as good as 0. The hardest
triplets lead there (Schroff et al. 2015, section 3.2, https://arxiv.org/abs/1503.03832), the more so at a high learning
rate or with wrong labels, and training rarely comes back by itself.

The guard looks at numbers alone. What it decides, the training loop carries out: back to weights that were good, a
lower learning rate, and easier triplets (batch-hard, then semi-hard, then batch-all). It keeps the evidence of each
action, and gives up when going back doesn't help.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from beedex.training.errors import TrainingError

if TYPE_CHECKING:
    from beedex.training.fitting.observation import Observation
    from beedex.training.losses import Mining

__all__ = ["Action", "Guard", "GuardConfig", "Health"]

# Below this share of what they were before training, mean distances have shrunk. Of 18 trainings without a guard on
# made features (180 photos, six families) those that had learned ended above 0.16, those that collapsed below 0.03.
SHRUNK_SHARE = 0.1

# Weights are worth going back to only while distances are above this share.
KEPT_SHARE = 0.25

# No better than a collapsed network: its loss is the margin, and rounding and dropout leave a little around it.
MARGIN_SHARE = 0.9

# Four families that are apart from each other don't lie on a line.
FLAT_RANK = 1.5
FLAT_FAMILIES = 4

# A batch whose rows differ by less than this share of what they did in the first one holds copies of one photo.
COPIES_SHARE = 0.1

SOFTER: "dict[Mining, Mining]" = {"batch-hard": "semi-hard", "semi-hard": "batch-all"}


class Health(StrEnum):
    """What an observation says of the network."""

    GOOD = "good"
    POOR_BATCH = "poor batch"  # says nothing, whatever its numbers are
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardConfig:
    """When the guard acts, and how.

    Attributes:
        in_a_row: collapsed observations before it acts; one that diverged (not a number) is enough.
        rate_factor: by which an action multiplies the learning rate.
        rollbacks: actions without a recovery after which it gives up.
        recovered_after: good observations in a row that count as a recovery.
    """

    in_a_row: int = 3
    rate_factor: float = 0.3
    rollbacks: int = 5
    recovered_after: int = 10

    def __post_init__(self) -> None:
        """Refuse what no guard can do."""
        for name in ("in_a_row", "rollbacks", "recovered_after"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {name}={getattr(self, name)}")
        if not 0 < self.rate_factor < 1:
            raise ValueError(f"`rate_factor` must lie between 0 and 1. Received: rate_factor={self.rate_factor}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """What the training loop is to do, and why.

    Attributes:
        step: at which it was decided.
        to_start: whether to go back to the initial weights, because the last good ones didn't help.
        rate_scale: what the learning rate is multiplied by from now on.
        mining: from now on.
        action: in words.
        evidence: the measurements, in words.
    """

    step: int
    to_start: bool
    rate_scale: float
    mining: "Mining"
    action: str
    evidence: str


class Guard:
    """Judges observations in the order in which they come.

    Args:
        config: when it acts.
        mining: with which the training starts.

    Attributes:
        mining: as the training should use now.
        rate_scale: what the learning rate should be multiplied by now.
        keeps_weights: whether the last observation's weights are worth going back to.

    Example:
        >>> from beedex.training.fitting.observation import Observation
        >>> guard = Guard(GuardConfig(in_a_row=1), mining="batch-hard")
        >>> apart = Observation(step=0, loss=0.3, collapsed_loss=0.1, active_share=0.8, families=4, triplets=True,
        ...                     mean_distance=1.4, effective_rank=9.0, input_spread=1.0)
        >>> guard.observe(apart)
        >>> collapsed = Observation(step=10, loss=0.1, collapsed_loss=0.1, active_share=1.0, families=4, triplets=True,
        ...                         mean_distance=0.01, effective_rank=2.0, input_spread=1.0)
        >>> guard.observe(collapsed).action
        'back to the last good weights, learning rate x 0.3, mining batch-hard -> semi-hard'
    """

    def __init__(self, config: GuardConfig, mining: "Mining") -> None:
        self._config = config
        self.mining: Mining = mining
        self.rate_scale = 1.0
        self.keeps_weights = False
        # Of the first batch that wasn't poor: what later ones are compared with.
        self._first_distance: float | None = None
        self._first_spread: float | None = None
        self._suspicious = self._good = self._rollbacks = 0

    def observe(self, observation: "Observation") -> Action | None:
        """Judge a batch, and say what to do if it is time.

        Raises:
            TrainingError: the network collapsed again after the last rollback that was left.
        """
        health = self.judge(observation)
        self.keeps_weights = False
        if health is Health.POOR_BATCH:
            return None
        if health is Health.GOOD:
            self._note_good(observation)
            return None
        self._good = 0
        self._suspicious += 1
        if health is Health.COLLAPSED and self._suspicious < self._config.in_a_row:
            return None
        evidence = self._describe(observation, health)
        if self._rollbacks == self._config.rollbacks:
            raise TrainingError(
                f"the network {health} again at step {observation.step}, after {self._rollbacks} times back to earlier "
                f"weights and down with the learning rate: {evidence}; try a lower learning rate, a larger margin or "
                "more photos a family, and look for wrong labels"
            )
        self._rollbacks += 1
        self._suspicious = 0
        return self._act(observation.step, evidence)

    def judge(self, observation: "Observation") -> Health:
        """Say what a batch tells; the first one that isn't poor becomes what others are compared with."""
        if not np.isfinite([observation.loss, observation.mean_distance]).all():
            return Health.DIVERGED
        if not observation.triplets or observation.input_spread <= COPIES_SHARE * (self._first_spread or 0.0):
            return Health.POOR_BATCH
        if self._first_distance is None:
            self._first_distance, self._first_spread = observation.mean_distance, observation.input_spread
        shrunk = observation.mean_distance <= SHRUNK_SHARE * self._first_distance
        if observation.active_share == 0 and not shrunk:
            return Health.POOR_BATCH
        flat = observation.families >= FLAT_FAMILIES and observation.effective_rank < FLAT_RANK
        at_margin = observation.loss >= MARGIN_SHARE * observation.collapsed_loss
        return Health.COLLAPSED if at_margin and (shrunk or flat) else Health.GOOD

    def state(self) -> dict[str, Any]:
        """Return all that it remembers, as JSON data."""
        return {name.removeprefix("_"): value for name, value in vars(self).items() if name != "_config"}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        for name in vars(self):
            if name != "_config":
                setattr(self, name, state[name.removeprefix("_")])

    def _note_good(self, observation: "Observation") -> None:
        self._suspicious = 0
        self._good += 1
        if self._good == self._config.recovered_after:
            self._rollbacks = 0
        self.keeps_weights = observation.mean_distance >= KEPT_SHARE * (self._first_distance or 0.0)

    def _act(self, step: int, evidence: str) -> Action:
        to_start = self._rollbacks > 1
        softer = SOFTER.get(self.mining, self.mining)
        self.rate_scale *= self._config.rate_factor
        words = [
            f"back to the {'initial' if to_start else 'last good'} weights",
            f"learning rate x {self._config.rate_factor:g}",
            *([f"mining {self.mining} -> {softer}"] if softer != self.mining else []),
        ]
        self.mining = softer
        return Action(
            step=step,
            to_start=to_start,
            rate_scale=self.rate_scale,
            mining=softer,
            action=", ".join(words),
            evidence=evidence,
        )

    def _describe(self, observation: "Observation", health: Health) -> str:
        if health is Health.DIVERGED:
            return "the loss or an embedding is not a finite number"
        times = f"{self._suspicious} observations in a row" if self._suspicious > 1 else "one observation"
        return (
            f"{times}, the last with a mean distance of {observation.mean_distance:.3g} (at first "
            f"{self._first_distance:.3g}), effective rank {observation.effective_rank:.1f} with "
            f"{observation.families} families, loss {observation.loss:.4g} where equal embeddings have "
            f"{observation.collapsed_loss:.4g}, active share {observation.active_share:.2f}"
        )
