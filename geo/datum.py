"""From an old datum to CGCS2000: the shift as a value, and layers moved by it.

西安80 and 北京54 lie tens of metres off CGCS2000. The official parameters are
restricted, so an office brings its own, as numbers or as control points; what
was brought, and how exact it is, stays with the shift. A shift that moves a
county further than any datum does is refused: its signs, units or direction
are wrong.

Source: IOGP Guidance Note 7-2, methods 1031 (geocentric translations), 1033 (position vector), 1032
(coordinate frame) and 9621 (similarity); the four plane parameters are
N' = dN + (1 + k)(N cos a - E sin a), E' = dE + (1 + k)(N sin a + E cos a), as surveyors in China write them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from geopandas import GeoDataFrame
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import ProjError

from geo import crs as systems
from geo.crs import CGCS2000, Bounds
from geo.errors import InputError, MismatchError, MissingDatumError

Array = npt.NDArray[np.float64]

POSITION_VECTOR: Final = "position_vector"
COORDINATE_FRAME: Final = "coordinate_frame"
FARTHEST_M: Final = 300.0  # no two national datums of China lie further apart: standards 4.3
FINEST_M: Final = 0.01  # however well a few points agree, no better accuracy is claimed
KINDS: Final = {"helmert3": "三参数", "helmert7": "七参数", "planar4": "平面四参数"}

HELMERT_NAMES: Final = ("dx_m", "dy_m", "dz_m", "rx_arcsec", "ry_arcsec", "rz_arcsec", "scale_ppm")
PLANAR_NAMES: Final = ("north_m", "east_m", "rotation_arcsec", "scale_ppm", "about_north_m", "about_east_m")

_ROTATIONS: Final = ("rx_arcsec", "ry_arcsec", "rz_arcsec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Where the control points of a fitted shift lie, in its source plane: accuracy falls off away from them."""

    count: int
    north_m: float  # their centre
    east_m: float
    moment_m2: float  # sum of their squared distances from it
    sigma_m: float  # of one coordinate, from the residuals


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DatumShift:
    """How coordinates of one datum become coordinates of another, and how far that is to be trusted."""

    source: CRS  # geographic for parameters in space, Gauss-Krüger for parameters in the plane
    target: CRS
    kind: str  # a key of KINDS
    parameters: Mapping[str, float]
    pipeline: str  # PROJ, from source to target, east or longitude first
    provenance: str  # in Chinese: who gave the parameters, or which file they were computed from
    convention: str | None = None  # of the rotations
    accuracy_m: float | None = None  # mean point error, one sigma; None where nobody said
    rms_m: float | None = None  # of the residuals at the points that were used
    residuals: pd.DataFrame = field(default_factory=pd.DataFrame)  # of `geo.control_points.fit`
    support: Support | None = None

    @property
    def datum(self) -> str:
        """Name of the datum it comes from."""
        return systems.datum_of(self.source)

    @property
    def outliers(self) -> pd.DataFrame:
        """Rows of ``residuals`` that were left out as gross errors."""
        if self.residuals.empty:
            return self.residuals
        return self.residuals[self.residuals["outlier"]]


