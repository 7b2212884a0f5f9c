"""The search that goes on: divide a few neighbouring parts anew, improve, keep what is better.

Better means, in this order: the number of parts is one that was asked for, no
part misses its band, the cost is less. Costs may rise a little on the way, the
less the longer it goes (simulated annealing); the best ever seen is returned.
"""

import heapq

import numpy as np

from geo.grids.kernel import (
    NEVER,
    Floats,
    Graph,
    Ints,
    Pool,
    State,
    compiled,
    cut_between,
    distance,
    draw,
    improve,
    link,
    load,
    moved,
    outside,
    settle,
    unlink,
)
from geo.grids.trees import divide

_WIDEST = 8  # parts divided anew at once


@compiled
def grow(graph: Graph, seeds: Ints, bias: Floats) -> Ints:
    """Each node to a seed, nearest first and less its bias, always next to its own part."""
    n = len(graph.weight)
    labels = np.full(n, -1, dtype=np.int64)
    start, neighbour = graph.start, graph.neighbour
    heap = [(-1.0, np.int64(0), np.int64(0))]
    heap.pop()
    for k in range(len(seeds)):
        heapq.heappush(heap, (-NEVER, seeds[k], np.int64(k)))
    while len(heap) > 0:
        _, v, part = heapq.heappop(heap)
        if labels[v] >= 0:
            continue
        labels[v] = part
        for e in range(start[v], start[v + 1]):
            u = neighbour[e]
            if labels[u] < 0:
                heapq.heappush(heap, (distance(graph, u, seeds[part]) + bias[part], u, np.int64(part)))
    return labels


@compiled
def grown(graph: Graph, state: State, parts: int, rounds: int) -> Ints:
    """Balanced k-means on a graph: grow from centres, move centres, make heavy parts dearer."""
    n = len(graph.weight)
    seeds = np.empty(parts, dtype=np.int64)
    near = np.full(n, NEVER)
    seeds[0] = int(draw(state.random) * n)
    for part in range(1, parts):
        total = 0.0
        for v in range(n):
            near[v] = min(near[v], distance(graph, v, seeds[part - 1]))
            total += near[v] * (graph.mass[v] + 1e-6)
        left = draw(state.random) * total
        pick = -1
        for v in range(n):
            if near[v] > 0 or pick < 0:
                left -= near[v] * (graph.mass[v] + 1e-6)
                if near[v] > 0 or total == 0:
                    pick = v
                if left < 0 and pick >= 0:
                    break
        seeds[part] = pick
    bias = np.zeros(parts)
    goal = graph.weight.sum() / parts
    labels = grow(graph, seeds, bias)
    for _ in range(rounds):
        load(graph, state, labels)
        radius = state.cost.sum() / max(graph.mass.sum(), 1e-300)
        for part in range(parts):
            v = state.head[part]
            best = v
            while v >= 0:
                if state.sums[v] < state.sums[best]:
                    best = v
                v = state.after[v]
            if best >= 0:
                seeds[part] = best
            if goal > 0:
                bias[part] += 0.7 * radius * min((state.size[part] - goal) / goal, 1.0)
        labels = grow(graph, seeds, bias)
    return labels


@compiled
def standing(graph: Graph, state: State, lower: int, upper: int, any_cut: bool) -> tuple[int, int, float]:
    """Number of parts, units outside the band, cost with all its prices."""
    parts, misses, cost = 0, 0, 0.0
    for part in range(len(state.head)):
        if state.number[part] > 0:
            parts += 1
            misses += outside(state.size[part], lower, upper)
            cost += state.cost[part]
    if any_cut:
        cost += cut_between(graph, state.label)
    return parts, misses, cost + moved(graph, state)


@compiled
def remember(state: State, pool: Pool, part: int, lower: int, upper: int) -> None:
    """Note a part in the pool, unless it is there, misses the band or the pool is full."""
    if state.number[part] == 0 or outside(state.size[part], lower, upper) > 0:
        return
    key = np.uint64(0)
    sign, after, table, pooled = pool.sign, state.after, pool.table, pool.nodes
    i = state.head[part]
    while i >= 0:
        key += sign[i]
        i = after[i]
    key |= np.uint64(1)
    slots = np.uint64(len(table))
    at = key % slots
    while table[at] != 0:
        if table[at] == key:
            return
        at = (at + np.uint64(1)) % slots
    k = pool.begin[0]
    end = pool.begin[k + 1]
    if k + 2 >= len(pool.begin) or end + state.number[part] > len(pool.nodes):
        return
    table[at] = key
    i = state.head[part]
    while i >= 0:
        pooled[end] = i
        end += 1
        i = after[i]
    pool.begin[0] = k + 1
    pool.begin[k + 2] = end


@compiled
def neighbours(graph: Graph, state: State, region: Ints, used: int) -> int:
    """A part next to those in a region, at random; -1 if there is none."""
    label, after, start, neighbour = state.label, state.after, graph.start, graph.neighbour
    found, pick = 0, -1
    for at in range(used):
        v = state.head[region[at]]
        while v >= 0:
            for e in range(start[v], start[v + 1]):
                b = label[neighbour[e]]
                inside = False
                for k in range(used):
                    inside = inside or region[k] == b
                if not inside:
                    found += 1
                    if draw(state.random) * found < 1.0:
                        pick = b
            v = after[v]
    return pick


