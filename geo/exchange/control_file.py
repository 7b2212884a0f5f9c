"""Control points from a CSV: which column is which side and axis, which datum and zone, and are they of this county.

Surveyors in China call the northing X and the easting Y, most programs the
other way round. So a column is known by its header (北/纵/N/纬 or X for north,
东/横/E/经 or Y for east), and the numbers must bear it out: northings and
eastings of China have no values in common.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from geopandas import GeoDataFrame
from pyproj import CRS, Transformer

from geo import crs as systems
from geo.control_points import FitSettings, Mask, fit
from geo.crs import BEIJING54, CGCS2000, XIAN80
from geo.datum import Array, DatumShift, lonlat, require_plausible
from geo.errors import GeoError, InputError, MismatchError, MissingColumnError

_DATUMS: Final = {
    CGCS2000: r"国家2000(大地坐标系)?|2000国家(大地坐标系)?|cgcs ?2000|china ?2000|2000",
    XIAN80: r"西安(19)?80|(19)?80西安|xi'?an ?(19)?80|西安|xi'?an|(19)?80",
    BEIJING54: r"北京(19)?54|(19)?54北京|beijing ?(19)?54|bj ?(19)?54|北京|beijing|(19)?54",
}
_OLD: Final = r"旧|原|源|老|转换前|old|source|src|from"
_NEW: Final = r"新|目标|转换后|new|target|dst|to"
_NOISE: Final = r"大地坐标系|坐标系|坐标|值|系|coordinate|coord|米|度|deg|metres?|meters?"
_AXES: Final = {
    "north": r"北|纵|北x|x北|纵x|x纵|x|n|north|northing|纬|b|lat|latitude",
    "east": r"东|横|东y|y东|横y|y横|y|e|east|easting|经|l|lon|lng|long|longitude",
    "height": r"大地高|椭球高|h|height|ellipsoidalheight",
}
_LABELS: Final = {
    "point": r"点名|点号|名称|编号|点名称|控制点|控制点名称|name|point|pointname|id|pointid",
    "datum": r"(旧|原)?(基准|坐标系|大地基准)|(old)?datum",
    "zone": r"带号|zone",
    "meridian": r"中央经线|中央子午线|centralmeridian|cm",
}
_NEEDED: Final = {
    "old_north": "旧X（北）",
    "old_east": "旧Y（东）",
    "new_north": "新X（北）",
    "new_east": "新Y（东）",
}
_NORTH_M: Final = (1.8e6, 6.1e6)
_EAST_M: Final = (1e5, 9e5)
_NORTH_DEG: Final = (15.0, 56.0)
_EAST_DEG: Final = (70.0, 140.0)
_MILLION: Final = 1e6
_ZONES: Final = (*range(13, 24), *range(25, 46))
_FIRST_3: Final = 25  # of the 3-degree zones
_BESIDE_DEG: Final = 0.2  # control of a county may lie beyond its border


def datum_name(text: str) -> str:
    """Our name of a datum, from the many it goes by, or from an EPSG code.

    Raises
    ------
    InputError
        If the text names none of the three.
    """
    plain = unicodedata.normalize("NFKC", text).strip().lower().replace("_", " ")
    if plain.startswith("epsg:"):
        try:
            return systems.datum_of(CRS.from_user_input(plain))
        except Exception as error:  # whatever pyproj raises for a code it lacks
            raise InputError(f"不认识坐标系 {text}；请核对 EPSG 代码") from error
    for name, pattern in _DATUMS.items():
        if re.search(pattern, plain):
            return name
    raise InputError(f"不认识基准“{text}”；请写 {XIAN80}、{BEIJING54} 或 {CGCS2000}")


def decoded(path: Path) -> str:
    """Text of a small file in UTF-8 (with or without mark) or GBK.

    Raises
    ------
    InputError
        If it is in neither, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} 打不开（{error.strerror}）；请检查路径和权限") from error
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"{path.name} 既不是 UTF-8 也不是 GBK 编码；请另存为 UTF-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """Names of the columns by what they are, and the datum an old coordinate's header names."""

    columns: dict[str, str]  # old_north, old_east, new_north, ..., point, datum, zone, meridian
    datum: str | None


