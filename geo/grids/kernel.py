"""Hot loops of splitting a graph: moves between parts, trees cut exactly, a wandering search.

Compiled by numba, on plain arrays. A part keeps, for each of its nodes, what
the part would cost with that node as its centre; so a move is weighed exactly
in time linear in the two parts it touches, and the size of the whole graph
never enters.

Everything random comes from one counter (splitmix64), so a seed says all.

Loops work on arrays taken out of graph and state before them: to take one out
counts a reference, and inside a loop that costs more than the work.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Function = TypeVar("Function", bound=Callable[..., Any])

# numba has no types of its own; a compiled function keeps those it was written with.
compiled = cast("Callable[[Function], Function]", numba.njit(cache=True))
inlined = cast("Callable[[Function], Function]", numba.njit(cache=True, inline="always"))

EPS = 1e-9  # less than this is no gain
NEVER = 1e300
NEARLY = 0.02  # swaps that lose more than this at fixed centres are not weighed with new ones


class Graph(NamedTuple):
    """A weighted graph as arrays, edges both ways and sorted."""

    start: Ints  # n + 1: where a node's neighbours begin
    neighbour: Ints
    cut: Floats  # price of cutting this edge, beside its neighbour
    weight: Ints  # what is balanced
    mass: Floats  # what makes distance cost
    table: Floats  # n x n distances, or 0 x 0: then they are worked out from the next three
    xy: Floats
    sides: Ints  # n x s: on which side of each barrier a node lies
    tolls: Floats  # s: what crossing it costs
    old: Ints  # the part a node comes from, -1 for none
    stay: Floats  # price of a node in a part that does not continue the one it comes from


class State(NamedTuple):
    """A partition in the making; arrays are changed in place."""

    label: Ints
    head: Ints  # first member of a part, -1 for none
    after: Ints
    before: Ints
    size: Ints
    number: Ints  # how many nodes a part has
    sums: Floats  # cost of a node's own part with that node as centre
    cost: Floats  # of a part: the least of its sums
    dirty: Ints  # parts whose moves are to be tried
    stamp: Ints  # n + 1 marks of visits; the last is the running mark
    home: Ints  # the earlier part that a part continues, -1 for none
    heir: Ints  # the part that continues each earlier one, -1 for none; empty if there were none
    random: npt.NDArray[np.uint64]


class Pool(NamedTuple):
    """Parts seen on the way, for choosing the best set of them afterwards."""

    table: npt.NDArray[np.uint64]  # open addressing, 0 is free
    sign: npt.NDArray[np.uint64]  # one random word a node; a part's is their sum
    begin: Ints  # where a part's nodes begin; begin[0] counts the parts
    nodes: Ints


@compiled
def draw(state: npt.NDArray[np.uint64]) -> float:
    """A number in [0, 1)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return float(z >> np.uint64(11)) / 9007199254740992.0


@compiled
def straight(xy: Floats, sides: Ints, tolls: Floats, i: int, j: int) -> float:
    """From one node to another by their places: straight, plus the tolls of barriers between."""
    total = np.hypot(xy[i, 0] - xy[j, 0], xy[i, 1] - xy[j, 1])
    for side in range(sides.shape[1]):
        if sides[i, side] != sides[j, side]:
            total += tolls[side]
    return float(total)


@inlined
def distance(graph: Graph, i: int, j: int) -> float:
    """From one node to another: given, or straight plus the tolls of barriers between."""
    if graph.table.shape[0] > 0:
        return float(graph.table[i, j])
    return float(straight(graph.xy, graph.sides, graph.tolls, i, j))


@inlined
def outside(size: int, lower: int, upper: int) -> int:
    """By how much a size misses the band."""
    if size < lower:
        return lower - size
    return size - upper if size > upper else 0


@compiled
def link(state: State, v: int, part: int) -> None:
    """Put a node into a part's list."""
    state.label[v] = part
    first = state.head[part]
    state.after[v] = first
    state.before[v] = -1
    if first >= 0:
        state.before[first] = v
    state.head[part] = v
    state.number[part] += 1


