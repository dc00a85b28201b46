"""The errors of the index part and of everything built on it.

    BeedexError
    ├── PhotoError                    one photo can't be used; .reason says why
    ├── GalleryError                  the folder of labelled photos can't be read as a gallery
    ├── BundleError                   an embedder bundle is missing, damaged or of another version
    ├── FingerprintMismatchError      two things were made by different embedders
    ├── MemoryBudgetError             vectors don't fit into the memory that they were given
    └── IndexDirectoryError           the index directory can't be read or written
        ├── SnapshotError             one snapshot is missing or damaged
        └── IndexBusyError            another build holds the index

Messages say what is wrong, what was expected, what was received and the way out.
"""

from enum import StrEnum

__all__ = [
    "BeedexError",
    "BundleError",
    "FingerprintMismatchError",
    "GalleryError",
    "IndexBusyError",
    "IndexDirectoryError",
    "MemoryBudgetError",
    "PhotoError",
    "PhotoReason",
    "SnapshotError",
]


class BeedexError(Exception):
    """Anything that beedex can say in one line: the command prints it and exits with 1."""


class PhotoReason(StrEnum):
    """Why a photo was refused; stable strings that replies and reports carry."""

    EMPTY = "EMPTY"
    NOT_A_PHOTO = "NOT_A_PHOTO"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    DAMAGED = "DAMAGED"
    TOO_MANY_BYTES = "TOO_MANY_BYTES"
    TOO_MANY_PIXELS = "TOO_MANY_PIXELS"
    SIDE_TOO_LONG = "SIDE_TOO_LONG"
    UNREADABLE = "UNREADABLE"


class PhotoError(BeedexError):
    """A photo can't be decoded, or is beyond the limits.

    Attributes:
        reason: the kind of fault, one of `PhotoReason`.
    """

    def __init__(self, reason: PhotoReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["PhotoError"], tuple[PhotoReason, str]]:
        # The default passes only the message, and a process pool would fail to bring the error home.
        return type(self), (self.reason, str(self))


class GalleryError(BeedexError):
    """A folder can't be read as a gallery."""


class BundleError(BeedexError):
    """An embedder bundle can't be used."""


class FingerprintMismatchError(BeedexError):
    """Vectors of one embedder were about to be compared with another's.

    Attributes:
        expected: the fingerprint that was asked for.
        received: the fingerprint that was found.
    """

    def __init__(self, message: str, *, expected: str, received: str) -> None:
        super().__init__(message)
        self.expected = expected
        self.received = received


class MemoryBudgetError(BeedexError):
    """Vectors don't fit into the memory that they were given."""


class IndexDirectoryError(BeedexError):
    """An index directory can't be read or written."""


class SnapshotError(IndexDirectoryError):
    """A snapshot is missing, damaged or half-copied."""


class IndexBusyError(IndexDirectoryError):
    """Another process is building this index."""
