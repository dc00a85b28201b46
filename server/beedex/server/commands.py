"""The server's command: serve."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beedex.index.errors import BeedexError

if TYPE_CHECKING:
    from beedex.server.engine import Engine

__all__ = ["ERRORS", "EXTRA", "NEEDS", "app"]

EXTRA = "server"
NEEDS: tuple[str, ...] = ("PIL", "faiss", "grpc_health", "grpc_reflection", "openvino", "pydantic")
ERRORS: tuple[type[Exception], ...] = (BeedexError,)

app = typer.Typer()


@app.command("serve", epilog="Example: beedex serve --index bees.index --listen 127.0.0.1:50051")
def serve_index(
    index: Annotated[Path, typer.Option(help="What `beedex index build` wrote.", metavar="DIR")],
    listen: Annotated[
        str, typer.Option(help="Where to listen; port 0 takes a free one.", metavar="HOST:PORT")
    ] = "127.0.0.1:50051",
    threads: Annotated[
        int | None, typer.Option(help="CPU threads for inference; all of them by default.", metavar="N", min=1)
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Write HOST:PORT here once requests are answered; removed at the end.", metavar="PATH"),
    ] = None,
) -> None:
    """Answer embed and nearest-family queries over gRPC until SIGTERM or Ctrl-C.

    Accepted requests are finished before it ends.

    There is neither encryption nor a password: listen beyond this machine only in a network you trust.
    """
    from beedex.server.config import LaneConfig, ServerConfig
    from beedex.server.lifecycle import serve_until_signal

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        config = ServerConfig(index_dir=index, listen=listen, lane=LaneConfig(threads=threads))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error

    def announce(address: str, engine: "Engine") -> None:
        manifest = engine.searcher.snapshot.manifest
        print(
            f"beedex: serving on {address} ({manifest.entries} photos of {len(manifest.families)} families, "
            f"snapshot {manifest.version}, embedder {manifest.fingerprint[:12]})",
            flush=True,
        )
        if ready_file is not None:
            _write_address(ready_file, address)

    try:
        asyncio.run(serve_until_signal(config, on_ready=announce))
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
