"""The demo's command, which needs every part."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from beedex.client.demo import DemoError, DemoSettings, run_demo

__all__ = ["ERRORS", "EXTRA", "NEEDS", "app"]

EXTRA = "all"
NEEDS = ("tensorflow", "keras", "faiss", "openvino", "PIL", "pydantic", "grpc_health", "beedex.weights")
ERRORS: tuple[type[Exception], ...] = (DemoError,)

app = typer.Typer()


@app.command("demo", epilog="Example: beedex demo --home /tmp/bees")
def demo(
    home: Annotated[Path, typer.Option(help="Where everything is written.", metavar="DIR")] = Path("beedex-demo"),
    *,
    per_family: Annotated[int, typer.Option(help="Photos of each type to train on.", min=4)] = 24,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")
    ] = False,
) -> None:
    """Draw bees, train on them, index them, serve them, and identify bees that were never seen.

    It takes about three minutes on two cores and no network. Each step is a command of its own, which is printed.
    """
    settings = DemoSettings(home=home, per_family=per_family)
    stream = sys.stderr if as_json else sys.stdout
    outcome = run_demo(settings, say=lambda line: print(line, file=stream, flush=True), show_output=not as_json)
    if as_json:
        print(json.dumps(outcome))
        return
    print(
        f"\nOf {outcome['n']} photos of individuals never seen before, the nearest known photo over gRPC was of the "
        f"right type for {outcome['recall_at_1']:.0%} (untrained features {outcome['frozen_recall_at_1']:.0%}, "
        f"chance {outcome['chance_recall_at_1']:.0%})."
    )
    print("Seconds: " + ", ".join(f"{step} {seconds:.0f}" for step, seconds in outcome["seconds"].items()) + ".")
