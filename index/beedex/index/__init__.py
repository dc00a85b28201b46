"""Photos, galleries, embedders, indexes and the family decision: all that looking photos up takes, without a server.

    from beedex.index import Embedder, Gallery, Index, Searcher, build_index

    Gallery    the labelled photos of a folder
    Embedder   a trained network: photo -> unit vector
    Index      an index directory that is followed and changed
    Searcher   an index at one moment: nearest entries, family decision

Vectors are (D,) float32 arrays of norm 1, similarities are cosines.

Example:
    >>> from beedex.index import Gallery, Index
    >>> Gallery.scan("photos").families["mason"]
    3
    >>> with Index.open("index") as index:
    ...     found = index.identify("new-photo.jpg", k=2)
    >>> found.decision.family
    'mason'
    >>> found.neighbors[0].entry.path
    'mason/mason_001.jpg'
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from beedex.index.decision import Decision, Verdict
    from beedex.index.embedder import Embedder
    from beedex.index.entries import Entry
    from beedex.index.errors import BeedexError
    from beedex.index.gallery import Gallery
    from beedex.index.index import Index
    from beedex.index.rebuild import build_index
    from beedex.index.searcher import Identification, Neighbor, Searcher

__all__ = [
    "BeedexError",
    "Decision",
    "Embedder",
    "Entry",
    "Gallery",
    "Identification",
    "Index",
    "Neighbor",
    "Searcher",
    "Verdict",
    "build_index",
]

_HOMES = {
    "BeedexError": "errors",
    "Decision": "decision",
    "Embedder": "embedder",
    "Entry": "entries",
    "Gallery": "gallery",
    "Identification": "searcher",
    "Index": "index",
    "Neighbor": "searcher",
    "Searcher": "searcher",
    "Verdict": "decision",
    "build_index": "rebuild",
}


def __getattr__(name: str) -> object:
    """Import what is asked for and no more: FAISS and OpenVINO take a second."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
