"""Trials: what held-out photos say about learning rates, and who is listened to."""

from dataclasses import replace

import numpy as np
import pytest

from beedex.training.backbone.taps import Block
from beedex.training.errors import TrainingError
from beedex.training.fitting.fit import FitConfig, Outlets, Validation, fit_head
from beedex.training.fitting.model import HeadShape
from beedex.training.folds import assign_folds
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe
from beedex.training.recipes.stages import Choices, train_stages
from beedex.training.recipes.trials import RateChoice, Trials, run_trials

LATE = Block("mixed10", "mean")
LABELS = np.repeat(np.tile(np.arange(3), 8), 2)
GROUPS = [f"animal {i // 2}" for i in range(48)]
SHAPE = HeadShape(dimension=2)
SLOW, FAST = 1e-5, 3e-2
QUICK = FitConfig(
    families_per_batch=3,
    photos_per_family=4,
    epochs=1,
    fewest_steps=40,
    learning_rate=SLOW,
    evaluate_every=40,
    patience=1,
)


@pytest.fixture(scope="module")
def material(draw_material) -> Material:
    """Photos that a head of two random directions does not tell apart, and a trained one does."""
    drawn: Material = draw_material(LABELS, GROUPS, signals={LATE: 1.5})
    return drawn


def try_rates(material: Material, *rates: float, parts: list[str] | None = None) -> Trials:
    def open_part(part: str, /) -> Outlets:
        if parts is not None:
            parts.append(part)
        return Outlets()

    trials = run_trials(material.features, LABELS, GROUPS, SHAPE, QUICK, rates, open_outlets=open_part)
    assert trials is not None
    return trials


def choose(material: Material, *rates: float) -> tuple[Trials, RateChoice]:
    trials = try_rates(material, *rates)
    assert trials.rate is not None
    return trials, trials.rate


def count_hits(material: Material, rate: float) -> float:
    """Recall@1 over four folds, each looked up among the others by a head that was trained on these; by loops."""
    fold_of, hits = assign_folds(LABELS, GROUPS, folds=4, seed=QUICK.seed), []
    features = material.features
    for fold in range(4):
        held_out, known = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        config = replace(QUICK, learning_rate=rate)
        head = fit_head(features, LABELS, GROUPS, SHAPE, config, validation=Validation(photos=held_out))
        vectors = head.embed(features.matrix())
        for photo in held_out:
            first = known[np.argmax([float(vectors[photo] @ vectors[other]) for other in known])]
            hits.append(LABELS[first] == LABELS[photo])
    assert len(hits) == 48
    return float(np.mean(hits))


def test_each_rate_is_judged_on_every_photo_by_heads_that_did_not_see_its_group(material) -> None:
    _, choice = choose(material, SLOW, FAST)

    expected = {rate: count_hits(material, rate) for rate in (SLOW, FAST)}
    assert choice.recall_at_1 == pytest.approx(expected)
    assert expected[FAST] > expected[SLOW] + 0.2
    assert choice.learning_rate == FAST
    assert choice.why == (
        f"0.03: Recall@1 of held-out photos is {expected[FAST]:.2f}, and the default, 1e-05 has {expected[SLOW]:.2f}"
    )


def test_the_head_of_the_chosen_rate_on_the_first_fold_is_kept(material) -> None:
    parts: list[str] = []

    trials = try_rates(material, SLOW, FAST, parts=parts)

    fold_of = assign_folds(LABELS, GROUPS, folds=4, seed=QUICK.seed)
    assert trials.validation.photos.tolist() == np.flatnonzero(fold_of == 0).tolist()
    by_hand = fit_head(
        material.features,
        LABELS,
        GROUPS,
        SHAPE,
        replace(QUICK, learning_rate=FAST),
        validation=trials.validation,
    )
    for one, other in zip(trials.head.head.get_weights(), by_hand.head.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert parts[:3] == ["head-trial", "head-trial-0.03-1", "head-trial-1e-05-2"]
    assert len(set(parts)) == 8


def test_one_rate_is_tried_on_one_fold(material) -> None:
    parts: list[str] = []

    trials = try_rates(material, FAST, parts=parts)

    assert parts == ["head-trial"]
    assert trials.rate is None
    assert trials.head.history.learning_rate[0] == pytest.approx(FAST)


def test_folds_stop_where_enough_photos_were_held_out(material, monkeypatch) -> None:
    monkeypatch.setattr("beedex.training.recipes.trials.ENOUGH_HELD_OUT", 20)
    parts: list[str] = []

    try_rates(material, SLOW, FAST, parts=parts)

    assert len(parts) == 4


def test_a_rate_at_which_training_diverges_is_out_and_the_default_stands(material, caplog) -> None:
    with caplog.at_level("WARNING"):
        _, choice = choose(material, FAST, 1e38)

    assert choice.learning_rate == FAST
    assert list(choice.recall_at_1) == [FAST]
    assert "learning rate 1e+38 is out" in caplog.text


def test_a_default_at_which_training_diverges_is_an_error(material) -> None:
    with pytest.raises(TrainingError, match=r"diverged|collapse"):
        try_rates(material, 1e38, FAST)


@pytest.mark.parametrize(
    ("better", "worse", "ties", "taken"),
    [
        (6, 0, 40, True),
        (4, 0, 42, True),  # 0.087 against a standard error of 0.042
        (3, 0, 43, False),  # 0.065 against 0.037
        (10, 5, 31, False),
        (0, 0, 46, False),
        (0, 8, 38, False),
    ],
)
def test_another_rate_needs_more_than_two_standard_errors(better: int, worse: int, ties: int, taken: bool) -> None:
    default = np.repeat([0.0, 1.0, 1.0, np.nan], [better, worse, ties, 2])
    other = np.repeat([1.0, 0.0, 1.0, 1.0], [better, worse, ties, 2])

    choice = RateChoice.make({1e-3: default, 3e-3: other})

    assert choice.learning_rate == (3e-3 if taken else 1e-3)
    assert choice.why.startswith("0.003: " if taken else "0.001: the default")


def test_the_final_head_and_those_that_take_over_the_choices_train_at_the_chosen_rate(material) -> None:
    recipe = Recipe(candidates=((LATE,),), shape=SHAPE, fit=QUICK, other_learning_rates=(FAST,))

    stages = train_stages(material, recipe)
    again = train_stages(material, recipe, choices=stages.choices)

    assert set(stages.histories) == {"head-trial", "head"}
    for history in (*stages.histories.values(), again.histories["head"]):
        assert history.learning_rate[0] == pytest.approx(FAST)
    for one, other in zip(stages.head.head.get_weights(), again.head.head.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    without = train_stages(material, recipe, choices=Choices())
    assert without.histories["head"].learning_rate[0] == pytest.approx(SLOW)
