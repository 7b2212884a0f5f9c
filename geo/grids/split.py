"""A weighted graph split into connected, balanced, compact parts, with a proof of how good they are.

Graph in, labels out: nodes have weights, parts keep within a band of weight and
in one piece, and cost the distance of their nodes to a centre and the price of
cut edges. Being in the band goes before cost. What cannot be is a value with
its reason, never an exception: a component too light, a node too heavy.

Several starts (spanning trees cut by dynamic programming, balanced k-means
grown on the graph), local search that goes on by dividing neighbouring parts
anew, then the best set of all parts seen. A Lagrangian bound says how far from
the best possible the answer can be at most.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from geo.errors import GraphError
from geo.grids.bound import lower_bound
from geo.grids.columns import SMALL, choose, connected_sets, pooled, priced
from geo.grids.graph import TABLE_NODES, all_distances, components, graph_of, induced
from geo.grids.kernel import NEVER, Floats, Graph, Ints, Pool, State, load
from geo.grids.trees import cut_tree, spanning_tree
from geo.grids.wander import grown, standing, wander

BudgetName = Literal["fast", "standard", "best"]
Kind = Literal["heavy_node", "light_component", "gap_component", "count", "tree", "exhausted", "not_found"]
Count = int | tuple[int, int] | None

_CELLS: Final = 256  # sizes told apart when a few parts are divided anew
_FINE_CELLS: Final = 4096  # and when a whole graph is cut
_STATES: Final = 20_000_000  # of the table a whole tree is cut with
_LEAST_PARTS: Final = 10  # a graph of fewer parts is searched as long as one of this many
_CHOICE_PARTS: Final = 200  # more parts than this are not chosen among at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much is tried, in counts: the same on every machine."""

    starts: int  # of trees; half as many grown
    rounds: int  # of dividing anew, for each part
    tries: int  # how many starts are searched from
    bound: int  # steps of the bound
    columns: int  # parts chosen among
    branches: int  # of that choice


