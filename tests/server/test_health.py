"""Health over a real connection, in all its states."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from beedex.server.health import HealthServicer
from beedex.server.watching.readiness import Readiness

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# The stubs of grpcio-health-checking don't know List yet.
untyped_health_pb2: Any = health_pb2

SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
A_SERVICE = "beedex.v1.SearchService"


def ask(question, *, grace_s=10.0):
    """Run `question(stub, readiness)` against a server that has nothing but health; return its answer."""

    async def scenario():
        readiness = Readiness()
        server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer((A_SERVICE,), readiness), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await question(health_pb2_grpc.HealthStub(channel), readiness)
        finally:
            await server.stop(grace_s)

    return asyncio.run(asyncio.wait_for(scenario(), timeout=20))


@pytest.mark.parametrize("service", ["", A_SERVICE])
def test_check_tells_loading_serving_and_draining_apart(service):
    async def question(stub, readiness):
        said = []
        request = health_pb2.HealthCheckRequest(service=service)
        for change in (None, readiness.serve, readiness.drain, readiness.serve):
            if change is not None:
                change()
            said.append((await stub.Check(request)).status)
        return said

    assert ask(question) == [NOT_SERVING, SERVING, NOT_SERVING, NOT_SERVING]


def test_check_of_an_unknown_service_is_not_found():
    async def question(stub, readiness):
        del readiness
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
        return caught.value.code()

    assert ask(question) is grpc.StatusCode.NOT_FOUND


def test_list_names_every_service():
    async def question(stub, readiness):
        readiness.serve()
        reply = await stub.List(untyped_health_pb2.HealthListRequest())
        return {name: reply.statuses[name].status for name in reply.statuses}

    assert ask(question) == {"": SERVING, A_SERVICE: SERVING}


def test_watch_tells_each_change_and_ends_when_the_server_drains():
    async def question(stub, readiness):
        watching = stub.Watch(health_pb2.HealthCheckRequest(service=A_SERVICE))
        said = [(await watching.read()).status]
        readiness.serve()
        said.append((await watching.read()).status)
        readiness.drain()
        said.append((await watching.read()).status)
        return said, await watching.code()

    assert ask(question) == ([NOT_SERVING, SERVING, NOT_SERVING], grpc.StatusCode.UNAVAILABLE)


def test_watch_of_an_unknown_service_says_so_and_waits():
    async def question(stub, readiness):
        watching = stub.Watch(health_pb2.HealthCheckRequest(service="nobody"))
        said = (await watching.read()).status
        readiness.drain()
        return said, await watching.code()

    assert ask(question) == (SERVICE_UNKNOWN, grpc.StatusCode.UNAVAILABLE)


def test_a_watcher_does_not_hold_up_the_stop_for_the_grace_period():
    async def question(stub, readiness):
        watching = stub.Watch(health_pb2.HealthCheckRequest())
        await watching.read()
        readiness.drain()

    # `ask` gives up long before this grace period ends.
    ask(question, grace_s=600.0)
