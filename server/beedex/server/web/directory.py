"""What is worked out once of each state of the index, beside the requests: which entries there are, by family."""

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from beedex.index.searcher import Searcher
from beedex.server.upkeep.loading import LoadingThread

__all__ = ["Directory", "OncePerSearcher", "list_entries"]

Result = TypeVar("Result")

# So many of a family's entries stand for it.
EXAMPLES = 4


class OncePerSearcher(Generic[Result]):
    """Keeps what was worked out of the searcher that serves, until another takes its place; for one event loop.

    Args:
        work_out: from a searcher to what is kept; runs on the thread.
        thread: gives way to requests.
    """

    def __init__(self, work_out: Callable[[Searcher], Result], thread: LoadingThread) -> None:
        self._work_out, self._thread = work_out, thread
        self._of: weakref.ref[Searcher] | None = None
        self._working: asyncio.Task[Result] | None = None

    async def get(self, searcher: Searcher) -> Result:
        """Return what *searcher* comes to; all who ask meanwhile wait for the same work.

        One work at a time: each that is under way holds a searcher, and so a whole snapshot.
        """
        while self._working is not None and not self._working.done() and not self._is_of(searcher):
            await asyncio.wait({self._working})
        working = self._working
        if working is None or not self._is_of(searcher) or _has_failed(working):
            working = asyncio.create_task(self._thread.run(partial(self._work_out, searcher)))
            # Only what is newest is kept; a request that still has a former searcher gets its own.
            self._of, self._working = weakref.ref(searcher), working
        return await asyncio.shield(working)

    def _is_of(self, searcher: Searcher) -> bool:
        return self._of is not None and self._of() is searcher


def _has_failed(working: asyncio.Task[Result]) -> bool:
    return working.done() and (working.cancelled() or working.exception() is not None)


@dataclass(frozen=True, slots=True)
class Directory:
    """The entries of one state of an index.

    Attributes:
        ids: (N,) int64, ascending.
        ids_by_family: the same of each family, by name.
    """

    ids: NDArray[np.int64]
    ids_by_family: dict[str, NDArray[np.int64]]

    def turn_page(self, ids: NDArray[np.int64], after: int | None, limit: int) -> tuple[NDArray[np.int64], bool]:
        """Return the ids that follow *after*, at most *limit*, and whether there are more."""
        start = 0 if after is None else int(np.searchsorted(ids, after, side="right"))
        return ids[start : start + limit], start + limit < len(ids)

    def pick_examples(self, family: str) -> list[str]:
        """Return the entry ids of a few photos of a family, always the same."""
        return [f"{id64 % 2**64:016x}" for id64 in self.ids_by_family[family][:EXAMPLES].tolist()]


def list_entries(searcher: Searcher) -> Directory:
    """Return the entries that a searcher finds, by family."""
    ids = searcher.view.list_ids()
    families = np.array(searcher.view.list_families(ids), object)
    order = np.argsort(families, kind="stable")
    names, starts = np.unique(families[order], return_index=True)
    parts = np.split(ids[order], starts[1:])
    return Directory(ids, dict(zip(names.tolist(), parts, strict=True)))
