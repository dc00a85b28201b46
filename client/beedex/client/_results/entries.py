"""Entries of the index: what is known of one, what is to be put in, and what became of it."""

from dataclasses import dataclass, field
from typing import ClassVar

from beedex.client._errors import ClientError
from beedex.client._photos.photos import PhotoSource
from beedex.client._results.outcomes import choose_or_raise
from beedex.client._results.result import Result
from beedex.client._results.rows import Rows

__all__ = ["Entry", "EntryOutcome", "EntryOutcomes", "EntryToUpsert"]


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Entry(Result):
    """One indexed photo. Texts are empty where the gallery says nothing.

    Attributes:
        entry_id: 16 hex digits, the beginning of the photo's sha256.
        family: its label.
        path: its file in the gallery.
        group: shared by photos of one animal or one observation.
        species: where the gallery names it.
        source: where the photo is from.
        license: the photo's licence.
        credit: who made it.
    """

    entry_id: str
    family: str
    path: str
    group: str
    species: str
    source: str
    license: str
    credit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryToUpsert:
    """A photo to be put into the index, or an indexed one of which something else is to be said.

    Give exactly one of *photo* and *entry_id*. Texts that are empty leave what the index knows already.

    Attributes:
        photo: as for `Client.identify`; the index keeps a copy.
        entry_id: an indexed photo.
        family: its label; a photo that isn't indexed needs one.
        path: what the photo is called; its sha256 if empty.
        group: shared by photos of one animal or one observation.
        species: its species.
        source: where the photo is from.
        license: the photo's licence.
        credit: who made it.

    Example:
        >>> EntryToUpsert(photo="bee.jpg", family="mason", credit="A. Nonymous").family
        'mason'
    """

    # It may be megabytes.
    photo: PhotoSource | None = field(default=None, repr=False)
    entry_id: str | None = None
    family: str = ""
    path: str = ""
    group: str = ""
    species: str = ""
    source: str = ""
    license: str = ""
    credit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EntryOutcome(Result):
    """What became of one entry: exactly one of the two is set.

    Attributes:
        entry: as it is now, or as it was before it was taken out.
        error: why nothing was done.
    """

    entry: Entry | None = None
    error: ClientError | None = None

    def unwrap(self) -> Entry:
        """Return the entry, or raise the error."""
        return choose_or_raise(self.entry, self.error)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class EntryOutcomes(Rows[EntryOutcome]):
    """What became of the entries of a call: a sequence of `EntryOutcome` in the order of the call.

    Attributes:
        rows: the outcomes as a tuple.
    """

    ROWS_KEY: ClassVar[str] = "outcomes"
