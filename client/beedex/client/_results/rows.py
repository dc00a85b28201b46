"""Answers that are a sequence of values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from beedex.client._results.result import Answer, plain
from beedex.client._results.tables import flatten, tabulate
from beedex.client._results.wording import enumerate_few

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Rows"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Rows(Answer, Sequence[T]):
    """An answer that is a sequence over its field `rows`; a slice of it is a tuple.

    Attributes:
        ROWS_KEY: what the rows are called in `to_dict`.
        ROW_TYPE: what a row is, for the columns of a table without rows.
        rows: the values as a tuple.
    """

    ROWS_KEY: ClassVar[str] = "rows"
    ROW_TYPE: ClassVar[type | None] = None

    rows: tuple[T, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the rows under the name of what they are, and what the answer was made with."""
        values = Answer.to_dict(self)
        return {self.ROWS_KEY: values.pop("rows"), **values}

    def to_pandas(self) -> "pd.DataFrame":
        """Return a table with a row for each value, in their order, and a column for each field.

        Fingerprint, snapshot and request id are in its `attrs`.

        Raises:
            ImportError: pandas is not installed.
        """
        row = self.ROW_TYPE
        columns = [column.name for column in fields(row)] if row is not None and is_dataclass(row) else []
        return tabulate(self.rows, columns, self)

    def __repr__(self) -> str:
        shown = enumerate_few(map(self._write_row, self.rows), len(self.rows))
        return f"<{type(self).__name__} {len(self.rows)}: {shown or 'none'}; {self._made_with}>"

    def _repr_html_(self) -> str:
        from beedex.client._results.notebook import show_table  # noqa: PLC0415 - only notebooks need it

        return show_table(flatten(plain(row) for row in self.rows), self)

    def _write_row(self, row: T) -> str:
        """Return a row as the repr shows it."""
        return repr(row)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.rows[index]

    def __iter__(self) -> Iterator[T]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)
