"""The index part's commands: `gallery check` and `index ...`."""

import typer

from beedex.index.errors import BeedexError
from beedex.index.gallery_commands import app as gallery_app
from beedex.index.index_commands import app as index_app

__all__ = ["ERRORS", "EXTRA", "NEEDS", "app"]

EXTRA = "index"
NEEDS = ("faiss", "openvino", "PIL", "pydantic", "imagehash")
ERRORS: tuple[type[Exception], ...] = (BeedexError,)

app = typer.Typer()
app.add_typer(gallery_app)
app.add_typer(index_app)
