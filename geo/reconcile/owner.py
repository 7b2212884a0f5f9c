"""Which villagers' group a piece belongs to.

The survey knows the village, seldom the group. A group's own boundary decides
where there is one; else the owner-unit code of the patch if it reaches down to
the group; else the issuers of the contract parcels around the piece, by how
much of them is near; else the village itself (group ``00``).
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from geopandas import GeoDataFrame

from geo.codes import is_digits
from geo.reconcile.common_area import common_area


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerSettings:
    """How far a neighbour counts."""

    near_m: float = 15.0  # parcels within this distance have a say
    far_m: float = 300.0  # if there is none, the nearest one within this distance


def owner_groups(
    pieces: GeoDataFrame,
    parcels: GeoDataFrame,
    *,
    groups: GeoDataFrame | None = None,
    settings: OwnerSettings | None = None,
) -> pd.DataFrame:
    """Group of each piece, how it was found and how sure it is.

    Parameters
    ----------
    pieces : GeoDataFrame, n rows
        Polygons in a projected CRS, columns ``village_code`` (12 digits),
        ``owner_unit_code`` (19 digits) and ``piece_shape``.
    parcels : GeoDataFrame
        Contract parcels around them in the same CRS, columns ``issuer_code``
        (14 digits) and ``village_code`` (the survey village of the issuer).
    groups : GeoDataFrame, optional
        Group boundaries (ZJQY), columns ``group_code`` and ``village_code``; a code
        that is not 14 digits is passed over.
    settings : OwnerSettings, optional
        Distances.

    Returns
    -------
    DataFrame, n rows, on the index of ``pieces``
        ``group_code`` (14 digits), ``group_source`` (GROUP_BOUNDARY, OWNER_UNIT,
        NEIGHBOURS, TOUCHING, NEAREST, VILLAGE) and ``group_confidence`` (0..1: share of the
        say the chosen group had; 0 for VILLAGE).
    """
    settings = settings or OwnerSettings()
    polygons = np.asarray(pieces.geometry.array)
    village = pieces["village_code"].to_numpy(dtype=object)
    count = len(pieces)
    code = np.array([f"{v}00" for v in village], dtype=object)
    source = np.full(count, "VILLAGE", dtype=object)
    confidence = np.zeros(count)
    open_ = np.ones(count, dtype=bool)

    def settle(
        rows: npt.NDArray[np.int64], names: npt.NDArray[np.object_], sure: npt.NDArray[np.float64], how: str
    ) -> None:
        code[rows], confidence[rows], source[rows] = names, sure, how
        open_[rows] = False

    if groups is not None and len(groups):
        row, names, say = _by_boundary(polygons, village, groups[is_digits(groups["group_code"], 14)])
        settle(row, names, say, "GROUP_BOUNDARY")

    unit = pieces["owner_unit_code"].fillna("").to_numpy(dtype=object)
    # 12 + group 4 + branch 3; only a group number of two digits fits the 14-digit issuer code.
    at, units = pd.factorize(unit)
    reaches = [re.fullmatch(r"[0-9]{12}00(?!00)[0-9]{2}[0-9]{3}", u) is not None for u in units]
    named = open_ & np.array(reaches, dtype=bool)[at]
    rows = np.flatnonzero(named)
    names = np.array([f"{v}{u[14:16]}" for v, u in zip(village[rows], unit[rows], strict=True)], dtype=object)
    settle(rows, names, np.ones(len(rows)), "OWNER_UNIT")

    around = parcels[parcels["issuer_code"].str.len().eq(14) & ~parcels.geometry.isna()]
    around = around[around["issuer_code"].str[12:] != "00"].reset_index(drop=True)
    if len(around):
        block = pieces["piece_shape"].eq("BLOCK").to_numpy(dtype=bool)
        rows = np.flatnonzero(open_ & block)
        won, names, say = _by_neighbours(polygons[rows], village[rows], around, settings.near_m)
        settle(rows[won], names, say, "NEIGHBOURS")
        # A strip or sliver runs along the parcels it was left by: those it touches decide.
        rows = np.flatnonzero(open_ & ~block)
        won, names, say = _by_neighbours(polygons[rows], village[rows], around, 0.0)
        settle(rows[won], names, say, "TOUCHING")
        rows = np.flatnonzero(open_)
        won, names, say = _by_nearest(polygons[rows], village[rows], around, settings.far_m)
        settle(rows[won], names, say, "NEAREST")
    return pd.DataFrame(
        {"group_code": code, "group_source": source, "group_confidence": confidence.round(3)},
        index=pieces.index,
    )


def _by_boundary(
    polygons: npt.NDArray[np.object_], village: npt.NDArray[np.object_], groups: GeoDataFrame
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_], npt.NDArray[np.float64]]:
    bounds = np.asarray(groups.geometry.array)
    row, other = shapely.STRtree(bounds).query(polygons, predicate="intersects")
    # An enclave lies in another village's groups, but is its owner's.
    own = groups["village_code"].to_numpy(dtype=object)[other] == village[row]
    row, other = row[own], other[own]
    # Copies, as villages run in threads: the index inside a prepared geometry is made by whoever asks first.
    asking, at = np.unique(other, return_inverse=True)
    prepared = shapely.set_srid(bounds[asking], 0)
    shapely.prepare(prepared)
    common = shapely.area(polygons[row])
    crossing = ~shapely.covers(prepared[at], polygons[row])
    common[crossing] = common_area(polygons, row[crossing], bounds, other[crossing])
    return _most_say(row, groups["group_code"].to_numpy(dtype=object)[other], common)


def _by_neighbours(
    polygons: npt.NDArray[np.object_], village: npt.NDArray[np.object_], parcels: GeoDataFrame, near_m: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_], npt.NDArray[np.float64]]:
    others = np.asarray(parcels.geometry.array)
    tree = shapely.STRtree(others)
    if near_m:
        frames = shapely.bounds(polygons) + np.array([-near_m, -near_m, near_m, near_m])
        row, other = tree.query(np.asarray(shapely.box(*frames.T), dtype=object))
    else:
        row, other = tree.query(polygons, predicate="intersects")
    own = parcels["village_code"].to_numpy(dtype=object)[other] == village[row]
    row, other = row[own], other[own]
    say = np.sqrt(shapely.area(others[other]))
    if (
        near_m
    ):  # the distance is needed anyhow: to measure it for all in the frame costs less than to ask twice
        distance = np.asarray(shapely.distance(polygons[row], others[other]))
        near = distance <= near_m
        # A parcel's say grows with its size and fades with its distance.
        row, other, say = row[near], other[near], say[near] / (1.0 + distance[near])
    return _most_say(row, parcels["issuer_code"].to_numpy(dtype=object)[other], say)


def _by_nearest(
    polygons: npt.NDArray[np.object_], village: npt.NDArray[np.object_], parcels: GeoDataFrame, far_m: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_], npt.NDArray[np.float64]]:
    found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.object_], npt.NDArray[np.float64]]] = []
    home = parcels["village_code"].to_numpy(dtype=object)
    for name in pd.unique(village):
        here = np.flatnonzero(home == name)
        asking = np.flatnonzero(village == name)
        if not len(here) or not len(asking):
            continue
        others = np.asarray(parcels.geometry.array)[here]
        (row, other), distance = shapely.STRtree(others).query_nearest(
            polygons[asking], max_distance=far_m, return_distance=True, all_matches=True
        )
        names = parcels["issuer_code"].to_numpy(dtype=object)[here][other]
        won, names, _ = _most_say(asking[row], names, np.ones(len(row)))
        reach = pd.Series(distance).groupby(asking[row]).min()
        found.append((won, names, 0.5 * (1.0 - reach.reindex(won).to_numpy() / far_m)))
    if not found:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=object), np.empty(0)
    return (
        np.concatenate([part[0] for part in found]),
        np.concatenate([part[1] for part in found]),
        np.concatenate([part[2] for part in found]),
    )


def _most_say(
    row: npt.NDArray[np.int64], name: npt.NDArray[np.object_], say: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.object_], npt.NDArray[np.float64]]:
    """The name with most say in each row, and its share; ties go to the lesser name."""
    if not len(row):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=object), np.empty(0)
    # Rows and names as one whole number, in their order: grouping by text costs many times more.
    nth, names = pd.factorize(name, sort=True)
    summed = pd.Series(say).groupby(row * len(names) + nth).sum()
    pair, said = summed.index.to_numpy(), summed.to_numpy()
    of, nth = pair // len(names), pair % len(names)
    share = said / summed.groupby(of).transform("sum").to_numpy()
    # Sums of floats depend on their order; a share is compared at 1e-9 so that ties stay ties.
    order = np.lexsort((nth, -share.round(9), of))
    best = order[np.concatenate([[True], np.diff(of[order]) > 0])]
    return of[best], names[nth[best]], share[best]
