"""What reduced-scale decoding saves: `prepare` on a 12-megapixel JPEG against a full decode and the same fit.

    python tests/benchmarks/photo_decode.py [--rounds 15]

Both ways are timed in turn in one process, so that a busy machine slows them alike.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from beedex.index.photos import decode
from beedex.index.preprocessing import fit, prepare

HEIGHT_PX, WIDTH_PX = 3024, 4032  # a phone's 12 megapixels


def draw_photo() -> bytes:
    """Encode colours with structure from coarse to fine, about as many bytes as a phone's photo."""
    generator = np.random.default_rng(0)
    image = np.zeros((HEIGHT_PX, WIDTH_PX, 3), np.float32)
    for cells in (6, 24, 96, 384, 1536):
        noise = generator.integers(0, 256, (cells * 3 // 4, cells, 3), dtype=np.uint8)
        image += np.asarray(Image.fromarray(noise).resize((WIDTH_PX, HEIGHT_PX), Image.Resampling.BICUBIC)) / 5
    file = io.BytesIO()
    Image.fromarray(image.astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def time_in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each way, after one round that doesn't count."""
    times_ms: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            times_ms[name].append((time.perf_counter() - started) * 1000)
    return {name: statistics.median(each) for name, each in times_ms.items()}


def measure_difference(reduced: NDArray[np.uint8], full: NDArray[np.uint8]) -> float:
    """Return the mean difference in gray levels."""
    return float(np.abs(reduced.astype(int) - full).mean())


def main() -> None:
    """Print both medians, their ratio, and how far the fitted pictures are apart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    data = draw_photo()
    print(f"JPEG of {WIDTH_PX} x {HEIGHT_PX}, {len(data) / 1e6:.1f} MB, {rounds} rounds")
    medians_ms = time_in_turn(
        {"reduced decode + fit": lambda: prepare(data), "full decode + fit": lambda: fit(decode(data))}, rounds
    )
    for name, median_ms in medians_ms.items():
        print(f"{name:22} {median_ms:7.1f} ms")
    reduced_ms, full_ms = medians_ms.values()
    print(f"{'ratio':22} {full_ms / reduced_ms:7.2f} x")
    print(f"{'mean difference':22} {measure_difference(prepare(data), fit(decode(data))):7.2f} of 255")


if __name__ == "__main__":
    main()
