"""From neighbors to a verdict."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beedex.index.calibration import Calibration, FamiliarityThreshold
from beedex.index.decision import PHOTOS_OF_EVIDENCE, Verdict, decide, soften, weigh_families
from beedex.index.figure import Figure

FAMILIES: tuple[str, ...] = ("honey", "mason", "mining", "carpenter")
SIZES: dict[str, int] = dict.fromkeys(FAMILIES, 40)
CALIBRATED = Calibration(temperature=0.1, match_from=0.7, unknown_below=0.4)

neighbors = st.lists(st.tuples(st.floats(-1, 1, width=32), st.sampled_from(FAMILIES)), min_size=1, max_size=40)


def split(found: list[tuple[float, str]]) -> tuple[np.ndarray, list[str]]:
    ordered = sorted(found, reverse=True)
    return np.array([similarity for similarity, _ in ordered], np.float32), [family for _, family in ordered]


@settings(max_examples=200, deadline=None)
@given(found=neighbors)
def test_evidence_is_the_mean_of_a_familys_nearest(found: list[tuple[float, str]]) -> None:
    similarities, families = split(found)

    sizes = {family: families.count(family) + more for family, more in zip(FAMILIES, (0, 1, 2, 5), strict=True)}
    sizes = {family: max(size, 1) for family, size in sizes.items()}

    evidence = weigh_families(similarities, families, sizes)

    for (family, size), value in zip(sizes.items(), evidence, strict=True):
        own = [s for s, f in zip(similarities, families, strict=True) if f == family]
        # The photos that were not found are at most as near as the farthest that was.
        nearest = [*own, *[similarities[-1]] * (size - len(own))][:PHOTOS_OF_EVIDENCE]
        assert value == pytest.approx(np.mean(nearest), abs=1e-6)


@settings(max_examples=200, deadline=None)
@given(found=neighbors, calibrated=st.booleans())
def test_every_decision_is_consistent(found: list[tuple[float, str]], calibrated: bool) -> None:
    similarities, families = split(found)

    decision = decide(similarities, families, sizes=SIZES, calibration=CALIBRATED if calibrated else None)

    probabilities = [score.probability for score in decision.families]
    assert sum(probabilities) == pytest.approx(1)
    assert probabilities == sorted(probabilities, reverse=True)
    assert {score.family for score in decision.families} == set(FAMILIES)
    assert decision.probability == probabilities[0]
    lengths = {Verdict.MATCH: (1, 1), Verdict.AMBIGUOUS: (2, 3), Verdict.UNKNOWN: (0, 0)}[decision.verdict]
    assert lengths[0] <= len(decision.candidates) <= lengths[1]
    assert decision.family == (decision.candidates[0] if decision.verdict is Verdict.MATCH else None)
    assert calibrated or decision.verdict is not Verdict.UNKNOWN


def test_one_mislabeled_photo_does_not_decide_in_a_large_index() -> None:
    """The nearest 200 hold one photo of the wrong family; its other photos are farther than all of them."""
    found = [(0.95, "honey"), *[(0.94, "mason")] * 198, (0.5, "mason")]

    decision = decide(*split(found), sizes={"honey": 500, "mason": 500}, calibration=CALIBRATED)

    assert decision.families[0].family == "mason"


@pytest.mark.parametrize(
    ("found", "verdict", "candidates"),
    [
        ([(0.9, "mason"), (0.3, "honey"), (0.2, "mining"), (0.1, "carpenter")], Verdict.MATCH, ("mason",)),
        (
            [(0.8, "mason"), (0.79, "mining"), (0.1, "honey"), (0.1, "carpenter")],
            Verdict.AMBIGUOUS,
            ("mason", "mining"),
        ),
        (
            [(0.8, "mason"), (0.79, "mining"), (0.78, "honey"), (0.1, "carpenter")],
            Verdict.AMBIGUOUS,
            ("mason", "mining", "honey"),
        ),
        ([(0.39, "mason"), (0.1, "honey"), (0.0, "mining"), (0.0, "carpenter")], Verdict.UNKNOWN, ()),
    ],
)
def test_verdicts_follow_the_thresholds(
    found: list[tuple[float, str]], verdict: Verdict, candidates: tuple[str, ...]
) -> None:
    similarities, families = split(found)

    decision = decide(similarities, families, sizes=dict.fromkeys(FAMILIES, 1), calibration=CALIBRATED)

    assert (decision.verdict, decision.candidates) == (verdict, candidates)


def test_a_third_family_that_is_out_of_question_is_not_named() -> None:
    """No probability is enough for a MATCH, so that even the third would be needed to reach the threshold."""
    certain = Calibration(temperature=0.05, match_from=1.0)
    found = [(0.8, "mason"), (0.78, "mining"), (0.1, "honey"), (0.1, "carpenter")]

    decision = decide(*split(found), sizes=dict.fromkeys(FAMILIES, 1), calibration=certain)

    assert (decision.verdict, decision.candidates) == (Verdict.AMBIGUOUS, ("mason", "mining"))


def test_a_large_family_has_no_more_votes_than_a_small_one() -> None:
    found = [(0.7, "honey")] * 30 + [(0.75, "mason")] * 2

    decision = decide(*split(found), sizes={"honey": 30, "mason": 2}, calibration=CALIBRATED)

    assert decision.families[0].family == "mason"


def test_one_mislabeled_neighbor_does_not_decide() -> None:
    found = [(0.95, "honey"), (0.2, "honey"), (0.2, "honey"), (0.9, "mason"), (0.9, "mason"), (0.9, "mason")]

    decision = decide(*split(found), sizes={"honey": 3, "mason": 3}, calibration=CALIBRATED)

    assert decision.families[0].family == "mason"


def test_replies_of_an_uncalibrated_embedder_say_so() -> None:
    decision = decide(*split([(0.9, "mason"), (0.1, "honey")]), sizes={"honey": 1, "mason": 1}, calibration=None)

    assert decision.verdict is Verdict.MATCH
    assert "no threshold was fitted" in decision.reason


def test_replies_that_cannot_say_unknown_say_so() -> None:
    calibration = Calibration(temperature=0.1, match_from=0.7)

    decision = decide(*split([(-0.5, "mason")]), sizes={"mason": 1, "honey": 1}, calibration=calibration)

    assert decision.verdict is not Verdict.UNKNOWN
    assert "unknown families can't be told" in decision.reason


def test_softmax_survives_the_smallest_temperature() -> None:
    probabilities = soften(np.array([1.0, 0.5, -1.0]), 1e-6)

    assert probabilities.tolist() == [1.0, 0.0, 0.0]


def test_a_decision_without_neighbors_is_refused() -> None:
    with pytest.raises(ValueError, match="received 0 similarities"):
        decide(np.array([], np.float32), [], sizes=SIZES, calibration=None)


def test_calibrations_of_older_bundles_load_and_new_ones_survive_json() -> None:
    older = '{"temperature": 0.1, "match_from": 0.7, "held_out_photos": 60, "false_accept_rate": 0.2, "note": "n"}'
    newer = Calibration(
        temperature=0.1,
        calibration_error=Figure(value=0.03, low=0.0, high=0.08),
        open_set_auroc=Figure(value=0.7, low=0.6, high=0.8),
        target_false_accept_rate=0.1,
    )

    assert Calibration.model_validate_json(older).open_set_auroc is None
    assert Calibration.model_validate_json(newer.model_dump_json()) == newer


FAMILIAR = CALIBRATED.model_copy(
    update={
        "familiarity": FamiliarityThreshold(
            unfamiliar_below=0.3, false_reject_rate=Figure(value=0.1, low=0.05, high=0.2)
        )
    }
)
NEAR = [(0.9, "mason"), (0.3, "honey"), (0.2, "mining"), (0.1, "carpenter")]
FAR = [(0.39, "mason"), (0.1, "honey"), (0.0, "mining"), (0.0, "carpenter")]


@pytest.mark.parametrize(
    ("found", "familiarity", "verdict", "word"),
    [
        (NEAR, 0.31, Verdict.MATCH, "mason with probability 1.00"),
        (
            NEAR,
            0.29,
            Verdict.UNKNOWN,
            "its familiarity is 0.29, below 0.30; the best family, mason, has similarity 0.90",
        ),
        (FAR, 0.31, Verdict.MATCH, "mason with probability"),
        (FAR, 0.29, Verdict.UNKNOWN, "unlike those that the embedder was trained on"),
    ],
)
def test_of_a_photo_its_familiarity_alone_decides_whether_it_is_unknown(
    found: list[tuple[float, str]], familiarity: float, verdict: Verdict, word: str
) -> None:
    decision = decide(*split(found), sizes=dict.fromkeys(FAMILIES, 1), calibration=FAMILIAR, familiarity=familiarity)

    assert decision.verdict is verdict
    assert word in decision.reason
    assert "vector alone" not in decision.reason


@pytest.mark.parametrize(("found", "verdict"), [(NEAR, Verdict.MATCH), (FAR, Verdict.UNKNOWN)])
def test_poor_evidence_makes_a_photo_less_familiar(found: list[tuple[float, str]], verdict: Verdict) -> None:
    """By as much as training found it worth: 4 log-odds a cosine, from 0.31 to 0.06."""
    threshold = FAMILIAR.familiarity
    assert threshold is not None
    weighed = threshold.model_copy(update={"evidence_weight": 4.0, "usual_evidence": 0.9})

    decision = decide(
        *split(found),
        sizes=dict.fromkeys(FAMILIES, 1),
        calibration=FAMILIAR.model_copy(update={"familiarity": weighed}),
        familiarity=0.31,
    )

    assert decision.verdict is verdict
    assert ("its familiarity is 0.06, below 0.30" in decision.reason) == (verdict is Verdict.UNKNOWN)


@pytest.mark.parametrize(("found", "verdict"), [(NEAR, Verdict.MATCH), (FAR, Verdict.UNKNOWN)])
def test_of_a_vector_alone_the_evidence_decides_and_the_reason_says_so(
    found: list[tuple[float, str]], verdict: Verdict
) -> None:
    decision = decide(*split(found), sizes=dict.fromkeys(FAMILIES, 1), calibration=FAMILIAR)

    assert decision.verdict is verdict
    assert decision.reason.endswith("(whether its family is known was judged by the vector alone)")


def test_an_embedder_that_measures_no_familiarity_judges_by_the_evidence_without_a_word() -> None:
    decision = decide(*split(FAR), sizes=dict.fromkeys(FAMILIES, 1), calibration=CALIBRATED, familiarity=0.9)

    assert decision.verdict is Verdict.UNKNOWN
    assert "vector alone" not in decision.reason


def test_a_photo_like_those_of_a_family_that_came_after_the_training_is_judged_by_its_evidence() -> None:
    """It is unlike the training photos, and yet has its like in the index."""
    decision = decide(
        *split(NEAR),
        sizes=dict.fromkeys(FAMILIES, 1),
        calibration=FAMILIAR,
        familiarity=0.01,
        untrained={"mason", "carpenter"},
    )

    assert (decision.verdict, decision.family) == (Verdict.MATCH, "mason")
    assert "vector alone" in decision.reason


def test_a_long_tail_does_not_drown_small_families() -> None:
    """Families of 100 to 3 photos, well apart and of the same spread: a vote of ten loses the smallest."""
    generator = np.random.default_rng(0)
    sizes = {"honey": 100, "mason": 30, "mining": 10, "carpenter": 3}
    centers = np.linalg.qr(generator.standard_normal((24, 4)))[0].T

    def draw(family: int, count: int) -> np.ndarray:
        rows = centers[family] + 0.2 * generator.standard_normal((count, 24))
        unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit

    known = np.concatenate([draw(i, size) for i, size in enumerate(sizes.values())]).astype(np.float32)
    names = [family for family, size in sizes.items() for _ in range(size)]
    decided, voted = {}, {}
    for i, family in enumerate(sizes):
        similarities = draw(i, 200).astype(np.float32) @ known.T
        nearest = np.argsort(-similarities, axis=1)
        found = [
            decide(row[order], [names[j] for j in order], sizes=sizes, calibration=None).families[0].family
            for row, order in zip(similarities, nearest, strict=True)
        ]
        votes = [[names[j] for j in order[:10]] for order in nearest]
        decided[family] = np.mean([name == family for name in found])
        voted[family] = np.mean([max(sizes, key=vote.count) == family for vote in votes])

    assert voted["carpenter"] < 0.5
    assert min(decided.values()) > 0.9
