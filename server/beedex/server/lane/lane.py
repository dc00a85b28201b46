"""The embedding lane: the bounded way of photos through decoding and inference.

A photo waits for its turn and then goes through two stages, decoding on threads and inference in OpenVINO's requests.
Not more photos are past the line than keep both stages busy: the others stay where turns are dealt fairly, and a photo
whose deadline passed, or whose caller went away, costs nothing.

What is admitted is bounded: a single look-up is refused at the door when the lane is full, or when its turn would not
come before its deadline. Items of flows wait instead; whoever reads a stream bounds how many.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from beedex.server.calls.work import Stage, note_cache, note_stage
from beedex.server.errors import DeadlineTooNearError, LaneFullError, LateError
from beedex.server.lane.admission import WorkPace
from beedex.server.lane.cache import EmbeddingCache, digest_photo
from beedex.server.lane.fairness import FairLine, Turn
from beedex.server.lane.stages import BoundedStage, StageRunner

__all__ = ["EmbeddingLane"]

Embedded = TypeVar("Embedded")


@dataclass(kw_only=True, slots=True, eq=False)
class _Journey(Generic[Embedded]):
    """One photo's way through the lane, for one caller or for several who brought the same photo."""

    turn: Turn
    deadline: float
    digest: bytes | None
    arrived_s: float
    expected_s: float
    callers: int = 0
    task: "asyncio.Task[Embedded] | None" = None


