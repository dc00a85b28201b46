"""Watching a folder where photos arrive."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from beedex.client import BusyError, PhotoError, UnavailableError
from beedex.client.command.arrivals import Arrivals, WatchedFolderError
from beedex.client.command.watching import answer_arrivals, insist

SETTLE_S = 2.0
PATIENCE_S = 30


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def watch(folder, clock, **options):
    return Arrivals(folder, settle_s=SETTLE_S, clock=clock, **options)


def poll_after(arrivals, clock, seconds):
    clock.now += seconds
    return [path.name for path in arrivals.poll()]


def test_a_new_photo_is_handed_out_once_it_was_left_alone(tmp_path, clock):
    arrivals = watch(tmp_path, clock)
    (tmp_path / "bee.jpg").write_bytes(b"bee")

    assert poll_after(arrivals, clock, 0.5) == []
    assert poll_after(arrivals, clock, 1.9) == []
    assert poll_after(arrivals, clock, 0.2) == ["bee.jpg"]
    assert poll_after(arrivals, clock, 10) == []


def test_a_photo_that_is_still_written_is_not_touched(tmp_path, clock):
    arrivals = watch(tmp_path, clock)
    with (tmp_path / "bee.jpg").open("wb") as file:
        for _ in range(10):
            file.write(b"bee")
            file.flush()
            assert poll_after(arrivals, clock, 1.5) == []

    assert poll_after(arrivals, clock, 2) == ["bee.jpg"]


def test_a_copy_that_gets_its_size_at_once_is_not_complete_while_its_time_changes(tmp_path, clock):
    arrivals = watch(tmp_path, clock)
    path = tmp_path / "bee.jpg"
    path.write_bytes(b"\0" * 8)
    assert poll_after(arrivals, clock, 1.5) == []
    os.utime(path, ns=(1, 1))

    assert poll_after(arrivals, clock, 1.5) == []
    assert poll_after(arrivals, clock, 2) == ["bee.jpg"]


def test_an_empty_file_is_waited_for(tmp_path, clock):
    arrivals = watch(tmp_path, clock)
    (tmp_path / "bee.jpg").touch()

    assert poll_after(arrivals, clock, 60) == []
    assert poll_after(arrivals, clock, 60) == []


@pytest.mark.parametrize("name", ["notes.txt", "bee.jpg.part", ".bee.jpg", ".incoming/bee.jpg"])
def test_other_files_are_not_photos(name, tmp_path, clock):
    arrivals = watch(tmp_path, clock)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"x")

    assert poll_after(arrivals, clock, 0) == []
    assert poll_after(arrivals, clock, 60) == []


def test_photos_that_were_there_before_are_left_out_unless_they_are_wanted(tmp_path, clock):
    (tmp_path / "old.jpg").write_bytes(b"old")
    without, with_existing = watch(tmp_path, clock), watch(tmp_path, clock, with_existing=True)

    assert poll_after(without, clock, 60) == []
    assert poll_after(with_existing, clock, 0) == ["old.jpg"]


def test_a_photo_that_is_written_again_or_replaced_is_new(tmp_path, clock):
    path = tmp_path / "bee.jpg"
    path.write_bytes(b"old")
    arrivals = watch(tmp_path, clock)
    path.write_bytes(b"longer")
    assert poll_after(arrivals, clock, 0) == []
    assert poll_after(arrivals, clock, 2) == ["bee.jpg"]

    path.unlink()
    assert poll_after(arrivals, clock, 2) == []
    path.write_bytes(b"longer")
    assert poll_after(arrivals, clock, 2) == []
    assert poll_after(arrivals, clock, 2) == ["bee.jpg"]


def test_a_renamed_photo_and_one_in_a_new_folder_are_found_in_the_order_of_their_time(tmp_path, clock):
    (tmp_path / "bee.jpg.part").write_bytes(b"x")
    arrivals = watch(tmp_path, clock)
    (tmp_path / "bee.jpg.part").rename(tmp_path / "bee.jpg")
    (tmp_path / "day2").mkdir()
    (tmp_path / "day2" / "a.jpg").write_bytes(b"y")
    os.utime(tmp_path / "bee.jpg", ns=(2, 2))
    os.utime(tmp_path / "day2" / "a.jpg", ns=(1, 1))

    assert poll_after(arrivals, clock, 0) == []
    assert poll_after(arrivals, clock, 2) == ["a.jpg", "bee.jpg"]


def test_a_folder_that_is_gone_is_an_error_that_names_it(tmp_path, clock):
    folder = tmp_path / "photos"
    with pytest.raises(WatchedFolderError, match="photos can't be watched"):
        watch(folder, clock)
    folder.mkdir()
    arrivals = watch(folder, clock)
    folder.rmdir()
    with pytest.raises(WatchedFolderError, match="photos can't be watched"):
        arrivals.poll()


class Enough(Exception):  # noqa: N818 - ends a loop
    """Ends what has no end."""


def test_every_arrival_is_answered_until_something_ends_it():
    polls = iter([[Path("a")], [], [Path("b"), Path("c")]])
    answered: list[Path] = []

    def poll():
        try:
            return next(polls)
        except StopIteration:
            raise Enough from None

    with pytest.raises(Enough):
        answer_arrivals(poll, answered.append, sleep=lambda _seconds: None)
    assert answered == [Path("a"), Path("b"), Path("c")]


def test_a_server_that_is_away_is_asked_again_at_longer_intervals_and_told_of_once():
    failures = [UnavailableError("away")] * 6 + [BusyError("busy", retry_after_s=25)]
    waits: list[float] = []
    notes: list[str] = []

    def ask():
        if failures:
            raise failures.pop(0)
        return "answer"

    assert insist(ask, note=notes.append, sleep=waits.append) == "answer"
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    assert notes == ["away; trying again until it answers", "the server answers again"]


def test_a_photo_that_fails_is_not_asked_again():
    asked = []

    def ask():
        asked.append(1)
        raise PhotoError("damaged")

    with pytest.raises(PhotoError):
        insist(ask, note=print, sleep=lambda _seconds: None)
    assert asked == [1]


class Lines:
    """What a process prints, line by line, without waiting for ever."""

    def __init__(self, stream):
        self.close = stream.close
        self._lines = []
        self._more = threading.Condition()
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream):
        for line in stream:
            with self._more:
                self._lines.append(line)
                self._more.notify_all()

    def wait_for(self, text):
        with self._more:
            assert self._more.wait_for(lambda: any(text in line for line in self._lines), PATIENCE_S), self._lines
            return next(line for line in self._lines if text in line)

    def all(self):
        return list(self._lines)


@pytest.mark.slow
def test_photos_that_arrive_are_json_lines_until_ctrl_c_which_is_0(address, tiny_gallery, tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    shutil.copy(tiny_gallery / "amber" / "amber_000.jpg", folder / "old.jpg")
    command = [sys.executable, "-m", "beedex.client", "identify", "--watch", folder, "--json", "--target", address]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        printed, said = Lines(process.stdout), Lines(process.stderr)
        said.wait_for("watching")
        shutil.copy(tiny_gallery / "blue" / "blue_000.jpg", folder / "new.jpg")
        (folder / "damaged.jpg").write_bytes(b"bee")
        printed.wait_for("new.jpg")
        printed.wait_for("damaged.jpg")
        # Three more looks, in which nothing may be told again.
        time.sleep(1.6)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0

    answers = {answer["photo"]: answer for answer in map(json.loads, printed.all())}
    assert len(printed.all()) == 2
    assert answers[str(folder / "new.jpg")]["family"] == "blue"
    assert answers[str(folder / "damaged.jpg")]["error"]["reason"] == "NOT_A_PHOTO"
    assert all("Traceback" not in line for line in said.all())


@pytest.mark.slow
def test_watching_survives_a_server_that_restarts(tiny_gallery, served_index, server_process, dead_address, tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    command = [sys.executable, "-m", "beedex.client", "identify", "--watch", folder, "--json"]
    command += ["--target", dead_address]
    with server_process(served_index, tmp_path, listen=dead_address):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        printed, said = Lines(process.stdout), Lines(process.stderr)
        said.wait_for("watching")
        shutil.copy(tiny_gallery / "blue" / "blue_000.jpg", folder / "first.jpg")
        printed.wait_for("first.jpg")
    shutil.copy(tiny_gallery / "amber" / "amber_000.jpg", folder / "second.jpg")
    said.wait_for("trying again until it answers")
    with server_process(served_index, tmp_path, listen=dead_address):
        answer = json.loads(printed.wait_for("second.jpg"))
        said.wait_for("the server answers again")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        printed.close()
        said.close()

    assert (answer["family"], answer["error"]) == ("amber", None)
    assert len(printed.all()) == 2
    assert len(said.all()) == 3
