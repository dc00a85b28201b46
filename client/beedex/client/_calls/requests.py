"""From the arguments of a call to its request message; shared by both clients."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beedex.client._results.entries import EntryToUpsert
from beedex.client._results.results import Embedding
from beedex.v1 import embedding_pb2, index_pb2, search_pb2, types_pb2

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["DEFAULT_K", "RequestBuilder", "require_one"]

# How many neighbors are shown unless the caller says: a screenful.
DEFAULT_K = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestBuilder:
    """Makes the requests of one client.

    Attributes:
        expected_fingerprint: the embedder that the caller relies on; None for any.
        expected_snapshot: the version of the index that the caller relies on; None for any.
    """

    expected_fingerprint: str | None = None
    expected_snapshot: int | None = None

    def identify(
        self, photo: bytes | None, vector: "ArrayLike | Embedding | None", entry_id: str | None, k: int
    ) -> search_pb2.IdentifyRequest:
        """Ask for the family of one of the three; ValueError for a vector that is none."""
        return search_pb2.IdentifyRequest(
            query=_build_query(photo, vector, entry_id), k=k, expectation=self._expect(vector)
        )

    def neighbors(
        self,
        photo: bytes | None,
        vector: "ArrayLike | Embedding | None",
        entry_id: str | None,
        k: int,
        families: Iterable[str],
    ) -> search_pb2.SearchNeighborsRequest:
        """Ask for the neighbors of one of the three; ValueError for a vector that is none."""
        return search_pb2.SearchNeighborsRequest(
            query=_build_query(photo, vector, entry_id), k=k, families=families, expectation=self._expect(vector)
        )

    def embed(self, photo: bytes | None, entry_id: str | None) -> embedding_pb2.EmbedRequest:
        """Ask for the vector of one of the two."""
        return embedding_pb2.EmbedRequest(photo=photo, entry_id=entry_id, expectation=self._expect())

    def families(self) -> search_pb2.ListFamiliesRequest:
        """Ask for the families."""
        return search_pb2.ListFamiliesRequest(expectation=self._expect())

    def photo(self, entry_id: str, max_side_px: int | None) -> search_pb2.GetPhotoRequest:
        """Ask for an indexed photo."""
        return search_pb2.GetPhotoRequest(entry_id=entry_id, max_side_px=max_side_px, expectation=self._expect())

    def status(self) -> index_pb2.GetStatusRequest:
        """Ask for the server's state."""
        return index_pb2.GetStatusRequest(expectation=self._expect())

    def upsert(self, entries: Iterable[EntryToUpsert], photos: Sequence[bytes]) -> index_pb2.UpsertEntriesRequest:
        """Put entries in; *photos* are those of the entries that have one, in their order."""
        contents = iter(photos)
        return index_pb2.UpsertEntriesRequest(
            entries=[_pack_entry(entry, None if entry.photo is None else next(contents)) for entry in entries],
            expectation=self._expect(),
        )

    def delete(self, entry_ids: Iterable[str]) -> index_pb2.DeleteEntriesRequest:
        """Take entries out."""
        return index_pb2.DeleteEntriesRequest(entry_ids=entry_ids, expectation=self._expect())

    def rebuild(self) -> index_pb2.RebuildRequest:
        """Ask for a build."""
        return index_pb2.RebuildRequest(expectation=self._expect())

    def snapshots(self) -> index_pb2.ListSnapshotsRequest:
        """Ask for the snapshots."""
        return index_pb2.ListSnapshotsRequest(expectation=self._expect())

    def activate(self, version: int) -> index_pb2.ActivateSnapshotRequest:
        """Have a snapshot served."""
        return index_pb2.ActivateSnapshotRequest(version=version, expectation=self._expect())

    def rollback(self) -> index_pb2.RollbackSnapshotRequest:
        """Have the snapshot before served."""
        return index_pb2.RollbackSnapshotRequest(expectation=self._expect())

    def _expect(self, vector: "ArrayLike | Embedding | None" = None) -> types_pb2.Expectation:
        # An embedding knows its embedder: another one's index would answer it with noise.
        made_by = vector.fingerprint if isinstance(vector, Embedding) else None
        return types_pb2.Expectation(
            fingerprint=self.expected_fingerprint or made_by, snapshot=self.expected_snapshot or 0
        )


def require_one(**sources: object) -> None:
    """Raise TypeError unless exactly one of *sources* is not None."""
    given = [name for name, source in sources.items() if source is not None]
    if len(given) != 1:
        raise TypeError(
            f"a call takes exactly one of {', '.join(sources)}, received {' and '.join(given) or 'none of them'}"
        )


def _build_query(photo: bytes | None, vector: "ArrayLike | Embedding | None", entry_id: str | None) -> types_pb2.Query:
    if photo is not None:
        return types_pb2.Query(photo=photo)
    if vector is not None:
        return types_pb2.Query(vector=_pack_vector(vector))
    return types_pb2.Query(entry_id=entry_id)


def _pack_vector(vector: "ArrayLike | Embedding") -> types_pb2.Vector:
    import numpy as np  # noqa: PLC0415 - see beedex.client._results.embeddings

    numbers = np.asarray(vector, dtype="<f4")
    if numbers.ndim != 1:
        raise ValueError(
            f"a query is one vector, expected an array of shape (D,), received {numbers.shape}; "
            "make one call for each row"
        )
    return types_pb2.Vector(values=numbers.tobytes(), dimension=len(numbers))


def _pack_entry(entry: EntryToUpsert, photo: bytes | None) -> index_pb2.EntryToUpsert:
    return index_pb2.EntryToUpsert(
        photo=photo,
        entry_id=entry.entry_id,
        family=entry.family,
        path=entry.path,
        group=entry.group,
        species=entry.species,
        source_name=entry.source,
        license=entry.license,
        credit=entry.credit,
    )
