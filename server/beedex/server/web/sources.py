"""What a request's body asks about: a photo in one of three wrappings, an entry, or a vector."""

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from beedex.server.calls.queries import unpack_vector
from beedex.server.engine import Engine
from beedex.server.errors import InvalidRequestError
from beedex.server.web.intake import Intake
from beedex.v1 import types_pb2

__all__ = ["EntrySource", "PhotoSource", "Source", "VectorSource", "read_source"]

JSON_TYPE, FORM_TYPE, BYTES_TYPE = "application/json", "multipart/form-data", "application/octet-stream"

# 5,000 numbers of a vector, each of 64 bits and with 17 digits. It is parsed on the event loop: some 12 ms.
MOST_JSON_BYTES = 128 * 1024

PHOTO_FIELD = "photo"


@dataclass(frozen=True, slots=True)
class PhotoSource:
    """The bytes of an image file."""

    photo: bytes


@dataclass(frozen=True, slots=True)
class EntrySource:
    """The id of an entry."""

    entry_id: str


@dataclass(frozen=True, slots=True)
class VectorSource:
    """Numbers that are to be of the embedder's dimension, and of any length but zero."""

    numbers: tuple[float, ...]

    def scale(self, engine: Engine) -> "np.typing.NDArray[np.float32]":
        """Return the (D,) vector at unit length; raises as `unpack_vector`."""
        with np.errstate(over="ignore"):
            values = np.array(self.numbers, np.float64).astype("<f4")
        message = types_pb2.Vector(values=values.tobytes(), dimension=len(values))
        return unpack_vector(message, engine.embedder.dimension)


Source = PhotoSource | EntrySource | VectorSource


async def read_source(intake: Intake, content_type: str, *, most_bytes: int) -> Source:
    """Read a body and return what it asks about.

    Args:
        intake: of the request.
        content_type: its header.
        most_bytes: the most that a body with a photo may have.

    Raises:
        InvalidRequestError: it is too large, of another type, or not what its type says.
        IdleError: it doesn't come in time.
    """
    kind, _, _ = content_type.partition(";")
    kind = kind.strip().lower()
    if kind == JSON_TYPE:
        return _parse_json(await intake.read(MOST_JSON_BYTES))
    if kind == FORM_TYPE:
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if not boundary:
            _refuse_form("its content type names no boundary")
        return PhotoSource(_parse_form(await intake.read(most_bytes), boundary))
    if kind.startswith("image/") or kind == BYTES_TYPE:
        return PhotoSource(await intake.read(most_bytes))
    raise InvalidRequestError(
        f"the body is of another type: expected image/*, {BYTES_TYPE}, {FORM_TYPE} or {JSON_TYPE}, received "
        f"{kind or 'none'}",
        reason="MEDIA_TYPE_UNSUPPORTED",
        values={"received": kind},
    )


def _parse_json(data: bytes) -> Source:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f"the body is no JSON: {'it is nested too deep' if isinstance(error, RecursionError) else error}; "
            'expected {"entry_id": "16 hex digits"} or {"vector": [numbers]}',
            reason="MALFORMED_JSON",
        ) from error
    match document:
        case {"entry_id": str(entry_id)} if len(document) == 1:
            return EntrySource(entry_id)
        case {"vector": [*numbers]} if len(document) == 1:
            return VectorSource(tuple(_read_number(number, place) for place, number in enumerate(numbers)))
        case _:
            raise InvalidRequestError(
                'there is nothing to look for: expected {"entry_id": "16 hex digits"} or {"vector": [numbers]}, '
                "received another document",
                reason="SOURCE_MISSING",
            )


def _read_number(number: Any, place: int) -> float:  # noqa: ANN401 - whatever JSON holds
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidRequestError(
            f"the vector has something else than a number at position {place}: received {json.dumps(number)[:40]}",
            reason="NOT_A_NUMBER",
            values={"position": place},
            field="vector",
        )
    try:
        return float(number)
    except OverflowError:
        # Is refused as any other number beyond float32.
        return math.inf


def _parse_form(data: bytes, boundary: bytes) -> bytes:
    """Return the content of the one field `photo`; all of it stays in memory."""
    fields: list[tuple[bytes, list[bytes]]] = []
    header = {b"name": b"", b"value": b""}

    def begin_part() -> None:
        # At once, as the event loop waits: 33 MiB of empty parts would take seconds.
        if fields:
            _refuse_form("it has more than one part")
        fields.append((b"", []))

    def end_header() -> None:
        if header[b"name"].lower() == b"content-disposition":
            _, options = parse_options_header(header[b"value"])
            fields[-1] = (options.get(b"name", b""), fields[-1][1])
        header.update({b"name": b"", b"value": b""})

    def take(name: bytes, piece: bytes, start: int, end: int) -> None:
        header[name] += piece[start:end]

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin_part,
            "on_part_data": lambda piece, start, end: fields[-1][1].append(piece[start:end]),
            "on_header_field": lambda piece, start, end: take(b"name", piece, start, end),
            "on_header_value": lambda piece, start, end: take(b"value", piece, start, end),
            "on_header_end": end_header,
        },
    )
    try:
        parser.write(data)
        parser.finalize()
    except FormParserError as error:
        raise _name_form_fault(str(error)) from error
    names = [name.decode("utf-8", "replace") for name, _ in fields]
    if names != [PHOTO_FIELD]:
        _refuse_form(f"it has the fields {', '.join(names)[:80] or 'none'}")
    return b"".join(fields[0][1])


def _refuse_form(what: str) -> NoReturn:
    raise _name_form_fault(what)


def _name_form_fault(what: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"the form can't be used: {what}; expected one field `{PHOTO_FIELD}` that holds an image file",
        reason="MALFORMED_FORM",
        field=PHOTO_FIELD,
    )
