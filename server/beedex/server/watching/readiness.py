"""Whether a server answers, and what is wrong with its index: what health, HTTP probes and metrics tell.

An engine is an embedder with a snapshot of its vectors, loaded as one and named in every reply. So either every service
has what it needs, or none has.
"""

import asyncio
from enum import StrEnum

__all__ = ["Phase", "Readiness"]


class Phase(StrEnum):
    """Where a server is in its life."""

    LOADING = "loading"
    WAITING = "waiting"  # there is no index, or none that can be served
    SERVING = "serving"
    DRAINING = "draining"


class Readiness:
    """A server's phase and the problem of its index; for one event loop.

    Attributes:
        phase: begins as LOADING.
        problem: why the index as it is now isn't served; empty when it is. A server that serves goes on with what it
            has loaded.
    """

    def __init__(self) -> None:
        self.phase = Phase.LOADING
        self.problem = ""
        self._changed = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        """Whether requests are answered."""
        return self.phase is Phase.SERVING

    @property
    def is_draining(self) -> bool:
        """Whether the server is about to end."""
        return self.phase is Phase.DRAINING

    def wait(self, problem: str) -> None:
        """There is nothing to serve yet, because of *problem*."""
        self._enter(Phase.WAITING, problem)

    def serve(self) -> None:
        """Requests are answered, with the index as it is."""
        self._enter(Phase.SERVING, "")

    def complain(self, problem: str) -> None:
        """The index has become what can't be served; the phase stays."""
        self._enter(self.phase, problem)

    def drain(self) -> None:
        """The server ends; nothing changes that any more."""
        self._enter(Phase.DRAINING, self.problem)

    def _enter(self, phase: Phase, problem: str) -> None:
        self.problem = problem
        if not self.is_draining:
            self.phase = phase
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self) -> None:
        """Return when something has changed since the call."""
        await self._changed.wait()
