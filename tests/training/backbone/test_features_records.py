"""The files that records lie in: real ones, real processes, real signals."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from beedex.training.backbone.records import GROUP_PHOTOS, LINE_BYTES, Records

SHAPE = (2, 500)
WRITER = """
import hashlib, sys
from pathlib import Path
import numpy as np
from beedex.training.backbone.records import Records

def make(number):
    photo = hashlib.sha256(str(number).encode()).hexdigest()
    return photo, np.random.default_rng(number).standard_normal((2, 500)).astype(np.float32)

records = Records(Path(sys.argv[1]), {"network": "a"}, shape=(2, 500), dtype=np.float32)
numbers = range(int(sys.argv[2]), int(sys.argv[3]))
there = records.find([make(number)[0] for number in numbers])
print("writing", flush=True)
records.extend(make(number) for number, found in zip(numbers, there) if found < 0)
"""


@cache
def make(number: int) -> tuple[str, np.ndarray]:
    """A photo's sha256 and its record, the same here and in `WRITER`."""
    photo = hashlib.sha256(str(number).encode()).hexdigest()
    return photo, np.random.default_rng(number).standard_normal(SHAPE).astype(np.float32)


def open_records(parent: Path, network: str = "a") -> Records:
    return Records(parent, {"network": network}, shape=SHAPE, dtype=np.float32)


def find_sound(records: Records, count: int) -> list[int]:
    """The numbers below *count* that have a record; each is compared with what it must be."""
    found = records.find([make(number)[0] for number in range(count)])
    mapped = records.map()
    sound = [number for number in range(count) if found[number] >= 0]
    for number in sound:
        np.testing.assert_array_equal(mapped[found[number]], make(number)[1])
    return sound


