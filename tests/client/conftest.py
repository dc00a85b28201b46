"""A real server in a process of its own, on a real index, and clients of both faces."""

import asyncio
import inspect
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Any

import pytest

from beedex.client import AsyncClient, Client
from beedex.index.rebuild import build_index

START_TIMEOUT_S = 60


@contextmanager
def run_server(index, home, *options, listen="127.0.0.1:0"):
    """`beedex serve` in a process of its own; yields the process and HOST:PORT once it serves."""
    ready_file = home / "ready"
    ready_file.unlink(missing_ok=True)
    command = [sys.executable, "-P", "-m", "beedex.server", "--index", index, "--listen", listen]
    command += ["--threads", "1", "--ready-file", ready_file, *options]
    # A pipe that nobody reads would stop the server when its log has filled it.
    with (home / "log").open("a") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready_file.exists():
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline, "the server did not start in time"
            time.sleep(0.05)
        yield process, ready_file.read_text().strip()
    finally:
        process.terminate()
        process.communicate(timeout=START_TIMEOUT_S)


@pytest.fixture(scope="session")
def server_process():
    """`run_server`, for the tests that want a server of their own."""
    return run_server


@pytest.fixture(scope="session")
def served_index(tiny_gallery, tiny_bundle, tmp_path_factory):
    """An index of the 18 photos of `tiny_gallery`; read only."""
    index = tmp_path_factory.mktemp("server") / "index"
    build_index(tiny_gallery, tiny_bundle, index)
    return index


@pytest.fixture(scope="session")
def server_home(tmp_path_factory):
    """Where the server at `address` writes its log, a file of that name."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def address(served_index, tiny_gallery, server_home):
    """HOST:PORT of one server for all tests that leave it as it is; it knows where the photos are."""
    with run_server(served_index, server_home, "--gallery", tiny_gallery) as (_, address):
        yield address


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    """What the machine's environment says must not decide a test."""
    for name in ("BEEDEX_TOKEN", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    for name in ("BEEDEX_TARGET", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


class Blocking:
    """`AsyncClient`, whose calls are awaited here, and whose async generators are stepped here."""

    def __init__(self, runner, client):
        self._runner = runner
        self._client = client

    def __getattr__(self, name):
        call = getattr(self._client, name)
        return lambda *args, **kwargs: self._unwrap(self._runner.run(self._make(call, args, kwargs)))

    @staticmethod
    async def _make(call, args, kwargs):
        made = call(*args, **kwargs)
        return await made if inspect.isawaitable(made) else made

    def _unwrap(self, made):
        return self._step(made) if inspect.isasyncgen(made) else made

    def _step(self, generator):
        try:
            while True:
                try:
                    item = self._runner.run(anext(generator))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self._runner.run(generator.aclose())


@pytest.fixture(params=["Client", "AsyncClient"])
def connect(request):
    """A function that opens a client of either face, to be closed at the end."""
    opened: list[Any] = []
    with asyncio.Runner() as runner:

        def open_client(*args, **kwargs):
            if request.param == "Client":
                opened.append(Client(*args, **kwargs))
            else:
                opened.append(Blocking(runner, AsyncClient(*args, **kwargs)))
            return opened[-1]

        yield open_client
        for client in opened:
            client.close()


@pytest.fixture
def dead_address():
    """An address of this machine where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"
