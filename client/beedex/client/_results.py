"""What calls return: frozen values, each with the embedder's fingerprint and the snapshot that answered.

The client imports numpy only when a vector is at hand: it costs as much time as all of grpc.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

from beedex.client._result import Answer, Result
from beedex.client._rows import Rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

__all__ = [
    "Embedding",
    "Families",
    "Family",
    "FamilyScore",
    "Identification",
    "Limits",
    "Neighbor",
    "Neighbors",
    "Status",
    "Verdict",
]


class Verdict(StrEnum):
    """What an identification comes to."""

    MATCH = "MATCH"
    AMBIGUOUS = "AMBIGUOUS"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, kw_only=True, slots=True)
class FamilyScore(Result):
    """One family's part in an identification.

    Attributes:
        family: the label.
        probability: in [0, 1]; over all families of an answer they sum to 1.
        similarity: what speaks for the family, a cosine in [-1, 1].
    """

    family: str
    probability: float
    similarity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbor(Result):
    """An indexed photo that is like the query. Texts are empty where the gallery says nothing.

    Attributes:
        entry_id: 16 hex digits, the beginning of the photo's sha256.
        family: its label.
        similarity: cosine in [-1, 1], larger is closer.
        path: its file in the gallery.
        group: shared by photos of one animal or one observation.
        species: where the gallery names it.
        source: where the photo is from.
        license: the photo's licence.
        credit: who made it.
    """

    entry_id: str
    family: str
    similarity: float
    path: str
    group: str
    species: str
    source: str
    license: str
    credit: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighbors(Rows[Neighbor]):
    """The indexed photos most like the query: a sequence of `Neighbor`, nearest first."""

    ROWS_KEY: ClassVar[str] = "neighbors"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identification(Answer):
    """The family of a photo, how sure that is, and what speaks for it.

    Attributes:
        verdict: MATCH names a family, AMBIGUOUS two or three, UNKNOWN none.
        family: the family of a MATCH, None otherwise.
        probability: of the likeliest family, whatever the verdict.
        candidates: the families that the verdict names, likeliest first.
        reason: one sentence for a person.
        families: every family of the index, likeliest first.
        neighbors: the nearest indexed photos, nearest first.
    """

    verdict: Verdict
    family: str | None
    probability: float
    candidates: tuple[str, ...]
    reason: str
    families: tuple[FamilyScore, ...]
    neighbors: Neighbors


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Embedding(Answer):
    """A photo as a vector; `np.asarray(embedding)` is the vector.

    Attributes:
        vector: (D,) float32 of length 1, read-only.
    """

    vector: "NDArray[np.float32]"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Embedding):
            return NotImplemented
        return self.fingerprint == other.fingerprint and self.vector.tobytes() == other.vector.tobytes()

    def __hash__(self) -> int:
        return hash((self.fingerprint, self.vector.tobytes()))

    def __array__(self, dtype: "DTypeLike | None" = None, copy: bool | None = None) -> "NDArray[np.float32]":  # noqa: FBT001 - numpy's protocol
        import numpy as np  # noqa: PLC0415 - see the module's docstring

        return np.array(self.vector, dtype=dtype, copy=copy)


@dataclass(frozen=True, kw_only=True, slots=True)
class Family(Result):
    """A label of the index.

    Attributes:
        name: the label.
        entries: how many indexed photos have it.
    """

    name: str
    entries: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Families(Rows[Family]):
    """The families of the index: a sequence of `Family`, by name."""

    ROWS_KEY: ClassVar[str] = "families"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits(Result):
    """What the server takes.

    Attributes:
        max_photo_bytes: the largest photo file.
        max_photo_pixels: the most pixels of a photo, width times height.
        max_photo_side_px: the longest side of a photo.
        photo_formats: such as JPEG.
        max_k: the most neighbors of an answer.
    """

    max_photo_bytes: int
    max_photo_pixels: int
    max_photo_side_px: int
    photo_formats: tuple[str, ...]
    max_k: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Status(Answer):
    """What a server has loaded.

    Attributes:
        server_version: of beedex.
        dimension: D, the length of its vectors.
        backbone: the network under the head.
        weights: where the backbone's weights came from: imagenet, bundled, path or random.
        weights_note: the same in words.
        input_side_px: the longer side that every photo is brought to before it is embedded; 0 for a server that
            doesn't say.
        calibrated: whether verdicts rest on a calibration with held-out photos.
        entries: how many photos are indexed.
        families: how many families they have.
        index_kind: how the index is searched.
        limits: what the server takes.
    """

    server_version: str
    dimension: int
    backbone: str
    weights: str
    weights_note: str
    input_side_px: int
    calibrated: bool
    entries: int
    families: int
    index_kind: str
    limits: Limits
