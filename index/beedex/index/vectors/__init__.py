"""Vectors by id: cosine search behind one small protocol, exact or approximate, chosen by what is stored.

| module | what |
|---|---|
| `store` | the protocol `VectorStore`, what a search returns, what may be stored |
| `idset` | the ids of a store |
| `ordering` | hits in order, ties included |
| `faissstore` | what the stores that FAISS keeps share |
| `exact` | `ExactStore`: every vector is looked at |
| `inverted` | `IvfStore`: the vectors of the nearest lists are looked at |
| `tuning` | how many lists reach a recall target |
| `choice` | which store, by size, recall target and memory budget |
| `files` | writing and reading without a second copy in memory |
| `groups` | the nearest groups of vectors, over any store |
"""

from beedex.index.vectors.choice import (
    DEFAULT_SETTINGS,
    EXACT_PLAN,
    EXACT_UP_TO,
    SearchPlan,
    SearchSettings,
    build_store,
    load_store,
)
from beedex.index.vectors.exact import ExactStore
from beedex.index.vectors.groups import Group, search_groups
from beedex.index.vectors.inverted import IvfStore
from beedex.index.vectors.store import NO_ID, UNIT_NORM_TOLERANCE, Hits, VectorStore, check_unit_vectors

__all__ = [
    "DEFAULT_SETTINGS",
    "EXACT_PLAN",
    "EXACT_UP_TO",
    "NO_ID",
    "UNIT_NORM_TOLERANCE",
    "ExactStore",
    "Group",
    "Hits",
    "IvfStore",
    "SearchPlan",
    "SearchSettings",
    "VectorStore",
    "build_store",
    "check_unit_vectors",
    "load_store",
    "search_groups",
]
