"""The Open Inference Protocol: with Triton's own client, and each way of being refused."""

import asyncio
import json
import subprocess
import threading
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder
from beedex.index.preprocessing import prepare
from beedex.oip import inference_pb2, inference_pb2_grpc
from beedex.server.engine import open_engine

ROOT = Path(__file__).parents[2]
TRITON_PYTHON = ROOT / "build" / "triton" / "bin" / "python"
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def images(tiny_gallery):
    """(N, 299, 299, 3) uint8."""
    return np.stack([prepare(path.read_bytes()) for path in sorted(tiny_gallery.rglob("*.jpg"))[:5]])


@pytest.fixture(scope="module")
def vectors(images, tiny_bundle):
    """(N, D), embedded without the server."""
    with Embedder.open(load_bundle(tiny_bundle), threads=1) as embedder:
        return embedder.embed(images)


@pytest.fixture
def stub(channel):
    return inference_pb2_grpc.GRPCInferenceServiceStub(channel)


def ask(images, **fields):
    tensor = inference_pb2.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=images.shape)
    request = inference_pb2.ModelInferRequest(
        model_name="embedder", inputs=[tensor], raw_input_contents=[images.tobytes()]
    )
    request.MergeFrom(inference_pb2.ModelInferRequest(**fields))
    return request


def read(reply):
    (output,) = reply.outputs
    return np.frombuffer(reply.raw_output_contents[0], "<f4").reshape(output.shape)


def refusal(call, request):
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=TIMEOUT_S)
    failure: Any = caught.value
    metadata = dict(failure.trailing_metadata())
    info = error_details_pb2.ErrorInfo()
    for detail in status_pb2.Status.FromString(metadata["grpc-status-details-bin"]).details:
        _ = detail.Unpack(info)
    return failure.code(), info.domain, info.reason


@pytest.mark.skipif(not TRITON_PYTHON.exists(), reason="`make test` makes the environment of Triton's client")
def test_the_stock_triton_client_finds_the_model_reads_its_metadata_and_embeds(
    address, images, vectors, tiny_bundle, tmp_path
):
    np.save(tmp_path / "images.npy", images)
    command = [TRITON_PYTHON, ROOT / "tests" / "server" / "triton_caller.py", address]
    command += [tmp_path / "images.npy", tmp_path / "out.npy"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    learned = json.loads(done.stdout)
    fingerprint = load_bundle(tiny_bundle).card.fingerprint

    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), vectors, atol=1e-5)
    assert (learned["live"], learned["ready"], learned["model_ready"]) == (True, True, True)
    assert not learned["other_version_ready"]
    assert learned["server"]["name"] == "beedex"
    assert learned["models"] == {"models": [{"name": "embedder", "version": fingerprint, "state": "READY"}]}
    assert learned["metadata"] == {
        "name": "embedder",
        "versions": [fingerprint],
        "platform": "openvino",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": ["-1", "299", "299", "3"]}],
        "outputs": [{"name": "embedding", "datatype": "FP32", "shape": ["-1", "32"]}],
    }
    assert learned["reply"] == {
        "model_name": "embedder",
        "model_version": fingerprint,
        "id": "seven",
        "parameters": {"snapshot": {"int64_param": "1"}},
    }
    assert learned["refusal"]["status"] == "StatusCode.NOT_FOUND"
    assert "there is no model 'other'" in learned["refusal"]["message"]


def test_numbers_in_the_contents_give_what_raw_ones_give(stub, images, vectors):
    contents = inference_pb2.InferTensorContents(uint_contents=images[:1].ravel().tolist())
    tensor = inference_pb2.ModelInferRequest.InferInputTensor(
        name="image", datatype="UINT8", shape=[1, 299, 299, 3], contents=contents
    )
    request = inference_pb2.ModelInferRequest(model_name="embedder", inputs=[tensor])

    np.testing.assert_allclose(read(stub.ModelInfer(request)), vectors[:1], atol=1e-5)


REFUSALS: dict[str, dict[str, Any]] = {
    "MODEL_NOT_FOUND": {"model_name": "other"},
    "VERSION_NOT_FOUND": {"model_version": "0" * 64},
    "OUTPUT_UNKNOWN": {"outputs": [{"name": "features"}]},
    "INPUT_MISSING": {"inputs": [{"name": "mask"}]},
    "WRONG_LENGTH": {"raw_input_contents": [b"one more"]},
}
NOT_FOUND = {"MODEL_NOT_FOUND", "VERSION_NOT_FOUND"}


