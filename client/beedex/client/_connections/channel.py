"""How a client is connected: address, encryption, token, deadline, retries, keepalive."""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from beedex.client._calls.methods import METHODS
from beedex.client._connections.credentials import Tls, TokenSource
from beedex.client._connections.deadline import Deadline

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

__all__ = ["DEFAULT_ATTEMPTS", "DEFAULT_TARGET", "DEFAULT_TIMEOUT_S", "ChannelConfig", "Deadline", "is_loopback"]

# Where `beedex serve` listens unless it is told otherwise.
DEFAULT_TARGET = "127.0.0.1:50051"

# A 20-megapixel photo takes well under a second on a slow server; a full queue before it some seconds more.
DEFAULT_TIMEOUT_S = 30.0

# The first attempt and three more, 0.1 s, 0.2 s and 0.4 s apart: a server's restart takes longer, its hiccup doesn't.
DEFAULT_ATTEMPTS = 4

# gRPC's own maximum: it silently treats more as five.
MOST_ATTEMPTS = 5

# The same as the server tolerates (beedex.server.config.LEAST_PING_INTERVAL_MS) with a margin. Pings go out only
# while a call is open.
PING_INTERVAL_MS = 30_000

# How soon a lost connection is tried again. gRPC's default of a second outlasts all the attempts above.
FIRST_RECONNECT_MS = 100
LAST_RECONNECT_MS = 5_000

# gRPC repeats no request that is larger than this, and its default of 256 KiB is smaller than most photos. It keeps
# the bytes that it sends anyway, so this costs nothing but that they stay until there is an answer.
REPEATABLE_BYTES = 2**31 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelConfig:
    """How a client is connected.

    Attributes:
        target: HOST:PORT of the server, or another name that gRPC can resolve.
        timeout_s: the deadline of a call that names none, in seconds, above 0. There always is a deadline.
        attempts: how often a call is made while the server is UNAVAILABLE or busy, from 1 (no retry) to 5.
        tls: how it is encrypted; None for not at all.
        token: what the server knows the caller by; None for none.
        allow_insecure_token: whether the token may travel unencrypted beyond this machine.
    """

    target: str = DEFAULT_TARGET
    timeout_s: float = DEFAULT_TIMEOUT_S
    attempts: int = DEFAULT_ATTEMPTS
    tls: Tls | None = None
    # A secret, or the way to one.
    token: TokenSource | None = field(default=None, repr=False)
    allow_insecure_token: bool = False

    def __post_init__(self) -> None:
        Deadline.after(self.timeout_s)
        if not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise ValueError(
                f"attempts must be from 1 (no retry) to {MOST_ATTEMPTS}, received attempts={self.attempts}"
            )
        is_exposed = self.token is not None and self.tls is None and not is_loopback(self.target)
        if is_exposed and not self.allow_insecure_token:
            raise ValueError(
                f"a token for {self.target} would travel where others can read it: expected an encrypted connection or "
                "a target on this machine; pass tls=Tls(), or allow_insecure_token=True if the network is trusted"
            )

    def options(self, *, retry: bool = True) -> list[tuple[str, str | int]]:
        """Return the channel's options for grpc.

        Args:
            retry: False for a channel whose calls are made once.
        """
        attempts = self.attempts if retry else 1
        options: list[tuple[str, str | int]] = [
            ("grpc.enable_retries", int(attempts > 1)),
            ("grpc.service_config", json.dumps(_describe_service(attempts))),
            ("grpc.per_rpc_retry_buffer_size", REPEATABLE_BYTES),
            ("grpc.keepalive_time_ms", PING_INTERVAL_MS),
            ("grpc.initial_reconnect_backoff_ms", FIRST_RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", LAST_RECONNECT_MS),
            # One connection a client: closing the client closes it.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if is_loopback(self.target):
            # An http_proxy in the environment would otherwise be asked for this very machine.
            options.append(("grpc.enable_http_proxy", 0))
        if self.tls is not None and self.tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", self.tls.server_name))
        return options


def _describe_service(attempts: int) -> dict[str, object]:
    if attempts == 1:
        return {}
    repeatable = [
        {"service": f"beedex.v1.{method.service}", "method": method.name} for method in METHODS if method.is_repeatable
    ]
    policy = {
        "maxAttempts": attempts,
        "initialBackoff": "0.1s",
        "maxBackoff": "1s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return {"methodConfig": [{"name": repeatable, "retryPolicy": policy}]}


def is_loopback(target: str) -> bool:
    """Tell whether what is sent to a target of gRPC stays on this machine."""
    scheme, _, rest = target.partition(":")
    if scheme in {"unix", "unix-abstract"}:
        return True
    # dns:///HOST:PORT, ipv4:ADDRESS:PORT and the like; several addresses may follow each other.
    addresses = rest.rpartition("/")[2] if scheme in {"dns", "ipv4", "ipv6"} else target
    return all(_is_loopback_host(address) for address in addresses.split(","))


def _is_loopback_host(address: str) -> bool:
    # An address of IPv6 may stand without a port and without brackets.
    whole, host = _read_ip(address), address.rpartition(":")[0] or address
    found = whole or _read_ip(host.strip("[]"))
    return host == "localhost" or (found is not None and found.is_loopback)


def _read_ip(host: str) -> "IPv4Address | IPv6Address | None":
    import ipaddress  # noqa: PLC0415 - needed when a client is made, not when it is imported

    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
