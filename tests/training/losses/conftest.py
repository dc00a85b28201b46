"""The oracle of the losses' tests: triple loops in numpy; and the batches on which such losses usually break."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Rows = NDArray[np.float64]


def measure(a: Rows, b: Rows, distance: str, *, rounded: bool) -> float:
    if distance == "cosine":
        lengths = np.linalg.norm(a) * np.linalg.norm(b)
        value = float(1 - a @ b / lengths) if lengths > 0 else 1.0
    else:
        value = float(((a - b) ** 2).sum() if distance == "squared-l2" else np.linalg.norm(a - b))
    # Ties of exact arithmetic are ties in float32 and, a last bit apart, none in float64.
    return float(np.float32(value)) if rounded else value


def measure_all(rows: Rows, distance: str, *, rounded: bool = True) -> list[list[float]]:
    return [
        [0.0 if i == j else measure(a, b, distance, rounded=rounded) for j, b in enumerate(rows)]
        for i, a in enumerate(rows)
    ]


def list_gaps(labels: Labels, distances: list[list[float]], mining: str) -> list[float]:
    """d(a, p) - d(a, n) of every triplet that the mining chooses."""
    everyone = range(len(labels))
    gaps: list[float] = []
    for a in everyone:
        positives = [distances[a][p] for p in everyone if p != a and labels[p] == labels[a]]
        negatives = [distances[a][n] for n in everyone if labels[n] != labels[a]]
        if not positives or not negatives:
            continue
        if mining == "batch-hard":
            gaps.append(max(positives) - min(negatives))
            continue
        for near in positives:
            if mining == "batch-all":
                gaps += [near - far for far in negatives]
            else:
                gaps.append(near - min([far for far in negatives if far > near], default=max(negatives)))
    return gaps


def compute_loss(
    labels: Labels, rows: Rows, *, mining: str, distance: str, margin: float, soft: bool, rounded: bool = True
) -> float:
    gaps = np.array(list_gaps(labels, measure_all(rows, distance, rounded=rounded), mining)) + margin
    if len(gaps) == 0:
        return 0.0
    if soft:
        return float(np.logaddexp(0, gaps).mean())
    terms = np.maximum(gaps, 0)
    if mining == "batch-all":
        return float(terms[terms > 0].mean()) if (terms > 0).any() else 0.0
    return float(terms.mean())


LABELS_BY_KIND: dict[str, Labels] = {
    "unbalanced": np.array([0] * 11 + [1, 2, 2]),
    "lone anchors": np.array([0, 1, 2, 3, 4, 5, 5, 5, 6, 7, 8, 8, 9, 10]),
    "one class": np.zeros(14, np.int64),
    "all lone": np.arange(14),
    "duplicates": np.array([0, 0, 1, 3, 1, 2, 3, 0, 2, 1, 0, 3, 3, 2]),
}


def make_batch(kind: str, seed: int) -> tuple[Labels, NDArray[np.float32]]:
    """Labels (B,) and rows (B, 6), mostly unit vectors."""
    generator = np.random.default_rng(seed)
    size = 1 if kind == "one row" else 14
    labels = LABELS_BY_KIND.get(kind, generator.integers(0, 4, size))
    rows = generator.standard_normal((size, 6))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    if kind == "duplicates":
        rows[1], rows[5] = rows[0], rows[4]
    if kind == "all equal":
        rows[:] = rows[0]
    if kind == "1e-7 apart":
        rows = rows[:1] + generator.uniform(-1e-7, 1e-7, rows.shape)
    if kind == "ties":
        rows = generator.integers(0, 2, rows.shape) / 2
    if kind == "long":
        rows *= generator.uniform(1, 1e4, (size, 1))
    return labels, rows.astype(np.float32)


@pytest.fixture(scope="session")
def oracle() -> Callable[..., float]:
    return compute_loss


@pytest.fixture(scope="session")
def draw_batch() -> Callable[[str, int], tuple[Labels, NDArray[np.float32]]]:
    return make_batch


@pytest.fixture(scope="session")
def measure_oracle() -> Callable[[Rows, str], list[list[float]]]:
    return measure_all
