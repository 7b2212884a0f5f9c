"""Rows as GeoJSON: every feature a text of its own, so that ten thousand stream while they are made.

Columns are encoded one by one and then laid side by side, which costs a fifth
of building a tree of values. Degrees have 7 decimals (1 cm), metres 4; what is
missing is null.

Source: RFC 7946, The GeoJSON Format; OGC 18-058r1, OGC API - Features, Part 2.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely

from api.systems import System

MEDIA_TYPE: Final = "application/geo+json"
_DEGREES: Final = 7  # decimals: about 1 cm
_METRES: Final = 4
_BREAK: Final = "\x00"  # never stands raw in JSON, so cells encoded together come apart again
_NO_NUMBERS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_CHUNK: Final = 1000


def features(
    table: pd.DataFrame,
    ids: str,
    system: System,
    *,
    shown: Sequence[str],
    more: Mapping[str, Any] | None = None,
) -> list[str]:
    """One GeoJSON feature a row, as text.

    Parameters
    ----------
    table : DataFrame, or GeoDataFrame in the CRS of the workspace
        Rows in the order they shall have.
    ids : str
        Column whose value is a feature's ``id``.
    system : System
        Of the coordinates that go out.
    shown : sequence of str
        Columns that are properties, in this order.
    more : mapping, optional
        Properties beside the columns, the same for each feature.

    Returns
    -------
    list of str, n features
    """
    plain = pd.DataFrame({name: table[name] for name in shown}, index=table.index)
    heads = cells(table[ids])
    shapes = geometries(table, system)
    told = rows(plain) if not more else [with_members(row, more) for row in rows(plain)]
    return [
        f'{{"type":"Feature","id":{head},"geometry":{shape},"properties":{row}}}'
        for head, shape, row in zip(heads, shapes, told, strict=True)
    ]


def with_members(text: str, members: Mapping[str, Any]) -> str:
    """The text of a JSON object with more members at its end."""
    more = json.dumps(members, ensure_ascii=False, default=_plain)[1:-1]
    return f"{text[:-1]},{more}}}" if len(text) > len("{}") else f"{{{more}}}"


def collection(parts: Sequence[str], members: dict[str, Any]) -> Iterator[bytes]:
    """A feature collection in parts: features first, then its other members."""
    yield b'{"type":"FeatureCollection","features":['
    for start in range(0, len(parts), _CHUNK):
        text = ",\n".join(parts[start : start + _CHUNK])
        yield ((",\n" if start else "") + text).encode()
    tail = json.dumps(members, ensure_ascii=False)[1:]
    yield ("]," if members else "]").encode() + tail.encode()


def rows(table: pd.DataFrame) -> list[str]:
    """Each row as the text of a JSON object."""
    if not len(table.columns):
        return ["{}"] * len(table)
    # A name of ours never holds a percent sign; doubling it would keep it whole all the same.
    names = [json.dumps(str(name), ensure_ascii=False).replace("%", "%%") for name in table.columns]
    form = "{" + ",".join(f"{name}:%s" for name in names) + "}"
    return [form % row for row in zip(*(cells(table[name]) for name in table.columns), strict=True)]


def cells(column: pd.Series) -> list[str]:
    """Each value as the text of a JSON value."""
    if not len(column):
        return []
    values = column.tolist()
    if not isinstance(column.dtype, np.dtype) or column.dtype.kind not in "fbiu":
        gone = column.isna().to_numpy()
        if gone.any():
            values = [None if none else value for none, value in zip(gone.tolist(), values, strict=True)]
    text = json.dumps(values, ensure_ascii=False, separators=(_BREAK, ":"), default=_plain)[1:-1]
    parts = text.split(_BREAK)
    if column.dtype.kind == "f":
        return ["null" if part in _NO_NUMBERS else part for part in parts]
    return parts


def geometries(table: pd.DataFrame, system: System) -> list[str]:
    """Each geometry as the text of a GeoJSON geometry in ``system``; a missing or empty one is null."""
    if not isinstance(table, gpd.GeoDataFrame) or table.empty:
        return ["null"] * len(table)
    decimals = _DEGREES if system.crs.is_geographic else _METRES
    placed = system.placed(table.geometry.to_numpy(), decimals)
    texts = shapely.to_geojson(placed)
    empty = shapely.is_missing(placed) | shapely.is_empty(placed)
    return ["null" if none else str(text) for none, text in zip(empty.tolist(), texts.tolist(), strict=True)]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values; what is missing is None."""
    columns = {
        str(name): [None if pd.isna(one) else one for one in table[name].tolist()] for name in table.columns
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def digest(text: str) -> str:
    """A short text that two texts share only if they are the same: for ETags."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _plain(value: object) -> object:
    """What the encoder does not know: numbers of numpy inside columns of objects."""
    if isinstance(value, np.generic):
        return value.item()
    return str(value)
