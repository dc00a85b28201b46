"""Bundles on disk: whole, checked, and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from beedex.index.bundle import CARD_NAME, load_bundle
from beedex.index.errors import BundleError


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
