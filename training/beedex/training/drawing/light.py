"""Light on a bee: one sun, the sky above and the ground below.

Shapes: H W canvas sides in pixels, N covered pixels.
"""

from dataclasses import dataclass

import numpy as np

from beedex.training.drawing.canvas import Canvas, Floats

__all__ = ["Light", "set_light", "shade"]


@dataclass(frozen=True, kw_only=True)
class Light:
    """Directions are unit vectors in view axes; colours are linear light.

    Attributes:
        sun: towards the sun.
        up: the world's up.
        sun_colour: (3,).
        sky_colour: (3,).
        ground_colour: (3,) what the ground throws back.
        hardness: 0 for a cloudy day, 1 for full sun; how dark shadows are.
    """

    sun: Floats
    up: Floats
    sun_colour: Floats
    sky_colour: Floats
    ground_colour: Floats
    hardness: float


def set_light(ground: Floats, ground_colour: Floats, rng: np.random.Generator) -> Light:
    """Draw a light.

    Args:
        ground: (3, 3) world axes to view axes.
        ground_colour: (3,) linear, of what the bee sits on.
        rng: owned by the photo.
    """
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(32, 80))
    world = np.array([np.cos(azimuth) * np.cos(height), np.sin(azimuth) * np.cos(height), np.sin(height)])
    sun = ground @ world
    if sun[2] < 0.1:  # never wholly against the light: nothing would be seen
        sun[2] = 0.1 + 0.3 * rng.random()
        sun /= np.linalg.norm(sun)
    hardness = float(rng.beta(2, 1.4))
    warm = rng.uniform(0.0, 0.14)
    return Light(
        sun=sun.astype(np.float32),
        up=ground[:, 2].astype(np.float32),
        sun_colour=(np.array([1 + warm, 1.0, 1 - warm]) * (0.65 + 0.75 * hardness)).astype(np.float32),
        sky_colour=(np.array([0.92, 1.0, 1.12]) * (0.95 - 0.4 * hardness)).astype(np.float32),
        ground_colour=(ground_colour * 0.55).astype(np.float32),
        hardness=hardness,
    )


def shade(canvas: Canvas, light: Light) -> Floats:
    """The lit picture of the canvas: (H, W, 3) linear, 0 where there is nothing."""
    image = np.zeros((canvas.height * canvas.width, 3), dtype=np.float32)
    covered = np.flatnonzero(np.isfinite(canvas.depth))
    # Planes rather than rows: numpy is several times faster along N than along the three colours.
    surface = np.ascontiguousarray(canvas.surface.reshape(len(image), -1)[covered].T)  # (9, N)
    albedo, normal = surface[:3], surface[3:6]
    gloss, metal, openness = surface[6], surface[7], surface[8]
    sun = np.maximum(light.sun @ normal * 0.85 + 0.15, 0) * (0.35 + 0.65 * openness)  # (N,)
    upward = (0.5 + 0.5 * (light.up @ normal)) * openness
    dull = 1 - 0.5 * metal
    sky = np.multiply.outer(light.sky_colour - light.ground_colour, upward)  # (3, N)
    sky += np.multiply.outer(light.ground_colour, openness)
    lit = albedo * (np.multiply.outer(light.sun_colour, sun) + sky) * dull
    lit += _reflect(normal, albedo, gloss, metal, light) * openness
    image[covered] = lit.T
    return image.reshape(canvas.height, canvas.width, 3)


def _reflect(normal: Floats, albedo: Floats, gloss: Floats, metal: Floats, light: Light) -> Floats:
    """What the surface mirrors: the sun's glint, the bright sky, the rim. (3, N)."""
    facing = normal[2]
    edge = 1 - np.clip(facing, 0, 1)
    fresnel = 0.05 + 0.55 * edge * edge * edge
    half = light.sun + np.array([0, 0, 1], dtype=np.float32)
    glint_at = np.clip((half / np.linalg.norm(half)) @ normal, 0, 1)
    # x**(2**k) by squaring is far cheaper than a power with a per-pixel exponent.
    broad = np.square(np.square(np.square(glint_at)))
    tight = np.square(np.square(np.square(broad)))
    skyward = np.clip((2 * facing * (light.up @ normal) - light.up[2]) * 1.6 - 0.25, 0, 1)
    mirrored = fresnel * gloss * (0.5 + 2.5 * metal)
    dim = light.ground_colour * 0.5
    glow = np.multiply.outer(light.sun_colour, 0.10 * broad * gloss + 0.9 * tight * gloss * gloss)
    glow += np.multiply.outer(dim, mirrored) + np.multiply.outer(light.sky_colour - dim, mirrored * skyward)
    if metal.any():
        # Metallic bees turn violet at the rim.
        shift = np.multiply.outer(np.array([0.10, -0.02, 0.16], dtype=np.float32), edge)
        glow *= np.maximum(1 + (albedo * 3.5 + shift - 1) * metal, 0)
    return glow
