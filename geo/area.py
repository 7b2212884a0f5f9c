"""Area of polygons on the ellipsoid, and the arithmetic that keeps sums of areas exact.

Planar area in a Gauss-Krüger zone grows with distance from the central
meridian; the survey's official areas lie on the ellipsoid. Raw areas are
floats; what is stored, compared or added up is whole cents (0.01 m²).

Source: 国土调查办发〔2008〕32号, 图幅理论面积与图斑椭球面积计算公式及要求; the same formula
in the annex of TD/T 1055-2019 with the constants of CGCS2000.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyproj
import shapely
from geopandas import GeoDataFrame
from pyproj.crs import CRS, Ellipsoid  # type: ignore[attr-defined]  # pyproj exports it by name only

from geo.errors import BalanceError, GeoError, GeometryTypeError, MissingDatumError

M2_PER_MU: Final = 2000 / 3  # fifteen mu make a hectare

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]

_POLYGONAL: Final = (3, 6)  # shapely's type numbers of Polygon and MultiPolygon
_PLANE_DECIMALS: Final = 4  # plane coordinates are kept to 0.0001 m ...
_SECONDS_DECIMALS: Final = 6  # ... latitude and longitude to 0.000001 seconds of arc
_CHUNK_VERTICES: Final = 250_000  # a chunk of work holds about this many points: some 30 MB
_PRINTED_FOOT: Final = {  # (a, 1/f): k0 to k4 as the rulebook prints them for CGCS2000 and Xi'an 1980
    (6378137.0, 298.257222101): (
        1.57048761144159e-07,
        5.05250178820567e-03,
        2.98472900956587e-05,
        2.41626669230084e-07,
        2.22241238938534e-09,
    ),
    (6378140.0, 298.257): (
        1.57048687472752e-07,
        5.05250559291393e-03,
        2.98473350966158e-05,
        2.41627215981336e-07,
        2.22241909461273e-09,
    ),
}
_SERIES_REACH_M: Final = 250_000.0  # from the central meridian; the series loses 0.1 mm there
_METRES_PER_DEGREE: Final = 111_320.0  # at the equator: the longest a degree gets
_RATIO_SCALE: Final = 1_000_000  # a ridge ratio is delivered with four decimals; six are kept
_CENT_NOISE_DECIMALS: Final = 4  # parts of a cent below this are what binary floats add


def ellipsoidal_area(polygons: GeoDataFrame, *, densify_m: float = 70.0) -> pd.Series:
    """Area of each polygon by the survey rulebook's formula, on the ellipsoid of its own datum.

    An edge of the layer is a straight line of its own plane. Edges longer than
    ``densify_m`` get ``floor(length / densify_m)`` equally spaced points more;
    all points are rounded to 0.0001 m, brought to latitude and longitude on
    the same datum (no datum shift; a Gauss-Krüger plane by the rulebook's
    series, any other by PROJ), rounded to 0.000001", and the strips between
    each edge and a fixed meridian added up.

    Parameters
    ----------
    polygons : GeoDataFrame, n rows
        Polygons or multipolygons in any CRS that has a datum. In a geographic
        CRS an edge is straight in longitude and latitude, as the frame of a
        map sheet is.
    densify_m : float, m
        Longest edge left as it is.

    Returns
    -------
    Series of float64, n rows, m²
        Named ``area_m2``, on the index of ``polygons``, not rounded (see
        `to_cents`). Holes are taken out whichever way their rings run; an
        empty geometry has area 0, a missing one NaN.

    Raises
    ------
    MissingDatumError
        If ``polygons`` has no CRS, or a local one tied to no ellipsoid.
    GeometryTypeError
        If any geometry is not a polygon; the message names its row.
    """
    crs = polygons.crs
    if crs is None or crs.geodetic_crs is None or crs.ellipsoid is None:
        raise MissingDatumError("图层没有大地基准，无法计算椭球面积；请在读取时给出坐标系")
    shapes = polygons.geometry.to_numpy()
    kind = shapely.get_type_id(shapes)
    stray = np.flatnonzero((kind >= 0) & ~np.isin(kind, _POLYGONAL))
    if stray.size:
        row = polygons.index[stray[0]]
        raise GeometryTypeError(f"第 {row!r} 行的图形不是多边形，无法计算面积；请先修复图形")
    area = np.zeros(len(shapes))
    plane = _Plane(crs, crs.ellipsoid)
    for start, stop in _chunks(shapely.get_num_coordinates(shapes)):
        area[start:stop] = _areas(shapes[start:stop], plane, densify_m)
    area[kind < 0] = np.nan
    return pd.Series(area, index=polygons.index, name="area_m2", dtype="float64")


def strip_constants(ellipsoid: Ellipsoid) -> tuple[float, float, float, float, float]:
    """A, B, C, D and E of the rulebook's formula for an ellipsoid."""
    axis, polar = ellipsoid.semi_major_metre, _polar_axis(ellipsoid)
    e2 = (axis**2 - polar**2) / axis**2
    return (
        1 + 3 / 6 * e2 + 30 / 80 * e2**2 + 35 / 112 * e2**3 + 630 / 2304 * e2**4,
        1 / 6 * e2 + 15 / 80 * e2**2 + 21 / 112 * e2**3 + 420 / 2304 * e2**4,
        3 / 80 * e2**2 + 7 / 112 * e2**3 + 180 / 2304 * e2**4,
        1 / 112 * e2**3 + 45 / 2304 * e2**4,
        5 / 2304 * e2**4,
    )


