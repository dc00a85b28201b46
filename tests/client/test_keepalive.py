"""Pings on a connection that has nothing else to do: often enough to find it dead, seldom enough for the server."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # compiled
from tests.client.strangers import Stranger, serve_stranger

from beedex.client import Tls
from beedex.client._connections import channel
from beedex.client._connections.channel import PING_INTERVAL_MS, ChannelConfig
from beedex.server.config import LEAST_PING_INTERVAL_MS, ServerConfig

# Not min_recv_ping_interval, as the name of the constant in C would suggest: gRPC passes over what it does not know.
LEAST_INTERVAL_KEY = "grpc.http2.min_ping_interval_without_data_ms"

# Client and server as they are, but quicker. gRPC sends no more than one ping a second, whatever it is told.
HASTE = 30
IDLE_S = 7.0


def hold_idle_stream(client_options, server_options):
    """Hold a stream on which nothing is sent for a while; return what it ends in."""
    is_over = threading.Event()

    def answer(_request, _context):
        is_over.wait(IDLE_S)
        yield b"at last"

    with (
        serve_stranger(Stranger({"GetPhoto": answer}), options=server_options) as address,
        grpc.insecure_channel(address, client_options) as channel,
    ):
        get_photo: Any = channel.unary_stream("/beedex.v1.SearchService/GetPhoto")
        call = get_photo(b"", timeout=60)
        with suppress(grpc.RpcError):
            list(call)
        is_over.set()
        return call.code(), str(call.details())


def test_grpc_knows_every_option_that_client_and_server_give_it(tmp_path):
    library = Path(cygrpc.__file__).read_bytes()
    client_options = ChannelConfig(tls=Tls(server_name="bees")).options()
    keys = [key for key, _ in [*client_options, *ServerConfig(index_dir=tmp_path).channel_options()]]

    assert len(keys) >= 12
    assert [key for key in keys if key.encode() not in library] == []


def test_a_lost_server_is_found_within_a_minute_and_the_server_takes_twice_the_pings():
    assert 2 * LEAST_PING_INTERVAL_MS <= PING_INTERVAL_MS <= 60_000


@pytest.mark.slow
def test_the_clients_pings_on_an_idle_stream_are_not_too_many_for_a_beedex_server(monkeypatch, tmp_path):
    monkeypatch.setattr(channel, "PING_INTERVAL_MS", PING_INTERVAL_MS // HASTE)
    # By default gRPC sends two pings without data and then one a minute, which would hide what is wrong.
    client_options = [*ChannelConfig(attempts=1).options(), ("grpc.http2.max_pings_without_data", 0)]
    server_options = dict(ServerConfig(index_dir=tmp_path).channel_options())
    server_options[LEAST_INTERVAL_KEY] //= HASTE
    with ThreadPoolExecutor(2) as pool:
        as_it_is = pool.submit(hold_idle_stream, client_options, list(server_options.items()))
        # A server with gRPC's own least interval, of five minutes.
        shown_that_pings_come = pool.submit(hold_idle_stream, client_options, [])

    assert as_it_is.result() == (grpc.StatusCode.OK, "")
    code, details = shown_that_pings_come.result()
    assert code is grpc.StatusCode.UNAVAILABLE
    assert "too_many_pings" in details.lower().replace(" ", "_")
