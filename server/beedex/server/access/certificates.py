"""The server's TLS: its certificate and key, and whose certificates clients must show.

Before each handshake it is looked whether there is a newer certificate; connections that are open go on with theirs.
"""

import ssl
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import grpc

from beedex.server.access.followed import FollowedFiles, require_closed_to_writers, warn_of_readers
from beedex.server.config import TlsConfig
from beedex.server.errors import CredentialsError

__all__ = ["open_credentials", "open_http_context"]


def open_credentials(tls: TlsConfig) -> grpc.ServerCredentials | None:
    """Return what encrypts a server's port and follows the files; None without TLS.

    Raises:
        CredentialsError: certificate, key or client CA can't be used.
    """
    if tls.certificate is None or tls.key is None:
        return None
    paths = [path for path in (tls.certificate, tls.key, tls.client_ca) if path is not None]
    read = partial(_read, tls.certificate, tls.key, tls.client_ca)
    followed = FollowedFiles("certificates", paths, read)
    # The type stubs don't know that the fetcher may return None for no news.
    fetch: Any = _News(followed)
    return grpc.dynamic_ssl_server_credentials(
        followed.current, fetch, require_client_authentication=tls.client_ca is not None
    )


def open_http_context(tls: TlsConfig) -> ssl.SSLContext | None:
    """Return what encrypts HTTP as `open_credentials` encrypts gRPC; None without TLS; raises as it does."""
    if tls.certificate is None or tls.key is None:
        return None
    certificate, key, client_ca = tls.certificate, tls.key, tls.client_ca

    def read() -> ssl.SSLContext:
        _read(certificate, key, client_ca)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(certificate, key, password=partial(_refuse_password, key))
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    followed = FollowedFiles("certificates", [path for path in (certificate, key, client_ca) if path], read)
    first = followed.current

    def take_current(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = followed.current

    # OpenSSL asks with every handshake, also of clients that name no server.
    first.sni_callback = take_current
    return first


class _News:
    """What gRPC asks: the configuration if it is another than it got the last time, None otherwise."""

    def __init__(self, followed: FollowedFiles[grpc.ServerCertificateConfiguration]) -> None:
        self._followed, self._told = followed, followed.current

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        # Two handshakes at once may both get it, which is no harm.
        current = self._followed.current
        if current is self._told:
            return None
        self._told = current
        return current


def _read(certificate: Path, key: Path, client_ca: Path | None) -> grpc.ServerCertificateConfiguration:
    """Read and check the files; the caller sees to it that they don't change meanwhile.

    gRPC itself tells nobody but its own log of a pair that doesn't match.
    """
    require_closed_to_writers(key, why="who could put their own in its place")
    warn_of_readers(key)
    _check_pair(certificate, key)
    roots = None
    if client_ca is not None:
        require_closed_to_writers(client_ca, why="who could let themselves in")
        roots = client_ca.read_bytes()
        _check_roots(client_ca, roots)
    pair = (key.read_bytes(), certificate.read_bytes())
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)


def _check_pair(certificate: Path, key: Path) -> None:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key, password=partial(_refuse_password, key))
    except ssl.SSLError as error:
        raise CredentialsError(
            f"the certificate {certificate} and the key {key} can't be used together: {_word(error)}; expected the "
            "certificate with its chain and its private key, in PEM"
        ) from error


def _refuse_password(key: Path) -> NoReturn:
    raise CredentialsError(
        f"the key {key} is encrypted, and nobody is there to type its password; decrypt it with `openssl pkey`"
    )


def _check_roots(client_ca: Path, roots: bytes) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=roots.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise CredentialsError(
            f"the client CA {client_ca} can't be used: expected one or more certificates in PEM"
        ) from error


def _word(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is another certificate's"
    return (error.reason or "they can't be read").lower().replace("_", " ")
