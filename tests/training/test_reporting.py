"""What the report shows of a training, against the scores that it is made of; and that of a small real gallery."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beedex.index.bundle import WeightsProvenance
from beedex.index.decision import Calibration
from beedex.index.gallery import scan_gallery
from beedex.index.metrics import RetrievalScores
from beedex.training.backbone.features import Features
from beedex.training.backbone.taps import Block
from beedex.training.bundlereport import compose_training_report
from beedex.training.export import Provenance
from beedex.training.fitting.fit import FitConfig
from beedex.training.fitting.guard import Action
from beedex.training.fitting.history import Evaluation, HistoryRecorder
from beedex.training.fitting.model import HeadShape
from beedex.training.folds import Protocol
from beedex.training.judging.crossvalidation import CrossValidation, cross_validate
from beedex.training.judging.figures import Judgement
from beedex.training.judging.retraining import judge_cross_validation
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe
from beedex.training.recipes.selection import BlockGrams
from beedex.training.recipes.stages import TrainedStages, train_stages
from beedex.training.report import Origin, ReportContent, write_report
from beedex.training.reporting import (
    count_confusions,
    list_lookups,
    list_taps,
    name_histories,
    read_calibration,
    spell_command,
    tabulate,
)
from beedex.training.trainingset import TrainingSet, read_training_set

NAN = float("nan")
LABELS = np.repeat([0, 1], [20, 4])
GROUPS = tuple(f"{i // 2}" for i in range(24))
FAMILIES = ("ant", "bee", "wasp")


def make_scores(hits) -> RetrievalScores:
    return RetrievalScores(hits, hits * 0.8, hits * 0.6)


def make_judgement(**others) -> Judgement:
    generator = np.random.default_rng(0)
    draw = {name: (generator.random((2, 24)) < 0.7).astype(np.float64) for name in ("trained", "frozen", "probe_hits")}
    parts: dict[str, Any] = {
        "labels": LABELS,
        "groups": GROUPS,
        "families": FAMILIES,
        "trained": make_scores(draw["trained"]),
        "frozen": make_scores(draw["frozen"]),
        "chance": make_scores(np.full((2, 24), 0.5)),
        "probe_hits": draw["probe_hits"],
    }
    return Judgement(**parts | others)


def test_the_table_has_the_figures_over_photos_and_over_families_beside_their_baselines() -> None:
    judgement = make_judgement()

    results = tabulate(judgement, protocol="by folds", notes=["a note"])

    assert [row.name for row in results.figures] == [
        *("Recall@1", "R-precision", "MAP@R"),
        *("Recall@1, mean of families", "R-precision, mean of families", "MAP@R, mean of families"),
    ]
    recall, _, precision, *_ = results.figures
    assert recall.frozen
    assert recall.probe
    assert judgement.probe_hits is not None
    assert recall.trained.value == pytest.approx(judgement.trained.hit_at_1.mean())
    assert recall.frozen.value == pytest.approx(judgement.frozen.hit_at_1.mean())
    assert recall.probe.value == pytest.approx(judgement.probe_hits.mean())
    assert recall.chance == pytest.approx(0.5)
    assert precision.chance == pytest.approx(0.3)
    assert [row.probe is None for row in results.figures] == [False, True, True, True, True, True]
    ant, bee, wasp = results.families
    assert ant.recall
    assert (ant.family, ant.photos, ant.groups, ant.judged) == ("ant", 20, 10, True)
    assert ant.recall.value == pytest.approx(judgement.trained.hit_at_1[:, :20].mean())
    assert (bee.photos, bee.judged) == (4, False)
    assert (wasp.photos, wasp.recall) == (0, None)
    assert len(results.comparisons) == 3
    assert (results.protocol, results.notes) == ("by folds", ("a note",))


@pytest.mark.parametrize(("unseen", "rows"), [(np.ones((2, 24)), 9), (np.full((2, 24), NAN), 6)])
def test_look_ups_among_unseen_photos_are_shown_where_there_are_some(unseen, rows: int) -> None:
    results = tabulate(make_judgement(unseen=make_scores(unseen), probe_hits=None), protocol="", notes=[])

    assert len(results.figures) == rows
    assert all(np.isfinite(row.trained.value) for row in results.figures)
    assert results.figures[0].probe is None
    assert len(results.comparisons) == 2


def test_confusions_count_each_photo_once_however_often_it_was_held_out() -> None:
    probabilities = np.array(
        [
            [[0.9, 0.1, NAN], [0.2, 0.7, 0.1], [NAN, NAN, NAN], [NAN, NAN, NAN]],
            [[0.4, 0.6, 0.0], [0.1, 0.2, 0.7], [0.5, 0.3, 0.2], [NAN, NAN, NAN]],
        ]
    )

    counts = count_confusions(probabilities, np.array([0, 0, 2, 1]), 3).counts

    # The first was ant and bee, the second bee and wasp, the third ant, the fourth nothing.
    np.testing.assert_allclose(counts, [[0.5, 1.0, 0.5], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])


def make_cross_validation(scores: RetrievalScores, evidence) -> CrossValidation:
    repeats, count = scores.hit_at_1.shape
    return CrossValidation(
        protocol=Protocol(folds=2, held_out=2, repeats=repeats, why="made"),
        splits=2 * repeats,
        scores={"trained": scores},
        probe_hits=scores.hit_at_1,
        evidence=evidence,
        familiarity=np.full((repeats, count), 0.5),
        neighbors=np.tile(np.arange(3), (count, 1)),
        similarities=np.full((count, 3), 0.5, np.float32),
        choices=[],
    )


def test_look_ups_are_means_over_repeats_and_say_nothing_of_photos_that_were_not_judged() -> None:
    hits = np.array([[1.0, 0.0, NAN, 1.0, NAN], [1.0, 0.0, 1.0, 0.0, NAN]])

    lookups = list_lookups(make_cross_validation(make_scores(hits), np.zeros((2, 5, 2))), np.zeros(5, np.int64))

    np.testing.assert_array_equal(lookups.hits, [1, 0, 1, 1, NAN])
    np.testing.assert_allclose(lookups.average_precision, [0.6, 0, 0.6, 0.3, NAN])
    assert lookups.photos.tolist() == [0, 1, 2, 3, 4]


def test_repeats_do_not_narrow_the_intervals_of_the_reliability_diagram() -> None:
    """A dot of 3 n look-ups has Wilson's interval of n: its ends are z of their own standard errors from the share."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 60)
    evidence = np.eye(2)[labels] * 0.2 + generator.normal(0, 0.15, (3, 60, 2))
    calibration = Calibration(temperature=0.2, note="by hand")

    found = read_calibration(
        calibration, make_cross_validation(make_scores(np.ones((3, 60))), evidence), labels, list(map(str, range(60)))
    )

    assert sum(dot.count for dot in found.bins) == 180
    for dot in found.bins:
        share, photos = dot.right.value, dot.count / 3
        for end in (dot.right.low, dot.right.high):
            assert (end - share) ** 2 == pytest.approx(1.96**2 * end * (1 - end) / photos, abs=1e-12)
        assert dot.right.low <= share <= dot.right.high
    assert len({dot.right.value for dot in found.bins}) > 1
    assert (found.temperature, found.note) == (0.2, "by hand")


