"""The very same photo again: answered from the cache, or by whoever brought it first."""

import asyncio
import hashlib

import pytest
from tests.server.lane_driver import embed_one, make_lane, run, settle

from beedex.index.errors import PhotoError, PhotoReason
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.calls.work import Stage
from beedex.server.errors import LateError
from beedex.server.lane.cache import BYTES_BESIDE, HASHED_AT_ONCE_BYTES, EmbeddingCache, digest_photo

ROOM = 100_000


def test_a_photo_that_was_embedded_before_is_answered_without_the_stages():
    async def scenario():
        lane, decoder, embedder, clock = make_lane(cache_bytes=ROOM)
        first = await embed_one(lane, decoder, embedder, clock)
        second = await lane.embed(b"photo")
        return first, second, len(decoder.works()), lane.cache.hits, lane.cache.misses

    assert run(scenario) == (b"photo's vector", b"photo's vector", 1, 1, 1)


def test_it_is_answered_by_a_full_lane_too():
    async def scenario():
        lane, decoder, embedder, clock = make_lane(capacity=2, cache_bytes=ROOM)
        await embed_one(lane, decoder, embedder, clock)
        others = [asyncio.create_task(lane.embed(bytes([number]))) for number in range(2)]
        await settle()
        answer = await lane.embed(b"photo", timeout_s=0.001)
        for other in others:
            other.cancel()
        return answer

    assert run(scenario) == b"photo's vector"


def test_the_same_photo_at_the_same_time_is_embedded_once():
    async def scenario():
        lane, decoder, embedder, _ = make_lane(cache_bytes=ROOM)
        answers = [asyncio.create_task(lane.embed(b"photo")) for _ in range(3)]
        await settle()
        depth = lane.depth
        decoder.finish(0, "image")
        await settle()
        embedder.finish(0, b"vector")
        return await asyncio.gather(*answers), depth, len(decoder.works()), lane.cache.hits, lane.cache.misses

    assert run(scenario) == ([b"vector"] * 3, 1, 1, 2, 1)


def test_whoever_brought_it_first_may_leave():
    async def scenario():
        lane, decoder, embedder, _ = make_lane(cache_bytes=ROOM)
        first, second = (asyncio.create_task(lane.embed(b"photo")) for _ in range(2))
        await settle()
        first.cancel()
        await settle()
        decoder.finish(0, "image")
        await settle()
        embedder.finish(0, b"vector")
        return await second, first.cancelled(), len(embedder.works())

    assert run(scenario) == (b"vector", True, 1)


def test_once_everybody_left_nobody_joins_what_was_given_up():
    async def scenario():
        lane, decoder, embedder, _ = make_lane(decoders=2, cache_bytes=ROOM)
        first = asyncio.create_task(lane.embed(b"photo"))
        await settle()
        first.cancel()
        second = asyncio.create_task(lane.embed(b"photo"))
        await settle()
        decoder.finish(1, "image")
        await settle()
        embedder.finish(0, b"vector")
        return await second, len(decoder.works()), lane.depth

    assert run(scenario) == (b"vector", 2, 0)


def test_the_latest_deadline_of_those_who_wait_counts():
    async def scenario():
        lane, decoder, embedder, clock = make_lane(cache_bytes=ROOM)
        other = asyncio.create_task(lane.embed(b"other"))
        await settle()
        hasty = asyncio.create_task(lane.embed(b"photo", timeout_s=5))
        patient = asyncio.create_task(lane.embed(b"photo", timeout_s=50))
        await settle()
        clock.now += 6
        for number in range(2):
            decoder.finish(number, "image")
            await settle()
            embedder.finish(number, b"vector")
            await settle()
        return await asyncio.gather(other, hasty, patient)

    assert run(scenario) == [b"vector"] * 3


def test_what_is_wrong_with_a_photo_is_told_to_all_who_brought_it_and_not_kept():
    async def scenario():
        lane, decoder, _, _ = make_lane(cache_bytes=ROOM)
        answers = [asyncio.create_task(lane.embed(b"bad")) for _ in range(2)]
        await settle()
        decoder.started[0][1].set_exception(PhotoError(PhotoReason.DAMAGED, "cut off"))
        errors = await asyncio.gather(*answers, return_exceptions=True)
        again = asyncio.create_task(lane.embed(b"bad"))
        await settle()
        again.cancel()
        return [str(error) for error in errors], len(decoder.works()), len(lane.cache)

    assert run(scenario) == (["cut off"] * 2, 2, 0)


