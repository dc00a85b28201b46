"""How good an embedder is on labelled photos that it wasn't trained on.

The photos are looked up as a user's would be, with the bundle's own network on OpenVINO: an offline figure is an online
figure. Photos that the head was trained on are never queries, nor are those of the same group or of nearly the same
perceptual hash, but they may be found.

Of a gallery that was trained on whole, nothing about this very embedder can be learned. Then others are trained by its
recipe on the same frozen features, cross-validated, so that each photo is judged by one that never saw it.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beedex.index.bundle import Bundle, load_bundle
from beedex.index.embedder import Embedder
from beedex.index.gallery import scan_gallery
from beedex.index.inspection import MAX_DIFFERING_BITS, InspectedPhoto, Inspection, inspect_gallery
from beedex.index.metrics import average_repeats
from beedex.index.preprocessing import prepare
from beedex.index.progress import report_progress
from beedex.training.backbone.sources import PhotoSource
from beedex.training.errors import TrainingError
from beedex.training.judging.figures import Judgement
from beedex.training.judging.lookup import EmbeddedPhotos, Lookup
from beedex.training.judging.retraining import cross_validate_bundle
from beedex.training.report import EmbeddingMap, Lookups, Origin, ReportContent, Results, write_report
from beedex.training.reporting import PhotoReader, list_photos, tabulate

__all__ = ["ReportRequest", "evaluate_embedder"]

REPORT_NAME = "report.html"

# Shown of each query.
NEIGHBORS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportRequest:
    """A report that is wanted.

    Attributes:
        directory: that it is written to.
        command: the command line, to be shown in it.
    """

    directory: Path
    command: str


def evaluate_embedder(
    bundle_dir: Path,
    gallery_dir: Path,
    *,
    reference_dir: Path | None = None,
    report: ReportRequest | None = None,
) -> dict[str, Any]:
    """Look up a gallery's unseen photos and count.

    Args:
        bundle_dir: the embedder.
        gallery_dir: labelled photos; those that the head was trained on are no queries.
        reference_dir: the gallery to look them up in; None for *gallery_dir* itself, where a photo and the others of
            its group are not found for each other.
        report: what to write beside; None for nothing.

    Returns:
        What ``beedex evaluate --json`` prints.

    Raises:
        BeedexError: the bundle or a gallery can't be used, nothing can be judged, or the report can't be written.
    """
    bundle = load_bundle(bundle_dir)
    inspection = _inspect(gallery_dir)
    if report:
        _claim(report.directory)
    unseen = _find_unseen(bundle, inspection.photos)
    with Embedder.open(bundle) as embedder:
        found = _embed(embedder, gallery_dir, inspection.photos)
        reference = _embed(embedder, reference_dir, _inspect(reference_dir).photos) if reference_dir else found
    if unseen.any():
        lookup = Lookup(queries=found.take(unseen), reference=reference, shared=reference is found)
        judgement, protocol = lookup.judge(), f"each unseen photo is looked up among {len(reference.photos)} photos"
    else:
        lookup = None
        judgement, protocol = cross_validate_bundle(bundle, found)
    metrics = {
        **judgement.describe(),
        "unjudged": int(np.isnan(average_repeats(judgement.trained.hit_at_1)).sum()),
        "seen": int((~unseen).sum()),
        "cross_validated": lookup is None,
        "protocol": protocol,
        "reference_photos": len(reference.photos),
        "notes": judgement.note_small_families(),
        "fingerprint": bundle.card.fingerprint,
        "weights": bundle.card.weights.model_dump(),
    }
    if report:
        origin = Origin(
            command=report.command,
            fingerprint=bundle.card.fingerprint,
            weights=bundle.card.weights.note,
            gallery_digest=inspection.digest,
            git_revision=bundle.card.git_revision,
            versions=bundle.card.versions,
        )
        results = tabulate(judgement, protocol=protocol, notes=metrics["notes"])
        content = _compose(origin, results, gallery_dir, found, lookup, judgement)
        try:
            write_report(report.directory / REPORT_NAME, content)
        except OSError as error:
            raise TrainingError(_word_unwritable(report.directory, error)) from error
    return metrics


def _claim(directory: Path) -> None:
    """Check, before minutes of work, that a report can be written to a directory."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise TrainingError(_word_unwritable(directory, error)) from error


def _word_unwritable(directory: Path, error: OSError) -> str:
    return f"the report can't be written to {directory}: {error.strerror or error}; name another directory"


def _inspect(directory: Path) -> Inspection:
    gallery = scan_gallery(directory)
    with report_progress("inspecting photos", len(gallery.photos)) as advance:
        return inspect_gallery(gallery, advance=advance)


def _embed(embedder: Embedder, directory: Path, photos: tuple[InspectedPhoto, ...]) -> EmbeddedPhotos:
    sources = (PhotoSource(path=directory / photo.photo.path, sha256=photo.sha256) for photo in photos)
    images = (prepare(source.read(), side_px=embedder.side_px) for source in sources)
    with report_progress("embedding photos", len(photos)) as advance:
        rows = list(embedder.stream(images, advance=advance))
    return EmbeddedPhotos(
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


def _compose(
    origin: Origin,
    results: Results,
    gallery_dir: Path,
    found: EmbeddedPhotos,
    lookup: Lookup | None,
    judgement: Judgement,
) -> ReportContent:
    """Return the report of the gallery's photos; neighbors are shown where they are of the same gallery."""
    lookups = None
    if lookup and lookup.shared:
        numbers = {photo.photo.path: i for i, photo in enumerate(found.photos)}
        neighbors, similarities = lookup.find_neighbors(NEIGHBORS)
        lookups = Lookups(
            photos=np.array([numbers[photo.photo.path] for photo in lookup.queries.photos]),
            average_precision=judgement.trained.average_precision_at_r,
            hits=judgement.trained.hit_at_1,
            neighbors=neighbors,
            similarities=similarities,
        )
    return ReportContent(
        kind="Evaluation report",
        title=gallery_dir.resolve().name,
        origin=origin,
        results=results,
        families=tuple(sorted({photo.photo.family for photo in found.photos} | set(judgement.families))),
        photos=list_photos(found.photos),
        read_photo=PhotoReader(gallery_dir, found.photos),
        embedding_map=EmbeddingMap(embeddings=found.embeddings, features=found.features, trained_on=lookup is None),
        lookups=lookups,
    )
