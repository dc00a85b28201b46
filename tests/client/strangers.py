"""Real gRPC servers that are not beedex's: they answer with the bytes that a test gives them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

# (the request's bytes, or an iterator of them; context) to the reply's bytes, or an iterator of them.
Answer = Callable[[Any, Any], Any]

STREAMED_REQUESTS = ("EmbedStream", "IdentifyStream")
STREAMED_REPLIES = (*STREAMED_REQUESTS, "GetPhoto", "Rebuild")


@dataclass
class Stranger(grpc.GenericRpcHandler):
    """Answers calls and takes note of them.

    Attributes:
        answers: by the name of the RPC; all others are UNIMPLEMENTED.
        calls: of each call that came, its name and its metadata.
    """

    answers: dict[str, Answer]
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def service(self, handler_call_details: Any) -> Any:
        name = handler_call_details.method.rpartition("/")[2]
        self.calls.append((name, dict(handler_call_details.invocation_metadata)))
        if name not in self.answers:
            return None
        kind = "stream" if name in STREAMED_REQUESTS else "unary"
        kind += "_stream" if name in STREAMED_REPLIES else "_unary"
        return getattr(grpc, f"{kind}_rpc_method_handler")(self.answers[name])

    @property
    def asked(self) -> int:
        """How many calls came."""
        return len(self.calls)


@contextmanager
def serve_stranger(
    stranger: Stranger, *, address: str = "127.0.0.1:0", options: Sequence[tuple[str, Any]] = ()
) -> Iterator[str]:
    """Serve; yields HOST:PORT."""
    with ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0), *options])
        server.add_generic_rpc_handlers((stranger,))
        port = server.add_insecure_port(address)
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


def refuse(context: Any, code: grpc.StatusCode, *, retry_after_s: float | None = None, reason: str = "") -> Any:
    """End a call as beedex's server does."""
    details: list[Any] = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="beedex"))
    if retry_after_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = [AnyMessage() for _ in details]
    for wrapper, detail in zip(packed, details, strict=True):
        wrapper.Pack(detail)
    status = status_pb2.Status(code=code.value[0], message="not now", details=packed)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, "not now")


def refuse_first(times: int, code: grpc.StatusCode, then: bytes = b"", **details: Any) -> Answer:
    """Refuse a call that many times before it is answered with *then*."""
    left = times

    def answer(_request: Any, context: Any) -> bytes:
        nonlocal left
        if left > 0:
            left -= 1
            refuse(context, code, **details)
        return then

    return answer