class EmbeddingLane(Generic[Embedded]):
    """Takes photos through decoding and inference, at most `capacity` of them at a time; for one event loop.

    Args:
        decoder: the first stage.
        embedder: the second.
        capacity: how many photos may be in the lane, those being worked on included. Of items of flows only those count
            that are worked on. At 1, a flow that never ends leaves no room for others.
        cache: answers photos that were embedded before; None for none.
        clock: seconds that never go back; what deadlines are measured by.

    Attributes:
        capacity: as given.
        cache: as given.
    """

    def __init__(
        self,
        decoder: StageRunner[bytes, NDArray[np.uint8]],
        embedder: StageRunner[NDArray[np.uint8], Embedded],
        *,
        capacity: int,
        cache: EmbeddingCache[Embedded] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capacity = capacity
        self.cache = cache
        self._clock = clock
        # As many as are worked on, so that a decoded photo is at hand whenever a request gets free. One fewer than the
        # lane holds: a look-up can then wait beside flows that take every place.
        self._line = FairLine(max(1, min(decoder.parallelism + embedder.parallelism, capacity - 1)))
        self._decoding = BoundedStage(Stage.DECODE, decoder, clock=clock)
        self._embedding = BoundedStage(Stage.INFERENCE, embedder, clock=clock)
        self._pace = WorkPace()
        self._under_way: dict[bytes, _Journey[Embedded]] = {}

    def follow(self, former: "EmbeddingLane[Embedded]") -> None:
        """Take the place of another lane, before any photo is in this one.

        Photos of both stand in one line from then on. Each lane on its own would give turns to as many as keep the
        processor busy, and photos of the former would take twice as long as any before and after.
        """
        self._line, self._pace = former._line, former._pace  # noqa: SLF001 - it is one of the kind

    @property
    def depth(self) -> int:
        """How many photos are in the lane now."""
        return self._line.busy + self._line.waiting_lookups

    @property
    def expected_wait_s(self) -> float:
        """How long a look-up that comes now would wait for its embedding; an estimate."""
        turns = 0 if self._line.busy < self._line.places else self._line.count_turns_before() + 1
        return self._pace.predict(turns, self._line.places)

    async def embed(self, photo: bytes, *, timeout_s: float | None = None, flow: object | None = None) -> Embedded:
        """Return what the embedder makes of a photo.

        Args:
            photo: the bytes of an image file.
            timeout_s: how long the caller waits; None for as long as it takes.
            flow: what the items of one stream have in common, hashable; None for a single look-up.

        Raises:
            LaneFullError: at once, when the lane is full; not of a flow.
            DeadlineTooNearError: at once, when it would not be done in time; not of a flow.
            LateError: the time was over before the photo's turn came.
            PhotoError: the photo can't be used.
        """
        deadline = self._clock() + (math.inf if timeout_s is None else timeout_s)
        work = partial(self._decode_and_embed, photo)
        if self.cache is None:
            note_cache(is_cached=False)
            return await self._await(self._start(work, deadline, flow))
        digest = await digest_photo(photo)
        embedded, journey = self.cache.get(digest), self._find_journey(digest, flow)
        is_cached = embedded is not None or journey is not None
        note_cache(is_cached=is_cached)
        self.cache.count(is_hit=is_cached)
        if embedded is not None:
            return embedded
        if journey is not None:
            return await self._await_others(journey, deadline)
        journey = self._start(work, deadline, flow, digest)
        self._under_way[digest] = journey
        return await self._await(journey)

    async def embed_image(
        self, image: NDArray[np.uint8], *, timeout_s: float | None = None, flow: object | None = None
    ) -> Embedded:
        """Return what the embedder makes of a photo that is prepared already, (S, S, 3) uint8; otherwise as `embed`."""
        deadline = self._clock() + (math.inf if timeout_s is None else timeout_s)
        return await self._await(self._start(partial(self._embed, image), deadline, flow))

    def _find_journey(self, digest: bytes, flow: object | None) -> "_Journey[Embedded] | None":
        """Return the journey of the same photo that is worth waiting for."""
        journey = self._under_way.get(digest)
        if journey is None or (flow is None and journey.turn.flow is not None and not journey.turn.has_place):
            # A look-up that waits where a stream waits would be served as one of its items. On its own it comes first,
            # and the stream's item finds the embedding in the cache.
            return None
        return journey

    def _start(
        self,
        work: "Callable[[_Journey[Embedded]], Awaitable[Embedded]]",
        deadline: float,
        flow: object | None,
        digest: bytes | None = None,
    ) -> "_Journey[Embedded]":
        now_s, expected_s = self._clock(), self.expected_wait_s
        if flow is None:
            self._check_door(expected_s, deadline - now_s)
        journey = _Journey[Embedded](
            turn=self._line.join(flow), deadline=deadline, digest=digest, arrived_s=now_s, expected_s=expected_s
        )
        journey.task = asyncio.create_task(self._travel(journey, work))
        journey.task.add_done_callback(partial(self._end, journey))
        return journey

    def _check_door(self, expected_s: float, time_left_s: float) -> None:
        if self.depth >= self.capacity:
            raise LaneFullError(
                f"too many photos are waiting: expected fewer than {self.capacity}, found {self.depth}; "
                f"try again in {expected_s:.1f} s",
                reason="LANE_FULL",
                values={"capacity": self.capacity, "depth": self.depth},
                retry_after_s=expected_s,
            )
        # In an empty lane it costs nobody anything to try, and what was expected too pessimistically is learnt anew.
        if self._line.busy and expected_s * self._pace.margin > time_left_s:
            raise DeadlineTooNearError(
                f"the photo's turn would come too late: expected to be done in {expected_s:.2f} s, the deadline is in "
                f"{time_left_s:.2f} s; allow more time, or try again when fewer photos are waiting",
                reason="DEADLINE_TOO_NEAR",
                values={"expected_s": f"{expected_s:.3f}", "time_left_s": f"{time_left_s:.3f}"},
                retry_after_s=expected_s * self._pace.margin - time_left_s,
            )

    async def _await(self, journey: "_Journey[Embedded]") -> Embedded:
        task = cast("asyncio.Task[Embedded]", journey.task)  # it is there for as long as the journey can be found
        journey.callers += 1
        try:
            return await asyncio.shield(task)
        finally:
            journey.callers -= 1
            if journey.callers == 0:
                self._forget(journey)
                task.cancel()

    async def _await_others(self, journey: "_Journey[Embedded]", deadline: float) -> Embedded:
        """Wait for what another caller's photo becomes, which goes on if that caller leaves."""
        journey.deadline = max(journey.deadline, deadline)
        arrived_s = self._clock()
        try:
            return await self._await(journey)
        finally:
            note_stage(Stage.QUEUE, arrived_s, self._clock())

    async def _travel(
        self, journey: "_Journey[Embedded]", work: "Callable[[_Journey[Embedded]], Awaitable[Embedded]]"
    ) -> Embedded:
        try:
            await journey.turn.given
        finally:
            began_s = self._clock()
            note_stage(Stage.QUEUE, journey.arrived_s, began_s)
        if self.cache is not None and journey.digest is not None:
            embedded = self.cache.get(journey.digest)
            if embedded is not None:
                return embedded
        taken = self._line.busy
        embedded = await work(journey)
        is_full = taken == self._line.busy == self._line.places
        self._pace.learn(self._clock() - began_s, beside=(taken + self._line.busy) / 2, all_taken=is_full)
        if self.cache is not None and journey.digest is not None:
            self.cache.put(journey.digest, embedded)
        return embedded

    def _end(self, journey: "_Journey[Embedded]", task: "asyncio.Task[Embedded]") -> None:
        self._forget(journey)
        self._line.leave(journey.turn)
        # Asking for the error has asyncio not complain of it where its callers are gone.
        is_done = not task.cancelled() and task.exception() is None
        took_s = self._clock() - journey.arrived_s
        # An item of a flow isn't expected at any time. Who was called back late, was late.
        if journey.turn.flow is None and (is_done or took_s > self._pace.margin * journey.expected_s):
            self._pace.judge(journey.expected_s, took_s)
        # An error holds the frames that it went through, and one of them the journey: the photo would stay with them
        # until the garbage collector comes by.
        journey.task = None

    def _forget(self, journey: "_Journey[Embedded]") -> None:
        if journey.digest is not None and self._under_way.get(journey.digest) is journey:
            del self._under_way[journey.digest]

    async def _decode_and_embed(self, photo: bytes, journey: "_Journey[Embedded]") -> Embedded:
        image = await self._decoding.run(photo, before=partial(self._drop_if_late, journey))
        return await self._embed(image, journey)

    async def _embed(self, image: NDArray[np.uint8], journey: "_Journey[Embedded]") -> Embedded:
        return await self._embedding.run(image, before=partial(self._drop_if_late, journey))

    def _drop_if_late(self, journey: "_Journey[Embedded]") -> None:
        if self._clock() >= journey.deadline:
            raise LateError(
                "the deadline passed while the photo waited for its turn; allow more time, or send fewer at once",
                reason="DEADLINE_PASSED",
            )
