"""One vector layer as a table: text decoded, geometry flat, its coordinate system known, nothing repaired.

What a file leaves open (encoding, coordinate system, axis order) is inferred
and every inference is a finding. Rings are taken as they are drawn; mending
them is a later step with its own record.
"""

import json
import struct
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from geopandas import GeoDataFrame
from pyproj import CRS
from pyproj.exceptions import CRSError

from geo import crs as systems
from geo.errors import GeoError, InputError
from geo.exchange import coded, curves, encoding, fields
from geo.exchange.sources import SHAPEFILE, Source, told
from geo.findings import findings

_FLAT: Final = ("Polygon", "MultiPolygon", "Point", "MultiPoint", "LineString", "MultiLineString")
_PARQUET: Final = (".parquet", ".geoparquet")
_SHP_HEADER: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """A layer as read, its fields under the names the file gives them, and what was inferred."""

    table: GeoDataFrame  # the chosen fields, source_file, source_row, geometry
    findings: pd.DataFrame
    files: tuple[Path, ...]  # every file that was read


def read(
    source: Source,
    *,
    near: GeoDataFrame | None = None,
    crs: CRS | str | None = None,
    choose: Callable[[Sequence[str]], Sequence[str]] | None = None,
) -> Layer:
    """Read a layer.

    Parameters
    ----------
    source : Source
        From `sources.sources`.
    near : GeoDataFrame, optional
        A layer of the same county, to settle a coordinate system the file leaves open.
    crs : CRS, optional
        The coordinate system, stated by the caller: what the file says does not count.
    choose : callable, optional
        From the names of all fields to those wanted; without it, all that are not personal.

    Returns
    -------
    Layer
        Rows in the file's order, all of them, in the system they were drawn in. A
        null or empty geometry becomes None; points and lines stay and are findings.

    Raises
    ------
    InputError
        If the file is missing parts, is damaged or empty.
    MissingDatumError
        If no coordinate system can be found.
    """
    files = _parts(source)
    notes: list[pd.DataFrame] = []
    try:
        raw, stated, kind = _read_any(source, files, notes, choose)
    except GeoError:
        raise
    except Exception as error:  # whatever the format's library raises on a damaged file
        raise InputError(f"{source.label} 打不开或已损坏（{told(error)}）；请重新拷贝或重新导出") from error
    if not len(raw):
        raise InputError(f"{source.label} 是空图层（没有任何要素）；请检查导出范围")
    table = raw.reset_index(drop=True)
    table["source_file"] = source.label
    table["source_row"] = pd.Series(range(len(table)), dtype="Int64")
    table, more = _flatten(table, kind)
    notes += more
    table, more = locate(table, stated, near, crs, source)
    notes += more
    return Layer(table=table, findings=joined(notes), files=files)


def no_findings() -> pd.DataFrame:
    """A findings table without rows."""
    return findings("crs_inferred", [], layer="")


