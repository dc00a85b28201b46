"""Features of real photo files through a small network, and what is read of them."""

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from beedex.index.preprocessing import prepare
from beedex.training.backbone.features import Features, compute_features
from beedex.training.backbone.forward import run_forward
from beedex.training.backbone.records import Records
from beedex.training.backbone.taps import (
    ALL_BLOCKS,
    DEFAULT_BLOCKS,
    PLAIN_BLOCKS,
    WHOLE_BLOCKS,
    Block,
    block_columns,
    build_backbone,
    build_blocks,
)
from beedex.training.backbone.views import AUGMENTATIONS, Views
from beedex.training.errors import TrainingError

THREE = Views(count=3, seed=5)


def read_records(cache: Path) -> list[Path]:
    return sorted((cache / "features").glob("*/records.bin"))


@pytest.fixture(scope="module")
def filled_cache(some_photos, build_inception, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cache = tmp_path_factory.mktemp("features") / "cache"
    compute_features(some_photos, build_inception(), views=THREE, cache=cache)
    return cache


@pytest.fixture
def cache(filled_cache, tmp_path) -> Path:
    """A cache of one's own that has the features of all photos."""
    return Path(shutil.copytree(filled_cache, tmp_path / "cache"))


@pytest.fixture
def computed(some_photos, build_inception, cache) -> Features:
    return compute_features(some_photos, build_inception(), views=THREE, cache=cache)


def test_selected_features_are_those_of_the_backbone(some_photos, build_inception, computed) -> None:
    served = np.stack([prepare(photo.read()) for photo in some_photos])

    for blocks in (PLAIN_BLOCKS, WHOLE_BLOCKS[2:3], (WHOLE_BLOCKS[0], WHOLE_BLOCKS[7], WHOLE_BLOCKS[17])):
        expected = build_backbone(build_inception(), blocks)
        features = computed.select(blocks)

        np.testing.assert_allclose(features.matrix(0), expected(served).numpy(), atol=3e-4)
        np.testing.assert_allclose(features.matrix(1), expected(served[:, :, ::-1]).numpy(), atol=3e-4)
        np.testing.assert_allclose(np.linalg.norm(features.matrix(2), axis=1), 1, atol=1e-6)


def test_zoomed_blocks_are_stored_and_mirrored_like_the_others(some_photos, build_inception, tmp_path) -> None:
    stored = compute_features(
        some_photos, build_inception(), views=Views(count=2), cache=tmp_path, blocks=DEFAULT_BLOCKS
    )
    served = np.stack([prepare(photo.read()) for photo in some_photos])
    expected = build_backbone(build_inception(), DEFAULT_BLOCKS)

    features = stored.select(DEFAULT_BLOCKS)

    np.testing.assert_allclose(features.matrix(0), expected(served).numpy(), atol=3e-4)
    np.testing.assert_allclose(features.matrix(1), expected(served[:, :, ::-1]).numpy(), atol=3e-4)


def test_columns_that_are_not_selected_are_stored_as_computed(some_photos, build_inception, computed) -> None:
    expected = build_blocks(build_inception())(np.stack([prepare(photo.read()) for photo in some_photos])).numpy()

    assert (computed.photos, computed.views, computed.dimension) == (6, 3, expected.shape[1])
    np.testing.assert_array_equal(computed.matrix().astype(np.float16).astype(np.float32), computed.matrix())
    np.testing.assert_allclose(computed.matrix(), expected, atol=3e-4)


def test_features_that_are_there_need_no_photo(photos, build_inception, computed, cache) -> None:
    for photo in photos:
        photo.path.unlink()

    again = compute_features(photos[::-1], build_inception(), views=THREE, cache=cache)

    np.testing.assert_array_equal(again.matrix(2), computed.matrix(2)[::-1])


def test_only_what_is_missing_is_computed(photos, build_inception, computed, cache) -> None:
    (index,) = (cache / "features").glob("*/index.txt")
    index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[:4]))
    for photo in photos[:4]:
        photo.path.unlink()
    advances: list[int] = []

    again = compute_features(photos, build_inception(), views=THREE, cache=cache, advance=advances.append)

    assert advances == [4, 1, 1]
    np.testing.assert_array_equal(again.matrix(1), computed.matrix(1))


def test_a_photo_that_is_named_twice_is_computed_once(photos, build_inception, tmp_path) -> None:
    advances: list[int] = []
    doubled = [*photos[:2], photos[0]]

    features = compute_features(
        doubled, build_inception(), views=THREE, cache=tmp_path / "new", advance=advances.append
    )

    assert advances == [1, 1, 1]
    np.testing.assert_array_equal(features.matrix()[0], features.matrix()[2])
    assert read_records(tmp_path / "new")[0].stat().st_size == 2 * 3 * features.dimension * 2


def test_a_damaged_record_is_computed_anew(photos, build_inception, computed, cache) -> None:
    expected = computed.matrix(1)
    (path,) = read_records(cache)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 + 5] ^= 0x40
    path.write_bytes(content)

    again = compute_features(photos, build_inception(), views=THREE, cache=cache)

    np.testing.assert_array_equal(again.matrix(1), expected)


