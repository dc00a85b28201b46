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

from typing import TYPE_CHECKING

from beedex.client._async_client import AsyncClient
from beedex.client._client import Client
from beedex.client._credentials import Tls, TokenSource
from beedex.client._entries import Entry, EntryOutcome, EntryOutcomes, EntryToUpsert
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
from beedex.client._outcomes import Outcome
from beedex.client._photos import PhotoSource
from beedex.client._rebuilds import RebuildProgress, RebuildSummary, SkippedPhoto
from beedex.client._results import (
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
from beedex.client._snapshots import Activation, Snapshots, StoredSnapshot
from beedex.client._stored_photos import StoredPhoto

if TYPE_CHECKING:
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


def __getattr__(name: str) -> str:
    if name == "__version__":
        # Asked for seldom, and reading the distribution's metadata costs more than the rest of this import.
        from importlib.metadata import version  # noqa: PLC0415

        return version("beedex")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


for _public in __all__:
    # So that reprs and tracebacks show the name that a caller imports.
    if isinstance(globals()[_public], type):
        globals()[_public].__module__ = __name__
