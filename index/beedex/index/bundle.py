"""The embedder bundle: the directory that the trainer writes and everything else reads.

    BUNDLE/
        embedder.json    the card: what this embedder is, how it came about, how good it is, sha256 of every file
        model.xml        the network as OpenVINO IR, with
        model.bin        its weights
        model.keras      the same network for Keras
        familiarity.npz  how like a photo is to those it was trained on; none if that can't be judged
        gallery.json     the photos it was trained on, by sha256, so that none is mistaken for an unseen one
        report/report.html   how good it is and why, for people

The fingerprint is the sha256 of what decides a vector: both IR files and the preprocessing. No file holds a pickle.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from beedex.index.calibration import Calibration
from beedex.index.durable import replace_file, sha256_file
from beedex.index.errors import BundleError
from beedex.index.familiarity import FAMILIARITY_NAME, Familiarity
from beedex.index.preprocessing import Preprocessing
from beedex.index.sealing import UnsealedError, parse_sealed, render_sealed

__all__ = [
    "CARD_NAME",
    "Bundle",
    "BundleCard",
    "TrainedPhoto",
    "WeightsProvenance",
    "compute_fingerprint",
    "load_bundle",
    "seal_bundle",
]

SCHEMA_VERSION: Literal[1] = 1
CARD_NAME = "embedder.json"
NETWORK_NAME = "model.xml"
NETWORK_WEIGHTS_NAME = "model.bin"
NETWORK_NAMES = (NETWORK_NAME, NETWORK_WEIGHTS_NAME)
KERAS_NAME = "model.keras"
GALLERY_NAME = "gallery.json"
REPORT_NAME = "report/report.html"


class WeightsProvenance(BaseModel):
    """Where the backbone's weights came from.

    Attributes:
        kind: what ``--weights`` said.
        sha256: of the weights as they were loaded, 64 hex digits.
        note: in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["imagenet", "bundled", "path", "random"]
    sha256: str
    note: str


