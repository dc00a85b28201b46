"""`beedex train` and `beedex evaluate` as a user runs them, on drawn bees and the bundled weights."""

import json
import shutil

import pytest

from beedex.index.bundle import load_bundle
from beedex.training.drawing import draw_gallery

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


def test_the_bundle_says_what_it_is_and_how_it_came_about(demo) -> None:
    bundle = load_bundle(demo.bundle)

    assert bundle.card.weights.kind == "bundled"
    assert set(bundle.card.families) == SIX_TYPES
    assert bundle.card.training["fit"]["mining"] == "batch-all"
    assert {"keras", "tensorflow", "openvino"} <= set(bundle.card.versions)
    assert bundle.card.calibration is not None
    assert bundle.card.calibration.held_out_photos == 6 * PER_FAMILY
    assert len(bundle.read_trained_photos()) == 6 * PER_FAMILY


def test_evaluating_on_trained_photos_is_refused(demo, run_beedex) -> None:
    done = run_beedex("evaluate", demo.bundle, demo.gallery)

    assert done.returncode == 1
    assert "every photo" in done.stderr
    assert done.stderr.count("beedex: error:") == 1


def test_evaluate_judges_unseen_photos_only(demo, run_beedex, tmp_path) -> None:
    unseen = draw_gallery(tmp_path / "unseen", per_family=2, seed=11)
    (tmp_path / "unseen" / "gallery.csv").unlink()
    shutil.copy(next((demo.gallery / "mason").glob("*.jpg")), tmp_path / "unseen" / "mason" / "seen.jpg")

    done = run_beedex("evaluate", demo.bundle, tmp_path / "unseen", "--reference", demo.gallery, "--json")

    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["n"] == unseen.photos
    assert metrics["seen"] == 1
    assert metrics["reference_photos"] == 6 * PER_FAMILY
    assert metrics["fingerprint"] == load_bundle(demo.bundle).card.fingerprint
    assert set(metrics["frozen"]) == {"recall_at_1", "map_at_r"}


def test_a_second_run_uses_the_cached_features_and_gives_the_same_embedder(demo, run_beedex, tmp_path) -> None:
    cache = demo.home / "cache"
    cached = {file: file.stat().st_mtime_ns for file in cache.rglob("records.bin")}
    options = ["--weights", "bundled", "--cache", cache, "--json"]

    done = run_beedex("train", demo.gallery, "--out", tmp_path / "again", *options)

    assert done.returncode == 0, done.stderr
    assert {file: file.stat().st_mtime_ns for file in cache.rglob("records.bin")} == cached
    assert len(cached) == 1
    first, again = load_bundle(demo.bundle).card, json.loads(done.stdout)
    assert again["recall_at_1"] == first.metrics["recall_at_1"]
    assert again["fingerprint"] == first.fingerprint


def test_a_foreign_directory_is_not_overwritten(demo, run_beedex, tmp_path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    done = run_beedex("train", demo.gallery, "--out", tmp_path, "--weights", "bundled")

    assert done.returncode == 1
    assert "is no embedder bundle" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]
