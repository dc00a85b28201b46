"""What a server can be told, and the limits it keeps where nobody says."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from beedex.index.photos import DEFAULT_LIMITS, PhotoLimits
from beedex.server.access.roles import Role

__all__ = [
    "DEFAULT_LISTEN",
    "AccessConfig",
    "LaneConfig",
    "LimitsConfig",
    "LogFormat",
    "LogLevel",
    "ServerConfig",
    "TlsConfig",
    "WatchConfig",
    "WebConfig",
]

# This machine only.
DEFAULT_LISTEN = "127.0.0.1:50051"

# Only an example: a port that nobody asked for would be in somebody's way.
EXAMPLE_HTTP_LISTEN = "127.0.0.1:8080"

# A message's room beyond the photo in it: a photo slightly too large is then refused by the service, in words, and
# not by gRPC. Clients may send photos up to this size without asking for the limit.
MESSAGE_ROOM_BYTES = 1024 * 1024

# gRPC's own default of 5 minutes answers the usual client pings with GOAWAY too_many_pings.
LEAST_PING_INTERVAL_MS = 10_000

# Decoding a photo takes a fraction of the time of embedding it, so a few threads keep many cores of inference busy. On
# few cores there is one more thread than cores, since one that is decoding may have to wait for a core that infers
# (tests/benchmarks/serving_threads.py; see also beedex.index.inference.WAITING_REQUESTS).
MOST_DECODE_THREADS = 4

MOST_PORT = 65535

Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of the configuration; a name that it doesn't have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LaneConfig(Section):
    """The embedding lane.

    Attributes:
        threads: how many CPU threads inference may use; None for all.
        decode_threads: how many photos are decoded at once.
        capacity: how many photos may be in the lane, those being worked on included. Two cores embed some 26
            InceptionV3 photos a second, so the last of a full lane waits about 2.5 s; with photos of a few MB the lane
            holds some 100 MB. At least 2, so that a look-up can wait beside a stream.
        cache_mb: MiB that embeddings may take which are kept for photos that come again; 0 for none. An embedding of
            128 numbers takes 13 kB with its features, so 32 MiB hold those of 2,500 photos.
    """

    threads: Count | None = None
    decode_threads: Count = Field(default_factory=lambda: min(MOST_DECODE_THREADS, 1 + (os.cpu_count() or 1)))
    capacity: Annotated[int, Field(ge=2)] = 64
    cache_mb: Annotated[int, Field(ge=0)] = 32


class LimitsConfig(Section):
    """What requests may be; told to clients by GetStatus.

    Attributes:
        max_photo_bytes: size of a photo's file.
        max_photo_pixels: width times height.
        max_photo_side_px: the longer side.
        photo_formats: out of JPEG, PNG and WEBP.
        max_k: the most neighbors of one reply: a few hundred kB, far below the 4 MB that gRPC clients accept.
        max_stream_items: the most items of one stream.
        stream_window: how many items of a stream are under way at once.
        max_streams: the most streams that are open at once.
        max_idle_s: how long a stream may send nothing while nothing of it is under way, and how long a reply may wait
            for its caller to take it.
        max_entries: the most entries of one upsert or delete.
        max_metadata_bytes: of a request.
    """

    max_photo_bytes: Count = DEFAULT_LIMITS.max_bytes
    max_photo_pixels: Count = DEFAULT_LIMITS.max_pixels
    max_photo_side_px: Count = DEFAULT_LIMITS.max_side_px
    photo_formats: tuple[str, ...] = DEFAULT_LIMITS.formats
    max_k: Count = 1000
    max_stream_items: Count = 1_000_000
    stream_window: Count = 16
    max_streams: Count = 64
    max_idle_s: Annotated[float, Field(gt=0)] = 60.0
    max_entries: Count = 1000
    max_metadata_bytes: Count = 16 * 1024

    @property
    def photo(self) -> PhotoLimits:
        """The limits of a photo."""
        return PhotoLimits(
            max_bytes=self.max_photo_bytes,
            max_pixels=self.max_photo_pixels,
            max_side_px=self.max_photo_side_px,
            formats=self.photo_formats,
        )

    @property
    def max_message_bytes(self) -> int:
        """The largest message that gRPC lets pass."""
        return self.max_photo_bytes + MESSAGE_ROOM_BYTES


class TlsConfig(Section):
    """Encryption. The files are read again when they change.

    Attributes:
        certificate: the server's, with its chain, in PEM; None for no encryption.
        key: the certificate's private key, in PEM, without a password.
        client_ca: certificates in PEM of which clients must show one that was signed by any; None to ask for none.
    """

    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    @model_validator(mode="after")
    def _check_files(self) -> "TlsConfig":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: expected both or neither, received one")
        if self.client_ca is not None and self.certificate is None:
            raise ValueError("client_ca needs a server with certificate and key; received none")
        return self


class AccessConfig(Section):
    """Who may come in.

    Attributes:
        tokens: a file of `name role sha256` lines, as `beedex token new` prints them; it is read again when it
            changes. None to ask for no token.
        certificate_role: reader or admin; what a client certificate makes of its holder where no tokens are asked for.
        allow_insecure: whether to listen beyond this machine without encryption or without knowing who asks.
    """

    tokens: Path | None = None
    certificate_role: Role = Role.READER
    allow_insecure: bool = False


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important lines of the log that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class WatchConfig(Section):
    """How the server is watched.

    Attributes:
        http_listen: HOST:PORT where HTTP answers /livez, /readyz and /metrics; port 0 takes a free one. None for none.
        allow_insecure: whether http_listen may be an address that other machines can reach: what is told there is
            neither encrypted nor kept from anybody.
        log_format: text for people, json for machines.
        log_level: debug has a line for each request, info one for each that is not answered.
        traces_endpoint: where an OTLP collector listens over gRPC, such as http://127.0.0.1:4317; None for no traces.
            It takes the extra `otel`.
        traces_share: of the requests whose caller doesn't say whether they are traced, from 0 to 1.
    """

    http_listen: str | None = None
    allow_insecure: bool = False
    log_format: LogFormat = LogFormat.TEXT
    log_level: LogLevel = LogLevel.INFO
    traces_endpoint: str | None = None
    traces_share: Annotated[float, Field(ge=0, le=1)] = 1.0

    @field_validator("http_listen")
    @classmethod
    def _check_address(cls, http_listen: str | None) -> str | None:
        return http_listen if http_listen is None else check_address(http_listen, "http_listen", EXAMPLE_HTTP_LISTEN)

    @field_validator("traces_endpoint")
    @classmethod
    def _check_url(cls, traces_endpoint: str | None) -> str | None:
        if traces_endpoint is not None and not traces_endpoint.startswith(("http://", "https://")):
            raise ValueError(
                f"traces_endpoint must be a URL such as http://127.0.0.1:4317, received {traces_endpoint!r}"
            )
        return traces_endpoint


class WebConfig(Section):
    """The web page and its JSON API; protected by [tls] and [access] as gRPC is.

    Attributes:
        listen: HOST:PORT where they are served; port 0 takes a free one. None for none.
        hosts: names by which browsers may call the server, beside the host of listen; on a loopback address every other
            name is refused, so that a page of elsewhere can't have its own name lead here. A proxy's name belongs here.
        default_timeout_s: how long a request may take that doesn't say.
        max_timeout_s: the most that it may say.
        max_header_s: how long a connection may take to send a request's head.
        max_body_s: how long a request's body may take to come.
        max_idle_s: how long a connection may lie idle between requests, or take nothing of an answer.
        max_connections: the most connections whose requests are answered.
        thumbnail_cache_mb: MiB of shrunk photos that are kept; 0 for none.
    """

    listen: str | None = None
    hosts: tuple[str, ...] = ()
    default_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    max_timeout_s: Annotated[float, Field(gt=0)] = 120.0
    max_header_s: Annotated[float, Field(gt=0)] = 10.0
    max_body_s: Annotated[float, Field(gt=0)] = 60.0
    max_idle_s: Annotated[float, Field(gt=0)] = 75.0
    max_connections: Count = 200
    thumbnail_cache_mb: Annotated[int, Field(ge=0)] = 32

    @field_validator("listen")
    @classmethod
    def _check_address(cls, listen: str | None) -> str | None:
        return listen if listen is None else check_address(listen, "listen", EXAMPLE_HTTP_LISTEN)


class ServerConfig(Section):
    """How to serve one index.

    Attributes:
        index_dir: as `beedex index build` wrote it.
        wait_for_index: whether to start without an index that can be served, and serve it as soon as there is one.
        gallery_dir: where the index's photos are, to show and to rebuild from; None to do neither.
        listen: HOST:PORT; port 0 takes a free one.
        grace_s: how long accepted requests may still take once the server is told to stop; systemd and Kubernetes
            kill after 90 s and 30 s.
        lane: the way of photos to the embedder.
        limits: what requests may be.
        tls: encryption.
        access: who may come in.
        watch: how it is watched.
        web: the web page.
    """

    index_dir: Path
    wait_for_index: bool = False
    gallery_dir: Path | None = None
    listen: str = DEFAULT_LISTEN
    grace_s: Annotated[float, Field(ge=0)] = 25.0
    lane: LaneConfig = LaneConfig()
    limits: LimitsConfig = LimitsConfig()
    tls: TlsConfig = TlsConfig()
    access: AccessConfig = AccessConfig()
    watch: WatchConfig = WatchConfig()
    web: WebConfig = WebConfig()

    @field_validator("listen")
    @classmethod
    def _check_address(cls, listen: str) -> str:
        return check_address(listen, "listen", DEFAULT_LISTEN)

    def channel_options(self) -> list[tuple[str, int]]:
        """Return the options of the gRPC server."""
        return [
            ("grpc.max_receive_message_length", self.limits.max_message_bytes),
            ("grpc.max_metadata_size", self.limits.max_metadata_bytes),
            ("grpc.http2.min_ping_interval_without_data_ms", LEAST_PING_INTERVAL_MS),
            ("grpc.keepalive_permit_without_calls", 1),
            # A second server on the same port shall fail, not take half of the connections.
            ("grpc.so_reuseport", 0),
        ]


def check_address(address: str, name: str, example: str) -> str:
    """Return *address* if it is HOST:PORT.

    Raises:
        ValueError: it isn't.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > MOST_PORT:
        raise ValueError(f"{name} must be HOST:PORT, such as {example}, received {name}={address!r}")
    return address
