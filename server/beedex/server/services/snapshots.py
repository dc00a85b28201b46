"""Snapshots, builds and limits as messages."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from beedex.index.overview import SnapshotState
from beedex.server.config import LimitsConfig
from beedex.server.upkeep.buildnews import BuildProgress, BuildReport
from beedex.v1 import index_pb2

__all__ = ["pack_limits", "pack_progress", "pack_snapshot", "pack_summary"]


def pack_snapshot(state: SnapshotState) -> index_pb2.StoredSnapshot:
    """Return a snapshot on the disk."""
    packed = index_pb2.StoredSnapshot(version=state.version, is_current=state.is_current, damage=state.problem)
    if state.manifest is not None:
        created_at = Timestamp()
        created_at.FromDatetime(datetime.fromisoformat(state.manifest.created_at))
        packed.MergeFrom(
            index_pb2.StoredSnapshot(
                fingerprint=state.manifest.fingerprint,
                entries=state.manifest.entries,
                families=len(state.manifest.families),
                index_kind=state.manifest.index_kind,
                created_at=created_at,
            )
        )
    return packed


def pack_progress(progress: BuildProgress) -> index_pb2.RebuildProgress:
    """Return how far a build is."""
    return index_pb2.RebuildProgress(**progress.model_dump())


def pack_summary(report: BuildReport) -> index_pb2.RebuildSummary:
    """Return what a build did."""
    return index_pb2.RebuildSummary(**report.model_dump())


def pack_limits(limits: LimitsConfig) -> index_pb2.Limits:
    """Return what a server takes."""
    return index_pb2.Limits(
        max_photo_bytes=limits.max_photo_bytes,
        max_photo_pixels=limits.max_photo_pixels,
        max_photo_side_px=limits.max_photo_side_px,
        photo_formats=limits.photo_formats,
        max_k=limits.max_k,
        max_message_bytes=limits.max_message_bytes,
        max_stream_items=limits.max_stream_items,
        stream_window=limits.stream_window,
        max_streams=limits.max_streams,
        max_idle_s=limits.max_idle_s,
        max_entries=limits.max_entries,
        max_metadata_bytes=limits.max_metadata_bytes,
    )
