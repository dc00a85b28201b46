"""What look-ups return: frozen values, each with the embedder's fingerprint and the snapshot that answered."""

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from beedex.client._results.embeddings import Embedding
from beedex.client._results.families import Families, Family
from beedex.client._results.result import Answer, Result
from beedex.client._results.rows import Rows
from beedex.client._results.status import Limits, Status
from beedex.client._results.tables import tabulate
from beedex.client._results.wording import enumerate_few, quote, write_number

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "Embedding",
    "Families",
    "Family",
    "FamilyScore",
    "Identification",
    "Limits",
    "Neighbor",
    "Neighbors",
    "Status",
    "Verdict",
]


class Verdict(StrEnum):
    """What an identification comes to.

    Example:
        >>> Verdict.MATCH == "MATCH"
        True
    """

    MATCH = "MATCH"
    AMBIGUOUS = "AMBIGUOUS"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class FamilyScore(Result):
    """One family's part in an identification.

    Attributes:
        family: the label.
        probability: in [0, 1]; over all families of an answer they sum to 1.
        similarity: what speaks for the family, a cosine in [-1, 1].

    Example:
        >>> FamilyScore(family="mason", probability=0.75, similarity=0.6).to_dict()
        {'family': 'mason', 'probability': 0.75, 'similarity': 0.6}
    """

    family: str
    probability: float
    similarity: float


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Neighbor(Result):
    """An indexed photo that is like the query. Texts are empty where the gallery says nothing.

    Attributes:
        entry_id: 16 hex digits, the beginning of the photo's sha256.
        family: its label.
        similarity: cosine in [-1, 1], larger is closer.
        path: its file in the gallery.
        group: shared by photos of one animal or one observation.
        species: where the gallery names it.
        source: where the photo is from.
        license: the photo's licence.
        credit: who made it.

    Example:
        >>> Neighbor(entry_id="6a598e3d92e0e8d4", family="mason", similarity=0.91234, credit="A. Nonymous")
        Neighbor(entry_id='6a598e3d92e0e8d4', family='mason', similarity=0.912, credit='A. Nonymous')
    """

    entry_id: str
    family: str
    similarity: float
    path: str = ""
    group: str = ""
    species: str = ""
    source: str = ""
    license: str = ""
    credit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Neighbors(Rows[Neighbor]):
    """The indexed photos most like the query: a sequence of `Neighbor`, nearest first.

    In a notebook it shows the photos, which it fetches from the server then.

    Example:
        >>> near = Neighbor(entry_id="6a598e3d92e0e8d4", family="mason", similarity=0.9)
        >>> neighbors = Neighbors(rows=(near,), fingerprint="3fa2b1c09d1e", snapshot=7)
        >>> neighbors
        <Neighbors 1: 'mason' 0.900; embedder 3fa2b1c09d1e, snapshot 7>
        >>> [neighbor.family for neighbor in neighbors], neighbors.to_numpy().shape
        (['mason'], (1,))
    """

    ROWS_KEY: ClassVar[str] = "neighbors"
    ROW_TYPE: ClassVar[type | None] = Neighbor

    def to_numpy(self) -> "NDArray[np.float32]":
        """Return the similarities: (K,) float32, falling."""
        import numpy as np  # noqa: PLC0415 - see beedex.client._results.embeddings

        return np.array([neighbor.similarity for neighbor in self.rows], np.float32)  # (K,)

    def _write_row(self, row: Neighbor) -> str:
        return f"{quote(row.family)} {write_number(row.similarity)}"

    def _repr_html_(self) -> str:
        from beedex.client._results.notebook import show_neighbors  # noqa: PLC0415 - only notebooks need it

        return show_neighbors(self, self._fetch_thumbnails)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Identification(Answer):
    """The family of a photo, how sure that is, and what speaks for it.

    Attributes:
        verdict: MATCH names a family, AMBIGUOUS two or three, UNKNOWN none.
        family: the family of a MATCH, None otherwise.
        probability: of the likeliest family, whatever the verdict.
        candidates: the families that the verdict names, likeliest first.
        reason: one sentence for a person.
        families: every family of the index, likeliest first.
        neighbors: the nearest indexed photos, nearest first.

    In a notebook it shows the neighbors' photos, which it fetches from the server then.

    Example:
        >>> Identification(
        ...     verdict=Verdict.MATCH,
        ...     family="mason",
        ...     probability=0.75,
        ...     candidates=("mason",),
        ...     reason="mason with probability 0.75",
        ...     families=(FamilyScore(family="mason", probability=0.75, similarity=0.6),),
        ...     neighbors=Neighbors(rows=(), fingerprint="3fa2b1c09d1e", snapshot=7),
        ...     fingerprint="3fa2b1c09d1e",
        ...     snapshot=7,
        ... )
        <Identification MATCH: 'mason' 0.750; neighbors none; embedder 3fa2b1c09d1e, snapshot 7>
    """

    verdict: Verdict
    family: str | None
    probability: float
    candidates: tuple[str, ...]
    reason: str
    families: tuple[FamilyScore, ...]
    neighbors: Neighbors

    def to_numpy(self) -> "NDArray[np.float64]":
        """Return the probabilities of `families`: (F,) float64, falling; they sum to 1."""
        import numpy as np  # noqa: PLC0415 - see beedex.client._results.embeddings

        return np.array([score.probability for score in self.families], np.float64)  # (F,)

    def to_pandas(self) -> "pd.DataFrame":
        """Return a table of `families`: family, probability and similarity. `neighbors` has one of its own.

        Raises:
            ImportError: pandas is not installed.
        """
        return tabulate(self.families, [column.name for column in fields(FamilyScore)], self)

    def __repr__(self) -> str:
        named = [score for score in self.families if score.family in self.candidates]
        told = " or ".join(f"{quote(score.family)} {write_number(score.probability)}" for score in named)
        if not named:
            told = f"likeliest {''.join(quote(score.family) for score in self.families[:1])} "
            told += write_number(self.probability)
        near = enumerate_few(map(self.neighbors._write_row, self.neighbors), len(self.neighbors))  # noqa: SLF001 - ours
        return f"<Identification {self.verdict}: {told}; neighbors {near or 'none'}; {self._made_with}>"

    def _repr_html_(self) -> str:
        from beedex.client._results.notebook import show_identification  # noqa: PLC0415 - only notebooks need it

        return show_identification(self, self._fetch_thumbnails)
