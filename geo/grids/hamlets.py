"""The bound where houses lie in hamlets: each holds a whole number of centres.

A hamlet of 56 households at 30 to 50 is neither one grid nor two, and any
answer sends some of its households far, or takes in others from far. The bound
alone covers it with one grid and four fifths of another and sees no far way.
So what is fractional is told apart: at most one centre there, or at least two.
The lowest bound of all cases is a bound again, and that of many a case is soon
above what was found.

Hamlets come from average linkage, at all scales, so they are nested or apart.
"""

import heapq
from typing import Final

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from geo.grids.bound import Bound, ascend, family_of, lists_of
from geo.grids.graph import all_distances
from geo.grids.kernel import NEVER, Floats, Graph, Ints

_WHOLE: Final = 0.02  # a number of centres no farther from a whole one is one
_SHARE_OF_LOWER: Final = 6  # hamlets lighter than a sixth of the least part are not told apart
_STRIDE: Final = 0.05  # of a step: prices of the case before are nearly right
_AGAIN: Final = 0.3  # of a step, where a case is looked at again
_LONGER: Final = 5  # times as many steps where prices of a whole hamlet are new
# by what prices of a hamlet change at once where its number leaves households over, of the way out
_LEAPS: Final = (0.25, 0.5, 0.75, 1.0, 1.125, 1.25, 1.5, 2.0)


def hamlets(graph: Graph, least: int) -> tuple[list[Ints], Floats]:
    """Groups of nodes nearer to each other than to the rest, and how far the rest is.

    Parameters
    ----------
    graph : Graph, n nodes
    least : what a group weighs at least, and what is left beside it

    Returns
    -------
    list of ndarray of int64
        Nodes of each group, inner groups before outer ones.
    ndarray of float64
        Mean distance between the nodes of each group and of the one beside it.
    """
    n = len(graph.weight)
    if n < 2:  # noqa: PLR2004, nothing lies beside one
        return [], np.zeros(0)
    table = np.asarray(all_distances(graph), dtype=np.float64)
    table = np.minimum(table, table.T)
    np.fill_diagonal(table, 0.0)
    links = linkage(squareform(table, checks=False), "average")
    joined = links[:, :2].astype(np.int64)
    out = np.zeros(2 * n - 1)
    out[joined[:, 0]] = out[joined[:, 1]] = links[:, 2]
    inside = [np.array([i], dtype=np.int64) for i in range(n)]
    for a, b in joined:
        inside.append(np.sort(np.concatenate([inside[a], inside[b]])))
    weight = np.array([graph.weight[nodes].sum() for nodes in inside])
    kept = np.flatnonzero((weight >= least) & (weight[-1] - weight >= least))
    return [inside[k] for k in kept], out[kept]


def told_apart(  # noqa: PLR0913, what a bound needs
    graph: Graph,
    root: Bound,
    *,
    band: tuple[int, int],
    counts: tuple[int, int],
    target: float,
    rounds: int,
    cases: int,
    near: float,
) -> float:
    """A bound on cost from cases of how many centres each hamlet has.

    Parameters
    ----------
    graph : Graph, n nodes
    root : what `lower_bound` says of the same graph, band and counts
    band : least and greatest size of a part
    counts : least and greatest number of parts
    target : cost of a known partition
    rounds : most steps for each case
    cases : most cases that are looked at
    near : a bound that misses no more than this share of ``target`` is good

    Returns
    -------
    float
        No partition within the band costs less, or none costs less than
        ``target``. Never below the bound of ``root``.
    """
    n = len(graph.weight)
    groups, out = hamlets(graph, max(1, band[0] // _SHARE_OF_LOWER))
    if not groups:
        return root.value
    lists, reach = lists_of(graph, band)
    whole = np.isinf(reach)
    weights = [int(graph.weight[group].sum()) for group in groups]
    free = [(0, min(counts[1], len(group))) for group in groups]
    # of the cases that are open the one with the lowest bound first, the earlier one if equal
    heap: list[tuple[float, int, list[tuple[int, int]], Floats, Floats]] = [
        (root.value, 0, free, root.prices, root.often)
    ]
    seen = 0
    again: set[int] = set()  # cases looked at longer, for want of anything fractional in them
    while seen + 2 <= cases and heap[0][0] < target * (1 - near):
        value, name, ranges, prices, often = heap[0]
        number = np.array([often[group].sum() for group in groups])
        low, high = np.array(ranges).T
        number = np.clip(number, low, high)
        fraction = np.abs(number - np.round(number))
        # the farther away the rest is, the more a whole number costs
        at = int(np.argmax(np.where(fraction > _WHOLE, fraction * out, -1.0)))
        if fraction[at] <= _WHOLE:
            if name in again:
                break
            heapq.heappop(heap)
            family, steps = family_of(groups, n, ranges, counts), rounds * _LONGER
            worth, prices, often = ascend(
                graph, lists, band, family, target, steps, prices.copy(), reach, whole, _AGAIN
            )
            seen += 1
            again.add(seen)
            heapq.heappush(heap, (max(float(worth), value), seen, ranges, prices, often))
            continue
        heapq.heappop(heap)
        below = int(np.floor(number[at]))
        for part in ((ranges[at][0], below), (below + 1, ranges[at][1])):
            then = [*ranges[:at], part, *ranges[at + 1 :]]
            family = family_of(groups, n, then, counts)
            begin, leapt = prices.copy(), False
            # too few households for so many centres, they cost less; too many, they cost more
            lack = part[0] * band[0] > weights[at]
            if lack or part[1] * band[1] < weights[at]:
                best = -NEVER
                for leap in (0.0, *_LEAPS):
                    trial = prices.copy()
                    trial[groups[at]] += (-leap if lack else leap) * out[at] * graph.mass[groups[at]]
                    worth = ascend(
                        graph, lists, band, family, target, 1, trial.copy(), reach, whole, _STRIDE
                    )[0]
                    if worth > best:
                        best, begin, leapt = worth, trial, leap > 0
            steps = rounds * _LONGER if leapt else rounds
            worth, begin, lately = ascend(
                graph, lists, band, family, target, steps, begin, reach, whole, _STRIDE
            )
            seen += 1
            heapq.heappush(heap, (max(float(worth), value), seen, then, begin, lately))
    return min(heap[0][0], target) if heap[0][0] > root.value else root.value
