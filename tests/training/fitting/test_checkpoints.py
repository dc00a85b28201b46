"""Checkpoints: what is written is read again or refused, and a killed training ends as if it had never been killed."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from beedex.training.fitting.checkpoints import Checkpoint, CheckpointFile

PROGRAM = Path(__file__).parent / "killed_trainings.py"

TIMEOUT_S = 120


def make_checkpoint() -> Checkpoint:
    generator = np.random.default_rng(0)
    weights = {f"weights.{i}": generator.standard_normal(i).astype(np.float32) for i in range(12)}
    return Checkpoint(header={"step": 7, "words": ["a"]}, arrays={**weights, "seed": np.array([3], np.int64)})


@pytest.fixture
def file(tmp_path: Path) -> CheckpointFile:
    """A file that holds a checkpoint."""
    file = CheckpointFile(path=tmp_path / "runs" / "head.checkpoint", key="key")
    file.write(make_checkpoint())
    return file


def test_what_was_written_is_read(file):
    checkpoint = file.read()

    assert checkpoint.header == make_checkpoint().header
    for name, array in make_checkpoint().arrays.items():
        np.testing.assert_array_equal(checkpoint.arrays[name], array)
        assert checkpoint.arrays[name].dtype == array.dtype
    assert [len(array) for array in checkpoint.part("weights")] == list(range(12))
    assert checkpoint.part("good") == []


def test_the_last_one_written_counts(file):
    file.write(Checkpoint(header={"step": 8}, arrays={}))

    assert file.read().header == {"step": 8}


def test_no_file_is_no_checkpoint_and_no_note(tmp_path, capsys):
    assert CheckpointFile(path=tmp_path / "missing", key="key").read() is None
    assert capsys.readouterr().err == ""


def test_another_trainings_checkpoint_is_left_unread_with_a_note(file, capsys):
    other = CheckpointFile(path=file.path, key="other")

    assert other.read() is None
    note = capsys.readouterr().err
    assert note.count("\n") == 1
    assert "another training" in note
    assert str(file.path) in note


def test_a_damaged_file_is_never_taken_for_a_checkpoint(file, capsys):
    whole = file.path.read_bytes()
    generator = np.random.default_rng(0)
    places = [0, 63, 64, 65, len(whole) - 1, *generator.integers(len(whole), size=60).tolist()]
    damaged = [whole[:place] for place in places]
    damaged += [whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :] for place in places]
    damaged += [b"", whole + b"\0", b"PK", b"\x80\x04}."]

    for content in damaged:
        file.path.write_bytes(content)
        assert file.read() is None

    assert capsys.readouterr().err.count("is damaged; training starts over\n") == len(damaged)


def test_a_file_of_another_format_is_left_unread(file, capsys, monkeypatch):
    monkeypatch.setattr("beedex.training.fitting.checkpoints.FORMAT_VERSION", 99)

    assert file.read() is None
    assert "of format 1, expected 99" in capsys.readouterr().err


def test_reading_clears_what_dead_writers_left_and_nothing_else(file):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder, name = file.path.parent, file.path.name
    dead, alive, other = (folder / f".{n}.partial" for n in (f"{name}.{ended.pid}.1", f"{name}.1.1", "another.1.1"))
    for path in (dead, alive, other):
        path.touch()

    file.read()

    assert not dead.exists()
    assert alive.exists()
    assert other.exists()


@pytest.fixture(scope="module")
def undisturbed() -> str:
    """The weights' sha256 of a training in a process of its own, without a checkpoint, and the guard's actions."""
    done = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_training_killed_at_any_instant_ends_in_the_same_weights(undisturbed, tmp_path):
    # One operation for reading, and three a step: the new file is opened, renamed, and its folder opened. The second
    # process dies behind step 20, where the network was evaluated.
    at_operations = [2, 62, 60, 61]
    after_seconds = np.random.default_rng().uniform(0.1, 2.0, 3).round(2).tolist()  # other instants each time
    kills = [*(f"event {number}" for number in at_operations), *(f"after {seconds}" for seconds in after_seconds)]
    checkpoint = tmp_path / "head.checkpoint"
    lines = [f"{checkpoint} {kill}" for kill in [*kills, f"event {10**9}"]]

    done = subprocess.run(
        [sys.executable, PROGRAM, "--serve"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    answers = done.stdout.splitlines()
    assert len(answers) == len(lines), done.stderr
    assert answers[: len(at_operations)] == [str(int(signal.SIGKILL))] * len(at_operations), after_seconds
    assert {answer for answer in answers if answer.startswith("0")} == {f"0 {undisturbed}"}, after_seconds
    assert undisturbed.split()[1] != "0", "the guard was to act, so that its state matters"
    assert answers[-1] == f"0 {undisturbed}"
    assert [path.name for path in tmp_path.iterdir()] == ["head.checkpoint"]


@pytest.mark.slow
def test_sigterm_finishes_the_step_saves_and_ends_with_143(undisturbed, tmp_path):
    checkpoint = tmp_path / "head.checkpoint"
    command = [sys.executable, PROGRAM, checkpoint]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    give_up = time.monotonic() + TIMEOUT_S
    while not checkpoint.exists() and time.monotonic() < give_up:
        time.sleep(0.01)
    before = checkpoint.read_bytes()

    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=TIMEOUT_S)

    assert (process.returncode, output) == (143, ""), errors
    assert "the same command goes on" in errors
    assert checkpoint.read_bytes() != before
    again = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert again.stdout.strip() == undisturbed
