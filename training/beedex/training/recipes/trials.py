"""Trials: heads that are trained on a part of the photos, to find the learning rate and how long to train.

Shapes: N photos, Q of them held out.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from beedex.training.backbone.features import Features
from beedex.training.errors import TrainingError
from beedex.training.fitting.batches import find_trainable
from beedex.training.fitting.fit import FitConfig, TrainedHead, Validation, fit_head
from beedex.training.fitting.inputs import Rows, StandardizedInputs, embed_photos
from beedex.training.fitting.model import HeadShape
from beedex.training.fitting.outlets import Outlets
from beedex.training.fitting.validation import Validator
from beedex.training.folds import assign_folds

__all__ = ["HEAD_TRIAL", "OpenOutlets", "RateChoice", "Trials", "run_trials"]

log = logging.getLogger(__name__)

# One of so many folds of the training photos is held out to find how long to train; all of them in turn, to choose a
# learning rate.
VALIDATION_FOLDS = 4

# Folds beyond so many held-out photos are left out: of 1,000 independent hits the mean has a standard error of 0.016.
ENOUGH_HELD_OUT = 1000

# Another learning rate is taken when its Recall@1 is higher by more than so many standard errors of the paired
# difference. With one standard error, or by MAP@R, 154 field photos got the rate that was worse on the photos outside
# (Recall@1 0.53 to 0.55 for 0.58); 144 drawn ones, where it is better, got it with either (0.90 for 0.88).
STANDARD_ERRORS = 2.0

# The trial of the default learning rate on the first fold; others add their rate and fold.
HEAD_TRIAL = "head-trial"

# Gives each part of a training what it writes to: "head-trial", "head", "tail-trial", "tail", and further trials.
OpenOutlets = Callable[[str], Outlets]


@dataclass(frozen=True, kw_only=True)
class RateChoice:
    """A learning rate and its reasons.

    Attributes:
        learning_rate: that was chosen.
        recall_at_1: of held-out photos, by learning rate.
        why: in one sentence.
    """

    learning_rate: float
    recall_at_1: dict[float, float]
    why: str

    @classmethod
    def make(cls, hits: dict[float, NDArray[np.float64]]) -> Self:
        """Choose by the hits (Q,) of each rate, the default first; NaN where a photo can't be found."""
        default = next(iter(hits))
        means = {rate: float(np.nanmean(found)) for rate, found in hits.items()}
        best = max(means, key=lambda rate: means[rate])
        shown = _is_shown(hits[best] - hits[default])
        default_words = f"{default:g} has {means[default]:.2f}"
        if best == default:
            why = f"{default:g}: the default, whose Recall@1 of held-out photos is the highest, {means[default]:.2f}"
        elif shown:
            why = f"{best:g}: Recall@1 of held-out photos is {means[best]:.2f}, and the default, {default_words}"
        else:
            why = (
                f"{default:g}: the default, Recall@1 of held-out photos {means[default]:.2f}; {best:g} has "
                f"{means[best]:.2f}, no more than {STANDARD_ERRORS:g} standard errors above it"
            )
        return cls(learning_rate=best if shown else default, recall_at_1=means, why=why)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """What was found on photos that were held out.

    Attributes:
        rate: the choice; None where there was one learning rate alone.
        head: of the chosen rate, trained without the first fold's photos.
        validation: these photos.
    """

    rate: RateChoice | None
    head: TrainedHead
    validation: Validation


def run_trials(
    features: Features,
    labels: NDArray[np.int64],
    groups: Sequence[str],
    shape: HeadShape,
    config: FitConfig,
    learning_rates: Sequence[float],
    *,
    open_outlets: OpenOutlets,
) -> Trials | None:
    """Train heads on parts of the photos, and see how they do on the rest.

    Args:
        features: of N photos; held-out ones have no part in how they are standardized.
        labels: (N,).
        groups: (N,); none has photos on both sides.
        shape: of the heads.
        config: how they are trained.
        learning_rates: to try instead of that of *config*, the default first.
        open_outlets: gives each trial what it writes to.

    Returns:
        None where no fold can be held out.

    Raises:
        TrainingError: training collapsed or diverged at the default rate; another rate is out then.
    """
    folds = _hold_out(labels, groups, seed=config.seed)
    if len(learning_rates) == 1:
        folds = folds[:1]
    heads, hits = dict[float, TrainedHead](), {rate: list[NDArray[np.float64]]() for rate in learning_rates}
    for number, validation in enumerate(folds):
        validator = Validator(validation, labels, groups, seed=config.seed)
        inputs = StandardizedInputs.fit(features, validator.trained)
        for rate in list(hits):
            is_default = rate == learning_rates[0]
            part = HEAD_TRIAL if is_default and number == 0 else f"{HEAD_TRIAL}-{rate:g}-{number + 1}"
            settings, outlets = replace(config, learning_rate=rate), open_outlets(part)
            try:
                head = fit_head(inputs, labels, groups, shape, settings, validation=validation, outlets=outlets)
            except TrainingError as error:
                if is_default:
                    raise
                log.warning("learning rate %g is out: %s", rate, error)
                del hits[rate]
                continue
            heads.setdefault(rate, head)
            hits[rate].append(_find(head, inputs, validator))
    if not folds:
        return None
    found = {rate: np.concatenate(of_folds) for rate, of_folds in hits.items()}
    choice = RateChoice.make(found) if len(learning_rates) > 1 else None
    chosen = choice.learning_rate if choice else learning_rates[0]
    return Trials(rate=choice, head=heads[chosen], validation=folds[0])


def _hold_out(labels: NDArray[np.int64], groups: Sequence[str], *, seed: int) -> list[Validation]:
    """Return folds whose photos can be looked up among the others, and that leave two families to train on."""
    fold_of = assign_folds(labels, groups, folds=VALIDATION_FOLDS, seed=seed)
    names, folds, held_out = np.asarray(groups), list[Validation](), 0
    for fold in range(VALIDATION_FOLDS):
        known = fold_of != fold
        findable = np.isin(labels[~known], labels[known]).any()
        if findable and len(find_trainable(labels[known], names[known].tolist())) >= 2:
            folds.append(Validation(photos=np.flatnonzero(~known)))
            held_out += int((~known).sum())
        if held_out >= ENOUGH_HELD_OUT:
            break
    return folds


def _find(head: TrainedHead, inputs: StandardizedInputs, validator: Validator) -> NDArray[np.float64]:
    """Return (Q,) whether the first photo found is one of the right family; NaN where there is none to find."""

    def embed(rows: Rows) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = head.head(rows, training=False).numpy()
        return vectors

    scores = validator.score(lambda photos: embed_photos(embed, inputs, photos))
    return scores.hit_at_1 if scores else np.full(len(validator.queries), np.nan)


def _is_shown(differences: NDArray[np.float64]) -> bool:
    known = differences[~np.isnan(differences)]
    return len(known) > 1 and bool(known.mean() > STANDARD_ERRORS * known.std(ddof=1) / np.sqrt(len(known)))
