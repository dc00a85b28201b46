"""The figures of serving.py: what was measured of each of those who take turns, and how they compare."""

import statistics
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Side", "compare", "show_percentiles"]


@dataclass
class Side:
    """What was measured of one of those who take turns.

    Attributes:
        rates: answers a second, by round.
        own_cpus: processors that it took itself, by round.
        callers_cpus: processors that its callers took, by round.
        latencies_s: of all calls that were answered.
    """

    rates: list[float] = field(default_factory=list)
    own_cpus: list[float] = field(default_factory=list)
    callers_cpus: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)

    def show(self, name: str) -> str:
        """Return a line of the table."""
        line = f"{name:44} {statistics.median(self.rates):8.1f} /s   CPU {statistics.median(self.own_cpus):4.2f}"
        if self.callers_cpus:
            line += f" + callers' {statistics.median(self.callers_cpus):4.2f}"
        if self.latencies_s:
            line += "   ms: " + show_percentiles(self.latencies_s)
        return line


def show_percentiles(latencies_s: list[float]) -> str:
    """Return the usual ones, in ms."""
    values = np.percentile(np.array(latencies_s) * 1000, (50, 90, 99))
    return ", ".join(f"p{rank} {value:.1f}" for rank, value in zip((50, 90, 99), values, strict=True))


def compare(ours: Side, theirs: Side) -> str:
    """Return the ratio of the medians, and those of the rounds."""
    each = [mine / other for mine, other in zip(ours.rates, theirs.rates, strict=True)]
    median = statistics.median(ours.rates) / statistics.median(theirs.rates)
    return f"{100 * median:.1f} % (by round {', '.join(f'{100 * ratio:.0f}' for ratio in each)})"
