"""Houses and households as counties keep them: building footprints, house points, or a mere list.

A house layer has polygons or points; a table has coordinates, or only an
address and a group. Whatever a row lacks, the row stays: where it lies is
settled later, with the villages at hand.
"""

import re
import unicodedata
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from geopandas import GeoDataFrame
from pyproj import CRS

from geo import schema
from geo.datum import DatumShift
from geo.errors import InputError
from geo.exchange import coded, fields, tables, vector
from geo.exchange.gather import into, last, stack
from geo.exchange.read import Reading
from geo.exchange.sources import VECTORS, Source, sources, vector_files
from geo.exchange.vector import joined
from geo.findings import findings

LAYER: Final = "household_file"

_NAMED: Final = (  # names of a layer of houses, in a file of several layers
    "住户",
    "房屋",
    "建筑",
    "楼栋",
    "自然幢",
    "农房",
    "宅基地",
    "ZRZ",
    "JZW",
    "FW",
    "household",
    "house",
    "building",
    "dwelling",
)
_UNIT: Final = re.compile(r"\s*[(\[][^()\[\]]*[)\]]$")
_TOTALS: Final = frozenset({"合计", "总计", "小计", "共计", "总合计"})
_CGCS2000: Final = CRS.from_epsg(4490)
_POINTS, _LINES, _POLYGONS = (0, 4), (1, 2, 5), (3, 6)  # shapely's type numbers