def joined(notes: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Findings, one under the other."""
    kept = [note for note in notes if len(note)]
    return pd.concat(kept, ignore_index=True) if kept else no_findings()


def _parts(source: Source) -> tuple[Path, ...]:
    """Every file of the source; a shapefile that lacks a part or is cut short is refused."""
    file = source.file
    if file.suffix.lower() != SHAPEFILE:
        return tuple(sorted(p for p in file.rglob("*") if p.is_file())) if file.is_dir() else (file,)
    beside = {p.suffix.lower(): p for p in file.parent.iterdir() if p.stem.casefold() == file.stem.casefold()}
    for needed in (".shx", ".dbf"):
        if needed not in beside:
            raise InputError(
                f"{source.label} 旁缺少 {file.stem}{needed}；请把同名的 {needed} 文件一并拷贝过来"
            )
    _whole(beside[".shp"], source.label)
    _whole(beside[".shx"], source.label)
    used = (".shp", ".shx", ".dbf", ".prj", ".cpg")
    return tuple(beside[suffix] for suffix in used if suffix in beside)


def _whole(file: Path, label: str) -> None:
    """A .shp or .shx as long as its header says."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        head = stream.read(_SHP_HEADER)
    if len(head) < _SHP_HEADER or struct.unpack(">i", head[:4])[0] != 9994:  # noqa: PLR2004 - shapefile's magic number
        raise InputError(f"{label} 的 {file.suffix} 文件不是 shapefile；请重新拷贝或重新导出")
    length = struct.unpack(">i", head[24:28])[0] * 2
    if length > size:
        raise InputError(
            f"{label} 的 {file.suffix} 文件不完整（应有 {length} 字节，实有 {size} 字节）；请重新拷贝"
        )


def _read_any(
    source: Source,
    files: tuple[Path, ...],
    notes: list[pd.DataFrame],
    choose: Callable[[Sequence[str]], Sequence[str]] | None,
) -> tuple[GeoDataFrame, CRS | None, str]:
    """Fields and geometry, the system the file states, and the kind of its geometry."""
    if source.file.suffix.lower() in _PARQUET:
        return _read_parquet(source, notes, choose)
    options: dict[str, Any] = {}
    if source.file.suffix.lower() == SHAPEFILE:
        parts = {p.suffix.lower(): p for p in files}
        guess = encoding.of_dbf(parts[".dbf"], parts.get(".cpg"))
        if guess.name is not None:
            options["encoding"] = guess.name
        if not guess.certain:
            notes.append(
                findings("encoding_inferred", guess.reason, layer=source.label, source_file=source.label)
            )
    with warnings.catch_warnings():
        # GDAL's remarks (ring order, measured geometry) concern what is checked later, with rows named.
        warnings.simplefilter("ignore", category=RuntimeWarning)
        warnings.simplefilter("ignore", category=UserWarning)
        info = pyogrio.read_info(source.file, layer=source.layer, **options)
        names = [str(name) for name in info["fields"]]
        kind = str(info["geometry_type"])
        wanted = _wanted(names, choose, source, notes)
        read_table = partial(pyogrio.read_dataframe, source.file, layer=source.layer, use_arrow=kind in _FLAT)
        try:
            table = read_table(columns=wanted, **options)
            _whole_text(table)
        except NotImplementedError:  # shapely's word for arcs
            table, kind = _read_curves(source, wanted, options), "CurvePolygon"
        except (UnicodeDecodeError, pa.ArrowInvalid):
            if "encoding" not in options:
                raise
            table = _read_broken_text(read_table, wanted, names, options["encoding"])
            message = f"有文字不能按 {options['encoding']} 解码（多为被截断的汉字），已略去这些字符"
            notes.append(findings("encoding_inferred", message, layer=source.label, source_file=source.label))
        coded.whole_of_file(table, info, source.file, source.layer, **options)
    if "geometry" not in table:
        raise InputError(f"{source.label} 没有图形，只有属性表；请提供带图形的图层")
    stated = table.crs
    return table, CRS.from_user_input(stated) if stated is not None else None, kind


def _whole_text(table: GeoDataFrame) -> None:
    """Refuse text that Arrow took over undecoded: it fails later, far from its file.

    Raises
    ------
    pyarrow.ArrowInvalid
        If a value is no UTF-8.
    """
    for column in table.columns:
        if isinstance(table[column].dtype, pd.StringDtype):
            pa.array(table[column]).validate(full=True)


def _read_curves(source: Source, wanted: Sequence[str], options: dict[str, Any]) -> GeoDataFrame:
    """A layer with arcs, these as lines."""
    meta, _, shapes, data = pyogrio.raw.read(source.file, layer=source.layer, columns=wanted, **options)
    table = pd.DataFrame(dict(zip(meta["fields"], data, strict=True)), index=range(len(shapes)))
    geometry = np.array([curves.linear(shape) for shape in shapes], dtype=object)
    return gpd.GeoDataFrame(table, geometry=geometry, crs=meta["crs"])


def _read_broken_text(
    read_table: Callable[..., GeoDataFrame], wanted: Sequence[str], names: Sequence[str], name: str
) -> GeoDataFrame:
    """A layer some of whose text does not decode: byte by byte first, then what decodes of it."""
    raw_names = [field.encode(name).decode("latin-1") for field in names]
    chosen = [raw for raw, field in zip(raw_names, names, strict=True) if field in wanted]
    table = read_table(columns=chosen, encoding="ISO-8859-1")
    table = table.rename(columns=dict(zip(raw_names, names, strict=True)))
    for column in wanted:
        if pd.api.types.is_string_dtype(table[column].dtype):
            table[column] = table[column].map(
                lambda text: text.encode("latin-1").decode(name, errors="ignore"), na_action="ignore"
            )
    return table


def _read_parquet(
    source: Source, notes: list[pd.DataFrame], choose: Callable[[Sequence[str]], Sequence[str]] | None
) -> tuple[GeoDataFrame, CRS | None, str]:
    schema = pq.read_schema(source.file)
    meta = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    column = meta.get("primary_column")
    if column is None:
        raise InputError(f"{source.label} 不是 GeoParquet（没有图形信息）；请重新导出")
    names = [name for name in schema.names if name not in meta["columns"]]
    wanted = _wanted(names, choose, source, notes)
    table = gpd.read_parquet(source.file, columns=[*wanted, column])
    kinds = {name: str(schema.field(name).type) for name in wanted}
    coded.whole(table, kinds, lambda lost: pq.read_table(source.file, columns=lost))
    if column != "geometry":
        table = table.rename_geometry("geometry")
    return table, table.crs, "Unknown"


def _wanted(
    names: Sequence[str],
    choose: Callable[[Sequence[str]], Sequence[str]] | None,
    source: Source,
    notes: list[pd.DataFrame],
) -> list[str]:
    chosen = list(choose(names)) if choose else [name for name in names if not fields.is_personal(name)]
    held_back = [name for name in names if fields.is_personal(name) and name not in chosen]
    if held_back:
        message = f"未读取个人信息字段：{'、'.join(held_back)}"
        notes.append(
            findings("personal_columns_dropped", message, layer=source.label, source_file=source.label)
        )
    return chosen


def _flatten(table: GeoDataFrame, kind: str) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """Geometry in two dimensions, empty ones as None; rows that are no polygon are named."""
    label = str(table["source_file"].iloc[0])
    geometry = table.geometry.to_numpy().copy()
    notes = []
    high = shapely.has_z(geometry) | shapely.has_m(geometry)
    curved = not any(
        kind.startswith(flat) for flat in (*_FLAT, "2.5D", "3D", "Measured", "Unknown", "Geometry")
    )
    if high.any() or curved:
        message = "、".join(
            part
            for part in (
                f"{int(high.sum())} 行图形带高程或量测值，已去掉" if high.any() else "",
                f"图层类型为 {kind}，曲线已化为折线" if curved else "",
            )
            if part
        )
        notes.append(findings("geometry_flattened", message, layer=label, source_file=label))
        geometry = shapely.force_2d(geometry)
    none = shapely.is_missing(geometry) | shapely.is_empty(geometry)
    geometry[none] = None
    out = table.set_geometry(gpd.GeoSeries(geometry, index=table.index, crs=table.crs))
    if none.any():
        rows = pd.DataFrame(out[none]).drop(columns="geometry")
        messages = [f"{label} 第 {row + 1} 行没有图形" for row in rows["source_row"]]
        notes.append(findings("geometry_missing", messages, layer=label, rows=rows))
    stray = ~none & ~np.isin(shapely.get_type_id(geometry), (3, 6))  # polygon, multipolygon
    if stray.any():
        rows = out[stray]
        messages = [
            f"{label} 第 {row + 1} 行是{_KINDS.get(shape, shape)}，不是面"
            for row, shape in zip(rows["source_row"], rows.geom_type, strict=True)
        ]
        notes.append(findings("geometry_kind", messages, layer=label, rows=rows))
    return out, notes


_KINDS: Final = {
    "Point": "点",
    "MultiPoint": "点",
    "LineString": "线",
    "MultiLineString": "线",
    "GeometryCollection": "混合图形",
}


def locate(
    table: GeoDataFrame,
    stated: CRS | None,
    near: GeoDataFrame | None,
    given: CRS | str | None,
    source: Source,
) -> tuple[GeoDataFrame, list[pd.DataFrame]]:
    """The table in the system it was drawn in, by what the file says and where it lies.

    Raises
    ------
    InputError
        If the given system is none.
    MissingDatumError
        If no coordinate system can be found.
    """
    bounds = systems.robust_bounds(table.geometry)
    if given is not None:
        return table.set_crs(_user_crs(given), allow_override=True), []
    if bounds is None:
        crs = stated or (near.crs if near is not None else None)
        return (table.set_crs(crs, allow_override=True) if crs is not None else table), []
    try:
        guess = systems.infer(bounds, stated, near=near)
    except GeoError as error:
        raise type(error)(f"{source.label}：{error}") from error
    notes = []
    if guess.swapped:
        turned = shapely.transform(table.geometry.to_numpy(), lambda xy: xy[:, ::-1])
        table = table.set_geometry(gpd.GeoSeries(turned, index=table.index))
        message = f"{source.label} 的坐标北在前、东在后，已对调"
        notes.append(findings("axis_swapped", message, layer=source.label, source_file=source.label))
    if not guess.certain:
        message = f"{source.label}：{guess.reason}"
        notes.append(findings("crs_inferred", message, layer=source.label, source_file=source.label))
    return table.set_crs(guess.crs, allow_override=True), notes


def _user_crs(given: CRS | str) -> CRS:
    try:
        return CRS.from_user_input(given)
    except CRSError as error:
        raise InputError(f"不认识坐标系 {given}；请用 EPSG 代码，如 EPSG:4526") from error
