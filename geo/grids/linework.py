"""Land cut by lines: many lines noded into one net, and the faces the net encloses.

A net is a table of short segments between points of a fine square grid, each
point one whole number. Two faces that touch share their segments to the bit,
so a tiling is kept exactly however faces are joined, and every table is in one
order, whatever order the lines came in.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from geo.errors import BalanceError
from geo.grids.kernel import compiled

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Geometries = npt.NDArray[np.object_]

NOWHERE: Final = -1  # the face beyond a net's outer segments
_BITS: Final = 31  # of a point's number for each of its coordinates
_FINEST: Final = -17  # power of two of the finest grid: 8 micrometres
_MARGIN_M: Final = 8.0  # lines are kept this far around the land


class Mesh(NamedTuple):
    """The square grid points lie on."""

    x: float  # of its lower left corner, m
    y: float
    step: float  # m


class Net(NamedTuple):
    """Noded segments, each once, sorted; a point is one number."""

    start: Ints  # m
    end: Ints  # m; greater than start


class Faces(NamedTuple):
    """What a net encloses, and which two faces each segment lies between."""

    shapes: Geometries  # n Polygons, in metres from the mesh's corner, sorted by place
    inner: Geometries  # n Points inside them
    net: Net  # the segments of their rings
    sides: Ints  # m x 2: faces beside each segment, NOWHERE beyond the land; the second is never less


def mesh_of(land: Geometries) -> Mesh:
    """A mesh fine enough for some land, so that coordinates fit a number.

    Parameters
    ----------
    land : array of polygons
        In metres.
    """
    low_x, low_y, high_x, high_y = shapely.total_bounds(land)
    extent = max(high_x - low_x, high_y - low_y) + 4 * _MARGIN_M
    power = max(_FINEST, int(np.ceil(np.log2(extent))) - _BITS + 1)
    corner = np.floor(np.array([low_x, low_y]) - 2 * _MARGIN_M)
    return Mesh(float(corner[0]), float(corner[1]), float(2.0**power))


def points(mesh: Mesh, xy: Floats) -> Ints:
    """Numbers of the mesh points nearest to places, given in metres from the mesh's corner."""
    whole = np.rint(xy / mesh.step).astype(np.int64)
    return (whole[..., 0] << _BITS) | whole[..., 1]


def places(mesh: Mesh, numbers: Ints) -> Floats:
    """Places of points, in metres from the mesh's corner."""
    both = np.stack([numbers >> _BITS, numbers & ((1 << _BITS) - 1)], axis=-1)
    return both * mesh.step


def net_of(start: Ints, end: Ints) -> Net:
    """Segments each once, the lesser end first, sorted; those of no length are gone."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    low, high = low[low != high], high[low != high]
    order = np.lexsort((high, low))
    low, high = low[order], high[order]
    first = np.ones(len(low), dtype=bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return Net(low[first], high[first])


def joined_nets(*nets: Net) -> Net:
    """Segments of several nets as one; they are not noded against each other."""
    return net_of(np.concatenate([net.start for net in nets]), np.concatenate([net.end for net in nets]))


def net_of_lines(mesh: Mesh, lines: Geometries) -> Net:
    """Segments of lines and polygons' rings, rounded to the mesh and not yet noded.

    Parameters
    ----------
    lines : array of geometries
        In metres from the mesh's corner; points are passed over. What lies far
        outside the mesh must have been clipped before.
    """
    flat = shapely.get_parts(shapely.get_parts(lines[~shapely.is_missing(lines)]))
    area = shapely.get_dimensions(flat) == 2  # noqa: PLR2004, land has two dimensions
    strings = np.concatenate([shapely.get_rings(flat[area]), flat[~area]])
    xy, of = shapely.get_coordinates(strings, return_index=True)
    number = points(mesh, xy)
    same = of[1:] == of[:-1]
    return net_of(number[:-1][same], number[1:][same])


def near_lines(shapes: Geometries, land: Geometries) -> Geometries:
    """Rings and lines of shapes, as far as they come near some land, all in metres from the mesh's corner."""
    low_x, low_y, high_x, high_y = shapely.total_bounds(land)
    box = shapely.box(low_x - _MARGIN_M, low_y - _MARGIN_M, high_x + _MARGIN_M, high_y + _MARGIN_M)
    near = shapes[~shapely.is_missing(shapes) & shapely.intersects(box, shapes)]
    area = shapely.get_dimensions(near) == 2  # noqa: PLR2004, land has two dimensions
    near = np.concatenate([shapely.boundary(near[area]), near[~area]])
    outer = ~shapely.covers(box, near)
    near[outer] = shapely.clip_by_rect(near[outer], *box.bounds)
    return near


