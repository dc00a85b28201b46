"""A folder where photos arrive: which of its files are new and complete.

The folder is looked at again and again, which works on every file system, shared ones included. A file is complete when
its size and time haven't changed for a while: whoever writes it may take pauses, and a copy gets its time at the end.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from beedex.client.command.photolist import is_photo_name

__all__ = ["DEFAULT_SETTLE_S", "Arrivals", "WatchedFolderError"]

# How long a file must have been left alone; a camera on a slow card pauses for less.
DEFAULT_SETTLE_S = 2.0


class WatchedFolderError(Exception):
    """The folder can't be looked at."""


@dataclass(frozen=True, slots=True)
class _State:
    """What changes when a file is written, or another takes its place."""

    inode: int
    size: int
    modified_ns: int


@dataclass(slots=True)
class _Seen:
    """A file's last state, since when it is that, and whether it has been handed out."""

    state: _State
    since: float
    is_done: bool


class Arrivals:
    """The new photos of a folder and the folders in it, each handed out once.

    A file that is written again later is new. Hidden files, and files whose name is no photo's, are never looked at, so
    that a writer may use such a name until the photo is complete.

    Args:
        folder: what is watched.
        settle_s: how long a file must have been left alone.
        clock: in seconds, never going back.
        with_existing: whether the photos count that are there when it begins.
    """

    def __init__(
        self, folder: Path, *, settle_s: float, clock: Callable[[], float], with_existing: bool = False
    ) -> None:
        self._folder = folder
        self._settle_s = settle_s
        self._clock = clock
        now = clock()
        states = self._scan()
        self._seen = {path: _Seen(state, now, is_done=not with_existing) for path, state in states.items()}

    def poll(self) -> list[Path]:
        """Return the photos that have become complete since the last time, in the order of their last change.

        Raises:
            WatchedFolderError: the folder is gone or can't be read.
        """
        now = self._clock()
        seen = {}
        for path, state in self._scan().items():
            known = self._seen.get(path)
            seen[path] = known if known is not None and known.state == state else _Seen(state, now, is_done=False)
        # What is gone is forgotten.
        self._seen = seen
        complete = [path for path, file in seen.items() if self._is_complete(file, now)]
        for path in complete:
            seen[path].is_done = True
        return sorted(complete, key=lambda path: (seen[path].state.modified_ns, path))

    def _is_complete(self, file: _Seen, now: float) -> bool:
        return not file.is_done and file.state.size > 0 and now - file.since >= self._settle_s

    def _scan(self) -> dict[Path, _State]:
        states: dict[Path, _State] = {}
        folders = [self._folder]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        self._take(entry, states, folders)
            except OSError as error:
                # A folder within may come and go.
                if folder == self._folder:
                    raise WatchedFolderError(
                        f"the folder {folder} can't be watched: {error.strerror or error}; name a folder that exists"
                    ) from error
        return states

    @staticmethod
    def _take(entry: os.DirEntry[str], states: dict[Path, _State], folders: list[Path]) -> None:
        try:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    folders.append(Path(entry.path))
            elif is_photo_name(entry.name) and entry.is_file():
                # Not the entry's own, in which Windows leaves out the inode.
                found = os.stat(entry.path)  # noqa: PTH116 - of a path that is a string already
                states[Path(entry.path)] = _State(found.st_ino, found.st_size, found.st_mtime_ns)
        except OSError:
            # Gone between the listing and the look; it is found again if it comes back.
            return
