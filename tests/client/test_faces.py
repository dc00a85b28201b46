"""The two clients answer alike, call by call: the same results, the same errors."""

import asyncio
import inspect

import numpy as np
import pytest

from beedex.client import AsyncClient, Client, ClientError, EntryToUpsert, Outcome

UNKNOWN_ENTRY = "0123456789abcdef"

CALLS = sorted(name for name, member in vars(Client).items() if inspect.isfunction(member) and name[0] != "_")


def list_asked(photos, entry_id):
    """By the name of a call, what is asked of both clients; nothing that changes the index."""
    embedding = np.ones(32)
    queries = [
        {"photo": photos[0]},
        {"photo": photos[1].read_bytes(), "k": 2},
        {"vector": embedding, "k": 3},
        {"entry_id": entry_id},
        {"entry_id": UNKNOWN_ENTRY},
        {"photo": b"no photo"},
        {"photo": photos[0], "k": 0},
        {"photo": photos[0], "entry_id": entry_id},
        {"photo": photos[0].with_name("none.jpg")},
        {"vector": np.ones((2, 32))},
        {"photo": photos[0], "timeout_s": 0},
    ]
    many = [{"photos": [*photos[:4], b"no photo", "none.jpg"]}, {"photos": photos[0]}, {"photos": [], "in_flight": 0}]
    plain = [{}, {"timeout_s": -1.0}]
    return {
        "activate": [{"version": 0}, {"version": 99}],
        "close": [{}],
        "delete": [{"entry_ids": [UNKNOWN_ENTRY, "bee"]}, {"entry_ids": []}, {"entry_ids": UNKNOWN_ENTRY}],
        "embed": [{"photo": photos[0]}, {"entry_id": entry_id}, {}],
        "embed_many": many,
        "families": plain,
        "identify": queries,
        "identify_many": [*many, {"photos": photos[:2], "k": 2}, {"photos": photos[:2], "k": -1}],
        "neighbors": [*queries, {"photo": photos[0], "families": ["blue"]}, {"photo": photos[0], "families": "blue"}],
        "photo": [{"entry_id": UNKNOWN_ENTRY}, {"entry_id": "bee"}, {"entry_id": entry_id, "max_side_px": 32}],
        # What it does is in test_index_calls.py.
        "rebuild": [{"timeout_s": 0}, {"timeout_s": -1.0}],
        "rollback": plain,
        "snapshots": plain,
        "status": plain,
        "upsert": [
            {"entries": [EntryToUpsert(photo=b"no photo", family="night"), EntryToUpsert(entry_id=UNKNOWN_ENTRY)]},
            {"entries": [EntryToUpsert(family="night")]},
            {"entries": []},
        ],
    }


@pytest.fixture(scope="module")
def asked(tiny_gallery, address):
    photos = sorted(tiny_gallery.rglob("*.jpg"))
    with Client(address) as client:
        return list_asked(photos, client.neighbors(photos[0], k=1)[0].entry_id)


def tell(value):
    """What there is to compare of a result or an error, beyond what names the single call."""
    if isinstance(value, ClientError):
        return type(value), value.code, value.reason, str(value), value.details
    if isinstance(value, Exception):
        return type(value), str(value)
    if isinstance(value, Outcome):
        return value.index, tell(value.result), tell(value.error)
    if hasattr(value, "rows"):
        return [(tell(row.entry), tell(row.error)) if hasattr(row, "error") else row for row in value.rows]
    return value


def ask(address, name, arguments):
    with Client(address) as client:
        try:
            result = getattr(client, name)(**arguments)
            return [tell(item) for item in result] if inspect.isgenerator(result) else tell(result)
        except Exception as error:  # noqa: BLE001 - whatever it is
            return tell(error)


async def ask_async(address, name, arguments):
    async with AsyncClient(address) as client:
        try:
            result = getattr(client, name)(**arguments)
            return [tell(item) async for item in result] if inspect.isasyncgen(result) else tell(await result)
        except Exception as error:  # noqa: BLE001 - whatever it is
            return tell(error)


@pytest.mark.parametrize("name", CALLS)
def test_both_clients_answer_alike(address, asked, name):
    for arguments in asked[name]:
        assert ask(address, name, arguments) == asyncio.run(ask_async(address, name, arguments)), arguments


def test_neighbors_of_some_families_are_of_those(address, asked):
    query = asked["neighbors"][0]
    with Client(address) as client:
        found = client.neighbors(**query, k=18, families=["blue", "clover"])
        nothing = client.neighbors(**query, families=["wasp"])

    assert {neighbor.family for neighbor in found} == {"blue", "clover"}
    assert len(found) == 12
    assert list(nothing) == []
