"""A movement as the columns of a row of shifts, and back."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.movement import Movement
from geo.shifts import direction

# A row of shifts, what to apply, and the rule of its finding.
Described = tuple[dict[str, object], Movement | None, str]


def motion(move: Movement) -> dict[str, object]:
    """A movement as columns of shifts."""
    turned, grown = move.rotation_rad != 0, move.scale != 1
    return {
        "distance_m": round(float(np.hypot(move.dx_m, move.dy_m)), 3),
        "direction": direction(-move.dx_m, -move.dy_m),
        "dx_m": move.dx_m,
        "dy_m": move.dy_m,
        "rotation_deg": float(np.rad2deg(move.rotation_rad)),
        "scale_ppm": (move.scale - 1) * 1e6,
        "origin_x_m": move.origin_x,
        "origin_y_m": move.origin_y,
        "model": "similarity" if grown else "rigid" if turned else "translation",
    }


def movement_of(shift: "pd.Series[Any]") -> Movement:
    """Movement that a row of shifts describes: as it was applied, vertex by vertex."""
    return Movement(
        dx_m=float(shift["dx_m"]),
        dy_m=float(shift["dy_m"]),
        rotation_rad=float(np.deg2rad(shift["rotation_deg"])),
        scale=1 + float(shift["scale_ppm"]) / 1e6,
        origin_x=float(shift["origin_x_m"]),
        origin_y=float(shift["origin_y_m"]),
    )


def parted(one: Movement, other: Movement, shapes: npt.NDArray[np.object_]) -> float:
    """How far two movements part the vertices, on average, m."""
    here = shapely.get_coordinates(shapes)
    return float(np.hypot(*(one(here) - other(here)).T).mean())
