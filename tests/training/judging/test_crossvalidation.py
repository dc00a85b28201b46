"""Held-out figures on features made for the purpose, against one split's training and look-ups by hand."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.training.backbone.features import Features
from beedex.training.backbone.taps import Block
from beedex.training.errors import TrainingError
from beedex.training.fitting.checkpoints import Checkpoint
from beedex.training.fitting.fit import FitConfig
from beedex.training.fitting.model import HeadShape
from beedex.training.folds import Split, choose_protocol, draw_splits
from beedex.training.judging.crossvalidation import (
    LOOKUPS,
    CrossValidation,
    count_outside_heads,
    cross_validate,
    weigh_outsiders,
)
from beedex.training.judging.familiarity import fit_familiarity
from beedex.training.judging.probe import fit_probe
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe
from beedex.training.recipes.runfolder import RunFolder, open_run_folder
from beedex.training.recipes.selection import BlockGrams
from beedex.training.recipes.stages import Choices, train_stages

EARLY, LATE = Block("mixed8", "mean"), Block("mixed10", "mean")
QUICK = FitConfig(
    families_per_batch=3,
    photos_per_family=3,
    epochs=1,
    fewest_steps=20,
    learning_rate=1e-2,
    evaluate_every=10,
    patience=1,
)
RECIPE = Recipe(candidates=((EARLY,), (LATE,)), shape=HeadShape(dimension=8), fit=QUICK, other_learning_rates=())
ONE_SET = replace(RECIPE, candidates=((LATE,),))

# Photos of one group of two stand side by side, families take turns.
LABELS = np.tile(np.repeat(np.arange(3), 2), 6)
GROUPS = tuple(f"group {i // 2}" for i in range(36))

# Look-ups at as many neighbors as there are known photos: a family's evidence is the mean of its three nearest.
NEAREST = 3


class Counter:
    """Counts splits, keeps what is noted, and breaks off after so many splits."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.done = limit, 0
        self.notes: list[str] = []

    def __call__(self, done: int, /) -> None:
        self.done += done
        if self.done == self.limit:
            raise KeyboardInterrupt

    def note(self, text: str, /) -> None:
        self.notes.append(text)


@dataclass(frozen=True)
class Run:
    material: Material
    found: CrossValidation
    counter: Counter
    folder: RunFolder

    @property
    def splits(self) -> list[Split]:
        return list(draw_splits(LABELS, GROUPS, self.found.protocol, seed=QUICK.seed))


@pytest.fixture(scope="module", autouse=True)
def few_splits() -> Iterator[None]:
    """Four splits instead of fifteen."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("beedex.training.folds.FOLDS", 2)
        patch.setattr("beedex.training.folds.REPEATS", 2)
        yield


@pytest.fixture(scope="module")
def run(draw_material, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A whole cross-validation, and the folder of its run."""
    material = draw_material(LABELS, GROUPS, signals={EARLY: 0.3, LATE: 1.6}, views=2)
    counter = Counter()
    with open_run_folder(tmp_path_factory.mktemp("run") / "bees", "key") as folder:
        yield Run(material, cross_validate(material, RECIPE, folder=folder, progress=counter), counter, folder)


def test_every_photo_is_judged_once_in_every_repeat(run: Run) -> None:
    found = run.found

    assert (found.protocol.held_out, found.protocol.repeats, found.splits) == (2, 2, 4)
    assert run.counter.done == 4
    arrays = [found.probe_hits, found.evidence.max(axis=2)]
    arrays += [getattr(scores, name) for scores in found.scores.values() for name in scores.__slots__]
    assert set(found.scores) == {*LOOKUPS, "chance"}
    for array in arrays:
        assert array.shape == (2, 36)
        assert np.isfinite(array).all()
    assert len(found.choices) == 4
    assert {tuple(choice["blocks"]) for choice in found.choices} <= {(str(EARLY),), (str(LATE),)}
    trained, frozen = (found.scores[name].hit_at_1.mean() for name in ("trained", "frozen"))
    assert run.counter.notes[-1] == f"Recall@1 {trained:.2f}, frozen {frozen:.2f}"


def look_up(similarities: NDArray[np.float32], label: int, labels: NDArray[np.int64]) -> tuple[float, float, float]:
    """Recall@1, R-precision and MAP@R's term of one photo."""
    relevant = int((labels == label).sum())
    right = (labels[np.argsort(-similarities, kind="stable")] == label).tolist()
    ranks = [rank for rank in range(relevant) if right[rank]]
    precision = sum(sum(right[: rank + 1]) / (rank + 1) for rank in ranks) / relevant
    return float(right[0]), len(ranks) / relevant, precision


