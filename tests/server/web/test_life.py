"""A request's life beside the others': deadlines, callers who leave, a full lane, loading, swaps, the server's end."""

import asyncio
import shutil
import signal
import threading
from concurrent.futures import Future
from dataclasses import replace

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server.held import HeldEmbedder, hold
from tests.server.scenarios import SECONDS_BETWEEN_POLLS, TIMEOUT_S, run, until

from beedex.index.rebuild import build_index
from beedex.server.engine import open_engine
from beedex.server.lane.lane import EmbeddingLane

JPEG = {"Content-Type": "image/jpeg"}


def reason_of(reply):
    return reply.json()["error"]["reason"]


def open_client(served):
    return httpx.AsyncClient(base_url=served.url, timeout=60)


async def until_depth(http, is_so, *, meanwhile=lambda: None):
    """Return when the lane is as deep as *is_so* wishes."""
    while not is_so((await http.get("/v1/status")).json()["load"]["lane_depth"]):
        meanwhile()
        await asyncio.sleep(SECONDS_BETWEEN_POLLS)


async def until_ready(http, **wanted):
    """Return when /readyz says what is wanted."""
    while not wanted.items() <= (await http.get("/readyz")).json().items():  # noqa: ASYNC110 - only HTTP tells of it
        await asyncio.sleep(SECONDS_BETWEEN_POLLS)


def finish_all(held):
    for future in held.futures:
        if not future.done():
            held.futures.append(future)
            held.finish()
            held.futures.pop()


@pytest.mark.parametrize("told", [{"headers": {"X-Timeout-S": "0.3"}}, {"params": {"timeout_s": 0.3}}])
def test_a_photo_whose_deadline_passes_is_refused_and_leaves_the_lane(web_serving, photo, told):
    held = HeldEmbedder()

    async def scenario():
        async with web_serving(load=hold(held)) as served, open_client(served) as http:
            headers = {**JPEG, **told.get("headers", {})}
            reply = await http.post("/v1/identify", content=photo, headers=headers, params=told.get("params"))
            assert (reply.status_code, reason_of(reply)) == (504, "DEADLINE_PASSED")
            held.finish()
            await until_depth(http, lambda depth: depth == 0)

    run(scenario)


def test_who_leaves_takes_the_photo_out_of_the_lane(web_serving, photo):
    held = HeldEmbedder()

    async def scenario():
        async with web_serving(load=hold(held)) as served, open_client(served) as http:
            leaving = asyncio.create_task(http.post("/v1/identify", content=photo, headers=JPEG))
            await until(lambda: held.futures)
            waiting = [
                asyncio.create_task(http.post("/v1/embed", content=photo + bytes([number]), headers=JPEG))
                for number in range(3)
            ]
            await until_depth(http, lambda depth: depth == 4)
            for task in waiting:
                task.cancel()
            # The photo that is worked on stays until that is done; those in the line are gone at once.
            await until_depth(http, lambda depth: depth <= 2)
            leaving.cancel()
            await until_depth(http, lambda depth: depth == 0, meanwhile=lambda: finish_all(held))
            text = (await http.get("/metrics")).text
            assert 'code="CANCELLED",method="POST /v1/embed"' in text

    run(scenario)


def test_a_full_lane_says_when_to_come_again(web_serving, photo):
    held = HeldEmbedder()

    async def scenario():
        async with (
            web_serving(load=hold(held, capacity=2)) as served,
            open_client(served) as http,
        ):
            waiting = [
                asyncio.create_task(http.post("/v1/embed", content=photo + bytes([number]), headers=JPEG))
                for number in range(2)
            ]
            await until_depth(http, lambda depth: depth == 2)
            reply = await http.post("/v1/embed", content=photo, headers=JPEG)
            assert (reply.status_code, reason_of(reply)) == (429, "LANE_FULL")
            assert int(reply.headers["retry-after"]) >= reply.json()["error"]["retry_after_s"] > 0
            await until_depth(http, lambda depth: depth == 0, meanwhile=lambda: finish_all(held))
            assert {(await task).status_code for task in waiting} == {200}

    run(scenario)


def test_a_fault_is_told_without_its_cause(web_serving, photo):
    def load(config):
        engine = open_engine(config)

        class Broken(HeldEmbedder):
            def submit(self, image):
                del image
                failed: Future[None] = Future()
                failed.set_exception(RuntimeError("secret"))
                return failed

        return replace(engine, lane=EmbeddingLane(engine.decoder, Broken(), capacity=4))

    async def scenario():
        async with web_serving(load=load) as served, open_client(served) as http:
            reply = await http.post("/v1/identify", content=photo, headers=JPEG)
            assert (reply.status_code, reason_of(reply)) == (500, "INTERNAL_ERROR")
            assert "secret" not in reply.text
            assert 'code="INTERNAL",method="POST /v1/identify"' in (await http.get("/metrics")).text

    run(scenario)


