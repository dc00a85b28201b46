"""The cuticle of the trunk: how each part is coloured, polished, banded and masked.

Paint is a function of the points of an egg's unit sphere, so that marks stay where they belong from
every side. Shapes: P points of a part that the camera sees.
"""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from beedex.training.drawing.body import Trunk
from beedex.training.drawing.canvas import Canvas, Egg, Floats, Paint, draw_egg
from beedex.training.drawing.individual import Individual

__all__ = ["baldness", "draw_trunk", "tergite_of", "thorax_hair"]

# Where the tergites begin and end, of the abdomen's length: the first and last are the shortest.
TERGITE_EDGES = np.array([0.0, 0.15, 0.35, 0.55, 0.73, 0.88, 1.0], dtype=np.float32)


def tergite_of(along: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Which tergite lies at a place along the abdomen, and where within it.

    Args:
        along: (P,) 0 at the waist, 1 at the tail.

    Returns:
        (P,) index 0 to 5, and (P,) share of the tergite, 0 front to 1 hind edge.
    """
    index = np.clip(np.searchsorted(TERGITE_EDGES, along, side="right") - 1, 0, 5)
    start, end = TERGITE_EDGES[index], TERGITE_EDGES[index + 1]
    return index, np.clip((along - start) / (end - start), 0, 1)


def draw_trunk(canvas: Canvas, bee: Individual, trunk: Trunk, view: Floats) -> None:
    """Draw the trunk's cuticle."""
    grain = np.random.default_rng(bee.seed).normal(0, 1, (64, 128)).astype(np.float32)
    plain = partial(_paint_plain, bee=bee, grain=grain)
    thorax = partial(_paint_thorax, bee=bee, grain=grain)
    draw_egg(canvas, trunk.abdomen, view, partial(_paint_abdomen, bee=bee, grain=grain))
    draw_egg(canvas, trunk.waist, view, plain)
    draw_egg(canvas, trunk.thorax, view, thorax)
    draw_egg(canvas, trunk.collar, view, partial(_paint_collar, bee=bee))
    draw_egg(canvas, trunk.head.skull, view, partial(_paint_head, bee=bee, grain=grain))
    for part in (*trunk.head.cheeks, *trunk.head.jaws):
        draw_egg(canvas, part, view, plain)
    for part in trunk.head.eyes:
        draw_egg(canvas, part, view, partial(_paint_eye, bee=bee, grain=grain))
    for part in trunk.head.ocelli:
        draw_egg(canvas, part, view, partial(_paint_even, colour=bee.coat.eyes, gloss=1.0))
    tegula = bee.coat.mark if bee.marks.mask else bee.coat.legs
    for part in trunk.tegulae:
        draw_egg(canvas, part, view, partial(_paint_even, colour=tegula, gloss=0.7))


def _speckle(unit: Floats, grain: Floats) -> Floats:
    """Fine noise fixed to the surface: (P,), mean 0, deviation about 1."""
    around = ((np.arctan2(unit[:, 1], unit[:, 2]) / (2 * np.pi) + 0.5) * (grain.shape[1] - 1)).astype(np.intp)
    along = ((unit[:, 0] * 0.5 + 0.5) * (grain.shape[0] - 1)).astype(np.intp)
    speckle: Floats = grain[np.clip(along, 0, grain.shape[0] - 1), np.clip(around, 0, grain.shape[1] - 1)]
    return speckle


def _step(low: float, high: float, value: Floats) -> Floats:
    """Smooth step from 0 at `low` to 1 at `high`."""
    share = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), dtype=np.float32)


def _mix(first: Floats, second: Floats, share: Floats | float) -> Floats:
    weight = share[:, None] if isinstance(share, np.ndarray) else np.float32(share)
    return np.asarray(first + (second - first) * weight, dtype=np.float32)


def _paint_even(egg: Egg, unit: Floats, *, colour: Floats, gloss: float) -> Paint:
    del egg, unit
    return Paint(albedo=colour, gloss=gloss)


def _paint_plain(egg: Egg, unit: Floats, *, bee: Individual, grain: Floats) -> Paint:
    del egg
    rough = _speckle(unit, grain)
    albedo = bee.coat.cuticle * (1 + 0.15 * rough[:, None])
    return Paint(albedo=albedo, gloss=np.clip(bee["thorax_gloss"] * (1 + 0.3 * rough), 0, 1), metal=bee.metal)


def _paint_eye(egg: Egg, unit: Floats, *, bee: Individual, grain: Floats) -> Paint:
    del egg
    facets = _speckle(unit, grain)
    lower = _step(0.3, -0.8, unit[:, 2])
    albedo = bee.coat.eyes * (1 + 0.2 * facets + 0.4 * lower)[:, None]
    return Paint(albedo=albedo, gloss=0.45 if bee.marks.eye_hair else 0.85)


def _paint_collar(egg: Egg, unit: Floats, *, bee: Individual) -> Paint:
    del egg
    if not bee.marks.mask:
        return Paint(albedo=_mix(bee.coat.cuticle, bee.coat.collar * 0.5, bee["thorax_cover"]), gloss=0.1)
    # Hylaeus: two pale bars on the collar, parted in the middle.
    bars = _step(0.12, 0.2, np.abs(unit[:, 1])) * _step(0.1, 0.35, unit[:, 2]) * _step(0.9, 0.8, np.abs(unit[:, 1]))
    return Paint(albedo=_mix(bee.coat.cuticle, bee.coat.mark, bars), gloss=0.4)