@compiled
def unlink(state: State, v: int) -> None:
    """Take a node out of its part's list."""
    part = state.label[v]
    ahead, behind = state.before[v], state.after[v]
    if ahead >= 0:
        state.after[ahead] = behind
    else:
        state.head[part] = behind
    if behind >= 0:
        state.before[behind] = ahead
    state.number[part] -= 1


@compiled
def sum_from(graph: Graph, after: Ints, first: int, v: int) -> float:
    """What nodes from ``first`` on in a part's list would cost with node ``v`` as centre."""
    mass, table = graph.mass, graph.table
    total = 0.0
    i = first
    if table.shape[0] > 0:
        while i >= 0:
            if mass[i] > 0:
                total += mass[i] * table[i, v]
            i = after[i]
        return total
    xy, sides, tolls = graph.xy, graph.sides, graph.tolls
    while i >= 0:
        if mass[i] > 0:
            total += mass[i] * straight(xy, sides, tolls, i, v)
        i = after[i]
    return total


@compiled
def settle(graph: Graph, state: State, part: int) -> None:
    """Work out a part's size, sums and cost afresh."""
    sums, after, weight, first = state.sums, state.after, graph.weight, state.head[part]
    least, size = NEVER, 0
    i = first
    while i >= 0:
        size += weight[i]
        total = sum_from(graph, after, first, i)
        sums[i] = total
        least = min(least, total)
        i = after[i]
    state.size[part] = size
    state.cost[part] = least if least < NEVER else 0.0


@compiled
def load(graph: Graph, state: State, labels: Ints) -> None:
    """Take over labels as they are."""
    state.head[:] = -1
    state.number[:] = 0
    state.size[:] = 0
    state.cost[:] = 0.0
    # from the last, so that lists run upwards and do not remember how they came about
    for v in range(len(labels) - 1, -1, -1):
        link(state, v, labels[v])
    for part in range(len(state.head)):
        settle(graph, state, part)
        state.dirty[part] = state.number[part] > 0
    inherit(graph, state, np.arange(len(state.head)))


