"""A real index, and servers on it: one in its own process, or one in the test's event loop."""

import asyncio
import subprocess
import sys
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import pytest

from beedex.index.rebuild import build_index
from beedex.server.config import ServerConfig
from beedex.server.engine import open_engine
from beedex.server.lifecycle import serve

START_TIMEOUT_S = 60


@pytest.fixture(scope="session")
def tiny_index(tiny_gallery, tiny_bundle, tmp_path_factory) -> Path:
    """An index of the 18 photos of `tiny_gallery`; read only."""
    index: Path = tmp_path_factory.mktemp("tiny") / "index"
    build_index(tiny_gallery, tiny_bundle, index)
    return index


@contextmanager
def run_server(index, ready_file, *options):
    """`beedex serve` in a process of its own, SERVING; yields the process and HOST:PORT."""
    command = [sys.executable, "-m", "beedex.client", "serve", "--index", index, "--listen", "127.0.0.1:0"]
    command += ["--ready-file", ready_file, *options]
    # A pipe that nobody reads would stop the server when its log has filled it.
    log_file = ready_file.with_name(f"{ready_file.name}.log")
    with log_file.open("w") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready_file.exists():
            assert process.poll() is None, log_file.read_text()
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.05)
        yield process, ready_file.read_text().strip()
    finally:
        process.terminate()
        process.communicate(timeout=START_TIMEOUT_S)


@pytest.fixture(scope="session")
def server_process():
    """`run_server`, for the tests that end their server themselves."""
    return run_server


@pytest.fixture(scope="session")
def address(tiny_index, tmp_path_factory):
    """HOST:PORT of one server for all tests that leave it as it is."""
    with run_server(tiny_index, tmp_path_factory.mktemp("server") / "ready", "--threads", "1") as (_, address):
        yield address


@pytest.fixture
def channel(address):
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture(scope="session")
def serving(tiny_index):
    """A server in the running event loop: `async with serving(load=...) as (address, stop, task)`."""

    @asynccontextmanager
    async def serve_here(*, load=open_engine, wait_until="ready", index_dir=tiny_index, **changes):
        config = ServerConfig(index_dir=index_dir, listen="127.0.0.1:0", **changes)
        stop, addresses, is_ready = asyncio.Event(), [], asyncio.Event()
        bound = asyncio.Event()

        def on_bound(address):
            addresses.append(address)
            bound.set()

        task = asyncio.create_task(
            serve(config, stop=stop, load=load, on_bound=on_bound, on_ready=lambda *_: is_ready.set())
        )
        wanted = asyncio.create_task((is_ready if wait_until == "ready" else bound).wait())
        try:
            await asyncio.wait({wanted, task}, return_when=asyncio.FIRST_COMPLETED, timeout=START_TIMEOUT_S)
            yield addresses[0], stop, task
        finally:
            wanted.cancel()
            stop.set()
            await task

    return serve_here
