"""Calls and works: what comes to the server, from its arrival to its answer, and the stages that its time goes into.

A *call* is an RPC as a whole. A *work* is one unary request, or one item of a stream. Whoever does a part of a work
notes the stage with `note_stage`; whoever watches the server is told of each call and each work when it has ended, see
`beedex.server.calls.traffic`. Nothing in between has to hand anything on: call and work are found by their context.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

import grpc

from beedex.server.watching.identity import Identity

__all__ = [
    "CURRENT_CALL",
    "CURRENT_WORK",
    "Call",
    "Stage",
    "StageSpan",
    "Work",
    "note_cache",
    "note_failure",
    "note_origin",
    "note_stage",
]


class Stage(StrEnum):
    """What a work's time goes into; one may occur several times."""

    QUEUE = "queue"  # waiting for a place in the lane
    DECODE = "decode"
    INFERENCE = "inference"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class StageSpan:
    """A stretch of time in seconds of time.monotonic()."""

    stage: Stage
    began_s: float
    ended_s: float


@dataclass(kw_only=True, slots=True)
class Call:
    """One RPC.

    Attributes:
        method: such as /beedex.v1.SearchService/Identify.
        identity: what it is called.
        began_s: when it arrived, in seconds of time.monotonic().
        is_stream: whether its works are its items; otherwise it is one work itself, or none.
        find_peer: says where it comes from, while it lasts.
        time_left: how many seconds its deadline leaves; None without one.
        ended_s: when it ended.
        code: what it ended with.
        reason: of its ErrorInfo; empty if there was none.
        items: how many works of a stream have begun.
    """

    method: str
    identity: Identity
    began_s: float
    is_stream: bool = False
    find_peer: Callable[[], str] = lambda: ""
    time_left: Callable[[], float | None] = lambda: None
    ended_s: float = 0.0
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""
    items: int = 0

    @property
    def peer(self) -> str:
        """Where it comes from, as gRPC says: for example ipv4:127.0.0.1:41234."""
        return self.find_peer()

    def next_item_id(self) -> str:
        """Return the request id of the stream's next item: its own with a number."""
        self.items += 1
        return f"{self.identity.request_id}/{self.items}"

    @property
    def is_late(self) -> bool:
        """Whether its deadline has passed."""
        return self.time_left() == 0

    def judge_cancellation(self) -> grpc.StatusCode:
        """Return why gRPC took the call back: its deadline passed, or its caller went away."""
        return grpc.StatusCode.DEADLINE_EXCEEDED if self.is_late else grpc.StatusCode.CANCELLED


@dataclass(kw_only=True, slots=True)
class Work:
    """One unary request, or one item of a stream.

    Attributes:
        method: its RPC, such as /beedex.v1.SearchService/Identify.
        began_s: when it arrived, in seconds of time.monotonic().
        request_id: what logs, traces and the reply call it; an item's is its stream's with a number.
        call: what it belongs to; None where nothing came over a wire.
        ended_s: when it was answered.
        code: what it ended with.
        reason: of its ErrorInfo; empty if there was none.
        stages: what its time went into, in the order in which they ended.
        is_cached: whether its photo was answered from the embedding cache; None if it had none.
        fingerprint: of the embedder that it was answered with; empty if it came to none.
        snapshot: the same of the snapshot; 0 if it came to none.
        trace_id: 32 hex digits; empty without traces.
    """

    method: str
    began_s: float
    request_id: str = ""
    call: Call | None = None
    ended_s: float = 0.0
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""
    stages: list[StageSpan] = field(default_factory=list)
    is_cached: bool | None = None
    fingerprint: str = ""
    snapshot: int = 0
    trace_id: str = ""

    @property
    def duration_s(self) -> float:
        """From its arrival to its answer."""
        return self.ended_s - self.began_s


# None outside of RPCs, such as in a program that uses the lane alone.
CURRENT_CALL: ContextVar[Call | None] = ContextVar("beedex_call", default=None)
CURRENT_WORK: ContextVar[Work | None] = ContextVar("beedex_work", default=None)


def note_stage(stage: Stage, began_s: float, ended_s: float) -> None:
    """Say of the work at hand that it was in *stage* from *began_s* to *ended_s* of time.monotonic()."""
    work = CURRENT_WORK.get()
    if work is not None:
        work.stages.append(StageSpan(stage, began_s, ended_s))


def note_cache(*, is_cached: bool) -> None:
    """Say of the work at hand whether the embedding cache answered its photo."""
    work = CURRENT_WORK.get()
    if work is not None:
        work.is_cached = is_cached


def note_failure(code: grpc.StatusCode, reason: str = "") -> None:
    """Say of the work at hand, or of the call where none is, that it ends with *code*."""
    ended = CURRENT_WORK.get() or CURRENT_CALL.get()
    if ended is not None:
        ended.code, ended.reason = code, reason


def note_origin(fingerprint: str, snapshot: int) -> None:
    """Say of the work at hand what it is answered with."""
    work = CURRENT_WORK.get()
    if work is not None:
        work.fingerprint, work.snapshot = fingerprint, snapshot
