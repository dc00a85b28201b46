"""A photo on disk that must still be the one that was inspected."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from beedex.index.photos import read_photo
from beedex.training.errors import TrainingError

__all__ = ["PhotoSource"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PhotoSource:
    """A photo that is wanted.

    Attributes:
        path: of the file.
        sha256: of its bytes.
    """

    path: Path
    sha256: str

    def read(self) -> bytes:
        """Return the file's bytes.

        Raises:
            PhotoError: it can't be read any more.
            TrainingError: it is another photo by now, whose features must not be kept under the old one's name.
        """
        data = read_photo(self.path)
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise TrainingError(f"{self.path} changed while the command ran: leave the gallery alone and run it again")
        return data
