"""The county's database: every layer of a run in one GeoPackage.

Layers, columns and their Chinese titles are those of `geo.schema`; all layers
are always there, an empty one with no rows. QGIS finds default styles in the
file. The same tables give the same bytes, and a workspace that was good before
stays good when writing fails.

Source: OGC 12-128r19, GeoPackage Encoding Standard 1.4.
"""

import os
import sqlite3
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyogrio
import shapely
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError
from pyogrio.raw import open_arrow, read_arrow, write_arrow
from pyproj import CRS

from geo import schema
from geo.atomic import alone, whole_file
from geo.errors import (
    GeometryTypeError,
    InputError,
    MismatchError,
    MissingDatumError,
    OutputError,
    WorkspaceError,
)

GEOMETRIES: Final = {
    "patches": "MultiPolygon",
    "parcels": "MultiPolygon",
    "parcels_original": "MultiPolygon",
    "pieces": "MultiPolygon",
    "villages": "MultiPolygon",
    "findings": "Point",
    "sheets": "MultiPolygon",
    "grids": "MultiPolygon",
    "households": "Point",
}

_SUFFIX: Final = ".gpkg"
_HEAD_OF_ONE: Final = struct.pack(
    "<BII", 1, shapely.GeometryType.MULTIPOLYGON.value, 1
)  # of well-known binary
# Layers that workspaces of this version did not have from the beginning.
_LATER: Final = {"parcels_original", "sheets", "grids", "grid_villages", "households", "grid_lineage"}
_ARROW: Final = {"str": pa.string(), "float": pa.float64(), "bool": pa.bool_(), "Int64": pa.int64()}
_WRITING: Final = {
    # The standard wants a date of last change in the file; the run's identity is in ``runs``.
    "OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z",
    "OGR_GPKG_ALLOW_THREADED_RTREE": "NO",  # a second thread leaves pages in an order of its own
    "OGR_SQLITE_SYNCHRONOUS": "OFF",  # put on the disk once, when the file is whole
    "OGR_SQLITE_JOURNAL": "MEMORY",
}
_OGR_ERRORS: Final = (CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError)

# The table in which QGIS looks for the styles of a GeoPackage, in its own words.
_STYLE_TABLE: Final = """
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
  f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A workspace that was opened: what it is, and its layers when asked for.

    It holds no file open, so it may be kept, copied and sent to other processes.
    """

    path: Path
    version: int  # of layers and columns
    crs: CRS  # of every layer with geometry
    layers: tuple[str, ...]

    def read(
        self,
        layer: str,
        *,
        where: str | None = None,
        bbox: tuple[float, float, float, float] | None = None,
        columns: list[str] | None = None,
        geometry: bool = True,
    ) -> pd.DataFrame:
        """One layer, or a part of it, in the order it was written.

        Parameters
        ----------
        layer : str
            A name in ``layers``.
        where : str, optional
            Condition in SQL on the layer's columns, ``"village_code = '140725102202'"``.
        bbox : (xmin, ymin, xmax, ymax), optional
            In ``crs``; rows whose bounds touch it. Only for layers with geometry.
        columns : list of str, optional
            Columns to read; all by default.
        geometry : bool
            Whether the geometry comes along, of a layer that has one.

        Returns
        -------
        DataFrame, or GeoDataFrame in ``crs``
            Columns and dtypes of `geo.schema`; ``geometry`` last. A multipolygon
            of one part comes as a polygon.

        Raises
        ------
        InputError
            If the layer or a column is not there, the condition is no SQL, or
            the file cannot be read.
        """
        spatial = geometry and layer in GEOMETRIES
        return _read(self, layer, where=where, bbox=bbox, columns=columns, spatial=spatial)


