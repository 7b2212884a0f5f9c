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


def edges(polygons: Geometries, step: float = _STEP_M, most: int | None = None) -> Edges:
    """Outlines cut into edges of at most ``step`` metres.

    Parameters
    ----------
    polygons : array of Polygon or MultiPolygon, n
        In metres. Empty and missing ones give no edges.
    step : float
        m
    most : int, optional
        Where there would be more edges, so many of them, evenly out of all.

    Returns
    -------
    Edges
        In order of polygons and along each ring, holes too.
    """
    xy = shapely.get_coordinates(polygons)
    if not len(xy):
        return Edges(np.empty((0, 2)), np.empty((0, 2)), np.empty(0), np.empty(0, dtype=np.intp))
    x, y = np.ascontiguousarray(xy.T)
    size, owner, hole = _rings(polygons)
    first = np.cumsum(size) - size
    east, north = np.diff(x, append=x[:1]), np.diff(y, append=y[:1])
    last = first + size - 1
    east[last] = north[last] = 0.0  # from one ring to the next there is no side
    # Twice the area, from the first point of all: against the clock it is positive.
    turns = np.add.reduceat((x - x[0]) * north - (y - y[0]) * east, first) >= 0
    outward = np.where(turns != hole, 1.0, -1.0)
    length = np.sqrt(east * east + north * north)
    count = np.ceil(length / step).astype(np.intp)
    until = np.cumsum(count)
    total = int(until[-1])
    which = np.arange(total)
    if most is not None and total > most:
        which = np.linspace(0, total - 1, most).astype(np.intp)
    side = np.repeat(np.arange(len(x)), count)[which]
    nth = which - (until - count)[side]
    ring = np.repeat(np.arange(len(size)), size)[side]
    share = (nth + 0.5) / count[side]
    east, north, length = east[side], north[side], length[side]
    unit = outward[ring] / length
    return Edges(
        _columns(x[side] + share * east, y[side] + share * north),
        _columns(north * unit, -east * unit),
        length / count[side],
        owner[ring],
    )


def _rings(polygons: Geometries) -> tuple[Rows, Rows, npt.NDArray[np.bool_]]:
    """Points of each ring in the order of the coordinates, its polygon, and whether it is a hole."""
    # To take polygons apart is slow, and of most fields there is nothing to take apart.
    plain = shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON
    plain &= shapely.get_num_interior_rings(polygons) == 0
    whole, several = np.flatnonzero(plain), np.flatnonzero(~plain)
    shapes, of_several = shapely.get_parts(polygons[several], return_index=True)
    rings, of_shape = shapely.get_rings(shapes, return_index=True)
    size = shapely.get_num_coordinates(np.concatenate([polygons[whole], rings]))
    owner = np.concatenate([whole, several[of_several[of_shape]]])
    hole = np.zeros(len(size), dtype=bool)
    hole[len(whole) + 1 :] = of_shape[1:] == of_shape[:-1]
    order = np.argsort(owner, kind="stable")
    order = order[size[order] > 0]
    return size[order].astype(np.intp), owner[order].astype(np.intp), hole[order]


def _columns(x: Floats, y: Floats) -> Floats:
    """Points as n x 2, each column in one run of memory: numpy is slow over rows of two."""
    return np.stack((x, y)).T


def together(bounds: Floats) -> npt.NDArray[np.bool_]:
    """Which polygons lie with the others: one that was placed on the far side of the county does not.

    Parameters
    ----------
    bounds : array, n x 4
        Of the polygons, in metres. Empty and missing ones, whose bounds are NaN, lie nowhere.

    Returns
    -------
    array of bool, n
    """
    inside = np.zeros(len(bounds), dtype=bool)
    drawn = np.isfinite(bounds).all(axis=1)
    if not drawn.any():
        return inside
    low, high = np.quantile(np.ascontiguousarray(bounds[drawn].T), (0.25, 0.75), axis=1)
    beyond = _FAR_OUT * float((high - low).max()) + _FAR_OUT_M
    inside[drawn] = ((bounds[drawn] >= low - beyond) & (bounds[drawn] <= high + beyond)).all(axis=1)
    return inside


def by_place(bounds: Floats) -> Rows:
    """An order of polygons by their bounds (n x 4), which does not know the order of rows."""
    return np.lexsort(bounds.T)


def near(polygons: Geometries, frame: Frame) -> Geometries:
    """Those that reach into a frame, by place; one that is larger than any field has a vertex astray."""
    (west, south), (east, north) = frame
    bounds = shapely.bounds(polygons)
    low, high = np.split(bounds, 2, axis=1)
    inside = (low <= (east, north)).all(axis=1) & (high >= (west, south)).all(axis=1)
    inside &= (high - low <= _LARGEST_M).all(axis=1)
    return polygons[inside][by_place(bounds[inside])]


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
