"""Layers of the workspace as pages of GeoJSON features, in the order of their codes."""

from bisect import bisect_right
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from api.errors import NotFoundError, QueryError
from api.features import MEDIA_TYPE, features, plane_bbox
from api.source import LAYER_KEYS, SourceDep
from geo.schema import LAYER_TITLES
from geo.workspace import GEOMETRIES

router = APIRouter(prefix="/collections", tags=["collections"])


@router.get("")
def list_collections(source: SourceDep) -> dict[str, Any]:
    """Which layers there are, with their Chinese titles and numbers of rows."""
    return {
        "collections": [
            {"id": layer, "title": LAYER_TITLES[layer], "numberMatched": len(source.codes(layer, key))}
            for layer, key in LAYER_KEYS.items()
        ]
    }


@router.get("/{layer}/items", response_class=JSONResponse)
def list_items(  # noqa: PLR0913, PLR0917 - what a request may ask, all by name
    layer: str,
    source: SourceDep,
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: str | None = None,
    bbox: str | None = None,
) -> JSONResponse:
    """Features of a layer after the code ``after``; the link ``next`` leads on while there are more.

    ``bbox`` is west,south,east,north in degrees.
    """
    if layer not in LAYER_KEYS:
        raise NotFoundError(f"没有图层 {layer}；可用的图层：{'、'.join(LAYER_KEYS)}")
    key, opened = LAYER_KEYS[layer], source.open()
    if bbox is None:
        codes = source.codes(layer, key)
    elif layer in GEOMETRIES:
        inside = opened.read(layer, columns=[key], bbox=plane_bbox(bbox, opened.crs), geometry=False)
        codes = sorted(inside[key].dropna())
    else:
        raise QueryError(f"图层 {layer} 没有图形，不能用 bbox")
    start = bisect_right(codes, after) if after is not None else 0
    wanted = codes[start : start + limit]
    names = ", ".join(quoted(code) for code in wanted)
    rows = opened.read(layer, where=f"{key} IN ({names})") if wanted else opened.read(layer, where="0 = 1")
    rows = rows.sort_values(key, kind="stable")
    links = []
    if start + limit < len(codes):
        following = request.url.include_query_params(after=wanted[-1], limit=limit)
        links.append({"rel": "next", "href": f"{following.path}?{following.query}", "type": MEDIA_TYPE})
    body = {
        "type": "FeatureCollection",
        "features": features(rows, key),
        "numberMatched": len(codes),
        "numberReturned": len(rows),
        "links": links,
    }
    return JSONResponse(body, media_type=MEDIA_TYPE)


def quoted(code: str) -> str:
    """A text as a literal of SQL."""
    return "'" + code.replace("'", "''") + "'"
