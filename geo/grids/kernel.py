"""Hot loops of splitting a graph: moves between parts, trees cut exactly, a wandering search.

Compiled by numba, on plain arrays. A part keeps, for each of its nodes, what
the part would cost with that node as its centre; so a move is weighed exactly
in time linear in the two parts it touches, and the size of the whole graph
never enters.

Everything random comes from one counter (splitmix64), so a seed says all.
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


@inlined
def distance(graph: Graph, i: int, j: int) -> float:
    """From one node to another: given, or straight plus the tolls of barriers between."""
    if graph.table.shape[0] > 0:
        return float(graph.table[i, j])
    total = np.hypot(graph.xy[i, 0] - graph.xy[j, 0], graph.xy[i, 1] - graph.xy[j, 1])
    for side in range(graph.sides.shape[1]):
        if graph.sides[i, side] != graph.sides[j, side]:
            total += graph.tolls[side]
    return float(total)


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
def settle(graph: Graph, state: State, part: int) -> None:
    """Work out a part's size, sums and cost afresh."""
    state.size[part] = 0
    state.cost[part] = 0.0
    least = NEVER
    i = state.head[part]
    while i >= 0:
        state.size[part] += graph.weight[i]
        total = 0.0
        j = state.head[part]
        while j >= 0:
            if graph.mass[j] > 0:
                total += graph.mass[j] * distance(graph, j, i)
            j = state.after[j]
        state.sums[i] = total
        least = min(least, total)
        i = state.after[i]
    if least < NEVER:
        state.cost[part] = least


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
    total = 0.0
    for v in range(len(labels)):
        for e in range(graph.start[v], graph.start[v + 1]):
            if graph.neighbour[e] > v and labels[graph.neighbour[e]] != labels[v]:
                total += graph.cut[e]
    return total


@compiled
def holds_without(graph: Graph, state: State, v: int, extra: int, stack: Ints) -> bool:
    """Whether a node's part stays in one piece when it leaves (and ``extra``, or -1, comes)."""
    part = state.label[v]
    state.stamp[-1] += 2
    seen, sought = state.stamp[-1], state.stamp[-1] - 1
    wanted = 0
    first = -1
    for e in range(graph.start[v], graph.start[v + 1]):
        u = graph.neighbour[e]
        if state.label[u] == part and state.stamp[u] != sought:
            state.stamp[u] = sought
            wanted += 1
            first = u
    if extra >= 0:
        state.stamp[extra] = sought
        wanted += 1
        first = extra
    if wanted == 0:
        return False
    if wanted == 1:
        return extra < 0 or state.number[part] == 1
    state.stamp[first] = seen
    wanted -= 1
    stack[0] = first
    top = 1
    while top > 0 and wanted > 0:
        top -= 1
        x = stack[top]
        for e in range(graph.start[x], graph.start[x + 1]):
            u = graph.neighbour[e]
            if u == v or state.stamp[u] == seen or (state.label[u] != part and u != extra):
                continue
            if state.stamp[u] == sought:
                wanted -= 1
            state.stamp[u] = seen
            stack[top] = u
            top += 1
    return wanted == 0


@compiled
def price_change(graph: Graph, state: State, v: int, to: int) -> float:
    """What moving a node to a part changes in the price of cut edges and of leaving."""
    change = 0.0
    own = state.label[v]
    for e in range(graph.start[v], graph.start[v + 1]):
        other = state.label[graph.neighbour[e]]
        if other == own:
            change += graph.cut[e]
        elif other == to:
            change -= graph.cut[e]
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
    total = 0.0
    i = state.head[part]
    while i >= 0:
        if graph.mass[i] > 0:
            total += graph.mass[i] * distance(graph, i, v)
        i = state.after[i]
    return total


@compiled
def middle(state: State, part: int) -> int:
    """The centre of a part."""
    i = state.head[part]
    best = i
    while i >= 0:
        if state.sums[i] < state.sums[best]:
            best = i
        i = state.after[i]
    return int(best)


@compiled
def cost_after(graph: Graph, state: State, part: int, leaves: int, comes: int, as_centre: float) -> float:
    """Cost of a part when one node leaves and another comes (-1 for neither)."""
    out_mass = graph.mass[leaves] if leaves >= 0 else 0.0
    in_mass = graph.mass[comes] if comes >= 0 else 0.0
    least = NEVER
    if comes >= 0:
        least = as_centre - (out_mass * distance(graph, leaves, comes) if out_mass > 0 else 0.0)
    c = state.head[part]
    while c >= 0:
        if c != leaves:
            total = state.sums[c]
            if out_mass > 0:
                total -= out_mass * distance(graph, leaves, c)
            if in_mass > 0:
                total += in_mass * distance(graph, comes, c)
            least = min(least, total)
        c = state.after[c]
    return least


