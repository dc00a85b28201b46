"""Recipes: what stage two takes over, and what is refused."""

from dataclasses import asdict

import pytest

from beedex.training.backbone.taps import CANDIDATE_BLOCKS, PLAIN_BLOCKS, Block, sort_blocks
from beedex.training.fitting.fitconfig import FitConfig
from beedex.training.fitting.guard import GuardConfig
from beedex.training.recipes.recipe import Recipe, TuneConfig


def test_stage_two_takes_over_all_settings_but_its_own() -> None:
    # None of these is a default.
    head = FitConfig(
        mining="semi-hard",
        margin=0.3,
        distance="cosine",
        soft=True,
        families_per_batch=3,
        photos_per_family=7,
        epochs=11,
        fewest_steps=13,
        most_steps=1700,
        learning_rate=0.5,
        weight_decay=0.25,
        seed=19,
        evaluate_every=23,
        patience=29,
        guard=GuardConfig(in_a_row=7),
    )
    tune = TuneConfig(unfreeze_from="mixed9", learning_rate=1e-6, epochs=2, evaluate_every=4, patience=3)

    adapted = asdict(tune.adapt(head))

    own = {"learning_rate": 1e-6, "epochs": 2, "evaluate_every": 4, "patience": 3, "fewest_steps": 1}
    assert adapted == asdict(head) | own


def test_blocks_are_those_of_all_candidates_each_once_in_order() -> None:
    late, early, other = Block("mixed10", "max"), Block("mixed5", "gem"), Block("mixed10", "mean")

    assert Recipe(candidates=((late, early), (early, other))).blocks == sort_blocks([early, other, late])
    assert set(Recipe().blocks) == {block for blocks in CANDIDATE_BLOCKS for block in blocks}


@pytest.mark.parametrize(
    "settings",
    [
        {"candidates": ()},
        {"test_views": 3},
        {"other_learning_rates": (0.0,)},
        {"test_views": 0},
        {"tune": TuneConfig(unfreeze_from="mixed9"), "candidates": (PLAIN_BLOCKS, PLAIN_BLOCKS[:1])},
        {"tune": TuneConfig(unfreeze_from="mixed9"), "candidates": ((Block("mixed10", "max", zoomed=True),),)},
        {"tune": TuneConfig(unfreeze_from="mixed9"), "candidates": ((Block("mixed8", "max"),),)},
    ],
)
def test_recipes_that_contradict_themselves_are_refused(settings) -> None:
    with pytest.raises(ValueError, match="Received"):
        Recipe(**settings)


def test_a_block_that_is_not_there_cannot_be_trained_from() -> None:
    with pytest.raises(ValueError, match=r"must be one of mixed5, .* Received: 'mixed11'"):
        TuneConfig(unfreeze_from="mixed11")
