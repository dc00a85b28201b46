"""Which rule names families best, and which score tells photos of unknown families.

    python tests/benchmarks/decisions.py GALLERY... --outside DIR [--weights bundled] [--cache DIR] [--repeats N]

Heads are trained for the splits of `beedex train`, as it trains them. Each split's held-out photos are looked up by
every rule among the photos that the head was trained on: the share named rightly, over photos and over families, and
the loss -log(probability of the right family), at a temperature that other groups set. Differences to the default are
paired by photo.

A score is to be larger for held-out photos than for those outside: the photos of DIR, which are of no family, and those
of families that a head never saw. Its AUROC is how often it is. Differences to plain nearest similarity are paired:
each held-out photo's share of outside photos that it stands above, by both scores.

At last, the thresholds as `beedex train` sets them, cross-fitted: how many photos of each kind come out UNKNOWN. No
photo of DIR has a part in them. Every interval is a 95 % one, by group.

The learning rate takes most of the time; `--one-learning-rate` keeps the default one.
"""

import argparse
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from decision_rules import (  # type: ignore[import-not-found]  # the script's neighbour: mypy knows it by another name
    ADJUSTED,
    DEFAULT,
    EVIDENCE,
    FAMILIARITY,
    PLAIN,
    Known,
    score_unknown,
    weigh,
)
from galleries import (  # type: ignore[import-not-found]
    SEED,
    format_figure,
    list_splits,
    read_material,
)
from numpy.typing import NDArray

from beedex.index.calibration import Calibration, adjust_familiarity
from beedex.index.comparison import Comparison, compare
from beedex.index.metrics import estimate, estimate_macro
from beedex.index.progress import ProgressReport, report_progress
from beedex.index.reliability import estimate_auroc
from beedex.training.backbone.views import Views
from beedex.training.backbone.weights import load_inception
from beedex.training.judging.calibration import crossfit_probabilities, fit_calibration
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe
from beedex.training.recipes.stages import TrainedStages, train_stages

Scores = dict[str, NDArray[np.float64]]


