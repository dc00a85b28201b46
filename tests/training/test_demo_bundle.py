"""The bundle that the demo trains on drawn bees, at its full size."""

import pytest

from beedex.index.bundle import load_bundle

pytestmark = pytest.mark.slow

SIX_TYPES = {"bumble", "carpenter", "honey", "mason", "mining", "yellowface"}
PER_FAMILY = 24


def test_train_records_the_figures_that_others_rely_on(demo) -> None:
    metrics = load_bundle(demo.bundle).card.metrics

    assert metrics["n"] == 6 * PER_FAMILY
    assert metrics["families"] == dict.fromkeys(sorted(SIX_TYPES), PER_FAMILY)
    for figures in (metrics, metrics["frozen"]):
        for name in ("recall_at_1", "map_at_r"):
            assert 0 <= figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"] <= 1
    assert metrics["chance_recall_at_1"] == pytest.approx(1 / 6, abs=0.02)
    assert metrics["recall_at_1"]["value"] > metrics["frozen"]["recall_at_1"]["value"]


def test_the_bundle_says_what_it_is(demo) -> None:
    bundle = load_bundle(demo.bundle)

    assert bundle.card.weights.kind == "bundled"
    assert set(bundle.card.families) == SIX_TYPES
    assert bundle.card.calibration is not None
    assert bundle.card.calibration.held_out_photos == 6 * PER_FAMILY
    assert len(bundle.read_trained_photos()) == 6 * PER_FAMILY


def test_a_foreign_directory_is_not_overwritten(demo, run_beedex, tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    done = run_beedex("train", demo.gallery, "--out", tmp_path, "--weights", "bundled")

    assert done.returncode == 1
    assert "is no embedder bundle" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
