"""Entries as messages, and what is wished of them."""

from functools import lru_cache

from beedex.index.entries import Entry
from beedex.server.calls.status import describe_failure
from beedex.server.upkeep.editing import Outcome, Wish
from beedex.v1 import index_pb2, types_pb2

__all__ = ["pack_entry", "pack_outcome", "read_wish"]


# Some 5 MB; replies name the same entries again and again.
KEPT_MESSAGES = 10_000


@lru_cache(KEPT_MESSAGES)
def pack_entry(entry: Entry) -> types_pb2.Entry:
    """Return what is known of an entry: a message that others share, so it is not to be changed."""
    return types_pb2.Entry(
        entry_id=entry.entry_id,
        family=entry.family,
        path=entry.path,
        group=entry.group or "",
        species=entry.species,
        source=entry.source,
        license=entry.license,
        credit=entry.credit,
    )


def pack_outcome(outcome: Outcome, method: str) -> index_pb2.EntryOutcome:
    """Return what became of an entry; a fault of the server goes to the log under the name of *method*."""
    if isinstance(outcome, Exception):
        return index_pb2.EntryOutcome(error=describe_failure(outcome, method))
    return index_pb2.EntryOutcome(entry=pack_entry(outcome))


def read_wish(message: index_pb2.EntryToUpsert, place: str) -> Wish:
    """Return what is wished of the entry at *place* of a request."""
    source = message.WhichOneof("source")
    return Wish(
        place=place,
        photo=message.photo if source == "photo" else None,
        entry_id=message.entry_id if source == "entry_id" else None,
        family=message.family,
        texts={
            "path": message.path,
            "group": message.group,
            "species": message.species,
            "source": message.source_name,
            "license": message.license,
            "credit": message.credit,
        },
    )
