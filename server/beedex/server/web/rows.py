"""Entries, neighbors and origins as plain data; the same keys as those of `beedex identify --json`."""

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

from beedex.index.entries import Entry
from beedex.index.searcher import Neighbor
from beedex.server.engine import Engine
from beedex.server.web.inquiry import Inquiry

__all__ = ["describe_entry", "describe_neighbors", "describe_origin", "make_plain"]


def describe_entry(entry: Entry) -> dict[str, Any]:
    """Return what is known of an entry; texts are empty where the gallery says nothing."""
    return {
        "entry_id": entry.entry_id,
        "family": entry.family,
        "path": entry.path,
        "group": entry.group or "",
        "species": entry.species,
        "source": entry.source,
        "license": entry.license,
        "credit": entry.credit,
    }


def describe_neighbors(neighbors: Iterable[Neighbor]) -> list[dict[str, Any]]:
    """Return entries with their similarities."""
    return [{**describe_entry(neighbor.entry), "similarity": neighbor.similarity} for neighbor in neighbors]


def describe_origin(engine: Engine, inquiry: Inquiry) -> dict[str, Any]:
    """Return what an answer was made with."""
    return {
        "fingerprint": engine.fingerprint,
        "snapshot": engine.snapshot_version,
        "request_id": inquiry.request_id,
    }


def make_plain(message: Message) -> dict[str, Any]:
    """Return a message's fields by name, those that are not set with their defaults; numbers stay numbers."""
    plain: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.is_repeated:
            plain[field.name] = [make_plain(one) if isinstance(one, Message) else one for one in value]
        else:
            plain[field.name] = make_plain(value) if isinstance(value, Message) else value
    return plain
