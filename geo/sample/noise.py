"""Parcels as another hand drew them: borders moved by a smooth error of known length.

Each parcel has an error of its own: along its ring a vector whose length
swings between two limits and whose direction turns slowly. Neighbours drawn
like that leave gaps and overlaps, as contract parcels beside the survey do.
"""

from typing import Final

import numpy as np
import shapely

from geo.sample.net import Geometries
from geo.sample.terrain import Floats, Ints

_POINTS: Final = 16  # about the fewest a digitised ring has
_TRIES: Final = 5


def dense_rings(polygons: Geometries) -> tuple[Floats, Ints, Floats]:
    """Points of the outer rings, with points added on long sides of rings that have few.

    Parameters
    ----------
    polygons : array of Polygon, n

    Returns
    -------
    (points x 2, ring of each point, place of each point along its ring in 0..1)
        Rings are open: the first point is not repeated.
    """
    points, ring = shapely.get_coordinates(shapely.get_exterior_ring(polygons), return_index=True)
    last = np.append(ring[1:] != ring[:-1], True)
    start, end, owner = points[~last], points[1:][~last[:-1]], ring[~last]
    length = np.hypot(*(end - start).T)
    count = np.bincount(owner, minlength=len(polygons))
    whole = np.bincount(owner, weights=length, minlength=len(polygons))
    target = whole / np.maximum(_POINTS - 0.6 * count, 4)
    pieces = np.maximum(np.rint(length / target[owner]), 1).astype(np.int64)
    side = np.repeat(np.arange(len(start)), pieces)
    step = np.arange(len(side)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    share = (step / pieces[side])[:, None]
    made = start[side] + share * (end[side] - start[side])
    before = np.cumsum(length) - length
    first = np.searchsorted(owner, np.arange(len(polygons)))
    run = before[side] + share[:, 0] * length[side] - before[np.minimum(first, len(before) - 1)][owner[side]]
    return made, owner[side], run / whole[owner[side]]


def displacement(
    place: Floats, ring: Ints, count: int, limits: tuple[float, float], rng: np.random.Generator
) -> Floats:
    """Error of each point of ``count`` rings: a vector of a length within ``limits``, smooth along the ring."""
    low, high = limits
    turn = 2 * np.pi * place
    phase = rng.uniform(0, 2 * np.pi, (6, count))
    size = rng.dirichlet((1.0, 1.0, 1.0), count).T
    swing = sum(size[k, ring] * np.sin((k + 1) * turn + phase[k, ring]) for k in range(3))
    length = low + (high - low) * (0.5 + 0.5 * swing)
    reach = rng.uniform(0.3, 1.3, (2, count))
    angle = (
        phase[3, ring]
        + reach[0, ring] * np.sin(turn + phase[4, ring])
        + 0.5 * reach[1, ring] * np.sin(2 * turn + phase[5, ring])
    )
    return np.stack((length * np.cos(angle), length * np.sin(angle)), axis=1)


def digitised(polygons: Geometries, limits: tuple[float, float], rng: np.random.Generator) -> Geometries:
    """Polygons drawn anew, each point of the border off by a distance within ``limits`` (m).

    Parameters
    ----------
    polygons : array of Polygon, n
        Without holes.
    limits : (float, float)
        Least and greatest error, m.
    rng : Generator

    Returns
    -------
    array of Polygon, n
        Valid; where an error would fold a thin parcel over, it is drawn again,
        at last with one error for the whole parcel.
    """
    if not len(polygons):
        return polygons
    points, ring, place = dense_rings(polygons)
    moved = points + displacement(place, ring, len(polygons), limits, rng)
    drawn = np.asarray(shapely.polygons(shapely.linearrings(moved, indices=ring)))
    for attempt in range(_TRIES):
        bad = np.flatnonzero(~shapely.is_valid(drawn))
        if not len(bad):
            break
        mine = np.isin(ring, bad)
        again = np.searchsorted(bad, ring[mine])
        move = displacement(place[mine], again, len(bad), limits, rng)
        if attempt == _TRIES - 1:
            first = np.searchsorted(again, np.arange(len(bad)))
            move = move[first][again]
        drawn[bad] = shapely.polygons(shapely.linearrings(points[mine] + move, indices=again))
    return drawn
