"""Stage two: training the backbone's last blocks, on activations stored at the cut.

    image -> trunk: scaling, InceptionV3 up to the cut      frozen, run once a view
               |-> activation (h, w, C) at the cut
               '-> lower features: those of the blocks up to the cut
    activation -> tail: InceptionV3 from the cut on -> upper features
    lower and upper features joined, unit norm -> standardized -> head -> embedding (D,)

Everything below the cut gives the same numbers in every epoch, and it is most of the work: tests/benchmarks/
fine_tuning.py times both. BatchNorm layers stay as they are, in inference mode: the statistics of batches of a few
families would not be those of single photos that are looked up later.

Shapes: B photos, h x w places, C channels, F features, D dimensions of the embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.embedder import EMBEDDING_OUTPUT, FEATURES_OUTPUT
from beedex.index.progress import Advance, ignore_progress
from beedex.training.backbone.recording import record_views
from beedex.training.backbone.sources import PhotoSource
from beedex.training.backbone.taps import (
    POOLING_VERSION,
    TAPS,
    ZOOM_MARK,
    Block,
    join_blocks,
    pool_taps,
    scale_image,
    sort_blocks,
)
from beedex.training.backbone.views import Views
from beedex.training.backbone.weights import IMAGE_SIDE_PX
from beedex.training.fitting.model import fold_standardization, mirror_photos
from beedex.training.fitting.standardization import Standardization

__all__ = [
    "Activations",
    "Split",
    "build_tail_network",
    "build_tuned_embedder",
    "cache_activations",
    "split_backbone",
]

# The block before the first tap.
BEFORE_TAPS = "mixed4"

TUNED_TAIL = "tuned_tail"
HEAD = "head"
STANDARDIZATION = "standardization"


@dataclass(frozen=True, kw_only=True)
class Split:
    """A backbone in two parts.

    Attributes:
        trunk: (B, 299, 299, 3) uint8 -> [activation (B, h, w, C)] or [activation, lower features (B, F_lower)], where
            there are blocks up to the cut.
        tail: activation -> upper features (B, F_upper).
        lower: the blocks whose vectors are the lower features, joined in this order, each of unit norm.
        upper: likewise; features are the lower ones and then these, which is the order of `sort_blocks`.
        cut: the name of the last frozen tap.
    """

    trunk: keras.Model
    tail: keras.Model
    lower: tuple[Block, ...]
    upper: tuple[Block, ...]
    cut: str

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of the trunk's outputs, without the batch axis."""
        return [tuple(output.shape[1:]) for output in self.trunk.outputs]


