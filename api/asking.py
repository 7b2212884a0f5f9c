"""What a request asks of a collection: the parameters of OGC API - Features, read into a query of the store.

One reading serves items and downloads. A parameter nobody knows is refused
rather than overlooked: a filter that was misspelt must not give all rows.

Source: OGC 17-069r4, OGC API - Features, Part 1: Core; OGC 18-058r1, Part 2; OGC 19-079r2, Part 3.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from pyproj import CRS
from starlette.datastructures import QueryParams

from api.cql2 import condition, of_kind
from api.errors import NotFoundError
from api.systems import Bounds, System, boxes, clipped, system
from geo import schema
from geo.errors import ConditionError
from geo.store import Store
from geo.store.query import All, Compare, Condition, In, Intersects, IsNull, Query
from geo.store.query import Any as Either
from geo.store.scope import Scope, check_layer, visible_columns
from geo.workspace import GEOMETRIES

DEFAULT_LIMIT: Final = 100
MOST: Final = 10_000  # rows of a page; a larger limit gives this many
CURSOR: Final = "cursor"
# Layers that have no rows to show: the log and the conflicts have routes of their own, with rights of their own.
HIDDEN: Final = frozenset({"audit", "conflicts", "runs", "meta"})
# The key of these names several rows, or none has one: their items are known by number.
_MANY: Final = frozenset({"parcels", "parcels_original", "balance", "grid_lineage"})

_SHARED: Final = (
    "bbox", "bbox-crs", "datetime", "filter", "filter-lang", "filter-crs", "sortby", "properties",
)  # fmt: skip
ITEMS: Final = (*_SHARED, "limit", CURSOR, "crs", "skipGeometry", "f")
DOWNLOAD: Final = (*_SHARED, "f")
_INSTANT: Final = r"\d{4}-\d{2}-\d{2}(?:[Tt]\d{2}:\d{2}:\d{2}(?:\.\d+)?(?:[Zz]|[+-]\d{2}:\d{2}))?"
_DATETIME: Final = re.compile(rf"{_INSTANT}|(?:{_INSTANT}|\.\.|)/(?:{_INSTANT}|\.\.|)")
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request to a collection, understood."""

    layer: str
    query: Query
    shown: list[str]  # columns that were asked for; the query reads the one that names items too
    system: System  # of the coordinates that go out


def layers(store: Store) -> list[str]:
    """Layers of the workspace that are collections, in their order."""
    return [name for name in store.workspace.layers if name in schema.SCOPES and name not in HIDDEN]


def layer_of(store: Store, name: str, scope: Scope) -> str:
    """The layer a collection is.

    Raises
    ------
    NotFoundError
        If there is no such collection.
    ForbiddenError
        If its rows tell no village and the caller may see only some.
    """
    known = layers(store)
    if name not in known:
        raise NotFoundError(f"没有图层 {name[:40]}；可用的图层：{'、'.join(known)}")
    check_layer(name, scope)
    return name


def id_column(layer: str) -> str:
    """Column whose value names one item of a collection: the layer's key, or ``fid`` where a key may name several."""
    return "fid" if layer in _MANY else schema.LAYER_KEYS.get(layer, "fid")


def kinds(layer: str, scope: Scope) -> dict[str, str]:
    """Columns of a layer the caller may see and ask about, with their dtypes."""
    seen = set(visible_columns(layer, scope))
    return {column.name: column.dtype for column in schema.columns(layer) if column.name in seen}


def asked(  # noqa: PLR0913 - a request is what it is made of
    layer: str,
    params: QueryParams,
    *,
    home: CRS,
    scope: Scope,
    reach: Bounds | None,
    known: Sequence[str] = ITEMS,
) -> Asked:
    """What a request asks of a layer.

    Parameters
    ----------
    layer : str
        A collection.
    params : QueryParams
        As they came.
    home : CRS
        Of the workspace.
    scope : Scope
        Columns outside it do not exist: no filter or order may tell of them.
    reach : (xmin, ymin, xmax, ymax) or None
        Bounds of the county in ``home``, None if it has none.
    known : sequence of str
        Parameters this route reads, beside the layer's columns.

    Raises
    ------
    ConditionError
        If a parameter is unknown, comes twice or cannot mean anything.
    """
    columns = kinds(layer, scope)
    _refuse_unknown(params, known, columns)
    parts = [_equal(name, dtype, params.getlist(name)) for name, dtype in columns.items() if name in params]
    if (text := params.get("datetime")) is not None and not _DATETIME.fullmatch(text):
        raise ConditionError(f"datetime={text[:40]} 不可用：应为 RFC 3339 的时刻或区间")
    if (text := params.get("bbox")) is not None:
        parts.append(_inside(layer, text, params.get("bbox-crs"), home, reach))
    elif "bbox-crs" in params:
        system(params["bbox-crs"], home, "bbox-crs")
    if (text := params.get("filter")) is not None:
        parts.append(_filter(layer, text, params, home, columns))
    elif (language := params.get("filter-lang", "cql2-text")) != "cql2-text":
        raise ConditionError(f"filter-lang={language[:20]} 不可用：只支持 cql2-text")
    shown, key = _chosen(params.get("properties"), columns), id_column(layer)
    query = Query(
        columns=list(dict.fromkeys([*shown, *([key] if key in columns else [])])),
        where=All(tuple(parts)) if parts else None,
        sort=_order(params.get("sortby"), columns),
        limit=_limit(params.get("limit")),
        after=params.get(CURSOR),
        geometry=layer in GEOMETRIES and not _yes(params.get("skipGeometry"), "skipGeometry"),
    )
    return Asked(layer=layer, query=query, shown=shown, system=system(params.get("crs"), home))


