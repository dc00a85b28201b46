"""Which searches are quick: the event loop does them itself, as handing them to a thread would cost more."""

from beedex.index.decision import EVIDENCE_NEIGHBORS
from beedex.index.searcher import Searcher
from beedex.index.vectors import IvfStore

__all__ = ["QUICK_SCAN_BYTES", "is_quick"]

# Handing a search to a thread takes 70 us more of the processor: 3,280 instead of 3,830 queries a second, with 144
# entries. Rather than that, the event loop stands still for up to half a millisecond: 24,000 vectors of 128 components.
QUICK_SCAN_BYTES = 12_000_000

# Where more neighbors are asked for than a decision wants, it would stand still while their entries are read.
QUICK_K = EVIDENCE_NEIGHBORS

BYTES_PER_NUMBER = 4


def is_quick(searcher: Searcher, k: int) -> bool:
    """Say whether a search for *k* neighbors takes less time than the event loop may stand still."""
    if k > QUICK_K:
        return False
    snapshot, view = searcher.snapshot, searcher.view
    scanned = len(snapshot.vectors)
    if isinstance(snapshot.vectors, IvfStore):
        plan = snapshot.manifest.search_plan
        if plan is None or plan.mapped:
            return False  # the disk may have to be waited for
        scanned = scanned * snapshot.vectors.choose_effort(k) // snapshot.vectors.lists
    return (scanned + len(view.changes)) * searcher.dimension * BYTES_PER_NUMBER <= QUICK_SCAN_BYTES
