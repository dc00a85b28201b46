"""Health, /readyz and metrics of a server whose index isn't there, vanishes, breaks, or belongs to another embedder."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server.scenarios import run

from beedex.index.bundle import CARD_NAME
from beedex.index.embedders import list_embedders, locate_embedder
from beedex.index.errors import FingerprintMismatchError, IndexDirectoryError
from beedex.index.rebuild import build_index
from beedex.index.snapshots import rollback_snapshot
from beedex.index.versions import locate_snapshot
from beedex.server.calls.status import STATUS_KEY
from beedex.server.engine import open_engine
from beedex.server.lifecycle import SERVICE_NAMES
from beedex.v1 import index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc, types_pb2

# Typed as if every channel were a blocking one, where nothing is known of the channel.
SearchStub: Any = search_pb2_grpc.SearchServiceStub
IndexStub: Any = index_pb2_grpc.IndexServiceStub

# Its stubs know of no asynchronous channels.
untyped_health_pb2_grpc: Any = health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
EVERY_SERVICE = ("", *SERVICE_NAMES)


@pytest.fixture
def index_dir(tmp_path):
    return tmp_path / "index"


@pytest.fixture
def waiting(watched):
    """A server that waits for its index, with a channel to it and what Watch tells, from NOT_SERVING on."""

    @asynccontextmanager
    async def wait_here(index_dir):
        async with (
            watched(index_dir, wait_for_index=True, wait_until="bound") as server,
            server.connect() as channel,
            watch_health(channel) as told,
        ):
            assert await take_all(told) == dict.fromkeys(EVERY_SERVICE, NOT_SERVING)
            yield server, channel, told

    return wait_here


@asynccontextmanager
async def watch_health(channel):
    """A queue of (service, status) for each change that Watch tells of any service."""
    told: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    async def follow(service):
        request = health_pb2.HealthCheckRequest(service=service)
        with suppress(grpc.aio.AioRpcError):
            async for reply in untyped_health_pb2_grpc.HealthStub(channel).Watch(request):
                await told.put((service, reply.status))

    following = [asyncio.create_task(follow(service)) for service in EVERY_SERVICE]
    try:
        yield told
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def take_all(told):
    """What each service's next change is."""
    return dict([await told.get() for _ in EVERY_SERVICE])


async def wait_for_problem(server, text):
    """/readyz, once it tells of a problem with *text* in it."""
    while text not in ((answer := await server.ask_ready())[1]["index_problem"] or ""):  # noqa: ASYNC110 - as below
        await asyncio.sleep(0.02)
    return answer


async def wait_until_mended(server):
    while (await server.ask_ready())[1]["index_problem"] is not None:  # noqa: ASYNC110 - it happens in the server
        await asyncio.sleep(0.02)


async def ask_about(channel, photo):
    return await SearchStub(channel).Identify(search_pb2.IdentifyRequest(query=types_pb2.Query(photo=photo)))


def exchange_card(index_dir, other):
    """Put the card of another embedder in the place of the index's; returns what puts the old one back."""
    (fingerprint,) = list_embedders(index_dir)
    card = locate_embedder(index_dir, fingerprint) / CARD_NAME
    own = card.read_bytes()
    card.write_bytes((other / CARD_NAME).read_bytes())
    return lambda: card.write_bytes(own)


@pytest.fixture
def publish_damaged(index_dir, tiny_gallery_copy, tiny_bundle):
    """Makes a snapshot of the built index current that lacks some bytes."""

    def publish():
        (index_dir / "CURRENT").write_text("000002\n")

    build_index(tiny_gallery_copy, tiny_bundle, index_dir)
    next(tiny_gallery_copy.glob("blue/*.jpg")).unlink()
    build_index(tiny_gallery_copy, tiny_bundle, index_dir)
    rollback_snapshot(index_dir)
    vectors = locate_snapshot(index_dir, 2) / "vectors.faiss"
    vectors.write_bytes(vectors.read_bytes()[:-8])
    return publish


@pytest.fixture
def make_trouble(index_dir, publish_damaged, tiny_gallery_copy, tiny_bundle, other_tiny_bundle):
    """Makes what can go wrong with a built index; returns a word of what is said of it, and what mends it."""

    def make(trouble):
        match trouble:
            case "vanished":
                elsewhere = index_dir.rename(index_dir.with_name("elsewhere"))
                return "is no directory", lambda: elsewhere.rename(index_dir)
            case "damaged":
                publish_damaged()
                return "vectors.faiss", lambda: build_index(tiny_gallery_copy, tiny_bundle, index_dir)
            case _:
                return "made by another embedder", exchange_card(index_dir, other_tiny_bundle)

    return make


def test_without_an_index_a_server_ends_unless_it_is_told_to_wait(watched, index_dir):
    async def scenario():
        with pytest.raises(IndexDirectoryError, match="expected an index"):
            async with watched(index_dir):
                pass

    run(scenario)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_server_that_waits_serves_what_the_first_build_publishes(
    waiting, index_dir, tiny_gallery, tiny_bundle, photos, is_there
):
    if is_there:
        index_dir.mkdir()

    async def scenario():
        async with waiting(index_dir) as (server, channel, told):
            status, body = await wait_for_problem(server, "expected an index")
            assert (status, body["phase"], body["snapshot"]) == (503, "waiting", None)
            metrics = await server.read_metrics()
            assert metrics.get("beedex_phase", phase="waiting") == 1
            assert metrics.get("beedex_index_problem") == 1
            assert metrics.find("beedex_index_info") == []
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask_about(channel, photos[0])
            check_refusal(caught.value, index_dir)

            await asyncio.to_thread(build_index, tiny_gallery, tiny_bundle, index_dir)
            assert await take_all(told) == dict.fromkeys(EVERY_SERVICE, SERVING)
            assert (await ask_about(channel, photos[0])).family == "amber"
            status, body = await server.ask_ready()
            assert (status, body["phase"], body["snapshot"], body["index_problem"]) == (200, "serving", 1, None)
            assert (await server.read_metrics()).get("beedex_index_problem") == 0

            server.stop.set()
            assert await take_all(told) == dict.fromkeys(EVERY_SERVICE, NOT_SERVING)

    run(scenario)


