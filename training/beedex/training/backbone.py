"""The backbone: InceptionV3 without its top, tapped after some of its blocks, each tap pooled.

    image (299, 299, 3) uint8
      -> scaling to [-1, 1] -> InceptionV3, tapped after mixed5 ... mixed10
      -> a tap's places pooled to one vector, by mean, max or generalized mean; a tap so pooled is a *block*
      -> each block to unit norm, joined, to unit norm again: features (F,)

Blocks are always joined in one order, that of the network and then of `POOLINGS`, so that a set of blocks has one
spelling. A vector's norm is that of its blocks, so the joined features are the blocks' vectors divided by the root of
their number: features of any blocks can be had from vectors that were stored for all of them.

Shapes: B photos, h x w places, C channels of a tap, F features.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self, cast, get_args

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.embedder import FEATURES_OUTPUT
from beedex.training.weights import IMAGE_SIDE_PX

__all__ = [
    "ALL_BLOCKS",
    "DEFAULT_BLOCKS",
    "POOLINGS",
    "TAPS",
    "Block",
    "Pooling",
    "block_columns",
    "build_backbone",
    "build_blocks",
    "join_blocks",
    "measure_batchnorm",
    "parse_blocks",
    "pool_taps",
    "scale_image",
    "sort_blocks",
]

# In the order of the network.
TAPS = ("mixed5", "mixed6", "mixed7", "mixed8", "mixed9", "mixed10")

Pooling = Literal["mean", "max", "gem"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)

# p of the generalized mean (mean x^p)^(1/p): Radenovic et al. 2018, https://arxiv.org/abs/1711.02512, section 3.2,
# start from 3. What is pooled is never negative: every tap ends in ReLUs.
GEM_EXPONENT = 3
# The root's slope at 0 is infinite: means of cubes count as at least this, so that channels without a spark have a
# gradient of 0. Radenovic's own code clamps the activations at 1e-6, whose cube this is.
GEM_FLOOR = 1e-18

# Photos in a forward pass that only measures statistics; larger ones need more memory for no gain.
STATISTICS_BATCH = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A tap and how its places are pooled, written ``"mixed7:max"``.

    Raises:
        ValueError: there is no such tap or pooling.

    Example:
        >>> str(Block("mixed7", "max"))
        'mixed7:max'
    """

    tap: str
    pooling: Pooling

    def __post_init__(self) -> None:
        """Refuse what the backbone doesn't have."""
        if self.tap not in TAPS or self.pooling not in POOLINGS:
            raise ValueError(
                f"no such block: expected TAP:POOLING with a tap of {', '.join(TAPS)} and a pooling of "
                f"{', '.join(POOLINGS)}. Received: {self.tap}:{self.pooling}"
            )

    def __str__(self) -> str:
        return f"{self.tap}:{self.pooling}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a block as `str` writes it."""
        tap, _, pooling = text.strip().partition(":")
        return cls(tap, cast("Pooling", pooling))


ALL_BLOCKS = tuple(Block(tap, pooling) for tap in TAPS for pooling in POOLINGS)

# Late blocks know things, earlier ones texture: hair, veins, punctures. Mean and max are joined because the one sees
# how much of a pattern there is and the other whether it is there at all. While the drawn gallery was made, joining the
# taps raised Recall@1 on 144 drawn bees from 0.73 to 0.78; on 154 field photos of wild bees it changed nothing that
# shows.
DEFAULT_BLOCKS = tuple(
    block for block in ALL_BLOCKS if block.tap in ("mixed5", "mixed7", "mixed10") and block.pooling in ("mean", "max")
)


def sort_blocks(blocks: Iterable[Block]) -> tuple[Block, ...]:
    """Return blocks in the order in which they are joined, each once.

    Raises:
        ValueError: there are none.

    Example:
        >>> [str(block) for block in sort_blocks([Block("mixed10", "max"), Block("mixed7", "gem")])]
        ['mixed7:gem', 'mixed10:max']
    """
    wanted = set(blocks)
    if not wanted:
        raise ValueError("`blocks` must name one at least. Received: none")
    return tuple(block for block in ALL_BLOCKS if block in wanted)


def parse_blocks(text: str) -> tuple[Block, ...]:
    """Read blocks separated by commas, in the order in which they are joined.

    Raises:
        ValueError: one is unknown, or there are none.

    Example:
        >>> [str(block) for block in parse_blocks("mixed10:mean,mixed7:max")]
        ['mixed7:max', 'mixed10:mean']
    """
    return sort_blocks(Block.parse(part) for part in text.split(",") if part.strip())


def block_columns(inception: keras.Model, blocks: Sequence[Block] = ALL_BLOCKS) -> dict[Block, slice]:
    """Return which columns of the output of `build_blocks` each block has."""
    ordered = sort_blocks(blocks)
    ends = np.cumsum([0, *(inception.get_layer(block.tap).output.shape[-1] for block in ordered)]).tolist()
    return {block: slice(*ends_of) for block, ends_of in zip(ordered, pairwise(ends), strict=True)}


