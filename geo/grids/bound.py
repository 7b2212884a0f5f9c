"""How good a partition could be at all: a lower bound on cost that needs no partition.

Each node must lie in one part; that rule is given up and priced instead. What
is left falls apart by centres: for each, the cheapest set of nodes within the
band, a knapsack. Connectedness and the price of cuts are left out as well, so
the bound holds with them and without. Prices are moved by subgradients.
How many centres lie in which group of nodes may be told beforehand; `hamlets`
goes through what there can be.

Source: Lagrangian bound of the capacitated p-median problem, Lorena & Senne
(2004), doi:10.1016/S0305-0548(03)00039-X; steps by Polyak's rule.
"""

from dataclasses import dataclass

import numpy as np

from geo.grids.kernel import NEVER, Floats, Graph, Ints, compiled, distance, straight

_COMPLETE = 3000  # nodes up to which lists hold everyone
_CELLS = 2048  # sizes told apart in a knapsack; heavier ones are bounded by fractions


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bound:
    """A proof that no partition costs less."""

    value: float  # no partition within the band costs less than this
    prices: Floats  # n: what each node pays; whoever doubts the value can work it out again from these
    often: Floats  # n: how often of late a part was around each node; their sum is about the number of parts


@compiled
def near_lists(graph: Graph, reach: float) -> tuple[Ints, Ints, Floats]:
    """For each node the nodes within reach, nearest first, as begin, nodes and distances."""
    n = len(graph.weight)
    table, xy, sides, tolls = graph.table, graph.xy, graph.sides, graph.tolls
    known = table.shape[0] > 0
    begin = np.zeros(n + 1, dtype=np.int64)
    for c in range(n):
        k = 0
        for i in range(n):
            if (table[i, c] if known else straight(xy, sides, tolls, i, c)) <= reach:
                k += 1
        begin[c + 1] = begin[c] + k
    nodes = np.empty(begin[n], dtype=np.int64)
    away = np.empty(begin[n])
    for c in range(n):
        at = begin[c]
        for i in range(n):
            d = table[i, c] if known else straight(xy, sides, tolls, i, c)
            if d <= reach:
                nodes[at] = i
                away[at] = d
                at += 1
        a, z = begin[c], begin[c + 1]
        order = np.argsort(away[a:z], kind="mergesort")
        nodes[a:z] = nodes[a:z][order]
        away[a:z] = away[a:z][order]
    return begin, nodes, away


