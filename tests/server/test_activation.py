"""Choosing what is served over the wire: snapshots are listed, activated and rolled back, and broken ones refused."""

import shutil
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from tests.server.refusals import read_refusal
from tests.server.scenarios import run

from beedex.index.rebuild import build_index
from beedex.index.snapshots import load_manifest
from beedex.index.versions import current_version, locate_snapshot, stamp_pointer
from beedex.v1 import index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc


@pytest.fixture
def index_dir(tiny_gallery_copy, tiny_bundle, tmp_path) -> Path:
    """Three snapshots; the families of the second and third end in -2 and -3."""
    path: Path = tmp_path / "index"
    build_index(tiny_gallery_copy, tiny_bundle, path)
    for suffix in ("-2", "-3"):
        for folder in list(tiny_gallery_copy.iterdir()):
            folder.rename(folder.with_name(folder.name.partition("-")[0] + suffix))
        build_index(tiny_gallery_copy, tiny_bundle, path)
    return path


@asynccontextmanager
async def administer(serving, index_dir):
    async with serving(index_dir=index_dir) as (address, _, _), grpc.aio.insecure_channel(address) as channel:
        yield Admin(channel)


class Admin:
    def __init__(self, channel: grpc.aio.Channel):
        self.index = index_pb2_grpc.IndexServiceStub(channel)
        self.search = search_pb2_grpc.SearchServiceStub(channel)

    async def activate(self, version):
        return await self.index.ActivateSnapshot(index_pb2.ActivateSnapshotRequest(version=version))

    async def roll_back(self):
        return await self.index.RollbackSnapshot(index_pb2.RollbackSnapshotRequest())

    async def families(self):
        reply = await self.search.ListFamilies(search_pb2.ListFamiliesRequest())
        return reply.origin.snapshot, [family.name for family in reply.families]

    async def refused(self, call):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        refusal = read_refusal(caught.value)
        return refusal.code, refusal.reason


def test_snapshots_are_listed_oldest_first_with_what_they_hold(serving, index_dir):
    (locate_snapshot(index_dir, 2) / "manifest.json").write_text("{")

    async def scenario():
        async with administer(serving, index_dir) as admin:
            return await admin.index.ListSnapshots(index_pb2.ListSnapshotsRequest())

    reply = run(scenario)
    first, damaged, current = reply.snapshots
    manifest = load_manifest(index_dir, 1)

    assert [snapshot.version for snapshot in reply.snapshots] == [1, 2, 3]
    assert [snapshot.is_current for snapshot in reply.snapshots] == [False, False, True]
    assert (first.fingerprint, first.entries, first.families) == (manifest.fingerprint, 18, 3)
    assert (first.index_kind, first.damage) == ("flat", "")
    assert abs(datetime.now(UTC) - first.created_at.ToDatetime(UTC)) < timedelta(minutes=10)
    assert damaged == index_pb2.StoredSnapshot(version=2, damage=damaged.damage)
    assert "is damaged" in damaged.damage
    assert (current.version, reply.origin.snapshot) == (3, 3)


def test_an_activated_snapshot_is_served_from_the_reply_on(serving, index_dir):
    async def scenario():
        async with administer(serving, index_dir) as admin:
            reply = await admin.activate(1)
            return reply, await admin.families()

    reply, families = run(scenario)

    assert (reply.former_version, reply.origin.snapshot) == (3, 1)
    assert families == (1, ["amber", "blue", "clover"])
    assert current_version(index_dir) == 1


def test_rollbacks_go_back_one_by_one_until_there_is_none(serving, index_dir):
    async def scenario():
        async with administer(serving, index_dir) as admin:
            replies = [await admin.roll_back(), await admin.roll_back()]
            return replies, await admin.refused(admin.roll_back()), await admin.families()

    replies, refused, families = run(scenario)

    assert [(reply.former_version, reply.origin.snapshot) for reply in replies] == [(3, 2), (2, 1)]
    assert refused == (grpc.StatusCode.FAILED_PRECONDITION, "NO_EARLIER_SNAPSHOT")
    assert families[0] == 1


def test_a_damaged_snapshot_is_refused_and_all_stays_as_it_is(serving, index_dir):
    vectors = locate_snapshot(index_dir, 2) / "vectors.faiss"
    vectors.write_bytes(vectors.read_bytes()[:-8])
    pointer = stamp_pointer(index_dir)

    async def scenario():
        async with administer(serving, index_dir) as admin:
            refused = [await admin.refused(admin.activate(2)), await admin.refused(admin.roll_back())]
            return refused, await admin.families()

    refused, families = run(scenario)

    assert refused == [(grpc.StatusCode.FAILED_PRECONDITION, "SNAPSHOT_UNUSABLE")] * 2
    assert families == (3, ["amber-3", "blue-3", "clover-3"])
    assert stamp_pointer(index_dir) == pointer


def test_a_version_that_is_not_there_is_not_found(serving, index_dir):
    async def scenario():
        async with administer(serving, index_dir) as admin:
            return [await admin.refused(admin.activate(version)) for version in (4, 2**64 - 1)]

    assert run(scenario) == [(grpc.StatusCode.NOT_FOUND, "SNAPSHOT_NOT_FOUND")] * 2


def test_a_snapshot_of_another_embedder_is_served_with_it(serving, index_dir, tiny_gallery_copy, other_tiny_bundle):
    build_index(tiny_gallery_copy, other_tiny_bundle, index_dir)
    fingerprints = {version: load_manifest(index_dir, version).fingerprint for version in (3, 4)}

    async def scenario():
        async with administer(serving, index_dir) as admin:
            return [(await admin.activate(version)).origin for version in (3, 4)]

    origins = run(scenario)

    assert {origin.snapshot: origin.fingerprint for origin in origins} == fingerprints
    assert len(set(fingerprints.values())) == 2


def damage_network(embedder):
    network = embedder / "model.bin"
    network.write_bytes(network.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("spoil", [damage_network, shutil.rmtree], ids=["damaged", "gone"])
def test_a_snapshot_whose_embedder_can_not_be_run_is_refused(
    serving, index_dir, tiny_gallery_copy, other_tiny_bundle, spoil
):
    build_index(tiny_gallery_copy, other_tiny_bundle, index_dir)
    former = load_manifest(index_dir, 3).fingerprint
    spoil(index_dir / "embedders" / former)

    async def scenario():
        async with administer(serving, index_dir) as admin:
            refused = [await admin.refused(admin.activate(3)), await admin.refused(admin.roll_back())]
            return refused, await admin.families()

    refused, families = run(scenario)

    assert refused == [(grpc.StatusCode.FAILED_PRECONDITION, "SNAPSHOT_UNUSABLE")] * 2
    assert families[0] == 4
    assert current_version(index_dir) == 4


def test_nothing_is_rolled_back_when_the_pointer_is_damaged(serving, index_dir):
    async def scenario():
        async with administer(serving, index_dir) as admin:
            (index_dir / "CURRENT").write_text("seven\n")
            refused = [
                await admin.refused(admin.roll_back()),
                await admin.refused(admin.index.ListSnapshots(index_pb2.ListSnapshotsRequest())),
            ]
            # Naming a snapshot mends it.
            return refused, (await admin.activate(2)).origin.snapshot

    refused, version = run(scenario)

    assert refused == [(grpc.StatusCode.FAILED_PRECONDITION, "INDEX_UNUSABLE")] * 2
    assert version == 2
