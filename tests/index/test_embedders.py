"""The embedder's copy inside an index, and what a build does when the embedder is another one."""

import shutil
from pathlib import Path

import pytest

from beedex.index.bundle import CARD_NAME, load_bundle
from beedex.index.embedders import locate_embedder
from beedex.index.errors import BundleError, FingerprintMismatchError
from beedex.index.rebuild import build_index
from beedex.index.sealing import render_sealed
from beedex.index.snapshots import current_version, load_snapshot

PHOTO_COUNT = 18


@pytest.fixture
def index_dir(tmp_path):
    return tmp_path / "index"


def test_a_new_embedder_embeds_anew_and_the_former_ones_work_stays(
    tiny_gallery, tiny_bundle, other_tiny_bundle, index_dir
):
    first = build_index(tiny_gallery, tiny_bundle, index_dir)
    other = build_index(tiny_gallery, other_tiny_bundle, index_dir)
    again = build_index(tiny_gallery, tiny_bundle, index_dir)

    assert first.fingerprint != other.fingerprint
    assert (other.embedded, other.removed, other.snapshot) == (PHOTO_COUNT, 0, 2)
    assert (again.embedded, again.reused, again.snapshot) == (0, PHOTO_COUNT, 3)
    for version, summary in ((1, first), (2, other), (3, again)):
        assert load_snapshot(index_dir, version).manifest.fingerprint == summary.fingerprint
        assert load_bundle(locate_embedder(index_dir, summary.fingerprint)).card.fingerprint == summary.fingerprint


def test_another_embedder_is_refused_with_both_names(tiny_gallery, tiny_bundle, other_tiny_bundle, index_dir):
    summary = build_index(tiny_gallery, tiny_bundle, index_dir)
    other = load_bundle(other_tiny_bundle).card.fingerprint

    with pytest.raises(FingerprintMismatchError) as caught:
        load_snapshot(index_dir, expected_fingerprint=other)

    assert summary.fingerprint in str(caught.value)
    assert other in str(caught.value)


def test_the_embedder_is_copied_whole(tiny_gallery, tiny_bundle, index_dir):
    summary = build_index(tiny_gallery, tiny_bundle, index_dir)

    copy = locate_embedder(index_dir, summary.fingerprint)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
        path.name: path.read_bytes() for path in tiny_bundle.iterdir()
    }


def test_a_new_calibration_of_the_same_embedder_reaches_the_index(tiny_gallery, tiny_bundle, index_dir, tmp_path):
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    summary = build_index(tiny_gallery, bundle, index_dir)
    card = load_bundle(bundle).card
    assert card.calibration is not None
    warmer = card.calibration.model_copy(update={"temperature": 0.5})
    (bundle / CARD_NAME).write_bytes(render_sealed(card.model_copy(update={"calibration": warmer})))

    second = build_index(tiny_gallery, bundle, index_dir)

    copied = load_bundle(locate_embedder(index_dir, summary.fingerprint)).card.calibration
    assert copied is not None
    assert copied.temperature == 0.5
    assert (second.embedded, second.published) == (0, False)


def test_building_with_the_copy_inside_the_index_changes_nothing(tiny_gallery, tiny_bundle, index_dir):
    first = build_index(tiny_gallery, tiny_bundle, index_dir)

    second = build_index(tiny_gallery, locate_embedder(index_dir, first.fingerprint), index_dir)

    assert second.published is False
    assert load_bundle(locate_embedder(index_dir, first.fingerprint)).card.fingerprint == first.fingerprint


def test_a_damaged_embedder_publishes_nothing(tiny_gallery, tiny_bundle, index_dir, tmp_path):
    bundle = Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))
    network = bundle / "model.bin"
    network.write_bytes(network.read_bytes()[:-1])

    with pytest.raises(BundleError, match=r"model\.bin should have sha256"):
        build_index(tiny_gallery, bundle, index_dir)

    assert current_version(index_dir) is None
