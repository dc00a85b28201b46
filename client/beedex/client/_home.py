"""Where a client lives: a connection works only in the process, and with asyncio in the event loop, that opened it."""

import os

from beedex.client._errors import MisplacedClientError

__all__ = ["Home"]


class Home:
    """The process that a client was opened in, and for `AsyncClient` the event loop that it was first used in.

    A forked child has a copy of the client but none of gRPC's threads: a call would never return.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop: object = None

    @property
    def is_here(self) -> bool:
        """Whether this is that process."""
        return os.getpid() == self._pid

    def require(self, loop: object = None) -> None:
        """Refuse a call from elsewhere.

        Raises:
            MisplacedClientError: the process is a forked child, or *loop* is not the event loop of the first call.
        """
        if not self.is_here:
            raise MisplacedClientError(
                f"the client was opened in process {self._pid} and is used in its forked child {os.getpid()}, "
                "where its connection doesn't work; open a client in each process, and start processes by 'spawn'"
            )
        if self._loop is None:
            self._loop = loop
        elif loop is not self._loop:
            raise MisplacedClientError(
                "the client was first used in another event loop, to which its connection belongs; "
                "open a client in each event loop"
            )
