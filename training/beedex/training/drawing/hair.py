"""Hair: thousands of tapered strokes, rooted on the body in three dimensions and combed in view.

A stroke is hidden where the body is nearer, so pile stands out at the outline and lies over what is
behind it. Shapes: N strokes, T samples of all strokes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from beedex.training.drawing.body import Trunk
from beedex.training.drawing.canvas import Canvas, Egg, Floats
from beedex.training.drawing.cuticle import baldness, tergite_of, thorax_hair
from beedex.training.drawing.individual import Individual
from beedex.training.drawing.light import Light
from beedex.training.drawing.limbs import Leg

__all__ = ["Strokes", "comb", "grow_hair"]

# Strokes per stroke-sized patch of skin: where a coat of cover 1 hides the cuticle.
LAYERS = 3.2
MOST_STROKES = 4200


@dataclass(frozen=True, kw_only=True)
class Strokes:
    """Hairs in body axes, mm.

    Attributes:
        roots: (N, 3).
        directions: (N, 3), length is the hair's length.
        normals: (N, 3) of the skin at the root.
        colours: (N, 3) linear.
    """

    roots: Floats
    directions: Floats
    normals: Floats
    colours: Floats

    @classmethod
    def joined(cls, parts: "list[Strokes]") -> "Strokes":
        """All strokes of several parts."""
        columns = ("roots", "directions", "normals", "colours")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in columns})


@dataclass(frozen=True, kw_only=True)
class Pelt:
    """How one part is haired.

    Attributes:
        egg: the part.
        cover: 0 bare to 1 closed.
        length_mm: of a hair.
        lay: how far hairs lie back along the body; 0 stands upright.
        colour: (N, 3) unit points and (N,) scatter -> (N, 3).
        keep: (N, 3) unit points and (N,) scatter -> (N,) share of hairs that grow there.
    """

    egg: Egg
    cover: float
    length_mm: float
    lay: float
    colour: Callable[[Floats, Floats], Floats]
    keep: Callable[[Floats, Floats], Floats]


def grow_hair(bee: Individual, trunk: Trunk, legs: tuple[Leg, ...], scale: float) -> Strokes:
    """Root every hair of a bee.

    Args:
        bee: whose hair; its seed roots it.
        trunk: the parts that the hair grows on.
        legs: the legs, for brushes on the hind pair.
        scale: pixels per mm; finer hair is drawn when the bee is larger on the photo.
    """
    rng = np.random.default_rng(bee.seed + 1)
    strokes = [_grow(pelt, scale, rng) for pelt in _pelts(bee, trunk) if pelt.cover > 0.01]
    strokes += [_grow_on_leg(bee, leg, scale, rng) for leg in legs]
    return Strokes.joined(strokes)


def _pelts(bee: Individual, trunk: Trunk) -> list[Pelt]:
    width = bee.thorax_width_mm
    thorax_pile, abdomen_pile = bee["thorax_pile"] * width, bee["abdomen_pile"] * width
    thorax = Pelt(
        egg=trunk.thorax,
        cover=bee["thorax_cover"],
        length_mm=thorax_pile,
        lay=0.15,
        colour=lambda unit, scatter: thorax_hair(bee, unit, scatter),
        keep=lambda unit, _scatter: 1 - 0.9 * baldness(bee, unit),
    )
    collar = Pelt(
        egg=trunk.collar,
        cover=bee["thorax_cover"],
        length_mm=thorax_pile * 0.8,
        lay=-0.2,
        colour=lambda unit, _scatter: np.broadcast_to(bee.coat.collar, unit.shape),
        keep=lambda unit, _scatter: (unit[:, 0] > -0.4).astype(np.float32),
    )
    coat = Pelt(
        egg=trunk.abdomen,
        cover=bee["abdomen_cover"],
        length_mm=abdomen_pile,
        lay=0.55 if bee.marks.pile_stands else 1.0,
        colour=lambda unit, scatter: bee.coat.bands[tergite_of(trunk.abdomen.along(unit) + 0.015 * scatter)[0]],
        keep=lambda unit, _scatter: np.clip(1.2 + unit[:, 2], 0, 1),
    )
    face = Pelt(
        egg=trunk.head.skull,
        cover=bee["face_cover"],
        length_mm=thorax_pile * 0.42,
        lay=-0.1,
        colour=lambda unit, _scatter: np.where((unit[:, 2] > 0.5)[:, None], bee.coat.collar, bee.coat.face),
        keep=lambda unit, _scatter: (np.abs(unit[:, 1]) < 0.58).astype(np.float32),
    )
    return [thorax, collar, coat, face, *_fringes(bee, trunk), *_eye_hair(bee, trunk)]


def _fringes(bee: Individual, trunk: Trunk) -> list[Pelt]:
    """Bands at the tergites' hind edges, and the pollen brush under the abdomen."""
    width = bee.thorax_width_mm

    def at_edge(unit: Floats, scatter: Floats) -> Floats:
        index, share = tergite_of(trunk.abdomen.along(unit) + 0.004 * scatter)
        return ((share > 0.74) & (index < 5) & (unit[:, 2] > -0.4)).astype(np.float32)

    fringe = Pelt(
        egg=trunk.abdomen,
        cover=bee["fringe_cover"] * 1.2,
        length_mm=0.10 * width,
        lay=2.0,
        colour=lambda unit, _scatter: np.broadcast_to(bee.coat.fringe, unit.shape),
        keep=at_edge,
    )
    brush = Pelt(
        egg=trunk.abdomen,
        cover=1.0 if bee["belly_brush"] > 0.1 else 0.0,
        length_mm=bee["belly_brush"] * width,
        lay=0.35,
        colour=lambda unit, _scatter: np.broadcast_to(
            bee.coat.pollen if bee.has_pollen else bee.coat.brush, unit.shape
        ),
        keep=lambda unit, _scatter: (unit[:, 2] < -0.30).astype(np.float32),
    )
    return [fringe, brush]


