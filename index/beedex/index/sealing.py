"""JSON documents that carry the checksum of their own contents, so that no flipped bit goes unseen."""

import hashlib
import json
from typing import TypeVar

from pydantic import BaseModel

__all__ = ["UnsealedError", "parse_sealed", "render_sealed"]

Document = TypeVar("Document", bound=BaseModel)


class UnsealedError(ValueError):
    """The bytes are not what `render_sealed` made of any document."""


def render_sealed(document: BaseModel) -> bytes:
    """Return the document as JSON with, as ``checksum``, the sha256 of its fields."""
    fields = document.model_dump(mode="json")
    checksum = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**fields, "checksum": checksum}, indent=2, ensure_ascii=False) + "\n").encode()


def parse_sealed(kind: type[Document], data: bytes) -> Document:
    """Read what `render_sealed` wrote.

    Raises:
        UnsealedError: the checksum is not that of the contents.
        ValueError: the bytes are no JSON, or no document of this kind.
        TypeError: they are JSON of another shape.
        RecursionError: they are nested beyond reason.
    """
    fields = dict(json.loads(data))
    fields.pop("checksum", None)
    document = kind.model_validate(fields)
    # One comparison finds every flipped bit, those in names and numbers as well as those in the white space.
    if render_sealed(document) != data:
        raise UnsealedError("its checksum is not that of its contents")
    return document
