"""Turns in the lane: look-ups before flows three times in four, flows in turn with each other, nobody always last."""

import asyncio
from dataclasses import dataclass
from itertools import groupby

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.server.lane_driver import make_lane, run, settle

from beedex.server.lane.fairness import FairLine, Turn

FLOWS = ("red", "green", "blue")


async def deal(line, arrivals, count):
    """Return the first *count* names of those who got the only place, one after the other."""
    served = []

    async def take(name, flow):
        turn = line.join(flow)
        await turn.given
        served.append(name)
        line.leave(turn)

    holder = line.join(None)
    tasks = [asyncio.create_task(take(*arrival)) for arrival in arrivals]
    await settle()
    line.leave(holder)
    await asyncio.gather(*tasks)
    return served[:count]


def test_look_ups_come_before_a_flow_three_times_in_four():
    async def scenario():
        items = [("item", "stream")] * 4
        lookups = [("look-up", None)] * 12
        return await deal(FairLine(1), items + lookups, 16)

    assert run(scenario) == (["look-up"] * 3 + ["item"]) * 4


def test_flows_take_turns_however_many_items_each_has():
    async def scenario():
        arrivals = [("many", 1)] * 5 + [("few", 2)] * 2 + [("one", 3)]
        return await deal(FairLine(1), arrivals, 8)

    assert run(scenario) == ["many", "few", "one", "many", "few", "many", "many", "many"]


def test_who_comes_alone_waits_for_nobody():
    async def scenario():
        only_items = await deal(FairLine(1), [("item", "stream")] * 3, 3)
        only_lookups = await deal(FairLine(1), [("look-up", None)] * 5, 5)
        return only_items, only_lookups

    assert run(scenario) == (["item"] * 3, ["look-up"] * 5)


def test_items_of_a_flow_wait_where_look_ups_are_refused():
    async def scenario():
        lane, decoder, embedder, _ = make_lane(capacity=2)
        flow = object()
        items = [asyncio.create_task(lane.embed(bytes([number]), flow=flow)) for number in range(20)]
        await settle()
        depths = [lane.depth]
        for number in range(20):
            decoder.finish(number, "image")
            await settle()
            embedder.finish(number, number)
            await settle()
            depths.append(lane.depth)
        return await asyncio.gather(*items), max(depths), depths[-1]

    assert run(scenario) == (list(range(20)), 1, 0)


def test_a_look_up_finds_room_beside_flows_that_take_every_place():
    async def scenario():
        lane, decoder, embedder, _ = make_lane(capacity=2)
        items = [asyncio.create_task(lane.embed(b"item", flow=number % 2)) for number in range(10)]
        await settle()
        lookup = asyncio.create_task(lane.embed(b"look-up"))
        await settle()
        decoder.finish(0, "image")
        await settle()
        embedder.finish(0, "vector")
        await settle()
        order = decoder.works()
        for task in (*items, lookup):
            task.cancel()
        return order

    assert run(scenario) == [b"item", b"look-up"]


@dataclass
class Served:
    """Who got a place, and who waited besides."""

    flow: object | None
    others: frozenset[Turn]

    def kept_both_waiting(self):
        waiting = {turn.flow for turn in self.others} | {self.flow}
        return None in waiting and len(waiting) > 1


class LineMachine(RuleBasedStateMachine):
    """A line in which anybody comes, leaves and gives up at any time."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.line = FairLine(2)
        self.waiting = []
        self.holding = []
        self.served = []

    def call(self, function, *arguments):
        async def call():
            return function(*arguments)

        return self.loop.run_until_complete(call())

    def watch(self):
        """Note who got a place; only one can have, as one thing is done at a time."""
        given = [turn for turn in self.waiting if turn.has_place]
        assert len(given) <= 1
        for turn in given:
            # Of one kind, whoever came first.
            assert turn is next(other for other in self.waiting if other.flow == turn.flow)
            self.waiting.remove(turn)
            self.holding.append(turn)
            self.served.append(Served(turn.flow, frozenset(self.waiting)))

    @rule(flow=st.sampled_from((None, *FLOWS)))
    def join(self, flow):
        self.waiting.append(self.call(self.line.join, flow))
        self.watch()

    @precondition(lambda self: self.holding)
    @rule(data=st.data())
    def leave(self, data):
        turn = data.draw(st.sampled_from(self.holding))
        self.holding.remove(turn)
        self.call(self.line.leave, turn)
        self.watch()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data):
        turn = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(turn)
        self.call(self.line.leave, turn)
        self.watch()

    @precondition(lambda self: self.line.busy == self.line.places)
    @rule()
    def count_on_a_turn(self):
        expected, before = self.line.count_turns_before(), len(self.served)
        self.join(None)
        turn = self.waiting[-1]
        while not turn.has_place:
            oldest = self.holding.pop(0)
            self.call(self.line.leave, oldest)
            self.watch()
        assert len(self.served) - 1 - before == expected

    @invariant()
    def nobody_waits_while_a_place_is_free(self):
        assert self.line.busy == len(self.holding) <= self.line.places
        assert not self.waiting or self.line.busy == self.line.places

    @invariant()
    def everybody_is_counted(self):
        lookups = sum(turn.flow is None for turn in self.waiting)
        assert (self.line.waiting_lookups, self.line.waiting_items) == (lookups, len(self.waiting) - lookups)

    @invariant()
    def while_both_wait_three_look_ups_come_and_then_an_item(self):
        for both_wait, run_of_served in groupby(self.served, Served.kept_both_waiting):
            kinds = ["look-up" if one.flow is None else "item" for one in run_of_served]
            for kind, row in groupby(kinds if both_wait else []):
                assert len(list(row)) <= {"look-up": 3, "item": 1}[kind]

    @invariant()
    def no_flow_comes_twice_while_another_waits(self):
        for place, one in enumerate(self.served):
            if one.flow is None:
                continue
            since = []
            for former in reversed(self.served[:place]):
                since.append(former)
                if former.flow == one.flow:
                    waited_on = frozenset.intersection(*(each.others for each in (*since, one)))
                    assert {turn.flow for turn in waited_on} <= {None, *(each.flow for each in since)}
                    break

    def teardown(self):
        for turn in (*self.waiting, *self.holding):
            self.call(self.line.leave, turn)
        self.loop.close()
        assert (self.line.busy, self.line.waiting_lookups, self.line.waiting_items) == (0, 0, 0)


LineMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestLine = LineMachine.TestCase
