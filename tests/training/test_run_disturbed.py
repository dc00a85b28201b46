"""A training that is killed, stopped, refused and out of room, each time gone on with by the same command."""

import resource
import secrets
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from beedex.index.bundle import load_bundle

pytestmark = pytest.mark.slow

# Everything is done long before; a step that never comes must not hang.
PATIENCE_S = 900
POLL_S = 0.01

# Less than either network's file, more than any checkpoint.
FULL_AT_BYTES = 20_000_000


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one process of a disturbed run ended."""

    code: int
    stderr: str


@dataclass(frozen=True, kw_only=True)
class Disturbed:
    """A run that was disturbed in many ways, each time gone on with by the same command.

    Attributes:
        home: its folder.
        killed: ended by SIGKILL.
        stopped: ended by SIGTERM.
        second: started while it was at work.
        full: found no room for the bundle.
        last: came to the end.
        features_written: when that was, before and behind the processes that found them whole.
    """

    home: Path
    killed: list[Ended]
    stopped: Ended
    second: Ended
    full: Ended
    last: Ended
    features_written: tuple[list[int], list[int]]


class Attempt:
    """A process that was started on a run, and what it says on stderr."""

    def __init__(self, home: Path, words: tuple[str, ...], *, log: Path, file_bytes: int | None = None) -> None:
        command = [sys.executable, "-m", "beedex.client", *words]

        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=stderr)
        if file_bytes:
            # Not by preexec_fn: with it Python forks, and gRPC in this process aborts a child that is forked.
            resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

    def wait_until(self, is_time: Callable[[], bool], *, then_s: float) -> "Attempt":
        """Wait for a moment that must come before the process ends, and so much longer."""
        deadline = time.monotonic() + PATIENCE_S
        while not is_time():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline
            time.sleep(POLL_S)
        time.sleep(then_s)
        return self

    def end(self, by: signal.Signals | None = None) -> Ended:
        """End it by a signal, or wait until it ends by itself."""
        if by is not None:
            self._process.send_signal(by)
        return Ended(code=self._process.wait(PATIENCE_S), stderr=self._log.read_text())


@pytest.fixture(scope="module")
def disturbed(small_run, tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    seed = secrets.randbelow(10**6)
    print(f"instants drawn with seed {seed}")
    chance = np.random.default_rng(seed)
    home = tmp_path_factory.mktemp("disturbed") / "home"
    home.mkdir()
    (home / "gallery").symlink_to(small_run.home / "gallery")
    logs = (home.parent / f"{number}.log" for number in count())

    def start(*, file_bytes: int | None = None) -> Attempt:
        return Attempt(home, small_run.words, log=next(logs), file_bytes=file_bytes)

    def is_split_done(number: int) -> bool:
        return (home / ".bees.training" / f"split-{number}.checkpoint").exists()

    def has_features() -> bool:
        return any((home / "cache").rglob("records.bin"))

    def when_written() -> list[int]:
        return [path.stat().st_mtime_ns for path in (home / "cache").rglob("records.bin")]

    split, later = int(chance.integers(6)), 6
    killed = [
        start().wait_until(has_features, then_s=chance.uniform(0, 1)).end(signal.SIGKILL),
        start().wait_until(lambda: is_split_done(split), then_s=chance.uniform(0, 1)).end(signal.SIGKILL),
    ]
    written = when_written()
    first = start().wait_until(lambda: is_split_done(later), then_s=0)
    second = start().end()
    stopped = first.wait_until(has_features, then_s=chance.uniform(0, 3)).end(signal.SIGTERM)
    full = start(file_bytes=FULL_AT_BYTES).end()
    exporting = start().wait_until(lambda: any(home.glob(".bees.*.partial")), then_s=chance.uniform(0, 0.5))
    killed.append(exporting.end(signal.SIGKILL))
    last = start().end()
    return Disturbed(
        home=home,
        killed=killed,
        stopped=stopped,
        second=second,
        full=full,
        last=last,
        features_written=(written, when_written()),
    )


def test_killed_at_any_instant_it_is_gone_on_with_by_the_same_command(disturbed) -> None:
    assert [ended.code for ended in disturbed.killed] == [-signal.SIGKILL] * 3
    assert disturbed.last.code == 0, disturbed.last.stderr
    assert "going on with the training that was interrupted" in disturbed.last.stderr


def test_sigterm_ends_it_with_143_and_a_note_of_how_to_go_on(disturbed) -> None:
    notes = [line for line in disturbed.stopped.stderr.splitlines() if "beedex: " in line]

    assert disturbed.stopped.code == 128 + signal.SIGTERM
    assert "Traceback" not in disturbed.stopped.stderr
    assert len(notes) == 2
    assert "the same command goes on" in notes[1]


def test_a_second_training_to_the_same_bundle_is_refused_while_the_first_is_at_work(disturbed) -> None:
    assert disturbed.second.code == 1
    assert disturbed.second.stderr.startswith("beedex: error: another training is writing bees")
    assert disturbed.second.stderr.count("\n") == 1


def test_without_room_for_the_bundle_it_says_so_and_keeps_what_is_done(disturbed) -> None:
    errors = [line for line in disturbed.full.stderr.splitlines() if line.startswith("beedex: error: ")]

    assert disturbed.full.code == 1
    assert len(errors) == 1
    assert "what is done is kept" in errors[0]
    assert "Traceback" not in disturbed.full.stderr
    assert "cross-validating: " not in disturbed.last.stderr


def test_however_it_was_disturbed_it_ends_in_the_same_bytes(small_run, disturbed) -> None:
    whole, again = (load_bundle(home / "bees").card for home in (small_run.home, disturbed.home))

    assert again.fingerprint == whole.fingerprint
    assert again.metrics == whole.metrics
    assert again.calibration == whole.calibration
    for name in ("model.bin", "model.xml", "gallery.json"):
        assert again.files[name] == whole.files[name], name
    assert read_page(disturbed.home / "bees") == read_page(small_run.home / "bees")
    # The network's file has its weights as float16.
    assert read_keras_weights(disturbed.home / "bees") == read_keras_weights(small_run.home / "bees")


def read_page(bundle: Path) -> str:
    """Return the report without the revision: somebody may commit between two runs."""
    page = (bundle / "report" / "report.html").read_text(encoding="utf-8")
    return page.replace(load_bundle(bundle).card.git_revision or "", "")


def read_keras_weights(bundle: Path) -> bytes:
    with zipfile.ZipFile(bundle / "model.keras") as archive:
        return archive.read("model.weights.h5")


def read_curve(run: Path, tag: str) -> dict[int, float]:
    accumulator = EventAccumulator(str(run)).Reload()
    return {event.step: event.value for event in accumulator.Scalars(tag)}


def test_however_it_was_disturbed_its_curves_are_the_same(small_run, disturbed) -> None:
    for run, tag in (("head-trial", "training/loss"), ("head-trial", "validation/map_at_r"), ("head", "training/loss")):
        curve, again = (read_curve(home / "events" / run, tag) for home in (small_run.home, disturbed.home))
        assert again.keys() >= curve.keys()
        assert {step: again[step] for step in curve} == pytest.approx(curve)


def test_features_that_were_stored_whole_are_not_computed_again(disturbed) -> None:
    before, behind = disturbed.features_written

    assert len(before) == 1
    assert behind == before


def test_nothing_is_left_beside_the_bundle(small_run, disturbed) -> None:
    assert {path.name for path in disturbed.home.iterdir()} == {"bees", "cache", "events", "gallery"}
    assert {path.name for path in small_run.home.iterdir()} == {"bees", "cache", "events", "gallery", "printed.json"}