def check_refusal(error, index_dir):
    """UNAVAILABLE with NO_INDEX and RetryInfo, without a word on the server's disk."""
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())[STATUS_KEY])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert info.reason == "NO_INDEX"
    assert retry.retry_delay.seconds > 0
    assert str(index_dir) not in status.message


def test_a_server_that_loads_serves_nothing_until_it_has_loaded(watched):
    may_load = threading.Event()

    def load(config):
        assert may_load.wait(timeout=60)
        return open_engine(config)

    async def scenario():
        async with (
            watched(load=load, wait_until="bound") as server,
            server.connect() as channel,
            watch_health(channel) as told,
        ):
            assert await take_all(told) == dict.fromkeys(EVERY_SERVICE, NOT_SERVING)
            may_load.set()
            assert await take_all(told) == dict.fromkeys(EVERY_SERVICE, SERVING)

    run(scenario)


def test_fingerprints_that_disagree_at_the_start_are_waited_for(
    watched, waiting, index_dir, tiny_gallery, tiny_bundle, other_tiny_bundle
):
    build_index(tiny_gallery, tiny_bundle, index_dir)
    mend = exchange_card(index_dir, other_tiny_bundle)

    async def scenario():
        with pytest.raises(FingerprintMismatchError):
            async with watched(index_dir):
                pass
        async with waiting(index_dir) as (server, _, told):
            status, _ = await wait_for_problem(server, "made by another embedder")
            assert status == 503
            mend()
            assert await take_all(told) == dict.fromkeys(EVERY_SERVICE, SERVING)

    run(scenario)


def test_a_damaged_index_is_waited_for_until_a_build_mends_it(
    waiting, index_dir, publish_damaged, tiny_gallery, tiny_bundle
):
    publish_damaged()

    async def scenario():
        async with waiting(index_dir) as (server, _, told):
            await wait_for_problem(server, "vectors.faiss")
            await asyncio.to_thread(build_index, tiny_gallery, tiny_bundle, index_dir)
            assert await take_all(told) == dict.fromkeys(EVERY_SERVICE, SERVING)

    run(scenario)


def test_a_server_that_waits_can_be_stopped(waiting, index_dir):
    async def scenario():
        async with waiting(index_dir) as (server, _, _):
            await wait_for_problem(server, "expected an index")
            server.stop.set()
            await server.task

    run(scenario)


@pytest.mark.parametrize("trouble", ["vanished", "damaged", "another embedder's"])
def test_what_goes_wrong_with_a_served_index_is_told_and_the_old_one_serves_on(
    watched, index_dir, make_trouble, photos, caplog, trouble
):
    async def scenario():
        async with watched(index_dir) as server, server.connect() as channel, watch_health(channel) as told:
            assert await take_all(told) == dict.fromkeys(EVERY_SERVICE, SERVING)
            text, mend = await asyncio.to_thread(make_trouble, trouble)
            status, body = await wait_for_problem(server, text)
            assert (status, body["phase"], body["snapshot"]) == (200, "serving", 1)
            assert (await server.read_metrics()).get("beedex_index_problem") == 1
            assert (await ask_about(channel, photos[0])).origin.snapshot == 1
            await asyncio.to_thread(mend)
            await wait_until_mended(server)
            assert (await server.read_metrics()).get("beedex_index_problem") == 0
            # Nobody was told otherwise in between.
            assert told.empty()

    run(scenario)
    said = [record.getMessage() for record in caplog.records if "serves on" in record.getMessage()]
    # What a look in the middle of it finds may be something else, but nothing is said twice.
    assert len(said) == len(set(said)) > 0


def test_what_is_waited_for_is_said_once(watched, index_dir, caplog):
    tries = []

    def load(config):
        tries.append(config)
        return open_engine(config)

    async def scenario():
        async with watched(index_dir, load=load, wait_for_index=True, wait_until="bound") as server:
            while len(tries) < 3:  # noqa: ASYNC110 - it happens in the server
                await asyncio.sleep(0.02)
            return (await server.ask_ready())[1]["index_problem"]

    problem = run(scenario)
    said = [record.getMessage() for record in caplog.records if record.name == "beedex.server.upkeep.waiting"]
    assert said == [f"waiting for an index to serve: {problem}"]


def test_status_of_a_waiting_server_is_unavailable_too(waiting, index_dir):
    async def scenario():
        async with waiting(index_dir) as (server, channel, _):
            await wait_for_problem(server, "expected an index")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await IndexStub(channel).GetStatus(index_pb2.GetStatusRequest())
            check_refusal(caught.value, index_dir)

    run(scenario)


def test_readyz_is_one_json_document(watched):
    async def scenario():
        async with watched() as server:
            return await server.get("/readyz")

    status, body, headers = run(scenario)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert set(json.loads(body)) == {"status", "phase", "fingerprint", "snapshot", "index_problem"}