def read_points(
    path: Path,
    *,
    near: GeoDataFrame | None = None,
    datum: str | None = None,
    settings: FitSettings | None = None,
) -> list[DatumShift]:
    """Shifts fitted to the control points of a CSV, one an old datum.

    Parameters
    ----------
    path : Path
        CSV, UTF-8 or GBK, a row a point.
    near : GeoDataFrame, optional
        The survey, whose county the points must lie in.
    datum : str, optional
        The old datum, where the file does not name it.
    settings : FitSettings, optional
        Model and limits of the fit.

    Returns
    -------
    list of DatumShift
        In the plane system of the points' zone without zone number.

    Raises
    ------
    MissingColumnError
        If a coordinate has no column.
    InputError
        If a cell is no number, a datum or zone is not named, or the points are too few.
    MismatchError
        If zones are mixed, axes turned throughout, or points lie in another county.
    """
    table = _table(path)
    header = _header([str(name) for name in table.columns], path.name)
    cells = pd.DataFrame({role: table[name] for role, name in header.columns.items()})
    numbers = _numbers(cells, header, path.name)
    rows = cells.index.to_numpy()
    points = pd.DataFrame({"source_file": path.name, "source_row": rows})
    names = (
        cells["point"].where(cells["point"] != "") if "point" in cells else pd.Series(None, index=cells.index)
    )
    points["point"] = names.astype("str").to_numpy()
    datums = _datums(cells, header, datum, path.name)
    if not len(points):
        raise InputError(f"{path.name} 里没有控制点；请在表头下每行填一个点")
    shifts = []
    for name in sorted(datums.unique()):
        of_it = np.flatnonzero(datums == name)
        part = numbers.iloc[of_it].reset_index(drop=True)
        said = points.iloc[of_it].reset_index(drop=True)
        shifts.append(_fitted(part, said, name, path.name, near, settings))
    return shifts


def _table(path: Path) -> pd.DataFrame:
    """All cells as text, in normal width; blank rows left out, row numbers kept in the index."""
    text = decoded(path)
    if not text.strip():
        raise InputError(f"{path.name} 是空文件；请在第一行写表头，以下每行一个控制点")
    try:
        table = pd.read_csv(
            StringIO(text), dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning, ValueError) as error:
        raise InputError(f"{path.name} 不是整齐的 CSV（{error}）；请在表格软件中另存为 CSV") from error
    table = table.fillna("").astype(str)
    for name in table.columns:
        table[name] = [unicodedata.normalize("NFKC", value).strip() for value in table[name]]
    return table[(table != "").any(axis=1)]


def _header(names: Sequence[str], file: str) -> _Header:
    columns: dict[str, str] = {}
    datums: set[str] = set()
    for name in names:
        role, datum = _role(name)
        if role is None:
            continue
        if role in columns:
            raise InputError(f"{file} 的列“{columns[role]}”和“{name}”重复；请只留一列")
        columns[role] = name
        if datum is not None and role.startswith("old"):
            datums.add(datum)
    if len(datums) > 1:
        raise InputError(
            f"{file} 的旧坐标列写了两种基准：{'、'.join(sorted(datums))}；请分成两行填写并加“基准”列"
        )
    if lacking := [title for role, title in _NEEDED.items() if role not in columns]:
        raise MissingColumnError(
            f"{file} 缺少列 {'、'.join(lacking)}；现有的列：{'、'.join(names) or '无'}；"
            "表头请写如 点名,基准,旧X（北）,旧Y（东）,新X（北）,新Y（东），经纬度请写 旧纬度,旧经度,新纬度,新经度"
        )
    return _Header(columns=columns, datum=next(iter(datums), None))


