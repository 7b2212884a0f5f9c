"""A village's land in units that are never cut, each with homes of its own, and the graph of which touch.

Blocks between natural lines, cut between homes where several share one; land
without homes goes to the homes that are nearest over the land, rivers and
group borders counted as detours. So units that hang together in the graph are
one piece of land, and the units tile the village to the last vertex.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse
import shapely
from geopandas import GeoDataFrame
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from geo.errors import (
    BalanceError,
    GeometryTypeError,
    InputError,
    MismatchError,
    MissingColumnError,
    MissingDatumError,
)
from geo.findings import findings, joined
from geo.grids.blocks import BARRIERS, NATURAL, Blocks, blocks_of, by_kind, pair_number
from geo.grids.cells import Cells, cells_of
from geo.grids.gather import Gathered, barrier_between, gathered, natural_between, outlines
from geo.grids.graph import TABLE_NODES
from geo.grids.linework import (
    NOWHERE,
    Floats,
    Geometries,
    Ints,
    Mesh,
    holders,
    lengths,
    local,
    mesh_of,
    places,
    points,
)
from geo.grids.roads import ROADS, road_distances
from geo.topology import is_polygonal, parts, repair

Objects = npt.NDArray[np.object_]

_PLACE_M: Final = 0.1  # homes of the same decimetre are at one place
_OFF_LAND_M: Final = 1.0  # a home further than this from all land of its village is said
_ROUNDING: Final = 10  # steps of the mesh, less than which a border may have been moved by rounding
_TILING: Final = 1e-8  # of the village's area


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSettings:
    """What crossing costs, in metres of way, and what must not be crossed."""

    river_m: float = 150.0
    highway_m: float = 80.0
    railway_m: float = 150.0
    group_m: float = 60.0
    forbid: frozenset[str] = frozenset()  # of river, highway, railway

    def toll(self, barrier: str) -> float:
        """What crossing a barrier costs, m."""
        return {"river": self.river_m, "highway": self.highway_m, "railway": self.railway_m}[barrier]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Land:
    """A village's units and how they hang together."""

    units: GeoDataFrame  # n: unit_key, households, homes, group_code, is_exclusive, site_name, geometry
    borders: pd.DataFrame  # the land graph: a < b, length_m, natural, natural_m, barrier
    closed: pd.DataFrame  # the same of borders that must not be crossed
    home_unit: Ints  # unit of each home, in the order of the homes
    sides: Ints  # n x s: on which side of each barrier, and in which group, a unit is
    tolls: Floats  # s, m: what crossing costs
    side_names: tuple[str, ...]  # s: river, railway, highway, group
    centres: Floats  # n x 2: mean place of a unit's households
    distances: (
        Floats | None
    )  # n x n, m: along roads, with tolls; None: straight between `centres`, plus `tolls`
    parts: int  # pieces the land graph falls into
    findings: pd.DataFrame
    settings: UnitSettings = field(default_factory=UnitSettings)


class _Homes(NamedTuple):
    """Homes by place: those of one decimetre are one."""

    xy: Floats  # h x 2, metres from the mesh's corner
    weight: Ints  # h
    place: Ints  # h
    places: Floats  # p x 2, apart by a decimetre at least, sorted
    exact: Floats  # p x 2: where one home of each place is


