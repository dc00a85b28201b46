"""Who is next: single look-ups and flows wait in one line for the same few places.

A flow is what belongs together, such as the items of one stream. While both wait, look-ups get three turns of four, so
that a person doesn't wait behind a batch, and flows the fourth, so that a batch comes to an end under any number of
look-ups. Flows take turns with each other, however many items each has.
"""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass

__all__ = ["LOOKUPS_IN_A_ROW", "FairLine", "Turn"]

# As the comments of the .proto files promise.
LOOKUPS_IN_A_ROW = 3


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One's part in the line.

    Attributes:
        flow: whose item it is; None for a single look-up.
        given: done when there is a place.
    """

    flow: object | None
    given: "asyncio.Future[None]"

    @property
    def has_place(self) -> bool:
        """Whether a place was given."""
        return self.given.done() and not self.given.cancelled()


class FairLine:
    """Deals places out, at once where one is free, in fair turns where none is; for one event loop.

    Args:
        places: how many there are.

    Attributes:
        busy: how many are taken. While one is free, nobody waits.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self.busy = 0
        self._lookups: deque[Turn] = deque()
        # The first is served next, and goes to the end if it has more.
        self._flows: OrderedDict[object, deque[Turn]] = OrderedDict()
        self._lookups_in_a_row = 0

    @property
    def waiting_lookups(self) -> int:
        """How many single look-ups wait."""
        return len(self._lookups)

    @property
    def waiting_items(self) -> int:
        """How many items of flows wait."""
        return sum(map(len, self._flows.values()))

    def count_turns_before(self) -> int:
        """Return how many get a place before a look-up would that came now and found none free."""
        before = len(self._lookups)
        return before + min((self._lookups_in_a_row + before) // LOOKUPS_IN_A_ROW, self.waiting_items)

    def join(self, flow: object | None) -> Turn:
        """Take a place, or else a turn in the line; `leave` must follow, whatever happens."""
        turn = Turn(flow, asyncio.get_running_loop().create_future())
        if flow is None:
            self._lookups.append(turn)
        else:
            self._flows.setdefault(flow, deque()).append(turn)
        self._deal()
        return turn

    def leave(self, turn: Turn) -> None:
        """Give the place back, or the turn."""
        if turn.has_place:
            self.busy -= 1
        else:
            turn.given.cancel()
            self._remove(turn)
        self._deal()

    def _remove(self, turn: Turn) -> None:
        waiting = self._lookups if turn.flow is None else self._flows.get(turn.flow, deque())
        # It is gone already if its turn came after its task was cancelled, and before that got to leave.
        if turn in waiting:
            waiting.remove(turn)
        if turn.flow is not None and not waiting:
            self._flows.pop(turn.flow, None)

    def _deal(self) -> None:
        while self.busy < self.places and (self._lookups or self._flows):
            is_flows_turn = not self._lookups or (bool(self._flows) and self._lookups_in_a_row >= LOOKUPS_IN_A_ROW)
            turn = self._pop_item() if is_flows_turn else self._lookups.popleft()
            if turn.given.cancelled():
                continue
            if is_flows_turn:
                self._lookups_in_a_row = 0
            elif self._flows:
                self._lookups_in_a_row += 1
            self.busy += 1
            turn.given.set_result(None)

    def _pop_item(self) -> Turn:
        flow, items = self._flows.popitem(last=False)
        turn = items.popleft()
        if items:
            self._flows[flow] = items
        return turn
