"""The canvas: what the camera sees of the solid parts, before any light falls on them.

Lengths are millimetres in *view* axes: x to the right, y down, z towards the camera. The
projection is orthographic, as in a macro photo taken from a distance.

Shapes: H W canvas sides in pixels, P pixels of one part.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "Egg", "Floats", "Paint", "draw_cone", "draw_egg"]

# Buffers and whatever is computed per pixel are float32, which halves the time; points and axes may be float64.
Floats = NDArray[np.floating[Any]]

# Columns of one surface row: albedo (3, linear), normal (3), gloss, metal, openness to the sky.
SURFACE_COLUMNS = 9


@dataclass(frozen=True, kw_only=True)
class Paint:
    """The surface of P pixels of a part.

    Attributes:
        albedo: (P, 3) or (3,), linear light.
        gloss: (P,) or a number in [0, 1]: 0 is velvet, 1 is lacquer.
        metal: how far highlights take the albedo's colour.
        openness: how much of the sky the surface sees, in [0, 1].
        tilt: how far the normal leans along the part's long axis; draws ridges without geometry.
    """

    albedo: Floats
    gloss: Floats | float
    metal: float = 0.0
    openness: Floats | float = 1.0
    tilt: Floats | float = 0.0


@dataclass(frozen=True, kw_only=True)
class Egg:
    """Two half ellipsoids that share their widest section: head, thorax, abdomen, eye, tibia.

    Attributes:
        centre: (3,) middle of the shared section, body axes (x forward, y left, z up), mm.
        axes: (3, 3) columns are the egg's own x, y, z in body axes, orthonormal.
        front: radius along +x, mm.
        back: radius along -x, mm.
        side: radius along y, mm.
        rise: radius along z, mm.
    """

    centre: Floats
    axes: Floats
    front: float
    back: float
    side: float
    rise: float

    def radii(self, unit: Floats) -> Floats:
        """Radii that hold at points of the unit sphere: (P, 3) -> (P, 3)."""
        along = np.where(unit[:, 0] > 0, np.float32(self.front), np.float32(self.back))
        return np.stack([along, np.full_like(along, self.side), np.full_like(along, self.rise)], axis=1)

    def along(self, unit: Floats) -> Floats:
        """Distance from the front pole, 0 to 1 at the back pole: (P, 3) -> (P,)."""
        ahead = np.where(unit[:, 0] > 0, unit[:, 0] * np.float32(self.front), unit[:, 0] * np.float32(self.back))
        return (np.float32(self.front) - ahead) / np.float32(self.front + self.back)


@dataclass(kw_only=True)
class Canvas:
    """Depth and surface buffers.

    Attributes:
        width: pixels.
        height: pixels.
        scale: pixels per millimetre.
        origin: pixel (x, y) of the view axes' zero.
        depth: (H, W) z of the nearest surface, -inf where there is none.
        surface: (H, W, 9) albedo, normal, gloss, metal, openness.
    """

    width: int
    height: int
    scale: float
    origin: tuple[float, float]
    depth: Floats = field(init=False)
    surface: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.depth = np.full((self.height, self.width), -np.inf, dtype=np.float32)
        self.surface = np.zeros((self.height, self.width, SURFACE_COLUMNS), dtype=np.float32)

    def window(self, centre: Floats, reach: tuple[float, float]) -> tuple[slice, slice, Floats, Floats] | None:
        """The pixels around a view point.

        Returns:
            Row slice, column slice, and the mm offsets x (1, w) and y (h, 1) from `centre`; None
            if the window lies outside the canvas.
        """
        column = self.origin[0] + float(centre[0]) * self.scale
        row = self.origin[1] + float(centre[1]) * self.scale
        reach_x, reach_y = reach[0] * self.scale + 1, reach[1] * self.scale + 1
        left, right = max(0, int(column - reach_x)), min(self.width, int(column + reach_x) + 1)
        top, bottom = max(0, int(row - reach_y)), min(self.height, int(row + reach_y) + 1)
        if left >= right or top >= bottom:
            return None
        x = ((np.arange(left, right, dtype=np.float32) + 0.5 - column) / self.scale)[None, :]
        y = ((np.arange(top, bottom, dtype=np.float32) + 0.5 - row) / self.scale)[:, None]
        return slice(top, bottom), slice(left, right), x.astype(np.float32), y.astype(np.float32)

    def put(self, rows: slice, columns: slice, nearer: NDArray[np.bool_], depth: Floats, surface: Floats) -> None:
        """Write the P pixels where `nearer` is true."""
        self.depth[rows, columns][nearer] = depth
        self.surface[rows, columns][nearer] = surface


def draw_egg(canvas: Canvas, egg: Egg, view: Floats, paint: Callable[[Egg, Floats], Paint]) -> None:
    """Draw an egg where it is nearer than what is on the canvas.

    Args:
        canvas: is written to.
        egg: in body axes.
        view: (3, 3) body axes to view axes.
        paint: called with the egg and the (P, 3) points of the unit sphere that are seen.
    """
    axes = (view @ egg.axes).astype(np.float32)
    centre = view @ egg.centre
    longest = max(egg.front, egg.back)
    radii = np.array([longest, egg.side, egg.rise])
    reach = np.sqrt(((axes * radii) ** 2).sum(axis=1))
    window = canvas.window(centre, (float(reach[0]), float(reach[1])))
    if window is None:
        return
    rows, columns, x, y = window
    z = _hit(axes, egg.front, egg, x, y)
    if egg.front != egg.back:
        back = _hit(axes, egg.back, egg, x, y)
        ahead = axes[0, 0] * x + axes[1, 0] * y
        lean = axes[2, 0]
        with np.errstate(invalid="ignore"):
            in_front = np.isfinite(z) & (ahead + lean * z > 0)
            in_back = np.isfinite(back) & (ahead + lean * back <= 0)
        z = np.where(in_front, z, np.where(in_back, back, -np.inf)).astype(np.float32)
    nearer = z + np.float32(centre[2]) > canvas.depth[rows, columns]
    if not nearer.any():
        return
    z = z[nearer]
    x, y = np.broadcast_to(x, nearer.shape)[nearer], np.broadcast_to(y, nearer.shape)[nearer]
    local = np.stack([x, y, z], axis=1) @ axes  # (P, 3)
    across = np.where(local[:, 0] > 0, np.float32(egg.front), np.float32(egg.back))
    unit = local / np.stack([across, np.full_like(across, egg.side), np.full_like(across, egg.rise)], axis=1)
    normal = unit / egg.radii(unit)
    painted = paint(egg, unit)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    if not isinstance(painted.tilt, float):
        normal[:, 0] += painted.tilt
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    canvas.put(rows, columns, nearer, z + np.float32(centre[2]), _rows(painted, normal @ axes.T))


def draw_cone(
    canvas: Canvas, start: Floats, end: Floats, *, radii: tuple[float, float], paint: Paint, bend: float = 0.0
) -> None:
    """Draw a round-ended cone between two points in view axes: a joint of a leg or an antenna.

    Args:
        canvas: is written to.
        start: (3,) view axes, mm.
        end: (3,) view axes, mm.
        radii: mm at the two ends.
        paint: one surface for the whole cone.
        bend: thickening halfway, as a share of the radius.
    """
    middle = (start + end) / 2
    widest = max(radii) * (1 + bend)
    reach = np.abs(end - start)[:2] / 2 + widest
    window = canvas.window(middle, (float(reach[0]), float(reach[1])))
    if window is None:
        return
    rows, columns, x, y = window
    run = (end - start).astype(np.float32)
    length_sq = max(float(run[0] ** 2 + run[1] ** 2), 1e-9)
    share = np.clip((x * run[0] + y * run[1]) / length_sq + 0.5, 0, 1)
    off_x, off_y = x - (share - 0.5) * run[0], y - (share - 0.5) * run[1]
    radius = radii[0] + (radii[1] - radii[0]) * share
    if bend:
        radius = radius * (1 + bend * 4 * share * (1 - share))
    height_sq = radius**2 - off_x**2 - off_y**2
    height = np.sqrt(np.maximum(height_sq, 0))
    depth = start[2] + share * run[2] + height
    nearer = (height_sq > 0) & (depth > canvas.depth[rows, columns])
    if not nearer.any():
        return
    normal = np.stack([off_x[nearer], off_y[nearer], height[nearer]], axis=1) / radius[nearer][:, None]
    canvas.put(rows, columns, nearer, depth[nearer], _rows(paint, normal.astype(np.float32)))


def _hit(axes: Floats, along: float, egg: Egg, x: Floats, y: Floats) -> Floats:
    """The z of the near side of an ellipsoid about the window's middle, -inf where the ray misses."""
    weights = np.array([1 / along**2, 1 / egg.side**2, 1 / egg.rise**2], dtype=np.float32)
    form = ((axes * weights) @ axes.T).astype(np.float32)  # the ellipsoid's quadratic form in view axes
    half_b = form[0, 2] * x + form[1, 2] * y
    c = form[0, 0] * x * x + form[1, 1] * y * y + 2 * form[0, 1] * x * y - 1
    inside = half_b * half_b - form[2, 2] * c
    with np.errstate(invalid="ignore"):
        root = np.sqrt(inside)
    return np.where(inside > 0, (root - half_b) / form[2, 2], -np.inf).astype(np.float32)


def _rows(paint: Paint, normal: Floats) -> Floats:
    rows = np.empty((len(normal), SURFACE_COLUMNS), dtype=np.float32)
    rows[:, :3] = paint.albedo
    rows[:, 3:6] = normal
    rows[:, 6] = paint.gloss
    rows[:, 7] = paint.metal
    rows[:, 8] = paint.openness
    return rows
