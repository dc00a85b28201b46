"""The Python SDK of beedex.

    from beedex.client import Client

    with Client("127.0.0.1:50051") as client:
        answer = client.identify("bee.jpg")

`Client` and its asyncio twin `AsyncClient` have the same calls. Results are frozen values; errors are a tree:

    ClientError
    ├── RequestError
    │   ├── PhotoError, NotFoundError, PreconditionError, AccessError, CredentialsError, UnsupportedError
    └── ServiceError
        └── UnavailableError, BusyError, DeadlineError, CallCancelledError, ServerFaultError
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from beedex.client._async_client import AsyncClient
    from beedex.client._client import Client
    from beedex.client._connections.credentials import Tls, TokenSource
    from beedex.client._errors import (
        AccessError,
        BusyError,
        CallCancelledError,
        ClientError,
        ClosedClientError,
        CredentialsError,
        DeadlineError,
        MisplacedClientError,
        NotFoundError,
        PhotoError,
        PreconditionError,
        RequestError,
        ServerFaultError,
        ServiceError,
        UnavailableError,
        UnsupportedError,
    )
    from beedex.client._photos.photos import PhotoSource
    from beedex.client._results.entries import Entry, EntryOutcome, EntryOutcomes, EntryToUpsert
    from beedex.client._results.outcomes import Outcome
    from beedex.client._results.rebuilds import RebuildProgress, RebuildSummary, SkippedPhoto
    from beedex.client._results.results import (
        Embedding,
        Families,
        Family,
        FamilyScore,
        Identification,
        Limits,
        Neighbor,
        Neighbors,
        Status,
        Verdict,
    )
    from beedex.client._results.snapshots import Activation, Snapshots, StoredSnapshot
    from beedex.client._results.stored_photos import StoredPhoto

    __version__: str

__all__ = [
    "AccessError",
    "Activation",
    "AsyncClient",
    "BusyError",
    "CallCancelledError",
    "Client",
    "ClientError",
    "ClosedClientError",
    "CredentialsError",
    "DeadlineError",
    "Embedding",
    "Entry",
    "EntryOutcome",
    "EntryOutcomes",
    "EntryToUpsert",
    "Families",
    "Family",
    "FamilyScore",
    "Identification",
    "Limits",
    "MisplacedClientError",
    "Neighbor",
    "Neighbors",
    "NotFoundError",
    "Outcome",
    "PhotoError",
    "PhotoSource",
    "PreconditionError",
    "RebuildProgress",
    "RebuildSummary",
    "RequestError",
    "ServerFaultError",
    "ServiceError",
    "SkippedPhoto",
    "Snapshots",
    "Status",
    "StoredPhoto",
    "StoredSnapshot",
    "Tls",
    "TokenSource",
    "UnavailableError",
    "UnsupportedError",
    "Verdict",
]

# Where these names come from, the same as above.
_HOMES = (
    "_async_client",
    "_client",
    "_connections.credentials",
    "_results.entries",
    "_errors",
    "_results.outcomes",
    "_photos.photos",
    "_results.rebuilds",
    "_results.results",
    "_results.snapshots",
    "_results.stored_photos",
)


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    if name == "__version__":
        # Asked for seldom, and reading the distribution's metadata costs more than the rest of this import.
        from importlib.metadata import version  # noqa: PLC0415

        return version("beedex")
    if name in __all__:
        _load()
        return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _load() -> None:
    """Import all of it. The `beedex` command is in this package as well, and its help does without gRPC."""
    from importlib import import_module  # noqa: PLC0415 - only here

    for home in _HOMES:
        module = import_module(f"{__name__}.{home}")
        for public in set(__all__).intersection(module.__all__):
            value = getattr(module, public)
            if isinstance(value, type):
                # So that reprs and tracebacks show the name that a caller imports.
                value.__module__ = __name__
            globals()[public] = value
