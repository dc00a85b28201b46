"""Wings: two translucent veined plates a side, hinged beside the thorax.

A wing is drawn in its own plane: s runs from the hinge (0) to the tip (1), t from the leading edge
towards the trailing edge, both in wing lengths.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from beedex.training.drawing.canvas import Canvas, Floats
from beedex.training.drawing.individual import Individual
from beedex.training.drawing.light import Light
from beedex.training.drawing.pose import Pose

__all__ = ["Wing", "lay_wings", "spread_wings"]

Outline = tuple[tuple[float, float], ...]

FORE_OUTLINE: Outline = (
    (0.0, 0.0), (0.15, -0.015), (0.35, -0.025), (0.55, -0.02), (0.72, 0.0), (0.86, 0.04), (0.95, 0.10), (1.0, 0.18),
    (0.985, 0.25), (0.93, 0.30), (0.84, 0.325), (0.74, 0.32), (0.62, 0.30), (0.48, 0.27), (0.34, 0.22), (0.18, 0.13),
    (0.0, 0.05),
)  # fmt: skip
HIND_OUTLINE: Outline = (
    (0.0, 0.0), (0.25, -0.02), (0.5, -0.01), (0.75, 0.02), (0.92, 0.08), (1.0, 0.16), (0.95, 0.25), (0.82, 0.31),
    (0.66, 0.34), (0.5, 0.34), (0.42, 0.30), (0.28, 0.29), (0.12, 0.2), (0.0, 0.06),
)  # fmt: skip
# Costa and stigma, marginal cell, media and cubitus, and the cross veins that close the cells.
FORE_VEINS: tuple[Outline, ...] = (
    ((0.0, 0.0), (0.15, -0.012), (0.35, -0.02), (0.55, -0.012), (0.72, 0.008), (0.84, 0.04)),
    ((0.0, 0.02), (0.2, 0.025), (0.38, 0.02), (0.5, 0.012)),
    ((0.52, 0.0), (0.58, 0.055), (0.68, 0.085), (0.78, 0.085), (0.84, 0.045)),
    ((0.0, 0.035), (0.22, 0.09), (0.40, 0.115), (0.48, 0.06), (0.5, 0.01)),
    ((0.40, 0.115), (0.5, 0.15), (0.62, 0.16), (0.74, 0.15), (0.80, 0.10)),
    ((0.58, 0.055), (0.57, 0.155)),
    ((0.68, 0.085), (0.68, 0.157)),
    ((0.22, 0.09), (0.28, 0.175), (0.44, 0.235), (0.62, 0.255), (0.72, 0.25)),
    ((0.44, 0.235), (0.52, 0.152)),
    ((0.62, 0.255), (0.65, 0.158)),
    ((0.0, 0.045), (0.18, 0.12), (0.30, 0.18)),
)
HIND_VEINS: tuple[Outline, ...] = (
    ((0.0, 0.0), (0.25, -0.012), (0.5, 0.0), (0.72, 0.02)),
    ((0.0, 0.03), (0.3, 0.08), (0.52, 0.10), (0.72, 0.10), (0.88, 0.12)),
    ((0.3, 0.08), (0.42, 0.18), (0.5, 0.28)),
    ((0.52, 0.10), (0.47, 0.22)),
    ((0.0, 0.05), (0.22, 0.2), (0.3, 0.28)),
)
STIGMA: Outline = ((0.46, -0.012), (0.54, -0.016), (0.56, 0.0), (0.52, 0.016), (0.47, 0.008))


@dataclass(frozen=True, kw_only=True)
class Wing:
    """One wing in view axes, mm.

    Attributes:
        hinge: (3,).
        span: (3,) from hinge to tip.
        chord: (3,) one wing length towards the trailing edge.
        is_fore: a forewing.
    """

    hinge: Floats
    span: Floats
    chord: Floats
    is_fore: bool

    def outline(self) -> Floats:
        """(K, 3) corners of the membrane in view axes."""
        shape = np.array(FORE_OUTLINE if self.is_fore else HIND_OUTLINE, dtype=np.float32)
        return self.hinge + shape[:, :1] * self.span + shape[:, 1:] * self.chord


def spread_wings(bee: Individual, pose: Pose, view: Floats) -> tuple[Wing, ...]:
    """Hinge four wings, farthest from the camera first."""
    rng = np.random.default_rng(pose.gait + 2)
    length = bee["wing_length"] * bee["length_mm"]
    width, long = bee.thorax_width_mm, bee["thorax_length"] * bee["length_mm"]
    wings = []
    for side in (1, -1):
        wobble = rng.normal(0, 4)
        for is_fore in (False, True):
            fold = np.radians(np.clip(pose.wing_fold + wobble + (0 if is_fore else -5), 3, 88))
            lift = np.radians(pose.wing_lift + (3 if is_fore else 0))
            span = np.array([-np.cos(fold) * np.cos(lift), side * np.sin(fold) * np.cos(lift), np.sin(lift)])
            # Folded wings lie flat on the back: the leading edge is the outer one.
            inward = np.array([-np.sin(fold), -side * np.cos(fold), 0.0])
            chord = inward + np.array([0, 0, 0.10 if is_fore else 0.02])
            reach = length * (1.0 if is_fore else 0.70)
            hinge = np.array(
                [(0.10 if is_fore else -0.06) * long, side * 0.40 * width, (0.30 if is_fore else 0.26) * width]
            )
            turn = (view @ np.stack([hinge, span * reach, chord * reach], axis=1)).astype(np.float32)
            wings.append(Wing(hinge=turn[:, 0], span=turn[:, 1], chord=turn[:, 2], is_fore=is_fore))
    return tuple(sorted(wings, key=lambda wing: float(wing.hinge[2] + 0.5 * wing.span[2]) + 0.01 * wing.is_fore))


def lay_wings(canvas: Canvas, picture: Floats, wings: tuple[Wing, ...], bee: Individual, light: Light) -> None:
    """Draw translucent wings over a picture.

    Args:
        canvas: its depth hides what lies behind the body.
        picture: (H, W, 4) premultiplied linear colour and opacity, written to.
        wings: farthest first.
        bee: whose wings.
        light: for the sheen.
    """
    for wing in wings:
        corners = wing.outline()
        window = _window(canvas, corners)
        if window is None:
            continue
        left, top, right, bottom = window
        rows, columns = slice(top, bottom), slice(left, right)
        membrane, veins = _draw_plan(canvas, wing, bee, window)
        colour, opacity = _tint(canvas, wing, bee, light, (membrane, veins), window)
        shown = opacity * (_depth(canvas, wing, window) > canvas.depth[rows, columns] - 0.02 * bee["length_mm"])
        target = picture[rows, columns]
        target *= 1 - shown[..., None]
        target[..., :3] += colour * shown[..., None]
        target[..., 3] += shown


def _window(canvas: Canvas, corners: Floats) -> tuple[int, int, int, int] | None:
    x = corners[:, 0] * canvas.scale + canvas.origin[0]
    y = corners[:, 1] * canvas.scale + canvas.origin[1]
    left, right = max(0, int(x.min()) - 2), min(canvas.width, int(x.max()) + 3)
    top, bottom = max(0, int(y.min()) - 2), min(canvas.height, int(y.max()) + 3)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _draw_plan(canvas: Canvas, wing: Wing, bee: Individual, window: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    """Membrane and veins of one wing as two (h, w) masks in [0, 1]."""
    left, top, right, bottom = window
    masks = [Image.new("L", (right - left, bottom - top)) for _ in range(2)]
    pens = [ImageDraw.Draw(mask) for mask in masks]

    def place(points: Outline) -> list[tuple[float, float]]:
        shape = np.array(points, dtype=np.float32)
        at = wing.hinge + shape[:, :1] * wing.span + shape[:, 1:] * wing.chord
        x = at[:, 0] * canvas.scale + canvas.origin[0] - left
        y = at[:, 1] * canvas.scale + canvas.origin[1] - top
        return list(zip(x.tolist(), y.tolist(), strict=True))

    pens[0].polygon(place(FORE_OUTLINE if wing.is_fore else HIND_OUTLINE), fill=255)
    thin = max(1, round(0.007 * bee["length_mm"] * bee["wing_length"] * canvas.scale))
    pens[1].line(place(FORE_OUTLINE if wing.is_fore else HIND_OUTLINE), fill=90, width=1)
    for number, vein in enumerate(FORE_VEINS if wing.is_fore else HIND_VEINS):
        pens[1].line(place(vein), fill=235 if number == 0 else 190, width=thin + (number == 0), joint="curve")
    if wing.is_fore:
        pens[1].polygon(place(STIGMA), fill=235)
    membrane, veins = (np.asarray(mask, dtype=np.float32) / 255 for mask in masks)
    return membrane, veins


def _tint(
    canvas: Canvas,
    wing: Wing,
    bee: Individual,
    light: Light,
    plan: tuple[Floats, Floats],
    window: tuple[int, int, int, int],
) -> tuple[Floats, Floats]:
    """Colour (h, w, 3) and opacity (h, w) of a wing."""
    membrane, veins = plan
    smoke = bee["wing_smoke"]
    span_share = _along(canvas, wing, window)
    normal = np.cross(wing.span, wing.chord)
    normal /= max(float(np.linalg.norm(normal)), 1e-6)
    normal = normal if normal[2] > 0 else -normal
    half = light.sun + np.array([0, 0, 1], dtype=np.float32)
    glint = float(np.clip(normal @ (half / np.linalg.norm(half)), 0, 1)) ** 6
    ripple = np.float32(0.5) + 0.5 * np.sin(span_share * 7 + 3 * wing.hinge[0])
    sheen = (0.03 + 0.30 * glint) * (0.35 + 0.65 * ripple) * membrane
    dark = (
        np.array([0.060, 0.040, 0.024], dtype=np.float32)
        if smoke < 0.4
        else np.array([0.022, 0.016, 0.024], dtype=np.float32)
    )
    body = np.clip(0.10 + 0.9 * smoke * (0.8 + 0.2 * span_share), 0, 0.94) * membrane
    opacity = np.maximum(body, veins * 0.80)
    hue = np.stack(
        [0.9 + 0.2 * np.sin(span_share * 9), np.ones_like(span_share), 1.0 + 0.25 * np.sin(span_share * 9 + 2)], axis=-1
    )
    lit = dark * (light.sky_colour + light.sun_colour) + sheen[..., None] * light.sun_colour * hue * (1 - 0.75 * smoke)
    vein = np.array([0.035, 0.020, 0.010], dtype=np.float32)
    colour = lit + (vein - lit) * veins[..., None]
    opacity = np.clip(opacity + sheen * (1 - veins) * (0.9 - 0.6 * smoke), 0, 0.96)
    return colour.astype(np.float32), opacity.astype(np.float32)


def _offsets(canvas: Canvas, wing: Wing, window: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    left, top, right, bottom = window
    x = (np.arange(left, right, dtype=np.float32) - canvas.origin[0]) / canvas.scale - wing.hinge[0]
    y = (np.arange(top, bottom, dtype=np.float32) - canvas.origin[1]) / canvas.scale - wing.hinge[1]
    return x[None, :], y[:, None]


def _along(canvas: Canvas, wing: Wing, window: tuple[int, int, int, int]) -> Floats:
    """How far along the wing each pixel lies, about 0 to 1: (h, w)."""
    x, y = _offsets(canvas, wing, window)
    reach = max(float(wing.span[0] ** 2 + wing.span[1] ** 2), 1e-6)
    return np.asarray(np.clip((x * wing.span[0] + y * wing.span[1]) / reach, 0, 1), dtype=np.float32)


def _depth(canvas: Canvas, wing: Wing, window: tuple[int, int, int, int]) -> Floats:
    """Depth of the wing's plane: (h, w)."""
    x, y = _offsets(canvas, wing, window)
    normal = np.cross(wing.span, wing.chord)
    if abs(normal[2]) < 1e-3 * float(np.linalg.norm(normal)):
        return np.full((y.shape[0], x.shape[1]), wing.hinge[2] + wing.span[2] / 2, dtype=np.float32)
    slope = (x * normal[0] + y * normal[1]) / -normal[2]
    # The plane is only meant inside the wing: far outside it would run off to any depth.
    low, high = sorted((0.0, float(wing.span[2])))
    room = float(abs(wing.chord[2])) * 0.35 + 0.05 * float(np.linalg.norm(wing.span))
    return np.asarray(wing.hinge[2] + np.clip(slope, low - room, high + room), dtype=np.float32)
