"""Rebuild: in another process, told as it goes, served when it is done, and ended with whoever asked for it."""

import os
import shutil
import signal
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.server.refusals import read_refusal
from tests.server.scenarios import run, until

from beedex.index.buildlock import LOCK_NAME, hold_build_lock
from beedex.index.errors import IndexBusyError
from beedex.index.rebuild import build_index
from beedex.index.snapshots import SNAPSHOTS_KEPT, list_snapshots, load_manifest
from beedex.index.vectors import SearchSettings
from beedex.index.versions import hold_pointer
from beedex.server.upkeep.buildprocess import NICENESS
from beedex.v1 import index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc

EXACT = SearchSettings(kind="exact")


@pytest.fixture
def index_dir(tiny_gallery_copy, tiny_bundle, tmp_path) -> Path:
    path: Path = tmp_path / "index"
    build_index(tiny_gallery_copy, tiny_bundle, path, search=EXACT)
    return path


@asynccontextmanager
async def connect(serving, **how):
    async with serving(**how) as (address, stop, task), grpc.aio.insecure_channel(address) as channel:
        yield channel, stop, task


def rebuild(channel: grpc.aio.Channel, **how: Any):
    return index_pb2_grpc.IndexServiceStub(channel).Rebuild(index_pb2.RebuildRequest(), **how)


async def receive(call):
    return [reply async for reply in call]


async def fail(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await receive(call)
    return read_refusal(caught.value)


async def fail_later(call):
    """As `fail`, of a call of which something was read already."""

    async def read_on():
        while True:
            await call.read()

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await read_on()
    return read_refusal(caught.value)


@contextmanager
def stop_before_publishing(index_dir):
    """Whoever builds meanwhile gets everything done but that; yields what tells its process id."""

    def find_builder():
        builder = int((index_dir / LOCK_NAME).read_text())
        assert builder != os.getpid()
        return builder

    with hold_pointer(index_dir):
        yield find_builder


def is_being_built(index_dir):
    try:
        with hold_build_lock(index_dir):
            return False
    except IndexBusyError:
        return True


async def wait_for_embedding(call):
    """Return when all photos are embedded, and the build has to publish them."""
    while True:
        progress = (await call.read()).progress
        if progress.step == "embedding" and progress.done == progress.total:
            return


@pytest.fixture
def more_photos(index_dir, tiny_gallery_copy, tiny_gallery):
    """The gallery, with two photos that are not indexed yet and a file that is none."""
    del index_dir
    for number, photo in enumerate(sorted(tiny_gallery.glob("blue/*.jpg"))[:2]):
        # What follows the end of a JPEG is no part of the picture, but makes it another photo.
        (tiny_gallery_copy / f"blue/more_{number}.jpg").write_bytes(photo.read_bytes() + b"another")
    (tiny_gallery_copy / "blue/broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return tiny_gallery_copy


def test_progress_comes_first_and_the_summary_when_the_result_is_served(serving, index_dir, more_photos):
    async def scenario():
        async with connect(serving, index_dir=index_dir, gallery_dir=more_photos) as (channel, _, _):
            replies = await receive(rebuild(channel))
            families = await search_pb2_grpc.SearchServiceStub(channel).ListFamilies(search_pb2.ListFamiliesRequest())
            again = (await receive(rebuild(channel)))[-1]
        return replies, families, again

    replies, families, again = run(scenario)
    steps = [reply.progress.step for reply in replies[:-1] if reply.progress.step != "starting"]
    summary = replies[-1].summary
    embedded = [reply.progress for reply in replies[:-1] if reply.progress.step == "embedding"][-1]

    assert list(dict.fromkeys(steps)) == ["reading", "embedding", "publishing"]
    assert (embedded.done, embedded.total) == (3, 3)
    assert embedded.photos_per_s > 0
    assert embedded.remaining_s == 0
    assert (summary.entries, summary.embedded, summary.reused, summary.removed, summary.relabeled) == (20, 2, 18, 0, 0)
    assert [(skipped.path, skipped.reason) for skipped in summary.skipped] == [("blue/broken.jpg", "DAMAGED")]
    assert (summary.skipped_count, summary.snapshot, summary.is_published) == (1, 2, True)
    assert summary.seconds > 0
    assert replies[0].origin.snapshot == 1
    assert replies[-1].origin.snapshot == families.origin.snapshot == 2
    assert {family.name: family.entries for family in families.families} == {"amber": 6, "blue": 8, "clover": 6}
    # What was wanted of the search stays, and a build that finds nothing new publishes nothing.
    assert load_manifest(index_dir, 2).search_settings == EXACT
    assert (again.summary.snapshot, again.summary.is_published, again.summary.embedded) == (2, False, 0)


def test_a_caller_who_goes_away_ends_the_build_and_the_next_goes_on_where_it_was(serving, index_dir, more_photos):
    async def scenario():
        async with connect(serving, index_dir=index_dir, gallery_dir=more_photos) as (channel, _, task):
            with stop_before_publishing(index_dir) as find_builder:
                call = rebuild(channel)
                await wait_for_embedding(call)
                niceness = os.getpriority(os.PRIO_PROCESS, find_builder())
                call.cancel()
                await until(lambda: not is_being_built(index_dir))
            following = (await receive(rebuild(channel)))[-1].summary
            assert not task.done()
        return niceness, following

    niceness, following = run(scenario)

    assert niceness == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
    assert (following.entries, following.embedded, following.snapshot) == (20, 0, 2)


def test_a_deadline_that_passes_ends_the_build(serving, index_dir, more_photos):
    async def scenario():
        async with connect(serving, index_dir=index_dir, gallery_dir=more_photos) as (channel, _, _):
            with stop_before_publishing(index_dir):
                code = await rebuild(channel, timeout=2).code()
                await until(lambda: not is_being_built(index_dir))
            return code

    assert run(scenario) is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_server_that_goes_down_ends_the_build(serving, index_dir, more_photos):
    async def scenario():
        async with connect(serving, index_dir=index_dir, gallery_dir=more_photos) as (channel, stop, task):
            with stop_before_publishing(index_dir):
                call = rebuild(channel)
                await wait_for_embedding(call)
                stop.set()
                refusal = await fail_later(call)
                await task
                return refusal, is_being_built(index_dir)

    refusal, is_built = run(scenario)

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert refusal.retry_after_s > 0
    assert not is_built


def test_one_build_at_a_time_whoever_runs_it(serving, index_dir, more_photos):
    async def scenario():
        async with connect(serving, index_dir=index_dir, gallery_dir=more_photos) as (channel, _, _):
            with stop_before_publishing(index_dir):
                first = rebuild(channel)
                await first.read()
                second = await fail(rebuild(channel))
                first.cancel()
                await until(lambda: not is_being_built(index_dir))
            with hold_build_lock(index_dir):
                third = await fail(rebuild(channel))
        return second, third

    for refusal in run(scenario):
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "BUILD_RUNNING")


def test_a_gallery_that_can_not_be_used_is_refused_in_its_own_words(serving, index_dir, tmp_path):
    (tmp_path / "empty").mkdir()

    async def scenario():
        async with connect(serving, index_dir=index_dir, gallery_dir=tmp_path / "empty") as (channel, _, _):
            return await fail(rebuild(channel))

    refusal = run(scenario)

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "BUILD_REFUSED")
    assert str(tmp_path / "empty") in refusal.message


