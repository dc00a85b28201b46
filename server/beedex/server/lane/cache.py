"""The embedding cache: what the embedder made of a photo is kept for the next photo of the very same bytes."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["EmbeddingCache", "digest_photo"]

Embedded = TypeVar("Embedded")

# A photo of this size is hashed in a millisecond, for which the event loop may stand still; a larger one is hashed on a
# thread, which costs the loop a fifth of that.
HASHED_AT_ONCE_BYTES = 1 << 20

# Beside what is kept: the digest, its place in the order and the objects around the numbers.
BYTES_BESIDE = 500


class EmbeddingCache(Generic[Embedded]):
    """Keeps embeddings by the sha256 of their photos; those that were asked for longest ago go first.

    It belongs to one embedder: another makes other vectors of the same photos.

    Args:
        max_bytes: what everything that is kept may take.
        weigh: how many bytes an embedding takes.

    Attributes:
        size_bytes: what is taken.
        hits: how many photos had not to be embedded, as the same one had been or was just being; only grows.
        misses: how many had to be.
    """

    def __init__(self, max_bytes: int, weigh: Callable[[Embedded], int]) -> None:
        self.size_bytes = 0
        self.hits = 0
        self.misses = 0
        self._max_bytes = max_bytes
        self._weigh = weigh
        self._kept: OrderedDict[bytes, Embedded] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, digest: bytes) -> Embedded | None:
        """Return what is kept of a photo."""
        found = self._kept.get(digest)
        if found is not None:
            self._kept.move_to_end(digest)
        return found

    def count(self, *, is_hit: bool) -> None:
        """Count a look-up."""
        if is_hit:
            self.hits += 1
        else:
            self.misses += 1

    def put(self, digest: bytes, embedded: Embedded) -> None:
        """Keep what was made of a photo, and drop what there is no room for any more."""
        former = self._kept.pop(digest, None)
        if former is not None:
            self.size_bytes -= self._weigh(former) + BYTES_BESIDE
        self._kept[digest] = embedded
        self.size_bytes += self._weigh(embedded) + BYTES_BESIDE
        while self.size_bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self.size_bytes -= self._weigh(dropped) + BYTES_BESIDE


async def digest_photo(photo: bytes) -> bytes:
    """Return the sha256 of a photo's bytes."""
    if len(photo) <= HASHED_AT_ONCE_BYTES:
        return _digest(photo)
    return await asyncio.to_thread(_digest, photo)


def _digest(photo: bytes) -> bytes:
    return hashlib.sha256(photo).digest()
