"""The tensors of the Open Inference Protocol: what a ModelInfer sends, checked, and what it gets.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md
"""

import math

import numpy as np
from numpy.typing import NDArray

from beedex.oip import inference_pb2
from beedex.server.errors import InvalidRequestError

__all__ = ["INPUT_NAME", "OUTPUT_NAME", "pack_embeddings", "unpack_images"]

INPUT_NAME = "image"
OUTPUT_NAME = "embedding"


def unpack_images(request: inference_pb2.ModelInferRequest, side_px: int) -> NDArray[np.uint8]:
    """Return a request's photos.

    Args:
        request: with the numbers in raw_input_contents or in the input's own contents.
        side_px: S of the embedder's input.

    Returns:
        (N, S, S, 3) uint8, N at least 1; a view of the request's bytes where they are raw.

    Raises:
        InvalidRequestError: there is not the one input, it is of another type or shape, or an output is asked for that
            there isn't.
    """
    for output in request.outputs:
        if output.name != OUTPUT_NAME:
            raise _refuse("OUTPUT_UNKNOWN", "outputs", f"an output named {OUTPUT_NAME!r}", repr(output.name))
    names = [tensor.name for tensor in request.inputs]
    if names != [INPUT_NAME]:
        raise _refuse("INPUT_MISSING", "inputs", f"one input named {INPUT_NAME!r}", str(names))
    tensor = request.inputs[0]
    if tensor.datatype != "UINT8":
        raise _refuse("WRONG_DATATYPE", "inputs.datatype", "UINT8", repr(tensor.datatype))
    shape = tuple(tensor.shape)
    if len(shape) != 4 or shape[0] < 1 or shape[1:] != (side_px, side_px, 3):
        raise _refuse(
            "WRONG_SHAPE", "inputs.shape", f"[n, {side_px}, {side_px}, 3], n at least 1", str(list(tensor.shape))
        )
    numbers = _read_numbers(request, tensor)
    if numbers.size != math.prod(shape):
        raise _refuse("WRONG_LENGTH", "raw_input_contents", f"{math.prod(shape)} numbers", str(numbers.size))
    return numbers.reshape(shape)


def _read_numbers(
    request: inference_pb2.ModelInferRequest, tensor: inference_pb2.ModelInferRequest.InferInputTensor
) -> NDArray[np.uint8]:
    """Return the numbers of the only input, however they were sent."""
    raw, plain = request.raw_input_contents, tensor.contents.uint_contents
    if len(raw) + bool(plain) != 1:
        raise _refuse(
            "WRONG_LENGTH",
            "raw_input_contents",
            "the numbers of one input, in raw_input_contents or in its contents",
            f"{len(raw)} raw contents and {len(plain)} numbers",
        )
    if raw:
        return np.frombuffer(raw[0], np.uint8)
    numbers = np.fromiter(plain, np.uint32, len(plain))
    if numbers.max(initial=0) > np.iinfo(np.uint8).max:
        raise _refuse("WRONG_DATATYPE", "inputs.contents", "numbers from 0 to 255", str(numbers.max()))
    return numbers.astype(np.uint8)


def pack_embeddings(
    request: inference_pb2.ModelInferRequest, vectors: NDArray[np.float32], *, fingerprint: str, snapshot: int
) -> inference_pb2.ModelInferResponse:
    """Return the reply to *request* with (N, D) unit vectors."""
    return inference_pb2.ModelInferResponse(
        model_name=request.model_name,
        model_version=fingerprint,
        id=request.id,
        parameters={"snapshot": inference_pb2.InferParameter(int64_param=snapshot)},
        outputs=[
            inference_pb2.ModelInferResponse.InferOutputTensor(name=OUTPUT_NAME, datatype="FP32", shape=vectors.shape)
        ],
        raw_output_contents=[vectors.astype("<f4", copy=False).tobytes()],
    )


def _refuse(reason: str, field: str, expected: str, received: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"the model's input can't be used: expected {expected}, received {received}; ModelMetadata tells what it takes",
        reason=reason,
        values={"expected": expected, "received": received},
        field=field,
    )
