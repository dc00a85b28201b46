"""Recording what a network says of every view of every photo, once.

Shapes: N photos, V views, K numbers of the network's output.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import DTypeLike, NDArray

from beedex.index.inference import Outputs
from beedex.index.preprocessing import Preprocessing
from beedex.index.progress import Advance
from beedex.training.backbone.forward import Engine, run_forward
from beedex.training.backbone.records import Records
from beedex.training.backbone.sources import PhotoSource
from beedex.training.backbone.views import VIEWS_VERSION, Views
from beedex.training.backbone.weights import hash_weights
from beedex.training.errors import TrainingError

__all__ = ["record_views"]

# Photos whose views are drawn ahead of the network, and the threads that do it.
DRAWN_AHEAD = 4
DRAWING_THREADS = 2


def record_views(
    photos: Sequence[PhotoSource],
    model: keras.Model,
    views: Views,
    *,
    key: Mapping[str, Any],
    engine: Engine,
    dtype: DTypeLike,
    folder: Path,
    advance: Advance,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Run the views of those photos that have no record, and return the records.

    Args:
        photos: N readable photos; one that is given twice is computed once.
        model: (B, 299, 299, 3) uint8 -> (B, K).
        views: of each photo.
        key: what else than weights, preprocessing and views decides the output: how the model is built.
        engine: that runs the network.
        dtype: of the record.
        folder: that holds the records' own folders.
        advance: called with the number of photos just done.

    Returns:
        (R, V, K) all records, mapped from the disk, and the (N,) numbers of the photos' own.

    Raises:
        BeedexError: a photo can't be read, or is another one by now.
        OSError: the records can't be read or written, with the file's name.
    """
    whole_key = {
        **key,
        "network": hash_weights(model),
        "engine": engine,
        "preprocessing": Preprocessing().model_dump(mode="json"),
        "views": asdict(views),
        "views_version": VIEWS_VERSION,
    }
    records = Records(folder, whole_key, shape=(views.count, model.output.shape[-1]), dtype=dtype)
    contents = [photo.sha256 for photo in photos]
    found = records.find(contents) >= 0
    missing = list({photo.sha256: photo for photo, there in zip(photos, found, strict=True) if not there}.values())
    advance(len(photos) - len(missing))
    if missing:
        rows = run_forward(model, _draw_ahead(missing, views), engine=engine)
        records.extend(_join_views(missing, rows, views, advance))
    numbers = records.find(contents)
    if (numbers < 0).any():
        raise TrainingError(
            f"{records.folder} doesn't keep what is written to it: expected {len(photos)} sound records, found "
            f"{int((numbers >= 0).sum())}; check the disk, or give another `--cache`"
        )
    return records.map(), numbers


def _join_views(
    photos: Sequence[PhotoSource], rows: Iterator[Outputs], views: Views, advance: Advance
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield each photo's sha256 and the outputs of its views, (V, K)."""
    for photo in photos:
        yield photo.sha256, np.stack([output for _ in range(views.count) for output in next(rows).values()])
        advance(1)


def _draw_ahead(photos: Sequence[PhotoSource], views: Views) -> Iterator[NDArray[np.uint8]]:
    """Yield V prepared views of each photo in turn, drawing those of a few photos ahead."""
    with ThreadPoolExecutor(max_workers=DRAWING_THREADS, thread_name_prefix="views") as pool:
        ahead = [pool.submit(views.draw, photo) for photo in photos[:DRAWN_AHEAD]]
        for following in range(DRAWN_AHEAD, len(photos) + DRAWN_AHEAD):
            if following < len(photos):
                ahead.append(pool.submit(views.draw, photos[following]))
            yield from ahead.pop(0).result()
