"""An editor: each edit sees those before it, and nothing is written that is refused."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from beedex.index.changes import ChangeLog
from beedex.index.edits import Editor, TakenIdError
from beedex.index.entries import Entry
from beedex.index.index import Index
from beedex.index.rebuild import build_index
from beedex.index.searcher import Searcher

PHOTO = b"a photo"
SHA256 = hashlib.sha256(PHOTO).hexdigest()
NEW = Entry(sha256=SHA256, family="night", path="new.jpg")


@pytest.fixture
def index_dir(tiny_gallery_copy, tiny_bundle, tmp_path):
    build_index(tiny_gallery_copy, tiny_bundle, tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture
def editor(index_dir):
    with Searcher.open(index_dir) as searcher, ChangeLog(index_dir) as changes:
        yield Editor(searcher, changes)


@pytest.fixture
def vector(editor):
    return np.eye(editor.searcher.dimension, dtype=np.float32)[0]


def test_an_edit_sees_those_before_it(editor, vector, index_dir):
    assert editor.find(SHA256) is None
    editor.put(NEW, vector, photo=PHOTO)
    assert editor.find(SHA256) == NEW

    described = replace(NEW, family="dusk")
    editor.describe(described)
    assert editor.entry(NEW.entry_id) == described

    with Index.open(index_dir) as index:
        assert index.searcher.view.entry(NEW.entry_id) == described
        np.testing.assert_array_equal(index.searcher.vector_of(NEW.entry_id), vector)

    assert editor.take_out(NEW.entry_id) == described
    assert editor.find(SHA256) is None
    for edit in (lambda: editor.take_out(NEW.entry_id), lambda: editor.describe(described)):
        with pytest.raises(LookupError, match="was taken out"):
            edit()
    with Index.open(index_dir) as index:
        assert len(index.searcher.view) == 18


def test_an_entry_keeps_its_vector_when_something_else_is_said_of_it(editor, index_dir):
    known = editor.searcher.snapshot.entries.read(editor.searcher.snapshot.entries.ids[:1])[0]
    editor.describe(replace(known, credit="A. Nonymous"))

    with Index.open(index_dir) as index:
        assert index.searcher.view.entry(known.entry_id) == replace(known, credit="A. Nonymous")
        np.testing.assert_array_equal(
            index.searcher.vector_of(known.entry_id), editor.searcher.vector_of(known.entry_id)
        )


def test_a_photo_whose_id_is_another_ones_is_refused(editor, vector):
    known = editor.searcher.snapshot.entries.read(editor.searcher.snapshot.entries.ids[:1])[0]
    double = replace(NEW, sha256=known.entry_id + "0" * 48)

    with pytest.raises(TakenIdError, match=known.path):
        editor.put(double, vector, photo=PHOTO)
    assert editor.entry(known.entry_id) == known


def test_a_vector_that_is_no_unit_vector_is_refused(editor, vector, index_dir):
    for wrong in (vector * 2, vector[:-1]):
        with pytest.raises(ValueError, match="expected"):
            editor.put(NEW, wrong, photo=PHOTO)
    assert not (index_dir / "changes.sqlite").exists()
