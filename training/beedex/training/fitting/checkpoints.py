"""A checkpoint: all that a training needs to go on as if it had never been killed, in one file.

The file is a sha256 in hex, a newline, and what it is the hash of: a numpy archive without pickles that holds named
arrays and a JSON header. It is replaced at once, so a reader finds the old checkpoint or the new one, whatever instant
the writer died at, and what a disk or a copy damaged does not pass for a checkpoint.
"""

import hashlib
import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beedex.index.durable import replace_file

__all__ = ["Checkpoint", "CheckpointFile"]

# Part of every file: raise it when what is stored, or what it means, changes.
FORMAT_VERSION = 1

HEADER = "header"

# Writing the state of a head (22 MB) takes a tenth of a second; this much work is lost at most.
SECONDS_BETWEEN_WRITES = 30.0


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A state.

    Attributes:
        header: JSON data.
        arrays: by name; those of a list are named ``weights.0``, ``weights.1`` and so on.
    """

    header: dict[str, Any]
    arrays: dict[str, NDArray[Any]]

    def part(self, name: str) -> list[NDArray[Any]]:
        """Return a list of arrays; it is empty where there is none of that name."""
        return [self.arrays[f"{name}.{i}"] for i in range(sum(key.startswith(f"{name}.") for key in self.arrays))]


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointFile:
    """Where a training keeps its state.

    Attributes:
        path: of the file; its folder is made if need be.
        key: a hash of all that decides how the training goes: data and configuration. A file with another key is
            another training's, and is left unread.
        seconds_between_writes: how much work a killed process loses at most.

    Example:
        >>> import tempfile
        >>> file = CheckpointFile(path=Path(tempfile.mkdtemp()) / "head.checkpoint", key="a")
        >>> file.write(Checkpoint(header={"step": 3}, arrays={"kernel": np.ones(2)}))
        >>> file.read().header["step"]
        3
    """

    path: Path
    key: str
    seconds_between_writes: float = SECONDS_BETWEEN_WRITES

    def write(self, checkpoint: Checkpoint) -> None:
        """Replace the file.

        Raises:
            OSError: it can't be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        header = {"format": FORMAT_VERSION, "key": self.key, "content": checkpoint.header}
        content = io.BytesIO()
        named: dict[str, Any] = {HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8), **checkpoint.arrays}
        np.savez(content, **named)
        data = content.getvalue()
        replace_file(self.path, b"\n".join([_sum(data), data]))

    def read(self) -> Checkpoint | None:
        """Return what was written last, or None where nothing was that can be used; a note on stderr says why.

        Raises:
            OSError: the file is there and can't be opened.
        """
        self._clear_leftovers()
        try:
            return self._parse(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except _UnusableError as error:
            print(f"beedex: note: the checkpoint {self.path} is {error}; training starts over", file=sys.stderr)
            return None

    def _parse(self, content: bytes) -> Checkpoint:
        digest, _, data = content.partition(b"\n")
        if digest != _sum(data):
            raise _UnusableError("damaged")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays.pop(HEADER).tobytes())
        version, key = header["format"], header["key"]
        if version != FORMAT_VERSION:
            raise _UnusableError(f"of format {version}, expected {FORMAT_VERSION}")
        if key != self.key:
            raise _UnusableError("of another training (other photos or settings)")
        return Checkpoint(header=header["content"], arrays=arrays)

    def _clear_leftovers(self) -> None:
        """Delete what writers left that were killed; `replace_file` puts the process's number into the name."""
        for partial in self.path.parent.glob(f".{self.path.name}.*.partial"):
            number = partial.name.removeprefix(f".{self.path.name}.").split(".")[0]
            if number.isdigit() and not _is_running(int(number)):
                partial.unlink(missing_ok=True)


class _UnusableError(Exception):
    """A checkpoint that training can't go on from."""


def _sum(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 is none: it only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
