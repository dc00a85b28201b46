"""Servers that are slow, die, come back, refuse or talk nonsense: what the caller gets is the client's own error."""

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from tests.client.strangers import STREAMED_REPLIES, STREAMED_REQUESTS, Stranger, refuse, serve_stranger

from beedex.client import (
    AsyncClient,
    Client,
    ClientError,
    DeadlineError,
    ServerFaultError,
    UnavailableError,
)
from beedex.client._calls.methods import EMBED_STREAM, GET_PHOTO, IDENTIFY, METHODS, REBUILD
from beedex.client._connections.async_connection import AsyncConnection
from beedex.client._connections.channel import ChannelConfig
from beedex.client._connections.connection import Connection
from beedex.client._connections.failures import ERROR_BY_CODE

TIMEOUT_S = 60
NONSENSE = b"\xff\xff\xff"


def make_calls(connection, methods=METHODS, timeout_s=None):
    """Make a call of each method to its end; yield its name and what it raised."""
    for method in methods:
        deadline = connection.start(timeout_s)
        request = method.request()
        try:
            if method.name not in STREAMED_REPLIES:
                connection.call(method, request, deadline)
            else:
                requests = iter([request]) if method.name in STREAMED_REQUESTS else request
                with connection.open(method, requests, deadline) as replies:
                    list(replies)
        except Exception as error:  # noqa: BLE001 - which it is, is what the test is about
            yield method.name, error
        else:
            yield method.name, None


async def make_calls_async(connection, methods=METHODS, timeout_s=None):
    """The same with asyncio."""
    for method in methods:
        deadline = connection.start(timeout_s)
        request = method.request()
        try:
            if method.name not in STREAMED_REPLIES:
                await connection.call(method, request, deadline)
            else:
                is_written = method.name in STREAMED_REQUESTS
                async with await connection.open(method, None if is_written else request, deadline) as replies:
                    if is_written:
                        await replies.write(request)
                        await replies.done_writing()
                    _ = [reply async for reply in replies]
        except Exception as error:  # noqa: BLE001 - see above
            yield method.name, error
        else:
            yield method.name, None


@pytest.fixture(params=["Client", "AsyncClient"])
def fail_all(request):
    """A function that makes a call of each method and returns what they raise, by name."""

    async def scenario(config, **options):
        connection = AsyncConnection(config)
        raised = {name: error async for name, error in make_calls_async(connection, **options)}
        await connection.close()
        return raised

    def run(address, **options):
        config = ChannelConfig(target=address, attempts=1)
        if request.param == "AsyncClient":
            return asyncio.run(scenario(config, **options))
        connection = Connection(config)
        raised = dict(make_calls(connection, **options))
        connection.close()
        return raised

    return run


def require_ours(raised, kind=ClientError):
    """Check that each call raised an error of the client, which says more than nothing."""
    for name, error in raised.items():
        assert isinstance(error, kind), (name, error)
        assert not isinstance(error, grpc.RpcError)
        assert str(error)
        assert isinstance(error.__cause__, grpc.RpcError), name
        assert len(error.request_id) == 32, name


@pytest.mark.parametrize("code", ERROR_BY_CODE, ids=lambda code: code.name)
def test_whatever_a_server_ends_calls_with_is_the_clients_error(fail_all, code):
    def answer(_request, context):
        refuse(context, code)

    def answer_stream(_request, context):
        yield b""
        refuse(context, code)

    def answer_items(requests, context):
        # gRPC forgets the server's code where it ends a stream that is still written to.
        list(requests)
        yield from answer_stream(None, context)

    answers = {method.name: answer_stream if method.name in STREAMED_REPLIES else answer for method in METHODS}
    answers |= dict.fromkeys(STREAMED_REQUESTS, answer_items)
    with serve_stranger(Stranger(answers)) as address:
        raised = fail_all(address)

    require_ours(raised)
    assert {error.code for error in raised.values()} == {code}


def test_a_server_that_is_not_there_is_unavailable_for_every_call(fail_all, dead_address):
    require_ours(fail_all(dead_address), UnavailableError)


def test_a_server_that_knows_no_call_is_no_reason_for_errors_of_grpc(fail_all):
    with serve_stranger(Stranger({})) as address:
        require_ours(fail_all(address))


def test_replies_that_are_no_messages_are_a_fault_of_the_server(fail_all):
    def answer(_request, _context):
        return NONSENSE

    def answer_stream(_request, _context):
        yield NONSENSE

    answers = {method.name: answer_stream if method.name in STREAMED_REPLIES else answer for method in METHODS}
    with serve_stranger(Stranger(answers)) as address:
        raised = fail_all(address)

    for name, error in raised.items():
        assert isinstance(error, ServerFaultError), (name, error)


def test_a_reply_larger_than_grpc_takes_is_the_clients_error(fail_all):
    methods = [method for method in METHODS if method.name not in STREAMED_REPLIES]
    reply = b"\xa2\x7d" + b"\x80\x80\xc0\x02" + bytes(5 * 1024 * 1024)
    with serve_stranger(Stranger({method.name: lambda *_: reply for method in methods})) as address:
        require_ours(fail_all(address, methods=methods))


def test_every_call_has_a_deadline_streams_too(fail_all):
    over = threading.Event()

    def answer(_request, _context):
        over.wait(TIMEOUT_S)
        return b""

    def answer_stream(_request, _context):
        over.wait(TIMEOUT_S)
        yield b""

    answers = {method.name: answer_stream if method.name in STREAMED_REPLIES else answer for method in METHODS}
    with serve_stranger(Stranger(answers)) as address:
        try:
            raised = fail_all(address, methods=[EMBED_STREAM, GET_PHOTO, IDENTIFY, REBUILD], timeout_s=0.2)
        finally:
            over.set()

    require_ours(raised, DeadlineError)
    assert all("within 0.2 s" in str(error) for error in raised.values())


def test_a_server_that_hangs_dies_and_comes_back_is_met_by_the_same_clients(served_index, server_process, tmp_path):
    with asyncio.Runner() as runner, ThreadPoolExecutor(1) as pool:
        with server_process(served_index, tmp_path) as (process, address):
            client, twin = Client(address, attempts=1), AsyncClient(address, attempts=1)
            faces = (client.families, lambda **options: runner.run(twin.families(**options)))
            assert [len(ask()) for ask in faces] == [3, 3]

            process.send_signal(signal.SIGSTOP)
            for ask in faces:
                with pytest.raises(DeadlineError):
                    ask(timeout_s=0.2)
            process.send_signal(signal.SIGCONT)
            assert [len(ask()) for ask in faces] == [3, 3]

            process.send_signal(signal.SIGSTOP)
            call = pool.submit(client.families)
            task = runner.get_loop().create_task(twin.families())
            runner.run(asyncio.sleep(0.2))
            process.kill()
            with pytest.raises(UnavailableError):
                call.result(TIMEOUT_S)
            with pytest.raises(UnavailableError):
                runner.run(asyncio.wait_for(task, TIMEOUT_S))

        with server_process(served_index, tmp_path, listen=address):
            assert [len(ask(timeout_s=20)) for ask in faces] == [3, 3]
            client.close()
            runner.run(twin.close())
