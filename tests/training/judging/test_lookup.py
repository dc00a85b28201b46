"""Looking up unseen photos, in one gallery and in two, against loops over photos."""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import pytest
from numpy.typing import NDArray

from beedex.index.gallery import GalleryPhoto
from beedex.index.inspection import InspectedPhoto
from beedex.training.errors import TrainingError
from beedex.training.judging.lookup import EmbeddedPhotos, Lookup
from beedex.training.judging.probe import fit_probe

FAMILIES = ("ant", "bee", "wasp")


def make_photos(
    labels: Sequence[int] | NDArray[np.int64],
    groups: Sequence[str],
    *,
    seed: int,
    contents: Sequence[str] | None = None,
    signal: float = 1.0,
) -> EmbeddedPhotos:
    """Photos whose vectors lie about their family's; the contents are unlike each other's unless given."""
    generator = np.random.default_rng(seed)
    photos = tuple(
        InspectedPhoto(
            photo=GalleryPhoto(path=PurePosixPath(f"{FAMILIES[label]}/{i}.jpg"), family=FAMILIES[label]),
            sha256=contents[i] if contents else f"{seed}:{i}",
            perceptual_hash="0" * 16,
            group=group,
        )
        for i, (label, group) in enumerate(zip(labels, groups, strict=True))
    )
    vectors = []
    for dimension in (8, 16):
        rows = signal * np.eye(dimension)[labels] + 0.5 * generator.standard_normal((len(photos), dimension))
        vectors.append((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))
    return EmbeddedPhotos(photos=photos, embeddings=vectors[0], features=vectors[1])


@pytest.fixture(autouse=True)
def few_look_ups_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that every gallery here is looked up in several pieces; and folds drawn once are enough."""
    monkeypatch.setattr("beedex.training.judging.lookup.QUERIES_AT_ONCE", 7)
    monkeypatch.setattr("beedex.training.folds.REPEATS", 1)


def score(similarities: NDArray[np.float32], right: NDArray[np.bool_], counted: NDArray[np.bool_]) -> list[float]:
    """Recall@1, R-precision, MAP@R's term and chance of one photo; NaN where nothing right is counted."""
    order = [i for i in np.argsort(-similarities, kind="stable") if counted[i]]
    relevant = int((right & counted).sum())
    if relevant == 0:
        return [np.nan] * 4
    first = [bool(right[i]) for i in order[:relevant]]
    precision = sum(sum(first[: rank + 1]) / (rank + 1) for rank in range(relevant) if first[rank]) / relevant
    return [float(first[0]), sum(first) / relevant, precision, relevant / len(order)]


def assert_judged_as_by_loops(lookup: Lookup, counted: NDArray[np.bool_]) -> None:
    """Compare with rankings of the reference photos that *counted* (Q, N) says."""
    queries, reference = lookup.queries, lookup.reference
    families = np.array([photo.photo.family for photo in reference.photos])
    judgement = lookup.judge()
    assert judgement.unseen is None
    assert judgement.groups == tuple(photo.group for photo in queries.photos)
    assert [judgement.families[label] for label in judgement.labels] == [photo.photo.family for photo in queries.photos]
    for i, photo in enumerate(queries.photos):
        right = families == photo.photo.family
        for scores, asked, known in (
            (judgement.trained, queries.embeddings, reference.embeddings),
            (judgement.frozen, queries.features, reference.features),
        ):
            found = [scores.hit_at_1[i], scores.r_precision[i], scores.average_precision_at_r[i]]
            *expected, chance = score(asked[i] @ known.T, right, counted[i])
            np.testing.assert_allclose(found, expected, atol=1e-12)
            np.testing.assert_allclose(judgement.chance.hit_at_1[i], chance)


