"""Which coordinate system a layer is in: what its file says, held against its coordinates.

Deliveries come with a .prj, without one, with one that lies (the zone number in
the easting or not), with axes swapped, on CGCS2000, on 西安80 or on 北京54. The
coordinates themselves tell most of it: an easting of 8 digits carries its zone,
one of 6 digits fits only one central meridian near the county. Nothing is
guessed silently: a guess says what it is, why, and whether it is certain.

Source: EPSG codes 4490-4554 (CGCS2000), 2327-2390 and 4610 (西安80), 2401-2442,
21413-21463 and 4214 (北京54); zone n = floor((L + 1.5) / 3).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import shapely
from geopandas import GeoDataFrame, GeoSeries
from pyproj import CRS, Transformer

from geo.errors import MismatchError, MissingDatumError

Bounds = tuple[float, float, float, float]  # west, south, east, north

CGCS2000: Final = "CGCS2000"
XIAN80: Final = "西安80"
BEIJING54: Final = "北京54"
WGS84: Final = "WGS 84"

# First EPSG code of each family: zone form and CM form, 3-degree from zone 25, 6-degree from zone 13.
_FAMILIES: Final = {
    CGCS2000: {"geographic": 4490, "zone3": 4513, "cm3": 4534, "zone6": 4491, "cm6": 4502},
    XIAN80: {"geographic": 4610, "zone3": 2349, "cm3": 2370, "zone6": 2327, "cm6": 2338},
    BEIJING54: {"geographic": 4214, "zone3": 2401, "cm3": 2422, "zone6": 21413, "cm6": 21453},
}
_ZONES_3: Final = range(25, 46)
_ZONES_6: Final = range(13, 24)
_NORTHING: Final = (1.8e6, 6.1e6)  # 16°N to 55°N
_EASTING: Final = (100_000.0, 900_000.0)  # without zone prefix, 500 km false easting
_FALSE_EASTING: Final = 500_000
_ZONE_UNIT: Final = 1_000_000  # the zone number stands in front of the six digits of the easting
_LON: Final = (70.0, 140.0)
_LAT: Final = (15.0, 56.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CrsGuess:
    """A layer's coordinate system and how it came to be known."""

    crs: CRS
    reason: str  # in Chinese, for the findings table
    certain: bool  # the file said so and the coordinates agree
    swapped: bool = False  # northing stands first and must be turned round


def datum_of(crs: CRS) -> str:
    """Short name of the datum: CGCS2000, 西安80, 北京54, WGS 84, else the datum's own name.

    Raises
    ------
    MissingDatumError
        If ``crs`` is tied to no ellipsoid.
    """
    geodetic = crs.geodetic_crs
    if geodetic is None or geodetic.datum is None:
        raise MissingDatumError(f"坐标系 {crs.name} 没有大地基准；请改用 CGCS2000 坐标系")
    name = f"{geodetic.name} {geodetic.datum.name}".lower().replace("_", " ")
    if "cgcs" in name or "china 2000" in name or "china geodetic" in name or "2000国家" in name:
        return CGCS2000
    if "xian" in name or "xi'an" in name or "西安" in name:
        return XIAN80
    if "beijing" in name or "北京" in name:
        return BEIJING54
    if "wgs" in name or "world geodetic system 1984" in name:
        return WGS84
    return str(geodetic.datum.name)


def same_datum(one: CRS, other: CRS) -> bool:
    """Whether two systems stand on one datum; CGCS2000 and WGS 84 differ by centimetres and count as one."""
    pair = {datum_of(one), datum_of(other)}
    return len(pair) == 1 or pair == {CGCS2000, WGS84}


def central_meridian(crs: CRS) -> float | None:
    """Central meridian of a transverse Mercator system in degrees east, else None."""
    return _parameter(crs, 8802)


def false_easting(crs: CRS) -> float | None:
    """False easting of a transverse Mercator system in metres, else None."""
    return _parameter(crs, 8806)


def _parameter(crs: CRS, code: int) -> float | None:
    operation = crs.coordinate_operation
    if operation is None or "transverse mercator" not in operation.method_name.lower():
        return None
    names = {8802: "longitude of natural origin", 8806: "false easting"}
    for parameter in operation.params:
        if int(parameter.code or 0) == code or parameter.name.lower() == names[code]:
            return float(parameter.value)
    return None


