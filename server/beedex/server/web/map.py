"""The map: where every indexed photo lies in the plane, in one compact answer."""

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from starlette.responses import Response

from beedex.index.searcher import Searcher
from beedex.server.engine import EngineSlot
from beedex.server.errors import ResourceNotFoundError
from beedex.server.services.origin import take_engine
from beedex.server.web.caching import is_known
from beedex.server.web.directory import OncePerSearcher
from beedex.server.web.inquiry import Inquiry

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DrawnMap", "Map", "draw_map"]


@dataclass(frozen=True, slots=True)
class DrawnMap:
    """The map as it is sent.

    Attributes:
        body: JSON; the columns of N entries are base64, of 20,000 entries 530 kB in all.
        tag: names it.
    """

    body: bytes
    tag: str


class Map:
    """Answers where the photos lie.

    Args:
        slot: holds what answers.
        drawn: once for each state of the index; None where it has no map.
    """

    def __init__(self, slot: EngineSlot, drawn: OncePerSearcher[DrawnMap | None]) -> None:
        self._slot, self._drawn = slot, drawn

    async def show(self, inquiry: Inquiry) -> Response:
        """Send the map."""
        engine = take_engine(self._slot, inquiry.expectation)
        drawn = await self._drawn.get(engine.searcher)
        if drawn is None:
            raise ResourceNotFoundError(
                f"snapshot {engine.snapshot_version} has no map; `beedex index build` makes one",
                reason="MAP_MISSING",
                values={"snapshot": engine.snapshot_version},
            )
        headers = {"ETag": drawn.tag, "Cache-Control": "private, no-cache"}
        if is_known(inquiry.headers.get("if-none-match", ""), drawn.tag):
            return Response(status_code=304, headers=headers)
        return Response(drawn.body, media_type="application/json", headers=headers)


def draw_map(searcher: Searcher) -> DrawnMap | None:
    """Return the map of what a searcher finds; None if its snapshot has none."""
    found, drawn = searcher.view.map_positions(), searcher.snapshot.map
    if found is None or drawn is None:
        return None
    ids, positions = found
    families = searcher.view.list_families(ids)
    names = sorted(set(families))
    place_by_name = {name: place for place, name in enumerate(names)}
    document = {
        "method": drawn.method,
        "entries": len(ids),
        "families": names,
        "family_index": _encode(np.array([place_by_name[family] for family in families], "<u4")),
        # As text, 8 bytes in this order are the 16 hex digits of the entry id.
        "ids": _encode(ids.astype(">i8")),
        "x": _encode(positions[:, 0].astype("<f4")),
        "y": _encode(positions[:, 1].astype("<f4")),
        "fingerprint": searcher.fingerprint,
        "snapshot": searcher.snapshot.version,
    }
    body = json.dumps(document).encode()
    return DrawnMap(body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def _encode(column: "NDArray[np.generic]") -> str:
    return b64encode(column.tobytes()).decode("ascii")
