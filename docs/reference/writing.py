"""The pages, and where they are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from docs.reference.command import COMMAND_MAKERS
from docs.reference.pages import fill
from docs.reference.sdk import SDK_MAKERS

__all__ = ["PAGES", "Page"]

DOCS = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A page with regions.

    Attributes:
        path: its file.
        makers: what makes each of its regions.
    """

    path: Path
    makers: Mapping[str, Callable[[], str]]

    def read(self) -> str:
        """Return it as it is."""
        return self.path.read_text(encoding="utf-8")

    def make(self) -> str:
        """Return it as it should be."""
        return fill(self.read(), self.makers)


PAGES = (
    Page(path=DOCS / "sdk.md", makers=SDK_MAKERS),
    Page(path=DOCS / "command.md", makers=COMMAND_MAKERS),
)
