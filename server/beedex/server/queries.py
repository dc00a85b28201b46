"""What a request asks, checked: one error for each way in which it can be wrong."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from beedex.server.errors import ExpectationFailedError, InvalidRequestError
from beedex.v1 import types_pb2

__all__ = ["DEFAULT_K", "OriginLike", "check_expectation", "choose_k", "unpack_vector"]

# How many neighbors a request gets that doesn't say.
DEFAULT_K = 10

BYTES_PER_NUMBER = 4


class OriginLike(Protocol):
    """What an answer is made with."""

    @property
    def fingerprint(self) -> str:
        """The embedder's."""
        ...

    @property
    def snapshot_version(self) -> int:
        """The snapshot's."""
        ...


def check_expectation(expectation: types_pb2.Expectation, origin: OriginLike) -> None:
    """Refuse a request that relies on another embedder or snapshot.

    Raises:
        ExpectationFailedError: it does.
    """
    if expectation.fingerprint and expectation.fingerprint != origin.fingerprint:
        raise ExpectationFailedError(
            f"this server runs another embedder: expected fingerprint {expectation.fingerprint}, "
            f"it has {origin.fingerprint}; embed the photos anew, or ask a server with that embedder",
            reason="FINGERPRINT_MISMATCH",
            values={"expected": expectation.fingerprint, "received": origin.fingerprint},
        )
    if expectation.snapshot and expectation.snapshot != origin.snapshot_version:
        raise ExpectationFailedError(
            f"this server serves another snapshot: expected {expectation.snapshot}, "
            f"it has {origin.snapshot_version}; ask without naming one, or activate that one",
            reason="SNAPSHOT_MISMATCH",
            values={"expected": expectation.snapshot, "received": origin.snapshot_version},
        )


def choose_k(k: int | None, most: int) -> int:
    """Return how many neighbors to give.

    Args:
        k: what the request says; None when it says nothing.
        most: the server's limit.

    Raises:
        InvalidRequestError: *k* is below 1 or above *most*.
    """
    if k is None:
        return min(DEFAULT_K, most)
    if not 1 <= k <= most:
        raise InvalidRequestError(
            f"k is out of range: expected 1 to {most}, received {k}",
            reason="K_OUT_OF_RANGE",
            values={"least": 1, "most": most, "received": k},
            field="k",
        )
    return k


def unpack_vector(message: types_pb2.Vector, dimension: int) -> NDArray[np.float32]:
    """Return a query's vector at unit length.

    Args:
        message: of any length but zero.
        dimension: D of the server's embedder.

    Returns:
        (D,) float32 of length 1.

    Raises:
        InvalidRequestError: it is of another dimension, incomplete, not finite, or zero.
    """
    if message.dimension != dimension:
        raise _refuse_vector(
            "WRONG_DIMENSION",
            f"the vector is of another dimension: expected {dimension} numbers, received {message.dimension}; "
            "queries must come from the embedder that GetStatus names",
            expected=dimension,
            received=message.dimension,
        )
    if len(message.values) != BYTES_PER_NUMBER * dimension:
        raise _refuse_vector(
            "WRONG_LENGTH",
            f"the vector's bytes don't fit its dimension: expected {BYTES_PER_NUMBER * dimension} bytes of "
            f"little-endian float32, received {len(message.values)}",
            expected=BYTES_PER_NUMBER * dimension,
            received=len(message.values),
        )
    vector = np.frombuffer(message.values, dtype="<f4").astype(np.float64)  # (D,)
    if not np.isfinite(vector).all():
        position = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise _refuse_vector(
            "NOT_FINITE",
            f"the vector has a number that is none: expected finite numbers, received {vector[position]} at "
            f"position {position}",
            position=position,
            received=vector[position],
        )
    # In float64, in which the squares of float32 numbers neither overflow nor vanish.
    norm = np.linalg.norm(vector)
    if norm == 0:
        raise _refuse_vector("ZERO_VECTOR", "the vector is zero and so has no direction: expected any other")
    return (vector / norm).astype(np.float32)


def _refuse_vector(reason: str, message: str, **values: object) -> InvalidRequestError:
    return InvalidRequestError(message, reason=reason, values=values, field="query.vector")
