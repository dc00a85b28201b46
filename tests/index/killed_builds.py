"""Builds an index in child processes that die by SIGKILL: a program that conftest.py runs and talks to.

Each line on standard input is one build: ``INDEX event N`` dies at its N-th file operation inside the index,
``INDEX after SECONDS`` is killed from outside. Each is answered with the signal that ended it, 0 if it came to its
end, and the number of file operations it did.
"""

import mmap
import os
import signal
import sys
import time
from pathlib import Path

from beedex.index import embedding_run
from beedex.index.rebuild import build_index

# So that a tiny gallery has many commits to be killed between.
embedding_run.PHOTOS_PER_COMMIT = 2

EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir", "shutil.copyfile")


class FileOperations:
    """Counts what a build does inside an index, and ends the process at the count of *limit*."""

    def __init__(self, index: str, limit: int) -> None:
        self._index = index
        self._limit = limit
        self._shared = mmap.mmap(-1, 8)  # outlives the child that counts in it

    @property
    def count(self) -> int:
        return int.from_bytes(self._shared[:8], "little")

    def observe(self, event: str, details: tuple[object, ...]) -> None:
        if event in EVENTS and any(str(detail).startswith(self._index) for detail in details):
            count = self.count + 1
            self._shared[:8] = count.to_bytes(8, "little")
            if count == self._limit:
                os.kill(os.getpid(), signal.SIGKILL)


def build_and_die(gallery: Path, bundle: Path, index: str, how: str, amount: str) -> tuple[int, int]:
    operations = FileOperations(index, limit=int(amount) if how == "event" else -1)
    # The modules are imported, which takes most of a build's time, and nothing of them has run yet that a fork could
    # break: no thread, no OpenMP pool, no OpenVINO core.
    child = os.fork()
    if child == 0:
        sys.addaudithook(operations.observe)
        build_index(gallery, bundle, Path(index))
        os._exit(0)
    if how == "after":
        time.sleep(float(amount))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
    return ended_by, operations.count


def main() -> None:
    gallery, bundle = map(Path, sys.argv[1:])
    for line in sys.stdin:
        index, how, amount = line.rsplit(maxsplit=2)
        print(*build_and_die(gallery, bundle, index, how, amount), flush=True)


if __name__ == "__main__":
    main()
