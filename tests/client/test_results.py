"""Results are values: they read well, become plain data, arrays and tables, and can be compared, copied and pickled."""

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from beedex.client import (
    Client,
    Embedding,
    Families,
    Family,
    FamilyScore,
    Identification,
    Neighbor,
    Neighbors,
    NotFoundError,
    Verdict,
)
from beedex.client._results.entries import Entry, EntryOutcome, EntryOutcomes
from beedex.client._results.outcomes import Outcome
from beedex.client._results.result import plain

ORIGIN: dict[str, Any] = {"fingerprint": "3fa2b1c09d1e" + "0" * 52, "snapshot": 7, "request_id": "a" * 32}

# What a terminal shows in two lines.
SCREEN = 160


def make_neighbor(family="mason", similarity=0.9123, **texts):
    named = {"path": f"{family}/1.jpg", "group": "", "species": "", "source": "", "license": "", "credit": ""}
    return Neighbor(entry_id="0123456789abcdef", family=family, similarity=similarity, **{**named, **texts})


def make_neighbors(*rows):
    return Neighbors(rows=rows or (make_neighbor(), make_neighbor("mining", 0.5)), **ORIGIN)


def make_identification(verdict=Verdict.MATCH, candidates=("mason",), probabilities=(0.75, 0.25)):
    scores = [
        FamilyScore(family=family, probability=probability, similarity=0.5)
        for family, probability in zip(("mason", "mining"), probabilities, strict=True)
    ]
    return Identification(
        verdict=verdict,
        family=candidates[0] if verdict is Verdict.MATCH else None,
        probability=max(probabilities),
        candidates=candidates,
        reason="mason with probability 0.75",
        families=tuple(scores),
        neighbors=make_neighbors(),
        **ORIGIN,
    )


def make_embedding(numbers=(0.6, 0.8), **changes):
    vector = np.array(numbers, np.float32)
    vector.flags.writeable = False
    return Embedding(vector=vector, **{**ORIGIN, **changes})


def make_families():
    return Families(rows=(Family(name="mason", entries=3), Family(name="mining", entries=2)), **ORIGIN)


RESULTS: dict[str, Callable[..., Any]] = {
    "Neighbor": make_neighbor,
    "Neighbors": make_neighbors,
    "Identification": make_identification,
    "Embedding": make_embedding,
    "Families": make_families,
}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            make_identification(),
            (
                "<Identification MATCH: 'mason' 0.750; neighbors 'mason' 0.912, 'mining' 0.500; "
                "embedder 3fa2b1c09d1e, snapshot 7>"
            ),
        ),
        (
            make_identification(Verdict.AMBIGUOUS, ("mason", "mining"), (0.52, 0.48)),
            (
                "<Identification AMBIGUOUS: 'mason' 0.520 or 'mining' 0.480; neighbors 'mason' 0.912, 'mining' 0.500; "
                "embedder 3fa2b1c09d1e, snapshot 7>"
            ),
        ),
        (
            make_identification(Verdict.UNKNOWN, ()),
            (
                "<Identification UNKNOWN: likeliest 'mason' 0.750; neighbors 'mason' 0.912, 'mining' 0.500; "
                "embedder 3fa2b1c09d1e, snapshot 7>"
            ),
        ),
        (
            make_neighbors(*[make_neighbor()] * 10),
            "<Neighbors 10: 'mason' 0.912, 'mason' 0.912, 'mason' 0.912, +7; embedder 3fa2b1c09d1e, snapshot 7>",
        ),
        (make_families(), "<Families 2: 'mason' 3, 'mining' 2; embedder 3fa2b1c09d1e, snapshot 7>"),
        (make_embedding([0.5] * 4), "<Embedding (4,): 0.500, 0.500, 0.500, +1; embedder 3fa2b1c09d1e, snapshot 7>"),
        (
            make_neighbor(),
            "Neighbor(entry_id='0123456789abcdef', family='mason', similarity=0.912, path='mason/1.jpg')",
        ),
    ],
)
def test_a_result_is_told_in_a_line_or_two(result, expected):
    assert repr(result) == expected
    assert len(expected) <= SCREEN


def test_a_repr_is_short_and_on_one_line_whatever_a_gallery_calls_its_families():
    hostile = make_neighbor("x" * 1000 + "\n\x1b[31m', verdict=MATCH")
    told = repr(make_neighbors(hostile, hostile, hostile))

    assert len(told) < 400
    assert "\n" not in told
    assert "\x1b" not in told


@pytest.mark.parametrize("kind", RESULTS)
def test_plain_data_survives_json(kind):
    data = RESULTS[kind]().to_dict()

    assert json.loads(json.dumps(data)) == data


def test_the_keys_of_plain_data_are_the_fields_and_the_origin_comes_last():
    assert list(make_identification().to_dict()) == [
        "verdict",
        "family",
        "probability",
        "candidates",
        "reason",
        "families",
        "neighbors",
        *ORIGIN,
    ]
    assert list(make_neighbors().to_dict()) == ["neighbors", *ORIGIN]
    assert list(make_families().to_dict()) == ["families", *ORIGIN]
    assert list(make_embedding().to_dict()) == ["vector", *ORIGIN]
    assert make_identification().to_dict()["neighbors"] == make_neighbors().to_dict()["neighbors"]
    assert type(make_identification().to_dict()["verdict"]) is str


