"""Where the backbone's weights come from, and what to do where they can't be had."""

import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Literal, get_args

import keras

from beedex.index.bundle import WeightsProvenance
from beedex.training.errors import WeightsError

__all__ = ["IMAGE_SIDE_PX", "NamedWeights", "hash_weights", "load_inception"]

IMAGE_SIDE_PX = 299

# The values of `--weights` that are no paths.
NamedWeights = Literal["imagenet", "bundled", "random"]

# A download that brought no byte in this time is given up. Keras itself sets no limit: behind a firewall that drops
# packets it would hang for minutes.
DOWNLOAD_PATIENCE_S = 8.0
# A little less than the file that Keras distributes has (87,910,968); from there on Keras builds the network.
WHOLE_DOWNLOAD_BYTES = 87_000_000
# With the file there, a silent minute means that Keras found it damaged and is downloading it again, in vain.
BUILD_PATIENCE_S = 60.0
WAYS_OUT = (
    "use `--weights bundled` (pip install 'beedex[offline]'), `--weights PATH` with a Keras file of InceptionV3 "
    "without its top, or `--weights random` to try the commands out"
)


def load_inception(weights: str, *, seed: int = 0) -> tuple[keras.Model, WeightsProvenance]:
    """Build InceptionV3 without its top, input (299, 299, 3) in [-1, 1].

    Args:
        weights: ``"imagenet"`` (downloaded by Keras once), ``"bundled"``, ``"random"``, or the path of a Keras weights
            file.
        seed: of random weights.

    Returns:
        The network, and where its weights came from.

    Raises:
        WeightsError: the weights can't be downloaded, found or read; within ten seconds where no byte arrives.
    """
    if weights == "imagenet":
        return _describe(_download_imagenet(), "imagenet", "ImageNet, as Keras distributes it")
    if weights == "random":
        note = "random: a stand-in that has learned nothing; only the head is trained"
        return _describe(_build_random(seed), "random", note)
    if weights == "bundled":
        note = "beedex-weights: distilled from EfficientNet-Lite0 (ImageNet); weaker than ImageNet's InceptionV3"
        return _describe(_read(_find_bundled()), "bundled", note)
    path = Path(weights)
    if not path.is_file():
        raise WeightsError(
            f"no weights at {weights!r}: expected one of {list(get_args(NamedWeights))} or the path of a weights file; "
            f"{WAYS_OUT}"
        )
    return _describe(_read(path), "path", f"{path.name}, given by path")


def hash_weights(model: keras.Model) -> str:
    """Return the sha256 of all of a model's weights, in layer order."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()


def _describe(
    model: keras.Model, kind: Literal["imagenet", "bundled", "path", "random"], note: str
) -> tuple[keras.Model, WeightsProvenance]:
    return model, WeightsProvenance(kind=kind, sha256=hash_weights(model), note=note)


def _build(weights: str | None) -> keras.Model:
    return keras.applications.InceptionV3(
        include_top=False, weights=weights, input_shape=(IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3)
    )


def _build_random(seed: int) -> keras.Model:
    model = _build(None)
    # Keras draws initial weights from its global seed; these are drawn again so that only *seed* counts.
    for number, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(keras.initializers.HeNormal(seed=seed * 10_000 + number)(layer.kernel.shape))
    return model


def _read(path: Path) -> keras.Model:
    try:
        return _build(str(path))
    except (ValueError, OSError, KeyError) as error:
        raise WeightsError(
            f"{path} doesn't hold weights of InceptionV3 without its top: {_first_line(error)}; {WAYS_OUT}"
        ) from error


def _find_bundled() -> Path:
    try:
        from beedex.weights import INCEPTION_V3  # noqa: PLC0415 - a distribution of its own, which may be missing
    except ModuleNotFoundError as error:
        raise WeightsError(
            "the bundled weights aren't installed: `--weights bundled` needs the package beedex-weights; "
            "pip install 'beedex[offline]', or use `--weights imagenet`"
        ) from error
    return INCEPTION_V3


def _download_imagenet() -> keras.Model:
    """Let Keras fetch its weights on another thread, and give up when nothing arrives."""
    outcome: list[keras.Model | Exception] = []

    def download() -> None:
        try:
            outcome.append(_build("imagenet"))
        except Exception as error:  # noqa: BLE001 - Keras raises a bare Exception when a download fails
            outcome.append(error)

    thread = threading.Thread(target=download, daemon=True, name="imagenet-weights")
    thread.start()
    seen, last_change = _count_downloaded_bytes(), time.monotonic()
    while thread.is_alive():
        thread.join(timeout=0.2)
        if (now := _count_downloaded_bytes()) != seen:
            seen, last_change = now, time.monotonic()
        patience_s = DOWNLOAD_PATIENCE_S if seen < WHOLE_DOWNLOAD_BYTES else BUILD_PATIENCE_S
        if thread.is_alive() and time.monotonic() - last_change > patience_s:
            raise WeightsError(
                f"ImageNet's weights can't be downloaded: nothing arrived in {patience_s:.0f} s; {WAYS_OUT}"
            )
    if isinstance(outcome[0], Exception):
        raise WeightsError(
            f"ImageNet's weights can't be downloaded: {_first_line(outcome[0])}; {WAYS_OUT}"
        ) from outcome[0]
    return outcome[0]


def _count_downloaded_bytes() -> int:
    # The folder that Keras documents at https://keras.io/api/utils/python_utils/#get_file-function.
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    return sum(file.stat().st_size for file in (home / "models").glob("inception_v3_weights*notop*"))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
