"""A training run, from a gallery to an embedder bundle."""

import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.calibration import Calibration
from beedex.index.familiarity import Familiarity
from beedex.index.gallery import scan_gallery
from beedex.index.preprocessing import prepare
from beedex.index.progress import report_progress
from beedex.training.backbone.features import compute_features
from beedex.training.backbone.taps import PLAIN_BLOCKS, build_backbone, measure_batchnorm
from beedex.training.backbone.views import AUGMENTATIONS, NamedAugmentation, Views
from beedex.training.backbone.weights import NamedWeights, hash_weights, load_inception
from beedex.training.bundlereport import compose_training_report
from beedex.training.errors import TrainingError
from beedex.training.export import RECORDED_DISTRIBUTIONS, Provenance, export_bundle, refuse_unusable_directory
from beedex.training.fitting.events import EventLog, ProjectedPhoto, write_projector
from beedex.training.fitting.interruption import end_at_sigterm
from beedex.training.fitting.model import build_embedder
from beedex.training.folds import choose_protocol
from beedex.training.judging.calibration import fit_calibration
from beedex.training.judging.crossvalidation import (
    CrossValidation,
    count_outside_heads,
    cross_validate,
    weigh_outsiders,
)
from beedex.training.judging.familiarity import fit_familiarity
from beedex.training.judging.figures import Judgement
from beedex.training.judging.retraining import judge_cross_validation
from beedex.training.recipes.finetune import build_tuned_embedder, cache_activations, split_backbone
from beedex.training.recipes.material import Material, TailMaterial
from beedex.training.recipes.recipe import Recipe
from beedex.training.recipes.runfolder import RunFolder, open_run_folder
from beedex.training.recipes.selection import BlockGrams
from beedex.training.recipes.stages import TrainedStages, train_stages
from beedex.training.trainingset import TrainingSet, read_training_set

__all__ = ["TrainConfig", "train_embedder"]

# Photos whose activations set the BatchNorm statistics of a random backbone; more change them by less than noise.
STATISTICS_PHOTOS = 128

# A larger gallery's features are stored for the default blocks alone: those of all candidates would take 70 kB a view.
MOST_CHOSEN_FROM = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """What a run is asked to do.

    Attributes:
        weights: ``"imagenet"``, ``"bundled"``, ``"random"`` or a path.
        views: V, how often each photo goes through the backbone: as it is, mirrored, then varied.
        augmentation: how far the varied views stray.
        recipe: how embedders are trained; its seed also draws the views, the folds and a random backbone.
        false_accept_rate: of photos of unknown families, how many may get a family named or suggested; None for the
            threshold that parts known from unknown photos best.
        cache: the folder that keeps features from run to run.
        tensorboard: the folder for TensorBoard's events, or None.
    """

    weights: str = "imagenet"
    views: int = 4
    augmentation: NamedAugmentation = "light"
    recipe: Recipe = field(default_factory=Recipe)
    false_accept_rate: float | None = None
    cache: Path = Path("~/.cache/beedex")
    tensorboard: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what no run can do."""
        if self.views < self.recipe.test_views:
            raise ValueError(
                f"`views` must be at least `recipe.test_views`, {self.recipe.test_views}. Received: views={self.views}"
            )
        if self.false_accept_rate is not None and not 0 < self.false_accept_rate < 1:
            raise ValueError(f"`false_accept_rate` must lie between 0 and 1. Received: {self.false_accept_rate}")
        self.draw_views()

    def draw_views(self) -> Views:
        """Return which views are stored."""
        return Views(count=self.views, seed=self.recipe.fit.seed, augmentation=AUGMENTATIONS[self.augmentation])

    def describe(self) -> dict[str, Any]:
        """Return plain data, without the machine's paths."""
        described = asdict(self)
        del described["cache"], described["tensorboard"]
        described["recipe"]["candidates"] = [[str(block) for block in blocks] for blocks in self.recipe.candidates]
        if self.weights not in get_args(NamedWeights):
            described["weights"] = Path(self.weights).name
        return described