@pytest.mark.parametrize("reason", REFUSALS)
def test_what_the_model_does_not_take_is_refused_by_name(stub, images, reason):
    code = grpc.StatusCode.NOT_FOUND if reason in NOT_FOUND else grpc.StatusCode.INVALID_ARGUMENT

    assert refusal(stub.ModelInfer, ask(images, **REFUSALS[reason])) == (code, "beedex", reason)


@pytest.mark.parametrize(
    ("shape", "datatype", "size", "reason"),
    [
        ([1, 299, 299, 3], "FP32", 299 * 299 * 3, "WRONG_DATATYPE"),
        ([299, 299, 3], "UINT8", 299 * 299 * 3, "WRONG_SHAPE"),
        ([0, 299, 299, 3], "UINT8", 0, "WRONG_SHAPE"),
        ([-1, 299, 299, 3], "UINT8", 299 * 299 * 3, "WRONG_SHAPE"),
        ([1, 300, 299, 3], "UINT8", 300 * 299 * 3, "WRONG_SHAPE"),
        ([2**62, 299, 299, 3], "UINT8", 299 * 299 * 3, "WRONG_LENGTH"),
        ([2, 299, 299, 3], "UINT8", 299 * 299 * 3, "WRONG_LENGTH"),
        ([1, 299, 299, 3], "UINT8", 299 * 299 * 3 - 1, "WRONG_LENGTH"),
        ([1, 299, 299, 3], "UINT8", 0, "WRONG_LENGTH"),
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_invalid(stub, shape, datatype, size, reason):
    tensor = inference_pb2.ModelInferRequest.InferInputTensor(name="image", datatype=datatype, shape=shape)
    request = inference_pb2.ModelInferRequest(model_name="embedder", inputs=[tensor], raw_input_contents=[bytes(size)])

    assert refusal(stub.ModelInfer, request) == (grpc.StatusCode.INVALID_ARGUMENT, "beedex", reason)


def test_numbers_that_are_no_bytes_are_invalid(stub):
    contents = inference_pb2.InferTensorContents(uint_contents=[256] + [0] * (299 * 299 * 3 - 1))
    tensor = inference_pb2.ModelInferRequest.InferInputTensor(
        name="image", datatype="UINT8", shape=[1, 299, 299, 3], contents=contents
    )
    request = inference_pb2.ModelInferRequest(model_name="embedder", inputs=[tensor])

    assert refusal(stub.ModelInfer, request) == (grpc.StatusCode.INVALID_ARGUMENT, "beedex", "WRONG_DATATYPE")


@pytest.mark.parametrize(
    ("rpc", "request_type"),
    [("ModelReady", inference_pb2.ModelReadyRequest), ("ModelMetadata", inference_pb2.ModelMetadataRequest)],
)
def test_another_model_is_not_found(stub, rpc, request_type):
    expected = (grpc.StatusCode.NOT_FOUND, "beedex", "MODEL_NOT_FOUND")

    assert refusal(getattr(stub, rpc), request_type(name="other")) == expected


def test_metadata_of_another_version_is_not_found(stub):
    request = inference_pb2.ModelMetadataRequest(name="embedder", version="0" * 64)

    assert refusal(stub.ModelMetadata, request) == (grpc.StatusCode.NOT_FOUND, "beedex", "VERSION_NOT_FOUND")


def test_a_server_that_loads_is_live_and_not_ready(serving):
    async def scenario():
        may_load = threading.Event()

        def load(config):
            may_load.wait(TIMEOUT_S)
            return open_engine(config)

        async with serving(load=load, wait_until="bound") as (address, _, _), grpc.aio.insecure_channel(address) as c:
            stub = inference_pb2_grpc.GRPCInferenceServiceStub(c)
            live = (await stub.ServerLive(inference_pb2.ServerLiveRequest())).live
            ready = (await stub.ServerReady(inference_pb2.ServerReadyRequest())).ready
            model = (await stub.ModelReady(inference_pb2.ModelReadyRequest(name="embedder"))).ready
            index = await stub.RepositoryIndex(inference_pb2.RepositoryIndexRequest())
            ready_ones = await stub.RepositoryIndex(inference_pb2.RepositoryIndexRequest(ready=True))
            may_load.set()
        return live, ready, model, index.models[0].state, len(ready_ones.models)

    assert asyncio.run(scenario()) == (True, False, False, "UNAVAILABLE", 0)
