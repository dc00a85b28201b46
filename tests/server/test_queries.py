"""What a request can get wrong, one reason each."""

import numpy as np
import pytest

from beedex.server.calls.queries import DEFAULT_K, check_expectation, choose_k, unpack_vector
from beedex.server.errors import ExpectationFailedError, InvalidRequestError
from beedex.v1 import types_pb2


class Origin:
    fingerprint = "a" * 64
    snapshot_version = 7


def pack(numbers, dimension=None):
    values = np.asarray(numbers, "<f4")
    return types_pb2.Vector(values=values.tobytes(), dimension=len(values) if dimension is None else dimension)


@pytest.mark.parametrize("length", [1e-30, 1.0, 1e30])
def test_a_vector_of_any_length_comes_out_as_a_unit_vector_of_its_direction(length):
    vector = unpack_vector(pack(np.array([3.0, 4.0]) * length), 2)

    assert vector.dtype == np.float32
    np.testing.assert_allclose(vector, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (pack([1, 2, 3]), "WRONG_DIMENSION"),
        (types_pb2.Vector(), "WRONG_DIMENSION"),
        (pack([1, 2, 3], dimension=2), "WRONG_LENGTH"),
        (types_pb2.Vector(values=b"\x00" * 7, dimension=2), "WRONG_LENGTH"),
        (pack([1, np.nan]), "NOT_FINITE"),
        (pack([-np.inf, 1]), "NOT_FINITE"),
        (pack([0, 0]), "ZERO_VECTOR"),
    ],
)
def test_a_vector_that_means_nothing_is_refused_with_its_reason(message, reason):
    with pytest.raises(InvalidRequestError) as caught:
        unpack_vector(message, 2)

    assert caught.value.reason == reason
    assert caught.value.field == "query.vector"


@pytest.mark.parametrize(("k", "chosen"), [(None, DEFAULT_K), (1, 1), (50, 50)])
def test_k_is_taken_within_its_limits(k, chosen):
    assert choose_k(k, 50) == chosen


def test_the_default_k_never_exceeds_the_limit():
    assert choose_k(None, 3) == 3


@pytest.mark.parametrize("k", [0, -1, 51, -(2**31), 2**31 - 1])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(InvalidRequestError, match=rf"expected 1 to 50, received {k}") as caught:
        choose_k(k, 50)

    assert (caught.value.reason, caught.value.field) == ("K_OUT_OF_RANGE", "k")


@pytest.mark.parametrize(
    "expectation",
    [
        types_pb2.Expectation(),
        types_pb2.Expectation(fingerprint="a" * 64),
        types_pb2.Expectation(snapshot=7),
        types_pb2.Expectation(fingerprint="a" * 64, snapshot=7),
    ],
)
def test_an_expectation_that_is_true_or_empty_passes(expectation):
    check_expectation(expectation, Origin())


@pytest.mark.parametrize(
    ("expectation", "reason", "values"),
    [
        (
            types_pb2.Expectation(fingerprint="b" * 64),
            "FINGERPRINT_MISMATCH",
            {"expected": "b" * 64, "received": "a" * 64},
        ),
        (types_pb2.Expectation(snapshot=6), "SNAPSHOT_MISMATCH", {"expected": 6, "received": 7}),
    ],
)
def test_an_expectation_that_is_false_is_refused_by_name(expectation, reason, values):
    with pytest.raises(ExpectationFailedError) as caught:
        check_expectation(expectation, Origin())

    assert (caught.value.reason, caught.value.values) == (reason, values)
