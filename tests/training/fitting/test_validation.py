"""Held-out photos while a network trains."""

import numpy as np
import pytest

from beedex.training.fitting.validation import Validation, Validator


def make_vectors(count, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def score_by_hand(vectors, labels, groups, queries, reference):
    """MAP@R and Recall@1 by loops."""
    precisions, hits = [], []
    for query in queries:
        others = [i for i in reference if groups[i] != groups[query]]
        right = sum(labels[i] == labels[query] for i in others)
        if right == 0:
            continue
        nearest = sorted(others, key=lambda i: -float(vectors[query] @ vectors[i]))
        found = [labels[i] == labels[query] for i in nearest[:right]]
        hits.append(found[0])
        precisions.append(sum(sum(found[: k + 1]) / (k + 1) * found[k] for k in range(right)) / right)
    return np.mean(precisions), np.mean(hits)


@pytest.mark.parametrize("reference", [None, [1, 2, 4, 5, 7, 8, 10]])
def test_figures_are_those_of_loops(reference):
    generator = np.random.default_rng(3)
    labels, groups = generator.integers(0, 3, 30), [f"g{i // 2}" for i in range(30)]
    queries = np.arange(20, 30)
    given = np.array(reference) if reference else None
    vectors = make_vectors(30)

    validator = Validator(Validation(photos=queries, reference=given), labels, groups, seed=0)
    evaluation = validator.evaluate(vectors.__getitem__, step=40)

    expected = score_by_hand(vectors, labels, groups, queries, reference or range(20))
    assert (evaluation.map_at_r, evaluation.recall_at_1) == pytest.approx(expected)
    assert evaluation.step == 40
    assert validator.trained.tolist() == list(range(20))


def test_photos_looked_up_among_each_other_do_not_find_their_own_group():
    labels = np.array([0, 0, 0, 1, 1, 1])
    groups = ["a", "a", "b", "c", "d", "d"]
    vectors = np.eye(8, dtype=np.float32)[[0, 0, 1, 1, 2, 2]]
    every = np.arange(6)

    evaluation = Validator(Validation(photos=every, reference=every), labels, groups, seed=0).evaluate(
        vectors.__getitem__, step=0
    )

    assert evaluation.recall_at_1 == pytest.approx(score_by_hand(vectors, labels, groups, every, every)[1])


def test_of_very_many_photos_a_part_is_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr("beedex.training.fitting.validation.MOST_HELD_OUT", 20)
    monkeypatch.setattr("beedex.training.fitting.validation.MOST_REFERENCE", 50)
    labels, groups = np.arange(400) % 4, [str(i) for i in range(400)]
    asked = []

    def embed(photos):
        asked.append(photos.tolist())
        return make_vectors(400)[photos]

    for seed in (0, 0, 1):
        Validator(Validation(photos=np.arange(100)), labels, groups, seed=seed).evaluate(embed, step=0)

    assert [len(photos) for photos in asked] == [20, 50] * 3
    assert asked[:2] == asked[2:4] != asked[4:]
    assert all(photo < 100 for photo in asked[0])
    assert all(photo >= 100 for photo in asked[1])


def test_vectors_that_are_no_numbers_have_no_figure():
    labels, groups = np.arange(12) % 2, [str(i) for i in range(12)]
    validator = Validator(Validation(photos=np.arange(4)), labels, groups, seed=0)

    evaluation = validator.evaluate(lambda photos: np.full((len(photos), 3), np.nan, np.float32), step=0)

    assert np.isnan([evaluation.map_at_r, evaluation.recall_at_1]).all()
