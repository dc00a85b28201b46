"""Index files that are not ours, and loading without a second copy in memory."""

import json
import subprocess
import sys

import faiss
import numpy as np
import pytest

from beedex.index.errors import SnapshotError
from beedex.index.vectors import ExactStore, IvfStore

DIMENSION = 64

# Prints what loading adds to the memory of a fresh process, in bytes: at its peak, and in the end what no file backs.
MEASURE_LOADING = """
import json, sys
from pathlib import Path
from beedex.index.vectors import ExactStore, IvfStore

def read_status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

small, large, how = sys.argv[1:]
load = {
    "exact": ExactStore.load,
    "ivf": lambda path: IvfStore.load(path, {}),
    "mapped": lambda path: IvfStore.load(path, {}, mapped=True),
}[how]
load(Path(small))
Path("/proc/self/clear_refs").write_text("5")  # forgets the peak until now
resident, anonymous = read_status("VmRSS"), read_status("RssAnon")
store = load(Path(large))
print(json.dumps([read_status("VmHWM") - resident, read_status("RssAnon") - anonymous]))
"""


def fill(store, count):
    vectors = np.random.default_rng(count).standard_normal((count, DIMENSION)).astype(np.float32)
    store.add(np.arange(count), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return store


@pytest.mark.parametrize("how", ["exact", "ivf", "mapped"])
def test_loading_makes_no_second_copy_of_the_vectors(tmp_path, how):
    for name, count in (("small", 100), ("large", 120_000)):
        store = ExactStore(DIMENSION) if how == "exact" else IvfStore.train(np.eye(DIMENSION, dtype=np.float32), 50)
        fill(store, count).save(tmp_path / name)

    done = subprocess.run(
        [sys.executable, "-c", MEASURE_LOADING, tmp_path / "small", tmp_path / "large", how],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    peak, kept = json.loads(done.stdout)
    # Beside its vector, an entry has ids and a node of a hash table, and more ids while they are sorted.
    beside = 120_000 * 110
    if how == "mapped":
        assert kept <= beside
    else:
        assert peak <= 120_000 * DIMENSION * 4 + beside


@pytest.mark.parametrize(
    "make",
    [
        faiss.IndexFlatIP,
        faiss.IndexFlatL2,
        lambda d: faiss.IndexIDMap2(faiss.IndexFlatL2(d)),
        lambda d: faiss.IndexIVFFlat(faiss.IndexFlatL2(d), d, 4),
    ],
)
def test_loading_another_kind_of_index_is_an_error(tmp_path, make):
    faiss.write_index(make(DIMENSION), str(tmp_path / "other.faiss"))

    with pytest.raises(SnapshotError, match="another kind of index, expected IndexIDMap2 over IndexFlatIP"):
        ExactStore.load(tmp_path / "other.faiss")
    with pytest.raises(SnapshotError, match="another kind of index, expected IndexIVFFlat of inner products"):
        IvfStore.load(tmp_path / "other.faiss", {})
