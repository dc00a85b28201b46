"""What became of one photo of many: its result, or the error that is its own."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from beedex.client._errors import ClientError
from beedex.client._photos import PhotoSource
from beedex.client._result import Result

__all__ = ["Outcome", "choose_or_raise"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Outcome(Result, Generic[T]):
    """What became of one photo. Exactly one of *result* and *error* is set.

    Attributes:
        index: the photo's place among those that were given, from 0.
        photo: what was given.
        result: the answer.
        error: why there is none.
    """

    index: int
    photo: PhotoSource
    result: T | None = None
    error: ClientError | None = None

    def unwrap(self) -> T:
        """Return the result, or raise the error."""
        return choose_or_raise(self.result, self.error)


def choose_or_raise(result: T | None, error: ClientError | None) -> T:
    """Return the one, or raise the other."""
    if result is not None:
        return result
    if error is not None:
        raise error
    raise ValueError("expected a result or an error, received neither")
