"""The stages of a training: what is found on held-out photos is used on all of them, and nothing is found twice."""

from dataclasses import replace

import numpy as np
import pytest

from beedex.training.backbone.features import Features
from beedex.training.backbone.taps import Block
from beedex.training.fitting.fit import FitConfig, Outlets, fit_head
from beedex.training.fitting.history import History
from beedex.training.fitting.model import HeadShape
from beedex.training.recipes.finetune import Activations, split_backbone
from beedex.training.recipes.material import Material, TailMaterial
from beedex.training.recipes.recipe import Recipe, TuneConfig
from beedex.training.recipes.stages import Choices, TrainedStages, train_stages

EARLY, LATE = Block("mixed8", "mean"), Block("mixed10", "mean")
LABELS = np.tile(np.arange(3), 10)
SIGNALS = {EARLY: 0, LATE: 3}
QUICK = FitConfig(
    families_per_batch=3,
    photos_per_family=3,
    epochs=1,
    fewest_steps=30,
    learning_rate=1e-2,
    evaluate_every=10,
    patience=1,
)
RECIPE = Recipe(candidates=((EARLY,), (LATE,)), shape=HeadShape(dimension=8), fit=QUICK, other_learning_rates=())


def get_weights(stages: TrainedStages) -> list[np.ndarray]:
    return [*stages.head.head.get_weights(), *(stages.tail.get_weights() if stages.tail else [])]


def assert_equal_weights(first: TrainedStages, second: TrainedStages) -> None:
    for one, other in zip(get_weights(first), get_weights(second), strict=True):
        np.testing.assert_array_equal(one, other)


def find_last_harmless(trial: History) -> int:
    """The last evaluation whose MAP@R is within the best one's standard error."""
    best = int(np.argmax(trial.validation_map_at_r))
    enough = trial.validation_map_at_r[best] - trial.validation_standard_error[best]
    return int(trial.validation_steps[trial.validation_map_at_r >= enough].max())


@pytest.fixture(scope="module")
def material(draw_material) -> Material:
    drawn: Material = draw_material(LABELS, signals=SIGNALS, views=2)
    return drawn


@pytest.fixture(scope="module")
def stages(material) -> TrainedStages:
    """Trained without choices given."""
    return train_stages(material, RECIPE)


