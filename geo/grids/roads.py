"""How far it is from home to home along the roads."""

from typing import Final

import numpy as np
import scipy.sparse
import shapely
from scipy.sparse.csgraph import dijkstra
from scipy.spatial.distance import cdist

from geo.grids.linework import Floats, Geometries, Mesh, lengths, local, net_of_lines, noded, places

ROADS: Final = ("road", "lane", "highway")
_ROUND: Final = 1.4  # ways where no road leads are this much longer than straight


def road_distances(mesh: Mesh, roads: Geometries, centres: Floats) -> Floats:
    """Distance of each two places, along roads where that is how one gets there.

    A place reaches the nearest point of the road net in a straight line. Where
    going straight across is no further than going to the road and back, or no
    road joins the two, the way is straight, taken 1.4 times where none joins.

    Parameters
    ----------
    mesh : Mesh
    roads : array of lines
        In the CRS of the village; lines that cross are joined where they do.
    centres : n x 2
        Metres from the mesh's corner.

    Returns
    -------
    ndarray, n x n, m
        Symmetric, 0 on its diagonal, never less than the straight distance.
    """
    straight = cdist(centres, centres)
    net = noded(mesh, net_of_lines(mesh, local(roads, mesh)))
    if not len(net.start):
        return straight
    ends = np.stack([places(mesh, net.start), places(mesh, net.end)], axis=1)
    segments = np.asarray(shapely.linestrings(ends), dtype=object)
    spots = np.asarray(shapely.points(centres), dtype=object)
    at = np.asarray(shapely.STRtree(segments).nearest(spots))
    access = shapely.distance(spots, segments[at])
    along = shapely.line_locate_point(segments[at], spots)
    corners, number = np.unique(np.concatenate([net.start, net.end]), return_inverse=True)
    m, n, k = len(net.start), len(corners), len(centres)
    a, b = number[:m], number[m:]
    length = lengths(mesh, net)
    # Each place stands on its segment as a node of its own, between the segment's ends
    node = n + np.arange(k)
    rows = np.concatenate([a, node, node])
    columns = np.concatenate([b, a[at], b[at]])
    ways = (
        np.concatenate([length, along, np.maximum(length[at] - along, 0)]) + 1e-9
    )  # a way of 0 would be none
    graph = scipy.sparse.csr_array((ways, (rows, columns)), shape=(n + k, n + k))
    way = dijkstra(graph, directed=False, indices=node)[:, n:]
    same = at[:, None] == at[None, :]
    way = np.where(same, np.abs(along[:, None] - along[None, :]), way)
    way = np.minimum(way, way.T) + access[:, None] + access[None, :]
    near = straight <= access[:, None] + access[None, :]
    out = np.where(near, straight, np.where(np.isfinite(way), np.maximum(way, straight), _ROUND * straight))
    np.fill_diagonal(out, 0.0)
    return out