def read_households(  # noqa: PLR0913 - what a caller may know of a file, by name
    path: Path | str,
    *,
    layer: str | None = None,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
    datum: Sequence[DatumShift] = (),
    personal: bool = False,
) -> Reading:
    """Houses of a county, a row a house, a stair of a building, or a household, as the file has them.

    Parameters
    ----------
    path : Path
        Building footprints or house points (.shp, .gpkg, .gdb, .geojson, .parquet), a table
        (.xlsx, .xls, .csv, .dbf, .mdb) with 东坐标/北坐标 or 经度/纬度, or only with 地址 and 组;
        a folder or .zip of these.
    layer : str, optional
        Name of the layer, where there are several and none has a usual name.
    near : GeoDataFrame, optional
        A layer of the county: houses come back in its coordinate system.
    crs : CRS, optional
        The coordinate system, where the caller knows better than the file.
    datum : sequence of DatumShift
        Ways from old datums to CGCS2000.
    personal : bool
        Whether to read columns of persons (户主, 电话 ...), under names of their own.

    Returns
    -------
    Reading
        Columns of layer ``household_file`` but for the coordinates, then geometry: a point, a
        polygon, or None. ``households`` is 1 on all rows where no column tells, and missing where a
        value is no whole number. Rows that add up others (合计) are left out, and said.

    Raises
    ------
    InputError
        If the path cannot be read, or nothing in it tells of houses.
    MissingDatumError
        If the coordinate system of coordinates is not known.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"找不到 {path}；请检查路径")
    if _is_drawn(path):
        parts, notes, files = _drawn(path, layer, near, crs, personal=personal)
    else:
        parts, notes, files = _listed(path, layer, near, crs, personal=personal)
    target = near.crs if near is not None and near.crs is not None else _shared(parts)
    for at, part in enumerate(parts):
        parts[at], more = into(part, target, "households", datum)
        notes += more
    table = _placeless(stack(parts), target)
    return Reading(table=last(table), findings=joined(notes), files=tuple(dict.fromkeys(files)))


def _is_drawn(path: Path) -> bool:
    """Whether there is geometry behind the path."""
    if path.suffix.lower() == ".zip":
        try:
            names = zipfile.ZipFile(path).namelist()
        except (zipfile.BadZipFile, OSError):
            return True  # refused in the words of the vector reader
        return any(Path(name).suffix.lower() in VECTORS or ".gdb/" in name.lower() for name in names)
    if path.is_dir() and path.suffix.lower() != ".gdb":
        return bool(vector_files(path))
    return path.suffix.lower() not in (*tables.ACCESS, *tables.WORKBOOKS, ".csv", ".dbf")


def _shared(parts: Sequence[GeoDataFrame]) -> CRS | None:
    return next((part.crs for part in parts if part.crs is not None), None)


def _placeless(table: GeoDataFrame, crs: CRS | None) -> GeoDataFrame:
    """All columns of the layer but coordinates, in the system of the layer even where no row has a place."""
    names = [name for name in schema.column_names(LAYER) if name not in ("x", "y", "lon", "lat")]
    whole = schema.conform(pd.DataFrame(table.drop(columns="geometry")), LAYER)
    more = [name for name in whole.columns if name not in schema.column_names(LAYER)]
    return gpd.GeoDataFrame(whole[[*names, *more]], geometry=table.geometry.to_numpy(), crs=crs)


def _drawn(
    path: Path, layer: str | None, near: GeoDataFrame | None, crs: CRS | str | None, *, personal: bool
) -> tuple[list[GeoDataFrame], list[pd.DataFrame], list[Path]]:
    """Layers of houses with their geometry."""
    parts: list[GeoDataFrame] = []
    notes: list[pd.DataFrame] = []
    files: list[Path] = []
    with sources(path, None, layer=layer) as found:
        for source in _of_houses(found, path):
            read = vector.read(source, near=near, crs=crs, choose=lambda names: _wanted(names, personal))
            told = read.findings
            # That a point is no area, or that a row has no place, is another matter with houses.
            notes.append(told[~told["rule"].isin(["geometry_kind", "geometry_missing"])])
            table, more = _named(pd.DataFrame(read.table), source.label, personal=personal)
            notes += more
            shapes, more = _places(read.table)
            notes += more
            parts.append(gpd.GeoDataFrame(table, geometry=shapes, crs=read.table.crs))
            files += read.files if path.suffix.lower() != ".zip" else [path]
    return parts, notes, files


def _of_houses(found: Sequence[Source], path: Path) -> Sequence[Source]:
    """The only layer, or those that are called after houses.

    Raises
    ------
    InputError
        If there are several and none is.
    """
    names = [source.layer or source.file.stem for source in found]
    chosen = [
        source
        for source, name in zip(found, names, strict=True)
        if any(word.casefold() in name.casefold() for word in _NAMED)
    ]
    if chosen or len(found) == 1:
        return chosen or found
    there = "、".join(names)
    raise InputError(f"{path.name} 里看不出哪个图层是住户或房屋；现有图层：{there}；请用 layer 指定图层名")


def _wanted(names: Sequence[str], personal: bool) -> list[str]:  # noqa: FBT001 - handed on from a keyword
    found = _match(names)
    chosen = [name for name in found.fields.values() if personal or not fields.is_personal(name)]
    return chosen + ([name for name in found.personal if name not in chosen] if personal else [])


def _match(names: Sequence[str]) -> fields.Match:
    """Fields by their names, with a unit behind them or without: 户数（户）."""
    bare: dict[str, str] = {}
    for name in names:
        short = _UNIT.sub("", unicodedata.normalize("NFKC", name).strip())
        bare.setdefault(name if short in names or not short else short, name)
    found = fields.match(list(bare), LAYER)
    return replace(
        found,
        fields={column: bare[name] for column, name in found.fields.items()},
        by_alias=tuple((bare[name], field) for name, field in found.by_alias),
        personal=tuple(bare[name] for name in found.personal),
    )


def _places(table: GeoDataFrame) -> tuple[np.ndarray, list[pd.DataFrame]]:
    """Points and polygons as they are; of a line, or a heap of shapes, a point."""
    shapes = table.geometry.to_numpy().copy()
    kind = shapely.get_type_id(shapes)
    odd = ~np.isin(kind, (-1, *_POINTS, *_POLYGONS))
    several = np.isin(kind, (4,))
    shapes[several] = shapely.point_on_surface(shapes[several])
    if not odd.any():
        return shapes, []
    rows = table[odd]
    shapes[odd] = shapely.point_on_surface(shapes[odd])
    messages = [
        f"{file} 第 {row + 1} 行是{'线' if number in _LINES else '混合图形'}，按其中一点计"
        for file, row, number in zip(rows["source_file"], rows["source_row"], kind[odd], strict=True)
    ]
    return shapes, [findings("household_geometry", messages, layer="households", rows=rows)]


def _listed(
    path: Path, layer: str | None, near: GeoDataFrame | None, crs: CRS | str | None, *, personal: bool
) -> tuple[list[GeoDataFrame], list[pd.DataFrame], list[Path]]:
    """Tables of houses, every sheet that has one; placed where they give coordinates."""
    parts: list[GeoDataFrame] = []
    notes: list[pd.DataFrame] = []
    files: list[Path] = []
    refused: list[tuple[str, InputError]] = []
    with tables.table_sources(path) as found:
        chosen = [source for source in found if layer is None or source.table.casefold() == layer.casefold()]
        for source in chosen:
            try:
                raw = tables.as_filed(source, LAYER)
            except InputError as error:
                refused.append((source.label, error))
                continue
            raw.columns = pd.Index([str(name) for name in raw.columns])
            raw = raw[~_blank(raw)]
            if not _wanted(list(raw.columns), personal=False):
                refused.append((source.label, InputError(f"{source.label} 没有住户的字段")))
                continue
            raw = raw.assign(
                source_file=source.label, source_row=pd.Series(raw.index, index=raw.index).astype("Int64")
            )
            part, more = _part(raw.reset_index(drop=True), source, near, crs, personal=personal)
            parts.append(part)
            notes += more
            files.append(path if path.suffix.lower() == ".zip" else source.origin)
    if not parts:
        raise refused[0][1] if refused else InputError(f"{path.name} 里没有住户表；请检查文件")
    for label, why in refused:
        notes.append(
            findings("household_sheet_skipped", f"{label} 未读取：{why}", layer=label, source_file=label)
        )
    return parts, notes, files


def _blank(table: pd.DataFrame) -> "pd.Series[bool]":
    """Rows without a value in any field."""
    return pd.DataFrame({at: fields.as_text(table.iloc[:, at]).isna() for at in range(table.shape[1])}).all(
        axis=1
    )


def _part(
    raw: pd.DataFrame,
    source: tables.TableSource,
    near: GeoDataFrame | None,
    crs: CRS | str | None,
    *,
    personal: bool,
) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """One table, its rows at their coordinates."""
    held = list(_match(list(raw.columns)).personal)
    notes = []
    if held and not personal:
        message = f"未读取个人信息字段：{'、'.join(held)}"
        notes.append(
            findings("personal_columns_dropped", message, layer=source.label, source_file=source.label)
        )
        raw = raw.drop(columns=held)
    table, more = _named(raw, source.label, personal=personal)
    notes += more
    totals = _adds_up(raw) & table[["x", "lon"]].isna().all(axis=1)
    if totals.any():
        rows = ", ".join(str(row + 1) for row in table.loc[totals, "source_row"])
        message = f"{source.label} 第 {rows} 行是合计行，未作住户计"
        notes.append(findings("household_total_row", message, layer=source.label, source_file=source.label))
        table = table[~totals].reset_index(drop=True)
    if table.empty:
        raise InputError(f"{source.label} 没有任何住户；请检查导出范围")
    drawn, more = _at_coordinates(table, source, near, crs)
    return drawn, [*notes, *more]


def _adds_up(raw: pd.DataFrame) -> "pd.Series[bool]":
    """Rows that say 合计 in some cell."""
    said = pd.Series(False, index=raw.index)  # noqa: FBT003 - a value
    for at in range(raw.shape[1]):
        said |= (
            fields.as_text(raw.iloc[:, at]).fillna("").str.replace(r"[\s:：]", "", regex=True).isin(_TOTALS)
        )
    return said


def _at_coordinates(
    table: pd.DataFrame, source: tables.TableSource, near: GeoDataFrame | None, crs: CRS | str | None
) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """Points of eastings and northings, else of degrees; None where a row has neither, or zeros."""
    degrees = table[["lon", "lat"]].notna().all(axis=1).any()
    east, north = (table[name].to_numpy() for name in (("lon", "lat") if degrees else ("x", "y")))
    known = np.isfinite(east) & np.isfinite(north) & ~((east == 0) & (north == 0))
    shapes = np.full(len(table), None, dtype=object)
    shapes[known] = shapely.points(east[known], north[known])
    drawn = gpd.GeoDataFrame(table, geometry=shapes)
    if not known.any():
        return drawn, []
    # Degrees without a word about their datum: CGCS2000 and WGS 84 differ by centimetres.
    stated = crs if crs is not None else (_degrees_of(near) if degrees else None)
    place = Source(file=source.file, layer=None, label=source.label, origin=source.origin)
    return vector.locate(drawn, CRS.from_user_input(stated) if stated is not None else None, near, crs, place)


def _degrees_of(near: GeoDataFrame | None) -> CRS:
    if near is None or near.crs is None or near.crs.geodetic_crs is None:
        return _CGCS2000
    return near.crs.geodetic_crs


def _named(raw: pd.DataFrame, label: str, *, personal: bool) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Fields as columns of the layer, and what was inferred of them."""
    names = [str(name) for name in raw.columns if name not in ("geometry", "source_file", "source_row")]
    found = _match(names)
    notes: list[pd.DataFrame] = []
    if found.by_alias:
        notes.append(tables.alias_finding(found.by_alias, label))
    out = pd.DataFrame({"source_file": raw["source_file"], "source_row": raw["source_row"]})
    tidied: dict[str, int] = {}
    for column in schema.columns(LAYER):
        if (name := found.fields.get(column.name)) is None:
            continue
        if column.name == "household_key":
            out[column.name], more = _own_keys(raw[name], label, name)
            notes += more
        elif column.name.endswith("_code"):
            coded.require_exact(raw[name], label=label, layer=label, field=name)
            out[column.name], tidied[name] = coded.tidy(raw[name])
        elif column.dtype == "str":
            out[column.name] = fields.as_text(raw[name]).str.normalize("NFKC")
        else:
            out[column.name] = _number(raw[name], whole=column.dtype == "Int64")
    notes += coded.tidied(tidied, label)
    if "households" not in found.fields:
        out["households"] = pd.array([1] * len(out), dtype="Int64")
        message = f"{label} 没有户数字段，每行按 1 户计（共 {len(out)} 行）"
        notes.append(findings("household_count_absent", message, layer=label, source_file=label))
    out = schema.conform(out, LAYER)
    wanted = [name for name in found.personal if personal and name in raw]
    return out.assign(**{_person(name): fields.as_text(raw[name]) for name in wanted}), notes


