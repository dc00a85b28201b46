"""What a request asks, checked: one error for each way in which it can be wrong."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from beedex.server.errors import EntryNotFoundError, ExpectationFailedError, InvalidRequestError
from beedex.v1 import types_pb2

__all__ = [
    "DEFAULT_K",
    "OriginLike",
    "check_expectation",
    "choose_families",
    "choose_k",
    "choose_side",
    "refuse_unknown_entry",
    "unpack_vector",
]

# How many neighbors a request gets that doesn't say.
DEFAULT_K = 10

# More than any gallery has; a message has room for millions, which would hold up every other request.
MOST_FAMILIES = 10_000

LEAST_SIDE_PX, MOST_SIDE_PX = 16, 2048

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


def choose_families(families: Sequence[str]) -> frozenset[str] | None:
    """Return the families that neighbors may be of; None for all.

    Raises:
        InvalidRequestError: there are too many.
    """
    if len(families) > MOST_FAMILIES:
        raise InvalidRequestError(
            f"the request names too many families: expected at most {MOST_FAMILIES}, received {len(families)}",
            reason="TOO_MANY_FAMILIES",
            values={"most": MOST_FAMILIES, "received": len(families)},
            field="families",
        )
    return frozenset(families) or None


def choose_side(side_px: int) -> int:
    """Return how long the longer side of a shrunk photo may be.

    Raises:
        InvalidRequestError: it is out of range.
    """
    if not LEAST_SIDE_PX <= side_px <= MOST_SIDE_PX:
        raise InvalidRequestError(
            f"max_side_px is out of range: expected {LEAST_SIDE_PX} to {MOST_SIDE_PX}, received {side_px}; "
            "leave it unset for the photo as it is",
            reason="SIDE_OUT_OF_RANGE",
            values={"least": LEAST_SIDE_PX, "most": MOST_SIDE_PX, "received": side_px},
            field="max_side_px",
        )
    return side_px


@contextmanager
def refuse_unknown_entry(entry_id: str, *, field: str, snapshot: int) -> Iterator[None]:
    """Turn what a look for an entry raises into refusals.

    Args:
        entry_id: what is looked for.
        field: where the request names it.
        snapshot: the version in which it is looked for.

    Raises:
        InvalidRequestError: that is no entry id.
        EntryNotFoundError: the snapshot has no such entry.
    """
    try:
        yield
    except LookupError as error:
        raise EntryNotFoundError(
            f"snapshot {snapshot} has no entry {entry_id}; neighbors of any query name some",
            reason="ENTRY_NOT_FOUND",
            values={"entry_id": entry_id, "snapshot": snapshot},
            field=field,
        ) from error
    except ValueError as error:
        raise InvalidRequestError(
            str(error), reason="MALFORMED_ENTRY_ID", values={"received": entry_id}, field=field
        ) from error


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
    # In float64, in which the squares of float32 numbers neither overflow nor vanish.
    norm = math.sqrt(np.vdot(vector, vector))
    if not math.isfinite(norm):
        position = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise _refuse_vector(
            "NOT_FINITE",
            f"the vector has a number that is none: expected finite numbers, received {vector[position]} at "
            f"position {position}",
            position=position,
            received=vector[position],
        )
    if norm == 0:
        raise _refuse_vector("ZERO_VECTOR", "the vector is zero and so has no direction: expected any other")
    return (vector / norm).astype(np.float32)


def _refuse_vector(reason: str, message: str, **values: object) -> InvalidRequestError:
    return InvalidRequestError(message, reason=reason, values=values, field="query.vector")
