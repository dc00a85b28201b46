"""Settlement: what a build makes of the changes that were made to single entries.

A change counts until the gallery agrees with it. The gallery has the last word: where it gives a photo another family
than at the build that settled the change, or holds it for the first time since, the change is overruled.

A change of a photo that the gallery held and holds no more waits for it to come back: the entry leaves the index with
its photo, unless the photo itself was put in and a copy is kept.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from beedex.index.changes import Change
from beedex.index.entries import Entry

__all__ = ["Settlement"]


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """Changes, judged against a gallery.

    Attributes:
        kept: that are in force, with the gallery's family of their photo when it was last seen there, or None.
        waiting: of those, the ones whose photo is nowhere to be found, so that it can't be in the index.
        dropped: that the gallery says too, or overrules.
    """

    kept: Mapping[Change, str | None] = field(default_factory=dict)
    waiting: Collection[Change] = ()
    dropped: tuple[Change, ...] = ()

    @classmethod
    def judge(cls, changes: Iterable[Change], families: Mapping[str, str], copies: Collection[str] = ()) -> Self:
        """Judge changes.

        Args:
            changes: all that an index has.
            families: the gallery's family of each readable photo, by sha256.
            copies: the sha256 of the photos that the index keeps itself.

        Example:
            >>> entry = Entry(sha256="0" * 64, family="mason", path="1.jpg")
            >>> change = Change(sequence=1, sha256=entry.sha256, entry=entry)
            >>> Settlement.judge([change], {entry.sha256: "honey"}).kept[change]
            'honey'
            >>> Settlement.judge([change], {entry.sha256: "mason"}).kept
            {}
        """
        kept, waiting, dropped = dict[Change, str | None](), set(), []
        for change in changes:
            family = families.get(change.sha256)
            if family is None:
                # The file may be back, or readable, tomorrow.
                kept[change] = change.gallery_family
                if change.gallery_family is not None and change.sha256 not in copies:
                    waiting.add(change)
            elif _is_said(change, family) or (change.is_settled and change.gallery_family != family):
                dropped.append(change)
            else:
                kept[change] = family
        return cls(kept=kept, waiting=waiting, dropped=tuple(dropped))

    @property
    def is_news(self) -> bool:
        """Whether there is something to write down."""
        return bool(self.dropped) or any(
            not change.is_settled or change.gallery_family != family for change, family in self.kept.items()
        )

    @property
    def entries(self) -> dict[str, Entry]:
        """The entries that are put in, by sha256."""
        return {
            change.sha256: change.entry
            for change in self.kept
            if change.entry is not None and change not in self.waiting
        }

    @property
    def taken_out(self) -> set[str]:
        """The sha256 of the photos that are taken out."""
        return {change.sha256 for change in self.kept if change.entry is None}

    def apply(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        """Return the gallery's entries, by sha256, as the changes leave them."""
        taken_out = self.taken_out
        return {sha256: entry for sha256, entry in entries.items() if sha256 not in taken_out} | self.entries


def _is_said(change: Change, family: str) -> bool:
    return change.entry is not None and change.entry.family == family