def start_writer(parent: Path, start: int, stop: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(parent), str(start), str(stop)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.fixture
def filled(tmp_path: Path) -> Records:
    """Records of 0 to 19."""
    records = open_records(tmp_path)
    records.extend(make(number) for number in range(20))
    return records


@pytest.mark.usefixtures("filled")
def test_records_are_found_by_those_who_come_later(tmp_path: Path) -> None:
    assert find_sound(open_records(tmp_path), 25) == list(range(20))


def test_the_map_is_the_file_and_can_not_be_written(filled: Records) -> None:
    mapped = filled.map()

    assert isinstance(mapped.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 0


@pytest.mark.usefixtures("filled")
def test_another_key_is_another_folder(tmp_path: Path) -> None:
    other = open_records(tmp_path, network="b")

    assert find_sound(other, 20) == []
    assert json.loads((other.folder / "key.json").read_text())["network"] == "b"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_photo_that_is_there_is_not_written_again(filled: Records) -> None:
    size = (filled.folder / "records.bin").stat().st_size

    filled.extend(make(number) for number in range(20))

    assert (filled.folder / "records.bin").stat().st_size == size


def test_a_record_of_another_shape_is_refused(filled: Records) -> None:
    with pytest.raises(ValueError, match="Received"):
        filled.extend([("f" * 64, np.zeros((1, 500)))])


def test_a_flipped_bit_costs_the_one_record_until_it_is_written_anew(filled: Records, tmp_path: Path) -> None:
    path = filled.folder / "records.bin"
    content = bytearray(path.read_bytes())
    record_bytes = len(content) // 20
    content[7 * record_bytes + 1234] ^= 0b100
    path.write_bytes(content)

    damaged = open_records(tmp_path)
    assert find_sound(damaged, 20) == [number for number in range(20) if number != 7]
    damaged.extend([make(7)])
    assert find_sound(damaged, 20) == list(range(20))
    assert find_sound(open_records(tmp_path), 20) == list(range(20))


@pytest.mark.parametrize("byte", [3, 64, 70, 73])
def test_a_damaged_line_never_gives_a_wrong_record(filled: Records, tmp_path: Path, byte: int) -> None:
    path = filled.folder / "index.txt"
    content = bytearray(path.read_bytes())
    content[7 * LINE_BYTES + byte] ^= 0b10000010
    path.write_bytes(content)

    damaged = open_records(tmp_path)
    assert set(find_sound(damaged, 20)) >= set(range(20)) - {7}
    damaged.extend([make(7)])
    assert find_sound(damaged, 20) == list(range(20))


def test_two_lines_that_were_swapped_give_no_record(filled: Records, tmp_path: Path) -> None:
    path = filled.folder / "index.txt"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[3], lines[4] = lines[4], lines[3]
    path.write_bytes(b"".join(lines))

    assert find_sound(open_records(tmp_path), 20) == [number for number in range(20) if number not in (3, 4)]


@pytest.mark.parametrize("lost", [1, 40, LINE_BYTES, LINE_BYTES + 1])
@pytest.mark.parametrize("name", ["index.txt", "records.bin"])
def test_a_torn_tail_is_cut_off_by_the_next_writer(filled: Records, tmp_path: Path, name: str, lost: int) -> None:
    path = filled.folder / name
    os.truncate(path, path.stat().st_size - lost)

    torn = open_records(tmp_path)
    assert set(find_sound(torn, 20)) >= set(range(18))
    torn.extend(make(number) for number in range(30))
    assert find_sound(open_records(tmp_path), 30) == list(range(30))
    assert (torn.folder / "index.txt").stat().st_size == 30 * LINE_BYTES


def test_a_reader_follows_files_that_were_cut_and_written_again(filled: Records, tmp_path: Path) -> None:
    find_sound(filled, 20)
    os.truncate(filled.folder / "index.txt", 0)
    open_records(tmp_path).extend(make(number) for number in reversed(range(10)))

    assert find_sound(filled, 20) == list(range(10))


def test_killed_at_any_instant_a_writer_loses_what_it_was_writing_and_damages_nothing(tmp_path: Path) -> None:
    """Fifteen writers in turn, each killed after a random while, all of the same records."""
    generator = np.random.default_rng(0)
    before: list[int] = []
    for _ in range(15):
        process = start_writer(tmp_path, 0, 600)
        time.sleep(generator.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()

        records = open_records(tmp_path)
        sound = find_sound(records, 600)
        assert set(sound) >= set(before)
        behind = (records.folder / "records.bin").stat().st_size - len(sound) * 4 * 2 * 500
        assert 0 <= behind <= GROUP_PHOTOS * 4 * 2 * 500
        before = sound
    assert len(before) > 0
    process = start_writer(tmp_path, 0, 600)
    process.communicate()
    assert process.returncode == 0
    assert find_sound(open_records(tmp_path), 600) == list(range(600))


def test_writers_of_several_processes_share_a_file(tmp_path: Path) -> None:
    processes = [start_writer(tmp_path, start, start + 200) for start in (0, 100, 200)]
    for process in processes:
        process.communicate()

    assert [process.returncode for process in processes] == [0, 0, 0]
    records = open_records(tmp_path)
    assert find_sound(records, 500) == list(range(400))
    assert len(records.map()) == 400


def test_a_full_disk_is_an_error_with_the_files_name_and_keeps_what_was_written(tmp_path: Path) -> None:
    """The limit of a file's size stands in for the disk's end: the kernel refuses the write in the same way."""
    limit = 50_000
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n{WRITER}"

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "0", "100"], capture_output=True, text=True, check=False
    )

    records = open_records(tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(f"File too large: '{records.folder / 'records.bin'}'")
    assert find_sound(records, 100) == list(range(limit // 4000 // GROUP_PHOTOS * GROUP_PHOTOS))
    records.extend(make(number) for number in range(100))
    assert find_sound(records, 100) == list(range(100))


def test_a_folder_that_can_not_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(OSError, match="Not a directory") as caught:
        open_records(tmp_path / "file")

    assert str(tmp_path / "file") in str(caught.value.filename)
