"""Swapped while 32 clients ask in every way: each answer is that of one state, and what was left is gone."""

import asyncio
import gc
import logging
import shutil
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from tests.server.crowd import Crowd
from tests.server.refusals import read_refusal
from tests.server.scenarios import run, until

from beedex.index.embedders import locate_embedder
from beedex.index.entries import EntryTable
from beedex.index.inference import InferencePool
from beedex.index.rebuild import build_index
from beedex.index.snapshots import activate_snapshot, load_manifest
from beedex.index.versions import locate_snapshot, point_at
from beedex.v1 import index_pb2, index_pb2_grpc

# The first two are of one embedder, the third is of another.
SWAPS = (2, 3, 1, 3, 2, 1, 2, 3, 1)

# Thread pools grow up to their size when one more is needed at once: asyncio's, and that of the decoder. Each of the
# embedders that take each other's place six times brings three threads with it.
POOLED_THREADS = 8


@pytest.fixture(scope="module")
def index_dir(tiny_gallery, tiny_bundle, other_tiny_bundle, tmp_path_factory) -> Path:
    """Three snapshots, current is the first; their families end in nothing, -2 and -3."""
    home = tmp_path_factory.mktemp("swaps")
    gallery = Path(shutil.copytree(tiny_gallery, home / "gallery"))
    for number, bundle in enumerate((tiny_bundle, tiny_bundle, other_tiny_bundle), 1):
        build_index(gallery, bundle, home / "index")
        for folder in list(gallery.iterdir()):
            folder.rename(folder.with_name(f"{folder.name.partition('-')[0]}-{number + 1}"))
    activate_snapshot(home / "index", 1)
    return Path(home, "index")


@pytest.fixture
def index_copy(index_dir, tmp_path) -> Path:
    """One's own, to be damaged."""
    return Path(shutil.copytree(index_dir, tmp_path / "index"))


@asynccontextmanager
async def asking(crowd: Crowd, address: str):
    """Have the crowd ask while the block runs; all that it asked is answered then."""
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.run(address))
        yield
        crowd.ended.set()
    assert crowd.refused == []
    assert crowd.unanswered == 0


@contextmanager
def without_collector() -> Iterator[None]:
    """What is freed within is freed because nobody holds it."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def count_alive(kind: type) -> int:
    return sum(isinstance(each, kind) for each in gc.get_objects())


async def activate_by_call(channel: grpc.aio.Channel, index_dir: Path, version: int) -> None:
    del index_dir
    stub: Any = index_pb2_grpc.IndexServiceStub(channel)
    reply = await stub.ActivateSnapshot(index_pb2.ActivateSnapshotRequest(version=version))
    assert reply.origin.snapshot == version


async def activate_beside(channel: grpc.aio.Channel, index_dir: Path, version: int) -> None:
    """As the command does, in whichever process."""
    del channel
    await asyncio.to_thread(activate_snapshot, index_dir, version)


@pytest.mark.slow
@pytest.mark.parametrize("activate", [activate_by_call, activate_beside])
def test_every_answer_is_of_the_state_that_it_names_and_what_was_left_is_freed(
    serving, index_dir, tiny_gallery, activate
):
    crowd, process = Crowd.of(index_dir, tiny_gallery), psutil.Process()

    async def scenario() -> None:
        pools, tables = count_alive(InferencePool), count_alive(EntryTable)
        async with serving(index_dir=index_dir) as (address, _, _), grpc.aio.insecure_channel(address) as channel:
            async with asking(crowd, address):
                await channel.channel_ready()
                await crowd.until_all_saw(1)
                threads, descriptors = process.num_threads(), process.num_fds()
                for version in SWAPS:
                    await activate(channel, index_dir, version)
                    await crowd.until_all_saw(version)
                # The embedder that was left last may still be answering.
                await until(lambda: process.num_threads() <= threads + POOLED_THREADS)
                await until(lambda: process.num_fds() <= descriptors)
            await until(lambda: count_alive(InferencePool) == pools + 1 and count_alive(EntryTable) == tables + 1)

    with without_collector():
        run(scenario)
    assert {version for counter in crowd.seen.values() for version in counter} == {1, 2, 3}


def flip_a_byte(index_dir: Path) -> None:
    vectors = locate_snapshot(index_dir, 2) / "vectors.faiss"
    content = bytearray(vectors.read_bytes())
    content[len(content) // 2] ^= 1
    vectors.write_bytes(content)


def take_a_file_away(index_dir: Path) -> None:
    (locate_snapshot(index_dir, 2) / "entries.sqlite").unlink()


def put_another_embedder_in_its_place(index_dir: Path) -> None:
    """Of the third snapshot, which the second is made."""
    shutil.rmtree(locate_snapshot(index_dir, 2))
    ours, theirs = (load_manifest(index_dir, version).fingerprint for version in (1, 3))
    shutil.rmtree(locate_embedder(index_dir, theirs))
    shutil.copytree(locate_embedder(index_dir, ours), locate_embedder(index_dir, theirs))


@pytest.mark.parametrize(
    ("damage", "version", "complaint"),
    [
        (flip_a_byte, 2, "is damaged: expected sha256"),
        (take_a_file_away, 2, "is missing or half-copied"),
        (put_another_embedder_in_its_place, 3, "was made by another embedder"),
    ],
)
def test_a_broken_snapshot_is_refused_under_load_and_the_old_one_serves_on(
    serving, index_copy, tiny_gallery, caplog, damage, version, complaint
):
    crowd = Crowd.of(index_copy, tiny_gallery)
    damage(index_copy)
    refusals = []

    async def scenario() -> None:
        async with (
            serving(index_dir=index_copy) as (address, _, _),
            grpc.aio.insecure_channel(address) as channel,
            asking(crowd, address),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await activate_by_call(channel, index_copy, version)
            refusals.append(read_refusal(caught.value))
            assert caplog.records == []
            # No build and no command would do so.
            await asyncio.to_thread(point_at, index_copy, version)
            await until(lambda: bool(caplog.records))
            await crowd.until_all_saw(1)

    with caplog.at_level(logging.ERROR):
        run(scenario)
    (refusal,) = refusals
    (record,) = caplog.records
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SNAPSHOT_UNUSABLE")
    assert complaint in refusal.message
    assert complaint in record.getMessage()
    assert "snapshot 1 serves on" in record.getMessage()
    assert {version for counter in crowd.seen.values() for version in counter} == {1}
