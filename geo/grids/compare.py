"""Two sets of grids of the same homes: which became which, who moved, what was won.

A grid's successor is the one that keeps most of its households, no grid being
the successor of two: the pairing that keeps most households in all.
"""

from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.optimize
import scipy.sparse
import shapely
from scipy.sparse.csgraph import connected_components

from geo import schema
from geo.errors import MismatchError
from geo.grids.centre import medians
from geo.grids.cover import holders
from geo.grids.kernel import Floats, Ints
from geo.grids.profiles import Profile

NEW: Final = "NEW"
KEPT: Final = "KEPT"
SHIFTED: Final = "SHIFTED"
MERGED: Final = "MERGED"
SPLIT: Final = "SPLIT"

_EDGE_M: Final = 0.1  # a border that moved by less is where it was


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """What became of a set of grids."""

    grids: pd.DataFrame  # a row each grid after, by code
    totals: pd.DataFrame  # rows 'before' and 'after'
    lineage: pd.DataFrame  # layer ``grid_lineage``
    before: (
        gpd.GeoDataFrame
    )  # grids as they were: grid_code, grid_name, village_code, exclusive, households, balance
    after: gpd.GeoDataFrame  # as they are, the same columns
    homes: gpd.GeoDataFrame  # points: village_code, households, moved
    moved: int  # households that were in a grid and are in none of it nor in its successor
    unplaced_before: int  # households in no grid
    unplaced_after: int
    profile: Profile

    @property
    def dissolved(self) -> int:
        """Grids before that have no successor."""
        before = self.totals["grids"].to_numpy(dtype=np.int64)[0]
        return int(before - self.grids["predecessor"].ne("").sum())


def compare(
    before: gpd.GeoDataFrame, after: gpd.GeoDataFrame, homes: gpd.GeoDataFrame, *, profile: Profile
) -> Comparison:
    """What became of each grid, by where the homes lie.

    Parameters
    ----------
    before, after : GeoDataFrame of polygons
        Layer ``grids``: ``grid_code``; ``grid_kind`` and ``village_code`` if there
        are. Micro-grids are left out; rows of one code are one grid. A grid
        without code goes by its name, or its row.
    homes : GeoDataFrame of points
        Layer ``households``. A home in two grids counts in the first by code.
    profile : Profile
        The norm both sets are measured by; exclusive grids are not.

    Returns
    -------
    Comparison
        ``grids``, a row each grid after, by code: ``grid_code, grid_name,
        village_code, change, predecessor`` (of whom it is the successor; '' if of
        none), ``predecessors`` (``;`` between), ``households_before`` (of the
        predecessor), ``households, moved_in, balance_before, balance,
        border_changed``. ``totals``: ``grids, in_band, under, over, exclusive,
        households, mean_distance_m, radius_m`` (mean by household, and greatest).
        Changes: NEW has households of no grid before; KEPT has the same homes;
        MERGED took in most of a grid that has no successor; SPLIT gave most of
        what a grid without predecessor has, or is that grid; else SHIFTED.

    Raises
    ------
    MismatchError
        If the layers are not in one CRS.
    """
    if not before.crs == after.crs == homes.crs:
        raise MismatchError("调整前、调整后的网格与住户坐标系不同：请先转为同一坐标系")
    old, new = _grids(before), _grids(after)
    spots = homes.geometry.to_numpy()
    weight = homes["households"].fillna(0).to_numpy(dtype=np.int64)
    was, is_ = (holders(one.geometry.to_numpy(), spots)[0] for one in (old, new))
    village = homes["village_code"] if "village_code" in homes else pd.Series("", index=homes.index)
    flow = flows(was, is_, weight, (len(old), len(new)))
    same_code = _same_code(old, new)
    successor = matched(flow, same_code)
    predecessor = np.full(len(new), -1, dtype=np.int64)
    predecessor[successor[successor >= 0]] = np.flatnonzero(successor >= 0)
    same_homes = _same_homes(was, is_, successor, predecessor)
    change = changes(flow, successor, same_homes)
    old, new = (_sized(one, held, weight, profile) for one, held in ((old, was), (new, is_)))
    stay = np.append(successor, -1)[was] == is_
    both = (was >= 0) & (is_ >= 0)
    comparison = _rows(old, new, flow, predecessor, change)
    comparison["moved_in"] = np.bincount(is_[both & ~stay], weight[both & ~stay], len(new)).astype(np.int64)
    return Comparison(
        grids=comparison,
        totals=pd.DataFrame(
            [_totals(one, held, spots, weight) for one, held in ((old, was), (new, is_))],
            index=["before", "after"],
        ),
        lineage=_lineage(old, new, was, is_, weight, change, village),
        before=_placed(old, new),
        after=new,
        homes=gpd.GeoDataFrame(
            {
                "village_code": village.fillna("").to_numpy(dtype=object),
                "households": weight,
                "moved": both & ~stay,
            },
            geometry=spots,
            crs=homes.crs,
        ),
        moved=int(weight[both & ~stay].sum()),
        unplaced_before=int(weight[was < 0].sum()),
        unplaced_after=int(weight[is_ < 0].sum()),
        profile=profile,
    )


