"""Roads, rivers and ditches cut along their middle, each bit of land to the block beside it.

A strip of land is divided into triangles between its two sides (constrained
Delaunay); the line through the middles of the edges that cross the strip is
its middle, the chordal axis. What lies between a block's side and that line
goes to the block, so borders run along roads and no crumb of road is left.

Source: L. Prasad (1997), Morphological analysis of shapes, CNLS Newsletter 139.
"""

from typing import Final, NamedTuple

import numpy as np
import scipy.sparse
import shapely
from scipy.sparse.csgraph import connected_components, dijkstra

from geo.grids.linework import (
    NOWHERE,
    Bools,
    Faces,
    Floats,
    Geometries,
    Ints,
    Mesh,
    Net,
    between,
    enclosed,
    keys_of,
    lengths,
    places,
    points,
    rows_of,
)

_STEP_M: Final = 8.0  # longest side of a triangle along a strip's edge
_END_STEP_M: Final = 40.0  # and along the border of the village: longer than a road is wide
_WELL_INSIDE: Final = 0.05  # of a triangle's height: nearer to a side, rounding could set a point beyond it
_ACROSS: Final = 1e6  # going over the middle line is dearer than any way along one side


class Halves(NamedTuple):
    """Blocks with their halves of the strips between them: each segment that parts two blocks or ends the land."""

    net: Net  # m segments
    blocks: Ints  # m x 2: block on either side, NOWHERE beyond the land
    chord: Ints  # m x 2: points at both ends of the crossing a middle line cuts; -1 elsewhere
    inside: Bools  # m: it lies in a strip


class _Pieces(NamedTuple):
    """Parts of triangles, as the directed segments around each."""

    start: Ints
    end: Ints
    piece: Ints
    chord: Ints  # row of `ends` that a middle segment cuts, -1 for others
    ends: Ints  # c x 2 points
    number: int  # of pieces


def halved(mesh: Mesh, faces: Faces, strip: Bools, block: Ints, grows: Bools) -> Halves:
    """Blocks of faces, grown to the middle of the strips beside them.

    Parameters
    ----------
    mesh : Mesh
    faces : Faces, n
    strip : bool, n
        Which faces are strips; those that touch are one.
    block : int, n
        Block of each face, from 0; not asked for strips.
    grows : bool, n
        Whether a block takes its half; where it does not, those beyond do.

    Returns
    -------
    Halves
        A strip that no growing block touches is a block of its own, numbered
        from the greatest given on.
    """
    padded = np.append(strip, False)
    in_strip = padded[faces.sides]
    number = np.append(block, NOWHERE)[faces.sides]
    plain, rim = ~in_strip.any(axis=1), in_strip.sum(axis=1) == 1
    tables = [(Net(faces.net.start[plain], faces.net.end[plain]), number[plain])]
    chords, inside = [np.full((int(plain.sum()), 2), -1)], [np.zeros(int(plain.sum()), dtype=bool)]
    if rim.any():
        beside = np.where(in_strip[rim, 0], faces.sides[rim, 1], faces.sides[rim, 0])
        step = np.where(beside == NOWHERE, _END_STEP_M, _STEP_M)
        edge, at = _shortened(mesh, Net(faces.net.start[rim], faces.net.end[rim]), step)
        beside = beside[at]
        pieces = _pieces(mesh, edge, beside == NOWHERE, faces.inner[strip])
        net, sides, chord = _neighbours(pieces)
        outer = sides[:, 0] == NOWHERE
        found = rows_of(edge, Net(net.start[outer], net.end[outer]))
        source = np.full(pieces.number, NOWHERE)
        neighbour = np.append(beside, NOWHERE)[found]
        may = np.append(grows, False)[neighbour]
        source[sides[outer, 1][may]] = block[neighbour[may]]
        label = _labels(mesh, net, sides, chord, source, int(block.max(initial=-1)) + 1)
        rest = np.append(block, NOWHERE)[neighbour]
        tables += [
            (Net(net.start[outer], net.end[outer]), np.stack([rest, label[sides[outer, 1]]], axis=1)),
            (Net(net.start[~outer], net.end[~outer]), label[sides[~outer]]),
        ]
        ends = np.concatenate([pieces.ends, [[-1, -1]]])
        chords += [np.full((int(outer.sum()), 2), -1), ends[chord[~outer]]]
        inside += [np.zeros(int(outer.sum()), dtype=bool), np.ones(int((~outer).sum()), dtype=bool)]
    start, end = (np.concatenate([table[0][k] for table in tables]) for k in (0, 1))
    blocks = np.sort(np.concatenate([table[1] for table in tables]), axis=1)
    keep = blocks[:, 0] != blocks[:, 1]
    order = np.flatnonzero(keep)[np.lexsort((end[keep], start[keep]))]
    return Halves(
        Net(start[order], end[order]),
        blocks[order],
        np.concatenate(chords)[order],
        np.concatenate(inside)[order],
    )