def _role(name: str) -> tuple[str | None, str | None]:
    """What a column is by its header, and the datum its header names."""
    plain = re.sub(r"[\s_\-.·/:：()（）\[\]]+", "", unicodedata.normalize("NFKC", name).lower())
    for role, pattern in _LABELS.items():
        if re.fullmatch(pattern, plain):
            return role, None
    datum, rest = _taken(plain, _DATUMS)
    side, rest = _taken(
        re.sub(_NOISE, "", rest), {"old": f"^({_OLD})|({_OLD})$", "new": f"^({_NEW})|({_NEW})$"}
    )
    if datum is not None:
        of_datum = "new" if datum == CGCS2000 else "old"
        if side not in {None, of_datum}:
            return None, None
        side = of_datum
    axis = next((axis for axis, pattern in _AXES.items() if re.fullmatch(f"({pattern})m?", rest)), None)
    return (None, None) if side is None or axis is None else (f"{side}_{axis}", datum)


def _taken(text: str, patterns: Mapping[str, str]) -> tuple[str | None, str]:
    """The first name whose pattern is in the text, and what else is in it."""
    for name, pattern in patterns.items():
        if found := re.search(pattern, text):
            return name, text[: found.start()] + text[found.end() :]
    return None, text


def _numbers(cells: pd.DataFrame, header: _Header, file: str) -> pd.DataFrame:
    out = pd.DataFrame(index=cells.index)
    for role, name in header.columns.items():
        if not role.startswith(("old_", "new_")) and role not in {"zone", "meridian"}:
            continue
        values = pd.to_numeric(cells[role], errors="coerce").astype("float64")
        blank = cells[role] == ""
        optional = role.endswith("height") or role in {"zone", "meridian"}
        bad = ~np.isfinite(values) & ~(blank & optional)
        if bad.any():
            row = cells.index[bad][0]
            said = "是空的" if blank[row] else f"不是数：“{cells.loc[row, role]}”"
            raise InputError(f"{file} 第 {row + 2} 行的“{name}”{said}；请改为数字（经纬度用十进制度）")
        out[role] = values
    return out


def _datums(cells: pd.DataFrame, header: _Header, given: str | None, file: str) -> pd.Series:
    """Old datum of each row."""
    default = header.datum or given
    said = cells["datum"] if "datum" in cells else pd.Series("", index=cells.index)
    out = []
    for row, text in said.items():
        try:
            name = datum_name(str(text)) if text else default
        except GeoError as error:
            raise InputError(f"{file} 第 {int(str(row)) + 2} 行：{error}") from error
        if name is None:
            raise InputError(
                f"{file} 没有写明旧坐标的基准；请加一列“基准”填 {XIAN80} 或 {BEIJING54}，或把表头写成“西安80_X”"
            )
        if name not in {XIAN80, BEIJING54}:
            raise InputError(
                f"{file} 第 {int(str(row)) + 2} 行的旧基准是 {name}；应为 {XIAN80} 或 {BEIJING54}"
            )
        out.append(name)
    return pd.Series(out, dtype="str")


# From the file's coordinates to one plane.


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """Coordinates of one side, east first, in a system of their own."""

    xy: Array
    crs: CRS
    turned: Mask  # rows that would be right with axes exchanged


