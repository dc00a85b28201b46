"""Answers that are a sequence of values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, overload

from beedex.client._result import Answer

__all__ = ["Rows"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows(Answer, Sequence[T]):
    """An answer that is a sequence over its field `rows`; a slice of it is a tuple.

    Attributes:
        ROWS_KEY: what the rows are called in `to_dict`.
        rows: the values as a tuple.
    """

    ROWS_KEY: ClassVar[str] = "rows"

    rows: tuple[T, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the rows under the name of what they are, and what the answer was made with."""
        values = Answer.to_dict(self)
        return {self.ROWS_KEY: values.pop("rows"), **values}

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
