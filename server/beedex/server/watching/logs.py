"""The server's log: lines for people or for machines, each of which names the request that it is about.

A request that was answered has a line at the level debug, every other one at info: a server that is left alone for
months should not fill a disk with what its metrics tell better, and a line takes half as long as an empty RPC
(`tests/benchmarks/watching.py`). The photo, the metadata and whatever else a caller sends are never written but for the
request id, which is checked.
"""

import logging
import sys
from collections.abc import Mapping
from typing import TextIO

import grpc
from pythonjsonlogger.json import JsonFormatter

from beedex.server.calls.work import CURRENT_CALL, CURRENT_WORK, Call, Work
from beedex.server.config import LogFormat, WatchConfig

__all__ = ["RequestLog", "configure_logs"]

log = logging.getLogger("beedex.server.requests")

# Ours is what the configuration sets the level of; libraries are heard when something is wrong.
OUR_LOGGER = "beedex"

# What a record has beside its message, in the order in which a line for people shows it.
FIELDS = (
    *("request_id", "trace_id", "method", "code", "reason"),
    *("duration_s", "stages_s", "items", "peer", "snapshot"),
)


def configure_logs(config: WatchConfig, stream: TextIO | None = None) -> None:
    """Write the log of this process to *stream*, stderr by default, as the configuration says; may be called again."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(_name_request)
    handler.setFormatter(_make_formatter(config.log_format))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger(OUR_LOGGER).setLevel(config.log_level.upper())


def _make_formatter(log_format: LogFormat) -> logging.Formatter:
    if log_format is LogFormat.JSON:
        return JsonFormatter(
            ["levelname", "name", "message"],
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger", "message": "event", "exc_info": "exception"},
        )
    return _TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class _TextFormatter(logging.Formatter):
    """Adds a record's fields to its message, as name=value."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line without its traceback."""
        fields = [f"{name}={_show(vars(record)[name])}" for name in FIELDS if vars(record).get(name)]
        return " ".join([super().formatMessage(record), *fields])


def _show(value: object) -> str:
    match value:
        case float():
            return f"{value:.6f}"
        case Mapping():
            return ",".join(f"{name}:{_show(part)}" for name, part in value.items())
        case _:
            return str(value)


def _name_request(record: logging.LogRecord) -> bool:
    """Give a record the id of the request during which it was written."""
    if not hasattr(record, "request_id"):
        work, call = CURRENT_WORK.get(), CURRENT_CALL.get()
        if work is not None:
            record.request_id = work.request_id
        elif call is not None:
            record.request_id = call.identity.request_id
    return True


class RequestLog:
    """Writes a line for each request, item of a stream, and stream as a whole; a listener of `TrafficWatch`."""

    def end_work(self, work: Work) -> None:
        """Write the line of a request or item."""
        level = _choose_level(work.code)
        if not log.isEnabledFor(level):
            return
        stages: dict[str, float] = {}
        for span in work.stages:
            stages[span.stage.value] = stages.get(span.stage.value, 0.0) + span.ended_s - span.began_s
        fields = {
            **_describe(work),
            "request_id": work.request_id,
            "trace_id": work.trace_id,
            "stages_s": {stage: round(seconds, 6) for stage, seconds in stages.items()},
            "peer": "" if work.call is None else work.call.peer,
            "snapshot": work.snapshot,
        }
        log.log(level, "request", extra=_leave_out_nothings(fields))

    def end_call(self, call: Call) -> None:
        """Write the line of a stream, or of a call that was refused at the door; that of another call is its work's."""
        level = _choose_level(call.code)
        if not call.is_stream or not log.isEnabledFor(level):
            return
        fields = {**_describe(call), "request_id": call.identity.request_id, "items": call.items, "peer": call.peer}
        log.log(level, "call", extra=_leave_out_nothings(fields))


def _describe(ended: Call | Work) -> dict[str, object]:
    return {
        "method": ended.method,
        "code": ended.code.name,
        "reason": ended.reason,
        "duration_s": round(ended.ended_s - ended.began_s, 6),
    }


def _leave_out_nothings(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value not in ("", 0, {})}


def _choose_level(code: grpc.StatusCode) -> int:
    return logging.DEBUG if code is grpc.StatusCode.OK else logging.INFO
