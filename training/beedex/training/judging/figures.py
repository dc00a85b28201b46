"""The figures of look-ups on photos that were not trained on, each with its interval, beside chance and the baselines.

Training and evaluation make the same `Judgement`, and from it what ``--json`` prints, the table and the report.

Shapes: R repeats, Q judged photos.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beedex.index.comparison import Comparison, compare
from beedex.index.figure import Figure
from beedex.index.metrics import (
    FEWEST_GROUPS,
    FamilyFigure,
    RetrievalScores,
    average_repeats,
    estimate,
    estimate_by_family,
    estimate_macro,
)

__all__ = ["FIGURES", "Judgement", "LookupFigures"]

# Key in JSON, name, and field of `RetrievalScores`.
FIGURES = (
    ("recall_at_1", "Recall@1", "hit_at_1"),
    ("r_precision", "R-precision", "r_precision"),
    ("map_at_r", "MAP@R", "average_precision_at_r"),
)


@dataclass(frozen=True, kw_only=True)
class LookupFigures:
    """The figures of one way to look photos up, by key of `FIGURES`.

    Attributes:
        micro: over photos.
        macro: over families, each with the same weight.
    """

    micro: Mapping[str, Figure]
    macro: Mapping[str, Figure]

    def describe(self) -> dict[str, Any]:
        """Return plain data: the figures, None where no photo has one, and those over families below ``"macro"``."""
        micro, macro = (
            {key: _describe_figure(figure) for key, figure in part.items()} for part in (self.micro, self.macro)
        )
        return {**micro, "macro": macro}


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Scores of the same photos, looked up in several ways; (R, Q) or (Q,) each.

    Attributes:
        labels: (Q,) indices into *families*.
        groups: (Q,).
        families: names.
        trained: by the trained embedder.
        frozen: by the features before its head.
        chance: expected of a ranking in random order.
        probe_hits: 1 where a linear probe on the frozen features names the right family; None without one.
        unseen: by the trained embedder among photos none of which it was trained on; None where *trained* is that.
    """

    labels: NDArray[np.int64]
    groups: tuple[str, ...]
    families: tuple[str, ...]
    trained: RetrievalScores
    frozen: RetrievalScores
    chance: RetrievalScores
    probe_hits: NDArray[np.float64] | None
    unseen: RetrievalScores | None = None

    def estimate(self, scores: RetrievalScores) -> LookupFigures:
        """Return the figures of one of the ways."""
        values = {key: getattr(scores, field) for key, _, field in FIGURES}
        return LookupFigures(
            micro={key: estimate(value, self.groups) for key, value in values.items()},
            macro={key: estimate_macro(value, self.labels, self.groups) for key, value in values.items()},
        )

    def estimate_by_family(self) -> tuple[FamilyFigure, ...]:
        """Return each family's Recall@1."""
        return estimate_by_family(self.trained.hit_at_1, self.labels, self.groups, self.families)

    def compare(self) -> dict[str, Comparison]:
        """Compare the trained embedder with the baselines, photo by photo."""
        compared = {
            f"{key}_against_frozen": compare(
                getattr(self.trained, field), getattr(self.frozen, field), self.groups, figure=name
            )
            for key, name, field in FIGURES
            if key != "r_precision"
        }
        if self.probe_hits is not None:
            compared["recall_at_1_against_probe"] = compare(
                self.trained.hit_at_1, self.probe_hits, self.groups, second_name="a linear probe"
            )
        return compared

    def average_chance(self, field: str = "hit_at_1") -> float:
        """Return a figure of a ranking in random order."""
        return float(np.nanmean(getattr(self.chance, field)))

    def describe(self) -> dict[str, Any]:
        """Return plain data under the names that the commands print."""
        judged = ~np.isnan(average_repeats(self.trained.hit_at_1))
        counts = np.bincount(self.labels[judged], minlength=len(self.families))
        families = self.estimate_by_family()
        described = {
            "n": int(judged.sum()),
            "families": dict(zip(self.families, counts.tolist(), strict=True)),
            **self.estimate(self.trained).describe(),
            "chance_recall_at_1": self.average_chance(),
            "chance": {key: self.average_chance(field) for key, _, field in FIGURES},
            "frozen": self.estimate(self.frozen).describe(),
            "probe": {"recall_at_1": _describe_figure(estimate(self.probe_hits, self.groups))}
            if self.probe_hits is not None
            else None,
            "by_family": [_describe_family(family) for family in families],
            "comparisons": {name: asdict(comparison) for name, comparison in self.compare().items()},
            "too_few_to_judge": [family.family for family in families if not family.judged],
        }
        return described | ({"unseen": self.estimate(self.unseen).describe()} if self.unseen else {})

    def note_small_families(self) -> list[str]:
        """Say in words which families are too small to judge."""
        small = [f"{family.family} ({family.groups})" for family in self.estimate_by_family() if not family.judged]
        if not small:
            return []
        return [f"too few groups to judge a family by itself, {FEWEST_GROUPS} are needed: {', '.join(small)}"]


def _describe_figure(figure: Figure) -> dict[str, float] | None:
    """Return a figure as plain data, None where there is none: NaN has no place in a JSON document."""
    return asdict(figure) if np.isfinite(figure.value) else None


def _describe_family(family: FamilyFigure) -> dict[str, Any]:
    return {
        "family": family.family,
        "photos": family.photos,
        "groups": family.groups,
        "recall_at_1": _describe_figure(family.figure),
        "judged": family.judged,
    }