def land_units(  # noqa: PLR0913, land has many properties
    village: GeoDataFrame,
    homes: GeoDataFrame,
    *,
    survey: GeoDataFrame | None = None,
    lines: GeoDataFrame | None = None,
    groups: GeoDataFrame | None = None,
    exclusive: GeoDataFrame | None = None,
    cut_by: GeoDataFrame | None = None,
    settings: UnitSettings | None = None,
) -> Land:
    """Units of one village.

    Parameters
    ----------
    village : GeoDataFrame, 1 row
        ``village_code``, and a polygon or multipolygon in a projected CRS in
        metres. Its holes are not its land.
    homes : GeoDataFrame, h rows
        Layer ``households``: points, ``households``. ``group_code``, where there
        is one, goes before the group polygon. Homes off the land go to the nearest.
    survey : GeoDataFrame, optional
        Patches with ``land_class``. Roads, railways, rivers and ditches among
        them are divided along their middle.
    lines : GeoDataFrame, optional
        Lines or outlines with ``kind``: river, railway, highway, road, lane, ditch, wall.
    groups : GeoDataFrame, optional
        Polygons with ``group_code``.
    exclusive : GeoDataFrame, optional
        Polygons of sites that are grids of their own, with ``name``; each
        becomes a unit, one for each of its pieces.
    cut_by : GeoDataFrame, optional
        Lines or outlines between which land is divided though nothing natural
        is there: borders of existing grids.
    settings : UnitSettings, optional

    Returns
    -------
    Land
        Units by place, west to east. They tile the village: each a single
        polygon, no overlap, no gap, vertices shared. Each has a home or is
        exclusive; only a detached piece of land without homes is a unit without
        one, and a finding. The order of input rows makes no difference.

    Raises
    ------
    MissingColumnError
        If ``village_code``, ``households``, ``land_class``, ``kind`` or ``group_code`` is missing.
    MissingDatumError
        If the village has no CRS.
    MismatchError
        If its CRS is not projected.
    GeometryTypeError
        If the village is no polygon or a home no point.
    InputError
        If there is not one village, or a number of households is missing, negative or not whole.
    BalanceError
        If the units do not tile the village: a fault of this program.
    """
    settings = settings or UnitSettings()
    _checked(village, homes, survey=survey, lines=lines, groups=groups)
    survey, lines, groups, exclusive, cut_by = (
        None if table is None or not len(table) else _in_crs_of(village, table)
        for table in (survey, lines, groups, exclusive, cut_by)
    )
    world, _ = parts(repair(village.geometry.to_numpy()).fixed)
    mesh = mesh_of(world)
    land = local(world, mesh)
    given = _homes(_in_crs_of(village, homes), mesh)
    spots = np.asarray(shapely.points(given.exact), dtype=object)
    blocks = blocks_of(
        mesh, land, homes=spots, survey=survey, lines=lines, groups=groups, sites=exclusive, cut_by=cut_by
    )
    block = holders(blocks.faces.shapes, spots)
    off = block == NOWHERE
    block[off] = shapely.STRtree(blocks.faces.shapes).nearest(spots[off])
    cells = cells_of(mesh, blocks.faces, given.places, block=block, whole=blocks.site != NOWHERE, land=land)
    units = gathered(
        blocks,
        cells,
        tolls={name: settings.toll(name) for name in BARRIERS},
        group_m=settings.group_m,
        forbid=settings.forbid,
    )
    outer = cells.faces.sides[:, 0] == NOWHERE
    rim = np.concatenate([cells.faces.net.start[outer], cells.faces.net.end[outer]])
    drawn = np.empty(0, dtype=object) if cut_by is None else np.asarray(cut_by.geometry.to_numpy())
    if len(drawn):  # borders drawn before come back exactly, as the village's own do
        apart = blocks.former[cells.block]
        inner = np.flatnonzero(~outer)
        inner = inner[apart[cells.faces.sides[inner, 0]] != apart[cells.faces.sides[inner, 1]]]
        rim = np.concatenate([rim, cells.faces.net.start[inner], cells.faces.net.end[inner]])
    shapes = _restored(mesh, outlines(mesh, cells, units), np.concatenate([world, drawn]), rim)
    miss = abs(shapely.area(shapes).sum() / shapely.area(land).sum() - 1)
    if miss > _TILING:
        raise BalanceError(f"地块单元面积之和与村面积相差 {miss:.1e}，是程序错误")

    place_unit = _unit_of_places(blocks, cells, units, block)
    home_unit = place_unit[given.place]
    table = _table(village, homes, given, home_unit, mesh, blocks, cells, units, shapes, groups, exclusive)
    order = np.lexsort((table["y"], table["x"]))
    rank = np.argsort(order)
    table = table.iloc[order].reset_index(drop=True)
    centres = table[["x", "y"]].to_numpy()
    borders = _borders(mesh, blocks, cells, rank[units.unit])
    shut = borders["barrier"].isin(settings.forbid)
    edges = borders[~shut].reset_index(drop=True)
    sides, tolls, names = _sides(borders, table["group_code"], settings)
    part = connected_components(_matrix(edges, len(table)), directed=False)[1].astype(np.int64)
    return Land(
        units=GeoDataFrame(table.drop(columns=["x", "y"]), geometry="geometry", crs=village.crs),
        borders=edges,
        closed=borders[shut].reset_index(drop=True),
        home_unit=rank[home_unit],
        sides=sides,
        tolls=tolls,
        side_names=names,
        centres=centres,
        distances=_distances(mesh, lines, centres, sides, tolls),
        parts=int(part.max(initial=-1)) + 1,
        findings=_findings(village, homes, given, land, table, part, blocks),
        settings=settings,
    )


