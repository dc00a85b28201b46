"""How long work shows itself: a bar on a terminal, a line now and then elsewhere, always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Advance", "ignore_progress", "report_progress"]

# Called with how many more units are done.
Advance = Callable[[int], None]

# A log that isn't a terminal gets at most one line in this time.
SECONDS_BETWEEN_LINES = 10.0


def ignore_progress(done: int, /) -> None:
    """Take no notice: the default of library functions that report progress."""


@contextmanager
def report_progress(label: str, total: int | None) -> Iterator[Advance]:
    """Yield a function to be called with the number of units just done.

    Args:
        label: what is being done, as in ``"embedding"``.
        total: how many units there are, or None while that is not known.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(label, total=total, rate="")
            started = time.monotonic()

            def advance_bar(done: int, /) -> None:
                completed = bar.tasks[0].completed + done
                rate = completed / max(time.monotonic() - started, 1e-9)
                bar.update(task, advance=done, rate=f"{rate:.0f}/s")

            yield advance_bar
        return
    yield _LineReporter(label, total).advance


class _LineReporter:
    def __init__(self, label: str, total: int | None) -> None:
        self._label, self._total = label, total
        self._done = 0
        self._started = self._printed = time.monotonic()

    def advance(self, done: int, /) -> None:
        self._done += done
        now = time.monotonic()
        if now - self._printed < SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        of_total = f" of {self._total}" if self._total is not None else ""
        rate = self._done / (now - self._started)
        sys.stderr.write(f"{self._label}: {self._done}{of_total}, {rate:.1f}/s\n")
        sys.stderr.flush()
