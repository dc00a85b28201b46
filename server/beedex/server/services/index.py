"""IndexService: what the server has loaded."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from beedex.server.config import ServerConfig
from beedex.server.engine import EngineSlot
from beedex.server.services.origin import describe_origin, take_engine
from beedex.v1 import index_pb2, index_pb2_grpc

if TYPE_CHECKING:
    import grpc

__all__ = ["IndexService"]


class IndexService(index_pb2_grpc.IndexServiceServicer):
    """See index.proto."""

    def __init__(self, slot: EngineSlot, config: ServerConfig) -> None:
        self._slot = slot
        self._version = version("beedex")
        limits = config.limits
        self._limits = index_pb2.Limits(
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

    async def GetStatus(  # noqa: N802 - the protocol's name
        self, request: index_pb2.GetStatusRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> index_pb2.GetStatusResponse:
        """Tell the embedder, the snapshot and the limits."""
        del context
        engine = take_engine(self._slot, request.expectation)
        card, manifest = engine.card, engine.searcher.snapshot.manifest
        return index_pb2.GetStatusResponse(
            server_version=self._version,
            embedder=index_pb2.Embedder(
                fingerprint=card.fingerprint,
                dimension=card.dimension,
                backbone=card.backbone,
                weights=card.weights.kind,
                weights_note=card.weights.note,
                calibrated=engine.searcher.calibration is not None,
            ),
            snapshot=index_pb2.Snapshot(
                version=manifest.version,
                entries=len(engine.searcher.view),
                families=len(engine.searcher.families()),
                index_kind=manifest.index_kind,
            ),
            limits=self._limits,
            origin=describe_origin(engine),
        )
