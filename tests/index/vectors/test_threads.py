"""Threads: a server has as many searches at once as it has requests, and none of them may bring others."""

import os
import subprocess
import sys

# Searches for one query on four threads, in every way there is, and prints by how many threads that became more.
SEARCH_ON_THREADS = """
import os, threading
import numpy as np
from beedex.index.vectors import ExactStore, IvfStore

vectors = np.random.default_rng(0).standard_normal((20_000, 16)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
ids = np.arange(20_000)
exact, lists = ExactStore(16), IvfStore.train(vectors, 50)
for store in (exact, lists):
    store.add(ids, vectors)
lists.efforts = {10: 5}
before = len(os.listdir("/proc/self/task"))
searched = threading.Barrier(5)

def search():
    for store in (exact, lists):
        for allowed in (None, ids[:1500], ids[::2]):
            store.search(vectors[:1], 10, allowed=allowed)
        store.search(vectors[:1], 10, effort=50)
    searched.wait()
    searched.wait()

for _ in range(4):
    threading.Thread(target=search).start()
searched.wait()
print(len(os.listdir("/proc/self/task")) - before)
searched.wait()
"""


def test_a_search_for_one_query_stays_on_its_callers_thread():
    done = subprocess.run(
        [sys.executable, "-c", SEARCH_ON_THREADS],
        env={**os.environ, "OMP_NUM_THREADS": "6"},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert int(done.stdout) == 4
