"""The indexed photos: families, entries page by page, one entry, and its photo."""

from collections.abc import AsyncIterator, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.responses import JSONResponse, Response

from beedex.index.entries import Entry, parse_entry_id
from beedex.server.calls.queries import LEAST_SIDE_PX, MOST_SIDE_PX, choose_k
from beedex.server.config import LimitsConfig
from beedex.server.engine import EngineSlot
from beedex.server.errors import InvalidRequestError
from beedex.server.photofiles import PhotoFiles, ShownPhoto
from beedex.server.services.origin import take_engine
from beedex.server.web.caching import is_known
from beedex.server.web.directory import Directory, OncePerSearcher
from beedex.server.web.inquiry import Inquiry
from beedex.server.web.rows import describe_entry, describe_neighbors, describe_origin
from beedex.server.web.thumbnails import Thumbnails

__all__ = ["Gallery"]

DEFAULT_LIMIT, MOST_LIMIT = 50, 200

# A year; what an entry id names never changes.
KEPT = "max-age=31536000, immutable"


class Gallery:
    """Answers what is asked about the indexed photos.

    Args:
        slot: holds what answers.
        limits: of a request.
        photos: the photos' files.
        thumbnails: the same, shrunk.
        directory: which entries there are.
        is_private: whether callers must say who they are, so that nobody between may keep photos.
    """

    def __init__(
        self,
        slot: EngineSlot,
        limits: LimitsConfig,
        *,
        photos: PhotoFiles,
        thumbnails: Thumbnails,
        directory: OncePerSearcher[Directory],
        is_private: bool,
    ) -> None:
        self._slot, self._limits = slot, limits
        self._photos, self._thumbnails, self._directory = photos, thumbnails, directory
        self._caching = f"{'private' if is_private else 'public'}, {KEPT}"

    async def list_families(self, inquiry: Inquiry) -> Response:
        """List the families, each with a few photos."""
        engine = take_engine(self._slot, inquiry.expectation)
        directory = await self._directory.get(engine.searcher)
        families = [
            {"name": name, "entries": count, "examples": directory.pick_examples(name)}
            for name, count in engine.searcher.families().items()
        ]
        return JSONResponse({"families": families, **describe_origin(engine, inquiry)})

    async def list_entries(self, inquiry: Inquiry) -> Response:
        """List entries in the order of their ids, which is none that people would see."""
        engine = take_engine(self._slot, inquiry.expectation)
        limit = inquiry.read_number("limit", least=1, most=MOST_LIMIT) or DEFAULT_LIMIT
        after = _read_cursor(inquiry.query.get("cursor", ""))
        directory = await self._directory.get(engine.searcher)
        family = inquiry.query.get("family")
        ids = directory.ids if family is None else directory.ids_by_family.get(family, directory.ids[:0])
        page, has_more = directory.turn_page(ids, after, limit)
        entries = engine.searcher.view.read(page)
        body = {
            "entries": [describe_entry(entry) for entry in entries],
            "next_cursor": entries[-1].entry_id if has_more else None,
            "total": len(ids),
            **describe_origin(engine, inquiry),
        }
        return JSONResponse(body)

    async def show_entry(self, inquiry: Inquiry) -> Response:
        """Tell of an entry and its neighbors."""
        engine = take_engine(self._slot, inquiry.expectation)
        k, entry_id = choose_k(inquiry.read_integer("k"), self._limits.max_k), inquiry.path["entry_id"]
        entry = await engine.fetch_entry(entry_id, field="entry_id")
        vector = await engine.fetch_vector(entry_id, field="entry_id")
        neighbors = await engine.find_neighbors(vector, k, exclude=entry_id)
        body = {
            "entry": describe_entry(entry),
            "neighbors": describe_neighbors(neighbors),
            **describe_origin(engine, inquiry),
        }
        return JSONResponse(body)

    async def show_photo(self, inquiry: Inquiry) -> Response:
        """Send a photo, shrunk if a size is given."""
        engine = take_engine(self._slot, inquiry.expectation)
        side_px = inquiry.read_number("size", least=LEAST_SIDE_PX, most=MOST_SIDE_PX)
        entry = await engine.fetch_entry(inquiry.path["entry_id"], field="entry_id")
        tag = f'"{entry.sha256}-{side_px or "whole"}"'
        headers = {"ETag": tag, "Cache-Control": self._caching, "Vary": "Authorization"}
        if is_known(inquiry.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        if side_px is not None:
            data = await self._thumbnails.get(entry, side_px)
            return Response(data, media_type="image/jpeg", headers=headers)
        return await _WholePhoto.open(self._photos, entry, headers)


def _read_cursor(cursor: str) -> int | None:
    if not cursor:
        return None
    try:
        return parse_entry_id(cursor)
    except ValueError as error:
        raise InvalidRequestError(
            f"the cursor is none of this server's: expected next_cursor of the page before, received {cursor[:40]!r}",
            reason="MALFORMED_CURSOR",
            values={"received": cursor},
            field="cursor",
        ) from error


class _WholePhoto(Response):
    """Sends a photo's file in pieces; it is opened, and known to be the entry's, before anything is sent."""

    def __init__(
        self, showing: AbstractAsyncContextManager[ShownPhoto], shown: ShownPhoto, headers: dict[str, str]
    ) -> None:
        super().__init__(media_type=shown.media_type, headers={**headers, "Content-Length": str(shown.size_bytes)})
        self._showing, self._chunks = showing, shown.chunks

    @classmethod
    async def open(cls, photos: PhotoFiles, entry: Entry, headers: dict[str, str]) -> "_WholePhoto":
        """Find the file; raises as `PhotoFiles.show`."""
        showing = photos.show(entry, max_side_px=None)
        return cls(showing, await showing.__aenter__(), headers)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        """Send it; the file is closed in any case."""
        del receive
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                await _send_each(self._chunks, send)
            await send({"type": "http.response.body", "body": b""})
        finally:
            await self._showing.__aexit__(None, None, None)


async def _send_each(chunks: AsyncIterator[bytes], send: Any) -> None:  # noqa: ANN401 - ASGI's
    async for chunk in chunks:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
