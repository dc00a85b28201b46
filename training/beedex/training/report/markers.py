"""How families are told apart on the map: a colour and a shape each.

With up to eight families all colours and all shapes differ, with up to 64 all pairs of the two; after that they repeat.
"""

from dataclasses import dataclass

__all__ = ["COLOURS", "SHAPES", "Marker", "choose_marker"]

# The stylesheet has as many. Each stands out 3 to 1 from the page (WCAG 2.2, 1.4.11), and any two differ by at least 20
# in CIE 1976 L*a*b*, also as seen with protanopia and deuteranopia (Machado et al. 2009,
# https://doi.org/10.1109/TVCG.2009.113).
COLOURS = 8

# SVG path data around (0, 0), of about the same area.
SHAPES = (
    "M-4.4 0a4.4 4.4 0 1 0 8.8 0a4.4 4.4 0 1 0-8.8 0Z",
    "M-3.9-3.9H3.9V3.9H-3.9Z",
    "M0-5.4L5.1 3.9H-5.1Z",
    "M0-5.6L5.6 0L0 5.6L-5.6 0Z",
    "M0 5.4L5.1-3.9H-5.1Z",
    "M-1.8-5.2H1.8V-1.8H5.2V1.8H1.8V5.2H-1.8V1.8H-5.2V-1.8H-1.8Z",
    "M-5-2.5L-2.5-5L0-2.5L2.5-5L5-2.5L2.5 0L5 2.5L2.5 5L0 2.5L-2.5 5L-5 2.5L-2.5 0Z",
    "M0-5.2L4.5-2.6V2.6L0 5.2L-4.5 2.6V-2.6Z",
)


@dataclass(frozen=True, slots=True)
class Marker:
    """Numbers of a colour and of a shape."""

    colour: int
    shape: int


def choose_marker(family: int) -> Marker:
    """Return the marker of the family of that number.

    >>> choose_marker(1), choose_marker(9)
    (Marker(colour=1, shape=1), Marker(colour=1, shape=2))
    """
    return Marker(colour=family % COLOURS, shape=(family + family // COLOURS) % len(SHAPES))