def train_embedder(gallery_dir: Path, out: Path, config: TrainConfig, *, command: str) -> dict[str, Any]:
    """Train on a gallery and write the bundle.

    A run that was killed goes on where it was when it is started again with the same arguments, and ends in the same
    weights.

    Args:
        gallery_dir: the labelled photos.
        out: where the bundle goes.
        config: how.
        command: the command line, for the report.

    Returns:
        What ``beedex train --json`` prints: figures on held-out photos, the same for the untrained features, and the
        fingerprint.

    Raises:
        BeedexError: the gallery, the weights, *out* or the cache can't be used; no bundle is written then.
        StoppedBySignal: SIGTERM came; what is done is saved.
    """
    try:
        with end_at_sigterm("training stopped as asked; what is done is kept, and the same command goes on from there"):
            return _train(gallery_dir, out, config, command)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise TrainingError(
            f"a file can't be read or written: {error.strerror or error}{where}; mend that and run the command again, "
            "what is done is kept"
        ) from error


def _train(gallery_dir: Path, out: Path, config: TrainConfig, command: str) -> dict[str, Any]:
    gallery = scan_gallery(gallery_dir)
    refuse_unusable_directory(out)
    if config.tensorboard:
        config.tensorboard.mkdir(parents=True, exist_ok=True)
    # The network may be missing, and the photos take long to open.
    inception, weights = load_inception(config.weights, seed=config.recipe.fit.seed)
    data = read_training_set(gallery)
    if weights.kind == "random":
        # Of whole photos: enlarged middles beside them would double the 3 GB that this takes.
        measure_batchnorm(build_backbone(inception, PLAIN_BLOCKS), _prepare_some(data, config.recipe.fit.seed))
        weights = weights.model_copy(update={"sha256": hash_weights(inception)})
    recipe = _fit_recipe(config.recipe, len(data.photos))
    with open_run_folder(out, _name_run(data, config, weights.sha256)) as folder:
        material = _gather_material(data, inception, recipe, config)
        held_out, stages, calibration = _work(material, recipe, config, folder, data)
        judgement = judge_cross_validation(held_out, material)
        metrics = {
            **_describe_data(data, judgement, stages, held_out),
            **judgement.describe(),
            "weights": weights.model_dump(),
            "calibration": calibration.model_dump(),
        }
        provenance = Provenance(weights=weights, training=config.describe(), metrics=metrics, calibration=calibration)
        composer = compose_training_report(
            data=data,
            material=material,
            stages=stages,
            held_out=held_out,
            judgement=judgement,
            provenance=provenance,
            protocol=str(metrics["protocol"]),
        )
        card = export_bundle(
            out,
            _join(inception, stages, material),
            data,
            provenance,
            familiarity=_fit_familiarity(stages, material, calibration),
            command=command,
            compose_report=composer,
        )
    return metrics | {"fingerprint": card.fingerprint, "bundle": str(out)}


def _work(
    material: Material, recipe: Recipe, config: TrainConfig, folder: RunFolder, data: TrainingSet
) -> tuple[CrossValidation, TrainedStages, Calibration]:
    """Do the long part: every embedder of the cross-validation, the final one, and those of left-out families."""
    protocol = choose_protocol(material.labels, material.groups)
    with report_progress("cross-validating", protocol.splits) as progress:
        held_out = cross_validate(material, recipe, folder=folder, progress=progress)
    with ExitStack() as logs, report_progress("training", None) as progress:

        def open_log(part: str) -> EventLog | None:
            return logs.enter_context(EventLog(config.tensorboard / part)) if config.tensorboard else None

        open_outlets = folder.open_outlets("final", progress=progress, open_log=open_log)
        stages = train_stages(material, recipe, open_outlets=open_outlets)
    if config.tensorboard:
        _project(config.tensorboard, stages.embed(material), data)
    with report_progress("leaving families out", count_outside_heads(len(material.families))) as progress:
        outside = weigh_outsiders(material, recipe, stages.choices, folder=folder, progress=progress)
    calibration = fit_calibration(
        held_out.evidence,
        material.labels,
        outside.evidence,
        groups=material.groups,
        outside_groups=outside.groups,
        familiarity=held_out.familiarity,
        outside_familiarity=outside.familiarity,
        false_accept_rate=config.false_accept_rate,
    )
    return held_out, stages, calibration