def _fitted(  # noqa: PLR0913, PLR0917 - one datum's part of a file
    numbers: pd.DataFrame,
    points: pd.DataFrame,
    datum: str,
    file: str,
    near: GeoDataFrame | None,
    settings: FitSettings | None,
) -> DatumShift:
    new = _side(numbers, points, "new", CGCS2000, near, None)
    hint = _middle(new) if new is not None else None
    old = _side(numbers, points, "old", datum, near, hint)
    if old is None:
        raise InputError(f"{file} 的旧东坐标没有带号，带无法判断；请加一列“带号”或“中央经线”，或用带号坐标")
    if new is None:
        new = _side(numbers, points, "new", CGCS2000, near, _middle(old))
    if new is None:
        raise InputError(f"{file} 的新东坐标没有带号，带无法判断；请加一列“带号”或“中央经线”")
    meridian = systems.central_meridian(old.crs)
    zone = systems.zone_at(_middle(old)) if meridian is None else round(meridian / 3)
    source = systems.gauss_kruger(datum, zone, prefixed=False)
    target = systems.gauss_kruger(CGCS2000, zone, prefixed=False)
    table = points.copy()
    for name, side, crs in (("old", old, source), ("new", new, target)):
        xy = _into(side, crs)
        table[f"{name}_east_m"], table[f"{name}_north_m"] = xy[:, 0], xy[:, 1]
        if f"{name}_height" in numbers:
            table[f"{name}_height_m"] = numbers[f"{name}_height"]
    table["suspicion"] = np.where(old.turned | new.turned, "X（北）、Y（东）疑似颠倒", "")
    shift = fit(table, source, target, settings)
    _require_county(shift.residuals, target, near, file)
    good = shift.residuals[~shift.residuals["outlier"]]
    box = (
        good["old_east_m"].min(),
        good["old_north_m"].min(),
        good["old_east_m"].max(),
        good["old_north_m"].max(),
    )
    if not source.equals(shift.source):
        box = systems.lonlat_bounds(box, source)
    require_plausible(shift, box)
    return shift


