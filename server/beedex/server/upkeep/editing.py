"""Putting photos into the index and taking entries out while it is served.

The photos are embedded first, in the lane as everybody's. Then the edits are written one by one, each on its own, and
the follower serves them before anybody is told that they are done.
"""

import asyncio
import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from beedex.index.edits import Editor, TakenIdError
from beedex.index.entries import Entry
from beedex.index.errors import IndexDirectoryError
from beedex.server.calls.queries import refuse_unknown_entry
from beedex.server.engine import Engine, EngineSlot
from beedex.server.errors import EntryIdTakenError, IndexUnusableError, InvalidRequestError
from beedex.server.upkeep.following import Follower

__all__ = ["LONGEST_TEXT_CHARACTERS", "Editing", "Outcome", "Wish"]

LONGEST_TEXT_CHARACTERS = 1000

NO_TEXTS: Mapping[str, str] = MappingProxyType({})

# Where a request calls a text otherwise than an entry does.
FIELD_BY_TEXT = MappingProxyType({"source": "source_name"})

Vector = NDArray[np.float32]

# Returns the entry as it is then, or was before it was taken out.
Edit = Callable[[Editor], Entry]

# That entry, or why nothing was done.
Outcome = Entry | Exception


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What is to become of one entry.

    Attributes:
        place: where the request says so, such as entries[3].
        photo: an image file; None where *entry_id* names one that is indexed.
        entry_id: of an indexed photo; None where *photo* is one.
        family: its label; empty for what is known.
        texts: by field of `Entry`, what else is said of it; empty or left out for what is known.
    """

    place: str
    photo: bytes | None = None
    entry_id: str | None = None
    family: str = ""
    texts: Mapping[str, str] = field(default_factory=lambda: NO_TEXTS)


class Editing:
    """Edits of the served index, one request at a time.

    Args:
        slot: whose engine embeds, and tells what is known.
        follower: serves what was written.
        window: how many photos of a request are in the lane at once.
    """

    def __init__(self, slot: EngineSlot, follower: Follower, *, window: int) -> None:
        self._slot, self._follower, self._window = slot, follower, window
        self._lock = asyncio.Lock()

    async def upsert(
        self, wishes: Sequence[Wish], *, accept: Callable[[Engine], None], time_left: Callable[[], float | None]
    ) -> list[Outcome]:
        """Put photos in, or change what is said of indexed ones.

        Args:
            wishes: each is fulfilled or refused alone, in this order.
            accept: raises if the caller relies on another engine than this one.
            time_left: how many seconds the caller still waits.
        """
        outcomes: list[Outcome] | None = None
        while outcomes is None:
            engine = self._slot.current
            accept(engine)
            vectors = await self._embed(engine, wishes, time_left)
            edits = [
                vector if isinstance(vector, Exception) else partial(_fulfil, wish, vector)
                for wish, vector in zip(wishes, vectors, strict=True)
            ]
            outcomes = await self._make(edits, accept=accept, fingerprint=engine.fingerprint)
        return outcomes

    async def delete(self, entry_ids: Sequence[str], *, accept: Callable[[Engine], None]) -> list[Outcome]:
        """Take entries out, each alone and in this order; see `upsert`."""
        edits = [partial(_take_out, entry_id, f"entry_ids[{place}]") for place, entry_id in enumerate(entry_ids)]
        return await self._make(edits, accept=accept) or []

    async def _embed(
        self, engine: Engine, wishes: Sequence[Wish], time_left: Callable[[], float | None]
    ) -> list[Vector | Exception | None]:
        """Return the vector of each wish's photo, None where it has none, or why it is refused."""
        flow, places = object(), asyncio.Semaphore(self._window)

        async def embed(wish: Wish) -> Vector | Exception | None:
            try:
                _check(wish)
                if wish.photo is None:
                    return None
                async with places:
                    embedded = await engine.embed(
                        wish.photo, field=f"{wish.place}.photo", timeout_s=time_left(), flow=flow
                    )
            # Whatever it is, the others go on.
            except Exception as error:  # noqa: BLE001
                return error
            return embedded.vector

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(embed(wish)) for wish in wishes]
        return [task.result() for task in tasks]

    async def _make(
        self, edits: Sequence[Edit | Exception], *, accept: Callable[[Engine], None], fingerprint: str | None = None
    ) -> list[Outcome] | None:
        """Make edits one by one and have them served.

        Args:
            edits: or why one is not made.
            accept: as for `upsert`.
            fingerprint: of the embedder that made their vectors.

        Returns:
            None if another embedder is served by now, with whose vectors these can't be compared.
        """
        async with self._lock:
            await self._follower.look()
            engine = self._slot.current
            accept(engine)
            if fingerprint not in {None, engine.fingerprint}:
                return None
            if self._follower.problem:
                # What is written now would be found by nobody until that is mended.
                edits = [_refuse_index(self._follower.problem)] * len(edits)
            editor = Editor(engine.searcher, self._follower.changes)
            outcomes = [edit if isinstance(edit, Exception) else await _try(edit, editor) for edit in edits]
            await self._follower.look()
        return outcomes


