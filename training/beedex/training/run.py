"""A training run, from a gallery to an embedder bundle."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.gallery import scan_gallery
from beedex.index.metrics import estimate
from beedex.index.preprocessing import prepare
from beedex.index.progress import report_progress
from beedex.training.backbone import DEFAULT_BLOCKS, build_backbone, measure_batchnorm
from beedex.training.calibration import fit_calibration
from beedex.training.crossvalidation import CrossValidation, LabelledFeatures, count_heads, cross_validate
from beedex.training.errors import TrainingError
from beedex.training.export import Provenance, export_bundle, refuse_unusable_directory
from beedex.training.features import compute_features
from beedex.training.fit import FitConfig, fit_head
from beedex.training.model import HeadShape, build_embedder
from beedex.training.trainingset import TrainingSet, read_training_set
from beedex.training.views import Views
from beedex.training.weights import NamedWeights, hash_weights, load_inception

__all__ = ["TrainConfig", "train_embedder"]

# Photos whose activations set the BatchNorm statistics of a random backbone; more change them by less than noise.
STATISTICS_PHOTOS = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """What a run is asked to do.

    Attributes:
        weights: ``"imagenet"``, ``"bundled"``, ``"random"`` or a path.
        views: V, how often each photo goes through the backbone: once as it is, then varied.
        shape: of the head.
        fit: how heads are trained; its seed also draws the views, the folds and a random backbone.
        cache: the folder that keeps features from run to run.
    """

    weights: str = "imagenet"
    views: int = 4
    shape: HeadShape = field(default_factory=HeadShape)
    fit: FitConfig = field(default_factory=FitConfig)
    cache: Path = Path("~/.cache/beedex")

    def __post_init__(self) -> None:
        """Refuse what no run can do."""
        if self.views < 1:
            raise ValueError(f"`views` must be at least 1. Received: views={self.views}")


def train_embedder(gallery_dir: Path, out: Path, config: TrainConfig) -> dict[str, Any]:
    """Train on a gallery and write the bundle.

    Args:
        gallery_dir: the labelled photos.
        out: where the bundle goes.
        config: how.

    Returns:
        What ``beedex train --json`` prints: figures on held-out photos, the same for the untrained features, and the
        fingerprint.

    Raises:
        BeedexError: the gallery, the weights, *out* or the cache can't be used; no bundle is written then.
    """
    try:
        return _train(gallery_dir, out, config)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise TrainingError(
            f"a file can't be read or written: {error.strerror or error}{where}; mend that and run the command again, "
            "computed features are kept"
        ) from error


def _train(gallery_dir: Path, out: Path, config: TrainConfig) -> dict[str, Any]:
    refuse_unusable_directory(out)
    gallery = scan_gallery(gallery_dir)
    # The network may be missing, and the photos take long to open.
    inception, weights = load_inception(config.weights, seed=config.fit.seed)
    data = read_training_set(gallery)
    backbone = build_backbone(inception)
    if weights.kind == "random":
        measure_batchnorm(backbone, _prepare_some(data, config.fit.seed))
        weights = weights.model_copy(update={"sha256": hash_weights(backbone)})
    features = _compute(data, inception, config)
    with report_progress("cross-validating heads", count_heads(len(data.families))) as advance:
        held_out = cross_validate(features, config.shape, config.fit, advance=advance)
    calibration = fit_calibration(held_out.evidence, data.labels, held_out.outside_evidence)
    head = fit_head(features.features, features.labels, features.groups, config.shape, config.fit)
    metrics = summarize(data, held_out) | {"weights": weights.model_dump(), "calibration": calibration.model_dump()}
    embedder = build_embedder(backbone, head.head, mean=head.mean, scale=head.scale)
    provenance = Provenance(weights=weights, training=_describe(config), metrics=metrics, calibration=calibration)
    card = export_bundle(out, embedder, data, provenance)
    return metrics | {"fingerprint": card.fingerprint, "bundle": str(out)}


def summarize(data: TrainingSet, held_out: CrossValidation) -> dict[str, Any]:
    """Return the figures of a cross-validation under the names that the commands print."""
    return {
        "n": int((~np.isnan(held_out.trained.hit_at_1)).sum()),
        "photos": len(data.photos),
        "groups": len(set(data.groups)),
        "families": {name: int((data.labels == number).sum()) for number, name in enumerate(data.families)},
        "protocol": f"{held_out.folds}-fold cross-validation by group: each photo is looked up among those of the "
        "other folds, by a head that was trained on them",
        "recall_at_1": asdict(estimate(held_out.trained.hit_at_1, data.groups)),
        "map_at_r": asdict(estimate(held_out.trained.average_precision_at_r, data.groups)),
        "chance_recall_at_1": held_out.chance,
        "frozen": {
            "recall_at_1": asdict(estimate(held_out.frozen.hit_at_1, data.groups)),
            "map_at_r": asdict(estimate(held_out.frozen.average_precision_at_r, data.groups)),
        },
        "recall_at_1_by_family": {
            name: float(np.nanmean(held_out.trained.hit_at_1[data.labels == number]))
            for number, name in enumerate(data.families)
            if not np.isnan(held_out.trained.hit_at_1[data.labels == number]).all()
        },
        "left_out": list(data.left_out),
    }


def _compute(data: TrainingSet, inception: keras.Model, config: TrainConfig) -> LabelledFeatures:
    with report_progress("computing features", len(data.photos)) as advance:
        stored = compute_features(
            data.sources,
            inception,
            views=Views(count=config.views, seed=config.fit.seed),
            cache=config.cache.expanduser(),
            advance=advance,
        )
    selected = stored.select(DEFAULT_BLOCKS)
    features = np.stack([selected.matrix(view) for view in range(selected.views)], axis=1)
    return LabelledFeatures(features=features, labels=data.labels, groups=data.groups, families=data.families)


def _prepare_some(data: TrainingSet, seed: int) -> NDArray[np.uint8]:
    """Return up to `STATISTICS_PHOTOS` photos, prepared, in random order."""
    order = np.random.default_rng(seed).permutation(len(data.photos))[:STATISTICS_PHOTOS]
    sources = data.sources
    return np.stack([prepare(sources[i].read()) for i in order])


def _describe(config: TrainConfig) -> dict[str, Any]:
    """Return the configuration as plain data, without the machine's paths."""
    described = asdict(config)
    del described["cache"]
    if config.weights not in get_args(NamedWeights):
        described["weights"] = Path(config.weights).name
    return described
