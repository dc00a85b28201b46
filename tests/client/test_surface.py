"""What `beedex.client` shows, what it loads, and that its two faces are one."""

import inspect
import json
import subprocess
import sys

import pytest

import beedex.client
from beedex.client import AsyncClient, Client

HEAVY = {"PIL", "faiss", "keras", "numpy", "openvino", "pandas", "pydantic", "rich", "tensorflow", "typer"}


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


def test_both_clients_have_the_same_calls_with_the_same_parameters():
    calls, async_calls = list_calls(Client), list_calls(AsyncClient)

    assert calls.keys() == async_calls.keys()
    for name, call in calls.items():
        ours, theirs = inspect.signature(call), inspect.signature(async_calls[name])
        assert str(ours).replace('"', "").replace("'", "") == str(theirs).replace('"', "").replace("'", ""), name
        assert inspect.iscoroutinefunction(async_calls[name]), name


def test_both_clients_are_made_with_the_same_parameters():
    assert inspect.signature(Client) == inspect.signature(AsyncClient)
