"""A reader's folder: what the pages name is in it."""

import shutil

import pytest


@pytest.fixture
def reader(examples_home, tmp_path, monkeypatch):
    """The working directory is a copy of the examples' folder, to be changed at will."""
    home = tmp_path / "reader"
    shutil.copytree(examples_home, home)
    monkeypatch.chdir(home)
    for name in ("BEEDEX_TARGET", "BEEDEX_TOKEN", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return home