def test_in_one_gallery_a_photo_does_not_find_itself_nor_its_group() -> None:
    labels = np.tile([0, 1, 2], 12)
    photos = make_photos(labels, [f"{i // 4}" for i in range(36)], seed=0)
    unseen = np.arange(36) % 5 != 0
    lookup = Lookup(queries=photos.take(unseen), reference=photos, shared=True)

    groups = np.array([photo.group for photo in photos.photos])
    assert_judged_as_by_loops(lookup, groups[unseen][:, np.newaxis] != groups)


def test_in_two_galleries_groups_of_one_name_are_others_and_copies_are_not_found() -> None:
    reference = make_photos([0, 0, 0, 1, 1, 1, 2, 2], list("abcabcab"), seed=1)
    labels = [0, 1, 2, 1, 0, 0, 1, 2, 2, 0]
    contents = ["x", "1:4", "y", "z", "1:0", "q", "r", "s", "1:7", "t"]  # some are in the reference
    queries = make_photos(labels, list("abcabcabca"), seed=2, contents=contents)
    lookup = Lookup(queries=queries, reference=reference, shared=False)

    counted = np.array([[content != photo.sha256 for photo in reference.photos] for content in contents])
    assert (~counted).sum() == 3
    assert_judged_as_by_loops(lookup, counted)


def test_neighbors_are_the_nearest_that_count_and_gaps_are_marked() -> None:
    labels = np.tile([0, 1], 6)
    groups = ["big"] * 9 + ["x", "y", "z"]
    photos = make_photos(labels, groups, seed=3)

    neighbors, similarities = Lookup(queries=photos, reference=photos, shared=True).find_neighbors(5)

    for i, group in enumerate(groups):
        others = [j for j in range(12) if groups[j] != group]
        cosines = photos.embeddings @ photos.embeddings[i]
        expected = sorted(others, key=lambda j: -cosines[j])[:5]
        gaps = 5 - len(expected)
        assert neighbors[i].tolist() == expected + [-1] * gaps
        np.testing.assert_allclose(similarities[i], [*cosines[expected], *[np.nan] * gaps], atol=1e-6)
    assert (neighbors == -1).any()


def test_fewer_reference_photos_than_neighbors_are_enough() -> None:
    reference = make_photos([0, 1], ["a", "b"], seed=4)
    queries = make_photos([0, 1, 1], ["a", "b", "c"], seed=5)

    neighbors, similarities = Lookup(queries=queries, reference=reference, shared=False).find_neighbors(3)

    assert neighbors.shape == similarities.shape == (3, 3)
    assert (neighbors[:, 2] == -1).all()
    assert np.isnan(similarities[:, 2]).all()


def test_in_one_gallery_the_probe_is_cross_validated_by_group() -> None:
    """Photos of a group are alike and labels are drawn by group: who was fitted on the group knows, others guess."""
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(45), 3)
    labels = generator.permutation(np.repeat(np.arange(3), 15))[groups]
    drawn = make_photos(labels, [str(group) for group in groups], seed=0)
    rows = generator.standard_normal((45, 64))[groups] + generator.normal(0, 0.05, (135, 64))
    features = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    photos = EmbeddedPhotos(photos=drawn.photos, embeddings=features, features=features)

    judgement = Lookup(queries=photos, reference=photos, shared=True).judge()

    assert fit_probe(features, labels, [str(group) for group in groups]).judge(features, labels).mean() > 0.8
    for name, values in (("trained", judgement.trained.hit_at_1), ("probe", judgement.probe_hits)):
        assert values is not None
        assert np.isfinite(values).all()
        assert 1 / 3 - 0.22 < values.mean() < 1 / 3 + 0.22, name  # 45 groups: three standard errors