def _eye_hair(bee: Individual, trunk: Trunk) -> list[Pelt]:
    if not bee.marks.eye_hair:
        return []
    return [
        Pelt(
            egg=eye,
            cover=0.35,
            length_mm=0.05 * bee.thorax_width_mm,
            lay=0.0,
            colour=lambda unit, _scatter: np.broadcast_to(bee.coat.face * 0.6, unit.shape),
            keep=lambda unit, _scatter: np.ones(len(unit), dtype=np.float32),
        )
        for eye in trunk.head.eyes
    ]


def _grow(pelt: Pelt, scale: float, rng: np.random.Generator) -> Strokes:
    egg = pelt.egg
    skin_mm2 = 4 * np.pi * ((egg.front + egg.back) / 2 * egg.side + egg.side * egg.rise + egg.rise * egg.front) / 3
    count = int(min(MOST_STROKES, LAYERS * pelt.cover * skin_mm2 * scale / max(pelt.length_mm, 1.5 / scale)))
    unit = rng.normal(size=(count, 3)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    scatter = rng.normal(size=count).astype(np.float32)
    grown = rng.random(count) < pelt.keep(unit, scatter)
    unit, scatter = unit[grown], scatter[grown]
    normal = unit / egg.radii(unit)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    way = normal + np.array([-1, 0, -0.15], dtype=np.float32) * pelt.lay * 0.7
    way += rng.normal(0, 0.28, size=way.shape)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    lengths = pelt.length_mm * rng.uniform(0.6, 1.12, size=(len(way), 1))
    shade = np.exp(rng.normal(0, 0.22, size=(len(way), 1)))
    return Strokes(
        roots=(egg.centre + (unit * egg.radii(unit)) @ egg.axes.T).astype(np.float32),
        directions=((way * lengths) @ egg.axes.T).astype(np.float32),
        normals=(normal @ egg.axes.T).astype(np.float32),
        colours=(pelt.colour(unit, scatter) * shade).astype(np.float32),
    )


def _grow_on_leg(bee: Individual, leg: Leg, scale: float, rng: np.random.Generator) -> Strokes:
    """Hairs of a leg; on the hind legs of mining bees they make the brush and the curl at its base."""
    width = bee.thorax_width_mm
    is_brush = leg.pair == 2 and bee["leg_brush"] > 0.05
    length_mm = (bee["leg_brush"] if leg.pair == 2 else min(bee["leg_brush"], 0.05) * 0.8) * width
    joints = (leg.hip, leg.knee, leg.ankle, leg.heel)
    run_mm = sum(float(np.linalg.norm(b - a)) for a, b in pairwise(joints))
    count = int(min(900, (9.0 if is_brush else 2.0) * run_mm * scale)) if length_mm > 0.01 * width else 0
    segment = rng.choice(3, size=count, p=(0.28, 0.5, 0.22))
    start = np.stack(joints[:3])[segment]
    end = np.stack(joints[1:])[segment]
    place = rng.random((count, 1))
    around = rng.normal(size=(count, 3)) + np.array([-0.2, 0.5 * leg.side, -0.35])
    around /= np.maximum(np.linalg.norm(around, axis=1, keepdims=True), 1e-6)
    lean = (end - start) / np.maximum(np.linalg.norm(end - start, axis=1, keepdims=True), 1e-6)
    way = around + 0.5 * lean
    loaded = bee.has_pollen and is_brush and not bee.marks.basket
    colour = bee.coat.pollen if loaded else bee.coat.brush if is_brush else bee.coat.legs * 1.5
    shade = np.exp(rng.normal(0, 0.22, size=(count, 1)))
    return Strokes(
        roots=(start + (end - start) * place + around * bee["leg_width"] * width * 0.6).astype(np.float32),
        directions=(way * length_mm * rng.uniform(0.5, 1.0, size=(count, 1))).astype(np.float32),
        normals=around.astype(np.float32),
        colours=(colour * shade).astype(np.float32),
    )


def comb(canvas: Canvas, image: Floats, strokes: Strokes, view: Floats, light: Light) -> None:
    """Draw the strokes that the body does not hide.

    Args:
        canvas: its depth is read and written.
        image: (H, W, 3) linear, written to.
        strokes: in body axes.
        view: (3, 3) body axes to view axes.
        light: that falls on them.
    """
    roots, ways = strokes.roots @ view.T, strokes.directions @ view.T
    normals = strokes.normals @ view.T
    order = np.argsort(roots[:, 2] + 0.5 * ways[:, 2])
    roots, ways, normals, colours = roots[order], ways[order], normals[order], strokes.colours[order]
    lit = _light_hair(colours, normals, ways, light)
    reach_px = np.linalg.norm(ways[:, :2], axis=1) * canvas.scale
    steps = np.clip(reach_px * 1.1, 2, 48).astype(np.intp)
    stroke = np.repeat(np.arange(len(steps)), steps)  # (T,) T samples of all strokes, stroke after stroke
    share = ((np.arange(len(stroke)) - np.repeat(np.cumsum(steps) - steps, steps) + 0.5) / steps[stroke]).astype(
        np.float32
    )
    droop = np.float32(-0.18) * light.up * np.linalg.norm(ways, axis=1, keepdims=True)
    x, y, z = (
        roots[:, axis][stroke] + share * (ways[:, axis][stroke] + share * droop[:, axis][stroke]) for axis in range(3)
    )
    column = (x * np.float32(canvas.scale) + np.float32(canvas.origin[0])).astype(np.int32)
    row = (y * np.float32(canvas.scale) + np.float32(canvas.origin[1])).astype(np.int32)
    inside = (column >= 0) & (column < canvas.width) & (row >= 0) & (row < canvas.height)
    place = np.where(inside, row * np.int32(canvas.width) + column, 0)
    slack = np.float32(1.2 / canvas.scale)
    seen = np.flatnonzero(inside & (z + slack > canvas.depth.reshape(-1)[place]))
    place, stroke, fade = place[seen], stroke[seen], 0.50 + 0.62 * share[seen]
    # Of repeated places numpy keeps the last: the strokes are sorted, so the nearest wins.
    image.reshape(-1, 3)[place] = lit[stroke] * fade[:, None]
    canvas.depth.reshape(-1)[place] = z[seen]


def _light_hair(colours: Floats, normals: Floats, ways: Floats, light: Light) -> Floats:
    """Kajiya and Kay's hair: bright across the light, with a weak sheen. (N, 3)."""
    tangent = ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-6)
    along = tangent @ light.sun
    across = np.sqrt(np.clip(1 - along**2, 0, 1))
    facing = np.clip(normals @ light.sun * 0.7 + 0.3, 0, 1)
    sky = 0.45 + 0.55 * (0.5 + 0.5 * (normals @ light.up))
    sun = (across * (0.25 + 0.75 * facing))[:, None] * light.sun_colour
    sheen = (0.035 * across**12 * facing)[:, None] * light.sun_colour
    return np.asarray(colours * (sun + sky[:, None] * light.sky_colour * 0.9) + sheen, dtype=np.float32)