def _describe_data(
    data: TrainingSet, judgement: Judgement, stages: TrainedStages, held_out: CrossValidation
) -> dict[str, Any]:
    selection, rate = stages.choices.selection, stages.choices.rate
    return {
        "photos": len(data.photos),
        "groups": len(set(data.groups)),
        "protocol": f"{held_out.protocol.why}; each photo is looked up among those of the other folds, by an embedder "
        "that was trained on them",
        "left_out": [*data.left_out, *judgement.note_small_families()],
        "blocks": [str(block) for block in (selection.blocks if selection else stages.recipe.candidates[0])],
        "blocks_why": selection.why if selection else "as asked for",
        "learning_rate": rate.learning_rate if rate else stages.recipe.fit.learning_rate,
        "learning_rate_why": rate.why if rate else "as asked for",
        "head_steps": stages.head.fitted.steps,
        "splits": held_out.choices,
    }


def _fit_recipe(recipe: Recipe, photos: int) -> Recipe:
    """Return the recipe for a gallery of this size: a very large one takes the first candidate."""
    if photos <= MOST_CHOSEN_FROM or len(recipe.candidates) == 1:
        return recipe
    return replace(recipe, candidates=recipe.candidates[:1])


def _gather_material(data: TrainingSet, inception: keras.Model, recipe: Recipe, config: TrainConfig) -> Material:
    cache, views = config.cache.expanduser(), config.draw_views()
    with report_progress("computing features", len(data.photos)) as advance:
        features = compute_features(
            data.sources, inception, views=views, cache=cache, blocks=recipe.blocks, advance=advance
        )
    tail, grams = None, None
    if recipe.tune:
        split = split_backbone(inception, recipe.candidates[0], unfreeze_from=recipe.tune.unfreeze_from)
        with report_progress("computing activations", len(data.photos)) as advance:
            activations = cache_activations(data.sources, split, views=views, cache=cache, advance=advance)
        tail = TailMaterial(split=split, activations=activations)
    if len(recipe.candidates) > 1:
        grams = BlockGrams.measure(features, data.labels, data.groups, seed=recipe.fit.seed, blocks=recipe.blocks)
    return Material(
        features=features, labels=data.labels, groups=data.groups, families=data.families, grams=grams, tail=tail
    )


def _join(inception: keras.Model, stages: TrainedStages, material: Material) -> keras.Model:
    """Return the network that serves."""
    head, selection = stages.head, stages.choices.selection
    if stages.tail is not None and material.tail is not None:
        return build_tuned_embedder(
            material.tail.split, stages.tail, head.standardization, test_views=stages.recipe.test_views
        )
    backbone = build_backbone(inception, selection.blocks if selection else stages.recipe.candidates[0])
    return build_embedder(backbone, head.head, head.standardization, test_views=stages.recipe.test_views)


def _fit_familiarity(stages: TrainedStages, material: Material, calibration: Calibration) -> Familiarity | None:
    """Return the measure of all training photos; None where there is no threshold for it."""
    if calibration.familiarity is None:
        return None
    return fit_familiarity(stages.read_frozen(material), material.labels, seed=stages.recipe.fit.seed)


def _project(directory: Path, vectors: NDArray[np.float32], data: TrainingSet) -> None:
    """Write what TensorBoard's projector shows."""
    photos = [
        ProjectedPhoto(path=photo.photo.path.as_posix(), family=photo.photo.family, group=photo.group)
        for photo in data.photos
    ]
    write_projector(directory, vectors, photos, (prepare(source.read()) for source in data.sources))


def _name_run(data: TrainingSet, config: TrainConfig, weights: str) -> str:
    """Return a hash of all that decides the outcome: photos, labels, settings, weights, libraries."""
    content = {
        "photos": [photo.sha256 for photo in data.photos],
        "labels": data.labels.tolist(),
        "groups": list(data.groups),
        "config": config.describe(),
        "weights": weights,
        "versions": {name: version(name) for name in RECORDED_DISTRIBUTIONS},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _prepare_some(data: TrainingSet, seed: int) -> NDArray[np.uint8]:
    """Return up to `STATISTICS_PHOTOS` photos, prepared, in random order."""
    order = np.random.default_rng(seed).permutation(len(data.photos))[:STATISTICS_PHOTOS]
    sources = data.sources
    return np.stack([prepare(sources[i].read()) for i in order])
