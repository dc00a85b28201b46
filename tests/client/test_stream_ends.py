"""identify_many and embed_many that are left early, cancelled, closed, or whose server goes away."""

import asyncio
import itertools
import signal
import subprocess
import sys
import threading
import time
from contextlib import aclosing, contextmanager

import pytest
from tests.client.waiting import WAIT_S, list_threads, settle, wait_until

from beedex.client import (
    AsyncClient,
    Client,
    ClosedClientError,
    DeadlineError,
    UnavailableError,
)


@pytest.fixture
def client(connect, address):
    return connect(address)


@pytest.fixture(scope="session")
def photos(tiny_gallery):
    return sorted(tiny_gallery.rglob("*.jpg"))


@pytest.mark.parametrize("count", [0, 3])
def test_a_generator_that_is_closed_early_leaves_nothing_running(client, photos, count):
    before = list_threads()
    outcomes = client.identify_many(itertools.cycle(photos))
    for _ in range(count):
        next(outcomes)
    outcomes.close()

    assert list_threads() == before
    assert next(outcomes, None) is None


def test_leaving_the_loop_is_enough(address, photos):
    with Client(address) as client:
        for _ in client.identify_many(itertools.cycle(photos)):
            break
        assert list_threads() == set()


def test_what_the_iterable_raises_comes_after_the_outcomes_before_it(client, photos):
    def fail():
        yield from photos[:3]
        raise KeyError("mine")

    outcomes = client.identify_many(fail())

    assert [next(outcomes).photo for _ in range(3)] == photos[:3]
    with pytest.raises(KeyError, match="mine"):
        next(outcomes)


def test_an_answer_does_not_wait_for_the_next_photo(address, photos):
    release = threading.Event()

    def trickle():
        yield photos[0]
        release.wait(WAIT_S)
        yield photos[1]

    with Client(address) as client:
        outcomes = client.identify_many(trickle())
        assert next(outcomes).photo == photos[0]
        assert not release.is_set()
        release.set()
        assert [outcome.photo for outcome in outcomes] == [photos[1]]


def test_a_held_up_iterator_holds_up_no_end(address, photos):
    release = threading.Event()

    def hang():
        yield photos[0]
        release.wait(WAIT_S)

    with Client(address) as client:
        outcomes = client.identify_many(hang())
        next(outcomes)
        begin = time.monotonic()
        outcomes.close()
        assert time.monotonic() - begin < WAIT_S / 2
    release.set()
    wait_until(lambda: not list_threads())


HANGING_PROGRAM = """
import sys, threading
from beedex.client import Client

def hang():
    yield sys.argv[2]
    threading.Event().wait()

client = Client(sys.argv[1])
outcomes = client.identify_many(hang())
print(next(outcomes).result.family, flush=True)
"""


def test_a_held_up_iterator_keeps_no_program_from_ending(address, photos):
    command = [sys.executable, "-c", HANGING_PROGRAM, address, str(photos[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True)

    assert done.stdout.strip() == photos[0].parent.name


def test_a_client_that_is_closed_meanwhile_ends_the_loop(address, photos):
    with Client(address) as client:
        outcomes = client.identify_many(itertools.cycle(photos))
        next(outcomes)
        client.close()
        with pytest.raises(ClosedClientError):
            list(itertools.islice(outcomes, 200))
    assert list_threads() == set()


def test_nobody_listening_is_an_error_of_the_photos_and_then_of_the_loop(connect, dead_address, photos):
    outcomes = connect(dead_address).identify_many(photos, in_flight=2)

    assert [type(next(outcomes).error) for _ in range(2)] == [UnavailableError] * 2
    with pytest.raises(UnavailableError, match="no beedex server can be reached"):
        list(outcomes)


@contextmanager
def held(process):
    """Stop a process for a while, as a machine does that is out of memory."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_a_server_that_does_not_answer_is_each_photos_missed_deadline(
    connect, server_process, served_index, tmp_path, photos
):
    with server_process(served_index, tmp_path) as (process, address):
        outcomes = connect(address).identify_many(itertools.cycle(photos), in_flight=2, timeout_s=1.0)
        assert next(outcomes).unwrap()
        with held(process):
            errors = [outcome.error for outcome in itertools.islice(outcomes, 3)]
            assert DeadlineError in {type(error) for error in errors}
        wait_until(lambda: next(outcomes).error is None)
        outcomes.close()


@pytest.mark.slow
@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_server_that_restarts_is_waited_for_and_nothing_is_lost(
    connect, server_process, served_index, tmp_path, photos, end
):
    sources = photos * 4
    with server_process(served_index, tmp_path) as (first, address):
        outcomes = connect(address).identify_many(sources, in_flight=16)
        taken = [next(outcomes) for _ in range(8)]
        getattr(first, end)()
        first.wait(WAIT_S)
        with server_process(served_index, tmp_path, listen=address):
            taken += outcomes

    assert [outcome.index for outcome in taken] == list(range(len(sources)))
    assert [outcome.unwrap().family for outcome in taken] == [photo.parent.name for photo in sources]


def test_a_cancelled_task_leaves_no_task_and_ends_the_callers_generator(address, photos):
    async def scenario():
        ended = asyncio.Event()
        began = asyncio.Event()

        async def arrive():
            try:
                yield photos[0]
                began.set()
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with AsyncClient(address) as client:
            await client.status()
            before = asyncio.all_tasks()

            async def consume():
                return [outcome async for outcome in client.identify_many(arrive())]

            task = asyncio.create_task(consume())
            await began.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(ended.wait(), WAIT_S)
            assert (await settle(before)) == set()

    asyncio.run(scenario())


def test_an_async_loop_that_is_left_leaves_no_task(address, photos):
    async def scenario():
        async with AsyncClient(address) as client:
            await client.status()
            before = asyncio.all_tasks()
            async with aclosing(client.identify_many(itertools.cycle(photos))) as outcomes:
                async for outcome in outcomes:
                    if outcome.index == 5:
                        break
            assert (await settle(before)) == set()

    asyncio.run(scenario())


def test_an_async_client_that_is_closed_meanwhile_ends_the_loop(address, photos):
    async def scenario():
        client = AsyncClient(address)
        outcomes = client.identify_many(itertools.cycle(photos))
        await anext(outcomes)
        await client.close()
        with pytest.raises(ClosedClientError):
            _ = [outcome async for outcome in outcomes]

    asyncio.run(scenario())
