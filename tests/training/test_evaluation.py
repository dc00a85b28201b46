"""`beedex evaluate`, on photos that an embedder was trained on and on others."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NoReturn

import pytest

from beedex.index.bundle import load_bundle
from beedex.training.drawing import draw_gallery

pytestmark = pytest.mark.slow

TRAINED_PHOTOS = 36


def read_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the one document on stdout, which must be JSON to the letter."""

    def refuse(name: str) -> NoReturn:
        raise AssertionError(f"JSON has no {name}")

    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout, parse_constant=refuse)
    return document


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory, small_run) -> Path:
    """Two photos a family of individuals that no training saw, and two that are no queries."""
    gallery = tmp_path_factory.mktemp("unseen") / "gallery"
    draw_gallery(gallery, per_family=2, seed=11)
    (gallery / "gallery.csv").unlink()
    trained = small_run.home / "gallery" / "mason" / "mason_000.jpg"
    shutil.copy(trained, gallery / "mason" / "seen.jpg")
    (gallery / "mason" / "text.jpg").write_text("no photo")
    return gallery


@pytest.fixture(scope="module")
def on_unseen(small_run, unseen, run_beedex, tmp_path_factory: pytest.TempPathFactory):
    """The figures on unseen photos, looked up among the trained ones, and the folder of the report."""
    report = tmp_path_factory.mktemp("on-unseen") / "new" / "report"
    options = ("--reference", small_run.home / "gallery", "--report", report, "--json")
    return read_json(run_beedex("evaluate", small_run.bundle, unseen, *options)), report


def test_unseen_photos_alone_are_judged(small_run, on_unseen) -> None:
    metrics, _ = on_unseen

    assert metrics["n"] == 12
    assert metrics["families"] == dict.fromkeys(("bumble", "carpenter", "honey", "mason", "mining", "yellowface"), 2)
    assert metrics["seen"] == 1
    assert metrics["cross_validated"] is False
    assert metrics["reference_photos"] == TRAINED_PHOTOS
    assert metrics["protocol"] == "each unseen photo is looked up among 36 photos"
    assert metrics["fingerprint"] == load_bundle(small_run.bundle).card.fingerprint


def test_they_are_compared_with_frozen_features_and_a_linear_probe(on_unseen) -> None:
    metrics, _ = on_unseen

    for figures in (metrics, metrics["frozen"], metrics["macro"]):
        for name in ("recall_at_1", "r_precision", "map_at_r"):
            assert 0 <= figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"] <= 1
    assert 0 <= metrics["probe"]["recall_at_1"]["value"] <= 1
    assert metrics["comparisons"].keys() == {
        "recall_at_1_against_frozen",
        "map_at_r_against_frozen",
        "recall_at_1_against_probe",
    }
    assert metrics["chance_recall_at_1"] == pytest.approx(1 / 6)
    assert metrics["notes"][0].startswith("too few groups to judge a family by itself")


def test_the_report_is_one_page_with_the_same_figures(on_unseen) -> None:
    metrics, report = on_unseen
    page = (report / "report.html").read_text(encoding="utf-8")

    assert [file.name for file in report.iterdir()] == ["report.html"]
    assert "Evaluation report" in page
    assert "beedex evaluate" in page
    assert f"{metrics['recall_at_1']['value']:.2f}" in page
    assert metrics["protocol"] in page


@pytest.fixture(scope="module")
def on_trained(small_run, run_beedex, tmp_path_factory: pytest.TempPathFactory):
    """The figures on the very photos that an embedder was trained on, and the page."""
    report = tmp_path_factory.mktemp("on-trained")
    done = run_beedex("evaluate", small_run.bundle, small_run.home / "gallery", "--report", report, "--json")
    return read_json(done), (report / "report.html").read_text(encoding="utf-8")


def test_of_trained_photos_heads_are_trained_anew_and_cross_validated(small_run, on_trained) -> None:
    metrics, _ = on_trained

    assert metrics["cross_validated"] is True
    assert metrics["protocol"].startswith(
        "every photo was trained on, so heads are trained anew by the same settings: "
    )
    assert "5-fold cross-validation by group, 3 times over" in metrics["protocol"]
    assert (metrics["n"], metrics["seen"]) == (TRAINED_PHOTOS, TRAINED_PHOTOS)
    assert metrics["fingerprint"] == small_run.metrics["fingerprint"]


def test_it_comes_to_what_the_training_said_of_itself(small_run, on_trained) -> None:
    """The folds are the same, and so are the features but for the bundle's float16 and the views of each photo."""
    metrics, _ = on_trained

    for name in ("recall_at_1", "map_at_r"):
        assert metrics["frozen"][name]["value"] == pytest.approx(small_run.metrics["frozen"][name]["value"], abs=0.01)
        inside = small_run.metrics[name]
        assert inside["low"] <= metrics[name]["value"] <= inside["high"]
    assert metrics["chance"] == pytest.approx(small_run.metrics["chance"])


def test_the_page_says_that_the_figures_are_cross_validated(on_trained) -> None:
    _, page = on_trained

    assert "heads are trained anew by the same settings" in page


def test_trained_photos_say_nothing_about_blocks_that_were_tuned_on_them(tuned_run, run_beedex) -> None:
    done = run_beedex("evaluate", tuned_run.bundle, tuned_run.home / "gallery")

    assert done.returncode == 1
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("beedex: error: ")]
    assert len(errors) == 1
    assert "every photo was trained on" in errors[0]
    assert "Traceback" not in done.stderr


def test_a_report_that_cannot_be_written_is_refused_before_the_work(small_run, unseen, run_beedex) -> None:
    file = small_run.home / "printed.json"

    done = run_beedex("evaluate", small_run.bundle, unseen, "--report", file / "report")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"beedex: error: the report can't be written to {file / 'report'}: Not a directory; name another directory\n"
    )
