"""How clients meet servers that are not there, slow, shy, old, new, or none at all."""

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import grpc
import pytest

from beedex.client import (
    AsyncClient,
    Client,
    ClosedClientError,
    DeadlineError,
    MisplacedClientError,
    RequestError,
    UnavailableError,
    UnsupportedError,
)
from beedex.client._calls.replies import parse_identification
from beedex.v1 import index_pb2, search_pb2


def test_nobody_listening_is_unavailable_after_the_retries(connect, dead_address):
    with pytest.raises(UnavailableError, match=f"no beedex server can be reached at {dead_address}") as caught:
        connect(dead_address).status()

    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


class ShyService:
    """A server of another age, which knows GetStatus alone: UNAVAILABLE the first *times* times that it is asked."""

    def __init__(self, times):
        self.times = times
        self.asked = 0

    def tell_status(self, request, context):
        del request
        self.asked += 1
        if self.asked <= self.times:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return index_pb2.GetStatusResponse(server_version="9.9.9")

    def describe(self):
        """Return what gRPC wants to know of it."""
        method = grpc.unary_unary_rpc_method_handler(
            self.tell_status,
            request_deserializer=index_pb2.GetStatusRequest.FromString,
            response_serializer=index_pb2.GetStatusResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler("beedex.v1.IndexService", {"GetStatus": method})


@pytest.fixture
def serve_shyly():
    """A real server whose status is UNAVAILABLE at first."""
    servers = []

    def start(times):
        server, service = grpc.server(ThreadPoolExecutor(1)), ShyService(times)
        server.add_generic_rpc_handlers((service.describe(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        return service, f"127.0.0.1:{port}"

    yield start
    for server in servers:
        server.stop(None).wait()


def test_a_server_that_is_unavailable_for_a_moment_is_tried_again(connect, serve_shyly):
    service, address = serve_shyly(times=3)

    assert connect(address).status().server_version == "9.9.9"
    assert service.asked == 4


def test_attempts_are_counted_and_can_be_switched_off(connect, serve_shyly):
    for attempts in (1, 2):
        service, address = serve_shyly(times=99)
        with pytest.raises(UnavailableError, match="not yet"):
            connect(address, attempts=attempts).status()
        assert service.asked == attempts


def test_a_server_that_lacks_a_call_is_unsupported(connect, serve_shyly):
    _, address = serve_shyly(times=0)

    with pytest.raises(UnsupportedError, match="as new as the client"):
        connect(address).families()


def test_a_verdict_of_a_newer_server_is_unsupported():
    with pytest.raises(UnsupportedError, match="received number 9"):
        parse_identification(search_pb2.IdentifyResponse(verdict=cast("search_pb2.Verdict", 9)))


def test_a_proxy_in_the_environment_is_not_asked_for_this_machine(connect, address, dead_address, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://{dead_address}")

    assert len(connect(address).families()) == 3


def test_a_server_that_does_not_answer_is_a_missed_deadline(connect):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=60)
        begin = time.monotonic()
        with pytest.raises(DeadlineError, match=r"within 0\.3 s"):
            client.status(timeout_s=0.3)

    assert time.monotonic() - begin < 10


def test_something_that_is_no_grpc_server_is_still_a_client_error(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = connect(f"127.0.0.1:{listener.getsockname()[1]}", attempts=1, timeout_s=20)

        async def answer_http():
            async def refuse(_reader, writer):
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                await writer.drain()
                writer.close()

            return await asyncio.start_server(refuse, sock=listener)

        with asyncio.Runner() as runner:
            server = runner.run(answer_http())
            call = asyncio.to_thread(client.status) if isinstance(client, Client) else client._client.status()
            with pytest.raises(UnavailableError):
                runner.run(call)
            if not isinstance(client, Client):
                runner.run(client._client.close())
            server.close()


def test_a_closed_client_says_so(connect, address):
    client = connect(address)
    client.families()
    client.close()

    with pytest.raises(ClosedClientError):
        client.families()


@pytest.mark.parametrize("options", [{"timeout_s": 0}, {"timeout_s": -1.0}, {"attempts": 0}, {"attempts": 6}])
def test_options_that_make_no_sense_are_value_errors(connect, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        connect("127.0.0.1:1", **options)


def test_a_client_left_open_warns(address):
    client = Client(address)
    client.families()

    with pytest.warns(ResourceWarning, match="never closed"):
        client.__del__()
    client.close()


def test_a_client_that_was_never_used_has_nothing_to_close():
    for face in (Client, AsyncClient):
        face("127.0.0.1:1").__del__()


def test_an_async_client_is_one_event_loops(address):
    client = AsyncClient(address)
    with asyncio.Runner() as own:
        own.run(client.families())
        with asyncio.Runner() as other, pytest.raises(MisplacedClientError, match="another event loop"):
            other.run(client.families())
        own.run(client.close())


def test_results_and_errors_carry_the_id_that_the_server_logs(connect, address, server_home):
    client = connect(address)
    answer = client.families()
    with pytest.raises(RequestError) as caught:
        client.neighbors(entry_id="bee")

    assert len({answer.request_id, caught.value.request_id}) == 2
    assert caught.value.request_id in (server_home / "log").read_text()


def test_a_client_tells_where_it_is_connected():
    with Client("127.0.0.1:1") as client:
        assert repr(client) == "<Client 127.0.0.1:1>"
    assert repr(client) == "<Client 127.0.0.1:1 closed>"


def test_a_cancelled_call_is_cancelled_and_the_client_goes_on():
    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as silent:
            async with AsyncClient(f"127.0.0.1:{silent.getsockname()[1]}") as client:
                call = asyncio.create_task(client.status())
                await asyncio.sleep(0.05)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call

    asyncio.run(scenario())


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), 1e12, float("inf")])
def test_a_timeout_that_no_clock_can_hold_is_refused_by_its_name(connect, dead_address, timeout_s):
    with pytest.raises(ValueError, match="timeout_s must be above 0 and at most 1e"):
        connect(dead_address, timeout_s=timeout_s)
