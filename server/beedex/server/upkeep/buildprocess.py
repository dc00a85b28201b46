"""A build in a process of its own: `python -m beedex.server.upkeep.buildprocess JOB` prints news in lines of JSON.

It may be killed at any instant, as every build may, and ends by itself when nobody reads its news any more.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from beedex.index.errors import BeedexError, IndexBusyError
from beedex.index.progress import Advance
from beedex.index.rebuild import build_index
from beedex.index.snapshots import SNAPSHOTS_KEPT, list_snapshots
from beedex.server.upkeep.buildnews import BuildJob, BuildNews, BuildProgress, BuildRefusal, BuildReport

__all__ = ["main"]

# A process of niceness 10 gets a tenth of the processor's time that one of 0 gets, as long as that one wants it: the
# server's answers hardly wait, and the build isn't starved.
NICENESS = 10

SECONDS_BETWEEN_NEWS = 1.0


def main(argv: Sequence[str]) -> int:
    """Build what the only argument says, a `BuildJob` as JSON; return 0 if that is done and 1 if it is refused."""
    job = BuildJob.model_validate_json(argv[0])
    os.nice(NICENESS)
    teller = _Teller(_take_stdout())
    with teller.repeat():
        try:
            # An index that was built to keep more goes on keeping as many as there are.
            keep = max(SNAPSHOTS_KEPT, len(list_snapshots(job.index_dir)))
            summary = build_index(
                job.gallery_dir, job.bundle_dir, job.index_dir, keep=keep, search=job.search, report=teller.report
            )
        except BeedexError as error:
            news = BuildNews(refusal=BuildRefusal(is_busy=isinstance(error, IndexBusyError), message=str(error)))
        else:
            news = BuildNews(report=BuildReport.of(summary))
    teller.tell(news)
    return 0 if news.refusal is None else 1


def _take_stdout() -> TextIO:
    """Return what was stdout; from now on it is stderr, for libraries that print."""
    stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stdout


class _Teller:
    """Prints news: the progress once a second, and at the beginning of each step."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._step, self._done, self._total = "starting", 0, 0
        self._began_s = time.monotonic()

    def tell(self, news: BuildNews) -> None:
        """Print a line; end the process if nobody is there to read it."""
        try:
            with self._lock:
                self._stream.write(f"{news.model_dump_json(exclude_none=True)}\n")
                self._stream.flush()
        except BrokenPipeError:
            os._exit(1)

    @contextmanager
    def repeat(self) -> Iterator[None]:
        """Tell the progress now and again while the block runs."""
        ended = threading.Event()
        thread = threading.Thread(target=self._repeat_until, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def report(self, step: str, total: int) -> Iterator[Advance]:
        """Begin a step; see `beedex.index.rebuild.Reporter`."""
        self._step, self._done, self._total, self._began_s = step, 0, total, time.monotonic()
        self._tell_progress()

        def advance(done: int, /) -> None:
            self._done += done

        yield advance
        self._tell_progress()

    def _repeat_until(self, ended: threading.Event) -> None:
        while not ended.wait(SECONDS_BETWEEN_NEWS):
            self._tell_progress()

    def _tell_progress(self) -> None:
        done, seconds = self._done, max(time.monotonic() - self._began_s, 1e-9)
        progress = BuildProgress(
            step=self._step,
            done=done,
            total=self._total,
            photos_per_s=done / seconds,
            remaining_s=(self._total - done) * seconds / done if done else None,
        )
        self.tell(BuildNews(progress=progress))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
