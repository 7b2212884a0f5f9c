"""A layer, or a part of it, as a file that other programs open: written row by row as it comes.

Columns have their own names in files for programs (GeoPackage, Parquet,
FlatGeobuf), Chinese titles in tables for people (CSV, Excel) and the standards'
field names of at most ten letters in a shapefile.
"""

import csv
import json
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyogrio.errors import DataLayerError
from pyogrio.raw import write_arrow
from pyproj import CRS

from geo import schema
from geo.errors import InputError
from geo.workbook import Column, clean, save, write_table

_FORMULA: Final = re.compile(r"[=+\-@\t\r\n]")  # what a spreadsheet takes for the beginning of a formula
_ARROW: Final = {"str": pa.string(), "float": pa.float64(), "bool": pa.bool_(), "Int64": pa.int64()}
_KINDS: Final = {"str": "text", "float": "metre", "Int64": "count", "bool": "text"}
_SHAPE: Final = "geometry"
_LONGEST_FIELD: Final = 10
_LONGEST_TEXT: Final = 254  # bytes of a cell of dBASE
_WIDEST: Final = 40
_MULTIPOLYGON: Final = 6  # of well-known binary
_POLYGON: Final = 3
_HEAD: Final = b"\x01" + _MULTIPOLYGON.to_bytes(4, "little") + (1).to_bytes(4, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of file: what it is called, how it is sent, and whether it needs geometry."""

    suffix: str
    media_type: str
    title: str
    most: int  # rows it is made for
    spatial: bool = False


FORMS: Final[Mapping[str, Form]] = {
    "gpkg": Form(suffix=".gpkg", media_type="application/geopackage+sqlite3", title="GeoPackage", most=2_000_000),
    "parquet": Form(suffix=".parquet", media_type="application/vnd.apache.parquet", title="GeoParquet", most=2_000_000),
    "fgb": Form(
        suffix=".fgb", media_type="application/flatgeobuf", title="FlatGeobuf", most=2_000_000, spatial=True
    ),
    "csv": Form(suffix=".csv", media_type="text/csv; charset=utf-8", title="CSV", most=1_000_000),
    "shp": Form(suffix=".zip", media_type="application/zip", title="Shapefile（压缩包）", most=1_000_000, spatial=True),
    "xlsx": Form(
        suffix=".xlsx",
        media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        title="Excel",
        most=50_000,
    ),
}  # fmt: skip


def write(  # noqa: PLR0913 - a file is what it is made of
    frames: Callable[[], Iterable[pd.DataFrame]],
    path: Path,
    *,
    form: str,
    layer: str,
    columns: Sequence[str],
    crs: CRS,
    geometry: str | None,
) -> int:
    """Write frames of one layer, one after another, as one file.

    Parameters
    ----------
    frames : function
        Gives the frames from the first on, each time it is called: rows in their order, of a
        layer with geometry GeoDataFrames in ``crs``.
    path : path
        To be written, ending as the form does.
    form : str
        A key of `FORMS`.
    layer : str
        Of `geo.schema`; names the table inside and the columns' titles.
    columns : sequence of str
        What is written, in this order.
    crs : CRS
        Of the geometry.
    geometry : str or None
        ``MultiPolygon`` or ``Point``; None for a table without places.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    InputError
        If the form is unknown, or needs geometry where there is none.
    """
    if form not in FORMS:
        raise InputError(f"没有文件格式 {form}；可用：{'、'.join(FORMS)}")
    if FORMS[form].spatial and geometry is None:
        raise InputError(f"{schema.LAYER_TITLES[layer]}没有图形，不能写成 {FORMS[form].title}")
    known = {column.name: column for column in schema.columns(layer)}
    wanted = [known[name] for name in columns]
    counted = _Counted(frames)
    match form:
        case "csv":
            _write_csv(counted, path, wanted)
        case "xlsx":
            _write_xlsx(counted, path, layer, wanted)
        case "parquet":
            _write_parquet(counted, path, wanted, crs, geometry)
        case "shp":
            _write_shp(counted, path, layer, wanted, crs, geometry)
        case "gpkg":
            _write_ogr(counted, path, "GPKG", layer, wanted, crs, geometry)
        case "fgb":
            try:
                _write_ogr(counted, path, "FlatGeobuf", layer, wanted, crs, geometry)
            except DataLayerError:  # with its index it takes no row without a place
                path.unlink(missing_ok=True)
                _write_ogr(counted, path, "FlatGeobuf", layer, wanted, crs, geometry, indexed=False)
    return counted.rows


def field_names(layer: str, columns: Sequence[str]) -> dict[str, str]:
    """Name of each column in a shapefile: the standard's, else ours in at most ten letters, no two alike."""
    standard = {column.name: column.field for column in schema.columns(layer)}
    ours = {column.name: column.field for column in schema.columns("piece_export")}
    names: dict[str, str] = {}
    for column in columns:
        field = standard.get(column) or ours.get(column) or column.upper().replace("_", "")
        name = field[:_LONGEST_FIELD]
        number = 1
        while name in names.values():
            number += 1
            name = f"{field[: _LONGEST_FIELD - len(str(number))]}{number}"
        names[column] = name
    return names


def neutral(value: str) -> str:
    """Text that a spreadsheet would run as a formula, with an apostrophe before it."""
    return f"'{value}" if _FORMULA.match(value) else value


class _Counted:
    """Frames as they come, and how many rows have come so far."""

    def __init__(self, frames: Callable[[], Iterable[pd.DataFrame]]) -> None:
        self._frames = frames
        self.rows = 0

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.rows = 0
        for frame in self._frames():
            self.rows += len(frame)
            yield frame


def _write_csv(frames: Iterable[pd.DataFrame], path: Path, columns: Sequence[schema.Column]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow([column.title for column in columns])
        for frame in frames:
            told = [_said(frame[column.name], column.dtype) for column in columns]
            writer.writerows(zip(*told, strict=True))


def _said(values: pd.Series, dtype: str) -> list[Any]:
    """Values as a table for people has them: an empty cell is empty, yes and no are Chinese."""
    plain = [
        None if gone else value for value, gone in zip(values.tolist(), values.isna().tolist(), strict=True)
    ]
    if dtype == "str":
        return [None if value is None else neutral(clean(value)) for value in plain]
    if dtype == "bool":
        return [None if value is None else ("是" if value else "否") for value in plain]
    return plain


def _write_xlsx(
    frames: Iterable[pd.DataFrame], path: Path, layer: str, columns: Sequence[schema.Column]
) -> None:
    held = list(frames)
    rows = pd.concat(held, ignore_index=True) if held else pd.DataFrame()
    title = schema.LAYER_TITLES[layer]
    shown = pd.DataFrame({
        column.name: (
            pd.Series(_said(rows[column.name], column.dtype), dtype="object")
            if column.dtype in {"str", "bool"}
            else rows[column.name]
        )
        if column.name in rows
        else pd.Series(dtype="object")
        for column in columns
    })  # fmt: skip
    laid = [
        Column(
            title=column.title,
            width=min(_WIDEST, max(10, 2 * len(column.title) + 2)),
            source=column.name,
            kind="level" if column.name.endswith("_m2") else _KINDS[column.dtype],
        )
        for column in columns
    ]
    note = f"{len(rows)} 行；面积为平方米，亩数只供参考"
    save(path, lambda book: write_table(book, title, laid, shown, title=title, note=note))


def _write_parquet(
    frames: Iterable[pd.DataFrame],
    path: Path,
    columns: Sequence[schema.Column],
    crs: CRS,
    geometry: str | None,
) -> None:
    fields = _fields(columns, geometry)
    if geometry is not None:
        about = {
            "version": "1.0.0",
            "primary_column": _SHAPE,
            "columns": {
                _SHAPE: {"encoding": "WKB", "geometry_types": [geometry], "crs": crs.to_json_dict()},
            },
        }
        fields = fields.with_metadata({"geo": json.dumps(about)})
    with pq.ParquetWriter(path, fields, compression="zstd") as writer:
        for frame in frames:
            writer.write_batch(_batch(frame, columns, fields, geometry))


def _write_shp(  # noqa: PLR0913, PLR0917 - a file is what it is made of
    frames: Iterable[pd.DataFrame],
    path: Path,
    layer: str,
    columns: Sequence[schema.Column],
    crs: CRS,
    geometry: str | None,
) -> None:
    folder = path.with_name(f"{path.name}.parts")
    folder.mkdir()
    names = field_names(layer, [column.name for column in columns])
    _write_ogr(frames, folder / f"{layer}.shp", "ESRI Shapefile", layer, columns, crs, geometry, names)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for part in sorted(folder.iterdir()):
            archive.write(part, part.name)
        said = "".join(f"{names[column.name]}\t{column.title}\t{column.name}\r\n" for column in columns)
        archive.writestr("字段说明.txt", f"字段\t名称\t列\r\n{said}".encode("utf-8-sig"))
    for part in folder.iterdir():
        part.unlink()
    folder.rmdir()


def _write_ogr(  # noqa: PLR0913, PLR0917 - a file is what it is made of
    frames: Iterable[pd.DataFrame],
    path: Path,
    driver: str,
    layer: str,
    columns: Sequence[schema.Column],
    crs: CRS,
    geometry: str | None,
    names: Mapping[str, str] | None = None,
    *,
    indexed: bool = True,
) -> None:
    fields = _fields(columns, geometry, names, titled=driver == "GPKG")
    batches = (_batch(frame, columns, fields, geometry, short=names is not None) for frame in frames)
    options: dict[str, str] = {}
    if driver == "GPKG":
        options = {"IDENTIFIER": schema.LAYER_TITLES[layer], "FID": "fid"}
        options |= {"GEOMETRY_NAME": "geom"} if geometry else {}
    elif driver == "FlatGeobuf":
        options = {"SPATIAL_INDEX": "YES" if indexed else "NO"}
    elif driver == "ESRI Shapefile":
        options = {"ENCODING": "UTF-8", "RESIZE": "YES"}
    authority = crs.to_authority(min_confidence=100)
    write_arrow(
        pa.RecordBatchReader.from_batches(fields, batches),
        path,
        layer=layer,
        driver=driver,
        geometry_name=_SHAPE if geometry else None,
        geometry_type=geometry,
        crs=(":".join(authority) if authority else crs.to_wkt()) if geometry else None,
        layer_options=options,
    )


def _fields(
    columns: Sequence[schema.Column],
    geometry: str | None,
    names: Mapping[str, str] | None = None,
    *,
    titled: bool = False,
) -> pa.Schema:
    fields = []
    for column in columns:
        told = {"GDAL:OGR:alternative_name": column.title} if titled else None
        # A table of a shapefile has no yes and no; 1 and 0 stand there.
        kind = pa.int64() if names and column.dtype == "bool" else _ARROW[column.dtype]
        fields.append(pa.field(names[column.name] if names else column.name, kind, metadata=told))
    if geometry is not None:
        fields.append(pa.field(_SHAPE, pa.binary()))
    return pa.schema(fields)


def _batch(
    frame: pd.DataFrame,
    columns: Sequence[schema.Column],
    fields: pa.Schema,
    geometry: str | None,
    *,
    short: bool = False,
) -> pa.RecordBatch:
    arrays = []
    for column, field in zip(columns, fields, strict=False):
        values = frame[column.name]
        if short and column.dtype == "str":
            held = [None if gone else _cut(one) for one, gone in zip(values, values.isna(), strict=True)]
            arrays.append(pa.array(held, type=field.type))
            continue
        arrays.append(pa.array(values, type=_ARROW[column.dtype], from_pandas=True).cast(field.type))
    if geometry is not None:
        shapes = (
            frame.geometry.to_numpy() if isinstance(frame, gpd.GeoDataFrame) else np.full(len(frame), None)
        )
        arrays.append(_bytes(np.asarray(shapes, dtype=object), geometry))
    return pa.record_batch(arrays, schema=fields)


def _cut(text: str) -> str:
    """The text as far as a table of a shapefile holds it, no letter cut in two."""
    held = text.encode()
    return text if len(held) <= _LONGEST_TEXT else held[:_LONGEST_TEXT].decode(errors="ignore")


def _bytes(shapes: np.ndarray[Any, Any], geometry: str) -> pa.Array:
    """Shapes as well-known binary of the one kind the file declares."""
    held = shapely.to_wkb(shapes, byte_order=1).tolist()
    if geometry == "MultiPolygon":
        single = shapely.get_type_id(shapes) == _POLYGON
        held = [_HEAD + one if alone else one for one, alone in zip(held, single, strict=True)]
    return pa.array(held, type=pa.binary())