def flows(was: Ints, is_: Ints, weight: Ints, shape: tuple[int, int]) -> "scipy.sparse.coo_array":
    """Households that went from each grid to each, by position, sorted; homes in no grid (-1) left out."""
    both = (was >= 0) & (is_ >= 0) & (weight > 0)
    flow = scipy.sparse.coo_array((weight[both], (was[both], is_[both])), shape=shape, dtype=np.int64)
    flow.sum_duplicates()
    return flow


def matched(flow: "scipy.sparse.coo_array", favoured: Ints | None = None) -> Ints:
    """The successor of each grid: the pairing that keeps most households; -1 for one that has none.

    Parameters
    ----------
    flow : sparse matrix, old x new
        Households that went from one to the other; only such pairs can be matched.
    favoured : ndarray of int, one each old grid, optional
        The new grid that is preferred among pairings as good (the one of the same
        code), or -1. It is matched without any household if nothing else claims either.
    """
    row, column = flow.coords
    value = flow.data.astype(np.float64)
    rows, columns = flow.shape
    if favoured is not None and (favoured >= 0).any():
        liked = np.flatnonzero(favoured >= 0)
        row, column = np.append(row, liked), np.append(column, favoured[liked])
        # A household outweighs all likings together, and they outweigh nothing.
        value = np.append(value * (len(liked) + 1), np.ones(len(liked)))
    weight = scipy.sparse.coo_array((value, (row, column)), shape=(rows, columns)).tocsr()
    weight.sum_duplicates()
    ends = scipy.sparse.coo_array((np.ones(len(row)), (row, column + rows)), shape=(rows + columns,) * 2)
    _, part = connected_components(ends, directed=False)
    successor = np.full(rows, -1, dtype=np.int64)
    new_of: dict[int, list[int]] = {}
    for one, label in enumerate(part[rows:].tolist()):
        new_of.setdefault(label, []).append(one)
    old_of: dict[int, list[int]] = {}
    for one, label in enumerate(part[:rows].tolist()):
        old_of.setdefault(label, []).append(one)
    for label, olds in old_of.items():
        news = new_of.get(label, [])
        if not news:
            continue
        block = weight[olds][:, news].toarray()
        for a, b in zip(*scipy.optimize.linear_sum_assignment(block, maximize=True), strict=True):
            if block[a, b] > 0:
                successor[olds[a]] = news[b]
    return successor


