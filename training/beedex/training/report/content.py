"""What a report shows: plain data, handed over by whoever trained or evaluated.

Shapes: N photos, Q queries, K neighbors of a query, C families, D and F dimensions, S steps, T validations.
Photos and families are named by their numbers: rows of `ReportContent.photos` and of `ReportContent.families`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from beedex.index.calibration import FamiliarityThreshold
from beedex.index.metrics import Figure
from beedex.training.report.doubts import Doubt

__all__ = [
    "CalibrationEvidence",
    "Confusion",
    "EmbeddingMap",
    "FamilyRow",
    "FigureRow",
    "GuardAction",
    "History",
    "Lookups",
    "Origin",
    "ReadPhoto",
    "ReliabilityBin",
    "ReportContent",
    "ReportedPhoto",
    "Results",
    "Tap",
]

# From a photo's number to its file's bytes, or to its pixels, (H, W, 3) uint8.
ReadPhoto = Callable[[int], bytes | NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What made the embedder and its figures.

    Attributes:
        command: the exact command line, quoted for a shell.
        created: when, in ISO 8601; None where the report is to come out the same every time.
        fingerprint: of the embedder.
        weights: where the backbone's weights came from, in words.
        gallery_digest: of the gallery that was read.
        git_revision: of the program, where it is known.
        versions: of the libraries, by name.
    """

    command: str
    created: str | None = None
    fingerprint: str
    weights: str
    gallery_digest: str
    git_revision: str | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FigureRow:
    """One figure, such as Recall@1, for everything that it was measured on; all in [0, 1].

    Attributes:
        name: of the figure.
        trained: of the trained embedder.
        probe: of a linear classifier on frozen features.
        frozen: of the same look-up on frozen features.
        chance: of a random guess.
    """

    name: str
    trained: Figure
    probe: Figure | None = None
    frozen: Figure | None = None
    chance: float | None = None


@dataclass(frozen=True, kw_only=True)
class FamilyRow:
    """How one family fares.

    Attributes:
        family: its name.
        photos: held-out photos of it.
        groups: among how many groups they are.
        recall: Recall@1 of its photos; None where none was judged.
        judged: false for a family too small to judge: no figure is shown then.
    """

    family: str
    photos: int
    groups: int
    recall: Figure | None
    judged: bool


@dataclass(frozen=True, kw_only=True)
class Results:
    """The figures on photos that the embedder was not trained on.

    Attributes:
        figures: the first one heads the report.
        families: in the order of `ReportContent.families`.
        comparisons: one sentence for each, such as whether the trained embedder beats frozen features.
        protocol: how the figures came about, in a sentence.
        notes: what a reader must know: photos left out, families too small.
    """

    figures: tuple[FigureRow, ...]
    families: tuple[FamilyRow, ...] = ()
    comparisons: tuple[str, ...] = ()
    protocol: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReportedPhoto:
    """A photo.

    Attributes:
        path: below the gallery.
        family: its label.
        group: photos of one animal share it.
    """

    path: str
    family: str
    group: str


@dataclass(frozen=True, kw_only=True)
class EmbeddingMap:
    """Where the embedder puts the photos.

    Attributes:
        embeddings: (N, D) of the final embedder.
        features: (N, F) frozen, or None.
        trained_on: whether the final embedder was trained on these very photos, which the report then says.
    """

    embeddings: NDArray[np.float32]
    features: NDArray[np.float32] | None = None
    trained_on: bool


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Decisions on held-out photos.

    Attributes:
        counts: (C, number of decisions), how many photos of each family got each decision; means over repeats may
            be no whole numbers.
        decisions: names of the columns; None for the families.
    """

    counts: NDArray[np.float64]
    decisions: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Held-out decisions of about the same confidence.

    Attributes:
        confidence: their mean probability.
        right: the share that is right, with its interval where one is known.
        count: how many.
    """

    confidence: float
    right: Figure
    count: int


