"""What several parts train on, and a few whole trainings.

A small network with InceptionV3's blocks by name, small photos, made material; and what `beedex train` left.
"""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from beedex.index.durable import sha256_file
from beedex.training.backbone.features import Features
from beedex.training.backbone.sources import PhotoSource
from beedex.training.backbone.taps import Block
from beedex.training.drawing import draw_gallery
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


@dataclass(frozen=True, kw_only=True)
class SmallRun:
    """What one `beedex train` in a folder of its own left and printed.

    Attributes:
        home: the folder, which holds the gallery too.
        words: of the command; its paths are relative to the folder.
        metrics: its JSON document.
        shown: what a terminal 240 columns wide was sent.
    """

    home: Path
    words: tuple[str, ...]
    metrics: dict[str, Any]
    shown: str

    @property
    def bundle(self) -> Path:
        return self.home / "bees"


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """36 photos of 33 drawn individuals and six families, just enough for thresholds; read only."""
    home = tmp_path_factory.mktemp("small")
    draw_gallery(home / "gallery", per_family=6, seed=7)
    options = ("--taps", "mixed7:max,mixed10:mean", "--views", "2", "--false-accept-rate", "0.1")
    # One learning rate: eight of nine heads of a split would only try two.
    return train_on_terminal(home, *options, "--learning-rate", "0.002")


@pytest.fixture(scope="session")
def few_photos(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery that only one photo of can be held out: a training on it has few heads."""
    gallery = tmp_path_factory.mktemp("few") / "gallery"
    gallery.mkdir()
    groups = {"bumble_000": 1, "bumble_001": 2, "bumble_002": 2, "honey_000": 1, "honey_001": 2, "honey_002": 3}
    rows = ["path,family,group"]
    for name, group in groups.items():
        family = name.partition("_")[0]
        shutil.copy(small_run.home / "gallery" / family / f"{name}.jpg", gallery)
        rows.append(f"{name}.jpg,{family},{group}")
    (gallery / "gallery.csv").write_text("\n".join(rows))
    return gallery


@pytest.fixture(scope="session")
def train_on_few(few_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SmallRun]:
    """Train on `few_photos` with some options."""

    def train(*options: str) -> SmallRun:
        home = tmp_path_factory.mktemp("trained")
        (home / "gallery").symlink_to(few_photos)
        return train_on_terminal(home, *options)

    return train


@pytest.fixture(scope="session")
def tuned_run(train_on_few: Callable[..., SmallRun]) -> SmallRun:
    """A run with stage two; read only."""
    return train_on_few("--fine-tune", "mixed9", "--views", "2", "--test-views", "2", "--learning-rate", "0.001")


def train_on_terminal(home: Path, *options: str) -> SmallRun:
    places = ("gallery", "--out", "bees", "--cache", "cache", "--tensorboard", "events")
    words = ("train", *places, "--weights", "bundled", *options, "--json")
    command = [sys.executable, "-m", "beedex.client", *words]
    ours, theirs = pty.openpty()
    with (home / "printed.json").open("w+") as printed:
        process = subprocess.Popen(
            command, cwd=home, stdout=printed, stderr=theirs, env={**os.environ, "COLUMNS": "240", "TERM": "xterm"}
        )
        os.close(theirs)
        shown = b"".join(iter(lambda: read_terminal(ours), b"")).decode()
        os.close(ours)
        assert process.wait() == 0, shown
        printed.seek(0)
        return SmallRun(home=home, words=words, metrics=json.load(printed, parse_constant=refuse_constant), shown=shown)


def read_terminal(terminal: int) -> bytes:
    """Return what was written last, or nothing when nobody can write any more."""
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: how Linux ends a terminal
        return b""


def refuse_constant(name: str) -> NoReturn:
    raise AssertionError(f"JSON has no {name}")
