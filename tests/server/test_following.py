"""A server follows its index: builds, rollbacks, changes, other embedders, under load and without a failed request."""

import asyncio
import logging
import shutil
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.server.scenarios import run

from beedex.client import AsyncClient, Status
from beedex.index.index import Index
from beedex.index.pruning import prune_index
from beedex.index.rebuild import BuildSummary, build_index
from beedex.index.snapshots import load_manifest, rollback_snapshot
from beedex.index.versions import locate_snapshot, require_current
from beedex.server.config import LaneConfig, ServerConfig
from beedex.server.engine import Engine, open_engine
from beedex.server.lifecycle import serve

CLIENTS = 32


@pytest.fixture
def index_dir(tiny_gallery_copy, tiny_bundle, tmp_path) -> Path:
    path: Path = tmp_path / "index"
    build_index(tiny_gallery_copy, tiny_bundle, path)
    return path


@asynccontextmanager
async def run_server(index_dir: Path, load: Callable[[ServerConfig], Engine] = open_engine):
    """A server in this event loop; yields a client."""
    stop, ready = asyncio.Event(), asyncio.Queue[str]()
    config = ServerConfig(index_dir=index_dir, listen="127.0.0.1:0", lane=LaneConfig(threads=1))
    task = asyncio.create_task(
        serve(config, stop=stop, load=load, on_ready=lambda address, _engine: ready.put_nowait(address))
    )
    address = await ready.get()
    try:
        async with AsyncClient(address) as client:
            yield client
    finally:
        stop.set()
        await task


async def until_served(client: AsyncClient, is_so: Callable[[Status], bool]) -> None:
    while not is_so(await client.status()):  # noqa: ASYNC110 - what is waited for happens in the server
        await asyncio.sleep(0.02)


def relabel(gallery: Path, suffix: str) -> None:
    """Give every family another name."""
    for folder in list(gallery.iterdir()):
        folder.rename(folder.with_name(folder.name.partition("-")[0] + suffix))


def test_thirty_two_clients_get_whole_answers_of_one_snapshot_while_others_are_published(
    index_dir, tiny_gallery_copy, tiny_bundle
):
    photos = [path.read_bytes() for path in sorted(tiny_gallery_copy.rglob("*.jpg"))]
    seen: set[int] = set()
    published = threading.Event()

    def publish() -> None:
        for number in range(2, 6):
            relabel(tiny_gallery_copy, f"-{number}")
            build_index(tiny_gallery_copy, tiny_bundle, index_dir, keep=2)
        published.set()

    async def ask(client: AsyncClient, number: int) -> None:
        while not (published.is_set() and 5 in seen):
            answer = await client.identify(photos[number % len(photos)], k=18)
            seen.add(answer.snapshot)
            suffix = f"-{answer.snapshot}" if answer.snapshot > 1 else ""
            names = {score.family for score in answer.families} | {neighbor.family for neighbor in answer.neighbors}
            assert names == {f"{family}{suffix}" for family in ("amber", "blue", "clover")}

    async def scenario() -> None:
        async with run_server(index_dir) as client:
            await asyncio.gather(asyncio.to_thread(publish), *(ask(client, number) for number in range(CLIENTS)))

    run(scenario)
    assert {1, 5} <= seen


def test_another_embedder_takes_over_with_its_index_and_no_answer_mixes_the_two(
    index_dir, tiny_gallery_copy, other_tiny_bundle
):
    photo = next(iter(sorted(tiny_gallery_copy.rglob("*.jpg")))).read_bytes()
    engines: list[Engine] = []
    origins: set[tuple[str, int]] = set()

    def load(config: ServerConfig) -> Engine:
        engines.append(open_engine(config))
        return engines[-1]

    async def ask(client: AsyncClient, built: asyncio.Future[BuildSummary]) -> None:
        while not (built.done() and len({fingerprint for fingerprint, _ in origins}) == 2):
            answer = await client.identify(photo, k=1)
            origins.add((answer.fingerprint, answer.snapshot))
            # The photo is indexed: whichever embedder looked, with its own vectors it finds the photo itself.
            assert answer.neighbors[0].similarity > 0.9999

    async def scenario() -> None:
        async with run_server(index_dir, load) as client:
            built = asyncio.get_running_loop().run_in_executor(
                None, build_index, tiny_gallery_copy, other_tiny_bundle, index_dir
            )
            await asyncio.gather(built, *(ask(client, built) for _ in range(CLIENTS)))
            assert len(engines) == 2
            # The former one is closed once its last request has ended.
            while not engines[0].search_pool._shutdown:  # noqa: ASYNC110 - it happens in the server
                await asyncio.sleep(0.02)

    run(scenario)
    assert origins == {
        (load_manifest(index_dir, version).fingerprint, version) for version in (1, require_current(index_dir))
    }