def test_an_error_becomes_plain_data_too():
    error = NotFoundError("there is no entry", reason="ENTRY_NOT_FOUND", request_id="7")

    assert plain(error) == {
        "code": None,
        "reason": "ENTRY_NOT_FOUND",
        "message": "there is no entry",
        "request_id": "7",
    }


@pytest.mark.parametrize("kind", RESULTS)
def test_results_are_equal_by_what_they_say_and_have_a_hash(kind):
    result, same = RESULTS[kind](), RESULTS[kind]()

    assert result == same
    assert hash(result) == hash(same)
    assert result != object()


@pytest.mark.parametrize("kind", ["Neighbors", "Identification", "Embedding", "Families"])
def test_the_request_id_names_the_call_and_not_what_was_answered(kind):
    result = RESULTS[kind]()

    assert result == replace(result, request_id="b")
    assert hash(result) == hash(replace(result, request_id="b"))
    assert result != replace(result, snapshot=8)
    assert result != replace(result, fingerprint="f" * 64)


def test_embeddings_are_equal_by_their_vectors():
    assert make_embedding([0.6, 0.8]) != make_embedding([0.8, 0.6])


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize(
    "pass_on",
    [copy.copy, copy.deepcopy, lambda result: pickle.loads(pickle.dumps(result))],  # noqa: S301 - our own
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_and_pickles_are_equal_and_frozen(kind, pass_on):
    result = RESULTS[kind]()
    other = pass_on(result)

    assert other == result
    assert other.to_dict() == result.to_dict()
    with pytest.raises(FrozenInstanceError):
        setattr(other, fields(other)[0].name, None)
    if kind == "Embedding":
        assert not other.vector.flags.writeable


def test_arrays_have_the_documented_shapes():
    neighbors, identification, families, embedding = (
        make_neighbors(),
        make_identification(),
        make_families(),
        make_embedding(),
    )

    np.testing.assert_array_equal(neighbors.to_numpy(), np.array([0.9123, 0.5], np.float32))
    np.testing.assert_array_equal(identification.to_numpy(), [0.75, 0.25])
    np.testing.assert_array_equal(families.to_numpy(), [3, 2])
    assert embedding.to_numpy() is embedding.vector
    arrays = [result.to_numpy() for result in (neighbors, identification, families, embedding)]
    assert [array.dtype.name for array in arrays] == ["float32", "float64", "int64", "float32"]


def test_tables_have_a_row_for_each_value_and_a_column_for_each_field():
    table = make_neighbors().to_pandas()

    assert isinstance(table, pd.DataFrame)
    assert table["family"].tolist() == ["mason", "mining"]
    assert table["similarity"].tolist() == [0.9123, 0.5]
    assert list(table.columns[:4]) == ["entry_id", "family", "similarity", "path"]
    assert table.attrs == ORIGIN
    assert make_families().to_pandas().to_dict("list") == {"name": ["mason", "mining"], "entries": [3, 2]}
    assert make_identification().to_pandas().to_dict("list") == {
        "family": ["mason", "mining"],
        "probability": [0.75, 0.25],
        "similarity": [0.5, 0.5],
    }


def test_outcomes_are_told_without_the_photos_and_are_equal_by_what_became_of_them():
    outcome = Outcome(index=0, photo=bytes(5000), result=make_families())
    pixels = replace(outcome, photo=np.zeros((30, 40, 3), np.uint8))

    assert max(len(repr(outcome)), len(repr(pixels))) <= SCREEN
    assert outcome == pixels
    assert hash(outcome) == hash(pixels)
    assert outcome.to_dict()["photo"] is None
    assert replace(outcome, photo=Path("bee.jpg")).to_dict()["photo"] == "bee.jpg"


def test_a_table_of_outcomes_has_the_columns_of_what_they_hold():
    entry = Entry(
        entry_id="0123456789abcdef", family="mason", path="", group="", species="", source="", license="", credit=""
    )
    rows = (EntryOutcome(entry=entry), EntryOutcome(error=NotFoundError("no entry", reason="ENTRY_NOT_FOUND")))
    table = EntryOutcomes(rows=rows, **ORIGIN).to_pandas()

    assert table["entry.family"].tolist()[0] == "mason"
    assert table["error.reason"].tolist()[1] == "ENTRY_NOT_FOUND"
    assert {"entry", "error"} & set(table.columns) == set()


def test_a_table_without_rows_has_its_columns():
    table = replace(make_neighbors(), rows=()).to_pandas()

    assert len(table) == 0
    assert list(table.columns[:2]) == ["entry_id", "family"]


def test_without_pandas_a_table_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ImportError, match=r"pip install pandas, or .* to_dict\(\)") as caught:
        make_neighbors().to_pandas()
    assert caught.value.name == "pandas"


def test_plain_data_and_tables_of_what_a_server_says(address, tiny_gallery):
    photo = min(tiny_gallery.rglob("*.jpg"))
    with Client(address) as client:
        for result in (client.identify(photo), client.neighbors(photo), client.families(), client.status()):
            assert json.loads(json.dumps(result.to_dict())) == result.to_dict()
            assert repr(result).startswith(f"<{type(result).__name__}") or "entries=18" in repr(result)
        assert len(client.neighbors(photo, k=4).to_pandas()) == 4


def test_what_is_not_asked_for_is_not_loaded():
    code = """
import sys
from beedex.client import Neighbors
repr(Neighbors(rows=(), fingerprint="", snapshot=1))
print(sorted({"numpy", "pandas", "PIL", "html"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
