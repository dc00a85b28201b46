"""How a network is trained: the settings, and the learning rate over the steps."""

import math
from dataclasses import dataclass, field

from beedex.training.fitting.guard import GuardConfig
from beedex.training.losses import Distance, Mining, TripletLoss

__all__ = ["FitConfig", "Schedule"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """How a network is trained.

    Attributes:
        mining: which triplets of a batch count.
        margin: in units of the distance.
        distance: between embeddings.
        soft: softplus instead of the hinge.
        families_per_batch: P.
        photos_per_family: K.
        epochs: passes over the photos, as far as `fewest_steps` and `most_steps` let them.
        fewest_steps: a gallery of a few dozen photos has two batches an epoch and needs this many to settle.
        most_steps: a head on frozen features is done by then, however large the gallery.
        learning_rate: of AdamW at the start; it falls to 0 along a cosine.
        weight_decay: of AdamW.
        seed: of initial weights, dropout and batches.
        evaluate_every: steps between two looks at the held-out photos, where there are some.
        patience: looks without a better MAP@R after which training stops.
        guard: against collapse; None for none.
    """

    mining: Mining = "batch-all"
    margin: float = 1.0
    distance: Distance = "l2"
    soft: bool = False
    families_per_batch: int = 8
    photos_per_family: int = 5
    epochs: int = 60
    fewest_steps: int = 300
    most_steps: int = 4000
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 0
    evaluate_every: int = 25
    patience: int = 10
    guard: GuardConfig | None = field(default_factory=GuardConfig)

    def __post_init__(self) -> None:
        """Refuse what no training can do."""
        for name in ("families_per_batch", "photos_per_family"):
            if getattr(self, name) < 2:
                raise ValueError(f"`{name}` must be at least 2. Received: {name}={getattr(self, name)}")
        for name in ("evaluate_every", "patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1. Received: {name}={getattr(self, name)}")
        TripletLoss(self.mining, self.margin, self.distance, soft=self.soft)

    def plan(self, steps_per_epoch: int) -> "Schedule":
        """Return the schedule for a gallery whose epochs have so many steps."""
        wanted = self.epochs * steps_per_epoch
        return Schedule(planned_steps=min(max(wanted, self.fewest_steps), self.most_steps))


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The learning rate's way down.

    A training that stops early has been on the first part of the cosine. To train on all photos for as long as was best
    on some, follow the same cosine and stop at the same step.

    Attributes:
        planned_steps: after which the rate would be 0, at least 1.
        stop_at: the last step taken; None for `planned_steps`.

    Example:
        >>> [round(Schedule(planned_steps=4).share(step), 3) for step in range(5)]
        [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    planned_steps: int
    stop_at: int | None = None

    def __post_init__(self) -> None:
        """Refuse what can't be followed."""
        if self.planned_steps < 1 or not 0 <= self.steps <= self.planned_steps:
            raise ValueError(
                "`planned_steps` must be at least 1 and `stop_at` between 0 and it. "
                f"Received: planned_steps={self.planned_steps}, stop_at={self.stop_at}"
            )

    @property
    def steps(self) -> int:
        """How many steps are taken."""
        return self.planned_steps if self.stop_at is None else self.stop_at

    def share(self, step: int) -> float:
        """Return what part of the initial rate a step has, counted from 0."""
        return 0.5 * (1 + math.cos(math.pi * step / self.planned_steps))
