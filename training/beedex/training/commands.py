"""The trainer's commands: train and evaluate, and `gallery draw`."""

import json
import os
import sys
import tempfile
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from beedex.index.errors import BeedexError
from beedex.training.drawing_commands import app as drawing_app

if TYPE_CHECKING:
    from beedex.training.run import TrainConfig

__all__ = ["ERRORS", "EXTRA", "NEEDS", "app"]

EXTRA = "train"
NEEDS = ("tensorflow", "keras", "faiss", "openvino", "PIL", "pydantic", "imagehash", "jinja2", "scipy", "sklearn")
ERRORS: tuple[type[Exception], ...] = (BeedexError,)

# Keras keeps seeds in int32, and a random backbone's layers count on from ten thousand times this one.
HIGHEST_SEED = 200_000

app = typer.Typer()
app.add_typer(drawing_app)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]


class MiningName(StrEnum):
    """The values of `--mining`, as beedex.training.losses.Mining has them."""

    BATCH_ALL = "batch-all"
    SEMI_HARD = "semi-hard"
    BATCH_HARD = "batch-hard"


class AugmentationName(StrEnum):
    """The values of `--augmentation`, as beedex.training.backbone.views.AUGMENTATIONS has them."""

    NONE = "none"
    LIGHT = "light"
    STRONG = "strong"


