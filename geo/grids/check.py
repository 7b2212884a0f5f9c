"""What a set of grids is worth, whoever drew it: sizes, codes, land and homes.

Grids that were drawn by hand overlap, leave land out, cross the village's
border and forget homes; each such place is a finding. Pieces thinner than a
line is drawn are noise and told in one sum a village.
"""

from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from geo.area import ellipsoidal_area
from geo.errors import MismatchError, MissingDatumError
from geo.findings import findings, joined
from geo.grids.centre import medians, reach
from geo.grids.cover import CheckSettings, Geometries, holders
from geo.grids.faults import bare_villages, grid_faults, home_faults, land_faults
from geo.grids.kernel import Ints
from geo.grids.profiles import Profile
from geo.topology import repair

_TEXTS: Final = (
    "grid_code",
    "grid_name",
    "grid_kind",
    "parent_code",
    "village_code",
    "reason",
    "source_file",
)
_MICRO_LENGTH: Final = 17
_SUMMARY: Final = (
    "grid_code", "grid_kind", "parent_code", "grid_name", "village_code", "village_name", "profile",
    "households", "homes", "balance", "reason", "area_m2", "radius_m", "mean_distance_m", "centre_x",
    "centre_y", "parts", "overlap_m2", "outside_m2", "source_file", "source_row", "geometry",
)  # fmt: skip
_NONE: Final[Ints] = np.zeros(0, dtype=np.int64)


def check_grids(  # noqa: PLR0913 - what is checked, against what
    grids: gpd.GeoDataFrame,
    homes: gpd.GeoDataFrame,
    villages: gpd.GeoDataFrame,
    *,
    profile: Profile,
    micro: Profile | None = None,
    settings: CheckSettings | None = None,
) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """Measures of each grid, and all that is wrong with them.

    Parameters
    ----------
    grids : GeoDataFrame of polygons, n rows
        Of layer ``grids`` those columns there are; none is needed but the geometry.
        A row with a code of 17 digits, or of kind ``MICRO``, is a micro-grid and
        is checked within its grid; one of kind ``EXCLUSIVE`` has no band.
    homes : GeoDataFrame of points
        Layer ``households``: ``households``, and ``household_key`` if there is one.
    villages : GeoDataFrame of polygons
        ``village_code, village_name``; every row must be covered by grids.
    profile, micro : Profile
        The band of grids, and of micro-grids; without one these are not measured by size.
    settings : CheckSettings, optional

    Returns
    -------
    summary : GeoDataFrame, n rows less those without geometry
        Sorted by code; columns of layer ``grids`` up to ``balance``, ``area_m2,
        radius_m, mean_distance_m, centre_x, centre_y``, and ``parts``,
        ``overlap_m2``, ``outside_m2``; geometry repaired. A home in two grids
        counts in the first by code, one on a border too.
    findings : DataFrame
        Of rules ``grid_*``, ``geometry_repaired``, ``geometry_missing``.

    Raises
    ------
    MissingDatumError
        If a layer has no CRS.
    MismatchError
        If they are not all in one plane CRS.
    GeometryTypeError
        If a grid is a point or a line.
    """
    settings = settings or CheckSettings()
    _require_plane({"网格": grids, "住户": homes, "村界": villages})
    rows, notes = _prepared(grids)
    land = _villages(villages)
    rows = _placed(rows, land)
    spots = homes.geometry.to_numpy()
    weight = homes["households"].fillna(0).to_numpy(dtype=np.int64)

    ordinary = rows[~rows["is_micro"]].reset_index(drop=True)
    held, times = holders(ordinary.geometry.to_numpy(), spots)
    ordinary = _measured(ordinary, spots, weight, held, profile)
    ordinary, told = land_faults(ordinary, land, settings, is_micro=False)
    bare = ~land["village_code"].isin(ordinary["place_code"])  # told once, not home by home
    missed = (held < 0) & (holders(land.geometry.to_numpy()[bare], spots)[0] < 0)
    notes += [told, grid_faults(ordinary, land, is_micro=False), bare_villages(ordinary, land, spots, weight)]
    notes.append(home_faults(homes, ordinary, held, times, missed))

    inner = rows[rows["is_micro"]].reset_index(drop=True)
    if len(inner):
        parents = ordinary[ordinary["grid_code"].isin(inner["parent_code"])].drop_duplicates("grid_code")
        parents = parents.reset_index(drop=True)
        held, times = holders(inner.geometry.to_numpy(), spots)
        inner = _measured(inner, spots, weight, held, micro)
        inner, told = land_faults(inner, parents, settings, is_micro=True)
        missed = (held < 0) & (holders(parents.geometry.to_numpy(), spots)[0] >= 0)
        notes += [
            told,
            grid_faults(inner, land, is_micro=True),
            home_faults(homes, inner, held, times, missed),
        ]
    summary = pd.concat([ordinary, inner], ignore_index=True) if len(inner) else ordinary
    summary = gpd.GeoDataFrame(summary.assign(village_code=summary["place_code"]), crs=grids.crs)
    return summary[list(_SUMMARY)], joined(notes)


# --- preparing -------------------------------------------------------------------------------------------


def _require_plane(layers: dict[str, gpd.GeoDataFrame]) -> None:
    for name, layer in layers.items():
        if layer.crs is None:
            raise MissingDatumError(f"{name}图层没有坐标系：请在读入时指定")
        if layer.crs.is_geographic:
            raise MismatchError(f"{name}图层是经纬度，量不出宽度和距离：请先转为村界所用的平面坐标系")
    if any(layer.crs != layers["村界"].crs for layer in layers.values()):
        raise MismatchError(f"{'、'.join(layers)}的坐标系不同：请先转为同一坐标系")


