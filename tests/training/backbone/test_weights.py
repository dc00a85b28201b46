"""Weights that can't be had end in one clear error, soon."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TRAIN = """
import sys
import time
from beedex.training.backbone.weights import load_inception
started = time.monotonic()
try:
    load_inception(sys.argv[1])
except Exception as error:
    print(f"{type(error).__name__}|{time.monotonic() - started:.1f}|{error}")
"""


@contextmanager
def listen_in_silence() -> Iterator[int]:
    """A port that takes connections and never answers, as a firewall's black hole looks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def load_in_subprocess(weights: str, home: Path, proxy_port: int) -> tuple[str, float, str]:
    proxy = f"http://127.0.0.1:{proxy_port}"
    environment = {"KERAS_HOME": str(home), "https_proxy": proxy, "http_proxy": proxy, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, weights], capture_output=True, text=True, env=environment, timeout=120, check=True
    )
    kind, seconds, message = done.stdout.strip().splitlines()[-1].split("|", 2)
    return kind, float(seconds), message


def test_a_silent_network_is_given_up_within_ten_seconds(tmp_path: Path) -> None:
    with listen_in_silence() as port:
        kind, seconds, message = load_in_subprocess("imagenet", tmp_path, port)

    assert kind == "WeightsError"
    assert seconds < 10
    assert "--weights bundled" in message


def test_a_refused_download_names_the_other_ways(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed_port = listener.getsockname()[1]

    kind, seconds, message = load_in_subprocess("imagenet", tmp_path, closed_port)

    assert kind == "WeightsError"
    assert all(way in message for way in ("--weights bundled", "--weights PATH", "--weights random"))
    assert seconds < 10


@pytest.mark.parametrize("content", [b"", b"not a weights file"])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.weights.h5"
    path.write_bytes(content)

    kind, _, message = load_in_subprocess(str(path), tmp_path, 9)

    assert kind == "WeightsError"
    assert "broken.weights.h5" in message


def test_a_name_that_is_no_file_lists_the_choices(tmp_path: Path) -> None:
    kind, _, message = load_in_subprocess("imagnet", tmp_path, 9)

    assert kind == "WeightsError"
    assert "'imagnet'" in message
    assert "'imagenet', 'bundled', 'random'" in message