def changes(
    flow: "scipy.sparse.coo_array", successor: Ints, same_homes: npt.NDArray[np.bool_] | None = None
) -> list[str]:
    """What kind of change made each new grid, as `compare` says it.

    Parameters
    ----------
    flow : sparse matrix, old x new
    successor : ndarray of int, one each old grid
        As `matched` gives it.
    same_homes : ndarray of bool, one each new grid, optional
        Whether it has just the homes of its predecessor; by households if None.
    """
    table = flow.tocsr()
    old, new = flow.shape
    predecessor = np.full(new, -1, dtype=np.int64)
    predecessor[successor[successor >= 0]] = np.flatnonzero(successor >= 0)
    columns = table.tocsc()
    gave = np.diff(table.indptr)
    got = np.diff(columns.indptr)
    if same_homes is None:
        same_homes = np.array(
            [at >= 0 and gave[at] <= 1 and got[one] <= 1 for one, at in enumerate(predecessor)], dtype=bool
        )
    takers = {_greatest(table, at) for at in range(old) if successor[at] < 0}
    givers = {_greatest(columns, one, by_column=True) for one in range(new) if predecessor[one] < 0}
    out = []
    for one, at in enumerate(predecessor.tolist()):
        if at < 0:
            out.append(SPLIT if got[one] else NEW)
        elif one in takers:
            out.append(MERGED)
        elif at in givers:
            out.append(SPLIT)
        else:
            out.append(KEPT if same_homes[one] else SHIFTED)
    return out


def _greatest(
    table: "scipy.sparse.csr_array | scipy.sparse.csc_array", at: int, *, by_column: bool = False
) -> int:
    """Where most of a row (a column of a table by columns) goes; -1 of an empty one; the first of equals."""
    start, stop = table.indptr[at], table.indptr[at + 1]
    if start == stop:
        return -2 if by_column else -1
    return int(table.indices[start:stop][np.argmax(table.data[start:stop])])