def test_a_server_without_a_gallery_builds_nothing(serving):
    async def scenario():
        async with connect(serving) as (channel, _, _):
            return await fail(rebuild(channel))

    refusal = run(scenario)

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REBUILD_NOT_CONFIGURED")


def test_a_build_that_is_killed_is_a_fault_and_the_server_goes_on(serving, index_dir, more_photos, caplog):
    async def scenario():
        async with connect(serving, index_dir=index_dir, gallery_dir=more_photos) as (channel, _, _):
            with stop_before_publishing(index_dir) as find_builder:
                call = rebuild(channel)
                await wait_for_embedding(call)
                os.kill(find_builder(), signal.SIGKILL)
                refusal = await fail_later(call)
            return refusal, (await receive(rebuild(channel)))[-1].summary

    refusal, summary = run(scenario)

    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert any("ended with -9" in str(record.exc_info[1]) for record in caplog.records if record.exc_info)
    assert summary.entries == 20


def test_a_build_ends_with_a_server_that_is_killed(server_process, index_dir, more_photos, tmp_path):
    async def scenario(process, address):
        async with grpc.aio.insecure_channel(address) as channel:
            with stop_before_publishing(index_dir) as find_builder:
                call = rebuild(channel)
                await wait_for_embedding(call)
                builder = find_builder()
                process.kill()
                await until(lambda: not is_being_built(index_dir))
                return builder

    with server_process(index_dir, tmp_path / "ready", "--gallery", more_photos) as (process, address):
        assert run(lambda: scenario(process, address)) != process.pid


def test_as_many_snapshots_stay_as_there_are(serving, index_dir, tiny_gallery_copy, tiny_bundle):
    def rename(number):
        (folder,) = tiny_gallery_copy.glob("amber*")
        folder.rename(folder.with_name(f"amber-{number}"))

    for number in range(SNAPSHOTS_KEPT + 1):
        rename(number)
        build_index(tiny_gallery_copy, tiny_bundle, index_dir, keep=100, search=EXACT)
    before = list_snapshots(index_dir)
    rename("last")

    async def scenario():
        async with connect(serving, index_dir=index_dir, gallery_dir=tiny_gallery_copy) as (channel, _, _):
            return (await receive(rebuild(channel)))[-1].summary.snapshot

    published = run(scenario)

    assert len(before) > SNAPSHOTS_KEPT
    assert list_snapshots(index_dir) == (*before[1:], published)


def test_the_copies_of_photos_that_were_put_in_are_part_of_a_build(serving, index_dir, tiny_gallery_copy, encode_png):
    shutil.rmtree(tiny_gallery_copy / "clover")
    photo = encode_png(np.zeros((64, 64, 3), np.uint8))

    async def scenario():
        async with connect(serving, index_dir=index_dir, gallery_dir=tiny_gallery_copy) as (channel, _, _):
            stub = index_pb2_grpc.IndexServiceStub(channel)
            entry = index_pb2.EntryToUpsert(photo=photo, family="night")
            await stub.UpsertEntries(index_pb2.UpsertEntriesRequest(entries=[entry]))
            summary = (await receive(rebuild(channel)))[-1].summary
            families = await search_pb2_grpc.SearchServiceStub(channel).ListFamilies(search_pb2.ListFamiliesRequest())
        return summary, [family.name for family in families.families]

    summary, families = run(scenario)

    assert (summary.entries, summary.removed, summary.embedded) == (13, 6, 0)
    assert families == ["amber", "blue", "night"]
