"""The measure of familiarity, against sums by hand, and on disk."""

from pathlib import Path

import numpy as np
import pytest

from beedex.index.familiarity import FAMILIARITY_NAME, Familiarity


def draw_familiarity(seed: int = 0, *, features: int = 40, directions: int = 6, families: int = 3) -> Familiarity:
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.standard_normal((features, directions)))[0].T
    return Familiarity(
        mean=generator.standard_normal(features).astype(np.float32),
        directions=basis.astype(np.float16).astype(np.float32),
        whitening=generator.standard_normal((directions, directions)).astype(np.float32),
        centers=generator.standard_normal((families, directions)).astype(np.float32),
        remainder=0.7,
    )


def test_it_weighs_the_distance_to_the_nearest_family_and_what_lies_outside_of_the_plane_alike() -> None:
    measure = draw_familiarity()
    photos = np.random.default_rng(1).standard_normal((9, 40)).astype(np.float32)

    familiarities = measure.measure(photos)

    for photo, familiarity in zip(photos, familiarities, strict=True):
        centered = photo.astype(np.float64) - measure.mean
        place = measure.directions.astype(np.float64) @ centered
        nearest = min(((measure.whitening @ place - center) ** 2).sum() for center in measure.centers)
        outside = ((centered - measure.directions.T @ place) ** 2).sum()
        assert familiarity == pytest.approx(1 / (1 + (nearest + outside / 0.7) / 2), rel=1e-3)


def test_what_is_stored_measures_as_before_and_is_the_same_bytes_again(tmp_path: Path) -> None:
    measure = draw_familiarity()
    photos = np.random.default_rng(1).standard_normal((9, 40)).astype(np.float32)
    measure.save(tmp_path / FAMILIARITY_NAME)

    stored = Familiarity.load(tmp_path / FAMILIARITY_NAME)
    stored.save(tmp_path / "again.npz")

    np.testing.assert_array_equal(stored.measure(photos), measure.measure(photos))
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / FAMILIARITY_NAME).read_bytes()


def test_features_of_another_embedder_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(photos, 40\).*Received: shape=\(1, 39\)"):
        draw_familiarity().measure(np.zeros((1, 39), np.float32))


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FAMILIARITY_NAME
    for content in (b"", b"no archive", draw_truncated(tmp_path)):
        path.write_bytes(content)
        with pytest.raises(ValueError):  # noqa: PT011 - numpy's words for one of them
            Familiarity.load(path)
    np.savez(path, mean=np.zeros(3))

    with pytest.raises(ValueError, match="holds no familiarity measure"):
        Familiarity.load(path)


def draw_truncated(tmp_path: Path) -> bytes:
    draw_familiarity().save(tmp_path / "whole.npz")
    return (tmp_path / "whole.npz").read_bytes()[:-40]


def test_a_pickle_in_the_file_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / FAMILIARITY_NAME
    np.savez(path, mean=np.array([{"a": 1}], dtype=object), allow_pickle=True)

    with pytest.raises(ValueError, match="allow_pickle=False"):
        Familiarity.load(path)