@dataclass(kw_only=True)
class Found:
    """What the heads of a gallery say of photos; R repeats, S splits, N photos, M outside, L of left-out families.

    Attributes:
        evidence: (R, N, C) by rule.
        known: (R, N) by score.
        outside: (S, M) by score.
        left_out: (L,) by score.
        left_out_rows: (L,) numbers of the photos.
    """

    evidence: Scores = field(default_factory=dict)
    known: Scores = field(default_factory=dict)
    outside: Scores = field(default_factory=dict)
    left_out: Scores = field(default_factory=dict)
    left_out_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def main() -> None:
    """Print the tables of each gallery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("galleries", type=Path, nargs="+", metavar="GALLERY")
    parser.add_argument("--outside", type=Path, required=True, metavar="DIR", help="photos of no family")
    parser.add_argument("--weights", default="bundled")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/beedex"), help="the folder with stored features")
    parser.add_argument("--repeats", type=int, help="of the folds' drawing; as many as `beedex train` if left out")
    parser.add_argument("--one-learning-rate", action="store_true")
    arguments = parser.parse_args()
    recipe = Recipe(other_learning_rates=()) if arguments.one_learning_rate else Recipe()
    inception, _ = load_inception(arguments.weights)

    def read(gallery: Path) -> Material:
        cache, views = arguments.cache.expanduser(), Views(count=4, seed=SEED)
        material: Material = read_material(gallery, inception, views=views, blocks=recipe.blocks, cache=cache)
        return material

    outside = read(arguments.outside)
    for gallery in arguments.galleries:
        material = read(gallery)
        found = look_up(material, outside, recipe, arguments.repeats)
        print(f"\n{gallery.resolve().name}: {list_splits(material)[0].why}", flush=True)
        print_rules(found, material)
        fitted = calibrate(found, material)
        print_scores(found, material, outside)
        print_thresholds(found, fitted, outside)


def look_up(material: Material, outside: Material, recipe: Recipe, repeats: int | None) -> Found:
    """Train the heads, and ask them."""
    protocol, splits = list_splits(material)
    splits = [split for split in splits if repeats is None or split.repeat < repeats]
    found, shape = Found(), (protocol.repeats, len(material.labels))
    with report_progress("training heads", len(splits) + len(material.families)) as progress:
        for number, split in enumerate(splits):
            stages = train_stages(material.take(~split.held_out), recipe)
            known, held_out = describe_known(stages, material, ~split.held_out), material.take(split.held_out)
            for name, rows in weigh(stages.embed(held_out), known).items():
                whole = found.evidence.setdefault(name, np.full((*shape, known.families), np.nan))
                whole[split.repeat, split.held_out] = rows
            for name, values in score(stages, held_out, known).items():
                found.known.setdefault(name, np.full(shape, np.nan))[split.repeat, split.held_out] = values
            for name, values in score(stages, outside, known).items():
                found.outside.setdefault(name, np.full((len(splits), len(values)), np.nan))[number] = values
            progress(1)
        leave_out(found, material, recipe, progress)
    return found


def leave_out(found: Found, material: Material, recipe: Recipe, progress: ProgressReport) -> None:
    """Ask heads that never saw a family about its photos, with the choices made on all, as `beedex train` does."""
    choices, groups = train_stages(material, recipe).choices, np.asarray(material.groups)
    for family in range(len(material.families)):
        left_out = material.labels == family
        rows = ~np.isin(groups, groups[left_out])
        stages = train_stages(material.take(rows), recipe, choices=choices)
        values = score(stages, material.take(left_out), describe_known(stages, material, rows))
        for name, scores in values.items():
            found.left_out[name] = np.append(found.left_out.get(name, np.empty(0)), scores)
        found.left_out_rows = np.append(found.left_out_rows, np.flatnonzero(left_out))
        progress(1)


def describe_known(stages: TrainedStages, material: Material, rows: NDArray[np.bool_]) -> Known:
    """Return what a head was trained on, as it sees it."""
    known = material.take(rows)
    return Known(
        vectors=stages.embed(known),
        features=stages.read_frozen(known),
        labels=known.labels,
        families=len(material.families),
    )


def score(stages: TrainedStages, asked: Material, known: Known) -> Scores:
    """Score photos by a head and by the features before it."""
    scores: Scores = score_unknown(stages.embed(asked), stages.read_frozen(asked), known)
    return scores


def print_rules(found: Found, material: Material) -> None:
    """Print how often each rule names the right family, and how likely it finds it."""
    hits, losses = {}, {}
    for name, evidence in found.evidence.items():
        judged = ~np.isnan(evidence).all(axis=2)
        named = np.nan_to_num(evidence, nan=-np.inf).argmax(axis=2)
        hits[name] = np.where(judged, named == material.labels, np.nan)
        likely = crossfit_probabilities(evidence, material.labels, material.groups)
        right = np.take_along_axis(likely, np.broadcast_to(material.labels[:, np.newaxis], (*judged.shape, 1)), axis=2)
        losses[name] = -np.log(np.maximum(right[..., 0], 1e-12))
    width = max(map(len, hits))
    print(f"\n{'':{width}}  {'named rightly':22}  {'over families':22}  {'loss':22}  loss over families")
    for name, values in hits.items():
        figures = [
            figure
            for of in (values, losses[name])
            for figure in (estimate(of, material.groups), estimate_macro(of, material.labels, material.groups))
        ]
        print(f"{name:{width}}  {'  '.join(f'{format_figure(figure):22}' for figure in figures)}".rstrip())
    print("less the default:")
    for name in hits:
        if name != DEFAULT:
            differences = [word(compare(of[name], of[DEFAULT], material.groups)) for of in (hits, losses)]
            print(f"{name:{width}}  named rightly {differences[0]}, loss {differences[1]}")
    for family in np.argsort(np.bincount(material.labels))[:2]:  # the smallest
        own = material.labels == family
        shares = ", ".join(f"{name} {np.nanmean(values[:, own]):.2f}" for name, values in hits.items())
        print(f"of the {own.sum()} photos of {material.families[family]}: {shares}")


def print_scores(found: Found, material: Material, outside: Material) -> None:
    """Print each score's AUROC, and how many photos the thresholds refuse."""
    left_out_groups = [material.groups[row] for row in found.left_out_rows]
    sides = {"outside": (found.outside, outside.groups), "left-out families": (found.left_out, left_out_groups)}
    width = max(map(len, found.known))
    print(f"\n{'AUROC':{width}}  " + "  ".join(f"{f'against {side}':26}" for side in sides))
    for name, known in found.known.items():
        figures = [
            estimate_auroc(known, scores[name], groups=material.groups, outside_groups=groups)
            for scores, groups in sides.values()
        ]
        print(f"{name:{width}}  {'  '.join(f'{format_figure(figure):26}' for figure in figures)}".rstrip())
    print(f"less {PLAIN}:")
    for name, known in found.known.items():
        if name != PLAIN:
            differences = [
                word(compare(stand(known, scores[name]), stand(found.known[PLAIN], scores[PLAIN]), material.groups))
                for scores, _ in sides.values()
            ]
            print(f"{name:{width}}  {'  '.join(differences)}")


