"""Where a server may listen without protection."""

import asyncio
import socket

import pytest

from beedex.server.access.exposure import is_reachable_from_elsewhere, require_protection
from beedex.server.config import AccessConfig, ServerConfig
from beedex.server.errors import ListenError
from beedex.server.lifecycle import serve

BEYOND = ["0.0.0.0:0", "[::]:0", "0:0", "192.0.2.7:0", "[2001:db8::1]:0", "[::ffff:192.0.2.7]:0"]


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.8.8:50051", "localhost:0", "[::1]:0"])
def test_loopback_stays_on_this_machine(listen):
    assert not is_reachable_from_elsewhere(listen)


@pytest.mark.parametrize("listen", BEYOND)
def test_every_other_address_is_others_to_reach(listen):
    assert is_reachable_from_elsewhere(listen)


def test_a_name_with_one_address_beyond_is_others_to_reach(monkeypatch):
    def resolve(*_, **__):
        return [(socket.AF_INET, 1, 6, "", (address, 1)) for address in ("127.0.0.1", "192.0.2.7")]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    assert is_reachable_from_elsewhere("two-faced.example:1")


@pytest.mark.parametrize("listen", ["nowhere.invalid:1", "unix:/tmp/socket:1", "ipv4:0.0.0.0:1"])
def test_a_host_without_an_address_is_one_error(listen):
    with pytest.raises(ListenError, match="has no address"):
        is_reachable_from_elsewhere(listen)


@pytest.mark.parametrize(
    ("has_tls", "has_callers", "lacking"),
    [
        (False, False, "without encryption .* and a check of who asks"),
        (True, False, "without a check of who asks"),
        (False, True, "without encryption"),
    ],
)
def test_beyond_this_machine_takes_both_or_the_flag(has_tls, has_callers, lacking):
    with pytest.raises(ListenError, match=f"{lacking}.*--insecure"):
        require_protection("192.0.2.7:1", has_tls=has_tls, has_callers=has_callers, allow_insecure=False)

    require_protection("192.0.2.7:1", has_tls=has_tls, has_callers=has_callers, allow_insecure=True)
    require_protection("192.0.2.7:1", has_tls=True, has_callers=True, allow_insecure=False)
    require_protection("127.0.0.1:1", has_tls=has_tls, has_callers=has_callers, allow_insecure=False)


@pytest.mark.parametrize("listen", BEYOND)
def test_a_server_ends_before_it_binds(listen, tmp_path):
    bound: list[str] = []
    config = ServerConfig(index_dir=tmp_path, listen=listen, access=AccessConfig())

    with pytest.raises(ListenError, match="lets other machines in"):
        asyncio.run(serve(config, stop=asyncio.Event(), on_bound=bound.append))

    assert bound == []
