"""The embedder at run time, on a real OpenVINO graph."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder
from beedex.index.errors import BundleError
from beedex.index.inference import InferencePool


@pytest.fixture(scope="module")
def embedder(tiny_bundle: Path) -> Iterator[Embedder]:
    with Embedder.open(load_bundle(tiny_bundle)) as opened:
        yield opened


def draw_images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 13, 13, 3), dtype=np.uint8)
    return coarse.repeat(23, 1).repeat(23, 2)


def test_vectors_have_unit_norm(embedder: Embedder) -> None:
    vectors = embedder.embed(draw_images(5))

    assert vectors.shape == (5, embedder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_alone_or_among_others_a_photo_gets_the_same_vector(embedder: Embedder) -> None:
    images = draw_images(40)

    together = embedder.embed(images)

    alone = np.stack([embedder.submit(image).result() for image in images])
    np.testing.assert_array_equal(together, alone)


def test_submits_from_many_threads_come_back_to_their_callers(embedder: Embedder) -> None:
    images = draw_images(24)
    expected = embedder.embed(images)
    found = np.zeros_like(expected)

    def work(first: int) -> None:
        for i in range(first, len(images), 4):
            found[i] = embedder.submit(images[i]).result()

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    np.testing.assert_array_equal(found, expected)


def test_the_callers_array_may_change_after_submit(embedder: Embedder) -> None:
    image = draw_images(1)[0]
    expected = embedder.embed(image[np.newaxis])[0]

    future = embedder.submit(image)
    image[:] = 0

    np.testing.assert_array_equal(future.result(), expected)


def test_no_photos_give_no_vectors(embedder: Embedder) -> None:
    assert embedder.embed(draw_images(0)).shape == (0, embedder.dimension)


@pytest.mark.parametrize(
    "image", [np.zeros((299, 298, 3), np.uint8), np.zeros((299, 299, 3), np.float32), np.zeros((299, 299), np.uint8)]
)
def test_unprepared_images_are_refused_with_the_way_out(embedder: Embedder, image: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected \(299, 299, 3\) uint8.*prepare"):
        embedder.submit(image)


def test_one_inference_gives_the_vector_and_the_features(embedder: Embedder) -> None:
    images = draw_images(3)

    found = [embedder.submit_whole(image).result() for image in images]

    np.testing.assert_array_equal([photo.vector for photo in found], embedder.embed(images))
    np.testing.assert_array_equal([photo.features for photo in found], embedder.features(images))


def test_an_embedder_that_nobody_holds_any_more_gives_its_network_and_threads_back(tiny_bundle: Path) -> None:
    process, held = psutil.Process(), 3

    def use() -> None:
        with Embedder.load(tiny_bundle, threads=1) as embedder:
            embedder.embed(draw_images(2))

    use()
    before = process.num_threads()
    for _ in range(held):
        use()

    assert process.num_threads() < before + held


def test_a_network_for_photos_of_another_size_than_the_bundle_says_is_refused(tiny_bundle: Path) -> None:
    pool = InferencePool(load_bundle(tiny_bundle).network_path, threads=1)

    with pytest.raises(BundleError, match=r"expected \(224, 224, 3\), received \(299, 299, 3\)"):
        Embedder(pool, fingerprint="0" * 64, side_px=224)
