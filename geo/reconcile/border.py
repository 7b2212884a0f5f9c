"""How far borders of contract parcels err, told from the two maps alone.

The error that leaves a gap between two fields makes them overlap just as
often, and no two households hold one strip of land: so overlaps show how wide
gaps of error are, without any truth. Where parcels were drawn to share their
borders they do not overlap; but an edge of farmland that they overstep tells
the same.
"""

from dataclasses import dataclass
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo.errors import MismatchError
from geo.findings import findings
from geo.topology import require_polygons

_TOUCH_M: Final = 0.01  # borders nearer than this are one border
_STEP_M: Final = 0.1  # a width is given in whole steps: last digits of a quantile decide nothing

Geometries = npt.NDArray[np.object_]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class BorderSettings:
    """What the survey may err, and when parcels are taken to tell how far they do.

    Tolerances are those of the third land survey's boundaries against the
    orthophoto, 0.3 mm where a boundary is clear and 1.0 mm where it is not, on
    the 1:5000 map (TD/T 1055-2019).
    """

    clear_tolerance_m: float = 1.5  # no gap narrower than one clear border's tolerance is told from error
    unclear_tolerance_m: float = 5.0  # no gap wider than two unclear borders' is put down to error
    adaptive: bool = True  # without, every village has the widths of `ShapeSettings`
    error_quantile: float = 0.95  # of the depths of overlaps along borders: that is the error
    widths_per_error: float = (
        1.8  # a gap of error opens this far at its widest place; chosen on seeds 41 to 44
    )
    min_points: int = 200  # places on borders that overlap; fewer tell nothing
    min_share: float = (
        0.05  # of all places looked at; fewer are blunders of a few parcels, not an error of all
    )
    max_parcels: int = 400  # looked at in a village
    spacing_m: float = 5.0  # between places on a border


@dataclass(frozen=True, slots=True, kw_only=True)
class BorderError:
    """How far borders of a village's parcels err, and what is put down to it."""

    error_m: float  # depth of overlaps along borders; NaN where it cannot be told
    gap_width_m: float | None  # gaps no wider than this at any place are error; None where it cannot be told
    reason: str  # for officers
    parcels: int = 0  # looked at


def border_error(
    parcels: gpd.GeoDataFrame, patches: gpd.GeoDataFrame, settings: BorderSettings | None = None
) -> BorderError:
    """How far borders of parcels err against each other and against the survey.

    Parameters
    ----------
    parcels : GeoDataFrame
        Valid polygons of confirmed land in a projected CRS in metres; those that lie on ``patches`` count.
    patches : GeoDataFrame
        Farmland of one village, in the same CRS.
    settings : BorderSettings, optional

    Returns
    -------
    BorderError
        The greater of two errors: how deep parcels reach into each other, and
        how far beyond farmland, along their borders. Parcels that reach deeper
        than twice the tolerance of an unclear border, or over the heart of
        another, are left out: they claim that land. No error is told where
        too few borders overlap.

    Raises
    ------
    MismatchError
        If the layers have different coordinate reference systems.
    GeometryTypeError
        If a geometry is no polygon.
    """
    settings = settings or BorderSettings()
    if not settings.adaptive:
        return BorderError(error_m=np.nan, gap_width_m=None, reason="按统一宽度判断（未启用按村估计）")
    if patches.crs is not None and parcels.crs is not None and patches.crs != parcels.crs:
        raise MismatchError(
            f"两个图层坐标系不同（{patches.crs.name} 与 {parcels.crs.name}），请先转换到同一坐标系"
        )
    land = require_polygons(patches.geometry.to_numpy(), patches.index, "patches")
    rights = require_polygons(parcels.geometry.to_numpy(), parcels.index, "parcels")
    land, rights = _present(land), _present(rights)
    around = _meeting(rights, land)
    hearts = shapely.STRtree(np.asarray(shapely.point_on_surface(rights[around]), dtype=object))
    at_home = around[np.unique(hearts.query(land, predicate="contains")[1])]
    chosen = _spread(rights, at_home, settings.max_parcels)
    points, owner = shapely.get_coordinates(
        shapely.segmentize(shapely.boundary(rights[chosen]), settings.spacing_m), return_index=True
    )
    places = shapely.STRtree(np.asarray(shapely.points(points), dtype=object))
    most = 2 * settings.unclear_tolerance_m
    depths = {
        "相邻地块相互压盖": _overlap(places, chosen[owner], rights, most),
        "地块越出耕地图斑": _overstep(places, owner, land, most),
    }
    told = {
        how: (float(np.quantile(depth, settings.error_quantile)), len(depth))
        for how, depth in depths.items()
        if len(depth) >= max(settings.min_points, settings.min_share * len(points))
    }
    if not told:
        looked = f"{len(chosen)} 块地 {len(points)} 个界点"
        seen = "、".join(f"{how} {len(depth)} 处" for how, depth in depths.items())
        return BorderError(
            error_m=np.nan,
            gap_width_m=None,
            reason=f"界线误差无法估计（{looked}中{seen}），用默认宽度",
            parcels=len(chosen),
        )
    how, (error, count) = max(told.items(), key=lambda item: item[1])
    wanted = round(settings.widths_per_error * error / _STEP_M) * _STEP_M
    width = round(min(max(wanted, settings.clear_tolerance_m), most), 3)
    limit = (
        ""
        if width == round(wanted, 3)
        else f"，限于 {settings.clear_tolerance_m:g}～{most:g} 米（图斑界线允许误差）"
    )
    reason = f"{how} {count} 处，{settings.error_quantile:.0%} 不深于 {error:.1f} 米{limit}"
    return BorderError(error_m=error, gap_width_m=width, reason=reason, parcels=len(chosen))


