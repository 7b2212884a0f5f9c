"""Trees cut into parts within a band, exactly, by dynamic programming.

On a tree the best cut into connected parts can be found outright; a graph has
many spanning trees, and each gives a start, or another way to divide a few
neighbouring parts. What is minimised on the tree is the weighted way to each
part's median, for which an edge with weight ``t`` below it in its part counts
``length * min(t, typical - t)``.

Source: the additive cost of a weighted median on a tree is Hakimi (1964); the
recursion over open sizes is that of Lukes (1974), J. ACM 21.
"""

import numpy as np

from geo.grids.kernel import (
    NEVER,
    Floats,
    Graph,
    Ints,
    State,
    compiled,
    draw,
    inherit,
    link,
    note,
    outside,
    settle,
    straight,
    unlink,
)

_FAR = 1e12  # more than any length: a unit outside the band outweighs all distance


@compiled
def spanning_tree(
    graph: Graph, state: State, nodes: Ints, place: Ints, spread: float
) -> tuple[Ints, Ints, Floats, Floats]:
    """Least spanning tree over some nodes, lengths shaken by a factor up to ``spread``.

    Returns the nodes' places in order from the root, each one's parent place
    (-1 at the root), the length to it and the price of cutting from it.
    ``place`` is n scratch.
    """
    m = len(nodes)
    begins, neighbour, cut, table = graph.start, graph.neighbour, graph.cut, graph.table
    xy, sides, tolls = graph.xy, graph.sides, graph.tolls
    known = table.shape[0] > 0
    edges = 0
    for k in range(m):
        place[nodes[k]] = k
        edges += begins[nodes[k] + 1] - begins[nodes[k]]
    ends = np.empty((edges, 2), dtype=np.int64)
    length = np.empty(edges)
    shaken = np.empty(edges)
    price = np.empty(edges)
    count = 0
    for k in range(m):
        v = nodes[k]
        for e in range(begins[v], begins[v + 1]):
            u = neighbour[e]
            if u > v and place[u] >= 0:
                ends[count, 0] = k
                ends[count, 1] = place[u]
                length[count] = table[v, u] if known else straight(xy, sides, tolls, v, u)
                price[count] = cut[e]
                shaken[count] = (length[count] + cut[e]) * (1.0 + spread * draw(state.random))
                if spread > 0 and length[count] + cut[e] == 0:
                    shaken[count] = -draw(state.random)
                count += 1
    for k in range(m):
        place[nodes[k]] = -1
    root = np.arange(m)
    degree = np.zeros(m + 1, dtype=np.int64)
    kept = np.empty(max(m - 1, 0), dtype=np.int64)
    used = 0
    for e in np.argsort(shaken[:count], kind="mergesort"):
        a, b = ends[e, 0], ends[e, 1]
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        while root[b] != b:
            root[b] = root[root[b]]
            b = root[b]
        if a != b:
            root[b] = a
            kept[used] = e
            used += 1
            degree[ends[e, 0] + 1] += 1
            degree[ends[e, 1] + 1] += 1
            if used == m - 1:
                break
    begin = np.cumsum(degree)
    fill = begin.copy()
    beside = np.empty(2 * used, dtype=np.int64)
    by = np.empty(2 * used, dtype=np.int64)
    for at in range(used):
        e = kept[at]
        for end in range(2):
            a = ends[e, end]
            beside[fill[a]] = ends[e, 1 - end]
            by[fill[a]] = e
            fill[a] += 1
    order = np.empty(m, dtype=np.int64)
    parent = np.full(m, -2, dtype=np.int64)
    way = np.zeros(m)
    apart = np.zeros(m)
    order[0] = 0
    parent[0] = -1
    top = 1
    for at in range(m):
        v = order[at]
        for e in range(begin[v], begin[v + 1]):
            u = beside[e]
            if parent[u] == -2:
                parent[u] = v
                way[u] = length[by[e]]
                apart[u] = price[by[e]]
                order[top] = u
                top += 1
    return order, parent, way, apart