def stand(known: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (R, N) the share of other values that each known one is above, ties counting half."""
    ordered = np.sort(others.ravel())
    places = (np.searchsorted(ordered, known, "left") + np.searchsorted(ordered, known, "right")) / 2 / len(ordered)
    return np.where(np.isnan(known), np.nan, places)


def calibrate(found: Found, material: Material) -> Calibration:
    """Set the thresholds, and add the score that photos are judged by: its weights come from known photos alone."""
    fitted = fit_calibration(
        found.evidence[DEFAULT],
        material.labels,
        found.left_out[EVIDENCE],
        groups=material.groups,
        outside_groups=[material.groups[row] for row in found.left_out_rows],
        familiarity=found.known[FAMILIARITY],
        outside_familiarity=found.left_out[FAMILIARITY],
    )
    if fitted.familiarity:
        weight, usual = fitted.familiarity.evidence_weight, fitted.familiarity.usual_evidence
        for scores in (found.known, found.outside, found.left_out):
            scores[ADJUSTED] = adjust_familiarity(scores[FAMILIARITY], scores[EVIDENCE], weight=weight, usual=usual)
    return fitted


def print_thresholds(found: Found, fitted: Calibration, outside: Material) -> None:
    """Print how many photos come out UNKNOWN of those that should not, and of those that should."""
    refused, accepted = fitted.unseen_false_reject_rate, fitted.unseen_false_accept_rate
    thresholds = {"told by the vector": (EVIDENCE, fitted.unknown_below, refused, accepted)}
    if fitted.familiarity:
        of_photos = fitted.familiarity
        refused, accepted = of_photos.false_reject_rate, of_photos.false_accept_rate
        thresholds["told by the features"] = (ADJUSTED, of_photos.unfamiliar_below, refused, accepted)
    print(f"\n{'UNKNOWN':20}  {'held-out photos':22}  {'left-out families':22}  outside")
    for name, (scored, threshold, refused, accepted) in thresholds.items():
        if threshold is not None and refused and accepted:
            caught = estimate((found.outside[scored] < threshold).astype(np.float64), outside.groups)
            turned = replace(accepted, value=1 - accepted.value, low=1 - accepted.high, high=1 - accepted.low)
            print(f"{name:20}  {'  '.join(f'{format_figure(figure):22}' for figure in (refused, turned, caught))}")
    print(f"calibration: {fitted.note}")


def word(found: Comparison) -> str:
    """Write a difference with its interval and p-value."""
    return f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}, p = {found.p_value:.3f})"


if __name__ == "__main__":
    main()
