"""Vectors to search in, and the oracle: numpy brute force."""

import numpy as np
import pytest

DIMENSION = 24


def draw_unit_vectors(count, *, seed, repeats=0):
    """(count, D) float32; *repeats* of them are copies of others, so that similarities tie."""
    generator = np.random.default_rng(seed)
    vectors = generator.standard_normal((count, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if repeats:
        vectors[generator.integers(0, count, repeats)] = vectors[generator.integers(0, count, repeats)]
    return vectors


def draw_ids(count, *, seed):
    """(count,) distinct int64 over the whole signed range, in no order."""
    return np.random.default_rng(seed).choice(np.iinfo(np.int64).max, count).astype(np.int64) * (-1) ** np.arange(count)


def draw_clusters(count, *, seed, centers=40):
    """(count, D) float32 unit vectors around the same centers for every seed; neighbors have cosines of about 0.8."""
    middles = np.random.default_rng(0).standard_normal((centers, DIMENSION))
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((count, DIMENSION)) * 0.5 / np.sqrt(DIMENSION)
    vectors = (middles[generator.integers(0, centers, count)] + noise).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def search_by_brute_force(ids, vectors, queries, k):
    """(Q, K) ids and similarities: by descending cosine, then by ascending id."""
    cosines = np.clip(queries.astype(np.float64) @ vectors.T.astype(np.float64), -1, 1)
    # Rounded so that equal vectors tie here too; the gaps between different ones are far wider.
    order = np.lexsort((np.broadcast_to(ids, cosines.shape), -np.round(cosines, 9)))[:, :k]
    return ids[order], np.take_along_axis(cosines, order, 1)


class Vectors:
    """What the tests draw and how they check it, in one fixture: a conftest can't be imported."""

    dimension = DIMENSION
    draw = staticmethod(draw_unit_vectors)
    draw_clusters = staticmethod(draw_clusters)
    draw_ids = staticmethod(draw_ids)
    search = staticmethod(search_by_brute_force)


@pytest.fixture(scope="session")
def oracle():
    return Vectors