@compiled
def cut_tree(
    weight: Ints,
    order: Ints,
    parent: Ints,
    way: Floats,
    apart: Floats,
    band: tuple[int, int, int],
    parts: int,
    price: float,
    cells: int,
) -> tuple[float, Ints]:
    """Best parts of a tree: exactly ``parts`` of them, or (0) any number at a price each.

    Parameters
    ----------
    weight, order, parent, way, apart
        Of m nodes; ``order`` runs from the root, which is its first.
    band
        Least, greatest and largest thinkable size of a part. If the last is
        greater than the second, parts may miss the band, at a price beyond all
        distance.
    parts, price
        Number of parts; or 0, and the price of a part.
    cells
        How finely sizes are told apart: exact if more than the largest size.

    Returns
    -------
    cost, labels
        Labels from 0; cost is ``NEVER`` if there is no such cut.
    """
    lower, upper, most = band
    m = len(weight)
    counted = parts > 0
    ks = parts + 1 if counted else 1  # closed parts so far
    grain = most // cells + 1
    slots = most // grain + 1
    typical = max((lower + upper) / 2.0, 1.0)
    value = np.empty((m, ks, slots))
    exact = np.empty((m, ks, slots), dtype=np.int64)
    from_k = np.empty((m, ks, slots), dtype=np.int32)  # beside each child: the parent's own state before it
    from_s = np.empty((m, ks, slots), dtype=np.int32)
    child_s = np.empty((m, ks, slots), dtype=np.int32)  # the child's slot, -1 if cut off
    closing = np.full((m, ks), NEVER)
    closing_s = np.full((m, ks), -1, dtype=np.int32)
    # states that can be: first and last slot for each number of closed parts
    first = np.full((m, ks), slots, dtype=np.int64)
    last_s = np.full((m, ks), -1, dtype=np.int64)
    below = np.zeros(m, dtype=np.int64)
    reach = np.ones(m, dtype=np.int64)
    whole = 0
    for v in range(m):
        if weight[v] <= most:
            s = weight[v] // grain
            value[v, 0, s] = 0.0
            exact[v, 0, s] = weight[v]
            first[v, 0] = last_s[v, 0] = s
        below[v] = weight[v]
        whole += weight[v]
    fresh = np.empty((ks, slots))
    fresh_exact = np.empty((ks, slots), dtype=np.int64)
    least = np.zeros(ks, dtype=np.int64)  # open sizes from which the rest can still be cut in the band
    greatest = np.full(ks, most, dtype=np.int64)
    for at in range(m - 1, -1, -1):
        c = order[at]
        top_k = min(ks, reach[c])
        for k in range(top_k):
            for s in range(first[c, k], last_s[c, k] + 1):
                if value[c, k, s] < NEVER:
                    total = value[c, k, s] + price + _FAR * outside(exact[c, k, s], lower, upper)
                    if (most > upper or total < _FAR) and total < closing[c, k]:
                        closing[c, k] = total
                        closing_s[c, k] = s
        v = parent[c]
        if v < 0:
            continue
        for k in range(top_k):
            for s in range(first[c, k], last_s[c, k] + 1):
                if value[c, k, s] < NEVER:
                    joined = exact[c, k, s]
                    value[c, k, s] += way[c] * min(float(joined), max(typical - joined, 0.0))
        v_k = min(ks, reach[v])
        both_k = min(ks, reach[v] + reach[c])
        fresh[:both_k] = NEVER
        if counted and most == upper:
            rest = whole - below[v] - below[c]
            for k in range(both_k):
                least[k] = max(0, (parts - k) * lower - rest)
                greatest[k] = min(most, (parts - k) * upper - rest)
        for k in range(v_k):
            for s in range(first[v, k], last_s[v, k] + 1):
                base = value[v, k, s]
                if base >= NEVER:
                    continue
                size = exact[v, k, s]
                for j in range(top_k):
                    # the child's part ends here
                    k_new = k + j + 1 if counted else 0
                    if k_new < ks and closing[c, j] < NEVER and least[k_new] <= size <= greatest[k_new]:
                        total = base + closing[c, j] + apart[c]
                        if total < fresh[k_new, s]:
                            fresh[k_new, s] = total
                            fresh_exact[k_new, s] = size
                            from_k[c, k_new, s], from_s[c, k_new, s], child_s[c, k_new, s] = k, s, -1
                    k_new = k + j if counted else 0
                    if k_new >= ks:
                        break
                    begin = max(first[c, j], (least[k_new] - size) // grain)
                    for t in range(begin, last_s[c, j] + 1):
                        if value[c, j, t] >= NEVER:
                            continue
                        both = size + exact[c, j, t]
                        if both > greatest[k_new]:
                            break
                        if both < least[k_new]:
                            continue
                        s_new = both // grain
                        total = base + value[c, j, t]
                        if total < fresh[k_new, s_new]:
                            fresh[k_new, s_new] = total
                            fresh_exact[k_new, s_new] = both
                            from_k[c, k_new, s_new], from_s[c, k_new, s_new], child_s[c, k_new, s_new] = (
                                k,
                                s,
                                t,
                            )
        below[v] += below[c]
        reach[v] += reach[c]
        top_s = min(most, below[v]) // grain
        for k in range(both_k):
            first[v, k], last_s[v, k] = slots, -1
            for s in range(top_s + 1):
                if fresh[k, s] < NEVER:
                    first[v, k] = min(first[v, k], s)
                    last_s[v, k] = s
                    exact[v, k, s] = fresh_exact[k, s]
                value[v, k, s] = fresh[k, s]
    labels = np.zeros(m, dtype=np.int64)
    root = order[0]
    last = parts - 1 if counted else 0
    if closing[root, last] >= NEVER:
        return NEVER, labels
    # from the root down: children of a node were merged last to first in order
    at_k = np.zeros(m, dtype=np.int64)
    at_s = np.zeros(m, dtype=np.int64)
    at_k[root], at_s[root] = last, closing_s[root, last]
    used = 1
    for at in range(1, m):
        c = order[at]
        v = parent[c]
        k, s = at_k[v], at_s[v]
        k_before, s_before, t = from_k[c, k, s], from_s[c, k, s], child_s[c, k, s]
        at_k[v], at_s[v] = k_before, s_before
        if t < 0:
            at_k[c] = k - k_before - 1 if counted else 0
            at_s[c] = closing_s[c, at_k[c]]
            labels[c] = used
            used += 1
        else:
            at_k[c] = k - k_before if counted else 0
            at_s[c] = t
            labels[c] = labels[v]
    return closing[root, last], labels


@compiled
def divide(
    graph: Graph,
    state: State,
    region: Ints,
    wanted: int,
    limits: tuple[int, int, int],
    place: Ints,
    trail: Ints,
) -> bool:
    """Divide the union of some neighbouring parts anew into ``wanted`` parts along a random tree.

    ``region`` holds the parts, and behind them free ones if more are wanted;
    ``limits`` the band and how finely sizes are told apart. Nothing is changed
    if the tree cannot be cut so.
    """
    lower, upper, cells = limits
    m, whole, heaviest, misses = 0, 0, 0, 0
    for part in region:
        m += state.number[part]
        whole += state.size[part]
        if state.number[part] > 0:
            misses += outside(state.size[part], lower, upper)
    nodes = np.empty(m, dtype=np.int64)
    weights, after = graph.weight, state.after
    k = 0
    for part in region:
        i = state.head[part]
        while i >= 0:
            nodes[k] = i
            heaviest = max(heaviest, weights[i])
            k += 1
            i = after[i]
    nodes.sort()
    if m < wanted:
        return False
    order, parent, way, apart = spanning_tree(graph, state, nodes, place, 2.0)
    most = min(upper, whole) if misses == 0 else min(whole, max(2 * upper, heaviest))
    weight = graph.weight[nodes]
    cost, labels = cut_tree(weight, order, parent, way, apart, (lower, upper, most), wanted, 0.0, cells)
    if cost >= NEVER:
        return False
    for at in range(m):
        v, to = nodes[at], region[labels[at]]
        if state.label[v] != to:
            note(trail, v, state.label[v])
            unlink(state, v)
            link(state, v, to)
    for part in region:
        settle(graph, state, part)
        state.dirty[part] = 1 if state.number[part] > 0 else 0
    inherit(graph, state, region)
    return True