def test_a_look_up_does_not_wait_where_a_stream_waits_and_its_vector_serves_the_stream():
    async def scenario():
        lane, decoder, embedder, _ = make_lane(capacity=3, cache_bytes=ROOM)
        ahead = [asyncio.create_task(lane.embed(bytes([number]), flow="a stream")) for number in range(5)]
        item = asyncio.create_task(lane.embed(b"photo", flow="a stream"))
        await settle()
        lookup = asyncio.create_task(lane.embed(b"photo"))
        await settle()
        for number in range(6):
            decoder.finish(number, "image")
            await settle()
            embedder.finish(number, b"vector")
            await settle()
        await asyncio.gather(*ahead, item, lookup)
        return decoder.works()

    # The look-up comes third, behind the two that had places.
    assert run(scenario) == [b"\x00", b"\x01", b"photo", b"\x02", b"\x03", b"\x04"]


def test_the_work_at_hand_is_told_where_its_answer_came_from_and_what_its_time_went_into():
    async def scenario():
        lane, decoder, embedder, clock = make_lane(cache_bytes=ROOM)
        watch, works = TrafficWatch(), []

        async def look_up():
            with watch.attend("/test/LookUp") as work:
                works.append(work)
                return await lane.embed(b"photo")

        first = asyncio.create_task(look_up())
        await settle()
        clock.now += 2
        decoder.finish(0, "image")
        await settle()
        joined = asyncio.create_task(look_up())
        await settle()
        clock.now += 5
        embedder.finish(0, b"vector")
        await asyncio.gather(first, joined)
        await look_up()
        return [(work.is_cached, [(s.stage, s.began_s, s.ended_s) for s in work.stages]) for work in works]

    assert run(scenario) == [
        (False, [(Stage.QUEUE, 100, 100), (Stage.DECODE, 100, 102), (Stage.INFERENCE, 102, 107)]),
        (True, [(Stage.QUEUE, 102, 107)]),
        (True, []),
    ]


def test_waiting_that_came_to_nothing_is_noted_too():
    async def scenario():
        lane, decoder, _, clock = make_lane()
        watch = TrafficWatch()
        first = asyncio.create_task(lane.embed(b"first"))
        others = [asyncio.create_task(lane.embed(b"other")) for _ in range(2)]
        await settle()

        async def look_up():
            with watch.attend("/test/LookUp") as work, pytest.raises(LateError):
                await lane.embed(b"late", timeout_s=5)
            return work

        late = asyncio.create_task(look_up())
        await settle()
        clock.now += 6
        for task in (first, *others):
            task.cancel()
        decoder.finish(0, "image")
        work = await late
        return work.is_cached, [(s.stage, s.ended_s - s.began_s) for s in work.stages]

    assert run(scenario) == (False, [(Stage.QUEUE, 6)])


def test_the_cache_stays_within_its_bytes_and_drops_what_was_asked_for_longest_ago():
    cache = EmbeddingCache(3 * (10 + BYTES_BESIDE), len)
    for name in (b"a", b"b", b"c"):
        cache.put(name, name * 10)
    cache.get(b"a")
    cache.put(b"d", b"d" * 10)

    assert [cache.get(name) for name in (b"a", b"b", b"c", b"d")] == [b"a" * 10, None, b"c" * 10, b"d" * 10]
    assert cache.size_bytes == 3 * (10 + BYTES_BESIDE)
    assert len(cache) == 3


def test_what_is_put_in_twice_counts_once_and_what_is_too_large_is_not_kept():
    cache = EmbeddingCache(1000, len)
    cache.put(b"a", b"long ago" * 10)
    cache.put(b"a", b"now")
    of_one = (cache.size_bytes, cache.get(b"a"))
    cache.put(b"b", bytes(2000))

    assert of_one == (3 + BYTES_BESIDE, b"now")
    assert (len(cache), cache.size_bytes) == (0, 0)


@pytest.mark.parametrize("size", [0, HASHED_AT_ONCE_BYTES, HASHED_AT_ONCE_BYTES + 1])
def test_a_photo_is_known_by_its_sha256_whatever_its_size(size):
    photo = bytes(size)

    assert asyncio.run(digest_photo(photo)) == hashlib.sha256(photo).digest()
