"""The docstrings' examples run in a folder that holds what they name: photos, an embedder, an index, new photos."""

import shutil
from pathlib import Path

import pytest
from tests.conftest import write_tiny_bundle

from beedex.index.decision import Calibration
from beedex.index.rebuild import build_index
from beedex.training.drawing import draw_gallery


@pytest.fixture(scope="session")
def examples_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the folder."""
    home = tmp_path_factory.mktemp("examples")
    draw_gallery(home / "photos", per_family=3, seed=7)
    shutil.copy(home / "photos" / "mason" / "mason_001.jpg", home / "new-photo.jpg")
    draw_gallery(home / "more", per_family=1, seed=8)
    calibration = Calibration(temperature=0.05, match_from=0.1, unknown_below=0.1, note="set by hand")
    write_tiny_bundle(home / "embedder", seed=1, calibration=calibration)
    build_index(home / "photos", home / "embedder", home / "index")
    return home


@pytest.fixture(autouse=True)
def enter_examples_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run an example there."""
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(request.getfixturevalue("examples_home"))