@compiled
def cheapest_set(
    graph: Graph,
    centre: int,
    nodes: Ints,
    away: Floats,
    prices: Floats,
    band: tuple[int, int],
    beyond: float,
    steep: tuple[float, float, float],
    taken: Floats,
) -> tuple[float, int]:
    """Bound on the cheapest set around a centre, and what of each node it takes; how many it looked at.

    Nodes that pay more than they cost are chosen by a knapsack, exact as long
    as sizes can be told apart; others only fill up to the lower limit, as
    fractions. ``beyond`` is the least cost of a unit outside the list.

    ``nodes`` come nearest first. They are looked at as far as any could gain
    (the first of ``steep``: the greatest price by mass), and until enough is
    there to fill up with; what a unit farther away costs at least follows from
    the least mass and the greatest price by weight, the others of ``steep``.
    """
    lower, upper = band
    weight, mass = graph.weight, graph.mass
    own = weight[centre]
    if own > upper:
        return NEVER, 0
    m = len(nodes)
    gain_at = np.empty(m, dtype=np.int64)
    fill_at = np.empty(m, dtype=np.int64)
    ratio = np.empty(m)
    value = np.empty(m)
    gains, fills = 0, 0
    base = 0.0
    room = upper - own
    light, spare, looked = 0, 0, m
    met, cap = False, 0.0
    for k in range(m):
        i = nodes[k]
        if met and spare >= lower and away[k] > steep[0] and away[k] * steep[1] - steep[2] >= cap:
            looked = k
            beyond = min(beyond, away[k] * steep[1] - steep[2])
            break
        taken[k] = 0.0
        value[k] = mass[i] * away[k] - prices[i]
        if i == centre:
            base += value[k]
            taken[k] = 1.0
            met = True
        elif value[k] < 0:
            if weight[i] == 0:
                base += value[k]
                taken[k] = 1.0
            elif weight[i] <= room:
                gain_at[gains] = k
                gains += 1
                light += weight[i]
        elif weight[i] > 0 and weight[i] <= room:
            fill_at[fills] = k
            ratio[fills] = value[k] / weight[i]
            if spare < lower:
                cap = max(cap, ratio[fills])
            fills += 1
            spare += weight[i]
    reach = min(room, light)
    whole = light <= room
    if whole or reach + 1 > _CELLS:
        # All that gain fit, or sizes are too fine for a table: by fractions, best first
        worth = np.empty(gains)
        for g in range(gains):
            worth[g] = value[gain_at[g]] / weight[nodes[gain_at[g]]]
        left = room
        for g in np.argsort(worth, kind="mergesort"):
            k = gain_at[g]
            part = min(1.0, left / weight[nodes[k]])
            if part <= 0:
                break
            base += part * value[k]
            taken[k] = part
            left -= min(left, weight[nodes[k]])
        lack = lower - (upper - left)
        if lack > 0:
            base += fill(graph, nodes, fill_at[:fills], ratio[:fills], value, lack, beyond, taken)
        return base, looked
    table = np.full(reach + 1, NEVER)
    table[0] = 0.0
    chosen = np.zeros((gains, reach + 1), dtype=np.bool_)
    top = 0
    for g in range(gains):
        k = gain_at[g]
        w = weight[nodes[k]]
        top = min(top + w, reach)
        for s in range(top, w - 1, -1):
            total = table[s - w] + value[k]
            if total < table[s]:
                table[s] = total
                chosen[g, s] = True
    # what filling up costs, by how much is lacking
    best, best_s = NEVER, -1
    most_lack = lower - own
    order = np.argsort(ratio[:fills], kind="mergesort")
    fill_cost = np.zeros(max(most_lack, 0) + 1)
    at, used = 0, 0
    for unit in range(1, len(fill_cost)):
        while at < fills and used >= weight[nodes[fill_at[order[at]]]]:
            at += 1
            used = 0
        if at < fills and ratio[order[at]] <= beyond:
            fill_cost[unit] = fill_cost[unit - 1] + ratio[order[at]]
            used += 1
        else:
            fill_cost[unit] = fill_cost[unit - 1] + beyond
    for s in range(reach + 1):
        if table[s] >= NEVER:
            continue
        lack = max(most_lack - s, 0)
        if fill_cost[lack] < NEVER and table[s] + fill_cost[lack] < best:
            best = table[s] + fill_cost[lack]
            best_s = s
    if best_s < 0:
        return NEVER, 0
    s = best_s
    for g in range(gains - 1, -1, -1):
        if chosen[g, s]:
            taken[gain_at[g]] = 1.0
            s -= weight[nodes[gain_at[g]]]
    lack = most_lack - best_s
    if lack > 0:
        fill(graph, nodes, fill_at[:fills], ratio[:fills], value, lack, beyond, taken)
    return base + best, looked


@compiled
def fill(
    graph: Graph,
    nodes: Ints,
    fill_at: Ints,
    ratio: Floats,
    value: Floats,
    lack: int,
    beyond: float,
    taken: Floats,
) -> float:
    """Fill up a lack with the cheapest fractions of nodes."""
    weight = graph.weight
    total, left = 0.0, float(lack)
    for f in np.argsort(ratio, kind="mergesort"):
        if left <= 0 or ratio[f] > beyond:
            break
        k = fill_at[f]
        part = min(1.0, left / weight[nodes[k]])
        taken[k] = part
        total += part * value[k]
        left -= part * weight[nodes[k]]
    if left > 1e-9:
        total += left * beyond
    return total


