"""A server's life: bind, load, serve, drain, stop."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from beedex.oip import inference_pb2, inference_pb2_grpc
from beedex.server.access.callers import Callers, open_callers
from beedex.server.access.certificates import open_credentials
from beedex.server.access.exposure import require_protection
from beedex.server.access.interceptor import AccessInterceptor
from beedex.server.calls.door import MOST_LAME_DUCK_S, Door, turn_away
from beedex.server.calls.patience import PatienceInterceptor
from beedex.server.calls.status import StatusInterceptor
from beedex.server.calls.streams import Streams
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.config import ServerConfig
from beedex.server.engine import Engine, EngineSlot, open_engine
from beedex.server.errors import ListenError
from beedex.server.health import SERVICE_NAME as HEALTH_NAME
from beedex.server.health import HealthServicer
from beedex.server.memory import leave_libraries_alone, return_freed_blocks
from beedex.server.services.embedding import EmbeddingService
from beedex.server.services.index import IndexService
from beedex.server.services.inference import InferenceService
from beedex.server.services.search import SearchService
from beedex.server.supervisor import tell_supervisor
from beedex.server.upkeep.activation import Activation
from beedex.server.upkeep.background import Background
from beedex.server.upkeep.editing import Editing
from beedex.server.upkeep.following import Follower
from beedex.server.upkeep.loading import LoadingThread
from beedex.server.upkeep.waiting import load_first
from beedex.server.watching.watch import Watch, open_watch
from beedex.server.web.latency import RecentLatency
from beedex.server.web.opening import open_site
from beedex.server.web.paths import WEB_METHODS
from beedex.v1 import embedding_pb2, embedding_pb2_grpc, index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc

__all__ = ["SERVICE_NAMES", "create_server", "serve", "serve_until_signal"]

log = logging.getLogger(__name__)

PROTOCOL: tuple[ModuleType, ...] = (embedding_pb2, search_pb2, index_pb2, inference_pb2)

SERVICES = tuple(service for module in PROTOCOL for service in module.DESCRIPTOR.services_by_name.values())

SERVICE_NAMES: tuple[str, ...] = tuple(service.full_name for service in SERVICES)

METHODS: tuple[str, ...] = tuple(
    f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outset:
    """What a server begins with: who is told that it has begun, and what loads its index; see `serve`."""

    on_bound: Callable[[str], None]
    on_ready: Callable[[str, Engine], None]
    on_web: Callable[[str], None]
    load: Callable[[ServerConfig], Engine]


def create_server(
    config: ServerConfig,
    slot: EngineSlot,
    health: HealthServicer,
    traffic: TrafficWatch,
    background: Background,
    *,
    door: Door,
    callers: Callers | None,
) -> tuple[grpc.aio.Server, int]:
    """Make a server with every service on it and bind its port; it isn't started.

    Args:
        config: where to listen and what to take.
        slot: where the services find their engine; while it is empty they answer UNAVAILABLE.
        health: what tells of them.
        traffic: what sees each request come.
        background: what works beside the requests.
        door: what lets each request in.
        callers: who may ask; None where everybody may.

    Returns:
        The server and its port, which differs from the configured one when that is 0.

    Raises:
        ListenError: the address is taken, isn't this machine's, or is others' to reach without protection.
        CredentialsError: certificates or tokens can't be used.
    """
    credentials = _open_protection(config, callers)
    interceptors: list[grpc.aio.ServerInterceptor] = [traffic, StatusInterceptor(), door]
    if callers is not None:
        interceptors.append(AccessInterceptor(callers))
    interceptors.append(PatienceInterceptor(config.limits.max_idle_s))
    server = grpc.aio.server(interceptors=interceptors, options=config.channel_options())
    limits, streams = config.limits, Streams(config.limits, traffic)
    search = SearchService(slot, streams, background.photos, traffic, max_k=limits.max_k)
    index = IndexService(
        slot,
        limits,
        traffic,
        activation=Activation(config, background.follower),
        editing=Editing(slot, background.follower, window=limits.stream_window),
        builds=background.builds,
    )
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingService(slot, streams), server)
    search_pb2_grpc.add_SearchServiceServicer_to_server(search, server)
    index_pb2_grpc.add_IndexServiceServicer_to_server(index, server)
    inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(InferenceService(slot, traffic), server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection((*SERVICE_NAMES, HEALTH_NAME, reflection.SERVICE_NAME), server)
    try:
        if credentials is None:
            port = server.add_insecure_port(config.listen)
        else:
            port = server.add_secure_port(config.listen, credentials)
    except RuntimeError as error:
        raise ListenError(
            f"can't listen on {config.listen}: the address is taken or not this machine's; "
            "choose another with --listen HOST:PORT (port 0 takes a free one)"
        ) from error
    return server, port


def _open_protection(config: ServerConfig, callers: Callers | None) -> grpc.ServerCredentials | None:
    """Return what encrypts the port, once it is sure that this and the check of callers are enough."""
    credentials = open_credentials(config.tls)
    require_protection(
        config.listen,
        has_tls=credentials is not None,
        has_callers=callers is not None,
        allow_insecure=config.access.allow_insecure,
    )
    return credentials


async def serve(
    config: ServerConfig,
    *,
    stop: asyncio.Event,
    on_bound: Callable[[str], None] = lambda _: None,
    on_ready: Callable[[str, Engine], None] = lambda _address, _engine: None,
    on_http: Callable[[str], None] = lambda _: None,
    on_web: Callable[[str], None] = lambda _: None,
    load: Callable[[ServerConfig], Engine] = open_engine,
) -> None:
    """Serve until *stop* is set, then finish what was accepted.

    The port is bound and health answers NOT_SERVING while the index loads, or is waited for. On *stop* health says
    NOT_SERVING, and the door closes when no more requests come.

    Args:
        config: what to serve.
        stop: set it to end.
        on_bound: called with HOST:PORT once the port is bound.
        on_ready: called with HOST:PORT and the engine once requests are answered.
        on_http: called with HOST:PORT once HTTP is answered, if that is asked for.
        on_web: called with the web page's address once it is there, if that is asked for.
        load: what opens the engine, on a thread.

    Raises:
        BeedexError: the address or the index can't be used.
    """
    slot, latency = EngineSlot(), RecentLatency()
    methods = METHODS if config.web.listen is None else (*METHODS, *WEB_METHODS)
    listeners = [] if config.web.listen is None else [latency]
    async with open_watch(config.watch, slot, methods, listeners=listeners) as watch:
        if watch.http_address is not None:
            log.info("HTTP at %s tells /livez, /readyz and /metrics", watch.http_address)
            on_http(watch.http_address)
        outset = Outset(on_bound=on_bound, on_ready=on_ready, on_web=on_web, load=load)
        await _serve_watched(config, slot, watch, latency, stop=stop, outset=outset)


async def _serve_watched(
    config: ServerConfig,
    slot: EngineSlot,
    watch: Watch,
    latency: RecentLatency,
    *,
    stop: asyncio.Event,
    outset: Outset,
) -> None:
    readiness, traffic, thread, load = watch.readiness, watch.traffic, LoadingThread(), outset.load
    health = HealthServicer((*SERVICE_NAMES, HEALTH_NAME), readiness)
    background = Background.open(config, Follower(config, slot, traffic, readiness, load, thread), traffic)
    door, callers = Door(), open_callers(config)
    server, port = create_server(config, slot, health, traffic, background, door=door, callers=callers)
    site = open_site(config, slot, watch, photos=background.photos, door=door, callers=callers, latency=latency)
    address = f"{config.listen.rpartition(':')[0]}:{port}"
    await server.start()
    outset.on_bound(address)
    if site is not None:
        outset.on_web(site.open())
    loading = asyncio.create_task(load_first(config, load, thread=thread, slot=slot, readiness=readiness, stop=stop))
    stopping = asyncio.create_task(stop.wait())
    following = None
    try:
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and loading.result():
            following = asyncio.create_task(background.follower.run())
            readiness.serve()
            outset.on_ready(address, slot.current)
            await asyncio.wait({stopping, following}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                # It runs until it is cancelled: this is a fault, and a server that no longer follows must not go on.
                following.result()
        await stopping
    finally:
        log.info("stopping: requests that were accepted have %g s", config.grace_s)
        stopping.cancel()
        readiness.drain()
        end_s = time.monotonic() + config.grace_s
        await turn_away(traffic, door, at_most_s=min(MOST_LAME_DUCK_S, config.grace_s / 2))
        left_s = max(end_s - time.monotonic(), 0)
        await asyncio.gather(server.stop(left_s), *(() if site is None else (site.close(left_s),)))
        await _close(loading, following, slot)
        await background.close()
        await asyncio.to_thread(thread.close)


async def _close(loading: "asyncio.Task[bool]", following: "asyncio.Task[None] | None", slot: EngineSlot) -> None:
    """Close the engine, waiting for it first if the server was stopped while it loaded."""
    if following is not None:
        following.cancel()
        await asyncio.wait({following})
    await asyncio.wait({loading})
    # What it ended with was told to whoever serves, unless stopping came first.
    loading.exception()
    if slot.engine is not None:
        await asyncio.to_thread(slot.engine.close)


async def serve_until_signal(
    config: ServerConfig,
    *,
    on_bound: Callable[[str], None] = lambda _: None,
    on_ready: Callable[[str, Engine], None] = lambda _address, _engine: None,
    on_http: Callable[[str], None] = lambda _: None,
    on_web: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or SIGINT, in a process of the server's own; see `serve`."""
    return_freed_blocks()
    leave_libraries_alone()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        tell_supervisor("STOPPING=1")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    await serve(config, stop=stop, on_bound=on_bound, on_ready=on_ready, on_http=on_http, on_web=on_web)
