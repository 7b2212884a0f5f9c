"""Rows as GeoJSON: longitude and latitude to 7 decimals, empty values as null.

Source: RFC 7946, The GeoJSON Format.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from pyproj import CRS, Transformer

from api.errors import QueryError
from geo.errors import MissingDatumError

MEDIA_TYPE: Final = "application/geo+json"
_DECIMALS: Final = 7  # about 1 cm


def features(table: pd.DataFrame, key: str) -> list[dict[str, Any]]:
    """One GeoJSON feature a row; its id is the value of ``key``."""
    shapes = _shapes(table)
    plain = pd.DataFrame(table).drop(columns="geometry", errors="ignore")
    return [
        {"type": "Feature", "id": row[key], "geometry": shape, "properties": row}
        for row, shape in zip(records(plain), shapes, strict=True)
    ]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; what is missing is None."""
    columns = {name: [None if pd.isna(one) else one for one in table[name].tolist()] for name in table}
    names = [str(name) for name in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def plane_bbox(bbox: str, crs: CRS) -> tuple[float, float, float, float]:
    """``west,south,east,north`` in degrees as bounds in ``crs``.

    Raises
    ------
    QueryError
        If it is not four numbers in that order within the globe.
    """
    try:
        west, south, east, north = (float(part) for part in bbox.split(","))
    except ValueError:
        raise QueryError(f"bbox={bbox} 不可用：应为 西,南,东,北 四个以度为单位的数") from None
    if not (-180 <= west <= east <= 180 and -90 <= south <= north <= 90):  # noqa: PLR2004 - the globe
        raise QueryError(f"bbox={bbox} 不可用：须西不大于东、南不大于北，且在经纬度范围内")
    bounds = Transformer.from_crs(_geodetic(crs), crs, always_xy=True).transform_bounds(
        west, south, east, north
    )
    if not np.isfinite(bounds).all():
        raise QueryError(f"bbox={bbox} 离本县太远，换算不到本县的坐标系")
    return bounds


def _geodetic(crs: CRS | None) -> CRS:
    if crs is None or crs.geodetic_crs is None:
        raise MissingDatumError("图层没有坐标系")
    return crs.geodetic_crs


def _shapes(table: pd.DataFrame) -> Sequence[dict[str, Any] | None]:
    if not isinstance(table, gpd.GeoDataFrame) or table.empty:
        return [None] * len(table)
    lonlat = table.geometry.to_crs(_geodetic(table.crs)).to_numpy()
    rounded = shapely.transform(lonlat, lambda points: points.round(_DECIMALS))
    return [json.loads(text) if text is not None else None for text in shapely.to_geojson(rounded)]
