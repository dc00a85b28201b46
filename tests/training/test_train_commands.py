"""The options of `beedex train`: what they end in, and what is refused before any work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.client.command import main
from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder
from beedex.index.preprocessing import prepare

CONTRADICTIONS = {
    "an unknown tap": (("--taps", "mixed4:max"), "Received: mixed4:max"),
    "an unknown pooling": (("--taps", "mixed10:median"), "Received: mixed10:median"),
    "no tap": (("--taps", ","), "must name one at least"),
    "an unknown first block": (("--fine-tune", "mixed11"), "Received: 'mixed11'"),
    "blocks that would all stay frozen": (("--fine-tune", "mixed9", "--taps", "mixed8:max"), "nothing would train"),
    "zoomed blocks to tune": (("--fine-tune", "mixed9", "--taps", "mixed10:max@zoom"), "blocks without @zoom"),
    "fewer views than asked at test time": (("--views", "1", "--test-views", "2"), "Received: views=1"),
    "views without augmentation": (("--augmentation", "none", "--views", "4"), "Received: count=4"),
    "a rate above 1": (("--false-accept-rate", "2"), "Received: 2.0"),
    "a learning rate in words": (("--learning-rate", "fast"), "Received: 'fast'"),
    "a learning rate of 0": (("--learning-rate", "0"), "Received: (0.0,)"),
    "an infinite margin": (("--margin", "inf"), "Received: margin=inf"),
    "a seed beyond Keras's": (("--seed", "3000000000"), "200000"),
}


@pytest.mark.parametrize(("options", "received"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_options_that_contradict_themselves_are_refused_before_anything_is_opened(
    options: tuple[str, ...], received: str, tmp_path, capfd: pytest.CaptureFixture[str]
) -> None:
    # The gallery isn't there, and nobody notices.
    words = ["train", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out" / "bees"), "--weights", "random"]

    code = main([*words, *options])

    printed = capfd.readouterr()
    assert code == 2
    assert printed.out == ""
    assert printed.err.startswith("beedex: error: ")
    assert printed.err.count("\n") == 1
    assert received in printed.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_usage_error_is_one_line_of_a_real_process(run_beedex, tmp_path) -> None:
    done = run_beedex("train", tmp_path, "--out", tmp_path / "bees", "--taps", "mixed4:max")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("beedex: error: Invalid value: no such block")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("place", ["--out", "--tensorboard", "--cache"])
def test_a_place_that_cannot_be_written_ends_in_one_error_line(
    place: str, few_photos: Path, run_beedex, tmp_path
) -> None:
    (tmp_path / "file").write_text("in the way")
    places = {"--out": tmp_path / "bees", "--cache": tmp_path / "cache", place: tmp_path / "file" / "below"}
    options = [word for pair in places.items() for word in pair]

    done = run_beedex("train", few_photos, *options, "--weights", "bundled", "--taps", "mixed10:mean", "--views", "1")

    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("beedex: error: ")]
    assert "a file can't be read or written" in error
    assert str(tmp_path / "file") in error
    assert not (tmp_path / "bees").exists()


def read_trainers_vectors(home: Path) -> tuple[list[Path], NDArray[np.float64]]:
    """Return the photos, and what the trainer made of their stored numbers, to six digits."""
    vectors = np.loadtxt(home / "events" / "vectors.tsv", delimiter="\t")
    _, *rows = (home / "events" / "metadata.tsv").read_text().splitlines()
    return [home / "gallery" / row.partition("\t")[0] for row in rows], vectors


def assert_one_embedding(home: Path) -> None:
    """Through the trainer's stored numbers, through Keras, and through OpenVINO as indexer and server do."""
    paths, vectors = read_trainers_vectors(home)
    images = np.stack([prepare(path.read_bytes()) for path in paths])
    by_keras = keras.saving.load_model(home / "bees" / "model.keras", compile=False).predict(images, verbose=0)
    with Embedder.open(load_bundle(home / "bees")) as embedder:
        served, features = embedder.embed(images), embedder.features(images)

    np.testing.assert_allclose(np.linalg.norm(served, axis=1), 1, atol=1e-4)
    assert (served * vectors).sum(axis=1).min() >= 0.9999
    assert (served * by_keras["embedding"]).sum(axis=1).min() >= 0.9999
    assert (features * by_keras["features"]).sum(axis=1).min() >= 0.9999


@pytest.mark.slow
def test_a_head_on_plain_features_embeds_alike_everywhere(small_run) -> None:
    assert_one_embedding(small_run.home)


@pytest.mark.slow
def test_zoomed_blocks_strong_views_and_mirror_images_embed_alike_everywhere(train_on_few: Callable[..., Any]) -> None:
    options = ("--taps", "mixed9:max,mixed10:mean@zoom", "--views", "3", "--augmentation", "strong")
    run = train_on_few(*options, "--test-views", "2", "--mining", "semi-hard", "--dimension", "32")
    training = load_bundle(run.bundle).card.training

    assert_one_embedding(run.home)
    assert training["recipe"]["candidates"] == [["mixed9:max", "mixed10:mean@zoom"]]
    assert (training["views"], training["augmentation"]) == (3, "strong")
    assert training["recipe"]["test_views"] == 2
    assert training["recipe"]["fit"]["mining"] == "semi-hard"
    assert training["recipe"]["other_learning_rates"] == [0.003]
    assert (run.home / "events" / "head-trial-0.003-1").is_dir()
    assert run.metrics["learning_rate_why"].startswith(f"{run.metrics['learning_rate']:g}: ")
    assert load_bundle(run.bundle).card.dimension == 32


@pytest.mark.slow
def test_a_learning_rate_that_is_given_is_taken(small_run) -> None:
    recipe = load_bundle(small_run.bundle).card.training["recipe"]

    assert (recipe["fit"]["learning_rate"], recipe["other_learning_rates"]) == (0.002, [])
    assert (small_run.metrics["learning_rate"], small_run.metrics["learning_rate_why"]) == (0.002, "as asked for")


@pytest.mark.slow
def test_a_tuned_backbone_embeds_alike_everywhere(tuned_run) -> None:
    card = load_bundle(tuned_run.bundle).card

    assert_one_embedding(tuned_run.home)
    assert card.training["recipe"]["tune"]["unfreeze_from"] == "mixed9"
    assert {path.name for path in (tuned_run.home / "events").iterdir() if path.is_dir()} == {
        "head-trial",
        "head",
        "tail-trial",
        "tail",
    }
    page = (tuned_run.bundle / "report" / "report.html").read_text(encoding="utf-8")
    assert "Last blocks and head, on all photos" in page


@pytest.mark.slow
def test_thresholds_are_not_given_where_too_few_photos_were_held_out(tuned_run) -> None:
    calibration = load_bundle(tuned_run.bundle).card.calibration

    assert calibration is not None
    assert (calibration.match_from, calibration.unknown_below) == (None, None)
    assert calibration.note.startswith("no thresholds: ")
