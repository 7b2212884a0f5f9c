"""Land that two polygons have in common, measured without drawing it.

An overlay builds the rings of what is common and then takes their area; where
only the area is asked, it follows from the edges themselves: of every edge of
the one polygon and every edge of the other, what lies over the first and under
the second counts, for or against as the two run. No points are snapped and no
rings are built, and nothing is shared with the overlay that the answer may be
used to prove.
"""

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

Geometries = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_POLYGON: Final = 3  # shapely's type number
_BATCH: Final = 100_000  # edges, or pairs of them, looked at together: some 10 MB
_FEW: Final = 20  # pairs of edges to an edge, up to which all are looked at
_SPARE: Final = 1e-3  # of a unit of the CRS: places are sorted by keys that are less exact than they are


class _Outlines(NamedTuple):
    """Edges of polygons, each from its west end to its east end; those that run due north are left out."""

    begin: tuple[Floats, Floats]  # x and y of the west end
    end: tuple[Floats, Floats]  # of the east end
    sign: Floats  # 1 where the polygon lies over the edge, -1 where it lies under it
    first: Rows  # edge each polygon begins with ...
    size: Rows  # ... and how many it has
    frame: Floats  # west, south, east, north of each polygon; NaN for an empty one


def common_area(left: Geometries, at: npt.ArrayLike, right: Geometries, to: npt.ArrayLike) -> Floats:
    """Area that ``left[at[n]]`` and ``right[to[n]]`` have in common.

    Parameters
    ----------
    left, right : array of Polygon or MultiPolygon
        Valid, in one projected CRS; anything else has no area.
    at, to : array-like of int, n rows
        Positions in them; each geometry is taken apart once, however often it is named.

    Returns
    -------
    ndarray of float64, n rows, in units of the CRS squared
        Of those that do not meet 0, of those that only touch 0 but for what floats leave (1e-9 m²).
    """
    mine, rows = np.unique(np.asarray(at, dtype=np.intp), return_inverse=True)
    theirs, others = np.unique(np.asarray(to, dtype=np.intp), return_inverse=True)
    first, second = _outlines(left[mine]), _outlines(right[theirs])
    out = np.zeros(len(rows))
    for batch in _batches(first.size[rows] + second.size[others]):
        out[batch] = _common(first, rows[batch], second, others[batch])
    return np.maximum(out, 0.0)


def _outlines(polygons: Geometries) -> _Outlines:
    shapes = shapely.orient_polygons(polygons)
    manifold = shapely.get_type_id(shapes) != _POLYGON
    manifold[~manifold] = shapely.get_num_interior_rings(shapes[~manifold]) > 0
    plain, several = np.flatnonzero(~manifold), np.flatnonzero(manifold)
    # Most polygons are one ring and need not be taken apart.
    parts, part = shapely.get_parts(shapes[several], return_index=True)
    rings, of_ring = shapely.get_rings(parts, return_index=True)
    rest, nth = shapely.get_coordinates(rings, return_index=True)
    xy, owner = shapely.get_coordinates(shapes[plain], return_index=True)
    ring = np.concatenate([owner, nth + len(plain)])
    owner = np.concatenate([plain[owner], several[part[of_ring[nth]]]])
    xy = np.concatenate([xy, rest])
    there = np.flatnonzero((ring[1:] == ring[:-1]) & (xy[1:, 0] != xy[:-1, 0]))
    east = xy[there + 1, 0] > xy[there, 0]
    size = np.bincount(owner[there], minlength=len(shapes))
    in_turn = np.concatenate([plain, several])
    first = np.empty(len(shapes), dtype=np.intp)
    first[in_turn] = np.cumsum(size[in_turn]) - size[in_turn]
    return _Outlines(
        begin=(xy[there + ~east, 0], xy[there + ~east, 1]),
        end=(xy[there + east, 0], xy[there + east, 1]),
        sign=np.where(east, 1.0, -1.0),
        first=first,
        size=size,
        frame=shapely.bounds(shapes),
    )


