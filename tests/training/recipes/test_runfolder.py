"""The folder of an unfinished run: kept until the run succeeds, for this run alone, used by one process at a time."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from beedex.training.errors import TrainingError
from beedex.training.fitting.checkpoints import Checkpoint
from beedex.training.fitting.events import EventLog
from beedex.training.recipes.runfolder import open_run_folder

UNIT = Checkpoint(header={"steps": 3}, arrays={"weights": np.arange(4.0)})
TIMEOUT_S = 60

# Holds a folder's lock until it is killed.
HOLDER = """
import fcntl, os, sys, time
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
print("locked", flush=True)
time.sleep(600)
"""


def leave_unfinished(out: Path, key: str) -> Path:
    """Do one unit of a run and break off; return the folder."""
    with pytest.raises(KeyboardInterrupt):
        _break_off(out, key)
    (path,) = out.parent.iterdir()
    return path


def _break_off(out: Path, key: str) -> None:
    with open_run_folder(out, key) as folder:
        folder.name_file("split-0").write(UNIT)
        raise KeyboardInterrupt


@contextmanager
def hold_in_another_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT_S)


def test_the_folder_lies_beside_the_bundle_and_goes_when_the_run_succeeds(tmp_path) -> None:
    out = tmp_path / "models" / "bees"

    with open_run_folder(out, "key") as folder:
        folder.name_file("split-0").write(UNIT)
        assert folder.path.parent == out.parent
        assert folder.path.is_dir()

    assert list(out.parent.iterdir()) == []


def test_what_was_done_before_an_exception_is_there_for_the_same_run(tmp_path, capsys) -> None:
    leave_unfinished(tmp_path / "bees", "key")

    with open_run_folder(tmp_path / "bees", "key") as folder:
        done = folder.name_file("split-0").read()
        other = folder.name_file("split-1").read()

    assert done is not None
    assert done.header == UNIT.header
    np.testing.assert_array_equal(done.arrays["weights"], UNIT.arrays["weights"])
    assert other is None
    note = capsys.readouterr().err
    assert note.count("\n") == 1
    assert "going on with the training that was interrupted" in note


def test_another_run_finds_an_empty_folder_and_says_so(tmp_path, capsys) -> None:
    path = leave_unfinished(tmp_path / "bees", "key")
    (path / ".split-1.checkpoint.123.1.partial").write_bytes(b"half")  # as a killed writer leaves it

    with open_run_folder(tmp_path / "bees", "other") as folder:
        assert [entry.name for entry in folder.path.iterdir()] == ["key"]
        assert folder.name_file("split-0").read() is None

    note = capsys.readouterr().err
    assert note == "beedex: note: an interrupted training with other photos or settings is discarded\n"


def test_a_folder_whose_key_was_never_written_is_cleared(tmp_path, capsys) -> None:
    path = leave_unfinished(tmp_path / "bees", "key")
    (path / "key").unlink()

    with open_run_folder(tmp_path / "bees", "key") as folder:
        assert folder.name_file("split-0").read() is None

    assert capsys.readouterr().err == ""


def test_two_bundles_of_one_directory_have_folders_of_their_own(tmp_path) -> None:
    with open_run_folder(tmp_path / "a", "key") as first, open_run_folder(tmp_path / "b", "key") as second:
        first.name_file("split-0").write(UNIT)

        assert second.name_file("split-0").read() is None


def test_while_another_process_is_at_work_a_run_is_refused_and_leaves_its_files_alone(tmp_path) -> None:
    out = tmp_path / "bees"
    path = leave_unfinished(out, "key")
    before = {entry.name: entry.read_bytes() for entry in path.iterdir()}

    with (
        hold_in_another_process(path) as holder,
        pytest.raises(TrainingError, match=r"another training is writing .*bees: expected .*; wait for it"),
        open_run_folder(out, "other"),
    ):
        pass

    assert holder.returncode == -signal.SIGKILL
    assert {entry.name: entry.read_bytes() for entry in path.iterdir()} == before
    with open_run_folder(out, "key") as folder:  # a killed process holds no lock
        assert folder.name_file("split-0").read() is not None


def test_an_open_folder_is_locked_against_other_processes(tmp_path) -> None:
    with open_run_folder(tmp_path / "bees", "key") as folder:
        command = [sys.executable, "-c", HOLDER, str(folder.path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    assert done.returncode == 1
    assert "BlockingIOError" in done.stderr


def test_parts_of_a_unit_write_to_files_and_logs_of_their_own(tmp_path) -> None:
    opened: dict[str, EventLog] = {}

    def open_log(part: str) -> EventLog:
        return opened.setdefault(part, EventLog(tmp_path / "events" / part))

    with open_run_folder(tmp_path / "bees", "key") as folder:
        open_part = folder.open_outlets("final", open_log=open_log)
        outlets = {part: open_part(part) for part in ("head-trial", "head", "tail-trial", "tail")}

        files = {outlet.checkpoint.path.name for outlet in outlets.values() if outlet.checkpoint}
    for log in opened.values():
        log.close()

    assert files == {f"final-{part}.checkpoint" for part in outlets}
    assert {part: outlet.events for part, outlet in outlets.items()} == opened


RACER = """
import sys
from pathlib import Path
from beedex.training.errors import TrainingError
from beedex.training.recipes.runfolder import open_run_folder

done = busy = 0
while done < 200:
    try:
        with open_run_folder(Path(sys.argv[1]), "the same") as folder:
            (folder.path / "work").write_text("alone")
            done += 1
    except TrainingError:
        busy += 1
print(done)
"""


@pytest.mark.slow
def test_processes_that_end_and_begin_at_once_meet_nothing_but_a_refusal(tmp_path) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, tmp_path / "bees"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]

    for racer in racers:
        output, errors = racer.communicate(timeout=120)
        assert (racer.returncode, output) == (0, "200\n"), errors