BUDGETS: Final[dict[str, Budget]] = {
    "fast": Budget(starts=4, rounds=12, tries=1, bound=60, columns=0, branches=0),
    "standard": Budget(starts=8, rounds=200, tries=2, bound=400, columns=4000, branches=50),
    "best": Budget(starts=16, rounds=600, tries=4, bound=1000, columns=10_000, branches=500),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reason:
    """Why some nodes cannot lie in parts within the band."""

    kind: Kind
    nodes: Ints  # whom it is about: one node, or a component
    weight: int  # theirs together

    @property
    def proved(self) -> bool:
        """Whether it cannot be, rather than was not found."""
        return self.kind != "not_found"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """A split graph and how good it is."""

    labels: Ints  # n, from 0, in the order of parts' first nodes
    centres: Ints  # k: the node of each part to which distance counts
    sizes: Ints  # k: weight of each part
    cost: float  # distance and cuts
    cut_cost: float  # of this, the price of cut edges
    misses: int  # units of weight outside the band, over all parts
    least_misses: int  # proved: no split has fewer
    bound: float  # proved: no split that is in the band costs less, or none at all where that cannot be
    exact: bool  # the bound comes from all parts there can be
    reasons: tuple[Reason, ...]  # empty if all parts are in the band

    @property
    def gap(self) -> float:
        """Share of the cost that could be saved at most."""
        return 0.0 if self.cost <= 0 else max(0.0, 1.0 - self.bound / self.cost)


def split_graph(  # noqa: PLR0913, a graph has many properties
    weights: npt.ArrayLike,
    edges: npt.ArrayLike,
    *,
    parts: Count = None,
    lower: int,
    upper: int,
    seed: int = 0,
    budget: BudgetName = "standard",
    coordinates: npt.ArrayLike | None = None,
    distances: npt.ArrayLike | None = None,
) -> Ints:
    """Labels of connected parts within a band: `best_split` without its proof.

    Parameters
    ----------
    weights, edges, parts, lower, upper, seed, budget, coordinates, distances
        As `best_split` takes them.

    Returns
    -------
    ndarray of int64, n
        The part of each node, from 0. Parts are always connected; where the
        band cannot be kept, they come as near to it as was found.

    Raises
    ------
    GraphError
        As `best_split` does.
    """
    return best_split(
        weights,
        edges,
        parts=parts,
        lower=lower,
        upper=upper,
        seed=seed,
        budget=replace(BUDGETS[budget], bound=0) if budget in BUDGETS else budget,
        coordinates=coordinates,
        distances=distances,
    ).labels


def best_split(  # noqa: PLR0913, a graph has many properties
    weights: npt.ArrayLike,
    edges: npt.ArrayLike,
    *,
    parts: Count = None,
    lower: int,
    upper: int,
    seed: int = 0,
    budget: BudgetName | Budget = "standard",
    masses: npt.ArrayLike | None = None,
    coordinates: npt.ArrayLike | None = None,
    sides: npt.ArrayLike | None = None,
    tolls: npt.ArrayLike | None = None,
    distances: npt.ArrayLike | None = None,
) -> Split:
    """A graph split into connected parts within a band, as compact as can be found, with a proof.

    Parameters
    ----------
    weights : n whole numbers, 0 or more
        What is balanced.
    edges : m x 2, or m x 3 with the price of cutting each
        Pairs of nodes, either way round; of double edges prices add up.
    parts : int, pair of ints or None
        How many parts, from and to how many, or as many as the band allows.
        A disconnected graph has at least a part for each component.
    lower, upper : int
        Least and greatest weight of a part.
    seed : int
        The same seed, the same labels, on any machine.
    budget : "fast", "standard", "best" or Budget
    masses : n numbers, 0 or more
        What a unit of distance costs for a node; ``weights`` if None.
    coordinates : n x 2
        Distance is straight, in their unit, plus ``tolls``.
    sides, tolls : n x s whole numbers, s numbers
        On which side of each barrier a node lies, and what crossing it adds.
    distances : n x n
        From row to centre; instead of coordinates. Without both, distance is
        steps along edges.

    Returns
    -------
    Split

    Raises
    ------
    GraphError
        If arrays do not fit each other, a number is negative, missing or not
        whole where it must be, an edge leads to no node, or lower > upper.
    """
    graph = graph_of(weights, edges, masses, coordinates, sides, tolls, distances)
    if not 0 <= lower <= upper:
        raise GraphError(f"下限 {lower}、上限 {upper} 不成区间，请改正")
    if isinstance(budget, str):
        if budget not in BUDGETS:
            raise GraphError(f"没有“{budget}”这一档，可用 {'、'.join(BUDGETS)}")
        budget = BUDGETS[budget]
    n = len(graph.weight)
    if n == 0:
        none = np.zeros(0, dtype=np.int64)
        return Split(
            labels=none, centres=none, sizes=none, cost=0.0, cut_cost=0.0, misses=0, least_misses=0,
            bound=0.0, exact=True, reasons=(),
        )  # fmt: skip
    groups = components(graph)
    ranges, may, told = _allotted(graph, groups, parts, lower, upper)
    labels = np.zeros(n, dtype=np.int64)
    used, bound, least_misses, exact = 0, 0.0, 0, True
    reasons = list(told)
    for number, (nodes, counts, all_counts) in enumerate(zip(groups, ranges, may, strict=True)):
        piece = induced(graph, nodes)
        answer = _component(piece, (lower, upper), counts, all_counts, seed + number, budget)
        labels[nodes] = answer.labels + used
        used += int(answer.labels.max()) + 1
        bound += answer.bound
        least_misses += answer.least_misses
        exact = exact and answer.exact
        reasons += [replace(reason, nodes=nodes[reason.nodes]) for reason in answer.reasons]
    return _finished(
        graph,
        labels,
        (lower, upper),
        bound=bound,
        least_misses=least_misses,
        exact=exact,
        reasons=tuple(reasons),
    )


# --- how many parts --------------------------------------------------------------------------------------


def _count_range(total: int, nodes: int, lower: int, upper: int) -> tuple[int, int, int]:
    """Least and greatest number of parts of a component, and the misses no number avoids."""
    ks = np.arange(1, nodes + 1)
    misses = np.maximum(np.maximum(ks * lower - total, total - ks * upper), 0)
    fit = ks[misses == misses.min()]
    return int(fit[0]), int(fit[-1]), int(misses.min())


def _allotted(
    graph: Graph, groups: list[Ints], parts: Count, lower: int, upper: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int]], list[Reason]]:
    """How many parts each component is to have, how many it might have had, and why that is not as asked."""
    totals = [int(graph.weight[nodes].sum()) for nodes in groups]
    free = [
        _count_range(total, len(nodes), lower, upper)[:2] for total, nodes in zip(totals, groups, strict=True)
    ]
    if parts is None:
        return free, free, []
    least, most = parts if isinstance(parts, tuple) else (int(parts), int(parts))
    if not 1 <= least <= most:
        raise GraphError(f"块数 {parts} 不对：须从 1 起，先小后大")
    low, high = sum(a for a, _ in free), sum(b for _, b in free)
    if len(groups) == 1:
        n = len(groups[0])
        inside = max(least, low), min(most, high)
        if inside[0] <= inside[1]:
            return [inside], [inside], []
        asked = min(least, n), min(most, n)
        return [asked], [asked], [_reason("count", np.arange(n), graph)]
    if least <= low and high <= most:
        return free, free, []
    goal = int(np.clip((low + high) // 2, least, most)) if not (low > most or high < least) else None
    reasons = []
    if goal is None:
        goal = most if low > most else least
        goal = int(np.clip(goal, len(groups), len(graph.weight)))
        reasons.append(_reason("count", np.arange(len(graph.weight)), graph))
    given = [1 if reasons else a for a, _ in free]
    roof = [len(nodes) if reasons else b for nodes, (_, b) in zip(groups, free, strict=True)]
    while sum(given) < goal:
        open_ = [k for k in range(len(groups)) if given[k] < roof[k]]
        heaviest = max(open_, key=lambda k: (totals[k] / given[k], -k))
        given[heaviest] += 1
    return (
        [(k, k) for k in given],
        [(1, b) if reasons else ab for ab, b in zip(free, roof, strict=True)],
        reasons,
    )


def _reason(kind: Kind, nodes: Ints, graph: Graph) -> Reason:
    return Reason(kind=kind, nodes=nodes, weight=int(graph.weight[nodes].sum()))


# --- one component ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    labels: Ints
    bound: float
    least_misses: int
    exact: bool
    reasons: tuple[Reason, ...]


def _component(  # noqa: PLR0913, PLR0917, what a search needs
    graph: Graph,
    band: tuple[int, int],
    counts: tuple[int, int],
    all_counts: tuple[int, int],
    seed: int,
    budget: Budget,
) -> _Answer:
    """Split into ``counts`` parts; the bound holds for ``all_counts``, which other components left no room for."""
    lower, upper = band
    n = len(graph.weight)
    whole = int(graph.weight.sum())
    everyone = np.arange(n)
    reasons = [_reason("heavy_node", everyone[[v]], graph) for v in np.flatnonzero(graph.weight > upper)]
    ks = range(counts[0], counts[1] + 1)
    least_misses = min(max(k * lower - whole, whole - k * upper, 0) for k in ks)
    least_misses = max(least_misses, int(np.maximum(graph.weight - upper, 0).sum()))
    if whole < lower:
        reasons.append(_reason("light_component", everyone, graph))
    elif _count_range(whole, n, lower, upper)[2] > 0:
        reasons.append(_reason("gap_component", everyone, graph))
    if n <= SMALL:
        return _small(graph, band, counts, all_counts, reasons)
    if counts == all_counts == (1, 1):
        misses = max(lower - whole, whole - upper, 0)
        labels = np.zeros(n, dtype=np.int64)
        cost = _cost(graph, labels)[0]
        return _Answer(labels=labels, bound=cost, least_misses=misses, exact=True, reasons=tuple(reasons))
    if not reasons and len(graph.neighbour) == 2 * (n - 1) and not _tree_fits(graph, band):
        reasons.append(_reason("tree", everyone, graph))
        least_misses = max(least_misses, 1)
    labels, bound = _searched(
        graph, band, counts, seed, budget, all_counts=all_counts, proved_out=least_misses > 0
    )
    sizes = np.bincount(labels, weights=graph.weight)
    misses = int(np.maximum(np.maximum(lower - sizes, sizes - upper), 0).sum())
    if misses and not reasons:
        reasons.append(_reason("not_found", everyone, graph))
    return _Answer(
        labels=labels,
        bound=bound,
        least_misses=min(least_misses, misses),
        exact=False,
        reasons=tuple(reasons),
    )


def _small(
    graph: Graph,
    band: tuple[int, int],
    counts: tuple[int, int],
    all_counts: tuple[int, int],
    reasons: list[Reason],
) -> _Answer:
    """Exact, from all connected parts there are."""
    n = len(graph.weight)
    begin, nodes = connected_sets(graph)
    columns = priced(graph, begin, nodes, lower=band[0], upper=band[1], table=all_distances(graph))
    good = np.flatnonzero(columns.misses == 0)
    labels = choose(columns, nodes=n, counts=counts, keep=good)
    if labels is None:
        if not reasons:
            reasons = [_reason("exhausted", np.arange(n), graph)]
        labels = choose(columns, nodes=n, counts=counts)
    else:
        reasons = []
    if labels is None:
        raise AssertionError("a connected graph can be split into any number of parts up to its nodes")
    sizes = np.bincount(labels, weights=graph.weight)
    misses = int(np.maximum(np.maximum(band[0] - sizes, sizes - band[1]), 0).sum())
    bound = _cost(graph, labels)[0]
    if all_counts != counts:
        other = choose(columns, nodes=n, counts=all_counts, keep=None if misses else good)
        bound = 0.0 if other is None else min(bound, _cost(graph, other)[0])
    return _Answer(
        labels=labels,
        bound=bound,
        least_misses=misses,
        exact=all_counts == counts,
        reasons=tuple(reasons),
    )


def _tree_fits(graph: Graph, band: tuple[int, int]) -> bool:
    """Whether a tree can be cut into parts within the band at all; true if it is too large to say."""
    n = len(graph.weight)
    if band[1] >= _FINE_CELLS or n * (band[1] + 1) > _STATES:
        return True
    state = _state(n, 1, 0)
    order, parent, way = spanning_tree(graph, state, np.arange(n), np.full(n, -1, dtype=np.int64), 0.0)
    cost, _ = cut_tree(graph.weight, order, parent, way, (*band, band[1]), 0, 0.0, _FINE_CELLS)
    return cost < NEVER


def _state(n: int, slots: int, seed: int) -> State:
    def zeros(size: int) -> Ints:
        return np.zeros(size, dtype=np.int64)

    word = np.array([seed * 2 + 1], dtype=np.uint64)
    return State(
        zeros(n), np.full(slots, -1, dtype=np.int64), zeros(n), zeros(n), zeros(slots), zeros(slots),
        np.zeros(n), np.zeros(slots), zeros(slots), zeros(n + 1), word,
    )  # fmt: skip


def _pool(n: int, seed: int, columns: int) -> Pool:
    signs = np.random.default_rng(seed).integers(1, 2**63, size=n, dtype=np.uint64)
    most = max(20 * columns, 1)
    table = np.zeros(4 * most + 1, dtype=np.uint64)
    return Pool(
        table, signs, np.zeros(most + 2, dtype=np.int64), np.zeros(min(most * n, 20_000_000), dtype=np.int64)
    )


def _searched(  # noqa: PLR0913, what a search needs
    graph: Graph,
    band: tuple[int, int],
    counts: tuple[int, int],
    seed: int,
    budget: Budget,
    *,
    all_counts: tuple[int, int],
    proved_out: bool,
) -> tuple[Ints, float]:
    """Labels of a component, and a bound on their cost."""
    n = len(graph.weight)
    lower, upper = band
    limits = (lower, upper, _CELLS)
    starts = _starts(graph, _state(n, min(counts[1], n), seed), band, counts, budget.starts)
    # a start may have more parts than were asked for: the search then joins some
    state = _state(n, max(counts[1], *(int(labels.max()) + 1 for labels in starts)) + 2, seed)
    pool = _pool(n, seed, budget.columns)
    work = np.zeros((3, n + 1), dtype=np.int64)
    trail = np.zeros((4 * n + 1000, 2), dtype=np.int64)
    any_cut = bool(graph.cut.any())

    def search(labels: Ints, rounds: int, heat: float) -> tuple[tuple[int, int, float], Ints]:
        load(graph, state, labels)
        best = wander(graph, state, pool, limits, counts, rounds, heat, work, trail)
        load(graph, state, best)
        parts, misses, cost = standing(graph, state, lower, upper, any_cut)
        return (max(counts[0] - parts, parts - counts[1], 0), misses, cost), best

    found = [search(labels, 0, 0.0) for labels in starts]
    found.sort(key=lambda item: item[0])
    typical = int(found[0][1].max()) + 1
    rounds = budget.rounds * max(typical, _LEAST_PARTS)
    tries = [search(labels, rounds // budget.tries, 0.03) for _, labels in found[: budget.tries]]
    merit, labels = min(tries, key=lambda item: item[0])
    bound, prices = 0.0, None
    if budget.bound:
        proof = lower_bound(
            graph,
            band=(0, int(graph.weight.sum())) if proved_out else band,
            counts=all_counts,
            target=merit[2],
            rounds=budget.bound,
        )
        bound, prices = min(proof.value * (1 - 1e-12), merit[2]), proof.prices
    if budget.columns and merit[1] == 0 and typical <= _CHOICE_PARTS and n <= TABLE_NODES:
        columns = priced(graph, *pooled(pool), lower=lower, upper=upper, table=all_distances(graph))
        paid = np.add.reduceat(prices[columns.nodes], columns.begin[:-1]) if prices is not None else 0.0
        keep = np.sort(np.argsort(columns.cost - paid, kind="stable")[: budget.columns])
        chosen = choose(columns, nodes=n, counts=counts, keep=keep, effort=budget.branches)
        if chosen is not None:
            tries = [(merit, labels), search(chosen, rounds // 10, 0.005)]
            merit, labels = min(tries, key=lambda item: item[0])
    return np.unique(labels, return_inverse=True)[1].astype(np.int64), bound


def _starts(
    graph: Graph, state: State, band: tuple[int, int], counts: tuple[int, int], number: int
) -> list[Ints]:
    """Labels to begin with: trees cut by dynamic programming, then balanced k-means."""
    n = len(graph.weight)
    everyone, place = np.arange(n), np.full(n, -1, dtype=np.int64)
    starts = []
    for k in range(number):
        order, parent, way = spanning_tree(graph, state, everyone, place, 0.0 if k == 0 else 1.0)
        starts.append(_cut_to_count(graph, (order, parent, way), band, counts))
    parts = sorted(int(labels.max()) + 1 for labels in starts)[len(starts) // 2]
    parts = int(np.clip(parts, counts[0], min(counts[1], n)))
    starts += [grown(graph, state, parts, 8) for _ in range((number + 1) // 2)]
    return starts


def _cut_to_count(
    graph: Graph, tree: tuple[Ints, Ints, Floats], band: tuple[int, int], counts: tuple[int, int]
) -> Ints:
    """A tree cut into as many parts as asked for, by pricing parts; or nearly as many."""
    lower, upper = band
    n = len(graph.weight)
    heaviest, whole = int(graph.weight.max()), int(graph.weight.sum())
    cells = _FINE_CELLS if n * min(2 * upper, _FINE_CELLS) < _STATES else _CELLS

    def cut(most: int, price: float) -> tuple[float, Ints]:
        cost, labels = cut_tree(graph.weight, *tree, (lower, upper, most), 0, price, cells)
        return float(cost), labels

    most = min(upper, whole)
    cost, labels = cut(most, 0.0)
    if cost >= NEVER:
        most = min(whole, max(2 * upper, heaviest))
        cost, labels = cut(most, 0.0)
    parts = int(labels.max()) + 1
    dearest = 4.0 * float(tree[2].sum()) * max(upper, 1) + 1.0  # at this price there are as few as can be
    low, high = 0.0, dearest
    for _ in range(16):
        if parts <= counts[1] and (parts >= counts[0] or low == 0.0):
            break
        # prices differ by orders of magnitude: halve them first, then the space between
        price = (low + high) / 2 if low > 0 else high / 32
        _, other = cut(most, price)
        then = int(other.max()) + 1
        if then > counts[1]:
            low = price
        else:
            high = price
        if abs(then - counts[1]) < abs(parts - counts[1]):
            parts, labels = then, other
    return labels


# --- the answer ------------------------------------------------------------------------------------------


def _cost(graph: Graph, labels: Ints) -> tuple[float, float]:
    """Cost of labels, and the price of cuts in it, worked out from the start."""
    state = _state(len(labels), int(labels.max()) + 1, 0)
    load(graph, state, labels)
    total = standing(graph, state, 0, 0, bool(graph.cut.any()))[2]
    return float(total), float(total - state.cost.sum())


def _finished(  # noqa: PLR0913, what is told of an answer
    graph: Graph,
    labels: Ints,
    band: tuple[int, int],
    *,
    bound: float,
    least_misses: int,
    exact: bool,
    reasons: tuple[Reason, ...],
) -> Split:
    """Parts numbered by their first nodes, and all that is told of them."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    labels = rank[inverse]
    state = _state(len(labels), len(first), 0)
    load(graph, state, labels)
    order = np.lexsort((state.sums, labels))
    centres = order[np.searchsorted(labels[order], np.arange(len(first)))]
    cost, cuts = _cost(graph, labels)
    misses = int(np.maximum(np.maximum(band[0] - state.size, state.size - band[1]), 0).sum())
    return Split(
        labels=labels,
        centres=centres.astype(np.int64),
        sizes=state.size.copy(),
        cost=cost,
        cut_cost=cuts,
        misses=misses,
        least_misses=least_misses,
        bound=min(bound, cost),
        exact=exact,
        reasons=reasons if misses else (),
    )
