"""How long recent requests took, and in which stage: for a page that shows it, where metrics need another program."""

from collections import defaultdict, deque
from typing import Any

import numpy as np

from beedex.server.calls.work import Call, Work

__all__ = ["RecentLatency"]

# Of each stage; some minutes of a quiet server, seconds of a busy one.
KEPT = 512

WHOLE = "request"


class RecentLatency:
    """Remembers the last requests' times; a listener of `TrafficWatch`."""

    def __init__(self) -> None:
        self._times: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))

    def end_work(self, work: Work) -> None:
        """Remember a request, or item, that was answered from the index and went through a stage.

        Those without are status, thumbnails and the like, which the page asks for by itself and would count most.
        """
        if not work.snapshot or not work.stages:
            return
        self._times[WHOLE].append(work.duration_s)
        for span in work.stages:
            self._times[span.stage.value].append(span.ended_s - span.began_s)

    def end_call(self, call: Call) -> None:
        """Do nothing: the works of a call have told all."""

    def describe(self) -> dict[str, Any]:
        """Return how many are remembered of each stage, and how long half and nineteen of twenty took at most."""
        told = {}
        for stage, times in self._times.items():
            half, most = np.percentile(times, (50, 95)).tolist()
            told[stage] = {"count": len(times), "p50_s": half, "p95_s": most}
        return told
