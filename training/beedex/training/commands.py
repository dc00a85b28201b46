"""The trainer's commands: train and evaluate, and `gallery draw`."""

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from beedex.index.errors import BeedexError
from beedex.training.drawing_commands import app as drawing_app

__all__ = ["ERRORS", "EXTRA", "NEEDS", "app"]

EXTRA = "train"
NEEDS = ("tensorflow", "keras", "faiss", "openvino", "PIL", "pydantic", "imagehash")
ERRORS: tuple[type[Exception], ...] = (BeedexError,)

app = typer.Typer()
app.add_typer(drawing_app)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]


class MiningName(StrEnum):
    """The values of `--mining`, as beedex.training.losses.Mining has them."""

    BATCH_ALL = "batch-all"
    SEMI_HARD = "semi-hard"
    BATCH_HARD = "batch-hard"


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
    margin: Annotated[float, typer.Option(help="Of the triplet loss, in L2 distance.", min=0)] = 0.1,
    dimension: Annotated[int, typer.Option(help="Length of the embedding.", min=2)] = 128,
    views: Annotated[int, typer.Option(help="Features per photo: itself, and varied copies.", min=1)] = 4,
    seed: Annotated[int, typer.Option(help="The same seed and photos give the same embedder.", min=0)] = 0,
    cache: Annotated[Path, typer.Option(help="Keeps features from run to run.", metavar="DIR")] = Path(
        "~/.cache/beedex"
    ),
    as_json: AsJson = False,
) -> None:
    """Train an embedder on labelled photos and say honestly how good it is.

    The backbone is frozen and its features are computed once; a head is trained on them with an online triplet loss.
    The figures come from cross-validation: each photo is judged by a head that never saw it or its group.
    """
    _quiet_tensorflow()
    from beedex.training.fit import FitConfig
    from beedex.training.model import HeadShape
    from beedex.training.run import TrainConfig, train_embedder

    config = TrainConfig(
        weights=weights,
        views=views,
        shape=HeadShape(dimension=dimension),
        fit=FitConfig(mining=mining.value, margin=margin, seed=seed),
        cache=cache,
    )
    if weights == "random":
        print("beedex: note: random weights are a stand-in that has learned nothing about photos", file=sys.stderr)
    metrics = train_embedder(gallery, out, config)
    if as_json:
        print(json.dumps(metrics))
        return
    _print_figures(metrics, title=f"Held-out photos ({metrics['protocol']})")
    for note in metrics["left_out"]:
        print(f"Left out: {note}.")
    print(f"Weights: {metrics['weights']['note']}.")
    print(f"Calibration: {metrics['calibration']['note']}.")
    print(f"Wrote {out}, fingerprint {metrics['fingerprint'][:12]}.")


@app.command("evaluate", epilog="Example: beedex evaluate bee-embedder new-photos/ --reference photos/")
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="As `beedex train` wrote it.", metavar="BUNDLE")],
    gallery: Annotated[Path, typer.Argument(help="Labelled photos; trained ones don't count.", metavar="GALLERY")],
    *,
    reference: Annotated[
        Path | None, typer.Option(help="Look photos up in this gallery instead of their own.", metavar="GALLERY")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look up photos that the embedder wasn't trained on and count how often it is right."""
    from beedex.training.evaluation import evaluate_embedder

    metrics = evaluate_embedder(bundle, gallery, reference_dir=reference)
    if as_json:
        print(json.dumps(metrics))
        return
    _print_figures(metrics, title=f"Unseen photos, looked up among {metrics['reference_photos']}")
    print(f"Weights: {metrics['weights']['note']}.")


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    figures: dict[str, Any]


def _print_figures(metrics: dict[str, Any], *, title: str) -> None:
    print(title)
    print(", ".join(f"{family} {count}" for family, count in metrics["families"].items()))
    table = Table()
    table.add_column(f"n = {metrics['n']}")
    table.add_column("Recall@1 (95 %)", justify="right")
    table.add_column("MAP@R (95 %)", justify="right")
    for row in (_Row("trained embedder", metrics), _Row("frozen features", metrics["frozen"])):
        table.add_row(row.label, _format(row.figures["recall_at_1"]), _format(row.figures["map_at_r"]))
    table.add_row("chance", f"{metrics['chance_recall_at_1']:.2f}", "")
    Console().print(table)


def _format(figure: dict[str, float]) -> str:
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


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
