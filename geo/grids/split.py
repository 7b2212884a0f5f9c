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
from typing import Literal

import numpy as np
import numpy.typing as npt

from geo.errors import GraphError
from geo.grids.allot import Count, Counts, Kind, Range, Reason, allotted, count_range, dealt_anew, reason_of
from geo.grids.columns import SMALL, choose, connected_sets, priced
from geo.grids.earlier import start_of, successors, with_earlier
from geo.grids.graph import all_distances, components, graph_of, induced, own_order, renumbered
from geo.grids.kernel import NEVER, Graph, Ints, load
from geo.grids.search import BUDGETS, FINE_CELLS, STATES, Budget, cost_of, searched, state_of
from geo.grids.trees import cut_tree, spanning_tree

__all__ = ["BUDGETS", "Budget", "BudgetName", "Count", "Kind", "Reason", "Split", "best_split", "split_graph"]

BudgetName = Literal["fast", "standard", "best"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """A split graph and how good it is."""

    labels: Ints  # n, from 0, in the order of parts' first nodes
    centres: Ints  # k: the node of each part to which distance counts
    sizes: Ints  # k: weight of each part
    cost: float  # distance, cuts and moves
    cut_cost: float  # of this, the price of cut edges
    move_cost: float  # and of this, that of nodes that left
    successor_of: Ints  # k: the start label that a part continues, -1 for none
    moved: int  # weight of nodes that are not in the part that continues their start label
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
    start: npt.ArrayLike | None = None,
    moved_price: npt.ArrayLike = 0.0,
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
    start : n whole numbers, -1 for none
        Labels to begin with. They need not be connected: the heaviest piece of
        each is kept, the others go to parts beside them.
    moved_price : number, or n numbers
        What it costs, for each unit of weight (or for each node as given), that
        a node is not in the part that continues its start label: each label is
        continued by one part at most, and each part continues one at most, such
        that the least weight moves. A node without weight counts as one unit.
        With a price the search begins at ``start`` alone, as long as that leads
        into the band; without one ``start`` is one of several.

    Returns
    -------
    Split
        The same for any order of the nodes, up to the order of labels; only
        nodes that are alike in every way may change places.

    Raises
    ------
    GraphError
        If arrays do not fit each other, a number is negative, missing or not
        whole where it must be, an edge leads to no node, or lower > upper.
    """
    given = graph_of(weights, edges, masses, coordinates, sides, tolls, distances)
    old, price = start_of(len(given.weight), start, moved_price)
    if not 0 <= lower <= upper:
        raise GraphError(f"下限 {lower}、上限 {upper} 不成区间，请改正")
    if isinstance(budget, str):
        if budget not in BUDGETS:
            raise GraphError(f"没有“{budget}”这一档，可用 {'、'.join(BUDGETS)}")
        budget = BUDGETS[budget]
    if len(given.weight) == 0:
        none = np.zeros(0, dtype=np.int64)
        return Split(
            labels=none, centres=none, sizes=none, cost=0.0, cut_cost=0.0, move_cost=0.0, successor_of=none,
            moved=0, misses=0, least_misses=0, bound=0.0, exact=True, reasons=(),
        )  # fmt: skip
    order = own_order(given._replace(old=old))
    old = old[order]
    graph = with_earlier(renumbered(given, order), old, price[order] if price.shape else price)
    groups = components(graph)
    counts = allotted(graph, groups, parts, lower, upper)
    answers = _answers(graph, groups, counts, (lower, upper), seed, budget, old)
    labels = np.zeros(len(order), dtype=np.int64)
    used = 0
    for nodes, answer in zip(groups, answers, strict=True):
        labels[nodes] = answer.labels + used
        used += int(answer.labels.max()) + 1
    reasons = [
        *counts.reasons,
        *(
            replace(reason, nodes=nodes[reason.nodes])
            for nodes, answer in zip(groups, answers, strict=True)
            for reason in answer.reasons
        ),
    ]
    return _finished(
        graph,
        labels,
        (lower, upper),
        order=order,
        old=old,
        bound=sum(answer.bound for answer in answers),
        least_misses=sum(answer.least_misses for answer in answers),
        exact=all(answer.exact for answer in answers),
        reasons=tuple(replace(reason, nodes=np.sort(order[reason.nodes])) for reason in reasons),
    )


# --- one component ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Answer:
    labels: Ints
    bound: float
    least_misses: int
    exact: bool
    reasons: tuple[Reason, ...]
    misses: int

    @property
    def parts(self) -> int:
        """How many there are."""
        return int(self.labels.max()) + 1


def _answers(  # noqa: PLR0913, PLR0917, what a search needs
    graph: Graph,
    groups: list[Ints],
    counts: Counts,
    band: Range,
    seed: int,
    budget: Budget,
    old: Ints,
) -> list[_Answer]:
    """Each component split; where one misses the band at its number of parts, others make room for another."""

    def asked(k: int, given: Range) -> _Answer:
        nodes = groups[k]
        return _component(induced(graph, nodes), band, given, counts.may[k], seed + k, budget, old[nodes])

    answers = [asked(k, given) for k, given in enumerate(counts.given)]
    if not counts.coupled:
        return answers
    totals = [int(graph.weight[nodes].sum()) for nodes in groups]
    pinned: dict[int, int] = {}
    given = counts.given
    for k, answer in enumerate(answers):
        own = {"heavy_node", "light_component", "gap_component"}  # no number helps
        if not answer.misses or given[k] == counts.may[k] or own & {r.kind for r in answer.reasons}:
            continue
        other = asked(k, counts.may[k])
        then = dealt_anew(totals, counts, pinned | {k: other.parts})
        if other.misses < answer.misses and then is not None:
            pinned[k] = other.parts
            trial = list(answers)
            trial[k] = other
            for at, (now, before) in enumerate(zip(then, given, strict=True)):
                if at != k and now != before:
                    trial[at] = asked(at, now)
            if sum(a.misses for a in trial) < sum(a.misses for a in answers):
                answers, given = trial, then
            else:
                del pinned[k]
    return answers


def _component(  # noqa: PLR0913, PLR0917, what a search needs
    graph: Graph,
    band: tuple[int, int],
    counts: tuple[int, int],
    all_counts: tuple[int, int],
    seed: int,
    budget: Budget,
    old: Ints,
) -> _Answer:
    """Split into ``counts`` parts; the bound holds for ``all_counts``, which other components left no room for."""
    lower, upper = band
    n = len(graph.weight)
    whole = int(graph.weight.sum())
    everyone = np.arange(n)
    reasons = [reason_of("heavy_node", everyone[[v]], graph) for v in np.flatnonzero(graph.weight > upper)]
    ks = range(all_counts[0], all_counts[1] + 1)
    least_misses = min(max(k * lower - whole, whole - k * upper, 0) for k in ks)
    least_misses = max(least_misses, int(np.maximum(graph.weight - upper, 0).sum()))
    if whole < lower:
        reasons.append(reason_of("light_component", everyone, graph))
    elif count_range(whole, n, lower, upper)[2] > 0:
        reasons.append(reason_of("gap_component", everyone, graph))
    if n <= SMALL:
        return _small(graph, band, counts, all_counts, reasons)
    if counts == all_counts == (1, 1):
        misses = max(lower - whole, whole - upper, 0)
        labels = np.zeros(n, dtype=np.int64)
        cost = cost_of(graph, labels)[0]
        return _Answer(
            labels=labels, bound=cost, least_misses=misses, exact=True, reasons=tuple(reasons), misses=misses
        )
    if not reasons and len(graph.neighbour) == 2 * (n - 1) and not _tree_fits(graph, band):
        reasons.append(reason_of("tree", everyone, graph))
        least_misses = max(least_misses, 1)
    labels, bound = searched(
        graph, band, counts, seed, budget, all_counts=all_counts, least_misses=least_misses, begin=old
    )
    sizes = np.bincount(labels, weights=graph.weight)
    misses = int(np.maximum(np.maximum(lower - sizes, sizes - upper), 0).sum())
    if misses and not reasons:
        reasons.append(reason_of("not_found", everyone, graph))
    return _Answer(
        labels=labels,
        bound=bound,
        least_misses=min(least_misses, misses),
        exact=False,
        reasons=tuple(reasons),
        misses=misses,
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
            reasons = [reason_of("exhausted", np.arange(n), graph)]
        labels = choose(columns, nodes=n, counts=counts)
    else:
        reasons = []
    if labels is None:
        raise AssertionError("a connected graph can be split into any number of parts up to its nodes")
    sizes = np.bincount(labels, weights=graph.weight)
    misses = int(np.maximum(np.maximum(band[0] - sizes, sizes - band[1]), 0).sum())
    bound, least_misses = cost_of(graph, labels)[0], misses
    if all_counts != counts:
        # its components might have been dealt other numbers
        other = choose(columns, nodes=n, counts=all_counts, keep=good)
        if other is not None:
            bound, least_misses = min(bound, cost_of(graph, other)[0]), 0
        elif misses:
            bound, least_misses = 0.0, 1
    return _Answer(
        labels=labels,
        bound=bound,
        least_misses=least_misses,
        exact=all_counts == counts,
        reasons=tuple(reasons),
        misses=misses,
    )


def _tree_fits(graph: Graph, band: tuple[int, int]) -> bool:
    """Whether a tree can be cut into parts within the band at all; true if it is too large to say."""
    n = len(graph.weight)
    if band[1] >= FINE_CELLS or n * (band[1] + 1) > STATES:
        return True
    state = state_of(n, 1, 0)
    order, parent, way, apart = spanning_tree(graph, state, np.arange(n), np.full(n, -1, dtype=np.int64), 0.0)
    cost, _ = cut_tree(graph.weight, order, parent, way, apart, (*band, band[1]), 0, 0.0, FINE_CELLS)
    return cost < NEVER


# --- the answer ------------------------------------------------------------------------------------------


def _finished(  # noqa: PLR0913, what is told of an answer
    graph: Graph,
    labels: Ints,
    band: tuple[int, int],
    *,
    order: Ints,
    old: Ints,
    bound: float,
    least_misses: int,
    exact: bool,
    reasons: tuple[Reason, ...],
) -> Split:
    """Parts numbered by their first nodes in the order given, and all that is told of them."""
    # worked out in the graph's own order, so that no sum hangs on the order given
    state = state_of(len(labels), int(labels.max()) + 1, 0)
    load(graph._replace(stay=np.zeros(len(labels))), state, labels)
    rising = np.lexsort((state.sums, labels))
    centres = rising[np.searchsorted(labels[rising], np.arange(len(state.size)))]
    cost, cuts, moves = cost_of(graph, labels)
    misses = int(np.maximum(np.maximum(band[0] - state.size, state.size - band[1]), 0).sum())
    home = successors(old, labels, np.maximum(graph.weight, 1).astype(np.float64))
    told = np.empty(len(labels), dtype=np.int64)
    told[order] = labels
    _, first = np.unique(told, return_index=True)
    sequence = np.argsort(first)
    rank = np.empty(len(first), dtype=np.int64)
    rank[sequence] = np.arange(len(first))
    return Split(
        labels=rank[told],
        centres=order[centres[sequence]].astype(np.int64),
        sizes=state.size[sequence],
        cost=cost,
        cut_cost=cuts,
        move_cost=moves,
        successor_of=home[sequence],
        moved=int(graph.weight[(old >= 0) & (old != home[labels])].sum()),
        misses=misses,
        least_misses=least_misses,
        bound=min(bound, cost),
        exact=exact,
        reasons=reasons if misses else (),
    )
