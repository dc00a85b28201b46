"""A folder of labelled photos, read by names alone.

Three layouts are understood:

    <family>/<photo>             the family is the first folder; there may be more folders below it
    <family><number>.jpg         flat files: bumble12.jpg, mason_bee-3.png
    gallery.csv beside either    columns path,family and optional group,split,species,source,license,credit

Only names are looked at here, so that 100,000 photos take seconds; `beedex.index.inspection` opens the files.
"""

import csv
import io
import os
import re
import unicodedata
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from beedex.index.errors import GalleryError

__all__ = ["CSV_NAME", "Gallery", "GalleryPhoto", "IgnoredFile", "scan_gallery"]

CSV_NAME = "gallery.csv"
REQUIRED_COLUMNS = ("path", "family")
OPTIONAL_COLUMNS = ("group", "split", "species", "source", "license", "credit")
COLUMNS_HELP = f"Expected path,family and optional {','.join(OPTIONAL_COLUMNS)}, separated by commas"

# Files that are meant as photos. The ones that beedex can't decode are among them, so that an inspection lists
# them as unreadable with the reason, where ignoring them would look as if they had never been there.
READABLE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp")
OTHER_SUFFIXES = (".arw", ".avif", ".bmp", ".cr2", ".cr3", ".dng", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".nef")
PHOTO_SUFFIXES = (*READABLE_SUFFIXES, *OTHER_SUFFIXES, ".tif", ".tiff")

# What operating systems leave in folders; like hidden files these are not even reported.
LITTER = frozenset({"$recycle.bin", "@eadir", "__macosx", "desktop.ini", "ehthumbs.db", "thumbs.db"})

# "bumble12", "mason_bee-3", and "bumble (12)" as Windows numbers a selection that is renamed.
FLAT_NAME = re.compile(r"(?P<family>[^\W\d_][^\d()]*?)[\s_-]*(?:\d+|\(\d+\))")

