"""Where a client lives: a connection works only in the process, and with asyncio in the event loop, that opened it."""

import os

from beedex.client._errors import MisplacedClientError

__all__ = ["Home"]

# With which gRPC makes itself new in a forked child. It is off by default, and read when grpc is imported.
FORK_SUPPORT_VARIABLE = "GRPC_ENABLE_FORK_SUPPORT"

WAY_OUT = "start processes by 'spawn', as multiprocessing can, and open a client in each"


class Home:
    """The process that a client was opened in, and for `AsyncClient` the event loop that it was first used in.

    A forked child has copies of gRPC's objects and none of its threads. Whatever waits there for an answer waits for
    ever, beyond every deadline: a call through a connection of the parent, and one through a new connection too, if the
    parent has had any (measured with grpcio 1.85).
    """

    # Where the first connection of any client was opened; a child finds here what its parent did.
    _grpc_pid: int | None = None

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop: object = None

    @property
    def is_here(self) -> bool:
        """Whether this is that process."""
        return os.getpid() == self._pid

    def require(self, loop: object = None) -> None:
        """Refuse a call from elsewhere.

        Args:
            loop: the event loop that runs; None for callers without one.

        Raises:
            MisplacedClientError: the process is a forked child, or *loop* is another than that of the first call.
        """
        if not self.is_here:
            raise MisplacedClientError(
                f"the client was opened in process {self._pid} and is used in its forked child {os.getpid()}, "
                f"where its connection doesn't work; {WAY_OUT}"
            )
        if self._loop is None:
            self._loop = loop
        elif loop is not self._loop:
            raise MisplacedClientError(
                "the client was first used in another event loop, to which its connection belongs; "
                "open a client in each event loop"
            )

    def enter(self) -> None:
        """Take note that a connection is opened here.

        Raises:
            MisplacedClientError: a process that this one was forked from has opened one already.
        """
        if Home._grpc_pid is None or _has_fork_support():
            Home._grpc_pid = os.getpid()
        elif Home._grpc_pid != os.getpid():
            raise MisplacedClientError(
                f"process {Home._grpc_pid} had used a client before this one, {os.getpid()}, was forked from it, and "
                f"gRPC can't go on in such a child; {WAY_OUT}, or fork before the first client is used, or set "
                f"{FORK_SUPPORT_VARIABLE}=1 before Python starts"
            )


def _has_fork_support() -> bool:
    return os.environ.get(FORK_SUPPORT_VARIABLE, "").lower() in {"1", "true", "yes"}
