"""What a call is called: its request id and its place in a trace, as the caller's metadata says."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["REQUEST_ID_KEY", "Identity", "identify_call"]

# In the request's metadata, and in the trailing metadata of the answer.
REQUEST_ID_KEY = "x-request-id"

# As W3C Trace Context names them.
TRACEPARENT_KEY = "traceparent"
TRACESTATE_KEY = "tracestate"

# Without spaces, which end a field of a log's line.
REQUEST_ID_PATTERN = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What a call is called.

    Attributes:
        request_id: the caller's, or a new one.
        traceparent: where the call belongs in the caller's trace, unchecked; empty if it doesn't say.
        tracestate: what the caller's tracing system adds to that, unchecked.
    """

    request_id: str
    traceparent: str = ""
    tracestate: str = ""


def identify_call(metadata: Iterable[tuple[str, str | bytes]]) -> Identity:
    """Read what a call's metadata say; a request id other than 1 to 128 visible ASCII characters is replaced."""
    texts = {key: value for key, value in metadata if isinstance(value, str)}
    given = texts.get(REQUEST_ID_KEY, "")
    return Identity(
        request_id=given if REQUEST_ID_PATTERN.fullmatch(given) else os.urandom(16).hex(),
        traceparent=texts.get(TRACEPARENT_KEY, ""),
        tracestate=texts.get(TRACESTATE_KEY, ""),
    )
