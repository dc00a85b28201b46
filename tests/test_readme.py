"""The README's Python runs as it stands."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import Section, list_sections

SERVER_START_S = 120


@pytest.fixture
def served_demo(demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The demo's index behind a server, in a directory that looks like the reader's; yields HOST:PORT."""
    (tmp_path / "beedex-demo").symlink_to(demo.home)
    monkeypatch.chdir(tmp_path)
    address = tmp_path / "address"
    words = ["serve", "--index", "beedex-demo/index", "--listen", "127.0.0.1:0", "--ready-file", str(address)]
    server = subprocess.Popen([sys.executable, "-m", "beedex.client", *words])
    try:
        deadline = time.monotonic() + SERVER_START_S
        while not address.exists():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield address.read_text().strip()
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("section", list_sections("README.md"), ids=lambda section: section.title)
def test_the_readmes_python_prints_what_the_readme_shows(section: Section, served_demo: str) -> None:
    section.run(served_demo)
    section.namespace["client"].close()
