"""One bee in one pose under one light, cut out: cuticle, hair and wings put together."""

from dataclasses import dataclass

import numpy as np

from beedex.training.drawing.body import Trunk, build_trunk
from beedex.training.drawing.canvas import Canvas, Floats
from beedex.training.drawing.cuticle import draw_trunk
from beedex.training.drawing.hair import comb, grow_hair
from beedex.training.drawing.individual import Individual
from beedex.training.drawing.light import Light, shade
from beedex.training.drawing.limbs import draw_antennae, draw_legs, place_legs
from beedex.training.drawing.pose import Pose
from beedex.training.drawing.wings import lay_wings, spread_wings

__all__ = ["Cutout", "draw_insect"]


@dataclass(frozen=True, kw_only=True)
class Cutout:
    """A bee on nothing.

    Attributes:
        picture: (H, W, 4) premultiplied linear colour and opacity.
        body: (H, W) opacity without the wings: what is solid.
        origin: pixel (x, y) of the thorax's middle.
        height_mm: of the thorax's middle above the ground.
        scale: pixels per mm.
    """

    picture: Floats
    body: Floats
    origin: tuple[float, float]
    height_mm: float
    scale: float


def draw_insect(bee: Individual, pose: Pose, light: Light, *, scale: float) -> Cutout:
    """Draw a bee.

    Args:
        bee: the individual.
        pose: how it stands.
        light: in view axes.
        scale: pixels per mm.
    """
    view = pose.body()
    trunk = build_trunk(bee, pose)
    legs, height_mm = place_legs(bee, pose)
    wings = spread_wings(bee, pose, view)
    feet = np.stack([leg.toe for leg in legs] + [leg.knee for leg in legs]) @ view.T
    corners = np.concatenate([feet, *(wing.outline() for wing in wings), *_trunk_corners(bee, trunk, view)])
    low, high = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
    margin = 0.10 * bee["length_mm"]
    origin = (float(margin - low[0]) * scale, float(margin - low[1]) * scale)
    width, height = ((high - low + 2 * margin) * scale).astype(int)
    canvas = Canvas(width=int(width), height=int(height), scale=scale, origin=origin)
    draw_trunk(canvas, bee, trunk, view)
    draw_legs(canvas, bee, legs, view)
    draw_antennae(canvas, bee, trunk, pose, view)
    picture = np.zeros((canvas.height, canvas.width, 4), dtype=np.float32)
    image = shade(canvas, light)
    comb(canvas, image, grow_hair(bee, trunk, legs, scale), view, light)
    picture[..., :3] = image
    picture[..., 3] = np.isfinite(canvas.depth)
    body = picture[..., 3].copy()
    lay_wings(canvas, picture, wings, bee, light)
    return Cutout(
        picture=picture,
        body=body,
        origin=origin,
        height_mm=height_mm,
        scale=scale,
    )


def _trunk_corners(bee: Individual, trunk: Trunk, view: Floats) -> list[Floats]:
    """View points that bound head (with antennae), thorax and abdomen with their pile."""
    pile = bee["thorax_pile"] * bee.thorax_width_mm
    corners: list[Floats] = []
    for egg, extra in ((trunk.head.skull, 0.12 * bee["length_mm"]), (trunk.thorax, pile), (trunk.abdomen, pile)):
        for sign in (-1, 1):
            reach = np.diag([(egg.front if sign > 0 else egg.back) + extra, egg.side + extra, egg.rise + extra]) * sign
            corners.append((egg.centre + reach @ egg.axes.T) @ view.T)
    return corners