def thorax_hair(bee: Individual, unit: Floats, scatter: Floats) -> Floats:
    """Colour of the hair at points of the thorax: (P, 3); `scatter` (P,) blurs the borders."""
    x = unit[:, 0] + 0.10 * scatter
    edge = bee.collar_edge - 0.25 * np.clip(-unit[:, 2], 0, 1)
    colour = np.where((x > edge)[:, None], bee.coat.collar, bee.coat.disc)
    return np.where((x < -0.5)[:, None], bee.coat.scutellum, colour).astype(np.float32)


def baldness(bee: Individual, unit: Floats) -> Floats:
    """How bare the top of the thorax is at points of it: (P,), 0 closed hair to 1 none."""
    # Carpenter bees have a bare spot there from the start, others rub their hair off.
    bare = 1.0 if bee.marks.bare_spot else bee.wear
    return _step(0.7, 0.95, unit[:, 2]) * np.float32(bare)


def _paint_thorax(egg: Egg, unit: Floats, *, bee: Individual, grain: Floats) -> Paint:
    rough = _speckle(unit, grain)
    cover = bee["thorax_cover"] * (1 - 0.8 * baldness(bee, unit))
    under = thorax_hair(bee, unit, rough) * (0.42 + 0.12 * rough[:, None])
    albedo = _mix(bee.coat.cuticle * (1 + 0.12 * rough[:, None]), under, cover)
    gloss = np.clip(bee["thorax_gloss"] * (1 - cover) * (1 + 0.35 * rough), 0, 1)
    seam = 1 - 0.35 * np.exp(-(((egg.along(unit) - 0.66) / 0.02) ** 2)) * (1 - cover)
    return Paint(albedo=albedo, gloss=gloss, metal=bee.metal, openness=seam)


def _paint_abdomen(egg: Egg, unit: Floats, *, bee: Individual, grain: Floats) -> Paint:
    rough = _speckle(unit, grain)
    along = egg.along(unit) + 0.012 * np.abs(unit[:, 1])
    index, share = tergite_of(along)
    albedo = bee.coat.tergites[index] * (1 + 0.05 * rough[:, None])
    if bee.marks.dark_bands:
        albedo = _mix(albedo, bee.coat.tergites[5], _step(bee.band_edge, bee.band_edge + 0.18, share) * (index < 5))
    back = _step(-0.5, -0.25, unit[:, 2])
    cover = bee["abdomen_cover"]
    under = bee.coat.bands[index] * (0.42 + 0.12 * rough[:, None])
    albedo = _mix(albedo, under, cover * (0.85 + 0.1 * rough))
    fringe = _step(0.76, 0.86, share) * bee["fringe_cover"] * back * (index < 5)
    albedo = _mix(albedo, bee.coat.fringe * (0.75 + 0.1 * rough[:, None]), np.clip(fringe * 0.8, 0, 1))
    if bee["belly_brush"] > 0.1:
        albedo = _mix(albedo, bee.coat.brush * 0.45, 1 - back)
    hidden = np.clip(cover + fringe, 0, 1)
    gloss = np.clip(bee["abdomen_gloss"] * (1 - 0.9 * hidden) * (1 + 0.06 * rough), 0, 1)
    groove = 1 - 0.6 * _step(0.10, 0.0, share) * (1 - 0.7 * cover) * (index > 0)
    tilt = (0.22 * _step(0.25, 0.0, share) - 0.40 * _step(0.86, 1.0, share)) * (1 - 0.6 * cover)
    return Paint(albedo=albedo, gloss=gloss, metal=bee.metal, openness=groove, tilt=tilt)


def _paint_head(egg: Egg, unit: Floats, *, bee: Individual, grain: Floats) -> Paint:
    del egg
    rough = _speckle(unit, grain)
    ahead = _step(0.05, 0.3, unit[:, 0])
    across, up = np.abs(unit[:, 1]), unit[:, 2]
    albedo = _mix(bee.coat.cuticle * (1 + 0.12 * rough[:, None]), bee.coat.face * 0.5, bee["face_cover"] * 0.7 * ahead)
    gloss = np.full(len(unit), bee["thorax_gloss"], dtype=np.float32) * (1 - 0.6 * bee["face_cover"])
    if bee.marks.foveae:
        # Long velvety grooves beside the inner edge of each eye, on the upper face.
        groove = np.exp(-(((across - 0.60) / 0.10) ** 2)) * _step(-0.12, 0.05, up) * _step(0.85, 0.6, up) * ahead
        albedo = _mix(albedo, _mix(bee.coat.face, bee.coat.fringe, 0.7), np.clip(groove * 1.1, 0, 1))
        gloss = gloss * (1 - groove)
    if bee.marks.mask:
        mask = _mask(across, up, male=bee.male) * ahead
        albedo = _mix(albedo, bee.coat.mark, mask)
    return Paint(albedo=albedo, gloss=gloss, metal=bee.metal)


def _mask(across: Floats, up: Floats, *, male: bool) -> Floats:
    """The pale face of Hylaeus: whole below the antennae in males, a triangle by each eye in females."""
    cheek = _step(0.0, 0.08, across - (0.40 + 0.30 * np.clip(up + 0.35, 0, 1))) * _step(0.45, 0.3, up)
    if not male:
        return np.asarray(cheek * _step(-0.75, -0.6, up), dtype=np.float32)
    whole = _step(0.12, 0.02, up - 0.25 * across)
    return np.maximum(whole, cheek).astype(np.float32)
