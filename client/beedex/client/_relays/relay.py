"""Many photos on their way through streams: what is where, what is sent again, and in which order outcomes come out.

A relay does no input or output and knows no threads or tasks. Whoever drives it feeds it photos while `has_place`,
opens a stream while `wants_stream`, sends what `next_item` gives, hands it replies and the ends of streams, and takes
outcomes from it until it `is_over`. A photo keeps its place until its outcome is taken, so that no more than
`in_flight` are ever held.

What ends a stream decides what becomes of the photos that it had not answered:

- The server says a reason: it stopped reading (idle, too long, going down, too many streams), and answered all that it
  had read. The photos are sent on another stream.
- The stream broke: nobody knows what was read. The photos are sent again, each at most `attempts` times in all.
- Anything else would end the next stream as well. Each photo has that error, nothing more is read, and the error is
  raised when all outcomes have been taken. So it is when no server has answered after `attempts` streams, or, once one
  has, when streams break for as long as one photo may take.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from beedex.client._connections.failures import translate_status
from beedex.client._errors import BusyError, ClientError, DeadlineError, UnavailableError
from beedex.client._relays.places import Place, Terms
from beedex.client._relays.streaks import USED_UP, Streak, is_passing
from beedex.client._results.outcomes import Outcome

if TYPE_CHECKING:
    from beedex.client._calls.calls import StreamCall
    from beedex.client._photos.photos import PhotoSource

__all__ = ["Relay"]

Item = TypeVar("Item", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Result = TypeVar("Result")


class Relay(Generic[Item, Reply, Result]):
    """The photos of one `identify_many` or `embed_many`.

    Args:
        call: what is asked for each.
        terms: how.
        target: the server's address, for messages.
        clock: seconds that never go back.

    Attributes:
        is_finished: whether all photos were read.
        has_stream: whether one is open, or being opened.
    """

    def __init__(
        self,
        call: "StreamCall[Item, Reply, Result]",
        terms: Terms,
        *,
        target: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._call, self._terms, self._target, self._clock = call, terms, target, clock
        # By correlation id, in the order of the photos.
        self._places: OrderedDict[str, Place[Item, Result]] = OrderedDict()
        self._count = 0
        self._failure: BaseException | None = None
        self._streak = Streak(clock)
        # In the open stream.
        self._sent = 0
        self.is_finished = False
        self.has_stream = False

    @property
    def has_place(self) -> bool:
        """Whether another photo may be read."""
        return not self.is_finished and len(self._places) < self._terms.in_flight

    @property
    def is_answered(self) -> bool:
        """Whether nothing is left to send or to wait for."""
        return self.is_finished and all(place.outcome is not None for place in self._places.values())

    @property
    def is_over(self) -> bool:
        """Whether every outcome was taken; then `raise_failure` has the last word."""
        return self.is_finished and not self._places

    @property
    def wants_stream(self) -> bool:
        """Whether a stream is to be opened now."""
        now = self._clock()
        return not self.has_stream and self._streak.over_at <= now and self._find_ready(now) is not None

    @property
    def should_wait(self) -> bool:
        """Whether a new stream may wait until the server is back; a server that never was there is none to wait for."""
        return self._streak.was_answered

    def add(self, photo: "PhotoSource", content: bytes | ClientError) -> None:
        """Take the next photo, as it travels, or why it can't."""
        if self.is_finished:
            # The relay has ended while the photo was being read.
            if not isinstance(self._failure, ClientError):
                return
            content = self._failure
        correlation_id = str(self._count)
        # This may raise, if what is asked for each photo can't be asked; nothing is held then.
        item = None if isinstance(content, ClientError) else self._call.build(correlation_id, content)
        place: Place[Item, Result] = Place(self._count, photo, item, self._clock() + self._terms.timeout_s)
        self._count += 1
        self._places[correlation_id] = place
        if isinstance(content, ClientError):
            place.settle(error=content)

    def finish(self, failure: BaseException | None = None) -> None:
        """Take note that no photo follows; *failure* is raised when all outcomes have been taken."""
        if not self.is_finished:
            self.is_finished, self._failure = True, failure

    def abort(self, failure: BaseException) -> None:
        """Forget all photos and raise *failure*."""
        self._places.clear()
        self.is_finished, self._failure = True, failure

    def begin_stream(self) -> None:
        """Take note that a stream is being opened."""
        self.has_stream, self._sent = True, 0

    def next_item(self) -> Item | None:
        """Return what is to be sent now in the open stream; None if there is nothing."""
        place = self._find_ready(self._clock())
        if place is None:
            return None
        self._sent += 1
        place.is_under_way, place.number = True, self._sent
        place.sends += 1
        return place.item

    def receive(self, reply: Reply, *, request_id: str) -> None:
        """Take a reply from the open stream, which the server's log calls *request_id*."""
        self._streak.end()
        correlation_id, status = self._call.read(reply)
        place = self._places.get(correlation_id)
        if place is None or place.outcome is not None:
            # Its time was over, or the server made it up.
            return
        # The server numbers the items of a stream in its log.
        request_id = f"{request_id}/{place.number}"
        if status is not None:
            self._refuse(place, translate_status(status, target=self._target, request_id=request_id))
            return
        try:
            place.settle(result=self._call.parse(reply, request_id=request_id))
        except ClientError as error:
            place.settle(error=error)

    def end_stream(self, error: ClientError | None) -> None:
        """Take note that the open stream has ended, with what error."""
        self.has_stream = False
        if error is None:
            error = UnavailableError(
                "the server ended the stream before it had answered every photo", code=grpc.StatusCode.UNAVAILABLE
            )
        unanswered = [place for place in self._places.values() if place.outcome is None]
        for place in unanswered:
            # A server that gives a reason has answered all that it had read.
            place.sends -= 1 if place.is_under_way and error.reason else 0
            place.is_under_way = False
        if not unanswered or error.reason in USED_UP:
            return
        if not is_passing(error):
            self._conclude(error)
            return
        self._streak.extend(error)
        for place in unanswered:
            if place.sends >= self._terms.attempts:
                place.settle(error=error)
        if not self._streak.was_answered and self._streak.count >= self._terms.attempts:
            self._conclude(error)

    def expire(self) -> None:
        """Give up what has taken too long."""
        now, timeout_s = self._clock(), self._terms.timeout_s
        for place in self._places.values():
            if place.outcome is not None:
                continue
            if place.expires_at > now:
                # Those behind it were read later.
                return
            if self._streak.last is not None and self._streak.since <= place.expires_at - timeout_s:
                self._conclude(self._streak.last)
            else:
                place.settle(
                    error=DeadlineError(
                        f"no answer within {timeout_s:g} s; give it more time with timeout_s",
                        code=grpc.StatusCode.DEADLINE_EXCEEDED,
                    )
                )

    def wait_s(self) -> float | None:
        """Return for how long nothing changes by itself, in seconds; None for ever."""
        now = self._clock()
        times = [self._streak.over_at]
        for place in self._places.values():
            if place.outcome is None:
                times += [place.expires_at, place.ready_at]
        return min((at - now for at in times if at > now), default=None)

    def take(self) -> Outcome[Result] | None:
        """Return the next outcome in the order of the photos; None while there is none."""
        place = next(iter(self._places.values()), None)
        if place is None or place.outcome is None:
            return None
        self._places.popitem(last=False)
        return place.outcome

    def raise_failure(self) -> None:
        """Raise what ended it, unless all went well."""
        if self._failure is not None:
            raise self._failure

    def _find_ready(self, now: float) -> Place[Item, Result] | None:
        return next(
            (
                place
                for place in self._places.values()
                if place.item is not None and not place.is_under_way and place.ready_at <= now
            ),
            None,
        )

    def _refuse(self, place: Place[Item, Result], error: ClientError) -> None:
        """Send a photo again that the server had no room for, or give it its error."""
        ready_at = self._clock() + (error.retry_after_s or 0.0)
        is_worth_it = place.sends < self._terms.attempts and ready_at < place.expires_at
        if isinstance(error, BusyError | UnavailableError) and error.retry_after_s is not None and is_worth_it:
            place.is_under_way, place.ready_at = False, ready_at
        else:
            place.settle(error=error)

    def _conclude(self, error: ClientError) -> None:
        for place in self._places.values():
            if place.outcome is None:
                place.settle(error=error)
        self.is_finished, self._failure = True, self._failure or error
