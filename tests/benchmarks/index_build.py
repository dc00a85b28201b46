"""What a build costs beside inference, and what a second build costs beside the first.

    python tests/benchmarks/index_build.py GALLERY... --embedder BUNDLE [--rounds 3]
    python tests/benchmarks/index_build.py --entries 100000

With photos: the rate at which a build embeds them, from files to committed vectors, against two bare loops that run
the same network on arrays that are ready in memory: one array after the other as OpenVINO is set up by itself, and as
many at once as the build has; turn by turn, all from the first vector to the last, so that nothing compiles in the time
that counts. Then the seconds of a build that finds nothing changed, against those of the first, in one process.

With --entries: as many small photos of noise, and a network of one matrix in place of InceptionV3, so that what is left
is beedex's own work: files, hashes, catalog, snapshot.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from PIL import Image

from beedex.index.bundle import load_bundle
from beedex.index.embedder import Embedder
from beedex.index.gallery import scan_gallery
from beedex.index.preprocessing import prepare
from beedex.index.progress import Advance
from beedex.index.rebuild import BuildSummary, build_index

# The tests' small bundle.
sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.conftest import write_tiny_bundle

FAMILIES = 20


class Stopwatch:
    """Notes when photos are embedded; `report` is given to a build."""

    def __init__(self) -> None:
        self.times: list[float] = []

    @contextmanager
    def report(self, label: str, total: int) -> Iterator[Advance]:
        """Listen to the step that embeds."""
        del total

        def advance(count: int) -> None:
            if label == "embedding":
                self.times += [time.perf_counter()] * count

        yield advance

    @property
    def rate(self) -> float:
        """Photos per second between the first and the last."""
        return (len(self.times) - 1) / (self.times[-1] - self.times[0])


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("galleries", type=Path, nargs="*", metavar="GALLERY")
    parser.add_argument("--embedder", type=Path, metavar="BUNDLE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--entries", type=int, metavar="N", help="photos of noise, with a small network")
    arguments = parser.parse_args()
    if bool(arguments.entries) == bool(arguments.galleries) or bool(arguments.galleries) != bool(arguments.embedder):
        parser.error("expected galleries with --embedder, or --entries alone")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.entries:
            draw_noise(Path(folder, "gallery"), arguments.entries)
            bundle = write_tiny_bundle(Path(folder, "bundle"), seed=1, calibration=None)
            compare_builds(Path(folder, "gallery"), bundle, Path(folder, "index"), rounds=arguments.rounds)
        else:
            merge(arguments.galleries, Path(folder, "gallery"))
            compare_rates(Path(folder), arguments.embedder, rounds=arguments.rounds)
            compare_builds(Path(folder, "gallery"), arguments.embedder, Path(folder, "index"), rounds=arguments.rounds)


def merge(galleries: list[Path], merged: Path) -> None:
    """Copy galleries into one, by family."""
    for number, root in enumerate(galleries):
        for photo in scan_gallery(root).photos:
            copy = merged / photo.family / f"{number}-{photo.path.name}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / photo.path, copy)


def draw_noise(gallery: Path, count: int) -> None:
    """Write small PNGs, each another one."""
    generator = np.random.default_rng(0)
    for number in range(count):
        folder = gallery / f"family {number % FAMILIES}"
        if number < FAMILIES:
            folder.mkdir(parents=True)
        Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def compare_rates(folder: Path, bundle_dir: Path, *, rounds: int) -> None:
    """Print the rate of a first build and that of a bare loop."""
    gallery = folder / "gallery"
    images = [prepare((gallery / photo.path).read_bytes()) for photo in scan_gallery(gallery).photos]
    built, bare, plain = [], [], []
    for number in range(rounds):
        watch = Stopwatch()
        build_index(gallery, bundle_dir, folder / f"round-{number}", report=watch.report)
        built.append(watch.rate)
        bare.append(run_bare_loop(bundle_dir, images))
        plain.append(run_plain_loop(bundle_dir, images))
    print(f"{len(images)} photos; photos per second, median of {rounds} rounds")
    print(f"build, files to catalog     {statistics.median(built):8.1f}")
    for name, rates in (("one array after the other", plain), ("several arrays at once", bare)):
        ratio = statistics.median(one / other for one, other in zip(built, rates, strict=True))
        print(f"{name:27} {statistics.median(rates):8.1f}   the build has {ratio:.1%} of it")


def run_plain_loop(bundle_dir: Path, images: list[NDArray[np.uint8]]) -> float:
    """Return the photos per second of inference of one array after the other, by OpenVINO's own settings."""
    model = ov.Core().compile_model(
        load_bundle(bundle_dir).network_path, "CPU", {ov.properties.hint.inference_precision: ov.Type.f32}
    )
    times = []
    for image in images:
        model([image[np.newaxis]])
        times.append(time.perf_counter())
    return (len(times) - 1) / (times[-1] - times[0])


def run_bare_loop(bundle_dir: Path, images: list[NDArray[np.uint8]]) -> float:
    """Return the photos per second of inference alone, several arrays at once."""
    with Embedder.open(load_bundle(bundle_dir)) as embedder:
        vectors = embedder.stream(images, advance=lambda _count: None)
        times = [time.perf_counter() for _ in vectors]
    return (len(times) - 1) / (times[-1] - times[0])


def compare_builds(gallery: Path, bundle_dir: Path, index_dir: Path, *, rounds: int) -> None:
    """Print the seconds of a first build, of one that finds nothing changed, and of one that finds a new photo."""
    # Files that changed a moment ago are read again; see `contents.CLOCK_TICK_NS`.
    time.sleep(3)
    first = clock(lambda: build_index(gallery, bundle_dir, index_dir))
    seconds = []
    for _ in range(rounds):
        summary, took = time_build(lambda: build_index(gallery, bundle_dir, index_dir))
        if summary.embedded or summary.published:
            raise SystemExit(f"expected nothing to do, received {summary}")
        seconds.append(took)
    again = statistics.median(seconds)
    print(f"first build                 {first:8.2f} s")
    print(f"nothing changed             {again:8.3f} s   {again / first:.2%} of the first")


def clock(build: Callable[[], BuildSummary]) -> float:
    """Return the seconds that a build takes."""
    return time_build(build)[1]


def time_build(build: Callable[[], BuildSummary]) -> tuple[BuildSummary, float]:
    """Return what a build did and how long it took."""
    began = time.perf_counter()
    summary = build()
    return summary, time.perf_counter() - began


if __name__ == "__main__":
    main()
