"""Graphs read from plain arrays, refused where they are none, put in an order of their own, taken apart.

Nodes are numbered by what they are (where they lie, what they weigh, whom they
touch), so that an answer does not hang on the order in which they were given.
"""

from typing import Any, Final

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
    pair = low * max(n, 1) + high
    rising = np.lexsort((price[apart], pair))  # sums do not hang on the order of what is added
    single, place = np.unique(pair[rising], return_inverse=True)
    cost = np.bincount(place, weights=price[apart][rising], minlength=len(single))
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
    nowhere = np.full(n, -1, dtype=np.int64)
    return Graph(start, neighbour, c[order], weight, mass, table, xy, side, toll, nowhere, np.zeros(n))


def own_order(graph: Graph) -> Ints:
    """Nodes in an order that hangs on the graph alone, not on how its nodes are numbered.

    By place, weight, mass, sides and earlier part; nodes alike in all of these
    by their distances and neighbours, as far as that tells them apart. Those it
    does not are each other's mirror images but in contrived graphs.
    """
    keys = [graph.stay, graph.old, *graph.sides.T[::-1], graph.mass, graph.weight, *graph.xy.T[::-1]]
    rank = _ranks(keys)
    n, most = len(rank), -1
    ends = np.repeat(np.arange(n), np.diff(graph.start))
    while most < rank.max(initial=-1) < n - 1:
        most = int(rank.max())
        beside = np.zeros(n, dtype=np.uint64)
        np.add.at(beside, ends, _mixed(rank[graph.neighbour], graph.cut))
        keys = [beside, rank]
        if len(graph.table):
            away = [
                _mixed(rank, np.stack([row, back]))
                for row, back in zip(graph.table, graph.table.T, strict=True)
            ]
            keys = [*np.array([words.sum(axis=1) for words in away]).T, *keys]
        rank = _ranks(keys)
    return np.argsort(rank, kind="stable")


def _ranks(keys: list[npt.NDArray[Any]]) -> Ints:
    """Place of each row in the order of the last key, then the one before it; the same for equal rows."""
    order = np.lexsort(keys)
    fresh = np.zeros(len(order), dtype=np.int64)
    for key in keys:
        fresh[1:] |= key[order][1:] != key[order][:-1]
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.cumsum(fresh)
    return rank


def _mixed(rank: Ints, number: Floats) -> npt.NDArray[np.uint64]:
    """One word of a rank and a number; sums of such words do not hang on their order."""
    word = np.ascontiguousarray(number + 0.0).view(np.uint64) + rank.astype(np.uint64) * np.uint64(
        0x9E3779B97F4A7C15
    )
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        word = (word ^ (word >> np.uint64(shift))) * np.uint64(factor)
    mixed: npt.NDArray[np.uint64] = word ^ (word >> np.uint64(31))
    return mixed


def renumbered(graph: Graph, order: Ints) -> Graph:
    """The same graph, its nodes in another order."""
    n = len(order)
    new = np.empty(n, dtype=np.int64)
    new[order] = np.arange(n)
    a, b = new[np.repeat(np.arange(n), np.diff(graph.start))], new[graph.neighbour]
    along = np.lexsort((b, a))
    table = np.ascontiguousarray(graph.table[np.ix_(order, order)]) if len(graph.table) else graph.table
    return Graph(
        np.searchsorted(a[along], np.arange(n + 1)).astype(np.int64), b[along], graph.cut[along],
        graph.weight[order], graph.mass[order], table, np.ascontiguousarray(graph.xy[order]),
        np.ascontiguousarray(graph.sides[order]), graph.tolls, graph.old[order], graph.stay[order],
    )  # fmt: skip


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
        graph.xy[nodes], np.ascontiguousarray(graph.sides[nodes]), graph.tolls, graph.old[nodes],
        graph.stay[nodes],
    )  # fmt: skip
    return piece._replace(table=all_distances(piece)) if len(nodes) <= TABLE_NODES else piece
