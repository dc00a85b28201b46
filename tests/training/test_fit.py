"""Training heads on features made for the purpose."""

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.metrics import score_retrieval
from beedex.training.fit import FitConfig, TrainedHead, fit_head
from beedex.training.model import HeadShape

FEATURES = 64
SHAPE = HeadShape(dimension=16)
QUICK = FitConfig(fewest_steps=150, epochs=1, learning_rate=1e-2, families_per_batch=4, photos_per_family=4)


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


def find_recall(head: TrainedHead | None, seed: int) -> float:
    """Recall@1 of new photos among new photos."""
    features, labels = draw_features(seed)
    vectors = head.embed(features[:, 0]) if head else features[:, 0]
    excluded = np.eye(len(labels), dtype=bool)
    return float(score_retrieval(vectors @ vectors.T, labels, labels, excluded=excluded).hit_at_1.mean())


@pytest.fixture(scope="module")
def head() -> TrainedHead:
    features, labels = draw_features(0)
    return fit_head(features, labels, [str(i) for i in range(len(labels))], SHAPE, QUICK)


def test_a_head_finds_what_frozen_features_hide(head: TrainedHead) -> None:
    assert find_recall(head, seed=99) > find_recall(None, seed=99) + 0.1


def test_embeddings_have_unit_norm(head: TrainedHead) -> None:
    vectors = head.embed(draw_features(5)[0][:, 0])

    assert vectors.shape == (400, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_the_same_seed_trains_the_same_head(head: TrainedHead) -> None:
    features, labels = draw_features(0)

    again = fit_head(features, labels, [str(i) for i in range(len(labels))], SHAPE, QUICK)

    for first, second in zip(head.head.get_weights(), again.head.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("settings", [{"photos_per_family": 1}, {"families_per_batch": 1}, {"mining": "none"}])
def test_settings_that_train_nothing_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Received"):
        FitConfig(**settings)  # type: ignore[arg-type]