def _batches(size: Rows) -> list[slice]:
    """Runs of rows of about ``_BATCH`` in all, at least one row each."""
    cuts = np.flatnonzero(np.diff(np.cumsum(size) // _BATCH)) + 1
    return [slice(start, stop) for start, stop in pairwise([0, *cuts.tolist(), len(size)]) if stop > start]


class _Edges(NamedTuple):
    of: Rows  # the pair each belongs to
    west: Floats
    east: Floats
    height: Floats  # at the west end
    slope: Floats
    sign: Floats


def _common(left: _Outlines, rows: Rows, right: _Outlines, others: Rows) -> Floats:
    mine, theirs = left.frame[rows], right.frame[others]
    low, high = np.maximum(mine[:, :2], theirs[:, :2]), np.minimum(mine[:, 2:], theirs[:, 2:])
    meet = (high > low).all(axis=1)
    # Only edges under the other's top, or over its foot, count: least is left where the upper polygon asks.
    upper = mine[:, 1] >= theirs[:, 1]
    out = np.zeros(len(rows))
    for here, asking, asked in (
        (np.flatnonzero(meet & upper), (left, rows, mine), (right, others, theirs)),
        (np.flatnonzero(meet & ~upper), (right, others, theirs), (left, rows, mine)),
    ):
        if here.size:
            frame = (low[here, 0], high[here, 0])
            floor = low[here, 1]
            under = _reaching(asking[0], asking[1][here], frame, floor, below=asked[2][here, 3])
            over = _reaching(asked[0], asked[1][here], frame, floor, above=asking[2][here, 1])
            out[here] = _between(under, over, len(here))
    return out


def _reaching(  # noqa: PLR0913 - polygons, the frames to look in, and how high or low
    lines: _Outlines,
    rows: Rows,
    frame: tuple[Floats, Floats],
    floor: Floats,
    *,
    below: Floats | float = np.inf,
    above: Floats | float = -np.inf,
) -> _Edges:
    """Edges of each row's polygon that reach between west and east of its frame, and below or above a height."""
    size = lines.size[rows]
    nth, of = _ragged(lines.first[rows], size)
    near = (lines.end[0][nth] > np.repeat(frame[0], size)) & (lines.begin[0][nth] < np.repeat(frame[1], size))
    nth, of = nth[near], of[near]
    y, y_end = lines.begin[1][nth], lines.end[1][nth]
    near = np.ones(len(of), dtype=np.bool_)
    if isinstance(below, np.ndarray):
        near &= np.minimum(y, y_end) < below[of]
    if isinstance(above, np.ndarray):
        near &= np.maximum(y, y_end) > above[of]
    nth, of, y, y_end = nth[near], of[near], y[near], y_end[near]
    # Small numbers, counted from the frame, lose no digits.
    west, east = lines.begin[0][nth] - frame[0][of], lines.end[0][nth] - frame[0][of]
    return _Edges(of, west, east, y - floor[of], (y_end - y) / (east - west), lines.sign[nth])


def _ragged(first: Rows, size: Rows) -> tuple[Rows, Rows]:
    """Positions of runs that begin at ``first``, one run after another, and the run each belongs to."""
    of = np.repeat(np.arange(len(size)), size)
    return np.arange(len(of)) + (first - (np.cumsum(size) - size))[of], of


def _between(under: _Edges, over: _Edges, count: int) -> Floats:
    """Of each pair, the land over edges of ``under`` and under edges of ``over``, with its sign."""
    over, begin, size = _facing(under, over, count)
    out = np.zeros(count)
    for batch in _batches(size):
        other, edge = _ragged(begin[batch], size[batch])
        edge += batch.start
        west, east = (
            np.maximum(under.west[edge], over.west[other]),
            np.minimum(under.east[edge], over.east[other]),
        )
        both = np.flatnonzero(east > west)
        edge, other, west, east = edge[both], other[both], west[both], east[both]
        start = over.height[other] - under.height[edge]
        gap = (
            start
            + over.slope[other] * (west - over.west[other])
            - under.slope[edge] * (west - under.west[edge])
        )
        far = (
            start
            + over.slope[other] * (east - over.west[other])
            - under.slope[edge] * (east - under.west[edge])
        )
        open_ = np.maximum(gap, 0.0) + np.maximum(far, 0.0)
        crossing = (gap < 0) != (far < 0)  # then a triangle is left
        share = np.ones(len(edge))
        share[crossing] = open_[crossing] / np.abs(gap[crossing] - far[crossing])
        land = under.sign[edge] * over.sign[other] * (east - west) * open_ * share
        out -= np.bincount(under.of[edge], land, count) / 2
    return out


def _facing(under: _Edges, over: _Edges, count: int) -> tuple[_Edges, Rows, Rows]:
    """Edges of ``over``, and where among them those begin that each of ``under`` may face, and how many they are."""
    size = np.bincount(over.of, minlength=count)
    begin = (np.cumsum(size) - size)[under.of]
    if size[under.of].sum() <= _FEW * (len(under.of) + len(over.of)):
        return over, begin, size[under.of]
    # Many to a pair: in order from west to east, those that begin too far off are passed over.
    west = np.maximum(over.west, 0.0)
    longest = np.zeros(count)
    np.maximum.at(longest, over.of, over.east - west)
    stride = (
        max(over.west.max(), under.east.max()) + longest.max() + 1.0
    )  # pairs one after another on one line
    key = over.of * stride + west
    order = np.argsort(key, kind="stable")
    key = key[order]
    start = under.of * stride
    first = np.searchsorted(key, start + np.maximum(under.west - longest[under.of], 0.0) - _SPARE)
    last = np.searchsorted(key, start + under.east + _SPARE)
    first = np.maximum(first, begin)
    last = np.minimum(last, begin + size[under.of])
    in_order = _Edges(
        of=over.of[order],
        west=over.west[order],
        east=over.east[order],
        height=over.height[order],
        slope=over.slope[order],
        sign=over.sign[order],
    )
    return in_order, first, np.maximum(last - first, 0)
