"""The search of one component: starts, wandering from the best of them, a choice among all parts seen.

Starts are spanning trees cut by dynamic programming and balanced k-means grown
on the graph; or, where there were parts before, these alone, as long as they
lead into the band.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from geo.grids.bound import Bound, lower_bound
from geo.grids.columns import choose, pooled, priced
from geo.grids.earlier import continued, mended
from geo.grids.graph import TABLE_NODES, all_distances
from geo.grids.hamlets import told_apart
from geo.grids.kernel import NEVER, Floats, Graph, Ints, Pool, State, load, moved
from geo.grids.trees import cut_tree, spanning_tree
from geo.grids.wander import grown, standing, wander

CELLS: Final = 256  # sizes told apart when a few parts are divided anew
FINE_CELLS: Final = 4096  # and when a whole graph is cut
STATES: Final = 20_000_000  # of the table a whole tree is cut with
_LEAST_PARTS: Final = 20  # a graph of fewer parts is searched as long as one of this many
_CASE_NODES: Final = 1000  # and the bound of more nodes than this is not raised by cases
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
    cases: int = 0  # of how many centres hamlets have, to raise the bound by
    near: float = 0.0  # as long as the bound misses more than this share of the cost


BUDGETS: Final[dict[str, Budget]] = {
    "fast": Budget(starts=4, rounds=64, tries=1, bound=150, columns=0, branches=0, cases=12, near=0.03),
    "standard": Budget(
        starts=8, rounds=600, tries=3, bound=500, columns=6000, branches=50, cases=30, near=0.003
    ),
    "best": Budget(
        starts=16, rounds=1500, tries=5, bound=1000, columns=10_000, branches=500, cases=200, near=0.001
    ),
}


def state_of(n: int, slots: int, seed: int, earlier: int = 0) -> State:
    """Arrays of a partition of n nodes into up to ``slots`` parts, ``earlier`` of which there were before."""

    def zeros(size: int) -> Ints:
        return np.zeros(size, dtype=np.int64)

    word = np.array([seed * 2 + 1], dtype=np.uint64)
    return State(
        zeros(n), np.full(slots, -1, dtype=np.int64), zeros(n), zeros(n), zeros(slots), zeros(slots),
        np.zeros(n), np.zeros(slots), zeros(slots), zeros(n + 1),
        np.full(slots, -1, dtype=np.int64), np.full(earlier, -1, dtype=np.int64), word,
    )  # fmt: skip


def earlier_parts(graph: Graph) -> int:
    """How many parts there were before, if leaving them costs anything."""
    return int(graph.old.max(initial=-1)) + 1 if graph.stay.any() else 0


def _pool(n: int, seed: int, columns: int) -> Pool:
    signs = np.random.default_rng(seed).integers(1, 2**63, size=n, dtype=np.uint64)
    most = max(20 * columns, 1)
    table = np.zeros(4 * most + 1, dtype=np.uint64)
    return Pool(
        table, signs, np.zeros(most + 2, dtype=np.int64), np.zeros(min(most * n, 20_000_000), dtype=np.int64)
    )


def searched(  # noqa: PLR0913, what a search needs
    graph: Graph,
    band: tuple[int, int],
    counts: tuple[int, int],
    seed: int,
    budget: Budget,
    *,
    all_counts: tuple[int, int],
    least_misses: int = 0,
    begin: Ints | None = None,
) -> tuple[Ints, float]:
    """Labels of a component, and a bound on their cost.

    The bound holds for ``all_counts``; ``least_misses`` is what no labels
    avoid. ``begin`` are labels to begin with, -1 for none.
    """
    n = len(graph.weight)
    lower, upper = band
    limits = (lower, upper, CELLS)
    earlier = earlier_parts(graph)
    starts = [] if begin is None or (begin < 0).all() else [mended(graph, begin, band)]
    given = len(starts)
    if not given or not earlier:
        starts += _starts(graph, state_of(n, min(counts[1], n), seed, earlier), band, counts, budget.starts)
    # a start may have more parts than were asked for: the search then joins some
    slots = max(counts[1], *(int(labels.max()) + 1 for labels in starts), 0) + 2
    state = state_of(n, slots, seed, earlier)
    pool = _pool(n, seed, budget.columns)
    work = np.zeros((3, n + 1), dtype=np.int64)
    trail = np.zeros((4 * n + 1000, 2), dtype=np.int64)
    any_cut = bool(graph.cut.any())

    def search(labels: Ints, rounds: int, heat: float) -> tuple[tuple[int, int, float], Ints]:
        load(graph, state, labels)
        continued(graph, state)
        best = wander(graph, state, pool, limits, counts, rounds, heat, work, trail)
        load(graph, state, best)
        continued(graph, state)
        parts, misses, cost = standing(graph, state, lower, upper, any_cut)
        return (max(counts[0] - parts, parts - counts[1], 0), misses, cost), best

    found = [search(labels, 0, 0.0) for labels in starts]
    found[given:] = sorted(found[given:], key=lambda item: item[0])
    if given and earlier:
        found = [found[0]] * budget.tries
    typical = len(np.unique(found[0][1]))
    rounds = budget.rounds * max(typical, _LEAST_PARTS)
    tries = [search(labels, rounds // budget.tries, 0.03) for _, labels in found[: budget.tries]]
    merit, labels = min(tries, key=lambda item: item[0])
    if given and earlier and merit[:2] > (0, least_misses):
        # what was there before does not lead into the band: begin anew, and see
        fresh = _starts(graph, state_of(n, min(counts[1], n), seed, earlier), band, counts, budget.starts)
        fresh = [labels for labels in fresh if labels.max() < slots]
        found = sorted((search(labels, 0, 0.0) for labels in fresh), key=lambda item: item[0])
        tries += [search(labels, rounds // budget.tries, 0.03) for _, labels in found[: budget.tries]]
        merit, labels = min(tries, key=lambda item: item[0])
    bound, prices, proof = 0.0, None, None
    if budget.bound:
        proof = lower_bound(
            graph,
            band=(0, int(graph.weight.sum())) if least_misses else band,
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
    if proof is not None and merit[1] == 0:
        bound = max(bound, _raised(graph, proof, band, all_counts, merit[2], budget))
    return np.unique(labels, return_inverse=True)[1].astype(np.int64), bound


def _raised(  # noqa: PLR0913, PLR0917, what a bound needs
    graph: Graph, proof: Bound, band: tuple[int, int], counts: tuple[int, int], cost: float, budget: Budget
) -> float:
    """A bound by cases of hamlets, where the graph is small enough for them."""
    if len(graph.weight) > _CASE_NODES:
        return 0.0
    value = told_apart(
        graph,
        proof,
        band=band,
        counts=counts,
        target=cost,
        rounds=budget.bound // 5,
        cases=budget.cases,
        near=budget.near,
    )
    return min(value * (1 - 1e-12), cost)


def _starts(
    graph: Graph, state: State, band: tuple[int, int], counts: tuple[int, int], number: int
) -> list[Ints]:
    """Labels to begin with: trees cut by dynamic programming, then balanced k-means."""
    n = len(graph.weight)
    everyone, place = np.arange(n), np.full(n, -1, dtype=np.int64)
    starts = []
    for k in range(number):
        tree = spanning_tree(graph, state, everyone, place, 0.0 if k == 0 else 1.0)
        starts.append(_cut_to_count(graph, tree, band, counts))
    parts = sorted(int(labels.max()) + 1 for labels in starts)[len(starts) // 2]
    parts = int(np.clip(parts, counts[0], min(counts[1], n)))
    starts += [grown(graph, state, parts, 8) for _ in range((number + 1) // 2)]
    return starts


def _cut_to_count(
    graph: Graph, tree: tuple[Ints, Ints, Floats, Floats], band: tuple[int, int], counts: tuple[int, int]
) -> Ints:
    """A tree cut into as many parts as asked for, by pricing parts; or nearly as many."""
    lower, upper = band
    n = len(graph.weight)
    heaviest, whole = int(graph.weight.max()), int(graph.weight.sum())
    cells = FINE_CELLS if n * min(2 * upper, FINE_CELLS) < STATES else CELLS

    def cut(most: int, price: float) -> tuple[float, Ints]:
        cost, labels = cut_tree(graph.weight, *tree, (lower, upper, most), 0, price, cells)
        return float(cost), labels

    most = min(upper, whole)
    cost, labels = cut(most, 0.0)
    if cost >= NEVER:
        most = min(whole, max(2 * upper, heaviest))
        cost, labels = cut(most, 0.0)
    parts = int(labels.max()) + 1
    dearest = (
        4.0 * float(tree[2].sum() * max(upper, 1) + tree[3].sum()) + 1.0
    )  # at this price there are as few as can be
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


def cost_of(graph: Graph, labels: Ints) -> tuple[float, float, float]:
    """Cost of labels, and of this the price of cuts and that of moves, worked out from the start."""
    state = state_of(len(labels), int(labels.max()) + 1, 0, earlier_parts(graph))
    load(graph, state, labels)
    continued(graph, state)
    total = standing(graph, state, 0, 0, bool(graph.cut.any()))[2]
    left = moved(graph, state)
    return float(total), float(total - left - state.cost.sum()), float(left)
