"""What a training reaches on photos that it didn't see: grouped, stratified, repeated cross-validation.

Each split's photos are looked up by an embedder that was trained on the others, from the choice of blocks to the
number of steps, in two ways: among the photos that it was trained on, as a user's photo would be, and, leaving one out
in turn, among the held-out ones alone, where neither side was seen. The same look-up on frozen features and a linear
probe on them are the baselines.

The evidence of held-out photos is kept, and how familiar they are: the calibration is fitted on both. Photos of
families *outside* the gallery are simulated by embedders that never saw one of the families.

Shapes: R repeats, N photos, n photos of a split, K neighbors, M photos of left-out families, C families.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from beedex.index.decision import EVIDENCE_NEIGHBORS, weigh_families
from beedex.index.metrics import RetrievalScores, expect_by_chance, score_retrieval
from beedex.index.progress import ProgressReport
from beedex.training.errors import TrainingError
from beedex.training.fitting.batches import find_trainable
from beedex.training.fitting.checkpoints import Checkpoint
from beedex.training.folds import Protocol, Split, choose_protocol, draw_splits
from beedex.training.judging.familiarity import fit_familiarity
from beedex.training.judging.probe import fit_probe
from beedex.training.recipes.material import Material
from beedex.training.recipes.recipe import Recipe
from beedex.training.recipes.runfolder import RunFolder
from beedex.training.recipes.stages import Choices, OpenOutlets, TrainedStages, open_no_outlets, train_stages

__all__ = ["LOOKUPS", "CrossValidation", "OutsidePhotos", "count_outside_heads", "cross_validate", "weigh_outsiders"]

# More families than this are left out several at a time, so that their number doesn't set the training time.
OUTSIDE_HEADS = 6

# Similarities of these to 100,000 photos are 400 MB.
QUERIES_AT_ONCE = 1000

# Neighbors kept of each held-out photo, for the report.
NEIGHBORS = 8

# The ways in which held-out photos are looked up: by the trained embedder among what it was trained on; by it among
# held-out photos alone; by frozen features among the same photos as the first.
LOOKUPS = ("trained", "unseen", "frozen")


@dataclass(kw_only=True)
class CrossValidation:
    """The held-out results, by photo; NaN where a photo had no score.

    Attributes:
        protocol: how photos were held out.
        splits: how many of them left enough to train on.
        scores: of each of `LOOKUPS`, and ``"chance"``; (R, N) arrays.
        probe_hits: (R, N) 1 where a linear probe names the right family, else 0; NaN where it doesn't know that one.
        evidence: (R, N, C) of the trained embedder, as `weigh_families` gives it; NaN for families that had no photo.
        familiarity: (R, N) by the frozen features of the photos that the embedder was trained on.
        neighbors: (N, K) numbers of the photos found first in the first repeat; -1 where there are fewer.
        similarities: (N, K) of these.
        choices: of each split, in words: blocks, learning rate and steps of the head.
    """

    protocol: Protocol
    splits: int
    scores: dict[str, RetrievalScores]
    probe_hits: NDArray[np.float64]
    evidence: NDArray[np.float64]
    familiarity: NDArray[np.float64]
    neighbors: NDArray[np.int64]
    similarities: NDArray[np.float32]
    choices: list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class OutsidePhotos:
    """Photos whose family was left out of training and reference.

    Attributes:
        evidence: (M,) of the best known family.
        familiarity: (M,) by the frozen features of the known families' photos.
        groups: (M,).
    """

    evidence: NDArray[np.float64]
    familiarity: NDArray[np.float64]
    groups: tuple[str, ...]


def cross_validate(
    material: Material, recipe: Recipe, *, folder: RunFolder | None = None, progress: ProgressReport | None = None
) -> CrossValidation:
    """Train an embedder for each split, and score what it didn't see.

    Args:
        material: the whole gallery; every family needs two groups, and a good figure many more.
        recipe: how each embedder is trained; its seed also draws the folds.
        folder: keeps finished splits; None to keep nothing.
        progress: called with 1 for each split of `choose_protocol`.

    Raises:
        TrainingError: no split leaves enough to train on, and a photo of the same family to find.
    """
    protocol = choose_protocol(material.labels, material.groups)
    found = _begin(material, protocol)
    for number, split in enumerate(draw_splits(material.labels, material.groups, protocol, seed=recipe.fit.seed)):
        known = material.take(~split.held_out)
        if len(find_trainable(known.labels, known.groups)) >= 2:

            def judge(open_outlets: OpenOutlets, split: Split = split) -> Checkpoint:
                return _judge(material, split, recipe, open_outlets)

            _store(found, split, _do_once(folder, f"split-{number}", judge))
        if progress:
            progress(1)
            progress.note(_word_progress(found))
    if np.isnan(found.scores["trained"].hit_at_1).all():
        raise TrainingError(
            "no photo can be held out: every split leaves fewer than two families with photos of two groups; "
            "expected at least three groups a family, add photos of more animals or scenes"
        )
    return found


def count_outside_heads(families: int) -> int:
    """Return how many embedders `weigh_outsiders` trains: the units of its progress."""
    return len(list(_leave_out_families(families)))


def weigh_outsiders(
    material: Material,
    recipe: Recipe,
    choices: Choices,
    *,
    folder: RunFolder | None = None,
    progress: ProgressReport | None = None,
) -> OutsidePhotos:
    """Weigh photos by embedders that never saw their family, nor have a photo of it to find.

    Args:
        material: the whole gallery.
        recipe: how the embedders are trained.
        choices: made for the whole gallery: what is left out is photos, not the choice of blocks and steps.
        folder: keeps what is done; None to keep nothing.
        progress: called with 1 for each embedder.
    """
    evidence, familiarity, groups = [np.empty(0)], [np.empty(0)], list[str]()
    for number, left_out in enumerate(_leave_out_families(len(material.families))):
        outside = np.isin(material.labels, left_out)
        known = _drop_groups(material, outside)
        if len(find_trainable(material.labels[known], np.asarray(material.groups)[known])) >= 2:

            def weigh(open_outlets: OpenOutlets, outside: NDArray[np.bool_] = outside) -> Checkpoint:
                return _weigh_outside(material, outside, recipe, choices, open_outlets)

            weighed = _do_once(folder, f"outside-{number}", weigh).arrays
            evidence.append(weighed["evidence"])
            familiarity.append(weighed["familiarity"])
            groups.extend(material.take(outside).groups)
        if progress:
            progress(1)
    return OutsidePhotos(
        evidence=np.concatenate(evidence), familiarity=np.concatenate(familiarity), groups=tuple(groups)
    )


def _do_once(folder: RunFolder | None, unit: str, work: Callable[[OpenOutlets], Checkpoint]) -> Checkpoint:
    """Return a unit of work from the folder if it is done, and else do it and keep it there."""
    if folder is None:
        return work(open_no_outlets)
    file = folder.name_file(unit)
    done = file.read()
    if done is None:
        done = work(folder.open_outlets(unit))
        file.write(done)
    return done


def _weigh_outside(
    material: Material,
    outside: NDArray[np.bool_],
    recipe: Recipe,
    choices: Choices,
    open_outlets: OpenOutlets,
) -> Checkpoint:
    known = material.take(_drop_groups(material, outside))
    stages = train_stages(known, recipe, choices=choices, open_outlets=open_outlets)
    reference = stages.embed(known)
    measure = fit_familiarity(stages.read_frozen(known), known.labels, seed=recipe.fit.seed)
    evidence, familiarity = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
    for rows in _split_rows(outside):
        asked = material.take(rows)
        evidence.append(np.nanmax(_weigh(stages.embed(asked) @ reference.T, known), axis=1))
        familiarity.append(measure.measure(stages.read_frozen(asked)))
    arrays = {"evidence": np.concatenate(evidence), "familiarity": np.concatenate(familiarity)}
    return Checkpoint(header={}, arrays=arrays)


def _drop_groups(material: Material, outside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return (N,), true for the photos of groups that have none outside; a group may hold two families."""
    groups = np.asarray(material.groups)
    known: NDArray[np.bool_] = ~np.isin(groups, groups[outside])
    return known