def assert_scores(
    found: CrossValidation, lookup: str, split: Split, expected: list[tuple[float, float, float]]
) -> None:
    scores = found.scores[lookup]
    names = ("hit_at_1", "r_precision", "average_precision_at_r")
    for name, column in zip(names, zip(*expected, strict=True), strict=True):
        np.testing.assert_allclose(getattr(scores, name)[split.repeat, split.held_out], column, atol=1e-12)


@pytest.mark.parametrize("number", [0, 3])
def test_a_split_is_judged_as_by_hand(run: Run, number: int) -> None:
    material, found, split = run.material, run.found, run.splits[number]
    known, held_out = material.take(~split.held_out), material.take(split.held_out)
    assert not set(known.groups) & set(held_out.groups)

    stages = train_stages(known, RECIPE)

    reference, vectors = stages.embed(known), stages.embed(held_out)
    similarities = vectors @ reference.T
    labels, asked = known.labels, held_out.labels
    assert_scores(found, "trained", split, [look_up(*row, labels) for row in zip(similarities, asked, strict=True)])
    features, frozen = stages.read_frozen(known), stages.read_frozen(held_out)
    assert_scores(
        found, "frozen", split, [look_up(*row, labels) for row in zip(frozen @ features.T, asked, strict=True)]
    )
    groups = np.array(held_out.groups)
    others = [np.flatnonzero(groups != group) for group in groups]  # (n,) without a photo's own group
    all_pairs = vectors @ vectors.T
    unseen = [look_up(all_pairs[i, rest], asked[i], asked[rest]) for i, rest in enumerate(others)]
    assert_scores(found, "unseen", split, unseen)
    np.testing.assert_allclose(
        found.scores["chance"].hit_at_1[split.repeat, split.held_out], [(labels == label).mean() for label in asked]
    )
    probe = fit_probe(features, labels, known.groups, seed=QUICK.seed)
    assert (found.probe_hits[split.repeat, split.held_out] == (probe.predict(frozen) == asked)).all()
    evidence = [[np.sort(row[labels == c])[-NEAREST:].mean() for c in range(3)] for row in similarities]
    np.testing.assert_allclose(found.evidence[split.repeat, split.held_out], evidence, atol=1e-6)
    familiarity = fit_familiarity(features, labels, seed=QUICK.seed).measure(frozen)
    np.testing.assert_allclose(found.familiarity[split.repeat, split.held_out], familiarity, rtol=1e-6)
    assert stages.choices.selection is not None
    assert found.choices[number] == {
        "blocks": [str(block) for block in stages.choices.selection.blocks],
        "learning_rate": None,
        "steps": {part: len(history.steps) for part, history in stages.histories.items()},
    }
    if split.repeat == 0:
        nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :8]
        assert found.neighbors[split.held_out].tolist() == np.flatnonzero(~split.held_out)[nearest].tolist()
        by_rank = np.take_along_axis(similarities, nearest, axis=1)
        np.testing.assert_allclose(found.similarities[split.held_out], by_rank, atol=1e-6)


def test_no_photo_finds_one_of_its_own_group(run: Run) -> None:
    groups = np.array(GROUPS)

    assert not (groups[run.found.neighbors] == groups[:, np.newaxis]).any()


def test_embedders_of_families_that_can_be_told_apart_find_more_than_chance(run: Run) -> None:
    chance = run.found.scores["chance"].hit_at_1.mean()

    assert chance == pytest.approx(1 / 3, abs=0.05)
    for values in (run.found.probe_hits, *(run.found.scores[lookup].hit_at_1 for lookup in LOOKUPS)):
        assert values.mean() > chance + 0.2


def disturb(run: Run, split: Split) -> tuple[Material, NDArray[np.bool_]]:
    """Swap the labels of two held-out groups, such that the split stays, and draw their features anew."""
    names = np.array(GROUPS)
    for pair in combinations(np.unique(names[split.held_out]).tolist(), 2):
        first, second = (np.flatnonzero(names == name) for name in pair)
        labels = LABELS.copy()
        labels[first], labels[second] = LABELS[second], LABELS[first]
        again = next(draw_splits(labels, GROUPS, choose_protocol(labels, GROUPS), seed=QUICK.seed))
        if labels[first[0]] != LABELS[first[0]] and (again.held_out == split.held_out).all():
            break
    else:
        raise AssertionError("no two groups can be swapped")
    array = np.stack([run.material.features.matrix(view) for view in range(2)], axis=1)
    changed = np.isin(names, pair)
    array[changed] = np.random.default_rng(8).standard_normal((int(changed.sum()), *array.shape[1:]))
    width = array.shape[-1] // 2
    features = Features.from_array(array, columns={EARLY: slice(0, width), LATE: slice(width, None)})
    grams = BlockGrams.measure(features, labels, GROUPS, seed=0, blocks=[EARLY, LATE])
    return replace(run.material, features=features, labels=labels, grams=grams), changed


