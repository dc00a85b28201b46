"""One photo: an individual on a perch before a backdrop, lit, shadowed and developed."""

import numpy as np
from PIL import Image, ImageFilter

from beedex.training.drawing.backdrop import draw_backdrop, draw_occluder
from beedex.training.drawing.camera import Camera, develop, encode, pick_camera
from beedex.training.drawing.individual import Individual
from beedex.training.drawing.insect import Cutout, draw_insect
from beedex.training.drawing.light import Light, set_light
from beedex.training.drawing.perch import PERCHES, Ground, draw_perch
from beedex.training.drawing.pose import strike_pose

__all__ = ["draw_photo"]

# The cutout is drawn larger and reduced: enough to smooth its edges, not so much that it costs.
CUTOUT_PX = 400
LEAST_OVERSAMPLING, MOST_OVERSAMPLING = 1.1, 2.0

OCCLUDED_SHARE = 0.07

# How far the thorax lies before the middle of the trunk, of the body's length.
TRUNK_MIDDLE = 0.17


def draw_photo(bee: Individual, rng: np.random.Generator) -> bytes:
    """Photograph an individual.

    Args:
        bee: from `meet_individual`.
        rng: owned by the photo: pose, perch, light and camera come from it.

    Returns:
        A JPEG file.
    """
    camera, pose = pick_camera(rng), strike_pose(rng)
    length_px = _frame_length(bee, camera, rng)
    scale = length_px / bee["length_mm"]
    middle = tuple(side * (0.5 + float(np.clip(rng.normal(0, 0.05), -0.1, 0.1))) for side in camera.size)
    view = pose.ground()
    # The trunk's middle lies behind the thorax; the photo is centred on the trunk.
    lead = pose.body()[:2] @ np.array([TRUNK_MIDDLE * length_px, 0, 0])
    middle = (middle[0] + float(lead[0]), middle[1] + float(lead[1]))
    below = view @ np.array([0, 0, -0.76 * bee.thorax_width_mm * scale])
    ground = Ground(size=camera.size, view=view, origin=(middle[0] + below[0], middle[1] + below[1]), scale=scale)
    scene, colour = _set_scene(ground, rng)
    light = set_light(view, (np.array(colour, dtype=np.float32) / 255) ** 2, rng)
    oversampling = float(np.clip(CUTOUT_PX / length_px, LEAST_OVERSAMPLING, MOST_OVERSAMPLING))
    cutout = draw_insect(bee, pose, light, scale=scale * oversampling)
    corner = _place(cutout, middle, oversampling)
    scene = _cast_shadow(scene, cutout, corner, light, oversampling)
    insect = _flatten(cutout, oversampling)
    scene.paste(insect, corner, insect)
    if rng.random() < OCCLUDED_SHARE:
        petal = draw_occluder(camera.size, rng)
        scene.paste(petal, (0, 0), petal)
    return encode(develop(scene, camera, rng), camera)


def _frame_length(bee: Individual, camera: Camera, rng: np.random.Generator) -> float:
    """Length of the bee in pixels; people come closer to small bees, but not wholly as close."""
    share = rng.uniform(0.80, 1.08) * (bee["length_mm"] / 12) ** 0.14
    return float(min(share, 1.04) * min(camera.size))


def _place(cutout: Cutout, middle: tuple[float, ...], oversampling: float) -> tuple[int, int]:
    """Where the cutout's corner goes, with the thorax near the middle of the photo."""
    return (
        round(middle[0] - cutout.origin[0] / oversampling),
        round(middle[1] - cutout.origin[1] / oversampling),
    )


def _set_scene(ground: Ground, rng: np.random.Generator) -> tuple[Image.Image, tuple[int, int, int]]:
    """Perch over backdrop; the perch loses focus away from the bee."""
    scene = draw_backdrop(ground.size, rng)
    kinds = list(PERCHES)
    shares = np.array([PERCHES[kind].share for kind in kinds])
    perch, colour = draw_perch(kinds[int(rng.choice(len(kinds), p=shares / shares.sum()))], ground, rng)
    scene.paste(perch, (0, 0), perch)
    scene = scene.filter(ImageFilter.BoxBlur(float(rng.uniform(1.0, 2.4))))
    width, height = ground.size
    x = (np.arange(width, dtype=np.float32)[None, :] - ground.origin[0]) / width
    steep = abs(float(ground.view[2, 2]))
    y = (np.arange(height, dtype=np.float32)[:, None] - ground.origin[1]) / height * (2.4 - 1.4 * steep)
    distance = np.sqrt(x * x * 0.6 + y * y)
    sharp = np.clip(1.05 - distance * rng.uniform(2.8, 5.2), 0, 1) * 255
    soft = scene.filter(ImageFilter.BoxBlur(float(rng.uniform(4, 9))))
    return Image.composite(scene, soft, Image.fromarray(sharp.astype(np.uint8))), colour


def _flatten(cutout: Cutout, oversampling: float) -> Image.Image:
    """The cutout as an RGBA image at the photo's scale."""
    height, width = cutout.body.shape
    flat = cutout.picture.reshape(-1, 4)
    covered = np.flatnonzero(flat[:, 3] > 1e-3)
    seen = flat[covered]  # (N, 4)
    seen[:, :3] = np.sqrt(np.clip(seen[:, :3] / seen[:, 3:], 0, 1))
    pixels = np.zeros((height * width, 4), dtype=np.uint8)
    pixels[covered] = np.minimum(seen, 1) * 255
    image = Image.fromarray(pixels.reshape(height, width, 4), "RGBA")
    size = (max(1, round(image.width / oversampling)), max(1, round(image.height / oversampling)))
    return image.resize(size, Image.Resampling.BOX if oversampling == MOST_OVERSAMPLING else Image.Resampling.HAMMING)


def _cast_shadow(
    scene: Image.Image, cutout: Cutout, corner: tuple[int, int], light: Light, oversampling: float
) -> Image.Image:
    """Darken the perch where the body keeps the sun off, and softly below the body."""
    quarter = 4
    size = (scene.width // quarter + 1, scene.height // quarter + 1)
    solid = Image.fromarray((cutout.body * 255).astype(np.uint8))
    solid = solid.resize(
        (max(1, round(solid.width / oversampling / quarter)), max(1, round(solid.height / oversampling / quarter))),
        Image.Resampling.BOX,
    )
    drop_px = cutout.height_mm * cutout.scale / oversampling
    height = float(light.sun @ light.up)
    cast = -light.sun[:2] * drop_px / max(height, 0.45)
    below = -light.up[:2] * drop_px
    shade = np.zeros((size[1], size[0]), dtype=np.float32)
    for offset, strength, blur in (
        (cast, 0.30 + 0.38 * light.hardness, 2.6 - 1.6 * light.hardness),
        (below, 0.38, 3.5),
    ):
        mask = Image.new("L", size)
        mask.paste(solid, (round((corner[0] + offset[0]) / quarter), round((corner[1] + offset[1]) / quarter)))
        blurred = np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float32)
        shade = np.maximum(shade, blurred * np.float32(strength))
    dark = Image.fromarray(shade.astype(np.uint8)).resize(scene.size, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", scene.size, (18, 16, 18)), scene, dark)