def _polar_axis(ellipsoid: Ellipsoid) -> float:
    axis, inverse_flattening = float(ellipsoid.semi_major_metre), float(ellipsoid.inverse_flattening)
    return axis * (1 - 1 / inverse_flattening) if inverse_flattening else axis


def _foot_constants(ellipsoid: Ellipsoid) -> tuple[float, ...]:
    """k0 to k4 of the footpoint latitude: as printed for the two national datums, else derived."""
    axis, polar = float(ellipsoid.semi_major_metre), _polar_axis(ellipsoid)
    if printed := _PRINTED_FOOT.get((axis, round(float(ellipsoid.inverse_flattening), 9))):
        return printed
    n = (axis - polar) / (axis + polar)
    j1, j2 = 3 / 2 * n - 27 / 32 * n**3, 21 / 16 * n**2 - 55 / 32 * n**4
    j3, j4 = 151 / 96 * n**3, 1097 / 512 * n**4
    return (
        (1 + n) / (axis * (1 + n**2 / 4 + n**4 / 64)),
        2 * j1 + 4 * j2 + 6 * j3 + 8 * j4,
        8 * j2 + 32 * j3 + 80 * j4,
        32 * j3 + 192 * j4,
        128 * j4,
    )


class _Plane:
    """A CRS as the formula needs it: the way to latitude and longitude, and the ellipsoid's numbers."""

    def __init__(self, crs: CRS, ellipsoid: Ellipsoid) -> None:
        self.is_geographic = crs.is_geographic
        self.axis = float(ellipsoid.semi_major_metre)
        self.polar_axis = _polar_axis(ellipsoid)
        self.constants = strip_constants(ellipsoid)
        self.foot = _foot_constants(ellipsoid)
        self.transformer = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
        self.gauss = _gauss_origin(crs)

    def strip_height(self, latitude: Floats) -> Floats:
        """F, of whose differences the formula's bracket is made: 2 sin(n dB/2) cos(n Bm) = sin nB2 - sin nB1."""
        a, b, c, d, e = self.constants
        s: Floats = np.sin(latitude)
        q = s * s  # sin nB as polynomials in sin B: one sine a vertex instead of five
        sin3 = s * (3 - 4 * q)
        sin5 = s * (5 + q * (-20 + 16 * q))
        sin7 = s * (7 + q * (-56 + q * (112 - 64 * q)))
        sin9 = s * (9 + q * (-120 + q * (432 + q * (-576 + 256 * q))))
        return a * s - b * sin3 + c * sin5 - d * sin7 + e * sin9

    def lonlat(self, xy: Floats) -> tuple[Floats, Floats]:
        """Degrees of longitude and latitude, on the plane's own datum."""
        if self.is_geographic:
            return xy[:, 0], xy[:, 1]
        if self.gauss is None:
            lon, lat = self.transformer.transform(xy[:, 0], xy[:, 1])
            return lon, lat
        lon, lat = self._inverse_gauss(xy, *self.gauss)
        far = np.abs(xy[:, 0] - self.gauss[1]) > _SERIES_REACH_M
        if far.any():
            lon[far], lat[far] = self.transformer.transform(xy[far, 0], xy[far, 1])
        return lon, lat

    def _inverse_gauss(self, xy: Floats, meridian: float, easting: float) -> tuple[Floats, Floats]:
        """Inverse Gauss-Krüger by the rulebook's series and its printed constants.

        PROJ differs by some 0.000004" of latitude, the same for neighbours;
        yet the rounding that follows makes of that a cent on a square
        kilometre, and the official numbers come from the printed series.
        """
        k0, k1, k2, k3, k4 = self.foot
        second = (self.axis / self.polar_axis) ** 2 - 1
        angle = xy[:, 1] * k0
        s = np.sin(angle)
        s2 = s * s
        foot = angle + np.cos(angle) * s * (k1 - s2 * (k2 - s2 * (k3 - s2 * k4)))
        cos = np.cos(foot)
        t, h = np.tan(foot) ** 2, second * cos**2
        v = 1 + h
        q = (xy[:, 0] - easting) * np.sqrt(v) * self.polar_axis / self.axis**2
        q2 = q * q
        lat = foot - v * np.tan(foot) * q2 / 2 * (
            1 - q2 / 12 * (5 + 3 * t + h - 9 * h * t) + q2 * q2 / 360 * (61 + 90 * t + 45 * t * t)
        )
        lon = (q / cos) * (
            1 - q2 / 6 * (1 + 2 * t + h) + q2 * q2 / 120 * (5 + 28 * t + 24 * t * t + 6 * h + 8 * h * t)
        )
        return np.degrees(lon) + meridian, np.degrees(lat)


