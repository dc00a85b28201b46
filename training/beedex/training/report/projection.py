"""From vectors to a plane: principal components, then t-SNE.

t-SNE (van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html) keeps near photos near; how far
apart two clusters lie, and how large they are, means little.

Shapes: N photos, D dimensions.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

__all__ = ["FEWEST_FOR_TSNE", "align", "project"]

# With fewer photos t-SNE has no neighborhoods to keep.
FEWEST_FOR_TSNE = 12

# The paper's own first step (section 4.2 there takes 30): the rest of the dimensions is mostly noise.
PRINCIPAL_COMPONENTS = 50

# The usual value (section 4.2 there: 5 to 50 are much the same), and a third of the photos where there are few.
PERPLEXITY = 30.0


def project(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (N, 2), centered, with a largest distance from the center of 1.

    The same vectors give the same places: the random state is fixed and everything runs in one thread, since
    Barnes-Hut adds up floats in whichever order its threads end.

    Args:
        vectors: (N, D); compared by cosine.
    """
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(norms, np.finfo(np.float32).tiny)  # (N, D)
    with threadpool_limits(limits=1):
        return _normalize(_place(unit.astype(np.float64)))


def align(places: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn and mirror *places* (N, 2) to lie as near *reference* (N, 2) as they can.

    Which way up a t-SNE comes out is chance. This is the orthogonal Procrustes problem
    (Schoenemann 1966, https://doi.org/10.1007/BF02289451).
    """
    left, _, right = np.linalg.svd(places.T @ reference)
    turned: NDArray[np.float64] = places @ (left @ right)
    return turned


def _place(unit: NDArray[np.float64]) -> NDArray[np.float64]:
    count, dimensions = unit.shape
    if count < 3 or dimensions < 2 or np.ptp(unit, axis=0).max() < 1e-9:
        # A line of photos in the order given: no plane fits them better.
        return np.stack([np.arange(count, dtype=np.float64), np.zeros(count)], axis=1)
    components = min(PRINCIPAL_COMPONENTS, count, dimensions)
    principal = PCA(n_components=components, svd_solver="full").fit_transform(unit)  # (N, components)
    if count < FEWEST_FOR_TSNE:
        return np.asarray(principal[:, :2], dtype=np.float64)
    tsne = TSNE(
        perplexity=min(PERPLEXITY, (count - 1) / 3),
        init="pca",
        random_state=0,
        # Faster than the exact gradient from 60 photos on, where both were measured.
        method="barnes_hut",
    )
    return np.asarray(tsne.fit_transform(principal), dtype=np.float64)


def _normalize(places: NDArray[np.float64]) -> NDArray[np.float64]:
    centered: NDArray[np.float64] = places - places.mean(axis=0)
    farthest = np.linalg.norm(centered, axis=1).max(initial=0.0)
    return centered / farthest if farthest > 0 else centered
