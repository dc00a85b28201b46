"""Which store, with which parameters: by the number of vectors, the recall that is wanted and the memory there is.

Shape letters: N vectors, D dimension.
"""

import math
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from beedex.index.errors import MemoryBudgetError
from beedex.index.vectors.exact import ExactStore
from beedex.index.vectors.faissstore import FaissStore
from beedex.index.vectors.inverted import SAMPLE_PER_LIST, IvfStore
from beedex.index.vectors.tuning import TUNED_DEPTHS, estimate_visited, tune_efforts

__all__ = ["DEFAULT_SETTINGS", "EXACT_PLAN", "EXACT_UP_TO", "SearchPlan", "SearchSettings", "build_store", "load_store"]

# tests/benchmarks/vector_search.py on one core of an EPYC of 2024, 128 dimensions, 99 % of the 10 nearest found: lists
# answer 2.5 times as often as exact search at 3,000 vectors, 4 at 10,000, 7 to 9 at 30,000, 20 at 50,000, 34 to 39 at
# 100,000 and 85 at 300,000. Up to here they would give up a neighbor in a hundred to save less than a millisecond.
EXACT_UP_TO = 50_000

# Lists by the square root of the number of vectors, and the vectors that a list has at least.
LISTS_PER_ROOT = 4
VECTORS_PER_LIST = 32

# A query that looks at more of an approximate store than this is as quick in an exact one, which loses nothing.
WORTHWHILE_SHARE = 0.2

# Beside its components, a vector has its id in the index and in `IdSet`, and a node of a hash table that leads from the
# id to the vector: 48 bytes with its pointer.
ID_BYTES = 8
NODE_BYTES = 48
FLOAT_BYTES = 4

# Rows that are copied at once when vectors are put into a store in another order.
COPIED_ROWS = 1 << 16

Store = TypeVar("Store", bound=FaissStore)


class SearchSettings(BaseModel):
    """What is wanted of a search.

    Attributes:
        kind: ``exact``; ``ivf`` for inverted lists; ``auto`` for whichever is better.
        recall: the share of the true neighbors that an approximate search is to find, of the 10, 50 and 200 nearest
            alike.
        memory_mb: memory that the vectors may take when they are searched, in MiB; None for as much as they need.
            Where they don't fit, approximate search leaves them in their file.

    Example:
        >>> SearchSettings(recall=0.95)
        SearchSettings(kind='auto', recall=0.95, memory_mb=None)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "exact", "ivf"] = "auto"
    recall: float = Field(default=0.99, gt=0, lt=1)
    memory_mb: int | None = Field(default=None, ge=1)


class SearchPlan(BaseModel):
    """What was chosen.

    Attributes:
        kind: ``flat`` is exact search; ``ivf`` looks at some of the lists.
        lists: how many there are; 0 in exact search.
        efforts: how many of them are looked at for up to that many neighbors; empty in exact search.
        mapped: whether the vectors stay in their file.
        memory_bytes: about what the store takes in memory, not counting a mapped file; 0 if nobody has estimated it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["flat", "ivf"] = "flat"
    lists: int = Field(default=0, ge=0)
    efforts: dict[int, int] = Field(default_factory=dict)
    mapped: bool = False
    memory_bytes: int = Field(default=0, ge=0)


DEFAULT_SETTINGS = SearchSettings()
# Of snapshots that say nothing of their search.
EXACT_PLAN = SearchPlan()


def build_store(
    ids: NDArray[np.int64], vectors: NDArray[np.float32], settings: SearchSettings
) -> tuple[FaissStore, SearchPlan]:
    """Put vectors into the store that suits them, ascending by id; equal ones give equal bytes in any order.

    Args:
        ids: (N,) distinct int64.
        vectors: (N, D) float32 unit vectors.
        settings: what is wanted.

    Raises:
        ValueError: these ids or vectors can't be stored.
        MemoryBudgetError: they don't fit, whatever kind of store is taken.
    """
    count, dimension = vectors.shape
    order = np.argsort(ids)
    mapped = _must_map(count, dimension, settings)
    if mapped or settings.kind == "ivf" or (settings.kind == "auto" and count > EXACT_UP_TO):
        built = _build_lists(ids, vectors, order, settings, mapped=mapped)
        if built is not None:
            return built
    store = _fill(ExactStore(dimension), ids, vectors, order)
    return store, SearchPlan(memory_bytes=_estimate_memory(count, dimension, 0, mapped=False))


