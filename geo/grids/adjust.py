"""A village's grids brought into a norm, with the fewest households moved.

Then the fewest borders between grids are crossed, then grids lie close. Which
grids go on, and that no other way moves fewer than so many, is told with them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from geo.errors import GraphError, InputError
from geo.grids.centre import most_central
from geo.grids.compare import changes, flows
from geo.grids.earlier import with_earlier
from geo.grids.graph import graph_of
from geo.grids.kernel import Graph, Ints
from geo.grids.profiles import Profile
from geo.grids.replan import EFFORTS, Moves, replanned, succession
from geo.grids.search import cost_of
from geo.grids.split import BUDGETS, BudgetName, Reason, best_split
from geo.grids.units import Land

KEPT: Final = "KEPT"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Adjusted:
    """Grids of a village after they were brought into a norm."""

    labels: Ints  # n units: their grid, from 0; ordinary grids first, a grid for each exclusive unit after
    grids: pd.DataFrame  # on the labels: what became of whom, as `adjust` says
    lineage: pd.DataFrame  # old, new, households, change: who went where, of ordinary grids
    moved: int  # households that are not in the successor of their old grid
    least_moved: int  # proved: no division that misses the norm by no more moves fewer
    flow_moved: int  # fewest over borders of old grids, if homes were divisible; not proved of all divisions
    misses: int  # households outside the norm, over all grids
    least_misses: int  # proved: no division has fewer
    reasons: tuple[Reason, ...]  # why grids are outside; their nodes are units
    profile: Profile

    @property
    def excess(self) -> float:
        """Share of the households moved that might have stayed, at most."""
        return 0.0 if not self.moved else 1.0 - self.least_moved / self.moved


def adjust(  # noqa: PLR0913, a plan hangs on all of them
    land: Land,
    old: npt.ArrayLike,
    *,
    profile: Profile,
    seed: int = 0,
    budget: BudgetName = "standard",
    moved_price: float | None = None,
) -> Adjusted:
    """Existing grids brought into a norm.

    Parameters
    ----------
    land : Land
        Cut by the borders of the existing grids, so that each unit lies in one.
    old : n whole numbers
        The old grid of each unit, any numbers from 0; -1 for none. A household
        that was in no grid does not count as moved. See `geo.grids.inherit`.
    profile : Profile
    seed : int
        Of what is divided from scratch, where nothing else leads into the norm.
    budget : "fast", "standard" or "best"
        ``fast`` carries out the plan over borders and proves only what is easy;
        ``standard`` also seeks ways that go further than a border, and a bound.
    moved_price : float, optional, metres
        What a moved household may bring in way to the centres of grids: the dial
        between moving the fewest (None) and drawing anew (0).

    Returns
    -------
    Adjusted
        ``grids``: ``old`` (the grid it is the successor of, -1 for a new one),
        ``is_exclusive, households, households_before`` (of ``old``), ``moved_in``,
        ``change`` (KEPT, SHIFTED, MERGED, SPLIT, NEW, as `geo.grids.compare` says
        them; KEPT has the very same units), ``predecessors`` (a tuple), ``in_band``.
        Grids that need not change keep their units. Labels go by old grid, new
        ones after, whatever the order of units.

    Raises
    ------
    GraphError
        If there is not one old grid a unit, or one is less than -1.
    InputError
        If there is no such budget.
    """
    before = _whole(old, len(land.units))
    if budget not in EFFORTS:
        raise InputError(f"没有“{budget}”这一档，可用 {'、'.join(EFFORTS)}")
    closed = land.units["is_exclusive"].to_numpy(dtype=bool)
    nodes = np.flatnonzero(~closed)
    graph, ends = _graph(land, nodes)
    band = (profile.lower, profile.upper)
    made = replanned(graph, before[nodes], band=band, effort=EFFORTS[budget], seed=seed)
    if moved_price is not None and len(nodes):
        made = _priced(graph, ends, before[nodes], made, band, budget=budget, seed=seed, price=moved_price)
    labels = np.empty(len(before), dtype=np.int64)
    labels[nodes] = made.labels
    parts = len(made.old_of)
    labels[closed] = parts + np.arange(int(closed.sum()))
    old_of = np.append(made.old_of, _own(before, closed))
    weight = land.units["households"].to_numpy(dtype=np.int64)
    grids, lineage = _told(labels, before, old_of, np.where(closed, 0, weight), closed)
    grids["households"] = np.bincount(labels, weights=weight, minlength=len(old_of)).astype(np.int64)
    grids["in_band"] = grids["households"].between(*band) & ~grids["is_exclusive"]
    return Adjusted(
        labels=labels,
        grids=grids,
        lineage=lineage,
        moved=made.moved,
        least_moved=made.least_moved,
        flow_moved=made.flow_moved,
        misses=made.misses,
        least_misses=made.least_misses,
        reasons=tuple(
            Reason(kind=reason.kind, nodes=nodes[reason.nodes], weight=reason.weight)
            for reason in made.reasons
        ),
        profile=profile,
    )


def norm_curve(
    land: Land,
    old: npt.ArrayLike,
    profiles: Iterable[Profile],
    *,
    budget: BudgetName = "fast",
    seed: int = 0,
) -> pd.DataFrame:
    """What each norm would cost a village: a row a norm.

    Parameters
    ----------
    land, old, budget, seed
        As `adjust` takes them.
    profiles : iterable of Profile

    Returns
    -------
    DataFrame
        ``profile, lower, target, upper, households, grids_before, out_before, grids, in_band,
        misses, least_misses, moved, moved_share, least_moved, flow_moved, kept, shifted, merged,
        split, new, dissolved, mean_distance_m`` (to the most central unit, straight; of all households).

    Raises
    ------
    GraphError, InputError
        As `adjust` does.
    """
    before = _whole(old, len(land.units))
    open_ = ~land.units["is_exclusive"].to_numpy(dtype=bool)
    weight = land.units["households"].to_numpy(dtype=np.int64)
    held = open_ & (before >= 0)
    _, own = np.unique(before[held], return_inverse=True)
    sizes = np.bincount(own, weights=weight[held])
    rows = []
    for profile in profiles:
        made = adjust(land, before, profile=profile, budget=budget, seed=seed)
        grids = made.grids[~made.grids["is_exclusive"]]
        kinds = grids["change"].value_counts()
        total = int(weight[open_].sum())
        rows.append(
            {
                "profile": str(profile),
                "lower": profile.lower,
                "target": profile.target,
                "upper": profile.upper,
                "households": total,
                "grids_before": len(sizes),
                "out_before": int(((sizes < profile.lower) | (sizes > profile.upper)).sum()),
                "grids": len(grids),
                "in_band": int(grids["in_band"].sum()),
                "misses": made.misses,
                "least_misses": made.least_misses,
                "moved": made.moved,
                "moved_share": made.moved / max(total, 1),
                "least_moved": made.least_moved,
                "flow_moved": made.flow_moved,
                **{name.lower(): int(kinds.get(name, 0)) for name in _KINDS},
                "dissolved": int(len(sizes) - (grids["old"] >= 0).sum()),
                "mean_distance_m": _mean_distance(land, made.labels, open_, weight),
            }
        )
    return pd.DataFrame(rows)


_KINDS: Final = (KEPT, "SHIFTED", "MERGED", "SPLIT", "NEW")


def _whole(old: npt.ArrayLike, count: int) -> Ints:
    given = np.asarray(old, dtype=np.float64)
    if given.shape != (count,) or not (
        np.isfinite(given).all() and (given >= -1).all() and (given % 1 == 0).all()
    ):
        raise GraphError(f"现有网格须是 {count} 个从 0 起的整数，每个地块单元一个，没有的写 -1")
    return given.astype(np.int64)


def _graph(land: Land, nodes: Ints) -> tuple[Graph, Ints]:
    """Ordinary land as a graph, and its edges."""
    place = np.full(len(land.units), -1, dtype=np.int64)
    place[nodes] = np.arange(len(nodes))
    ends = place[land.borders[["a", "b"]].to_numpy(dtype=np.int64).reshape(-1, 2)]
    ends = ends[(ends >= 0).all(axis=1)]
    graph = graph_of(
        land.units["households"].to_numpy(dtype=np.int64)[nodes],
        ends,
        None,
        land.centres[nodes],
        land.sides[nodes] if len(nodes) else None,
        land.tolls,
        None if land.distances is None else land.distances[np.ix_(nodes, nodes)],
    )
    return graph, ends


def _own(before: Ints, closed: npt.NDArray[np.bool_]) -> Ints:
    """The old grid of each exclusive unit that is all of it."""
    grid = before[closed]
    alone = (np.bincount(before[before >= 0], minlength=int(before.max(initial=-1)) + 1) == 1)[grid]
    return np.where((grid >= 0) & alone, grid, -1) if len(alone) else grid


def _told(
    labels: Ints, before: Ints, old_of: Ints, weight: Ints, closed: npt.NDArray[np.bool_]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Grids and lineage: what became of whom."""
    known = np.unique(before[before >= 0])
    was = np.where(before >= 0, np.searchsorted(known, before), -1)
    flow = flows(was, labels, weight, (len(known), len(old_of)))
    successor = np.full(len(known), -1, dtype=np.int64)
    place = np.searchsorted(known, old_of)
    successor[place[old_of >= 0]] = np.flatnonzero(old_of >= 0)
    count = np.bincount(labels, minlength=len(old_of))
    stay = old_of[labels] == before
    same = (old_of >= 0) & (np.bincount(labels[stay], minlength=len(old_of)) == count)
    held = np.bincount(before[before >= 0], minlength=int(before.max(initial=-1)) + 1)
    same &= np.where(old_of >= 0, np.append(held, 0)[old_of], -1) == count
    change = np.array(changes(flow, successor, same), dtype=object)
    exclusive = np.zeros(len(old_of), dtype=bool)
    exclusive[labels[closed]] = True
    change[exclusive] = np.where(old_of[exclusive] >= 0, KEPT, "NEW")
    row, column = flow.coords
    lineage = pd.DataFrame(
        {
            "old": known[row],
            "new": column.astype(np.int64),
            "households": flow.data.astype(np.int64),
            "change": change[column],
        }
    ).sort_values(["new", "old"], ignore_index=True)
    came = lineage.groupby("new")["old"].agg(tuple)
    size = np.append(np.bincount(before[before >= 0], weights=weight[before >= 0], minlength=len(held)), 0)
    moved = (before >= 0) & ~stay
    grids = pd.DataFrame(
        {
            "old": old_of,
            "is_exclusive": exclusive,
            "households": np.bincount(labels, weights=weight, minlength=len(old_of)).astype(np.int64),
            "households_before": size[old_of].astype(np.int64),
            "moved_in": np.bincount(labels[moved], weights=weight[moved], minlength=len(old_of)).astype(
                np.int64
            ),
            "change": change,
            "predecessors": [came.get(k, ()) for k in range(len(old_of))],
        }
    )
    return grids, lineage


