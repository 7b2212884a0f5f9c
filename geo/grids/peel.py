"""Homes taken off the borders of grids, exactly as many as are needed, so that every grid stays in one piece.

A grid is seated at a node that it keeps. A node may belong to it only if a
neighbour nearer to the seat does: so grids are connected without asking
whether they are, and who leaves leaves from the border inwards.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.sparse.csgraph import dijkstra

from geo.grids.graph import all_distances
from geo.grids.kernel import Floats, Graph, Ints
from geo.grids.program import Program

Band = tuple[int, int]
Flags = npt.NDArray[np.bool_]

_SHAPE: Final = 0.9  # of a household: the most that all of compactness counts
_ENOUGH: Final = 0.3  # of a household: how much of it need not be sought


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A grid that is to stand in a region, or may."""

    root: int  # node that it holds
    old: int  # old grid whose successor it is, -1 for a new one
    optional: bool = False  # whether it may be given up


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seating:
    """Which seat each node of a region belongs to, and what that costs."""

    labels: Ints  # n: number of the seat
    misses: int
    moved: int
    borders: int  # from how many old grids to how many others households move
    way: float  # household metres to the seats

    @property
    def merit(self) -> tuple[int, int, int, float]:
        """What is less is better."""
        return self.misses, self.moved, self.borders, self.way


def ways_to(graph: Graph, root: int, own: Flags) -> tuple[Floats, Floats]:
    """For each node the way from a seat, over its own land first, and the weight of others' land on it.

    Parameters
    ----------
    graph : Graph, connected
    root : node
    own : n, land that the seat has

    Returns
    -------
    n metres, in which land of others lies behind all own land; n units of weight, the node's included
    """
    n = len(graph.weight)
    source = np.repeat(np.arange(n), np.diff(graph.start))
    length = np.hypot(*(graph.xy[source] - graph.xy[graph.neighbour]).T) + 1.0
    behind = float(length.sum())
    foreign = ~own[graph.neighbour]
    # a sparse array holds no edge of length 0
    weight = np.where(foreign, graph.weight[graph.neighbour], 0) + 1e-7

    def ways(prices: Floats) -> Floats:
        matrix = scipy.sparse.csr_array(
            (prices, graph.neighbour, graph.start), shape=(n, n), dtype=np.float64
        )
        found: Floats = dijkstra(matrix, directed=True, indices=np.array([root]))[0]
        return found

    return ways(length + behind * foreign), np.round(ways(weight), 3)


def seated(  # noqa: PLR0913, a program with all its rules
    graph: Graph,
    old: Ints,
    seats: list[Seat],
    *,
    band: Band,
    allowed: Flags,
    branches: int,
    fewest: int = 0,
) -> Seating | None:
    """Every node of a region to one of its seats.

    Parameters
    ----------
    graph : Graph, n nodes
        A region of its own.
    old : n, the old grid of each node, -1 for none
    seats : k
        Of those of one old grid at most one stands.
    band : least and greatest weight of a grid
    allowed : n x k, which nodes a seat may have
    branches : effort
    fewest : households that are known to move at least

    Returns
    -------
    Seating or None
        None if some node can be reached from no seat.
    """
    lower, upper = band
    n, k = len(graph.weight), len(seats)
    whole = int(graph.weight.sum())
    dear = float(2 * whole + 2)
    table = all_distances(graph)
    program = Program()
    place = np.full((n, k), -1, dtype=np.int64)
    way = np.stack([table[:, seat.root] for seat in seats], axis=1) * graph.mass[:, None]
    scale = _SHAPE / max(float(way.max(axis=1).sum()), 1e-9)
    stands = program.variables(k, lower=np.array([0.0 if seat.optional else 1.0 for seat in seats]))
    moves = np.stack([(old >= 0) & (old != seat.old) for seat in seats], axis=1) * graph.weight[:, None]
    orders = []
    for s, seat in enumerate(seats):
        own = (old == seat.old) & (seat.old >= 0)
        metres, load = ways_to(graph, seat.root, own)
        nodes = _within_reach(graph, seat.root, metres, allowed[:, s] & (load <= upper))
        place[nodes, s] = program.variables(len(nodes), cost=moves[nodes, s] + scale * way[nodes, s])
        orders.append(metres)
    if (place < 0).all(axis=1).any():
        return None
    under, over = (program.variables(k, upper=float(whole), cost=dear) for _ in range(2))
    for v in range(n):
        program.rule(place[v, place[v] >= 0], least=1.0, most=1.0)
    for s, seat in enumerate(seats):
        nodes = np.flatnonzero(place[:, s] >= 0)
        weights = graph.weight[nodes].astype(np.float64)
        program.rule([place[seat.root, s], stands[s]], [1.0, -1.0], least=0.0, most=0.0)
        program.rule([*place[nodes, s], stands[s], under[s]], [*weights, -lower, 1.0], least=0.0)
        program.rule([*place[nodes, s], stands[s], over[s]], [*weights, -upper, -1.0], most=0.0)
        _in_one_piece(program, graph, place[:, s], orders[s], seat.root)
        for member in place[nodes, s] if seat.optional else ():
            program.rule([member, stands[s]], [1.0, -1.0], most=0.0)
    for grid in sorted({seat.old for seat in seats if seat.old >= 0}):
        twins = [s for s, seat in enumerate(seats) if seat.old == grid]
        if len(twins) > 1:
            program.rule(stands[twins], most=1.0)
    answer = program.solved(branches=branches, gap=_ENOUGH / max(fewest, 1))
    if answer.values is None:
        return None
    taken = np.where(place >= 0, answer.values[np.maximum(place, 0)], -1.0)
    labels = taken.argmax(axis=1).astype(np.int64)
    return counted(graph, old, seats, labels, band)