@compiled
def picked(worth: Floats, family: tuple[Ints, Ints, Ints, Ints]) -> tuple[bool, Ints]:
    """The cheapest centres with as many in each group as it must have and may have; whether there are such.

    Groups are nested or apart, inner ones first, the last is everyone. So what
    an inner group must have is had first, what it may not have is out for all.
    """
    begin, members, low, high = family
    order = np.argsort(worth, kind="mergesort")
    rank = np.empty(len(worth), dtype=np.int64)
    rank[order] = np.arange(len(worth))
    must = np.zeros(len(worth), dtype=np.bool_)
    out = np.zeros(len(worth), dtype=np.bool_)
    last = len(low) - 1
    for g in range(len(low)):
        own = members[begin[g] : begin[g + 1]]
        number = 0
        for i in own:
            number += must[i]
        if number > high[g]:
            return False, order[:0]
        if g < last and number >= low[g] and high[g] >= len(own):
            continue
        for at in np.sort(rank[own]):
            i = order[at]
            if must[i] or out[i]:
                continue
            if number < low[g]:
                must[i] = True
            elif number >= high[g]:
                out[i] = True
            elif g == last and worth[i] < 0:
                must[i] = True
            number += 1
        if number < low[g]:
            return False, order[:0]
    return True, order[must[order]]


@compiled
def ascend(
    graph: Graph,
    lists: tuple[Ints, Ints, Floats],
    band: tuple[int, int],
    family: tuple[Ints, Ints, Ints, Ints],
    target: float,
    rounds: int,
    prices: Floats,
    reach: float,
    complete: bool,
    stride: float,
) -> tuple[float, Floats, Floats]:
    """Best bound found from some prices, its prices, and how often each node was a centre of late.

    With lists that are not complete, a price may be at most half of what the
    node would cost at their reach, so nodes beyond never gain anything.
    ``stride`` is what part of Polyak's step is gone at first.
    """
    begin, nodes, away = lists
    n = len(graph.weight)
    dear = NEVER
    for i in range(n):
        if graph.weight[i] > 0:
            dear = min(dear, 0.5 * reach * graph.mass[i] / graph.weight[i])
    beyond = NEVER if complete else dear
    best, best_prices = -NEVER, prices.copy()
    taken = np.zeros(len(nodes))
    worth = np.empty(n)
    looked = np.zeros(n, dtype=np.int64)
    pull = np.empty(n)
    smooth = np.zeros(n)
    # a node of more households is dearer, and its price has farther to go
    scale = np.maximum(graph.mass, 0.01 * graph.mass.sum() / n)
    if not scale.any():
        scale[:] = 1.0
    often = np.zeros(n)
    step, stale, first = stride, 0, True
    for _ in range(rounds):
        if not complete:
            for i in range(n):
                prices[i] = min(prices[i], 0.5 * reach * graph.mass[i])
        farthest, least, dearest = 0.0, NEVER, 0.0
        for i in range(n):
            if prices[i] > 0:
                farthest = max(farthest, prices[i] / graph.mass[i] if graph.mass[i] > 0 else NEVER)
            if graph.weight[i] > 0:
                least = min(least, graph.mass[i] / graph.weight[i])
                dearest = max(dearest, prices[i] / graph.weight[i])
        steep = (farthest, least, dearest)
        for c in range(n):
            a, z = begin[c], begin[c + 1]
            worth[c], looked[c] = cheapest_set(
                graph, c, nodes[a:z], away[a:z], prices, band, beyond, steep, taken[a:z]
            )
        can, centres = picked(worth, family)
        if not can:
            return NEVER, best_prices, often
        value = prices.sum()
        pull[:] = 1.0
        if not first:
            often *= 0.95
        for c in centres:
            value += worth[c]
            often[c] += 1.0 if first else 0.05
            for at in range(begin[c], begin[c] + looked[c]):
                pull[nodes[at]] -= taken[at]
        first = False
        if value > best:
            if value > best + 1e-4 * max(target - best, 0.0):
                stale = 0
            best = value
            best_prices[:] = prices
            if best >= target:
                break
        else:
            stale += 1
        if stale >= 12:
            stale = 0
            step *= 0.6
            prices[:] = best_prices
            smooth[:] = 0.0
            if step < 1e-3:
                break
            continue
        smooth = 0.6 * smooth + 0.4 * pull if smooth.any() else pull.copy()
        norm = (smooth * smooth * scale).sum()
        if norm < 1e-18:
            break
        length = step * max(target - value, 1e-6 * abs(target)) / norm
        prices += length * smooth * scale
    return best, best_prices, often


