"""What comes in with a request: its body, bounded in size and time, and the news that its caller is gone."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers

from beedex.server.errors import IdleError, InvalidRequestError

__all__ = ["Intake", "Receive"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# How long a caller whose body isn't wanted may go on sending it: closing at once could reset the connection before the
# refusal is read.
MOST_LINGERING_S = 1.0


class Intake:
    """One request's body and end.

    Args:
        headers: the request's.
        receive: ASGI's.
        within_s: how long the body may take to come.

    Attributes:
        is_read: whether there is nothing more of the body to come.
        has_left: whether the caller has gone before the answer.
    """

    def __init__(self, headers: Headers, receive: Receive, *, within_s: float) -> None:
        self._headers, self._receive, self._within_s = headers, receive, within_s
        self.is_read = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"
        self.has_left = False
        self._asker = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None

    async def read(self, most_bytes: int) -> bytes:
        """Return the body; nothing is read of one that says it is too large.

        Raises:
            InvalidRequestError: it is too large.
            IdleError: it doesn't come in time.
        """
        announced = self._headers.get("content-length", "")
        if announced.isdigit() and int(announced) > most_bytes:
            raise _refuse_size(most_bytes, announced)
        pieces: list[bytes] = []
        patience = asyncio.timeout(self._within_s)
        try:
            async with patience:
                size = 0
                while not self.is_read:
                    piece = await self._receive_piece()
                    size += len(piece)
                    if size > most_bytes:
                        raise _refuse_size(most_bytes, "more")
                    pieces.append(piece)
        except TimeoutError as error:
            if not patience.expired():
                raise
            raise IdleError(
                f"the request's body did not come in time: expected all of it within {self._within_s:g} s",
                reason="BODY_TOO_SLOW",
                values={"max_body_s": self._within_s},
            ) from error
        self.watch()
        return b"".join(pieces)

    async def _receive_piece(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.has_left = True
            raise asyncio.CancelledError
        self.is_read = not message.get("more_body", False)
        piece: bytes = message.get("body", b"")
        return piece

    def watch(self) -> None:
        """Cancel the task at hand when the caller goes, from now until `rest`; the body must be read."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._wait_for_departure())

    async def _wait_for_departure(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        if self._asker is not None:
            self._asker.cancel()

    async def rest(self) -> None:
        """Stop watching: the answer is being sent."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait({self._watching})

    async def linger(self) -> None:
        """Throw away what still comes of a body that isn't wanted, for a moment."""
        try:
            async with asyncio.timeout(MOST_LINGERING_S):
                while not self.is_read:
                    message = await self._receive()
                    self.is_read = not message.get("more_body", False)
        except TimeoutError:
            pass


def _refuse_size(most_bytes: int, received: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"the request's body is too large: expected at most {most_bytes} bytes, received {received}",
        reason="BODY_TOO_LARGE",
        values={"most": most_bytes, "received": received},
    )
