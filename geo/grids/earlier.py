"""What went before: earlier parts made whole, and which new part continues each.

An earlier part goes on in one new part at most, and a new part goes on from one
earlier part at most; who is in neither's successor has moved. The pairs are
those by which the fewest move.
"""

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from geo.errors import GraphError
from geo.grids.kernel import Floats, Graph, Ints, State, outside


def pieces(graph: Graph, labels: Ints) -> Ints:
    """Connected pieces of labels, numbered by their first nodes; a node without label (-1) is one alone."""
    n = len(labels)
    ends = np.repeat(np.arange(n), np.diff(graph.start))
    inside = (labels[ends] == labels[graph.neighbour]) & (labels[ends] >= 0)
    matrix = scipy.sparse.csr_array(
        (np.ones(inside.sum()), (ends[inside], graph.neighbour[inside])), shape=(n, n), dtype=np.float64
    )
    found = connected_components(matrix, directed=False)[1]
    return np.unique(np.unique(found, return_index=True)[1][found], return_inverse=True)[1].astype(np.int64)


def kept(graph: Graph, labels: Ints) -> Ints:
    """Labels where a node is in the heaviest connected piece of its part, -1 elsewhere.

    A node without weight counts as one of weight 1. Of pieces that weigh the
    same, the one with the first node is kept.
    """
    piece = pieces(graph, labels)
    weight = np.bincount(piece, weights=np.maximum(graph.weight, 1))
    first = np.unique(piece, return_index=True)[1]
    order = np.lexsort((np.arange(len(weight)), -weight))
    order = order[labels[first[order]] >= 0]
    _, lead = np.unique(labels[first[order]], return_index=True)
    stays = np.isin(piece, order[lead])
    return np.where(stays, labels, -1)


def mended(graph: Graph, labels: Ints, band: tuple[int, int]) -> Ints:
    """Connected parts out of any labels (-1 for none) of a connected graph.

    Each part keeps its heaviest piece. What is left over goes, piece by piece,
    to the part beside it that it leaves nearest to the band, of such to the one
    it has most edges with. Without any label all is one part.
    """
    lower, upper = band
    whole = kept(graph, labels)
    if (whole < 0).all():
        return np.zeros(len(labels), dtype=np.int64)
    piece = pieces(graph, labels)
    size = np.bincount(whole[whole >= 0], weights=graph.weight[whole >= 0]).astype(np.int64)
    members = np.split(np.argsort(piece, kind="stable"), np.cumsum(np.bincount(piece))[:-1])
    waiting = [nodes for nodes in members if whole[nodes[0]] < 0]
    while waiting:
        still = []
        for nodes in waiting:
            around = np.concatenate(
                [graph.neighbour[graph.start[v] : graph.start[v + 1]] for v in nodes.tolist()]
            )
            beside, contact = np.unique(whole[around][whole[around] >= 0], return_counts=True)
            if not len(beside):
                still.append(nodes)
                continue
            own = int(graph.weight[nodes].sum())
            misses = [
                outside(int(size[part]) + own, lower, upper) - outside(int(size[part]), lower, upper)
                for part in beside
            ]
            to = beside[np.lexsort((beside, -contact, np.array(misses)))[0]]
            whole[nodes] = to
            size[to] += own
        waiting = still
    return np.unique(whole, return_inverse=True)[1].astype(np.int64)


def successors(old: Ints, labels: Ints, worth: Floats) -> Ints:
    """The earlier part that each part continues, -1 for none, so that the least worth moves.

    ``old`` is -1 where a node comes from nowhere; ``worth`` is what a node counts.
    """
    parts = int(labels.max(initial=-1)) + 1
    home = np.full(parts, -1, dtype=np.int64)
    known = old >= 0
    if known.any():
        before, at = np.unique(old[known], return_inverse=True)
        shared = np.zeros((parts, len(before)))
        np.add.at(shared, (labels[known], at), worth[known])
        part, claim = linear_sum_assignment(shared, maximize=True)
        true = shared[part, claim] > 0
        home[part[true]] = before[claim[true]]
    return home


def continued(graph: Graph, state: State) -> None:
    """Say of a loaded state which earlier part each of its parts continues."""
    if len(state.heir):
        home = successors(graph.old, state.label, graph.stay)
        state.home[:] = -1
        state.home[: len(home)] = home
        state.heir[:] = -1
        state.heir[home[home >= 0]] = np.flatnonzero(home >= 0)


def start_of(n: int, start: npt.ArrayLike | None, moved_price: npt.ArrayLike) -> tuple[Ints, Floats]:
    """Start labels of n nodes, numbered from 0 (-1 for none), and what it costs to leave them.

    Raises
    ------
    GraphError
        If they are not whole numbers of -1 or more, one a node, or a price is
        negative or not a number.
    """
    old = np.full(n, -1, dtype=np.int64)
    price = np.asarray(moved_price, dtype=np.float64)
    if price.shape not in {(), (n,)} or not np.isfinite(price).all() or (price < 0).any():
        raise GraphError(f"moved_price 须是一个或 {n} 个不小于 0 的数")
    if start is None:
        return old, np.zeros(())
    given = np.asarray(start, dtype=np.float64)
    if given.shape != (n,) or not np.isfinite(given).all() or (given < -1).any() or (given % 1 != 0).any():
        raise GraphError(f"start 须是 {n} 个从 0 起的整数，没有的写 -1")
    old[given >= 0] = np.unique(given[given >= 0], return_inverse=True)[1]
    return old, price


def with_earlier(graph: Graph, old: Ints, price: Floats) -> Graph:
    """A graph with what it costs to leave the parts its nodes come from.

    A start label is one of the component that holds its heaviest piece: who has
    it elsewhere moves for certain, and has no price.
    """
    each = price * np.maximum(graph.weight, 1) if price.shape == () else price
    if not each.any() or (old < 0).all():
        return graph
    whole = kept(graph, old)
    home = pieces(graph, np.zeros(len(old), dtype=np.int64))
    main = np.zeros(int(old.max()) + 1, dtype=np.int64)
    main[whole[whole >= 0]] = home[whole >= 0]
    here = (old >= 0) & (main[old] == home)
    return graph._replace(old=np.where(here, old, -1), stay=np.where(here, each, 0.0))
