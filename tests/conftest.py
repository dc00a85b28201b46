"""Fixtures that several parts share: a bundle and a gallery that are real but small, and one run of the demo."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops
from PIL import Image
from xdist.scheduler import LoadScopeScheduling

from beedex.index.bundle import WeightsProvenance, seal_bundle
from beedex.index.calibration import Calibration
from beedex.index.durable import write_directory
from beedex.index.familiarity import FAMILIARITY_NAME, Familiarity
from beedex.index.preprocessing import Preprocessing

TINY_DIMENSION = 32
TINY_GRID_PX = 74  # 4 x 4 cells of a 299-pixel photo
TINY_COLOURS = {"amber": (220, 150, 30), "blue": (40, 70, 200), "clover": (90, 180, 70)}
TINY_PHOTOS_PER_FAMILY = 6


# Files whose tests share a training of minutes.
TRAININGS = {
    "demo": ("tests/test_main_job.py", "tests/test_readme.py", "tests/training/test_demo_bundle.py"),
    "small": (
        "tests/training/test_run.py",
        "tests/training/test_run_disturbed.py",
        "tests/training/test_train_commands.py",
        "tests/training/test_evaluation.py",
    ),
}


class SchedulingByTraining(LoadScopeScheduling):  # type: ignore[misc]  # xdist says no types
    """Keeps the tests of a file, or of all files that share a training, in one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((name for name, files in TRAININGS.items() if file in files), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SchedulingByTraining:
    """Deal the tests of a run with several processes."""
    return SchedulingByTraining(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the trainings."""
    first = [file for files in TRAININGS.values() for file in files]
    places = {file: place for place, file in enumerate(first)}
    items.sort(key=lambda item: places.get(item.nodeid.partition("::")[0], len(first)))


def build_tiny_network(seed: int) -> ov.Model:
    """A graph of the real bundle's shape: a uint8 photo -> cell means (features) -> projection (embedding)."""
    generator = np.random.default_rng(seed)
    photo = ops.parameter([1, 299, 299, 3], np.uint8, name="image")
    scaled = ops.subtract(ops.divide(ops.convert(photo, "f32"), np.float32(127.5)), np.float32(1))
    planes = ops.transpose(scaled, np.array([0, 3, 1, 2]))
    cells = ops.avg_pool(planes, [TINY_GRID_PX] * 2, [0, 0], [0, 0], [TINY_GRID_PX] * 2, exclude_pad=True)
    flat = ops.reshape(cells, np.array([1, 48]), special_zero=False)
    features = ops.normalize_l2(flat, np.array([1]), eps=1e-12, eps_mode="add")
    projection = generator.standard_normal((48, TINY_DIMENSION)).astype(np.float32)
    embedding = ops.normalize_l2(
        ops.matmul(features, projection, transpose_a=False, transpose_b=False), np.array([1]), eps=1e-12, eps_mode="add"
    )
    embedding.output(0).tensor.set_names({"embedding"})
    features.output(0).tensor.set_names({"features"})
    return ov.Model([embedding, features], [photo], "tiny")


def write_tiny_bundle(
    path: Path, *, seed: int, calibration: Calibration | None, familiarity: Familiarity | None = None
) -> Path:
    """Write a bundle around `build_tiny_network`; another *seed* is another embedder."""
    with write_directory(path) as directory:
        ov.save_model(build_tiny_network(seed), directory / "model.xml", compress_to_fp16=False)
        if familiarity is not None:
            familiarity.save(directory / FAMILIARITY_NAME)
        seal_bundle(
            directory,
            trained_photos=(),
            backbone="tiny",
            weights=WeightsProvenance(kind="random", sha256="0" * 64, note="a random projection of cell means"),
            dimension=TINY_DIMENSION,
            preprocessing=Preprocessing(),
            families=tuple(TINY_COLOURS),
            training={"seed": seed},
            gallery_digest="0" * 64,
            versions={},
            metrics={},
            calibration=calibration,
        )
    return path


def draw_tiny_photo(family: str, generator: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 noise around the family's colour, of varying size and shape."""
    height, width = generator.integers(60, 120, size=2)
    colour = np.array(TINY_COLOURS[family]) + generator.normal(0, 12, 3)
    coarse = generator.normal(0, 30, (height // 12 + 1, width // 12 + 1, 3)).repeat(12, 0).repeat(12, 1)
    return np.clip(colour + coarse[:height, :width], 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def write_bundle() -> Callable[..., Path]:
    """`write_tiny_bundle`, for tests that want another calibration."""
    return write_tiny_bundle


@pytest.fixture(scope="session")
def encode_png() -> Callable[[NDArray[np.uint8]], bytes]:
    """Return the bytes of a photo, (H, W, 3) uint8."""

    def encode(pixels: NDArray[np.uint8]) -> bytes:
        file = BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    calibration = Calibration(temperature=0.05, match_from=0.6, unknown_below=0.5, note="set by hand for the tests")
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle", seed=1, calibration=calibration)


@pytest.fixture(scope="session")
def other_tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another embedder: the same shapes, another fingerprint, no calibration."""
    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "other", seed=2, calibration=None)


@pytest.fixture(scope="session")
def tiny_gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three families of six small JPEGs; read only: tests that change it copy it."""
    root = tmp_path_factory.mktemp("tiny") / "gallery"
    generator = np.random.default_rng(0)
    for family in TINY_COLOURS:
        (root / family).mkdir(parents=True)
        for number in range(TINY_PHOTOS_PER_FAMILY):
            photo = Image.fromarray(draw_tiny_photo(family, generator))
            photo.save(root / family / f"{family}_{number:03}.jpg", quality=92)
    return root


@pytest.fixture
def tiny_gallery_copy(tiny_gallery: Path, tmp_path: Path) -> Path:
    """A gallery of one's own to change."""
    copied: Path = shutil.copytree(tiny_gallery, tmp_path / "gallery")
    return copied


DEMO_TIMEOUT_S = 1200

RunBeedex = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run_beedex() -> RunBeedex:
    """Run the command in a process of its own."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "beedex.client", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=DEMO_TIMEOUT_S, check=False)

    return run


@dataclass(frozen=True, kw_only=True)
class DemoRun:
    """What `beedex demo` left and printed: the drawn galleries, InceptionV3 trained on one of them, its index."""

    home: Path
    outcome: dict[str, Any]

    @property
    def gallery(self) -> Path:
        return self.home / "gallery"

    @property
    def held_out(self) -> Path:
        return self.home / "held-out"

    @property
    def bundle(self) -> Path:
        return self.home / "embedder"

    @property
    def index(self) -> Path:
        return self.home / "index"


@pytest.fixture(scope="session")
def demo(run_beedex: RunBeedex, tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """The whole demo, once: all slow tests look at what it left."""
    home = tmp_path_factory.mktemp("demo")
    done = run_beedex("demo", "--home", home, "--json")
    assert done.returncode == 0, done.stderr
    return DemoRun(home=home, outcome=json.loads(done.stdout))