def build_blocks(inception: keras.Model, blocks: Sequence[Block] = ALL_BLOCKS) -> keras.Model:
    """Wrap InceptionV3 so that it takes a prepared photo and gives the vectors of blocks, side by side.

    Args:
        inception: without its top, input in [-1, 1].
        blocks: which ones; 23040 columns for all of InceptionV3's.

    Returns:
        A model (B, 299, 299, 3) uint8 -> (B, F) float32, each block's columns of unit norm; see `block_columns`.
    """
    image, vectors = _tap(inception, blocks)
    return keras.Model(image, join_blocks(vectors, FEATURES_OUTPUT), name="blocks")


def build_backbone(inception: keras.Model, blocks: Sequence[Block] = DEFAULT_BLOCKS) -> keras.Model:
    """Wrap InceptionV3 so that it takes a prepared photo and gives pooled features.

    Args:
        inception: without its top, input in [-1, 1].
        blocks: what the features are made of.

    Returns:
        A model (B, 299, 299, 3) uint8 -> (B, F) float32 of unit norm.
    """
    image, vectors = _tap(inception, blocks)
    features = keras.layers.UnitNormalization(name=FEATURES_OUTPUT)(join_blocks(vectors, "joined"))
    return keras.Model(image, features, name="backbone")


def _tap(inception: keras.Model, blocks: Sequence[Block]) -> tuple[keras.KerasTensor, list[keras.KerasTensor]]:
    """Return the image and its blocks' vectors (B, C)."""
    ordered = sort_blocks(blocks)
    taps = list(dict.fromkeys(block.tap for block in ordered))
    image = keras.Input((IMAGE_SIDE_PX, IMAGE_SIDE_PX, 3), dtype="uint8", name="image")
    tapped = keras.Model(inception.input, [inception.get_layer(tap).output for tap in taps], name="inception_v3")
    places = keras.tree.flatten(tapped(scale_image(image)))
    return image, pool_taps(dict(zip(taps, places, strict=True)), ordered)


def scale_image(image: keras.KerasTensor) -> keras.KerasTensor:
    """Scale (B, 299, 299, 3) uint8 to the [-1, 1] that InceptionV3 was trained on."""
    return keras.layers.Rescaling(1 / 127.5, offset=-1, name="scaling")(image)


def pool_taps(places_of: dict[str, keras.KerasTensor], blocks: Sequence[Block]) -> list[keras.KerasTensor]:
    """Return each block's vector.

    Args:
        places_of: by tap, (B, h, w, C), not negative.
        blocks: in the order wanted.

    Returns:
        (B, C) each, of unit norm.
    """
    # Every layer is named: Keras's own numbers go on counting from model to model, and with them the names in the
    # saved model would depend on what else the process had built.
    return [
        keras.layers.UnitNormalization(name=f"{block.tap}_{block.pooling}_unit")(_pool(places_of[block.tap], block))
        for block in blocks
    ]


def _pool(places: keras.KerasTensor, block: Block) -> keras.KerasTensor:
    """Pool (B, h, w, C) to (B, C)."""
    name = f"{block.tap}_{block.pooling}"
    if block.pooling == "mean":
        return keras.layers.GlobalAveragePooling2D(name=name)(places)
    if block.pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name=name)(places)
    powers = keras.layers.Multiply(name=f"{name}_powers")([places] * GEM_EXPONENT)
    mean = keras.layers.GlobalAveragePooling2D(name=name)(powers)
    # Keras's operations rather than a layer of our own: the saved model opens without beedex.
    return keras.ops.power(keras.ops.maximum(mean, GEM_FLOOR), 1 / GEM_EXPONENT)


def join_blocks(vectors: Sequence[keras.KerasTensor], name: str) -> keras.KerasTensor:
    """Join vectors side by side; one alone stays as it is."""
    if len(vectors) == 1:
        return keras.layers.Identity(name=name)(vectors[0])
    return keras.layers.Concatenate(name=name)(vectors)  # (B, F)


def measure_batchnorm(backbone: keras.Model, images: NDArray[np.uint8]) -> None:
    """Set the moving statistics of every BatchNorm layer to those of *images*.

    A random backbone has statistics of 0 and 1, with which its activations fade or explode from block to block. A
    pretrained one needs none of this.

    Args:
        backbone: changed in place.
        images: (N, 299, 299, 3) uint8, in random order.
    """
    layers = [layer for layer in backbone._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]  # noqa: SLF001 - Keras has no public walk over nested layers
    momenta = [layer.momentum for layer in layers]
    for step, start in enumerate(range(0, len(images), STATISTICS_BATCH)):
        for layer in layers:
            layer.momentum = step / (step + 1)  # the running mean over batches
        backbone(images[start : start + STATISTICS_BATCH], training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
