"""Layers as a workspace holds them: their columns in order, and geometry of one kind in one CRS."""

import struct
from collections.abc import Iterable, Mapping
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from pyproj import CRS

from geo import schema
from geo.errors import GeometryTypeError, MismatchError, MissingDatumError, WorkspaceError

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

_HEAD_OF_ONE: Final = struct.pack(
    "<BII", 1, shapely.GeometryType.MULTIPOLYGON.value, 1
)  # of well-known binary
_ARROW: Final = {"str": pa.string(), "float": pa.float64(), "bool": pa.bool_(), "Int64": pa.int64()}


def system_of(crs: Any) -> CRS:  # noqa: ANN401 - whatever pyproj takes
    """The CRS of a workspace.

    Raises
    ------
    MissingDatumError
        If there is none.
    """
    if crs is None:
        raise MissingDatumError("工作区需要坐标系：请在读取数据时给出 crs")
    return CRS.from_user_input(crs)


def name_of(crs: CRS) -> str:
    """``EPSG:4526`` where a register has it, else its full text."""
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else crs.to_wkt()


def laid_out(table: pd.DataFrame | None, layer: str, crs: CRS) -> pd.DataFrame:
    """Columns of the layer alone, in order, and its geometry as ``geom``.

    Raises
    ------
    MissingDatumError, MismatchError
        If its CRS is missing or not that of the workspace.
    GeometryTypeError
        If a geometry is not of the layer's kind.
    """
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


def meta_table(tables: Mapping[str, pd.DataFrame], crs_name: str) -> pd.DataFrame:
    """Layer ``meta``: what the workspace is, and what the caller adds."""
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


def refuse_unknown(layers: Iterable[str]) -> None:
    """Refuse names that are no layers of a run.

    Raises
    ------
    WorkspaceError
        If there is one.
    """
    if unknown := sorted(set(layers) - set(schema.RUN_LAYERS)):
        raise WorkspaceError(
            f"工作区没有图层 {'、'.join(unknown)}；可用的图层：{'、'.join(schema.RUN_LAYERS)}"
        )


def arrow_fields(layer: str) -> pa.Schema:
    """Columns of a layer as the file gets them, with their Chinese titles; its geometry last."""
    fields = []
    for column in schema.columns(layer):
        notes = {"GDAL:OGR:alternative_name": column.title, "GDAL:OGR:comment": column.note}
        told = {key: text for key, text in notes.items() if text}
        fields.append(pa.field(column.name, _ARROW[column.dtype], metadata=told))
    if layer in GEOMETRIES:
        fields.append(pa.field("geom", pa.binary()))
    return pa.schema(fields)


def arrow_table(table: pd.DataFrame, layer: str) -> pa.Table:
    """A table of `laid_out` with geometry as well-known binary."""
    fields = arrow_fields(layer)
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
