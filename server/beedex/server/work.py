"""Work: one unary request, or one item of a stream, from its arrival to its answer, and the stages it goes through.

Whoever does a part of it notes the stage with `note_stage`; whoever watches the server is told of each work when it has
ended, see `beedex.server.traffic`. Nothing in between has to hand anything on: the work is found by its context.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

import grpc

__all__ = ["CURRENT_WORK", "Stage", "StageSpan", "Work", "note_failure", "note_stage"]


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
class Work:
    """One unary request, or one item of a stream.

    Attributes:
        method: its RPC, such as /beedex.v1.SearchService/Identify.
        began_s: when it arrived, in seconds of time.monotonic().
        request_id: what logs, traces and the reply call it.
        ended_s: when it was answered.
        code: what it ended with.
        reason: of its ErrorInfo; empty if there was none.
        stages: what its time went into, in the order in which they ended.
        is_cached: whether its photo was answered from the embedding cache; None if it had none.
    """

    method: str
    began_s: float
    request_id: str = ""
    ended_s: float = 0.0
    code: grpc.StatusCode = grpc.StatusCode.OK
    reason: str = ""
    stages: list[StageSpan] = field(default_factory=list)
    is_cached: bool | None = None


# None outside of works, such as in a program that uses the lane alone.
CURRENT_WORK: ContextVar[Work | None] = ContextVar("beedex_work", default=None)


def note_stage(stage: Stage, began_s: float, ended_s: float) -> None:
    """Say of the work at hand that it was in *stage* from *began_s* to *ended_s* of time.monotonic()."""
    work = CURRENT_WORK.get()
    if work is not None:
        work.stages.append(StageSpan(stage, began_s, ended_s))


def note_failure(code: grpc.StatusCode, reason: str = "") -> None:
    """Say of the work at hand that it ends with *code*."""
    work = CURRENT_WORK.get()
    if work is not None:
        work.code, work.reason = code, reason