@dataclass(frozen=True, kw_only=True)
class Activations:
    """What the trunk says of N photos in V views, mapped from the disk.

    Attributes:
        records: (R, V, K) float32, the trunk's outputs one behind the other.
        numbers: (N,) of the photos' records.
        shapes: of the trunk's outputs.
    """

    records: NDArray[np.float32]
    numbers: NDArray[np.int64]
    shapes: list[tuple[int, ...]]

    @property
    def photos(self) -> int:
        """N."""
        return len(self.numbers)

    @property
    def views(self) -> int:
        """V."""
        return int(self.records.shape[1])

    def subset(self, photos: NDArray[np.int64] | NDArray[np.bool_]) -> "Activations":
        """Return those of some photos, given by number in the order wanted, or by an (N,) mask."""
        return Activations(records=self.records, numbers=self.numbers[photos], shapes=self.shapes)

    def take(self, photos: NDArray[np.int64], views: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        """Return the inputs of `build_tail_network`'s model, (B, ...) each, of photos (B,) in views (B,)."""
        rows = self.records[self.numbers[photos], views]  # (B, K)
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        parts = np.split(rows, ends, axis=1)
        return tuple(part.reshape(-1, *shape) for part, shape in zip(parts, self.shapes, strict=True))


def split_backbone(inception: keras.Model, blocks: Sequence[Block], *, unfreeze_from: str) -> Split:
    """Cut the backbone before a named block.

    Args:
        inception: without its top, input in [-1, 1]; both parts use its weights.
        blocks: what features are made of.
        unfreeze_from: the first block that trains, one of `TAPS`; the cut is behind the block before it.

    Raises:
        ValueError: there is no such block, or no features come from it or behind it.
    """
    if unfreeze_from not in TAPS:
        raise ValueError(f"`unfreeze_from` must be one of {', '.join(TAPS)}. Received: {unfreeze_from!r}")
    ordered = sort_blocks(blocks)
    if any(block.zoomed for block in ordered):
        raise ValueError(
            f"stage two trains on whole photos: expected blocks without {ZOOM_MARK}, received "
            f"{', '.join(map(str, ordered))}"
        )
    first = TAPS.index(unfreeze_from)
    lower = tuple(block for block in ordered if TAPS.index(block.tap) < first)
    upper = ordered[len(lower) :]
    if not upper:
        raise ValueError(
            f"nothing would train: expected features from {unfreeze_from} or a later block, received "
            f"{', '.join(map(str, ordered))}; unfreeze from an earlier block or choose later taps"
        )
    cut = TAPS[first - 1] if first else BEFORE_TAPS
    return Split(
        trunk=_build_trunk(inception, cut, lower),
        tail=_build_tail(inception, cut, upper),
        lower=lower,
        upper=upper,
        cut=cut,
    )


def _build_trunk(inception: keras.Model, cut: str, blocks: Sequence[Block]) -> keras.Model:
    image = keras.Input((IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), dtype="uint8", name="image")
    taps = list(dict.fromkeys([cut, *(block.tap for block in blocks)]))
    tapped = keras.Model(inception.input, [inception.get_layer(tap).output for tap in taps], name="inception_v3_trunk")
    places = dict(zip(taps, keras.tree.flatten(tapped(scale_image(image))), strict=True))
    outputs = [places[cut]]
    if blocks:
        outputs.append(join_blocks(pool_taps(places, blocks), "lower_features"))
    return keras.Model(image, outputs, name="trunk")


def _build_tail(inception: keras.Model, cut: str, blocks: Sequence[Block]) -> keras.Model:
    taps = list(dict.fromkeys(block.tap for block in blocks))
    at_cut = inception.get_layer(cut).output
    tapped = keras.Model(at_cut, [inception.get_layer(tap).output for tap in taps], name="inception_v3_tail")
    activation = keras.Input(at_cut.shape[1:], name="activation_in")
    places = dict(zip(taps, keras.tree.flatten(tapped(activation)), strict=True))
    return keras.Model(activation, join_blocks(pool_taps(places, blocks), "upper_features"), name="frozen_tail")


def cache_activations(
    photos: Sequence[PhotoSource],
    split: Split,
    *,
    views: Views,
    cache: Path,
    advance: Advance = ignore_progress,
) -> Activations:
    """Return what the trunk says of photos, from the cache where it is there.

    They are float32, so that training on them is training on the photos: 0.34 MB a view at mixed8, 0.9 MB at mixed7.

    Args:
        photos: N readable photos.
        split: as from `split_backbone`.
        views: of each photo.
        cache: the folder to keep them in; it may be deleted while nothing uses it.
        advance: called with the number of photos just done.

    Raises:
        BeedexError: a photo can't be read, or is another one by now.
        OSError: the cache can't be read or written, with the file's name.
    """
    flat = [keras.layers.Flatten(name=f"flat_{number}")(output) for number, output in enumerate(split.trunk.outputs)]
    records, numbers = record_views(
        photos,
        keras.Model(split.trunk.input, join_blocks(flat, "activations")),
        views,
        key={"cut": split.cut, "lower": [str(block) for block in split.lower], "pooling": POOLING_VERSION},
        # What goes on to train is TensorFlow. OpenVINO's last digits choose other maxima and other sides of a ReLU: one
        # step of AdamW on its activations put 1 weight in 17,000 elsewhere than a step on the photos did (20 photos,
        # bundled weights); on TensorFlow's none by more than 1e-6.
        engine="tensorflow",
        dtype=np.float32,
        folder=cache / "activations",
        advance=advance,
    )
    return Activations(records=records, numbers=numbers, shapes=split.shapes)


def build_tail_network(split: Split, head: keras.Model, standardization: Standardization) -> keras.Model:
    """Build what stage two trains: a copy of the tail, and of the head.

    Args:
        split: as from `split_backbone`; its own tail stays frozen.
        head: trained on standardized features of the same blocks.
        standardization: of these.

    Returns:
        A model of `Activations.take`'s arrays -> (B, D) unit vectors. All but BatchNorm layers and the standardization
        is trainable.
    """
    tail = keras.Model.from_config({**split.tail.get_config(), "name": TUNED_TAIL})
    tail.set_weights(split.tail.get_weights())
    for layer in tail._flatten_layers():  # noqa: SLF001 - Keras has no public walk over nested layers
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # which is also inference mode, https://keras.io/api/layers/normalization_layers/
    trained = keras.models.clone_model(head)
    trained.set_weights(head.get_weights())
    inputs = [keras.Input(shape, name=f"trunk_{number}") for number, shape in enumerate(split.shapes)]
    # A layer and not folded into the head as for serving: the head goes on from where stage one left it, at the same
    # learning rate.
    standardize = keras.layers.Dense(standardization.dimension, trainable=False, name=STANDARDIZATION)
    features = _join_features(inputs[1:], tail(inputs[0]), "tuned_features")
    network = keras.Model(inputs, trained(standardize(features)), name="tail_network")
    identity = np.eye(standardization.dimension, dtype=np.float32)
    standardize.set_weights(standardization.fold(identity, np.zeros(standardization.dimension, np.float32)))
    return network


def build_tuned_embedder(
    split: Split,
    network: keras.Model,
    standardization: Standardization,
    *,
    test_views: int = 1,
) -> keras.Model:
    """Join trunk, tuned tail and head into the network that serves.

    The features stay those of the frozen backbone, with which `beedex evaluate` compares, so its tail runs beside the
    tuned one: from mixed9 on 12 % more multiplications; tests/benchmarks/fine_tuning.py prints the time.

    Args:
        split: as from `split_backbone`.
        network: as from `build_tail_network`, trained.
        standardization: as given to `build_tail_network`.
        test_views: 2 for `mirror_photos`, which doubles the work.

    Returns:
        A model (B, 299, 299, 3) uint8 -> {"embedding": (B, D), "features": (B, F)}.
    """
    image = keras.Input((IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), dtype="uint8", name="image")
    activation, *lower = keras.tree.flatten(split.trunk(image))
    tuned = _join_features(lower, network.get_layer(TUNED_TAIL)(activation), "tuned_features")
    head = fold_standardization(network.get_layer(HEAD), standardization)
    outputs = {
        EMBEDDING_OUTPUT: head(tuned),
        FEATURES_OUTPUT: _join_features(lower, split.tail(activation), FEATURES_OUTPUT),
    }
    return mirror_photos(keras.Model(image, outputs, name="embedder"), test_views=test_views)


def _join_features(lower: Sequence[keras.KerasTensor], upper: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Return (B, F) of unit norm, lower blocks first."""
    return keras.layers.UnitNormalization(name=name)(join_blocks([*lower, upper], f"{name}_joined"))
