"""Fewest households to move between old grids: a proved bound, and a plan along their borders.

An old grid is here one piece of land or several, each a node of weight; homes
are divisible and nothing has a shape. What is proved on so little is true of
every real division: a new grid is in one piece, so the old grids it reaches
are too, and reaching one behind another takes homes of the one between.

A household is moved if its grid is not the successor of its old grid;
successors are matched one to one so that the most households stay.
"""

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

import numpy as np
import scipy.sparse
from scipy.sparse.csgraph import connected_components

from geo.grids.graph import components
from geo.grids.kernel import Floats, Graph, Ints
from geo.grids.program import Program, whole_bound

Band = tuple[int, int]

_STEP: Final = 0.25  # the most that all ways may cost together, where a border costs 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pieces:
    """Old grids, taken apart where they are not in one piece."""

    of: Ints  # n: the piece of each node
    old: Ints  # m: the old grid of each piece, -1 for land that was in none
    weight: Ints  # m
    component: Ints  # m: of the whole graph
    beside: tuple[Ints, ...]  # m: pieces that touch it

    @property
    def counted(self) -> Ints:
        """Weight of each piece that can be moved: none where there was no grid."""
        return np.where(self.old >= 0, self.weight, 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Which old grids go on, and who goes where: amounts, not homes."""

    stays: Ints  # m: 1 where a piece holds the successor of its old grid
    fresh: Ints  # m: how many new grids begin in a piece
    given: dict[tuple[int, int], int]  # from piece to the grid of another: households
    started: dict[tuple[int, int], int]  # from piece to the new grids of one: households
    moved: int
    misses: int  # units of weight outside the band
    bound: int  # proved for divisions that move households to bordering grids only


def pieces_of(graph: Graph, old: Ints) -> Pieces:
    """Old grids as connected pieces.

    Parameters
    ----------
    graph : Graph
    old : n, the old grid of each node, -1 for none

    Returns
    -------
    Pieces, in the order of their first nodes
    """
    n = len(old)
    source = np.repeat(np.arange(n), np.diff(graph.start))
    same = old[source] == old[graph.neighbour]
    matrix = scipy.sparse.coo_array(
        (np.ones(int(same.sum())), (source[same], graph.neighbour[same])), shape=(n, n)
    )
    count, raw = connected_components(matrix, directed=False)
    _, first, place = np.unique(raw, return_index=True, return_inverse=True)
    rank = np.empty(count, dtype=np.int64)
    rank[np.argsort(first)] = np.arange(count)
    of, first = rank[place], np.sort(first)
    component = np.empty(n, dtype=np.int64)
    for number, nodes in enumerate(components(graph)):
        component[nodes] = number
    pairs = np.unique(np.column_stack([of[source], of[graph.neighbour]]), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    beside = np.split(pairs[:, 1], np.searchsorted(pairs[:, 0], np.arange(1, count)))
    return Pieces(
        of=of,
        old=old[first],
        weight=np.bincount(of, weights=graph.weight, minlength=count).astype(np.int64),
        component=component[first],
        beside=tuple(beside),
    )


def _fullest(weights: Ints, upper: int) -> int:
    """The greatest sum of some of the weights that is not above ``upper``."""
    total = int(weights.sum())
    if total <= upper:
        return total
    reached, mask = 1, (1 << (upper + 1)) - 1
    for weight in weights:
        reached |= (reached << int(weight)) & mask
    return reached.bit_length() - 1


def least_misses(pieces: Pieces, graph: Graph, band: Band) -> int:
    """Proved: no division of this graph has fewer units of weight outside the band."""
    lower, upper = band
    total = 0
    for component in range(int(pieces.component.max(initial=-1)) + 1):
        own = pieces.component == component
        weight = int(pieces.weight[own].sum())
        ks = np.arange(1, max(1, weight // max(lower, 1)) + 2)
        gap = int(np.maximum(np.maximum(ks * lower - weight, weight - ks * upper), 0).min())
        heavy = int(np.maximum(graph.weight[own[pieces.of]] - upper, 0).sum())
        total += max(gap, heavy)
    return total


def corridors(graph: Graph, pieces: Pieces, piece: int) -> Floats:
    """Least weight of other nodes on the way from one piece to each (not counting its own)."""
    best = np.full(len(pieces.old), np.inf)
    way = np.full(len(pieces.of), np.inf)
    start = np.flatnonzero(pieces.of == piece)
    way[start] = 0.0
    heap = [(0.0, int(v)) for v in start]
    while heap:
        far, v = heappop(heap)
        if far > way[v]:
            continue
        for u in graph.neighbour[graph.start[v] : graph.start[v + 1]]:
            there = pieces.of[u]
            best[there] = min(best[there], far)
            further = far + (0.0 if there == piece else float(graph.weight[u]))
            if further < way[u]:
                way[u] = further
                heappush(heap, (further, int(u)))
    best[piece] = 0.0
    return best


def least_moved(graph: Graph, pieces: Pieces, band: Band, *, misses: int, branches: int) -> int:
    """Proved: no division moves fewer households, unless it misses the band by more.

    Homes may go to any grid, near or far, and any number of new grids may
    begin; but a new grid that holds homes of an old one it does not touch
    must hold those of a way there.

    Parameters
    ----------
    graph, pieces : as `pieces_of` gives them
    band : least and greatest weight of a part
    misses : units outside the band, over all parts, that are allowed
    branches : effort; with less the bound is lower, and as true

    Returns
    -------
    int
    """
    lower, upper = band
    program = Program()
    m = len(pieces.old)
    caps = [_fullest(graph.weight[pieces.of == p], upper + misses) for p in range(m)]
    leaving: list[list[int]] = [[] for _ in range(m)]
    from_far: list[list[int]] = [[] for _ in range(int(pieces.component.max(initial=-1)) + 1)]
    lives: dict[int, list[int]] = {}
    spare: list[int] = []
    for p in range(m):
        ways = corridors(graph, pieces, p)
        for fresh in (False, True):
            if not fresh and pieces.old[p] < 0:
                continue
            stands = int(program.variables(1, upper=float(len(pieces.of)) if fresh else 1.0)[0])
            if fresh:
                took, far = _begun(program, pieces, ways, p, stands)
            else:
                took, far = _lasting(program, pieces, ways, p, stands, caps)
                lives.setdefault(int(pieces.old[p]), []).append(stands)
            for q, place in took.items():
                leaving[q].append(place)
            from_far[pieces.component[p]].append(far)
            into = [*took.values(), far]
            under, over = (int(k) for k in program.variables(2, upper=float(misses)))
            spare += [under, over]
            program.rule([*into, stands, under], [*[1.0] * len(into), -lower, 1.0], least=0.0)
            program.rule([*into, stands, over], [*[1.0] * len(into), -upper, -1.0], most=0.0)
    for own in lives.values():
        program.rule(own, most=1.0)
    program.rule(spare, most=float(misses))
    away = program.variables(m, upper=pieces.weight, whole=False)
    for q in range(m):
        program.rule([*leaving[q], away[q]], least=float(pieces.weight[q]), most=float(pieces.weight[q]))
    for component, sinks in enumerate(from_far):
        sources = away[pieces.component == component]
        program.rule([*sources, *sinks], [*[1.0] * len(sources), *[-1.0] * len(sinks)], least=0.0, most=0.0)
    answer = program.solved(branches=branches)
    counted = int(pieces.counted.sum())
    return min(whole_bound(answer.bound + counted), counted)


def _lasting(  # noqa: PLR0913, PLR0917, a grid and its land
    program: Program, pieces: Pieces, ways: Floats, p: int, stands: int, caps: list[int]
) -> tuple[dict[int, int], int]:
    """Who may come into the successor of a piece's old grid, by piece, and who comes from afar."""
    first = {int(q) for q in pieces.beside[p]}
    second = {int(r) for q in first for r in pieces.beside[q]}
    # parts of the same old grid count as kept, however far they are
    kin = np.flatnonzero((pieces.old == pieces.old[p]) & (pieces.component == pieces.component[p]))
    near = sorted({p} | first | second | {int(q) for q in kin})
    most = [float(caps[q]) for q in near]
    places = program.variables(len(near), upper=most, cost=np.where(np.isin(near, kin), -1.0, 0.0))
    took = dict(zip(near, (int(k) for k in places), strict=True))
    for place, top in zip(places, most, strict=True):
        program.rule([place, stands], [1.0, -top], most=0.0)
    program.rule([took[p], stands], [1.0, -1.0], least=0.0)
    far = int(program.variables(1, upper=float(pieces.weight.sum()))[0])
    for q in near:
        if q == p or q in first or not ways[q] > 0:
            continue
        used = int(program.variables(1)[0])
        program.rule([took[q], used], [1.0, -float(caps[q])], most=0.0)
        others = [place for r, place in took.items() if r not in {p, q}]
        program.rule([*others, far, used], [*[1.0] * len(others), 1.0, -float(ways[q])], least=0.0)
    _from_far(program, pieces, ways, p, stands, took, far)
    return took, far


def _begun(program: Program, pieces: Pieces, ways: Floats, p: int, stands: int) -> tuple[dict[int, int], int]:
    """Who may come into new grids that have most of their homes from a piece, and who from afar."""
    near = [p, *(int(q) for q in pieces.beside[p])]
    places = program.variables(len(near), upper=pieces.weight[near])
    took = dict(zip(near, (int(k) for k in places), strict=True))
    for place in places[1:]:
        program.rule([places[0], place], [1.0, -1.0], least=0.0)
    far = int(program.variables(1, upper=float(pieces.weight.sum()))[0])
    _from_far(program, pieces, ways, p, stands, took, far)
    return took, far


def _from_far(  # noqa: PLR0913, PLR0917, a grid and its land
    program: Program, pieces: Pieces, ways: Floats, p: int, stands: int, took: dict[int, int], far: int
) -> None:
    """Whoever comes from afar comes over a way of homes that come too."""
    beyond = [ways[q] for q in np.flatnonzero(pieces.component == pieces.component[p]) if int(q) not in took]
    if not beyond:
        program.rule([far], most=0.0)
        return
    used = int(program.variables(1)[0])
    most = float(pieces.weight[pieces.component == pieces.component[p]].sum())
    program.rule([far, used], [1.0, -most], most=0.0)
    program.rule([used, stands], [1.0, -1.0], most=0.0)
    others = [place for r, place in took.items() if r != p]
    program.rule([*others, used], [*[1.0] * len(others), -float(min(beyond))], least=0.0)


def plan_of(  # noqa: PLR0915, variables and rules in the order of the text
    pieces: Pieces, centres: Floats, band: Band, *, branches: int
) -> Plan:
    """Fewest households over borders of old grids, then fewest borders, then least way.

    Parameters
    ----------
    pieces : as `pieces_of` gives them
    centres : m x 2, the middle of each piece
    band : least and greatest weight of a part
    branches : effort, of each of two solutions

    Returns
    -------
    Plan
        What cannot be brought into the band stays as near to it as it can.
    """
    lower, upper = band
    m = len(pieces.old)
    weight = pieces.weight.astype(np.float64)
    whole = int(pieces.weight.sum())
    program = Program()
    dear = 2 * whole + 2  # a unit outside the band, in households
    stays = program.variables(m, upper=(pieces.old >= 0) & (pieces.weight > 0))
    fresh = program.variables(m, upper=pieces.weight // max(lower, 1) + 2)
    # over by more than the lower limit, a grid is better split
    under, over = (program.variables(m, upper=float(lower), cost=float(dear)) for _ in range(2))
    pairs = [(q, int(p)) for q in range(m) for p in pieces.beside[q]]
    sources = [*pairs, *((q, q) for q in range(m))]
    counts = np.array([float(pieces.old[q] >= 0) for q, _ in sources])
    limits = np.array([weight[q] for q, _ in sources])
    moves = program.variables(len(pairs), upper=limits[: len(pairs)], cost=counts[: len(pairs)])
    begins = program.variables(len(sources), upper=limits, cost=counts)
    crossed, crossed_new = program.variables(len(pairs)), program.variables(len(pairs))
    into: list[list[int]] = [[] for _ in range(m)]
    out: list[list[int]] = [[] for _ in range(m)]
    newly: list[list[int]] = [[] for _ in range(m)]
    for k, (q, p) in enumerate(sources):
        newly[p].append(int(begins[k]))
        out[q].append(int(begins[k]))
        if q == p:
            continue
        into[p].append(int(moves[k]))
        out[q].append(int(moves[k]))
        program.rule([moves[k], crossed[k]], [1.0, -limits[k]], most=0.0)
        program.rule([moves[k], stays[p]], [1.0, -limits[k]], most=0.0)
        program.rule([begins[k], crossed_new[k]], [1.0, -limits[k]], most=0.0)
    for p in range(m):
        flow, sign = [*into[p], *out[p]], [*[1.0] * len(into[p]), *[-1.0] * len(out[p])]
        # what is left is within the band, or nothing; and some of it was there before
        program.rule([*flow, stays[p], under[p]], [*sign, -lower, 1.0], least=-weight[p])
        program.rule([*flow, stays[p], over[p]], [*sign, -upper, -1.0], most=-weight[p])
        program.rule([over[p], stays[p], fresh[p]], [1.0, -float(lower), -float(lower)], most=0.0)
        program.rule([*out[p], stays[p]], most=weight[p])
        ones = [1.0] * len(newly[p])
        program.rule([*newly[p], fresh[p], under[p]], [*ones, -lower, 1.0], least=0.0)
        program.rule([*newly[p], fresh[p], over[p]], [*ones, -upper, -1.0], most=0.0)
    for grid in np.unique(pieces.old[pieces.old >= 0]):
        program.rule(stays[pieces.old == grid], most=1.0)
    cost = np.concatenate(program.cost)
    first = program.solved(branches=branches)
    if first.values is None:
        raise AssertionError("old grids as they are, in their pieces, are an answer")
    least = round(first.cost)
    program.rule(np.flatnonzero(cost), cost[cost != 0], most=least + _STEP)
    gentle = np.zeros(len(cost))
    gentle[np.concatenate([crossed, crossed_new, fresh])] = 1.0
    away = np.array([np.hypot(*(centres[q] - centres[p])) for q, p in pairs] or [0.0])
    small = _STEP * away / max(float(away.max()), 1e-9) / max(whole, 1)
    gentle[moves] = gentle[begins[: len(pairs)]] = small[: len(pairs)]
    crossings = int((np.round(first.values[[*moves, *begins]]) > 0).sum())
    second = program.solved(branches=branches // 100 + 1, cost=gentle, gap=_STEP / max(crossings, 1))
    values = np.round(first.values if second.values is None else second.values).astype(np.int64)
    misses = least // dear
    return Plan(
        stays=values[stays],
        fresh=values[fresh],
        given={pair: int(values[moves[k]]) for k, pair in enumerate(pairs) if values[moves[k]]},
        started={pair: int(values[begins[k]]) for k, pair in enumerate(sources) if values[begins[k]]},
        moved=least - misses * dear,
        misses=misses,
        bound=whole_bound(first.bound - misses * dear),
    )
