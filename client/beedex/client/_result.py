"""What all results of calls have in common: they are frozen values that become plain data.

A `Result` is any value of an answer; an `Answer` is one that a call returns, and says what it was made with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from typing import Any

from beedex.client._errors import ClientError

__all__ = ["Answer", "Result", "plain", "plain_error"]

# What an answer was made with; in every `to_dict` they stand behind what it says.
ORIGIN = ("fingerprint", "snapshot", "request_id")


class Result:
    """A frozen dataclass of values that a server told."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data for JSON: dicts, lists, texts, numbers, booleans and None.

        The keys are the names of the fields, in their order; what the answer was made with comes last.
        """
        names = [name.name for name in fields(self)]  # type: ignore[arg-type]  # every subclass is a dataclass
        names = [name for name in names if name not in ORIGIN] + [name for name in ORIGIN if name in names]
        return {name: plain(getattr(self, name)) for name in names}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer(Result):
    """What a call returns.

    Attributes:
        fingerprint: of the embedder, 64 hex digits.
        snapshot: the version of the index that answered.
        request_id: the call's name in the server's log; empty where there is none. It names the call and not what
            was answered, so that two answers that say the same are equal.
    """

    fingerprint: str
    snapshot: int
    request_id: str = field(default="", compare=False)


def plain(value: object) -> Any:  # noqa: ANN401 - whatever JSON can say
    """Return a field's value as plain data for JSON; of a sequence that is also an answer, its rows."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    if isinstance(value, Result):
        return value.to_dict()
    if isinstance(value, ClientError):
        return plain_error(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, datetime):
        return value.isoformat()
    # An array of numpy, which may not be imported here.
    as_list = getattr(value, "tolist", None)
    return value if as_list is None else as_list()


def plain_error(error: ClientError) -> dict[str, str | None]:
    """Return why something failed as plain data: `code` (None when nothing was sent), `reason` and `message`."""
    return {
        "code": error.code.name if error.code is not None else None,
        "reason": error.reason,
        "message": str(error),
    }