@compiled
def move(graph: Graph, state: State, v: int, to: int) -> None:
    """Move a node; sums of both parts follow."""
    own = state.label[v]
    mass = graph.mass[v]
    fresh = sum_to(graph, state, to, v)
    unlink(state, v)
    for part, sign in ((own, -1.0), (to, 1.0)):
        least = NEVER
        c = state.head[part]
        while c >= 0:
            if mass > 0:
                state.sums[c] += sign * mass * distance(graph, v, c)
            least = min(least, state.sums[c])
            c = state.after[c]
        state.cost[part] = least if least < NEVER else 0.0
    state.sums[v] = fresh
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
def transfers(graph: Graph, state: State, a: int, lower: int, upper: int, work: Ints, trail: Ints) -> bool:
    """Give nodes of one part to neighbours as long as that is better; whether any was."""
    members, stack = work[0], work[1]
    k = 0
    i = state.head[a]
    while i >= 0:
        members[k] = i
        k += 1
        i = state.after[i]
    any_done = False
    for at in range(k):
        v = members[at]
        weight = graph.weight[v]
        best_to, best_misses, best_change = -1, 0, -EPS
        leaving = -1.0
        for e in range(graph.start[v], graph.start[v + 1]):
            b = state.label[graph.neighbour[e]]
            if b in (a, best_to) or state.number[a] < 2:
                continue
            misses = (
                outside(state.size[a] - weight, lower, upper)
                + outside(state.size[b] + weight, lower, upper)
                - outside(state.size[a], lower, upper)
                - outside(state.size[b], lower, upper)
            )
            if misses > best_misses:
                continue
            if leaving < 0:
                leaving = cost_after(graph, state, a, v, -1, 0.0)
            change = leaving - state.cost[a] - state.cost[b] + price_change(graph, state, v, b)
            if misses == best_misses and change >= best_change:
                continue
            change += cost_after(graph, state, b, -1, v, sum_to(graph, state, b, v))
            if misses < best_misses or change < best_change:
                best_to, best_misses, best_change = b, misses, change
        if best_to >= 0 and holds_without(graph, state, v, -1, stack):
            note(trail, v, a)
            move(graph, state, v, best_to)
            any_done = True
    return any_done


@compiled
def swaps(graph: Graph, state: State, a: int, lower: int, upper: int, work: Ints, trail: Ints) -> bool:
    """Exchange one node of a part for one of a neighbour if that is better; whether one was."""
    ours, theirs, stack = work[0], work[2], work[1]
    k = 0
    i = state.head[a]
    while i >= 0:
        ours[k] = i
        k += 1
        i = state.after[i]
    # their border nodes: neighbours of ours
    state.stamp[-1] += 1
    mark = state.stamp[-1]
    m = 0
    for at in range(k):
        for e in range(graph.start[ours[at]], graph.start[ours[at] + 1]):
            v = graph.neighbour[e]
            if state.label[v] != a and state.stamp[v] != mark:
                state.stamp[v] = mark
                theirs[m] = v
                m += 1
    heart = middle(state, a)
    for at in range(m):
        v = theirs[at]
        b = state.label[v]
        other_heart = middle(state, b)
        v_moves = graph.mass[v] * (distance(graph, v, heart) - distance(graph, v, other_heart))
        promising = NEARLY * (state.cost[a] + state.cost[b])
        into_a = -1.0
        for other in range(k):
            u = ours[other]
            touches = False
            for e in range(graph.start[u], graph.start[u + 1]):
                if state.label[graph.neighbour[e]] == b:
                    touches = True
                    break
            if not touches:
                continue
            shift = graph.weight[v] - graph.weight[u]
            misses = (
                outside(state.size[a] + shift, lower, upper)
                + outside(state.size[b] - shift, lower, upper)
                - outside(state.size[a], lower, upper)
                - outside(state.size[b], lower, upper)
            )
            if misses > 0:
                continue
            price = (
                price_change(graph, state, u, b)
                + price_change(graph, state, v, a)
                + 2 * edge_price(graph, u, v)
            )
            u_moves = graph.mass[u] * (distance(graph, u, other_heart) - distance(graph, u, heart))
            if misses == 0 and u_moves + v_moves + price >= promising:
                continue
            if into_a < 0:
                into_a = sum_to(graph, state, a, v)
            change = price + cost_after(graph, state, a, u, v, into_a) - state.cost[a] - state.cost[b]
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
            return True
    return False


@compiled
def improve(graph: Graph, state: State, lower: int, upper: int, work: Ints, trail: Ints) -> None:
    """Transfers, then swaps, among parts marked dirty, until none helps."""
    parts = len(state.head)
    busy = True
    while busy:
        busy = False
        for a in range(parts):
            while state.dirty[a] == 1 and state.number[a] > 0:
                state.dirty[a] = 0
                if transfers(graph, state, a, lower, upper, work, trail):
                    state.dirty[a] = 1
                    busy = True
                elif swaps(graph, state, a, lower, upper, work, trail):
                    busy = True
