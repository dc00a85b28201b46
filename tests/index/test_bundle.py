"""Bundles on disk: whole, checked, and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from beedex.index.bundle import CARD_NAME, load_bundle
from beedex.index.errors import BundleError
from beedex.index.familiarity import FAMILIARITY_NAME, Familiarity
from beedex.index.sealing import render_sealed


@pytest.fixture
def bundle_copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    copied: Path = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    return copied


def test_a_written_bundle_loads_with_its_card(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)

    assert bundle.card.dimension == 32
    assert bundle.card.calibration is not None
    assert set(bundle.card.files) == {"gallery.json", "model.bin", "model.xml"}
    assert bundle.read_trained_photos() == ()


def test_other_weights_have_another_fingerprint(tiny_bundle: Path, other_tiny_bundle: Path) -> None:
    assert load_bundle(tiny_bundle).card.fingerprint != load_bundle(other_tiny_bundle).card.fingerprint


@pytest.mark.parametrize("name", [CARD_NAME, "model.xml", "model.bin", "gallery.json"])
def test_a_flipped_bit_anywhere_is_found(bundle_copy: Path, name: str) -> None:
    file = bundle_copy / name
    whole = file.read_bytes()
    generator = np.random.default_rng(1)
    for position in generator.integers(0, len(whole), 20):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(generator.integers(8))
        file.write_bytes(damaged)

        with pytest.raises(BundleError):
            load_bundle(bundle_copy)


@pytest.mark.parametrize("name", [CARD_NAME, "model.xml", "model.bin"])
def test_a_missing_file_is_named(bundle_copy: Path, name: str) -> None:
    (bundle_copy / name).unlink()

    with pytest.raises(BundleError, match=name):
        load_bundle(bundle_copy)


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_a_card_that_lists_no_network_is_refused(bundle_copy: Path, name: str) -> None:
    card = load_bundle(bundle_copy).card
    files = {file: sha256 for file, sha256 in card.files.items() if file != name}
    (bundle_copy / CARD_NAME).write_bytes(render_sealed(card.model_copy(update={"files": files})))

    with pytest.raises(BundleError, match=f"its card lists no {name}"):
        load_bundle(bundle_copy)


def test_a_bundle_of_a_later_version_is_refused_with_the_field(bundle_copy: Path) -> None:
    card = json.loads((bundle_copy / CARD_NAME).read_bytes())
    card["schema_version"] = 2
    (bundle_copy / CARD_NAME).write_text(json.dumps(card))

    with pytest.raises(BundleError, match="expected schema version 1, at schema_version"):
        load_bundle(bundle_copy)


def test_no_file_of_a_bundle_is_a_pickle(tiny_bundle: Path) -> None:
    for file in tiny_bundle.iterdir():
        # Protocol 2 and later begin with PROTO, and every pickle ends with STOP.
        data = file.read_bytes()

        assert not (data[:1] == b"\x80" and data[-1:] == b".")


def test_a_bundle_without_a_measure_of_familiarity_has_none(tiny_bundle: Path) -> None:
    """Bundles from before there was one, or of too few photos to set a threshold."""
    bundle = load_bundle(tiny_bundle)

    assert bundle.card.calibration is not None
    assert bundle.card.calibration.familiarity is None
    assert bundle.read_familiarity() is None


def test_a_damaged_measure_of_familiarity_is_found_and_named(tmp_path: Path, write_bundle) -> None:
    unit = np.eye(48, dtype=np.float32)
    measure = Familiarity(
        mean=unit[0], directions=unit[:2], whitening=unit[:2, :2], centers=unit[:3, :2], remainder=1.0
    )
    path = write_bundle(tmp_path / "bundle", seed=3, calibration=None, familiarity=measure)
    stored_measure = load_bundle(path).read_familiarity()
    assert stored_measure is not None
    np.testing.assert_array_equal(stored_measure.measure(unit), measure.measure(unit))
    stored = (path / FAMILIARITY_NAME).read_bytes()
    (path / FAMILIARITY_NAME).write_bytes(stored[:-50])

    with pytest.raises(BundleError, match=f"{FAMILIARITY_NAME} should have sha256"):
        load_bundle(path)
