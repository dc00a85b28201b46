"""`beedex train` as a user runs it, on drawn bees and the bundled weights: what it shows, and the bundle it leaves."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
from werkzeug.test import Client

from beedex.index.bundle import load_bundle
from beedex.index.durable import sha256_file
from beedex.index.embedder import Embedder
from beedex.index.gallery import scan_gallery
from beedex.index.inspection import inspect_gallery

pytestmark = pytest.mark.slow

SIX_TYPES = {"bumble", "carpenter", "honey", "mason", "mining", "yellowface"}
SMALL_PHOTOS = 36


def test_the_card_says_how_the_embedder_came_about(small_run) -> None:
    card = load_bundle(small_run.bundle).card
    training, fit = card.training, card.training["recipe"]["fit"]

    assert (training["weights"], training["views"], training["augmentation"]) == ("bundled", 2, "light")
    assert training["false_accept_rate"] == 0.1
    assert training["recipe"]["candidates"] == [["mixed7:max", "mixed10:mean"]]
    assert training["recipe"]["shape"]["dimension"] == card.dimension == 128
    assert (fit["mining"], fit["margin"], fit["seed"]) == ("batch-all", 1.0, 0)
    assert {"patience", "evaluate_every", "learning_rate", "guard"} <= fit.keys()
    assert str(small_run.home) not in json.dumps(training)
    assert {"beedex", "keras", "numpy", "openvino", "pillow", "tensorflow"} <= card.versions.keys()
    digest = inspect_gallery(scan_gallery(small_run.home / "gallery")).digest
    assert card.gallery_digest == digest
    assert card.git_revision is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", card.git_revision)


def test_the_card_says_how_good_the_embedder_is_and_against_what(small_run) -> None:
    metrics = load_bundle(small_run.bundle).card.metrics

    assert (metrics["n"], metrics["photos"], metrics["groups"]) == (SMALL_PHOTOS, SMALL_PHOTOS, 33)
    assert "few" in metrics["protocol"]
    assert "5-fold cross-validation by group, 3 times over" in metrics["protocol"]
    for figures in (metrics, metrics["frozen"], metrics["macro"], metrics["frozen"]["macro"]):
        for name in ("recall_at_1", "r_precision", "map_at_r"):
            assert 0 <= figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"] <= 1
    assert 0 <= metrics["probe"]["recall_at_1"]["value"] <= 1
    assert metrics["chance"]["recall_at_1"] == metrics["chance_recall_at_1"] == pytest.approx(1 / 6, abs=0.03)
    assert metrics["unseen"].keys() >= {"recall_at_1", "r_precision", "map_at_r"}
    assert [row["family"] for row in metrics["by_family"]] == sorted(SIX_TYPES)
    assert metrics["too_few_to_judge"] == sorted(SIX_TYPES)
    assert metrics["comparisons"].keys() == {
        "recall_at_1_against_frozen",
        "map_at_r_against_frozen",
        "recall_at_1_against_probe",
    }
    for comparison in metrics["comparisons"].values():
        assert "trained head" in comparison["words"]
        assert comparison["low"] <= comparison["difference"] <= comparison["high"]
    assert metrics["blocks"] == ["mixed7:max", "mixed10:mean"]
    assert metrics["blocks_why"] == "as asked for"
    assert len(metrics["splits"]) == 15
    assert metrics["head_steps"] > 0


def test_the_card_has_thresholds_for_the_asked_rate_and_their_evidence(small_run) -> None:
    calibration = load_bundle(small_run.bundle).card.calibration

    assert calibration is not None
    assert calibration.target_false_accept_rate == 0.1
    assert calibration.unknown_below is not None
    assert (calibration.held_out_photos, calibration.held_out_groups) == (SMALL_PHOTOS, 33)
    assert (calibration.outside_photos, calibration.outside_groups) == (SMALL_PHOTOS, 33)
    assert calibration.open_set_auroc is not None
    assert calibration.open_set_auroc.low <= calibration.open_set_auroc.value <= calibration.open_set_auroc.high
    assert calibration.calibration_error is not None


def test_the_bundle_knows_how_familiar_a_photo_is(small_run) -> None:
    """Its network on OpenVINO, its file and its threshold belong together."""
    bundle = load_bundle(small_run.bundle)
    measure, calibration = bundle.read_familiarity(), bundle.card.calibration
    assert measure is not None
    assert calibration is not None
    assert calibration.familiarity is not None
    noise = np.random.default_rng(0).integers(0, 256, (299, 299, 3), dtype=np.uint8)
    with Embedder.load(small_run.bundle) as embedder:
        photos = [embedder.prepare_photo(path) for path in sorted((small_run.home / "gallery").rglob("*_00?.jpg"))]
        trained, strange = measure.measure(embedder.features(np.stack(photos))), embedder.submit_whole(noise).result()

    assert len(trained) == SMALL_PHOTOS
    assert 0.45 < trained.mean() < 0.75  # each part of their distance is about 1 on average
    assert trained.min() > calibration.familiarity.unfamiliar_below
    assert measure.measure(strange.features[np.newaxis])[0] < calibration.familiarity.unfamiliar_below
    assert calibration.familiarity.false_accept_rate is not None


def test_what_is_printed_is_what_the_card_says(small_run) -> None:
    card = load_bundle(small_run.bundle).card

    assert small_run.metrics == {**card.metrics, "fingerprint": card.fingerprint, "bundle": "bees"}


def test_the_report_is_part_of_the_bundle(small_run) -> None:
    card = load_bundle(small_run.bundle).card
    report = small_run.bundle / "report" / "report.html"
    page = report.read_text(encoding="utf-8")

    assert card.files["report/report.html"] == sha256_file(report)
    assert card.fingerprint[:12] in page
    assert "beedex train gallery --out bees --cache cache --tensorboard events --weights bundled" in page
    assert not re.search(r"""(?:src|href)=["']https?:""", page)


