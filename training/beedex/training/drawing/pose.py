"""How a bee holds itself and where the camera is."""

from dataclasses import dataclass

import numpy as np

from beedex.training.drawing.canvas import Floats

__all__ = ["Pose", "strike_pose", "turned"]


@dataclass(frozen=True, kw_only=True)
class Pose:
    """Angles in degrees.

    Attributes:
        elevation: of the camera above the ground; 90 looks straight down.
        heading: where the bee faces on the ground; 0 is right, 270 faces the camera.
        tilt: rotation of the camera about its own axis.
        pitch: of the body, head up; of the bee only, the ground stays.
        droop: of the abdomen against the thorax, tail down.
        nod: of the head, face down.
        wing_fold: of the wings from the body's axis; 0 lies along the back, 90 stands out.
        wing_lift: of the wings above the back.
        gait: seed of the legs' steps.
    """

    elevation: float
    heading: float
    tilt: float
    pitch: float
    droop: float
    nod: float
    wing_fold: float
    wing_lift: float
    gait: int

    def ground(self) -> Floats:
        """(3, 3) world axes (z up) to view axes (x right, y down, z to the camera)."""
        elevation, tilt = np.radians(self.elevation), np.radians(self.tilt)
        look = np.array(
            [
                [1, 0, 0],
                [0, -np.sin(elevation), -np.cos(elevation)],
                [0, -np.cos(elevation), np.sin(elevation)],
            ]
        )
        spin = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
        return np.asarray(spin @ look, dtype=np.float32)

    def body(self) -> Floats:
        """(3, 3) body axes (x forward, y left, z up) to view axes."""
        return (self.ground() @ turned("z", self.heading) @ turned("y", -self.pitch)).astype(np.float32)


def turned(axis: str, degrees: float) -> Floats:
    """The right-handed rotation about one axis of a right-handed frame, (3, 3).

    >>> turned("z", 90).round(3) @ [1, 0, 0]
    array([0., 1., 0.])
    """
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    rotation = np.eye(3)
    rotation[first, first] = rotation[second, second] = cos
    rotation[second, first], rotation[first, second] = sin, -sin
    return rotation.astype(np.float32)


def strike_pose(rng: np.random.Generator) -> Pose:
    """Draw a pose: from above, from three quarters, facing the camera, or from the side."""
    view = rng.choice(4, p=(0.44, 0.36, 0.07, 0.13))
    if view == 0:
        elevation, heading, tilt = rng.uniform(60, 86), 90 + rng.normal(0, 42), rng.uniform(-12, 12)
    elif view == 1:
        elevation, heading, tilt = rng.uniform(42, 62), 90 + rng.normal(0, 52), rng.uniform(-12, 12)
    elif view == 2:
        elevation, heading, tilt = rng.uniform(18, 46), 270 + rng.uniform(-50, 50), rng.uniform(-12, 12)
    else:
        side = 0 if rng.random() < 0.5 else 180
        elevation, heading, tilt = rng.uniform(12, 32), side + rng.uniform(-30, 30), rng.uniform(-12, 12)
    wing_fold = rng.uniform(24, 48) if rng.random() < 0.66 else rng.uniform(44, 78)
    return Pose(
        elevation=float(elevation),
        heading=float(heading),
        tilt=float(tilt),
        pitch=float(rng.uniform(-12, 12)),
        droop=float(rng.uniform(0, 22)),
        nod=float(rng.uniform(-12, 26)),
        wing_fold=float(wing_fold),
        wing_lift=float(rng.uniform(2, 16)),
        gait=int(rng.integers(2**31)),
    )
