"""How a map is moved, and what someone decided on it.

A movement is a similarity and nothing else, so every moved vertex can be
traced to where it was.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A similarity: scaled and turned about an origin, then moved."""

    dx_m: float = 0.0
    dy_m: float = 0.0
    rotation_rad: float = 0.0  # counter-clockwise
    scale: float = 1.0
    origin_x: float = 0.0
    origin_y: float = 0.0

    def __call__(self, points: Floats) -> Floats:
        """Points (n x 2) where they come to lie."""
        cos, sin = self.scale * np.cos(self.rotation_rad), self.scale * np.sin(self.rotation_rad)
        east, north = points[..., 0] - self.origin_x, points[..., 1] - self.origin_y
        x = cos * east - sin * north + (self.origin_x + self.dx_m)
        y = sin * east + cos * north + (self.origin_y + self.dy_m)
        return np.stack((x, y), axis=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenShift:
    """What someone decided for one batch: a movement, or to let it lie."""

    shift_key: str
    accepted: bool | None  # None: listed, and left open: what was decided on the village is not for it
    movement: Movement | None = None  # None with ``accepted``: whatever is found is accepted, however far
