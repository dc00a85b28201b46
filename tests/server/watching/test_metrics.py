"""What /metrics tells, against what a client saw."""

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from tests.server.scenarios import run

from beedex.index.rebuild import build_index
from beedex.index.snapshots import load_manifest
from beedex.server.config import AccessConfig, LaneConfig
from beedex.server.watching.readiness import Phase
from beedex.v1 import index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc, types_pb2

# Typed as if every channel were a blocking one, where nothing is known of the channel.
SearchStub: Any = search_pb2_grpc.SearchServiceStub
IndexStub: Any = index_pb2_grpc.IndexServiceStub

IDENTIFY = "/beedex.v1.SearchService/Identify"
IDENTIFY_STREAM = "/beedex.v1.SearchService/IdentifyStream"
GET_STATUS = "/beedex.v1.IndexService/GetStatus"


def ask_about(photo: bytes) -> search_pb2.IdentifyRequest:
    return search_pb2.IdentifyRequest(query=types_pb2.Query(photo=photo))


async def code_of(asked) -> str:
    try:
        await asked
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


def test_requests_are_counted_by_method_code_and_reason(watched, photos):
    async def scenario():
        async with watched() as server, server.connect() as channel:
            search = SearchStub(channel)
            for photo in (photos[0], photos[1], b"no photo", b""):
                await code_of(search.Identify(ask_about(photo)))
            await IndexStub(channel).GetStatus(index_pb2.GetStatusRequest())
            return await server.read_metrics()

    metrics = run(scenario)
    assert metrics.count("beedex_requests_total") == {
        ("OK", IDENTIFY, ""): 2,
        ("INVALID_ARGUMENT", IDENTIFY, "NOT_A_PHOTO"): 1,
        ("INVALID_ARGUMENT", IDENTIFY, "EMPTY"): 1,
        ("OK", GET_STATUS, ""): 1,
    }
    assert metrics.get("beedex_request_duration_seconds_count", method=IDENTIFY, code="OK") == 2
    assert metrics.get("beedex_request_duration_seconds_count", method=IDENTIFY, code="INVALID_ARGUMENT") == 2


def test_a_crowd_is_counted_as_its_clients_saw_it(watched, photos):
    async def scenario():
        lane = LaneConfig(threads=1, capacity=2)
        async with watched(lane=lane) as server, server.connect() as channel:
            search = SearchStub(channel)
            asked = [search.Identify(ask_about(photo)) for photo in [*photos, b"no photo"] * 5]
            seen = Counter(await asyncio.gather(*map(code_of, asked)))
            metrics = await server.read_metrics()
            counted: Counter[str] = Counter()
            for (code, _, _), value in metrics.count("beedex_requests_total").items():
                counted[code] += int(value)
            return seen, counted

    seen, counted = run(scenario)
    assert {"OK", "RESOURCE_EXHAUSTED"} <= seen.keys()
    assert counted == seen


def test_faults_are_told_of_every_method_before_there_is_one(watched):
    async def scenario():
        async with watched() as server:
            return await server.read_metrics()

    told = {line["method"] for line in run(scenario).find("beedex_requests_total") if line["code"] == "INTERNAL"}
    assert {IDENTIFY, IDENTIFY_STREAM, GET_STATUS, "/inference.GRPCInferenceService/ModelInfer"} <= told


def test_every_stage_of_a_photo_is_timed(watched, photos):
    async def scenario():
        async with watched() as server, server.connect() as channel:
            await SearchStub(channel).Identify(ask_about(photos[0]))
            return await server.read_metrics()

    metrics = run(scenario)
    name = "beedex_stage_duration_seconds"
    for stage in ("decode", "inference", "search"):
        assert metrics.get(f"{name}_count", stage=stage) == 1, stage
    assert metrics.get(f"{name}_count", stage="queue") >= 1
    within = sum(metrics.get(f"{name}_sum", stage=stage) for stage in ("decode", "queue", "inference", "search"))
    assert within <= metrics.get("beedex_request_duration_seconds_sum", method=IDENTIFY, code="OK")


def test_what_the_door_refuses_is_counted_with_its_reason(watched, photos, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"bob reader {'0' * 64}\n")
    tokens.chmod(0o600)

    async def scenario():
        async with watched(access=AccessConfig(tokens=tokens)) as server, server.connect() as channel:
            search = SearchStub(channel)
            assert await code_of(search.Identify(ask_about(photos[0]))) == "UNAUTHENTICATED"
            return await server.read_metrics()

    metrics = run(scenario)
    refused = {"method": IDENTIFY, "code": "UNAUTHENTICATED", "reason": "TOKEN_MISSING"}
    assert metrics.get("beedex_calls_total", **refused) == 1


def test_a_stream_is_one_call_of_many_requests(watched, photos):
    async def scenario():
        async with watched() as server, server.connect() as channel:
            stream = SearchStub(channel).IdentifyStream()
            for photo in (photos[0], b"no photo", photos[1]):
                await stream.write(search_pb2.IdentifyStreamRequest(request=ask_about(photo)))
                await stream.read()
            during = await server.read_metrics()
            await stream.done_writing()
            await stream.code()
            return during, await server.read_metrics()

    during, after = run(scenario)
    assert during.get("beedex_open_streams", method=IDENTIFY_STREAM) == 1
    assert after.get("beedex_open_streams", method=IDENTIFY_STREAM) == 0
    assert after.get("beedex_calls_total", method=IDENTIFY_STREAM, code="OK", reason="") == 1
    assert after.get("beedex_requests_total", method=IDENTIFY_STREAM, code="OK", reason="") == 2
    refused = {"method": IDENTIFY_STREAM, "code": "INVALID_ARGUMENT", "reason": "NOT_A_PHOTO"}
    assert after.get("beedex_requests_total", **refused) == 1


