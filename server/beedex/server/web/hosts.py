"""The names that the server may be called by: whoever has their own name lead to this machine is refused."""

import ipaddress
from collections.abc import Iterable

from beedex.server.access.exposure import is_reachable_from_elsewhere
from beedex.server.errors import ForbiddenError

__all__ = ["HostCheck"]


class HostCheck:
    """Compares each request's Host with what is known.

    A browser takes `http://evil.example:8080` for a site of its own even if that name leads to 127.0.0.1, and would let
    its pages read what this machine's owner may read.

    Args:
        listen: HOST:PORT.
        hosts: further names; beyond this machine nothing is refused unless there are some.
    """

    def __init__(self, listen: str, hosts: Iterable[str]) -> None:
        self._known = {host.lower() for host in hosts}
        self._is_strict = bool(self._known) or not is_reachable_from_elsewhere(listen)
        self._known |= {_strip_port(listen), "localhost"}

    def check(self, host: str) -> None:
        """Let a request pass.

        Args:
            host: its header Host; empty if there is none.

        Raises:
            ForbiddenError: the name is none of the server's.
        """
        name = _strip_port(host.lower())
        if not self._is_strict or name in self._known or _is_loopback(name):
            return
        raise ForbiddenError(
            f"the server is not called {name!r}: expected localhost or 127.0.0.1; other names belong into web.hosts",
            reason="HOST_NOT_ALLOWED",
            values={"host": name},
        )


def _strip_port(host: str) -> str:
    """Return NAME of NAME, NAME:PORT, [ADDRESS] or [ADDRESS]:PORT."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
