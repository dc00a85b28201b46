"""What several parts train on: a small network with InceptionV3's blocks by name, small photos, made material."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from beedex.index.durable import sha256_file
from beedex.training.backbone.features import Features
from beedex.training.backbone.sources import PhotoSource
from beedex.training.backbone.taps import Block
from beedex.training.recipes.material import Material
from beedex.training.recipes.selection import BlockGrams

BuildInception = Callable[..., keras.Model]
DrawMaterial = Callable[..., Material]

ONE_BLOCK = {Block("mixed10", "mean"): 3.0}
BLOCK_WIDTH = 12


@pytest.fixture(scope="session")
def draw_material() -> DrawMaterial:
    """Draw features of blocks that tell families apart as clearly as *signals* says; 0 is noise alone, 3 is easy.

    Without *groups* each photo is one; views of a photo are alike.
    """

    def draw(
        labels: NDArray[np.int64],
        groups: Sequence[str] | None = None,
        *,
        signals: Mapping[Block, float] = ONE_BLOCK,
        views: int = 1,
        seed: int = 0,
    ) -> Material:
        generator = np.random.default_rng(seed)
        families = np.eye(labels.max() + 1, BLOCK_WIDTH)[labels][:, np.newaxis]
        count, parts = len(labels), []
        for signal in signals.values():
            noise = generator.standard_normal((count, 1, BLOCK_WIDTH))
            noise = noise + 0.2 * generator.standard_normal((count, views, BLOCK_WIDTH))
            rows = signal * families + 0.5 * noise
            parts.append(rows / np.linalg.norm(rows, axis=-1, keepdims=True))
        columns = {block: slice(i * BLOCK_WIDTH, (i + 1) * BLOCK_WIDTH) for i, block in enumerate(signals)}
        features = Features.from_array(np.concatenate(parts, axis=-1).astype(np.float32), columns=columns)
        names = tuple(map(str, range(count))) if groups is None else tuple(groups)
        return Material(
            features=features,
            labels=labels,
            groups=names,
            families=tuple(f"family {label}" for label in range(labels.max() + 1)),
            grams=BlockGrams.measure(features, labels, names, seed=0, blocks=list(signals)),
        )

    return draw


@pytest.fixture(scope="session")
def build_inception() -> BuildInception:
    """Build the small network; another *seed* is another network."""

    def build(seed: int = 0) -> keras.Model:
        image = keras.Input((299, 299, 3))
        places = keras.layers.AveragePooling2D(37)(image)  # (B, 8, 8, 3)
        for number in range(4, 11):
            initializer = keras.initializers.GlorotNormal(seed=seed * 100 + number)
            places = keras.layers.Conv2D(number + 2, 3, padding="same", use_bias=False, kernel_initializer=initializer)(
                places
            )
            normalized = keras.layers.BatchNormalization(scale=False)
            places = keras.layers.Activation("relu", name=f"mixed{number}")(normalized(places))
            generator = np.random.default_rng(seed * 100 + number)
            beta, mean, variance = (generator.uniform(low, 1, number + 2) for low in (0, -1, 0.1))
            normalized.set_weights([beta * 0.3, mean * 0.1, variance * 0.2])
        return keras.Model(image, places)

    return build


@pytest.fixture(scope="session")
def some_photos(tmp_path_factory: pytest.TempPathFactory) -> list[PhotoSource]:
    """The same photos, to be left alone."""
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def photos(tmp_path: Path) -> list[PhotoSource]:
    """Six small photos of different sizes, the same in every test."""
    return write_photos(tmp_path)


def write_photos(folder: Path) -> list[PhotoSource]:
    generator = np.random.default_rng(0)
    sources = []
    for number in range(6):
        path = folder / f"{number}.png"
        coarse = generator.integers(0, 256, (5, 4 + number, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40 + 10 * number, 50)).save(path)
        sources.append(PhotoSource(path=path, sha256=sha256_file(path)))
    return sources
