"""From a reply message to the client's result; shared by both clients."""

from collections.abc import Iterable
from types import MappingProxyType

from beedex.client._errors import UnsupportedError
from beedex.client._results.entries import Entry
from beedex.client._results.result import illustrate
from beedex.client._results.results import (
    Embedding,
    Families,
    Family,
    FamilyScore,
    Identification,
    Limits,
    Neighbor,
    Neighbors,
    Status,
    Verdict,
)
from beedex.client._results.thumbnails import Thumbnails
from beedex.v1 import embedding_pb2, index_pb2, search_pb2, types_pb2

__all__ = [
    "parse_embedding",
    "parse_entry",
    "parse_families",
    "parse_identification",
    "parse_neighbors",
    "parse_status",
]

_VERDICTS = MappingProxyType(
    {
        search_pb2.VERDICT_MATCH: Verdict.MATCH,
        search_pb2.VERDICT_AMBIGUOUS: Verdict.AMBIGUOUS,
        search_pb2.VERDICT_UNKNOWN: Verdict.UNKNOWN,
    }
)


def parse_identification(
    reply: search_pb2.IdentifyResponse, /, *, request_id: str = "", thumbnails: Thumbnails | None = None
) -> Identification:
    """Read the answer to Identify.

    Args:
        reply: the message.
        request_id: the call's.
        thumbnails: where the photos of its neighbors are.

    Raises:
        UnsupportedError: the verdict is one that this client doesn't know.
    """
    verdict = _VERDICTS.get(reply.verdict)
    if verdict is None:
        raise UnsupportedError(
            f"the server's verdict is not one this client knows: expected {', '.join(Verdict)}, "
            f"received number {reply.verdict}; update beedex",
            request_id=request_id,
        )
    answer = Identification(
        verdict=verdict,
        family=reply.family or None,
        probability=reply.probability,
        candidates=tuple(reply.candidates),
        reason=reply.reason,
        families=tuple(
            FamilyScore(family=score.family, probability=score.probability, similarity=score.similarity)
            for score in reply.families
        ),
        neighbors=illustrate(_parse_neighbors(reply.neighbors, reply.origin, request_id), thumbnails),
        fingerprint=reply.origin.fingerprint,
        snapshot=reply.origin.snapshot,
        request_id=request_id,
    )
    return illustrate(answer, thumbnails)


def parse_neighbors(
    reply: search_pb2.SearchNeighborsResponse, /, *, request_id: str = "", thumbnails: Thumbnails | None = None
) -> Neighbors:
    """Read the answer to SearchNeighbors; arguments as for `parse_identification`."""
    return illustrate(_parse_neighbors(reply.neighbors, reply.origin, request_id), thumbnails)


def parse_embedding(reply: embedding_pb2.EmbedResponse, /, *, request_id: str = "") -> Embedding:
    """Read the answer to Embed."""
    import numpy as np  # noqa: PLC0415 - see beedex.client._results.embeddings

    vector = np.frombuffer(reply.vector.values, dtype="<f4").astype(np.float32, copy=False)
    vector.flags.writeable = False
    return Embedding(
        vector=vector,
        fingerprint=reply.origin.fingerprint,
        snapshot=reply.origin.snapshot,
        request_id=request_id,
    )


def parse_families(reply: search_pb2.ListFamiliesResponse, /, *, request_id: str = "") -> Families:
    """Read the answer to ListFamilies."""
    return Families(
        rows=tuple(Family(name=family.name, entries=family.entries) for family in reply.families),
        fingerprint=reply.origin.fingerprint,
        snapshot=reply.origin.snapshot,
        request_id=request_id,
    )


def parse_status(reply: index_pb2.GetStatusResponse, /, *, request_id: str = "") -> Status:
    """Read the answer to GetStatus."""
    limits = Limits(
        max_photo_bytes=reply.limits.max_photo_bytes,
        max_photo_pixels=reply.limits.max_photo_pixels,
        max_photo_side_px=reply.limits.max_photo_side_px,
        photo_formats=tuple(reply.limits.photo_formats),
        max_k=reply.limits.max_k,
        max_message_bytes=reply.limits.max_message_bytes,
        max_entries=reply.limits.max_entries,
        max_stream_items=reply.limits.max_stream_items,
        stream_window=reply.limits.stream_window,
        max_streams=reply.limits.max_streams,
        max_idle_s=reply.limits.max_idle_s,
        max_metadata_bytes=reply.limits.max_metadata_bytes,
    )
    return Status(
        server_version=reply.server_version,
        dimension=reply.embedder.dimension,
        backbone=reply.embedder.backbone,
        weights=reply.embedder.weights,
        weights_note=reply.embedder.weights_note,
        input_side_px=reply.embedder.input_side_px,
        calibrated=reply.embedder.calibrated,
        entries=reply.snapshot.entries,
        families=reply.snapshot.families,
        index_kind=reply.snapshot.index_kind,
        limits=limits,
        fingerprint=reply.origin.fingerprint,
        snapshot=reply.origin.snapshot,
        request_id=request_id,
    )


def parse_entry(entry: types_pb2.Entry) -> Entry:
    """Read what is known of an entry."""
    return Entry(
        entry_id=entry.entry_id,
        family=entry.family,
        path=entry.path,
        group=entry.group,
        species=entry.species,
        source=entry.source,
        license=entry.license,
        credit=entry.credit,
    )


def _parse_neighbors(neighbors: Iterable[types_pb2.Neighbor], origin: types_pb2.Origin, request_id: str) -> Neighbors:
    rows = tuple(
        Neighbor(
            entry_id=neighbor.entry.entry_id,
            family=neighbor.entry.family,
            similarity=neighbor.similarity,
            path=neighbor.entry.path,
            group=neighbor.entry.group,
            species=neighbor.entry.species,
            source=neighbor.entry.source,
            license=neighbor.entry.license,
            credit=neighbor.entry.credit,
        )
        for neighbor in neighbors
    )
    return Neighbors(rows=rows, fingerprint=origin.fingerprint, snapshot=origin.snapshot, request_id=request_id)