def _begin(material: Material, protocol: Protocol) -> CrossValidation:
    count = len(material.labels)
    shape = (protocol.repeats, count)

    def empty() -> NDArray[np.float64]:
        return np.full(shape, np.nan)

    return CrossValidation(
        protocol=protocol,
        splits=0,
        scores={name: RetrievalScores(empty(), empty(), empty()) for name in (*LOOKUPS, "chance")},
        probe_hits=empty(),
        evidence=np.full((*shape, len(material.families)), np.nan),
        familiarity=empty(),
        neighbors=np.full((count, NEIGHBORS), -1),
        similarities=np.full((count, NEIGHBORS), np.nan, np.float32),
        choices=[],
    )


def _judge(material: Material, split: Split, recipe: Recipe, open_outlets: OpenOutlets) -> Checkpoint:
    """Train on all but a split's photos, look these up, and return what came out, in the order of the photos."""
    known = material.take(~split.held_out)
    stages = train_stages(known, recipe, open_outlets=open_outlets)
    known_vectors, known_features = stages.embed(known), stages.read_frozen(known)
    probe = fit_probe(known_features, known.labels, known.groups, seed=recipe.fit.seed)
    familiarity = fit_familiarity(known_features, known.labels, seed=recipe.fit.seed)
    parts = []
    for rows in _split_rows(split.held_out):
        asked = material.take(rows)
        vectors, features = stages.embed(asked), stages.read_frozen(asked)
        similarities = vectors @ known_vectors.T
        found = {
            **_name("trained", score_retrieval(similarities, asked.labels, known.labels)),
            **_name("frozen", score_retrieval(features @ known_features.T, asked.labels, known.labels)),
            **_name("chance", expect_by_chance(asked.labels, known.labels)),
            "vectors": vectors,
            "probe": probe.judge(features, asked.labels),
            "evidence": _weigh(similarities, known),
            "familiarity": familiarity.measure(features),
        }
        nearest = np.argsort(-similarities, axis=1, kind="stable")[:, :NEIGHBORS]
        found["neighbors"] = np.flatnonzero(~split.held_out)[nearest]
        found["similarities"] = np.take_along_axis(similarities, nearest, axis=1)
        parts.append(found)
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    held_out = material.take(split.held_out)
    arrays |= _name("unseen", _leave_one_out(arrays.pop("vectors"), held_out))
    return Checkpoint(header=_word_choices(stages), arrays=arrays)