def test_nothing_of_a_held_out_photo_enters_its_split(run: Run, tmp_path) -> None:
    """Not the choice of blocks, the steps, the standardization, the weights or the probe: others are judged alike."""
    split = run.splits[0]
    material, changed = disturb(run, split)

    with pytest.raises(KeyboardInterrupt), open_run_folder(tmp_path / "bees", "key") as folder:
        cross_validate(material, RECIPE, folder=folder, progress=Counter(limit=1))

    before, after = (of.name_file("split-0").read() for of in (run.folder, folder))
    assert before is not None
    assert after is not None
    assert after.header == before.header
    same = ~changed[split.held_out]
    assert 0 < same.sum() < len(same)
    for name in (*(f"{lookup}.hit_at_1" for lookup in ("trained", "frozen", "chance")), "probe", "evidence"):
        np.testing.assert_array_equal(after.arrays[name][same], before.arrays[name][same])
    np.testing.assert_array_equal(after.arrays["similarities"][same], before.arrays["similarities"][same])
    assert np.abs(after.arrays["evidence"][~same] - before.arrays["evidence"][~same]).max() > 0.01


def test_what_is_done_is_read_again_and_not_done_again(run: Run) -> None:
    file = run.folder.name_file("split-2")
    done = file.read()
    assert done is not None
    marked = replace(done, arrays=done.arrays | {"evidence": done.arrays["evidence"] + 7})
    file.write(marked)
    times = {path: path.stat().st_mtime_ns for path in run.folder.path.iterdir()}

    again = cross_validate(run.material, RECIPE, folder=run.folder)

    file.write(done)
    expected = run.found.evidence.copy()
    expected[run.splits[2].repeat, run.splits[2].held_out] += 7
    np.testing.assert_array_equal(again.evidence, expected)
    np.testing.assert_array_equal(again.neighbors, run.found.neighbors)
    for lookup in (*LOOKUPS, "chance"):
        np.testing.assert_array_equal(again.scores[lookup].hit_at_1, run.found.scores[lookup].hit_at_1)
    assert again.choices == run.found.choices
    assert {path: path.stat().st_mtime_ns for path in times if path != file.path} == {
        path: time for path, time in times.items() if path != file.path
    }


def test_labels_without_meaning_are_judged_as_chance() -> None:
    """What a leak between folds would betray: photos of a group are alike, and their labels are drawn."""
    generator = np.random.default_rng(4)
    groups = np.repeat(np.arange(45), 3)
    labels = generator.permutation(np.repeat(np.arange(3), 15))[groups]
    rows = generator.standard_normal((45, 2, 16))[groups] + generator.normal(0, 0.05, (135, 2, 16))
    rows /= np.linalg.norm(rows, axis=-1, keepdims=True)
    columns = {EARLY: slice(0, 16), LATE: slice(16, 32)}
    features = Features.from_array(rows.reshape(135, 1, 32).astype(np.float32), columns=columns)
    names = tuple(map(str, groups))
    grams = BlockGrams.measure(features, labels, names, seed=0, blocks=[EARLY, LATE])
    material = Material(features=features, labels=labels, groups=names, families=("a", "b", "c"), grams=grams)

    found = cross_validate(material, RECIPE)

    hits = {lookup: found.scores[lookup].hit_at_1 for lookup in LOOKUPS} | {"probe": found.probe_hits}
    # 45 groups twice: the standard error is at most 0.07.
    for name, values in hits.items():
        assert 1 / 3 - 0.2 < values.mean() < 1 / 3 + 0.2, name
    matrix = features.matrix()
    similarities = matrix @ matrix.T - 9 * np.eye(135)
    assert (groups[similarities.argmax(axis=1)] == groups).all()  # one of the own group would have been found


def test_two_families_of_two_groups_cannot_be_held_out(draw_material) -> None:
    with pytest.raises(TrainingError, match="no photo can be held out"):
        cross_validate(draw_material(np.repeat([0, 1], 4), ["a", "a", "b", "b", "c", "c", "d", "d"]), ONE_SET)


def test_where_only_photos_without_another_to_find_can_be_held_out_nothing_can(draw_material, monkeypatch) -> None:
    """Five folds of a group each: but for that of the family of one group, each leaves a family with one."""
    monkeypatch.setattr("beedex.training.folds.FOLDS", 5)
    counter = Counter()

    with pytest.raises(TrainingError, match="no photo can be held out"):
        cross_validate(draw_material(np.array([0, 0, 1, 1, 2])), ONE_SET, progress=counter)

    assert counter.notes == [""] * 10