def _shortened(mesh: Mesh, net: Net, step: Floats) -> tuple[Net, Ints]:
    """Segments cut into ones no longer than their step, sorted, and the row each came from."""
    count = np.maximum(1, np.ceil(lengths(mesh, net) / step)).astype(np.int64)
    row = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    a, b = places(mesh, net.start)[row], places(mesh, net.end)[row]
    share = (nth / count[row])[:, None]
    start = np.where(nth == 0, net.start[row], points(mesh, a + share * (b - a)))
    end = np.where(nth == count[row] - 1, net.end[row], np.append(start[1:], 0))
    low, high = np.minimum(start, end), np.maximum(start, end)
    order = np.lexsort((high, low))
    return Net(low[order], high[order]), row[order]


def _pieces(mesh: Mesh, edge: Net, outer: Bools, inner: Geometries) -> _Pieces:
    """Triangles of what some edges enclose around some points, cut along their middle.

    Edges beyond which there is no land count as crossing the strip, so that its
    middle ends in the middle of its end.
    """
    corner = _triangles(mesh, edge, inner)
    a, b = corner.reshape(-1), np.roll(corner, -1, axis=1).reshape(-1)
    key = keys_of(np.minimum(a, b), np.maximum(a, b))
    _, one, edge_of, count = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    ends = np.stack([np.minimum(a, b), np.maximum(a, b)], axis=1)[one]
    side = edge_of.reshape(-1, 3)
    last = np.append(outer, False)[rows_of(edge, Net(ends[:, 0], ends[:, 1]))]
    is_open = ((count == 2) | last)[side]  # noqa: PLR2004, an edge that crosses has two triangles
    mid = points(mesh, (places(mesh, ends[:, 0]) + places(mesh, ends[:, 1])) / 2)[side]
    branch = is_open.all(axis=1)
    centre = np.where(branch, _branches(mesh, corner, mid), points(mesh, places(mesh, corner).mean(axis=1)))
    parts: list[tuple[Ints, Ints]] = []
    for crossing in range(4):
        rows = np.flatnonzero(is_open.sum(axis=1) == crossing)
        if not len(rows):
            continue
        # Turned so that the closed edges come first: corner 0 begins them
        closed = ~is_open[rows]
        turn = np.argmax(closed & ~np.roll(closed, 1, axis=1), axis=1) if crossing in {1, 2} else 0 * rows
        place = (turn[:, None] + np.arange(3)) % 3
        c, m, e = (np.take_along_axis(table[rows], place, axis=1) for table in (corner, mid, side))
        parts += _walks(crossing, c, m, e, centre[rows])
    total, sides = 0, []
    for walk, cut in parts:
        k, size = walk.shape
        of = np.repeat(np.arange(total, total + k), size)
        sides.append((walk.reshape(-1), np.roll(walk, -1, axis=1).reshape(-1), of, cut.reshape(-1)))
        total += k
    joined = [np.concatenate(table) for table in zip(*sides, strict=True)]
    # In a sliver as thin as the mesh a walk may stand still, or go there and back: that is no side of it
    a, b, of, _ = joined
    _, same, count = np.unique(
        keys_of(np.minimum(a, b), np.maximum(a, b)) * total + of, return_inverse=True, return_counts=True
    )
    real = (a != b) & (count[same] == 1)
    start, end, piece, chord = (table[real] for table in joined)
    return _Pieces(start, end, piece, chord, ends, total)


def _triangles(mesh: Mesh, edge: Net, inner: Geometries) -> Ints:
    """Corners of triangles, against the clock, of what some edges enclose around some points."""
    areas = enclosed(mesh, edge)
    areas = areas[np.unique(shapely.STRtree(inner).query(areas, predicate="contains")[0])]
    xy = shapely.get_coordinates(shapely.constrained_delaunay_triangles(areas)).reshape(-1, 4, 2)[:, :3]
    one, two = xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0]
    clockwise = one[:, 0] * two[:, 1] < one[:, 1] * two[:, 0]
    xy[clockwise] = xy[clockwise][:, ::-1]
    corner = points(mesh, xy)
    return corner[np.lexsort((corner[:, 2], corner[:, 1], corner[:, 0]))]  # whatever order they came in


