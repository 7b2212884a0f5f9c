"""Graphs read from plain arrays, refused where they are none, and taken apart by component."""

from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.sparse.csgraph import connected_components, shortest_path
from scipy.spatial.distance import cdist

from geo.errors import GraphError
from geo.grids.kernel import Floats, Graph, Ints

TABLE_NODES: Final = 3000  # up to here all distances are kept (72 MB)
_STEPS_NODES: Final = 5000  # up to here distances may be steps along edges


def _whole(values: npt.ArrayLike, what: str) -> Ints:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all() or (array < 0).any() or (array != np.round(array)).any():
        raise GraphError(f"{what} 须是不小于 0 的整数")
    return array.astype(np.int64)


def _positive(values: npt.ArrayLike, what: str, shape: tuple[int, ...]) -> Floats:
    array = np.ascontiguousarray(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all() or (array < 0).any():
        raise GraphError(f"{what} 须是 {' × '.join(map(str, shape))} 个不小于 0 的数")
    return array


def graph_of(  # noqa: C901, PLR0913, PLR0917, each array has its own check
    weights: npt.ArrayLike,
    edges: npt.ArrayLike,
    masses: npt.ArrayLike | None,
    coordinates: npt.ArrayLike | None,
    sides: npt.ArrayLike | None,
    tolls: npt.ArrayLike | None,
    distances: npt.ArrayLike | None,
) -> Graph:
    """A graph of arrays as `geo.grids.best_split` takes them.

    Raises
    ------
    GraphError
        If they do not fit each other, or a number is not what it must be.
    """
    weight = _whole(weights, "weights")
    if weight.ndim != 1:
        raise GraphError("weights 须是一列数")
    n = len(weight)
    pairs = np.asarray(edges, dtype=np.float64)
    if pairs.size == 0:
        pairs = np.zeros((0, 2))
    if pairs.ndim != 2 or pairs.shape[1] not in {2, 3}:  # noqa: PLR2004
        raise GraphError("edges 须是两列（起、止），或加第三列（切断的代价）")
    ends = _whole(pairs[:, :2], "edges 的两端")
    if ends.size and ends.max() >= n:
        raise GraphError(f"edges 指到第 {ends.max()} 个结点，但只有 {n} 个（从 0 数起）")
    price = _positive(pairs[:, 2:].sum(axis=1), "edges 的代价", (len(pairs),))  # 0 where no third column is
    apart = ends[:, 0] != ends[:, 1]
    low, high = ends[apart].min(axis=1, initial=n), ends[apart].max(axis=1, initial=0)
    single, place = np.unique(low * max(n, 1) + high, return_inverse=True)
    cost = np.bincount(place, weights=price[apart], minlength=len(single))
    low, high = single // max(n, 1), single % max(n, 1)
    a, b, c = np.concatenate([low, high]), np.concatenate([high, low]), np.concatenate([cost, cost])
    order = np.lexsort((b, a))
    start = np.searchsorted(a[order], np.arange(n + 1)).astype(np.int64)
    neighbour = b[order].astype(np.int64)
    mass = weight.astype(np.float64) if masses is None else _positive(masses, "masses", (n,))
    xy, table = np.zeros((n, 2)), np.zeros((0, 0))
    side, toll = np.zeros((n, 0), dtype=np.int64), np.zeros(0)
    if coordinates is not None:
        xy = np.ascontiguousarray(coordinates, dtype=np.float64)
        if xy.shape != (n, 2) or not np.isfinite(xy).all():
            raise GraphError(f"coordinates 须是 {n} × 2 个数")
    if sides is not None:
        side = np.asarray(sides, dtype=np.int64)
        side = np.ascontiguousarray(side.reshape(n, -1))
        toll = _positive([] if tolls is None else tolls, "tolls", (side.shape[1],))
    if distances is not None:
        table = _positive(distances, "distances", (n, n))
    elif coordinates is None and sides is None:
        if n > _STEPS_NODES:
            raise GraphError(f"{n} 个结点太多，请给出 coordinates")
        matrix = scipy.sparse.csr_array(
            (np.ones(len(neighbour)), neighbour, start), shape=(n, n), dtype=np.float64
        )
        table = shortest_path(matrix, unweighted=True, directed=False)
        table[~np.isfinite(table)] = 0.0  # never asked for: parts do not reach across components
    return Graph(start, neighbour, c[order], weight, mass, table, xy, side, toll)


def all_distances(graph: Graph) -> Floats:
    """All distances of a graph."""
    if len(graph.table):
        return graph.table
    table = cdist(graph.xy, graph.xy)
    for k, toll in enumerate(graph.tolls):
        table += toll * (graph.sides[:, k, None] != graph.sides[None, :, k])
    return table


def components(graph: Graph) -> list[Ints]:
    """Nodes of each connected component."""
    n = len(graph.weight)
    ones = np.ones(len(graph.neighbour))
    matrix = scipy.sparse.csr_array((ones, graph.neighbour, graph.start), shape=(n, n), dtype=np.float64)
    _, label = connected_components(matrix, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order.astype(np.int64), np.flatnonzero(np.diff(label[order])) + 1)


def induced(graph: Graph, nodes: Ints) -> Graph:
    """A component as a graph of its own, with all its distances if it is not too large."""
    new = np.full(len(graph.weight), -1, dtype=np.int64)
    new[nodes] = np.arange(len(nodes))
    degree = np.diff(graph.start)[nodes]
    start = np.concatenate([[0], np.cumsum(degree)]).astype(np.int64)
    take = np.repeat(graph.start[nodes] - start[:-1], degree) + np.arange(start[-1])
    table = np.ascontiguousarray(graph.table[np.ix_(nodes, nodes)]) if len(graph.table) else graph.table
    piece = Graph(
        start, new[graph.neighbour[take]], graph.cut[take], graph.weight[nodes], graph.mass[nodes], table,
        graph.xy[nodes], np.ascontiguousarray(graph.sides[nodes]), graph.tolls,
    )  # fmt: skip
    return piece._replace(table=all_distances(piece)) if len(nodes) <= TABLE_NODES else piece