def whole(found: Asked, most: int) -> Asked:
    """The same question for all rows up to ``most``, in pages as large as they come."""
    return replace(found, query=replace(found.query, limit=min(MOST, most), after=None))


def _refuse_unknown(params: QueryParams, known: Sequence[str], columns: Mapping[str, str]) -> None:
    for name in dict.fromkeys(params.keys()):
        if name not in known and name not in columns:
            raise ConditionError(f"不认识参数 {name[:40]}；可用：{'、'.join((*known, *columns))}")
        if name in known and len(params.getlist(name)) > 1:
            raise ConditionError(f"参数 {name[:40]} 给了不止一次")


def _equal(name: str, dtype: str, texts: Sequence[str]) -> Condition:
    if texts == [""]:
        return IsNull(name) if dtype != "str" else Either((IsNull(name), Compare(name, "=", "")))
    values = tuple(_value(name, dtype, text) for text in texts)
    return Compare(name, "=", values[0]) if len(values) == 1 else In(name, values)


def _value(name: str, dtype: str, text: str) -> Any:  # noqa: ANN401 - of the column's kind
    if dtype == "str":
        return text
    if dtype == "bool" and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    if re.fullmatch(r"[+-]?(\d{1,18}(\.\d{0,18})?|\.\d{1,18})", text):
        return of_kind(name, dtype, float(text) if "." in text else int(text))
    raise ConditionError(
        f"参数 {name}={text[:40]} 不可用：{'true 或 false' if dtype == 'bool' else '应为数'}"
    )


def _inside(layer: str, text: str, named: str | None, home: CRS, reach: Bounds | None) -> Condition:
    if layer not in GEOMETRIES:
        raise ConditionError(f"图层 {layer} 没有图形，不能用 bbox")
    of = system(named, home, "bbox-crs")
    shapes = clipped(boxes(text, of), of, reach)
    return All(()) if shapes is None else Either(tuple(Intersects(shape) for shape in shapes))


def _filter(layer: str, text: str, params: QueryParams, home: CRS, columns: Mapping[str, str]) -> Condition:
    language = params.get("filter-lang", "cql2-text")
    if language != "cql2-text":
        raise ConditionError(f"filter-lang={language[:20]} 不可用：只支持 cql2-text")
    of = system(params.get("filter-crs"), home, "filter-crs")
    if layer not in GEOMETRIES:
        return condition(text, columns, None)
    return condition(text, columns, of.at_home)


def _chosen(text: str | None, columns: Mapping[str, str]) -> list[str]:
    if text is None:
        return list(columns)
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    if absent := [name for name in wanted if name not in columns]:
        raise ConditionError(f"properties 中没有列 {absent[0][:40]}；可用的列：{'、'.join(columns)}")
    return [name for name in columns if name in wanted]


def _order(text: str | None, columns: Mapping[str, str]) -> list[str]:
    if text is None:
        return []
    order: list[str] = []
    for part in text.split(","):
        downward = part.startswith("-")
        name = part.strip().removeprefix("-" if downward else "+")  # a plus in an address arrives as a blank
        if name not in columns:
            raise ConditionError(f"sortby 中没有列 {name[:40]}；可用的列：{'、'.join(columns)}")
        if name in {one.removeprefix("-") for one in order}:
            raise ConditionError(f"sortby 中列 {name} 给了不止一次")
        order.append(f"-{name}" if downward else name)
    return order


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"\d{1,18}", text) or int(text) < 1:
        raise ConditionError(f"limit={text[:20]} 不可用：应为 1 到 {MOST} 的整数")
    return min(int(text), MOST)


def _yes(text: str | None, name: str) -> bool:
    if text is None:
        return False
    if text.lower() not in _BOOLEANS:
        raise ConditionError(f"{name}={text[:20]} 不可用：应为 true 或 false")
    return _BOOLEANS[text.lower()]
