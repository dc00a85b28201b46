"""What became of one photo of many: its result, or the error that is its own."""

import os
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from beedex.client._errors import ClientError, PhotoError
from beedex.client._photos.photos import PhotoSource, name_photo
from beedex.client._results.result import Result, plain

__all__ = ["UNUSABLE", "Outcome", "choose_or_raise", "explain_unusable", "require_many"]

# What a photo that is of no use raises while it is read and packed: it has its own outcome.
UNUSABLE = (ClientError, OSError, TypeError, ValueError)

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
    # Not compared: an array has no equality that is a yes or a no.
    photo: PhotoSource = field(compare=False)
    result: T | None = None
    error: ClientError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data; a photo that was given by what it holds is None."""
        return {
            "index": self.index,
            "photo": name_photo(self.photo),
            "result": plain(self.result),
            "error": plain(self.error),
        }

    def unwrap(self) -> T:
        """Return the result, or raise the error."""
        return choose_or_raise(self.result, self.error)

    def __repr__(self) -> str:
        photo = name_photo(self.photo) or f"<{type(self.photo).__name__}>"
        told = f"error={self.error!r}" if self.result is None else f"result={self.result!r}"
        return f"{type(self).__name__}(index={self.index}, photo={photo!r}, {told})"


def choose_or_raise(result: T | None, error: ClientError | None) -> T:
    """Return the one, or raise the other."""
    if result is not None:
        return result
    if error is not None:
        raise error
    raise ValueError("expected a result or an error, received neither")


def explain_unusable(error: Exception) -> ClientError:
    """Return the error of a photo's outcome for what was raised when it was read."""
    if isinstance(error, ClientError):
        return error
    explained = PhotoError(f"the photo can't be used: {error}", reason="UNUSABLE_PHOTO")
    explained.__cause__ = error
    return explained


def require_many(photos: object) -> None:
    """Raise TypeError for one photo where many are expected: a path or a file's bytes could be iterated too."""
    if isinstance(photos, str | bytes | bytearray | memoryview | os.PathLike) or hasattr(photos, "read"):
        raise TypeError(
            f"several photos are expected, for example a list of paths; received one {type(photos).__name__}"
        )