@app.command("train", epilog="Example: beedex train photos/ --out bee-embedder --weights bundled")
def train(
    gallery: Annotated[Path, typer.Argument(help="Labelled photos; see `beedex gallery check`.", metavar="GALLERY")],
    *,
    out: Annotated[Path, typer.Option(help="Where the embedder bundle goes.", metavar="BUNDLE")],
    weights: Annotated[
        str,
        typer.Option(help="The backbone's: imagenet, bundled, random, or a Keras weights file.", metavar="NAME|PATH"),
    ] = "imagenet",
    mining: Annotated[MiningName, typer.Option(help="Which triplets of a batch count.")] = MiningName.BATCH_ALL,
    margin: Annotated[float, typer.Option(help="Of the triplet loss, in L2 distance.", min=0)] = 1.0,
    learning_rate: Annotated[
        str,
        typer.Option(help="Of the head, at first: auto tries two by validation; or a number.", metavar="auto|RATE"),
    ] = "auto",
    dimension: Annotated[int, typer.Option(help="Length of the embedding.", min=2)] = 128,
    taps: Annotated[
        str,
        typer.Option(
            help="What features are made of: auto chooses by validation; or blocks such as "
            "mixed7:max,mixed10:mean,mixed10:max@zoom (@zoom: of the photo's enlarged middle).",
            metavar="auto|BLOCKS",
        ),
    ] = "auto",
    views: Annotated[int, typer.Option(help="Of each photo: itself, mirrored, then varied copies.", min=1)] = 4,
    augmentation: Annotated[
        AugmentationName, typer.Option(help="How far varied copies stray.")
    ] = AugmentationName.LIGHT,
    test_views: Annotated[
        int, typer.Option(help="2: answer with the mean of photo and mirror image, at twice the cost.", min=1, max=2)
    ] = 1,
    fine_tune: Annotated[
        str | None,
        typer.Option(help="Train the backbone too, from this block on (mixed5 to mixed10).", metavar="BLOCK"),
    ] = None,
    false_accept_rate: Annotated[
        float | None,
        typer.Option(help="Photos of unknown families that may get a family named; default: the best compromise."),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="The same seed and photos give the same embedder.", min=0, max=HIGHEST_SEED)
    ] = 0,
    cache: Annotated[Path, typer.Option(help="Keeps features from run to run.", metavar="DIR")] = Path(
        "~/.cache/beedex"
    ),
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write curves and embeddings for TensorBoard there.", metavar="DIR")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train an embedder on labelled photos and say honestly how good it is.

    The backbone is frozen and its features are computed once; a head is trained on them with an online triplet loss.
    The figures come from cross-validation: each photo is judged by a head that never saw it or its group. A run that
    was interrupted goes on where it was when the same command is given again. The bundle holds a report to open in a
    browser.
    """
    _quiet_tensorflow()
    from beedex.training.reporting import spell_command
    from beedex.training.run import train_embedder

    config = _read_config(
        weights=weights,
        recipe=_Options(
            mining=mining,
            margin=margin,
            learning_rate=learning_rate,
            dimension=dimension,
            taps=taps,
            test_views=test_views,
            fine_tune=fine_tune,
            seed=seed,
        ),
        views=views,
        augmentation=augmentation.value,
        false_accept_rate=false_accept_rate,
        cache=cache,
        tensorboard=tensorboard,
    )
    if weights == "random":
        print("beedex: note: random weights are a stand-in that has learned nothing about photos", file=sys.stderr)
    metrics = train_embedder(gallery, out, config, command=spell_command())
    if as_json:
        print(json.dumps(metrics))
        return
    print_figures(metrics, title=f"Held-out photos ({metrics['protocol']})")
    for note in metrics["left_out"]:
        print(f"Note: {note}.")
    print(f"Features: {metrics['blocks_why']}.")
    print(f"Learning rate: {metrics['learning_rate_why']}.")
    print(f"Weights: {metrics['weights']['note']}.")
    print(f"Calibration: {metrics['calibration']['note']}.")
    print(f"Wrote {out}, fingerprint {metrics['fingerprint'][:12]}; open {out / 'report' / 'report.html'}.")


@app.command("evaluate", epilog="Example: beedex evaluate bee-embedder new-photos/ --reference photos/")
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="As `beedex train` wrote it.", metavar="BUNDLE")],
    gallery: Annotated[Path, typer.Argument(help="Labelled photos; trained ones don't count.", metavar="GALLERY")],
    *,
    reference: Annotated[
        Path | None, typer.Option(help="Look photos up in this gallery instead of their own.", metavar="GALLERY")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write report.html, to open in a browser, there.", metavar="DIR")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look up photos that the embedder wasn't trained on and count how often it is right."""
    _quiet_tensorflow()
    from beedex.training.evaluation import ReportRequest, evaluate_embedder
    from beedex.training.reporting import spell_command

    request = ReportRequest(directory=report, command=spell_command()) if report else None
    metrics = evaluate_embedder(bundle, gallery, reference_dir=reference, report=request)
    if as_json:
        print(json.dumps(metrics))
        return
    print_figures(metrics, title=f"{metrics['n']} photos: {metrics['protocol']}")
    for note in metrics["notes"]:
        print(f"Note: {note}.")
    print(f"Weights: {metrics['weights']['note']}.")
    if report:
        print(f"Wrote {report / 'report.html'}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Options:
    """The options that make a recipe."""

    mining: MiningName
    margin: float
    learning_rate: str
    dimension: int
    taps: str
    test_views: int
    fine_tune: str | None
    seed: int


def _read_config(*, recipe: _Options, **others: Any) -> "TrainConfig":  # noqa: ANN401 - TrainConfig's own fields
    """Return the configuration that the options ask for; what contradicts itself is a usage error."""
    from beedex.training.backbone.taps import CANDIDATE_BLOCKS, PLAIN_BLOCKS, parse_blocks
    from beedex.training.fitting.fitconfig import FitConfig
    from beedex.training.fitting.model import HeadShape
    from beedex.training.recipes.recipe import OTHER_RATES, Recipe, TuneConfig
    from beedex.training.run import TrainConfig

    try:
        chosen = CANDIDATE_BLOCKS if recipe.taps == "auto" else (parse_blocks(recipe.taps),)
        tune = TuneConfig(unfreeze_from=recipe.fine_tune) if recipe.fine_tune else None
        fit = FitConfig(mining=recipe.mining.value, margin=recipe.margin, seed=recipe.seed)
        if recipe.learning_rate != "auto":
            fit = replace(fit, learning_rate=_parse_rate(recipe.learning_rate))
        return TrainConfig(
            recipe=Recipe(
                candidates=(PLAIN_BLOCKS,) if tune and recipe.taps == "auto" else chosen,
                shape=HeadShape(dimension=recipe.dimension),
                fit=fit,
                other_learning_rates=OTHER_RATES if recipe.learning_rate == "auto" else (),
                tune=tune,
                test_views=recipe.test_views,
            ),
            **others,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _parse_rate(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"`learning_rate` must be auto, or a number such as 0.001. Received: {text!r}") from error


def print_figures(metrics: dict[str, Any], *, title: str) -> None:
    """Print the figures as a table, and what their comparison comes to."""
    print(title)
    print(", ".join(f"{family} {count}" for family, count in metrics["families"].items()))
    table = Table()
    table.add_column(f"n = {metrics['n']}")
    for name in ("Recall@1 [95 %]", "macro", "R-prec.", "MAP@R [95 %]"):
        table.add_column(escape(name), justify="right")
    for label, figures in (("trained", metrics), ("frozen features", metrics["frozen"])):
        table.add_row(
            label,
            _format(figures["recall_at_1"]),
            f"{figures['macro']['recall_at_1']['value']:.2f}",
            f"{figures['r_precision']['value']:.2f}",
            _format(figures["map_at_r"]),
        )
    if metrics["probe"]:
        table.add_row("linear probe", _format(metrics["probe"]["recall_at_1"]), "", "", "")
    chance = metrics["chance"]
    at_1, precision, average = (f"{chance[key]:.2f}" for key in ("recall_at_1", "r_precision", "map_at_r"))
    table.add_row("chance", at_1, "", precision, average)
    Console().print(table)
    for comparison in metrics["comparisons"].values():
        print(comparison["words"])


def _format(figure: dict[str, float]) -> str:
    return escape(f"{figure['value']:.2f} [{figure['low']:.2f}, {figure['high']:.2f}]")


def _quiet_tensorflow() -> None:
    """Load TensorFlow without the lines that it prints on stderr, and keep Keras's download bar off stdout."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # The variable doesn't reach what is printed while the library loads, before its logging is set up.
    with tempfile.TemporaryFile() as printed:
        kept = os.dup(sys.stderr.fileno())
        os.dup2(printed.fileno(), sys.stderr.fileno())
        try:
            import keras
            import tensorflow as tf  # noqa: F401 - loaded here for the lines that it prints
        except ImportError:
            printed.seek(0)
            os.write(kept, printed.read())
            raise
        finally:
            os.dup2(kept, sys.stderr.fileno())
            os.close(kept)
    keras.config.disable_interactive_logging()
