"""Outlines cut into short edges that know which way is out of their polygon."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from geo.movement import Movement

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Geometries = npt.NDArray[np.object_]
Frame = tuple[Floats, Floats]  # lower left and upper right corner, m

_STEP_M: Final = 8.0  # longest edge
_FAR_OUT: Final = 3.0  # quartile ranges beyond the quartiles (Tukey's outer fence): what lies there is astray
_FAR_OUT_M: Final = 500.0  # and this much more, for a hamlet's sake
_LARGEST_M: Final = 20_000.0


class Edges(NamedTuple):
    """Short pieces of outlines."""

    point: Floats  # n x 2, middle of each, m
    out: Floats  # n x 2, unit vector that leaves the polygon
    length: Floats  # n, m
    of: Rows  # n, polygon of each


def edges(polygons: Geometries, step: float = _STEP_M) -> Edges:
    """Outlines cut into edges of at most ``step`` metres.

    Parameters
    ----------
    polygons : array of Polygon or MultiPolygon, n
        In metres. Empty and missing ones give no edges.
    step : float
        m

    Returns
    -------
    Edges
        In order of polygons and along each ring, holes too.
    """
    shapes, owner = shapely.get_parts(shapely.orient_polygons(polygons), return_index=True)
    rings, of_shape = shapely.get_rings(shapes, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    if not len(xy):
        return Edges(np.empty((0, 2)), np.empty((0, 2)), np.empty(0), np.empty(0, dtype=np.intp))
    x, y = np.ascontiguousarray(xy.T)
    east, north = np.diff(x), np.diff(y)
    length = np.sqrt(east * east + north * north)
    seen = np.flatnonzero((ring[1:] == ring[:-1]) & (length > 0))
    count = np.ceil(length[seen] / step).astype(np.intp)
    side = np.repeat(seen, count)
    nth = np.arange(len(side)) - np.repeat(np.cumsum(count) - count, count)
    parts = np.repeat(count, count)
    share, length, east, north = (nth + 0.5) / parts, length[side], east[side], north[side]
    return Edges(
        _columns(x[side] + share * east, y[side] + share * north),
        _columns(north / length, -east / length),
        length / parts,
        owner[of_shape[ring[side]]],
    )


def _columns(x: Floats, y: Floats) -> Floats:
    """Points as n x 2, each column in one run of memory: numpy is slow over rows of two."""
    return np.stack((x, y)).T


def together(polygons: Geometries) -> npt.NDArray[np.bool_]:
    """Which polygons lie with the others: one that was placed on the far side of the county does not.

    Parameters
    ----------
    polygons : array of Polygon or MultiPolygon, n
        In metres. Empty and missing ones lie nowhere.

    Returns
    -------
    array of bool, n
    """
    bounds = shapely.bounds(polygons)
    inside = np.zeros(len(bounds), dtype=bool)
    drawn = np.isfinite(bounds).all(axis=1)
    if not drawn.any():
        return inside
    low, high = np.quantile(bounds[drawn], (0.25, 0.75), axis=0)
    beyond = _FAR_OUT * float((high - low).max()) + _FAR_OUT_M
    inside[drawn] = ((bounds[drawn] >= low - beyond) & (bounds[drawn] <= high + beyond)).all(axis=1)
    return inside


def by_place(polygons: Geometries) -> Rows:
    """An order that does not know the order of rows."""
    return np.lexsort(shapely.bounds(polygons).T)


def near(polygons: Geometries, frame: Frame) -> Geometries:
    """Those that reach into a frame, by place; one that is larger than any field has a vertex astray."""
    (west, south), (east, north) = frame
    low, high = np.split(shapely.bounds(polygons), 2, axis=1)
    inside = (low <= (east, north)).all(axis=1) & (high >= (west, south)).all(axis=1)
    inside &= (high - low <= _LARGEST_M).all(axis=1)
    return polygons[inside][by_place(polygons[inside])]


def chosen(these: Edges, which: npt.NDArray[np.bool_] | Rows) -> Edges:
    """Edges of a mask, or of rows."""
    rows = np.flatnonzero(which) if which.dtype == bool else which
    point, out = (_columns(*both.T[:, rows]) for both in (these.point, these.out))
    return Edges(point, out, these.length[rows], these.of[rows])


def within(point: Floats, frame: Frame) -> npt.NDArray[np.bool_]:
    """Which points (n x 2) lie in a frame."""
    (west, south), (east, north) = frame
    x, y = point[:, 0], point[:, 1]
    return np.asarray((x >= west) & (x <= east) & (y >= south) & (y <= north))


def thinned(these: Edges, most: int) -> Edges:
    """At most so many edges, evenly out of all."""
    if len(these.of) <= most:
        return these
    return chosen(these, np.linspace(0, len(these.of) - 1, most).astype(np.intp))


def moved(these: Edges, move: Movement) -> Edges:
    """Edges where a movement lays them."""
    cos, sin = np.cos(move.rotation_rad), np.sin(move.rotation_rad)
    return these._replace(point=move(these.point), out=these.out @ np.array([[cos, sin], [-sin, cos]]))
