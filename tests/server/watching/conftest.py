"""A server that is watched: in the test's event loop, with what HTTP and its metrics tell at hand."""

import asyncio
import json
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from beedex.server.config import LaneConfig, ServerConfig, WatchConfig
from beedex.server.engine import open_engine
from beedex.server.lifecycle import serve

TIMEOUT_S = 60


@dataclass(frozen=True)
class Metrics:
    """What /metrics told at one moment."""

    values: dict[tuple[str, frozenset[tuple[str, str]]], float]

    def get(self, name: str, **labels: str) -> float:
        """The value of one line, 0 if there is none."""
        return self.values.get((name, frozenset(labels.items())), 0.0)

    def find(self, name: str) -> list[dict[str, str]]:
        """The labels of each line."""
        return [dict(labels) for found, labels in self.values if found == name]

    def count(self, name: str) -> dict[tuple[str, ...], float]:
        """The lines of a counter that are not 0, by the values of their labels in the order of the labels' names."""
        found = ((labels, value) for (counter, labels), value in self.values.items() if counter == name and value)
        return {tuple(value for _, value in sorted(labels)): value for labels, value in found}


@dataclass(frozen=True)
class Watched:
    """A running server."""

    address: str
    http: str
    stop: asyncio.Event
    task: "asyncio.Task[None]"

    async def get(self, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
        """The answer to an HTTP request: status, body, headers."""
        return await asyncio.to_thread(ask_http, f"http://{self.http}{path}", headers)

    async def ask_ready(self) -> tuple[int, dict[str, Any]]:
        """The status and the body of /readyz."""
        status, body, _ = await self.get("/readyz")
        return status, json.loads(body)

    async def read_metrics(self) -> Metrics:
        """What /metrics tells now."""
        _, body, _ = await self.get("/metrics")
        return Metrics(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(body)
                for sample in family.samples
            }
        )

    def connect(self) -> grpc.aio.Channel:
        """A channel to it."""
        return grpc.aio.insecure_channel(self.address)


def ask_http(url: str, headers: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310 - as above
            return reply.status, reply.read().decode(), dict(reply.headers)
    except urllib.error.HTTPError as reply:
        with reply:
            return reply.code, reply.read().decode(), dict(reply.headers)


@pytest.fixture
def watched(tiny_index):
    """`async with watched(index_dir, **configuration) as server`; bound and asked, loaded if *wait_until* is ready."""

    @asynccontextmanager
    async def serve_here(index_dir: Path = tiny_index, *, load=open_engine, wait_until="ready", watch=None, **changes):
        watch = WatchConfig(**{"http_listen": "127.0.0.1:0", **(watch or {})})
        changes = {"lane": LaneConfig(threads=1), **changes}
        config = ServerConfig(index_dir=index_dir, listen="127.0.0.1:0", watch=watch, **changes)
        stop, news = asyncio.Event(), {name: asyncio.get_running_loop().create_future() for name in ("grpc", "http")}
        ready = asyncio.Event()
        task = asyncio.create_task(
            serve(
                config,
                stop=stop,
                load=load,
                on_http=news["http"].set_result,
                on_bound=news["grpc"].set_result,
                on_ready=lambda *_: ready.set(),
            )
        )
        wanted = asyncio.create_task(ready.wait() if wait_until == "ready" else asyncio.wait(news.values()))
        try:
            await asyncio.wait({wanted, task}, return_when=asyncio.FIRST_COMPLETED, timeout=TIMEOUT_S)
            if task.done():
                task.result()
            yield Watched(news["grpc"].result(), news["http"].result(), stop, task)
        finally:
            wanted.cancel()
            stop.set()
            await task

    return serve_here


@pytest.fixture
def photos(tiny_gallery) -> list[bytes]:
    """The bytes of the gallery's photos."""
    return [path.read_bytes() for path in sorted(tiny_gallery.rglob("*.jpg"))]
