"""A relay in threads: one reads the photos, one the replies, gRPC's own sends, and the caller takes outcomes.

The photos are read in a thread of their own since they may come slowly, and answers shall not wait for the next of
them. A thread that is held up in somebody's iterator can't be ended: it is left behind, does nothing more when it comes
back, and keeps no program from ending.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from google.protobuf.message import Message

from beedex.client._errors import ClientError

if TYPE_CHECKING:
    from beedex.client._calls.methods import Method
    from beedex.client._connections.connection import Connection, Replies
    from beedex.client._photos.photos import PhotoSource
    from beedex.client._relays.relay import Relay
    from beedex.client._results.outcomes import Outcome

__all__ = ["relay_in_threads"]

Item = TypeVar("Item", bound=Message)
Reply = TypeVar("Reply", bound=Message)
Result = TypeVar("Result")

# How long the end waits for the threads. They need milliseconds unless somebody's iterator or file holds them up.
END_S = 0.5


def relay_in_threads(
    relay: "Relay[Item, Reply, Result]",
    connection: "Connection",
    method: "Method[Item, Reply]",
    photos: "Iterable[PhotoSource]",
    pack: "Callable[[PhotoSource], bytes | ClientError]",
) -> "Generator[Outcome[Result], None, None]":
    """Yield the outcomes of *photos* in their order; nothing begins before the first is asked for.

    Args:
        relay: keeps the photos.
        connection: opens streams.
        method: of the streams.
        photos: are read as the outcomes are taken.
        pack: returns a photo as it travels, or why it can't.
    """
    haul = _Haul(relay, connection, method, iter(photos), pack)

    def take_all() -> "Generator[Outcome[Result], None, None]":
        try:
            haul.start()
            while (outcome := haul.take()) is not None:
                yield outcome
        finally:
            haul.stop()
        relay.raise_failure()

    return take_all()


class _Haul(Generic[Item, Reply, Result]):
    """The threads around one relay, which is touched by whoever holds `_changed` alone."""

    def __init__(
        self,
        relay: "Relay[Item, Reply, Result]",
        connection: "Connection",
        method: "Method[Item, Reply]",
        photos: "Iterator[PhotoSource]",
        pack: "Callable[[PhotoSource], bytes | ClientError]",
    ) -> None:
        self._relay, self._connection, self._method, self._photos, self._pack = relay, connection, method, photos, pack
        self._changed = threading.Condition()
        self._is_stopped = False
        self._replies: Replies[Reply] | None = None
        # Of the streams that were opened; the items of an old one end.
        self._stream = 0
        self._feeder = threading.Thread(target=self._feed, name="beedex-feeder", daemon=True)
        self._carrier = threading.Thread(target=self._carry, name="beedex-carrier", daemon=True)

    def start(self) -> None:
        """Begin to read and to send."""
        self._feeder.start()
        self._carrier.start()

    def take(self) -> "Outcome[Result] | None":
        """Wait for the next outcome and return it; None after the last."""
        with self._changed:
            while True:
                self._relay.expire()
                outcome = self._relay.take()
                if outcome is not None or self._relay.is_over:
                    self._changed.notify_all()
                    return outcome
                self._changed.wait(self._relay.wait_s())

    def stop(self) -> None:
        """End the threads and the stream."""
        with self._changed:
            is_regular = self._relay.is_answered
            self._is_stopped = True
            self._changed.notify_all()
        if not is_regular:
            self._cancel()
        for thread in (self._carrier, self._feeder):
            if thread.ident is not None:
                thread.join(END_S)
        # A server that doesn't end a stream that is at its end.
        self._cancel()

    def _cancel(self) -> None:
        with self._changed:
            replies = self._replies
        if replies is not None:
            replies.cancel()

    def _feed(self) -> None:
        failure: BaseException | None = None
        try:
            while self._wait(lambda: self._relay.has_place, unless=lambda: self._relay.is_finished):
                photo = next(self._photos)
                content = self._pack(photo)
                with self._changed:
                    self._relay.add(photo, content)
                    self._changed.notify_all()
        except StopIteration:
            pass
        # It is the caller's, and raised where he takes the outcomes.
        except BaseException as error:  # noqa: BLE001
            failure = error
        with self._changed:
            self._relay.finish(failure)
            self._changed.notify_all()

    def _carry(self) -> None:
        try:
            while self._wait(lambda: self._relay.wants_stream, unless=lambda: self._relay.is_answered):
                with self._changed:
                    self._relay.begin_stream()
                    self._stream += 1
                error = self._run_stream(self._stream)
                with self._changed:
                    self._stream += 1
                    self._relay.end_stream(error)
                    self._changed.notify_all()
        # Such as that of a client that was closed; the one who takes the outcomes waits for it.
        except BaseException as error:  # noqa: BLE001
            with self._changed:
                self._stream += 1
                self._relay.abort(error)
                self._changed.notify_all()

    def _run_stream(self, stream: int) -> ClientError | None:
        """Carry items and replies until the stream ends; return why it did."""
        try:
            replies = self._connection.open(
                self._method, self._send(stream), None, wait_for_ready=self._relay.should_wait
            )
            with self._changed:
                self._replies = replies
                is_stopped = self._is_stopped
            with replies:
                if is_stopped:
                    return None
                for reply in replies:
                    with self._changed:
                        self._relay.receive(reply, request_id=replies.request_id)
                        self._changed.notify_all()
        except ClientError as error:
            return error
        return None

    def _send(self, stream: int) -> Iterator[Item]:
        """Yield what goes into a stream, until it ends or nothing can follow; gRPC reads it in a thread of its own."""
        while True:
            with self._changed:
                while (item := self._relay.next_item() if self._stream == stream else None) is None:
                    if self._is_stopped or self._stream != stream or self._relay.is_answered:
                        return
                    self._changed.wait(self._relay.wait_s())
            yield item

    def _wait(self, condition: Callable[[], bool], *, unless: Callable[[], bool]) -> bool:
        """Wait until *condition* holds; return False when it never will."""
        with self._changed:
            while not self._is_stopped and not unless():
                if condition():
                    return True
                self._changed.wait(self._relay.wait_s())
        return False
