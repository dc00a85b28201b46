"""Figures, and what the commands print of them, on scores made by hand."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.metrics import RetrievalScores
from beedex.training.judging.figures import FIGURES, Judgement

FAMILIES = ("ant", "bee", "wasp")
LABELS = np.repeat([0, 1], [24, 12])  # no wasp
GROUPS = tuple(f"group {i // 2}" for i in range(36))


def make_scores(hits: NDArray[np.float64]) -> RetrievalScores:
    return RetrievalScores(hits, hits * 0.8, hits * 0.6)


def draw_hits(share: float, seed: int, *, repeats: int = 2) -> NDArray[np.float64]:
    return (np.random.default_rng(seed).random((repeats, 36)) < share).astype(np.float64)


def make_judgement(**others) -> Judgement:
    parts: dict[str, Any] = {
        "labels": LABELS,
        "groups": GROUPS,
        "families": FAMILIES,
        "trained": make_scores(draw_hits(0.8, 0)),
        "frozen": make_scores(draw_hits(0.5, 1)),
        "chance": make_scores(np.full((2, 36), 0.4)),
        "probe_hits": draw_hits(0.7, 2),
        "unseen": make_scores(draw_hits(0.6, 3)),
    }
    return Judgement(**parts | others)


def test_everything_is_described_under_the_names_that_others_rely_on() -> None:
    described = make_judgement().describe()

    assert set(described) == {
        *("n", "families", "recall_at_1", "map_at_r", "r_precision", "macro", "chance_recall_at_1", "chance"),
        *("frozen", "probe", "by_family", "comparisons", "too_few_to_judge", "unseen"),
    }
    keys = {key for key, _, _ in FIGURES}
    assert keys == {"recall_at_1", "r_precision", "map_at_r"}
    for part in (described["frozen"], described["unseen"]):
        assert set(part) == {*keys, "macro"}
    for part in (described["macro"], described["frozen"]["macro"], described["unseen"]["macro"], described["chance"]):
        assert set(part) == keys
    assert set(described["recall_at_1"]) == {"value", "low", "high"}
    assert set(described["comparisons"]) == {
        *("recall_at_1_against_frozen", "map_at_r_against_frozen", "recall_at_1_against_probe")
    }
    assert described["chance_recall_at_1"] == described["chance"]["recall_at_1"] == pytest.approx(0.4)
    assert described["n"] == 36
    assert described["families"] == {"ant": 24, "bee": 12, "wasp": 0}


def test_figures_are_means_over_photos_and_over_families_of_the_photos_means_over_repeats() -> None:
    judgement = make_judgement()
    assert judgement.probe_hits is not None

    described = judgement.describe()

    for lookup, scores in (
        (described, judgement.trained),
        (described["frozen"], judgement.frozen),
        (described["unseen"], judgement.unseen),
    ):
        for key, field in (
            ("recall_at_1", "hit_at_1"),
            ("r_precision", "r_precision"),
            ("map_at_r", "average_precision_at_r"),
        ):
            values = getattr(scores, field).mean(axis=0)  # (36,)
            assert lookup[key]["value"] == pytest.approx(values.mean())
            by_family = (values[:24].mean() + values[24:].mean()) / 2
            assert lookup["macro"][key]["value"] == pytest.approx(by_family)
            assert 0 <= lookup[key]["low"] <= lookup[key]["value"] <= lookup[key]["high"] <= 1
    assert described["probe"]["recall_at_1"]["value"] == pytest.approx(judgement.probe_hits.mean())
    assert described["comparisons"]["recall_at_1_against_frozen"]["difference"] == pytest.approx(
        judgement.trained.hit_at_1.mean() - judgement.frozen.hit_at_1.mean()
    )
    assert described["comparisons"]["recall_at_1_against_probe"]["difference"] == pytest.approx(
        judgement.trained.hit_at_1.mean() - judgement.probe_hits.mean()
    )
    assert "a linear probe" in described["comparisons"]["recall_at_1_against_probe"]["words"]


def test_families_are_listed_with_their_groups_and_those_of_few_are_named() -> None:
    judgement = make_judgement()

    described = judgement.describe()

    ant, bee, wasp = described["by_family"]
    assert (ant["family"], ant["photos"], ant["groups"], ant["judged"]) == ("ant", 24, 12, True)
    assert ant["recall_at_1"]["value"] == pytest.approx(judgement.trained.hit_at_1[:, :24].mean())
    assert (bee["photos"], bee["groups"], bee["judged"]) == (12, 6, False)
    assert wasp == {"family": "wasp", "photos": 0, "groups": 0, "recall_at_1": None, "judged": False}
    assert described["too_few_to_judge"] == ["bee", "wasp"]
    assert judgement.note_small_families() == [
        "too few groups to judge a family by itself, 10 are needed: bee (6), wasp (0)"
    ]


def test_no_note_where_every_family_can_be_judged() -> None:
    judgement = make_judgement(families=("ant", "bee"), groups=tuple(map(str, range(36))))

    assert judgement.describe()["too_few_to_judge"] == []
    assert judgement.note_small_families() == []


def blank(scores: RetrievalScores, photos: slice) -> RetrievalScores:
    """Leave photos without a score."""
    arrays = [getattr(scores, name).copy() for name in RetrievalScores.__slots__]
    for array in arrays:
        array[:, photos] = np.nan
    return RetrievalScores(*arrays)


BEES = slice(24, 36)
EVERY = slice(None)


@pytest.mark.parametrize(
    "others",
    [
        {},
        {"unseen": None},
        {"unseen": blank(make_scores(draw_hits(0.6, 3)), EVERY)},
        {"unseen": blank(make_scores(draw_hits(0.6, 3)), BEES)},
        {"probe_hits": None},
        {
            name: blank(make_scores(draw_hits(0.5, seed)), BEES)
            for seed, name in enumerate(["trained", "frozen", "chance", "unseen"])
        },
        {"probe_hits": np.where(np.arange(36) < 24, 1.0, np.nan)},
        {"groups": ("one",) * 36},
        {name: make_scores(np.ones((2, 36))) for name in ("trained", "frozen")},
        {name: make_scores(np.ones(36)) for name in ("trained", "frozen", "chance")},
        {"trained": make_scores(np.where(np.arange(36) == 5, 1.0, np.nan))},
    ],
)
def test_what_is_described_is_a_json_document_without_nan(others) -> None:
    described = make_judgement(**others).describe()

    assert json.loads(json.dumps(described, allow_nan=False)) == described
    assert ("unseen" in described) == ("unseen" not in others or others["unseen"] is not None)


def test_look_ups_that_judged_no_photo_have_no_figures() -> None:
    described = make_judgement(unseen=blank(make_scores(draw_hits(0.6, 3)), EVERY)).describe()

    nothing = {"recall_at_1": None, "r_precision": None, "map_at_r": None}
    assert described["unseen"] == {**nothing, "macro": nothing}


def test_a_photo_without_a_score_does_not_count() -> None:
    whole, part = make_judgement(), make_judgement(trained=blank(make_scores(draw_hits(0.8, 0)), BEES))

    described = part.describe()

    assert described["n"] == 24
    assert described["families"] == {"ant": 24, "bee": 0, "wasp": 0}
    assert described["recall_at_1"]["value"] == pytest.approx(whole.trained.hit_at_1[:, :24].mean())
    assert described["macro"]["recall_at_1"]["value"] == described["recall_at_1"]["value"]
    assert described["comparisons"]["recall_at_1_against_frozen"]["groups"] == 12
