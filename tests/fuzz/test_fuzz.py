"""The fuzzers, for a few seconds each; `make fuzz` runs them for as long as one likes."""

import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 12
LEAST_RUNS = 200


@pytest.mark.slow
@pytest.mark.parametrize("fuzzer", ["fuzz_decode.py", "fuzz_requests.py"])
def test_a_few_seconds_of_fuzzing_find_nothing(fuzzer, tmp_path):
    script = Path(__file__).with_name(fuzzer)
    command = [sys.executable, str(script), f"-max_total_time={SECONDS}", "-max_len=8192", "-print_final_stats=1"]
    # What libFuzzer takes for its own peak is that of the process that started it, which the tests before made large.
    command += ["-rss_limit_mb=0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    runs = [int(line.split()[-1]) for line in done.stderr.splitlines() if "number_of_executed_units" in line]

    assert done.returncode == 0, done.stderr[-4000:]
    assert runs[0] >= LEAST_RUNS


def test_a_fuzzer_ends_with_an_error_when_it_finds_something(tmp_path):
    program = (
        "import sys; from seeds import run_fuzzer, write_photos\n"
        "def fuzz(data):\n"
        "    if data.startswith(b'\\x89PNG'): raise AssertionError('found')\n"
        "run_fuzzer([sys.argv[0], '-max_total_time=20'], fuzz, write_photos)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert "found" in done.stdout + done.stderr
