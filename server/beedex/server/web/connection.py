"""A connection over HTTP, bounded: in how long a head may take to come, and an answer to be taken."""

import asyncio
import json
import logging
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from beedex.server.web.headers import PROTECTION

__all__ = ["BoundedConnection", "bound_connections"]

# uvicorn's words on what callers do wrong; a line for each would let anybody fill the log.
QUIET_LOG = logging.getLogger("beedex.server.web.connections")
QUIET_LOG.setLevel(logging.ERROR)

MALFORMED: dict[str, dict[str, Any]] = {
    "error": {
        "code": "INVALID_ARGUMENT",
        "reason": "MALFORMED_REQUEST",
        "message": "this is no HTTP/1.1 request that the server takes: its head is malformed or too large",
        "field": "",
        "details": {},
        "retry_after_s": None,
        "request_id": "",
    }
}


class BoundedConnection(H11Protocol):
    """Ends when its caller neither sends nor takes anything, and when there are too many others."""

    max_header_s = 10.0
    max_idle_s = 75.0
    max_connections = 200

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*arguments, **options)
        self.logger = QUIET_LOG
        self._waiting_for_head: asyncio.TimerHandle | None = None
        self._waiting_for_reader: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin; one too many is cut off, since answering it would take what the others need."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            transport.abort()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Go on with what has come."""
        former = self.cycle
        super().handle_events()
        if self.cycle is not former and self._waiting_for_head is not None:
            self._waiting_for_head.cancel()
            self._waiting_for_head = None

    def data_received(self, data: bytes) -> None:
        """Take what has come; the next head has its time from its first byte on."""
        is_between = self.cycle is not None and self.cycle.response_complete
        super().data_received(data)
        if is_between and self.cycle.response_complete and self._waiting_for_head is None:
            self._expect_head()

    def pause_writing(self) -> None:
        """Wait for the caller to take what was sent, for a while."""
        super().pause_writing()
        self._waiting_for_reader = self.loop.call_later(self.max_idle_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on sending."""
        super().resume_writing()
        if self._waiting_for_reader is not None:
            self._waiting_for_reader.cancel()
            self._waiting_for_reader = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, in the words that all refusals have."""
        del msg
        body = json.dumps(MALFORMED).encode()
        headers = [
            *((name.lower().encode(), value.encode()) for name, value in PROTECTION.items()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        for event in (
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _expect_head(self) -> None:
        self._waiting_for_head = self.loop.call_later(self.max_header_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        for timer in (self._waiting_for_head, self._waiting_for_reader):
            if timer is not None:
                timer.cancel()
        self._waiting_for_head = self._waiting_for_reader = None


def bound_connections(*, max_header_s: float, max_idle_s: float, max_connections: int) -> type[BoundedConnection]:
    """Return the kind of connections that one server has."""
    bounds = {"max_header_s": max_header_s, "max_idle_s": max_idle_s, "max_connections": max_connections}
    return type("Connection", (BoundedConnection,), bounds)
