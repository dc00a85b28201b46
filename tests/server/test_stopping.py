"""SIGTERM while 32 clients ask: health says so first, what was accepted is answered, and the process ends with 0."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.server.crowd import CLIENTS, WINDOW, Crowd
from tests.server.refusals import Refusal, read_refusal
from tests.server.scenarios import run, until

from beedex.index.rebuild import build_index
from beedex.index.snapshots import activate_snapshot
from beedex.index.versions import hold_pointer, locate_snapshot, point_at
from beedex.server.config import ServerConfig
from beedex.v1 import index_pb2, index_pb2_grpc

pytestmark = pytest.mark.slow

GRACE_S: float = ServerConfig.model_fields["grace_s"].default

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# The type stubs of grpcio-health-checking lack its methods.
HealthStub: Any = health_pb2_grpc.HealthStub


@pytest.fixture
def index_dir(tiny_gallery_copy, tiny_bundle, other_tiny_bundle, tmp_path) -> Path:
    """Two snapshots of two embedders; current is the first."""
    build_index(tiny_gallery_copy, tiny_bundle, tmp_path / "index")
    build_index(tiny_gallery_copy, other_tiny_bundle, tmp_path / "index")
    activate_snapshot(tmp_path / "index", 1)
    return Path(tmp_path, "index")


STREAMS = {"identify_in_a_stream", "embed_in_a_stream"}
DRAINING = ("UNAVAILABLE", "DRAINING")


def read_stream_ends(folder: Path) -> list[tuple[str, str]]:
    """Return the code and reason of each stream that the server refused or ended, as its log says.

    The caller's word isn't enough: when he is writing as his stream ends, his own gRPC may tell him INTERNAL before the
    server's status reaches him (one run in six on a busy machine).
    """
    log = (folder / "ready.log").read_text()
    return re.findall(r" call .*method=/\S*/(?:Identify|Embed)Stream code=(\w+) reason=(\w+)", log)


class Watcher:
    """Watches a server's health, and notes what it says and when, in seconds of time.monotonic()."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.said: list[tuple[int, float]] = []
        self.hears_no = asyncio.Event()
        self._task = asyncio.create_task(self._watch(HealthStub(channel).Watch(health_pb2.HealthCheckRequest())))

    async def _watch(self, call: Any) -> None:
        async for reply in call:
            self.said.append((reply.status, time.monotonic()))
            if reply.status == NOT_SERVING:
                self.hears_no.set()
                return

    async def until_it_says_no(self) -> float:
        """Return when that was."""
        await self._task
        assert [status for status, _ in self.said] == [SERVING, NOT_SERVING]
        return self.said[-1][1]


class Pipe:
    """Stands in the place of a file, so that who reads it is held until the test lets go."""

    def __init__(self, path: Path) -> None:
        self._path, self._aside = path, path.with_name("aside")
        path.rename(self._aside)
        os.mkfifo(path)
        self._descriptor = -1

    async def until_it_is_read(self) -> None:
        """Return when somebody has it open."""

        def try_to_open() -> bool:
            try:
                self._descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                return False
            return True

        await until(try_to_open)

    def let_go(self) -> None:
        """Let the reader read the file, and be there again for others."""
        self._aside.rename(self._path)
        os.set_blocking(self._descriptor, True)
        with os.fdopen(self._descriptor, "wb") as file:
            file.write(self._path.read_bytes())


@asynccontextmanager
async def nothing(channel: grpc.aio.Channel, index_dir: Path) -> AsyncIterator[None]:
    del channel, index_dir
    yield


@asynccontextmanager
async def an_activation(channel: grpc.aio.Channel, index_dir: Path) -> AsyncIterator[None]:
    """Another embedder is being read for a caller, who gets his answer."""
    pipe = Pipe(locate_snapshot(index_dir, 2) / "vectors.faiss")
    stub: Any = index_pb2_grpc.IndexServiceStub(channel)
    call = stub.ActivateSnapshot(index_pb2.ActivateSnapshotRequest(version=2))
    await pipe.until_it_is_read()
    yield
    pipe.let_go()
    assert (await call).origin.snapshot == 2


@asynccontextmanager
async def a_swap(channel: grpc.aio.Channel, index_dir: Path) -> AsyncIterator[None]:
    """Another embedder is being read, since somebody made its snapshot the current one."""
    del channel
    pipe = Pipe(locate_snapshot(index_dir, 2) / "vectors.faiss")
    point_at(index_dir, 2)
    await pipe.until_it_is_read()
    yield
    pipe.let_go()


