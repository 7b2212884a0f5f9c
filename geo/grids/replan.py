"""Labels of old grids brought into a band: a plan of amounts, done with nodes, mended where it does not work out.

First the plan says which grids go on and how many households cross which
border (`geo.grids.flow`). Then each cluster of grids it ties together is
seated anew (`geo.grids.peel`). Where homes do not add up to what was planned,
or another way might move fewer, the grids around are seated again, free to go
on or not; and what still is outside the band is divided from scratch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from geo.grids.allot import count_range, reason_of
from geo.grids.earlier import successors
from geo.grids.flow import Band, Pieces, Plan, least_misses, least_moved, pieces_of, plan_of
from geo.grids.graph import components, own_order, renumbered
from geo.grids.kernel import Graph, Ints
from geo.grids.peel import Seat, Seating, counted, region, seated
from geo.grids.split import BUDGETS, Reason, best_split

_TRIED: Final = 5  # places tried for a grid that begins anew
_REGION_GRIDS: Final = 9  # seated anew at once
_REGION_NODES: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is tried, in branches of integer programs: the same on every machine."""

    plan: int
    bound: int  # 0 for none but the obvious
    peel: int
    rounds: int  # of seating again what might move fewer


EFFORTS: Final[dict[str, Effort]] = {
    "fast": Effort(plan=200, bound=0, peel=50, rounds=0),
    "standard": Effort(plan=2000, bound=300, peel=100, rounds=1),
    "best": Effort(plan=20_000, bound=3000, peel=1000, rounds=3),
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moves:
    """Old grids brought into a band, and what is proved of it."""

    labels: Ints  # n: from 0, successors in the order of old grids, then new grids by their first node
    old_of: Ints  # k: the old grid each is the successor of, -1 for a new one
    sizes: Ints  # k
    moved: int  # households that are not in the successor of their old grid
    least_moved: int  # proved: no division that misses the band by no more moves fewer
    flow_moved: int  # the fewest where households go to bordering grids only, and homes divide
    misses: int  # units outside the band, over all grids
    least_misses: int  # proved: no division has fewer
    reasons: tuple[Reason, ...]  # empty if all grids are in the band


@dataclass(slots=True, eq=False)
class _Draft:
    """Grids in the making."""

    graph: Graph
    old: Ints
    band: Band
    pieces: Pieces
    effort: Effort
    label: Ints  # n
    grid: list[int]  # of each label: the old grid it is the successor of, -1 for a new one

    def merit(self) -> tuple[int, int]:
        """Units outside the band, households moved."""
        return _misses(self.graph, self.label, self.band), _moved(
            self.graph.weight, self.old, np.array(self.grid)[self.label]
        )


def replanned(graph: Graph, old: Ints, *, band: Band, effort: Effort, seed: int = 0) -> Moves:
    """Grids within a band, with the fewest households moved, then fewest borders crossed, then least way.

    Parameters
    ----------
    graph : Graph, n nodes
        Old grids need not be in one piece; new ones are.
    old : n, the old grid of each node from 0, -1 for none
        Nodes that were in no grid do not count as moved.
    band : least and greatest weight of a grid
    effort : Effort
    seed : of the division from scratch where nothing else is found

    Returns
    -------
    Moves
    """
    if not len(old):
        none = np.zeros(0, dtype=np.int64)
        return Moves(
            labels=none, old_of=none, sizes=none, moved=0, least_moved=0, flow_moved=0, misses=0,
            least_misses=0, reasons=(),
        )  # fmt: skip
    order = own_order(graph)
    known, first, ranked = np.unique(old[order], return_index=True, return_inverse=True)
    # old grids are numbered by their first nodes, so that neither order is seen
    rank = np.argsort(np.argsort(np.where(known < 0, -1, first))) - int((known < 0).any())
    made = _replanned(renumbered(graph, order), rank[ranked].astype(np.int64), band, effort, seed)
    names = np.append(known[np.argsort(rank)][int((known < 0).any()) :], -1)
    old_of = names[made.old_of]
    turn = np.lexsort(
        (np.arange(len(old_of)), np.where(old_of < 0, len(names) + int(old.max(initial=0)), old_of))
    )
    labels = np.empty(len(old), dtype=np.int64)
    labels[order] = np.argsort(turn)[made.labels]
    reasons = tuple(replace(reason, nodes=np.sort(order[reason.nodes])) for reason in made.reasons)
    return replace(made, labels=labels, old_of=old_of[turn], sizes=made.sizes[turn], reasons=reasons)


def _replanned(graph: Graph, old: Ints, band: Band, effort: Effort, seed: int) -> Moves:
    """The same of nodes and grids in an order of their own."""
    pieces = pieces_of(graph, old)
    heart = np.array([graph.xy[first_medoid(graph, nodes)] for nodes in _members(pieces.of)]).reshape(-1, 2)
    plan = plan_of(pieces, heart, band, branches=effort.plan)
    draft = _Draft(
        graph=graph, old=old, band=band, pieces=pieces, effort=effort,
        label=pieces.of.copy(), grid=pieces.old.tolist(),
    )  # fmt: skip
    short = [_carried_out(draft, plan, cluster) for cluster in clusters(plan, pieces)]
    for nodes in short:
        if len(nodes):
            _again(draft, nodes, hops=1)
    for _ in range(effort.rounds):
        goes = np.array(draft.grid)[draft.label]
        touched = np.unique(draft.label[(old >= 0) & (old != goes)])
        better = [
            _again(draft, nodes, hops=2) for k in touched if len(nodes := np.flatnonzero(draft.label == k))
        ]
        if not any(better):
            break
    proved_misses = least_misses(pieces, graph, band)
    if draft.merit()[0] > proved_misses:
        _from_scratch(draft, seed)
    labels, old_of = succession(graph, old, draft.label)
    misses, moved = _misses(graph, labels, band), _moved(graph.weight, old, old_of[labels])
    least = 0
    if effort.bound and moved:
        least = least_moved(graph, pieces, band, misses=misses, branches=effort.bound)
    return Moves(
        labels=labels,
        old_of=old_of,
        sizes=np.bincount(labels, weights=graph.weight, minlength=len(old_of)).astype(np.int64),
        moved=moved,
        least_moved=min(least, moved),
        flow_moved=plan.bound,
        misses=misses,
        least_misses=min(proved_misses, misses),
        reasons=_reasons(graph, labels, band) if misses else (),
    )


def _reasons(graph: Graph, labels: Ints, band: Band) -> tuple[Reason, ...]:
    """Why there are grids outside the band, by component that has one."""
    lower, upper = band
    reasons = [reason_of("heavy_node", np.array([v]), graph) for v in np.flatnonzero(graph.weight > upper)]
    for nodes in components(graph):
        misses = _misses(graph, np.unique(labels[nodes], return_inverse=True)[1], band, nodes)
        weight, heavy = int(graph.weight[nodes].sum()), graph.weight[nodes] - upper
        gap = count_range(weight, len(nodes), lower, upper)[2]
        if weight < lower:
            reasons.append(reason_of("light_component", nodes, graph))
        elif gap:
            reasons.append(reason_of("gap_component", nodes, graph))
        elif misses > int(np.maximum(heavy, 0).sum()):
            reasons.append(reason_of("not_found", nodes, graph))
    return tuple(reasons)


# --- who succeeds whom -----------------------------------------------------------------------------------


def succession(graph: Graph, old: Ints, new: Ints) -> tuple[Ints, Ints]:
    """Grids numbered by the old grids they succeed, so that the fewest households move.

    Parameters
    ----------
    graph : Graph, n nodes
    old, new : n, the grid of each node before and after; old may be -1 for none

    Returns
    -------
    labels : n, from 0
    old_of : k, the old grid that each succeeds, -1 for a new one
        Successors first, in the order of old grids; then new ones, by their first node.
    """
    _, first, after = np.unique(new, return_index=True, return_inverse=True)
    # a household counts most; where as many stay, as many nodes as can be
    worth = graph.weight.astype(np.float64) + 1.0 / (2.0 * len(old) + 2.0)
    old_of = successors(old, after, worth)
    order = np.lexsort((first, np.where(old_of >= 0, old_of, len(old))))
    rank = np.argsort(order)
    return rank[after].astype(np.int64), old_of[order]


def _moved(weight: Ints, old: Ints, goes: Ints) -> int:
    return int(weight[(old >= 0) & (old != goes)].sum())


def _misses(graph: Graph, label: Ints, band: Band, nodes: Ints | None = None) -> int:
    weight = graph.weight if nodes is None else graph.weight[nodes]
    sizes = np.bincount(label, weights=weight)[np.bincount(label) > 0]
    return int(np.maximum(np.maximum(band[0] - sizes, sizes - band[1]), 0).sum())


def _members(label: Ints) -> list[Ints]:
    """Nodes of each label."""
    return np.split(np.argsort(label, kind="stable"), np.cumsum(np.bincount(label))[:-1])


# --- a plan carried out ----------------------------------------------------------------------------------


def first_medoid(graph: Graph, nodes: Ints) -> int:
    """The node of some to which all of them have the least way together, straight."""
    xy = graph.xy[nodes]
    away = np.hypot(xy[:, None, 0] - xy[None, :, 0], xy[:, None, 1] - xy[None, :, 1])
    return int(nodes[np.argmin(np.round(graph.mass[nodes] @ away, 6))])


def far_apart(graph: Graph, nodes: Ints, begin: list[int], count: int) -> list[int]:
    """Nodes that lie far from those they begin with and from each other."""
    chosen, xy = list(begin), graph.xy
    for _ in range(min(count, len(nodes) - len(begin))):
        away = np.min(
            [np.hypot(*(xy[nodes] - xy[v]).T) + (nodes != v) for v in chosen]
            or [np.hypot(*(xy[nodes] - xy[nodes].mean(axis=0)).T)],
            axis=0,
        )
        chosen.append(int(nodes[np.argmax(np.round(away, 6))]))
    return chosen[len(begin) :]


def clusters(plan: Plan, pieces: Pieces) -> list[Ints]:
    """Pieces that a plan ties together, those of each cluster."""
    m = len(pieces.old)
    root = list(range(m))

    def find(p: int) -> int:
        while root[p] != p:
            p = root[p]
        return p

    for q, p in [*plan.given, *plan.started, *_bare(pieces)]:
        a, b = find(q), find(p)
        root[max(a, b)] = min(a, b)
    head = np.array([find(p) for p in range(m)])
    return [np.flatnonzero(head == p) for p in np.unique(head)]


def _bare(pieces: Pieces) -> list[tuple[int, int]]:
    """Land without homes and the neighbour it goes with: one that has some, over others if need be."""
    held = set(np.flatnonzero(pieces.weight).tolist())
    waiting = [p for p in range(len(pieces.old)) if p not in held]
    links: list[tuple[int, int]] = []
    while waiting:
        found = {
            p: max(beside, key=lambda q: (pieces.weight[q], -q))
            for p in waiting
            if (beside := [int(q) for q in pieces.beside[p] if int(q) in held])
        }
        if not found:  # nobody lives there at all: one grid
            found = {p: int(min([p, *pieces.beside[p]])) for p in waiting}
        links += found.items()
        held |= set(found)
        waiting = [p for p in waiting if p not in held]
    return links


def _seats(draft: _Draft, plan: Plan, cluster: Ints) -> Iterator[tuple[list[Seat], list[int]]]:
    """Seats of the grids a plan wants in a cluster, with the piece of each; several where new ones begin."""
    pieces, graph = draft.pieces, draft.graph
    lasting: list[Seat] = []
    at: list[int] = []
    for p in cluster[plan.stays[cluster] > 0]:
        nodes = np.flatnonzero(pieces.of == p)
        lasting.append(Seat(root=first_medoid(graph, nodes), old=int(pieces.old[p])))
        at.append(int(p))
    new = {int(p): int(plan.fresh[p]) for p in cluster if plan.fresh[p]}
    spots = {}
    for p, count in new.items():
        nodes = np.flatnonzero(pieces.of == p)
        held = [seat.root for seat, q in zip(lasting, at, strict=True) if q == p]
        spots[p] = far_apart(graph, nodes, held, max(count, _TRIED))
    for first in range(_TRIED if new else 1):
        seats, place = list(lasting), list(at)
        for p, count in new.items():
            for k in range(min(count, len(spots[p]))):
                seats.append(Seat(root=spots[p][(first + k) % len(spots[p])], old=-1))
                place.append(p)
        yield seats, place


def _carried_out(draft: _Draft, plan: Plan, cluster: Ints) -> Ints:
    """What a plan wants of a cluster, done with homes; its nodes if that fell short."""
    pieces = draft.pieces
    if len(cluster) == 1 and not plan.fresh[cluster[0]]:
        return cluster[:0]
    nodes = np.flatnonzero(np.isin(pieces.of, cluster))
    local = np.full(len(pieces.of), -1, dtype=np.int64)
    local[nodes] = np.arange(len(nodes))
    piece = region(draft.graph, nodes)
    inside = set(cluster.tolist())
    wanted = sum(
        amount
        for flows in (plan.given, plan.started)
        for (q, _), amount in flows.items()
        if q in inside and pieces.old[q] >= 0
    )
    if not plan.stays[cluster].any() and not plan.fresh[cluster].any():  # nobody lives there
        draft.label[nodes] = draft.label[nodes[0]]
        return nodes[:0]
    best: tuple[Seating, list[Seat]] | None = None
    of = pieces.of[nodes]
    for as_planned in (True, False):
        for seats, at in _seats(draft, plan, cluster):
            allowed = np.ones((len(nodes), len(seats)), dtype=bool)
            for s, (seat, p) in enumerate(zip(seats, at, strict=True) if as_planned else ()):
                flows = plan.given if seat.old >= 0 else plan.started
                allowed[:, s] = np.isin(of, [p, *(q for q, to in flows if to == p)])
            allowed[piece.weight == 0] = True
            inner = [replace(seat, root=int(local[seat.root])) for seat in seats]
            answer = seated(
                piece, draft.old[nodes], inner, band=draft.band, allowed=allowed,
                branches=draft.effort.peel, fewest=wanted,
            )  # fmt: skip
            if answer is not None and (best is None or answer.merit < best[0].merit):
                best = answer, seats
        if best is not None and best[0].misses == 0 and best[0].moved <= wanted:
            break
    if best is not None:
        _put(draft, nodes, *best)
    return nodes if best is None or best[0].misses or best[0].moved > wanted else nodes[:0]


def _put(draft: _Draft, nodes: Ints, answer: Seating, seats: list[Seat]) -> None:
    """Labels of a region into those of the whole."""
    first = len(draft.grid)
    draft.label[nodes] = answer.labels + first
    draft.grid += [seat.old for seat in seats]


# --- what fell short -------------------------------------------------------------------------------------


def _again(draft: _Draft, nodes: Ints, *, hops: int) -> bool:
    """Grids around some nodes seated anew, free to go on or not; whether that was better."""
    graph, old = draft.graph, draft.old
    inside = _around(draft, nodes)
    local = np.full(len(old), -1, dtype=np.int64)
    local[inside] = np.arange(len(inside))
    piece, label = region(graph, inside), draft.label[inside]
    seats: list[Seat] = []
    taken = {draft.grid[k] for k in np.unique(np.delete(draft.label, inside))}
    for k in np.unique(label):
        own = inside[label == k]
        grid = draft.grid[k]
        kept = own[old[own] == grid] if grid >= 0 else own
        seats.append(Seat(root=first_medoid(graph, kept if len(kept) else own), old=grid, optional=True))
    for p in np.unique(draft.pieces.of[inside]):
        grid = int(draft.pieces.old[p])
        if grid >= 0 and grid not in taken and grid not in {seat.old for seat in seats}:
            own = inside[draft.pieces.of[inside] == p]
            seats.append(Seat(root=first_medoid(graph, own), old=grid, optional=True))
    spots = far_apart(graph, inside, [seat.root for seat in seats], 1)
    seats += [Seat(root=spot, old=-1, optional=True) for spot in spots]
    inner = [replace(seat, root=int(local[seat.root])) for seat in seats]
    near = _near(piece, (draft.pieces.of[inside], label), inner, hops)
    before = counted(piece, old[inside], inner, np.searchsorted(np.unique(label), label), draft.band)
    answer = seated(
        piece, old[inside], inner, band=draft.band, allowed=near,
        branches=draft.effort.peel, fewest=max(1, before.moved),
    )  # fmt: skip
    if answer is None or answer.merit >= before.merit:
        return False
    _put(draft, inside, answer, seats)
    return True


def _around(draft: _Draft, nodes: Ints) -> Ints:
    """Nodes of the grids that hold some nodes, and of grids beside them as far as a region may grow."""
    graph, label = draft.graph, draft.label
    size = np.bincount(label)
    chosen = set(np.unique(label[nodes]).tolist())
    source = np.repeat(np.arange(len(label)), np.diff(graph.start))
    out = np.isin(label[source], list(chosen)) & ~np.isin(label[graph.neighbour], list(chosen))
    beside, edges = np.unique(label[graph.neighbour[out]], return_counts=True)
    total = int(size[list(chosen)].sum())
    for k in beside[np.lexsort((beside, -edges))]:
        if len(chosen) < _REGION_GRIDS and total + size[k] <= _REGION_NODES:
            chosen.add(int(k))
            total += int(size[k])
    return np.flatnonzero(np.isin(label, list(chosen)))


def _near(graph: Graph, divisions: tuple[Ints, ...], seats: list[Seat], hops: int) -> npt.NDArray[np.bool_]:
    """Which nodes lie within so many borders of a seat, in one division of the land or another."""
    allowed = np.zeros((len(graph.weight), len(seats)), dtype=bool)
    source = np.repeat(np.arange(len(graph.weight)), np.diff(graph.start))
    for division in divisions:
        _, part = np.unique(division, return_inverse=True)
        beside = np.eye(int(part.max()) + 1, dtype=np.int64)
        beside[part[source], part[graph.neighbour]] = 1
        reach = np.linalg.matrix_power(beside, hops) > 0
        allowed |= reach[np.ix_(part, part[[seat.root for seat in seats]])]
    return allowed


def _from_scratch(draft: _Draft, seed: int) -> None:
    """Land that is still outside the band, with what lies around it, divided anew."""
    tried: set[int] = set()  # by first node: labels change
    while True:
        _, first = np.unique(draft.label, return_index=True)
        waiting = [int(v) for v in first if int(v) not in tried and _is_out(draft, int(v))]
        if not waiting:
            return
        tried.add(waiting[0])
        inside = _around(draft, np.array(waiting[:1]))
        piece = region(draft.graph, inside)
        pairs = np.column_stack([np.repeat(np.arange(len(inside)), np.diff(piece.start)), piece.neighbour])
        split = best_split(
            piece.weight, pairs, lower=draft.band[0], upper=draft.band[1], seed=seed, masses=piece.mass,
            distances=piece.table, budget=replace(BUDGETS["fast"], bound=0),
        )  # fmt: skip
        before, label, grid = draft.merit(), draft.label.copy(), list(draft.grid)
        draft.label[inside] = split.labels + len(grid)
        draft.label, old_of = succession(draft.graph, draft.old, draft.label)
        draft.grid = old_of.tolist()
        if draft.merit() >= before:
            draft.label, draft.grid = label, grid
            continue
        _again(draft, inside, hops=2)


def _is_out(draft: _Draft, node: int) -> bool:
    size = int(draft.graph.weight[draft.label == draft.label[node]].sum())
    return not draft.band[0] <= size <= draft.band[1]
