"""The labels of an index."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from beedex.client._results.result import Result
from beedex.client._results.rows import Rows
from beedex.client._results.wording import quote

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Families", "Family"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Family(Result):
    """A label of the index.

    Attributes:
        name: the label.
        entries: how many indexed photos have it.

    Example:
        >>> Family(name="mason", entries=24)
        Family(name='mason', entries=24)
    """

    name: str
    entries: int


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Families(Rows[Family]):
    """The families of the index: a sequence of `Family`, by name.

    Example:
        >>> Families(rows=(Family(name="mason", entries=24),), fingerprint="3fa2b1c09d1e", snapshot=7)
        <Families 1: 'mason' 24; embedder 3fa2b1c09d1e, snapshot 7>
    """

    ROWS_KEY: ClassVar[str] = "families"
    ROW_TYPE: ClassVar[type | None] = Family

    def to_numpy(self) -> "NDArray[np.int64]":
        """Return how many entries each family has: (F,) int64."""
        import numpy as np  # noqa: PLC0415 - see beedex.client._results.embeddings

        return np.array([family.entries for family in self.rows], np.int64)  # (F,)

    def _write_row(self, row: Family) -> str:
        return f"{quote(row.name)} {row.entries}"