def _leave_one_out(vectors: NDArray[np.float32], held_out: Material) -> RetrievalScores:
    """Look each held-out photo up among the others, but those of its own group."""
    groups = np.asarray(held_out.groups)
    parts = []
    for rows in _split_rows(np.ones(len(vectors), bool)):
        chosen = np.flatnonzero(rows)
        excluded = groups[chosen][:, np.newaxis] == groups
        similarities = vectors[chosen] @ vectors.T
        parts.append(score_retrieval(similarities, held_out.labels[chosen], held_out.labels, excluded=excluded))
    return RetrievalScores(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in RetrievalScores.__slots__)
    )


def _word_choices(stages: TrainedStages) -> dict[str, Any]:
    selection, rate = stages.choices.selection, stages.choices.rate
    return {
        "blocks": [str(block) for block in selection.blocks] if selection else None,
        "learning_rate": rate.learning_rate if rate else None,
        "steps": {part: len(history.steps) for part, history in stages.histories.items()},
    }


def _name(lookup: str, scores: RetrievalScores) -> dict[str, NDArray[np.float64]]:
    return {f"{lookup}.{name}": getattr(scores, name) for name in RetrievalScores.__slots__}


def _store(found: CrossValidation, split: Split, judged: Checkpoint) -> None:
    rows, arrays = np.flatnonzero(split.held_out), judged.arrays
    for lookup, scores in found.scores.items():
        for name in RetrievalScores.__slots__:
            getattr(scores, name)[split.repeat, rows] = arrays[f"{lookup}.{name}"]
    found.probe_hits[split.repeat, rows] = arrays["probe"]
    found.evidence[split.repeat, rows] = arrays["evidence"]
    found.familiarity[split.repeat, rows] = arrays["familiarity"]
    if split.repeat == 0:
        width = arrays["neighbors"].shape[1]
        found.neighbors[rows, :width] = arrays["neighbors"]
        found.similarities[rows, :width] = arrays["similarities"]
    found.choices.append(judged.header)
    found.splits += 1


def _word_progress(found: CrossValidation) -> str:
    hits = [found.scores[name].hit_at_1 for name in ("trained", "frozen")]
    if np.isnan(hits).all():
        return ""
    trained, frozen = (np.nanmean(values) for values in hits)
    return f"Recall@1 {trained:.2f}, frozen {frozen:.2f}"


def _leave_out_families(families: int) -> Iterator[NDArray[np.int64]]:
    if families >= 3:
        # Two families must be left to train on.
        yield from np.array_split(
            np.arange(families), max(min(families, OUTSIDE_HEADS), -(-families // (families - 2)))
        )


def _split_rows(chosen: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    """Yield masks of pieces of the chosen photos whose similarities to all others fit into memory."""
    numbers = np.flatnonzero(chosen)
    for piece in np.array_split(numbers, -(-len(numbers) // QUERIES_AT_ONCE)):
        rows = np.zeros(len(chosen), bool)
        rows[piece] = True
        yield rows


def _weigh(similarities: NDArray[np.float32], known: Material) -> NDArray[np.float64]:
    """Return (n, C) evidence, NaN for the families that *known* has no photo of."""
    present, counts = np.unique(known.labels, return_counts=True)
    sizes = {known.families[label]: int(count) for label, count in zip(present, counts, strict=True)}
    evidence = np.full((len(similarities), len(known.families)), np.nan)
    for row, of_query in zip(evidence, similarities, strict=True):
        nearest = np.argsort(-of_query, kind="stable")[:EVIDENCE_NEIGHBORS]
        of_family = [known.families[label] for label in known.labels[nearest]]
        row[present] = weigh_families(of_query[nearest], of_family, sizes)
    return evidence
