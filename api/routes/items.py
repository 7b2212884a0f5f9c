"""Rows of a collection as GeoJSON, in pages that never lose or repeat a row.

::

  GET /collections/{id}/items
      ?limit (100; at most 10,000) &cursor (from the link next) &bbox=west,south,east,north &bbox-crs &crs
      &sortby=+a,-b &filter (CQL2 text) &filter-crs &properties=a,b &skipGeometry=true
      &<column>=value (twice: either; empty: no value), an unknown parameter is 400
      → {"type": "FeatureCollection", "features": [{"type", "id", "geometry", "properties"}...],
         "numberReturned", "numberMatched" (where it is cheap), "timeStamp", "links": [self, next]}
      headers Content-Crs, ETag; 304 for If-None-Match
  GET /collections/{id}/items/{item}
      → one feature with "links". A piece has beside its columns "case" (row of cases or null; version 0 if
        nobody touched it is told by ETag), "findings", "attachments", "next_states", "asked_code",
        "register_status"; a code that is no longer in use has no geometry and register_status SUPERSEDED.
        ETag of a piece is "<version of its case>": send it back as If-Match with PATCH.

The id of an item is the key of its layer (piece_code, village_code, ...), or the row's number where a
key may name several rows (parcels, parcels_original, balance, grid_lineage).
"""

import hashlib
import re
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.datastructures import URL

from api import features, ogc
from api.access import Caller, CallerDep, SettingsDep, StoreDep
from api.asking import CURSOR, asked, id_column, kinds, layer_of
from api.errors import NotFoundError, problems
from api.extent import reach
from api.pieces import piece_document
from api.routes.landing import base_of
from api.systems import System, system
from geo import schema
from geo.errors import ConditionError
from geo.store import Scope, Store
from geo.workspace import GEOMETRIES, simple

router = APIRouter(prefix="/collections", tags=["ogc"])

_ROW_NUMBER: Final = re.compile(r"\d{1,15}")


def _parameter(name: str, kind: str, said: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - of OpenAPI
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": said,
        "schema": {"type": kind, **more},
    }


PARAMETERS: Final = [
    _parameter("limit", "integer", "每页行数；超过最大值按最大值", minimum=1, maximum=10000, default=100),
    _parameter(CURSOR, "string", "翻页标记，取自 next 链接"),
    _parameter("bbox", "string", "西,南,东,北"),
    _parameter("bbox-crs", "string", "bbox 的坐标系"),
    _parameter("crs", "string", "结果的坐标系"),
    _parameter("datetime", "string", "时刻或区间；图层没有时间，不起筛选作用"),
    _parameter("filter", "string", "筛选条件（CQL2 文本）"),
    _parameter("filter-lang", "string", "筛选语言", enum=["cql2-text"]),
    _parameter("filter-crs", "string", "筛选条件中图形的坐标系"),
    _parameter("sortby", "string", "排序：+列,-列"),
    _parameter("properties", "string", "只要这些列，逗号分开"),
    _parameter("skipGeometry", "boolean", "不要图形"),
]


@router.get(
    "/{layer}/items",
    response_class=Response,
    responses={
        200: {"content": {ogc.GEOJSON: {"schema": {"type": "object"}}}},
        304: {"description": "没有变化"},
        **problems(404),
    },
    openapi_extra={"parameters": PARAMETERS},
)
def read_items(
    layer: str, request: Request, store: StoreDep, caller: CallerDep, settings: SettingsDep
) -> Response:
    """A page of features."""
    scope, home = caller.scope, store.workspace.crs
    known = layer_of(store, layer, scope)
    wanted = asked(known, request.query_params, home=home, scope=scope, reach=reach(store))
    _accepted(request.query_params.get("f"))
    tag = _tag(store.edition(known), scope, str(request.url))
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Content-Crs": f"<{wanted.system.uri}>"}
    if same_tag(request, tag):
        return Response(status_code=304, headers=headers)
    page = store.query(known, wanted.query, scope)
    base = base_of(request)
    links = [{"href": _here(request.url, base), "rel": "self", "type": ogc.GEOJSON}]
    if page.after is not None:
        following = request.url.include_query_params(**{CURSOR: page.after})
        links.append({"href": _here(following, base), "rel": "next", "type": ogc.GEOJSON})
    members: dict[str, Any] = {
        "numberReturned": len(page.rows),
        "timeStamp": settings.clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "links": links,
    }
    if page.matched is not None:
        members["numberMatched"] = page.matched
    made = features.features(page.rows, id_column(known), wanted.system, shown=wanted.shown)
    return StreamingResponse(
        features.collection(made, members), media_type=features.MEDIA_TYPE, headers=headers
    )


