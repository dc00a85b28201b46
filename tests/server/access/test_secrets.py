"""Tokens and keys reach nothing that a server writes or says."""

import signal
import urllib.request
from typing import Any

import grpc
import pytest

from beedex.v1 import embedding_pb2, embedding_pb2_grpc, index_pb2, index_pb2_grpc, search_pb2, search_pb2_grpc

WRONG = "beedex_a-token-of-nobody"
TIMEOUT_S = 30


def list_key_lines(certificates):
    """The base64 lines of the key."""
    lines = (certificates.folder / "key.pem").read_text().splitlines()
    return [line for line in lines if not line.startswith("---")]


def list_calls(channel) -> Any:
    """Methods of both roles, with a request each."""
    return (
        (index_pb2_grpc.IndexServiceStub(channel).GetStatus, index_pb2.GetStatusRequest()),
        (index_pb2_grpc.IndexServiceStub(channel).DeleteEntries, index_pb2.DeleteEntriesRequest(entry_ids=["x"])),
        (embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed, embedding_pb2.EmbedRequest(photo=b"no photo")),
        (search_pb2_grpc.SearchServiceStub(channel).ListFamilies, search_pb2.ListFamiliesRequest()),
    )


def ask_everything(channel, tokens):
    """Succeed and fail in every way that has to do with tokens; return all that the server said."""
    said = []
    for value in (
        *(f"Bearer {token}" for token in (tokens.reader, tokens.admin, WRONG)),
        *(WRONG, f"Basic {tokens.admin}", f"{tokens.admin} Bearer"),
    ):
        metadata = (("authorization", value), ("x-request-id", "some-request"))
        for method, request in list_calls(channel):
            try:
                reply, call = method.with_call(request, metadata=metadata, timeout=TIMEOUT_S)
                said += [str(reply), str(call.initial_metadata()), str(call.trailing_metadata())]
            except grpc.RpcError as error:
                said.append(str(error))
    return said


def fetch(url):
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as reply:  # noqa: S310 - the test's own server
        return reply.read().decode()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_output_of_a_server_shows_a_token_or_a_key(
    server_process, tiny_index, tmp_path, certificates, tokens, monkeypatch, log_format
):
    # The most that gRPC says without being asked to trace what is sent.
    monkeypatch.setenv("GRPC_VERBOSITY", "debug")
    folder, secrets = certificates.folder, [tokens.reader, tokens.admin, WRONG, *list_key_lines(certificates)]
    options = ["--tls-certificate", folder / "cert.pem", "--tls-key", folder / "key.pem", "--tokens", tokens.path]
    options += ["--set", "watch.log_level=debug", "--set", f"watch.log_format={log_format}"]
    options += ["--set", "watch.http_listen=127.0.0.1:0", "--threads", "1"]
    said = []

    with server_process(tiny_index, tmp_path / "ready", *options) as (process, address):
        base = process.stdout.readline().rpartition(" on ")[2].strip()
        with grpc.secure_channel(address, certificates.credentials()) as channel:
            said += ask_everything(channel, tokens)
        # Half a pair, and a token where its hash belongs: both are complained of.
        before = certificates.credentials()
        certificates.write(key=certificates.issue()[1])
        secrets += list_key_lines(certificates)
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(address, before, options) as channel, tokens.path.open("a") as file:
            file.write(f"\ncarl reader {WRONG}\n{tokens.admin}\n")
            file.flush()
            said += ask_everything(channel, tokens)
        said += [fetch(f"{base}/metrics"), fetch(f"{base}/readyz")]
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=TIMEOUT_S)[0]
    output += (tmp_path / "ready.log").read_text()

    # What is looked through is all of it.
    assert "TOKEN_UNKNOWN" in output
    assert "the key is another certificate's" in output
    assert "/beedex.v1.IndexService/DeleteEntries called by ann" in output
    assert 'reason="TOKEN_UNKNOWN"' in "".join(said)
    assert [secret for secret in secrets if secret in output + "".join(said)] == []