def load_store(path: Path, plan: SearchPlan) -> FaissStore:
    """Read the file of a store that `build_store` built. Verify its checksum before.

    Raises:
        SnapshotError: the file can't be read or holds another kind of store.
    """
    return IvfStore.load(path, plan.efforts, mapped=plan.mapped) if plan.kind == "ivf" else ExactStore.load(path)


def _build_lists(
    ids: NDArray[np.int64],
    vectors: NDArray[np.float32],
    order: NDArray[np.int64],
    settings: SearchSettings,
    *,
    mapped: bool,
) -> tuple[IvfStore, SearchPlan] | None:
    """Build and tune inverted lists; None if exact search is as good and nobody asked for them."""
    count, dimension = vectors.shape
    lists = _count_lists(count)
    store = _fill(IvfStore.train(_draw_sample(vectors, order, lists), lists), ids, vectors, order)
    store.efforts = tune_efforts(store, settings.recall)
    share = estimate_visited(store, store.choose_effort(TUNED_DEPTHS[0]))
    if settings.kind == "auto" and not mapped and share > WORTHWHILE_SHARE:
        return None
    memory_bytes = _estimate_memory(count, dimension, lists, mapped=mapped)
    return store, SearchPlan(kind="ivf", lists=lists, efforts=store.efforts, mapped=mapped, memory_bytes=memory_bytes)


def _count_lists(count: int) -> int:
    return max(1, min(round(LISTS_PER_ROOT * math.sqrt(count)), count // VECTORS_PER_LIST))


def _must_map(count: int, dimension: int, settings: SearchSettings) -> bool:
    """Say whether the vectors must stay in their file."""
    if settings.memory_mb is None:
        return False
    budget = settings.memory_mb << 20
    lists = 0 if settings.kind == "exact" else _count_lists(count)
    needed = _estimate_memory(count, dimension, lists, mapped=False)
    if needed <= budget:
        return False
    least = needed if settings.kind == "exact" else _estimate_memory(count, dimension, lists, mapped=True)
    if least > budget:
        raise MemoryBudgetError(
            f"{count} vectors of {dimension} components don't fit into the memory they were given, expected at least "
            f"{(least >> 20) + 1} MiB, received {settings.memory_mb} MiB; allow more, or leave the choice of the "
            "search to beedex"
        )
    return True


def _estimate_memory(count: int, dimension: int, lists: int, *, mapped: bool) -> int:
    """Return about how many bytes a store takes; *lists* is 0 for an exact one."""
    in_index = 0 if mapped else count * (dimension * FLOAT_BYTES + ID_BYTES)
    return in_index + count * (ID_BYTES + NODE_BYTES) + lists * dimension * FLOAT_BYTES


def _draw_sample(vectors: NDArray[np.float32], order: NDArray[np.int64], lists: int) -> NDArray[np.float32]:
    """Return the vectors that k-means gets to see, the same ones in whatever order they come."""
    size = min(len(vectors), lists * SAMPLE_PER_LIST)
    places = np.sort(np.random.default_rng(0).choice(len(vectors), size, replace=False))
    return vectors[order[places]]


def _fill(store: Store, ids: NDArray[np.int64], vectors: NDArray[np.float32], order: NDArray[np.int64]) -> Store:
    """Add everything in the given order, a piece at a time, so that there is no second copy of all vectors."""
    for start in range(0, len(order), COPIED_ROWS):
        rows = order[start : start + COPIED_ROWS]
        store.add(ids[rows], vectors[rows])
    return store