def zone_of(crs: CRS) -> int | None:
    """Zone number that eastings of this system carry as their prefix; None where they carry none."""
    easting = false_easting(crs)
    if easting is None or easting < _ZONE_UNIT:
        return None
    return int(easting // _ZONE_UNIT)


def zone_at(lon: float) -> int:
    """3-degree zone of a longitude in degrees east: 37 for 109.5-112.5, 38 for 112.5-115.5."""
    return math.floor((lon + 1.5) / 3)


def cgcs2000_zone(lon: float) -> CRS:
    """CGCS2000 3-degree Gauss-Krüger system (zone number in the easting) of a longitude in degrees east.

    Raises
    ------
    MissingDatumError
        If the longitude lies outside zones 25-45 (73.5°E-136.5°E).
    """
    zone = zone_at(lon)
    if zone not in _ZONES_3:
        raise MissingDatumError(f"经度 {lon:.4f}° 不在 3 度带 25-45 带范围（73.5°E-136.5°E）内")
    return gauss_kruger(CGCS2000, zone, prefixed=True)


@cache
def gauss_kruger(datum: str, zone: int, *, prefixed: bool) -> CRS:
    """Gauss-Krüger system of a datum: 3-degree zones 25-45, 6-degree zones 13-23; easting with or without zone.

    Raises
    ------
    MissingDatumError
        If the datum is none of the three, or there is no such zone.
    """
    codes = _FAMILIES.get(datum)
    if codes is None or (zone not in _ZONES_3 and zone not in _ZONES_6):
        raise MissingDatumError(
            f"没有“{datum}”第 {zone} 带的高斯-克吕格坐标系；3 度带为 25-45，6 度带为 13-23"
        )
    three = zone in _ZONES_3
    first = codes[("zone" if prefixed else "cm") + ("3" if three else "6")]
    return CRS.from_epsg(first + zone - (_ZONES_3 if three else _ZONES_6).start)


def geographic(datum: str) -> CRS:
    """Longitude and latitude on one of the three national datums.

    Raises
    ------
    MissingDatumError
        If the datum is none of them.
    """
    if datum not in _FAMILIES:
        raise MissingDatumError(f"不认识基准“{datum}”；可用 {'、'.join(_FAMILIES)}")
    return CRS.from_epsg(_FAMILIES[datum]["geographic"])


def counterpart(crs: CRS, datum: str) -> CRS:
    """The system of another national datum with the same zone and form of easting.

    Raises
    ------
    MissingDatumError
        If the datum is none of the three, or ``crs`` is of no national family.
    """
    meridian, zone = central_meridian(crs), zone_of(crs)
    if meridian is None:
        if not crs.is_geographic:
            raise MissingDatumError(f"{crs.name} 在“{datum}”没有对应的坐标系；请用高斯-克吕格坐标或经纬度")
        return geographic(datum)
    return gauss_kruger(datum, int(meridian / 3) if zone is None else zone, prefixed=zone is not None)


def normal(crs: CRS) -> CRS:  # noqa: PLR0911 - a return a kind of system
    """The EPSG system that ``crs`` is by its numbers, whatever its file calls it; else ``crs`` itself.

    ESRI names (``CGCS2000_3_Degree_GK_Zone_38``) and hand-made WKT carry no code;
    datum, central meridian and false easting say which one is meant.
    """
    datum = datum_of(crs)
    if datum not in _FAMILIES:
        return crs
    if crs.is_geographic:
        return CRS.from_epsg(_FAMILIES[datum]["geographic"])
    meridian, easting = central_meridian(crs), false_easting(crs)
    if meridian is None or easting is None or _parameter_scale(crs) != 1:
        return crs
    if easting == _FALSE_EASTING and meridian % 3 == 0 and meridian / 3 in _ZONES_3:
        return gauss_kruger(datum, int(meridian / 3), prefixed=False)
    zone = int(easting // _ZONE_UNIT)
    if easting - zone * _ZONE_UNIT == _FALSE_EASTING:
        if zone in _ZONES_3 and meridian == 3 * zone:
            return gauss_kruger(datum, zone, prefixed=True)
        if zone in _ZONES_6 and meridian == 6 * zone - 3:
            return gauss_kruger(datum, zone, prefixed=True)
    return crs


def _parameter_scale(crs: CRS) -> float:
    operation = crs.coordinate_operation
    for parameter in operation.params if operation else ():
        if int(parameter.code or 0) == 8805 or "scale factor" in parameter.name.lower():  # noqa: PLR2004 - EPSG
            return float(parameter.value)
    return 1.0


def robust_bounds(geometry: GeoSeries) -> Bounds | None:
    """Bounds of nearly all rows: one stray vertex at (0, 0) does not move them. None where nothing is drawn."""
    boxes = shapely.bounds(geometry.to_numpy())
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(boxes):
        return None
    low, high = np.quantile(boxes[:, :2], 0.02, axis=0), np.quantile(boxes[:, 2:], 0.98, axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def lonlat_bounds(bounds: Bounds, crs: CRS) -> Bounds:
    """Bounds in degrees on the system's own datum.

    Raises
    ------
    MissingDatumError
        If ``crs`` is tied to no ellipsoid.
    """
    geodetic = crs.geodetic_crs
    if geodetic is None:
        raise MissingDatumError(f"坐标系 {crs.name} 没有大地基准")
    west, south, east, north = Transformer.from_crs(crs, geodetic, always_xy=True).transform_bounds(*bounds)
    return west, south, east, north


def overlap(one: Bounds, other: Bounds) -> bool:
    """Whether two bounding boxes share a point."""
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def infer(
    bounds: Bounds,
    prj_crs: CRS | None = None,
    *,
    near: Bounds | GeoDataFrame | None = None,
    county_code: str | None = None,
) -> CrsGuess:
    """Coordinate system of a layer, from what its file says and where its coordinates lie.

    Parameters
    ----------
    bounds : west, south, east, north
        Of the coordinates as they stand in the file.
    prj_crs : CRS, optional
        What the file says it is.
    near : GeoDataFrame, or bounds in degrees, optional
        A layer of the same county: of two systems that the numbers allow, the one
        that falls here is right.
    county_code : str, optional
        For the message only.

    Returns
    -------
    CrsGuess
        ``certain`` only if the file said so and the coordinates agree.

    Raises
    ------
    MissingDatumError
        If neither file nor coordinates nor ``near`` tell.
    MismatchError
        If eastings carry two different zones.
    """
    target = _near_bounds(near)
    stated = normal(prj_crs) if prj_crs is not None else None
    if stated is not None and datum_of(stated) not in _FAMILIES and not _looks_chinese(bounds):
        return CrsGuess(crs=stated, reason=f"文件自带坐标系 {stated.name}", certain=True)
    straight = _readings(bounds)
    swapped = not straight
    readings = straight or _readings((bounds[1], bounds[0], bounds[3], bounds[2]))
    if not readings:
        if stated is not None:
            return CrsGuess(crs=stated, reason=f"文件自带坐标系 {stated.name}", certain=True)
        place = f"（县代码 {county_code}）" if county_code else ""
        raise MissingDatumError(
            f"没有 .prj，坐标范围 {_text(bounds)} 也不像中国的经纬度或高斯投影坐标{place}；请放置 .prj 文件或指定坐标系"
        )
    if swapped:
        bounds = (bounds[1], bounds[0], bounds[3], bounds[2])
    guess = _settle(bounds, readings, stated, target, county_code)
    if not swapped:
        return guess
    return CrsGuess(crs=guess.crs, reason=guess.reason, certain=guess.certain, swapped=True)


def _near_bounds(near: Bounds | GeoDataFrame | None) -> Bounds | None:
    if not isinstance(near, GeoDataFrame):
        return near
    if near.crs is None or (bounds := robust_bounds(near.geometry)) is None:
        return None
    return lonlat_bounds(bounds, near.crs)


def _text(bounds: Sequence[float]) -> str:
    digits = 4 if max(abs(b) for b in bounds) < 1000 else 0  # noqa: PLR2004 - degrees or metres
    return "(" + ", ".join(f"{b:.{digits}f}" for b in bounds) + ")"


def _within(low: float, high: float, span: tuple[float, float]) -> bool:
    return span[0] <= low and high <= span[1]


def _looks_chinese(bounds: Bounds) -> bool:
    kinds = _readings(bounds) or _readings((bounds[1], bounds[0], bounds[3], bounds[2]))
    return bool(kinds) and kinds not in (["degrees"], ["meridian"])


def _readings(bounds: Bounds) -> list[str]:
    """What the numbers can be with east first: degrees, a zone prefix, or a bare easting."""
    west, south, east, north = bounds
    if _within(west, east, _LON) and _within(south, north, _LAT):
        return ["degrees"]
    if not _within(south, north, _NORTHING):
        return []
    if _within(west, east, _EASTING):
        return ["meridian"]
    zones = {int(west // _ZONE_UNIT), int(east // _ZONE_UNIT)}
    if zones <= set(_ZONES_3) or zones <= set(_ZONES_6):
        if len(zones) > 1:
            raise MismatchError(
                f"东坐标带有两个带号 {sorted(zones)}（范围 {_text(bounds)}）；请把两带的数据分开或统一到一个带"
            )
        return ["prefix"]
    return []


def _settle(
    bounds: Bounds, readings: list[str], stated: CRS | None, target: Bounds | None, county_code: str | None
) -> CrsGuess:
    kind = readings[0]
    datum = datum_of(stated) if stated is not None else CGCS2000
    if datum not in _FAMILIES:  # WGS 84 and the like: the datum stands, its projection may not
        datum = CGCS2000
    assumed = "" if stated is not None else "，基准按 CGCS2000"
    if kind == "degrees":
        if stated is not None and stated.is_geographic:
            return CrsGuess(crs=stated, reason=f"文件自带坐标系 {stated.name}", certain=True)
        crs = CRS.from_epsg(_FAMILIES[datum]["geographic"])
        why = "没有 .prj" if stated is None else f".prj 写的是 {stated.name}"
        return CrsGuess(crs=crs, reason=f"{why}，坐标为经纬度，按 {crs.name} 读取{assumed}", certain=False)
    if kind == "prefix":
        zone = int(bounds[0] // _ZONE_UNIT)
        if stated is not None and zone_of(stated) == zone:
            return CrsGuess(crs=stated, reason=f"文件自带坐标系 {stated.name}", certain=True)
        crs = gauss_kruger(datum, zone, prefixed=True)
        why = "没有 .prj" if stated is None else f".prj 写的是 {stated.name}"
        return CrsGuess(
            crs=crs, reason=f"{why}，但东坐标带有带号 {zone}，按 {crs.name} 读取{assumed}", certain=False
        )
    return _settle_meridian(bounds, stated, datum, target, county_code)


def _settle_meridian(
    bounds: Bounds, stated: CRS | None, datum: str, target: Bounds | None, county_code: str | None
) -> CrsGuess:
    """A bare 6-digit easting: the central meridian is what the file says, or the one that falls on ``target``."""
    said = central_meridian(stated) if stated is not None and not stated.is_geographic else None
    if stated is not None and said is not None:
        honest = zone_of(stated) is None
        crs = stated if honest or said % 3 else gauss_kruger(datum, int(said / 3), prefixed=False)
        if target is None or overlap(lonlat_bounds(bounds, crs), target):
            reason = f"文件自带坐标系 {stated.name}"
            if not honest:
                reason = f".prj 写的是 {stated.name}，但东坐标不带带号，按 {crs.name} 读取"
            return CrsGuess(crs=crs, reason=reason, certain=honest)
    elif stated is not None and not stated.is_geographic:
        return CrsGuess(crs=stated, reason=f"文件自带坐标系 {stated.name}", certain=True)
    why = "没有 .prj" if stated is None else f".prj 写的是 {stated.name}，与坐标不符"
    if target is not None:
        fits = [
            crs
            for zone in _ZONES_3
            if overlap(lonlat_bounds(bounds, crs := gauss_kruger(datum, zone, prefixed=False)), target)
        ]
        if len(fits) == 1:
            assumed = "" if stated is not None else "，基准按 CGCS2000"
            reason = f"{why}，东坐标不带带号，只有 {fits[0].name} 落在三调范围内，按它读取{assumed}"
            return CrsGuess(crs=fits[0], reason=reason, certain=False)
        if stated is not None and said is not None:
            return CrsGuess(crs=stated, reason=f"文件自带坐标系 {stated.name}", certain=True)
    place = f"县代码 {county_code}，" if county_code else ""
    raise MissingDatumError(
        f"{why}，东坐标不带带号，中央经线无法判断（{place}坐标范围 {_text(bounds)}）；请放置 .prj 文件或指定坐标系"
    )


def convert(layer: GeoDataFrame, crs: CRS) -> GeoDataFrame:
    """The layer in another system; across datums longitude and latitude are kept as they are.

    The official parameters between the datums are restricted, and those PROJ
    knows are for other regions, so no shift is applied: the layer then lies tens
    of metres off until a local one is estimated (`same_datum` tells). Where the
    parameters are known, `geo.datum.convert` applies them.

    Raises
    ------
    MissingDatumError
        If the layer has no system, or either is tied to no ellipsoid.
    """
    if layer.crs is None:
        raise MissingDatumError("图层没有坐标系，无法转换")
    if layer.crs == crs:
        return layer
    if same_datum(layer.crs, crs):
        return layer.to_crs(crs)
    here, there = layer.crs.geodetic_crs, crs.geodetic_crs
    if here is None or there is None:
        raise MissingDatumError("坐标系没有大地基准，无法转换")
    return layer.to_crs(here).set_crs(there, allow_override=True).to_crs(crs)