def _grids(grids: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """One row a grid, by code: ``grid_code, grid_name, village_code, exclusive, geometry``."""
    rows = pd.DataFrame(index=range(len(grids)))
    for name in ("grid_code", "grid_name", "grid_kind", "village_code"):
        rows[name] = grids[name].astype("str").fillna("").to_numpy() if name in grids else ""
    shapes = grids.geometry.to_numpy()
    named = rows["grid_name"].where(rows["grid_name"] != "", [f"第{at + 1}行" for at in range(len(rows))])
    rows["grid_code"] = rows["grid_code"].where(rows["grid_code"] != "", named)
    wanted = (rows["grid_kind"] != "MICRO") & ~rows["grid_code"].str.fullmatch("[0-9]{17}")
    wanted &= ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    table = gpd.GeoDataFrame(rows[wanted], geometry=shapes[wanted.to_numpy()], crs=grids.crs)
    table["exclusive"] = table.pop("grid_kind") == "EXCLUSIVE"
    return table.dissolve(by="grid_code", aggfunc="first", sort=True).reset_index()


def _placed(old: gpd.GeoDataFrame, new: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Old grids, those without a village in that of the new grid where they lie."""
    bare = old["village_code"].eq("").to_numpy()
    spots = np.asarray(shapely.point_on_surface(old.geometry.to_numpy()), dtype=object)
    at, _ = holders(new.geometry.to_numpy(), spots)
    codes = np.append(new["village_code"].to_numpy(dtype=object), "")[at]
    return old.assign(village_code=np.where(bare, codes, old["village_code"].to_numpy(dtype=object)))


def _same_code(old: gpd.GeoDataFrame, new: gpd.GeoDataFrame) -> Ints:
    place = {code: at for at, code in enumerate(new["grid_code"])}
    return np.array([place.get(code, -1) for code in old["grid_code"]], dtype=np.int64)


def _same_homes(was: Ints, is_: Ints, successor: Ints, predecessor: Ints) -> npt.NDArray[np.bool_]:
    same = predecessor >= 0
    stay = np.append(successor, -1)[was] == is_
    moved = (is_ >= 0) & ~stay
    same[is_[moved]] = False
    left = (was >= 0) & ~stay
    heirs = successor[was[left]]
    same[heirs[heirs >= 0]] = False
    return same


def _sized(grids: gpd.GeoDataFrame, held: Ints, weight: Ints, profile: Profile) -> gpd.GeoDataFrame:
    inside = held >= 0
    size = np.bincount(held[inside], weight[inside], len(grids)).astype(np.int64)
    balance = np.where(size < profile.lower, "UNDER", np.where(size > profile.upper, "OVER", "IN_BAND"))
    return grids.assign(households=size, balance=np.where(grids["exclusive"], "", balance))


def _rows(
    old: gpd.GeoDataFrame,
    new: gpd.GeoDataFrame,
    flow: "scipy.sparse.coo_array",
    predecessor: Ints,
    change: list[str],
) -> pd.DataFrame:
    codes = np.append(old["grid_code"].to_numpy(dtype=object), "")
    sources: list[list[str]] = [[] for _ in range(len(new))]
    for at, one in zip(*flow.coords, strict=True):
        sources[one].append(codes[at])
    paired = predecessor >= 0
    changed = np.ones(len(new), dtype=bool)
    changed[paired] = _border_changed(
        old.geometry.to_numpy()[predecessor[paired]], new.geometry.to_numpy()[paired]
    )
    return pd.DataFrame(
        {
            "grid_code": new["grid_code"],
            "grid_name": new["grid_name"],
            "village_code": new["village_code"],
            "change": change,
            "predecessor": codes[predecessor],
            "predecessors": [";".join(sorted(own)) for own in sources],
            "households_before": np.append(old["households"].to_numpy(), 0)[predecessor],
            "households": new["households"],
            "moved_in": 0,
            "balance_before": np.append(old["balance"].to_numpy(dtype=object), "")[predecessor],
            "balance": new["balance"],
            "border_changed": changed,
        }
    )


def _border_changed(old: npt.NDArray[np.object_], new: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    """Whether two shapes differ by more than the width of a line along their border."""
    apart = shapely.area(shapely.symmetric_difference(old, new))
    return np.asarray(apart > _EDGE_M * (shapely.length(old) + shapely.length(new)) / 2, dtype=bool)


def _totals(
    grids: gpd.GeoDataFrame, held: Ints, spots: npt.NDArray[np.object_], weight: Ints
) -> dict[str, int | float]:
    xy = np.column_stack([shapely.get_x(spots), shapely.get_y(spots)])
    centre = medians(xy, weight, held, len(grids))
    inside = held >= 0
    away: Floats = np.hypot(*(xy[inside] - xy[centre[held[inside]]]).T)
    counted = weight[inside]
    balance = grids["balance"]
    return {
        "grids": len(grids),
        "in_band": int((balance == "IN_BAND").sum()),
        "under": int((balance == "UNDER").sum()),
        "over": int((balance == "OVER").sum()),
        "exclusive": int((balance == "").sum()),
        "households": int(counted.sum()),
        "mean_distance_m": float(np.average(away, weights=counted)) if counted.sum() else float("nan"),
        "radius_m": float(away.max(initial=0.0)),
    }


def _lineage(  # noqa: PLR0913, PLR0917 - two sets of grids and what went between them
    old: gpd.GeoDataFrame,
    new: gpd.GeoDataFrame,
    was: Ints,
    is_: Ints,
    weight: Ints,
    change: list[str],
    village: pd.Series,
) -> pd.DataFrame:
    """Layer ``grid_lineage``: households by old and new grid, a code empty where there was none."""
    codes = [np.append(one["grid_code"].to_numpy(dtype=object), "") for one in (old, new)]
    rows = pd.DataFrame(
        {
            "old_code": codes[0][was],
            "new_code": codes[1][is_],
            "households": weight,
            "village_code": village.fillna("").to_numpy(dtype=object),
        }
    )
    rows = rows[(was >= 0) | (is_ >= 0)]
    table = (
        rows.groupby(["old_code", "new_code"], sort=True)
        .agg(households=("households", "sum"), village_code=("village_code", "min"))
        .reset_index()
    )
    table["change"] = table["new_code"].map(dict(zip(new["grid_code"], change, strict=True))).fillna("")
    table = table.sort_values(["new_code", "old_code"], ignore_index=True)
    table[["old_code", "new_code"]] = table[["old_code", "new_code"]].replace("", None)
    return schema.conform(table, "grid_lineage")[schema.column_names("grid_lineage")]