def test_blocks_and_steps_are_found_on_a_trial_and_the_head_is_trained_on_all_photos(stages, material) -> None:
    chosen = stages.choices
    assert chosen.selection.blocks == (LATE,)
    assert set(stages.histories) == {"head-trial", "head"}
    steps = find_last_harmless(stages.histories["head-trial"])
    assert chosen.head == steps / 30
    assert len(stages.histories["head"].steps) == steps

    features = material.features.select([LATE])
    by_hand = fit_head(features, LABELS, material.groups, RECIPE.shape, QUICK, share=chosen.head)

    for one, other in zip(stages.head.head.get_weights(), by_hand.head.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(stages.embed(material), by_hand.embed(features.matrix()))
    np.testing.assert_array_equal(stages.read_frozen(material), features.matrix())


def test_choices_that_are_given_are_used_and_nothing_is_tried(stages, material) -> None:
    other = replace(stages.choices.selection, blocks=(EARLY,))
    choices = Choices(selection=other, head=0.2)

    again = train_stages(material, RECIPE, choices=choices)

    assert set(again.histories) == {"head"}
    assert len(again.histories["head"].steps) == 6
    assert again.choices == choices
    np.testing.assert_array_equal(again.read_frozen(material), material.features.select([EARLY]).matrix())


def test_choices_taken_over_from_a_training_give_its_weights(stages, material) -> None:
    assert_equal_weights(train_stages(material, RECIPE, choices=stages.choices), stages)


def test_photos_that_were_not_taken_into_the_material_have_no_part_in_anything(material) -> None:
    """Neither their features nor their labels: blocks, steps, standardization and weights are the same bit for bit."""
    kept = np.arange(30) >= 9
    generator = np.random.default_rng(5)
    array = np.stack([material.features.matrix(view) for view in range(2)], axis=1)
    array[~kept] = generator.standard_normal((9, 2, array.shape[-1]))
    width = array.shape[-1] // 2
    columns = {EARLY: slice(0, width), LATE: slice(width, None)}
    changed_features = Features.from_array(array, columns=columns)
    changed_labels = np.where(kept, LABELS, generator.permutation(LABELS))
    grams = material.grams.measure(changed_features, changed_labels, material.groups, seed=0, blocks=[EARLY, LATE])
    changed = replace(material, features=changed_features, labels=changed_labels, grams=grams)

    first, second = (train_stages(given.take(kept), RECIPE) for given in (material, changed))

    assert_equal_weights(first, second)
    assert first.choices.head == second.choices.head
    for name in ("mean", "scale", "directions"):
        np.testing.assert_array_equal(
            getattr(first.head.standardization, name), getattr(second.head.standardization, name)
        )


def test_where_no_photo_can_be_held_out_the_head_trains_as_long_as_its_settings_say(draw_material) -> None:
    """Without one of its two groups a family can't be trained on, and one family can't be told from nothing."""
    material = draw_material(np.array([0, 0, 1, 1]), signals={LATE: 3})

    stages = train_stages(material, replace(RECIPE, candidates=((LATE,),)))

    assert set(stages.histories) == {"head"}
    assert stages.choices == Choices()
    assert len(stages.histories["head"].steps) == QUICK.fewest_steps


def test_two_test_views_are_averaged_as_unit_vectors(stages, material) -> None:
    double = replace(stages, recipe=replace(RECIPE, test_views=2))

    features = [material.features.select([LATE]).matrix(view) for view in range(2)]
    for found, views in (
        (double.embed(material), [stages.head.embed(rows) for rows in features]),
        (double.read_frozen(material), features),
    ):
        sums = views[0].astype(np.float64) + views[1]
        np.testing.assert_allclose(found, sums / np.linalg.norm(sums, axis=1, keepdims=True), atol=1e-6)
        assert np.abs(found - views[0]).max() > 1e-3


@pytest.fixture(scope="module")
def tail_material(build_inception) -> Material:
    """Drawn activations, and the features that the frozen tail makes of them."""
    split = split_backbone(build_inception(), [EARLY, LATE], unfreeze_from="mixed9")
    generator = np.random.default_rng(0)
    (height, width, channels), (lower,) = split.shapes
    families = 0.5 * generator.random((3, channels))[LABELS][:, np.newaxis, np.newaxis]
    places = (families + generator.random((30, height, width, channels))).astype(np.float32)
    below = np.abs(generator.standard_normal((30, lower)))
    below = (below / np.linalg.norm(below, axis=1, keepdims=True)).astype(np.float32)
    records = np.concatenate([places.reshape(30, -1), below], axis=1)[:, np.newaxis]
    above = split.tail(places).numpy()
    features = np.concatenate([below, above], axis=1)[:, np.newaxis]
    columns = {EARLY: slice(0, lower), LATE: slice(lower, None)}
    return Material(
        features=Features.from_array(features, columns=columns),
        labels=LABELS,
        groups=tuple(map(str, range(30))),
        families=("a", "b", "c"),
        tail=TailMaterial(
            split=split, activations=Activations(records=records, numbers=np.arange(30), shapes=split.shapes)
        ),
    )


TUNED = Recipe(
    candidates=((EARLY, LATE),),
    shape=RECIPE.shape,
    fit=QUICK,
    other_learning_rates=(),
    tune=TuneConfig(unfreeze_from="mixed9", learning_rate=1e-3, epochs=6, evaluate_every=3, patience=1),
)


def test_the_tail_trains_on_from_the_head_for_as_many_epochs_as_a_trial_of_its_own_found(tail_material) -> None:
    asked: list[str] = []

    def open_part(part: str, /) -> Outlets:
        asked.append(part)
        return Outlets()

    stages = train_stages(tail_material, TUNED, open_outlets=open_part)

    assert asked == ["head-trial", "head", "tail-trial", "tail"]
    assert set(stages.histories) == set(asked)
    trial = stages.histories["tail-trial"]
    # Six epochs: of three batches of nine while photos are held out, of four with all 30.
    assert stages.choices.tail == find_last_harmless(trial) / 18
    assert len(stages.histories["tail"].steps) == round(stages.choices.tail * 24) > 0
    assert trial.learning_rate[0] == pytest.approx(1e-3)
    # It starts from the head of the trial: that of all photos has seen those that are held out here.
    of_head = stages.histories["head-trial"].validation_map_at_r.max()
    assert trial.validation_map_at_r[0] == pytest.approx(of_head, abs=1e-6)
    assert of_head < 0.99


def test_a_tail_of_no_step_embeds_as_the_head_does_and_a_trained_one_otherwise(tail_material, monkeypatch) -> None:
    monkeypatch.setattr("beedex.training.recipes.stages.PHOTOS_AT_ONCE", 7)
    untrained, trained = (
        train_stages(tail_material, TUNED, choices=Choices(head=0.2, tail=tail)) for tail in (0.0, 0.5)
    )

    vectors = untrained.embed(tail_material)

    assert set(untrained.histories) == {"head", "tail"}
    features = tail_material.features.select([EARLY, LATE]).matrix()
    np.testing.assert_allclose(vectors, untrained.head.embed(features), atol=1e-5)
    assert np.abs(trained.embed(tail_material) - vectors).max() > 1e-3
    some = np.arange(30) % 4 == 1
    np.testing.assert_allclose(untrained.embed(tail_material.take(some)), vectors[some], atol=1e-6)
    np.testing.assert_array_equal(trained.read_frozen(tail_material), features)


def test_stage_two_without_activations_is_refused(material) -> None:
    recipe = replace(TUNED, candidates=((LATE,),))

    with pytest.raises(ValueError, match=r"stage two needs `Material\.tail`"):
        train_stages(material, recipe, choices=Choices(head=0.1))


def test_one_family_is_refused(draw_material) -> None:
    material = draw_material(np.zeros(6, np.int64))

    with pytest.raises(ValueError, match="triplets need two families"):
        train_stages(material, replace(RECIPE, candidates=((LATE,),)))
