"""A snapshot with changes on top, against a dictionary that was changed alike and numpy brute force."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from beedex.index.bundle import load_bundle
from beedex.index.changes import Change
from beedex.index.entries import Entry
from beedex.index.publishing import publish_snapshot
from beedex.index.searcher import Searcher
from beedex.index.snapshots import load_snapshot
from beedex.index.vectors import NO_ID
from beedex.index.view import View

DIMENSION = 32
FAMILIES = ("amber", "blue", "clover", "dawn")
PHOTOS = 40


def draw_unit_vectors(count, *, seed):
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# Fewer than there are photos, so that many similarities are equal.
POOL = draw_unit_vectors(12, seed=0)
# The first half of the digits is the entry id: positive and negative ones.
SHA256S = [f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{number:048x}" for number in range(1, PHOTOS + 1)]


@dataclass(frozen=True)
class Known:
    entry: Entry
    vector: NDArray[np.float32]


def make_entry(number, family, path="gallery.jpg"):
    return Entry(sha256=SHA256S[number], family=family, path=path)


def publish(index_dir, known, fingerprint):
    publish_snapshot(
        index_dir,
        entries=[one.entry for one in known.values()],
        vectors=np.stack([one.vector for one in known.values()]),
        fingerprint=fingerprint,
        keep=1,
    )
    return load_snapshot(index_dir)


def rank(model, query, k, *, families=None, exclude=None):
    """The nearest of a model's photos by brute force: entries and cosines; ties by id."""
    wanted = [
        one
        for one in model.values()
        if (families is None or one.entry.family in families) and one.entry.entry_id != exclude
    ]
    cosines = [float(one.vector.astype(np.float64) @ query) for one in wanted]
    # Rounded so that equal vectors tie here too; the gaps between different ones are far wider.
    order = sorted(range(len(wanted)), key=lambda i: (-round(cosines[i], 6), wanted[i].entry.id64))[:k]
    return [wanted[i].entry for i in order], [cosines[i] for i in order]


def count_families(model):
    families = sorted(one.entry.family for one in model.values())
    return {family: families.count(family) for family in families}


NUMBERS = st.integers(0, PHOTOS - 1)
ROWS = st.tuples(st.sampled_from(FAMILIES), st.integers(0, len(POOL) - 1))
DEEDS = st.tuples(st.sampled_from(["put", "relabel", "take out", "put by another embedder"]), NUMBERS, ROWS)


