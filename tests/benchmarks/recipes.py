"""What training adds: frozen features, a linear probe, pytorch-metric-learning's triplet recipes, and beedex.

    python -m venv build/torch && build/torch/bin/pip install -r tests/benchmarks/torch-requirements.txt
    python tests/benchmarks/recipes.py GALLERY... --torch build/torch/bin/python [--weights bundled] [--cache DIR]

All have the same stored features and the very splits of `beedex train`. Frozen features, the probe and PML's heads use
the default blocks; beedex does what `beedex train` does, from the choice of blocks and learning rate to the number of
steps. Where it chose other blocks in some split, it is also shown with the default ones.

PML's recipes, losses with miners and learning rates, are listed in recipes_torch.py. Its heads get the features as
beedex standardizes them and as many steps as beedex plans. The recipe is chosen for each split as beedex makes its own
choices: by the MAP@R of a fold of the training photos that is held out once more; then it is trained on all of them.
The recipe that turned out best on the photos that are judged is shown as well: nobody could have known it beforehand,
so it is what a choice among these could have reached at most.

Every figure is a mean over photos, averaged over the repeats, with a 95 % interval by group; differences are paired.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from galleries import (  # type: ignore[import-not-found]  # the script's neighbour: mypy knows it by another name
    SEED,
    HeldOutScores,
    Row,
    describe_rows,
    list_splits,
    print_rows,
    read_material,
)
from numpy.typing import NDArray

from beedex.index.comparison import Comparison, compare
from beedex.index.metrics import score_retrieval
from beedex.index.progress import report_progress
from beedex.training.backbone.features import Features
from beedex.training.backbone.taps import DEFAULT_BLOCKS
from beedex.training.backbone.views import Views
from beedex.training.backbone.weights import load_inception
from beedex.training.fitting.batches import Batches
from beedex.training.fitting.standardization import fit_standardization
from beedex.training.folds import Protocol, Split, assign_folds
from beedex.training.judging.crossvalidation import cross_validate
from beedex.training.judging.probe import fit_probe
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe

TORCH_SIDE = Path(__file__).with_name("recipes_torch.py")

# As `train_stages` holds out photos to find how long to train.
VALIDATION_FOLDS = 4


@dataclass(frozen=True, kw_only=True)
class TorchRecipes:
    """PML's heads.

    Attributes:
        chosen: by validation, split by split.
        recipes: each in every split.
        times_chosen: by recipe.
    """

    chosen: Row
    recipes: list[Row]
    times_chosen: Counter[str]

    @property
    def best(self) -> Row:
        """The recipe of the highest Recall@1 on the judged photos."""
        best = max(self.recipes, key=lambda row: float(np.nanmean(row.hits)))
        return replace(best, name=f"PML, best in hindsight: {best.name}")


def main() -> None:
    """Print a table and the comparisons for each gallery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("galleries", type=Path, nargs="+", metavar="GALLERY")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/beedex"), help="the folder with stored features")
    parser.add_argument(
        "--torch", type=Path, default=Path("build/torch/bin/python"), help="the Python of the other environment"
    )
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes for PML's heads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    arguments = parser.parse_args()
    if not arguments.torch.exists():
        parser.error(f"there is no {arguments.torch}; see the top of this file for how to make that environment")
    inception, _ = load_inception(arguments.weights)
    found = {}
    for gallery in arguments.galleries:
        material = read_material(
            gallery,
            inception,
            views=Views(count=4, seed=SEED),
            blocks=Recipe().blocks,
            cache=arguments.cache.expanduser(),
        )
        found[gallery.resolve().name] = measure_gallery(gallery.resolve().name, material, arguments)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=1))