@asynccontextmanager
async def a_rebuild(channel: grpc.aio.Channel, index_dir: Path) -> AsyncIterator[None]:
    """A build that has all but to publish, whose caller is told when to come back."""
    photo = min((index_dir.parent / "gallery").rglob("*.jpg"))
    photo.with_name("another.jpg").write_bytes(photo.read_bytes() + b"another")
    stub: Any = index_pb2_grpc.IndexServiceStub(channel)
    call = stub.Rebuild(index_pb2.RebuildRequest())
    with hold_pointer(index_dir):
        async for news in call:
            if news.progress.step == "embedding":
                break
        yield
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [news async for news in call]
        refusal = read_refusal(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


Amid = Callable[[grpc.aio.Channel, Path], AbstractAsyncContextManager[None]]


@pytest.mark.parametrize("amid", [nothing, an_activation, a_swap, a_rebuild])
def test_who_looks_at_health_gets_every_answer(server_process, index_dir, tiny_gallery_copy, tmp_path, amid: Amid):
    crowd = Crowd.of(index_dir, tiny_gallery_copy)
    children: list[psutil.Process] = []

    async def scenario(address, process):
        async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as group:
            watcher = Watcher(channel)
            asking = group.create_task(crowd.run(address))
            await crowd.until_all_saw(1)
            async with amid(channel, index_dir):
                children.extend(psutil.Process(process.pid).children())
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                await watcher.until_it_says_no()
                crowd.ended.set()
                await asking
            return began

    options = ("--threads", "1", "--gallery", tiny_gallery_copy)
    with server_process(index_dir, tmp_path / "ready", *options) as (process, address):
        began = run(lambda: scenario(address, process))
        code = process.wait(timeout=GRACE_S)

        assert code == 0
        assert time.monotonic() - began < GRACE_S
    assert [child for child in children if child.is_running()] == []
    assert bool(children) is (amid is a_rebuild)
    # A busy machine may need longer to answer what is under way in a stream than the server reads on.
    assert {way for way, _, _ in crowd.refused} <= STREAMS
    assert read_stream_ends(tmp_path) == [DRAINING] * len(crowd.refused)


def test_who_never_looks_at_health_is_refused_after_it_said_so_and_once(
    server_process, index_dir, tiny_gallery_copy, tmp_path
):
    crowd = Crowd.of(index_dir, tiny_gallery_copy)

    async def scenario(address, process):
        async with grpc.aio.insecure_channel(address) as channel, asyncio.TaskGroup() as group:
            watcher = Watcher(channel)
            asking = group.create_task(crowd.run(address))
            await crowd.until_all_saw(1)
            process.send_signal(signal.SIGTERM)
            said_no_s = await watcher.until_it_says_no()
            await asking
            return said_no_s

    with server_process(index_dir, tmp_path / "ready", "--threads", "1") as (process, address):
        said_no_s = run(lambda: scenario(address, process))
        code = process.wait(timeout=GRACE_S)

    assert code == 0
    assert len(crowd.refused) == CLIENTS
    streams = [way for way, _, _ in crowd.refused if way in STREAMS]
    refusals = [read_refusal(error) for way, _, error in crowd.refused if way not in STREAMS]
    assert {(refusal.code, refusal.reason) for refusal in refusals} == {(grpc.StatusCode.UNAVAILABLE, "DRAINING")}
    assert read_stream_ends(tmp_path) == [DRAINING] * len(streams)
    assert min(when for _, when, _ in crowd.refused) > said_no_s
    # What was on its way to a stream that read no further.
    assert crowd.unanswered <= len(streams) * WINDOW


def test_a_server_that_still_loads_ends_too(index_dir, tmp_path):
    pipe = Pipe(locate_snapshot(index_dir, 1) / "vectors.faiss")
    command = [sys.executable, "-m", "beedex.client", "serve", "--index", str(index_dir), "--listen", "127.0.0.1:0"]
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:

        def find_ports() -> list[int]:
            connections = psutil.Process(process.pid).net_connections("tcp")
            return [each.laddr.port for each in connections if each.status == psutil.CONN_LISTEN]

        async def scenario() -> tuple[int, Refusal]:
            await pipe.until_it_is_read()
            (port,) = find_ports()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                health: Any = await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
                stub: Any = index_pb2_grpc.IndexServiceStub(channel)
                process.send_signal(signal.SIGTERM)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stub.GetStatus(index_pb2.GetStatusRequest())
            await until(lambda: find_ports() == [])
            pipe.let_go()
            return health.status, read_refusal(caught.value)

        try:
            status, refusal = run(scenario)
            assert process.wait(timeout=GRACE_S) == 0
        finally:
            process.kill()

    assert status == NOT_SERVING
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "LOADING")
    assert "serving on" not in (tmp_path / "log").read_text()