def _branches(mesh: Mesh, corner: Ints, mid: Ints) -> Ints:
    """Point of each triangle as far from one corner as from the others, or the middle of its longest side.

    Where a strip has a bay, or an arm, three sides cross it: the middle line
    has to pass there at half its width, which the centroid is not.
    """
    xy = places(mesh, corner)
    opposite = ((np.roll(xy, -1, axis=1) - np.roll(xy, -2, axis=1)) ** 2).sum(axis=2)
    share = opposite * (opposite.sum(axis=1, keepdims=True) - 2 * opposite)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-12)
    centre = points(mesh, (share[:, :, None] * xy).sum(axis=1))
    longest = (opposite.argmax(axis=1) + 1) % 3  # the side after the corner it lies across from
    return np.where(
        share.min(axis=1) > _WELL_INSIDE, centre, np.take_along_axis(mid, longest[:, None], axis=1)[:, 0]
    )


def _walks(crossing: int, c: Ints, m: Ints, e: Ints, centre: Ints) -> list[tuple[Ints, Ints]]:
    """Walks around the parts of triangles with so many crossing edges, and the crossing each segment cuts."""
    no = np.full(len(c), -1)

    def walk(*way: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
        return np.stack([p for p, _ in way], axis=1), np.stack([cut for _, cut in way], axis=1)

    if crossing == 3:  # noqa: PLR2004, where three arms meet
        return [
            walk((c[:, i], no), (m[:, i], e[:, i]), (centre, e[:, i - 1]), (m[:, i - 1], no))
            for i in range(3)
        ]
    if crossing == 2:  # noqa: PLR2004, the common case: one side along the strip, one corner opposite
        return [
            walk((c[:, 0], no), (c[:, 1], no), (m[:, 1], e[:, 1]), (m[:, 2], no)),
            walk((c[:, 2], no), (m[:, 2], e[:, 1]), (m[:, 1], no)),
        ]
    if crossing == 1:  # an end: two sides along the strip
        return [
            walk((c[:, 0], no), (c[:, 1], e[:, 2]), (m[:, 2], no)),
            walk((c[:, 1], no), (c[:, 2], no), (m[:, 2], e[:, 2])),
        ]
    return [walk((c[:, i], no), (c[:, (i + 1) % 3], no), (centre, no)) for i in range(3)]


def _neighbours(pieces: _Pieces) -> tuple[Net, Ints, Ints]:
    """Segments of pieces, the two pieces beside each, and the crossing it cuts."""
    net, sides = between(pieces.start, pieces.end, pieces.piece)
    chord = np.full(len(net.start), -1)
    cuts = pieces.chord >= 0
    start, end = pieces.start[cuts], pieces.end[cuts]
    at = rows_of(net, Net(np.minimum(start, end), np.maximum(start, end)))
    np.maximum.at(chord, at, pieces.chord[cuts])
    return net, sides, chord


def _labels(  # noqa: PLR0913, PLR0917, pieces and their table
    mesh: Mesh, net: Net, sides: Ints, chord: Ints, source: Ints, fresh: int
) -> Ints:
    """Block of each piece: that at its own side of the strip, the nearest along that side."""
    pair = sides[:, 0] != NOWHERE
    a, b = sides[pair].T
    # A piece's place is the mean of its segments' middles: good enough to say how far along it is
    centre = _centres(mesh, net, sides, len(source))
    gap = centre[a] - centre[b]
    price = np.hypot(gap[:, 0], gap[:, 1]) + 1e-6 + _ACROSS * (chord[pair] >= 0)
    n = len(source)
    graph = scipy.sparse.csr_array((price, (a, b)), shape=(n, n))
    known = np.flatnonzero(source != NOWHERE)
    label = source.copy()
    if len(known):
        _, _, origin = dijkstra(graph, directed=False, indices=known, return_predecessors=True, min_only=True)
        reached = origin >= 0
        label[reached] = source[origin[reached]]
    lost = label == NOWHERE
    if lost.any():
        _, part = connected_components(graph, directed=False)
        label[lost] = fresh + np.unique(part[lost], return_inverse=True)[1]
    return label


def _centres(mesh: Mesh, net: Net, sides: Ints, count: int) -> Floats:
    middle = (places(mesh, net.start) + places(mesh, net.end)) / 2
    real = sides != NOWHERE
    owner = np.concatenate([sides[real[:, 0], 0], sides[real[:, 1], 1]])
    at = np.concatenate([middle[real[:, 0]], middle[real[:, 1]]])
    number = np.maximum(np.bincount(owner, minlength=count), 1)
    return np.stack([np.bincount(owner, weights=at[:, k], minlength=count) / number for k in (0, 1)], axis=1)
