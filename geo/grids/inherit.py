"""Which existing grid each unit of land lies in, though grids overlap, leave gaps and were drawn by hand.

Homes decide before land: a unit belongs to the grid that holds most of its
households. Land in no grid goes to the grid beside it with the longest border,
and both are told.
"""

from collections.abc import Sequence
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.errors import GeometryTypeError, InputError, MismatchError
from geo.findings import findings, joined
from geo.grids.kernel import Floats, Ints
from geo.grids.units import Land
from geo.topology import is_polygonal, repair

_SHARE: Final = 0.005  # of a unit: less land in a grid is a line drawn twice
_HALF: Final = 0.5
_LARGE_M2: Final = 1.0  # smaller pieces of doubtful land without homes are not told


def old_of_units(
    land: Land, grids: gpd.GeoDataFrame, *, homes: gpd.GeoDataFrame | None = None
) -> tuple[Ints, list[pd.DataFrame]]:
    """The existing grid of each unit.

    Parameters
    ----------
    land : Land, n units
        Best cut by the borders of ``grids``: a unit that straddles one goes
        wholly to one side.
    grids : GeoDataFrame of polygons, in the CRS of the land
        Rows of one ``grid_code`` are one grid; micro-grids (``grid_kind``) are left out.
    homes : GeoDataFrame of points, optional
        Those the land was made of, in their order. Without them a unit's
        households count as one, at their mean place.

    Returns
    -------
    ndarray of int64, n
        Position of the row, of several of one grid the first. No unit is left out.
    list of DataFrame
        Findings: land in two grids (``grid_old_overlap``), land in none
        (``grid_old_gap``), grids that have no land here (``grid_old_elsewhere``).

    Raises
    ------
    InputError
        If there are no grids, or none lies on this land.
    GeometryTypeError
        If one is no polygon.
    MismatchError
        If they are in another CRS.
    """
    rows, shapes = _usable(land, grids)
    units = land.units.geometry.to_numpy()
    share = _shares(units, shapes, len(grids), rows)
    lead = _first_of_code(grids)
    merged = np.zeros_like(share)
    np.add.at(merged.T, lead, share.T)
    held = _held(land, shapes, rows, lead, homes, len(grids))
    if not (merged > _SHARE).any():
        raise InputError("现有网格没有一个落在本村土地上：请核对坐标系和村代码")
    inside = (merged > _SHARE) | (held > 0)
    # most households, then most land, then the first row
    worth = np.where(inside, held * 4.0 + np.minimum(np.round(merged, 6), 1.0), -1.0)
    old = np.where(inside.any(axis=1), worth.argmax(axis=1), -1).astype(np.int64)
    covered = np.minimum(merged.sum(axis=1), 1.0)
    bare = (held.sum(axis=1) == 0) & (covered < _HALF)
    old[bare & (merged.max(axis=1, initial=0.0) < _HALF)] = -1
    gap = old < 0
    twice = _doubled(units, shapes, rows, lead)
    filled = _filled(land, old)
    names = _names(grids)
    return filled, _told(land, grids, names, filled, gap=gap, twice=twice, merged=merged)


def _usable(land: Land, grids: gpd.GeoDataFrame) -> tuple[Ints, npt.NDArray[np.object_]]:
    """Rows that are ordinary or exclusive grids, and their polygons mended."""
    if grids.crs is not None and land.units.crs is not None and grids.crs != land.units.crs:
        raise MismatchError("现有网格与村界坐标系不同：请先转为同一坐标系")
    kinds = grids["grid_kind"].fillna("").to_numpy() if "grid_kind" in grids else np.full(len(grids), "")
    whole = ~(grids.geometry.isna() | grids.geometry.is_empty).to_numpy()
    rows = np.flatnonzero((kinds != "MICRO") & whole)
    if not len(rows):
        raise InputError("没有现有网格的图形，无从调整：请给出网格图层，或用 taotu grids partition 划分")
    shapes = grids.geometry.to_numpy()[rows]
    stray = np.flatnonzero(~is_polygonal(shapes))
    if len(stray):
        raise GeometryTypeError(f"现有网格第 {rows[stray[0]] + 1} 行不是面，请给出网格的面图层")
    return rows, repair(shapes).fixed


def _first_of_code(grids: gpd.GeoDataFrame) -> Ints:
    """For each row the first of its code; a row without code is alone."""
    if "grid_code" not in grids:
        return np.arange(len(grids))
    codes = grids["grid_code"].astype("str").fillna("").to_numpy(dtype=object)
    first: dict[str, int] = {}
    return np.array(
        [first.setdefault(code, at) if code else at for at, code in enumerate(codes)], dtype=np.int64
    )


def _shares(
    units: npt.NDArray[np.object_], shapes: npt.NDArray[np.object_], count: int, rows: Ints
) -> Floats:
    """Share of each unit that lies in each grid."""
    unit, grid = shapely.STRtree(shapes).query(units, predicate="intersects")
    share = np.zeros((len(units), count))
    common = shapely.area(shapely.intersection(units[unit], shapes[grid]))
    share[unit, rows[grid]] = common / np.maximum(shapely.area(units[unit]), 1e-9)
    return share


