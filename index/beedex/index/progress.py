"""How long work shows itself: a bar on a terminal, a line now and then elsewhere, always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Advance", "ProgressReport", "ignore_progress", "report_progress"]

# Called with how many more units are done.
Advance = Callable[[int], None]

# A log that isn't a terminal gets at most one line in this time.
SECONDS_BETWEEN_LINES = 10.0


class ProgressReport(Protocol):
    """An `Advance` that can say more than how far the work is."""

    def __call__(self, done: int, /) -> None:
        """Count units that were just done."""

    def note(self, text: str, /) -> None:
        """Set what stands beside the count from now on, such as figures of what was just done."""


def ignore_progress(done: int, /) -> None:
    """Take no notice: the default of library functions that report progress."""


@contextmanager
def report_progress(label: str, total: int | None) -> Iterator[ProgressReport]:
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
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            yield _BarReporter(bar, bar.add_task(label, total=total, rate="", note=""))
        return
    yield _LineReporter(label, total)


class _BarReporter:
    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self._started = time.monotonic()

    def __call__(self, done: int, /) -> None:
        completed = self._bar.tasks[0].completed + done
        rate = completed / max(time.monotonic() - self._started, 1e-9)
        self._bar.update(self._task, advance=done, rate=f"{rate:.0f}/s")

    def note(self, text: str, /) -> None:
        self._bar.update(self._task, note=text)


class _LineReporter:
    def __init__(self, label: str, total: int | None) -> None:
        self._label, self._total = label, total
        self._done = 0
        self._note = ""
        self._started = self._printed = time.monotonic()

    def __call__(self, done: int, /) -> None:
        self._done += done
        now = time.monotonic()
        if now - self._printed < SECONDS_BETWEEN_LINES:
            return
        self._printed = now
        of_total = f" of {self._total}" if self._total is not None else ""
        rate = self._done / (now - self._started)
        note = f", {self._note}" if self._note else ""
        sys.stderr.write(f"{self._label}: {self._done}{of_total}, {rate:.1f}/s{note}\n")
        sys.stderr.flush()

    def note(self, text: str, /) -> None:
        self._note = text