def write(path: str | os.PathLike[str], tables: Mapping[str, pd.DataFrame], *, crs: Any) -> None:  # noqa: ANN401 - whatever pyproj takes
    """Write a whole workspace in place of any that stands there.

    Parameters
    ----------
    path : path
        A ``.gpkg`` file; missing folders are made.
    tables : mapping of layer name to DataFrame
        Rows in the order they shall have. Columns the layer does not name are
        left out; a layer that is not given is written without rows. ``meta``
        rows (``key``, ``value``) given here are kept beside ``schema_version``,
        ``crs``, ``title`` and ``county_code``.
    crs : CRS
        Of the workspace. Layers with geometry must be in it.

    Raises
    ------
    OutputError
        If the file cannot be written; what stood there before is untouched.
    WorkspaceError
        If ``tables`` names a layer a workspace does not have.
    MissingDatumError, MismatchError
        If ``crs`` or that of a layer is missing, or they differ.
    GeometryTypeError
        If a geometry is not of the layer's kind; the message names its row.
    """
    target = Path(path)
    if target.suffix.lower() != _SUFFIX:
        raise OutputError(f"工作区文件名须以 {_SUFFIX} 结尾：{target}")
    system = _system(crs)
    _refuse_unknown(tables)
    names = [layer for layer in schema.RUN_LAYERS if layer != "meta"]
    layers = {layer: _layer(tables.get(layer), layer, system) for layer in names}
    name = _crs_name(system)
    layers["meta"] = _meta(tables, name)
    _publish(target, {layer: _arrow(table, layer) for layer, table in layers.items()}, name)


def amend(path: str | os.PathLike[str], tables: Mapping[str, pd.DataFrame]) -> None:
    """Write some layers of a workspace anew and leave the others as they are.

    Parameters
    ----------
    path : path
        A workspace. It is replaced whole or not at all.
    tables : mapping of layer name to DataFrame
        As in `write`.

    Raises
    ------
    InputError, WorkspaceError
        If there is no workspace.
    OutputError
        If another run is writing it, or it cannot be written; it is then untouched.
    """
    with alone(path):
        before = open(path)
        _refuse_unknown(tables)
        rows: dict[str, pa.Table | Callable[[], AbstractContextManager[pa.RecordBatchReader]]] = {}
        for layer in [*(name for name in schema.RUN_LAYERS if name != "meta"), "meta"]:
            if layer in tables or layer not in before.layers:
                rows[layer] = _arrow(_layer(tables.get(layer), layer, before.crs), layer)
            else:  # as it is, without ever being held: a county's pieces take gigabytes as shapes
                rows[layer] = partial(_stream, before, layer)
        _publish(Path(path), rows, _crs_name(before.crs))


def open(url: str | os.PathLike[str]) -> Workspace:  # noqa: A001 - workspace.open reads as it should
    """A workspace, ready to read.

    Parameters
    ----------
    url : path
        A GeoPackage written by `write`.

    Raises
    ------
    InputError
        If there is no such file.
    WorkspaceError
        If it is no workspace, is damaged, or has another schema version.
    """
    if "://" in str(url):
        raise WorkspaceError(f"只能打开 GeoPackage 工作区（{_SUFFIX} 文件），不能打开 {url}")
    path = Path(url)
    if path.is_dir():
        raise WorkspaceError(f"{path} 是一个文件夹，不是工作区：请给出其中的 {_SUFFIX} 文件")
    if not path.is_file():
        raise InputError(f"没有工作区文件 {path}：请核对路径，或先运行 taotu reconcile")
    try:
        with _connection(path) as base:
            meta = dict(base.execute("SELECT key, value FROM meta").fetchall())
            present = {name for (name,) in base.execute("SELECT table_name FROM gpkg_contents")}
    except sqlite3.Error as error:
        raise WorkspaceError(
            f"{path} 不是工作区，或已损坏（{_cause(error)}）：请用 taotu reconcile 重新生成",
        ) from error
    version = str(meta.get("schema_version"))
    if version != str(schema.WORKSPACE_VERSION):
        raise WorkspaceError(
            f"{path} 是第 {version} 版的工作区，本程序只读第 {schema.WORKSPACE_VERSION} 版："
            "请用本版程序重新运行 taotu reconcile，或改用生成它的程序版本",
        )
    missing = [layer for layer in schema.RUN_LAYERS if layer not in present | _LATER]
    if missing or "crs" not in meta:
        raise WorkspaceError(
            f"{path} 缺少{'、'.join(missing) or '坐标系'}，已损坏：请用 taotu reconcile 重新生成"
        )
    return Workspace(
        path=path,
        version=int(version),
        crs=CRS.from_user_input(meta["crs"]),
        layers=tuple(layer for layer in schema.LAYER_TITLES if layer in present),
    )