def _person(name: str) -> str:
    return fields.personal_column(_UNIT.sub("", unicodedata.normalize("NFKC", name).strip()))


def _own_keys(values: pd.Series, label: str, field: str) -> tuple[pd.Series, list[pd.DataFrame]]:
    """Keys as text; none where they are numbers too long to be right."""
    exact = pd.api.types.is_integer_dtype(values.dtype)
    if not exact and any(type(v) in (int, float) and abs(v) >= coded.EXACT_DIGITS for v in values):
        message = f"{label} 的列 {field} 存为数字，15 位以后的数字已失真，未采用为住户编号"
        note = findings("code_precision_lost", message, layer=label, source_file=label)
        return pd.Series(None, index=values.index, dtype="str"), [note]
    return coded.tidy(values)[0], []


def _number(values: pd.Series, *, whole: bool) -> pd.Series:
    """Numbers, with 户 or 个 behind them or without; one that is not whole is missing where it must be."""
    if not pd.api.types.is_numeric_dtype(values.dtype):
        values = fields.as_text(values).str.normalize("NFKC").str.replace(r"\s*[户个°]$", "", regex=True)
    number = fields.as_number(values)
    if not whole:
        return number
    # Past what a number of households can be: Int64 could not hold it.
    sound = (number % 1 == 0) & (number.abs() < coded.EXACT_DIGITS)
    return number.where(sound).astype("Int64")
