"""Legs and antennae: jointed chains of cones, with baskets, pollen and pale rings.

Body axes as in `body`; `view` turns them into view axes.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from beedex.training.drawing.body import Trunk
from beedex.training.drawing.canvas import Canvas, Egg, Floats, Paint, draw_cone, draw_egg
from beedex.training.drawing.individual import Individual
from beedex.training.drawing.pose import Pose

__all__ = ["Leg", "draw_antennae", "draw_legs", "place_legs"]


@dataclass(frozen=True, kw_only=True)
class Leg:
    """The joints of one leg in body axes, mm."""

    pair: int  # 0 fore, 1 middle, 2 hind
    side: int  # 1 left, -1 right
    hip: Floats
    knee: Floats
    ankle: Floats
    heel: Floats
    toe: Floats


# Per pair, in thorax lengths and widths: hip x, hip y; foot x, foot y; lengths follow from these.
STANCE = ((0.24, 0.24, 0.95, 0.85), (0.02, 0.27, 0.05, 1.32), (-0.24, 0.26, -1.15, 1.12))


def place_legs(bee: Individual, pose: Pose) -> tuple[tuple[Leg, ...], float]:
    """Put six feet on the ground.

    Returns:
        The legs, and the height of the thorax's middle above the ground in mm.
    """
    rng = np.random.default_rng(pose.gait)
    width = bee.thorax_width_mm
    long = bee["thorax_length"] * bee["length_mm"]
    height = width * float(rng.uniform(0.66, 0.86))
    legs = []
    for pair, (hip_x, hip_y, foot_x, foot_y) in enumerate(STANCE):
        for side in (1, -1):
            stride, spread = rng.normal(0, 0.13), rng.uniform(0.82, 1.1)
            hip = np.array([hip_x * long, side * hip_y * width, -0.34 * width])
            toe = np.array([(foot_x + stride) * long, side * foot_y * width * spread, -height])
            run = toe - hip
            knee = hip + run * 0.36 + np.array([0, side * 0.08 * width, 0.30 * width])
            ankle = hip + run * 0.68 + np.array([0, side * 0.10 * width, 0.06 * width])
            heel = ankle + (toe - ankle) * 0.52 + np.array([0, 0, 0.05 * width])
            joints = [joint.astype(np.float32) for joint in (hip, knee, ankle, heel, toe)]
            legs.append(
                Leg(pair=pair, side=side, hip=joints[0], knee=joints[1], ankle=joints[2], heel=joints[3], toe=joints[4])
            )
    return tuple(legs), height


def draw_legs(canvas: Canvas, bee: Individual, legs: tuple[Leg, ...], view: Floats) -> None:
    """Draw the legs."""
    thick = bee["leg_width"] * bee.thorax_width_mm
    for leg in legs:
        hip, knee, ankle, heel, toe = (view @ joint for joint in (leg.hip, leg.knee, leg.ankle, leg.heel, leg.toe))
        skin = Paint(albedo=bee.coat.legs, gloss=0.45, metal=bee.metal * 0.5)
        pale = Paint(albedo=bee.coat.mark, gloss=0.4) if bee.marks.mask else skin
        draw_cone(canvas, hip, knee, radii=(1.15 * thick, 0.85 * thick), paint=skin, bend=0.25)
        if leg.pair == 2 and bee.marks.basket:
            _draw_basket(canvas, bee, leg, view)
        else:
            ring = knee + (ankle - knee) * 0.38
            draw_cone(canvas, knee, ring, radii=(0.7 * thick, 0.8 * thick), paint=pale)
            draw_cone(canvas, ring, ankle, radii=(0.8 * thick, 0.95 * thick), paint=skin)
        flat = 1.1 if leg.pair == 2 else 0.62
        draw_cone(canvas, ankle, heel, radii=(flat * thick, 0.6 * flat * thick), paint=pale)
        beads = np.linspace(0, 1, 4)
        for start, end in pairwise(beads):
            draw_cone(
                canvas,
                heel + (toe - heel) * start,
                heel + (toe - heel) * (end - 0.06),
                radii=(0.26 * thick, 0.42 * thick),
                paint=skin,
            )


def _draw_basket(canvas: Canvas, bee: Individual, leg: Leg, view: Floats) -> None:
    """The flat bare tibia of Apis and Bombus, and the one lump of pollen on its outside."""
    thick = bee["leg_width"] * bee.thorax_width_mm
    run = leg.ankle - leg.knee
    long = float(np.linalg.norm(run))
    along = run / long
    out = np.cross(along, np.array([0, 0, 1.0])) * -leg.side
    out = out - along * (out @ along)
    out /= np.linalg.norm(out)
    axes = np.stack([along, np.cross(out, along), out], axis=1).astype(np.float32)
    middle = (leg.knee + leg.ankle) / 2
    tibia = Egg(
        centre=middle + along * 0.12 * long,
        axes=axes,
        front=0.44 * long,
        back=0.62 * long,
        side=1.75 * thick,
        rise=0.55 * thick,
    )
    draw_egg(canvas, tibia, view, lambda _egg, _unit: Paint(albedo=bee.coat.legs, gloss=0.75))
    if bee.has_pollen:
        lump = Egg(
            centre=middle + along * 0.12 * long + out * 0.95 * thick,
            axes=axes,
            front=0.36 * long,
            back=0.40 * long,
            side=1.55 * thick,
            rise=1.2 * thick,
        )
        draw_egg(canvas, lump, view, lambda _egg, unit: _paint_pollen(bee, unit))


def _paint_pollen(bee: Individual, unit: Floats) -> Paint:
    grains = np.sin(unit[:, 0] * 23) * np.sin(unit[:, 1] * 19) * np.sin(unit[:, 2] * 21)
    return Paint(albedo=bee.coat.pollen * (1 + 0.25 * grains[:, None]), gloss=0.05)


def draw_antennae(canvas: Canvas, bee: Individual, trunk: Trunk, pose: Pose, view: Floats) -> None:
    """Draw the two elbowed antennae: a long scape, then the flagellum in short joints."""
    rng = np.random.default_rng(pose.gait + 1)
    head = trunk.head.skull
    width = bee["head_width"] * bee.thorax_width_mm
    thick = 0.034 * width * (1.15 if bee.male else 1.0)
    skin = Paint(albedo=bee.coat.cuticle, gloss=0.35)
    ember = Paint(albedo=bee.coat.legs * 1.6, gloss=0.25)
    for side in (-1, 1):
        swing, lift = rng.uniform(0.35, 0.9), rng.uniform(-0.1, 0.7)
        socket = head.centre + head.axes @ np.array([head.front * 0.9, side * 0.11 * width, 0.03 * width])
        elbow = socket + head.axes @ (np.array([0.55, side * swing, 0.55 + 0.4 * lift]) * 0.36 * width * bee["antenna"])
        sweep = np.array([0.9, side * rng.uniform(0.0, 0.6), -0.35 + 0.5 * lift]) * 0.62 * width * bee["antenna"]
        draw_cone(canvas, view @ socket, view @ elbow, radii=(0.8 * thick, thick), paint=skin)
        places = np.linspace(0, 1, 7)
        curve = [elbow + head.axes @ (sweep * t + np.array([0, side * 0.10, -0.16]) * width * t * t) for t in places]
        for start, end in pairwise(curve):
            draw_cone(
                canvas,
                view @ start,
                view @ end,
                radii=(0.86 * thick, 1.12 * thick),
                paint=ember if bee.marks.mask else skin,
            )
