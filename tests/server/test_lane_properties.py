"""The lane under whatever comes: callers of all kinds, at any time, who may leave; stages that finish or fail."""

import asyncio
import gc
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.server.lane_driver import make_lane, settle

from beedex.index.errors import PhotoError, PhotoReason
from beedex.server.errors import DeadlineTooNearError, LaneFullError, LateError

DECODERS, EMBEDDERS, CAPACITY = 2, 1, 5
PHOTOS = st.integers(0, 6).map(lambda number: bytes([number]))


@dataclass(eq=False)
class Caller:
    photo: bytes
    flow: str | None
    deadline: float | None
    task: "asyncio.Task[Any]"


class LaneMachine(RuleBasedStateMachine):
    """Photos, a few of which are alike, through a lane whose stages the machine finishes."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.complaints: list[object] = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.loop.run_until_complete(self.open())
        self.callers = []
        self.answered = {}

    async def open(self):
        self.lane, self.decoder, self.embedder, self.clock = make_lane(
            decoders=DECODERS, embedders=EMBEDDERS, capacity=CAPACITY, cache_bytes=1600
        )

    def settle(self):
        self.loop.run_until_complete(settle())
        for caller in [caller for caller in self.callers if caller.task.done()]:
            self.callers.remove(caller)
            self.judge(caller)

    def judge(self, caller):
        """An answer is that of the photo; an error is one that this caller may get."""
        if caller.task.cancelled():
            return
        match caller.task.exception():
            case None:
                assert caller.task.result() == b"vector of " + caller.photo
            case PhotoError() as error:
                assert str(error) == f"{caller.photo!r} is damaged"
            case LateError():
                assert caller.deadline is not None
                assert self.clock.now >= caller.deadline
            case LaneFullError() | DeadlineTooNearError() as error:
                assert caller.flow is None
                assert (error.retry_after_s or 0) > 0
            case error:
                raise AssertionError(error)

    @rule(
        photo=PHOTOS,
        flow=st.sampled_from([None, None, "red", "blue"]),
        timeout_s=st.sampled_from([None, None, 0.01, 0.3, 3.0]),
    )
    def arrive(self, photo, flow, timeout_s):
        was_full = self.lane.depth == CAPACITY
        digest = sha256(photo).digest()
        is_known = self.lane.cache.get(digest) is not None or digest in self.lane._under_way
        task = self.loop.create_task(self.lane.embed(photo, timeout_s=timeout_s, flow=flow))
        deadline = None if timeout_s is None else self.clock.now + timeout_s
        self.callers.append(Caller(photo, flow, deadline, task))
        self.settle()
        if was_full and flow is None and not is_known:
            assert isinstance(task.exception(), LaneFullError)

    @precondition(lambda self: self.callers)
    @rule(data=st.data())
    def leave(self, data):
        data.draw(st.sampled_from(self.callers)).task.cancel()
        self.settle()

    @precondition(lambda self: self.decoder.running())
    @rule(data=st.data(), is_damaged=st.booleans())
    def decode(self, data, is_damaged):
        photo, future = data.draw(st.sampled_from([one for one in self.decoder.started if not one[1].done()]))
        if is_damaged:
            future.set_exception(PhotoError(PhotoReason.DAMAGED, f"{photo!r} is damaged"))
        else:
            future.set_result(b"image of " + photo)
        self.settle()

    @precondition(lambda self: self.embedder.running())
    @rule()
    def embed(self):
        image, future = next(one for one in self.embedder.started if not one[1].done())
        future.set_result(b"vector of " + image.removeprefix(b"image of "))
        self.settle()

    @rule(seconds=st.sampled_from([0.01, 0.1, 1.0]))
    def wait(self, seconds):
        self.clock.now += seconds

    @invariant()
    def it_is_bounded(self):
        assert 0 <= self.lane.depth <= CAPACITY
        assert len(self.decoder.running()) <= DECODERS
        assert len(self.embedder.running()) <= EMBEDDERS
        assert self.lane.cache.size_bytes <= 1600

    @invariant()
    def it_says_how_long_it_takes(self):
        assert 0 < self.lane.expected_wait_s < 1e6

    @invariant()
    def nobody_waits_for_nothing(self):
        if self.callers:
            assert self.decoder.running() or self.embedder.running()

    def teardown(self):
        while self.decoder.running() or self.embedder.running():
            for stage, name in ((self.decoder, b"image"), (self.embedder, b"vector")):
                for material, future in stage.started:
                    if not future.done():
                        future.set_result(name + b" of " + material.removeprefix(b"image of "))
            self.settle()
        assert not self.callers
        assert (self.lane.depth, self.lane._line.busy, self.lane._line.waiting_items) == (0, 0, 0)
        assert not self.lane._under_way
        assert (self.lane._decoding._places._value, self.lane._embedding._places._value) == (DECODERS, EMBEDDERS)
        assert not asyncio.all_tasks(self.loop)
        self.loop.close()
        # Of errors that nobody asked for, asyncio complains when they are thrown away.
        gc.collect()
        assert not self.complaints


LaneMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestLane = LaneMachine.TestCase
