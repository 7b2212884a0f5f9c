"""Homes of which only the group is known, spread over the land where its houses stand.

Each home takes a place by a number made of its own key, so that it stays where
it is when others come and go; only homes that fall on one place step aside.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import shapely

Geometries = npt.NDArray[np.object_]

STEP_M: Final = 10.0  # between places: about a house's breadth
_MOST_PLACES: Final = 20_000  # on wide land places lie wider apart


def spread(keys: Sequence[str], land: Geometries) -> Geometries:
    """A point on the land for each key.

    Parameters
    ----------
    keys : sequence of str, n
        Each once.
    land : array of polygons, at least one, m
        Where the homes may be.

    Returns
    -------
    array of Point, n
        On a lattice that does not depend on the keys; two at one place only where there
        are more homes than places.
    """
    places = _lattice(land)
    order = sorted(range(len(keys)), key=lambda at: keys[at])
    taken = np.zeros(len(places), dtype=np.int64)
    out = np.full(len(keys), None, dtype=object)
    for number, at in enumerate(order):
        layers = number // len(places)
        slot = int.from_bytes(hashlib.blake2b(keys[at].encode(), digest_size=8).digest()) % len(places)
        while taken[slot] > layers:
            slot = (slot + 1) % len(places)
        taken[slot] += 1
        out[at] = places[slot]
    return out


def _lattice(land: Geometries) -> Geometries:
    """Places on the land in rows from the south-west; a point of each polygon where it is too small for any."""
    whole = shapely.union_all(land)
    step = max(STEP_M, float(np.sqrt(whole.area / _MOST_PLACES)))
    west, south, east, north = whole.bounds
    x = np.arange(np.ceil(west / step), np.floor(east / step) + 1) * step
    y = np.arange(np.ceil(south / step), np.floor(north / step) + 1) * step
    grid = np.asarray(shapely.points(*(part.ravel() for part in np.meshgrid(x, y))), dtype=object)
    shapely.prepare(whole)
    inside = grid[shapely.contains_properly(whole, grid)] if len(grid) else grid
    if len(inside):
        return inside
    parts = shapely.get_parts(shapely.normalize(whole))
    return np.asarray(shapely.point_on_surface(parts), dtype=object)
