"""Stairs of a building of many homes: its footprint in as many equal parts as it has stairs.

A tower of three stairs with twenty households each is three homes, not one:
a grid may take a stair, though never half of one.
"""

from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.grids.numerals import number_in

Geometries = npt.NDArray[np.object_]

_LAST: Final = 10**9  # a stair without a number comes behind the others


def stair_order(stair: str) -> tuple[int, str]:
    """What stairs are sorted by: their number, in digits or Chinese, then their name."""
    number = number_in(stair)
    return (_LAST if number is None else number), stair


def stair_points(footprints: Geometries, stairs: "pd.Series[str]") -> Geometries:
    """A point for each row that stands for a stair of a building whose other stairs are rows too.

    Parameters
    ----------
    footprints : array of geometries, n rows, m
        Rows of one building have one footprint, corner for corner.
    stairs : Series of str, n rows
        Name of the stair; empty where a row is a whole building.

    Returns
    -------
    array of Point or None, n rows
        None where a row is not one of several stairs. Stairs are numbered from west to east, or
        from north to south along a building that stands so.
    """
    points = np.full(len(footprints), None, dtype=object)
    rows = np.flatnonzero(np.isin(shapely.get_type_id(footprints), (3, 6)) & stairs.ne("").to_numpy())
    shape = shapely.to_wkb(shapely.normalize(footprints[rows]))
    table = pd.DataFrame({"row": rows, "shape": shape, "stair": stairs.to_numpy()[rows]})
    for _, building in table.groupby("shape", sort=False):
        names = sorted(building["stair"].unique(), key=stair_order)
        if len(names) > 1:
            found = dict(
                zip(names, _parts_points(footprints[building["row"].iloc[0]], len(names)), strict=True)
            )
            points[building["row"].to_numpy()] = [found[name] for name in building["stair"]]
    return points


def inside_points(shapes: Geometries) -> Geometries:
    """The centroid of each shape where it lies inside, else some point that does; points as they are."""
    middle = np.asarray(shapely.centroid(shapes), dtype=object)
    inside = shapely.contains_properly(shapes, middle) | np.isin(shapely.get_type_id(shapes), (0,))
    return np.where(inside, middle, shapely.point_on_surface(shapes))


def _parts_points(footprint: shapely.Geometry, count: int) -> Geometries:
    """A point in each of ``count`` strips of equal width across the long axis."""
    shape = max(shapely.get_parts(shapely.normalize(footprint)), key=lambda part: (part.area, part.wkb_hex))
    corners = shapely.get_coordinates(shapely.oriented_envelope(shape))
    sides = np.diff(corners[:3], axis=0) if len(corners) > 3 else np.array([[1.0, 0.0]])  # noqa: PLR2004 - a ring
    along = sides[np.argmax(np.hypot(*sides.T))]
    along = along / np.hypot(*along)
    turned = along[0] < 0 if abs(along[0]) >= abs(along[1]) else along[1] > 0
    along = -along if turned else along
    across = np.array([-along[1], along[0]])
    origin = shapely.get_coordinates(shape.centroid)[0]
    local = shapely.get_coordinates(shape) - origin
    cuts = np.linspace((local @ along).min(), (local @ along).max(), count + 1)
    reach = np.abs(local).max() * 2 + 1
    strips = np.array(
        [
            shapely.Polygon(
                origin + np.array([[a, -reach], [b, -reach], [b, reach], [a, reach]]) @ [along, across]
            )
            for a, b in pairwise(cuts.tolist())
        ]
    )
    return inside_points(np.asarray(shapely.intersection(shape, strips), dtype=object))