def style(layer: str) -> str:
    """Default QGIS style (QML) of a layer: ``styles/{layer}.qml`` and the Chinese titles of its columns.

    A table has titles only. QGIS before 3.28 does not read titles from the
    GeoPackage's own table of columns, so the style carries them too.
    """
    file = files("geo.styles") / (f"{layer}.qml" if layer in GEOMETRIES else "table.qml")
    root = ET.fromstring(file.read_text(encoding="utf-8"))  # noqa: S314 - a file of ours
    aliases = ET.SubElement(root, "aliases")
    for name, title in schema.titles(layer).items():
        ET.SubElement(aliases, "alias", field=name, name=title)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def _read(  # noqa: PLR0913 - what may be asked of a layer
    workspace: Workspace,
    layer: str,
    *,
    where: str | None,
    bbox: tuple[float, float, float, float] | None,
    columns: list[str] | None,
    spatial: bool,
) -> pd.DataFrame:
    if layer not in workspace.layers:
        raise InputError(f"工作区没有图层 {layer}；可用的图层：{'、'.join(workspace.layers)}")
    dtypes = {column.name: column.dtype for column in schema.columns(layer)}
    wanted = list(dtypes) if columns is None else list(dict.fromkeys(columns))
    if absent := [name for name in wanted if name not in dtypes]:
        raise InputError(f"图层 {layer} 没有列 {'、'.join(absent)}；可用的列：{'、'.join(dtypes)}")
    if bbox is not None and layer not in GEOMETRIES:
        raise InputError(f"图层 {layer} 没有图形，不能按范围读取")
    if not workspace.path.is_file():
        raise InputError(f"工作区文件 {workspace.path} 已不在：请核对路径")
    try:
        info, rows = read_arrow(
            workspace.path,
            layer=layer,
            columns=wanted,
            where=where,
            bbox=bbox,
            read_geometry=spatial,
            return_fids=True,
        )
    except (*_OGR_ERRORS, ValueError, RuntimeError, OSError, pa.ArrowException) as error:
        asked = f"，条件 {where}" if where else ""
        raise InputError(f"读不了 {workspace.path} 的图层 {layer}{asked}（{_cause(error)}）") from error
    if bbox is not None:  # the spatial index answers in its own order
        rows = rows.sort_by(info["fid_column"] or "fid")
    # By way of float64 a null would round the whole numbers beside it.
    there = [name for name in wanted if name in rows.column_names]  # a column came later than the file
    plain: pd.DataFrame = rows.select(there).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    table = schema.conform(plain, layer)[wanted]
    if not spatial:
        return table
    shapes = shapely.from_wkb(rows[info["geometry_name"] or "wkb_geometry"].to_numpy(zero_copy_only=False))
    return gpd.GeoDataFrame(table, geometry=simple(shapes), crs=workspace.crs)


def _system(crs: Any) -> CRS:  # noqa: ANN401 - whatever pyproj takes
    if crs is None:
        raise MissingDatumError("工作区需要坐标系：请在读取数据时给出 crs")
    return CRS.from_user_input(crs)


def _crs_name(crs: CRS) -> str:
    """``EPSG:4526`` where a register has it, else its full text."""
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else crs.to_wkt()


