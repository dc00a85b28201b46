"""What becomes of photos on their way: the rules of the relay, with a clock that is set by hand."""

from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from beedex.client import BusyError, ClosedClientError, DeadlineError, PhotoError, ServerFaultError, UnavailableError
from beedex.client._calls.calls import Calls
from beedex.client._calls.requests import RequestBuilder
from beedex.client._connections.channel import ChannelConfig
from beedex.client._relays.places import Terms
from beedex.client._relays.relay import Relay
from beedex.client._results.thumbnails import Thumbnails
from beedex.v1 import embedding_pb2

TIMEOUT_S = 10.0
ATTEMPTS = 3

BROKEN = UnavailableError("the connection broke", code=grpc.StatusCode.UNAVAILABLE)
DRAINING = UnavailableError("going down", reason="DRAINING", retry_after_s=1.0)
CROWDED = BusyError("too many streams", reason="TOO_MANY_STREAMS", retry_after_s=1.0)
IDLE = DeadlineError("nothing came", reason="STREAM_IDLE")
TOO_LONG = BusyError("go on in another", reason="STREAM_TOO_LONG")
# What grpc.aio says to a writer whose stream was just ended by the server.
FAILED_WRITE = ServerFaultError("Internal error from Core", code=grpc.StatusCode.INTERNAL)
FAULT = ServerFaultError("see the log", code=grpc.StatusCode.INTERNAL, reason="INTERNAL_ERROR")


class Bench:
    """A relay, whose driver is the test."""

    def __init__(self, *, in_flight=4):
        self.now_s = 100.0
        calls = Calls(requests=RequestBuilder(), target="bees:1", thumbnails=Thumbnails(ChannelConfig()))
        terms = Terms(in_flight=in_flight, timeout_s=TIMEOUT_S, attempts=ATTEMPTS)
        self.relay = Relay(calls.embed_many(), terms, target="bees:1", clock=lambda: self.now_s)

    def add(self, *photos):
        for photo in photos:
            self.relay.add(photo, photo.encode())

    def open(self):
        """Open a stream and send all that may be sent; return the photos."""
        assert self.relay.wants_stream
        self.relay.begin_stream()
        return self.send()

    def send(self):
        return [item.request.photo.decode() for item in iter(self.relay.next_item, None)]

    def answer(self, index, status=None):
        reply = embedding_pb2.EmbedStreamResponse(correlation_id=str(index), error=status)
        if status is None:
            reply.result.vector.values = bytes(4)
        self.relay.receive(reply, request_id="r")

    def take(self) -> list[Any]:
        """Take what can be taken: index by index, the photo or the error."""
        self.relay.expire()
        return [outcome.error or outcome.photo for outcome in iter(self.relay.take, None)]


def make_status(code, *, retry_after_s=None):
    status = status_pb2.Status(code=code, message="no")
    if retry_after_s is not None:
        detail = AnyMessage()
        detail.Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=retry_after_s)))
        status.details.append(detail)
    return status


def test_outcomes_come_in_the_order_of_the_photos_whatever_that_of_the_answers():
    bench = Bench()
    bench.add("a", "b", "c")
    bench.open()

    bench.answer(2)
    assert bench.take() == []
    bench.answer(0)
    assert bench.take() == ["a"]
    bench.answer(1)
    assert bench.take() == ["b", "c"]


def test_an_answer_to_nothing_that_was_asked_is_no_ones():
    bench = Bench()
    bench.add("a")
    bench.open()
    bench.answer("7")
    bench.answer("bee")

    assert bench.take() == []


def test_a_photo_keeps_its_place_until_its_outcome_is_taken():
    bench = Bench(in_flight=2)
    bench.add("a", "b")
    bench.open()
    assert not bench.relay.has_place

    bench.answer(1)
    assert not bench.relay.has_place
    bench.answer(0)
    bench.take()
    assert bench.relay.has_place


def test_an_items_request_id_is_that_of_its_stream_with_its_number_in_it():
    bench = Bench()
    bench.add("a", "b")
    bench.open()
    bench.answer(0)
    bench.relay.end_stream(BROKEN)
    bench.now_s += 1
    bench.open()
    bench.answer(1)

    outcomes = list(iter(bench.relay.take, None))
    assert [outcome.unwrap().request_id for outcome in outcomes] == ["r/1", "r/1"]


@pytest.mark.parametrize("error", [BROKEN, DRAINING, CROWDED, FAILED_WRITE, None])
def test_what_a_stream_had_not_answered_is_sent_on_the_next_after_a_while(error):
    bench = Bench()
    bench.add("a", "b", "c")
    bench.open()
    bench.answer(1)
    bench.relay.end_stream(error)

    assert not bench.relay.wants_stream
    wait_s = (error.retry_after_s if error else None) or 0.1
    assert bench.relay.wait_s() == pytest.approx(wait_s)
    bench.now_s += wait_s
    assert bench.open() == ["a", "c"]


@pytest.mark.parametrize("error", [IDLE, TOO_LONG])
def test_a_stream_that_is_used_up_is_followed_by_another_at_once_and_as_often_as_need_be(error):
    bench = Bench()
    bench.add("a", "b")
    for _ in range(5 * ATTEMPTS):
        assert bench.open() == ["a", "b"]
        bench.relay.end_stream(error)

    assert bench.take() == []


def test_no_stream_is_opened_while_there_is_nothing_to_send():
    bench = Bench()
    bench.add("a")
    bench.open()
    bench.answer(0)
    bench.relay.end_stream(IDLE)

    assert not bench.relay.wants_stream
    bench.add("b")
    assert bench.open() == ["b"]


