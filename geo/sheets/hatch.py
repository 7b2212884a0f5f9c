"""Hatching of polygons: parallel strokes that tell classes apart where colour does not print."""

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

Floats = npt.NDArray[np.float64]


def hatch(polygons: npt.NDArray[Any], *, spacing_mm: float, angle_deg: float) -> Floats:
    """Strokes across polygons, the same distance apart on the whole page.

    Parameters
    ----------
    polygons : array of n polygons or multipolygons, mm
        Holes stay blank. Missing and empty ones have no strokes.
    spacing_mm : float
        Between two strokes.
    angle_deg : float
        Of the strokes, counter-clockwise from the right.

    Returns
    -------
    array, m x 2 x 2
        Ends of each stroke.
    """
    parts, of = shapely.get_parts(polygons, return_index=True)
    flat = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    rings, part = shapely.get_rings(parts[flat], return_index=True)
    polygon = of[flat][part]
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    if not len(xy):
        return np.empty((0, 2, 2))
    turn = np.deg2rad(angle_deg)
    along, across = xy @ [np.cos(turn), np.sin(turn)], xy @ [-np.sin(turn), np.cos(turn)] / spacing_mm
    same = ring[1:] == ring[:-1]
    u0, u1, v0, v1 = along[:-1][same], along[1:][same], across[:-1][same], across[1:][same]
    owner = polygon[ring[:-1][same]]
    # An edge is crossed by the strokes whose number lies between its ends, the upper end left out.
    first = np.ceil(np.minimum(v0, v1)).astype(np.int64)
    count = np.maximum(np.ceil(np.maximum(v0, v1)).astype(np.int64) - first, 0)
    edge = np.repeat(np.arange(len(count)), count)
    stroke = first[edge] + np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    at = u0[edge] + np.clip((stroke - v0[edge]) / (v1[edge] - v0[edge]), 0, 1) * (u1[edge] - u0[edge])
    order = np.lexsort((at, stroke, owner[edge]))
    at, height = at[order], stroke[order] * spacing_mm
    return np.stack([_turned(at[0::2], height[0::2], turn), _turned(at[1::2], height[1::2], turn)], axis=1)


def _turned(along: Floats, across: Floats, turn: float) -> Floats:
    return np.column_stack(
        [along * np.cos(turn) - across * np.sin(turn), along * np.sin(turn) + across * np.cos(turn)]
    )
