"""Training again by a bundle's recipe, to judge photos that the bundle itself was trained on."""

import numpy as np

from beedex.index.bundle import Bundle
from beedex.index.progress import report_progress
from beedex.training.backbone.features import Features
from beedex.training.errors import TrainingError
from beedex.training.fitting.fitconfig import FitConfig
from beedex.training.fitting.guard import GuardConfig
from beedex.training.fitting.model import HeadShape
from beedex.training.folds import choose_protocol
from beedex.training.judging.crossvalidation import CrossValidation, cross_validate
from beedex.training.judging.figures import Judgement
from beedex.training.judging.lookup import EmbeddedPhotos
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe

__all__ = ["cross_validate_bundle", "judge_cross_validation"]


def cross_validate_bundle(bundle: Bundle, found: EmbeddedPhotos) -> tuple[Judgement, str]:
    """Cross-validate heads on the frozen features of a bundle's own network.

    Args:
        bundle: whose head's shape and settings are used again.
        found: N photos.

    Returns:
        The scores, and in words how they came about.

    Raises:
        TrainingError: the bundle's last blocks were trained too, or the photos can't be held out.
    """
    settings = bundle.card.training.get("recipe")
    if settings is None or settings["tune"]:
        raise TrainingError(
            f"every photo was trained on, so that no figure on them means anything for {bundle.path}: expected unseen "
            "photos; give another gallery, or read the cross-validated figures of the training in its embedder.json"
        )
    families = tuple(sorted({photo.photo.family for photo in found.photos}))
    number = {family: i for i, family in enumerate(families)}
    material = Material(
        features=Features.from_array(found.features[:, np.newaxis]),
        labels=np.array([number[photo.photo.family] for photo in found.photos], dtype=np.int64),
        groups=tuple(photo.group for photo in found.photos),
        families=families,
    )
    guard = settings["fit"]["guard"]
    fit = FitConfig(**settings["fit"] | {"guard": GuardConfig(**guard) if guard else None})
    # Bundles from before learning rates were chosen took that of `fit`.
    others = tuple(settings.get("other_learning_rates", ()))
    recipe = Recipe(shape=HeadShape(**settings["shape"]), fit=fit, other_learning_rates=others)
    protocol = choose_protocol(material.labels, material.groups)
    with report_progress("cross-validating", protocol.splits) as progress:
        held_out = cross_validate(material, recipe, progress=progress)
    why = (
        f"every photo was trained on, so heads are trained anew by the same settings: {protocol.why}; each photo is "
        "looked up among those of the other folds, by a head that was trained on them"
    )
    return judge_cross_validation(held_out, material), why


def judge_cross_validation(held_out: CrossValidation, material: Material) -> Judgement:
    """Return the scores of a cross-validation for the figures to be made of."""
    return Judgement(
        labels=material.labels,
        groups=material.groups,
        families=material.families,
        trained=held_out.scores["trained"],
        frozen=held_out.scores["frozen"],
        chance=held_out.scores["chance"],
        probe_hits=held_out.probe_hits,
        unseen=held_out.scores["unseen"],
    )