def _within_reach(graph: Graph, root: int, metres: Floats, fit: Flags) -> Ints:
    """Nodes to which a way leads over fitting nodes, ever further from the root."""
    reached = np.zeros(len(fit), dtype=bool)
    for v in np.argsort(metres, kind="stable"):
        near = graph.neighbour[graph.start[v] : graph.start[v + 1]]
        reached[v] = v == root or (
            fit[v] and np.isfinite(metres[v]) and (reached[near] & (metres[near] < metres[v])).any()
        )
    return np.flatnonzero(reached)


def _in_one_piece(program: Program, graph: Graph, place: Ints, metres: Floats, root: int) -> None:
    """No node without a neighbour that is nearer to the root."""
    for v in np.flatnonzero(place >= 0):
        if v != root:
            near = graph.neighbour[graph.start[v] : graph.start[v + 1]]
            nearer = near[(place[near] >= 0) & (metres[near] < metres[v])]
            program.rule([*place[nearer], place[v]], [*[1.0] * len(nearer), -1.0], least=0.0)


def counted(graph: Graph, old: Ints, seats: list[Seat], labels: Ints, band: Band) -> Seating:
    """Labels of a region with what they cost, counted from the start."""
    sizes = np.bincount(labels, weights=graph.weight, minlength=len(seats)).astype(np.int64)
    used = np.bincount(labels, minlength=len(seats)) > 0
    misses = np.maximum(np.maximum(band[0] - sizes, sizes - band[1]), 0)[used]
    goes = np.array([seat.old for seat in seats])[labels]
    root = np.array([seat.root for seat in seats])[labels]
    gone = (old >= 0) & (old != goes)
    return Seating(
        labels=labels,
        misses=int(misses.sum()),
        moved=int(graph.weight[gone].sum()),
        borders=len({(int(a), int(b)) for a, b in zip(old[gone], labels[gone], strict=True)}),
        way=float((all_distances(graph)[np.arange(len(labels)), root] * graph.mass).sum()),
    )


def region(graph: Graph, nodes: Ints) -> Graph:
    """Some nodes and the edges between them as a graph of its own, with all its distances."""
    new = np.full(len(graph.weight), -1, dtype=np.int64)
    new[nodes] = np.arange(len(nodes))
    degree = np.diff(graph.start)[nodes]
    ends = np.cumsum(degree)
    take = np.repeat(graph.start[nodes] - (ends - degree), degree) + np.arange(int(degree.sum()))
    source = np.repeat(np.arange(len(nodes)), degree)
    inside = new[graph.neighbour[take]] >= 0
    take, source = take[inside], source[inside]
    piece = graph._replace(
        start=np.searchsorted(source, np.arange(len(nodes) + 1)).astype(np.int64),
        neighbour=new[graph.neighbour[take]],
        cut=graph.cut[take],
        weight=graph.weight[nodes],
        mass=graph.mass[nodes],
        table=np.ascontiguousarray(graph.table[np.ix_(nodes, nodes)]) if len(graph.table) else graph.table,
        xy=graph.xy[nodes],
        sides=np.ascontiguousarray(graph.sides[nodes]),
        old=graph.old[nodes],
        stay=graph.stay[nodes],
    )
    return piece._replace(table=all_distances(piece))
