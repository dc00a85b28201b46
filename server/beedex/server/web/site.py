"""The web page of one server, put together: who answers what, and where."""

import asyncio
import logging
from dataclasses import dataclass

from starlette.responses import JSONResponse, Response

from beedex.server.access.callers import Callers
from beedex.server.calls.door import Door
from beedex.server.config import ServerConfig
from beedex.server.engine import EngineSlot
from beedex.server.photofiles import PhotoFiles
from beedex.server.upkeep.loading import LoadingThread
from beedex.server.watching.watch import Watch
from beedex.server.web.application import WebApplication
from beedex.server.web.directory import OncePerSearcher, list_entries
from beedex.server.web.gallery import Gallery
from beedex.server.web.hosts import HostCheck
from beedex.server.web.inquiry import Inquiry
from beedex.server.web.latency import RecentLatency
from beedex.server.web.listener import WebListener
from beedex.server.web.map import Map, draw_map
from beedex.server.web.openapi import describe_api
from beedex.server.web.pages import Pages
from beedex.server.web.pool import PhotoPool
from beedex.server.web.queries import Queries
from beedex.server.web.routes import WebRoute, WebRoutes
from beedex.server.web.state import State
from beedex.server.web.suspects import SuspectFinder, Suspects
from beedex.server.web.thumbnails import Thumbnails

__all__ = ["WebSite"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebSite:
    """The page and what it takes.

    Attributes:
        listener: answers.
        pool: prepares photos to be looked at.
        thread: works out what is kept of each state of the index, in well under a second each.
        finder: finds suspects.
        finder_thread: where it does, as that takes seconds.
    """

    listener: WebListener
    pool: PhotoPool
    thread: LoadingThread
    finder: SuspectFinder
    finder_thread: LoadingThread

    @classmethod
    def make(
        cls,
        config: ServerConfig,
        slot: EngineSlot,
        watch: Watch,
        *,
        listen: str,
        photos: PhotoFiles,
        door: Door,
        callers: Callers | None,
        latency: RecentLatency,
    ) -> "WebSite":
        """Bind the port; nothing is answered yet.

        Args:
            config: what to serve.
            slot: where the engine is found.
            watch: sees every request.
            listen: HOST:PORT of `config.web`.
            photos: the photos of entries.
            door: lets requests in.
            callers: knows who may ask; None where everybody may.
            latency: of recent requests.

        Raises:
            ListenError, CredentialsError: as `WebListener`.
        """
        pool, thread = PhotoPool(), LoadingThread()
        finder, finder_thread = SuspectFinder(), LoadingThread()
        thumbnails = Thumbnails(photos, most_bytes=config.web.thumbnail_cache_mb << 20)
        gallery = Gallery(
            slot,
            config.limits,
            photos=photos,
            thumbnails=thumbnails,
            directory=OncePerSearcher(list_entries, thread),
            is_private=callers is not None,
        )
        state = State(
            slot,
            config.limits,
            readiness=watch.readiness,
            latency=latency,
            registry=watch.registry,
            pool=pool,
        )
        routes = _list_routes(
            Queries(slot, config.limits, photos, pool),
            gallery,
            Suspects(slot, OncePerSearcher(finder.find, finder_thread)),
            Map(slot, OncePerSearcher(draw_map, thread)),
            state,
            api=describe_api(config),
        )
        application = WebApplication(
            WebRoutes(routes, Pages().find),
            config.web,
            traffic=watch.traffic,
            door=door,
            callers=callers,
            hosts=HostCheck(listen, config.web.hosts),
        )
        return cls(
            listener=WebListener(config, listen, application),
            pool=pool,
            thread=thread,
            finder=finder,
            finder_thread=finder_thread,
        )

    def open(self) -> str:
        """Answer from now on, and return the page's address."""
        self.listener.open()
        log.info("the web page is at %s", self.listener.url)
        return self.listener.url

    async def close(self, at_most_s: float) -> None:
        """Finish what was accepted, for *at_most_s* at most, and end."""
        await self.listener.close(at_most_s)
        self.finder.stop()
        await asyncio.to_thread(self.finder_thread.close)
        await asyncio.to_thread(self.thread.close)
        await asyncio.to_thread(self.pool.close)


def _list_routes(
    queries: Queries, gallery: Gallery, suspects: Suspects, gallery_map: Map, state: State, *, api: dict[str, object]
) -> list[WebRoute]:
    async def tell_api(inquiry: Inquiry) -> Response:
        del inquiry
        return JSONResponse(api)

    return [
        WebRoute(verb="POST", path="/v1/identify", answer=queries.identify),
        WebRoute(verb="POST", path="/v1/neighbors", answer=queries.find_neighbors),
        WebRoute(verb="POST", path="/v1/embed", answer=queries.embed),
        WebRoute(verb="POST", path="/v1/view", answer=queries.view),
        WebRoute(verb="GET", path="/v1/families", answer=gallery.list_families),
        WebRoute(verb="GET", path="/v1/entries", answer=gallery.list_entries),
        WebRoute(verb="GET", path="/v1/entries/{entry_id}", answer=gallery.show_entry),
        WebRoute(verb="GET", path="/v1/photos/{entry_id}", answer=gallery.show_photo),
        WebRoute(verb="GET", path="/v1/suspects", answer=suspects.list_suspects),
        WebRoute(verb="GET", path="/v1/map", answer=gallery_map.show),
        WebRoute(verb="GET", path="/v1/status", answer=state.tell_status),
        WebRoute(verb="GET", path="/v1/report", answer=state.tell_report),
        WebRoute(verb="GET", path="/v1/report/page", answer=state.show_report),
        WebRoute(verb="GET", path="/openapi.json", answer=tell_api, needed=None),
        WebRoute(verb="GET", path="/healthz", answer=state.tell_alive, needed=None, is_probe=True),
        WebRoute(verb="GET", path="/livez", answer=state.tell_alive, needed=None, is_probe=True),
        WebRoute(verb="GET", path="/readyz", answer=state.tell_ready, needed=None, is_probe=True),
        WebRoute(verb="GET", path="/metrics", answer=state.tell_metrics, is_probe=True),
    ]
