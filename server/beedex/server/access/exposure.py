"""Where a server may listen: beyond its own machine only if it is encrypted and knows who asks, or if told so."""

import ipaddress
import socket

from beedex.server.errors import ListenError

__all__ = ["is_reachable_from_elsewhere", "require_protection"]


def require_protection(listen: str, *, has_tls: bool, has_callers: bool, allow_insecure: bool) -> None:
    """Refuse an address that others can reach, where they could read along or come in unknown.

    Args:
        listen: HOST:PORT.
        has_tls: whether what is sent there is encrypted.
        has_callers: whether callers must say who they are, by a token or a certificate.
        allow_insecure: whether somebody took the responsibility.

    Raises:
        ListenError: it is refused, or its host has no address.
    """
    if (has_tls and has_callers) or allow_insecure or not is_reachable_from_elsewhere(listen):
        return
    lacking = " and ".join(
        name
        for name, is_there in (
            ("encryption (tls.certificate and tls.key)", has_tls),
            ("a check of who asks (access.tokens or tls.client_ca)", has_callers),
        )
        if not is_there
    )
    raise ListenError(
        f"listening on {listen} lets other machines in, without {lacking}; configure that, listen on 127.0.0.1, or say "
        "--insecure (access.allow_insecure) if the network is trusted"
    )


def is_reachable_from_elsewhere(listen: str) -> bool:
    """Tell whether HOST:PORT has an address beyond this machine's loopback.

    Raises:
        ListenError: its host has no address.
    """
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(
            f"can't listen on {listen}: the host {host} has no address ({error.strerror or error}); "
            "name an address of this machine, such as 127.0.0.1"
        ) from error
    # A zone, as in fe80::1%eth0, is no part of the address.
    return not all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
