"""Coverage-guided fuzzing of request handling: whatever a caller sends, it gets a reply or a documented error.

    python tests/fuzz/fuzz_requests.py [CORPUS] [-max_total_time=60] [-runs=10000]

A real server runs in this process, on an index that this makes. The first byte of an input chooses the RPC; the rest
is the request, or, cut at 0xff 0xff, the items of a stream. The options are libFuzzer's, see fuzz_decode.py.
"""

import asyncio
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from atheris.import_hook import instrument_imports

with instrument_imports(include=["beedex.server", "beedex.index"]):
    import grpc
    import numpy as np
    from google.rpc import error_details_pb2, status_pb2
    from PIL import Image
    from seeds import encode_photos, run_fuzzer  # type: ignore[import-not-found]  # the script's neighbour

    from beedex.index.rebuild import build_index
    from beedex.oip import inference_pb2
    from beedex.server.config import LaneConfig, LimitsConfig, ServerConfig
    from beedex.server.lifecycle import serve
    from beedex.v1 import embedding_pb2, index_pb2, search_pb2

    # The tests' small bundle.
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.conftest import TINY_COLOURS, draw_tiny_photo, write_tiny_bundle

TIMEOUT_S = 20
SEPARATOR = b"\xff\xff"
SERVICES = [
    service
    for module in (embedding_pb2, search_pb2, index_pb2, inference_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
METHODS = [method for service in SERVICES for method in service.methods]

# Nothing that a caller sends is a fault of the server, and no method is missing.
FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE}


class Caller:
    """Sends inputs to a server of its own.

    Args:
        address: HOST:PORT.
    """

    def __init__(self, address: str) -> None:
        # Raw bytes go out and come back, which the stubs of grpcio don't foresee.
        self._channel: Any = grpc.insecure_channel(address)

    def send(self, data: bytes) -> None:
        """Send one input; fail on a fault, a hang, or an error that says no reason."""
        if not data:
            return
        method, request = METHODS[data[0] % len(METHODS)], data[1:]
        try:
            self._call(method, request)
        except grpc.RpcError as error:
            failure: Any = error
            self._judge(method.full_name, failure)

    def _call(self, method: Any, request: bytes) -> None:
        path = f"/{method.containing_service.full_name}/{method.name}"
        items = iter(request.split(SEPARATOR))
        match method.client_streaming, method.server_streaming:
            case False, False:
                self._channel.unary_unary(path)(request, timeout=TIMEOUT_S)
            case False, True:
                list(self._channel.unary_stream(path)(request, timeout=TIMEOUT_S))
            case _:
                list(self._channel.stream_stream(path)(items, timeout=TIMEOUT_S))

    def _judge(self, name: str, failure: Any) -> None:
        code = failure.code()
        details = dict(failure.trailing_metadata() or ()).get("grpc-status-details-bin")
        if code in FAULTS or details is None:
            raise AssertionError(f"{name}: {code}: {failure.details()}")
        infos = [error_details_pb2.ErrorInfo() for _ in status_pb2.Status.FromString(details).details]
        found = [
            info
            for info, detail in zip(infos, status_pb2.Status.FromString(details).details, strict=True)
            if detail.Unpack(info)
        ]
        if [info.domain for info in found] != ["beedex"] or not found[0].reason.isupper():
            raise AssertionError(f"{name}: expected one ErrorInfo of beedex, received {found}")


def start_server(folder: Path) -> str:
    """Serve a small index from a thread, until the process ends; return HOST:PORT."""
    generator = np.random.default_rng(0)
    for family in TINY_COLOURS:
        (folder / "gallery" / family).mkdir(parents=True)
        Image.fromarray(draw_tiny_photo(family, generator)).save(folder / "gallery" / family / "1.jpg")
    bundle = write_tiny_bundle(folder / "bundle", seed=1, calibration=None)
    build_index(folder / "gallery", bundle, folder / "index")
    config = ServerConfig(
        index_dir=folder / "index",
        listen="127.0.0.1:0",
        lane=LaneConfig(threads=1),
        limits=LimitsConfig(max_photo_pixels=1 << 20, max_photo_side_px=4096, max_stream_items=20),
    )
    addresses: list[str] = []
    is_ready = threading.Event()

    async def run() -> None:
        await serve(
            config, stop=asyncio.Event(), on_bound=addresses.append, on_ready=lambda _address, _engine: is_ready.set()
        )

    threading.Thread(target=asyncio.run, args=(run(),), daemon=True).start()
    if not is_ready.wait(TIMEOUT_S):
        raise SystemExit("the server did not start")
    return addresses[0]


def write_requests(folder: Path) -> None:
    """Write a request of each kind into a folder."""
    vector = {"values": np.ones(32, "<f4").tobytes(), "dimension": 32}
    photo = next(iter(encode_photos().values()))
    identify = search_pb2.IdentifyRequest(query={"photo": photo}, k=3)
    by_name = {
        "Embed": embedding_pb2.EmbedRequest(photo=photo),
        "EmbedStream": embedding_pb2.EmbedStreamRequest(correlation_id="a", request={"photo": photo}),
        "Identify": identify,
        "IdentifyStream": search_pb2.IdentifyStreamRequest(correlation_id="a", request=identify),
        "SearchNeighbors": search_pb2.SearchNeighborsRequest(query={"vector": vector}, families=["amber"]),
        "GetPhoto": search_pb2.GetPhotoRequest(entry_id="0" * 16, max_side_px=64),
        "ActivateSnapshot": index_pb2.ActivateSnapshotRequest(version=1),
        "UpsertEntries": index_pb2.UpsertEntriesRequest(entries=[{"photo": photo, "family": "amber"}]),
        "DeleteEntries": index_pb2.DeleteEntriesRequest(entry_ids=["0" * 16]),
        "ModelMetadata": inference_pb2.ModelMetadataRequest(name="embedder"),
        "ModelInfer": inference_pb2.ModelInferRequest(
            model_name="embedder", inputs=[{"name": "image", "datatype": "UINT8", "shape": [1, 299, 299, 3]}]
        ),
    }
    for number, method in enumerate(METHODS):
        request = by_name.get(method.name)
        body = b"" if request is None else request.SerializeToString()
        (folder / method.name).write_bytes(bytes([number]) + body)


def main() -> None:
    """Serve and fuzz."""
    with tempfile.TemporaryDirectory() as folder:
        run_fuzzer(sys.argv, Caller(start_server(Path(folder))).send, write_requests)


if __name__ == "__main__":
    main()
