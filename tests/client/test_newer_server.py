"""Servers of a later version, made of wire bytes: what they say beyond what this client knows does no harm."""

import grpc
import pytest
from google.rpc import status_pb2
from tests.client.strangers import Stranger, refuse, serve_stranger

from beedex.client import RequestError, UnsupportedError, Verdict
from beedex.v1 import index_pb2, search_pb2

# The field 2004, a text, which no message of beedex.v1 has.
UNKNOWN_FIELD = b"\xa2\x7d\x03new"
NEWER_VERDICT = b"\x08\x2a"  # field 1, a number: 42

MATCH = search_pb2.IdentifyResponse(verdict=search_pb2.VERDICT_MATCH, family="amber", probability=0.5)


def test_the_bytes_are_what_they_are_said_to_be():
    message = search_pb2.IdentifyResponse.FromString(NEWER_VERDICT + UNKNOWN_FIELD)

    assert message.verdict == 42
    assert message.SerializeToString().endswith(UNKNOWN_FIELD)


def test_fields_that_this_client_does_not_know_are_passed_over(connect):
    status = index_pb2.GetStatusResponse(server_version="2.0.0", limits=index_pb2.Limits(max_k=7))
    nested = search_pb2.ListFamiliesResponse.FromString(b"\x0a\x0d\x0a\x05amber" + UNKNOWN_FIELD)
    answers = {
        "GetStatus": lambda *_: status.SerializeToString() + UNKNOWN_FIELD,
        "Identify": lambda *_: MATCH.SerializeToString() + UNKNOWN_FIELD,
        "ListFamilies": lambda *_: nested.SerializeToString() + UNKNOWN_FIELD,
    }
    with serve_stranger(Stranger(answers)) as address:
        client = connect(address)

        assert (client.status().server_version, client.status().limits.max_k) == ("2.0.0", 7)
        assert (client.identify(b"x").verdict, client.identify(b"x").family) == (Verdict.MATCH, "amber")
        assert [family.name for family in client.families()] == ["amber"]


def test_a_verdict_that_this_client_does_not_know_is_unsupported_and_says_to_update(connect):
    stranger, words = Stranger({"Identify": lambda *_: NEWER_VERDICT}), "received number 42; update beedex"
    with serve_stranger(stranger) as address, pytest.raises(UnsupportedError, match=words) as caught:
        connect(address).identify(b"x")

    assert caught.value.code is None


def answer_items(replies):
    """A stream that answers its items with these outcomes, in order, each behind the item's correlation id."""

    def answer(requests, _context):
        for request, outcome in zip(requests, replies, strict=False):
            item = search_pb2.IdentifyStreamRequest.FromString(request)
            yield search_pb2.IdentifyStreamResponse(correlation_id=item.correlation_id).SerializeToString() + outcome

    return answer


def test_an_item_of_a_stream_that_this_client_does_not_understand_fails_alone(connect):
    match = search_pb2.IdentifyStreamResponse(result=MATCH).SerializeToString()
    odd_verdict = b"\x12\x02" + NEWER_VERDICT
    with serve_stranger(
        Stranger({"IdentifyStream": answer_items([match, odd_verdict, UNKNOWN_FIELD, match])})
    ) as address:
        outcomes = list(connect(address).identify_many([b"1", b"2", b"3", b"4"]))

    assert [outcome.error is None for outcome in outcomes] == [True, False, False, True]
    for outcome in outcomes[1:3]:
        assert isinstance(outcome.error, UnsupportedError), outcome.error


def test_news_of_a_build_that_this_client_does_not_know_are_unsupported(connect):
    answers = {"Rebuild": lambda *_: iter([UNKNOWN_FIELD])}
    with serve_stranger(Stranger(answers)) as address, pytest.raises(UnsupportedError, match="update beedex"):
        list(connect(address).rebuild())


def test_reasons_and_codes_that_this_client_does_not_know_keep_their_words(connect):
    def answer(_request, context):
        refuse(context, grpc.StatusCode.OUT_OF_RANGE, reason="MOON_TOO_BRIGHT")

    with serve_stranger(Stranger({"ListFamilies": answer})) as address, pytest.raises(RequestError) as caught:
        connect(address).families()

    assert (caught.value.reason, str(caught.value)) == ("MOON_TOO_BRIGHT", "not now")


def test_an_item_of_a_code_that_grpc_does_not_have_is_unknown(connect):
    error = search_pb2.IdentifyStreamResponse(error=status_pb2.Status(code=99, message="odd")).SerializeToString()
    with serve_stranger(Stranger({"IdentifyStream": answer_items([error])})) as address:
        (outcome,) = connect(address).identify_many([b"1"])

    assert outcome.error.code is grpc.StatusCode.UNKNOWN
    assert "odd" in str(outcome.error)