LAYOUTS_HELP = (
    f"Expected <family>/<photo>, or files named <family><number>.jpg, or either with a {CSV_NAME} (path,family)."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class GalleryPhoto:
    """One labelled file.

    Attributes:
        path: relative to the gallery's root.
        group: photos of one animal or observation; None where the gallery doesn't say.
        split: the set that the gallery puts the photo in; None where it doesn't say.
    """

    path: PurePosixPath
    family: str
    group: str | None = None
    split: str | None = None
    species: str = ""
    source: str = ""
    license: str = ""
    credit: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class IgnoredFile:
    """A file or folder that is not part of the gallery, and why."""

    path: PurePosixPath
    reason: str


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The labelled photos of a folder.

    Attributes:
        root: the folder that the paths are relative to.
        layout: where the labels come from.
        photos: sorted by path; the files may still turn out unreadable.
        ignored: sorted by path.
        notes: what was decided on the way and a person should know, one sentence each.

    Example:
        >>> gallery = Gallery.scan("photos")
        >>> gallery.layout, len(gallery.photos), str(gallery.photos[0].path)
        ('csv', 18, 'bumble/bumble_000.jpg')
    """

    root: Path
    layout: Literal["csv", "folders", "flat"]
    photos: tuple[GalleryPhoto, ...]
    ignored: tuple[IgnoredFile, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def scan(cls, root: Path | str) -> "Gallery":
        """Find the photos of a folder; see `scan_gallery`."""
        return scan_gallery(Path(root))

    @property
    def families(self) -> dict[str, int]:
        """The number of photos by family, in the order of the names."""
        return dict(sorted(Counter(photo.family for photo in self.photos).items()))


def scan_gallery(root: Path) -> Gallery:
    """Find the photos of a gallery and their families.

    Names of families that differ only in case (or in Unicode form) are one family, spelled as most of its photos
    spell it. Where a root holds both folders and loose photos, the folders are the gallery and the loose photos
    are ignored. Hidden files and an operating system's litter are passed over silently; every other file that is
    not taken is in `ignored`. Links are followed out of the root, not within it.

    Args:
        root: the folder.

    Returns:
        The gallery, the same for the same tree in whatever order the file system lists it.

    Raises:
        GalleryError: there is no such folder, it holds no labelled photos, or its gallery.csv is faulty.
    """
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise GalleryError(f"{root} {what}; expected the folder of a gallery.")
    files, ignored = _walk(root)
    csv_path = PurePosixPath(CSV_NAME)
    layout: Literal["csv", "folders", "flat"]
    if csv_path in files:
        layout = "csv"
        photos = _read_csv(root / CSV_NAME)
        known = {csv_path, *(photo.path for photo in photos)}
        others = [IgnoredFile(path=path, reason=f"not in {CSV_NAME}") for path in files if path not in known]
    else:
        layout = "folders" if any(path.parent.name and _is_photo(path) for path in files) else "flat"
        photos, others = _label_by_folder(files) if layout == "folders" else _label_by_name(files)
    ignored = sorted(ignored + others, key=lambda file: file.path.parts)
    if not photos:
        found = (
            f"{len(ignored)} files ignored, the first: {ignored[0].path}: {ignored[0].reason}" if ignored else "empty"
        )
        raise GalleryError(f"{root} holds no labelled photos ({found}). {LAYOUTS_HELP}")
    photos, notes = _unify_spelling(photos)
    return Gallery(
        root=root,
        layout=layout,
        photos=tuple(sorted(photos, key=lambda photo: photo.path.parts)),
        ignored=tuple(ignored),
        notes=(*notes, *_doubt_groups(photos), *_doubt_level(layout, photos)),
    )


def _walk(root: Path) -> tuple[list[PurePosixPath], list[IgnoredFile]]:
    """List all files below the root, each real folder once; links come last, so that a real name wins."""
    files: list[PurePosixPath] = []
    ignored: list[IgnoredFile] = []
    root_id = _identify_folder(root)
    seen = {_identify_folder(folder) for folder in root.resolve().parents}
    folders: deque[tuple[str, str]] = deque([(os.fspath(root), "")])
    links: deque[tuple[str, str]] = deque()
    while folders or links:
        folder, prefix = folders.popleft() if folders else links.popleft()
        path = PurePosixPath(prefix)
        try:
            identity = _identify_folder(folder)
            if identity in seen or (identity == root_id and prefix):
                ignored.append(IgnoredFile(path=path, reason="a link to a folder that is read already"))
                continue
            seen.add(identity)
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            ignored.append(IgnoredFile(path=path, reason=f"the folder can't be read: {error.strerror}"))
            continue
        for entry in entries:
            name = prefix + entry.name
            if entry.name.startswith(".") or entry.name.lower() in LITTER:
                continue
            if not entry.name.isprintable():  # above all bytes that are no UTF-8, which no report could hold
                shown = PurePosixPath(name.encode("unicode_escape").decode())
                ignored.append(IgnoredFile(path=shown, reason="the name has unprintable characters; rename it"))
            elif _is_folder(entry):
                (links if entry.is_symlink() else folders).append((entry.path, f"{name}/"))
            else:
                files.append(PurePosixPath(name))
    return files, ignored


def _identify_folder(folder: str | Path) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116 - the walk stays with strings: a Path an entry would double its time
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; as a file it will be listed as unreadable
        return False


def _is_photo(path: PurePosixPath) -> bool:
    return path.name.lower().endswith(PHOTO_SUFFIXES)


Labelled = tuple[list[GalleryPhoto], list[IgnoredFile]]


def _label_by_folder(files: list[PurePosixPath]) -> Labelled:
    photos: list[GalleryPhoto] = []
    ignored: list[IgnoredFile] = []
    for path in files:
        if path.name == CSV_NAME:
            ignored.append(IgnoredFile(path=path, reason=f"{CSV_NAME} is read only in the gallery's own folder"))
        elif not _is_photo(path):
            ignored.append(IgnoredFile(path=path, reason="not a photo"))
        elif len(path.parts) == 1:
            ignored.append(IgnoredFile(path=path, reason="loose photo beside folders; move it into its family's"))
        else:
            photos.append(GalleryPhoto(path=path, family=path.parts[0]))
    return photos, ignored


def _label_by_name(files: list[PurePosixPath]) -> Labelled:
    photos: list[GalleryPhoto] = []
    ignored: list[IgnoredFile] = []
    for path in files:
        match = FLAT_NAME.fullmatch(path.stem)
        if not _is_photo(path):
            ignored.append(IgnoredFile(path=path, reason="not a photo"))
        elif match is None:
            ignored.append(IgnoredFile(path=path, reason="the name is not <family><number>"))
        else:
            photos.append(GalleryPhoto(path=path, family=match["family"]))
    return photos, ignored


def _read_csv(file: Path) -> list[GalleryPhoto]:
    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise GalleryError(f"{file}, line {line}: not UTF-8. Save it as UTF-8 (in Excel: CSV UTF-8).") from error
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: dict[PurePosixPath, int] = {}
    photos: list[GalleryPhoto] = []
    try:
        columns = _read_header(file, next(rows, []))
        for row in rows:
            if not any(field.strip() for field in row):
                continue
            photo = _read_row(f"{file}, line {rows.line_num}", columns, row)
            if photo.path in lines:
                raise GalleryError(
                    f"{file}, line {rows.line_num}: {photo.path} was labelled in line {lines[photo.path]} already. "
                    "Keep one of the two."
                )
            lines[photo.path] = rows.line_num
            photos.append(photo)
    except csv.Error as error:
        raise GalleryError(f"{file}, line {rows.line_num}: not CSV: {error}. Check its quotes.") from error
    return photos


def _read_header(file: Path, header: list[str]) -> list[str]:
    columns = [name.strip().lower() for name in header]
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    unknown = [name for name in columns if name not in REQUIRED_COLUMNS + OPTIONAL_COLUMNS]
    if missing or unknown or len(set(columns)) < len(columns):
        fault = (
            f"column {missing[0]} is missing"
            if missing
            else f"unknown column {unknown[0]!r}"
            if unknown
            else "a column comes twice"
        )
        raise GalleryError(f"{file}, line 1: {fault}. {COLUMNS_HELP}. Received: {','.join(header) or 'nothing'}")
    return columns


def _read_row(where: str, columns: list[str], row: list[str]) -> GalleryPhoto:
    if len(row) != len(columns):
        raise GalleryError(
            f"{where}: {len(row)} fields; expected {len(columns)} ({','.join(columns)}). "
            "Put a field that contains a comma into double quotes."
        )
    fields = {name: field.strip() for name, field in zip(columns, row, strict=True)}
    for name in REQUIRED_COLUMNS:
        if not fields[name]:
            raise GalleryError(f"{where}: {name} is empty. Fill it in, or delete the line.")
    for name, field in fields.items():
        if not field.isprintable():
            raise GalleryError(f"{where}: {name} has unprintable characters: {field!r}. Remove them.")
    path = PurePosixPath(fields.pop("path").replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", path.parts[0]):
        raise GalleryError(f"{where}: the path {path} leads out of the gallery. Expected one relative to {CSV_NAME}.")
    return GalleryPhoto(
        path=path,
        family=fields.pop("family"),
        group=fields.pop("group", "") or None,
        split=fields.pop("split", "") or None,
        **fields,
    )


def _unify_spelling(photos: list[GalleryPhoto]) -> tuple[list[GalleryPhoto], list[str]]:
    """Give families whose names differ only in case or Unicode form the most common spelling."""
    counts = Counter(photo.family for photo in photos)
    spellings: dict[str, list[str]] = {}
    for family in sorted(counts, key=lambda name: (-counts[name], name)):
        spellings.setdefault(unicodedata.normalize("NFC", family).casefold(), []).append(family)
    chosen = {name: names[0] for names in spellings.values() for name in names}
    notes = [
        f"Family {names[0]!r} is also spelled {', '.join(map(repr, names[1:]))}; taken as one family."
        for names in spellings.values()
        if len(names) > 1
    ]
    unified = [
        photo if chosen[photo.family] == photo.family else replace(photo, family=chosen[photo.family])
        for photo in photos
    ]
    return unified, sorted(notes)


def _doubt_groups(photos: list[GalleryPhoto]) -> list[str]:
    """Note groups that span families: one animal has one family, so they may be numbers given family by family."""
    families: dict[str, set[str]] = defaultdict(set)
    for photo in photos:
        if photo.group is not None:
            families[photo.group].add(photo.family)
    shared = sorted(group for group, names in families.items() if len(names) > 1)
    if not shared:
        return []
    note = (
        f"{len(shared)} of {len(families)} groups in {CSV_NAME} span several families, the first: {shared[0]!r}; "
        "each is taken as one group. If every family numbers its own, put its name before the number."
    )
    return [note]


def _doubt_level(layout: str, photos: list[GalleryPhoto]) -> list[str]:
    """Note when the root looks like one folder above the gallery."""
    families = {photo.family for photo in photos}
    below = sorted({photo.path.parts[1] for photo in photos if len(photo.path.parts) > 2})
    if layout != "folders" or len(families) > 1 or len(below) < 2:
        return []
    note = (
        f"All photos are in one family, {next(iter(families))!r}, with the folders {', '.join(below[:3])} in it; "
        "if those are the families, name the folder above them as the gallery."
    )
    return [note]