def test_a_rollback_is_followed(index_dir, tiny_gallery_copy, tiny_bundle):
    relabel(tiny_gallery_copy, "-2")
    build_index(tiny_gallery_copy, tiny_bundle, index_dir)

    async def scenario() -> None:
        async with run_server(index_dir) as client:
            assert (await client.status()).snapshot == 2
            await asyncio.to_thread(rollback_snapshot, index_dir)
            await until_served(client, lambda status: status.snapshot == 1)
            assert [family.name for family in await client.families()] == ["amber", "blue", "clover"]

    run(scenario)


def test_a_number_that_comes_again_with_other_photos_is_followed(index_dir, tiny_gallery_copy, tiny_bundle):
    relabel(tiny_gallery_copy, "-2")
    build_index(tiny_gallery_copy, tiny_bundle, index_dir)

    def publish_again() -> None:
        rollback_snapshot(index_dir)
        prune_index(index_dir, keep=1)
        relabel(tiny_gallery_copy, "-3")
        build_index(tiny_gallery_copy, tiny_bundle, index_dir)

    async def scenario() -> None:
        async with run_server(index_dir) as client:
            assert [family.name for family in await client.families()] == ["amber-2", "blue-2", "clover-2"]
            # Within the time between two looks of the server, which then finds the number that it serves.
            await asyncio.to_thread(publish_again)
            while [family.name for family in await client.families()] != ["amber-3", "blue-3", "clover-3"]:  # noqa: ASYNC110 - it happens in the server
                await asyncio.sleep(0.02)

    run(scenario)


def test_changes_of_single_entries_are_served(index_dir, tiny_gallery):
    photo = min((tiny_gallery / "blue").glob("*.jpg"))

    async def scenario() -> None:
        async with run_server(index_dir) as client:
            with Index.open(index_dir) as index:
                entry = index.upsert(photo, "violet")
                await until_served(client, lambda status: status.families == 4)
                (nearest,) = await client.neighbors(photo, k=1)
                assert (nearest.entry_id, nearest.family) == (entry.entry_id, "violet")
                index.delete(entry.entry_id)
                await until_served(client, lambda status: status.entries == 17)
            (nearest,) = await client.neighbors(photo, k=1)
            assert nearest.entry_id != entry.entry_id

    run(scenario)


def test_a_snapshot_that_is_damaged_is_told_once_and_the_old_one_serves_on(
    index_dir, tiny_gallery_copy, tiny_bundle, caplog
):
    photo = next(iter(sorted(tiny_gallery_copy.rglob("*.jpg")))).read_bytes()

    def publish_damaged() -> None:
        relabel(tiny_gallery_copy, "-2")
        build_index(tiny_gallery_copy, tiny_bundle, index_dir.with_name("beside"))
        beside = locate_snapshot(index_dir.with_name("beside"), 1)
        shutil.copytree(beside, locate_snapshot(index_dir, 2))
        vectors = locate_snapshot(index_dir, 2) / "vectors.faiss"
        vectors.write_bytes(vectors.read_bytes()[:-8])
        (index_dir / "CURRENT").write_text("000002\n")

    async def scenario() -> None:
        async with run_server(index_dir) as client:
            await asyncio.to_thread(publish_damaged)
            while not caplog.records:  # noqa: ASYNC110 - it happens in the server
                await asyncio.sleep(0.02)
            for _ in range(3):
                assert (await client.identify(photo, k=1)).snapshot == 1
                await asyncio.sleep(0.6)
            # The next build mends it.
            await asyncio.to_thread(build_index, tiny_gallery_copy, tiny_bundle, index_dir)
            await until_served(client, lambda status: status.snapshot > 1)

    with caplog.at_level(logging.ERROR, logger="beedex.server.upkeep.following"):
        run(scenario)
    (record,) = caplog.records
    assert "snapshot 1 serves on" in record.getMessage()