def moved(shapes: Geometries, east: float, north: float) -> Geometries:
    """Shapes moved as they are."""
    return shapely.transform(shapes, lambda xy: xy + np.array([east, north]))


def local(shapes: Geometries, mesh: Mesh) -> Geometries:
    """Shapes in two dimensions and metres from the mesh's corner."""
    return moved(shapely.force_2d(shapes), -mesh.x, -mesh.y)


def noded(mesh: Mesh, net: Net, *, apart: int = 1) -> Net:
    """A net whose segments meet only in their ends: cut wherever two cross, rounded to the mesh.

    Parameters
    ----------
    mesh : Mesh
    net : Net
    apart : int
        Points and segments that do not touch are at least half so many steps of
        the mesh apart: room for points to be set between them later.
    """
    return net_of_lines(
        mesh, shapely.get_parts(shapely.union_all(chained(mesh, net), grid_size=apart * mesh.step))
    )


def chained(mesh: Mesh, net: Net) -> Geometries:
    """Segments as lines as long as they can be: up to points where not just two meet, or all around."""
    corners, number = np.unique(np.concatenate([net.start, net.end]), return_inverse=True)
    m = len(net.start)
    at = np.argsort(number, kind="stable")
    begin = np.searchsorted(number[at], np.arange(len(corners) + 1))
    order, first = _walked(number[:m], number[m:], at % max(m, 1), begin)
    line = np.repeat(np.arange(len(first) - 1), np.diff(first))
    return np.asarray(shapely.linestrings(places(mesh, corners[order]), indices=line), dtype=object)


@compiled
def _walked(start: Ints, end: Ints, segment: Ints, begin: Ints) -> tuple[Ints, Ints]:
    """Points along each chain of segments, one chain after the other, and where each begins.

    ``segment[begin[p] : begin[p + 1]]`` are the segments that meet in point p.
    """
    m = len(start)
    order, first = np.empty(2 * m, dtype=np.int64), np.empty(m + 1, dtype=np.int64)
    used = np.zeros(m, dtype=np.bool_)
    size, lines = 0, 0
    for around in range(2):  # chains between points where not just two meet; then closed ones
        for p in range(len(begin) - 1):
            if (begin[p + 1] - begin[p] == 2) != (around == 1):  # noqa: PLR2004, a chain goes on where two meet
                continue
            for k in range(begin[p], begin[p + 1]):
                s = segment[k]
                if used[s]:
                    continue
                first[lines] = size
                lines += 1
                here = p
                order[size] = here
                size += 1
                while not used[s]:
                    used[s] = True
                    here = end[s] if start[s] == here else start[s]
                    order[size] = here
                    size += 1
                    if begin[here + 1] - begin[here] == 2:  # noqa: PLR2004, the same
                        s = segment[begin[here]] if segment[begin[here]] != s else segment[begin[here] + 1]
    first[lines] = size
    return order[:size], first[: lines + 1]


