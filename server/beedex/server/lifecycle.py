"""A server's life: bind, load, serve, drain, stop."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from types import ModuleType

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from beedex.oip import inference_pb2, inference_pb2_grpc
from beedex.server.access.certificates import open_credentials
from beedex.server.access.exposure import require_protection
from beedex.server.access.interceptor import AccessInterceptor, open_access
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
from beedex.v1 import embedding_pb2, embedding_pb2_grpc, index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc

__all__ = ["SERVICE_NAMES", "create_server", "serve", "serve_until_signal"]

log = logging.getLogger(__name__)

PROTOCOL: tuple[ModuleType, ...] = (embedding_pb2, search_pb2, index_pb2, inference_pb2)

SERVICES = tuple(service for module in PROTOCOL for service in module.DESCRIPTOR.services_by_name.values())

SERVICE_NAMES: tuple[str, ...] = tuple(service.full_name for service in SERVICES)

METHODS: tuple[str, ...] = tuple(
    f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods
)


def create_server(
    config: ServerConfig,
    slot: EngineSlot,
    health: HealthServicer,
    traffic: TrafficWatch,
    background: Background,
    *,
    door: Door,
) -> tuple[grpc.aio.Server, int]:
    """Make a server with every service on it and bind its port; it isn't started.

    Args:
        config: where to listen and what to take.
        slot: where the services find their engine; while it is empty they answer UNAVAILABLE.
        health: what tells of them.
        traffic: what sees each request come.
        background: what works beside the requests.
        door: what lets each request in.

    Returns:
        The server and its port, which differs from the configured one when that is 0.

    Raises:
        ListenError: the address is taken, isn't this machine's, or is others' to reach without protection.
        CredentialsError: certificates or tokens can't be used.
    """
    credentials, access = _open_protection(config)
    interceptors: list[grpc.aio.ServerInterceptor] = [traffic, StatusInterceptor(), door]
    if access is not None:
        interceptors.append(access)
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


def _open_protection(config: ServerConfig) -> tuple[grpc.ServerCredentials | None, AccessInterceptor | None]:
    """Return what encrypts the port and what asks callers who they are, once it is sure that this is enough."""
    credentials, access = open_credentials(config.tls), open_access(config)
    require_protection(
        config.listen,
        has_tls=credentials is not None,
        has_callers=access is not None,
        allow_insecure=config.access.allow_insecure,
    )
    return credentials, access


async def serve(
    config: ServerConfig,
    *,
    stop: asyncio.Event,
    on_bound: Callable[[str], None] = lambda _: None,
    on_ready: Callable[[str, Engine], None] = lambda _address, _engine: None,
    on_http: Callable[[str], None] = lambda _: None,
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
        load: what opens the engine, on a thread.

    Raises:
        BeedexError: the address or the index can't be used.
    """
    slot = EngineSlot()
    async with open_watch(config.watch, slot, METHODS) as watch:
        if watch.http_address is not None:
            log.info("HTTP at %s tells /livez, /readyz and /metrics", watch.http_address)
            on_http(watch.http_address)
        await _serve_watched(config, slot, watch, stop=stop, on_bound=on_bound, on_ready=on_ready, load=load)


async def _serve_watched(
    config: ServerConfig,
    slot: EngineSlot,
    watch: Watch,
    *,
    stop: asyncio.Event,
    on_bound: Callable[[str], None],
    on_ready: Callable[[str, Engine], None],
    load: Callable[[ServerConfig], Engine],
) -> None:
    readiness, traffic, thread = watch.readiness, watch.traffic, LoadingThread()
    health = HealthServicer((*SERVICE_NAMES, HEALTH_NAME), readiness)
    background = Background.open(config, Follower(config, slot, traffic, readiness, load, thread), traffic)
    door = Door()
    server, port = create_server(config, slot, health, traffic, background, door=door)
    address = f"{config.listen.rpartition(':')[0]}:{port}"
    await server.start()
    on_bound(address)
    loading = asyncio.create_task(load_first(config, load, thread=thread, slot=slot, readiness=readiness, stop=stop))
    stopping = asyncio.create_task(stop.wait())
    following = None
    try:
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done() and loading.result():
            following = asyncio.create_task(background.follower.run())
            readiness.serve()
            on_ready(address, slot.current)
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
        await server.stop(max(end_s - time.monotonic(), 0))
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
    await serve(config, stop=stop, on_bound=on_bound, on_ready=on_ready, on_http=on_http)