def test_trainings_are_named_and_their_best_step_is_that_of_the_weights() -> None:
    recorder = HistoryRecorder()
    recorder.extend(np.arange(20, dtype=np.float32).reshape(4, 5))
    recorder.evaluations += [
        Evaluation(step=step, map_at_r=value, recall_at_1=0.5, standard_error=0.1)
        for step, value in ((0, 0.2), (2, NAN), (3, 0.8), (4, 0.8))
    ]
    recorder.actions.append(
        Action(step=2, to_start=False, rate_scale=0.3, mining="semi-hard", action="back", evidence="seen")
    )
    refit = HistoryRecorder()
    refit.extend(np.ones((3, 5), np.float32))

    trial, head = name_histories({"head-trial": recorder.freeze(), "head": refit.freeze()})

    assert (trial.name, head.name) == ("Head, with held-out photos", "Head, on all photos")
    assert (trial.best_step, head.best_step) == (3, None)
    assert [(action.step, action.action, action.evidence) for action in trial.actions] == [(2, "back", "seen")]
    assert trial.loss.tolist() == [0, 5, 10, 15]
    assert trial.learning_rate.tolist() == [4, 9, 14, 19]


def test_the_command_is_quoted_as_a_shell_takes_it(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/beedex/client/__main__.py", "train", "my photos", "--seed", "3"])

    assert spell_command() == "beedex train 'my photos' --seed 3"


EARLY, LATE = Block("mixed8", "mean"), Block("mixed10", "mean")
ORIGIN = Origin(command="beedex train", fingerprint="ab" * 32, weights="drawn", gallery_digest="cd" * 32)


@pytest.fixture(scope="module")
def trained(tiny_gallery: Path) -> Iterator[tuple[TrainingSet, Material, TrainedStages, CrossValidation]]:
    """A training on made features of the tiny gallery's photos."""
    data = read_training_set(scan_gallery(tiny_gallery))
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((18, 1, 2, 8))
    rows[:, :, 1] += 4 * np.eye(8)[data.labels][:, np.newaxis]
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    columns = {EARLY: slice(0, 8), LATE: slice(8, 16)}
    features = Features.from_array(rows.reshape(18, 1, 16).astype(np.float32), columns=columns)
    grams = BlockGrams.measure(features, data.labels, data.groups, seed=0, blocks=[EARLY, LATE])
    material = Material(features=features, labels=data.labels, groups=data.groups, families=data.families, grams=grams)
    recipe = Recipe(
        candidates=((EARLY,), (LATE,)),
        shape=HeadShape(dimension=4),
        fit=FitConfig(
            families_per_batch=3, photos_per_family=2, epochs=1, fewest_steps=10, evaluate_every=5, patience=1
        ),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beedex.training.folds.FOLDS", 2)
        patch.setattr("beedex.training.folds.REPEATS", 1)
        yield data, material, train_stages(material, recipe), cross_validate(material, recipe)


@pytest.fixture
def content(trained) -> ReportContent:
    data, material, stages, held_out = trained
    provenance = Provenance(
        weights=WeightsProvenance(kind="random", sha256="0" * 64, note="drawn"),
        training={},
        metrics={"left_out": ["nothing was left out"]},
        calibration=Calibration(temperature=0.1, note="set by hand"),
    )
    compose = compose_training_report(
        data=data,
        material=material,
        stages=stages,
        held_out=held_out,
        judgement=judge_cross_validation(held_out, material),
        provenance=provenance,
        protocol="two folds",
    )
    return compose(ORIGIN)


def test_the_report_of_a_training_shows_its_photos_beside_what_was_found_of_them(content, trained) -> None:
    data, material, stages, held_out = trained

    assert content.origin is ORIGIN
    assert content.families == data.families
    assert content.labels.tolist() == material.labels.tolist()
    assert [photo.group for photo in content.photos] == list(material.groups)
    for number, photo in enumerate(data.photos):
        path = data.inspection.gallery.root / photo.photo.path
        assert content.photos[number].path == photo.photo.path.as_posix()
        assert content.read_photo(number) == path.read_bytes()
    np.testing.assert_array_equal(content.embedding_map.embeddings, stages.embed(material))
    np.testing.assert_array_equal(content.embedding_map.features, material.features.select([LATE]).matrix())
    assert content.embedding_map.trained_on
    np.testing.assert_array_equal(content.lookups.neighbors, held_out.neighbors)
    assert content.confusion.counts.sum() == pytest.approx(18)
    known = [np.nanargmax(held_out.evidence[0], axis=1) == c for c in range(3)]
    counts = [[(known[c] & (material.labels == label)).sum() for c in range(3)] for label in range(3)]
    np.testing.assert_allclose(content.confusion.counts, counts)
    assert [history.name for history in content.histories] == ["Head, with held-out photos", "Head, on all photos"]
    assert content.results.notes == ("nothing was left out",)
    assert content.calibration.note == "set by hand"


def test_the_blocks_that_were_compared_are_listed_best_first(content, trained) -> None:
    selection = trained[2].choices.selection

    assert [(tap.name, tap.chosen) for tap in content.taps] == [("mixed10:mean", True), ("mixed8:mean", False)]
    assert [tap.map_at_r for tap in content.taps] == [row.map_at_r for row in selection.candidates]
    assert list_taps(None) == ()


def test_the_page_is_written(content, tmp_path) -> None:
    write_report(tmp_path / "report.html", content)

    page = (tmp_path / "report.html").read_text()
    for said in ("two folds", "nothing was left out", "mixed10:mean", "Head, on all photos", content.photos[0].path):
        assert said in page