def test_the_probe_learns_from_photos_that_were_trained_on_but_from_no_group_that_it_is_asked_about() -> None:
    photos = make_photos(np.tile([0, 1, 2], 10), [str(i // 2) for i in range(30)], seed=6, signal=2)
    unseen = np.arange(30) >= 28  # one group

    hits = Lookup(queries=photos.take(unseen), reference=photos, shared=True).judge().probe_hits

    assert hits is not None
    rest = photos.take(~unseen)
    labels = np.tile([0, 1, 2], 10)
    probe = fit_probe(rest.features, labels[~unseen], [photo.group for photo in rest.photos])
    np.testing.assert_array_equal(hits[0], probe.predict(photos.features[unseen]) == labels[unseen])


def test_in_two_galleries_the_probe_is_fitted_on_the_reference_but_for_copies_of_what_it_is_asked_about() -> None:
    labels = np.array([0, 1] * 15)
    swapped = np.where(np.arange(30) < 6, 1 - labels, labels)  # of the copies both galleries have a wrong label
    drawn = make_photos(labels, [str(i) for i in range(30)], seed=7, signal=2)
    reference = EmbeddedPhotos(
        photos=make_photos(swapped, [str(i) for i in range(30)], seed=7).photos,
        embeddings=drawn.embeddings,
        features=drawn.features,
    )
    queries = reference.take(np.arange(30) < 6)

    hits = Lookup(queries=queries, reference=reference, shared=False).judge().probe_hits

    assert hits is not None
    probe = fit_probe(drawn.features[6:], swapped[6:], [str(i) for i in range(6, 30)])
    np.testing.assert_array_equal(hits, probe.predict(queries.features) == swapped[:6])
    assert hits.mean() < 0.2


def test_families_that_the_reference_lacks_are_judged_in_no_way() -> None:
    reference = make_photos([0, 0, 0, 1, 1, 1], list("abcdef"), seed=8)
    queries = make_photos([0, 1, 2, 2], list("ghij"), seed=9)

    judgement = Lookup(queries=queries, reference=reference, shared=False).judge()

    assert judgement.families == FAMILIES
    for values in (judgement.trained.hit_at_1, judgement.frozen.hit_at_1, judgement.probe_hits):
        assert values is not None
        assert np.isnan(values).tolist() == [False, False, True, True]
    described = judgement.describe()
    assert described["n"] == 2
    assert described["families"] == {"ant": 1, "bee": 1, "wasp": 0}
    json.dumps(described, allow_nan=False)


def test_one_family_makes_no_probe() -> None:
    reference = make_photos([0, 0], list("ab"), seed=10)
    queries = make_photos([0, 1], list("cd"), seed=11)

    judgement = Lookup(queries=queries, reference=reference, shared=False).judge()

    assert judgement.probe_hits is None
    assert judgement.describe()["probe"] is None
    assert Lookup(queries=reference, reference=reference, shared=True).judge().probe_hits is None


def test_a_probe_that_knows_no_family_of_those_asked_about_is_none() -> None:
    """Of the family that is asked about, the reference has copies of the asked photos alone: each finds the other."""
    copies = make_photos([0, 0], list("ab"), seed=12)
    others = make_photos([1, 1, 2, 2], list("cdef"), seed=13)
    reference = EmbeddedPhotos(
        photos=copies.photos + others.photos,
        embeddings=np.concatenate([copies.embeddings, others.embeddings]),
        features=np.concatenate([copies.features, others.features]),
    )

    judgement = Lookup(queries=copies, reference=reference, shared=False).judge()

    assert np.isfinite(judgement.trained.hit_at_1).all()
    assert judgement.probe_hits is None
    judgement.describe()


@pytest.mark.parametrize("shared", [True, False])
def test_where_no_photo_has_another_to_find_that_is_an_error(*, shared: bool) -> None:
    photos = make_photos([0, 0, 1, 1], list("aabb"), seed=14)
    reference = photos if shared else photos.take(np.array([False, False, True, True]))
    queries = photos if shared else photos.take(np.array([True, True, False, False]))

    with pytest.raises(TrainingError, match=r"no photo can be judged: .*give `--reference`"):
        Lookup(queries=queries, reference=reference, shared=shared).judge()
