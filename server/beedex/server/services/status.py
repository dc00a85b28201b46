"""What a server has loaded and takes, as a message."""

from functools import cache
from importlib.metadata import version

from beedex.server.engine import Engine
from beedex.server.services.origin import describe_origin
from beedex.v1 import index_pb2

__all__ = ["describe_status"]


def describe_status(engine: Engine, limits: index_pb2.Limits) -> index_pb2.GetStatusResponse:
    """Return the embedder, the snapshot, the limits and the load of the lane."""
    card, manifest = engine.card, engine.searcher.snapshot.manifest
    return index_pb2.GetStatusResponse(
        server_version=_find_version(),
        embedder=index_pb2.Embedder(
            fingerprint=card.fingerprint,
            dimension=card.dimension,
            backbone=card.backbone,
            weights=card.weights.kind,
            weights_note=card.weights.note,
            calibrated=engine.searcher.calibration is not None,
            input_side_px=card.preprocessing.side_px,
        ),
        snapshot=index_pb2.Snapshot(
            version=manifest.version,
            entries=len(engine.searcher.view),
            families=len(engine.searcher.families()),
            index_kind=manifest.index_kind,
        ),
        limits=limits,
        origin=describe_origin(engine),
        load=index_pb2.Load(
            lane_depth=engine.lane.depth,
            lane_capacity=engine.lane.capacity,
            expected_wait_s=engine.lane.expected_wait_s,
        ),
    )


@cache
def _find_version() -> str:
    return version("beedex")
