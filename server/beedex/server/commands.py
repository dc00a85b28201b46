"""The server's commands: serve, and token new."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beedex.index.errors import BeedexError
from beedex.server.access.token_commands import token

if TYPE_CHECKING:
    from beedex.server.config import ServerConfig
    from beedex.server.engine import Engine
    from beedex.server.settings.loading import Settings

__all__ = ["ERRORS", "EXTRA", "NEEDS", "app", "serve_app"]

EXTRA = "server"
NEEDS: tuple[str, ...] = (
    *("PIL", "faiss", "grpc_health", "grpc_reflection", "openvino", "prometheus_client", "pydantic"),
    *("python_multipart", "pythonjsonlogger", "starlette", "tomlkit", "uvicorn"),
)
ERRORS: tuple[type[Exception], ...] = (BeedexError,)

EXAMPLE = "Example: beedex serve --config beedex.toml --listen 127.0.0.1:50051 --set lane.capacity=32"

# What `python -m beedex.server` runs.
serve_app = typer.Typer()


@serve_app.command("serve", epilog=EXAMPLE)
def serve_index(
    *,
    config: Annotated[
        Path | None, typer.Option(help="TOML; docs/server-config.md lists its keys.", metavar="FILE")
    ] = None,
    index: Annotated[Path | None, typer.Option(help="What `beedex index build` wrote.", metavar="DIR")] = None,
    gallery: Annotated[
        Path | None, typer.Option(help="Where the index's photos are, to show and rebuild from.", metavar="DIR")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(help="Where to listen, 127.0.0.1:50051 by default; port 0 takes a free one.", metavar="HOST:PORT"),
    ] = None,
    web: Annotated[
        str | None, typer.Option(help="Serve a web page and a JSON API here too.", metavar="HOST:PORT")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads for inference; all of them by default.", metavar="N", min=1)
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="The server's certificate with its chain, PEM.", metavar="FILE")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key, PEM.", metavar="FILE")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="Whose certificates clients must show, PEM.", metavar="FILE")
    ] = None,
    tokens: Annotated[
        Path | None, typer.Option(help="Whose tokens callers must send; see `beedex token new`.", metavar="FILE")
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Listen beyond this machine without both TLS and a check of callers."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other key; may come again and again.", metavar="KEY=VALUE"),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the whole configuration with its sources, and end.")
    ] = False,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Write HOST:PORT here once requests are answered; removed at the end.", metavar="PATH"),
    ] = None,
) -> None:
    """Answer embed and nearest-family queries over gRPC until SIGTERM or Ctrl-C.

    Accepted requests are finished before it ends.

    The configuration comes from a file, from variables such as BEEDEX_SERVER_LANE__CAPACITY, and from flags; later ones
    win.
    """
    flags = {
        "index_dir": index,
        "gallery_dir": gallery,
        "listen": listen,
        "lane.threads": threads,
        "tls.certificate": tls_certificate,
        "tls.key": tls_key,
        "tls.client_ca": tls_client_ca,
        "access.tokens": tokens,
        "access.allow_insecure": insecure,
        "web.listen": web,
    }
    settings = _load(config, flags, assignments or [])
    if print_config:
        from beedex.server.settings.effective import render_effective

        print(render_effective(settings), end="")
        return
    _serve(settings.config, ready_file)


app = typer.Typer()
app.command("serve", epilog=EXAMPLE)(serve_index)
app.add_typer(token, name="token")


class WrongConfiguration(typer.BadParameter):
    """Wrong usage, in its own words."""

    def format_message(self) -> str:
        """Return the words."""
        return self.message


def _load(file: Path | None, flags: Mapping[str, object], assignments: list[str]) -> "Settings[ServerConfig]":
    from beedex.server.config import ServerConfig
    from beedex.server.errors import ConfigError
    from beedex.server.settings.flags import FLAG_BY_KEY
    from beedex.server.settings.loading import load_settings

    try:
        return load_settings(
            ServerConfig,
            file=file,
            environment=os.environ,
            flags={name: (FLAG_BY_KEY[name], value) for name, value in flags.items()},
            assignments=assignments,
        )
    except ConfigError as error:
        raise WrongConfiguration(str(error)) from error


def _serve(config: "ServerConfig", ready_file: Path | None) -> None:
    import asyncio

    from beedex.server.lifecycle import serve_until_signal
    from beedex.server.supervisor import tell_supervisor
    from beedex.server.watching.logs import configure_logs

    configure_logs(config.watch)

    def announce_port(address: str) -> None:
        if config.wait_for_index:
            # As started as it will be for now: whoever waits for the index shall not be taken for one that hangs.
            tell_supervisor("READY=1", f"STATUS=loading or waiting for the index, on {address}")

    def announce_http(address: str) -> None:
        print(f"beedex: /livez, /readyz and /metrics on http://{address}", flush=True)

    def announce_web(url: str) -> None:
        print(f"beedex: the web page is {url}/", flush=True)

    def announce(address: str, engine: "Engine") -> None:
        manifest = engine.searcher.snapshot.manifest
        print(
            f"beedex: serving on {address} ({manifest.entries} photos of {len(manifest.families)} families, "
            f"snapshot {manifest.version}, embedder {manifest.fingerprint[:12]})",
            flush=True,
        )
        if ready_file is not None:
            _write_address(ready_file, address)
        tell_supervisor("READY=1", f"STATUS=serving on {address}")

    try:
        asyncio.run(
            serve_until_signal(
                config, on_bound=announce_port, on_ready=announce, on_http=announce_http, on_web=announce_web
            )
        )
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def _write_address(path: Path, address: str) -> None:
    from beedex.index.durable import replace_file

    try:
        replace_file(path, f"{address}\n".encode())
    except OSError as error:
        raise BeedexError(
            f"the ready file {path} can't be written: {error.strerror or error}; name one in a directory that exists"
        ) from error