def test_photos_without_another_to_find_are_judged_in_no_way(draw_material) -> None:
    """A look-up can't find a family of one group and a probe can't name it: neither counts as a mistake."""
    labels = np.array([0] * 8 + [1] * 8 + [2] * 2 + [3])

    found = cross_validate(draw_material(labels, signals={LATE: 3}), ONE_SET)

    alone = np.broadcast_to(labels == 3, (2, 19))
    for values in (found.probe_hits, *(found.scores[name].hit_at_1 for name in ("trained", "frozen", "chance"))):
        np.testing.assert_array_equal(np.isnan(values), alone)
    assert np.isnan(found.evidence[:, 18, 3]).all()
    assert np.isfinite(found.evidence[:, :, :3]).all()


OUTSIDE = Choices(head=0.4)


def test_photos_of_left_out_families_are_weighed_in_order_by_embedders_that_never_saw_them(draw_material) -> None:
    labels = np.random.default_rng(2).permutation(np.repeat(np.arange(4), 6))
    material = draw_material(labels, [f"{label}, {i // 3}" for i, label in enumerate(labels)], signals={LATE: 3})
    counter = Counter()

    found = weigh_outsiders(material, ONE_SET, OUTSIDE, progress=counter)

    order = np.argsort(labels, kind="stable")  # family by family, and photo by photo
    assert found.groups == tuple(material.groups[photo] for photo in order)
    assert counter.done == count_outside_heads(4) == 4
    for family in range(4):
        known, outside = material.take(labels != family), material.take(labels == family)
        stages = train_stages(known, ONE_SET, choices=OUTSIDE)
        similarities = stages.embed(outside) @ stages.embed(known).T
        others = [c for c in range(4) if c != family]
        best = [max(np.sort(row[known.labels == c])[-NEAREST:].mean() for c in others) for row in similarities]
        np.testing.assert_allclose(found.evidence[family * 6 : family * 6 + 6], best, atol=1e-6)
        measure = fit_familiarity(stages.read_frozen(known), known.labels, seed=QUICK.seed)
        familiar = measure.measure(stages.read_frozen(outside))
        np.testing.assert_allclose(found.familiarity[family * 6 : family * 6 + 6], familiar, rtol=1e-6)


def test_two_families_leave_none_outside(draw_material) -> None:
    found = weigh_outsiders(draw_material(np.repeat([0, 1], 4)), ONE_SET, OUTSIDE)

    assert found.evidence.shape == (0,)
    assert found.groups == ()
    assert count_outside_heads(2) == 0


def test_families_without_which_nothing_can_be_trained_are_passed_over(draw_material) -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])  # the third has one group
    material = draw_material(labels, ["a", "b", "c", "d", "e", "e"])
    counter = Counter()

    found = weigh_outsiders(material, ONE_SET, OUTSIDE, progress=counter)

    assert found.groups == ("e", "e")
    assert found.evidence.shape == (2,)
    assert counter.done == 3


def test_a_group_of_two_families_is_not_known_while_one_of_them_is_left_out(draw_material) -> None:
    """A photo of two bees lies in both families: its copy would be found at once."""
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2])
    material = draw_material(labels, ["both", "b", "c", "both", "e", "f", "g", "h", "i"])
    array = material.features.matrix()[:, np.newaxis].copy()
    array[3] = array[0]
    material = replace(material, features=Features.from_array(array), grams=None)

    found = weigh_outsiders(material, ONE_SET, OUTSIDE)

    assert found.groups[0] == "both"
    known = material.take(np.array([False, False, False, False, True, True, True, True, True]))
    stages = train_stages(known, ONE_SET, choices=OUTSIDE)
    similarities = stages.embed(material.take(np.arange(9) == 0)) @ stages.embed(known).T
    best = max(np.sort(similarities[0, known.labels == c])[-NEAREST:].mean() for c in (1, 2))
    assert found.evidence[0] == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize(("families", "heads"), [(1, 0), (3, 3), (6, 6), (7, 6), (300, 6)])
def test_many_families_are_left_out_several_at_a_time(families: int, heads: int) -> None:
    assert count_outside_heads(families) == heads


def test_embedders_of_left_out_families_that_are_done_are_not_trained_again(draw_material, tmp_path) -> None:
    material = draw_material(np.tile(np.arange(3), 4))
    marked = Checkpoint(header={}, arrays={"evidence": np.arange(4.0), "familiarity": np.arange(4.0) / 4})

    with open_run_folder(tmp_path / "bees", "key") as folder:
        for number in range(3):
            folder.name_file(f"outside-{number}").write(marked)
        found = weigh_outsiders(material, ONE_SET, OUTSIDE, folder=folder)

    assert found.evidence.tolist() == [0, 1, 2, 3] * 3
    assert found.familiarity.tolist() == [0, 0.25, 0.5, 0.75] * 3
