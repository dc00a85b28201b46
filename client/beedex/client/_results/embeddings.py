"""A photo as a vector.

The client imports numpy only when a vector is at hand: it costs as much time as all of grpc.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from beedex.client._results.result import Answer
from beedex.client._results.wording import enumerate_few, write_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

__all__ = ["Embedding"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False, eq=False)
class Embedding(Answer):
    """A photo as a vector; `np.asarray(embedding)` is the vector.

    Attributes:
        vector: (D,) float32 of length 1, read-only.

    Example:
        >>> import numpy as np
        >>> embedding = Embedding(vector=np.array([0.6, 0.8], np.float32), fingerprint="3fa2b1c09d1e", snapshot=7)
        >>> embedding
        <Embedding (2,): 0.600, 0.800; embedder 3fa2b1c09d1e, snapshot 7>
        >>> np.asarray(embedding).dtype
        dtype('float32')
    """

    vector: "NDArray[np.float32]"

    def to_numpy(self) -> "NDArray[np.float32]":
        """Return the vector: (D,) float32, read-only."""
        return self.vector

    def _identity(self) -> tuple[bytes, str, int]:
        # Bit for bit, as a hash needs it.
        return self.vector.tobytes(), self.fingerprint, self.snapshot

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, Embedding) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        numbers = enumerate_few(map(write_number, self.vector.tolist()), len(self.vector))
        return f"<Embedding {self.vector.shape}: {numbers}; {self._made_with}>"

    def __reduce__(self) -> tuple[object, ...]:
        # By way of a function, since an array comes out of a pickle or a copy writable.
        return _restore_embedding, (self.vector, self.fingerprint, self.snapshot, self.request_id)

    def __array__(self, dtype: "DTypeLike | None" = None, copy: bool | None = None) -> "NDArray[np.float32]":  # noqa: FBT001 - numpy's protocol
        import numpy as np  # noqa: PLC0415 - see the module's docstring

        return np.array(self.vector, dtype=dtype, copy=copy)


def _restore_embedding(vector: "NDArray[np.float32]", fingerprint: str, snapshot: int, request_id: str) -> Embedding:
    vector.flags.writeable = False
    return Embedding(vector=vector, fingerprint=fingerprint, snapshot=snapshot, request_id=request_id)