def _side(  # noqa: PLR0913, PLR0917 - as `_fitted`
    numbers: pd.DataFrame,
    points: pd.DataFrame,
    side: str,
    datum: str,
    near: GeoDataFrame | None,
    hint: float | None,
) -> _Side | None:
    """One side in the system its numbers are of; None where a bare easting leaves the zone open."""
    file = str(points["source_file"].iloc[0])
    east, north = numbers[f"{side}_east"].to_numpy(float), numbers[f"{side}_north"].to_numpy(float)
    title = "旧" if side == "old" else "新"
    degrees = _within(north, _NORTH_DEG) & _within(east, _EAST_DEG)
    prefix = np.isin(east // _MILLION, _ZONES)
    bare = _within(east, _EAST_M)
    metres = _within(north, _NORTH_M) & (bare | prefix)
    right = degrees | metres
    turned = ~right & (
        (_within(east, _NORTH_DEG) & _within(north, _EAST_DEG))
        | (_within(east, _NORTH_M) & (_within(north, _EAST_M) | np.isin(north // _MILLION, _ZONES)))
    )
    if 2 * turned.sum() >= len(east):
        raise MismatchError(
            f"{file} 的{title}坐标，列名为北（X）的数值像东坐标；测量上 X 为北、Y 为东，请改表头，写明“北”“东”"
        )
    if 2 * (~right).sum() >= len(east):
        row = int(points["source_row"][~right].iloc[0]) + 2
        raise MismatchError(
            f"{file} 第 {row} 行等半数以上的{title}坐标不像中国的经纬度（十进制度）或高斯坐标（米）；请核对单位和列"
        )
    kinds = {"经纬度": degrees, "带号坐标": metres & prefix, "不带带号的坐标": metres & bare}
    there = {name: rows for name, rows in kinds.items() if rows.any()}
    if len(there) > 1:
        fewest = min(there, key=lambda name: int(there[name].sum()))
        rows = _rows(points, there[fewest])
        raise MismatchError(
            f"{file} 的{title}坐标混有{'和'.join(there)}（{rows}是{fewest}）；请统一后重新提供"
        )
    if degrees.any():
        return _Side(xy=np.column_stack([east, north]), crs=systems.geographic(datum), turned=turned)
    if prefix[right].any():
        zones = east[right] // _MILLION
        zone = _one(zones, points[right], f"{file} 的{title}坐标带有两个带号")
        east = east - zone * _MILLION
    else:
        found = _bare_zone(numbers, points, near, hint, (east[right], north[right]))
        if found is None:
            return None
        zone = found
    crs = systems.gauss_kruger(datum, zone, prefixed=False)
    return _Side(xy=np.column_stack([east, north]), crs=crs, turned=turned)


def _within(values: Array, span: tuple[float, float]) -> Mask:
    return (values >= span[0]) & (values <= span[1])


def _rows(points: pd.DataFrame, chosen: Mask) -> str:
    rows = [f"第 {row + 2} 行" for row in points["source_row"][chosen]]
    most = 3
    return "、".join(rows[:most]) + ("等" if len(rows) > most else "")


def _one(values: Array, points: pd.DataFrame, what: str) -> int:
    """The one value of a column; a second one is refused with its rows."""
    kinds, counts = np.unique(values, return_counts=True)
    if len(kinds) > 1:
        fewest = kinds[int(counts.argmin())]
        raise MismatchError(
            f"{what} {'、'.join(f'{kind:.0f}' for kind in kinds)}（{_rows(points, values == fewest)}为 {fewest:.0f}）；"
            "请把两带的点分成两个文件，或换算到一个带"
        )
    return int(kinds[0])


def _bare_zone(
    numbers: pd.DataFrame,
    points: pd.DataFrame,
    near: GeoDataFrame | None,
    hint: float | None,
    right: tuple[Array, Array],
) -> int | None:
    """Zone of eastings that carry none: what a column says, else where the points or the county are."""
    file = str(points["source_file"].iloc[0])
    for role, divisor, what in (("zone", 1, "带号"), ("meridian", 3, "中央经线")):
        if role in numbers and numbers[role].notna().any():
            values = numbers[role].to_numpy(float) / divisor
            told = np.isfinite(values)
            zone = _one(values[told], points[told], f"{file} 的{what}列有两个带")
            if zone not in _ZONES or (values[told] % 1).any():
                raise InputError(
                    f"{file} 的{what}列写的是 {numbers[role].iloc[0]:g}；3 度带应为 25-45（中央经线 75-135）"
                )
            return zone
    if hint is not None:
        return systems.zone_at(hint)
    place = None if near is None else systems.robust_bounds(near.geometry)
    if near is None or near.crs is None or place is None:
        return None
    west, _, east, _ = systems.lonlat_bounds(place, near.crs)
    middle = np.array([[np.median(right[0]), np.median(right[1])]])
    # Zones lie three degrees apart: the one that brings the points nearest to the county is meant.
    off: dict[int, float] = {
        zone: abs(
            lonlat(middle, systems.gauss_kruger(CGCS2000, zone, prefixed=False)).item(0) - (west + east) / 2
        )
        for zone in _ZONES
        if zone >= _FIRST_3
    }
    return min(off, key=lambda zone: off[zone])


def _middle(side: _Side) -> float:
    """Longitude of the points."""
    lon = lonlat(side.xy, side.crs)[:, 0]
    return float(np.median(lon[np.isfinite(lon)]))


def _into(side: _Side, crs: CRS) -> Array:
    if side.crs == crs:
        return side.xy
    return np.column_stack(Transformer.from_crs(side.crs, crs, always_xy=True).transform(*side.xy.T))


def _require_county(table: pd.DataFrame, target: CRS, near: GeoDataFrame | None, file: str) -> None:
    """Points that agree among themselves may still be another county's."""
    place = None if near is None else systems.robust_bounds(near.geometry)
    if near is None or near.crs is None or place is None:
        return
    west, south, east, north = systems.lonlat_bounds(place, near.crs)
    margin = max(_BESIDE_DEG, east - west, north - south)
    good = table[~table["outlier"]]
    lon, lat = lonlat(good[["new_east_m", "new_north_m"]].to_numpy(float), target).T
    away = ~(_within(lon, (west - margin, east + margin)) & _within(lat, (south - margin, north + margin)))
    if away.any():
        at = int(np.flatnonzero(away)[0])
        raise MismatchError(
            f"{file} 的控制点不在本县：{_rows(good, away)}在东经 {lon[at]:.3f}°、北纬 {lat[at]:.3f}°，"
            f"三调范围为东经 {west:.3f}°-{east:.3f}°、北纬 {south:.3f}°-{north:.3f}°；请核对控制点、带号或中央经线"
        )