def helmert(
    source: str,
    parameters: Mapping[str, float],
    *,
    convention: str | None = None,
    accuracy_m: float | None = None,
    provenance: str = "给定参数",
) -> DatumShift:
    """A shift by 3 or 7 parameters between geocentric coordinates, to CGCS2000.

    Heights are taken as 0 on the old ellipsoid: at 2000 m that is 5 cm in position.

    Parameters
    ----------
    source : str
        西安80 or 北京54.
    parameters : mapping
        ``dx_m``, ``dy_m``, ``dz_m``, ``rx_arcsec``, ``ry_arcsec``, ``rz_arcsec``, ``scale_ppm``, from the old
        datum to the new; what is left out is 0.
    convention : str
        ``position_vector`` or ``coordinate_frame``; needed where a rotation is not 0.
    accuracy_m : float, optional
        What their giver says.
    provenance : str
        Who that is, in Chinese.

    Returns
    -------
    DatumShift
        Between the geographic systems of the two datums.

    Raises
    ------
    InputError
        If a parameter has another name, or there are rotations without convention.
    MismatchError
        If the source is CGCS2000 already.
    MissingDatumError
        If the datum is not known.
    """
    values = _complete(parameters, HELMERT_NAMES)
    turned = any(values[name] for name in _ROTATIONS)
    if turned and convention not in {POSITION_VECTOR, COORDINATE_FRAME}:
        raise InputError(
            f"七参数有旋转角，必须写明 convention：{POSITION_VECTOR}（位置矢量）或 {COORDINATE_FRAME}（坐标框架）；"
            "两者旋转角符号相反，请向参数提供单位核实"
        )
    here, there = systems.geographic(source), systems.geographic(CGCS2000)
    if here == there:
        raise MismatchError("旧基准已是 CGCS2000，不需要转换参数；请核对")
    three = not turned and not values["scale_ppm"]
    names = HELMERT_NAMES[: 3 if three else 7]
    keys = ("x", "y", "z", "rx", "ry", "rz", "s")
    step = " ".join(f"+{key}={_text(values[name])}" for key, name in zip(keys, names, strict=False))
    if not three:
        step += f" +convention={convention or POSITION_VECTOR}"
    return DatumShift(
        source=here,
        target=there,
        kind="helmert3" if three else "helmert7",
        parameters=MappingProxyType({name: values[name] for name in names}),
        pipeline=_pipeline(
            "+proj=unitconvert +xy_in=deg +xy_out=rad",
            f"+proj=cart {_ellipsoid(here)}",
            f"+proj=helmert {step}",
            f"+inv +proj=cart {_ellipsoid(there)}",
            "+proj=unitconvert +xy_in=rad +xy_out=deg",
        ),
        provenance=provenance,
        convention=convention if turned else None,
        accuracy_m=accuracy_m,
    )


def planar(
    source: CRS,
    target: CRS,
    parameters: Mapping[str, float],
    *,
    accuracy_m: float | None = None,
    provenance: str = "给定参数",
) -> DatumShift:
    """A shift by 4 parameters in the plane, between Gauss-Krüger systems of one central meridian.

    Parameters
    ----------
    source, target : CRS
        Gauss-Krüger systems; whether eastings carry the zone number counts for the parameters.
    parameters : mapping
        ``north_m``, ``east_m``: added to X (north) and Y (east); ``rotation_arcsec``: from north to east;
        ``scale_ppm``: scale less 1; ``about_north_m``, ``about_east_m``: the point of ``source`` that scale and
        rotation leave in place. What is left out is 0.
    accuracy_m, provenance
        As in `helmert`.

    Returns
    -------
    DatumShift
        Between those two systems.

    Raises
    ------
    InputError
        If a parameter has another name, a system is no Gauss-Krüger one, or ``target`` is not on CGCS2000.
    MismatchError
        If the two have different central meridians, or stand on one datum.
    """
    values = _complete(parameters, PLANAR_NAMES)
    meridians = systems.central_meridian(source), systems.central_meridian(target)
    for crs, meridian in zip((source, target), meridians, strict=True):
        if meridian is None:
            raise InputError(f"平面四参数只用于高斯-克吕格平面坐标，{crs.name} 不是；请写带号或 EPSG 代码")
    if systems.datum_of(target) != CGCS2000:
        raise InputError(f"目标坐标系应为 CGCS2000，写的是 {target.name}")
    if systems.datum_of(source) == CGCS2000:
        raise MismatchError(f"旧坐标系 {source.name} 已是 CGCS2000，不需要转换参数；请核对")
    if meridians[0] != meridians[1]:
        raise MismatchError(
            f"旧坐标系中央经线 {meridians[0]:g}°，新坐标系 {meridians[1]:g}°，不在同一带；"
            "平面四参数只在同一带内成立，请核对带号"
        )
    north, east = values["about_north_m"], values["about_east_m"]
    return DatumShift(
        source=source,
        target=target,
        kind="planar4",
        parameters=MappingProxyType(values),
        pipeline=_pipeline(
            f"+proj=affine +xoff={_text(-east)} +yoff={_text(-north)}",
            f"+proj=helmert +x={_text(east + values['east_m'])} +y={_text(north + values['north_m'])}"
            f" +theta={_text(values['rotation_arcsec'])} +s={_text(1 + values['scale_ppm'] * 1e-6)}",
        ),
        provenance=provenance,
        accuracy_m=accuracy_m,
    )


