"""What several of the index's tests need: a program that runs builds and kills them."""

import subprocess
import sys
from pathlib import Path

import pytest


class Killer:
    """Starts builds that are killed; see killed_builds.py."""

    def __init__(self, gallery, bundle):
        program = Path(__file__).with_name("killed_builds.py")
        self._process = subprocess.Popen(
            [sys.executable, program, gallery, bundle], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def build(self, index_dir, how, amount):
        """The signal that ended the build, and the number of its file operations."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{index_dir} {how} {amount}\n")
        self._process.stdin.flush()
        ended_by, events = map(int, self._process.stdout.readline().split())
        return ended_by, events

    def close(self):
        self._process.communicate(timeout=30)


@pytest.fixture
def killer(tiny_gallery, tiny_bundle):
    killer = Killer(tiny_gallery, tiny_bundle)
    yield killer
    killer.close()