def test_a_photo_that_changed_under_its_name_is_refused(photos, build_inception, tmp_path) -> None:
    photos[3].path.write_bytes(photos[2].path.read_bytes())

    with pytest.raises(TrainingError, match="changed while the command ran"):
        compute_features(photos, build_inception(), views=THREE, cache=tmp_path / "cache")


@pytest.mark.slow
def test_whatever_changes_a_feature_changes_the_folder(photos, build_inception, tmp_path) -> None:
    one, other = ALL_BLOCKS[:1], ALL_BLOCKS[1:2]
    variants = [
        (0, THREE, one),
        (1, THREE, one),
        (0, Views(count=3, seed=6), one),
        (0, Views(count=4, seed=5), one),
        (0, Views(count=3, seed=5, augmentation=AUGMENTATIONS["strong"]), one),
        (0, THREE, other),
    ]

    for seed, views, blocks in variants:
        compute_features(photos[:1], build_inception(seed), views=views, blocks=blocks, cache=tmp_path / "cache")

    assert len(read_records(tmp_path / "cache")) == len(variants)


def test_both_engines_give_the_same_features(build_inception) -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (20, 299, 299, 3), dtype=np.uint8))
    model = build_blocks(build_inception(), ALL_BLOCKS)

    rows = {
        engine: np.stack([row["features"] for row in run_forward(model, iter(images), engine=engine)])
        for engine in ("openvino", "tensorflow")
    }

    assert rows["openvino"].shape == (20, model.output.shape[1])
    np.testing.assert_allclose(rows["openvino"], rows["tensorflow"], atol=1e-5)


def test_taking_follows_photos_and_views() -> None:
    array = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)
    features = Features.from_array(array)
    photos, views = np.array([4, 0, 4, 2]), np.array([2, 0, 1, 1])

    np.testing.assert_array_equal(features.take(photos, views), array[photos, views])
    np.testing.assert_array_equal(features.matrix(2), array[:, 2])
    np.testing.assert_array_equal(np.concatenate(list(features.chunks())), array.reshape(-1, 4))


def test_a_subset_of_a_subset_counts_from_its_own_photos() -> None:
    array = np.random.default_rng(0).standard_normal((6, 2, 4)).astype(np.float32)
    mask = np.array([True, False, True, True, False, True])

    subset = Features.from_array(array).subset(mask).subset(np.array([3, 1]))

    assert subset.photos == 2
    np.testing.assert_array_equal(subset.matrix(1), array[[5, 2], 1])
    np.testing.assert_array_equal(subset.take(np.array([1]), np.array([0])), array[[2], 0])


def test_an_empty_subset_has_no_rows() -> None:
    empty = Features.from_array(np.ones((3, 2, 4), np.float32)).subset(np.zeros(3, dtype=bool))

    assert empty.matrix().shape == (0, 4)
    assert list(empty.chunks()) == []


def test_a_block_that_is_not_there_is_refused() -> None:
    array = np.ones((2, 1, 4), np.float32)
    features = Features.from_array(array, columns={Block("mixed7", "max"): slice(0, 4)})

    assert features.select([Block("mixed7", "max")]).dimension == 4
    with pytest.raises(ValueError, match=r"lack blocks mixed8:max: expected some of mixed7:max"):
        features.select([Block("mixed8", "max")])


def test_a_few_columns_of_wide_records_are_held_without_reading_all_at_once() -> None:
    block = Block("mixed7", "max")
    records = np.random.default_rng(0).standard_normal((4000, 2, 3000)).astype(np.float16)
    features = Features.from_array(records, columns={block: slice(100, 110)})

    tracemalloc.start()
    rows = features.select([block]).take(np.array([3999, 0]), np.array([1, 0]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    expected = records[[3999, 0], [1, 0], 100:110].astype(np.float32)
    np.testing.assert_allclose(rows, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    assert peak < records.nbytes / 4


def test_features_larger_than_memory_are_read_in_pieces(tmp_path, build_inception) -> None:
    """50,000 photos of 0.2 MB: the record file is a hole on the disk, but its size is real."""
    inception = build_inception()
    columns = block_columns(inception)
    dimension = columns[WHOLE_BLOCKS[-1]].stop
    views = 60_000 // dimension
    photos = 50_000
    records = Records(tmp_path, {}, shape=(views, dimension), dtype=np.float16)
    records_bytes = photos * views * dimension * 2
    with (records.folder / "records.bin").open("r+b") as file:
        file.truncate(records_bytes)
    (records.folder / "index.txt").write_bytes(b"".join(b"%064x 00000000\n" % i for i in range(photos)))
    records.find([])
    features = Features.from_array(records.map(), columns=columns)
    generator = np.random.default_rng(0)

    tracemalloc.start()
    rows = features.select(PLAIN_BLOCKS).take(generator.permutation(photos)[:40], generator.integers(views, size=40))
    chunk = next(features.chunks(view=3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert records_bytes > 4 * 2**30
    assert rows.shape[0] == 40
    assert chunk.shape[1] == dimension
    assert peak < 50 * 2**20
