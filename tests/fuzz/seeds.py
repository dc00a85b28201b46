"""What fuzzing begins with, and how it is run."""

import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import atheris
import numpy as np
from PIL import Image

__all__ = ["encode_photos", "run_fuzzer", "write_photos"]

# name, Pillow's format, mode, options.
KINDS: tuple[tuple[str, str, str, dict[str, object]], ...] = (
    ("baseline", "JPEG", "RGB", {}),
    ("progressive", "JPEG", "RGB", {"progressive": True}),
    ("cmyk", "JPEG", "CMYK", {}),
    ("turned", "JPEG", "RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"}),
    ("rgb", "PNG", "RGB", {}),
    ("palette", "PNG", "P", {}),
    ("alpha", "PNG", "RGBA", {}),
    ("deep", "PNG", "I;16", {}),
    ("lossy", "WEBP", "RGB", {}),
    ("lossless", "WEBP", "RGBA", {"lossless": True}),
)


def encode_photos() -> dict[str, bytes]:
    """Return a photo of 24 x 16 pixels of each kind."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    photos = {}
    for name, kind, mode, options in KINDS:
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) << 8) if mode == "I;16" else Image.fromarray(pixels)
        file = io.BytesIO()
        (image if image.mode == mode else image.convert(mode)).save(file, kind, **options)
        photos[f"{kind}-{name}"] = file.getvalue()
    return photos


def write_photos(folder: Path) -> None:
    """Write `encode_photos` into a folder."""
    for name, photo in encode_photos().items():
        (folder / name).write_bytes(photo)


def run_fuzzer(argv: Sequence[str], fuzz: Callable[[bytes], None], write_seeds: Callable[[Path], None]) -> None:
    """Fuzz until an option of libFuzzer's in *argv* says that it is enough, or a failure is found; doesn't return."""
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder)
        write_seeds(seeds)
        folders = [word for word in argv[1:] if not word.startswith("-")] or [tempfile.mkdtemp(dir=folder)]
        options = [word for word in argv[1:] if word.startswith("-")]
        atheris.Setup([argv[0], *folders, str(seeds), *options], fuzz)
        atheris.Fuzz()
        sys.exit(0)
