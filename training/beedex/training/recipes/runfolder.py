"""The folder of an unfinished run: what is done of it, so that the same command goes on where it was.

It lies beside the bundle that the run will write, and is deleted when that is written. A run's key is a hash of all
that decides its outcome; a folder with another key is another run's, and is cleared. Only one process works in it.
"""

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from beedex.index.durable import replace_file
from beedex.index.progress import ProgressReport
from beedex.training.errors import TrainingError
from beedex.training.fitting.checkpoints import CheckpointFile
from beedex.training.fitting.events import EventLog
from beedex.training.fitting.outlets import Outlets
from beedex.training.recipes.stages import OpenOutlets

__all__ = ["RunFolder", "open_run_folder"]

KEY_NAME = "key"
SUFFIX = ".training"

# How often a folder is opened that other processes delete meanwhile: a run that finishes does so once.
ATTEMPTS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFolder:
    """An unfinished run on disk.

    Attributes:
        path: of the folder.
        key: of the run.
    """

    path: Path
    key: str

    def name_file(self, unit: str) -> CheckpointFile:
        """Return the file that keeps a finished unit of work, or the state of one at work."""
        return CheckpointFile(path=self.path / f"{unit}.checkpoint", key=self.key)

    def open_outlets(
        self,
        unit: str,
        *,
        progress: ProgressReport | None = None,
        open_log: Callable[[str], EventLog | None] | None = None,
    ) -> OpenOutlets:
        """Return what gives the parts of a unit their outlets.

        Args:
            unit: such as ``"final"``.
            progress: is told of steps and figures.
            open_log: gives a part its log for TensorBoard, or None: each counts its steps from 0.
        """

        def open_part(part: str, /) -> Outlets:
            events = open_log(part) if open_log else None
            return Outlets(checkpoint=self.name_file(f"{unit}-{part}"), events=events, progress=progress)

        return open_part


@contextmanager
def open_run_folder(out: Path, key: str) -> Iterator[RunFolder]:
    """Yield the folder of the run that will write *out*; it is deleted if the block succeeds.

    Args:
        out: the bundle's directory.
        key: of the run.

    Raises:
        TrainingError: another process is at work in it.
        OSError: it can't be written.
    """
    path = out.parent / f".{out.name}{SUFFIX}"
    descriptor = _open_alone(path, out)
    try:
        _take_over(path, key)
        yield RunFolder(path=path, key=key)
        shutil.rmtree(path)
    finally:
        os.close(descriptor)


def _open_alone(path: Path, out: Path) -> int:
    """Return the descriptor of the folder, made if need be and locked; closing it lets go."""
    for attempts_left in reversed(range(ATTEMPTS)):
        try:
            path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDONLY)
        except (FileExistsError, FileNotFoundError):
            if attempts_left == 0:
                raise
            continue  # a process that was done deleted it in between
        try:
            _lock(descriptor, out)
            if _is_at(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was deleted before it was locked
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _lock(descriptor: int, out: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise TrainingError(
            f"another training is writing {out}: expected to be the only one; wait for it, or choose another `--out`"
        ) from error


def _take_over(path: Path, key: str) -> None:
    """Keep what an earlier process of the same run left, and clear away anything else."""
    name = path / KEY_NAME
    found = name.read_text() if name.exists() else None
    if found == key:
        print(f"beedex: note: going on with the training that was interrupted ({path})", file=sys.stderr)
        return
    if found is not None:
        print("beedex: note: an interrupted training with other photos or settings is discarded", file=sys.stderr)
    for entry in path.iterdir():
        entry.unlink()
    replace_file(name, key.encode())
