"""A figure with its interval: what every evaluation reports instead of a bare number."""

from dataclasses import dataclass

__all__ = ["Figure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A value with its 95 % interval.

    Attributes:
        value: the estimate.
        low: lower end of the interval.
        high: upper end.
    """

    value: float
    low: float
    high: float
