"""Rebuilding the index while it is served: in another process, at lower priority, as long as somebody waits for it."""

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from beedex.index.vectors import DEFAULT_SETTINGS
from beedex.server.calls.streams import refuse_draining
from beedex.server.calls.traffic import TrafficWatch
from beedex.server.config import ServerConfig
from beedex.server.engine import Engine
from beedex.server.errors import BuildRunningError, IndexUnusableError
from beedex.server.upkeep.buildnews import BuildJob, BuildNews, BuildProgress, BuildReport
from beedex.server.upkeep.following import Follower

__all__ = ["Builds"]

log = logging.getLogger(__name__)

# -P: what happens to lie in the working directory is not to be imported.
BUILD_COMMAND = (sys.executable, "-P", "-m", "beedex.server.upkeep.buildprocess")

# The summary names up to 1000 skipped files.
LONGEST_LINE_BYTES = 16 * 1024 * 1024

# SIGTERM ends a build within milliseconds, unless the machine is very busy.
SECONDS_TO_END = 5.0


class Builds:
    """Runs one build of the server's index at a time.

    Args:
        config: names the index and the gallery.
        follower: serves what was built.
        traffic: tells when the server goes down.
    """

    def __init__(self, config: ServerConfig, follower: Follower, traffic: TrafficWatch) -> None:
        self._config, self._follower, self._traffic = config, follower, traffic
        self._is_running = False
        self._ending: set[asyncio.Task[None]] = set()

    async def build(self, engine: Engine) -> AsyncGenerator[BuildProgress | BuildReport, None]:
        """Build with the embedder of *engine*; yield the progress and, once the result is served, the report.

        Closing the generator ends the build. What was embedded until then is kept.

        Raises:
            IndexUnusableError: no gallery is configured, or gallery, embedder or index can't be used.
            BuildRunningError: another build of the index is under way.
            DrainingError: the server is going down.
        """
        job = self._describe_job(engine)
        if self._is_running:
            raise _refuse_second("this server builds the index already; wait for that build or cancel its call")
        self._is_running = True
        try:
            async with aclosing(self._run(job)) as news:
                async for item in news:
                    yield item
        finally:
            self._is_running = False

    async def close(self) -> None:
        """Wait until no build runs any more; all of their calls must have ended."""
        if self._ending:
            await asyncio.wait(self._ending)

    def _describe_job(self, engine: Engine) -> BuildJob:
        if self._config.gallery_dir is None:
            raise IndexUnusableError(
                "the server was not told of a gallery to build the index from; start it with gallery_dir, or run "
                "`beedex index build`",
                reason="REBUILD_NOT_CONFIGURED",
            )
        return BuildJob(
            gallery_dir=self._config.gallery_dir,
            bundle_dir=engine.searcher.bundle.path,
            index_dir=self._config.index_dir,
            search=engine.searcher.snapshot.manifest.search_settings or DEFAULT_SETTINGS,
        )

    async def _run(self, job: BuildJob) -> AsyncGenerator[BuildProgress | BuildReport, None]:
        # In a session of its own, so that Ctrl-C on a terminal ends the server, which then ends the build.
        process = await asyncio.create_subprocess_exec(
            *BUILD_COMMAND,
            job.model_dump_json(),
            stdin=DEVNULL,
            stdout=PIPE,
            limit=LONGEST_LINE_BYTES,
            start_new_session=True,
        )
        try:
            async with aclosing(self._read_news(process)) as lines:
                async for news in lines:
                    if news.progress is not None:
                        yield news.progress
                    elif news.refusal is not None:
                        raise _refuse(message=news.refusal.message, is_busy=news.refusal.is_busy)
                    elif news.report is not None:
                        await self._follower.look()
                        yield news.report
                        return
            code = await process.wait()
            raise RuntimeError(f"the build's process {process.pid} ended with {code} before it was done")
        finally:
            await self._end(process)

    async def _read_news(self, process: Process) -> AsyncGenerator[BuildNews, None]:
        """Yield what a build prints, until it ends or the server goes down."""
        if process.stdout is None:
            raise RuntimeError("the build's process has no pipe")
        draining = asyncio.create_task(self._traffic.draining.wait())
        try:
            while True:
                reading = asyncio.create_task(process.stdout.readline())
                try:
                    await asyncio.wait({reading, draining}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    reading.cancel()
                if draining.done():
                    raise refuse_draining("the build is ended, and what it embedded is kept; ask again")
                line = reading.result()
                if not line:
                    return
                yield BuildNews.model_validate_json(line)
        finally:
            draining.cancel()

    async def _end(self, process: Process) -> None:
        """See that a build's process is gone; a caller who is cancelled meanwhile leaves that to `close`."""
        task = asyncio.create_task(_end_process(process))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        await asyncio.shield(task)


async def _end_process(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.terminate()
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS_TO_END):
                await process.wait()
    if process.returncode is None:
        log.warning("the build's process %d did not end in %g s and is killed", process.pid, SECONDS_TO_END)
        with suppress(ProcessLookupError):
            process.kill()
    await process.wait()


def _refuse(*, message: str, is_busy: bool) -> BuildRunningError | IndexUnusableError:
    return _refuse_second(message) if is_busy else IndexUnusableError(message, reason="BUILD_REFUSED")


def _refuse_second(message: str) -> BuildRunningError:
    return BuildRunningError(message, reason="BUILD_RUNNING")