@dataclass(frozen=True, kw_only=True)
class CalibrationEvidence:
    """What probabilities and thresholds are worth; see `beedex.index.calibration.Calibration` for the last seven."""

    bins: tuple[ReliabilityBin, ...] = ()
    expected_error: Figure | None = None
    open_set_auroc: Figure | None = None
    temperature: float
    match_from: float | None = None
    unknown_below: float | None = None
    false_accept_rate: float | None = None
    false_reject_rate: float | None = None
    familiarity: FamiliarityThreshold | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Lookups:
    """What held-out photos found.

    Attributes:
        photos: (Q,) numbers of the query photos, each at most once.
        average_precision: (Q,) in [0, 1], as MAP@R averages it; NaN for a query that can't be judged.
        hits: (Q,) 1 where the nearest photo is of the query's family, else 0; NaN as above.
        neighbors: (Q, K) numbers of the nearest photos, nearest first; -1 where there are fewer.
        similarities: (Q, K) their cosines.
    """

    photos: NDArray[np.int64]
    average_precision: NDArray[np.float64]
    hits: NDArray[np.float64]
    neighbors: NDArray[np.int64]
    similarities: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class GuardAction:
    """What the collapse guard did.

    Attributes:
        step: at which step.
        action: in words.
        evidence: the measurements that made it act, in words.
    """

    step: int
    action: str
    evidence: str


@dataclass(frozen=True, kw_only=True)
class History:
    """One training, step by step; an empty array was not recorded, NaN is a gap.

    Attributes:
        name: such as "Head" or "Fine-tuning".
        steps: (S,).
        loss: (S,).
        active_share: (S,) of the triplets, those that the loss is not yet content with.
        positive_distance: (S,) mean within families.
        negative_distance: (S,) mean between families.
        learning_rate: (S,).
        validation_steps: (T,).
        validation_map_at_r: (T,).
        best_step: whose weights were kept.
        actions: of the collapse guard, in order.
    """

    name: str
    steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    active_share: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    positive_distance: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    negative_distance: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    learning_rate: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    validation_steps: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    validation_map_at_r: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    best_step: int | None = None
    actions: tuple[GuardAction, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tap:
    """A choice of features.

    Attributes:
        name: the blocks and their pooling.
        map_at_r: validation MAP@R.
        chosen: whether it is the one that was taken.
    """

    name: str
    map_at_r: Figure
    chosen: bool = False


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything that the report shows; a part that is None or empty is left out of it.

    Attributes:
        kind: what it is a report of, above the title.
        title: of the page.
        origin: what made this.
        results: the figures.
        families: (C,) names, sorted; every photo's family is among them.
        photos: (N,).
        read_photo: opens a photo for its thumbnail; one that can't be read gets none, and the report says so.
        embedding_map: for the map.
        confusion: of held-out decisions.
        calibration: of the probabilities.
        lookups: of held-out photos.
        doubts: labels that the neighbors doubt, worst first; None where nobody looked.
        histories: trainings, in order.
        taps: the features that were compared.

    Raises:
        ValueError: two parts disagree about how many photos or families there are.
    """

    kind: str = "Training report"
    title: str
    origin: Origin
    results: Results
    families: tuple[str, ...]
    photos: tuple[ReportedPhoto, ...]
    read_photo: ReadPhoto
    embedding_map: EmbeddingMap | None = None
    confusion: Confusion | None = None
    calibration: CalibrationEvidence | None = None
    lookups: Lookups | None = None
    doubts: tuple[Doubt, ...] | None = None
    histories: tuple[History, ...] = ()
    taps: tuple[Tap, ...] = ()

    def __post_init__(self) -> None:
        """Refuse parts that don't belong together."""
        strangers = sorted({photo.family for photo in self.photos} - set(self.families))
        if strangers:
            raise ValueError(f"`families` must hold the family of every photo. Received: photos of {strangers}")
        if self.embedding_map is not None:
            for array in (self.embedding_map.embeddings, self.embedding_map.features):
                if array is not None and len(array) != len(self.photos):
                    raise ValueError(
                        f"`embedding_map` must have a row for each of {len(self.photos)} photos. "
                        f"Received: {len(array)} rows"
                    )
        if self.confusion is not None:
            columns = self.families if self.confusion.decisions is None else self.confusion.decisions
            if self.confusion.counts.shape != (len(self.families), len(columns)):
                raise ValueError(
                    f"`confusion.counts` must be {(len(self.families), len(columns))}. "
                    f"Received: shape={self.confusion.counts.shape}"
                )

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) the photos' families as numbers."""
        number = {family: i for i, family in enumerate(self.families)}
        return np.array([number[photo.family] for photo in self.photos], dtype=np.int64)
