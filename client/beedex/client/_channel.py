"""How a client is connected: address, deadline, retries, keepalive."""

import json
import time
from dataclasses import dataclass
from typing import Self

__all__ = ["DEFAULT_ATTEMPTS", "DEFAULT_TARGET", "DEFAULT_TIMEOUT_S", "ChannelConfig", "Deadline"]

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

_LOOPBACK_HOSTS = ("127.", "localhost", "[::1]", "unix:")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelConfig:
    """How a client is connected.

    Attributes:
        target: HOST:PORT of the server.
        timeout_s: the deadline of a call that names none, in seconds, above 0. There always is a deadline.
        attempts: how often a call is tried while the server is UNAVAILABLE, from 1 (no retry) to 5.
    """

    target: str = DEFAULT_TARGET
    timeout_s: float = DEFAULT_TIMEOUT_S
    attempts: int = DEFAULT_ATTEMPTS

    def __post_init__(self) -> None:
        Deadline.after(self.timeout_s)
        if not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise ValueError(
                f"attempts must be from 1 (no retry) to {MOST_ATTEMPTS}, received attempts={self.attempts}"
            )

    def options(self) -> list[tuple[str, str | int]]:
        """Return the channel's options for grpc."""
        options: list[tuple[str, str | int]] = [
            ("grpc.enable_retries", int(self.attempts > 1)),
            ("grpc.service_config", json.dumps(self._service_config())),
            ("grpc.keepalive_time_ms", PING_INTERVAL_MS),
            ("grpc.initial_reconnect_backoff_ms", FIRST_RECONNECT_MS),
            ("grpc.max_reconnect_backoff_ms", LAST_RECONNECT_MS),
            # One connection a client: closing the client closes it.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self.target.startswith(_LOOPBACK_HOSTS):
            # An http_proxy in the environment would otherwise be asked for this very machine.
            options.append(("grpc.enable_http_proxy", 0))
        return options

    def _service_config(self) -> dict[str, object]:
        if self.attempts == 1:
            return {}
        policy = {
            "maxAttempts": self.attempts,
            "initialBackoff": "0.1s",
            "maxBackoff": "1s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        return {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a call, with all that it takes, has to be over.

    Attributes:
        timeout_s: how long it had from the beginning.
        at_s: the end, on the monotonic clock.
    """

    timeout_s: float
    at_s: float

    @classmethod
    def after(cls, timeout_s: float) -> Self:
        """Return the deadline *timeout_s* seconds from now; ValueError unless that is above 0."""
        if not timeout_s > 0:
            raise ValueError(f"timeout_s must be above 0 seconds, received timeout_s={timeout_s}")
        return cls(timeout_s, time.monotonic() + timeout_s)

    def remaining_s(self) -> float:
        """Return the seconds that are left, at least 0."""
        return max(0.0, self.at_s - time.monotonic())
