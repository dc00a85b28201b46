"""How far long work is: a bar on a terminal, a line now and then elsewhere, always on stderr."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TextIO

__all__ = ["LINE_EVERY_S", "Progress", "report_progress"]

# In a log, often enough to see that it goes on.
LINE_EVERY_S = 10.0

# Less work than this needs no bar.
FEWEST_FOR_A_BAR = 2


class Progress(Protocol):
    """Told of every piece of work that is done."""

    def advance(self) -> None:
        """Count one more as done."""

    def paused(self) -> AbstractContextManager[object]:
        """Keep the bar off the terminal while something else is printed there."""
        ...


@contextmanager
def report_progress(
    things: str, total: int, *, stream: TextIO, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Show how far it is while the block runs.

    Args:
        things: what is counted, such as "photos".
        total: how many there are.
        stream: where it is shown, stderr.
        clock: in seconds, never going back.
    """
    if total < FEWEST_FOR_A_BAR or not _can_draw(stream):
        yield _Lines(things, total, stream, clock)
        return
    bar = _Bar(things, total, stream)
    with bar.shown():
        yield bar


def _can_draw(stream: TextIO) -> bool:
    return stream.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}


class _Lines:
    """A line at most every `LINE_EVERY_S`, none at the end: what comes then is the answer."""

    def __init__(self, things: str, total: int, stream: TextIO, clock: Callable[[], float]) -> None:
        self._things, self._total, self._stream, self._clock = things, total, stream, clock
        self._begin = self._last = clock()
        self._done = 0

    def advance(self) -> None:
        self._done += 1
        now = self._clock()
        if now - self._last < LINE_EVERY_S or self._done == self._total:
            return
        self._last = now
        rate = self._done / (now - self._begin)
        left = (self._total - self._done) / rate
        line = f"beedex: {self._done} of {self._total} {self._things}, {rate:.1f} a second, about {left:.0f} s left"
        print(line, file=self._stream, flush=True)

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()


class _Bar:
    """A bar with the count, the rate and the time that is left."""

    def __init__(self, things: str, total: int, stream: TextIO) -> None:
        from rich import progress as columns  # noqa: PLC0415 - only where a bar is drawn
        from rich.console import Console  # noqa: PLC0415 - the same

        self._progress = columns.Progress(
            columns.TextColumn("{task.description}"),
            columns.BarColumn(bar_width=None),
            columns.MofNCompleteColumn(),
            columns.TextColumn("{task.fields[rate]}"),
            columns.TimeRemainingColumn(compact=True),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._progress.add_task(things, total=total, rate="")

    def advance(self) -> None:
        self._progress.advance(self._task)
        speed = self._progress.tasks[0].speed
        self._progress.update(self._task, rate=f"{speed:.1f}/s" if speed else "")

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._progress:
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()
