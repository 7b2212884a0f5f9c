"""A workspace in one GeoPackage, read and written whole by GDAL.

The same tables give the same bytes, and a workspace that was good before stays
good when writing fails.

Source: OGC 12-128r19, GeoPackage Encoding Standard 1.4.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyogrio
import shapely
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError
from pyogrio.raw import open_arrow, read_arrow, write_arrow
from pyproj import CRS

from geo import schema
from geo.atomic import whole_file
from geo.errors import InputError, OutputError, WorkspaceError
from geo.workspace import records
from geo.workspace.base import cause, connection
from geo.workspace.styles import DATE, describe
from geo.workspace.tables import (
    GEOMETRIES,
    arrow_fields,
    arrow_table,
    laid_out,
    meta_table,
    name_of,
    simple,
)

SUFFIX: Final = ".gpkg"
# Layers that workspaces of this version did not have from the beginning.
_LATER: Final = {"parcels_original", "sheets", "grids", "grid_villages", "households", "grid_lineage"}
_WRITING: Final = {
    "OGR_CURRENT_DATE": DATE,
    "OGR_GPKG_ALLOW_THREADED_RTREE": "NO",  # a second thread leaves pages in an order of its own
    "OGR_SQLITE_SYNCHRONOUS": "OFF",  # put on the disk once, when the file is whole
    "OGR_SQLITE_JOURNAL": "MEMORY",
}
_OGR_ERRORS: Final = (CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError)

Rows: TypeAlias = pa.Table | Callable[[], AbstractContextManager[pa.RecordBatchReader]]


def opened(path: Path) -> tuple[CRS, tuple[str, ...]]:
    """CRS and layers of a workspace.

    Raises
    ------
    InputError
        If there is no such file.
    WorkspaceError
        If it is no workspace, is damaged, or has another schema version.
    """
    if path.is_dir():
        raise WorkspaceError(f"{path} 是一个文件夹，不是工作区：请给出其中的 {SUFFIX} 文件")
    if not path.is_file():
        raise InputError(f"没有工作区文件 {path}：请核对路径，或先运行 taotu reconcile")
    try:
        with connection(path) as base:
            meta = dict(base.execute("SELECT key, value FROM meta").fetchall())
            present = {name for (name,) in base.execute("SELECT table_name FROM gpkg_contents")}
    except sqlite3.Error as error:
        raise WorkspaceError(
            f"{path} 不是工作区，或已损坏（{cause(error)}）：请用 taotu reconcile 重新生成",
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
    return CRS.from_user_input(meta["crs"]), tuple(layer for layer in schema.LAYER_TITLES if layer in present)


def write(target: Path, tables: Mapping[str, pd.DataFrame], crs: CRS) -> None:
    """Write a whole workspace; records of one that stands there are carried over.

    Raises
    ------
    OutputError
        If the name does not end as it must, or the file cannot be written.
    """
    if target.suffix.lower() != SUFFIX:
        raise OutputError(f"工作区文件名须以 {SUFFIX} 结尾：{target}")
    names = [layer for layer in schema.RUN_LAYERS if layer != "meta"]
    layers = {layer: laid_out(tables.get(layer), layer, crs) for layer in names}
    layers["meta"] = meta_table(tables, name_of(crs))
    _publish(
        target,
        {layer: arrow_table(table, layer) for layer, table in layers.items()},
        name_of(crs),
        changed=schema.RUN_LAYERS,
    )


def amend(target: Path, tables: Mapping[str, pd.DataFrame], crs: CRS, present: tuple[str, ...]) -> None:
    """Write some layers anew; the others are copied without ever being held."""
    rows: dict[str, Rows] = {}
    for layer in [*(name for name in schema.RUN_LAYERS if name != "meta"), "meta"]:
        if layer in tables or layer not in present:
            rows[layer] = arrow_table(laid_out(tables.get(layer), layer, crs), layer)
        else:  # a county's pieces take gigabytes as shapes
            rows[layer] = partial(stream, target, layer)
    _publish(target, rows, name_of(crs), changed=tables)


def read(  # noqa: PLR0913 - what may be asked of a layer
    path: Path,
    layer: str,
    *,
    crs: CRS,
    where: str | None,
    bbox: tuple[float, float, float, float] | None,
    columns: list[str],
    spatial: bool,
) -> pd.DataFrame:
    """A layer, or a part of it; the caller has checked its name and those of the columns.

    Raises
    ------
    InputError
        If the file is gone or cannot be read, or the condition is no SQL.
    """
    if not path.is_file():
        raise InputError(f"工作区文件 {path} 已不在：请核对路径")
    try:
        info, rows = read_arrow(
            path,
            layer=layer,
            columns=columns,
            where=where,
            bbox=bbox,
            read_geometry=spatial,
            return_fids=True,
        )
    except (*_OGR_ERRORS, ValueError, RuntimeError, OSError, pa.ArrowException) as error:
        asked = f"，条件 {where}" if where else ""
        raise InputError(f"读不了 {path} 的图层 {layer}{asked}（{cause(error)}）") from error
    if bbox is not None:  # the spatial index answers in its own order
        rows = rows.sort_by(info["fid_column"] or "fid")
    # By way of float64 a null would round the whole numbers beside it.
    there = [name for name in columns if name in rows.column_names]  # a column came later than the file
    plain: pd.DataFrame = rows.select(there).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    table = schema.conform(plain, layer)[columns]
    if not spatial:
        return table
    shapes = shapely.from_wkb(rows[info["geometry_name"] or "wkb_geometry"].to_numpy(zero_copy_only=False))
    return gpd.GeoDataFrame(table, geometry=simple(shapes), crs=crs)


def _publish(
    target: Path,
    layers: Mapping[str, Rows],
    crs_name: str,
    changed: Collection[str],
) -> None:
    """Write a whole workspace beside its place and move it there."""
    has_records = records.stand_in(target)
    _settle(target)
    with ExitStack() as until_moved, whole_file(target) as scratch:
        try:
            counts = {}
            with _gdal_options(_WRITING):
                for layer, rows in layers.items():
                    if isinstance(rows, pa.Table):
                        _append(scratch, layer, rows, crs_name)
                        counts[layer] = rows.num_rows
                    else:
                        counts[layer] = _append_stream(scratch, layer, rows, crs_name)
            with connection(scratch, mode="rw") as base:
                base.execute("PRAGMA synchronous=OFF")
                describe(base)
            if has_records:
                # Whoever would write a record waits till the new file has its place.
                until_moved.enter_context(records.carried(target, scratch, changed=changed))
            _verify(scratch, counts)
        except (*_OGR_ERRORS, sqlite3.Error, pa.ArrowException, RuntimeError) as error:
            raise OutputError(
                f"写不了工作区 {target}（{cause(error)}）：原有文件未改动，请处理后重试"
            ) from error


@contextmanager
def stream(path: Path, layer: str) -> Iterator[pa.RecordBatchReader]:
    """A layer as it stands in a file, some rows at a time."""
    fields = arrow_fields(layer)
    with open_arrow(path, layer=layer, use_pyarrow=True) as (info, reader):
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


def _verify(scratch: Path, counts: Mapping[str, int]) -> None:
    """Read back what a library may have lost without a word: a full disk is met while closing."""
    with connection(scratch) as base:
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
    if not target.is_file():
        return
    beside = [target.with_name(target.name + end) for end in ("-wal", "-shm", "-journal")]
    try:
        with connection(target, mode="rw") as base:
            (mode,) = base.execute("PRAGMA journal_mode").fetchone()
            if mode == "wal" or any(file.exists() for file in beside):
                base.execute("PRAGMA busy_timeout=2000")
                base.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        if not any(file.exists() for file in beside):
            return  # no database, so no journal of one
        raise OutputError(
            f"工作区 {target} 正被其他程序打开（{cause(error)}）：请在 QGIS 等程序中关闭它后重试",
        ) from error


@contextmanager
def _gdal_options(options: Mapping[str, str]) -> Iterator[None]:
    before = {name: pyogrio.get_gdal_config_option(name) for name in options}
    pyogrio.set_gdal_config_options(dict(options))
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)
