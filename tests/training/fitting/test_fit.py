"""Training heads and other networks on features made for the purpose."""

import re
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.metrics import score_retrieval
from beedex.training.backbone.features import Features
from beedex.training.errors import TrainingError
from beedex.training.fitting.fit import FitConfig, Outlets, TrainedHead, Validation, fit, fit_head
from beedex.training.fitting.model import HeadShape

FEATURES = 64
SHAPE = HeadShape(dimension=16)
QUICK = FitConfig(margin=0.1, fewest_steps=150, epochs=1, learning_rate=1e-2, families_per_batch=4, photos_per_family=4)


def draw_features(seed: int, *, per_family: int = 100) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(N, 2, F) unit features whose family shows in 4 weak directions among 60 that only disturb."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), per_family)
    features = generator.standard_normal((len(labels), 2, FEATURES)) + 3.0
    features[..., :4] = (
        3.0 + 0.5 * generator.standard_normal((len(labels), 2, 4)) + 3 * np.eye(4)[labels][:, np.newaxis]
    )
    features[..., 4:] *= 1.5
    return (features / np.linalg.norm(features, axis=-1, keepdims=True)).astype(np.float32), labels


def name_groups(labels: NDArray[np.int64]) -> list[str]:
    """One a photo."""
    return [str(i) for i in range(len(labels))]


def find_recall(head: TrainedHead | None, seed: int) -> float:
    """Recall@1 of new photos among new photos."""
    features, labels = draw_features(seed)
    vectors = head.embed(features[:, 0]) if head else features[:, 0]
    excluded = np.eye(len(labels), dtype=bool)
    return float(score_retrieval(vectors @ vectors.T, labels, labels, excluded=excluded).hit_at_1.mean())


@pytest.fixture(scope="module")
def head() -> TrainedHead:
    features, labels = draw_features(0)
    return fit_head(features, labels, name_groups(labels), SHAPE, QUICK)


def test_a_head_finds_what_frozen_features_hide(head: TrainedHead) -> None:
    assert find_recall(head, seed=99) > find_recall(None, seed=99) + 0.1