def test_the_bar_shows_loss_active_share_and_validation(small_run) -> None:
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", small_run.shown)

    assert re.search(r"training .*loss \d\.\d{4}, active \d+%, MAP@R \d\.\d{3} \(best \d\.\d{3}\)", shown)
    assert re.search(r"cross-validating .* 15/15 .*Recall@1 \d\.\d\d, frozen \d\.\d\d", shown)
    assert "computing features" in shown
    assert "leaving families out" in shown


def read_curve(run: Path, tag: str) -> dict[int, float]:
    accumulator = EventAccumulator(str(run)).Reload()
    return {event.step: event.value for event in accumulator.Scalars(tag)}


def test_tensorboard_has_the_curves_of_the_trial_and_of_the_training(small_run) -> None:
    events = small_run.home / "events"

    assert {path.name for path in events.iterdir() if path.is_dir()} == {"head-trial", "head"}
    for run in ("head-trial", "head"):
        for tag in ("training/loss", "training/active_share"):
            assert all(np.isfinite(list(read_curve(events / run, tag).values())))
    assert max(read_curve(events / "head", "training/loss")) <= small_run.metrics["head_steps"]
    validation = read_curve(events / "head-trial", "validation/map_at_r")
    assert list(validation) == sorted(validation)
    assert all(0 <= value <= 1 for value in validation.values())


def test_tensorboards_own_server_shows_the_photos_in_the_projector(small_run) -> None:
    events = small_run.home / "events"
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(events))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(events))
    apps = ProjectorPlugin(TBContext(logdir=str(events), data_provider=provider)).get_plugin_apps()

    def ask(route: str) -> bytes:
        reply = Client(apps[route]).get(f"/data{route}", query_string={"run": ".", "name": "embeddings"})
        assert reply.status_code == 200, reply.text
        return bytes(reply.data)

    assert multiplexer.Runs().keys() == {"head-trial", "head"}
    (embedding,) = json.loads(ask("/info"))["embeddings"]
    assert embedding["tensorShape"] == [SMALL_PHOTOS, 128]
    vectors = np.frombuffer(ask("/tensor"), np.float32).reshape(SMALL_PHOTOS, 128)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    header, *rows = [line.split("\t") for line in ask("/metadata").decode().splitlines()]
    assert header == ["path", "family", "group"]
    assert [family for _, family, _ in rows] == [path.partition("/")[0] for path, _, _ in rows]
    with Image.open(io.BytesIO(ask("/sprite_image"))) as sheet:
        assert sheet.size == (6 * 64, 6 * 64)