async def _try(edit: Edit, editor: Editor) -> Outcome:
    try:
        return await asyncio.to_thread(edit, editor)
    except IndexDirectoryError as error:
        return _refuse_index(str(error))
    # Whatever it is, the others go on.
    except Exception as error:  # noqa: BLE001
        return error


def _check(wish: Wish) -> None:
    """Refuse what no index takes."""
    if wish.photo is None and wish.entry_id is None:
        raise InvalidRequestError(
            "there is nothing to put in: expected a photo or an entry_id, received neither",
            reason="SOURCE_MISSING",
            field=f"{wish.place}.source",
        )
    for name, text in {"family": wish.family, **wish.texts}.items():
        if len(text) > LONGEST_TEXT_CHARACTERS or any(unicodedata.category(character) == "Cc" for character in text):
            raise InvalidRequestError(
                f"{name} is no text for an entry: expected at most {LONGEST_TEXT_CHARACTERS} characters and no control "
                f"characters, received {len(text)} characters",
                reason="BAD_TEXT",
                values={"most": LONGEST_TEXT_CHARACTERS, "received": len(text)},
                field=f"{wish.place}.{FIELD_BY_TEXT.get(name, name)}",
            )
    if wish.family and not wish.family.strip():
        raise _refuse_family(wish)


def _fulfil(wish: Wish, vector: Vector | None, editor: Editor) -> Entry:
    if wish.photo is None or vector is None:
        entry = _describe(wish, _find_entry(editor, wish.entry_id or "", f"{wish.place}.entry_id"))
        editor.describe(entry)
        return entry
    sha256 = hashlib.sha256(wish.photo).hexdigest()
    try:
        entry = _describe(wish, editor.find(sha256) or Entry(sha256=sha256, family="", path=sha256))
        editor.put(entry, vector, photo=wish.photo)
    except TakenIdError as error:
        raise EntryIdTakenError(
            str(error), reason="ENTRY_ID_TAKEN", values={"entry_id": sha256[:16]}, field=f"{wish.place}.photo"
        ) from error
    return entry


def _describe(wish: Wish, known: Entry) -> Entry:
    """Return what is known with what is wished in its place."""
    entry = replace(known, **{name: text for name, text in wish.texts.items() if text})
    if wish.family:
        entry = replace(entry, family=wish.family)
    if not entry.family:
        raise _refuse_family(wish)
    return entry


def _take_out(entry_id: str, place: str, editor: Editor) -> Entry:
    with refuse_unknown_entry(entry_id, field=place, snapshot=editor.searcher.snapshot.version):
        return editor.take_out(entry_id)


def _find_entry(editor: Editor, entry_id: str, place: str) -> Entry:
    with refuse_unknown_entry(entry_id, field=place, snapshot=editor.searcher.snapshot.version):
        return editor.entry(entry_id)


def _refuse_family(wish: Wish) -> InvalidRequestError:
    return InvalidRequestError(
        f"an entry needs a family: expected its label, received {wish.family!r}",
        reason="FAMILY_MISSING",
        field=f"{wish.place}.family",
    )


def _refuse_index(problem: str) -> IndexUnusableError:
    return IndexUnusableError(problem, reason="INDEX_UNUSABLE")
