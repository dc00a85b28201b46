"""Which server a command asks, and what it shows it: the options that all commands of the client have."""

import functools
import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beedex.client._connections.deadline import MOST_TIMEOUT_S

if TYPE_CHECKING:
    from beedex.client import Client

__all__ = ["DEFAULT_TARGET", "TARGET_VARIABLE", "TOKEN_VARIABLE", "Connection", "connected"]

# Where `beedex serve` listens unless it is told otherwise. Said here as well as in the client's channel, which loads
# gRPC.
DEFAULT_TARGET = "127.0.0.1:50051"
DEFAULT_TIMEOUT_S = 30.0

TARGET_VARIABLE = "BEEDEX_TARGET"
TOKEN_VARIABLE = "BEEDEX_TOKEN"  # noqa: S105 - the variable's name

PANEL = "Connection"


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """What the options of a connection say.

    Attributes:
        target: HOST:PORT of the server.
        token_file: a file that holds the token; None for the variable `BEEDEX_TOKEN`, if that is set.
        tls_ca: the authorities that are trusted, PEM; None for those that gRPC brings.
        tls_certificate: the client's own certificate, PEM.
        tls_key: its key, PEM.
        tls: whether the connection is encrypted; any of the three files says so as well.
        insecure: whether the token may travel unencrypted beyond this machine.
        timeout_s: how long an answer may take, in seconds.
    """

    target: str = DEFAULT_TARGET
    token_file: Path | None = None
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls: bool = False
    insecure: bool = False
    timeout_s: float = DEFAULT_TIMEOUT_S

    @property
    def is_encrypted(self) -> bool:
        """Whether it is TLS."""
        return self.tls or any(file is not None for file in (self.tls_ca, self.tls_certificate, self.tls_key))

    @property
    def token_source(self) -> str:
        """Where the token is from, never the token: `file`, `variable` or `none`."""
        if self.token_file is not None:
            return "file"
        return "variable" if os.environ.get(TOKEN_VARIABLE) else "none"

    def open(self) -> "Client":
        """Return a client of this server.

        Raises:
            ClientError: a certificate or the token can't be read.
            typer.BadParameter: the options contradict each other.
        """
        from beedex.client import Client, Tls  # noqa: PLC0415 - loads gRPC, which `--help` can do without

        tls = Tls(ca=self.tls_ca, certificate=self.tls_certificate, key=self.tls_key) if self.is_encrypted else None
        token = self.token_file or os.environ.get(TOKEN_VARIABLE) or None
        try:
            return Client(
                self.target,
                timeout_s=self.timeout_s,
                tls=tls,
                token=token,
                allow_insecure_token=self.insecure,
            )
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error


def _refuse_secret(secret: str | None) -> None:
    if secret is not None:
        # Without what was received: it would be in one more place.
        raise typer.BadParameter(
            "a token on the command line can be read by everybody on this machine; expected a file that holds it "
            f"(--token-file FILE) or the variable {TOKEN_VARIABLE}"
        )


def _require_positive(seconds: float) -> float:
    if not 0 < seconds <= MOST_TIMEOUT_S:
        raise typer.BadParameter(f"expected seconds above 0 and at most {MOST_TIMEOUT_S:g}, received {seconds:g}")
    return seconds


def _options(  # noqa: PLR0913 - the options are its parameters
    *,
    target: Annotated[
        str, typer.Option(help="The server.", metavar="HOST:PORT", envvar=TARGET_VARIABLE, rich_help_panel=PANEL)
    ] = DEFAULT_TARGET,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help=f"A file that holds the token; else the variable {TOKEN_VARIABLE}, if set.",
            metavar="FILE",
            rich_help_panel=PANEL,
        ),
    ] = None,
    token: Annotated[str | None, typer.Option("--token", hidden=True, callback=_refuse_secret)] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Encrypt, and trust the usual authorities.", rich_help_panel=PANEL)
    ] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(help="Encrypt, and trust these authorities, PEM.", metavar="FILE", rich_help_panel=PANEL),
    ] = None,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(help="The client's certificate with its chain, PEM.", metavar="FILE", rich_help_panel=PANEL),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="The certificate's key, PEM.", metavar="FILE", rich_help_panel=PANEL)
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Send the token beyond this machine without TLS.", rich_help_panel=PANEL),
    ] = False,
    timeout_s: Annotated[
        float,
        typer.Option(
            "--timeout",
            help="How long an answer may take.",
            metavar="SECONDS",
            callback=_require_positive,
            rich_help_panel=PANEL,
        ),
    ] = DEFAULT_TIMEOUT_S,
) -> Connection:
    """Return what the options say; typer reads them from this signature."""
    del token
    if (tls_certificate is None) != (tls_key is None):
        raise typer.BadParameter("--tls-certificate and --tls-key go together, received only one of them")
    return Connection(
        target=target,
        token_file=token_file,
        tls_ca=tls_ca,
        tls_certificate=tls_certificate,
        tls_key=tls_key,
        tls=tls,
        insecure=insecure,
        timeout_s=timeout_s,
    )


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a connection in place of its keyword *connection*."""
    own = [value for value in inspect.signature(command).parameters.values() if value.name != "connection"]
    shared = list(inspect.signature(_options).parameters.values())
    names = {value.name for value in shared}

    @functools.wraps(command)
    def run(**values: Any) -> None:  # noqa: ANN401 - whatever the options are of
        connection = _options(**{name: values.pop(name) for name in names})
        command(**values, connection=connection)

    by_keyword = [value.replace(kind=inspect.Parameter.KEYWORD_ONLY) for value in own]
    run.__signature__ = inspect.Signature([*by_keyword, *shared])  # type: ignore[attr-defined]  # typer looks there
    return run