async def probe_grpc(served):
    stub: type = health_pb2_grpc.HealthStub
    async with grpc.aio.insecure_channel(served.address) as channel:
        return (await stub(channel).Check(health_pb2.HealthCheckRequest())).status


def test_while_the_server_loads_it_lives_and_is_not_ready(web_serving):
    is_loaded = threading.Event()

    def load(config):
        assert is_loaded.wait(TIMEOUT_S)
        return open_engine(config)

    async def scenario():
        async with web_serving(load=load, wait_until="there") as served, open_client(served) as http:
            assert (await http.get("/healthz")).status_code == 200
            ready = await http.get("/readyz")
            assert (ready.status_code, ready.json()["phase"]) == (503, "loading")
            assert await probe_grpc(served) == health_pb2.HealthCheckResponse.NOT_SERVING
            reply = await http.get("/v1/families")
            assert (reply.status_code, reason_of(reply), reply.headers["retry-after"]) == (503, "LOADING", "1")
            is_loaded.set()
            await until_ready(http, status="ready")
            assert await probe_grpc(served) == health_pb2.HealthCheckResponse.SERVING
            assert (await http.get("/v1/families")).status_code == 200

    run(scenario)


def test_a_server_that_stops_answers_what_it_accepted_and_refuses_nothing_before_it_is_known(web_serving, photo):
    held = HeldEmbedder()

    async def scenario():
        async with web_serving(load=hold(held)) as served, open_client(served) as http:
            accepted = asyncio.create_task(http.post("/v1/identify", content=photo, headers=JPEG))
            await until(lambda: held.futures)
            served.stop.set()
            await until_ready(http, phase="draining")
            assert (await http.get("/v1/families")).status_code == 200
            held.finish()
            assert (await accepted).status_code == 200
            await served.task
            with pytest.raises(httpx.TransportError):
                await http.get("/healthz")

    run(scenario)


def test_who_goes_on_asking_a_server_that_stops_is_refused_in_words(web_serving, photo):
    held = HeldEmbedder()

    async def ask_on(http, seen):
        while True:
            try:
                reply = await http.get("/v1/families")
            except httpx.TransportError:
                return
            seen.append(200 if reply.status_code == 200 else reason_of(reply))

    async def scenario():
        async with web_serving(load=hold(held), grace_s=2) as served, open_client(served) as http:
            accepted = asyncio.create_task(http.post("/v1/identify", content=photo, headers=JPEG))
            await until(lambda: held.futures)
            seen: list[object] = []
            asking = asyncio.create_task(ask_on(http, seen))
            served.stop.set()
            await until(lambda: "DRAINING" in seen)
            held.finish()
            assert (await accepted).status_code == 200
            await asking
            assert set(seen) == {200, "DRAINING"}
            await served.task

    run(scenario)


def test_a_process_that_is_told_to_end_finishes_and_ends_well(tiny_index, server_process, tmp_path, photo):
    with server_process(tiny_index, tmp_path / "ready", "--threads", "1", "--web", "127.0.0.1:0") as (process, _):
        line = next(line for line in process.stdout if "web page" in line)
        url = line.split()[-1].rstrip("/")
        assert httpx.post(f"{url}/v1/identify", content=photo, headers=JPEG, timeout=60).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_swaps_under_load_mix_no_two_snapshots(web_serving, tiny_gallery, tiny_bundle, tmp_path, photo):
    gallery, index = shutil.copytree(tiny_gallery, tmp_path / "gallery"), tmp_path / "index"
    build_index(gallery, tiny_bundle, index)

    async def ask(http, replies, ended):
        number = 0
        while not ended.is_set():
            number += 1
            reply = await http.post("/v1/identify?k=18", content=photo + number.to_bytes(4), headers=JPEG)
            families = await http.get("/v1/families")
            replies += [reply, families]

    async def scenario():
        async with web_serving(index_dir=index) as served, open_client(served) as http:
            replies: list[httpx.Response] = []
            ended = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                for _ in range(6):
                    group.create_task(ask(http, replies, ended))
                for number in (2, 3):
                    for folder in list(gallery.iterdir()):
                        folder.rename(folder.with_name(f"{folder.name.partition('-')[0]}-{number}"))
                    await asyncio.to_thread(build_index, gallery, tiny_bundle, index)
                    while not replies or replies[-1].json()["snapshot"] != number:  # noqa: ASYNC110 - only replies tell of it
                        await asyncio.sleep(SECONDS_BETWEEN_POLLS)
                ended.set()
            assert {reply.status_code for reply in replies} == {200}
            assert {reply.json()["snapshot"] for reply in replies} == {1, 2, 3}
            for body in (reply.json() for reply in replies):
                ending = {1: "", 2: "-2", 3: "-3"}[body["snapshot"]]
                families = {family.get("name") or family["family"] for family in body["families"]}
                families |= {neighbor["family"] for neighbor in body.get("neighbors", [])}
                assert families == {f"{name}{ending}" for name in ("amber", "blue", "clover")}

    run(scenario)
