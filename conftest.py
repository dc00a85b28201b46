"""Examples run in a folder that holds what they name: photos, an embedder, an index, new photos; beside a server."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conftest import write_tiny_bundle

from beedex.client import Client
from beedex.index.decision import Calibration
from beedex.index.rebuild import build_index
from beedex.training.drawing import draw_gallery

START_TIMEOUT_S = 60

# Where a server listens unless it is told otherwise, and what shows that an example needs one.
SERVED_AT = "127.0.0.1:50051"
ASKS = re.compile(rf"{re.escape(SERVED_AT)}|\bclient\.\w+\(")


@pytest.fixture(scope="session")
def examples_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder."""
    home = tmp_path_factory.mktemp("examples")
    draw_gallery(home / "photos", per_family=3, seed=7)
    shutil.copy(home / "photos" / "mason" / "mason_001.jpg", home / "new-photo.jpg")
    draw_gallery(home / "more", per_family=1, seed=8)
    shutil.copy(home / "photos" / "mason" / "mason_001.jpg", home / "bee.jpg")
    shutil.copy(home / "more" / "carpenter" / "carpenter_000.jpg", home / "other-bee.jpg")
    calibration = Calibration(temperature=0.05, match_from=0.1, unknown_below=0.1, note="set by hand")
    write_tiny_bundle(home / "embedder", seed=1, calibration=calibration)
    build_index(home / "photos", home / "embedder", home / "index")
    return home


@pytest.fixture(scope="session")
def examples_address(examples_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a copy of the folder's index, and of its photos; HOST:PORT."""
    home = tmp_path_factory.mktemp("served")
    shutil.copytree(examples_home / "index", home / "index")
    shutil.copytree(examples_home / "photos", home / "photos")
    words = ["--index", home / "index", "--gallery", home / "photos", "--listen", "127.0.0.1:0"]
    command = [sys.executable, "-P", "-m", "beedex.server", *words, "--threads", "1", "--ready-file", home / "ready"]
    # A pipe that nobody reads would stop the server when its log has filled it.
    with (home / "log").open("w") as log:
        server = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=log)  # noqa: S603 - ours
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (home / "ready").exists():
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the examples' server does not start: {(home / 'log').read_text()}")
            time.sleep(0.05)
        yield (home / "ready").read_text().strip()
    finally:
        server.terminate()
        server.wait(START_TIMEOUT_S)


@pytest.fixture(autouse=True)
def enter_examples_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a docstring's example there; one that asks a server finds it at its usual address, and has a *client*."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    monkeypatch.chdir(request.getfixturevalue("examples_home"))
    test = request.node.dtest
    if test is None or not any(ASKS.search(example.source) for example in test.examples):
        yield
        return
    address = request.getfixturevalue("examples_address")
    for example in test.examples:
        example.source = example.source.replace(SERVED_AT, address)
    with Client(address) as client:
        test.globs["client"] = client
        yield
