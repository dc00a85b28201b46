"""Which method needs which role, asked of a real server."""

import asyncio
import logging
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.server.scenarios import run

from beedex.server.access.callers import open_callers
from beedex.server.access.interceptor import AccessInterceptor
from beedex.server.access.roles import EXCEPTIONS, ROLE_BY_SERVICE, Role, find_needed_role
from beedex.server.calls.status import StatusInterceptor
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.config import ServerConfig

TIMEOUT_S = 30
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED

# Every method that the server has. One that is added is to be thought about here.
NEEDED = {
    "/beedex.v1.EmbeddingService/Embed": "reader",
    "/beedex.v1.EmbeddingService/EmbedStream": "reader",
    "/beedex.v1.IndexService/ActivateSnapshot": "admin",
    "/beedex.v1.IndexService/DeleteEntries": "admin",
    "/beedex.v1.IndexService/GetStatus": "reader",
    "/beedex.v1.IndexService/ListSnapshots": "reader",
    "/beedex.v1.IndexService/Rebuild": "admin",
    "/beedex.v1.IndexService/RollbackSnapshot": "admin",
    "/beedex.v1.IndexService/UpsertEntries": "admin",
    "/beedex.v1.SearchService/GetPhoto": "reader",
    "/beedex.v1.SearchService/Identify": "reader",
    "/beedex.v1.SearchService/IdentifyStream": "reader",
    "/beedex.v1.SearchService/ListFamilies": "reader",
    "/beedex.v1.SearchService/SearchNeighbors": "reader",
    "/grpc.health.v1.Health/Check": None,
    "/grpc.health.v1.Health/List": None,
    "/grpc.health.v1.Health/Watch": None,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "reader",
    "/inference.GRPCInferenceService/ModelInfer": "reader",
    "/inference.GRPCInferenceService/ModelMetadata": "reader",
    "/inference.GRPCInferenceService/ModelReady": None,
    "/inference.GRPCInferenceService/RepositoryIndex": "reader",
    "/inference.GRPCInferenceService/ServerLive": None,
    "/inference.GRPCInferenceService/ServerMetadata": "reader",
    "/inference.GRPCInferenceService/ServerReady": None,
}


def bear(token):
    return (("authorization", f"Bearer {token}"),)