def _gauss_origin(crs: CRS) -> tuple[float, float] | None:
    """Central meridian and false easting of a Gauss-Krüger plane in metres; None for any other."""
    conversion = crs.coordinate_operation
    if crs.is_geographic or conversion is None or conversion.method_name != "Transverse Mercator":
        return None
    value = {param.name: float(param.value) * param.unit_conversion_factor for param in conversion.params}
    plain = value["Scale factor at natural origin"] == 1 and value["Latitude of natural origin"] == 0
    metric = all(axis.unit_conversion_factor == 1 for axis in crs.axis_info)
    if not (plain and metric) or value["False northing"] != 0:
        return None
    meridian = round(
        float(np.degrees(value["Longitude of natural origin"])), 12
    )  # 114, not 114.00000000000001
    return meridian, value["False easting"]


def _chunks(vertices: Integers) -> Iterator[tuple[int, int]]:
    """Runs of rows with about ``_CHUNK_VERTICES`` vertices each, at least one row a run."""
    part = np.cumsum(vertices) // (_CHUNK_VERTICES // 2)  # half: densifying adds points
    cuts = np.flatnonzero(np.diff(part)) + 1
    edges = np.concatenate([[0], cuts, [len(vertices)]])
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if stop > start:
            yield start, stop


def _areas(shapes: npt.NDArray[np.object_], plane: _Plane, densify_m: float) -> Floats:
    parts, row = shapely.get_parts(shapes, return_index=True)
    rings, part = shapely.get_rings(parts, return_index=True)
    rings_size = shapely.get_num_coordinates(rings)
    full = rings_size > 0
    rings, part, rings_size = rings[full], part[full], rings_size[full]
    if not len(rings):
        return np.zeros(len(shapes))
    xy = shapely.get_coordinates(rings)
    last = np.cumsum(rings_size) - 1
    xy, first = _densify(xy, last, densify_m / _METRES_PER_DEGREE if plane.is_geographic else densify_m)
    lon, lat = plane.lonlat(xy if plane.is_geographic else np.round(xy, _PLANE_DECIMALS))
    lon, lat = (np.radians(np.round(angle * 3600, _SECONDS_DECIMALS) / 3600) for angle in (lon, lat))
    # The meridian to count from is free; the ring's own keeps the strips, and their float errors, small.
    sizes = np.diff(np.append(first, len(lon)))
    lon = lon - np.repeat(lon[first], sizes)
    height = plane.strip_height(lat)
    strips = np.empty(len(lon))
    strips[:-1] = (lon[1:] + lon[:-1]) / 2 * (height[1:] - height[:-1])
    strips[first[1:] - 1] = 0.0  # from the end of one ring to the start of the next there is no edge
    strips[-1] = 0.0
    ring_area = np.abs(np.add.reduceat(strips, first)) * plane.polar_axis**2
    is_hole = np.concatenate([[False], part[1:] == part[:-1]])  # a part's shell comes before its holes
    signed = np.where(is_hole, -ring_area, ring_area)
    return np.bincount(row[part], signed, minlength=len(shapes)).astype(np.float64)


