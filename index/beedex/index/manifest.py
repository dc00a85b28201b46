"""The manifest of a snapshot: what it holds, who made its vectors, and the checksum of every byte, its own included."""

import json
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from beedex.index.errors import SnapshotError
from beedex.index.map import MapMethod
from beedex.index.sealing import UnsealedError, parse_sealed, render_sealed
from beedex.index.vectors import SearchPlan, SearchSettings

__all__ = ["MANIFEST_SCHEMA_VERSION", "MapDescription", "SnapshotManifest", "parse_manifest", "render_manifest"]

# 1 knew exact search only, 2 no map; such manifests can still be read.
MANIFEST_SCHEMA_VERSION: Final = 3

SHA256_PATTERN = "^[0-9a-f]{64}$"


class MapDescription(BaseModel):
    """How a snapshot's map was drawn; see `beedex.index.map.GalleryMap`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: MapMethod
    scale: float = Field(gt=0, allow_inf_nan=False)


class SnapshotManifest(BaseModel):
    """The contents of ``manifest.json``.

    Attributes:
        version: the snapshot's number, which is also its directory's name.
        created_at: when it was published, ISO 8601 in UTC.
        fingerprint: of the embedder that made the vectors.
        dimension: D of the vectors.
        entries: how many there are.
        families: the number of entries by family.
        gallery_digest: sha256 of all that the entries say; with the fingerprint and the settings of the search it
            decides every byte of the vectors and entries, on processors of one kind, and with the former snapshot's map
            those of the map.
        index_kind: ``flat`` is exact search, ``ivf`` approximate search by inverted lists.
        search_settings: what was wanted of the search; None in schema version 1.
        search_plan: what was chosen; None in schema version 1.
        map: how the map was drawn; None before schema version 3.
        files: sha256 of every other file of the snapshot, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1, 2, 3] = MANIFEST_SCHEMA_VERSION
    version: int = Field(ge=1)
    created_at: str
    fingerprint: str = Field(pattern=SHA256_PATTERN)
    dimension: int = Field(ge=1)
    entries: int = Field(ge=1)
    families: dict[str, int]
    gallery_digest: str = Field(pattern=SHA256_PATTERN)
    index_kind: Literal["flat", "ivf"] = "flat"
    metric: Literal["cosine"] = "cosine"
    search_settings: SearchSettings | None = None
    search_plan: SearchPlan | None = None
    map: MapDescription | None = None
    files: dict[str, str]

    @model_validator(mode="after")
    def _check_version(self) -> Self:
        if (self.map is not None) != (self.schema_version > 2):
            raise ValueError(f"the map is told from schema version 3 on, received {self.schema_version}")
        is_told = self.search_settings is not None and self.search_plan is not None
        if is_told != (self.schema_version > 1):
            raise ValueError(f"the search is told from schema version 2 on, received {self.schema_version}")
        if self.search_plan is not None and self.search_plan.kind != self.index_kind:
            raise ValueError(f"expected one kind of index, received {self.index_kind} and {self.search_plan.kind}")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_news(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Give an old manifest the fields that it had, whose checksum it carries."""
        fields: dict[str, Any] = handler(self)
        if self.schema_version < 3:
            del fields["map"]
        if self.schema_version < 2:
            del fields["search_settings"], fields["search_plan"]
        return fields


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
