"""Homes of a county: every house, stair or household of a file at a place in its village.

Nothing is lost: a row that lies in no village, has no place or an impossible
count of households stays a row, and what was made of it is a finding.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from geopandas import GeoDataFrame
from pyproj import CRS

from geo import crs as systems
from geo import schema
from geo.codes import is_digits
from geo.errors import InputError, MismatchError, MissingColumnError, MissingDatumError
from geo.grids import doubts
from geo.grids.belonging import group_at, told_groups, told_villages, village_at
from geo.grids.spread import spread
from geo.grids.stairs import Geometries, inside_points, stair_points
from geo.topology import is_polygonal, repair

FOOTPRINT: Final = "FOOTPRINT"
POINT: Final = "POINT"
STAIR: Final = "STAIR"
GROUP: Final = "GROUP"

RESIDENTIAL: Final = ("0701", "0702")  # urban and rural housing land of the survey
NOWHERE: Final = "0" * 12  # in the key of a home in no village

_FAR_M: Final = 1000.0  # all homes this far from all villages: another county, or another system
_FILE: Final = "household_file"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Households:
    """Homes of a county, and what is doubtful about them."""

    points: GeoDataFrame  # layer ``households``, sorted by village and key
    findings: pd.DataFrame  # rows of `geo.findings.findings`


def households(
    source: GeoDataFrame,
    villages: GeoDataFrame,
    *,
    groups: GeoDataFrame | None = None,
    residential: GeoDataFrame | None = None,
) -> Households:
    """Homes with a place, a village, a group and a key.

    Parameters
    ----------
    source : GeoDataFrame, n rows
        Columns of layer ``household_file`` as far as there are, geometry a point, a polygon or None.
        Without ``households`` a row is one household.
    villages : GeoDataFrame
        ``village_code``, ``village_name``, polygons; a village may have several rows.
    groups : GeoDataFrame, optional
        ``group_code``, ``group_name``, polygons.
    residential : GeoDataFrame, optional
        Where homes without a place may be; of a survey (``land_class``) the housing land counts.

    Returns
    -------
    Households
        Layer ``households`` in the system of ``villages``: n rows, and one more for each further
        stair of a building whose number of stairs is given. The sum of ``households`` is that of
        the source where its values are whole numbers from 0 up; others count as 1. ``located_by``
        is FOOTPRINT, POINT, STAIR, or GROUP for a home spread over its group's housing land.
        ``household_key`` is the row's own where no other row has it; else it is made of village,
        place in decimetres and what the row says of building, stair and address, so that neither
        other rows nor their order matter. A home in no village has an empty ``village_code``; one
        that has no place and names no village has no geometry either.

    Raises
    ------
    MissingColumnError
        If villages lack ``village_code``, or groups ``group_code``.
    MissingDatumError
        If a layer with geometry has no coordinate system.
    InputError
        If there is no home or no village.
    MismatchError
        If all homes with a place lie far from all villages.
    """
    if villages.empty:
        raise InputError("没有村界，不能确定住户属于哪个村；请提供村级调查区图层")
    if source.empty:
        raise InputError("没有住户；请检查住户图层")
    metric = _metric(villages)
    land = _polygons(villages, "village_code", metric, "村界")
    parts = None if groups is None else _polygons(groups, "group_code", metric, "组界")
    homes = _by_stairs(_counted(_rows(source, metric)))
    homes = _placed(homes)
    homes["told_village"] = told_villages(homes, land)
    homes = _in_villages(homes, land)
    homes["told_group"] = told_groups(homes, homes["home_village"], parts)
    homes["home_group"] = _groups_of(homes, parts)
    homes = _keyed(homes)
    homes = _spread(homes, land, parts, _housing(residential, metric))
    names = dict(zip(land["village_code"], land["village_name"], strict=True))
    points = gpd.GeoDataFrame(
        homes.drop(columns=["shape", "point"]), geometry=homes["point"].to_numpy(), crs=metric
    ).to_crs(villages.geometry.crs or metric)
    points = points.sort_values(["home_village", "key"], kind="stable").reset_index(drop=True)
    told = doubts.doubts(points, names)
    return Households(points=_layer(points), findings=told)


def _metric(villages: GeoDataFrame) -> CRS:
    """A system in metres: that of the villages, or the plane zone over villages in degrees."""
    if villages.crs is None:
        raise MissingDatumError("村界没有坐标系；请放置 .prj 文件或指定坐标系")
    crs = CRS.from_user_input(villages.crs)
    if not crs.is_geographic:
        return crs
    west, _, east, _ = villages.total_bounds
    return systems.cgcs2000_zone((west + east) / 2)


def _polygons(layer: GeoDataFrame, code: str, metric: CRS, title: str) -> GeoDataFrame:
    """Rows of a layer of borders that have a code and an area, with name, in metres, sound."""
    name = code.replace("_code", "_name")
    if code not in layer:
        raise MissingColumnError(f"{title}图层没有 {code} 列")
    if layer.crs is None:
        raise MissingDatumError(f"{title}没有坐标系；请放置 .prj 文件或指定坐标系")
    shapes = layer.geometry.to_crs(metric).to_numpy().copy()
    shapes[~is_polygonal(shapes)] = None
    shapes = repair(shapes).fixed
    names = layer[name] if name in layer else pd.Series("", index=layer.index)
    table = pd.DataFrame({code: layer[code], name: names}).astype("str").fillna("")
    out = gpd.GeoDataFrame(table.reset_index(drop=True), geometry=shapes, crs=metric)
    out = out[is_polygonal(shapes) & ~shapely.is_empty(shapes) & out[code].ne("").to_numpy()]
    return out.sort_values(code, kind="stable").reset_index(drop=True)


def _rows(source: GeoDataFrame, metric: CRS) -> pd.DataFrame:
    """Rows of the source with all columns, texts never missing; ``shape`` is a sound geometry in metres."""
    shapes = np.full(len(source), None, dtype=object)
    if source.active_geometry_name is not None and source.geometry.notna().any():
        if source.crs is None:
            raise MissingDatumError("住户图层没有坐标系；请放置 .prj 文件或指定坐标系")
        shapes = shapely.force_2d(source.geometry.to_crs(metric).to_numpy())
    area = is_polygonal(shapes)
    shapes[area] = repair(shapes[area]).fixed
    finite = np.isfinite(shapely.bounds(shapes)).all(axis=1)
    shapes[~finite] = None
    table = pd.DataFrame(source.drop(columns=source.active_geometry_name or []))
    if "households" in table:  # before a cast to whole numbers could fail
        table["households"] = _whole(table["households"])
    out = schema.conform(table.reset_index(drop=True), _FILE)
    out = out[schema.column_names(_FILE)]
    if "households" not in source:
        out["households"] = pd.array([1] * len(out), dtype="Int64")
    for column in schema.columns(_FILE):
        if column.dtype == "str":
            out[column.name] = out[column.name].fillna("").str.strip()
    return out.assign(shape=shapes)


def _whole(values: pd.Series) -> pd.Series:
    number = pd.to_numeric(values, errors="coerce").astype("Float64")
    return number.where((number % 1 == 0) & (number.abs() < 1e9)).astype("Int64")  # noqa: PLR2004 - no county has more


def _counted(homes: pd.DataFrame) -> pd.DataFrame:
    """Counts that can be; what stood there in ``given``."""
    given = homes["households"]
    good = given.notna() & (given >= 0).fillna(value=False)
    return homes.assign(given=given, households=given.where(good, 1).astype("int64"))


def _by_stairs(homes: pd.DataFrame) -> pd.DataFrame:
    """A row a stair, where a footprint comes with their number but is one row."""
    area = is_polygonal(homes["shape"].to_numpy())
    stairs = homes["stairs"].fillna(1).clip(lower=1).astype("int64")
    count = np.where(area & homes["stair"].eq(""), np.minimum(stairs, homes["households"].clip(lower=1)), 1)
    out = homes.loc[homes.index.repeat(count)].reset_index(drop=True)
    number = np.concatenate([np.arange(n) for n in count])
    of = np.repeat(count, count)
    shared = of > 1
    whole = out["households"].to_numpy()
    out["households"] = np.where(shared, whole // of + (number < whole % of), whole)
    out["stair"] = out["stair"].mask(shared, pd.Series(number + 1).astype("str"))
    return out.assign(shared=shared, shape_number=np.repeat(np.arange(len(homes)), count))


def _placed(homes: pd.DataFrame) -> pd.DataFrame:
    """A point for every row that has a place, and how it is known."""
    shapes = homes["shape"].to_numpy()
    area = is_polygonal(shapes)
    known = ~shapely.is_missing(shapes)
    points = np.full(len(homes), None, dtype=object)
    points[known] = inside_points(shapes[known])
    of_stairs = stair_points(shapes, homes["stair"])
    is_stair = ~shapely.is_missing(of_stairs)
    points = np.where(is_stair, of_stairs, points)
    how = np.select([is_stair, area, known], [STAIR, FOOTPRINT, POINT], GROUP)
    return homes.assign(point=points, located_by=how)


def _in_villages(homes: pd.DataFrame, land: GeoDataFrame) -> pd.DataFrame:
    """Village by place; of a row without one, by what it says."""
    known = homes["located_by"].ne(GROUP).to_numpy()
    told = homes["told_village"]
    at = village_at(
        homes["point"].to_numpy()[known], land.geometry.to_numpy(), land["village_code"], told[known]
    )
    if known.any() and (at["distance_m"] > _FAR_M).all():
        raise MismatchError(
            f"{int(known.sum())} 处住户都不在任何村内，离最近的村也有 {at['distance_m'].min() / 1000:.1f} 千米；"
            "请核对住户图层的坐标系，以及是否同一个县"
        )
    codes = land["village_code"].unique()
    # A county of one village needs no words about it.
    only = codes[0] if len(codes) == 1 else ""
    said = told.mask(told.eq("") & homes["village_code"].eq("") & homes["village_name"].eq(""), only)
    at = at.reindex(homes.index)
    return homes.assign(
        home_village=at["village_code"].where(known, said).astype("str"),
        others=at["others"].fillna(""),
        overlap=at["overlap"].eq(other=True),
        nearest=at["nearest"].fillna(""),
        distance_m=at["distance_m"].fillna(0.0),
    )


def _groups_of(homes: pd.DataFrame, parts: GeoDataFrame | None) -> "pd.Series[str]":
    """Group a row names, else that it lies in."""
    out = homes["told_group"]
    if parts is None:
        return out
    known = homes["located_by"].ne(GROUP)
    points = homes["point"].to_numpy()[known.to_numpy()]
    at = group_at(points, homes["home_village"][known], parts.geometry.to_numpy(), list(parts["group_code"]))
    return out.mask(out.eq(""), at.reindex(homes.index).fillna(""))


def _keyed(homes: pd.DataFrame) -> pd.DataFrame:
    """``key`` of each row, once each; ``place`` in decimetres and ``words`` it was made from."""
    known = homes["located_by"].ne(GROUP).to_numpy()
    xy = np.zeros((len(homes), 2))
    xy[known] = shapely.get_coordinates(homes["point"].to_numpy()[known])
    dm = np.floor(xy * 10 + 0.5).astype(np.int64)
    place = pd.Series([f"{x}-{y}" for x, y in dm], index=homes.index).where(
        known, homes["home_group"].str[12:]
    )
    village = homes["home_village"].mask(homes["home_village"].eq(""), NOWHERE)
    words: pd.Series[str] = homes["building"] + "\x1f" + homes["stair"] + "\x1f" + homes["address"]
    mark = {text: "#" + _digest(text) if text.strip("\x1f") else "" for text in words.unique()}
    made = village + "@" + place + words.map(mark)
    own = homes["household_key"]
    own = own.mask(own.ne("") & homes["stair"].ne(""), own + "-" + homes["stair"])
    again = own.ne("") & own.duplicated(keep=False)
    key = own.mask(own.eq("") | again | own.str.contains("[@~]"), made)
    columns = ["households", "home_group", "source_file", "source_row"]
    order = homes[columns].assign(key=key).sort_values(["key", *columns], kind="stable", na_position="first")
    rank = order.groupby("key").cumcount().reindex(homes.index) + 1
    key = key.mask(rank > 1, key + "~" + rank.astype("str"))
    return homes.assign(key=key, own=own, own_again=again, place=village + "@" + place, words=words)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _housing(residential: GeoDataFrame | None, metric: CRS) -> Geometries:
    """Housing land, in metres."""
    if residential is None or residential.empty:
        return np.array([], dtype=object)
    if residential.crs is None:
        raise MissingDatumError("居住用地图层没有坐标系；请放置 .prj 文件或指定坐标系")
    if "land_class" in residential:
        residential = residential[residential["land_class"].astype("str").str[:4].isin(RESIDENTIAL)]
    shapes = residential.geometry.to_crs(metric).to_numpy().copy()
    shapes[~is_polygonal(shapes)] = None
    shapes = repair(shapes).fixed
    return np.asarray(shapes[is_polygonal(shapes) & ~shapely.is_empty(shapes)])


def _spread(
    homes: pd.DataFrame, land: GeoDataFrame, parts: GeoDataFrame | None, housing: Geometries
) -> pd.DataFrame:
    """Places for the rows that have none but name a village; ``spread_on`` says on which land."""
    points, on = homes["point"].to_numpy().copy(), np.full(len(homes), "", dtype=object)
    lacking = homes["located_by"].eq(GROUP) & homes["home_village"].ne("")
    tree = shapely.STRtree(shapely.point_on_surface(housing))
    for (village, group), rows in homes[lacking].groupby(["home_village", "home_group"], sort=True):
        whole = land.geometry.to_numpy()[land["village_code"].eq(str(village)).to_numpy()]
        own = None
        if parts is not None and group:
            own = parts.geometry.to_numpy()[parts["group_code"].eq(str(group)).to_numpy()]
        here, title = _ground(whole, own, housing, tree)
        at = homes.index.get_indexer(rows.index)
        points[at] = spread(list(rows["key"]), here)
        on[at] = title
    return homes.assign(point=points, spread_on=on)


def _ground(
    village: Geometries, group: Geometries | None, housing: Geometries, tree: shapely.STRtree
) -> tuple[Geometries, str]:
    """The narrowest land known: housing of the group, the group's, housing of the village, the village's."""
    for whole, title in ((group, "组"), (village, "村")):
        if whole is None or not len(whole):
            continue
        found = np.unique(tree.query(whole, predicate="intersects")[1])
        inside = shapely.intersection(housing[found], shapely.union_all(whole)) if len(found) else found
        if len(found) and shapely.area(inside).sum() > 1:
            return inside, f"{title}内宅基地"
        return whole, f"{title}界"
    raise InputError("没有村界")  # not reached: a village that is named has land


def from_contractors(
    contractors: pd.DataFrame, *, parcels: GeoDataFrame | None = None, villages: GeoDataFrame | None = None
) -> GeoDataFrame:
    """Households as contractors of land: what there is where nobody has a list of houses.

    Parameters
    ----------
    contractors : DataFrame, n rows
        With ``contractor_code`` (18 digits, of which 14 are the group): contractors, rights or
        parcels. Where there is ``contractor_kind``, only households (1) count.
    parcels, villages : GeoDataFrame, optional
        Parcels with ``issuer_code`` in the system of the villages. Where the codes of the
        confirmation are of another year than those of the villages, contractors are in the
        village where most parcels of their issuer's village lie.

    Returns
    -------
    GeoDataFrame
        A source for `households`: one row a contractor, with its group and no place.

    Raises
    ------
    MissingColumnError
        If there is no ``contractor_code``.
    """
    if "contractor_code" not in contractors:
        raise MissingColumnError("没有承包方编码（CBFBM），不能由承包方推算住户")
    rows = contractors
    if "contractor_kind" in rows:
        rows = rows[~rows["contractor_kind"].fillna("").isin(["2", "3"])]
    code = rows["contractor_code"].dropna().astype("str").str.strip()
    code = code[is_digits(code, 18)].drop_duplicates().sort_values(ignore_index=True)
    table = pd.DataFrame({"household_key": code, "group_code": code.str[:14]}).assign(households=1)
    if parcels is not None and villages is not None:
        table["village_code"] = (
            code.str[:12].map(_villages_of_issuers(parcels, villages)).astype("str").fillna("")
        )
    return gpd.GeoDataFrame(schema.conform(table, _FILE), geometry=np.full(len(table), None), crs=None)


def _villages_of_issuers(parcels: GeoDataFrame, villages: GeoDataFrame) -> dict[str, str]:
    """Village of each issuer's village that the villages do not know: where most of its parcels lie."""
    issuer = parcels["issuer_code"].fillna("").astype("str").str[:12]
    strange = parcels[issuer.ne("") & ~issuer.isin(villages["village_code"]) & parcels.geometry.notna()]
    if strange.empty:
        return {}
    land = _polygons(villages, "village_code", CRS.from_user_input(villages.crs), "村界")
    spots = inside_points(repair(strange.geometry.to_numpy()).fixed)
    none = pd.Series("", index=strange.index, dtype="str")
    at = village_at(spots, land.geometry.to_numpy(), land["village_code"], none)
    pairs = pd.DataFrame({"issuer": issuer[strange.index], "village": at["village_code"]})
    counts = pairs[pairs["village"].ne("")].groupby(["issuer", "village"], as_index=False).size()
    best = counts.sort_values(["issuer", "size", "village"], ascending=[True, False, True])
    best = best.drop_duplicates("issuer")
    return dict(zip(best["issuer"], best["village"], strict=True))


def _layer(points: GeoDataFrame) -> GeoDataFrame:
    """Columns of the layer, geometry last."""
    out = points.assign(
        household_key=points["key"], village_code=points["home_village"], group_code=points["home_group"]
    )
    kept = [name for name in schema.column_names("households") if name in out]
    table = schema.conform(pd.DataFrame(out[kept]), "households")
    return gpd.GeoDataFrame(table, geometry=points.geometry.to_numpy(), crs=points.crs)