def _checked(village: GeoDataFrame, homes: GeoDataFrame, **layers: GeoDataFrame | None) -> None:
    """Refuse what has no meaning here, in words that name it."""
    if len(village) != 1:
        raise InputError(f"应给出一个村，给了 {len(village)} 个；请逐村调用")
    if village.crs is None:
        raise MissingDatumError("村界没有坐标系，请在读取时指定")
    if not village.crs.is_projected:
        raise MismatchError(f"村界坐标系“{village.crs.name}”是经纬度，请先转换为投影坐标（米）")
    if not is_polygonal(village.geometry.to_numpy()).all() or village.geometry.is_empty.any():
        raise GeometryTypeError("村界不是多边形")
    wants = {"survey": "land_class", "lines": "kind", "groups": "group_code"}
    for name, table in [("village", village), ("homes", homes), *layers.items()]:
        column = {"village": "village_code", "homes": "households"}.get(name) or wants[name]
        if table is not None and column not in table:
            raise MissingColumnError(f"图层“{name}”缺少字段 {column}")
    stray = np.flatnonzero((homes.geom_type != "Point").to_numpy() | homes.geometry.is_empty.to_numpy())
    if len(stray):
        raise GeometryTypeError(f"住户第 {homes.index[stray[0]]!r} 行不是点，请先定位")
    count = pd.to_numeric(homes["households"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    wrong = np.flatnonzero(~((count >= 0) & (count == np.floor(count))))
    if len(wrong):
        raise InputError(f"住户第 {homes.index[wrong[0]]!r} 行的户数须是不小于 0 的整数")


def _in_crs_of(village: GeoDataFrame, table: GeoDataFrame) -> GeoDataFrame:
    return table if table.crs is None or table.crs == village.crs else table.to_crs(str(village.crs))


def _homes(homes: GeoDataFrame, mesh: Mesh) -> _Homes:
    """Homes gathered by place."""
    xy = np.stack([homes.geometry.x.to_numpy(), homes.geometry.y.to_numpy()], axis=1).reshape(-1, 2)
    corner = np.array([mesh.x, mesh.y])
    whole, place = np.unique(np.rint(xy / _PLACE_M).astype(np.int64), axis=0, return_inverse=True)
    order = np.lexsort((xy[:, 1], xy[:, 0], place))
    first = order[np.searchsorted(place[order], np.arange(len(whole)))]
    weight = homes["households"].to_numpy(dtype=np.int64)
    return _Homes(xy - corner, weight, place.reshape(-1), whole * _PLACE_M - corner, (xy - corner)[first])


def _restored(mesh: Mesh, shapes: Geometries, world: Geometries, rim: Ints) -> Geometries:
    """Shapes in the village's coordinates, the rounding of its own border undone.

    Points that came from a vertex of the border are that vertex again, to the
    last bit, and others on it lie on its line.
    """
    near = _ROUNDING * mesh.step
    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    number, place = np.unique(points(mesh, xy), return_inverse=True)
    rounded = places(mesh, number) + np.array([mesh.x, mesh.y])
    true = rounded.copy()
    spot = np.flatnonzero(np.isin(number, rim))
    rings = shapely.get_rings(world)
    vertices = shapely.get_coordinates(rings)
    away, nearest = (
        np.asarray(found) for found in KDTree(vertices).query(true[spot], distance_upper_bound=near)
    )
    known = np.isfinite(away)
    true[spot[known]] = vertices[nearest[known]]
    rest = spot[~known]
    sides = np.asarray(shapely.linestrings(np.stack(_sides_of(rings), axis=1)), dtype=object)
    side, on = shapely.STRtree(shapely.points(true[rest])).query(sides, predicate="dwithin", distance=near)
    along = shapely.line_locate_point(sides[side], shapely.points(true[rest[on]]))
    true[rest[on]] = shapely.get_coordinates(shapely.line_interpolate_point(sides[side], along))
    while True:
        back = shapely.remove_repeated_points(shapely.set_coordinates(shapes.copy(), true[place]))
        wrong = np.flatnonzero(~shapely.is_valid(back))
        # Land thinner than the rounding along the border has no room for it: there the border stays rounded
        again = place[np.isin(owner, wrong)]
        if not len(wrong) or (true[again] == rounded[again]).all():
            return back
        true[again] = rounded[again]


def _sides_of(rings: Geometries) -> tuple[Floats, Floats]:
    """Both ends of each straight side of rings."""
    xy, ring = shapely.get_coordinates(rings, return_index=True)
    same = ring[1:] == ring[:-1]
    return xy[:-1][same], xy[1:][same]


def _unit_of_places(blocks: Blocks, cells: Cells, units: Gathered, block: Ints) -> Ints:
    """Unit of each place of homes."""
    face = np.full(len(block), NOWHERE)
    own = np.flatnonzero(cells.home != NOWHERE)
    face[cells.home[own]] = own
    face = face[cells.stand_in]
    some = np.full(len(blocks.group), NOWHERE)  # a face of each block: all faces of a site are one unit
    some[cells.block[::-1]] = np.arange(len(cells.block))[::-1]
    return units.unit[np.where(face == NOWHERE, some[block], face)]


def _table(  # noqa: PLR0913, PLR0917, all that is known of a unit comes together here
    village: GeoDataFrame,
    homes: GeoDataFrame,
    given: _Homes,
    home_unit: Ints,
    mesh: Mesh,
    blocks: Blocks,
    cells: Cells,
    units: Gathered,
    shapes: Geometries,
    groups: GeoDataFrame | None,
    exclusive: GeoDataFrame | None,
) -> pd.DataFrame:
    """Units as rows, in no order yet, with the place of their homes as x and y."""
    n = len(units.seed)
    households = np.bincount(home_unit, weights=given.weight, minlength=n)
    number = np.bincount(home_unit, minlength=n)
    # Where no household is counted, its homes count alike; where there is no home, the land itself
    share = np.where(households[home_unit] > 0, given.weight, 1)
    total = np.maximum(np.bincount(home_unit, weights=share, minlength=n), 1)
    order = np.lexsort(
        (given.weight, given.xy[:, 1], given.xy[:, 0])
    )  # sums do not depend on the order of rows
    inner = shapely.get_coordinates(shapely.point_on_surface(shapes))
    centre = np.empty((n, 2))
    for k, corner in enumerate((mesh.x, mesh.y)):
        mean = np.bincount(home_unit[order], weights=(share * given.xy[:, k])[order], minlength=n) / total
        centre[:, k] = np.where(number > 0, mean + corner, inner[:, k])
    letter = np.where(units.site != NOWHERE, "X", np.where(number > 0, "H", "E"))
    at = inner.copy()
    at[units.place != NOWHERE] = given.places[units.place[units.place != NOWHERE]] + np.array(
        [mesh.x, mesh.y]
    )
    code = str(village["village_code"].iloc[0])
    codes = None if groups is None else groups["group_code"].fillna("").drop_duplicates().sort_values()
    group_of_block = _texts(codes, blocks.group)
    return pd.DataFrame(
        {
            "unit_key": [f"{code}-{k}{x:.1f},{y:.1f}" for k, (x, y) in zip(letter, at, strict=True)],
            "households": households.astype(np.int64),
            "homes": number.astype(np.int64),
            "group_code": _groups(homes, home_unit, share, group_of_block[cells.block[units.seed]]),
            "is_exclusive": units.site != NOWHERE,
            "site_name": _texts(
                None if exclusive is None or "name" not in exclusive else exclusive["name"], units.site
            ),
            "geometry": shapes,
            "x": centre[:, 0],
            "y": centre[:, 1],
        }
    )


def _texts(texts: "pd.Series[str] | None", rows: Ints) -> Objects:
    """Texts at some rows; empty where there is none."""
    if texts is None:
        return np.full(len(rows), "", dtype=object)
    known = pd.Series(texts, dtype="str").fillna("").to_numpy(dtype=object)
    return np.append(known, "")[rows]


def _groups(
    homes: GeoDataFrame,
    home_unit: Ints,
    share: Ints,
    otherwise: Objects,
) -> "pd.Series[str]":
    """Group of most households of each unit; that of its land where no home names one."""
    out = pd.Series(otherwise, dtype="str")
    if "group_code" in homes:
        said = pd.DataFrame(
            {
                "unit": home_unit,
                "group": homes["group_code"].fillna("").to_numpy(dtype=object),
                "share": share,
            }
        )
        most = said[said["group"] != ""].groupby(["unit", "group"])["share"].sum().reset_index()
        order = np.lexsort((most["group"], -most["share"], most["unit"]))
        most = most.iloc[order].drop_duplicates("unit")
        out.iloc[most["unit"].to_numpy()] = most["group"].to_numpy()
    return out


def _borders(mesh: Mesh, blocks: Blocks, cells: Cells, unit: Ints) -> pd.DataFrame:
    """Every two units that touch along a line, and what runs there."""
    sides = cells.faces.sides
    inner = np.flatnonzero(sides[:, 0] != NOWHERE)
    inner = inner[unit[sides[inner, 0]] != unit[sides[inner, 1]]]
    one, two = cells.block[sides[inner]].T
    n = int(unit.max(initial=-1)) + 1
    a, b = unit[sides[inner]].T
    pair, at = np.unique(pair_number(a, b, n), return_inverse=True)
    length = lengths(mesh, cells.faces.net)[inner]
    total = np.bincount(at, weights=length, minlength=len(pair)).astype(np.float64)
    natural = by_kind(at, natural_between(blocks, one, two), length, len(pair), len(NATURAL))
    barrier = by_kind(at, barrier_between(blocks, one, two), length, len(pair), len(BARRIERS))
    return pd.DataFrame(
        {
            "a": pair // n if n else pair,
            "b": pair % n if n else pair,
            "length_m": total,
            "natural": _longest(natural, NATURAL, total),
            "natural_m": natural.sum(axis=1),
            "barrier": _longest(barrier, BARRIERS, total),
        }
    ).astype({"natural": "str", "barrier": "str"})


def _longest(by_kind: Floats, names: Sequence[str], total: Floats) -> Objects:
    """Of the kinds along each border the longest, if all together are the greater part of it; else ''."""
    most = by_kind.argmax(axis=1) if len(by_kind) else np.empty(0, dtype=np.int64)
    return np.where(by_kind.sum(axis=1) > total / 2, np.array([*names], dtype=object)[most], "")


def _matrix(borders: pd.DataFrame, count: int) -> "scipy.sparse.csr_array[np.float64]":
    ends = borders["a"].to_numpy(), borders["b"].to_numpy()
    return scipy.sparse.csr_array((np.ones(len(borders)), ends), shape=(count, count))


def _sides(
    borders: pd.DataFrame, groups: "pd.Series[str]", settings: UnitSettings
) -> tuple[Ints, Floats, tuple[str, ...]]:
    """On which side of each barrier units are: those that hang together without crossing it are on one."""
    columns, tolls, names = [], [], []
    for name in BARRIERS:
        rest = borders[borders["barrier"] != name]
        count, side = connected_components(_matrix(rest, len(groups)), directed=False)
        whole, _ = connected_components(_matrix(borders, len(groups)), directed=False)
        if count > whole:
            columns.append(side.astype(np.int64))
            tolls.append(settings.toll(name))
            names.append(name)
    codes = pd.factorize(groups, sort=True)[0].astype(np.int64)
    if codes.max(initial=0) > 0:
        columns.append(codes)
        tolls.append(settings.group_m)
        names.append("group")
    sides = np.stack(columns, axis=1) if columns else np.zeros((len(groups), 0), dtype=np.int64)
    return sides, np.array(tolls, dtype=np.float64), tuple(names)


def _distances(
    mesh: Mesh, lines: GeoDataFrame | None, centres: Floats, sides: Ints, tolls: Floats
) -> Floats | None:
    """Distances along roads with tolls, where roads are given and the table is not too large."""
    if lines is None or not 0 < len(centres) <= TABLE_NODES:
        return None
    roads = lines.geometry.to_numpy()[lines["kind"].isin(ROADS).to_numpy()]
    if not len(roads):
        return None
    table = road_distances(mesh, roads, centres - (mesh.x, mesh.y))
    for k, toll in enumerate(tolls):
        table += toll * (sides[:, k, None] != sides[None, :, k])
    return table


def _findings(  # noqa: PLR0913, PLR0917, land, homes and units
    village: GeoDataFrame,
    homes: GeoDataFrame,
    given: _Homes,
    land: Geometries,
    units: pd.DataFrame,
    part: Ints,
    blocks: Blocks,
) -> pd.DataFrame:
    """What is odd about the land, and what was done about it."""
    code, name = (
        str(village[column].iloc[0]) if column in village else ""
        for column in ("village_code", "village_name")
    )
    out = []
    away = np.atleast_1d(shapely.distance(shapely.union_all(land), shapely.points(given.xy)))
    off = np.flatnonzero(away > _OFF_LAND_M)
    if len(off):
        rows = homes.iloc[off]
        keys = rows["household_key"] if "household_key" in rows else rows.index.astype(str)
        out.append(
            findings(
                "grid_home_off_land",
                [f"住户在村界外 {gap:.1f} 米，归入最近的地块" for gap in away[off]],
                layer="households", rows=rows, row_code=list(keys), village_code=code,
            )
        )  # fmt: skip
    if len(blocks.group) == len(land) and len(units) > len(land):
        out.append(
            findings(
                "grid_no_natural_lines",
                f"{name}没有图斑、道路、组界等线，网格只能在房屋之间划界",
                layer="villages", row_code=code, village_code=code,
            )
        )  # fmt: skip
    if part.max(initial=0) > 0:
        homeless = pd.Series(units["homes"].to_numpy()).groupby(part).sum().eq(0)
        area = pd.Series(shapely.area(units["geometry"].to_numpy())).groupby(part).sum()
        households = pd.Series(units["households"].to_numpy()).groupby(part).sum()
        told = "、".join(f"{h} 户" for h in sorted(households[~homeless], reverse=True))
        out.append(
            findings(
                "grid_land_in_parts",
                f"{name}的土地不相连，分成 {len(area)} 片（有住户的：{told or '无'}）；网格不跨片",
                layer="villages", row_code=code, village_code=code,
            )
        )  # fmt: skip
        if homeless.any():
            alone = homeless.index[homeless]
            one = units.iloc[[int(np.flatnonzero(part == p)[0]) for p in alone]]
            out.append(
                findings(
                    "grid_part_without_homes",
                    [f"{name}有一片 {area[p]:.0f} 平方米的土地与其他土地不相连，也没有住户" for p in alone],
                    layer="villages", rows=one, row_code=code, village_code=code,
                )
            )  # fmt: skip
    return joined(out)
