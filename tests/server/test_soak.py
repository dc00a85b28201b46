"""A server doesn't grow; the short version of what tests/benchmarks/soak.py does with a thousand swaps."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parents[1] / "benchmarks" / "soak.py"
SWAPS, REQUESTS = 60, 6000

# A process that has just begun fills its caches and pools: an embedder that stayed for each other swap would be more.
GROWTH_MB = 40


@pytest.mark.slow
def test_sixty_swaps_and_six_thousand_requests_at_once_leave_no_thread_no_descriptor_and_little_memory() -> None:
    numbers = {"--swaps": SWAPS, "--requests": REQUESTS, "--growth-mb": GROWTH_MB, "--minutes": 2}
    command = [sys.executable, str(SOAK), *(str(word) for pair in numbers.items() for word in pair)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "RSS MB" in done.stdout
