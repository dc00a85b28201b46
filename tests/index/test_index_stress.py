"""Searches beside changes beside builds, against a model of what must be visible."""

import hashlib
import io
import threading
from functools import partial

import numpy as np
import pytest
from PIL import Image

from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder
from beedex.index.index import Index
from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher


def draw_photo(seed, colour=(40, 70, 200)):
    """The bytes of a PNG of noise around a colour; blue if it isn't said."""
    noise = np.random.default_rng(seed).normal(0, 20, (64, 64, 3)) + colour
    file = io.BytesIO()
    Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def index(tiny_index_copy):
    with Index.open(tiny_index_copy) as index:
        yield index


@pytest.fixture(scope="module")
def embedder(tiny_bundle):
    with Embedder.open(load_bundle(tiny_bundle)) as embedder:
        yield embedder


def list_entries(index):
    snapshot = index.searcher.snapshot
    return snapshot.entries.read(snapshot.entries.ids)


class Model:
    """What searches must find: of each photo the states that it may be in, from what was begun and acknowledged."""

    def __init__(self, families):
        self._lock = threading.Lock()
        # By photo: all states it ever had or is about to have, and where in that list the acknowledged one stands.
        self._states = {sha256: [family] for sha256, family in families.items()}
        self._acknowledged = dict.fromkeys(families, 0)

    def change(self, sha256, family, act):
        with self._lock:
            self._states[sha256].append(family)
        act()
        with self._lock:
            self._acknowledged[sha256] = len(self._states[sha256]) - 1

    def mark(self):
        with self._lock:
            return dict(self._acknowledged)

    def list_states_since(self, mark):
        """By photo, what was acknowledged at the mark and what was begun since."""
        with self._lock:
            return {sha256: states[mark[sha256] :] for sha256, states in self._states.items()}

    @property
    def families(self):
        return {sha256: states[-1] for sha256, states in self._states.items()}


class Stress:
    """An index, its photos with their true vectors, and the model of what must be visible."""

    def __init__(self, index, photos, vectors, model):
        self.index, self.photos, self.vectors, self.model = index, photos, vectors, model
        self.is_over = threading.Event()
        self.faults: list[str] = []
        self.searches = 0

    def write(self, own, seed, count):
        """Change one's own photos; no other writer does."""
        generator = np.random.default_rng(seed)
        for number in range(count):
            sha256 = own[int(generator.integers(len(own)))]
            entry_id, family = sha256[:16], f"family {seed} {number}"
            deed = generator.choice(["put", "delete", "relabel"]) if self.model.families[sha256] else "put"
            if deed == "delete":
                self.model.change(sha256, None, partial(self.index.delete, entry_id))
            elif deed == "relabel":
                self.model.change(sha256, family, partial(self.index.relabel, entry_id, family))
            else:
                photo, vector = self.photos[sha256], self.vectors[sha256]
                self.model.change(sha256, family, partial(self.index.upsert, photo, family, vector=vector))

    def search(self, find, seed):
        """Look for everything again and again, and judge what is found."""
        generator = np.random.default_rng(seed)
        while not self.is_over.is_set():
            query = self.vectors[generator.choice(sorted(self.vectors))]
            mark = self.model.mark()
            found = find(query)
            self._judge(query, found, self.model.list_states_since(mark))
            self.searches += 1

    def _judge(self, query, found, states):
        family_by_sha256 = {neighbor.entry.sha256: neighbor.entry.family for neighbor in found}
        for sha256, allowed in states.items():
            if family_by_sha256.get(sha256) not in allowed:
                self.faults.append(f"{sha256[:8]} was {family_by_sha256.get(sha256)}, expected one of {allowed}")
        cosines = [float(self.vectors[neighbor.entry.sha256] @ query) for neighbor in found]
        similarities = [neighbor.similarity for neighbor in found]
        if len(family_by_sha256) < len(found) or similarities != sorted(similarities, reverse=True):
            self.faults.append("the hits are no ranking")
        if not np.allclose(similarities, cosines, atol=1e-5):
            self.faults.append("similarities are not those of the photos")


def run_stress(stress, other_process, gallery, bundle, *, changes):
    """Three writers, and readers of several kinds, while another process builds until the writers are done."""
    index, everything = stress.index, len(stress.photos)
    published = sorted(sha256 for sha256, family in stress.model.families.items() if family)
    new = sorted(stress.model.families.keys() - published)
    other_index = Index.open(index.directory)
    finders = [
        lambda query: index.neighbors(query, everything),
        lambda query: index.neighbors(query, everything),
        lambda query: other_index.neighbors(query, everything),
        lambda query: Searcher.open(index.directory).neighbors(query, everything),
    ]
    owned = [new[:3], new[3:], published[:6]]
    writers = [threading.Thread(target=stress.write, args=(own, i, changes)) for i, own in enumerate(owned)]
    readers = [threading.Thread(target=stress.search, args=(find, i)) for i, find in enumerate(finders)]
    for thread in (*readers, *writers):
        thread.start()
    builds = 0
    while any(writer.is_alive() for writer in writers):
        builds += bool(other_process.do("build", gallery, bundle))
    stress.is_over.set()
    for thread in (*readers, *writers):
        thread.join()
    other_index.close()
    return builds


@pytest.mark.parametrize("changes", [12, pytest.param(120, marks=pytest.mark.slow)])
def test_searches_see_what_was_acknowledged_while_threads_change_and_another_process_builds(
    index, other_process, embedder, tiny_gallery, tiny_bundle, changes
):
    photos = {hashlib.sha256(data).hexdigest(): data for data in (draw_photo(seed) for seed in range(6))}
    families = dict.fromkeys(photos)
    for entry in list_entries(index):
        photos[entry.sha256] = (tiny_gallery / entry.path).read_bytes()
        families[entry.sha256] = entry.family
    vectors = {sha256: embedder.embed_photo(data) for sha256, data in photos.items()}
    stress = Stress(index, photos, vectors, Model(families))

    builds = run_stress(stress, other_process, tiny_gallery, tiny_bundle, changes=changes)

    assert stress.faults[:5] == []
    assert builds > 1
    assert stress.searches > changes
    before = index.neighbors(vectors[min(vectors)], len(photos))
    build_index(tiny_gallery, tiny_bundle, index.directory)
    assert index.neighbors(vectors[min(vectors)], len(photos)) == before
    assert not index.searcher.view.changes
    expected = {sha256: family for sha256, family in stress.model.families.items() if family}
    assert {neighbor.entry.sha256: neighbor.entry.family for neighbor in before} == expected
    print(f"{builds} builds, {stress.searches} searches")
