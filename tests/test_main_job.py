"""The main job from end to end, as `make demo` runs it, with real processes and InceptionV3."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from beedex.client import Client
from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder
from beedex.index.preprocessing import prepare

pytestmark = pytest.mark.slow

SERVER_START_S = 120


@pytest.fixture(scope="module")
def target(demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a server in another process, on the demo's index; it must end with 0 on SIGTERM."""
    address: Path = tmp_path_factory.mktemp("server") / "address"
    words = ["serve", "--index", str(demo.index), "--listen", "127.0.0.1:0", "--ready-file", str(address)]
    server = subprocess.Popen([sys.executable, "-m", "beedex.client", *words])
    try:
        deadline = time.monotonic() + SERVER_START_S
        while not address.exists():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield address.read_text().strip()
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0


def list_photos(demo) -> list[Path]:
    return sorted(demo.held_out.glob("*/*.jpg"))[::8]


def test_the_demo_recognises_individuals_it_never_saw(demo) -> None:
    outcome = demo.outcome

    assert outcome["n"] == 96
    assert outcome["recall_at_1"] >= 0.80
    assert outcome["recall_at_1"] >= outcome["frozen_recall_at_1"] + 0.1
    assert outcome["chance_recall_at_1"] == pytest.approx(1 / 6, abs=0.01)


def test_the_offline_figure_is_the_online_figure(demo) -> None:
    assert demo.outcome["recall_at_1"] == pytest.approx(demo.outcome["offline_recall_at_1"]["value"])


def test_every_answer_shows_its_evidence(demo) -> None:
    fingerprint = load_bundle(demo.bundle).card.fingerprint
    for answer in demo.outcome["answers"]:
        assert answer["error"] is None
        assert answer["verdict"] in ("MATCH", "AMBIGUOUS", "UNKNOWN")
        assert sum(score["probability"] for score in answer["families"]) == pytest.approx(1, abs=1e-5)
        assert len(answer["neighbors"]) == 3
        assert answer["fingerprint"] == fingerprint


def test_one_photo_has_one_embedding_everywhere(demo, target) -> None:
    """Through Keras, through OpenVINO alone and among others, and over gRPC in another process."""
    photos = list_photos(demo)
    images = np.stack([prepare(photo.read_bytes()) for photo in photos])

    model = keras.saving.load_model(demo.bundle / "model.keras", compile=False)
    by_keras = model.predict(images, verbose=0)
    by_keras_alone = model.predict(images[:1], verbose=0)
    with Embedder.open(load_bundle(demo.bundle)) as embedder:
        together, features = embedder.embed(images), embedder.features(images)
        alone = np.stack([embedder.embed(image[np.newaxis])[0] for image in images])
    with Client(target) as client:
        over_grpc = np.stack([client.embed(photo).vector for photo in photos])

    for vectors in (together, alone, over_grpc):
        assert (by_keras["embedding"] * vectors).sum(axis=1).min() >= 0.9999
    assert (by_keras_alone["embedding"][0] * over_grpc[0]).sum() >= 0.9999
    assert (by_keras["features"] * features).sum(axis=1).min() >= 0.9999
    np.testing.assert_array_equal(together, alone)


def test_an_indexed_photo_finds_itself_first(demo, target) -> None:
    photo = next((demo.gallery / "honey").glob("*.jpg"))

    with Client(target) as client:
        nearest = client.neighbors(photo, k=1)[0]

    assert nearest.similarity == pytest.approx(1, abs=1e-4)
    assert (demo.gallery / nearest.path) == photo


def test_a_second_index_build_embeds_nothing(demo, run_beedex) -> None:
    done = run_beedex("index", "build", demo.gallery, "--embedder", demo.bundle, "--index", demo.index, "--json")

    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["embedded"], summary["reused"], summary["published"]) == (0, 144, False)
