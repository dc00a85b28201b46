"""What all results of calls have in common: they are frozen values that become plain data.

A `Result` is any value of an answer; an `Answer` is one that a call returns, and says what it was made with.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from beedex.client._errors import ClientError
from beedex.client._results.wording import shorten_fingerprint, write_value

if TYPE_CHECKING:
    from beedex.client._results.thumbnails import Thumbnails

__all__ = ["Answer", "Illustrated", "Result", "illustrate", "plain", "plain_error"]

# What an answer was made with; in every `to_dict` they stand behind what it says.
ORIGIN = ("fingerprint", "snapshot", "request_id")


class Result:
    """A frozen dataclass of values that a server told.

    Results are equal when all their fields are (but `Answer.request_id`), have a hash, and can be copied and pickled.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        """Return the fields that say something, each short."""
        told = []
        for name in _name_fields(self):
            value = getattr(self, name)
            if name == "request_id" or (isinstance(value, str) and not value):
                continue
            told.append(f"{name}={shorten_fingerprint(value) + '…' if name == 'fingerprint' else write_value(value)}")
        return f"{type(self).__name__}({', '.join(told)})"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain data for JSON: dicts, lists, texts, numbers, booleans and None.

        The keys are the names of the fields, in their order; what the answer was made with comes last.
        """
        return {name: plain(getattr(self, name)) for name in _name_fields(self)}


class Illustrated(Result):
    """What may know where to get the photos of the entries that it names.

    That is no field, and so no part of its equality, its plain data, its copies and its pickles.
    """

    __slots__ = ("_thumbnails",)

    def _fetch_thumbnails(self, entry_ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return small JPEG files by entry id; none where they can't be had."""
        thumbnails: Thumbnails | None = getattr(self, "_thumbnails", None)
        return {} if thumbnails is None else thumbnails.fetch(entry_ids)


AnyIllustrated = TypeVar("AnyIllustrated", bound=Illustrated)


def illustrate(answer: AnyIllustrated, thumbnails: "Thumbnails | None") -> AnyIllustrated:
    """Let *answer* know where its photos are, and return it."""
    object.__setattr__(answer, "_thumbnails", thumbnails)
    return answer


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Answer(Illustrated):
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

    @property
    def _made_with(self) -> str:
        """What a repr ends with."""
        return f"embedder {shorten_fingerprint(self.fingerprint)}, snapshot {self.snapshot}"


def _name_fields(result: Result) -> list[str]:
    names = [name.name for name in fields(result)]  # type: ignore[arg-type]  # every subclass is a dataclass
    return [name for name in names if name not in ORIGIN] + [name for name in ORIGIN if name in names]


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
    """Return why something failed as plain data; `code` is None when nothing was sent."""
    return {
        "code": error.code.name if error.code is not None else None,
        "reason": error.reason,
        "message": str(error),
        "request_id": error.request_id,
    }
