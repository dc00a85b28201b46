"""Which photos the words of a command mean: files, folders, patterns, and `-` for one that comes through stdin."""

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["PHOTO_SUFFIXES", "STDIN_WORD", "NamedPhoto", "NoPhotoError", "is_photo_name", "list_photos"]

# What a folder is searched for; a file that is named is taken whatever it is called, and judged by the server.
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp")

STDIN_WORD = "-"


class NoPhotoError(Exception):
    """A word means no photo."""


@dataclass(frozen=True, slots=True)
class NamedPhoto:
    """A photo as answers name it, and where it comes from.

    Attributes:
        name: the path, or `-`.
        source: the path, or the bytes that came through stdin.
    """

    name: str
    source: str | bytes


def list_photos(words: Iterable[str], stdin: BinaryIO | None) -> list[NamedPhoto]:
    """Return the photos that *words* mean: in their order, those of a folder or a pattern by name, each once.

    *stdin* is None where it was closed.

    A file that isn't there is returned as well: it fails by itself, as one that can't be read does.

    Raises:
        NoPhotoError: a folder or a pattern holds no photo, or nothing comes through stdin.

    Example:
        >>> import io
        >>> [photo.name for photo in list_photos(["new-photo.jpg", "-"], io.BytesIO(b"..."))]
        ['new-photo.jpg', '-']
    """
    photo_by_identity: dict[str, NamedPhoto] = {}
    for word in words:
        if word == STDIN_WORD:
            if STDIN_WORD not in photo_by_identity:
                photo_by_identity[STDIN_WORD] = NamedPhoto(STDIN_WORD, _read_stdin(stdin))
            continue
        for path in _expand(word):
            # By its real path, so that a link and its file are one.
            photo_by_identity.setdefault(os.path.realpath(path), NamedPhoto(path, path))
    return list(photo_by_identity.values())


def is_photo_name(name: str) -> bool:
    """Tell whether a file of this name is looked at in a folder; hidden ones are not."""
    return name.lower().endswith(PHOTO_SUFFIXES) and not name.startswith(".")


def _read_stdin(stdin: BinaryIO | None) -> bytes:
    if stdin is None:
        raise NoPhotoError("`-` takes a photo from stdin: expected a file or a pipe, received a closed stdin")
    if stdin.isatty():
        raise NoPhotoError("`-` takes a photo from stdin: expected a file or a pipe, received a terminal")
    content = stdin.read()
    if not content:
        raise NoPhotoError("`-` takes a photo from stdin: expected the bytes of an image file, received nothing")
    return content


def _expand(word: str) -> list[str]:
    # Where a name is too long, or beneath a folder that can't be entered, Path's methods raise: these say no.
    is_dir, exists = os.path.isdir, os.path.exists
    if is_dir(word):
        return _require_photos(_walk(word), f"the folder {word}")
    if exists(word) or not glob.has_magic(word):
        return [word]
    found: list[str] = []
    for match in sorted(glob.glob(word, recursive=True)):  # noqa: PTH207 - Path.glob takes no absolute pattern
        found.extend(_walk(match) if is_dir(match) else [match] if is_photo_name(Path(match).name) else [])
    return _require_photos(found, f"the pattern {word}")


def _walk(folder: str) -> Iterator[str]:
    """Yield the photos under a folder, by path; links to folders are not followed, since they may lead in circles."""
    for directory, subfolders, files in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (str(Path(directory, name)) for name in sorted(files) if is_photo_name(name))


def _require_photos(paths: Iterable[str], where: str) -> list[str]:
    found = list(paths)
    if not found:
        raise NoPhotoError(f"no photo in {where}: expected names that end in {', '.join(PHOTO_SUFFIXES)}")
    return found
