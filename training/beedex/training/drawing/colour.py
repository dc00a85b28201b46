"""Colours of the scene: 8-bit sRGB, as Pillow's pens take them (the bee itself is painted in linear light)."""

import numpy as np

__all__ = ["Colour", "toned", "varied"]

Colour = tuple[int, int, int]


def toned(colour: Colour, factor: float, lift: float = 0.0) -> Colour:
    """Make a colour lighter or darker.

    >>> toned((200, 100, 40), 0.5)
    (100, 50, 20)
    """
    red, green, blue = (int(min(255.0, max(0.0, channel * factor + lift))) for channel in colour)
    return red, green, blue


def varied(colour: Colour, rng: np.random.Generator, spread: float = 0.10) -> Colour:
    """Draw a neighbour of a colour; `spread` is the deviation of its lightness as a share."""
    light = float(rng.normal(1, spread))
    red, green, blue = (int(min(255.0, max(0.0, channel * light + rng.normal(0, 5)))) for channel in colour)
    return red, green, blue
