"""GRPCInferenceService: the embedder as a model of the Open Inference Protocol, for clients of KServe and Triton."""

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from beedex.oip import inference_pb2, inference_pb2_grpc
from beedex.server.calls.tensors import INPUT_NAME, OUTPUT_NAME, pack_embeddings, unpack_images
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.calls.work import note_origin
from beedex.server.engine import Engine, EngineSlot
from beedex.server.errors import ModelNotFoundError

if TYPE_CHECKING:
    import grpc

__all__ = ["MODEL_NAME", "InferenceService"]

MODEL_NAME = "embedder"

# Triton's names of RepositoryIndex and of a model's states.
REPOSITORY_EXTENSION = "model_repository"
READY, UNAVAILABLE = "READY", "UNAVAILABLE"

TensorMetadata = inference_pb2.ModelMetadataResponse.TensorMetadata


class InferenceService(inference_pb2_grpc.GRPCInferenceServiceServicer):
    """See protos/beedex/oip/inference.proto."""

    def __init__(self, slot: EngineSlot, traffic: TrafficWatch) -> None:
        self._slot = slot
        self._traffic = traffic

    async def ServerLive(  # noqa: N802 - the protocol's name
        self, request: inference_pb2.ServerLiveRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.ServerLiveResponse:
        """Say that the process runs."""
        del request, context
        return inference_pb2.ServerLiveResponse(live=True)

    async def ServerReady(  # noqa: N802 - the protocol's name
        self, request: inference_pb2.ServerReadyRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.ServerReadyResponse:
        """Say whether requests are answered."""
        del request, context
        return inference_pb2.ServerReadyResponse(ready=self._find_engine() is not None)

    async def ModelReady(  # noqa: N802 - the protocol's name
        self, request: inference_pb2.ModelReadyRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.ModelReadyResponse:
        """Say whether the embedder runs, and is the one that is asked for."""
        del context
        _check_name(request.name)
        engine = self._find_engine()
        is_ready = engine is not None and request.version in {"", engine.fingerprint}
        return inference_pb2.ModelReadyResponse(ready=is_ready)

    async def ServerMetadata(  # noqa: N802 - the protocol's name
        self, request: inference_pb2.ServerMetadataRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.ServerMetadataResponse:
        """Tell the server's name and version."""
        del request, context
        return inference_pb2.ServerMetadataResponse(
            name="beedex", version=version("beedex"), extensions=[REPOSITORY_EXTENSION]
        )

    async def ModelMetadata(  # noqa: N802 - the protocol's name
        self, request: inference_pb2.ModelMetadataRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.ModelMetadataResponse:
        """Tell what the embedder takes and gives."""
        del context
        engine = self._take_engine(request.name, request.version)
        side = engine.embedder.side_px
        return inference_pb2.ModelMetadataResponse(
            name=MODEL_NAME,
            versions=[engine.fingerprint],
            platform="openvino",
            inputs=[TensorMetadata(name=INPUT_NAME, datatype="UINT8", shape=[-1, side, side, 3])],
            outputs=[TensorMetadata(name=OUTPUT_NAME, datatype="FP32", shape=[-1, engine.embedder.dimension])],
        )

    async def ModelInfer(  # noqa: N802 - the protocol's name
        self, request: inference_pb2.ModelInferRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.ModelInferResponse:
        """Embed photos that the caller has prepared."""
        engine = self._take_engine(request.model_name, request.model_version)
        images = unpack_images(request, engine.embedder.side_px)
        # One flow, so that a large request lets others pass.
        flow, timeout_s = object(), context.time_remaining()
        tasks = [asyncio.create_task(engine.embed_image(image, flow=flow, timeout_s=timeout_s)) for image in images]
        try:
            embedded = await asyncio.gather(*tasks)
        finally:
            # The others of one that failed, or all when the caller goes away, shall cost no more inference.
            for task in tasks:
                task.cancel()
        vectors = np.stack([photo.vector for photo in embedded])  # (N, D)
        return pack_embeddings(request, vectors, fingerprint=engine.fingerprint, snapshot=engine.snapshot_version)

    async def RepositoryIndex(  # noqa: N802 - the protocol's name
        self, request: inference_pb2.RepositoryIndexRequest, context: "grpc.aio.ServicerContext[Any, Any]"
    ) -> inference_pb2.RepositoryIndexResponse:
        """List the embedder."""
        del context
        engine = self._find_engine()
        model = inference_pb2.RepositoryIndexResponse.ModelIndex(name=MODEL_NAME, state=READY)
        if engine is None:
            model.state, model.reason = UNAVAILABLE, "the server is loading or going down"
        else:
            model.version = engine.fingerprint
        return inference_pb2.RepositoryIndexResponse(models=[] if engine is None and request.ready else [model])

    def _find_engine(self) -> Engine | None:
        """Return what answers now; None while nothing does."""
        return None if self._traffic.draining.is_set() else self._slot.engine

    def _take_engine(self, name: str, wanted: str) -> Engine:
        """Return what answers for a model.

        Raises:
            ModelNotFoundError: there is no such model, or not with that version.
            LoadingError: the embedder is not loaded yet.
        """
        _check_name(name)
        engine = self._slot.current
        if wanted not in {"", engine.fingerprint}:
            raise ModelNotFoundError(
                f"the model {MODEL_NAME} has another version: expected {wanted}, it has {engine.fingerprint}; "
                "leave the version empty for whichever is served",
                reason="VERSION_NOT_FOUND",
                values={"expected": wanted, "received": engine.fingerprint},
                field="model_version",
            )
        note_origin(engine.fingerprint, engine.snapshot_version)
        return engine


def _check_name(name: str) -> None:
    if name != MODEL_NAME:
        raise ModelNotFoundError(
            f"there is no model {name!r}: expected {MODEL_NAME!r}, the only one",
            reason="MODEL_NOT_FOUND",
            values={"expected": MODEL_NAME, "received": name},
            field="model_name",
        )
