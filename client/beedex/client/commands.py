"""The client's own commands: identify, neighbors, embed. See beedex.client.parts for what the names below mean."""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from beedex.client._channel import DEFAULT_TARGET
from beedex.client._client import Client
from beedex.client._errors import ClientError
from beedex.client._requests import DEFAULT_K
from beedex.client._result import plain_error
from beedex.client._results import Embedding, Identification
from beedex.client.printing import open_console, show_identification, show_neighbors

__all__ = ["ERRORS", "EXTRA", "NEEDS", "OutputError", "app", "describe_failure", "describe_identification"]


class OutputError(Exception):
    """What a command was to write can't be written."""


EXTRA = ""
NEEDS: tuple[str, ...] = ()
ERRORS: tuple[type[Exception], ...] = (ClientError, OutputError)

app = typer.Typer()

Photos = Annotated[list[str], typer.Argument(help="Photo files: JPEG, PNG or WebP.", metavar="PHOTO...")]
Photo = Annotated[str, typer.Argument(help="A photo file: JPEG, PNG or WebP.", metavar="PHOTO")]
Target = Annotated[str, typer.Option(help="The server.", metavar="HOST:PORT", envvar="BEEDEX_TARGET")]
Count = Annotated[int, typer.Option("-k", help="How many neighbors to show.", metavar="N")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("identify", epilog="Example: beedex identify bee.jpg wasp.png -k 3")
def identify_photos(
    photos: Photos, *, target: Target = DEFAULT_TARGET, k: Count = DEFAULT_K, as_json: AsJson = False
) -> None:
    """Say which family each photo belongs to, and show the neighbors that speak for it.

    A photo that fails doesn't keep the others from being answered.
    """
    console = open_console()
    answers: list[dict[str, Any]] = []
    with Client(target) as client:
        for photo in photos:
            try:
                answer = client.identify(photo, k=k)
            except ClientError as error:
                answers.append(describe_failure(photo, error))
                if not as_json:
                    print(f"beedex: error: {photo}: {error}", file=sys.stderr)
            else:
                answers.append(describe_identification(photo, answer))
                if not as_json:
                    show_identification(console, photo, answer)
    if as_json:
        _print_json(answers)
    if any(answer["error"] is not None for answer in answers):
        raise typer.Exit(1)


@app.command("neighbors", epilog="Example: beedex neighbors bee.jpg -k 5")
def find_neighbors(
    photo: Photo, *, target: Target = DEFAULT_TARGET, k: Count = DEFAULT_K, as_json: AsJson = False
) -> None:
    """Find the indexed photos that are most like a photo."""
    with Client(target) as client:
        answer = client.neighbors(photo, k=k)
    if as_json:
        _print_json({"photo": photo, **answer.to_dict()})
    else:
        show_neighbors(open_console(), photo, answer)


@app.command("embed", epilog="Example: beedex embed bee.jpg wasp.png --out vectors.npy")
def embed_photos(
    photos: Photos,
    out: Annotated[Path, typer.Option(help="Where to write the vectors, one row a photo.", metavar="FILE.npy")],
    target: Target = DEFAULT_TARGET,
) -> None:
    """Turn photos into unit vectors and write them as a numpy array of shape (photos, dimension), float32.

    Nothing is written unless every photo can be embedded.
    """
    with Client(target) as client:
        embeddings = [_embed(client, photo) for photo in photos]
    _save_vectors(out, embeddings)
    first = embeddings[0]
    print(
        f"{len(embeddings)} x {len(first.vector)} numbers of embedder {first.fingerprint[:12]} -> {out}",
        file=sys.stderr,
    )


def describe_identification(photo: str, answer: Identification) -> dict[str, Any]:
    """Return one element of what `identify --json` prints."""
    return {"photo": photo, **answer.to_dict(), "error": None}


def describe_failure(photo: str, error: ClientError) -> dict[str, Any]:
    """Return the element of a photo that failed: the same keys, without an answer."""
    return {
        "photo": photo,
        "verdict": None,
        "family": None,
        "probability": None,
        "candidates": [],
        "reason": "",
        "families": [],
        "neighbors": [],
        "fingerprint": None,
        "snapshot": None,
        "request_id": None,
        "error": plain_error(error),
    }


def _embed(client: Client, photo: str) -> Embedding:
    try:
        return client.embed(photo)
    except ClientError as error:
        # The server doesn't know the file's name.
        raise OutputError(f"{photo}: {error}; nothing was written") from error


def _save_vectors(out: Path, embeddings: Sequence[Embedding]) -> None:
    import numpy as np

    vectors = np.stack([embedding.vector for embedding in embeddings])  # (B, D)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
        with os.fdopen(handle, "wb") as file:
            np.save(file, vectors)
        Path(name).replace(out)
    except OSError as error:
        raise OutputError(
            f"{out} can't be written: {error.strerror or error}; name a file in a directory that exists"
        ) from error


def _print_json(document: object) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False))