def border_finding(error: BorderError, village_code: str, opening_width_m: float) -> pd.DataFrame:
    """The widths a village's pieces were told apart by, and why, as a row of findings; none without parcels."""
    if not error.parcels:
        return findings("border_error", [], layer="pieces")
    if error.gap_width_m is None:
        text = f"开运算宽度 {opening_width_m:g} 米：{error.reason}"
    else:
        text = f"宽度不超过 {error.gap_width_m:g} 米的缝隙按误差计（开运算宽度 {opening_width_m:g} 米）：{error.reason}"
    return findings("border_error", text, layer="pieces", row_code=village_code, village_code=village_code)


def _present(shapes: Geometries) -> Geometries:
    return shapes[~(shapely.is_missing(shapes) | shapely.is_empty(shapes))]


def _spread(shapes: Geometries, rows: Rows, most: int) -> Rows:
    """At most so many of the rows, evenly from west to east, whatever their order."""
    of = shapes[rows]
    order = np.lexsort([shapely.get_num_coordinates(of), shapely.area(of), *shapely.bounds(of).T[::-1]])
    if len(rows) <= most:
        return rows[order]
    return rows[order[np.linspace(0, len(rows) - 1, most).round().astype(np.intp)]]


def _meeting(shapes: Geometries, others: Geometries) -> Rows:
    """Rows whose bounds meet those of all the others together."""
    if not len(others):
        return np.empty(0, dtype=np.intp)
    west, south, east, north = shapely.total_bounds(others)
    bounds = shapely.bounds(shapes)
    meets = (
        (bounds[:, 0] <= east) & (bounds[:, 2] >= west) & (bounds[:, 1] <= north) & (bounds[:, 3] >= south)
    )
    return np.flatnonzero(meets)


def _overlap(places: shapely.STRtree, owner: Rows, parcels: Geometries, most: float) -> Floats:
    """How deep each place on a border lies in another parcel; none of pairs that share more than an error."""
    around = _meeting(parcels, places.geometries)
    other, place = places.query(parcels[around], predicate="contains")
    other = around[other]
    others = owner[place] != other
    place, other = place[others], other[others]
    pair = np.minimum(owner[place], other) * len(parcels) + np.maximum(owner[place], other)
    # Two certificates for one land: the heart of one lies in the other.
    pairs, at = np.unique(pair, return_inverse=True)
    left, right = parcels[pairs // len(parcels)], parcels[pairs % len(parcels)]
    twins = shapely.contains(left, shapely.point_on_surface(right))
    twins |= shapely.contains(right, shapely.point_on_surface(left))
    single = ~twins[at]
    place, other, pair = place[single], other[single], pair[single]
    asked, at = np.unique(other, return_inverse=True)
    borders = np.asarray(shapely.boundary(parcels[asked]), dtype=object)
    return _shallow(shapely.distance(places.geometries[place], borders[at]), pair, most)


def _overstep(places: shapely.STRtree, owner: Rows, land: Geometries, most: float) -> Floats:
    """How far each place on a border lies from farmland; none of parcels that truly reach beyond it."""
    outside = np.ones(len(places.geometries), dtype=bool)
    outside[places.query(land, predicate="intersects")[1]] = False
    rows = np.flatnonzero(outside)
    if not rows.size:
        return np.empty(0)
    depth = np.full(len(rows), np.inf)  # what lies farther off than an error is not looked for
    (row, _), depth_found = shapely.STRtree(land).query_nearest(
        places.geometries[rows], max_distance=most, return_distance=True, all_matches=False
    )
    depth[row] = depth_found
    return _shallow(depth, owner[rows], most)


def _shallow(depth: Floats, of: Rows, most: float) -> Floats:
    """Depths of those that are nowhere deeper than ``most``."""
    deep = np.unique(of[depth > most])
    return depth[(depth > _TOUCH_M) & ~np.isin(of, deep)]
