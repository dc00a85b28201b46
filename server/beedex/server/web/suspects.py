"""Entries whose nearest photos speak against their label: where a gallery may be wrong.

Every entry is asked about without its own vote and without those of its group, whose photos have one label and are
nearly the same. What speaks for a family is what a decision goes by (`weigh_families`): the mean similarity of its
nearest three photos. An entry is suspect if another family has more of it than its own; the most suspicious is the one
with the largest difference.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from beedex.index.decision import weigh_families
from beedex.index.entries import Entry
from beedex.index.searcher import Neighbor, Searcher
from beedex.server.calls.streams import refuse_draining
from beedex.server.engine import EngineSlot
from beedex.server.services.origin import take_engine
from beedex.server.web.directory import OncePerSearcher
from beedex.server.web.inquiry import Inquiry
from beedex.server.web.rows import describe_entry, describe_neighbors, describe_origin

__all__ = ["Suspect", "SuspectFinder", "Suspects", "Suspicions"]

RULE = (
    "An entry is suspect if the nearest three photos of another family are more like it, on average, than the nearest "
    "three of its own; itself and the photos of its group are left out. Its suspicion is the difference of the two "
    "mean similarities."
)

# Among these the nearest three of the families that matter are found.
NEIGHBORS = 50
SHOWN_NEIGHBORS = 3

# Each takes a search: a millisecond in 20,000 vectors.
MOST_CHECKED = 10_000

DEFAULT_LIMIT, MOST_LIMIT = 50, 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """An entry that looks like another family.

    Attributes:
        entry: as it is labelled.
        family: what it looks like.
        own_similarity: the evidence for its label.
        other_similarity: that for `family`.
        neighbors: the nearest entries of other groups.
    """

    entry: Entry
    family: str
    own_similarity: float
    other_similarity: float
    neighbors: tuple[Neighbor, ...]

    @property
    def suspicion(self) -> float:
        """How much more speaks for the other family."""
        return self.other_similarity - self.own_similarity


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspicions:
    """What came of looking at an index.

    Attributes:
        suspects: the most suspicious first.
        checked: how many entries were asked about; all of a small index, evenly many of a large one.
        entries: how many there are.
    """

    suspects: tuple[Suspect, ...]
    checked: int
    entries: int


class SuspectFinder:
    """Looks at every entry of an index; runs on a thread."""

    def __init__(self) -> None:
        self._is_stopped = threading.Event()

    def stop(self) -> None:
        """Have what is running end soon."""
        self._is_stopped.set()

    def find(self, searcher: Searcher) -> Suspicions:
        """Return the suspects.

        Raises:
            DrainingError: it was stopped.
        """
        view = searcher.view
        ids = view.list_ids()
        entries = {entry.id64: entry for entry in view.read(ids)} if len(ids) <= MOST_CHECKED else {}
        chosen = ids[np.linspace(0, len(ids) - 1, min(len(ids), MOST_CHECKED)).astype(int)]
        sizes = searcher.families()
        suspects = []
        for id64 in chosen.tolist():
            if self._is_stopped.is_set():
                raise refuse_draining("the suspects were not found; ask again")
            suspect = _judge(searcher, id64, sizes, entries)
            if suspect is not None:
                suspects.append(suspect)
        suspects.sort(key=lambda suspect: (-suspect.suspicion, suspect.entry.sha256))
        return Suspicions(suspects=tuple(suspects), checked=len(chosen), entries=len(ids))


def _judge(searcher: Searcher, id64: int, sizes: Mapping[str, int], entries: Mapping[int, Entry]) -> Suspect | None:
    view = searcher.view
    vector = view.vector(f"{id64 % 2**64:016x}")
    ids, similarities = view.search(vector, NEIGHBORS + 1)
    near = [entries[one] for one in ids.tolist()] if entries else view.read(ids)
    entry = entries.get(id64) or view.read(np.array([id64], np.int64))[0]
    is_kept = np.array([not _is_of_one_group(entry, other) for other in near], bool)
    kept = [other for other, keep in zip(near, is_kept.tolist(), strict=True) if keep]
    evidence = _weigh(entry, kept, similarities[is_kept], _count_others(sizes, entry, near, is_kept))
    if evidence is None:
        return None
    own = evidence.pop(entry.family)
    family, other = max(evidence.items(), key=lambda item: item[1])
    if other <= own:
        return None
    shown = zip(kept[:SHOWN_NEIGHBORS], similarities[is_kept].tolist(), strict=False)
    return Suspect(
        entry=entry,
        family=family,
        own_similarity=own,
        other_similarity=other,
        neighbors=tuple(Neighbor(entry=one, similarity=similarity) for one, similarity in shown),
    )


def _is_of_one_group(entry: Entry, other: Entry) -> bool:
    return entry.sha256 == other.sha256 or (bool(entry.group) and entry.group == other.group)


def _count_others(
    sizes: Mapping[str, int], entry: Entry, near: list[Entry], is_kept: NDArray[np.bool_]
) -> dict[str, int]:
    """Return the sizes of the families without what is left out; photos of the group that are not near stay in."""
    left = dict(sizes)
    for other, keep in zip(near, is_kept.tolist(), strict=True):
        if not keep:
            left[other.family] -= 1
    return {family: size for family, size in left.items() if size > 0 or family == entry.family}


def _weigh(
    entry: Entry, near: list[Entry], similarities: NDArray[np.float32], sizes: dict[str, int]
) -> dict[str, float] | None:
    """Return each family's evidence; None if there is nothing to compare the entry's label with."""
    if not near or sizes.get(entry.family, 0) <= 0 or len(sizes) == 1:
        return None
    evidence = weigh_families(similarities, [other.family for other in near], sizes)
    return dict(zip(sizes, evidence.tolist(), strict=True))


class Suspects:
    """Answers which entries are suspect.

    Args:
        slot: holds what answers.
        found: once for each state of the index.
    """

    def __init__(self, slot: EngineSlot, found: OncePerSearcher[Suspicions]) -> None:
        self._slot, self._found = slot, found

    async def list_suspects(self, inquiry: Inquiry) -> Response:
        """List the most suspicious entries."""
        engine = take_engine(self._slot, inquiry.expectation)
        limit = inquiry.read_number("limit", least=1, most=MOST_LIMIT) or DEFAULT_LIMIT
        found = await self._found.get(engine.searcher)
        body = {
            "rule": RULE,
            "checked": found.checked,
            "entries": found.entries,
            "total": len(found.suspects),
            "suspects": [_describe(suspect) for suspect in found.suspects[:limit]],
            **describe_origin(engine, inquiry),
        }
        return JSONResponse(body)


def _describe(suspect: Suspect) -> dict[str, Any]:
    return {
        "entry": describe_entry(suspect.entry),
        "suspected_family": suspect.family,
        "suspicion": suspect.suspicion,
        "own_similarity": suspect.own_similarity,
        "other_similarity": suspect.other_similarity,
        "neighbors": describe_neighbors(suspect.neighbors),
    }