def lower_bound(
    graph: Graph,
    *,
    band: tuple[int, int],
    counts: tuple[int, int],
    target: float,
    rounds: int,
    start: Floats | None = None,
) -> Bound:
    """Lower bound on the distance cost of any partition of a graph within a band.

    Parameters
    ----------
    graph : Graph, n nodes
    band : least and greatest size of a part
    counts : least and greatest number of parts
    target : cost of a known partition; steers the steps, never the proof
    rounds : most steps
    start : n prices to begin with, as an earlier bound left them

    Returns
    -------
    Bound
        Costs are never below 0, so its value is neither. If no part of the
        band can exist the value is infinite.
    """
    n = len(graph.weight)
    lists, reach = lists_of(graph, band)
    prices = np.full(n, target / max(n, 1)) if start is None else start.copy()
    if start is None and graph.mass.sum() > 0:
        prices = 1.5 * target * graph.mass / graph.mass.sum()
    family = family_of([], n, [], counts)
    value, kept, often = ascend(
        graph, lists, band, family, target, rounds, prices, reach, np.isinf(reach), 1.0
    )
    if value > NEVER / 2:
        value = np.inf
    return Bound(value=max(float(value), 0.0), prices=kept, often=often)


def lists_of(graph: Graph, band: tuple[int, int]) -> tuple[tuple[Ints, Ints, Floats], float]:
    """Nodes near each node, and how far these lists reach: infinitely, if they hold everyone."""
    reach = np.inf if len(graph.weight) <= _COMPLETE else _reach(graph, band[1])
    return near_lists(graph, reach), float(reach)


def family_of(
    groups: list[Ints], n: int, ranges: list[tuple[int, int]], counts: tuple[int, int]
) -> tuple[Ints, Ints, Ints, Ints]:
    """Nested groups of nodes and how many centres each has, everyone last, as `picked` takes them."""
    lists = [*groups, np.arange(n)]
    limits = np.array([*ranges, counts], dtype=np.int64)
    return (
        np.cumsum([0, *map(len, lists)]).astype(np.int64),
        np.concatenate(lists).astype(np.int64),
        np.minimum(limits[:, 0], n),
        limits[:, 1].copy(),
    )


def _reach(graph: Graph, upper: int) -> float:
    """A radius that holds several parts around almost every node, lists kept within memory."""
    n = len(graph.weight)
    sample = np.unique(np.linspace(0, n - 1, 200).astype(np.int64))
    radii = []
    for c in sample:
        d = np.array([distance(graph, i, c) for i in range(n)])
        order = np.argsort(d, kind="stable")
        full = int(np.searchsorted(np.cumsum(graph.weight[order]), 6 * upper))
        radii.append(d[order[min(full, n - 1)]])
    reach = float(np.quantile(radii, 0.9))
    counts = [sum(distance(graph, i, c) <= reach for i in range(n)) for c in sample]
    crowd = float(np.mean(counts)) * n
    return reach if crowd < 3e7 else reach * float(np.sqrt(3e7 / crowd))