def test_a_photo_with_which_streams_break_is_sent_a_few_times_and_the_others_go_on():
    bench = Bench()
    bench.add("bad", "good")
    for _ in range(ATTEMPTS):
        bench.open()
        if "1" in bench.relay._places and bench.relay._places["1"].outcome is None:
            bench.answer(1)
        bench.relay.end_stream(BROKEN)
        bench.now_s += 1

    assert bench.take() == [BROKEN, "good"]
    bench.add("next")
    assert bench.open() == ["next"]


def test_a_server_that_ends_streams_in_order_read_nothing_that_it_did_not_answer():
    bench = Bench()
    bench.add("a", "b")
    bench.open()
    bench.answer(0)
    for _ in range(5):
        bench.relay.end_stream(DRAINING)
        bench.now_s += 1.6
        assert bench.open() == ["b"]


def test_a_server_that_never_answered_is_given_up_after_the_attempts():
    bench = Bench()
    bench.add("a", "b")
    for number in range(ATTEMPTS):
        assert bench.take() == [], number
        assert not bench.relay.should_wait
        bench.open()
        bench.relay.end_stream(BROKEN)
        bench.now_s += 1

    assert bench.take() == [BROKEN, BROKEN]
    assert bench.relay.is_over
    with pytest.raises(UnavailableError):
        bench.relay.raise_failure()


def test_a_server_that_answered_once_is_waited_for_as_long_as_a_photo_may_take():
    bench = Bench()
    bench.add("a")
    bench.open()
    bench.answer(0)
    bench.take()
    bench.add("b")
    bench.send()
    bench.now_s += 1
    bench.relay.end_stream(BROKEN)
    bench.now_s += 1
    bench.add("c")
    bench.open()
    assert bench.relay.should_wait

    bench.now_s += TIMEOUT_S - 2
    first, *rest = bench.take()
    assert isinstance(first, DeadlineError)
    assert rest == []
    bench.now_s += 2
    assert bench.take() == [BROKEN]
    with pytest.raises(UnavailableError):
        bench.relay.raise_failure()


def test_what_would_end_the_next_stream_too_ends_the_relay_after_all_outcomes():
    bench = Bench()
    bench.add("a", "b")
    bench.open()
    bench.answer(1)
    bench.relay.end_stream(FAULT)

    assert bench.take() == [FAULT, "b"]
    with pytest.raises(ServerFaultError):
        bench.relay.raise_failure()


def test_a_photo_that_was_being_read_when_the_relay_ended_has_its_error_too():
    bench = Bench()
    bench.add("a")
    bench.open()
    bench.relay.end_stream(FAULT)
    bench.add("b")

    assert bench.take() == [FAULT, FAULT]
    assert bench.relay.is_over


def test_nothing_is_left_of_a_relay_that_was_aborted():
    bench = Bench()
    bench.add("a")
    bench.open()
    bench.relay.abort(ClosedClientError())
    bench.add("b")

    assert bench.relay.is_over
    with pytest.raises(ClosedClientError):
        bench.relay.raise_failure()


def test_a_photo_whose_time_is_over_has_an_error_and_its_late_answer_is_no_one_elses():
    bench = Bench()
    bench.add("a")
    bench.now_s += TIMEOUT_S / 2
    bench.add("b")
    bench.open()
    bench.now_s += TIMEOUT_S / 2

    assert [type(outcome) for outcome in bench.take()] == [DeadlineError]
    bench.answer(0)
    bench.answer(1)
    assert bench.take() == ["b"]


def test_an_answer_that_came_in_time_counts_however_late_it_is_taken():
    bench = Bench()
    bench.add("a")
    bench.open()
    bench.answer(0)
    bench.now_s += 100 * TIMEOUT_S

    assert bench.take() == ["a"]


def test_a_photo_for_which_the_server_has_no_room_is_sent_again_when_it_says_and_not_for_ever():
    busy = make_status(code_pb2.RESOURCE_EXHAUSTED, retry_after_s=2)
    bench = Bench()
    bench.add("a")
    bench.open()
    for _ in range(ATTEMPTS - 1):
        bench.answer(0, busy)
        assert bench.send() == []
        assert bench.relay.wait_s() == pytest.approx(2)
        bench.now_s += 2
        assert bench.send() == ["a"]
    bench.answer(0, busy)

    assert [type(outcome) for outcome in bench.take()] == [BusyError]


def test_a_photo_is_not_sent_again_when_its_time_would_be_over_by_then():
    bench = Bench()
    bench.add("a")
    bench.open()
    bench.answer(0, make_status(code_pb2.RESOURCE_EXHAUSTED, retry_after_s=11))

    assert [type(outcome) for outcome in bench.take()] == [BusyError]


def test_a_photo_that_is_refused_or_can_not_be_read_has_its_error_at_once():
    unreadable = PhotoError("there is no photo")
    bench = Bench()
    bench.relay.add("a", unreadable)
    bench.add("b")
    assert bench.open() == ["b"]
    bench.answer(1, make_status(code_pb2.NOT_FOUND))

    outcomes = bench.take()
    assert outcomes[0] is unreadable
    assert outcomes[1].code is grpc.StatusCode.NOT_FOUND
    assert outcomes[1].request_id == "r/1"


def test_what_the_callers_iterable_raises_comes_after_the_outcomes_before_it():
    bench = Bench()
    bench.add("a")
    bench.relay.finish(KeyError("mine"))
    bench.open()
    bench.answer(0)

    assert bench.take() == ["a"]
    assert bench.relay.is_over
    with pytest.raises(KeyError, match="mine"):
        bench.relay.raise_failure()


@pytest.mark.parametrize("in_flight", [0, -1])
def test_at_least_one_photo_is_in_flight(in_flight):
    with pytest.raises(ValueError, match=f"received in_flight={in_flight}"):
        Bench(in_flight=in_flight)
