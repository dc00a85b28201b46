"""The end of a call."""

import time
from dataclasses import dataclass
from typing import Self

__all__ = ["MOST_TIMEOUT_S", "Deadline"]

# Thirty years. gRPC takes what overflows its clock for a deadline that has passed.
MOST_TIMEOUT_S = 1e9


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a call, with all that it takes, has to be over.

    Attributes:
        timeout_s: how long it had from the beginning.
        at_s: the end, on the monotonic clock.
    """

    timeout_s: float
    at_s: float

    @classmethod
    def after(cls, timeout_s: float) -> Self:
        """Return the deadline *timeout_s* seconds from now; ValueError unless above 0 and at most `MOST_TIMEOUT_S`."""
        if not 0 < timeout_s <= MOST_TIMEOUT_S:
            raise ValueError(
                f"timeout_s must be above 0 and at most {MOST_TIMEOUT_S:g} seconds, received timeout_s={timeout_s}"
            )
        return cls(timeout_s, time.monotonic() + timeout_s)

    def remaining_s(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self.at_s - time.monotonic())