def _layer(table: pd.DataFrame | None, layer: str, crs: CRS) -> pd.DataFrame:
    """Columns of the layer alone, in order, and its geometry as the file shall hold it."""
    rows = pd.DataFrame() if table is None else table
    out = pd.DataFrame(schema.conform(pd.DataFrame(rows), layer)[schema.column_names(layer)]).reset_index(
        drop=True
    )
    if layer not in GEOMETRIES:
        return out
    shapes = np.full(len(out), None, dtype=object)
    if isinstance(rows, gpd.GeoDataFrame) and rows.active_geometry_name is not None:
        shapes = np.array(rows.geometry.to_numpy(), dtype=object)
        system = rows.geometry.crs
        if system is None and not shapely.is_missing(shapes).all():
            raise MissingDatumError(f"图层 {layer} 没有坐标系，不能写入工作区")
        if system is not None and system != crs:
            raise MismatchError(f"图层 {layer} 的坐标系（{system.name}）与工作区（{crs.name}）不同：请先转换")
    out["geom"] = _stored(shapes, layer)
    return out


def _stored(shapes: np.ndarray[Any, Any], layer: str) -> np.ndarray[Any, Any]:
    """Geometries in two dimensions, of the one kind the layer declares or a polygon that will stand for it."""
    kind = GEOMETRIES[layer]
    held = ~shapely.is_missing(shapes)
    flat = shapely.force_2d(shapes) if shapely.has_z(shapes).any() else shapes.copy()
    types = shapely.get_type_id(flat)
    wanted = shapely.GeometryType[kind.upper()].value
    stray = held & (types != wanted)
    if kind == "MultiPolygon":
        single = types == shapely.GeometryType.POLYGON.value
        flat[single & shapely.is_empty(flat)] = shapely.MultiPolygon()
        stray &= ~single
    if stray.any():
        row = np.flatnonzero(stray)[0]
        raise GeometryTypeError(f"图层 {layer} 第 {row} 行的图形是 {flat[row].geom_type}，应为 {kind}")
    return flat


def _bytes(shapes: np.ndarray[Any, Any], layer: str) -> pa.Array:
    """Shapes as the file holds them: a polygon gets the head of a multipolygon of one, which spares building it."""
    held = pa.array(shapely.to_wkb(shapes, byte_order=1), type=pa.binary())
    single = shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON.value
    if GEOMETRIES[layer] != "MultiPolygon" or not single.any():
        return held
    head = pc.if_else(pa.array(single), pa.scalar(_HEAD_OF_ONE), pa.scalar(b""))
    return pc.binary_join_element_wise(head, held, pa.scalar(b""))


