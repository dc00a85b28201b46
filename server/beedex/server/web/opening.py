"""Opening the web page where it is asked for; a server that isn't asked starts without the libraries for it."""

from typing import TYPE_CHECKING

from beedex.server.access.callers import Callers
from beedex.server.calls.door import Door
from beedex.server.config import ServerConfig
from beedex.server.engine import EngineSlot
from beedex.server.photofiles import PhotoFiles
from beedex.server.watching.watch import Watch
from beedex.server.web.latency import RecentLatency

if TYPE_CHECKING:
    from beedex.server.web.site import WebSite

__all__ = ["open_site"]


def open_site(
    config: ServerConfig,
    slot: EngineSlot,
    watch: Watch,
    *,
    photos: PhotoFiles,
    door: Door,
    callers: Callers | None,
    latency: RecentLatency,
) -> "WebSite | None":
    """Bind the page's port; nothing is answered yet; None where no page is asked for.

    Args:
        config: what to serve.
        slot: where the engine is found.
        watch: sees every request.
        photos: the photos of entries.
        door: lets requests in.
        callers: knows who may ask; None where everybody may.
        latency: of recent requests.

    Raises:
        ListenError: the address is taken, isn't this machine's, or is others' to reach without protection.
        CredentialsError: the certificates can't be used.
    """
    if config.web.listen is None:
        return None
    from beedex.server.web.site import WebSite  # noqa: PLC0415 - as said above

    return WebSite.make(
        config,
        slot,
        watch,
        listen=config.web.listen,
        photos=photos,
        door=door,
        callers=callers,
        latency=latency,
    )
