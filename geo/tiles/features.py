"""The features of one layer as a tile needs them: shapes, plain columns, and a number that stays the same.

A feature's number comes from its code, so that a stored tile and one made on
the spot agree, and a page may keep what it knows of a feature from tile to tile.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from pyproj import CRS

from geo.errors import InputError, MissingColumnError
from geo.tiles.scheme import tile_columns

Objects = npt.NDArray[np.object_]
Whole = npt.NDArray[np.int64]

_ID_BYTES: Final = 8
_ID_BITS: Final = 53  # whole numbers that a browser can hold
_GPKG_MARK: Final = b"GP"
_GPKG_HEADER: Final = (8, 40, 56, 56, 72)  # bytes before the shape, by the kind of envelope


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TileLayer:
    """One layer's features that may touch a tile; row order does not matter."""

    name: str
    geometry: Objects  # n shapes, or n bytes: well-known binary, or a GeoPackage's
    columns: Mapping[
        str, Sequence[Any]
    ]  # n plain values each: str, int, float, bool; None or NaN where empty
    crs: CRS | str | None  # of the shapes; without one there is no tile
    ids: Sequence[int] | None = None  # n, 0 to 2^53; by default from the first column's values


def tile_layer(name: str, features: gpd.GeoDataFrame, *, columns: Sequence[str] | None = None) -> TileLayer:
    """A table as a tile's layer.

    Parameters
    ----------
    name : str
        Of the layer.
    features : GeoDataFrame, n rows
        In any CRS; other columns than those of the tiles stay behind.
    columns : sequence of str, optional
        What the tiles carry, the feature's code first; by default those of
        `TILE_COLUMNS` that the table has.

    Raises
    ------
    InputError
        If the layer has no tiles and no columns are given.
    MissingColumnError
        If the column that names a feature, or one that is asked for, is not there.
    """
    wanted = list(columns) if columns is not None else list(tile_columns(name))
    missing = [column for column in (wanted if columns is not None else wanted[:1]) if column not in features]
    if missing:
        raise MissingColumnError(f"图层 {name} 缺少字段 {'、'.join(missing)}，无法生成瓦片")
    return TileLayer(
        name=name,
        geometry=np.asarray(features.geometry.to_numpy(), dtype=object),
        columns={column: plain(features[column]) for column in wanted if column in features},
        crs=features.crs,
    )


def plain(values: pd.Series) -> list[Any]:
    """Values of a column as Python's own; None where there is none."""
    held = values.astype(object)
    return [None if gone else value for value, gone in zip(held.tolist(), held.isna(), strict=True)]


def feature_ids(codes: Iterable[Any]) -> Whole:
    """Numbers of features from their codes: 53 bits of a hash; a code that is empty has 0."""
    digest: Callable[..., Any] = hashlib.blake2b
    heads = b"".join(
        bytes(_ID_BYTES) if code is None else digest(str(code).encode(), digest_size=_ID_BYTES).digest()
        for code in codes
    )
    return (np.frombuffer(heads, dtype="<u8") >> np.uint64(64 - _ID_BITS)).astype(np.int64)


def shapes(geometry: npt.ArrayLike) -> Objects:
    """Shapes of rows as a file or a database gives them.

    Parameters
    ----------
    geometry : array-like, n
        Shapes, well-known binary, or blobs of a GeoPackage; None where there is none.

    Returns
    -------
    ndarray of shapes, n

    Raises
    ------
    InputError
        If a blob is no shape.
    """
    held = np.asarray(geometry, dtype=object)
    first = next((item for item in held if item is not None), None)
    if not isinstance(first, bytes | memoryview | bytearray):
        return held
    if bytes(first[:2]) == _GPKG_MARK:
        held = np.array(
            [None if blob is None else blob[_GPKG_HEADER[blob[3] >> 1 & 7] :] for blob in held], dtype=object
        )
    try:
        return np.asarray(shapely.from_wkb(held), dtype=object)
    except (shapely.errors.GEOSException, IndexError, TypeError) as error:
        raise InputError(f"图形数据损坏，无法读取：{error}") from error