@compiled
def inherit(graph: Graph, state: State, region: Ints) -> None:
    """Say which earlier part each part of a region continues: the dearest claims first, each once."""
    earlier = len(state.heir)
    if earlier == 0:
        return
    m = 0
    for part in region:
        m += state.number[part]
        if state.home[part] >= 0:
            state.heir[state.home[part]] = -1
            state.home[part] = -1
    claim = np.empty(m, dtype=np.int64)
    worth = np.empty(m)
    k = 0
    for at in range(len(region)):
        i = state.head[region[at]]
        while i >= 0:
            if graph.old[i] >= 0:
                claim[k] = at * earlier + graph.old[i]
                worth[k] = graph.stay[i]
                k += 1
            i = state.after[i]
    claims = 0
    order = np.argsort(claim[:k], kind="mergesort")
    single = np.empty(k, dtype=np.int64)
    total = np.empty(k)
    for at in order:
        if claims == 0 or single[claims - 1] != claim[at]:
            single[claims] = claim[at]
            total[claims] = 0.0
            claims += 1
        total[claims - 1] -= worth[at]
    for at in np.argsort(total[:claims], kind="mergesort"):
        part, before = region[single[at] // earlier], single[at] % earlier
        if state.home[part] < 0 and state.heir[before] < 0:
            state.home[part] = before
            state.heir[before] = part


@compiled
def moved(graph: Graph, state: State) -> float:
    """Price of all nodes that are not where the part they come from is continued."""
    total = 0.0
    if len(state.heir) > 0:
        for v in range(len(graph.old)):
            if graph.old[v] != state.home[state.label[v]]:
                total += graph.stay[v]
    return total


@compiled
def cut_between(graph: Graph, labels: Ints) -> float:
    """Price of all edges between parts."""
    start, neighbour, cut = graph.start, graph.neighbour, graph.cut
    total = 0.0
    for v in range(len(labels)):
        for e in range(start[v], start[v + 1]):
            if neighbour[e] > v and labels[neighbour[e]] != labels[v]:
                total += cut[e]
    return total


@compiled
def holds_without(graph: Graph, state: State, v: int, extra: int, stack: Ints) -> bool:
    """Whether a node's part stays in one piece when it leaves (and ``extra``, or -1, comes)."""
    label, stamp, start, neighbour = state.label, state.stamp, graph.start, graph.neighbour
    part = label[v]
    stamp[-1] += 2
    seen, sought = stamp[-1], stamp[-1] - 1
    wanted = 0
    first = -1
    for e in range(start[v], start[v + 1]):
        u = neighbour[e]
        if label[u] == part and stamp[u] != sought:
            stamp[u] = sought
            wanted += 1
            first = u
    if extra >= 0:
        stamp[extra] = sought
        wanted += 1
        first = extra
    if wanted == 0:
        return False
    if wanted == 1:
        return extra < 0 or state.number[part] == 1
    stamp[first] = seen
    wanted -= 1
    stack[0] = first
    top = 1
    while top > 0 and wanted > 0:
        top -= 1
        x = stack[top]
        for e in range(start[x], start[x + 1]):
            u = neighbour[e]
            if u == v or stamp[u] == seen or (label[u] != part and u != extra):
                continue
            if stamp[u] == sought:
                wanted -= 1
            stamp[u] = seen
            stack[top] = u
            top += 1
    return wanted == 0


@compiled
def price_change(graph: Graph, state: State, v: int, to: int) -> float:
    """What moving a node to a part changes in the price of cut edges and of leaving."""
    label, start, neighbour, cut = state.label, graph.start, graph.neighbour, graph.cut
    change = 0.0
    own = label[v]
    for e in range(start[v], start[v + 1]):
        other = label[neighbour[e]]
        if other == own:
            change += cut[e]
        elif other == to:
            change -= cut[e]
    if graph.stay[v] > 0:
        if graph.old[v] == state.home[own]:
            change += graph.stay[v]
        elif graph.old[v] == state.home[to]:
            change -= graph.stay[v]
    return change


@compiled
def edge_price(graph: Graph, u: int, v: int) -> float:
    """Price of cutting the edge between two nodes, 0 if there is none."""
    for e in range(graph.start[u], graph.start[u + 1]):
        if graph.neighbour[e] == v:
            return float(graph.cut[e])
    return 0.0


@compiled
def sum_to(graph: Graph, state: State, part: int, v: int) -> float:
    """What a part would cost with node ``v`` as centre."""
    return sum_from(graph, state.after, state.head[part], v)


@compiled
def middle(state: State, part: int) -> int:
    """The centre of a part."""
    sums, after = state.sums, state.after
    i = state.head[part]
    best = i
    while i >= 0:
        if sums[i] < sums[best]:
            best = i
        i = after[i]
    return int(best)


@compiled
def cost_after(graph: Graph, state: State, part: int, leaves: int, comes: int, as_centre: float) -> float:
    """Cost of a part when one node leaves and another comes (-1 for neither)."""
    mass, sums, after, table = graph.mass, state.sums, state.after, graph.table
    xy, sides, tolls = graph.xy, graph.sides, graph.tolls
    out_mass = mass[leaves] if leaves >= 0 else 0.0
    in_mass = mass[comes] if comes >= 0 else 0.0
    known = table.shape[0] > 0
    least = NEVER
    if comes >= 0:
        least = as_centre
        if out_mass > 0:
            least -= out_mass * (table[leaves, comes] if known else straight(xy, sides, tolls, leaves, comes))
    c = state.head[part]
    if known:
        while c >= 0:
            if c != leaves:
                total = sums[c]
                if out_mass > 0:
                    total -= out_mass * table[leaves, c]
                if in_mass > 0:
                    total += in_mass * table[comes, c]
                least = min(least, total)
            c = after[c]
        return least
    while c >= 0:
        if c != leaves:
            total = sums[c]
            if out_mass > 0:
                total -= out_mass * straight(xy, sides, tolls, leaves, c)
            if in_mass > 0:
                total += in_mass * straight(xy, sides, tolls, comes, c)
            least = min(least, total)
        c = after[c]
    return least


@compiled
def move(graph: Graph, state: State, v: int, to: int) -> None:
    """Move a node; sums of both parts follow."""
    own = state.label[v]
    mass, table, sums, after = graph.mass[v], graph.table, state.sums, state.after
    xy, sides, tolls = graph.xy, graph.sides, graph.tolls
    known = table.shape[0] > 0
    fresh = sum_to(graph, state, to, v)
    unlink(state, v)
    for part, sign in ((own, -1.0), (to, 1.0)):
        least = NEVER
        c = state.head[part]
        while c >= 0:
            if mass > 0:
                away = table[v, c] if known else straight(xy, sides, tolls, v, c)
                sums[c] += sign * mass * away
            least = min(least, sums[c])
            c = after[c]
        state.cost[part] = least if least < NEVER else 0.0
    sums[v] = fresh
    state.cost[to] = min(state.cost[to], fresh) if state.number[to] > 0 else fresh
    state.size[own] -= graph.weight[v]
    state.size[to] += graph.weight[v]
    link(state, v, to)
    state.dirty[own] = 1
    state.dirty[to] = 1


@compiled
def note(trail: Ints, v: int, part: int) -> None:
    """Remember where a node was; a full trail shows by its count."""
    k = trail[0, 0] + 1
    trail[0, 0] = k
    if k < len(trail):
        trail[k, 0] = v
        trail[k, 1] = part


@compiled
def transfers(
    graph: Graph, state: State, a: int, lower: int, upper: int, work: Ints, trail: Ints, priced: bool
) -> bool:
    """Give nodes of one part to neighbours as long as that is better; whether any was.

    ``priced`` says whether cut edges or leaving cost anything.
    """
    none = int(np.int64(-1))  # a literal would have what it is given to compiled once more
    members, stack = work[0], work[1]
    label, size, cost, number, after = state.label, state.size, state.cost, state.number, state.after
    start, neighbour, weights = graph.start, graph.neighbour, graph.weight
    k = 0
    i = state.head[a]
    while i >= 0:
        members[k] = i
        k += 1
        i = after[i]
    any_done = False
    for at in range(k):
        if number[a] < 2:
            break
        v = members[at]
        weight = weights[v]
        best_to, best_misses, best_change = none, 0, -EPS
        leaving = -1.0
        for e in range(start[v], start[v + 1]):
            b = label[neighbour[e]]
            if b in (a, best_to):
                continue
            misses = (
                outside(size[a] - weight, lower, upper)
                + outside(size[b] + weight, lower, upper)
                - outside(size[a], lower, upper)
                - outside(size[b], lower, upper)
            )
            if misses > best_misses:
                continue
            if leaving < 0:
                leaving = cost_after(graph, state, a, v, none, 0.0)
            change = leaving - cost[a] - cost[b]
            if priced:
                change += price_change(graph, state, v, b)
            as_centre = sum_to(graph, state, b, v)
            # cheaper than this the other part cannot become
            if misses == best_misses and change + min(cost[b], as_centre) >= best_change:
                continue
            change += cost_after(graph, state, b, none, v, as_centre)
            if misses < best_misses or change < best_change:
                best_to, best_misses, best_change = b, misses, change
        if best_to >= 0 and holds_without(graph, state, v, none, stack):
            note(trail, v, a)
            move(graph, state, v, best_to)
            any_done = True
    return any_done


@compiled
def swaps(
    graph: Graph, state: State, a: int, lower: int, upper: int, work: Ints, trail: Ints, priced: bool
) -> bool:
    """Exchange nodes of a part for ones of its neighbours, one for one, as long as that is better.

    Whether any was; ``priced`` says whether cut edges or leaving cost anything.
    """
    ours, theirs, stack = work[0], work[2], work[1]
    label, stamp, size, cost, after = state.label, state.stamp, state.size, state.cost, state.after
    start, neighbour, weight, mass, table = (
        graph.start,
        graph.neighbour,
        graph.weight,
        graph.mass,
        graph.table,
    )
    xy, sides, tolls = graph.xy, graph.sides, graph.tolls
    known = table.shape[0] > 0
    # border nodes on both sides
    stamp[-1] += 1
    mark = stamp[-1]
    k, m = 0, 0
    i = state.head[a]
    while i >= 0:
        on_border = False
        for e in range(start[i], start[i + 1]):
            v = neighbour[e]
            if label[v] != a:
                on_border = True
                if stamp[v] != mark:
                    stamp[v] = mark
                    theirs[m] = v
                    m += 1
        if on_border:
            ours[k] = i
            k += 1
        i = after[i]
    heart = middle(state, a)
    any_done = False
    other_heart, b = -1, -1
    for at in range(m):
        v = theirs[at]
        if label[v] == a:
            continue
        if label[v] != b or other_heart < 0:
            b = label[v]
            other_heart = middle(state, b)
        v_moves = mass[v] * (
            table[v, heart] - table[v, other_heart]
            if known
            else straight(xy, sides, tolls, v, heart) - straight(xy, sides, tolls, v, other_heart)
        )
        promising = NEARLY * (cost[a] + cost[b])
        out_now = outside(size[a], lower, upper) + outside(size[b], lower, upper)
        into_a = -1.0
        for other in range(k):
            u = ours[other]
            shift = weight[v] - weight[u]
            misses = outside(size[a] + shift, lower, upper) + outside(size[b] - shift, lower, upper) - out_now
            if misses > 0:
                continue
            u_moves = mass[u] * (
                table[u, other_heart] - table[u, heart]
                if known
                else straight(xy, sides, tolls, u, other_heart) - straight(xy, sides, tolls, u, heart)
            )
            if misses == 0 and not priced and u_moves + v_moves >= promising:
                continue
            touches = False
            for e in range(start[u], start[u + 1]):
                if label[neighbour[e]] == b:
                    touches = True
                    break
            if not touches:
                continue
            price = 0.0
            if priced:
                price = (
                    price_change(graph, state, u, b)
                    + price_change(graph, state, v, a)
                    + 2 * edge_price(graph, u, v)
                )
                if misses == 0 and u_moves + v_moves + price >= promising:
                    continue
            if into_a < 0:
                into_a = sum_to(graph, state, a, v)
            change = price + cost_after(graph, state, a, u, v, into_a) - cost[a] - cost[b]
            if misses == 0 and change >= -EPS:
                continue
            change += cost_after(graph, state, b, v, u, sum_to(graph, state, b, u))
            if misses == 0 and change >= -EPS:
                continue
            if not holds_without(graph, state, u, v, stack) or not holds_without(graph, state, v, u, stack):
                continue
            note(trail, u, a)
            note(trail, v, b)
            move(graph, state, u, b)
            move(graph, state, v, a)
            ours[other] = v
            any_done = True
            heart, other_heart = middle(state, a), -1
            break
    return any_done


@compiled
def improve(
    graph: Graph, state: State, lower: int, upper: int, work: Ints, trail: Ints, priced: bool
) -> None:
    """Transfers, then swaps, among parts marked dirty, until none helps."""
    parts = len(state.head)
    busy = True
    while busy:
        busy = False
        for a in range(parts):
            while state.dirty[a] == 1 and state.number[a] > 0:
                state.dirty[a] = 0
                if transfers(graph, state, a, lower, upper, work, trail, priced):
                    state.dirty[a] = 1
                    busy = True
                elif swaps(graph, state, a, lower, upper, work, trail, priced):
                    busy = True