def test_probes_and_made_up_methods_are_calls_and_no_requests(watched):
    async def scenario():
        async with watched() as server, server.connect() as channel:
            check = channel.unary_unary("/grpc.health.v1.Health/Check")
            await check(health_pb2.HealthCheckRequest().SerializeToString())
            for name in ("a", "b", "c"):
                assert await code_of(channel.unary_unary(f"/made.up/{name}")(b"")) == "UNIMPLEMENTED"
            return await server.read_metrics()

    metrics = run(scenario)
    assert metrics.count("beedex_requests_total") == {}
    assert metrics.get("beedex_calls_total", method="/grpc.health.v1.Health/Check", code="OK", reason="") == 1
    assert metrics.get("beedex_calls_total", method="unknown", code="UNIMPLEMENTED", reason="") == 3


def test_a_photo_that_comes_again_is_a_hit_of_the_cache(watched, photos):
    async def scenario():
        async with watched() as server, server.connect() as channel:
            search = SearchStub(channel)
            for photo in (photos[0], photos[1], photos[0]):
                await search.Identify(ask_about(photo))
            return await server.read_metrics()

    metrics = run(scenario)
    name = "beedex_embedding_cache"
    assert metrics.get(f"{name}_hits_total") == 1
    assert metrics.get(f"{name}_misses_total") == 2
    assert metrics.get(f"{name}_photos") == 2
    assert metrics.get(f"{name}_bytes") > 0


def test_what_is_served_is_told_and_follows_the_index(watched, tiny_gallery_copy, tiny_bundle, tmp_path):
    index = tmp_path / "index"
    build_index(tiny_gallery_copy, tiny_bundle, index)

    async def scenario():
        async with watched(index) as server:
            before = await server.read_metrics()
            (tiny_gallery_copy / "amber").rename(tiny_gallery_copy / "violet")
            for photo in (tiny_gallery_copy / "blue").iterdir():
                photo.unlink()
            await asyncio.to_thread(build_index, tiny_gallery_copy, tiny_bundle, index)
            while True:
                after = await server.read_metrics()
                if after.get("beedex_snapshot_version") == 2:
                    return before, after

    before, after = run(scenario)
    for metrics, version, entries, families in ((before, 1, 18, 3), (after, 2, 12, 2)):
        manifest = load_manifest(index, version)
        assert metrics.get("beedex_snapshot_version") == version
        assert metrics.get("beedex_index_entries") == entries
        assert metrics.get("beedex_index_families") == families
        (served,) = metrics.find("beedex_index_info")
        assert served == {"fingerprint": manifest.fingerprint, "snapshot": str(version), "index_kind": "flat"}
        built_at = datetime.fromisoformat(manifest.created_at).timestamp()
        assert metrics.get("beedex_snapshot_built_timestamp_seconds") == built_at
        # Manifests tell whole seconds.
        assert metrics.get("beedex_snapshot_served_timestamp_seconds") >= built_at
    name = "beedex_snapshot_served_timestamp_seconds"
    assert after.get(name) > before.get(name)


def test_the_lane_and_the_process_are_told(watched):
    async def scenario():
        async with watched(lane=LaneConfig(threads=1, capacity=7)) as server:
            return await server.read_metrics()

    metrics = run(scenario)
    assert metrics.get("beedex_lane_capacity") == 7
    assert metrics.get("beedex_lane_depth") == 0
    assert len(metrics.find("beedex_lane_expected_wait_seconds")) == 1
    assert metrics.get("process_resident_memory_bytes") > 1e6
    assert metrics.get("process_open_fds") > 3
    assert metrics.get("beedex_process_threads") > 1
    phases = {line["phase"]: metrics.get("beedex_phase", **line) for line in metrics.find("beedex_phase")}
    assert phases == {phase.value: float(phase is Phase.SERVING) for phase in Phase}
    assert metrics.get("beedex_index_problem") == 0


def test_two_servers_of_one_process_count_for_themselves(watched):
    async def scenario():
        async with watched() as one, watched() as other, one.connect() as channel:
            await IndexStub(channel).GetStatus(index_pb2.GetStatusRequest())
            return await one.read_metrics(), await other.read_metrics()

    for metrics, count in zip(run(scenario), (1, 0), strict=True):
        assert metrics.get("beedex_requests_total", method=GET_STATUS, code="OK", reason="") == count


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [("", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
def test_a_scraper_gets_the_format_that_it_asks_for(watched, accept, media_type):
    async def scenario():
        async with watched() as server:
            return await server.get("/metrics", Accept=accept)

    status, body, headers = run(scenario)
    assert status == 200
    assert headers["content-type"].startswith(media_type)
    assert body.endswith("# EOF\n") == ("openmetrics" in media_type)