async def read_services(channel, metadata):
    """The methods of every service, as reflection tells of them: {name: has a stream of replies}."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)

    async def ask(**question):
        call = stub.ServerReflectionInfo(metadata=metadata)
        await call.write(reflection_pb2.ServerReflectionRequest(**question))
        await call.done_writing()
        return await call.read()

    methods: dict[str, bool] = {}
    for service in (await ask(list_services="")).list_services_response.service:
        reply = await ask(file_containing_symbol=service.name)
        for data in reply.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            for declared in file.service:
                if f"{file.package}.{declared.name}" == service.name:
                    methods |= {f"/{service.name}/{method.name}": method.server_streaming for method in declared.method}
    return methods


async def call_bare(channel, method, *, is_stream, metadata=None, request=b""):
    """Send bytes as the one request; return the code and the reason of its ErrorInfo."""
    try:
        if is_stream:
            await channel.unary_stream(method)(request, metadata=metadata, timeout=TIMEOUT_S).read()
        else:
            await channel.unary_unary(method)(request, metadata=metadata, timeout=TIMEOUT_S)
    except grpc.aio.AioRpcError as error:
        packed: Any = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
        info = error_details_pb2.ErrorInfo()
        _ = [detail.Unpack(info) for detail in status_pb2.Status.FromString(packed).details]
        return error.code(), info.reason
    return grpc.StatusCode.OK, ""


def test_every_method_of_the_server_needs_the_role_that_it_should(serving, tokens, connect):
    async def scenario():
        async with serving(access=tokens.config) as (address, _, _), connect(address) as channel:
            methods = await read_services(channel, bear(tokens.reader))
            return {
                method: [
                    await call_bare(channel, method, is_stream=is_stream),
                    await call_bare(channel, method, is_stream=is_stream, metadata=bear("beedex_nobodys")),
                    await call_bare(channel, method, is_stream=is_stream, metadata=bear(tokens.reader)),
                ]
                for method, is_stream in methods.items()
            }

    outcomes = run(scenario)

    assert sorted(outcomes) == sorted(NEEDED)
    for method, (bare, unknown, reader) in outcomes.items():
        needed = NEEDED[method]
        assert (bare == (UNAUTHENTICATED, "TOKEN_MISSING")) is (needed is not None), method
        assert (unknown == (UNAUTHENTICATED, "TOKEN_UNKNOWN")) is (needed is not None), method
        assert (reader == (DENIED, "ROLE_MISSING")) is (needed == "admin"), method
        assert needed is None or reader[0] is not UNAUTHENTICATED, method


def test_the_table_names_only_what_there_is():
    services = {method.split("/")[1] for method in NEEDED}

    assert set(ROLE_BY_SERVICE) == services
    assert set(EXCEPTIONS) <= set(NEEDED)
    assert {method: find_needed_role(method) for method in NEEDED} == NEEDED


@pytest.mark.parametrize("method", ["/a.b/C", "/beedex.v1.IndexService/DropEverything", "", "/", "//", "nonsense"])
def test_what_nobody_thought_of_is_the_admins(method):
    assert find_needed_role(method) is Role.ADMIN


def test_an_admin_is_let_to_the_index_and_named_in_the_log(serving, tokens, connect, caplog):
    async def scenario():
        method = "/beedex.v1.IndexService/DeleteEntries"
        async with serving(access=tokens.config) as (address, _, _), connect(address) as channel:
            return await call_bare(channel, method, is_stream=False, metadata=bear(tokens.admin))

    with caplog.at_level(logging.INFO):
        code, _ = run(scenario)

    assert code not in {UNAUTHENTICATED, DENIED}
    assert "/beedex.v1.IndexService/DeleteEntries called by ann" in caplog.messages


def test_without_tokens_and_certificates_everybody_on_the_machine_is_let_in(serving, connect):
    async def scenario():
        async with serving() as (address, _, _), connect(address) as channel:
            method = "/beedex.v1.IndexService/DeleteEntries"
            return await call_bare(channel, method, is_stream=False)

    assert run(scenario)[0] not in {UNAUTHENTICATED, DENIED}


@pytest.mark.parametrize(
    "metadata",
    [
        (("authorization", "beedex_reader-token"),),
        (("authorization", "Basic beedex_reader-token"),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer "),),
        (("authorization", ""),),
        (("x-authorization", "Bearer beedex_reader-token"),),
        (("authorization-bin", b"Bearer beedex_reader-token"),),
        (("authorization", "Bearer beedex_reader-token"), ("authorization", "Bearer beedex_reader-token")),
    ],
)
def test_a_token_counts_only_where_and_how_it_belongs(serving, tokens, connect, metadata):
    async def scenario():
        async with serving(access=tokens.config) as (address, _, _), connect(address) as channel:
            method = "/beedex.v1.IndexService/GetStatus"
            return await call_bare(channel, method, is_stream=False, metadata=metadata)

    assert run(scenario) == (UNAUTHENTICATED, "TOKEN_MISSING")


@pytest.mark.parametrize("text", ["bearer {}", "BEARER {}", "Bearer   {}"])
def test_the_word_before_the_token_is_taken_in_any_case(serving, tokens, connect, text):
    async def scenario():
        async with serving(access=tokens.config) as (address, _, _), connect(address) as channel:
            metadata = (("authorization", text.format(tokens.reader)),)
            return await call_bare(channel, "/beedex.v1.IndexService/GetStatus", is_stream=False, metadata=metadata)

    assert run(scenario) == (grpc.StatusCode.OK, "")


def test_what_a_stranger_sends_is_not_even_read(serving, tokens, connect):
    async def scenario():
        async with serving(access=tokens.config) as (address, _, _), connect(address) as channel:
            most = ServerConfig(index_dir=Path("x")).limits.max_message_bytes
            method = "/beedex.v1.EmbeddingService/Embed"
            # Bytes that are no message, and more of them than the server takes from anybody.
            requests = [b"\xff" * 100, b"\xff" * (most + 1)]
            return [await call_bare(channel, method, is_stream=False, request=request) for request in requests]

    assert run(scenario) == [(UNAUTHENTICATED, "TOKEN_MISSING")] * 2


def test_refused_calls_are_counted_with_code_and_reason(tokens, connect):
    config = ServerConfig(index_dir=Path("x"), listen="127.0.0.1:0", access=tokens.config)

    class Listener:
        ended: ClassVar = []

        def end_work(self, work):
            self.ended.append(work)

        def end_call(self, call):
            self.ended.append((call.method, call.code, call.reason))

    async def answer_nothing(request, context):
        raise AssertionError(request, context)

    async def scenario():
        callers, listener = open_callers(config), Listener()
        access = None if callers is None else AccessInterceptor(callers)
        assert access is not None
        server = grpc.aio.server(
            interceptors=[TrafficWatch(listeners=[listener]), StatusInterceptor(), access],
            handlers=[
                grpc.method_handlers_generic_handler(
                    method.split("/")[1], {method.split("/")[2]: grpc.unary_unary_rpc_method_handler(answer_nothing)}
                )
                for method in ("/beedex.v1.SearchService/Identify", "/beedex.v1.IndexService/Rebuild")
            ],
        )
        port = server.add_insecure_port(config.listen)
        await server.start()
        async with connect(f"127.0.0.1:{port}") as channel:
            await call_bare(channel, "/beedex.v1.SearchService/Identify", is_stream=False)
            await call_bare(channel, "/beedex.v1.IndexService/Rebuild", is_stream=False, metadata=bear(tokens.reader))
        await server.stop(0)
        return listener.ended

    assert run(scenario) == [
        ("/beedex.v1.SearchService/Identify", UNAUTHENTICATED, "TOKEN_MISSING"),
        ("/beedex.v1.IndexService/Rebuild", DENIED, "ROLE_MISSING"),
    ]


def test_a_token_that_is_taken_back_is_refused_and_a_new_one_counts_without_a_restart(serving, tokens, connect):
    method, question = "/beedex.v1.IndexService/GetStatus", reflection_pb2.ServerReflectionRequest(list_services="")

    async def scenario():
        async with serving(access=tokens.config) as (address, _, _), connect(address) as channel:
            stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
            stream = stub.ServerReflectionInfo(metadata=bear(tokens.reader))
            await stream.write(question)
            await stream.read()
            tokens.write(carl=(Role.READER, "beedex_carls"))
            while (await call_bare(channel, method, is_stream=False, metadata=bear("beedex_carls")))[1]:  # noqa: ASYNC110 - the server looks now and then
                await asyncio.sleep(0.05)
            outcome = await call_bare(channel, method, is_stream=False, metadata=bear(tokens.reader))
            # A stream that is open goes on: it is bounded by its length and its idle time.
            await stream.write(question)
            await stream.done_writing()
            return outcome, await stream.read()

    outcome, reply = run(scenario)

    assert outcome == (UNAUTHENTICATED, "TOKEN_UNKNOWN")
    assert reply.list_services_response.service


def test_a_token_file_without_tokens_lets_nobody_in_but_those_who_ask_for_health(serving, tokens, connect, caplog):
    tokens.path.write_text("# nobody yet\n")

    async def scenario():
        async with serving(access=tokens.config) as (address, _, _), connect(address) as channel:
            methods = ("/beedex.v1.IndexService/GetStatus", "/grpc.health.v1.Health/Check")
            return [await call_bare(channel, m, is_stream=False, metadata=bear(tokens.reader)) for m in methods]

    assert run(scenario) == [(UNAUTHENTICATED, "TOKEN_UNKNOWN"), (grpc.StatusCode.OK, "")]
    assert "has no tokens, so nobody may ask" in caplog.text
