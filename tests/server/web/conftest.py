"""Servers with a web page: one in its own process for all tests that leave it as it is, others in the test's loop."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from beedex.index.searcher import Searcher
from beedex.server.config import ServerConfig, WebConfig
from beedex.server.engine import open_engine
from beedex.server.lifecycle import serve

TIMEOUT_S = 60
SAYING = "beedex: the web page is "


@pytest.fixture(scope="session")
def web_url(tiny_index, tiny_gallery, server_process, tmp_path_factory):
    """http://HOST:PORT of a server that shows the photos of `tiny_gallery`."""
    ready = tmp_path_factory.mktemp("web") / "ready"
    options = ("--threads", "1", "--gallery", tiny_gallery, "--web", "127.0.0.1:0")
    with server_process(tiny_index, ready, *options) as (process, _):
        line = next(line for line in process.stdout if line.startswith(SAYING))
        yield line.removeprefix(SAYING).strip().rstrip("/")


@pytest.fixture(scope="session")
def http(web_url):
    with httpx.Client(base_url=web_url, timeout=TIMEOUT_S) as client:
        yield client


@pytest.fixture(scope="session")
def photo(tiny_gallery):
    """The bytes of one photo of the gallery."""
    data: bytes = (tiny_gallery / "amber" / "amber_000.jpg").read_bytes()
    return data


@pytest.fixture(scope="session")
def tiny_searcher(tiny_index):
    with Searcher.open(tiny_index) as searcher:
        yield searcher


@dataclass
class Served:
    """A server in the test's event loop."""

    url: str
    address: str
    stop: asyncio.Event
    task: "asyncio.Task[None]"


@pytest.fixture(scope="session")
def web_serving(tiny_index):
    """`async with web_serving(web={...}, load=...) as served`."""

    @asynccontextmanager
    async def serve_here(*, load=open_engine, wait_until="ready", index_dir=tiny_index, web=None, **changes):
        page = WebConfig(**{"listen": "127.0.0.1:0", **(web or {})})
        config = ServerConfig(index_dir=index_dir, listen="127.0.0.1:0", web=page, **changes)
        stop, told, is_ready, is_there = asyncio.Event(), {}, asyncio.Event(), asyncio.Event()

        def on_web(url):
            told["url"] = url
            is_there.set()

        serving = serve(
            config,
            stop=stop,
            load=load,
            on_bound=lambda address: told.update(address=address),
            on_web=on_web,
            on_ready=lambda *_: is_ready.set(),
        )
        task = asyncio.create_task(serving)
        wanted = asyncio.create_task((is_ready if wait_until == "ready" else is_there).wait())
        try:
            await asyncio.wait({wanted, task}, return_when=asyncio.FIRST_COMPLETED, timeout=TIMEOUT_S)
            if task.done():
                task.result()
            yield Served(told["url"], told["address"], stop, task)
        finally:
            wanted.cancel()
            stop.set()
            await task

    return serve_here


@pytest.fixture(scope="session")
def server_config(tiny_index, tiny_gallery):
    """For what is tested without a server around it."""
    return ServerConfig(index_dir=tiny_index, gallery_dir=tiny_gallery)
