"""Why the server doesn't answer a request, or doesn't start.

BeedexError                      of beedex.index
├── RefusalError                 a request gets a status instead of an answer; see beedex.server.calls.status
│   ├── InvalidRequestError      it can't be answered by any server
│   ├── EntryNotFoundError       it names an entry that the snapshot lacks
│   ├── ModelNotFoundError       it names a model, or a version of one, that there isn't
│   ├── ExpectationFailedError   it relies on another embedder or snapshot
│   ├── NothingToCompareError    the snapshot holds nothing but the entry that is asked about
│   ├── LaneFullError            too many photos wait already
│   ├── DeadlineTooNearError     its turn would come too late
│   ├── LateError                its deadline passed while it waited
│   ├── LoadingError             the index is not loaded yet
│   ├── StreamLimitError         a stream is one too many, or has an item too many
│   ├── IdleError                its caller neither sends nor takes anything
│   ├── DrainingError            the server is going down
│   ├── PhotoNotAvailableError   it asks for a photo that the server can't show
│   ├── ResourceNotFoundError    it names something else that there isn't
│   ├── SnapshotNotFoundError    it names a snapshot that there isn't
│   ├── IndexUnusableError       a snapshot, the index directory or what a build needs can't be used
│   ├── BuildRunningError        another build of the index is under way
│   ├── EntryIdTakenError        another photo has the same entry id
│   ├── UnauthenticatedError     the caller doesn't say who they are, or is nobody that the server knows
│   └── ForbiddenError           the caller's role is too small for it
├── ConfigError                  the configuration can't be used
├── CredentialsError             certificates or tokens can't be used
└── ListenError                  the address can't be listened on
"""

from beedex.index.errors import BeedexError

__all__ = [
    "BuildRunningError",
    "ConfigError",
    "CredentialsError",
    "DeadlineTooNearError",
    "DrainingError",
    "EntryIdTakenError",
    "EntryNotFoundError",
    "ExpectationFailedError",
    "ForbiddenError",
    "IdleError",
    "IndexUnusableError",
    "InvalidRequestError",
    "LaneFullError",
    "LateError",
    "ListenError",
    "LoadingError",
    "ModelNotFoundError",
    "NothingToCompareError",
    "PhotoNotAvailableError",
    "RefusalError",
    "ResourceNotFoundError",
    "SnapshotNotFoundError",
    "StreamLimitError",
    "UnauthenticatedError",
]


class RefusalError(BeedexError):
    """A request gets a status instead of an answer.

    Attributes:
        reason: UPPER_SNAKE, stable; the comments in the .proto files list them.
        values: what the message mentions, by name.
        field: the path of the request's field at fault; empty when no field is.
        retry_after_s: when another attempt makes sense; None when waiting doesn't help.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        values: dict[str, object] | None = None,
        field: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.values = values or {}
        self.field = field
        self.retry_after_s = retry_after_s


class InvalidRequestError(RefusalError):
    """No server could answer this."""


class EntryNotFoundError(RefusalError):
    """The snapshot has no such entry."""


class ModelNotFoundError(RefusalError):
    """There is no such model, or not with that version."""


class ExpectationFailedError(RefusalError):
    """The caller relies on another embedder or snapshot."""


class NothingToCompareError(RefusalError):
    """The snapshot holds nothing but the entry that is asked about."""


class LaneFullError(RefusalError):
    """Too many photos wait already."""


class DeadlineTooNearError(RefusalError):
    """The photo's turn would not come before the deadline."""


class LateError(RefusalError):
    """The deadline passed while the photo waited."""


class LoadingError(RefusalError):
    """The index is not loaded yet."""


class StreamLimitError(RefusalError):
    """A stream is one too many, or has an item too many."""


class IdleError(RefusalError):
    """The caller neither sends nor takes anything."""


class DrainingError(RefusalError):
    """The server is going down."""


class PhotoNotAvailableError(RefusalError):
    """The server can't show this photo."""


class ResourceNotFoundError(RefusalError):
    """There is no such thing, and it is none of those that have an error of their own."""


class SnapshotNotFoundError(RefusalError):
    """There is no such snapshot."""


class IndexUnusableError(RefusalError):
    """A snapshot, the index directory or what a build needs can't be used."""


class BuildRunningError(RefusalError):
    """Another build of the index is under way."""


class EntryIdTakenError(RefusalError):
    """Another photo has the same entry id."""


class UnauthenticatedError(RefusalError):
    """The caller doesn't say who they are, or is nobody that the server knows."""


class ForbiddenError(RefusalError):
    """The caller's role is too small."""


class ConfigError(BeedexError):
    """The configuration can't be used."""


class CredentialsError(BeedexError):
    """Certificates or tokens can't be used."""


class ListenError(BeedexError):
    """The address can't be listened on."""
