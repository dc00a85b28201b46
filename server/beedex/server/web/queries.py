"""Photos, entries and vectors asked about: identify, neighbors, embed, and the photo as the embedder sees it."""

from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image
from starlette.responses import JSONResponse, Response

from beedex.index.embedded import EmbeddedPhoto
from beedex.index.entries import parse_entry_id
from beedex.index.errors import PhotoError
from beedex.index.map import PLACING_NEIGHBORS
from beedex.index.preprocessing import prepare
from beedex.index.searcher import Identification
from beedex.server.calls.queries import choose_families, choose_k
from beedex.server.config import LimitsConfig
from beedex.server.engine import Engine, EngineSlot
from beedex.server.errors import InvalidRequestError
from beedex.server.photofiles import PhotoFiles
from beedex.server.services.origin import take_engine
from beedex.server.web.inquiry import Inquiry
from beedex.server.web.pool import PhotoPool
from beedex.server.web.rows import describe_neighbors, describe_origin
from beedex.server.web.sources import EntrySource, PhotoSource, Source, VectorSource, read_source

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Queries"]

PHOTO = "photo"


class Queries:
    """Answers what is asked about a photo, an entry or a vector.

    Args:
        slot: holds what answers.
        limits: of a request.
        photos: the photos of entries.
        pool: where photos are prepared to be looked at.
    """

    def __init__(self, slot: EngineSlot, limits: LimitsConfig, photos: PhotoFiles, pool: PhotoPool) -> None:
        self._slot, self._limits, self._photos, self._pool = slot, limits, photos, pool

    async def identify(self, inquiry: Inquiry) -> Response:
        """Decide the family of a query."""
        engine, k = self._take_engine(inquiry), self._choose_k(inquiry)
        query, own_entry = await _resolve(engine, await self._read(inquiry), inquiry)
        answer = await engine.identify(query, max(k, PLACING_NEIGHBORS), exclude=own_entry)
        if own_entry is None:
            near = [(neighbor.entry.id64, neighbor.similarity) for neighbor in answer.neighbors]
        else:
            near = [(parse_entry_id(own_entry), 1.0)]
        place = await engine.place(query.vector if isinstance(query, EmbeddedPhoto) else query, near=near)
        body = {**_describe_answer(answer, k), "map": None if place is None else {"x": place[0], "y": place[1]}}
        return JSONResponse({**body, **describe_origin(engine, inquiry)})

    async def find_neighbors(self, inquiry: Inquiry) -> Response:
        """Find the entries most like a query."""
        engine, k = self._take_engine(inquiry), self._choose_k(inquiry)
        families = choose_families(inquiry.query.getlist("families"))
        query, own_entry = await _resolve(engine, await self._read(inquiry), inquiry)
        vector = query.vector if isinstance(query, EmbeddedPhoto) else query
        neighbors = await engine.find_neighbors(vector, k, exclude=own_entry, families=families)
        return JSONResponse({"neighbors": describe_neighbors(neighbors), **describe_origin(engine, inquiry)})

    async def embed(self, inquiry: Inquiry) -> Response:
        """Return a photo's vector, or that of an entry."""
        engine = self._take_engine(inquiry)
        source = await self._read(inquiry)
        if isinstance(source, VectorSource):
            raise _refuse_vector("embed")
        query, _ = await _resolve(engine, source, inquiry)
        vector = query.vector if isinstance(query, EmbeddedPhoto) else query
        body = {"vector": vector.tolist(), "dimension": len(vector), **describe_origin(engine, inquiry)}
        return JSONResponse(body)

    async def view(self, inquiry: Inquiry) -> Response:
        """Return a photo as the embedder sees it, as a PNG."""
        engine = self._take_engine(inquiry)
        match await self._read(inquiry):
            case PhotoSource(photo):
                data = photo
            case EntrySource(entry_id):
                entry = await engine.fetch_entry(entry_id, field="entry_id")
                async with self._photos.show(entry, max_side_px=None) as shown:
                    data = b"".join([chunk async for chunk in shown.chunks])
            case VectorSource():
                raise _refuse_vector("look at")
        prepare_photo = partial(prepare, limits=self._limits.photo, side_px=engine.embedder.side_px)
        try:
            return Response(await self._pool.run(partial(_draw, data, prepare_photo)), media_type="image/png")
        except PhotoError as error:
            raise InvalidRequestError(str(error), reason=error.reason, field=PHOTO) from error

    def _take_engine(self, inquiry: Inquiry) -> Engine:
        return take_engine(self._slot, inquiry.expectation)

    def _choose_k(self, inquiry: Inquiry) -> int:
        return choose_k(inquiry.read_integer("k"), self._limits.max_k)

    async def _read(self, inquiry: Inquiry) -> Source:
        content_type = inquiry.headers.get("content-type", "")
        return await read_source(inquiry.intake, content_type, most_bytes=self._limits.max_message_bytes)


async def _resolve(
    engine: Engine, source: Source, inquiry: Inquiry
) -> "tuple[NDArray[np.float32] | EmbeddedPhoto, str | None]":
    """Return a query's (D,) unit vector, of a photo its features too, and the entry that it is, if it is one."""
    match source:
        case PhotoSource(photo):
            return await engine.embed(photo, field=PHOTO, timeout_s=inquiry.time_left_s), None
        case EntrySource(entry_id):
            return await engine.fetch_vector(entry_id, field="entry_id"), entry_id
        case VectorSource():
            return source.scale(engine), None


def _describe_answer(answer: Identification, k: int) -> dict[str, Any]:
    decision = answer.decision
    return {
        "verdict": decision.verdict.value,
        "family": decision.family,
        "probability": decision.probability,
        "candidates": list(decision.candidates),
        "reason": decision.reason,
        "families": [
            {"family": score.family, "probability": score.probability, "similarity": score.similarity}
            for score in decision.families
        ],
        "neighbors": describe_neighbors(answer.neighbors[:k]),
    }


def _draw(data: bytes, prepare_photo: "Callable[[bytes], NDArray[np.uint8]]") -> bytes:
    drawn = BytesIO()
    Image.fromarray(prepare_photo(data)).save(drawn, "PNG", compress_level=1)
    return drawn.getvalue()


def _refuse_vector(what: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"there is nothing to {what}: expected a photo or an entry_id, received a vector",
        reason="SOURCE_MISSING",
        field="vector",
    )
