"""Outlines of grids: the units of each as one polygon, proved to tile the village.

Units share their vertices, so a grid is their union and nothing is rounded.
Whether grids cover the village once and only once is then proved by their sides
against the village's own border, or counted in areas where sides do not pair.
"""

import itertools
from typing import TYPE_CHECKING, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.area import ellipsoidal_area
from geo.errors import BalanceError, GraphError
from geo.grids.centre import first_least, reach
from geo.grids.kernel import Floats, Ints

if TYPE_CHECKING:
    from geo.grids.units import Land

TOLERANCE: Final = 1e-8  # share of a village's area that may be lost or doubled by binary numbers


def outline(land: "Land", labels: npt.ArrayLike, *, village: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """One polygon a label, with its measures.

    Parameters
    ----------
    land : Land
        Units that tile the village, and the borders between them.
    labels : n whole numbers
        The grid of each unit, 0 to k - 1, each with at least one unit.
    village : GeoDataFrame, 1 row
        The land that must be covered, in the CRS of the units.

    Returns
    -------
    GeoDataFrame, k rows
        On the labels: ``is_exclusive, households, homes, units, group_codes``
        (``;`` between), ``neighbours`` (a tuple of labels), ``area_m2`` (ellipsoidal),
        ``centre_x, centre_y`` (of the unit all households have the least way to, as
        the land counts ways), ``radius_m, mean_distance_m`` (straight, from the
        centre to the units' homes, the mean by households), ``natural_share`` (of
        its border inside the village; NaN if it has none), ``geometry`` (a polygon in
        normal form: the same land is the same bytes).

    Raises
    ------
    GraphError
        If there is not one label a unit, or a number between has no unit.
    BalanceError
        If a grid is not one piece of land, mixes exclusive with ordinary land, or the
        grids do not tile the village to 1e-8 of its area.
    """
    units = land.units
    label = _checked(labels, len(units))
    count = int(label.max(initial=-1)) + 1
    shapes = _dissolved(units.geometry.to_numpy(), label, count)
    require_tiling(shapes, village.geometry.to_numpy())
    closed = units["is_exclusive"].to_numpy(dtype=bool)
    exclusive = _sums(label, closed, count)
    if (mixed := (exclusive > 0) & (exclusive < np.bincount(label, minlength=count))).any():
        raise BalanceError(f"第 {int(np.argmax(mixed))} 个网格混有专属网格的土地")
    natural, neighbours = _borders(pd.concat([land.borders, land.closed]), label, count)
    grids = gpd.GeoDataFrame(
        {
            "is_exclusive": exclusive > 0,
            "households": _sums(label, units["households"].fillna(0).to_numpy(dtype=np.int64), count),
            "homes": _sums(label, units["homes"].fillna(0).to_numpy(dtype=np.int64), count),
            "units": np.bincount(label, minlength=count),
            "group_codes": _group_codes(units, label, count),
            "neighbours": neighbours,
            "natural_share": natural,
        },
        geometry=shapes,
        index=pd.RangeIndex(count, name="label"),
        crs=units.crs,
    )
    grids["area_m2"] = ellipsoidal_area(grids)
    centres = [_centre(land, np.flatnonzero(label == one)) for one in range(count)]
    measures = ["centre_x", "centre_y", "radius_m", "mean_distance_m"]
    grids[measures] = np.array(centres, dtype=np.float64).reshape(-1, len(measures))
    order = ["is_exclusive", "households", "homes", "units", "group_codes", "neighbours", "area_m2"]
    return grids[[*order, *measures, "natural_share", "geometry"]]


def require_tiling(shapes: npt.NDArray[np.object_], village: npt.NDArray[np.object_]) -> None:
    """Nothing if polygons are single and sound and cover the village once.

    What is counted: the sum of their areas against the area of their union (land
    in two), and the union against the village both ways (land in none, land
    outside), each as a share of the village's area.

    Raises
    ------
    BalanceError
        If a polygon is broken or in parts, or a share is above 1e-8.
    """
    sound = (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON) & shapely.is_valid(shapes)
    sound &= ~shapely.is_empty(shapes)
    if not sound.all():
        at = int(np.argmin(sound))
        why = shapely.is_valid_reason(shapes[at])
        raise BalanceError(f"第 {at} 个网格不是一整片土地（{shapes[at].geom_type}，{why}）")
    land = village[0] if len(village) == 1 else shapely.union_all(village)
    whole = shapely.area(land)
    if _off_line(shapes, land) <= TOLERANCE * whole:
        return
    covered = shapely.union_all(shapes)
    shares = {
        "重叠": abs(shapely.area(shapes).sum() - shapely.area(covered)),
        "未覆盖": shapely.area(shapely.difference(land, covered)),
        "超出村界": shapely.area(shapely.difference(covered, land)),
    }
    for what, area in shares.items():
        if area > TOLERANCE * whole:
            raise BalanceError(f"网格没有铺满全村：{what} {area:.6f} m²（全村 {whole:.2f} m²）")


def _off_line(shapes: npt.NDArray[np.object_], land: shapely.Geometry) -> float:
    """Area between the outer border of polygons and that of the land, where polygons pair edge by edge; else infinite.

    Proved without an overlay: each side of a polygon is a side of another, the other way round, or a
    part of the outer border. Sides that go both ways say nothing of where land is, so what is left says
    all: if it is the land's own border, with points in between that lie off its line by an area to be
    counted, the polygons cover the land once and nothing beside it.
    """
    xy, ring = shapely.get_coordinates(shapely.get_rings(shapely.orient_polygons(shapes)), return_index=True)
    same = ring[1:] == ring[:-1]
    number = np.unique(xy[:, 0] + 1j * xy[:, 1], return_inverse=True)[1]
    start, end = number[:-1][same], number[1:][same]
    size = int(number.max(initial=0)) + 1
    there, back = start * size + end, end * size + start
    if len(np.unique(there)) < len(there):
        return np.inf  # two polygons on the same side of a line
    outer = np.flatnonzero(~np.isin(there, back))
    place = np.empty((size, 2))
    place[number] = xy
    after = np.full(size, -1)
    after[start[outer]] = end[outer]
    if len(np.unique(start[outer])) < len(outer):
        return np.inf  # the border meets itself in a point: which way it goes on is not told
    total, used = 0.0, 0
    corners, ring = shapely.get_coordinates(
        shapely.get_rings(shapely.orient_polygons(shapely.get_parts(land))), return_index=True
    )
    known = {tuple(at): k for k, at in zip(start[outer].tolist(), place[start[outer]].tolist(), strict=True)}
    for own in np.split(corners, np.flatnonzero(np.diff(ring)) + 1):
        walk = [known.get(tuple(at), -1) for at in own.tolist()]
        for a, b in itertools.pairwise(walk):
            if a < 0 or b < 0:
                return np.inf
            here = a
            while here != b:
                then = int(after[here])
                used += 1
                if then < 0 or used > len(outer):
                    return np.inf
                one, two = place[here] - place[a], place[then] - place[a]
                total += abs(one[0] * two[1] - one[1] * two[0]) / 2
                here = then
    return total if used == len(outer) else np.inf


def _checked(labels: npt.ArrayLike, n: int) -> Ints:
    label = np.asarray(labels)
    if label.shape != (n,) or not np.issubdtype(label.dtype, np.integer):
        raise GraphError(f"网格标号应为 {n} 个整数，每个地块单元一个")
    count = int(label.max(initial=-1)) + 1
    if (label < 0).any() or len(np.unique(label)) != count:
        raise GraphError("网格标号应从 0 起连续，每个标号至少有一个地块单元")
    return label.astype(np.int64)


def _dissolved(units: npt.NDArray[np.object_], label: Ints, count: int) -> npt.NDArray[np.object_]:
    shapes = np.empty(count, dtype=object)
    order = np.argsort(label, kind="stable")
    for own in np.split(order, np.cumsum(np.bincount(label, minlength=count))[:-1]) if count else []:
        shapes[label[own[0]]] = _joined(units[own])
    return shapely.normalize(shapes)


def _joined(units: npt.NDArray[np.object_]) -> shapely.Geometry:
    """The union of units, by their common edges; by overlay where edges do not pair."""
    try:
        parts = shapely.get_parts(shapely.coverage_union_all(units))
    except shapely.GEOSException:  # a vertex that only one side of an edge has
        parts = shapely.get_parts(shapely.union_all(units))
    shape: shapely.Geometry = parts[0] if len(parts) == 1 else shapely.MultiPolygon(list(parts))
    return shape


def _sums(label: Ints, values: npt.ArrayLike, count: int) -> Ints:
    return np.bincount(label, weights=np.asarray(values), minlength=count).astype(np.int64)


def _group_codes(units: gpd.GeoDataFrame, label: Ints, count: int) -> list[str]:
    """Groups whose households are in each grid; of a grid without any, groups whose land it is."""
    codes = units["group_code"].fillna("").to_numpy(dtype=object)
    lived = units["households"].fillna(0).to_numpy(dtype=np.int64) > 0
    out = []
    for one in range(count):
        own = label == one
        own = own & lived if (own & lived).any() else own
        out.append(";".join(sorted({str(code) for code in codes[own] if code})))
    return out


def _borders(borders: pd.DataFrame, label: Ints, count: int) -> tuple[Floats, list[tuple[int, ...]]]:
    """Share of each grid's inner border on natural lines, and the grids along it."""
    one, other = label[borders["a"].to_numpy(dtype=np.int64)], label[borders["b"].to_numpy(dtype=np.int64)]
    length = borders["length_m"].to_numpy(dtype=np.float64)
    between = (one != other) & (length > 0)
    one, other, length = one[between], other[between], length[between]
    natural = borders["natural_m"].to_numpy(dtype=np.float64)[between]
    whole = np.bincount(one, length, count) + np.bincount(other, length, count)
    good = np.bincount(one, natural, count) + np.bincount(other, natural, count)
    share = np.divide(good, whole, out=np.full(count, np.nan), where=whole > 0)
    near: list[set[int]] = [set() for _ in range(count)]
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        near[a].add(b)
        near[b].add(a)
    return share, [tuple(sorted(labels)) for labels in near]


def _centre(land: "Land", own: Ints) -> tuple[float, float, float, float]:
    """Place of a grid's most central unit, and how far its homes are."""
    weight = land.units["households"].fillna(0).to_numpy(dtype=np.float64)[own]
    if weight.sum() > 0:
        own, weight = own[weight > 0], weight[weight > 0]
    xy = np.asarray(land.centres, dtype=np.float64)[own]
    if land.distances is not None:
        ways = land.distances[np.ix_(own, own)]
    else:
        ways = np.hypot(xy[:, None, 0] - xy[None, :, 0], xy[:, None, 1] - xy[None, :, 1])
        for side, toll in zip(land.sides[own].T, land.tolls, strict=True):
            ways += toll * (side[:, None] != side[None, :])
    counted = weight if weight.sum() > 0 else np.ones(len(own))
    place = xy[first_least(counted @ ways, xy)]
    return float(place[0]), float(place[1]), *reach(xy, counted, place)