@router.get(
    "/{layer}/items/{item:path}",
    response_class=Response,
    responses={200: {"content": {ogc.GEOJSON: {"schema": {"type": "object"}}}}, **problems(404)},
    openapi_extra={"parameters": [_parameter("crs", "string", "结果的坐标系")]},
)
def read_item(layer: str, item: str, request: Request, store: StoreDep, caller: CallerDep) -> Response:
    """One feature; a piece with all that is known of it.

    Raises
    ------
    NotFoundError
        If there is none the caller may see.
    ConditionError
        If a parameter is unknown.
    """
    known = layer_of(store, layer, caller.scope)
    if unknown := set(request.query_params) - {"crs", "f"}:
        raise ConditionError(f"不认识参数 {min(unknown)[:40]}；可用：crs")
    _accepted(request.query_params.get("f"))
    of = system(request.query_params.get("crs"), store.workspace.crs)
    if known == "pieces":
        row, more, version = piece_document(store, item, caller)
        tag = f'"{version}"'
    else:
        found = _row(store, known, item, caller.scope)
        if found is None:
            raise NotFoundError(f"{schema.LAYER_TITLES[known]}没有 {item[:60]}")
        row, more = found, {}
        tag = f'"{row["version"]}"' if "version" in row else f'"{store.edition(known)}"'
    text = feature_text(known, row, of, caller, base_of(request), more)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Content-Crs": f"<{of.uri}>"}
    return Response(text, media_type=features.MEDIA_TYPE, headers=headers)


def feature_text(  # noqa: PLR0913, PLR0917 - a feature is what it is made of
    layer: str, row: dict[str, Any], of: System, caller: Caller, base: str, more: dict[str, Any]
) -> str:
    """One row as a feature with its links; ``more`` are properties beside its columns."""
    columns = list(kinds(layer, caller.scope))
    frame = pd.DataFrame([{name: row.get(name) for name in ("fid", *columns)}])
    frame = schema.conform(frame, layer).drop(
        columns=[name for name in schema.column_names(layer) if name not in columns]
    )
    if layer in GEOMETRIES:
        shape = simple(np.array([row.get("geometry")], dtype=object))
        frame = gpd.GeoDataFrame(frame, geometry=shape, crs=of.home)
    (text,) = features.features(frame, id_column(layer), of, shown=columns, more=more)
    (name,) = features.cells(frame[id_column(layer)])
    path = f"/collections/{layer}/items/{name.strip(chr(34))}"
    links = [
        ogc.link(base, path, "self", ogc.GEOJSON),
        ogc.link(base, f"/collections/{layer}", "collection", ogc.JSON, schema.LAYER_TITLES[layer]),
    ]
    return features.with_members(text, {"links": links})


def same_tag(request: Request, tag: str) -> bool:
    """Whether the caller has what ``tag`` names already."""
    told = request.headers.get("if-none-match", "")
    return tag.removeprefix("W/") in {one.strip().removeprefix("W/") for one in told.split(",")}


def _row(store: Store, layer: str, item: str, scope: Scope) -> dict[str, Any] | None:
    if id_column(layer) != "fid":
        return store.row(layer, item, scope)
    if _ROW_NUMBER.fullmatch(item):
        return store.at(layer, int(item), scope)
    return store.row(layer, item, scope) if layer in schema.LAYER_KEYS else None


def _accepted(form: str | None) -> None:
    if form not in {None, "json", "geojson"}:
        raise ConditionError(f"f={str(form)[:20]} 不可用：只有 json")


def _here(url: URL, base: str) -> str:
    return f"{base}{url.path}?{url.query}" if url.query else f"{base}{url.path}"


def _tag(edition: str, scope: Scope, address: str) -> str:
    """Weak: the time stamp differs from answer to answer."""
    told = f"{edition}|{scope.key}|{address}"
    return f'W/"{hashlib.sha256(told.encode()).hexdigest()[:24]}"'
