"""Features once: the frozen backbone's features of a few views of each photo, computed by OpenVINO and kept on disk.

The cache is a folder of one ``.npy`` a photo, (V, F) float32, below a folder named by all that decides its content but
the photo: preprocessing, backbone weights, views. A run that is killed goes on where it was; other runs and every fold
of a cross-validation read the same files.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import openvino as ov
import tensorflow as tf
from numpy.typing import NDArray

from beedex.index.durable import replace_file
from beedex.index.embedder import EMBEDDING_OUTPUT, FEATURES_OUTPUT
from beedex.index.inference import InferencePool
from beedex.index.photos import decode
from beedex.index.preprocessing import Preprocessing, fit
from beedex.index.progress import Advance, ignore_progress
from beedex.training.model import TAPS
from beedex.training.sources import PhotoSource
from beedex.training.views import VIEWS_VERSION, draw_view
from beedex.training.weights import IMAGE_SIDE_PX, hash_weights

__all__ = ["compute_features", "convert_to_openvino"]

# Photos decoded ahead of the network.
DECODED_AHEAD = 4


def convert_to_openvino(model: keras.Model) -> ov.Model:
    """Convert a network for (1, 299, 299, 3) uint8 photos; its outputs keep their names.

    One photo a request: see `beedex.index.inference`.
    """
    signature = tf.TensorSpec((1, IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), tf.uint8, name="image")

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(image, training=False)
        return outputs if isinstance(outputs, dict) else {model.output_names[0]: outputs}

    network = ov.convert_model(tf.function(serve, input_signature=[signature]))
    _rename_operations(network)
    return network


def _rename_operations(network: ov.Model) -> None:
    """Number the operations in their order.

    TensorFlow's names count on from conversion to conversion, and they are in the network file: the same network would
    have another fingerprint when the process had converted another one before.
    """
    for number, operation in enumerate(network.get_ordered_ops()):
        operation.set_friendly_name(f"{operation.get_type_name()}_{number}")
        if operation.get_type_name() not in ("Parameter", "Result"):
            kept = {EMBEDDING_OUTPUT, FEATURES_OUTPUT}
            for output in operation.outputs():
                output.get_tensor().set_names(kept & output.get_tensor().get_names())


def compute_features(
    photos: Sequence[PhotoSource],
    backbone: keras.Model,
    *,
    views: int,
    seed: int,
    cache: Path,
    advance: Advance = ignore_progress,
) -> NDArray[np.float32]:
    """Return each photo's features, from the cache where they are there.

    Args:
        photos: N readable photos.
        backbone: as from `build_backbone`, frozen.
        views: V, at least 1. View 0 is the photo itself, as it is served; the others are drawn.
        seed: of the views.
        cache: the folder to keep them in; it may be deleted at any time.
        advance: called with 1 for each photo.

    Returns:
        (N, V, F) float32.
    """
    folder = cache / "features" / _name_folder(backbone, views=views, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    missing = [photo for photo in photos if not (folder / f"{photo.sha256}.npy").exists()]
    advance(len(photos) - len(missing))
    if missing:
        with InferencePool(convert_to_openvino(backbone)) as pool:
            rows = pool.run(_draw_views(missing, views=views, seed=seed))
            for photo in missing:
                features = np.stack([next(rows)[FEATURES_OUTPUT] for _ in range(views)])  # (V, F)
                content = io.BytesIO()
                np.save(content, features)
                replace_file(folder / f"{photo.sha256}.npy", content.getvalue())
                advance(1)
    return np.stack([np.load(folder / f"{photo.sha256}.npy") for photo in photos])


def _name_folder(backbone: keras.Model, *, views: int, seed: int) -> str:
    key = {
        "preprocessing": Preprocessing().model_dump(mode="json"),
        "backbone": hash_weights(backbone),
        "taps": TAPS,
        "views": views,
        "views_version": VIEWS_VERSION,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def _draw_views(photos: Sequence[PhotoSource], *, views: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield V prepared views of each photo in turn, decoding a few photos ahead."""

    def prepare_views(photo: PhotoSource) -> list[NDArray[np.uint8]]:
        image = decode(photo.read(), needed_side_px=IMAGE_SIDE_PX)
        # Chance depends on the photo's bytes and the seed alone: neither order nor neighbors change a view.
        generator = np.random.default_rng([seed, int(photo.sha256[:16], 16)])
        return [fit(image, IMAGE_SIDE_PX), *(draw_view(image, IMAGE_SIDE_PX, generator) for _ in range(views - 1))]

    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="views") as pool:
        ahead = [pool.submit(prepare_views, photo) for photo in photos[:DECODED_AHEAD]]
        for number in range(len(photos)):
            following = number + DECODED_AHEAD
            if following < len(photos):
                ahead.append(pool.submit(prepare_views, photos[following]))
            yield from ahead.pop(0).result()
