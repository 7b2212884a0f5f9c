"""The best set of parts out of many: each node in one part, solved by HiGHS.

A search sees thousands of parts and keeps one set of them. Choosing among all
that were seen is set partitioning, and on a graph so small that all connected
parts can be listed it is the exact answer, or the proof that there is none.
"""

from dataclasses import dataclass

import numpy as np
import scipy.optimize
import scipy.sparse

from geo.grids.kernel import Floats, Graph, Ints, Pool

SMALL = 12  # nodes up to which all connected parts are listed: at most 4,095


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """Parts as columns of a matrix."""

    begin: Ints  # m + 1: where each part's nodes begin
    nodes: Ints
    cost: Floats  # m: distance to the centre, and half of the cuts around
    misses: Ints  # m: units outside the band
    home: Ints  # m: the earlier part that it continues, -1 for none

    def members(self, column: int) -> Ints:
        """Nodes of one part."""
        return self.nodes[self.begin[column] : self.begin[column + 1]]


def connected_sets(graph: Graph) -> tuple[Ints, Ints]:
    """Every connected set of nodes of a small graph, as begin and nodes."""
    n = len(graph.weight)
    beside = [0] * n
    for v in range(n):
        for u in graph.neighbour[graph.start[v] : graph.start[v + 1]]:
            beside[v] |= 1 << int(u)
    seen = {1 << v for v in range(n)}
    fresh = sorted(seen)
    while fresh:
        grown = set()
        for chosen in fresh:
            border = 0
            for v in range(n):
                if (chosen >> v) & 1:
                    border |= beside[v]
            grown |= {chosen | 1 << v for v in range(n) if ((border & ~chosen) >> v) & 1}
        fresh = sorted(grown - seen)
        seen |= grown
    lists = [[v for v in range(n) if (chosen >> v) & 1] for chosen in sorted(seen)]
    return np.cumsum([0, *map(len, lists)]), np.concatenate(lists).astype(np.int64)


def pooled(pool: Pool) -> tuple[Ints, Ints]:
    """The parts a search has noted, as begin and nodes."""
    count = int(pool.begin[0])
    begin = pool.begin[1 : count + 2].copy()
    return begin, pool.nodes[: begin[-1]].copy()


def priced(  # noqa: PLR0913, what a part costs hangs on all of them
    graph: Graph, begin: Ints, nodes: Ints, *, lower: int, upper: int, table: Floats
) -> Columns:
    """Parts with what they cost, worked out from the start.

    Where leaving an earlier part has its price, a part comes once for each
    earlier part that it might continue.
    """
    m = len(begin) - 1
    cost, misses = np.zeros(m), np.zeros(m, dtype=np.int64)
    inside = np.zeros(len(graph.weight), dtype=bool)
    cuts = graph.cut.any()
    for k in range(m):
        part = nodes[begin[k] : begin[k + 1]]
        size = graph.weight[part].sum()
        misses[k] = max(lower - size, size - upper, 0)
        cost[k] = (graph.mass[part] @ table[np.ix_(part, part)]).min()
        if cuts:
            inside[part] = True
            for v in part:
                edges = slice(graph.start[v], graph.start[v + 1])
                cost[k] += 0.5 * graph.cut[edges][~inside[graph.neighbour[edges]]].sum()
            inside[part] = False
    home = np.full(m, -1, dtype=np.int64)
    if graph.stay.any():
        of, home, away = _claims(graph, begin, nodes)
        lists = [nodes[begin[k] : begin[k + 1]] for k in of]
        begin, nodes = np.cumsum([0, *map(len, lists)]), np.concatenate(lists)
        cost, misses = cost[of] + away, misses[of]
    return Columns(begin=begin, nodes=nodes, cost=cost, misses=misses, home=home)


def _claims(graph: Graph, begin: Ints, nodes: Ints) -> tuple[Ints, Ints, Floats]:
    """For each part and each earlier part it might continue, or none: the part, the earlier, price of moves."""
    of, home, away = [], [], []
    for k in range(len(begin) - 1):
        part = nodes[begin[k] : begin[k + 1]]
        whole = float(graph.stay[part].sum())
        known = part[graph.old[part] >= 0]
        before, at = np.unique(graph.old[known], return_inverse=True)
        stays = np.bincount(at, weights=graph.stay[known], minlength=len(before))
        of += [k] * (1 + len(before))
        home += [-1, *before.tolist()]
        away += [whole, *(whole - stays).tolist()]
    return np.array(of, dtype=np.int64), np.array(home, dtype=np.int64), np.array(away)


def choose(
    columns: Columns,
    *,
    nodes: int,
    counts: tuple[int, int],
    keep: Ints | None = None,
    effort: int | None = None,
) -> Ints | None:
    """The cheapest set of parts that holds each node once.

    Parameters
    ----------
    columns : Columns
        Only those of least misses are asked first; cost decides among these.
    nodes : number of nodes
    counts : least and greatest number of parts
    keep : columns to choose among; all if None
    effort : greatest number of branches; None for a proof

    Returns
    -------
    ndarray of int64 or None
        Labels; None if no set of these parts holds each node once, or none
        was found within the effort.
    """
    picked = np.arange(len(columns.cost)) if keep is None else keep
    if len(picked) == 0:
        return None
    lists = [columns.members(int(k)) for k in picked]
    pointer = np.cumsum([0, *map(len, lists)])
    matrix = scipy.sparse.csc_array(
        (np.ones(pointer[-1]), np.concatenate(lists), pointer), shape=(nodes, len(picked))
    )
    once = scipy.optimize.LinearConstraint(matrix, 1, 1)
    many = scipy.optimize.LinearConstraint(np.ones((1, len(picked))), counts[0], counts[1])
    rules = [once, many]
    home = columns.home[picked]
    claiming = np.flatnonzero(home >= 0)
    if len(claiming):  # an earlier part is continued once at most
        claims = scipy.sparse.csc_array(
            (np.ones(len(claiming)), (home[claiming], claiming)), shape=(int(home.max()) + 1, len(picked))
        )
        rules.append(scipy.optimize.LinearConstraint(claims, 0, 1))
    misses = columns.misses[picked].astype(np.float64)
    if misses.any():
        least = _solved(misses, rules, effort)
        if least is None:
            return None
        rules.append(
            scipy.optimize.LinearConstraint(misses[None, :], -np.inf, float(np.round(misses @ least)) + 0.5)
        )
    scale = max(float(columns.cost[picked].max()), 1e-300)
    taken = _solved(columns.cost[picked] / scale, rules, effort)
    if taken is None:
        return None
    labels = np.full(nodes, -1, dtype=np.int64)
    for part, k in enumerate(np.flatnonzero(taken > 0.5)):  # noqa: PLR2004, a solver's 0 or 1
        labels[lists[k]] = part
    return labels


def _solved(cost: Floats, rules: list[scipy.optimize.LinearConstraint], effort: int | None) -> Floats | None:
    """Each column taken or not, at the least cost found."""
    answer = scipy.optimize.milp(
        cost,
        integrality=np.ones(len(cost), dtype=np.int64),
        bounds=scipy.optimize.Bounds(0, 1),
        constraints=rules,
        options={"mip_rel_gap": 0.0} if effort is None else {"mip_rel_gap": 1e-6, "node_limit": effort},
    )
    return None if answer.x is None else np.asarray(answer.x, dtype=np.float64)