def faces_of(mesh: Mesh, net: Net, land: Geometries) -> Faces:
    """Faces of a noded net that lie on the land.

    Parameters
    ----------
    land : array of polygons
        In metres from the mesh's corner; their rings are part of the net.
    """
    shapes = enclosed(mesh, net)
    inner = shapely.point_on_surface(shapes)
    on_land = np.zeros(len(shapes), dtype=bool)
    on_land[shapely.STRtree(inner).query(land, predicate="contains")[1]] = True
    shapes, inner = shapes[on_land], inner[on_land]
    x, y = shapely.get_x(inner), shapely.get_y(inner)
    order = np.lexsort((y, x))
    shapes, inner = shapes[order], inner[order]
    rings, of_shape = shapely.get_rings(shapes, return_index=True)
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    number = points(mesh, xy)
    same = ring[1:] == ring[:-1]
    owner = of_shape[ring[1:][same]].astype(np.int64)
    return Faces(shapes, inner, *between(number[:-1][same], number[1:][same], owner))


def between(start: Ints, end: Ints, owner: Ints) -> tuple[Net, Ints]:
    """Segments each once, and the two owners of each.

    Parameters
    ----------
    start, end, owner : k
        Sides of areas, and the area each is a side of; a segment comes at most twice.

    Raises
    ------
    BalanceError
        If a segment is a side of more than two areas: they overlap.
    """
    low, high = np.minimum(start, end), np.maximum(start, end)
    order = np.lexsort((owner, high, low))
    low, high, owner = low[order], high[order], owner[order]
    first = np.ones(len(low), dtype=bool)
    first[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    at = np.flatnonzero(first)
    count = np.diff(np.append(at, len(low)))
    if len(count) and count.max() > 2:  # noqa: PLR2004, a segment has two sides
        raise BalanceError("一条边属于两块以上的地：地块互相重叠，是程序错误")
    last = at + count - 1
    sides = np.stack([np.where(count == 2, owner[at], NOWHERE), owner[last]], axis=1)  # noqa: PLR2004
    return Net(low[at], high[at]), sides


def enclosed(mesh: Mesh, net: Net) -> Geometries:
    """All polygons a noded net encloses, in no order."""
    return shapely.get_parts(shapely.polygonize(chained(mesh, net)))


def lengths(mesh: Mesh, net: Net) -> Floats:
    """Length of each segment, m."""
    gap = places(mesh, net.end) - places(mesh, net.start)
    return np.hypot(gap[:, 0], gap[:, 1])


def middles(mesh: Mesh, net: Net, rows: Ints) -> Geometries:
    """Middle point of some segments."""
    return np.asarray(
        shapely.points((places(mesh, net.start[rows]) + places(mesh, net.end[rows])) / 2), dtype=object
    )


def holders(areas: Geometries, spots: Geometries) -> Ints:
    """Position of the first area that holds each point, NOWHERE if none does."""
    out = np.full(len(spots), len(areas), dtype=np.int64)
    if len(areas) and len(spots):
        area, spot = shapely.STRtree(spots).query(areas, predicate="intersects")
        np.minimum.at(out, spot, area)
    out[out == len(areas)] = NOWHERE
    return out


def keys_of(start: Ints, end: Ints) -> Ints:
    """A number for each segment, small, the same for the same segment, in the order of segments."""
    _, number = np.unique(np.concatenate([start, end]), return_inverse=True)
    both = number[: len(start)] * (int(number.max(initial=0)) + 1) + number[len(start) :]
    key: Ints = np.unique(both, return_inverse=True)[1].astype(np.int64)
    return key


def rows_of(net: Net, wanted: Net) -> Ints:
    """Row of each wanted segment in a sorted net, -1 where it has none."""
    corners = np.unique(np.concatenate([net.start, net.end, wanted.start, wanted.end]))
    have = np.searchsorted(corners, net.start) * len(corners) + np.searchsorted(corners, net.end)
    want = np.searchsorted(corners, wanted.start) * len(corners) + np.searchsorted(corners, wanted.end)
    at = np.minimum(np.searchsorted(have, want), max(len(have) - 1, 0))
    return np.where(have[at] == want, at, -1) if len(have) else np.full(len(want), -1)
