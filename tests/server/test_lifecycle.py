"""A server's life: loading, serving, refusing, draining, stopping."""

import asyncio
import logging
import shutil
import signal
import threading
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.server.held import HeldEmbedder, hold
from tests.server.scenarios import run, until

from beedex.client import AsyncClient, UnavailableError
from beedex.index.errors import FingerprintMismatchError, IndexDirectoryError
from beedex.server.__main__ import main
from beedex.server.config import ServerConfig
from beedex.server.engine import open_engine
from beedex.server.errors import ListenError
from beedex.server.lifecycle import SERVICE_NAMES, serve
from beedex.v1 import embedding_pb2, embedding_pb2_grpc, index_pb2, index_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
TIMEOUT_S = 30

# The type stubs of grpcio-health-checking lack its methods.
HealthStub: Any = health_pb2_grpc.HealthStub


@pytest.fixture
def photo(tiny_gallery):
    return next(iter(sorted(tiny_gallery.rglob("*.jpg")))).read_bytes()


def read_info(error):
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        _ = detail.Unpack(info) or detail.Unpack(retry)
    return info, retry.retry_delay.ToTimedelta().total_seconds()


async def fail(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def test_while_the_index_loads_the_port_answers_and_health_is_not_serving(serving):
    async def scenario():
        may_load = threading.Event()

        def load(config):
            may_load.wait(TIMEOUT_S)
            return open_engine(config)

        async with (
            serving(load=load, wait_until="bound") as (address, _, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            watching = HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAMES[0]))
            said = [(await watching.read()).status]
            error = await fail(index_pb2_grpc.IndexServiceStub(channel).GetStatus(index_pb2.GetStatusRequest()))
            may_load.set()
            said.append((await watching.read()).status)
            reply = await index_pb2_grpc.IndexServiceStub(channel).GetStatus(index_pb2.GetStatusRequest())
        return said, error, reply

    said, error, reply = run(scenario)
    info, retry_after_s = read_info(error)

    assert said == [NOT_SERVING, SERVING]
    assert (error.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "LOADING")
    assert retry_after_s > 0
    assert reply.snapshot.entries == 18


def test_stopping_while_the_index_loads_waits_for_it_and_ends(serving):
    async def scenario():
        may_load, engines = threading.Event(), []

        def load(config):
            may_load.wait(TIMEOUT_S)
            engines.append(open_engine(config))
            return engines[0]

        async with serving(load=load, wait_until="bound") as (_, stop, task):
            stop.set()
            may_load.set()
            await asyncio.wait_for(task, TIMEOUT_S)
        return engines

    assert len(run(scenario)) == 1


def test_a_full_lane_is_resource_exhausted_with_a_time_to_wait(serving, photo):
    async def scenario():
        held = HeldEmbedder()
        async with (
            serving(load=hold(held, capacity=1)) as (address, _, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            first = stub.Embed(embedding_pb2.EmbedRequest(photo=photo))
            await until(lambda: held.futures)
            error = await fail(stub.Embed(embedding_pb2.EmbedRequest(photo=photo)))
            held.finish()
            return error, await first

    error, reply = run(scenario)
    info, retry_after_s = read_info(error)

    assert (error.code(), info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "LANE_FULL")
    assert dict(info.metadata) == {"capacity": "1", "depth": "1"}
    assert retry_after_s > 0
    assert reply.vector.dimension == 32


def test_vector_queries_are_answered_while_photos_wait(serving, photo):
    async def scenario():
        held = HeldEmbedder()
        async with serving(load=hold(held)) as (address, _, _), AsyncClient(address) as client:
            waiting = asyncio.create_task(client.embed(photo))
            await until(lambda: held.futures)
            neighbors = await client.neighbors(vector=np.ones(32), k=2)
            is_waiting = not waiting.done()
            held.finish()
            await waiting
        return neighbors, is_waiting

    neighbors, is_waiting = run(scenario)

    assert len(neighbors) == 2
    assert is_waiting


def test_a_deadline_that_passes_is_deadline_exceeded_and_frees_the_lane(serving, photo):
    async def scenario():
        held, engines = HeldEmbedder(), []

        def load(config):
            engines.append(hold(held, capacity=1)(config))
            return engines[0]

        async with serving(load=load) as (address, _, _), grpc.aio.insecure_channel(address) as channel:
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            late = await fail(stub.Embed(embedding_pb2.EmbedRequest(photo=photo), timeout=0.2))
            held.finish()

            # The lane is free as soon as the server has seen that its caller is gone.
            await until(lambda: engines[0].lane.depth == 0)
            again = stub.Embed(embedding_pb2.EmbedRequest(photo=photo))
            await until(lambda: len(held.futures) == 2)
            held.finish()
            return late.code(), await again

    code, reply = run(scenario)

    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reply.vector.dimension == 32


def test_a_fault_is_internal_with_its_traceback_in_the_log_and_not_in_the_reply(serving, photo, caplog):
    class BrokenEmbedder:
        parallelism = 1

        def submit(self, image):
            raise ZeroDivisionError(f"a secret of the inside, {image.shape}")

    async def scenario():
        async with (
            serving(load=hold(BrokenEmbedder())) as (address, _, _),
            grpc.aio.insecure_channel(address) as channel,
        ):
            stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
            return await fail(stub.Embed(embedding_pb2.EmbedRequest(photo=photo)))

    error = run(scenario)
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)

    assert (error.code(), read_info(error)[0].reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert "secret" not in str(error)
    assert record.exc_info[0] is ZeroDivisionError
    assert "/beedex.v1.EmbeddingService/Embed" in record.getMessage()


def test_draining_says_not_serving_first_then_closes_the_door_and_answers_what_was_accepted(serving, photo):
    async def scenario():
        held = HeldEmbedder()
        async with (
            serving(load=hold(held)) as (address, stop, task),
            AsyncClient(address) as client,
            grpc.aio.insecure_channel(address) as channel,
        ):
            watching = HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            said = [(await watching.read()).status]
            accepted = asyncio.create_task(client.embed(photo))
            await until(lambda: held.futures)
            stop.set()
            said.append((await watching.read()).status)
            # Whoever had not heard of it yet is still answered.
            families = await client.families()
            closed = await wait_for_the_door(address)
            before = (accepted.done(), task.done())
            held.finish()
            answer = await accepted
            await asyncio.wait_for(task, TIMEOUT_S)
        return said, families, closed, before, answer

    said, families, closed, before, answer = run(scenario)

    assert said == [SERVING, NOT_SERVING]
    assert len(families) == 3
    assert closed.code is grpc.StatusCode.UNAVAILABLE
    assert before == (False, False)
    assert answer.vector.shape == (32,)


async def wait_for_the_door(address):
    """Ask for nothing until the server's port is closed; return what a call gets then."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except ConnectionRefusedError:
                break
            writer.close()
            await asyncio.sleep(0.02)
    async with AsyncClient(address, attempts=1) as newcomer:
        with pytest.raises(UnavailableError) as caught:
            await newcomer.families()
        return caught.value


def test_reflection_lists_every_service(address):
    with grpc.insecure_channel(address) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        reply = next(stub.ServerReflectionInfo(iter([request])))
        names = {service.name for service in reply.list_services_response.service}

    assert names >= {
        "beedex.v1.EmbeddingService",
        "beedex.v1.IndexService",
        "beedex.v1.SearchService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert set(SERVICE_NAMES) == {name for name in names if name.startswith(("beedex.", "inference."))}


def test_health_is_serving_for_each_service_of_a_ready_server(address):
    with grpc.insecure_channel(address) as channel:
        stub = HealthStub(channel)
        for service in ("", *SERVICE_NAMES):
            assert stub.Check(health_pb2.HealthCheckRequest(service=service)).status == SERVING


def test_a_port_that_is_taken_is_one_error(tiny_index, address):
    with pytest.raises(ListenError, match=f"can't listen on {address}"):
        run(lambda: serve(ServerConfig(index_dir=tiny_index, listen=address), stop=asyncio.Event()))


def test_a_directory_without_an_index_ends_the_server_with_its_error(tmp_path):
    config = ServerConfig(index_dir=tmp_path, listen="127.0.0.1:0")

    with pytest.raises(IndexDirectoryError, match="expected an index"):
        run(lambda: serve(config, stop=asyncio.Event()))


def test_a_ready_file_that_can_not_be_written_ends_the_server_in_one_line(tiny_index, tmp_path, capsys):
    ready_file = tmp_path / "no" / "ready"

    assert main(["--index", str(tiny_index), "--listen", "127.0.0.1:0", "--ready-file", str(ready_file)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"beedex: error: the ready file {ready_file} can't be")


def test_a_snapshot_of_another_embedder_is_refused_by_name(tiny_index, other_tiny_bundle, tmp_path):
    index = shutil.copytree(tiny_index, tmp_path / "index")
    (embedder,) = (index / "embedders").iterdir()
    shutil.rmtree(embedder)
    shutil.copytree(other_tiny_bundle, embedder)

    with pytest.raises(FingerprintMismatchError, match=embedder.name):
        open_engine(ServerConfig(index_dir=index))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_0_after_answering_what_was_accepted(
    server_process, tiny_index, tmp_path, photo, number
):
    ready_file = tmp_path / "ready"

    async def burst(address, process):
        async with AsyncClient(address, attempts=1) as client:
            await client.families()
            calls = [asyncio.create_task(client.identify(photo)) for _ in range(40)]
            await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            process.send_signal(number)
            return await asyncio.gather(*calls, return_exceptions=True)

    with server_process(tiny_index, ready_file, "--threads", "1") as (process, address):
        answers = asyncio.run(burst(address, process))
        code = process.wait(timeout=TIMEOUT_S)
        output = process.stdout.read()

    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert code == 0
    assert output.startswith(f"beedex: serving on {address} (18 photos of 3 families, snapshot 1, embedder ")
    assert not ready_file.exists()
