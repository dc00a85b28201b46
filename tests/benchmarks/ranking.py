"""What ranking only the nearest saves: `score_retrieval` against a stable sort of all similarities.

    python tests/benchmarks/ranking.py [--queries 100] [--photos 100000]

Similarities are drawn evenly: a good embedder's are no harder to rank.
"""

import argparse
import time

import numpy as np

from beedex.index.metrics import score_retrieval


def main() -> None:
    """Print the time of both, in the same run, and their ratio, for few large families and many small ones."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--photos", type=int, default=100_000)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    similarities = generator.uniform(-1, 1, (arguments.queries, arguments.photos)).astype(np.float32)
    for families in (6, 100):
        labels = generator.integers(0, families, arguments.photos)
        query_labels = generator.integers(0, families, arguments.queries)
        started = time.perf_counter()
        scores = score_retrieval(similarities, query_labels, labels)
        scoring_s = time.perf_counter() - started
        started = time.perf_counter()
        nearest = [np.argsort(-of_query, kind="stable")[0] for of_query in similarities]
        sorting_s = time.perf_counter() - started
        if not np.array_equal(scores.hit_at_1, labels[nearest] == query_labels):
            raise SystemExit("the two rankings disagree: expected the same nearest photos")
        print(f"{families} families: scoring  {scoring_s / arguments.queries * 1000:8.2f} ms a query")
        print(f"{families} families: sorting  {sorting_s / arguments.queries * 1000:8.2f} ms a query")
        print(f"{families} families: ratio    {sorting_s / scoring_s:8.1f} x")


if __name__ == "__main__":
    main()