def _densify(xy: Floats, last: Integers, step: float) -> tuple[Floats, Integers]:
    """Points put in on long edges of closed rings; also where each ring starts in the new array."""
    delta = np.zeros_like(xy)
    delta[:-1] = xy[1:] - xy[:-1]
    delta[last] = 0.0
    length = np.hypot(delta[:, 0], delta[:, 1])
    extra = np.where(length > step, length // step, 0).astype(np.int64)
    copies = extra + 1
    begin = np.cumsum(copies) - copies  # where each old vertex lands
    nth = np.arange(copies.sum()) - np.repeat(begin, copies)
    fraction = nth / np.repeat(copies, copies)
    dense = np.repeat(xy, copies, axis=0) + np.repeat(delta, copies, axis=0) * fraction[:, None]
    first = np.concatenate([[0], last[:-1] + 1])
    return dense, begin[first]


def to_cents(area_m2: npt.ArrayLike) -> Integers:
    """Areas in whole cents (0.01 m²), rounded half up.

    Half is meant in decimals, as the standards do: 2.675 is 268 cents although
    its binary float lies a hair below.

    Raises
    ------
    GeoError
        If an area is missing or not finite.
    """
    area = np.asarray(area_m2, dtype=np.float64)
    if not np.isfinite(area).all():
        raise GeoError("面积中有空值，不能换算为 0.01 平方米的整数")
    return np.floor(np.round(area * 100, _CENT_NOISE_DECIMALS) + 0.5).astype(np.int64)


def from_cents(cents: npt.ArrayLike) -> Floats:
    """Whole cents as m²: the float nearest to the two decimals."""
    return np.asarray(cents, dtype=np.int64) / 100


def mu(area_m2: npt.ArrayLike) -> Floats:
    """Area in mu with two decimals, half up, for display; NaN stays NaN.

    Exact: one m² is 0.0015 mu. Totals are sums of stored m², never of these.
    """
    area = np.asarray(area_m2, dtype=np.float64)
    known = np.isfinite(area)
    cents = to_cents(np.where(known, area, 0.0))
    return np.where(known, (cents * 15 + 5000) // 10_000 / 100, np.nan)


def net_area(area_m2: npt.ArrayLike, ridge_ratio: npt.ArrayLike) -> Floats:
    """Area less the ridges in it: ``area - round(area x ratio, 2)``, half up, in exact cents.

    Parameters
    ----------
    area_m2 : array-like, m²
        Gross areas (TBMJ, or a piece's share of it).
    ridge_ratio : array-like, 0..1
        KCXS; missing means 0.

    Returns
    -------
    ndarray of float64, m²
        TBDLMJ by TD/T 1057-2020: KCMJ is rounded first, then taken off.

    Raises
    ------
    GeoError
        If an area is missing, or a ratio lies outside 0..1.
    """
    ratio = np.nan_to_num(np.asarray(ridge_ratio, dtype=np.float64), nan=0.0)
    if ((ratio < 0) | (ratio > 1)).any():
        raise GeoError("扣除系数应在 0 与 1 之间")
    cents = to_cents(area_m2)
    millionths = np.rint(ratio * _RATIO_SCALE).astype(np.int64)
    ridges = (cents * millionths + _RATIO_SCALE // 2) // _RATIO_SCALE
    return from_cents(cents - ridges)


def apportion(raw: npt.ArrayLike, owner: npt.ArrayLike, totals_m2: npt.ArrayLike) -> Floats:
    """Parts of each owner scaled to its total, in whole cents whose sum is exact.

    Each part gets its share rounded down to 0.01 m²; the cents left over go
    one by one to the largest remainders, equal ones in the order given.

    Parameters
    ----------
    raw : array-like of float, n parts
        Sizes in any one unit, not negative. Parts of an owner whose sizes are all 0 share alike.
    owner : array-like of int, n parts
        Position of each part's owner in ``totals_m2``; parts of an owner need not stand together.
    totals_m2 : array-like of float, k owners, m²
        What the parts of each owner must add up to (TBMJ of a patch), not negative.

    Returns
    -------
    ndarray of float64, n parts, m²
        Two decimals each; in cents they add up to the totals exactly.

    Raises
    ------
    BalanceError
        If an owner has a total but no part to carry it.
    GeoError
        If a size or total is negative or missing, or an owner is out of range.
    """
    raw = np.asarray(raw, dtype=np.float64)
    owner = np.asarray(owner, dtype=np.int64)
    total = to_cents(totals_m2)
    if not np.isfinite(raw).all() or (raw < 0).any() or (total < 0).any():
        raise GeoError("参与平差的面积不能为空或为负")
    if owner.size and (owner.min() < 0 or owner.max() >= len(total)):
        raise GeoError("参与平差的部分找不到所属图斑")
    count = np.bincount(owner, minlength=len(total))
    bare = np.flatnonzero((count == 0) & (total > 0))
    if bare.size:
        raise BalanceError(f"第 {bare[0]} 个图斑有面积而没有组成部分，无法平差")
    whole = np.bincount(owner, raw, minlength=len(total))
    raw = np.where(whole[owner] > 0, raw, 1.0)
    whole = np.where(whole > 0, whole, np.maximum(count, 1))
    share = raw / whole[owner] * total[owner]
    cents = np.floor(share).astype(np.int64)
    # Sums of integers, not floats: a county's cents are exact in int64.
    given = np.zeros(len(total), dtype=np.int64)
    np.add.at(given, owner, cents)
    left = total - given
    order = np.lexsort((-(share - cents), owner))
    begin = np.cumsum(count) - count
    rank = np.empty(len(raw), dtype=np.int64)
    rank[order] = np.arange(len(raw)) - begin[owner[order]]
    return from_cents(cents + (rank < left[owner]))