@compiled
def kick(
    graph: Graph,
    state: State,
    first: int,
    take: int,
    more: int,
    limits: tuple[int, int, int],
    place: Ints,
    trail: Ints,
) -> bool:
    """Around a part, divide ``take`` neighbouring parts into so many and ``more``.

    If a part is to come or to go, as many more are taken as it needs for all to be in the band: where
    parts are nearly as small as they may be, two of them are no three.
    """
    lower, upper, _ = limits
    region = np.empty(_WIDEST + 1, dtype=np.int64)
    region[0] = first
    used, whole = int(np.int64(1)), int(state.size[first])
    while used < take or (
        more != 0 and used < _WIDEST and not lower * (used + more) <= whole <= upper * (used + more)
    ):
        b = neighbours(graph, state, region, used)
        if b < 0:
            return False
        region[used] = b
        used += 1
        whole += int(state.size[b])
    make = used + more
    if make < 1:
        return False
    free = 0
    while used < make:
        while free < len(state.head) and state.number[free] > 0:
            free += 1
        if free == len(state.head):
            return False
        region[used] = free
        used += 1
        free += 1
    return divide(graph, state, region[:used], make, limits, place, trail)


@compiled
def restore(graph: Graph, state: State, trail: Ints, touched: Ints) -> None:
    """Walk the trail back."""
    for k in range(trail[0, 0], 0, -1):
        v, part = trail[k, 0], trail[k, 1]
        if state.label[v] != part:
            touched[state.label[v]] = 1
            touched[part] = 1
            unlink(state, v)
            link(state, v, part)
    for part in range(len(touched)):
        if touched[part] == 1:
            settle(graph, state, part)
        touched[part] = 0
        state.dirty[part] = 0


@compiled
def choose(graph: Graph, state: State, misses: int, limits: tuple[int, int, int]) -> int:
    """A part to begin with: of a random node, or one outside the band if there is any."""
    part = int(state.label[int(draw(state.random) * len(graph.weight))])
    if misses > 0 and draw(state.random) < 0.7:
        found = 0
        for a in range(len(state.head)):
            if state.number[a] > 0 and outside(state.size[a], limits[0], limits[1]) > 0:
                found += 1
                if draw(state.random) * found < 1.0:
                    part = a
    return part


@compiled
def wander(
    graph: Graph,
    state: State,
    pool: Pool,
    limits: tuple[int, int, int],
    counts: tuple[int, int],
    rounds: int,
    heat: float,
    work: Ints,
    trail: Ints,
) -> Ints:
    """Search from where the state stands; the best labels ever met."""
    lower, upper, _ = limits
    least, most = counts
    # as literals these would have everything below compiled again
    one, two, three, four = int(np.int64(1)), int(np.int64(2)), int(np.int64(3)), int(np.int64(4))
    none_more = one - one
    any_cut = bool((graph.cut > 0).any())
    priced = any_cut or len(state.heir) > 0
    place = np.full(len(graph.weight), -1, dtype=np.int64)
    touched = np.zeros(len(state.head), dtype=np.int64)
    homes, heirs = state.home.copy(), state.heir.copy()
    trail[0, 0] = 0
    improve(graph, state, lower, upper, work, trail, priced)
    for part in range(len(state.head)):
        remember(state, pool, part, lower, upper)
    parts, misses, cost = standing(graph, state, lower, upper, any_cut)
    best = state.label.copy()
    best_off, best_misses, best_cost = max(least - parts, parts - most, 0), misses, cost
    calm = cost - moved(graph, state)  # the price of moves does not heat
    for turn in range(rounds):
        trail[0, 0] = 0
        homes[:] = state.home
        heirs[:] = state.heir
        first = choose(graph, state, misses, limits)
        r = draw(state.random)
        off = max(least - parts, parts - most, 0)
        done = False
        if parts > most or (off == 0 and parts > least and 0.80 <= r < 0.90):
            take = min(three if draw(state.random) < 0.7 else two, parts)
            done = kick(graph, state, first, take, -one, limits, place, trail)
        elif parts < least or (off == 0 and parts < most and r >= 0.90):
            take = min(two if draw(state.random) < 0.7 else one, parts)
            done = kick(graph, state, first, take, one, limits, place, trail)
        elif r >= 0.80 and parts > 3:
            # the number stays, but one part goes here and one comes there
            done = kick(graph, state, first, three, -one, limits, place, trail)
            if done:
                other = choose(graph, state, none_more, limits)
                done = kick(graph, state, other, two, one, limits, place, trail)
        else:
            take = min(two if r < 0.45 else (three if r < 0.75 else four), parts)
            done = kick(graph, state, first, take, none_more, limits, place, trail)
        if trail[0, 0] == 0:
            continue
        if done:
            improve(graph, state, lower, upper, work, trail, priced)
        if trail[0, 0] >= len(trail):
            load(graph, state, best)
            state.dirty[:] = 0
            parts, misses, cost = standing(graph, state, lower, upper, any_cut)
            continue
        for k in range(1, trail[0, 0] + 1):
            touched[trail[k, 1]] = 1
            touched[state.label[trail[k, 0]]] = 1
        for part in range(len(touched)):
            if touched[part] == 1:
                remember(state, pool, part, lower, upper)
            touched[part] = 0
        new_parts, new_misses, new_cost = standing(graph, state, lower, upper, any_cut)
        new_off = max(least - new_parts, new_parts - most, 0)
        slack = -np.log(1.0 - draw(state.random)) * heat * (1.0 - turn / rounds) * calm / max(parts, 1)
        if done and (
            new_off < off
            or (
                new_off == off and (new_misses < misses or (new_misses == misses and new_cost < cost + slack))
            )
        ):
            parts, misses, cost = new_parts, new_misses, new_cost
            calm = cost - moved(graph, state)
            if new_off < best_off or (
                new_off == best_off
                and (misses < best_misses or (misses == best_misses and cost < best_cost - 1e-9))
            ):
                best[:] = state.label
                best_off, best_misses, best_cost = new_off, misses, cost
        else:
            restore(graph, state, trail, touched)
            state.home[:] = homes
            state.heir[:] = heirs
    return best
