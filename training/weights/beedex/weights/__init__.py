"""InceptionV3 weights that install from a package registry, for machines that can't download ImageNet's."""

from pathlib import Path

__all__ = ["INCEPTION_V3"]

INCEPTION_V3: Path = Path(__file__).with_name("inception_v3_distilled.weights.h5")
