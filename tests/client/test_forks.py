"""Clients and processes: forks, which gRPC doesn't survive, and spawns, which it does."""

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap

import grpc
import pytest

from beedex.client import AsyncClient, BusyError, Client, CredentialsError, MisplacedClientError, UnavailableError

TIMEOUT_S = 60

# In a process of its own: what gRPC has started here must not be forked. The alarm ends a child that gRPC keeps.
PARENT = textwrap.dedent("""
    import asyncio, os, signal, sys
    from beedex.client import AsyncClient, Client, MisplacedClientError

    address = sys.argv[1]
    client = Client(address)
    assert len(client.families()) == 3
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            exec(sys.argv[2])
        except MisplacedClientError as error:
            print("refused:", error)
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    print("child ended with", status)
    assert len(client.families()) == 3
    client.close()
""")


def run_forked(address, act, *, fork_support=""):
    """Run *act* in the forked child of a process that has used a client; return what is printed."""
    environment = os.environ | {"GRPC_ENABLE_FORK_SUPPORT": fork_support}
    command = [sys.executable, "-W", "error", "-c", PARENT, address, act]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    # A client that is left to the child's end must not warn either.
    assert "ResourceWarning" not in done.stderr
    assert "child ended with 0" in done.stdout
    return done.stdout


def test_the_parents_client_is_refused_in_a_forked_child_and_goes_on_in_the_parent(address):
    printed = run_forked(address, "client.families()")

    assert "refused: the client was opened in process" in printed
    assert "start processes by 'spawn'" in printed


@pytest.mark.parametrize(
    "act",
    [
        "Client(address).families()",
        "asyncio.run(AsyncClient(address).families())",
        "next(Client(address).identify_many([b'x']))",
    ],
)
def test_a_new_client_is_refused_too_in_the_forked_child_of_a_process_that_has_used_one(address, act):
    assert "had used a client before this one" in run_forked(address, act)


def test_a_new_client_works_in_a_forked_child_where_grpc_supports_it(address):
    act = "with Client(address) as own: print('families:', len(own.families()))"

    assert "families: 3" in run_forked(address, act, fork_support="1")


def test_closing_and_forgetting_the_parents_client_in_a_forked_child_is_no_matter(address):
    assert "refused" not in run_forked(address, "client.close(); del client")


def test_who_forks_before_the_first_client_may_use_clients_in_all_processes(address):
    program = textwrap.dedent("""
        import os, signal, sys
        from beedex.client import Client

        child = os.fork()
        signal.alarm(30)
        with Client(sys.argv[1]) as client:
            print(len(client.families()), flush=True)
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """)
    command = [sys.executable, "-W", "error", "-c", program, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)

    assert (done.returncode, done.stdout.split()) == (0, ["3", "3"]), done.stderr


def test_a_spawned_process_opens_its_own_client(address):
    with Client(address) as client:
        client.families()
        # In importlib mode pytest's modules have no name that another process could import.
        program = f"from beedex.client import Client\nwith Client({address!r}) as client: print(len(client.families()))"
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=exec, args=(program,))
        process.start()
        process.join(TIMEOUT_S)

        assert process.exitcode == 0
        assert len(client.families()) == 3


@pytest.mark.parametrize("face", [Client, AsyncClient])
@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_is_neither_pickled_nor_copied(face, duplicate):
    with pytest.raises(MisplacedClientError, match="open a client in each process"):
        duplicate(face("127.0.0.1:1"))


@pytest.mark.parametrize("error", [BusyError, CredentialsError, UnavailableError])
def test_an_error_travels_to_another_process_with_all_that_it_says(error):
    raised = error(
        "full", code=grpc.StatusCode.UNKNOWN, reason="R", retry_after_s=1.5, request_id="a", details={"most": "5"}
    )
    copied = pickle.loads(pickle.dumps(raised))  # noqa: S301 - our own

    assert (type(copied), str(copied), vars(copied)) == (type(raised), str(raised), vars(raised))
