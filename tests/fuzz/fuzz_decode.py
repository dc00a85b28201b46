"""Coverage-guided fuzzing of `decode`: whatever the bytes are, they become pixels or one PhotoError.

    python tests/fuzz/fuzz_decode.py [CORPUS] [-max_total_time=60] [-runs=100000]

The options are libFuzzer's. CORPUS is a folder whose files are begun with and where new ones are kept; a few small
photos of each format are begun with anyway.
"""

import sys

from atheris.import_hook import instrument_imports

with instrument_imports(include=["beedex", "PIL"]):
    import numpy as np
    from seeds import run_fuzzer, write_photos  # type: ignore[import-not-found]  # the script's neighbour

    from beedex.index.errors import PhotoError
    from beedex.index.photos import PhotoLimits
    from beedex.index.preprocessing import prepare

# Small, so that a run spends its time on parsers and not on pixels.
LIMITS = PhotoLimits(max_bytes=1 << 20, max_pixels=1 << 20, max_side_px=4096)


def fuzz(data: bytes) -> None:
    """Fail on anything but pixels or a PhotoError."""
    try:
        pixels = prepare(data, limits=LIMITS)
    except PhotoError as error:
        if "\n" in str(error) or not error.reason:
            raise AssertionError(f"expected one line and a reason, received {error!r}") from error
        return
    if pixels.dtype != np.uint8 or pixels.shape != (299, 299, 3):
        raise AssertionError(f"expected (299, 299, 3) uint8, received {pixels.shape} {pixels.dtype}")


if __name__ == "__main__":
    run_fuzzer(sys.argv, fuzz, write_photos)
