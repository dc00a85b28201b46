"""Files that are read again when they change: what a certificate bot or an operator writes counts without a restart.

A change is noticed when somebody asks for the contents, by looking at the files' stamps; no thread waits for it. Links
are followed, since certbot and Kubernetes change what a file says by pointing its name elsewhere.
"""

import logging
import stat
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from beedex.server.errors import CredentialsError

__all__ = ["FollowedFiles", "require_closed_to_writers", "warn_of_readers"]

log = logging.getLogger(__name__)

# Files that are written while they are read are read again; if that doesn't end, the next look tries.
ATTEMPTS = 3

Content = TypeVar("Content")


class FollowedFiles(Generic[Content]):
    """What some files say, as of the last look at which they could be used.

    Args:
        name: what log and errors call them, such as "tokens".
        paths: the files.
        read: makes their contents; raises CredentialsError or OSError if they can't be used.
        look_every_s: how long a look holds.
        clock: seconds that never go back.

    Raises:
        CredentialsError: they can't be used at the beginning. Later that goes to the log, once for each change, and
            what they said before goes on to hold.
    """

    def __init__(
        self,
        name: str,
        paths: Sequence[Path],
        read: Callable[[], Content],
        *,
        look_every_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._paths, self._read = name, tuple(paths), read
        self._look_every_s, self._clock = look_every_s, clock
        # gRPC asks for certificates on threads of its own.
        self._lock = threading.Lock()
        self._looked_s = clock()
        self._stamps, self._content = self._read_whole()

    @property
    def current(self) -> Content:
        """What they say now."""
        with self._lock:
            now = self._clock()
            if now - self._looked_s >= self._look_every_s:
                self._looked_s = now
                self._look()
            return self._content

    def _look(self) -> None:
        stamps = self._stamp()
        if stamps == self._stamps:
            return
        try:
            self._stamps, self._content = self._read_whole()
        except CredentialsError as error:
            # Not until they change again: their writer may be half way through.
            self._stamps = stamps
            log.error("the %s changed to what can't be used; those before hold on: %s", self._name, error)  # noqa: TRY400 - it says all there is
        else:
            log.info("the %s were read again", self._name)

    def _read_whole(self) -> tuple[tuple[tuple[int, ...], ...], Content]:
        """Read between two equal stamps, so that no contents are of two writings."""
        for _ in range(ATTEMPTS):
            stamps = self._stamp()
            try:
                content = self._read()
            except OSError as error:
                raise CredentialsError(
                    f"the {self._name} can't be read: {error.filename}: {error.strerror or error}; "
                    "name a file that the server's user can read"
                ) from error
            if stamps == self._stamp():
                return stamps, content
        raise CredentialsError(f"the {self._name} change faster than they can be read: {self._list_paths()}")

    def _stamp(self) -> tuple[tuple[int, ...], ...]:
        return tuple(map(_stamp, self._paths))

    def _list_paths(self) -> str:
        return ", ".join(map(str, self._paths))


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    # The change time too: it is what changes when only the permissions do.
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


def require_closed_to_writers(path: Path, *, why: str) -> None:
    """Refuse a file that everybody on the machine may change.

    Raises:
        CredentialsError: they may.
        OSError: it can't be looked at.
    """
    mode = path.stat().st_mode
    if mode & stat.S_IWOTH:
        raise CredentialsError(
            f"{path} can be changed by everybody on this machine ({stat.filemode(mode)}), {why}; chmod o-w {path}"
        )


def warn_of_readers(path: Path) -> None:
    """Say in the log that everybody on the machine may read a private file.

    Not an error, since that is how Docker and Kubernetes lay secrets into a container, where there is nobody else.

    Raises:
        OSError: it can't be looked at.
    """
    mode = path.stat().st_mode
    if mode & stat.S_IROTH:
        log.warning("%s can be read by everybody on this machine (%s); chmod o-r %s", path, stat.filemode(mode), path)
