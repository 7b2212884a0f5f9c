"""A file on how an old datum goes to CGCS2000: parameters as TOML, or control points as CSV.

Nothing in such a file may be read two ways: the datum, the axes and the
rotation's convention must be named in it, and what the numbers show (degrees
or metres, the zone in the easting) is held against what the names say.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pandas as pd
from geopandas import GeoDataFrame
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from geo import crs as systems
from geo.control_points import HELMERT, PLANAR, FitSettings
from geo.crs import CGCS2000
from geo.datum import HELMERT_NAMES, PLANAR_NAMES, DatumShift, helmert, planar, require_plausible
from geo.errors import GeoError, InputError, MismatchError
from geo.exchange import control_file
from geo.exchange.control_file import datum_name, decoded
from geo.findings import findings, joined

_MODELS: Final = {
    "helmert": HELMERT,
    "七参数": HELMERT,
    "三参数": HELMERT,
    "planar": PLANAR,
    "四参数": PLANAR,
    "平面四参数": PLANAR,
}
_COMMON: Final = ("model", "source", "target", "accuracy_m", "provenance")
_POINTS: Final = ("points", "model", "source", "sigma_m", "limit_m")
_REACH_3: Final = 2.0  # degrees from the meridian of a 3-degree zone to a county's middle, overhang included
_REACH_6: Final = 4.0
_NEEDED: Final = {HELMERT: HELMERT_NAMES[:3], PLANAR: PLANAR_NAMES[:2]}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DatumReading:
    """What a datum file says: one shift a datum, what was found amiss, and the files it came from."""

    shifts: tuple[DatumShift, ...]  # sorted by datum
    findings: pd.DataFrame
    files: tuple[Path, ...]


def read_datum(path: Path | str, *, near: GeoDataFrame | None = None) -> DatumReading:
    """Shifts from old datums to CGCS2000, of a TOML or CSV file.

    Parameters
    ----------
    path : Path
        ``.toml`` with parameters (or the name of a CSV beside it), or ``.csv`` with control points.
    near : GeoDataFrame, optional
        The survey: control points must lie in its county, parameters must not move it by more
        than 300 m, and a 6-digit easting gets its zone from it.

    Returns
    -------
    DatumReading
        Findings ``control_point_outlier`` name points that were left out.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a value, or has too few points.
    MismatchError
        If parameters or points contradict each other, the zone, or the county.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"找不到转换参数文件 {path}；请检查路径")
    suffix = path.suffix.lower()
    if suffix == ".toml":
        shifts, files = _of_toml(path, near)
    elif suffix == ".csv":
        shifts, files = control_file.read_points(path, near=near), [path]
    else:
        raise InputError(f"{path.name}：转换参数文件应为 .toml（参数）或 .csv（控制点）；表格请另存为 CSV")
    names = [shift.datum for shift in shifts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{path.name} 对{'、'.join(twice)}给了不止一套参数；请只留一套")
    if near is not None:
        for shift in shifts:
            if shift.support is None:  # points are held against the county where they are read
                _require_here(shift, near)
    notes = [_outliers(shift) for shift in shifts if len(shift.outliers)]
    order = sorted(range(len(shifts)), key=lambda at: names[at])
    return DatumReading(
        shifts=tuple(shifts[at] for at in order), findings=joined(notes), files=tuple(dict.fromkeys(files))
    )


def _require_here(shift: DatumShift, near: GeoDataFrame) -> None:
    """Parameters must be of the county's zone, and not throw it out of its place."""
    bounds = systems.robust_bounds(near.geometry)
    if near.crs is None or bounds is None:
        return
    place = systems.lonlat_bounds(bounds, near.crs)
    meridian = systems.central_meridian(shift.source)
    if meridian is None:
        require_plausible(shift, place)
        return
    lon = (place[0] + place[2]) / 2
    reach = _REACH_3 if "3-degree" in shift.source.name else _REACH_6
    if abs(lon - meridian) > reach:
        raise MismatchError(
            f"参数用于中央经线 {meridian:g}° 的带，而本县在东经 {lon:.2f}°（3 度带 {systems.zone_at(lon)} 带）；"
            "请核对带号或 EPSG 代码"
        )
    into = Transformer.from_crs(shift.source.geodetic_crs, shift.source, always_xy=True)
    west, south, east, north = into.transform_bounds(*place)
    require_plausible(shift, (west, south, east, north))


def _outliers(shift: DatumShift) -> pd.DataFrame:
    rows = shift.outliers
    messages = [
        f"{file} 第 {row + 2} 行{f'（点 {name}）' if pd.notna(name) else ''}未参与解算：{reason}"
        for file, row, name, reason in zip(
            rows["source_file"], rows["source_row"], rows["point"], rows["reason"], strict=True
        )
    ]
    return findings(
        "control_point_outlier",
        messages,
        layer=str(rows["source_file"].iloc[0]),
        rows=rows[["source_file", "source_row"]],
        row_code=rows["point"].fillna(""),
    )


# TOML.


def _of_toml(path: Path, near: GeoDataFrame | None) -> tuple[list[DatumShift], list[Path]]:
    try:
        told = tomllib.loads(decoded(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path.name} 不是有效的 TOML（{error}）；请对照使用指南的样例检查") from error
    several = told.get("shift")
    if isinstance(several, list):
        if others := sorted(set(told) - {"shift"}):
            raise InputError(f"{path.name}：有 [[shift]] 时，{'、'.join(others)} 应写在各个 [[shift]] 之内")
        entries = [(f"{path.name} 第 {at} 个 [[shift]]", entry) for at, entry in enumerate(several, 1)]
    else:
        entries = [(path.name, told)]
    shifts: list[DatumShift] = []
    files = [path]
    for label, entry in entries:
        try:
            if "points" in entry:
                more, file = _of_points(entry, path, near)
                shifts += more
                files.append(file)
            else:
                shifts.append(_of_parameters(entry, path))
        except GeoError as error:
            raise type(error)(f"{label}：{error}") from error
    if not shifts:
        raise InputError(f"{path.name} 里没有转换参数；请对照使用指南的样例填写")
    return shifts, files


def _of_points(
    entry: Mapping[str, Any], path: Path, near: GeoDataFrame | None
) -> tuple[list[DatumShift], Path]:
    """Control points with a model or a limit of the office's own."""
    _require_keys(entry, _POINTS)
    file = path.parent / str(entry["points"])
    if not file.is_file():
        raise InputError(f"找不到控制点文件 {entry['points']}（应与 {path.name} 放在一起）")
    usual = FitSettings(model=_model(entry, PLANAR))
    sigma = _number(entry, "sigma_m") if "sigma_m" in entry else usual.sigma_m
    limit = _number(entry, "limit_m") if "limit_m" in entry else usual.limit_m
    if sigma <= 0 or limit <= 0:
        raise InputError("sigma_m 和 limit_m 应大于 0（单位米）")
    settings = replace(usual, sigma_m=sigma, limit_m=limit)
    datum = datum_name(str(entry["source"])) if "source" in entry else None
    return control_file.read_points(file, near=near, datum=datum, settings=settings), file


def _of_parameters(entry: Mapping[str, Any], path: Path) -> DatumShift:
    model = _model(entry, None)
    if "source" not in entry:
        raise InputError('缺少 source（旧基准），如 source = "西安80" 或 "EPSG:2383"')
    names = HELMERT_NAMES if model == HELMERT else PLANAR_NAMES
    extra = ("convention",) if model == HELMERT else ("source_zone", "target_zone")
    _require_keys(entry, (*_COMMON, *names, *extra))
    if lacking := [name for name in _NEEDED[model] if name not in entry]:
        hint = "（平面四参数的平移请写 north_m（X，北）与 east_m（Y，东））" if model == PLANAR else ""
        raise InputError(f"缺少 {'、'.join(lacking)}{hint}")
    values = {name: _number(entry, name) for name in names if name in entry}
    accuracy = _number(entry, "accuracy_m") if "accuracy_m" in entry else None
    if accuracy is not None and accuracy <= 0:
        raise InputError("accuracy_m 应大于 0（单位米）")
    given = entry.get("provenance", f"参数取自 {path.name}")
    if model == HELMERT:
        if datum_name(target := str(entry.get("target", CGCS2000))) != CGCS2000:
            raise InputError(f"target 应为 CGCS2000，写的是 {target}")
        shift = helmert(datum_name(str(entry["source"])), values, convention=entry.get("convention"))
    else:
        shift = planar(_plane(entry, "source"), _plane(entry, "target"), values)
    return replace(shift, accuracy_m=accuracy, provenance=str(given))


def _require_keys(entry: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if strange := sorted(set(entry) - set(known)):
        hint = "；平面四参数的平移请写 north_m（北）、east_m（东）" if {"dx_m", "dy_m"} & set(strange) else ""
        raise InputError(f"不认识 {'、'.join(strange)}；可写的有 {'、'.join(known)}{hint}")


def _model(entry: Mapping[str, Any], default: str | None) -> str:
    said = entry.get("model")
    if said is None and default is not None:
        return default
    if said not in _MODELS:
        raise InputError(f"model 应为 {'、'.join(_MODELS)} 之一，写的是 {said!r}")
    return _MODELS[str(said)]


def _number(entry: Mapping[str, Any], name: str) -> float:
    value = entry[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise InputError(f"{name} 应为数字，写的是 {value!r}")
    return float(value)


def _plane(entry: Mapping[str, Any], side: str) -> CRS:
    """The Gauss-Krüger system of one side: an EPSG code, or a datum with its zone."""
    said, zone = str(entry.get(side, CGCS2000)), entry.get(f"{side}_zone")
    if said.upper().startswith("EPSG:"):
        try:
            return systems.normal(CRS.from_user_input(said))
        except CRSError as error:
            raise InputError(f"不认识 {side} 的坐标系 {said}；请核对 EPSG 代码") from error
    if isinstance(zone, bool) or not isinstance(zone, int):
        raise MismatchError(
            f'{side} 只写了“{said}”，没有带号；请写 EPSG 代码（如 "EPSG:2383"），或加上 {side}_zone = 38'
        )
    return systems.gauss_kruger(datum_name(said), zone, prefixed=False)
