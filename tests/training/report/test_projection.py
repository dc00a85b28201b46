"""The map's places."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from beedex.training.report.projection import align, project


def draw_clusters(count: int, clusters: int = 5, seed: int = 0):
    """(N, D) vectors around a few directions, and which of them."""
    generator = np.random.default_rng(seed)
    member = np.arange(count) % clusters
    return (3 * np.eye(32)[member] + generator.normal(0, 0.3, (count, 32))).astype(np.float32), member


@pytest.mark.parametrize("count", [60, 400])
def test_photos_of_a_cluster_stay_together(count: int) -> None:
    vectors, member = draw_clusters(count)

    places = project(vectors)

    near = NearestNeighbors(n_neighbors=4).fit(places).kneighbors(return_distance=False)
    assert (member[near] == member[:, np.newaxis]).mean() > 0.99
    assert np.linalg.norm(places, axis=1).max() == pytest.approx(1)
    np.testing.assert_allclose(places.mean(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("count", [5, 60, 400])
def test_the_same_vectors_give_the_same_places(count: int) -> None:
    vectors, _ = draw_clusters(count)

    np.testing.assert_array_equal(project(vectors), project(vectors.copy()))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 11, 12, 13, 30])
@pytest.mark.parametrize("kind", ["drawn", "equal", "zero", "one dimension", "two photos"])
def test_a_map_of_any_vectors_is_finite(count: int, kind: str) -> None:
    vectors, _ = draw_clusters(count)
    if kind == "equal":
        vectors[:] = vectors[0]
    elif kind == "zero":
        vectors[:] = 0
    elif kind == "one dimension":
        vectors = vectors[:, :1]
    elif kind == "two photos":
        vectors = vectors[np.arange(count) % min(2, count)]

    places = project(vectors)

    assert places.shape == (count, 2)
    assert np.isfinite(places).all()


@pytest.mark.parametrize("mirror", [1, -1])
def test_a_turned_map_is_turned_back(mirror: int) -> None:
    reference = np.random.default_rng(1).normal(size=(20, 2))
    turn = np.array([[np.cos(2), -np.sin(2)], [np.sin(2), np.cos(2)]]) @ np.diag([1, mirror])

    np.testing.assert_allclose(align(reference @ turn, reference), reference, atol=1e-9)
