"""Putting photos in and taking entries out over the wire, entry by entry, and found by the very next search."""

import asyncio
import hashlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.server.held import HeldEmbedder, hold
from tests.server.refusals import read_status
from tests.server.scenarios import run, until

from beedex.index.index import Index
from beedex.index.rebuild import build_index
from beedex.server.engine import Engine, open_engine
from beedex.server.upkeep.editing import LONGEST_TEXT_CHARACTERS
from beedex.v1 import index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc, types_pb2


@pytest.fixture
def index_dir(tiny_gallery_copy, tiny_bundle, tmp_path) -> Path:
    path: Path = tmp_path / "index"
    build_index(tiny_gallery_copy, tiny_bundle, path)
    return path


@pytest.fixture
def photo(encode_png):
    """A photo that isn't indexed, and unlike all that are."""
    return encode_png(np.random.default_rng(7).integers(0, 60, (80, 100, 3), dtype=np.uint8))


class Admin:
    def __init__(self, channel: grpc.aio.Channel):
        self.index = index_pb2_grpc.IndexServiceStub(channel)
        self.search = search_pb2_grpc.SearchServiceStub(channel)

    async def upsert(self, *entries):
        request = index_pb2.UpsertEntriesRequest(entries=[index_pb2.EntryToUpsert(**entry) for entry in entries])
        return judge((await self.index.UpsertEntries(request)).outcomes)

    async def delete(self, *entry_ids):
        request = index_pb2.DeleteEntriesRequest(entry_ids=entry_ids)
        return judge((await self.index.DeleteEntries(request)).outcomes)

    async def nearest(self, photo):
        query = types_pb2.Query(photo=photo)
        reply = await self.search.SearchNeighbors(search_pb2.SearchNeighborsRequest(query=query, k=1))
        return reply.neighbors[0]

    async def families(self):
        reply = await self.search.ListFamilies(search_pb2.ListFamiliesRequest())
        return {family.name: family.entries for family in reply.families}


def judge(outcomes) -> list[Any]:
    """Return each entry, or the reason and the field of why there is none."""
    return [
        outcome.entry
        if outcome.HasField("entry")
        else (read_status(outcome.error).reason, *read_status(outcome.error).fields)
        for outcome in outcomes
    ]


@asynccontextmanager
async def administer(serving, index_dir, **how):
    async with serving(index_dir=index_dir, **how) as (address, _, _), grpc.aio.insecure_channel(address) as channel:
        yield Admin(channel)


def test_a_photo_that_is_put_in_is_found_at_once_kept_and_known_to_every_process(serving, index_dir, photo):
    async def scenario():
        async with administer(serving, index_dir) as admin:
            (entry,) = await admin.upsert({"photo": photo, "family": "night", "credit": "A. Nonymous", "group": "g1"})
            nearest = await admin.nearest(photo)
            request = search_pb2.GetPhotoRequest(entry_id=entry.entry_id)
            shown = b"".join([reply.chunk async for reply in admin.search.GetPhoto(request)])
            return entry, nearest, shown, await admin.families()

    entry, nearest, shown, families = run(scenario)
    sha256 = hashlib.sha256(photo).hexdigest()

    assert entry == types_pb2.Entry(entry_id=sha256[:16], family="night", path=sha256, group="g1", credit="A. Nonymous")
    assert nearest.entry == entry
    assert nearest.similarity == pytest.approx(1, abs=1e-4)
    assert shown == photo
    assert families == {"amber": 6, "blue": 6, "clover": 6, "night": 1}
    with Index.open(index_dir) as index:
        assert index.searcher.view.entry(entry.entry_id).family == "night"


def test_what_is_said_of_an_entry_changes_and_what_is_left_empty_stays(serving, index_dir, tiny_gallery_copy):
    path = min(tiny_gallery_copy.glob("blue/*.jpg"))

    async def scenario():
        async with administer(serving, index_dir) as admin:
            known = (await admin.nearest(path.read_bytes())).entry
            (by_id,) = await admin.upsert({"entry_id": known.entry_id, "species": "Osmia", "source_name": "garden"})
            (by_photo,) = await admin.upsert({"photo": path.read_bytes(), "family": "violet"})
            return known, by_id, by_photo, (await admin.nearest(path.read_bytes())).entry

    known, by_id, by_photo, found = run(scenario)

    assert (by_id.family, by_id.path, by_id.species, by_id.source) == ("blue", known.path, "Osmia", "garden")
    assert (by_photo.family, by_photo.path, by_photo.species) == ("violet", known.path, "Osmia")
    assert found == by_photo


def test_an_entry_that_is_taken_out_is_found_no_more(serving, index_dir, tiny_gallery_copy):
    path = min(tiny_gallery_copy.glob("blue/*.jpg"))

    async def scenario():
        async with administer(serving, index_dir) as admin:
            known = (await admin.nearest(path.read_bytes())).entry
            outcomes = await admin.delete(known.entry_id)
            return known, outcomes, (await admin.nearest(path.read_bytes())).entry, await admin.families()

    known, outcomes, nearest, families = run(scenario)

    assert outcomes == [known]
    assert nearest.entry_id != known.entry_id
    assert families["blue"] == 5


