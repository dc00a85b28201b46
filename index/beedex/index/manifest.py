"""The manifest of a snapshot: what it holds, who made its vectors, and the checksum of every byte, its own included."""

import json
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from beedex.index.errors import SnapshotError
from beedex.index.sealing import UnsealedError, parse_sealed, render_sealed

__all__ = ["MANIFEST_SCHEMA_VERSION", "SnapshotManifest", "parse_manifest", "render_manifest"]

MANIFEST_SCHEMA_VERSION: Final = 1

SHA256_PATTERN = "^[0-9a-f]{64}$"


class SnapshotManifest(BaseModel):
    """The contents of ``manifest.json``.

    Attributes:
        version: the snapshot's number, which is also its directory's name.
        created_at: when it was published, ISO 8601 in UTC.
        fingerprint: of the embedder that made the vectors.
        dimension: D of the vectors.
        entries: how many there are.
        families: the number of entries by family.
        gallery_digest: sha256 of all that the entries say; with the fingerprint it decides every byte of the other
            files.
        index_kind: ``flat`` is exact search.
        files: sha256 of every other file of the snapshot, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = MANIFEST_SCHEMA_VERSION
    version: int = Field(ge=1)
    created_at: str
    fingerprint: str = Field(pattern=SHA256_PATTERN)
    dimension: int = Field(ge=1)
    entries: int = Field(ge=1)
    families: dict[str, int]
    gallery_digest: str = Field(pattern=SHA256_PATTERN)
    index_kind: Literal["flat"] = "flat"
    metric: Literal["cosine"] = "cosine"
    files: dict[str, str]


def render_manifest(manifest: SnapshotManifest) -> bytes:
    """Return the bytes of ``manifest.json``: the fields and, as ``checksum``, the sha256 of the fields."""
    return render_sealed(manifest)


def parse_manifest(data: bytes, *, name: str) -> SnapshotManifest:
    """Read ``manifest.json``.

    Args:
        data: its bytes.
        name: what a message calls it.

    Raises:
        SnapshotError: it is of another schema version, or a single bit differs from what was written.
    """
    try:
        manifest = parse_sealed(SnapshotManifest, data)
    except UnsealedError as error:
        raise SnapshotError(f"{name} is damaged: {error}; activate another snapshot or build again") from error
    # A damaged file can be anything: no UTF-8 or no JSON (ValueErrors, as pydantic's is), JSON that is no object,
    # nested too deep.
    except (ValueError, TypeError, RecursionError) as error:
        version = _find_version(data)
        if version > MANIFEST_SCHEMA_VERSION:
            raise SnapshotError(
                f"{name} was written by a newer beedex, expected schema version {MANIFEST_SCHEMA_VERSION}, "
                f"received {version}; upgrade beedex or build the index again"
            ) from error
        raise SnapshotError(
            f"{name} is damaged: expected the manifest that `beedex index build` wrote, received "
            f"{len(data)} bytes that can't be read ({type(error).__name__}); activate another snapshot or build again"
        ) from error
    return manifest


def _find_version(data: bytes) -> int:
    """Return the schema version of a manifest that this version can't read, or 0."""
    try:
        version = dict(json.loads(data)).get("schema_version")
    except (ValueError, TypeError, RecursionError):
        return 0
    return version if isinstance(version, int) else 0
