"""Whatever a message holds, the server answers it or says why not: properties of every RPC."""

import shutil
import struct
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.rpc import error_details_pb2, status_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beedex.oip import inference_pb2
from beedex.server.calls.status import CODE_BY_ERROR
from beedex.v1 import embedding_pb2, index_pb2, search_pb2

TIMEOUT_S = 30
DEEPEST = 4
MODULES = (embedding_pb2, search_pb2, index_pb2, inference_pb2)
METHODS = {
    method.full_name: method
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
    # Its builds take longer than an example may.
    if method.name != "Rebuild"
}
CODES = {*CODE_BY_ERROR.values(), grpc.StatusCode.OK}

# Ids and vectors that are nearly right get further than arbitrary bytes do.
TEXTS = st.one_of(st.text(max_size=40), st.from_regex(r"[0-9a-f]{16}", fullmatch=True), st.just("embedder"))
BYTES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.floats(width=32), min_size=32, max_size=32).map(lambda numbers: struct.pack("<32f", *numbers)),
)
INTEGERS = {
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1) | st.integers(-2, 40),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 300),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1) | st.just(32),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1) | st.integers(0, 3),
}
SCALARS = {
    **INTEGERS,
    FieldDescriptor.TYPE_STRING: TEXTS,
    FieldDescriptor.TYPE_BYTES: BYTES,
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.TYPE_DOUBLE: st.floats(),
}


def build(descriptor, depth=0):
    """A strategy for keyword arguments of any message of a type."""
    fields = {}
    for field in descriptor.fields:
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        if is_map or (field.message_type is not None and depth >= DEEPEST):
            continue
        value = SCALARS[field.type] if field.message_type is None else build(field.message_type, depth + 1)
        fields[field.name] = st.lists(value, max_size=3) if field.is_repeated else value
    return st.fixed_dictionaries({}, optional=fields)


@pytest.fixture(scope="module")
def own_channel(server_process, tiny_index, tmp_path_factory):
    """To a server on an index of its own, since requests may change it."""
    home = tmp_path_factory.mktemp("any-request")
    index = shutil.copytree(tiny_index, home / "index")
    with (
        server_process(index, home / "ready", "--threads", "1") as (_, address),
        grpc.insecure_channel(address) as channel,
    ):
        yield channel


@pytest.mark.parametrize("name", METHODS)
def test_any_request_ends_in_a_reply_or_in_one_documented_error(own_channel, name):
    method = METHODS[name]
    path = f"/{method.containing_service.full_name}/{method.name}"
    make = next(getattr(m, method.input_type.name) for m in MODULES if hasattr(m, method.input_type.name))

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(build(method.input_type))
    def check(fields):
        code, reasons = call(own_channel, method, path, make(**fields).SerializeToString())

        assert code in CODES
        assert code is not grpc.StatusCode.INTERNAL
        assert len(reasons) == (0 if code is grpc.StatusCode.OK else 1)

    check()


def call(channel, method, path, request):
    """Return the code and the reasons of the ErrorInfos."""
    try:
        if method.client_streaming:
            list(channel.stream_stream(path)(iter([request, request]), timeout=TIMEOUT_S))
        elif method.server_streaming:
            list(channel.unary_stream(path)(request, timeout=TIMEOUT_S))
        else:
            channel.unary_unary(path)(request, timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        failure: Any = error
        details = dict(failure.trailing_metadata())["grpc-status-details-bin"]
        return failure.code(), list(filter(is_error_info, status_pb2.Status.FromString(details).details))
    return grpc.StatusCode.OK, []


def is_error_info(detail):
    return detail.Unpack(error_details_pb2.ErrorInfo())
