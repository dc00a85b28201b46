"""The embedding lane, driven by hand: its stages, its bound, and who leaves it before the end."""

import asyncio

import numpy as np
import pytest
from tests.server.lane_driver import make_lane, run, settle

from beedex.index.errors import PhotoError, PhotoReason
from beedex.server.errors import LaneFullError, LateError
from beedex.server.lane.stages import ThreadedDecoder


def test_a_photo_is_decoded_and_then_embedded():
    async def scenario():
        lane, decoder, embedder, _ = make_lane()
        answer = asyncio.create_task(lane.embed(b"photo"))
        await settle()
        decoder.finish(0, "image")
        await settle()
        embedder.finish(0, "vector")
        return await answer, decoder.works(), embedder.works(), lane.depth

    assert run(scenario) == ("vector", [b"photo"], ["image"], 0)


def test_a_stage_runs_as_many_as_it_has_places_and_the_others_in_order():
    async def scenario():
        lane, decoder, _, _ = make_lane(decoders=2)
        answers = [asyncio.create_task(lane.embed(bytes([number]))) for number in range(4)]
        await settle()
        before = decoder.works()
        decoder.finish(1, "image")
        await settle()
        after = decoder.works()
        for answer in answers:
            answer.cancel()
        return before, after

    assert run(scenario) == ([b"\x00", b"\x01"], [b"\x00", b"\x01", b"\x02"])


def test_a_full_lane_refuses_at_the_door_and_says_when_to_come_back():
    async def scenario():
        lane, decoder, _, _ = make_lane(capacity=2)
        answers = [asyncio.create_task(lane.embed(b"photo")) for _ in range(2)]
        await settle()
        with pytest.raises(LaneFullError) as caught:
            await lane.embed(b"one too many")
        depth = lane.depth
        for answer in answers:
            answer.cancel()
        await settle()
        return caught.value, depth, decoder.works(), lane.depth

    error, depth, works, depth_afterwards = run(scenario)

    assert error.reason == "LANE_FULL"
    assert error.retry_after_s is not None
    assert error.retry_after_s > 0
    assert error.values == {"capacity": 2, "depth": 2}
    assert (depth, works, depth_afterwards) == (2, [b"photo"], 0)


def test_a_photo_that_left_makes_room():
    async def scenario():
        lane, decoder, embedder, _ = make_lane(capacity=1)
        first = asyncio.create_task(lane.embed(b"first"))
        await settle()
        decoder.finish(0, "image")
        await settle()
        embedder.finish(0, "vector")
        await first
        second = asyncio.create_task(lane.embed(b"second"))
        await settle()
        second.cancel()
        return decoder.works()

    assert run(scenario) == [b"first", b"second"]


def test_a_photo_whose_deadline_passed_in_the_line_is_dropped_before_it_is_decoded():
    async def scenario():
        lane, decoder, _, clock = make_lane()
        first = asyncio.create_task(lane.embed(b"first"))
        late = asyncio.create_task(lane.embed(b"late", timeout_s=5))
        patient = asyncio.create_task(lane.embed(b"patient", timeout_s=50))
        await settle()
        clock.now += 6
        decoder.finish(0, "image")
        await settle()
        with pytest.raises(LateError):
            await late
        first.cancel()
        patient.cancel()
        return decoder.works()

    assert run(scenario) == [b"first", b"patient"]


def test_a_photo_whose_deadline_passed_after_decoding_is_dropped_before_inference():
    async def scenario():
        lane, decoder, embedder, clock = make_lane()
        late = asyncio.create_task(lane.embed(b"late", timeout_s=5))
        await settle()
        clock.now += 5
        decoder.finish(0, "image")
        with pytest.raises(LateError):
            await late
        return embedder.works()

    assert run(scenario) == []


def test_a_cancelled_photo_leaves_the_line_without_being_worked_on():
    async def scenario():
        lane, decoder, _, _ = make_lane()
        first, gone, last = (asyncio.create_task(lane.embed(name)) for name in (b"first", b"gone", b"last"))
        await settle()
        gone.cancel()
        await settle()
        depth = lane.depth
        decoder.finish(0, "image")
        await settle()
        first.cancel()
        last.cancel()
        return depth, decoder.works()

    assert run(scenario) == (2, [b"first", b"last"])


def test_a_place_stays_taken_while_work_that_nobody_waits_for_is_running():
    async def scenario():
        lane, decoder, embedder, _ = make_lane(decoders=2)
        gone, waiting = (asyncio.create_task(lane.embed(name)) for name in (b"gone", b"waiting"))
        await settle()
        decoder.finish(0, "gone's image")
        decoder.finish(1, "waiting's image")
        await settle()
        gone.cancel()
        await settle()
        while_running = embedder.works()
        embedder.finish(0, "nobody's vector")
        await settle()
        afterwards = embedder.works()
        embedder.finish(1, "vector")
        return while_running, afterwards, await waiting

    assert run(scenario) == (["gone's image"], ["gone's image", "waiting's image"], "vector")


def test_a_photo_error_reaches_its_caller_and_frees_the_place():
    async def scenario():
        lane, decoder, _, _ = make_lane()
        bad, good = (asyncio.create_task(lane.embed(name)) for name in (b"bad", b"good"))
        await settle()
        decoder.started[0][1].set_exception(PhotoError(PhotoReason.DAMAGED, "cut off"))
        with pytest.raises(PhotoError, match="cut off"):
            await bad
        await settle()
        good.cancel()
        return decoder.works()

    assert run(scenario) == [b"bad", b"good"]


def test_the_threaded_decoder_decodes_on_its_own_threads():
    decoder = ThreadedDecoder(lambda photo: np.frombuffer(photo, np.uint8), threads=2)

    try:
        assert decoder.submit(b"\x07").result(timeout=10).tolist() == [7]
    finally:
        decoder.close()


def test_photos_of_a_lane_and_of_the_one_that_takes_its_place_stand_in_one_line():
    async def scenario():
        (former, decoder, embedder, _), (lane, later_decoder, _, _) = make_lane(), make_lane()
        answers = [asyncio.create_task(former.embed(bytes([number]))) for number in range(3)]
        await settle()
        lane.follow(former)
        answers.append(asyncio.create_task(lane.embed(b"later")))
        await settle()
        depth, before = lane.depth, later_decoder.works()
        for number in range(2):
            decoder.finish(number, "image")
            await settle()
            embedder.finish(number, "vector")
            await settle()
        after = decoder.works(), later_decoder.works()
        for answer in answers:
            answer.cancel()
        return depth, before, after

    depth, before, after = run(scenario)

    assert (depth, before) == (4, [])
    assert after == ([b"\x00", b"\x01", b"\x02"], [b"later"])
