"""Looking up a gallery's unseen photos with a bundle's own network: its embeddings, and its frozen features.

Shapes: Q photos that are looked up, N reference photos, D dimension, F features.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from beedex.index.inspection import InspectedPhoto
from beedex.index.metrics import RetrievalScores, expect_by_chance, score_retrieval
from beedex.training.errors import TrainingError
from beedex.training.folds import choose_protocol, draw_splits
from beedex.training.judging.figures import Judgement
from beedex.training.judging.probe import Probe, fit_probe

__all__ = ["EmbeddedPhotos", "Lookup"]

# Similarities of these to 100,000 photos are 400 MB.
QUERIES_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class EmbeddedPhotos:
    """Photos with their vectors.

    Attributes:
        photos: N.
        embeddings: (N, D).
        features: (N, F) before the trained head.
    """

    photos: tuple[InspectedPhoto, ...]
    embeddings: NDArray[np.float32]
    features: NDArray[np.float32]

    def take(self, chosen: NDArray[np.bool_]) -> "EmbeddedPhotos":
        """Return the photos where *chosen* (N,) is true."""
        photos = tuple(photo for photo, kept in zip(self.photos, chosen, strict=True) if kept)
        return EmbeddedPhotos(photos=photos, embeddings=self.embeddings[chosen], features=self.features[chosen])


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """Photos that are looked up among others.

    Attributes:
        queries: Q photos.
        reference: N photos.
        shared: whether both are of one gallery, where a photo and the others of its group are not found for each
            other; two galleries may use the same name for different groups.
    """

    queries: EmbeddedPhotos
    reference: EmbeddedPhotos
    shared: bool

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Names of all families on either side, sorted."""
        return tuple(sorted({photo.photo.family for photo in (*self.queries.photos, *self.reference.photos)}))

    @cached_property
    def query_labels(self) -> NDArray[np.int64]:
        """(Q,) indices into `families`."""
        return self._number(self.queries.photos)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) indices into `families`."""
        return self._number(self.reference.photos)

    @property
    def groups(self) -> tuple[str, ...]:
        """(Q,) groups of the photos that are looked up."""
        return tuple(photo.group for photo in self.queries.photos)

    def judge(self) -> Judgement:
        """Score every look-up.

        Raises:
            TrainingError: no photo has another of its family to find.
        """
        trained = self._score(self.queries.embeddings, self.reference.embeddings)
        if np.isnan(trained.hit_at_1).all():
            families = sorted({photo.photo.family for photo in self.reference.photos})
            raise TrainingError(
                "no photo can be judged: expected the reference to hold other groups of the same families, received "
                f"families {families}; give `--reference`"
            )
        return Judgement(
            labels=self.query_labels,
            groups=self.groups,
            families=self.families,
            trained=trained,
            frozen=self._score(self.queries.features, self.reference.features),
            chance=_join(
                [
                    expect_by_chance(self.query_labels[rows], self.labels, excluded=self._exclude(rows))
                    for rows in self._split_queries()
                ]
            ),
            probe_hits=self._probe(),
        )

    def find_neighbors(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return (Q, count) numbers of the nearest reference photos, -1 where there are fewer, and similarities."""
        neighbors = np.full((len(self.query_labels), count), -1)
        similarities = np.full((len(self.query_labels), count), np.nan, np.float32)
        for rows in self._split_queries():
            found = self.queries.embeddings[rows] @ self.reference.embeddings.T
            found[self._exclude(rows)] = -np.inf
            nearest = np.argsort(-found, axis=1, kind="stable")[:, :count]
            near = np.take_along_axis(found, nearest, axis=1)
            width = nearest.shape[1]
            neighbors[rows, :width] = np.where(np.isfinite(near), nearest, -1)
            similarities[rows, :width] = np.where(np.isfinite(near), near, np.nan)
        return neighbors, similarities

    def _number(self, photos: Sequence[InspectedPhoto]) -> NDArray[np.int64]:
        number = {name: i for i, name in enumerate(self.families)}
        return np.array([number[photo.photo.family] for photo in photos], dtype=np.int64)

    def _score(self, asked: NDArray[np.float32], known: NDArray[np.float32]) -> RetrievalScores:
        return _join(
            [
                score_retrieval(
                    asked[rows] @ known.T, self.query_labels[rows], self.labels, excluded=self._exclude(rows)
                )
                for rows in self._split_queries()
            ]
        )

    def _split_queries(self) -> Iterator[NDArray[np.int64]]:
        numbers = np.arange(len(self.queries.photos))
        yield from np.array_split(numbers, -(-len(numbers) // QUERIES_AT_ONCE))

    @cached_property
    def _identities(self) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
        """(N,) contents and groups of the reference photos."""
        photos = self.reference.photos
        return np.array([photo.sha256 for photo in photos]), np.array([photo.group for photo in photos])

    def _exclude(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return (len(rows), N), true where both are the same photo or, in one gallery, of the same group."""
        contents, groups = self._identities
        queries = [self.queries.photos[row] for row in rows]
        return np.stack([(contents == query.sha256) | (self.shared & (groups == query.group)) for query in queries])

    def _probe(self) -> NDArray[np.float64] | None:
        """Return (Q,) or (R, Q) hits of a linear probe on the reference's frozen features; None where none fits.

        In one gallery it is cross-validated, so that no photo's group is among those that it was fitted on. Of another
        gallery the photos that are looked up are left out.
        """
        contents, reference_groups = self._identities
        if not self.shared:
            known = ~np.isin(contents, [photo.sha256 for photo in self.queries.photos])
            probe = self._fit_probe(known)
            return _keep_judged(probe.judge(self.queries.features, self.query_labels)) if probe else None
        protocol = choose_protocol(self.query_labels, self.groups)
        found = np.full((protocol.repeats, len(self.query_labels)), np.nan)
        names = np.asarray(self.groups)
        for split in draw_splits(self.query_labels, self.groups, protocol, seed=0):
            probe = self._fit_probe(~np.isin(reference_groups, names[split.held_out]))
            if probe:
                asked = self.queries.features[split.held_out]
                found[split.repeat, split.held_out] = probe.judge(asked, self.query_labels[split.held_out])
        return _keep_judged(found)

    def _fit_probe(self, known: NDArray[np.bool_]) -> Probe | None:
        """Fit one on the reference photos where *known* (N,) is true; None where they are of one family."""
        if len(np.unique(self.labels[known])) < 2:
            return None
        return fit_probe(self.reference.features[known], self.labels[known], self._identities[1][known].tolist())


def _keep_judged(hits: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return hits, None where no photo has one."""
    return None if np.isnan(hits).all() else hits


def _join(parts: Sequence[RetrievalScores]) -> RetrievalScores:
    names = RetrievalScores.__slots__
    return RetrievalScores(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
