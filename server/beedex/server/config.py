"""What a server can be told, and the limits it keeps where nobody says."""

import os
from dataclasses import dataclass
from pathlib import Path

from beedex.index.photos import DEFAULT_LIMITS, PhotoLimits

__all__ = ["DEFAULT_LISTEN", "ServerConfig"]

# This machine only: there is neither encryption nor a password yet.
DEFAULT_LISTEN = "127.0.0.1:50051"

# Photos in the lane at once, those being decoded and embedded included. Two cores embed some 15 InceptionV3 photos
# a second, so the last of a full lane waits about 4 s; with photos of a few MB the lane holds some 100 MB.
DEFAULT_LANE_CAPACITY = 64

# How long accepted requests may take after SIGTERM; systemd and Kubernetes kill after 90 s and 30 s.
DEFAULT_GRACE_S = 25.0

# The most neighbors of one reply: a few hundred kB, far below the 4 MB that gRPC clients accept.
DEFAULT_MAX_K = 1000

# A message's room beyond the photo in it: a photo slightly too large is then refused by the service, in words, and
# not by gRPC. Clients may send photos up to this size without asking for the limit.
MESSAGE_ROOM_BYTES = 1024 * 1024

# gRPC's own default of 5 minutes answers the usual client pings with GOAWAY too_many_pings.
LEAST_PING_INTERVAL_MS = 10_000

# Decoding a photo takes a fraction of the time of embedding it, so a few threads keep many cores of inference busy.
MOST_DECODE_THREADS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerConfig:
    """How to serve one index.

    Attributes:
        index_dir: as `beedex index build` wrote it.
        listen: HOST:PORT; port 0 takes a free one.
        threads: how many CPU threads inference may use; None for all.
        decode_threads: how many photos are decoded at once.
        lane_capacity: how many photos may be in the lane before more are refused.
        grace_s: how long accepted requests may still take once the server is told to stop.
        max_k: the most neighbors of a reply.
        photo_limits: what a photo may be at most.
    """

    index_dir: Path
    listen: str = DEFAULT_LISTEN
    threads: int | None = None
    decode_threads: int = min(MOST_DECODE_THREADS, os.cpu_count() or 1)
    lane_capacity: int = DEFAULT_LANE_CAPACITY
    grace_s: float = DEFAULT_GRACE_S
    max_k: int = DEFAULT_MAX_K
    photo_limits: PhotoLimits = DEFAULT_LIMITS

    def __post_init__(self) -> None:
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"listen must be HOST:PORT, such as {DEFAULT_LISTEN}, received listen={self.listen!r}")
        for name in ("decode_threads", "lane_capacity", "max_k", "threads"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, received {name}={number}")
        if self.grace_s < 0:
            raise ValueError(f"grace_s must be at least 0 seconds, received grace_s={self.grace_s}")

    def channel_options(self) -> list[tuple[str, int]]:
        """Return the options of the gRPC server."""
        return [
            ("grpc.max_receive_message_length", self.photo_limits.max_bytes + MESSAGE_ROOM_BYTES),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", LEAST_PING_INTERVAL_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            # A second server on the same port shall fail, not take half of the connections.
            ("grpc.so_reuseport", 0),
        ]