def _prepared(grids: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, list[pd.DataFrame]]:
    """Rows in the order of their codes, with sound geometry and all texts there."""
    rows = gpd.GeoDataFrame(
        grids.drop(columns=grids.active_geometry_name or "geometry").reset_index(drop=True)
    )
    rows = rows.assign(given_row=np.arange(1, len(rows) + 1))
    for name in _TEXTS:
        rows[name] = rows[name].astype("str").fillna("").str.strip() if name in rows else ""
    if "source_row" not in rows:
        rows["source_row"] = rows["given_row"]
    mended = repair(grids.geometry.to_numpy())
    rows = gpd.GeoDataFrame(rows, geometry=mended.fixed, crs=grids.crs)
    rows["is_micro"] = (rows["grid_kind"] == "MICRO") | rows["grid_code"].str.fullmatch(
        rf"[0-9]{{{_MICRO_LENGTH}}}"
    )
    rows["grid_kind"] = rows["grid_kind"].where(
        rows["grid_kind"] != "", np.where(rows["is_micro"], "MICRO", "ORDINARY")
    )
    rows["parent_code"] = rows["parent_code"].where(
        (rows["parent_code"] != "") | ~rows["is_micro"], rows["grid_code"].str[:-2]
    )
    rows["label"] = [
        f"{name}（{code}）" if name and code else name or code or f"第 {number} 行"
        for name, code, number in zip(rows["grid_name"], rows["grid_code"], rows["source_row"], strict=True)
    ]
    empty = rows.geometry.isna() | rows.geometry.is_empty
    broken = (mended.reason != "") & ~empty
    lost, mends = rows[empty].drop(columns="geometry"), rows[broken]
    said = [
        f"网格 {label} 的图形有误（{why}），已修复"
        for label, why in zip(mends["label"], mended.reason[broken], strict=True)
    ]
    missing = [f"网格 {label} 没有图形" for label in lost["label"]]
    notes = [
        findings("geometry_missing", missing, layer="grids", rows=lost, row_code=lost["grid_code"]),
        findings("geometry_repaired", said, layer="grids", rows=mends, row_code=mends["grid_code"]),
    ]
    rows = rows[~empty]
    shape = shapely.to_wkb(shapely.normalize(rows.geometry.to_numpy()))
    rows = rows.assign(shape_key=shape).sort_values(["grid_code", "grid_name", "shape_key"], kind="stable")
    return rows.drop(columns=["shape_key"]).reset_index(drop=True), notes


def _villages(villages: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """One row a village code, in the order of codes."""
    shapes = villages.geometry.to_numpy()
    there = ~(shapely.is_missing(shapes) | shapely.is_empty(shapes))
    rows = villages[there]
    land = gpd.GeoDataFrame(
        {
            "village_code": rows["village_code"].fillna("").astype("str"),
            "village_name": rows["village_name"].fillna("").astype("str"),
        },
        geometry=repair(shapes[there]).fixed,
        crs=villages.crs,
    )
    return land.dissolve(by="village_code", aggfunc="first", sort=True).reset_index()


def _placed(rows: gpd.GeoDataFrame, land: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Rows with the village each lies in for the most part (``place_code``; empty if in none)."""
    shapes, areas = rows.geometry.to_numpy(), land.geometry.to_numpy()
    row, village = (
        shapely.STRtree(areas).query(shapes, predicate="intersects") if len(land) else (_NONE, _NONE)
    )
    common = shapely.area(shapely.intersection(shapes[row], areas[village]))
    # Of two villages with the same share the one with the lesser code.
    best = (
        pd.DataFrame({"row": row, "village": village, "area": common})
        .sort_values(["row", "area", "village"], ascending=[True, False, True])
        .drop_duplicates("row")
    )
    best = best[best["area"] > 0]
    place = np.full(len(rows), -1, dtype=np.int64)
    place[best["row"]] = best["village"]
    codes = np.append(land["village_code"].to_numpy(dtype=object), "")
    names = np.append(land["village_name"].to_numpy(dtype=object), "")
    return rows.assign(place=place, place_code=codes[place], village_name=names[place])


def _measured(
    level: gpd.GeoDataFrame, spots: Geometries, weight: Ints, held: Ints, profile: Profile | None
) -> gpd.GeoDataFrame:
    """Rows with their households, centre and balance."""
    count = len(level)
    inside = held >= 0
    size = np.bincount(held[inside], weights=weight[inside], minlength=count).astype(np.int64)
    measures = np.full((count, 4), np.nan)
    xy = np.column_stack([shapely.get_x(spots), shapely.get_y(spots)])
    for grid, centre in enumerate(medians(xy, weight, held, count)):
        if centre >= 0:
            own = np.flatnonzero(held == grid)
            measures[grid] = *xy[centre], *reach(xy[own], weight[own], xy[centre])
    banded = level["grid_kind"].ne("EXCLUSIVE").to_numpy() & (profile is not None)
    lower, upper = (profile.lower, profile.upper) if profile else (0, 0)
    balance = np.where(size < lower, "UNDER", np.where(size > upper, "OVER", "IN_BAND"))
    return level.assign(
        profile=np.where(banded, str(profile), ""),
        lower=lower,
        upper=upper,
        households=size,
        homes=np.bincount(held[inside], minlength=count),
        balance=np.where(banded, balance, ""),
        area_m2=ellipsoidal_area(level),
        parts=shapely.get_num_geometries(level.geometry.to_numpy()),
        **dict(zip(("centre_x", "centre_y", "radius_m", "mean_distance_m"), measures.T, strict=True)),
    )
