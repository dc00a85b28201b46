"""What augmentation, a zoomed look and a second view at test time add, measured on held-out photos.

    python tests/benchmarks/views.py GALLERY [--weights bundled] [--cache DIR] [--only VARIANT...] [--repeats 1]

Every variant is trained for the splits of `beedex train`, with the default blocks and the default number of steps, so
that nothing but the variant differs. `1 view` is the photo as served, `2 views` its mirror image as well; further ones
are drawn. The first eight views of a photo hold the first four, so both come from one store; the strong ones need
another. Differences are to the default, paired by photo, with a 95 % interval by group and the sign-flip test's p.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from galleries import (  # type: ignore[import-not-found]  # the script's neighbour: mypy knows it by another name
    SEED,
    HeldOutScores,
    format_figure,
    list_splits,
    read_material,
)

from beedex.index.comparison import compare
from beedex.training.backbone.features import Features
from beedex.training.backbone.taps import DEFAULT_BLOCKS, PLAIN_BLOCKS, Block, block_columns
from beedex.training.backbone.views import AUGMENTATIONS, NamedAugmentation, Views
from beedex.training.backbone.weights import load_inception
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe
from beedex.training.recipes.stages import Choices, train_stages

# How many views are stored; variants take the first of them.
STORED_VIEWS: dict[NamedAugmentation, int] = {"light": 8, "strong": 4}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What is trained.

    Attributes:
        views: of each photo in training.
        augmentation: of those beyond the mirror image.
        test_views: averaged in look-ups.
        blocks: of the features.
    """

    views: int = 4
    augmentation: NamedAugmentation = "light"
    test_views: int = 1
    blocks: tuple[Block, ...] = DEFAULT_BLOCKS


DEFAULT = "4 light views (default)"
VARIANTS = {
    DEFAULT: Variant(),
    "1 view": Variant(views=1),
    "2 views": Variant(views=2),
    "8 light views": Variant(views=8),
    "4 strong views": Variant(augmentation="strong"),
    "2 views at test time": Variant(test_views=2),
    "no zoom": Variant(blocks=PLAIN_BLOCKS),
    "no zoom, 2 views at test time": Variant(blocks=PLAIN_BLOCKS, test_views=2),
}

ReadMaterial = Callable[[NamedAugmentation], Material]


def main() -> None:
    """Train each variant, and print its figures and what it adds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gallery", type=Path)
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/beedex"), help="the folder with stored features")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="VARIANT")
    parser.add_argument(
        "--repeats", type=int, help="of the folds' drawing; as many as `beedex train` takes if left out"
    )
    arguments = parser.parse_args()
    inception, _ = load_inception(arguments.weights)

    @cache
    def read(augmentation: NamedAugmentation) -> Material:
        views = Views(count=STORED_VIEWS[augmentation], seed=SEED, augmentation=AUGMENTATIONS[augmentation])
        where = arguments.cache.expanduser()
        material: Material = read_material(
            arguments.gallery, inception, views=views, blocks=DEFAULT_BLOCKS, cache=where
        )
        return material

    print(f"{'':30} {'Recall@1 (95 %)':24}  {'MAP@R (95 %)':24}  difference to the default")
    default = measure(VARIANTS[DEFAULT], read, inception, arguments.repeats)
    print_variant(DEFAULT, default, None, read("light").groups)
    for name in arguments.only:
        if name != DEFAULT:
            scores = measure(VARIANTS[name], read, inception, arguments.repeats)
            print_variant(name, scores, default, read("light").groups)


def measure(variant: Variant, read: ReadMaterial, inception: keras.Model, repeats: int | None) -> HeldOutScores:
    """Cross-validate a variant."""
    stored = read(variant.augmentation)
    features = keep_views(stored.features, variant.views, inception)
    material = replace(stored, features=features, grams=None)
    recipe = Recipe(candidates=(variant.blocks,), test_views=variant.test_views)
    protocol, splits = list_splits(material)
    scores = HeldOutScores(material, protocol)
    for split in splits:
        if repeats is None or split.repeat < repeats:
            known = material.take(~split.held_out)
            # Choices that hold nothing: no photos are held out to find how long to train.
            stages = train_stages(known, recipe, choices=Choices())
            scores.add(split, stages.embed(material.take(split.held_out)), stages.embed(known))
    return scores


def keep_views(features: Features, count: int, inception: keras.Model) -> Features:
    """Return the first views alone."""
    rows = np.concatenate(list(features.chunks())).reshape(features.photos, features.views, -1)  # (N, V, F)
    return Features.from_array(rows[:, :count], columns=block_columns(inception, features.blocks))


def print_variant(name: str, scores: HeldOutScores, default: HeldOutScores | None, groups: tuple[str, ...]) -> None:
    """Print a line."""
    recall, map_at_r = (format_figure(figure) for figure in scores.estimate())
    line = f"{name:30} {recall:24}  {map_at_r:24}"
    if default is not None:
        compared = (
            compare(scores.hits, default.hits, groups),
            compare(scores.precisions, default.precisions, groups),
        )
        for figure, found in zip(("Recall@1", "MAP@R"), compared, strict=True):
            p = f"p = {found.p_value:.3f}"
            line += f"  {figure} {found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}, {p})"
    print(line.rstrip(), flush=True)


if __name__ == "__main__":
    main()