class TrainedPhoto(BaseModel):
    """A photo that the head was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    family: str
    group: str
    perceptual_hash: str


class BundleCard(BaseModel):
    """The contents of ``embedder.json``.

    Attributes:
        fingerprint: names the embedder; see `compute_fingerprint`.
        dimension: D of the vectors.
        families: those of the training gallery, sorted.
        training: the resolved training configuration.
        gallery_digest: of the training gallery, as `Inspection.digest` gives it.
        versions: of the libraries that made it.
        git_revision: of the working tree that made it, where there was one.
        metrics: what ``beedex train --json`` prints.
        files: sha256 of every other file of the bundle, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = SCHEMA_VERSION
    fingerprint: str = Field(pattern="^[0-9a-f]{64}$")
    backbone: str
    weights: WeightsProvenance
    dimension: int = Field(gt=0)
    preprocessing: Preprocessing
    families: tuple[str, ...]
    training: dict[str, Any]
    gallery_digest: str
    versions: dict[str, str]
    git_revision: str | None = None
    metrics: dict[str, Any]
    calibration: Calibration | None = None
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk, checked.

    Attributes:
        path: its directory.
        card: what ``embedder.json`` says.
    """

    path: Path
    card: BundleCard

    @property
    def network_path(self) -> Path:
        """The OpenVINO IR."""
        return self.path / NETWORK_NAME

    def read_trained_photos(self) -> tuple[TrainedPhoto, ...]:
        """Return the photos that the head was trained on."""
        rows = json.loads((self.path / GALLERY_NAME).read_bytes())
        return tuple(TrainedPhoto.model_validate(row) for row in rows)

    def read_familiarity(self) -> Familiarity | None:
        """Return what measures how familiar a photo is; None if the bundle has no such measure, as earlier ones.

        Raises:
            BundleError: its file is damaged.
        """
        sha256 = self.card.files.get(FAMILIARITY_NAME)
        if sha256 is None:
            return None
        try:
            return _read_familiarity(self.path / FAMILIARITY_NAME, sha256)
        except (OSError, ValueError) as error:
            raise BundleError(
                f"the embedder bundle {self.path} is damaged: {error}; copy it again or train again"
            ) from error


@lru_cache(maxsize=2)
def _read_familiarity(path: Path, sha256: str) -> Familiarity:
    """Read the measure once for all searchers of an index, which has a new one after every change."""
    del sha256  # another bundle may have taken the directory's place
    return Familiarity.load(path)


def compute_fingerprint(directory: Path, preprocessing: Preprocessing) -> str:
    """Return the sha256 that names the embedder in *directory*: its IR files and how photos are prepared for it."""
    return _combine({name: sha256_file(directory / name) for name in NETWORK_NAMES}, preprocessing)


def _combine(files: Mapping[str, str], preprocessing: Preprocessing) -> str:
    """Return the fingerprint, given the sha256 of at least the IR files by name."""
    digest = hashlib.sha256()
    for name in NETWORK_NAMES:
        digest.update(bytes.fromhex(files[name]))
    digest.update(json.dumps(preprocessing.model_dump(mode="json"), sort_keys=True).encode())
    return digest.hexdigest()


def seal_bundle(directory: Path, *, trained_photos: tuple[TrainedPhoto, ...], **card: Any) -> BundleCard:  # noqa: ANN401 - BundleCard checks every field
    """Write the photo list and the card into *directory*, which holds the networks already.

    Args:
        directory: one that `write_directory` yields, so that the bundle appears whole.
        trained_photos: the photos that the head was trained on.
        card: the fields of `BundleCard` other than `fingerprint` and `files`.
    """
    rows = [photo.model_dump() for photo in sorted(trained_photos, key=lambda photo: photo.sha256)]
    replace_file(directory / GALLERY_NAME, json.dumps(rows, indent=0).encode())
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    sealed = BundleCard(
        fingerprint=compute_fingerprint(directory, card["preprocessing"]),
        files={path.relative_to(directory).as_posix(): sha256_file(path) for path in files},
        **card,
    )
    replace_file(directory / CARD_NAME, render_sealed(sealed))
    return sealed


def load_bundle(path: Path, *, verify: bool = True) -> Bundle:
    """Open a bundle and check it.

    Args:
        path: the directory that `beedex train` wrote.
        verify: whether every file's sha256 is computed (half a second for InceptionV3) or only its presence checked.

    Raises:
        BundleError: it is no bundle, of another version, incomplete or damaged.
    """
    card = _read_card(path)
    for name in NETWORK_NAMES:
        if name not in card.files:
            raise BundleError(f"the embedder bundle {path} is incomplete: its card lists no {name}; train again")
    for name, expected in card.files.items():
        file = path / name
        if not file.resolve().is_relative_to(path.resolve()):
            raise BundleError(f"the embedder bundle {path} names a file outside itself: {name!r}; train again")
        if not file.is_file():
            raise BundleError(
                f"the embedder bundle {path} is incomplete: {name} is missing; copy it whole or train again"
            )
        if verify and (received := sha256_file(file)) != expected:
            raise BundleError(
                f"the embedder bundle {path} is damaged: {name} should have sha256 {expected[:12]}, "
                f"has {received[:12]}; copy it again or train again"
            )
    # By what the card says of the files, now that this is known to be so.
    if verify and (received := _combine(card.files, card.preprocessing)) != card.fingerprint:
        raise BundleError(
            f"the embedder bundle {path} names fingerprint {card.fingerprint[:12]}, but its files "
            f"make {received[:12]}; copy it again or train again"
        )
    return Bundle(path, card)


def _read_card(path: Path) -> BundleCard:
    try:
        text = (path / CARD_NAME).read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path} is no embedder bundle: expected a directory with {CARD_NAME} as `beedex train --out` writes it, "
            f"received {error.strerror or error}"
        ) from error
    try:
        return parse_sealed(BundleCard, text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BundleError(
            f"{path / CARD_NAME} can't be read: expected schema version {SCHEMA_VERSION}, at {where}: {first['msg']}; "
            "train again with this version of beedex"
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        what = error if isinstance(error, UnsealedError) else "it is no JSON document"
        raise BundleError(f"{path / CARD_NAME} is damaged: {what}; copy the bundle again or train again") from error
