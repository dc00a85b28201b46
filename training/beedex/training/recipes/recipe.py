"""The recipe: all that decides how an embedder is trained, but the photos and the backbone's weights."""

import math
from dataclasses import dataclass, field

from beedex.training.backbone.taps import CANDIDATE_BLOCKS, TAPS, ZOOM_MARK, Block, sort_blocks
from beedex.training.fitting.fitconfig import FitConfig
from beedex.training.fitting.model import HeadShape

__all__ = ["OTHER_RATES", "Recipe", "TuneConfig"]

# Learning rates of the head that are tried beside the default. At three times the default, held-out MAP@R of 144 drawn
# photos rises from 0.84 to 0.90, that of 119 studio photos stays, and Recall@1 of 154 field photos falls from 0.59 to
# 0.53: no one rate is right.
OTHER_RATES = (3e-3,)


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneConfig:
    """Stage two: the backbone's last blocks train along with the head.

    Attributes:
        unfreeze_from: the first block that trains.
        learning_rate: of AdamW at the start, far below the head's: these weights are worth keeping.
        epochs: at most; validation stops earlier.
        evaluate_every: steps between two looks at the held-out photos.
        patience: looks without a better MAP@R after which it stops.
    """

    unfreeze_from: str
    learning_rate: float = 3e-5
    epochs: int = 30
    evaluate_every: int = 10
    patience: int = 5

    def __post_init__(self) -> None:
        """Refuse what can't train."""
        if self.unfreeze_from not in TAPS:
            raise ValueError(f"`unfreeze_from` must be one of {', '.join(TAPS)}. Received: {self.unfreeze_from!r}")

    def adapt(self, head: FitConfig) -> FitConfig:
        """Return the settings of stage two: the head's, with these instead."""
        return FitConfig(
            mining=head.mining,
            margin=head.margin,
            distance=head.distance,
            soft=head.soft,
            families_per_batch=head.families_per_batch,
            photos_per_family=head.photos_per_family,
            epochs=self.epochs,
            fewest_steps=1,
            most_steps=head.most_steps,
            learning_rate=self.learning_rate,
            weight_decay=head.weight_decay,
            seed=head.seed,
            evaluate_every=self.evaluate_every,
            patience=self.patience,
            guard=head.guard,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How an embedder is trained.

    Attributes:
        candidates: sets of blocks that features may be made of, the default first; one alone is taken as it is.
        shape: of the head.
        fit: how heads are trained; its seed also draws folds and views.
        other_learning_rates: that heads are tried with, beside that of *fit*, which is the default; none to take it as
            it is.
        tune: stage two, or None.
        test_views: 1, or 2 for the mean of a photo and its mirror image, which doubles the work of serving.
    """

    candidates: tuple[tuple[Block, ...], ...] = CANDIDATE_BLOCKS
    shape: HeadShape = field(default_factory=HeadShape)
    fit: FitConfig = field(default_factory=FitConfig)
    other_learning_rates: tuple[float, ...] = OTHER_RATES
    tune: TuneConfig | None = None
    test_views: int = 1

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if not self.candidates:
            raise ValueError("`candidates` must hold one set of blocks at least. Received: none")
        if self.tune and len(self.candidates) > 1:
            # Activations are stored at one cut, with the features below it.
            raise ValueError(
                f"`tune` needs one set of blocks alone in `candidates`. Received: {len(self.candidates)} sets"
            )
        if not all(0 < rate < math.inf for rate in self.learning_rates):
            raise ValueError(f"learning rates must be numbers above 0. Received: {self.learning_rates}")
        if self.test_views not in (1, 2):
            raise ValueError(f"`test_views` must be 1 or 2. Received: test_views={self.test_views}")
        if self.tune:
            for blocks in self.candidates:
                _refuse_frozen(blocks, self.tune.unfreeze_from)

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """Those of the head that are tried, the default first."""
        return (self.fit.learning_rate, *self.other_learning_rates)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block of a candidate, in order."""
        return sort_blocks(block for blocks in self.candidates for block in blocks)


def _refuse_frozen(blocks: tuple[Block, ...], unfreeze_from: str) -> None:
    """Check that stage two can train what these blocks are made of."""
    named = ", ".join(map(str, blocks))
    if any(block.zoomed for block in blocks):
        raise ValueError(f"stage two trains on whole photos: expected blocks without {ZOOM_MARK}. Received: {named}")
    if all(TAPS.index(block.tap) < TAPS.index(unfreeze_from) for block in blocks):
        raise ValueError(f"nothing would train: expected blocks of {unfreeze_from} or a later tap. Received: {named}")