def simple(shapes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Multipolygons of one part as polygons."""
    out = np.array(shapes, dtype=object)
    one = (shapely.get_type_id(out) == shapely.GeometryType.MULTIPOLYGON.value) & (
        shapely.get_num_geometries(out) == 1
    )
    out[one] = shapely.get_geometry(out[one], 0)
    return out


def _meta(tables: Mapping[str, pd.DataFrame], crs_name: str) -> pd.DataFrame:
    given: dict[str, str] = {}
    if "meta" in tables:
        rows = schema.conform(tables["meta"], "meta")
        given = dict(zip(rows["key"], rows["value"], strict=True))
    code, name = _county(tables)
    facts = {
        "schema_version": str(schema.WORKSPACE_VERSION),
        "crs": crs_name,
        "title": given.get("title") or f"{name}套图成果",
        "county_code": given.get("county_code") or code,
    }
    rest = {key: value for key, value in given.items() if key not in facts}
    every = {**facts, **rest}
    return schema.conform(pd.DataFrame({"key": list(every), "value": list(every.values())}), "meta")


def _county(tables: Mapping[str, pd.DataFrame]) -> tuple[str, str]:
    """Code and name of the county, as far as the tables tell."""
    if "balance" in tables:
        balance = schema.conform(pd.DataFrame(tables["balance"]), "balance")
        counties = balance[balance["level"] == "county"].fillna("")
        if len(counties):
            return str(counties["code"].iloc[0]), str(counties["name"].iloc[0])
    for layer in ("villages", "pieces", "patches"):
        if layer in tables and "village_code" in tables[layer]:
            codes = tables[layer]["village_code"].dropna()
            if len(codes):
                return str(codes.iloc[0])[:6], ""
    return "", ""


def _publish(
    target: Path,
    layers: Mapping[str, pa.Table | Callable[[], AbstractContextManager[pa.RecordBatchReader]]],
    crs_name: str,
) -> None:
    """Write a whole workspace beside its place and move it there."""
    _settle(target)
    with whole_file(target) as scratch:
        try:
            counts = {}
            with _gdal_options(_WRITING):
                for layer, rows in layers.items():
                    if isinstance(rows, pa.Table):
                        _append(scratch, layer, rows, crs_name)
                        counts[layer] = rows.num_rows
                    else:
                        counts[layer] = _append_stream(scratch, layer, rows, crs_name)
            _describe(scratch)
            _verify(scratch, counts)
        except (*_OGR_ERRORS, sqlite3.Error, pa.ArrowException, RuntimeError) as error:
            raise OutputError(
                f"写不了工作区 {target}（{_cause(error)}）：原有文件未改动，请处理后重试"
            ) from error


def _refuse_unknown(layers: Iterable[str]) -> None:
    if unknown := sorted(set(layers) - set(schema.RUN_LAYERS)):
        raise WorkspaceError(
            f"工作区没有图层 {'、'.join(unknown)}；可用的图层：{'、'.join(schema.RUN_LAYERS)}"
        )


def _fields(layer: str) -> pa.Schema:
    """Columns of a layer as the file gets them, with their Chinese titles; its geometry last."""
    fields = []
    for column in schema.columns(layer):
        notes = {"GDAL:OGR:alternative_name": column.title, "GDAL:OGR:comment": column.note}
        told = {key: text for key, text in notes.items() if text}
        fields.append(pa.field(column.name, _ARROW[column.dtype], metadata=told))
    if layer in GEOMETRIES:
        fields.append(pa.field("geom", pa.binary()))
    return pa.schema(fields)


def _arrow(table: pd.DataFrame, layer: str) -> pa.Table:
    fields = _fields(layer)
    arrays = [
        pa.array(
            table[field.name],
            type=field.type,
            from_pandas=True,
        )
        if field.name != "geom"
        else _bytes(table["geom"].to_numpy(), layer)
        for field in fields
    ]
    return pa.table(arrays, schema=fields)


@contextmanager
def _stream(workspace: Workspace, layer: str) -> Iterator[pa.RecordBatchReader]:
    """A layer as it stands in a file, some rows at a time."""
    fields = _fields(layer)
    with open_arrow(workspace.path, layer=layer, use_pyarrow=True) as (info, reader):
        shape = info["geometry_name"] or "wkb_geometry"

        def conformed(batch: pa.RecordBatch) -> pa.RecordBatch:
            held = dict(zip(batch.schema.names, batch.columns, strict=True))
            arrays = []
            for field in fields:
                column = held.get(shape if field.name == "geom" else field.name)
                # A column that came later than the file is empty.
                none = pa.nulls(batch.num_rows, field.type)
                arrays.append(none if column is None else column.cast(field.type))
            return pa.record_batch(arrays, schema=fields)

        yield pa.RecordBatchReader.from_batches(fields, map(conformed, reader))


def _append_stream(
    scratch: Path,
    layer: str,
    rows: Callable[[], AbstractContextManager[pa.RecordBatchReader]],
    crs_name: str,
) -> int:
    """Append a stream; how many rows it had."""
    count = 0

    def counted(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        nonlocal count
        for batch in reader:
            count += batch.num_rows
            yield batch

    with rows() as reader:
        _append(scratch, layer, pa.RecordBatchReader.from_batches(reader.schema, counted(reader)), crs_name)
    return count


def _append(scratch: Path, layer: str, rows: pa.Table | pa.RecordBatchReader, crs_name: str) -> None:
    title = schema.LAYER_TITLES[layer]
    options = {"FID": "fid", "IDENTIFIER": title, "DESCRIPTION": title}
    spatial = layer in GEOMETRIES
    if spatial:
        options |= {"GEOMETRY_NAME": "geom", "SPATIAL_INDEX": "YES"}
    write_arrow(
        rows,
        scratch,
        layer=layer,
        driver="GPKG",
        geometry_name="geom" if spatial else None,
        geometry_type=GEOMETRIES.get(layer),
        crs=crs_name if spatial else None,
        append=scratch.exists(),
        dataset_options={"VERSION": "1.2"} if not scratch.exists() else None,  # what older QGIS reads in full
        layer_options=options,
    )


def _describe(scratch: Path) -> None:
    """Chinese titles in the column the standard means for people, and the default styles."""
    with _connection(scratch, mode="rw") as base:
        base.execute("PRAGMA synchronous=OFF")
        base.execute("UPDATE gpkg_data_columns SET title = name")
        base.execute(_STYLE_TABLE)
        base.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, last_change, srs_id)"
            " VALUES ('layer_styles', 'attributes', 'layer_styles', ?, 0)",
            (_WRITING["OGR_CURRENT_DATE"],),
        )
        for layer in schema.RUN_LAYERS:
            base.execute(
                "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column,"
                " styleName, styleQML, styleSLD, useAsDefault, description, owner, ui, update_time)"
                " VALUES ('', '', ?, ?, ?, ?, '', 1, '', '', NULL, ?)",
                (
                    layer,
                    "geom" if layer in GEOMETRIES else "",
                    schema.LAYER_TITLES[layer],
                    style(layer),
                    _WRITING["OGR_CURRENT_DATE"],
                ),
            )
        base.execute("INSERT INTO gpkg_ogr_contents VALUES ('layer_styles', ?)", (len(schema.RUN_LAYERS),))
        base.commit()


def _verify(scratch: Path, counts: Mapping[str, int]) -> None:
    """Read back what a library may have lost without a word: a full disk is met while closing."""
    with _connection(scratch) as base:
        (state,) = base.execute("PRAGMA quick_check(1)").fetchone()
        if state != "ok":
            raise sqlite3.DatabaseError(state)
        told = dict(base.execute("SELECT table_name, feature_count FROM gpkg_ogr_contents").fetchall())
        for layer, count in counts.items():
            (held,) = base.execute(f'SELECT count(*) FROM "{layer}"').fetchone()  # noqa: S608 - a name of ours
            if not count == held == told.get(layer):
                raise sqlite3.DatabaseError(f"{layer}: {held} of {count} rows, told {told.get(layer)}")


def _settle(target: Path) -> None:
    """Bring journals beside an old workspace into it, for they would be replayed into the new one."""
    beside = [target.with_name(target.name + end) for end in ("-wal", "-shm", "-journal")]
    if not target.is_file() or not any(file.exists() for file in beside):
        return
    try:
        with _connection(target, mode="rw") as base:
            base.execute("PRAGMA busy_timeout=2000")
            base.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise OutputError(
            f"工作区 {target} 正被其他程序打开（{_cause(error)}）：请在 QGIS 等程序中关闭它后重试",
        ) from error


@contextmanager
def _connection(path: Path, mode: str = "ro") -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True)) as base:
        yield base


@contextmanager
def _gdal_options(options: Mapping[str, str]) -> Iterator[None]:
    before = {name: pyogrio.get_gdal_config_option(name) for name in options}
    pyogrio.set_gdal_config_options(dict(options))
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _cause(error: Exception) -> str:
    text = str(error).replace("\n", " ").strip()
    if "disk is full" in text or "No space left" in text:
        return "磁盘已满"
    if "locked" in text:
        return "文件被占用"
    return text or type(error).__name__