def test_each_entry_is_done_or_refused_alone(serving, index_dir, photo, encode_png):
    other = encode_png(np.zeros((50, 50, 3), np.uint8))
    long = "x" * (LONGEST_TEXT_CHARACTERS + 1)
    wishes: list[dict[str, Any]] = [
        {"photo": photo, "family": "night"},
        {"photo": b"This is a text about bees.", "family": "night"},
        {"photo": other},
        {"photo": other, "family": " \t "},
        {"photo": other, "family": "  "},
        {"photo": other, "family": "night", "source_name": long},
        {"photo": other, "family": "night", "path": "two\nlines"},
        {"entry_id": "../../etc/passwd"},
        {"entry_id": "0123456789abcdef"},
        {"family": "night"},
        {"photo": other, "family": "x" * LONGEST_TEXT_CHARACTERS},
    ]

    async def scenario():
        async with administer(serving, index_dir) as admin:
            return await admin.upsert(*wishes), await admin.families()

    outcomes, families = run(scenario)

    assert outcomes[0].family == "night"
    assert outcomes[1:10] == [
        ("NOT_A_PHOTO", "entries[1].photo"),
        ("FAMILY_MISSING", "entries[2].family"),
        ("BAD_TEXT", "entries[3].family"),
        ("FAMILY_MISSING", "entries[4].family"),
        ("BAD_TEXT", "entries[5].source_name"),
        ("BAD_TEXT", "entries[6].path"),
        ("MALFORMED_ENTRY_ID", "entries[7].entry_id"),
        ("ENTRY_NOT_FOUND", "entries[8].entry_id"),
        ("SOURCE_MISSING", "entries[9].source"),
    ]
    assert outcomes[10].family == "x" * LONGEST_TEXT_CHARACTERS
    assert families == {"amber": 6, "blue": 6, "clover": 6, "night": 1, "x" * LONGEST_TEXT_CHARACTERS: 1}


def test_entries_of_one_request_see_those_before_them(serving, index_dir, photo):
    entry_id = hashlib.sha256(photo).hexdigest()[:16]

    async def scenario():
        async with administer(serving, index_dir) as admin:
            upserted = await admin.upsert(
                {"photo": photo, "family": "night"},
                {"entry_id": entry_id, "family": "dusk"},
                {"photo": photo, "credit": "A. Nonymous"},
            )
            found = (await admin.nearest(photo)).entry
            return upserted, found, await admin.delete(entry_id, entry_id, "none"), await admin.families()

    upserted, found, deleted, families = run(scenario)

    assert [(entry.family, entry.credit) for entry in upserted] == [
        ("night", ""),
        ("dusk", ""),
        ("dusk", "A. Nonymous"),
    ]
    assert found == upserted[-1]
    assert deleted == [found, ("ENTRY_NOT_FOUND", "entry_ids[1]"), ("MALFORMED_ENTRY_ID", "entry_ids[2]")]
    assert families == {"amber": 6, "blue": 6, "clover": 6}


def test_many_photos_at_once_are_put_in_beside_each_other(serving, index_dir, encode_png):
    generator = np.random.default_rng(3)
    photos = [encode_png(generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(40)]

    async def scenario():
        async with administer(serving, index_dir) as admin:
            first, second = await asyncio.gather(
                admin.upsert(*({"photo": photo, "family": "noise"} for photo in photos[:20])),
                admin.upsert(*({"photo": photo, "family": "noise"} for photo in photos[20:])),
            )
            return [*first, *second], await admin.families()

    entries, families = run(scenario)

    assert [entry.entry_id for entry in entries] == [hashlib.sha256(photo).hexdigest()[:16] for photo in photos]
    assert families["noise"] == 40


def test_what_another_process_has_just_changed_is_known(serving, index_dir, photo):
    async def scenario():
        async with administer(serving, index_dir) as admin:
            (entry,) = await admin.upsert({"photo": photo, "family": "night"})
            with Index.open(index_dir) as index:
                await asyncio.to_thread(index.delete, entry.entry_id)
            return await admin.upsert({"entry_id": entry.entry_id, "family": "dusk"})

    assert run(scenario) == [("ENTRY_NOT_FOUND", "entries[0].entry_id")]


def test_an_index_that_can_not_be_served_as_it_is_takes_nothing(serving, index_dir, photo):
    async def scenario():
        async with administer(serving, index_dir) as admin:
            (index_dir / "CURRENT").write_text("seven\n")
            return await admin.upsert({"photo": photo, "family": "night"}), await admin.delete("0123456789abcdef")

    assert run(scenario) == ([("INDEX_UNUSABLE",)], [("INDEX_UNUSABLE",)])
    assert not (index_dir / "changes.sqlite").exists()


def test_a_photo_that_was_embedded_while_another_embedder_took_over_is_embedded_again(
    serving, index_dir, tiny_gallery_copy, other_tiny_bundle, photo
):
    held = HeldEmbedder()
    engines: list[Engine] = []

    def load(config):
        engines.append(hold(held)(config) if not engines else open_engine(config))
        return engines[-1]

    async def scenario():
        async with administer(serving, index_dir, load=load) as admin:
            upserting = asyncio.create_task(admin.upsert({"photo": photo, "family": "night"}))
            await until(lambda: held.futures)
            await asyncio.to_thread(build_index, tiny_gallery_copy, other_tiny_bundle, index_dir)
            held.finish()
            (entry,) = await upserting
            return entry, await admin.nearest(photo)

    entry, nearest = run(scenario)

    assert len(engines) == 2
    assert nearest.entry == entry
    assert nearest.similarity == pytest.approx(1, abs=1e-4)