def apply(deeds, published, fingerprint):
    """The last change of each photo as the log gives it, and the model that they leave."""
    model, changes = dict(published), {}
    for sequence, (deed, number, (family, row)) in enumerate(deeds, start=1):
        entry, vector = make_entry(number, family, path="changed.jpg"), POOL[row]
        if deed == "relabel":
            if number not in model:
                continue
            entry, vector = replace(model[number].entry, family=family), model[number].vector
        sha256 = SHA256S[number]
        if deed == "take out":
            changes[number] = Change(sequence=sequence, sha256=sha256, entry=None)
            model.pop(number, None)
            continue
        by = "e" * 64 if deed == "put by another embedder" else fingerprint
        changes[number] = Change(sequence=sequence, sha256=sha256, entry=entry, vector=vector, fingerprint=by)
        if by == fingerprint:
            model[number] = Known(entry, vector)
        elif number in published:
            # The change waits, and with it all that was changed before: the snapshot stands.
            model[number] = published[number]
        else:
            model.pop(number, None)
    return sorted(changes.values(), key=lambda change: change.sequence), model


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    published=st.dictionaries(NUMBERS, ROWS, min_size=1, max_size=30),
    deeds=st.lists(DEEDS, max_size=25),
    k=st.integers(1, PHOTOS + 5),
    families=st.none() | st.sets(st.sampled_from((*FAMILIES, "nowhere"))),
    excluded=st.none() | NUMBERS,
    row=st.integers(0, len(POOL)),
)
def test_what_is_found_under_any_changes_is_what_brute_force_finds_in_a_changed_dictionary(
    tiny_bundle, tmp_path, published, deeds, k, families, excluded, row
):
    bundle = load_bundle(tiny_bundle, verify=False)
    before = {number: Known(make_entry(number, family), POOL[place]) for number, (family, place) in published.items()}
    snapshot = publish(tmp_path, before, bundle.card.fingerprint)
    changes, model = apply(deeds, before, bundle.card.fingerprint)
    searcher = Searcher(snapshot, bundle, changes=changes)
    query = np.concatenate([POOL, draw_unit_vectors(1, seed=1)])[row]
    exclude = None if excluded is None else SHA256S[excluded][:16]

    found = searcher.neighbors(query, k, families=families, exclude=exclude)

    entries, cosines = rank(model, query, k, families=families, exclude=exclude)
    assert [neighbor.entry for neighbor in found] == entries
    np.testing.assert_allclose([neighbor.similarity for neighbor in found], cosines, atol=1e-6)
    view = searcher.view
    assert len(view) == len(model)
    assert view.count_families() == searcher.families() == count_families(model)
    ids = np.array([one.entry.id64 for one in model.values()], np.int64)
    assert view.read(ids) == [one.entry for one in model.values()]
    assert view.list_families(ids) == [one.entry.family for one in model.values()]
    for number, sha256 in enumerate(SHA256S):
        if number in model:
            assert view.entry(sha256[:16]) == model[number].entry
            np.testing.assert_array_equal(view.vector(sha256[:16]), model[number].vector)
        else:
            with pytest.raises(LookupError, match=f"{sha256[:16]}.*expected one of the"):
                view.vector(sha256[:16])


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A snapshot of more entries than any search asks for, its dictionary and its fingerprint."""
    vectors = draw_unit_vectors(600, seed=2)
    known = {
        number: Known(
            Entry(sha256=f"{number:016x}{'0' * 48}", family=FAMILIES[number % 4], path=f"{number}.jpg"), vector
        )
        for number, vector in enumerate(vectors)
    }
    return publish(tmp_path_factory.mktemp("crowd"), known, "f" * 64), known


@pytest.mark.parametrize("hidden", [1, 5, 50, 300, 599, 600])
@pytest.mark.parametrize("k", [1, 10, 600])
def test_however_many_of_the_nearest_were_taken_out_the_next_ones_are_found(crowd, hidden, k):
    snapshot, known = crowd
    query = draw_unit_vectors(1, seed=3)[0]
    nearest, _ = rank(known, query, hidden)
    changes = [Change(sequence=i, sha256=entry.sha256, entry=None) for i, entry in enumerate(nearest)]
    view = View(snapshot, changes)

    ids, cosines = view.search(query, k)

    gone = {entry.sha256 for entry in nearest}
    left = {number: one for number, one in known.items() if one.entry.sha256 not in gone}
    entries, expected = rank(left, query, k)
    assert view.read(ids) == entries
    np.testing.assert_allclose(cosines, expected, atol=1e-6)
    assert len(view) == 600 - hidden
    assert NO_ID not in ids


def test_copies_of_one_photos_vector_tie_by_id_whether_published_or_put_in(crowd):
    """After the next build all of them are published: the order must not change then."""
    snapshot, known = crowd
    noise = draw_unit_vectors(40, seed=6)
    for number in range(40):
        vector = known[number].vector
        query = vector + noise[number] / 2
        query /= np.linalg.norm(query)
        copies = [
            Entry(sha256=f"{sign}{i + 1}{number:014x}{'1' * 48}", family="amber", path="copy.jpg")
            for sign in "0f"
            for i in range(3)
        ]
        changes = [
            Change(sequence=i, sha256=entry.sha256, entry=entry, vector=vector, fingerprint="f" * 64)
            for i, entry in enumerate(copies)
        ]
        view = View(snapshot, changes)

        for families in (None, {"amber"}, {"amber", FAMILIES[number % 4]}):
            ids, cosines = view.search(query, 7, families=families)

            model = known | {1000 + i: Known(entry, vector) for i, entry in enumerate(copies)}
            entries, _ = rank(model, query, 7, families=families)
            assert view.read(ids) == entries
            assert len(set(cosines[:6].tolist())) == 1


def test_a_view_stays_as_it_was_made(crowd):
    snapshot, known = crowd
    before = View(snapshot)
    entry = known[7].entry

    after = View(snapshot, [Change(sequence=1, sha256=entry.sha256, entry=None)])

    assert before.entry(entry.entry_id) == entry
    with pytest.raises(LookupError, match=f"entry {entry.entry_id} was taken out, expected one of the 599 entries"):
        after.entry(entry.entry_id)
    assert (len(before), len(after)) == (600, 599)


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize(
    ("query", "k", "message"),
    [
        (draw_unit_vectors(1, seed=4)[0], 0, "expected k >= 1"),
        (np.ones(DIMENSION, np.float32), 3, "norm"),
        (np.ones(5, np.float32), 3, "shape"),
    ],
)
def test_what_is_no_search_is_refused_with_changes_as_without(crowd, query, k, message, changed):
    snapshot, known = crowd
    change = Change(
        sequence=1, sha256="a" * 64, entry=known[0].entry, vector=draw_unit_vectors(1, seed=5)[0], fingerprint="f" * 64
    )
    view = View(snapshot, [change] if changed else [])

    with pytest.raises(ValueError, match=message):
        view.search(query, k)


@pytest.mark.parametrize("entry_id", ["bee", "", "F" * 16, "0" * 17])
def test_what_is_no_entry_id_is_refused(crowd, entry_id):
    view = View(crowd[0])

    with pytest.raises(ValueError, match="an entry id is 16 lower-case hex digits"):
        view.entry(entry_id)
    with pytest.raises(ValueError, match="an entry id is 16 lower-case hex digits"):
        view.vector(entry_id)
