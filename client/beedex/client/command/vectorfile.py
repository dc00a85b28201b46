"""Photos as a file of vectors."""

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from beedex.client import ClientError
from beedex.client.command.lines import print_json, say
from beedex.client.command.output import OutputError, replace_file
from beedex.client.command.photolist import NamedPhoto
from beedex.client.command.progress import report_progress

if TYPE_CHECKING:
    from beedex.client import Client, Embedding
    from beedex.client.command.connection import Connection

__all__ = ["embed_listed"]


def embed_listed(photos: Sequence[NamedPhoto], out: Path, connection: "Connection", *, as_json: bool) -> None:
    """Embed the photos over one stream, and write the vectors once there is one for each.

    Raises:
        OutputError: a photo can't be embedded, or the file can't be written; there is no file then.
        ClientError: the server can't be asked.
    """
    import numpy as np  # noqa: PLC0415 - costs as much time as all else here

    with connection.open() as client:
        embeddings = _embed(client, photos)
    vectors = np.stack([embedding.vector for embedding in embeddings])  # (B, D)
    replace_file(out, lambda file: np.save(file, vectors))
    first = embeddings[0]
    if as_json:
        print_json(
            {
                "out": str(out),
                "photos": [photo.name for photo in photos],
                "dimension": vectors.shape[1],
                "fingerprint": first.fingerprint,
                "snapshot": first.snapshot,
            }
        )
        return
    say(f"{len(photos)} x {vectors.shape[1]} numbers of embedder {first.fingerprint[:12]} -> {out}")


def _embed(client: "Client", photos: Sequence[NamedPhoto]) -> "list[Embedding]":
    embeddings: list[Embedding] = []
    with (
        report_progress("photos", len(photos), stream=sys.stderr) as progress,
        closing(client.embed_many([photo.source for photo in photos])) as outcomes,
    ):
        for outcome in outcomes:
            try:
                embeddings.append(outcome.unwrap())
            except ClientError as error:
                # The server doesn't know the file's name.
                name = photos[outcome.index].name
                raise OutputError(f"{name}: {error}; nothing was written") from error
            if embeddings[-1].fingerprint != embeddings[0].fingerprint:
                raise OutputError(
                    "the server changed its embedder meanwhile, and vectors of two embedders can't be compared; "
                    "nothing was written, start again"
                )
            progress.advance()
    return embeddings