def _held(  # noqa: PLR0913, PLR0917, places and what they may lie in
    land: Land,
    shapes: npt.NDArray[np.object_],
    rows: Ints,
    lead: Ints,
    homes: gpd.GeoDataFrame | None,
    count: int,
) -> Floats:
    """Households of each unit in each grid; one that lies in two counts in both."""
    if homes is None:
        spots, unit = shapely.points(land.centres), np.arange(len(land.units))
        weight = (land.units["homes"].to_numpy(dtype=np.int64) > 0).astype(np.float64)
        inside = shapely.contains(land.units.geometry.to_numpy(), spots)
        weight = np.where(inside, weight, 0.0)  # a mean may lie beside the unit
    else:
        spots, unit = homes.geometry.to_numpy(), land.home_unit
        weight = homes["households"].fillna(0).to_numpy(dtype=np.float64) + 1e-3
    spot, grid = shapely.STRtree(shapes).query(spots, predicate="intersects")
    pairs = np.unique(np.column_stack([spot, lead[rows[grid]]]), axis=0)
    held = np.zeros((len(land.units), count))
    np.add.at(held, (unit[pairs[:, 0]], pairs[:, 1]), weight[pairs[:, 0]])
    return held


def _doubled(
    units: npt.NDArray[np.object_], shapes: npt.NDArray[np.object_], rows: Ints, lead: Ints
) -> npt.NDArray[np.bool_]:
    """Units of which a good part lies in two grids."""
    a, b = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    apart = lead[rows[a]] < lead[rows[b]]
    both = shapely.intersection(shapes[a[apart]], shapes[b[apart]])
    both = both[shapely.area(both) > _LARGE_M2]
    twice = np.zeros(len(units), dtype=bool)
    if len(both):
        unit, piece = shapely.STRtree(both).query(units, predicate="intersects")
        area = shapely.area(shapely.intersection(units[unit], both[piece]))
        twice[unit[(area > _LARGE_M2) & (area > _SHARE * shapely.area(units[unit]))]] = True
    return twice


def _filled(land: Land, old: Ints) -> Ints:
    """Units in no grid given to the one beside them with the longest border, until none is left."""
    old = old.copy()
    a, b = (land.borders[name].to_numpy(dtype=np.int64) for name in ("a", "b"))
    ends, others = np.concatenate([a, b]), np.concatenate([b, a])
    length = np.tile(land.borders["length_m"].to_numpy(dtype=np.float64), 2)
    while True:
        open_ = (old[ends] < 0) & (old[others] >= 0)
        if not open_.any():
            break
        table = (
            pd.DataFrame({"unit": ends[open_], "grid": old[others[open_]], "length_m": length[open_]})
            .groupby(["unit", "grid"], as_index=False)["length_m"]
            .sum()
            .assign(length_m=lambda rows: rows["length_m"].round(6))
            .sort_values(["unit", "length_m", "grid"], ascending=[True, False, True])
            .drop_duplicates("unit")
        )
        old[table["unit"].to_numpy()] = table["grid"].to_numpy()
    left = np.flatnonzero(old < 0)
    if len(left):  # detached land: the nearest
        known = np.flatnonzero(old >= 0)
        away = np.hypot(*(land.centres[left][:, None] - land.centres[known][None]).transpose(2, 0, 1))
        old[left] = old[known[np.round(away, 6).argmin(axis=1)]]
    return old


def _names(grids: gpd.GeoDataFrame) -> list[str]:
    columns = [name for name in ("grid_name", "grid_code") if name in grids]
    return [
        next(
            (str(grids[name].iloc[at]) for name in columns if pd.notna(grids[name].iloc[at])),
            f"第 {at + 1} 行",
        )
        for at in range(len(grids))
    ]


def _told(  # noqa: PLR0913, what is told of an inheritance
    land: Land,
    grids: gpd.GeoDataFrame,
    names: Sequence[str],
    old: Ints,
    *,
    gap: npt.NDArray[np.bool_],
    twice: npt.NDArray[np.bool_],
    merged: Floats,
) -> list[pd.DataFrame]:
    """What was decided of land that is in no grid, or in two."""
    units, size = land.units, land.units["households"].to_numpy(dtype=np.int64)
    area = shapely.area(units.geometry.to_numpy())
    parts = []
    for rule, chosen, what in (
        ("grid_old_gap", gap & ((area > _LARGE_M2) | (size > 0)), "不在任何现有网格内"),
        ("grid_old_overlap", twice, "在两个以上的现有网格内"),
    ):
        at = np.flatnonzero(chosen)
        messages = [f"{area[k]:.0f} m²、{size[k]} 户的土地{what}，算作{names[old[k]]}" for k in at]
        rows = units.iloc[at]
        parts.append(findings(rule, messages, layer="grids", rows=rows, row_code=[names[old[k]] for k in at]))
    lead = _first_of_code(grids)
    none = np.flatnonzero((merged.max(axis=0, initial=0.0) <= _SHARE) & (lead == np.arange(len(grids))))
    kinds = grids["grid_kind"].fillna("").to_numpy() if "grid_kind" in grids else np.full(len(grids), "")
    none = none[kinds[none] != "MICRO"]
    messages = [f"{names[k]}在本村没有土地，不参加调整" for k in none]
    codes = [names[k] for k in none]
    parts.append(
        findings("grid_old_elsewhere", messages, layer="grids", rows=grids.iloc[none], row_code=codes)
    )
    return [joined(parts)]
