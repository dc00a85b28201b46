"""/livez, /readyz and where HTTP may be answered, in every phase of a server."""

import asyncio
import json
import os
import signal
import socket
import threading
import urllib.request
from contextlib import suppress

import pytest
from tests.server.scenarios import run

from beedex.server.config import WatchConfig
from beedex.server.engine import open_engine
from beedex.server.errors import ListenError
from beedex.server.watching import endpoint


def test_a_loading_server_lives_and_is_not_ready_until_it_serves(watched):
    may_load = threading.Event()

    def load(config):
        assert may_load.wait(timeout=60)
        return open_engine(config)

    async def scenario():
        async with watched(load=load, wait_until="bound") as server:
            said = [await server.get("/livez"), await server.get("/healthz")]
            before = await server.ask_ready()
            may_load.set()
            while (after := await server.ask_ready())[0] != 200:  # noqa: ASYNC110 - it happens in the server
                await asyncio.sleep(0.02)
            return said, before, after

    said, before, after = run(scenario)
    assert [(status, json.loads(body)) for status, body, _ in said] == [(200, {"status": "live"})] * 2
    nothing = {"fingerprint": None, "snapshot": None, "index_problem": None}
    assert before == (503, {"status": "not ready", "phase": "loading", **nothing})
    status, body = after
    assert (status, body["status"], body["phase"], body["snapshot"]) == (200, "ready", "serving", 1)
    assert len(body["fingerprint"]) == 64


def test_a_draining_server_says_so_before_it_ends(watched):
    async def scenario():
        async with watched() as server:
            server.stop.set()
            status, body = await server.ask_ready()
            assert (status, body["phase"]) == (503, "draining")
            assert (await server.get("/livez"))[0] == 200
            await server.task
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(*server.http.split(":"))

    run(scenario)


def test_what_is_not_there_is_not_found_and_nothing_can_be_changed(watched):
    async def scenario():
        async with watched() as server:
            return await server.get("/"), await server.get("/metrics/../../etc/passwd")

    for status, _, _ in run(scenario):
        assert status == 404


def test_who_connects_and_says_nothing_or_half_of_it_is_cut_off(watched, monkeypatch):
    monkeypatch.setattr(endpoint, "MOST_CONNECTED_S", 0.1)

    async def scenario():
        async with watched() as server:
            for said in (b"", b"GET /metrics HTTP/1.1\r\nHost: "):
                reader, writer = await asyncio.open_connection(*server.http.split(":"))
                writer.write(said)
                with suppress(ConnectionResetError):
                    assert await reader.read() == b""
                writer.close()
            return await server.get("/livez")

    assert run(scenario)[0] == 200


def test_http_is_off_unless_it_is_asked_for():
    assert WatchConfig().http_listen is None


def test_an_address_that_others_can_reach_is_refused_without_leave(watched):
    async def scenario():
        with pytest.raises(ListenError, match=r"watch\.allow_insecure"):
            async with watched(watch={"http_listen": "0.0.0.0:0"}):
                pass
        async with watched(watch={"http_listen": "0.0.0.0:0", "allow_insecure": True}) as server:
            assert server.http.startswith("0.0.0.0:")

    run(scenario)


def test_an_address_that_is_taken_is_refused(watched):
    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(ListenError, match=f"can't listen on {address} for HTTP"):
                async with watched(watch={"http_listen": address}):
                    pass

    run(scenario)


@pytest.mark.parametrize("address", ["9090", ":9090", "localhost:", "127.0.0.1:65536", "127.0.0.1:http"])
def test_what_is_no_address_is_refused_at_once(address):
    with pytest.raises(ValueError, match="http_listen must be HOST:PORT"):
        WatchConfig(http_listen=address)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_its_endpoint_in_good_order(server_process, tiny_index, tmp_path, number):
    options = ("--threads", "1", "--set", "watch.http_listen=127.0.0.1:0", "--set", "watch.log_format=json")
    with server_process(tiny_index, tmp_path / "ready", *options) as (process, _):
        announced = process.stdout.readline()
        assert announced.startswith("beedex: /livez, /readyz and /metrics on http://127.0.0.1:")
        with urllib.request.urlopen(f"{announced.split()[-1]}/readyz", timeout=10) as reply:  # noqa: S310 - our own server
            assert reply.status == 200
        os.kill(process.pid, number)
        assert process.wait(timeout=30) == 0
    log = (tmp_path / "ready.log").read_text()
    # The endpoint's own library adds nothing to the log.
    assert {json.loads(line)["logger"] for line in log.splitlines()} == {"beedex.server.lifecycle"}
