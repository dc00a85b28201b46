"""The trunk of a bee: where head, eyes, thorax and abdomen lie.

Body axes: x forward, y left, z up, millimetres, zero in the middle of the thorax.
"""

from dataclasses import dataclass

import numpy as np

from beedex.training.drawing.canvas import Egg, Floats
from beedex.training.drawing.individual import Individual
from beedex.training.drawing.pose import Pose, turned

__all__ = ["Head", "Trunk", "build_trunk"]


@dataclass(frozen=True, kw_only=True)
class Head:
    """The eggs of the head, in body axes."""

    skull: Egg
    cheeks: tuple[Egg, ...]
    jaws: tuple[Egg, ...]
    eyes: tuple[Egg, ...]
    ocelli: tuple[Egg, ...]


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """The eggs of one bee in one pose, in body axes."""

    head: Head
    thorax: Egg
    collar: Egg
    waist: Egg
    tegulae: tuple[Egg, ...]
    abdomen: Egg


def _vector(x: float, y: float, z: float) -> Floats:
    return np.array([x, y, z], dtype=np.float32)


def _egg(centre: Floats, axes: Floats, radii: tuple[float, float, float, float]) -> Egg:
    return Egg(centre=centre, axes=axes, front=radii[0], back=radii[1], side=radii[2], rise=radii[3])


def build_trunk(bee: Individual, pose: Pose) -> Trunk:
    """Lay out the trunk of an individual."""
    length, width = bee["length_mm"], bee.thorax_width_mm
    thorax_length = bee["thorax_length"] * length
    level = np.eye(3, dtype=np.float32)
    abdomen_length, abdomen_width = bee["abdomen_length"] * length, bee["abdomen_width"] * width
    down = turned("y", -pose.droop * 0.7)
    front = bee["abdomen_widest"] * abdomen_length
    joint = _vector(-0.47 * thorax_length, 0, -0.12 * width)
    return Trunk(
        head=_build_head(bee, pose, _vector(0.44 * thorax_length, 0, -0.10 * width)),
        thorax=_egg(_vector(0, 0, 0), level, (0.46 * thorax_length, 0.52 * thorax_length, width / 2, 0.47 * width)),
        collar=_egg(
            _vector(0.36 * thorax_length, 0, -0.02 * width),
            level,
            (0.11 * thorax_length, 0.2 * thorax_length, 0.37 * width, 0.33 * width),
        ),
        waist=_egg(joint, level, (0.2 * thorax_length, 0.14 * thorax_length, 0.30 * width, 0.28 * width)),
        tegulae=tuple(
            _egg(
                _vector(0.13 * thorax_length, side * 0.45 * width, 0.17 * width),
                level,
                (0.10 * width, 0.10 * width, 0.075 * width, 0.055 * width),
            )
            for side in (-1, 1)
        ),
        abdomen=_egg(
            joint - down @ _vector(front * 0.97, 0, 0.0),
            down,
            (front, abdomen_length - front, abdomen_width / 2, bee["abdomen_rise"] * abdomen_width / 2),
        ),
    )


def _build_head(bee: Individual, pose: Pose, neck: Floats) -> Head:
    width = bee["head_width"] * bee.thorax_width_mm
    depth = bee["head_depth"] * width
    axes = turned("y", pose.nod)
    centre = neck + _vector(0.42 * depth, 0, 0)

    def place(x: float, y: float, z: float) -> Floats:
        return centre + axes @ _vector(x * depth, y * width, z * width)

    # A deep head owes its square outline, seen from above, to the cheeks behind its eyes.
    fullness = max(0.0, bee["head_depth"] - 0.5)
    cheeks = (
        tuple(
            _egg(place(-0.22, s * 0.27, -0.02), axes, (0.34 * depth, 0.3 * depth, 0.21 * width, 0.36 * width))
            for s in (-1, 1)
        )
        if fullness > 0.05
        else ()
    )
    eye_rise = 0.33 if bee.male else 0.30
    ocellus = 0.03 * width
    return Head(
        skull=_egg(centre, axes, (0.5 * depth, 0.46 * depth, 0.44 * width, 0.45 * width)),
        cheeks=cheeks,
        jaws=tuple(
            _egg(
                place(0.42, s * 0.13, -0.42),
                axes @ turned("z", -s * 35),
                (0.16 * width, 0.12 * width, 0.06 * width, 0.07 * width),
            )
            for s in (-1, 1)
        ),
        eyes=tuple(
            _egg(
                place(0.10, s * 0.385, 0.05),
                axes @ turned("x", s * 9),
                (0.40 * depth, 0.40 * depth, 0.125 * width, eye_rise * width),
            )
            for s in (-1, 1)
        ),
        ocelli=tuple(
            _egg(place(x, y, 0.44), axes, (ocellus, ocellus, ocellus, ocellus))
            for x, y in ((0.12, 0.0), (-0.1, -0.07), (-0.1, 0.07))
        ),
    )
