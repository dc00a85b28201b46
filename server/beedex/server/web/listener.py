"""Where the web page is listened for: one more port of the server, on its event loop."""

import asyncio

import uvicorn

from beedex.server.access.certificates import open_http_context
from beedex.server.access.exposure import require_protection
from beedex.server.config import ServerConfig
from beedex.server.watching.endpoint import EmbeddedServer, bind_http
from beedex.server.web.application import WebApplication
from beedex.server.web.connection import bound_connections

__all__ = ["WebListener"]


class WebListener:
    """Answers HTTP from `open` to the end of `close`.

    Args:
        config: says where, and how it is protected.
        listen: HOST:PORT of `config.web`.
        application: answers.

    Attributes:
        url: where the page is, with the port that it got.

    Raises:
        ListenError: the address is taken, isn't this machine's, or is others' to reach without protection.
        CredentialsError: the certificates can't be used.
    """

    def __init__(self, config: ServerConfig, listen: str, application: WebApplication) -> None:
        context = open_http_context(config.tls)
        require_protection(
            listen,
            has_tls=context is not None,
            has_callers=config.access.tokens is not None or config.tls.client_ca is not None,
            allow_insecure=config.access.allow_insecure,
        )
        self._socket = bind_http(listen, "web.listen")
        host = listen.rpartition(":")[0]
        self.url = f"{'http' if context is None else 'https'}://{host}:{self._socket.getsockname()[1]}"
        self._settings = uvicorn.Config(
            application,
            # The process's own log has what is to be said.
            log_config=None,
            access_log=False,
            lifespan="off",
            http=bound_connections(
                max_header_s=config.web.max_header_s,
                max_idle_s=config.web.max_idle_s,
                max_connections=config.web.max_connections,
            ),
            ws="none",
            server_header=False,
            # Whoever connects may write any address into X-Forwarded-For.
            proxy_headers=False,
            timeout_keep_alive=max(1, round(config.web.max_idle_s)),
            h11_max_incomplete_event_size=config.limits.max_metadata_bytes,
        )
        self._settings.load()
        # uvicorn would read the certificate itself, once.
        self._settings.ssl = context
        self._server = EmbeddedServer(self._settings)
        self._serving: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Answer from now on, in the running event loop."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def close(self, at_most_s: float) -> None:
        """Finish what was accepted, for *at_most_s* at most, and end."""
        # uvicorn takes any number of seconds; its type says whole ones.
        self._settings.timeout_graceful_shutdown = at_most_s  # type: ignore[assignment]
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        self._socket.close()