def _priced(  # noqa: PLR0913, what a search needs
    graph: Graph,
    ends: Ints,
    old: Ints,
    made: Moves,
    band: tuple[int, int],
    *,
    budget: BudgetName,
    seed: int,
    price: float,
) -> Moves:
    """Grids drawn anew at a price for who moves, if that costs less than to move the fewest."""
    weighed = with_earlier(
        graph, np.unique(old, return_inverse=True)[1] - int((old < 0).any()), np.array(price)
    )
    split = best_split(
        graph.weight, ends, lower=band[0], upper=band[1], seed=seed, budget=replace(BUDGETS[budget], bound=0),
        coordinates=graph.xy, sides=graph.sides, tolls=graph.tolls,
        distances=graph.table if len(graph.table) else None, start=old, moved_price=price,
    )  # fmt: skip
    if (split.misses, split.cost) >= (made.misses, cost_of(weighed, made.labels)[0]):
        return made
    labels, old_of = succession(graph, old, split.labels)
    gone = (old >= 0) & (old != old_of[labels])
    return replace(
        made,
        labels=labels,
        old_of=old_of,
        sizes=np.bincount(labels, weights=graph.weight).astype(np.int64),
        moved=int(graph.weight[gone].sum()),
        misses=split.misses,
        reasons=split.reasons,
    )


def _mean_distance(land: Land, labels: Ints, open_: npt.NDArray[np.bool_], weight: Ints) -> float:
    total = 0.0
    for label in np.unique(labels[open_]):
        own = np.flatnonzero(labels == label)
        centre = land.centres[own[most_central(land.centres[own], weight[own])]]
        total += float(weight[own] @ np.hypot(*(land.centres[own] - centre).T))
    return total / max(int(weight[open_].sum()), 1)
