"""One request over HTTP, as those who answer it see it."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, QueryParams

from beedex.server.config import WebConfig
from beedex.server.errors import InvalidRequestError
from beedex.server.web.intake import Intake
from beedex.v1 import types_pb2

__all__ = ["Inquiry", "read_timeout"]

TIMEOUT_HEADER = "x-timeout-s"

# Of decimal digits that Python turns into a number; one that is longer is out of every range.
MOST_DIGITS = 18


@dataclass(frozen=True, kw_only=True, slots=True)
class Inquiry:
    """One request.

    Attributes:
        headers: by name, in any case.
        query: the parameters in its URL.
        path: the parameters in its path.
        intake: its body.
        request_id: what it is called.
        deadline_s: when its answer is too late, in seconds of time.monotonic().
    """

    headers: Headers
    query: QueryParams
    path: Mapping[str, str]
    intake: Intake
    request_id: str
    deadline_s: float

    @property
    def time_left_s(self) -> float:
        """How long its caller still waits."""
        return max(self.deadline_s - time.monotonic(), 0.0)

    @property
    def expectation(self) -> types_pb2.Expectation:
        """What it relies on.

        Raises:
            InvalidRequestError: the snapshot is no number.
        """
        snapshot = self.read_number("expected_snapshot", least=1, most=2**53)
        return types_pb2.Expectation(fingerprint=self.query.get("expected_fingerprint", ""), snapshot=snapshot or 0)

    def read_integer(self, name: str) -> int | None:
        """Return a whole number of the query; None if it isn't there.

        Raises:
            InvalidRequestError: it is none.
        """
        text = self.query.get(name)
        if text is None:
            return None
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= MOST_DIGITS):
            raise InvalidRequestError(
                f"{name} is no whole number: expected digits, received {text[:40]!r}",
                reason="NOT_A_NUMBER",
                values={"received": text},
                field=name,
            )
        return int(text)

    def read_number(self, name: str, *, least: int, most: int) -> int | None:
        """Return a whole number of the query within a range; None if it isn't there; raises as `read_integer`."""
        number = self.read_integer(name)
        if number is not None and not least <= number <= most:
            raise InvalidRequestError(
                f"{name} is out of range: expected {least} to {most}, received {number}",
                reason="OUT_OF_RANGE",
                values={"least": least, "most": most, "received": number},
                field=name,
            )
        return number


def read_timeout(headers: Headers, query: QueryParams, config: WebConfig) -> float:
    """Return how many seconds the caller waits: as the header says, or else the query, or else the configuration.

    Raises:
        InvalidRequestError: it is no number, or beyond the configuration's.
    """
    text = headers.get(TIMEOUT_HEADER) or query.get("timeout_s")
    if text is None:
        return config.default_timeout_s
    try:
        timeout_s = float(text)
    except ValueError:
        timeout_s = math.nan
    if not 0 < timeout_s <= config.max_timeout_s:
        raise InvalidRequestError(
            f"the timeout is out of range: expected more than 0 and at most {config.max_timeout_s:g} s, received "
            f"{text[:40]!r}",
            reason="TIMEOUT_OUT_OF_RANGE",
            values={"most": config.max_timeout_s, "received": text},
            field="timeout_s",
        )
    return timeout_s
