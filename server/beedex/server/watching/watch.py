"""All that watches one server, put together."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

from beedex.server.calls.traffic import Listener, TrafficWatch
from beedex.server.config import WatchConfig
from beedex.server.engine import EngineSlot
from beedex.server.errors import ConfigError
from beedex.server.watching.logs import RequestLog
from beedex.server.watching.metrics import RequestMetrics
from beedex.server.watching.readiness import Readiness
from beedex.server.watching.state import register_state

if TYPE_CHECKING:
    from beedex.server.watching.traces import Traces

__all__ = ["Watch", "open_watch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """Watches one server; nothing of it is shared with others in the process but the log.

    Attributes:
        readiness: whether the server serves; to be told.
        traffic: sees every call.
        registry: holds its metrics.
        http_address: HOST:PORT where HTTP tells of it; None where that isn't asked for.
    """

    readiness: Readiness
    traffic: TrafficWatch
    registry: CollectorRegistry
    http_address: str | None


@asynccontextmanager
async def open_watch(
    config: WatchConfig, slot: EngineSlot, methods: Iterable[str] = (), *, listeners: Iterable[Listener] = ()
) -> AsyncIterator[Watch]:
    """Watch a server for as long as the block runs; HTTP is answered from its beginning to its end.

    Args:
        config: says how.
        slot: holds what is served.
        methods: the RPCs whose faults are counted from 0 on.
        listeners: are told too of what has ended.

    Raises:
        ConfigError: traces are asked for where they are not installed.
        ListenError: HTTP can't be answered where it is asked for.
    """
    readiness, registry = Readiness(), CollectorRegistry()
    async with AsyncExitStack() as closing:
        watchers: list[Listener] = [RequestMetrics(registry, methods), RequestLog(), *listeners]
        if config.traces_endpoint is not None:
            traces = _connect_traces(config.traces_endpoint, config.traces_share)
            closing.push_async_callback(traces.close)
            # First, so that the log knows the trace.
            watchers.insert(0, traces)
        traffic = TrafficWatch(listeners=watchers)
        register_state(registry, slot, readiness, traffic.open_streams)
        address = None
        if config.http_listen is not None:
            # A server that isn't asked over HTTP starts without the libraries for it.
            from beedex.server.watching.endpoint import HttpEndpoint, make_routes  # noqa: PLC0415 - as said

            routes = make_routes(readiness, slot, registry)
            endpoint = HttpEndpoint(config.http_listen, routes, allow_insecure=config.allow_insecure)
            endpoint.open()
            closing.push_async_callback(endpoint.close)
            address = endpoint.address
        yield Watch(readiness=readiness, traffic=traffic, registry=registry, http_address=address)


def _connect_traces(endpoint: str, share: float) -> "Traces":
    try:
        from beedex.server.watching.traces import Traces, connect_collector  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"traces are asked for (watch.traces_endpoint = {endpoint}), expected the extra 'otel', found no module "
            f"{error.name}; install it with: pip install 'beedex[otel]', or leave that key out"
        ) from error
    return Traces(connect_collector(endpoint), share=share)
