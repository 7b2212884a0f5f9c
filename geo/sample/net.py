"""Lines that tile the land: smooth borders of a label raster, contours, cuts down the slope.

All linework of a village is noded once and polygonised, so that whatever it
is made of, the faces are an exact partition: neighbours share their points.

Source: Gibson (1998), Constrained elastic surface nets, MICCAI, for the
smoothing of raster borders that cannot cross.
"""

from typing import Any, Final

import numpy as np
import shapely
from numpy.typing import NDArray

from geo.sample.terrain import Floats, Ints

Geometries = NDArray[np.object_]
_GRID_M: Final = 1e-5
_DUST_M2: Final = 1e-6


def one_of(shapes: Geometries) -> shapely.Geometry:
    """Neighbouring shapes as one.

    They lie side by side, which the fast way wants; where one reaches over its
    neighbour by the last digit of a coordinate the slow way does it.
    """
    try:
        return shapely.coverage_union_all(shapes)
    except shapely.GEOSException:
        return shapely.union_all(shapes)


def _unlike(labels: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the side east of each corner, and the one north of it, parts unlike cells."""
    rows, cols = labels.shape
    east = np.zeros((rows + 1, cols + 1), dtype=bool)
    north = np.zeros((rows + 1, cols + 1), dtype=bool)
    east[1:-1, :-1] = labels[:-1] != labels[1:]
    north[:-1, 1:-1] = labels[:, :-1] != labels[:, 1:]
    return east, north


def relaxed_corners(labels: NDArray[Any], pinned: Floats | None = None, rounds: int = 30) -> Floats:
    """Where each cell corner goes when borders between unlike cells are drawn taut.

    A corner stays within half a cell of its place, which keeps borders from
    crossing. What a corner does depends on the cells within ``rounds`` of it
    only, bit for bit, so that two windows agree where they overlap.

    Parameters
    ----------
    labels : array, rows x columns
        Labels; row 0 in the south.
    pinned : array, (rows + 1) x (columns + 1) x 2, optional
        Places given to corners beforehand; NaN where there is none.
    rounds : int
        Times each corner moves to the mean of its neighbours.

    Returns
    -------
    array, (rows + 1) x (columns + 1) x 2
        Offset of each corner from its place, in cells, columns first.
    """
    east, north = _unlike(labels)
    used = east | north
    used[:, 1:] |= east[:, :-1]
    used[1:] |= north[:-1]
    row, col = np.nonzero(used)
    place = np.full(east.shape, len(row), dtype=np.int64)
    place[row, col] = np.arange(len(row))
    # The four neighbours of each corner that a border leads to; one past the end where none does.
    none = len(row)
    last_r, last_c = east.shape[0] - 1, east.shape[1] - 1
    near = np.stack(
        (
            np.where(east[row, col], place[row, np.minimum(col + 1, last_c)], none),
            np.where((col > 0) & east[row, col - 1], place[row, col - 1], none),
            np.where(north[row, col], place[np.minimum(row + 1, last_r), col], none),
            np.where((row > 0) & north[row - 1, col], place[row - 1, col], none),
        )
    )
    real = near < none
    away = np.array([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)])[:, None, :] * real[..., None]
    share = 1.0 / real.sum(axis=0)[:, None]
    moved = np.zeros((none + 1, 2))
    held = np.zeros(none, dtype=bool) if pinned is None else ~np.isnan(pinned[row, col, 0])
    hold = moved[:-1][held] if pinned is None else pinned[row, col][held]
    moved[:-1][held] = hold
    for _ in range(rounds):
        total = (
            (moved[near[0]] + away[0])
            + (moved[near[1]] + away[1])
            + (moved[near[2]] + away[2])
            + (moved[near[3]] + away[3])
        )
        # Half way only: a full step would turn a staircase over and over, never flat.
        moved[:-1] = np.clip(0.4 * moved[:-1] + 0.6 * (total * share), -0.49, 0.49)
        moved[:-1][held] = hold
    offset = np.zeros((*east.shape, 2))
    offset[row, col] = moved[:-1]
    return offset


def net_lines(labels: NDArray[Any], offset: Floats, x0: float, y0: float, cell: float) -> Geometries:
    """Borders between unlike cells as lines from node to node; ``x0, y0`` is the raster's corner."""
    east, north = _unlike(labels)
    rows, cols = np.indices(east.shape)
    points = np.stack((x0 + (cols + offset[..., 0]) * cell, y0 + (rows + offset[..., 1]) * cell), axis=-1)
    pairs = np.concatenate(
        (
            np.stack((points[:, :-1][east[:, :-1]], points[:, 1:][east[:, :-1]]), axis=1),
            np.stack((points[:-1][north[:-1]], points[1:][north[:-1]]), axis=1),
        )
    )
    return merged(pairs)


def merged(pairs: Floats) -> Geometries:
    """Lines made of point pairs (n x 2 x 2) that share ends."""
    if len(pairs) == 0:
        return np.array([], dtype=object)
    return np.asarray(
        shapely.get_parts(
            shapely.line_merge(shapely.multilinestrings(np.asarray(shapely.linestrings(pairs))))
        )
    )


def point_names(points: Floats) -> NDArray[np.uint64]:
    """A 64-bit name of each point that equal points share."""
    bits = (points + 0.0).view(np.uint64)  # + 0.0 makes minus zero plain
    with np.errstate(over="ignore"):
        mixed = bits[:, 0] * np.uint64(0x9E3779B97F4A7C15) ^ (
            bits[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F) >> np.uint64(7)
        )
        return np.asarray(mixed ^ bits[:, 1])


def chained(pairs: Floats) -> Geometries:
    """Lines made of directed point pairs (n x 2 x 2) of which each point starts and ends one at most.

    The same as merging them, in time that hardly grows with the length of a
    line: the place of each pair in its line is found by pointer jumping.
    """
    count = len(pairs)
    if count == 0:
        return np.array([], dtype=object)
    starts, ends = point_names(pairs[:, 0]), point_names(pairs[:, 1])
    order = np.argsort(starts, kind="stable")
    at = np.minimum(np.searchsorted(starts[order], ends), count - 1)
    following = np.where(starts[order][at] == ends, order[at], -1)
    rounds = int(count).bit_length()
    # Rings have no end: each is cut before the first of its pairs.
    is_end = following < 0
    least, jump = np.arange(count), np.where(is_end, np.arange(count), following)
    for _ in range(rounds):
        least = np.minimum(least, least[jump])
        jump = jump[jump]
    in_ring = ~is_end[jump]
    following[in_ring & (following == least)] = -1
    is_end = following < 0
    left, jump = (~is_end).astype(np.int64), np.where(is_end, np.arange(count), following)
    for _ in range(rounds):
        left += left[jump]
        jump = jump[jump]
    order = np.lexsort((-left, jump))
    line = jump[order]
    first = np.concatenate(([True], line[1:] != line[:-1]))
    number = np.cumsum(first) - 1
    # A line has one point more than pairs: the start of its first pair, then the end of each.
    place = np.arange(count) + number + 1
    points = np.empty((count + number[-1] + 1, 2))
    points[place] = pairs[order, 1]
    points[place[first] - 1] = pairs[order[first], 0]
    owner = np.empty(len(points), dtype=np.int64)
    owner[place] = number
    owner[place[first] - 1] = number[first]
    return np.asarray(shapely.linestrings(points, indices=owner))


def contours(
    height: Floats, step: Floats, wanted: NDArray[np.bool_], xs: Floats, ys: Floats, skip: int = 0
) -> Geometries:
    """Contour lines of a grid, at multiples of each cell's own ``step`` (a power of two times one base).

    Parameters
    ----------
    height : array, rows x columns
        Heights at crossings of ``ys`` and ``xs``, m.
    step : array, rows x columns
        Vertical distance of contours, m. Steps that differ by powers of two
        let contours fade in and out without a seam.
    wanted : bool array
        Where contours are drawn.
    xs, ys : arrays
        Places of columns and rows.
    skip : int
        Leave out every contour that is a multiple of ``skip`` steps.

    Returns
    -------
    array of LineString
    """
    base = float(step.min())
    a, b, c, d = height[:-1, :-1], height[:-1, 1:], height[1:, 1:], height[1:, :-1]
    use = wanted[:-1, :-1] & wanted[:-1, 1:] & wanted[1:, 1:] & wanted[1:, :-1]
    row, col = np.nonzero(use)
    corners = np.stack((a[use], b[use], c[use], d[use]), axis=1)
    px = np.stack((xs[col], xs[col + 1], xs[col + 1], xs[col]), axis=1)
    py = np.stack((ys[row], ys[row], ys[row + 1], ys[row + 1]), axis=1)
    cell_step = step[row, col]
    pairs = []
    for triangle in ((0, 1, 2), (0, 2, 3)):
        # A height just on a contour is lifted off it, the same way in every triangle it belongs to.
        h = corners[:, triangle]
        h = np.where(np.abs(h / base - np.round(h / base)) < 1e-9, h + base * 1e-6, h)
        x, y = px[:, triangle], py[:, triangle]
        first = np.floor(h.min(axis=1) / base).astype(np.int64) + 1
        count = np.floor(h.max(axis=1) / base).astype(np.int64) - first + 1
        which = np.repeat(np.arange(len(h)), np.maximum(count, 0))
        number = (
            first[which]
            + np.arange(len(which))
            - np.repeat(np.cumsum(np.maximum(count, 0)) - np.maximum(count, 0), np.maximum(count, 0))
        )
        ratio = np.round(cell_step[which] / base).astype(np.int64)
        keep = number % ratio == 0
        if skip:
            keep &= number % (ratio * skip) != 0
        which, level = which[keep], number[keep] * base
        ends = []
        for i, j in ((0, 1), (1, 2), (2, 0)):
            # From the lower end to the higher, so that both triangles at a side find the same point.
            low = np.where(h[which, i] < h[which, j], i, j)
            high = np.where(h[which, i] < h[which, j], j, i)
            crosses = (h[which, low] < level) & (level < h[which, high])
            t = (level - h[which, low]) / np.where(crosses, h[which, high] - h[which, low], 1)
            point = np.stack(
                (
                    x[which, low] + t * (x[which, high] - x[which, low]),
                    y[which, low] + t * (y[which, high] - y[which, low]),
                ),
                axis=1,
            )
            ends.append((crosses, point))
        (c0, p0), (c1, p1), (_, p2) = ends
        start = np.where(c0[:, None], p0, p1)
        end = np.where((c0 & c1)[:, None], p1, p2)
        # Higher ground lies to the left, so that every contour runs one way.
        peak = h.argmax(axis=1)[which]
        ahead, aside = end - start, np.stack((x[which, peak], y[which, peak]), axis=1) - start
        turned = ahead[:, 0] * aside[:, 1] < ahead[:, 1] * aside[:, 0]
        start, end = np.where(turned[:, None], end, start), np.where(turned[:, None], start, end)
        pairs.append(np.stack((start, end), axis=1))
    return chained(np.concatenate(pairs))


def sample(grid: Floats, xs: Floats, ys: Floats, points: Floats) -> Floats:
    """Values of a grid at points, bilinear; beyond the window that of its edge."""
    col = np.clip((points[:, 0] - xs[0]) / (xs[1] - xs[0]), 0, len(xs) - 1.001)
    row = np.clip((points[:, 1] - ys[0]) / (ys[1] - ys[0]), 0, len(ys) - 1.001)
    c, r = col.astype(np.int64), row.astype(np.int64)
    u, v = col - c, row - r
    south = grid[r, c] * (1 - u) + grid[r, c + 1] * u
    north = grid[r + 1, c] * (1 - u) + grid[r + 1, c + 1] * u
    return np.asarray(south * (1 - v) + north * v)


def downhill(
    height: Floats,
    xs: Floats,
    ys: Floats,
    start: Floats,
    drop: Floats,
    stride: float = 3.0,
    reach: float = 60.0,
) -> Geometries:
    """Lines from points straight down the slope until they have dropped by ``drop`` m, or for ``reach`` m."""
    dy, dx = np.gradient(height, ys[1] - ys[0], xs[1] - xs[0])
    steep = np.maximum(np.hypot(dx, dy), 1e-6)
    dx, dy = dx / steep, dy / steep

    def direction(points: Floats) -> Floats:
        return np.stack((sample(dx, xs, ys, points), sample(dy, xs, ys, points)), axis=1)

    end = sample(height, xs, ys, start) - drop
    track = [start + 0.7 * direction(start), start]
    at, going = start.copy(), np.ones(len(start), dtype=bool)
    lengths = np.full(len(start), 2)
    for _ in range(int(reach / stride)):
        if not going.any():
            break
        at = np.where(going[:, None], at - stride * direction(at), at)
        track.append(at)
        lengths[going] += 1
        going &= sample(height, xs, ys, at) > end
    points = np.stack(track, axis=1)
    mask = np.arange(points.shape[1])[None, :] < lengths[:, None]
    owner = np.repeat(np.arange(len(start)), lengths)
    return np.asarray(shapely.linestrings(points[mask], indices=owner))


def points_along(
    lines: Geometries, spacing: Floats, rng: np.random.Generator, loose: float = 0.25
) -> tuple[Floats, Ints]:
    """Points about ``spacing`` apart along each line, and the number of their line."""
    length = shapely.length(lines)
    count = np.floor(length / spacing + rng.uniform(0.2, 0.8, len(lines))).astype(np.int64)
    which = np.repeat(np.arange(len(lines)), count)
    rank = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    place = (rank + 0.5 + rng.uniform(-loose, loose, len(which))) / np.maximum(count[which], 1)
    points = shapely.line_interpolate_point(lines[which], place, normalized=True)
    return shapely.get_coordinates(points), which


def faces(lines: Geometries) -> Geometries:
    """Faces of all the lines together, noded where they cross; loose ends are left out.

    Where lines all but coincide, faces thinner than any land come out and
    others go missing; then all is noded anew on a grid of a hundredth of a millimetre.
    """
    together = shapely.multilinestrings(shapely.get_parts(lines))
    for grid in (None, _GRID_M):
        noded = shapely.unary_union(together, grid_size=grid)
        made = np.asarray(shapely.get_parts(shapely.polygonize(shapely.get_parts(noded))))
        if (shapely.area(made) > _DUST_M2).all():
            break
    return made


def shared_edges(polygons: Geometries) -> tuple[Ints, Ints, Floats]:
    """Pairs of polygons with a common border, and its length; borders must share their points."""
    rings, owner = shapely.get_rings(polygons, return_index=True)
    points, ring = shapely.get_coordinates(rings, return_index=True)
    name = point_names(points)
    inner = ring[1:] == ring[:-1]
    a, b = name[:-1][inner], name[1:][inner]
    with np.errstate(over="ignore"):
        key = np.minimum(a, b) * np.uint64(31) + np.maximum(a, b)
    length = np.hypot(*(points[1:] - points[:-1]).T)[inner]
    whose = owner[ring[:-1][inner]]
    order = np.argsort(key, kind="stable")
    same = key[order][1:] == key[order][:-1]
    first, second = whose[order[:-1][same]], whose[order[1:][same]]
    return first, second, length[order[:-1][same]]


def absorb(
    polygons: Geometries, kind: Ints, least_m2: Floats, may: Floats, *, own_kind: bool = False
) -> tuple[Geometries, Ints]:
    """Polygons with the too small ones joined to the neighbour they share most border with.

    Parameters
    ----------
    polygons : array of Polygon, n
        An exact partition.
    kind : array of int, n
        A neighbour of the same kind is preferred four to one.
    least_m2 : array, n
        Smaller polygons are joined.
    may : array, n
        Weight of a polygon as a taker of another kind: 0 never takes, 1 takes.
    own_kind : bool
        Whether a polygon may be joined to one of its own kind only.

    Returns
    -------
    (array of Polygon, array of int)
        The polygons left, and for each the number of the polygon it grew from.
    """
    first, second, length = shared_edges(polygons)
    first, second, length = (
        np.concatenate((first, second)),
        np.concatenate((second, first)),
        np.tile(length, 2),
    )
    area = shapely.area(polygons)
    group = np.arange(len(polygons))
    for _ in range(6):
        sums = np.bincount(group, weights=area, minlength=len(polygons))
        a, b = group[first], group[second]
        rank = sums + np.arange(len(polygons)) * 1e-9
        fit = (a != b) & (sums[a] < least_m2[a]) & (may[b] > 0) & (rank[a] < rank[b])
        if own_kind:
            fit &= kind[a] == kind[b]
        if not fit.any():
            break
        pair = a[fit] * len(polygons) + b[fit]
        pairs, place = np.unique(pair, return_inverse=True)
        border = np.bincount(place, weights=length[fit])
        small, taker = np.divmod(pairs, len(polygons))
        # Its own kind takes a polygon gladly, whatever it may otherwise take.
        pull = border * np.where(kind[small] == kind[taker], 4.0, may[taker])
        order = np.lexsort((taker, -pull, small))
        chosen = order[np.concatenate(([True], small[order][1:] != small[order][:-1]))]
        parent = np.arange(len(polygons))
        parent[small[chosen]] = taker[chosen]
        while (parent[parent] != parent).any():
            parent = parent[parent]
        group = parent[group]
    return dissolve(polygons, group)


def runs(polygons: Geometries, kind: Ints) -> Ints:
    """Group number of each polygon: neighbours of the same kind belong together."""
    first, second, _ = shared_edges(polygons)
    same = kind[first] == kind[second]
    first, second = first[same], second[same]
    group = np.arange(len(polygons))
    while True:
        low = np.minimum(group[first], group[second])
        new = group.copy()
        np.minimum.at(new, first, low)
        np.minimum.at(new, second, low)
        new = new[new]
        if (new == group).all():
            return group
        group = new


def dissolve(polygons: Geometries, group: Ints) -> tuple[Geometries, Ints]:
    """Polygons of an exact partition united by group, in order of group; and the groups."""
    order = np.argsort(group, kind="stable")
    names, start = np.unique(group[order], return_index=True)
    members = np.split(polygons[order], start[1:])
    united = [m[0] if len(m) == 1 else one_of(m) for m in members]
    return np.array(united, dtype=object), names
