"""What a camera does to a scene: focus, motion, exposure, white balance, sensor noise, JPEG."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

__all__ = ["Camera", "develop", "encode", "pick_camera"]


@dataclass(frozen=True, kw_only=True)
class Camera:
    """The settings of one photo.

    Attributes:
        size: (width, height) in pixels.
        defocus_px: radius of the blur.
        motion_px: length of the smear, at most 5.
        motion_angle: radians.
        exposure: gain on linear light.
        balance: gains of red, green, blue on linear light.
        contrast: slope of the tone curve at its middle; 1 is straight.
        noise: deviation of the sensor's noise in 8-bit steps at middle grey.
        vignette: darkening of the corners, in [0, 1].
        jpeg_quality: of Pillow's scale.
    """

    size: tuple[int, int]
    defocus_px: float
    motion_px: float
    motion_angle: float
    exposure: float
    balance: tuple[float, float, float]
    contrast: float
    noise: float
    vignette: float
    jpeg_quality: int


SIZES = ((640, 480), (600, 450), (480, 360), (800, 600), (720, 540), (520, 520), (480, 640), (450, 600), (360, 480))
SIZE_SHARES = (0.12, 0.14, 0.22, 0.03, 0.04, 0.10, 0.08, 0.10, 0.17)


def pick_camera(rng: np.random.Generator) -> Camera:
    """Draw the settings of a photo."""
    warm, green = rng.normal(0, 0.05), rng.normal(0, 0.02)
    width, height = SIZES[int(rng.choice(len(SIZES), p=SIZE_SHARES))]
    return Camera(
        size=(width, height),
        defocus_px=float(max(0.0, rng.normal(0.2, 0.45))),
        motion_px=float(rng.uniform(2, 5)) if rng.random() < 0.12 else 0.0,
        motion_angle=float(rng.uniform(0, np.pi)),
        exposure=float(np.exp(rng.normal(0.05, 0.18))),
        balance=(float(1 + warm), float(1 + green), float(1 - warm)),
        contrast=float(rng.uniform(0.85, 1.22)),
        noise=float(rng.gamma(2.0, 1.4)),
        vignette=float(rng.uniform(0, 0.35)),
        jpeg_quality=int(rng.integers(62, 95)),
    )


def develop(scene: Image.Image, camera: Camera, rng: np.random.Generator) -> Image.Image:
    """Turn the sharp, clean scene into a photo of the same size."""
    if camera.defocus_px > 0.25:
        scene = scene.filter(ImageFilter.GaussianBlur(camera.defocus_px))
    if camera.motion_px:
        scene = scene.filter(_smear(camera))
    scene = scene.point(_tone_curves(camera))
    return _expose_sensor(scene, camera, rng)


def encode(photo: Image.Image, camera: Camera) -> bytes:
    """The photo as a JPEG file."""
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=camera.jpeg_quality, subsampling=2)
    return buffer.getvalue()


def _smear(camera: Camera) -> ImageFilter.Kernel:
    """A 5 x 5 kernel that averages along the motion."""
    weights = np.zeros((5, 5))
    for share in np.linspace(-0.5, 0.5, 9):
        x = 2 + camera.motion_px * share * np.cos(camera.motion_angle)
        y = 2 + camera.motion_px * share * np.sin(camera.motion_angle)
        weights[int(np.clip(round(y), 0, 4)), int(np.clip(round(x), 0, 4))] += 1
    return ImageFilter.Kernel((5, 5), weights.ravel().tolist(), scale=float(weights.sum()))


def _tone_curves(camera: Camera) -> list[int]:
    """One table of 256 steps per channel: exposure and balance in linear light, then contrast."""
    tables = []
    for gain in camera.balance:
        linear = (np.arange(256) / 255) ** 2 * camera.exposure * gain
        shown = np.sqrt(linear / (1 + np.maximum(linear - 0.7, 0) * 0.5))  # highlights roll off
        shown = 0.45 + (shown - 0.45) * camera.contrast
        tables += np.clip(shown * 255, 0, 255).astype(int).tolist()
    return tables


def _expose_sensor(scene: Image.Image, camera: Camera, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(scene, dtype=np.float32)
    height, width = pixels.shape[:2]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    falloff = 1 - np.float32(camera.vignette) * 0.5 * (x * x + y * y)
    noise = rng.standard_normal((height, width), dtype=np.float32) * np.float32(camera.noise)
    hue = rng.standard_normal((height // 2 + 1, width // 2 + 1), dtype=np.float32) * np.float32(0.8 * camera.noise)
    coarse = np.repeat(np.repeat(hue, 2, axis=0), 2, axis=1)[:height, :width]
    pixels = pixels * falloff[..., None]
    pixels += noise[..., None]
    pixels[..., 0] += coarse
    pixels[..., 2] -= coarse
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
