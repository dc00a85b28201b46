"""Traces, as a collector gets them."""

import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from tests.server.scenarios import run

from beedex.server.engine import open_engine
from beedex.v1 import search_pb2, search_pb2_grpc, types_pb2

# Typed as if every channel were a blocking one, where nothing is known of the channel.
SearchStub: Any = search_pb2_grpc.SearchServiceStub

IDENTIFY = "beedex.v1.SearchService/Identify"
IDENTIFY_STREAM = "beedex.v1.SearchService/IdentifyStream"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE_ID}-{PARENT_ID}-01", f"00-{TRACE_ID}-{PARENT_ID}-00"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what is sent."""

    def __init__(self):
        self.resources, self.spans = [], []

    async def Export(self, request, context):  # noqa: N802 - the protocol's name
        del context
        for sent in request.resource_spans:
            self.resources.append(read_attributes(sent.resource))
            self.spans += [span for scope in sent.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def find(self, name):
        """The spans of that name, oldest first."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_time_unix_nano)


def read_attributes(carrier):
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in carrier.attributes}


@asynccontextmanager
async def collect():
    """A collector and its address."""
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield collector, f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)


async def identify(channel, photo, traceparent=None):
    metadata = () if traceparent is None else (("traceparent", traceparent),)
    request = search_pb2.IdentifyRequest(query=types_pb2.Query(photo=photo))
    await SearchStub(channel).Identify(request, metadata=metadata)


def test_a_request_is_a_span_in_its_callers_trace_with_a_span_for_each_stage(watched, photos):
    async def scenario():
        async with collect() as (collector, endpoint):
            async with watched(watch={"traces_endpoint": endpoint}) as server, server.connect() as channel:
                await identify(channel, photos[0], SAMPLED)
                fingerprint = (await server.ask_ready())[1]["fingerprint"]
            return collector, fingerprint

    collector, fingerprint = run(scenario)
    (span,) = collector.find(IDENTIFY)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE_ID, PARENT_ID)
    attributes = read_attributes(span)
    assert attributes["rpc.grpc.status_code"] == 0
    assert (attributes["beedex.fingerprint"], attributes["beedex.snapshot"]) == (fingerprint, 1)
    assert attributes["beedex.is_cached"] is False
    assert attributes["beedex.request_id"]

    stages = [stage for stage in collector.spans if stage.parent_span_id == span.span_id]
    assert {stage.name for stage in stages} == {"queue", "decode", "inference", "search"}
    for stage in stages:
        assert stage.trace_id == span.trace_id
        assert span.start_time_unix_nano <= stage.start_time_unix_nano <= stage.end_time_unix_nano
        assert stage.end_time_unix_nano <= span.end_time_unix_nano
    order = sorted(stages, key=lambda stage: stage.end_time_unix_nano)
    assert [stage.name for stage in order if stage.name != "queue"] == ["decode", "inference", "search"]
    assert all(resource["service.name"] == "beedex" for resource in collector.resources)


def test_a_fault_is_an_error_and_a_callers_mistake_is_none(watched, photos):
    async def trace(load, photo):
        async with collect() as (collector, endpoint):
            watch = {"traces_endpoint": endpoint}
            async with watched(load=load, watch=watch) as server, server.connect() as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await identify(channel, photo)
            (span,) = collector.find(IDENTIFY)
            return span.status.code, read_attributes(span)

    def load_broken(config):
        engine = open_engine(config)
        # Nothing foresees that.
        engine.decoder.close()
        return engine

    status, attributes = run(lambda: trace(open_engine, b"no photo"))
    assert status == trace_pb2.Status.STATUS_CODE_UNSET
    assert attributes["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert attributes["error.type"] == "NOT_A_PHOTO"

    status, attributes = run(lambda: trace(load_broken, photos[0]))
    assert status == trace_pb2.Status.STATUS_CODE_ERROR
    assert attributes["rpc.grpc.status_code"] == grpc.StatusCode.INTERNAL.value[0]


def test_each_item_of_a_stream_is_a_span(watched, photos):
    async def scenario():
        async with collect() as (collector, endpoint):
            async with watched(watch={"traces_endpoint": endpoint}) as server, server.connect() as channel:
                stream = SearchStub(channel).IdentifyStream(metadata=(("traceparent", SAMPLED),))
                for photo in photos[:3]:
                    request = search_pb2.IdentifyRequest(query=types_pb2.Query(photo=photo))
                    await stream.write(search_pb2.IdentifyStreamRequest(request=request))
                    await stream.read()
                await stream.done_writing()
                await stream.code()
            return collector

    spans = run(scenario).find(IDENTIFY_STREAM)
    ids = [read_attributes(span)["beedex.request_id"] for span in spans]
    assert [request_id.rpartition("/")[2] for request_id in ids] == ["1", "2", "3"]
    assert {span.parent_span_id.hex() for span in spans} == {PARENT_ID}


@pytest.mark.parametrize(
    ("traceparent", "share", "spans"),
    [
        (None, 1.0, 1),
        (None, 0.0, 0),
        (SAMPLED, 0.0, 1),
        (UNSAMPLED, 1.0, 0),
        ("nonsense", 1.0, 1),
        (f"00-{TRACE_ID}-{PARENT_ID}-zz", 1.0, 1),
    ],
)
def test_a_caller_says_whether_a_request_is_traced_and_chance_where_none_does(
    watched, photos, traceparent, share, spans
):
    async def scenario():
        async with collect() as (collector, endpoint):
            watch = {"traces_endpoint": endpoint, "traces_share": share}
            async with watched(watch=watch) as server, server.connect() as channel:
                await identify(channel, photos[0], traceparent)
            return collector

    assert len(run(scenario).find(IDENTIFY)) == spans


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_collector_that_is_away_or_silent_fails_no_request_and_keeps_no_server_from_ending(
    watched, photos, is_silent
):
    async def scenario():
        with socket.create_server(("127.0.0.1", 0)) as nobody:
            away = f"http://127.0.0.1:{nobody.getsockname()[1]}"
            if not is_silent:
                nobody.close()
            async with watched(watch={"traces_endpoint": away}) as server, server.connect() as channel:
                for photo in photos:
                    await identify(channel, photo)

    run(scenario)


def run_python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_traces_without_their_extra_are_one_clear_error(tiny_index):
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from beedex.server.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    endpoint = "watch.traces_endpoint=http://127.0.0.1:4317"
    done = run_python(code, "--index", tiny_index, "--listen", "127.0.0.1:0", "--set", endpoint)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("beedex: error: traces are asked for")
    assert "pip install 'beedex[otel]'" in line


def test_nothing_of_opentelemetry_and_of_http_is_imported_unless_asked_for(tiny_index):
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from beedex.server.config import ServerConfig\n"
        "from beedex.server.lifecycle import serve\n"
        "async def live():\n"
        "    stop = asyncio.Event()\n"
        "    config = ServerConfig(index_dir=Path(sys.argv[1]), listen='127.0.0.1:0')\n"
        "    await serve(config, stop=stop, on_ready=lambda *_: stop.set())\n"
        "asyncio.run(live())\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'opentelemetry', 'starlette', 'uvicorn'}))"
    )
    done = run_python(code, tiny_index)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
