"""What is wrong with a messy county's houses and hand-drawn grids, each flaw named in a table of its own."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

if TYPE_CHECKING:
    from geo.sample.county import County

OUTSIDE_M: Final = 260.0  # beyond the county's border
_A_DOSE: Final = 12  # villages
_OVERLAP_M: Final = 15.0
_GAP_M: Final = 22.0


def planted(made: "County") -> "County":
    """The county with flaws in houses and grids if it is messy, and ``house_flaws`` that lists them.

    Parameters
    ----------
    made : County
        Left as it is.
    """
    columns = ["kind", "layer", "code", "note"]
    if not made.settings.messy:
        return replace(made, house_flaws=pd.DataFrame(columns=columns, dtype="str"))
    rng = np.random.default_rng([made.settings.seed, 41])
    houses, rows = _houses(made, rng)
    grids, more = _grids(made, rng)
    table = pd.DataFrame(rows + more, columns=columns, dtype="str")
    return replace(made, houses=houses, drawn_grids=grids, house_flaws=table)


Rows = list[tuple[str, str, str, str]]


def _houses(made: "County", rng: np.random.Generator) -> tuple[gpd.GeoDataFrame, Rows]:
    houses = made.houses.copy()
    shapes = houses.geometry.to_numpy().copy()
    rows: Rows = []
    alone = np.flatnonzero(houses["building"].fillna("").eq("").to_numpy())
    pool = iter(rng.permutation(alone).tolist())
    county = shapely.union_all(made.villages.geometry.to_numpy())
    codes = list(made.villages["village_code"])
    twins = []
    for _ in range(max(1, len(codes) // _A_DOSE)):
        for kind, column, value, note in (
            ("count_missing", "households", None, "户数空白"),
            ("count_zero", "households", 0, "户数为 0"),
            ("count_negative", "households", -1, "户数为 -1"),
        ):
            at = next(pool)
            houses.loc[houses.index[at], column] = value
            rows.append((kind, "houses", str(houses["address"].iloc[at]), note))
        at = next(pool)
        shapes[at] = _moved(shapes[at], _beyond(county, shapes[at]))
        rows.append(("house_outside", "houses", str(houses["address"].iloc[at]), "落在全县村界之外"))
        at = next(pool)
        shapes[at] = None
        rows.append(("house_without_place", "houses", str(houses["address"].iloc[at]), "有属性，没有图形"))
        twin = next(pool)
        twins.append(twin)
        rows.append(("house_twice", "houses", str(houses["address"].iloc[twin]), "同一房屋登记了两行"))
        if len(codes) > 1:
            at = next(pool)
            here = str(houses["village_code"].iloc[at])
            other = codes[(codes.index(here) + 1) % len(codes)]
            houses.loc[houses.index[at], "village_code"] = other
            note = f"房屋在 {here} 村内，村代码却写成 {other}"
            rows.append(("house_wrong_village", "houses", str(houses["address"].iloc[at]), note))
    houses = houses.set_geometry(shapes, crs=houses.crs)
    houses = pd.concat([houses, houses.iloc[twins]], ignore_index=True)
    houses, more = _lumped(gpd.GeoDataFrame(houses, geometry="geometry", crs=made.houses.crs))
    return houses, rows + more


def _beyond(county: shapely.Geometry, shape: shapely.Geometry) -> np.ndarray[Any, np.dtype[np.float64]]:
    """A place outside the county, across the border that is nearest to a house."""
    spot = shapely.centroid(shape)
    ring = shapely.boundary(shapely.buffer(county, OUTSIDE_M, quad_segs=4))
    return np.asarray(shapely.get_coordinates(shapely.shortest_line(spot, ring))[1])


def _moved(shape: shapely.Geometry, to: np.ndarray[Any, np.dtype[np.float64]]) -> shapely.Geometry:
    at = shapely.get_coordinates(shapely.centroid(shape))[0]
    return shapely.transform(shape, lambda points: np.round(points + to - at, 2))


def _lumped(houses: gpd.GeoDataFrame) -> tuple[gpd.GeoDataFrame, Rows]:
    """The last tower of the county as one row, with the number of its stairs."""
    towers = houses["building"].fillna("").ne("")
    if not towers.any():
        return houses, []
    last = houses[towers].iloc[-1]
    mine = towers & houses["village_code"].eq(last["village_code"]) & houses["building"].eq(last["building"])
    first = int(np.flatnonzero(mine)[0])
    out = houses.copy()
    stairs, total = int(mine.sum()), int(houses.loc[mine, "households"].sum())
    address = str(last["address"]).removesuffix(str(last["stair"]))
    for name, value in (("stair", ""), ("stairs", stairs), ("households", total), ("address", address)):
        out.loc[out.index[first], name] = value
    kept = ~mine.to_numpy()
    kept[first] = True
    note = f"一栋 {stairs} 个单元只有总户数 {total}"
    return out[kept].reset_index(drop=True), [("tower_lumped", "houses", address, note)]


def _grids(made: "County", rng: np.random.Generator) -> tuple[gpd.GeoDataFrame, Rows]:
    grids = made.drawn_grids.copy()
    shapes = grids.geometry.to_numpy().copy()
    rows: Rows = []
    village = made.villages.set_index("village_code").geometry
    for code in list(made.villages["village_code"])[:: max(1, len(made.villages) // 3)]:
        mine = np.flatnonzero(grids["village_code"].eq(code).to_numpy())
        if len(mine) < 3:
            continue
        one, other = rng.permutation(mine)[:2]
        name = str(grids["grid_code"].iloc[one])
        wide = shapely.intersection(shapely.buffer(shapes[one], _OVERLAP_M, quad_segs=2), village[code])
        shapes[one] = wide
        rows.append(("grid_overlap", "grids", name, f"边界外扩 {_OVERLAP_M:g} 米，压盖相邻网格"))
        gap = shapely.buffer(shapely.point_on_surface(shapely.boundary(shapes[other])), _GAP_M, quad_segs=4)
        shapes[other] = max(
            shapely.get_parts(shapely.difference(shapes[other], gap)), key=lambda part: float(part.area)
        )
        rows.append(("grid_gap", "grids", str(grids["grid_code"].iloc[other]), "边上缺一块，不属任何网格"))
    last = grids.index[-1]
    before = str(grids["grid_code"].iloc[-2])
    rows.append(
        (
            "grid_code_twice",
            "grids",
            before,
            f"两个网格同一编码（其中一个原为 {grids['grid_code'].iloc[-1]}）",
        )
    )
    grids.loc[last, "grid_code"] = before
    return grids.set_geometry(shapes, crs=grids.crs), rows
