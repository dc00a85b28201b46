"""What a client shows a server, and whom it trusts: certificates and tokens, from files that may change."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeAlias

import grpc

from beedex.client._errors import CredentialsError

__all__ = ["Tls", "TokenSource", "open_tls", "read_token"]

# The token itself, the path of a file that holds it, or a function that returns it. File and function are asked anew
# for every call.
TokenSource: TypeAlias = str | os.PathLike[str] | Callable[[], str]

# Visible ASCII: what a header may carry.
_TOKEN = re.compile(r"[!-~]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tls:
    """An encrypted connection. The files are read when the client is made.

    Attributes:
        ca: certificates in PEM of the authorities that are trusted; None for those that gRPC brings.
        certificate: the client's own with its chain, in PEM, for servers that want one; None for none.
        key: the certificate's private key, in PEM, without a password.
        server_name: whose certificate the server shows, where that is another name than the target's; None for the
            target's.

    Example:
        >>> Tls(ca="ca.pem")
        Tls(ca='ca.pem', certificate=None, server_name=None)
    """

    ca: str | os.PathLike[str] | None = None
    certificate: str | os.PathLike[str] | None = None
    # Only a path, but one that need not be in a log.
    key: str | os.PathLike[str] | None = field(default=None, repr=False)
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            lacking = "key" if self.key is None else "certificate"
            raise ValueError(f"certificate and key go together: expected both or neither, received no {lacking}")


def open_tls(tls: Tls) -> grpc.ChannelCredentials:
    """Read and check the files.

    gRPC would take anything, and only fail to connect.

    Raises:
        CredentialsError: they can't be used.
    """
    # Needed with TLS only, and a tenth of the whole import otherwise.
    import ssl  # noqa: PLC0415

    roots = certificate = key = None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca is not None:
            roots = Path(tls.ca).read_bytes()
            context.load_verify_locations(cadata=roots.decode("ascii"))
        if tls.certificate is not None and tls.key is not None:
            certificate, key = Path(tls.certificate).read_bytes(), Path(tls.key).read_bytes()
            context.load_cert_chain(tls.certificate, tls.key, password=_refuse_password)
    except ssl.SSLError as error:
        _refuse_files(tls, (error.reason or "they can't be read").lower().replace("_", " "), error)
    except OSError as error:
        raise CredentialsError(
            f"the certificate file {error.filename} can't be read: {error.strerror or error}; name a file in PEM"
        ) from error
    except ValueError as error:
        _refuse_files(tls, "they are no text in PEM", error)
    return grpc.ssl_channel_credentials(roots, key, certificate)


def _refuse_password() -> NoReturn:
    raise CredentialsError(
        "the client's key is encrypted, and nobody is there to type its password; decrypt it with `openssl pkey`"
    )


def _refuse_files(tls: Tls, fault: str, error: Exception) -> NoReturn:
    raise CredentialsError(
        f"the certificates of {tls} can't be used: {fault}; expected certificates in PEM and the private key of the "
        "client's own"
    ) from error


def read_token(source: TokenSource) -> str:
    """Return the token as it is now.

    Raises:
        CredentialsError: there is none, or what is there is no token. The error doesn't quote it.
    """
    if isinstance(source, str):
        token = source
    elif isinstance(source, os.PathLike):
        token = _read_file(Path(source))
    else:
        token = source()
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        raise CredentialsError(
            f"the token is expected to be one word of visible ASCII characters, received {_describe(token)}"
        )
    return token


def _describe(token: object) -> str:
    if not isinstance(token, str):
        return f"a {type(token).__name__}"
    return f"{len(token)} characters of something else" if token else "an empty one"


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CredentialsError(
            f"the token file {path} can't be read: {getattr(error, 'strerror', None) or 'it is no text'}; "
            "name a file that holds the token and nothing else"
        ) from error