def test_embeddings_have_unit_norm(head: TrainedHead) -> None:
    vectors = head.embed(draw_features(5)[0][:, 0])

    assert vectors.shape == (400, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_the_same_seed_trains_the_same_head(head: TrainedHead) -> None:
    features, labels = draw_features(0)

    again = fit_head(features, labels, name_groups(labels), SHAPE, QUICK)

    for first, second in zip(head.head.get_weights(), again.head.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_features_from_the_store_train_as_an_array_does(head: TrainedHead) -> None:
    features, labels = draw_features(0)

    again = fit_head(Features.from_array(features), labels, name_groups(labels), SHAPE, QUICK)

    np.testing.assert_array_equal(head.history.loss, again.history.loss)


def test_the_history_tells_what_every_step_was_like(head: TrainedHead) -> None:
    history = head.history

    assert history.steps.tolist() == list(range(1, 151))
    assert history.loss[-20:].mean() < history.loss[:20].mean()
    assert ((history.active_share >= 0) & (history.active_share <= 1)).all()
    assert history.active_share[-20:].mean() < history.active_share[:20].mean()
    gap = history.negative_distance - history.positive_distance
    assert gap[-20:].mean() > gap[:20].mean() + 0.1
    np.testing.assert_allclose(history.learning_rate, 1e-2 * (1 + np.cos(np.pi * np.arange(150) / 150)) / 2, rtol=1e-5)
    assert len(history.validation_steps) == len(history.actions) == 0
    assert (head.fitted.steps, head.fitted.best_step) == (150, None)


def hold_out(labels: NDArray[np.int64], *, share: int = 4) -> Validation:
    """Every fourth photo."""
    return Validation(photos=np.arange(0, len(labels), share))


def score(
    trained: TrainedHead, features: NDArray[np.float32], labels: NDArray[np.int64], held_out: Validation
) -> float:
    """MAP@R of the held-out photos among the others."""
    others = np.setdiff1d(np.arange(len(labels)), held_out.photos)
    vectors = trained.embed(features[:, 0])
    similarities = vectors[held_out.photos] @ vectors[others].T
    return float(score_retrieval(similarities, labels[held_out.photos], labels[others]).average_precision_at_r.mean())


def test_training_stops_when_held_out_photos_are_found_no_better_and_keeps_the_best_weights() -> None:
    """With labels drawn at random, chance decides which weights are best, and early ones are as good as any."""
    features, labels = draw_features(0)
    labels = np.random.default_rng(0).permutation(labels)
    config = replace(QUICK, fewest_steps=1000, evaluate_every=10, patience=3)

    trained = fit_head(features, labels, name_groups(labels), SHAPE, config, validation=hold_out(labels))

    history, fitted = trained.history, trained.fitted
    assert fitted.best_step is not None
    assert fitted.steps == fitted.best_step + 30 < 1000
    assert history.validation_steps.tolist() == list(range(0, fitted.steps + 1, 10))
    best = int(np.argmax(history.validation_map_at_r))
    assert history.validation_steps[best] == fitted.best_step
    assert score(trained, features, labels, hold_out(labels)) == pytest.approx(history.validation_map_at_r[best])


def test_a_refit_follows_the_same_way_down_as_far_as_it_did_no_harm() -> None:
    features, labels = draw_features(1)
    config = replace(QUICK, evaluate_every=30, patience=2)
    first = fit_head(features, labels, name_groups(labels), SHAPE, config, validation=hold_out(labels))
    history, share = first.history, first.fitted.harmless_share

    again = fit_head(features, labels, name_groups(labels), SHAPE, config, share=share)

    best = history.validation_map_at_r.argmax()
    harmless = history.validation_map_at_r >= (history.validation_map_at_r - history.validation_standard_error)[best]
    planned = again.fitted.schedule.planned_steps
    assert share * planned == history.validation_steps[harmless][-1] >= first.fitted.best_step
    assert again.fitted.steps == share * planned
    np.testing.assert_array_equal(again.history.learning_rate, history.learning_rate[: again.fitted.steps])


def test_held_out_photos_teach_nothing() -> None:
    features, labels = draw_features(1)
    held_out = hold_out(labels)
    changed = features.copy()
    changed[held_out.photos] += np.random.default_rng(5).standard_normal((len(held_out.photos), 2, FEATURES))
    config = replace(QUICK, fewest_steps=40, evaluate_every=20)

    first, second = (
        fit_head(given, labels, name_groups(labels), SHAPE, config, validation=held_out)
        for given in (features, changed)
    )

    np.testing.assert_array_equal(first.history.loss, second.history.loss)
    for name in ("mean", "scale", "directions"):
        np.testing.assert_array_equal(getattr(first.standardization, name), getattr(second.standardization, name))
    assert not np.array_equal(first.history.validation_map_at_r, second.history.validation_map_at_r)


def test_no_step_at_all_is_the_untrained_head() -> None:
    features, labels = draw_features(1)

    trained = fit_head(features, labels, name_groups(labels), SHAPE, QUICK, share=0.0)

    assert len(trained.history.steps) == trained.fitted.steps == 0


@dataclass
class Halves:
    """Features in two arrays, as a network with two inputs takes them."""

    features: NDArray[np.float32]

    @property
    def views(self) -> int:
        return int(self.features.shape[1])

    def take(self, photos: NDArray[np.int64], views: NDArray[np.int64], /) -> tuple[NDArray[np.float32], ...]:
        rows = self.features[photos, views]
        return rows[:, : FEATURES // 2], rows[:, FEATURES // 2 :]


def test_any_network_of_several_inputs_is_trained() -> None:
    features, labels = draw_features(0)
    features = (features - features.mean(axis=(0, 1))) * 8
    inputs = [keras.Input((FEATURES // 2,)) for _ in range(2)]
    layers = [keras.layers.Dense(16, kernel_initializer=keras.initializers.GlorotUniform(seed=3))(x) for x in inputs]
    network = keras.Model(inputs, keras.layers.UnitNormalization()(keras.layers.Add()(layers)))

    fitted = fit(network, Halves(features), labels, name_groups(labels), QUICK, validation=hold_out(labels))

    assert fitted.history.validation_map_at_r.max() > fitted.history.validation_map_at_r[0] + 0.1


def draw_families(seed: int, *, per_family: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(N, 1, F): six families in six directions among 64 that all disturb."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(6), per_family)
    features = generator.standard_normal((len(labels), 1, FEATURES)) + 5 * np.eye(FEATURES)[labels][:, np.newaxis]
    return features.astype(np.float32), labels


def mislabel(labels: NDArray[np.int64], *, share: float) -> NDArray[np.int64]:
    """Draw the labels of a share of the photos anew: the hardest positives of a batch are then hopeless ones."""
    generator = np.random.default_rng(1)
    return np.where(generator.random(len(labels)) < share, generator.integers(0, 6, len(labels)), labels)


def test_the_guard_survives_a_collapse_that_plain_training_does_not() -> None:
    features, labels = draw_families(0, per_family=100)
    labels = mislabel(labels, share=0.3)
    new, new_labels = draw_families(9, per_family=30)
    config = FitConfig(
        mining="batch-hard",
        margin=0.1,
        learning_rate=0.1,
        weight_decay=1e-4,
        epochs=1,
        fewest_steps=300,
        families_per_batch=6,
        photos_per_family=5,
    )
    shape = HeadShape(dimension=16, hidden_units=64)
    excluded = np.eye(len(new_labels), dtype=bool)

    plain, guarded = (
        fit_head(features, labels, name_groups(labels), shape, settings)
        for settings in (replace(config, guard=None), config)
    )

    found = []
    for trained in (plain, guarded):
        vectors = trained.embed(new[:, 0])
        scores = score_retrieval(vectors @ vectors.T, new_labels, new_labels, excluded=excluded)
        found.append(float(scores.average_precision_at_r.mean()))
    assert plain.history.negative_distance[-1] < 0.05  # all photos in one place
    assert plain.history.loss[-1] == pytest.approx(0.1, rel=0.1)  # the margin
    assert guarded.history.negative_distance[-1] > 1.0
    assert found[1] > found[0] + 0.3
    assert guarded.history.actions[0].action.endswith("mining batch-hard -> semi-hard")
    assert "mean distance" in guarded.history.actions[0].evidence


def test_a_training_that_diverges_ends_in_one_error() -> None:
    features, labels = draw_features(0)

    with pytest.raises(TrainingError, match="diverged"):
        fit_head(features, labels, name_groups(labels), SHAPE, replace(QUICK, learning_rate=1e38))


class Counter:
    """Adds up progress, and remembers what was noted."""

    def __init__(self) -> None:
        self.done = 0
        self.notes: list[str] = []

    def __call__(self, done: int, /) -> None:
        self.done += done

    def note(self, text: str, /) -> None:
        self.notes.append(text)


def test_progress_counts_every_step_and_notes_the_figures() -> None:
    features, labels = draw_features(0)
    counter = Counter()
    config = replace(QUICK, fewest_steps=47, evaluate_every=20)

    fit_head(
        features,
        labels,
        name_groups(labels),
        SHAPE,
        config,
        validation=hold_out(labels),
        outlets=Outlets(progress=counter),
    )

    assert counter.done == 47
    assert re.fullmatch(r"loss 0\.\d{4}, active \d+%, MAP@R 0\.\d{3} \(best 0\.\d{3}\)", counter.notes[-1])


@pytest.mark.parametrize(
    ("held_out", "message"),
    [([0, 1], "no group may be both trained on and held out"), ([0], "needs one of its family")],
)
def test_held_out_photos_that_mislead_or_say_nothing_are_refused(held_out: list[int], message: str) -> None:
    features, labels = draw_features(0, per_family=4)
    groups = name_groups(labels)
    if len(held_out) == 2:
        groups[1] = groups[2]
    else:
        labels = labels.copy()
        labels[0] = 9

    with pytest.raises(ValueError, match=message):
        fit_head(features, labels, groups, SHAPE, QUICK, validation=Validation(photos=np.array(held_out)))


def test_one_family_is_refused() -> None:
    features, _ = draw_features(0, per_family=2)

    with pytest.raises(ValueError, match="triplets need two families"):
        fit_head(features, np.zeros(8, np.int64), list("abcdefgh"), SHAPE, QUICK)


@pytest.mark.parametrize(
    "settings",
    [{"photos_per_family": 1}, {"families_per_batch": 1}, {"mining": "none"}, {"patience": 0}, {"evaluate_every": 0}],
)
def test_settings_that_train_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Received"):
        FitConfig(**settings)  # type: ignore[arg-type]
