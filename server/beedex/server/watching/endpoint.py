"""What HTTP tells: /livez, /readyz and /metrics, on the server's own event loop.

Starlette's routes can be mounted into a larger application as they are.
"""

import asyncio
import socket
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from beedex.server.access.exposure import is_reachable_from_elsewhere
from beedex.server.errors import ListenError

if TYPE_CHECKING:
    from starlette.requests import Request

    from beedex.server.engine import EngineSlot
    from beedex.server.watching.readiness import Readiness

__all__ = [
    "EmbeddedServer",
    "HttpEndpoint",
    "answer_metrics",
    "bind_http",
    "describe_readiness",
    "make_routes",
]

# Metrics are small and probes smaller; whoever takes longer to read them is cut off.
MOST_CLOSING_S = 2

# Prometheus and a few probes, with room for those that don't let go.
MOST_CONNECTIONS = 100

# How long a connection may last, whatever is done with it. uvicorn itself waits for ever for a request that doesn't
# come.
MOST_CONNECTED_S = 30.0


def make_routes(readiness: "Readiness", slot: "EngineSlot", registry: CollectorRegistry) -> list[Route]:
    """Return what can be asked for.

    /livez (or /healthz) answers 200 as long as the event loop turns. /readyz answers 200 while requests are answered,
    and 503 otherwise; its body says what is served, and what is wrong with the index.
    """

    async def live(_request: "Request") -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_request: "Request") -> Response:
        engine = slot.engine
        body = {
            **describe_readiness(readiness),
            "fingerprint": engine.fingerprint if engine else None,
            "snapshot": engine.snapshot_version if engine else None,
            "index_problem": readiness.problem or None,
        }
        return JSONResponse(body, status_code=200 if readiness.is_serving else 503)

    async def tell_metrics(request: "Request") -> Response:
        return answer_metrics(registry, request.headers.get("accept", ""))

    return [
        Route("/livez", live),
        Route("/healthz", live),
        Route("/readyz", ready),
        Route("/metrics", tell_metrics),
    ]


def describe_readiness(readiness: "Readiness") -> dict[str, str]:
    """Return what anybody may know of it."""
    return {"status": "ready" if readiness.is_serving else "not ready", "phase": readiness.phase.value}


def answer_metrics(registry: CollectorRegistry, accepted: str) -> Response:
    """Return the metrics in a form that the header Accept names, or the oldest one.

    In the event loop, where what it reads doesn't change meanwhile. 2000 lines, more than a server comes to, take
    10 ms, for which a thread would keep the loop from running about as long.
    """
    encode, media_type = choose_encoder(accepted)
    return Response(encode(registry), media_type=media_type)


class HttpEndpoint:
    """Answers HTTP at an address from the beginning of `open` to the end of `close`.

    Args:
        listen: HOST:PORT.
        allow_insecure: whether that may be an address that other machines can reach.
        routes: what can be asked for.

    Attributes:
        address: HOST:PORT, with the port that it got.

    Raises:
        ListenError: the address is taken, isn't this machine's, or is others' to reach without leave.
    """

    def __init__(self, listen: str, routes: list[Route], *, allow_insecure: bool) -> None:
        if not allow_insecure and is_reachable_from_elsewhere(listen):
            raise ListenError(
                f"listening on {listen} tells other machines the server's state and metrics, without encryption and "
                "whoever asks; listen on 127.0.0.1, or say watch.allow_insecure = true if the network is trusted"
            )
        self._socket = bind_http(listen, "watch.http_listen")
        self.address = f"{listen.rpartition(':')[0]}:{self._socket.getsockname()[1]}"
        self._server = EmbeddedServer(
            uvicorn.Config(
                Starlette(routes=routes),
                # The process's own log has what is to be said.
                log_config=None,
                access_log=False,
                lifespan="off",
                http=_BoundedConnection,
                ws="none",
                server_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=MOST_CLOSING_S,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Answer from now on, in the running event loop."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def close(self) -> None:
        """Answer what was asked, and end."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        self._socket.close()


class _BoundedConnection(H11Protocol):
    """A connection that ends after a while."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin."""
        super().connection_made(transport)
        self._end = self.loop.call_later(MOST_CONNECTED_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._end.cancel()
        super().connection_lost(exc)


class EmbeddedServer(uvicorn.Server):
    """Leaves signals to the server that it is a part of."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]  # a generator there
        """Do nothing."""
        return nullcontext()


def bind_http(listen: str, key: str) -> socket.socket:
    """Return a socket that listens at HOST:PORT.

    Args:
        listen: the address.
        key: of the configuration, which says it.

    Raises:
        ListenError: it is taken, or not this machine's.
    """
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        family, *_, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ListenError(
            f"can't listen on {listen} for HTTP: {error.strerror or error}; choose another address with "
            f"{key} = HOST:PORT (port 0 takes a free one)"
        ) from error
