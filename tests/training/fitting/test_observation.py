"""The numbers that the collapse guard looks at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beedex.training.fitting.observation import effective_rank, measure_spread, observe_batch


def observe(embeddings, labels):
    return observe_batch(
        3, np.asarray(embeddings), labels, loss=0.2, collapsed_loss=0.1, active_share=0.5, input_spread=1.0
    )


@given(rank=st.integers(1, 8), seed=st.integers(0, 5))
def test_equal_spread_in_some_directions_has_their_number_as_rank(rank, seed):
    generator = np.random.default_rng(seed)
    directions = np.linalg.qr(generator.standard_normal((16, 16)))[0][:rank]
    rows = np.concatenate([directions, -directions]) + generator.standard_normal(16)

    assert effective_rank(rows) == pytest.approx(rank)


def test_rank_falls_between_numbers_where_directions_differ():
    """Singular values 3 and 1: exp of the entropy of (3/4, 1/4)."""
    rows = np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])

    assert effective_rank(rows) == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))))


def test_equal_rows_have_no_rank_though_rounding_makes_them_differ():
    row = np.random.default_rng(0).standard_normal(32)
    factors = np.array([[1], [1 + 1e-7], [1 - 1e-7]])
    rounded = (row / np.linalg.norm(row) * factors).astype(np.float32)
    assert not np.array_equal(rounded[0], rounded[1])

    assert effective_rank(rounded) == 0
    assert np.isnan(effective_rank(np.array([[1.0], [np.nan]])))


def test_mean_distance_is_that_of_all_pairs():
    rows = np.random.default_rng(1).standard_normal((9, 5)).astype(np.float32)
    pairs = [np.linalg.norm(rows[i] - rows[j]) for i in range(9) for j in range(9) if i != j]

    assert observe(rows, np.arange(9) % 2).mean_distance == pytest.approx(np.mean(pairs), rel=1e-5)


@pytest.mark.parametrize(
    ("labels", "triplets"), [([0, 0, 1], True), ([0, 0, 0], False), ([0, 1, 2], False), ([0, 0, 1, 1], True)]
)
def test_triplets_need_a_pair_and_another_family(labels, triplets):
    observation = observe(np.eye(len(labels)), np.array(labels))

    assert observation.triplets is triplets
    assert observation.families == len(set(labels))


def test_spread_is_the_root_mean_squared_distance_from_the_mean():
    rows = np.random.default_rng(2).standard_normal((6, 2, 3)).astype(np.float32)
    centre = rows.mean(axis=0)

    expected = np.sqrt(np.mean([((row - centre) ** 2).sum() for row in rows]))
    assert measure_spread(rows) == pytest.approx(expected, rel=1e-5)
    assert measure_spread(np.ones((4, 3), np.float32)) == 0
