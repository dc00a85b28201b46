"""From the arguments of a call to its request message; shared by both clients."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from beedex.client._photos import PhotoSource, read_photo
from beedex.client._results import Embedding
from beedex.v1 import embedding_pb2, index_pb2, search_pb2, types_pb2

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["DEFAULT_K", "RequestBuilder"]

# How many neighbors are shown unless the caller says: a screenful.
DEFAULT_K = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestBuilder:
    """Makes the requests of one client.

    Attributes:
        expected_fingerprint: the embedder that the caller relies on; None for any.
    """

    expected_fingerprint: str | None = None

    def identify(
        self, photo: PhotoSource | None, vector: "ArrayLike | Embedding | None", entry_id: str | None, k: int
    ) -> search_pb2.IdentifyRequest:
        """Raise `PhotoError` for a file that can't be read, TypeError unless there is exactly one source."""
        return search_pb2.IdentifyRequest(
            query=_build_query(photo, vector, entry_id), k=k, expectation=self._expect(vector)
        )

    def neighbors(
        self, photo: PhotoSource | None, vector: "ArrayLike | Embedding | None", entry_id: str | None, k: int
    ) -> search_pb2.SearchNeighborsRequest:
        """Raise as `identify` does."""
        return search_pb2.SearchNeighborsRequest(
            query=_build_query(photo, vector, entry_id), k=k, expectation=self._expect(vector)
        )

    def embed(self, photo: PhotoSource | None, entry_id: str | None) -> embedding_pb2.EmbedRequest:
        """Raise as `identify` does."""
        _require_one(photo=photo, entry_id=entry_id)
        return embedding_pb2.EmbedRequest(
            photo=None if photo is None else read_photo(photo), entry_id=entry_id, expectation=self._expect()
        )

    def families(self) -> search_pb2.ListFamiliesRequest:
        """Ask for the families."""
        return search_pb2.ListFamiliesRequest(expectation=self._expect())

    def status(self) -> index_pb2.GetStatusRequest:
        """Ask for the server's state."""
        return index_pb2.GetStatusRequest(expectation=self._expect())

    def _expect(self, vector: "ArrayLike | Embedding | None" = None) -> types_pb2.Expectation:
        # An embedding knows its embedder: another one's index would answer it with noise.
        made_by = vector.fingerprint if isinstance(vector, Embedding) else None
        return types_pb2.Expectation(fingerprint=self.expected_fingerprint or made_by)


def _build_query(
    photo: PhotoSource | None, vector: "ArrayLike | Embedding | None", entry_id: str | None
) -> types_pb2.Query:
    _require_one(photo=photo, vector=vector, entry_id=entry_id)
    if photo is not None:
        return types_pb2.Query(photo=read_photo(photo))
    if vector is not None:
        return types_pb2.Query(vector=_pack_vector(vector))
    return types_pb2.Query(entry_id=entry_id)


def _require_one(**sources: object) -> None:
    given = [name for name, source in sources.items() if source is not None]
    if len(given) != 1:
        raise TypeError(
            f"a call takes exactly one of {', '.join(sources)}, received {' and '.join(given) or 'none of them'}"
        )


def _pack_vector(vector: "ArrayLike | Embedding") -> types_pb2.Vector:
    import numpy as np  # noqa: PLC0415 - see beedex.client._results

    numbers = np.asarray(vector, dtype="<f4")
    if numbers.ndim != 1:
        raise ValueError(
            f"a query is one vector, expected an array of shape (D,), received {numbers.shape}; "
            "make one call for each row"
        )
    return types_pb2.Vector(values=numbers.tobytes(), dimension=len(numbers))
