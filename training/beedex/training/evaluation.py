"""How good an embedder is on labelled photos that it wasn't trained on.

The photos are looked up as a user's would be, with the bundle's own network on OpenVINO: an offline figure is an online
figure. Photos that the head was trained on are never queries, nor are those of the same group or of nearly the same
perceptual hash, but they may be found.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beedex.index.bundle import CARD_NAME, Bundle, load_bundle
from beedex.index.embedder import Embedder
from beedex.index.gallery import scan_gallery
from beedex.index.inspection import MAX_DIFFERING_BITS, InspectedPhoto, inspect_gallery
from beedex.index.metrics import RetrievalScores, chance_recall_at_1, estimate, score_retrieval
from beedex.index.preprocessing import prepare
from beedex.index.progress import report_progress
from beedex.training.errors import TrainingError
from beedex.training.sources import PhotoSource

__all__ = ["evaluate_embedder"]


@dataclass(frozen=True, kw_only=True)
class _Embedded:
    """Photos with their vectors: (N, D) embeddings and (N, F) frozen features."""

    photos: tuple[InspectedPhoto, ...]
    embeddings: NDArray[np.float32]
    features: NDArray[np.float32]


def evaluate_embedder(bundle_dir: Path, gallery_dir: Path, *, reference_dir: Path | None = None) -> dict[str, Any]:
    """Look up a gallery's unseen photos and count.

    Args:
        bundle_dir: the embedder.
        gallery_dir: labelled photos; those that the head was trained on are no queries.
        reference_dir: the gallery to look them up in; None for *gallery_dir* itself, where a photo and the others of
            its group are not found for each other.

    Returns:
        What ``beedex evaluate --json`` prints.

    Raises:
        BeedexError: the bundle or a gallery can't be used, or no photo is unseen.
    """
    bundle = load_bundle(bundle_dir)
    photos = _inspect(gallery_dir)
    unseen = _find_unseen(bundle, photos)
    if not unseen.any():
        raise TrainingError(
            f"every photo of {gallery_dir} was trained on, so that no figure on them means anything: expected unseen "
            f"photos; give another gallery, or read the cross-validated figures in {bundle_dir / CARD_NAME}"
        )
    with Embedder.open(bundle) as embedder:
        found = _embed(embedder, gallery_dir, photos)
        reference = _embed(embedder, reference_dir, _inspect(reference_dir)) if reference_dir else found
    return _score(bundle, found, reference, unseen) | {"seen": int((~unseen).sum())}


def _inspect(directory: Path) -> tuple[InspectedPhoto, ...]:
    gallery = scan_gallery(directory)
    with report_progress("inspecting photos", len(gallery.photos)) as advance:
        return inspect_gallery(gallery, advance=advance).photos


def _embed(embedder: Embedder, directory: Path, photos: tuple[InspectedPhoto, ...]) -> _Embedded:
    sources = (PhotoSource(path=directory / photo.photo.path, sha256=photo.sha256) for photo in photos)
    images = (prepare(source.read(), side_px=embedder.side_px) for source in sources)
    with report_progress("embedding photos", len(photos)) as advance:
        rows = list(embedder.stream(images, advance=advance))
    return _Embedded(
        photos=photos,
        embeddings=np.stack([embedding for embedding, _ in rows]),
        features=np.stack([features for _, features in rows]),
    )


def _find_unseen(bundle: Bundle, photos: Sequence[InspectedPhoto]) -> NDArray[np.bool_]:
    """Return (N,) which photos the head was trained on neither themselves, nor by a look-alike or their group."""
    trained = bundle.read_trained_photos()
    contents = {photo.sha256 for photo in trained}
    groups = {(photo.family, photo.group) for photo in trained}
    hashes = np.array([int(photo.perceptual_hash, 16) for photo in trained], dtype=np.uint64)  # (T,)
    unseen = np.zeros(len(photos), dtype=np.bool_)
    for i, photo in enumerate(photos):
        differing = np.bitwise_count(hashes ^ np.uint64(int(photo.perceptual_hash, 16)))
        known = photo.sha256 in contents or (photo.photo.family, photo.group) in groups
        unseen[i] = not known and (len(hashes) == 0 or differing.min() > MAX_DIFFERING_BITS)
    return unseen


def _score(bundle: Bundle, found: _Embedded, reference: _Embedded, unseen: NDArray[np.bool_]) -> dict[str, Any]:
    queries = [photo for photo, counted in zip(found.photos, unseen, strict=True) if counted]
    names = sorted({photo.photo.family for photo in (*queries, *reference.photos)})
    number = {name: i for i, name in enumerate(names)}
    query_labels = np.array([number[photo.photo.family] for photo in queries])
    labels = np.array([number[photo.photo.family] for photo in reference.photos])
    groups = [photo.group for photo in queries]
    excluded = _exclude_own(queries, reference.photos, by_group=reference is found)

    trained = score_retrieval(
        found.embeddings[unseen] @ reference.embeddings.T, query_labels, labels, excluded=excluded
    )
    frozen = score_retrieval(found.features[unseen] @ reference.features.T, query_labels, labels, excluded=excluded)
    judged = ~np.isnan(trained.hit_at_1)
    if not judged.any():
        raise TrainingError(
            "no photo can be judged: expected the reference to hold other groups of the same families, received "
            f"families {sorted({photo.photo.family for photo in reference.photos})}; give `--reference`"
        )
    return {
        "n": int(judged.sum()),
        "unjudged": int((~judged).sum()),
        "families": {name: int((query_labels[judged] == i).sum()) for name, i in number.items()},
        "reference_photos": len(reference.photos),
        **_estimate(trained, groups),
        "chance_recall_at_1": chance_recall_at_1(query_labels, labels, excluded=excluded),
        "frozen": _estimate(frozen, groups),
        "fingerprint": bundle.card.fingerprint,
        "weights": bundle.card.weights.model_dump(),
    }


def _estimate(scores: RetrievalScores, groups: Sequence[str]) -> dict[str, Any]:
    return {
        "recall_at_1": asdict(estimate(scores.hit_at_1, groups)),
        "map_at_r": asdict(estimate(scores.average_precision_at_r, groups)),
    }


def _exclude_own(
    queries: Sequence[InspectedPhoto], reference: Sequence[InspectedPhoto], *, by_group: bool
) -> NDArray[np.bool_]:
    """Return (Q, N), true where both are the same photo or, in one gallery, of the same group.

    Two galleries may use the same name for different groups.
    """
    contents = np.array([photo.sha256 for photo in reference])
    groups = np.array([photo.group for photo in reference])
    return np.stack([(contents == query.sha256) | (by_group & (groups == query.group)) for query in queries])
