"""A network with InceptionV3's blocks by name, a hundredth of its work and weights of its own."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from beedex.index.durable import sha256_file
from beedex.training.backbone.sources import PhotoSource

BuildInception = Callable[..., keras.Model]


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