def measure_gallery(name: str, material: Material, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train everything, print what came out, and return it as plain data."""
    protocol, splits = list_splits(material)
    features = material.features.select(DEFAULT_BLOCKS)
    print(f"\n{name}: {protocol.why}", flush=True)
    frozen, probe = measure_baselines(material, features, protocol, splits)
    ours, choices = measure_beedex(material, protocol)
    pml = measure_torch(material, features, protocol, splits, arguments)
    rows = [frozen, probe, pml.chosen, pml.best, *ours]
    comparisons = [
        comparison
        for other in (frozen, probe, pml.chosen, pml.best)
        for comparison in compare_rows(ours[0], other, material.groups)
    ]
    print_rows(rows, material.groups)
    for comparison in comparisons:
        print(comparison.words)
    print(word_choices(choices))
    print("\nPML's recipes, each in every split, and how often validation chose it:")
    print_rows(pml.recipes, material.groups, notes={name: f"{n} x" for name, n in pml.times_chosen.items()})
    return {
        "photos": len(material.labels),
        "groups": len(set(material.groups)),
        "protocol": protocol.why,
        "rows": describe_rows(rows, material.groups),
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "choices": choices,
        "pml_recipes": describe_rows(pml.recipes, material.groups),
        "pml_times_chosen": dict(pml.times_chosen),
    }


def measure_baselines(
    material: Material, features: Features, protocol: Protocol, splits: list[Split]
) -> tuple[Row, Row]:
    """Look frozen features up, and fit the probe on them."""
    vectors = features.matrix()  # (N, F)
    frozen, probe_hits = HeldOutScores(material, protocol), np.full((protocol.repeats, len(vectors)), np.nan)
    groups = np.asarray(material.groups)
    for split in splits:
        held_out, known = split.held_out, ~split.held_out
        frozen.add(split, vectors[held_out], vectors[known])
        probe = fit_probe(vectors[known], material.labels[known], groups[known].tolist(), seed=SEED)
        probe_hits[split.repeat, held_out] = probe.predict(vectors[held_out]) == material.labels[held_out]
    unknown = np.full_like(probe_hits, np.nan)
    return Row.take("frozen features, 1-NN", frozen), Row(name="a linear probe", hits=probe_hits, precisions=unknown)


def measure_beedex(material: Material, protocol: Protocol) -> tuple[list[Row], dict[str, Any]]:
    """Cross-validate as `beedex train` does, and once more where it chose blocks that the others don't have."""
    rows, recipe = [], Recipe()
    with report_progress("beedex", protocol.splits) as progress:
        found = cross_validate(material, recipe, progress=progress)
    rows.append(read_row("beedex", found))
    chosen = Counter(" + ".join(choice["blocks"] or ()) for choice in found.choices)
    if set(chosen) - {" + ".join(map(str, DEFAULT_BLOCKS))}:
        with report_progress("beedex, default blocks", protocol.splits) as progress:
            fixed = cross_validate(material, replace(recipe, candidates=(DEFAULT_BLOCKS,)), progress=progress)
        rows.append(read_row("beedex, default blocks", fixed))
    rates = Counter(choice["learning_rate"] for choice in found.choices)
    return rows, {
        "blocks": dict(chosen),
        "learning_rates": dict(rates),
        "head_steps": [choice["steps"]["head"] for choice in found.choices],
    }


def word_choices(choices: dict[str, Any]) -> str:
    """Say what beedex chose, split by split."""
    default = " + ".join(map(str, DEFAULT_BLOCKS))
    taken, splits = choices["blocks"].get(default, 0), sum(choices["blocks"].values())
    steps = choices["head_steps"]
    rates = " and ".join(f"{rate:g} in {times}" for rate, times in sorted(choices["learning_rates"].items()))
    return (
        f"beedex took the default blocks in {taken} of {splits} splits, learning rate {rates}, "
        f"and {min(steps)} to {max(steps)} steps."
    )


def read_row(name: str, found: Any) -> Row:
    """Take the trained embedder's scores from a `CrossValidation`."""
    scores = found.scores["trained"]
    return Row(name=name, hits=scores.hit_at_1, precisions=scores.average_precision_at_r)


def measure_torch(
    material: Material, features: Features, protocol: Protocol, splits: list[Split], arguments: argparse.Namespace
) -> TorchRecipes:
    """Train PML's heads, choose among them, and score."""
    known = [~split.held_out for split in splits]
    inner = [draw_validation(material, of_split) for of_split in known]
    trained = np.stack([*(part & ~held_out for part, held_out in zip(known, inner, strict=True)), *known])  # (T, N)
    vectors, names = run_torch(material, features, trained, arguments)  # (T, recipes, N, D)
    rows = [HeldOutScores(material, protocol) for _ in names]
    chosen, times_chosen = HeldOutScores(material, protocol), Counter[str]()
    of_trials, of_splits = vectors[: len(splits)], vectors[len(splits) :]
    for split, held_out, trials, finals in zip(splits, inner, of_trials, of_splits, strict=True):
        best = int(np.argmax([validate(material, ~split.held_out, held_out, trial) for trial in trials]))
        times_chosen[names[best]] += 1
        for scores, final in [*zip(rows, finals, strict=True), (chosen, finals[best])]:
            scores.add(split, final[split.held_out], final[~split.held_out])
    return TorchRecipes(
        chosen=Row.take("PML, recipe by validation", chosen),
        recipes=[Row.take(name, scores) for name, scores in zip(names, rows, strict=True)],
        times_chosen=times_chosen,
    )


def draw_validation(material: Material, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (N,) which of the known photos are held out to choose a recipe."""
    groups = np.asarray(material.groups)[known].tolist()
    held_out = np.zeros(len(known), dtype=np.bool_)
    held_out[known] = assign_folds(material.labels[known], groups, folds=VALIDATION_FOLDS, seed=SEED) == 0
    return held_out


def validate(
    material: Material, known: NDArray[np.bool_], held_out: NDArray[np.bool_], vectors: NDArray[np.float32]
) -> float:
    """Return the MAP@R of the photos that were held out of the known ones, looked up among the others."""
    others = known & ~held_out
    similarities = vectors[held_out] @ vectors[others].T
    scores = score_retrieval(similarities, material.labels[held_out], material.labels[others])
    return float(np.nanmean(scores.average_precision_at_r))


def run_torch(
    material: Material, features: Features, trained: NDArray[np.bool_], arguments: argparse.Namespace
) -> tuple[NDArray[np.float32], list[str]]:
    """Return the vectors (T, recipes, N, D) of heads that the other environment trains, and the recipes' names."""
    recipe = Recipe()
    settings = {
        name: getattr(recipe.fit, name) for name in ("families_per_batch", "photos_per_family", "weight_decay", "seed")
    } | {"dimension": recipe.shape.dimension, "dropout": recipe.shape.dropout}
    steps = [plan_steps(material, of_task) for of_task in trained]
    with tempfile.TemporaryDirectory() as folder:
        for task, of_task in enumerate(trained):
            np.save(Path(folder, f"rows-{task}.npy"), standardize_rows(features, of_task))
        np.savez(Path(folder, "tasks.npz"), labels=material.labels, trained=trained, steps=steps)
        Path(folder, "settings.json").write_text(json.dumps(settings))
        command = [str(arguments.torch), str(TORCH_SIDE), folder, "--workers", str(arguments.workers)]
        subprocess.run(command, check=True)
        vectors = np.load(Path(folder, "vectors.npy"))
        return vectors, json.loads(Path(folder, "recipes.json").read_text())


def standardize_rows(features: Features, trained: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return all photos' features (N, V, S) as beedex standardizes them for a training on some."""
    standardization = fit_standardization(features.subset(trained))
    rows = np.concatenate([standardization.apply(chunk) for chunk in features.chunks()])
    return rows.reshape(features.photos, features.views, -1)


def plan_steps(material: Material, trained: NDArray[np.bool_]) -> int:
    """Return how many steps beedex would plan for these photos."""
    config = Recipe().fit
    batches = Batches(
        material.labels[trained],
        np.asarray(material.groups)[trained],
        families_per_batch=config.families_per_batch,
        photos_per_family=config.photos_per_family,
        generator=np.random.default_rng(SEED),
    )
    return config.plan(batches.steps_per_epoch).planned_steps


def compare_rows(first: Row, second: Row, groups: Sequence[str]) -> list[Comparison]:
    """Compare both figures, where both have them."""
    return [
        compare(
            getattr(first, field),
            getattr(second, field),
            groups,
            first_name=first.name,
            second_name=second.name,
            figure=figure,
        )
        for field, figure in (("hits", "Recall@1"), ("precisions", "MAP@R"))
        if not np.isnan(getattr(second, field)).all()
    ]


if __name__ == "__main__":
    main()
