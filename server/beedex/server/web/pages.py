"""The page's own files: read when the server starts, so that no request waits for a disk or names a path on it."""

import hashlib
import mimetypes
from functools import partial
from pathlib import Path

from starlette.responses import Response

from beedex.server.web.caching import is_known
from beedex.server.web.inquiry import Inquiry
from beedex.server.web.routes import WebRoute

__all__ = ["Pages"]

STATIC_DIR = Path(__file__).parent / "static"
INDEX_NAME = "index.html"

# The machine's own tables differ.
MEDIA_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Pages:
    """The files of a folder, by the path that they are fetched by."""

    def __init__(self, directory: Path = STATIC_DIR) -> None:
        self._routes: dict[str, WebRoute] = {}
        for file in sorted(directory.rglob("*")):
            if file.is_file() and not file.name.startswith("."):
                path = f"/{file.relative_to(directory).as_posix()}"
                self._routes[path] = _serve(path, file.read_bytes())
        if f"/{INDEX_NAME}" in self._routes:
            self._routes["/"] = self._routes[f"/{INDEX_NAME}"]

    def find(self, path: str) -> WebRoute | None:
        """Return what serves a path; None if there is no such file."""
        return self._routes.get(path)


def _serve(path: str, data: bytes) -> WebRoute:
    media_type = MEDIA_TYPES.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return WebRoute(verb="GET", path=path, answer=partial(_answer, data, media_type, tag), needed=None)


async def _answer(data: bytes, media_type: str, tag: str, inquiry: Inquiry) -> Response:
    # Asked for again each time, and sent again only if it is another.
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if is_known(inquiry.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
