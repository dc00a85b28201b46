"""Who is let in: what can't be done before its deadline is refused at the door, by what the lane has learnt."""

import asyncio
import contextlib

import numpy as np
import pytest
from tests.server.lane_driver import make_lane, run, settle

from beedex.server.errors import DeadlineTooNearError, LaneFullError, RefusalError
from beedex.server.lane.admission import WorkPace


async def work_through(lane, decoder, embedder, clock, *, photos, interval_s):
    """Keep every place taken, so that the lane learns how long it is from one photo to the next."""
    items = [asyncio.create_task(lane.embed(b"item", flow="a stream")) for _ in range(photos)]
    await settle()
    while not all(item.done() for item in items):
        await step(decoder, embedder, clock, interval_s)


async def step(decoder, embedder, clock, interval_s):
    """Let what is being decoded be decoded, and then one photo be done."""
    for stage, takes_s in ((decoder, 0.0), (embedder, interval_s)):
        clock.now += takes_s
        for future in stage.running()[:1]:
            future.set_result("product")
        await settle()


async def fill(lane, count):
    tasks = [asyncio.create_task(lane.embed(b"ahead")) for _ in range(count)]
    await settle()
    return tasks


async def leave(tasks):
    for task in tasks:
        task.cancel()
    await settle()


def test_what_would_come_too_late_is_refused_at_the_door_and_told_when_to_come_back():
    async def scenario():
        lane, decoder, embedder, clock = make_lane(capacity=20)
        await work_through(lane, decoder, embedder, clock, photos=100, interval_s=1.0)
        ahead = await fill(lane, 6)
        expected_s, depth, begun = lane.expected_wait_s, lane.depth, len(decoder.works())
        with pytest.raises(DeadlineTooNearError) as caught:
            await lane.embed(b"late", timeout_s=4.0)
        patient = asyncio.create_task(lane.embed(b"patient", timeout_s=60.0))
        await settle()
        is_in = lane.depth == depth + 1
        await leave([*ahead, patient])
        return caught.value, expected_s, is_in, len(decoder.works()) - begun, lane.depth

    error, expected_s, is_in, begun, depth = run(scenario)

    # Two of the six have places, so that five leave before a look-up has one. Then it is decoded while another photo is
    # done, and is the next.
    assert expected_s == pytest.approx(5 + 2, rel=0.05)
    assert error.reason == "DEADLINE_TOO_NEAR"
    # What nearly all take at most is somewhat more.
    assert expected_s - 4 < error.retry_after_s < 1.5 * expected_s - 4
    assert set(error.values) == {"expected_s", "time_left_s"}
    assert is_in
    assert (begun, depth) == (0, 0)


def test_a_full_lane_says_how_long_it_will_be_busy():
    async def scenario():
        lane, decoder, embedder, clock = make_lane(capacity=4)
        await work_through(lane, decoder, embedder, clock, photos=100, interval_s=3.0)
        ahead = await fill(lane, 4)
        expected_s = lane.expected_wait_s
        with pytest.raises(LaneFullError) as caught:
            await lane.embed(b"one too many", timeout_s=0.1)
        await leave(ahead)
        return caught.value.retry_after_s, expected_s

    retry_after_s, expected_s = run(scenario)

    assert retry_after_s == expected_s > 3


def test_an_empty_lane_tries_whatever_it_expects_and_so_learns_that_it_was_wrong():
    async def scenario():
        lane, decoder, embedder, clock = make_lane()
        await work_through(lane, decoder, embedder, clock, photos=50, interval_s=60.0)
        pessimistic_s = lane.expected_wait_s
        for _ in range(100):
            answer = asyncio.create_task(lane.embed(b"photo", timeout_s=1.0))
            await settle()
            await step(decoder, embedder, clock, 0.1)
            await answer
        ahead = await fill(lane, 1)
        beside = asyncio.create_task(lane.embed(b"beside", timeout_s=1.0))
        await settle()
        is_in = lane.depth == 2
        await leave([*ahead, beside])
        return pessimistic_s, lane.expected_wait_s, is_in

    pessimistic_s, expected_s, is_in = run(scenario)

    assert pessimistic_s > 30
    assert expected_s < 0.2
    assert is_in


def test_a_flood_of_short_deadlines_does_not_shut_the_lane_for_good():
    """However wrong the pace was, a lane that is offered more than it can do gets to know what it can."""

    async def scenario():
        lane, decoder, embedder, clock = make_lane(capacity=16)
        await work_through(lane, decoder, embedder, clock, photos=50, interval_s=60.0)
        answered = []

        async def call():
            with contextlib.suppress(RefusalError):
                answered.append(await lane.embed(b"photo", timeout_s=1.0))

        tasks, counts = [], []
        for _ in range(500):
            tasks += [asyncio.create_task(call()) for _ in range(2)]
            await settle()
            await step(decoder, embedder, clock, 0.05)
            counts.append(len(answered))
        await leave(tasks)
        return counts[-1] - counts[-101]

    # One can be done at each of the last hundred steps.
    assert run(scenario) >= 95


def test_who_waits_for_as_long_as_it_takes_is_never_too_late():
    async def scenario():
        lane, decoder, embedder, clock = make_lane(capacity=20)
        await work_through(lane, decoder, embedder, clock, photos=50, interval_s=1000.0)
        tasks = await fill(lane, 20)
        depth = lane.depth
        await leave(tasks)
        return depth

    assert run(scenario) == 20


def test_one_stall_is_not_the_pace():
    pace = WorkPace()
    for _ in range(100):
        pace.learn(0.1, beside=2, all_taken=True)
    pace.learn(30.0, beside=2, all_taken=True)

    assert pace.predict(10, places=2) == pytest.approx(10 * 0.05 + 0.1, rel=0.4)


def test_a_lone_photo_tells_only_that_the_pace_is_no_slower():
    pace = WorkPace()
    for _ in range(100):
        pace.learn(0.2, beside=4, all_taken=True)
    for _ in range(100):
        pace.learn(0.15, beside=1, all_taken=False)
    beside_others_s = pace.interval_s
    for _ in range(100):
        pace.learn(0.02, beside=1, all_taken=False)

    assert beside_others_s == pytest.approx(0.05, rel=0.01)
    assert pace.interval_s == pytest.approx(0.02, rel=0.01)


def test_the_margin_follows_how_well_the_end_of_a_photo_is_foreseen():
    generator, pace = np.random.default_rng(0), WorkPace()
    for spread in (0.02, 0.4):
        took = np.exp(spread * generator.standard_normal(20_000))
        margins = []
        for took_s in took.tolist():
            pace.judge(1.0, took_s)
            margins.append(pace.margin)

        # Of the later half, one in a hundred took longer than the margin allowed.
        is_late = took[10_000:] > np.array(margins[9_999:-1])
        assert is_late.mean() < 0.012
    assert pace.margin > 2
