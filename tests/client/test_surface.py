"""What `beedex.client` shows, what it loads, and that its two faces are one."""

import inspect
import json
import re
import subprocess
import sys

import pytest

import beedex.client
from beedex.client import AsyncClient, Client
from beedex.client._calls.methods import METHODS
from beedex.v1 import embedding_pb2, index_pb2, search_pb2

HEAVY = {"PIL", "faiss", "keras", "numpy", "openvino", "pandas", "pydantic", "rich", "tensorflow", "typer"}

PROTOCOL = {"EmbeddingService": embedding_pb2, "SearchService": search_pb2, "IndexService": index_pb2}


def list_calls(face):
    return {
        name: member for name, member in vars(face).items() if inspect.isfunction(member) and not name.startswith("_")
    }


def test_the_surface_is_sorted_and_all_there():
    assert beedex.client.__all__ == sorted(beedex.client.__all__)
    assert all(hasattr(beedex.client, name) for name in beedex.client.__all__)


def test_names_in_tracebacks_are_the_ones_that_are_imported():
    assert str(beedex.client.PhotoError) == "<class 'beedex.client.PhotoError'>"
    assert beedex.client.Client.__module__ == "beedex.client"


def test_the_version_is_that_of_the_distribution():
    assert beedex.client.__version__.count(".") == 2


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        _ = beedex.client.Klient


def test_importing_the_client_loads_nothing_heavy():
    code = "import json, sys; from beedex.client import Client; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}

    assert loaded & HEAVY == set()


def test_no_other_part_of_beedex_is_loaded_by_the_client():
    code = "import json, sys; from beedex.client import Client; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    parts = {name.split(".")[1] for name in json.loads(done.stdout) if name.startswith("beedex.")}

    assert parts == {"client", "v1"}


def test_the_package_alone_loads_no_grpc_which_the_commands_help_does_without():
    code = "import sys; import beedex.client; print('grpc' in sys.modules, 'Client' in dir(beedex.client))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "True"]


CALLS = sorted(list_calls(Client))


def describe(signature):
    """A signature as text, in which both clients' kinds of iterables and generators are the same."""
    text = str(signature).replace('"', "").replace("'", "")
    text = text.replace("Iterable[PhotoSource] | AsyncIterable[PhotoSource]", "Iterable[PhotoSource]")
    return re.sub(r"AsyncGenerator\[(.*), None\]", r"Generator[\1, None, None]", text)


def test_both_clients_have_the_same_calls():
    assert sorted(list_calls(AsyncClient)) == CALLS


@pytest.mark.parametrize("name", CALLS)
def test_a_call_has_the_same_parameters_and_result_with_both_clients(name):
    call, async_call = getattr(Client, name), getattr(AsyncClient, name)
    ours, theirs = inspect.signature(call), inspect.signature(async_call)

    assert describe(ours) == describe(theirs)
    # What returns a generator is no coroutine: `async for` takes it as it is.
    assert inspect.iscoroutinefunction(async_call) is ("Generator" not in str(ours.return_annotation))
    assert call.__doc__
    assert async_call.__doc__


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_client_knows_the_methods_of_the_protocol_with_their_messages(method):
    service = PROTOCOL[method.service].DESCRIPTOR.services_by_name[method.service]
    described = service.methods_by_name[method.name]

    assert method.request.DESCRIPTOR is described.input_type
    assert method.reply.DESCRIPTOR is described.output_type


def test_the_client_knows_every_method_of_the_protocol():
    known = {(method.service, method.name) for method in METHODS}
    described = {
        (name, method)
        for name, module in PROTOCOL.items()
        for method in module.DESCRIPTOR.services_by_name[name].methods_by_name
    }

    assert known == described


def test_both_clients_are_made_with_the_same_parameters():
    assert inspect.signature(Client) == inspect.signature(AsyncClient)