def _complete(parameters: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    if strange := sorted(set(parameters) - set(names)):
        raise InputError(f"不认识参数 {'、'.join(strange)}；可写的有 {'、'.join(names)}")
    return {name: float(parameters.get(name, 0.0)) for name in names}


def _pipeline(*steps: str) -> str:
    return " ".join(["+proj=pipeline", *(f"+step {step}" for step in steps)])


def _text(value: float) -> str:
    return format(value, ".17g")


def _ellipsoid(crs: CRS) -> str:
    ellipsoid = crs.ellipsoid
    if ellipsoid is None:
        raise MissingDatumError(f"坐标系 {crs.name} 没有椭球")
    return f"+a={_text(ellipsoid.semi_major_metre)} +rf={_text(ellipsoid.inverse_flattening)}"


def moved(shift: DatumShift, xy: Array, *, back: bool = False) -> Array:
    """Coordinates of the source as coordinates of the target.

    Parameters
    ----------
    shift : DatumShift
        The way.
    xy : array, n x 2
        East and north in metres, or longitude and latitude in degrees, as ``shift.source`` has them.
    back : bool
        From target to source instead.

    Returns
    -------
    array, n x 2
        The same in ``shift.target``.
    """
    transformer = Transformer.from_pipeline(shift.pipeline)
    x, y = transformer.transform(xy[:, 0], xy[:, 1], direction="INVERSE" if back else "FORWARD")
    return np.column_stack([x, y])


def convert(layer: GeoDataFrame, shift: DatumShift, crs: CRS | None = None) -> GeoDataFrame:
    """The layer on the new datum.

    Parameters
    ----------
    layer : GeoDataFrame, n rows
        In any system of the datum the shift comes from; heights are dropped.
    shift : DatumShift
        Of `geo.exchange.datum_file.read_datum`, `helmert`, `planar` or `geo.control_points.fit`.
    crs : CRS, optional
        The system wanted, on CGCS2000 or WGS 84 (which are one at this accuracy); else the shift's target.

    Returns
    -------
    GeoDataFrame, n rows
        In the same order; missing and empty geometries stay so.

    Raises
    ------
    MissingDatumError
        If the layer has no system.
    MismatchError
        If layer or ``crs`` stand on another datum than the shift, or it moves them by more than 300 m.
    """
    if layer.crs is None:
        raise MissingDatumError("图层没有坐标系，无法转换")
    if not systems.same_datum(layer.crs, shift.source):
        raise MismatchError(
            f"图层的基准是{systems.datum_of(layer.crs)}，转换参数从{shift.datum}出发；请提供该基准的参数"
        )
    if crs is not None and not systems.same_datum(crs, shift.target):
        raise MismatchError(f"转换参数通向 {shift.target.name}，不通向 {crs.name}；请核对目标坐标系")
    here = layer.set_crs(systems.normal(layer.crs), allow_override=True).to_crs(shift.source)
    bounds = systems.robust_bounds(here.geometry)
    if bounds is not None:
        require_plausible(shift, bounds)
    shapes = shapely.transform(here.geometry.to_numpy(), lambda xy: moved(shift, xy))
    out = here.set_geometry(gpd.GeoSeries(shapes, index=here.index, crs=shift.target))
    return out if crs is None else out.to_crs(crs)


def displacement(shift: DatumShift, bounds: Bounds) -> float:
    """How far the shift moves a place, in metres: the most over its corners and centre.

    Measured against longitude and latitude kept as they are, which is what happens without a shift.
    """
    west, south, east, north = bounds
    xy = np.array(
        [(west, south), (west, north), (east, south), (east, north), ((west + east) / 2, (south + north) / 2)]
    )
    try:
        there = moved(shift, xy)
    except ProjError:
        return math.inf
    before, after = lonlat(xy, shift.source), lonlat(there, shift.target)
    if not (np.isfinite(before).all() and np.isfinite(after).all()):
        return math.inf
    geod = Geod(a=6378137, rf=298.257222101)
    return float(np.max(geod.inv(*before.T, *after.T)[2]))


def lonlat(xy: Array, crs: CRS) -> Array:
    """Longitude and latitude, on the system's own datum, of coordinates with east first.

    Raises
    ------
    MissingDatumError
        If ``crs`` is tied to no ellipsoid.
    """
    if crs.geodetic_crs is None:
        raise MissingDatumError(f"坐标系 {crs.name} 没有大地基准")
    return np.column_stack(Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(*xy.T))


def require_plausible(shift: DatumShift, bounds: Bounds) -> None:
    """Refuse a shift that moves a place further than any datum of China lies from CGCS2000.

    Parameters
    ----------
    shift : DatumShift
        The shift.
    bounds : west, south, east, north
        The place, in ``shift.source``.

    Raises
    ------
    MismatchError
        With what the mistake may be: the message names a change of sign or direction that would mend it.
    """
    far = displacement(shift, bounds)
    if far <= FARTHEST_M:
        return
    what = "坐标落到投影之外" if math.isinf(far) else f"使图层移动 {far:.0f} m"
    raise MismatchError(
        f"{KINDS[shift.kind]}（{shift.provenance}）{what}，而{shift.datum}与 CGCS2000 相差不会超过 {FARTHEST_M:.0f} m；"
        f"{_hint(shift, bounds)}"
    )


def _hint(shift: DatumShift, bounds: Bounds) -> str:
    """What change would make the shift plausible."""
    for label, other in _mistakes(shift):
        far = displacement(other, bounds)
        if far <= FARTHEST_M:
            return f"{label}则为 {far:.0f} m，请核对"
    if shift.kind == "planar4":
        return "请核对带号、东坐标是否含带号、北（X）东（Y）次序、旋转角单位（秒）与尺度单位（ppm）"
    return "请核对参数方向（旧→新）、旋转角约定 convention、旋转角单位（秒）与尺度单位（ppm）"


def _mistakes(shift: DatumShift) -> Sequence[tuple[str, DatumShift]]:
    """The shift as it would be without each of the usual mistakes."""
    values = dict(shift.parameters)
    turned = {name: -value for name, value in values.items() if not name.startswith("about_")}

    def rebuilt(new: dict[str, float]) -> DatumShift:
        if shift.kind == "planar4":
            return planar(shift.source, shift.target, new)
        return helmert(shift.datum, new, convention=shift.convention)

    out = []
    if shift.convention is not None:
        other = COORDINATE_FRAME if shift.convention == POSITION_VECTOR else POSITION_VECTOR
        flipped = helmert(shift.datum, values, convention=other)
        out.append((f"旋转符号约定疑似写反：若 convention 为 {other}，", flipped))
    if values.get("rotation_arcsec"):
        out.append(
            (
                "旋转角符号疑似相反：若取反，",
                rebuilt(values | {"rotation_arcsec": -values["rotation_arcsec"]}),
            )
        )
    if values.get("scale_ppm"):
        out.append(("尺度疑似不是 ppm 或符号相反：若不计尺度，", rebuilt(values | {"scale_ppm": 0.0})))
    out.append(("参数方向疑似相反（应为旧→新）：若全部取反，", rebuilt(values | turned)))
    return out


def accuracy_over(shift: DatumShift, bounds: Bounds) -> float | None:
    """Mean point error in metres at the corner of a place where it is largest; None if nobody said.

    A fitted shift is least exact far from its control points; given parameters
    have the accuracy their giver states, everywhere.

    Parameters
    ----------
    shift : DatumShift
        The shift.
    bounds : west, south, east, north
        The place, in ``shift.source``.
    """
    support = shift.support
    if support is None or shift.accuracy_m is None or systems.central_meridian(shift.source) is None:
        return shift.accuracy_m
    west, south, east, north = bounds
    reach = max(abs(west - support.east_m), abs(east - support.east_m)) ** 2
    reach += max(abs(south - support.north_m), abs(north - support.north_m)) ** 2
    spread = math.sqrt(2 * (1 + 1 / support.count + reach / support.moment_m2))
    return max(support.sigma_m * spread, FINEST_M)


def described(shift: DatumShift, over: GeoDataFrame | None = None) -> str:
    """The shift in one Chinese clause: kind, provenance, control points, accuracy (over a layer, if given)."""
    parts = [f"{KINDS[shift.kind]}，{shift.provenance}"]
    if shift.rms_m is not None:
        left = len(shift.outliers)
        gone = f"（另有 {left} 个粗差点未用）" if left else ""
        parts.append(f"控制点 {len(shift.residuals) - left} 个{gone}，残差均方根 {shift.rms_m:.3f} m")
    accuracy = shift.accuracy_m
    if over is not None and over.crs is not None:
        bounds = systems.robust_bounds(over.geometry)
        if bounds is not None:
            into = Transformer.from_crs(over.crs, shift.source, always_xy=True)
            west, south, east, north = into.transform_bounds(*bounds)
            accuracy = accuracy_over(shift, (west, south, east, north))
    parts.append("精度未注明" if accuracy is None else f"点位精度 ±{accuracy:.2f} m")
    return "，".join(parts)
