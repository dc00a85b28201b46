"""From a reply about the index to the client's result; shared by both clients."""

from collections.abc import Iterable
from datetime import UTC

from beedex.client._calls.replies import parse_entry
from beedex.client._connections.failures import translate_status
from beedex.client._errors import UnsupportedError
from beedex.client._results.entries import EntryOutcome, EntryOutcomes
from beedex.client._results.rebuilds import RebuildProgress, RebuildSummary, SkippedPhoto
from beedex.client._results.snapshots import Activation, Snapshots, StoredSnapshot
from beedex.v1 import index_pb2

__all__ = ["parse_activation", "parse_news", "parse_outcomes", "parse_snapshots"]


def parse_outcomes(
    reply: index_pb2.UpsertEntriesResponse | index_pb2.DeleteEntriesResponse,
    /,
    *,
    target: str,
    request_id: str = "",
) -> EntryOutcomes:
    """Read the answer to UpsertEntries or DeleteEntries of the server at *target*."""
    return EntryOutcomes(
        rows=tuple(_parse_outcome(outcome, target, request_id) for outcome in reply.outcomes),
        fingerprint=reply.origin.fingerprint,
        snapshot=reply.origin.snapshot,
        request_id=request_id,
    )


def _parse_outcome(outcome: index_pb2.EntryOutcome, target: str, request_id: str) -> EntryOutcome:
    if outcome.HasField("entry"):
        return EntryOutcome(entry=parse_entry(outcome.entry))
    return EntryOutcome(error=translate_status(outcome.error, target=target, request_id=request_id))


def parse_snapshots(reply: index_pb2.ListSnapshotsResponse, /, *, request_id: str = "") -> Snapshots:
    """Read the answer to ListSnapshots."""
    return Snapshots(
        rows=tuple(_parse_snapshots(reply.snapshots)),
        fingerprint=reply.origin.fingerprint,
        snapshot=reply.origin.snapshot,
        request_id=request_id,
    )


def _parse_snapshots(snapshots: Iterable[index_pb2.StoredSnapshot]) -> Iterable[StoredSnapshot]:
    for snapshot in snapshots:
        has_time = snapshot.HasField("created_at")
        yield StoredSnapshot(
            version=snapshot.version,
            is_current=snapshot.is_current,
            damage=snapshot.damage,
            fingerprint=snapshot.fingerprint,
            entries=snapshot.entries,
            families=snapshot.families,
            index_kind=snapshot.index_kind,
            created_at=snapshot.created_at.ToDatetime(tzinfo=UTC) if has_time else None,
        )


def parse_activation(
    reply: index_pb2.ActivateSnapshotResponse | index_pb2.RollbackSnapshotResponse, /, *, request_id: str = ""
) -> Activation:
    """Read the answer to ActivateSnapshot or RollbackSnapshot."""
    return Activation(
        former_snapshot=reply.former_version,
        fingerprint=reply.origin.fingerprint,
        snapshot=reply.origin.snapshot,
        request_id=request_id,
    )


def parse_news(reply: index_pb2.RebuildResponse, /, *, request_id: str = "") -> RebuildProgress | RebuildSummary:
    """Read one message of Rebuild.

    Raises:
        UnsupportedError: it is none that this client knows.
    """
    match reply.WhichOneof("news"):
        case "progress":
            return _parse_progress(reply, request_id)
        case "summary":
            return _parse_summary(reply, request_id)
    raise UnsupportedError(
        "the server's news of the build are none this client knows: expected progress or summary; update beedex",
        request_id=request_id,
    )


def _parse_progress(reply: index_pb2.RebuildResponse, request_id: str) -> RebuildProgress:
    progress = reply.progress
    return RebuildProgress(
        step=progress.step,
        done=progress.done,
        total=progress.total,
        photos_per_s=progress.photos_per_s,
        remaining_s=progress.remaining_s if progress.HasField("remaining_s") else None,
        fingerprint=reply.origin.fingerprint,
        snapshot=reply.origin.snapshot,
        request_id=request_id,
    )


def _parse_summary(reply: index_pb2.RebuildResponse, request_id: str) -> RebuildSummary:
    summary = reply.summary
    return RebuildSummary(
        entries=summary.entries,
        embedded=summary.embedded,
        reused=summary.reused,
        removed=summary.removed,
        relabeled=summary.relabeled,
        skipped=tuple(
            SkippedPhoto(path=photo.path, reason=photo.reason, message=photo.message) for photo in summary.skipped
        ),
        skipped_count=summary.skipped_count,
        is_published=summary.is_published,
        seconds=summary.seconds,
        fingerprint=reply.origin.fingerprint,
        # The one that the build made, or found unchanged.
        snapshot=summary.snapshot,
        request_id=request_id,
    )
