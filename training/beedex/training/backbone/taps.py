"""The backbone: InceptionV3 without its top, tapped after some of its blocks, each tap pooled.

    image (299, 299, 3) uint8
      -> scaling to [-1, 1]; the photo, or its middle enlarged (*zoomed*), or both one behind the other
      -> InceptionV3, tapped after mixed5 ... mixed10
      -> a tap's places pooled to one vector, by mean, max or generalized mean; a tap so pooled is a *block*
      -> each block to unit norm, joined, to unit norm again: features (F,)

Blocks are always joined in one order, that of the network and then of `POOLINGS`, zoomed ones last, so that a set of
blocks has one spelling. A vector's norm is that of its blocks, so the joined features are the blocks' vectors divided
by the root of their number: features of any blocks can be had from vectors that were stored for all of them.

Shapes: B photos, h x w places, C channels of a tap, F features.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Self, cast, get_args

import keras
import numpy as np
from numpy.typing import NDArray

from beedex.index.embedder import FEATURES_OUTPUT
from beedex.training.backbone.weights import IMAGE_SIDE_PX

__all__ = [
    "ALL_BLOCKS",
    "CANDIDATE_BLOCKS",
    "DEFAULT_BLOCKS",
    "PLAIN_BLOCKS",
    "POOLINGS",
    "POOLING_VERSION",
    "TAPS",
    "WHOLE_BLOCKS",
    "ZOOM_MARK",
    "Block",
    "Pooling",
    "block_columns",
    "build_backbone",
    "build_blocks",
    "join_blocks",
    "measure_batchnorm",
    "name_blocks",
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

# Part of the key under which features are stored: raise it when a block's vector comes out differently.
POOLING_VERSION = 1

# What of a photo's height and width a zoomed block sees: an animal in the field rarely fills the frame. On 154 field
# photos of wild bees, cross-validated, a linear probe on both the photo and this part named 0.03 to 0.06 more of them
# rightly than on the photo alone; parts of 0.5 and 0.4 added less. The part is enlarged from the 299 pixels: a part
# that was cut from the photo at full size added no more.
ZOOM = 0.6
ZOOMED_SIDE_PX = round(IMAGE_SIDE_PX * ZOOM)

# Photos in a forward pass that only measures statistics; larger ones need more memory for no gain.
STATISTICS_BATCH = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A tap and how its places are pooled, written ``"mixed7:max"``, or ``"mixed7:max@zoom"`` for a zoomed photo.

    Raises:
        ValueError: there is no such tap or pooling.

    Example:
        >>> str(Block("mixed7", "max"))
        'mixed7:max'
    """

    tap: str
    pooling: Pooling
    zoomed: bool = False

    def __post_init__(self) -> None:
        """Refuse what the backbone doesn't have."""
        if self.tap not in TAPS or self.pooling not in POOLINGS:
            raise ValueError(
                f"no such block: expected TAP:POOLING or TAP:POOLING@zoom with a tap of {', '.join(TAPS)} and a "
                f"pooling of {', '.join(POOLINGS)}. Received: {self}"
            )

    def __str__(self) -> str:
        return f"{self.tap}:{self.pooling}" + (ZOOM_MARK if self.zoomed else "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a block as `str` writes it."""
        name = text.strip()
        tap, _, pooling = name.removesuffix(ZOOM_MARK).partition(":")
        return cls(tap, cast("Pooling", pooling), zoomed=name.endswith(ZOOM_MARK))


ZOOM_MARK = "@zoom"

# What a block that isn't zoomed sees, and one that is.
LOOKS = ("photo", "the photo's middle")

WHOLE_BLOCKS = tuple(Block(tap, pooling) for tap in TAPS for pooling in POOLINGS)
ALL_BLOCKS = WHOLE_BLOCKS + tuple(replace(block, zoomed=True) for block in WHOLE_BLOCKS)


def _spread(*taps: str, poolings: tuple[Pooling, ...] = ("mean", "max"), zoom: bool = True) -> tuple[Block, ...]:
    """Return the blocks of some taps, of the photo and, with *zoom*, of its middle."""
    return tuple(
        block for block in ALL_BLOCKS if block.tap in taps and block.pooling in poolings and (zoom or not block.zoomed)
    )


# Late blocks know things, earlier ones texture: hair, veins, punctures. Mean and max are joined because the one sees
# how much of a pattern there is and the other whether it is there at all.
DEFAULT_BLOCKS = _spread("mixed5", "mixed7", "mixed10")
PLAIN_BLOCKS = _spread("mixed5", "mixed7", "mixed10", zoom=False)

# What a training chooses from, the default first.
CANDIDATE_BLOCKS = (
    DEFAULT_BLOCKS,
    PLAIN_BLOCKS,
    *(_spread(tap) for tap in TAPS),
    _spread("mixed10", zoom=False),
    _spread("mixed10", poolings=("gem",)),
    _spread("mixed9", "mixed10"),
    _spread(*TAPS),
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


def name_blocks(blocks: Sequence[Block]) -> str:
    """Return blocks in words, short where every tap is pooled and seen alike.

    Example:
        >>> name_blocks(DEFAULT_BLOCKS)
        'mixed5, mixed7, mixed10 (mean, max; photo and its middle)'
        >>> name_blocks(parse_blocks("mixed9:gem,mixed10:max"))
        'mixed9:gem, mixed10:max'
    """
    ordered = sort_blocks(blocks)
    taps, poolings, looks = (
        list(dict.fromkeys(getattr(block, field) for block in ordered)) for field in ("tap", "pooling", "zoomed")
    )
    if len(ordered) < len(taps) * len(poolings) * len(looks) or len(ordered) == 1:
        return ", ".join(map(str, ordered))
    seen = " and ".join("its middle" if zoomed and len(looks) > 1 else LOOKS[zoomed] for zoomed in looks)
    return f"{', '.join(taps)} ({', '.join(poolings)}; {seen})"


def block_columns(inception: keras.Model, blocks: Sequence[Block] = WHOLE_BLOCKS) -> dict[Block, slice]:
    """Return which columns of the output of `build_blocks` each block has."""
    ordered = sort_blocks(blocks)
    ends = np.cumsum([0, *(inception.get_layer(block.tap).output.shape[-1] for block in ordered)]).tolist()
    return {block: slice(*ends_of) for block, ends_of in zip(ordered, pairwise(ends), strict=True)}


def build_blocks(inception: keras.Model, blocks: Sequence[Block] = WHOLE_BLOCKS) -> keras.Model:
    """Wrap InceptionV3 so that it takes a prepared photo and gives the vectors of blocks, side by side.

    Args:
        inception: without its top, input in [-1, 1].
        blocks: which ones; zoomed ones beside others double the work.

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
    scaled = scale_image(image)
    looks = sorted({block.zoomed for block in ordered})
    seen = [_zoom(scaled) if zoomed else scaled for zoomed in looks]
    # One pass over 2B images rather than two passes: the weights stand in the network's file once.
    stacked = keras.layers.Concatenate(axis=0, name="photo_and_middle")(seen) if len(seen) > 1 else seen[0]
    places = keras.tree.flatten(tapped(stacked))
    pooled = list(dict.fromkeys(replace(block, zoomed=False) for block in ordered))
    vectors = dict(zip(pooled, pool_taps(dict(zip(taps, places, strict=True)), pooled), strict=True))
    if len(looks) == 1:
        return image, list(vectors.values())
    parts = {block: keras.ops.reshape(both, (2, -1, both.shape[-1])) for block, both in vectors.items()}
    return image, [parts[replace(block, zoomed=False)][int(block.zoomed)] for block in ordered]


def _zoom(scaled: keras.KerasTensor) -> keras.KerasTensor:
    """Enlarge the middle of (B, 299, 299, 3) photos to their size."""
    before = (IMAGE_SIDE_PX - ZOOMED_SIDE_PX) // 2
    margins = (before, IMAGE_SIDE_PX - ZOOMED_SIDE_PX - before)
    middle = keras.layers.Cropping2D((margins, margins), name="middle")(scaled)
    # Not the layer Resizing: its call has `training=True` for a default, and in a model that is called without the
    # argument every BatchNorm behind it then works on the batch's statistics and changes its own (Keras 3.15).
    return keras.ops.image.resize(middle, (IMAGE_SIDE_PX, IMAGE_SIDE_PX), interpolation="bilinear")


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
