"""Layers as vector tiles.

::

  GET /tiles/{layer}                      TileJSON 3.0; its "tiles" address carries ?v= of the caller's edition
  GET /tiles/{layer}/{z}/{x}/{y}.mvt?v=   a Mapbox Vector Tile, gzip; 204 if nothing is there (or too far away: below
      zoom 14 only stored tiles are given, and only to callers of the whole county); 400 outside the scheme.
      With v of today the answer may be kept for good (Cache-Control immutable), else it is asked for again by ETag.

Layers: patches parcels parcels_original pieces villages findings sheets grids households.
"""

import gzip
import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from api.access import CallerDep, StoreDep
from api.asking import layer_of
from api.errors import NotFoundError, problems
from api.extent import reach
from api.routes.items import same_tag
from api.routes.landing import base_of
from api.systems import CRS84, lonlat, systems
from api.tiling import Tiles
from geo.errors import ConditionError
from geo.store import Scope, Store
from geo.tiles import TILE_COLUMNS, Tile, tilejson

router = APIRouter(prefix="/tiles", tags=["tiles"])

MEDIA_TYPE: Final = "application/vnd.mapbox-vector-tile"


def tiles_of(request: Request, store: StoreDep) -> Tiles:
    """The service's tiles, made at the first request."""
    state = request.app.state
    if getattr(state, "tiles", None) is None:
        state.tiles = Tiles(store)
        state.lifetime.closing.append(state.tiles.close)
    return state.tiles  # type: ignore[no-any-return] # put there above


TilesDep = Annotated[Tiles, Depends(tiles_of)]


@router.get("/{layer}", responses=problems(404))
def read_tilejson(
    layer: str, request: Request, store: StoreDep, caller: CallerDep, tiles: TilesDep
) -> dict[str, Any]:
    """Where the tiles of a layer are and what they carry."""
    known = _layer(store, layer, caller.scope)
    least, most = tiles.zooms(known, caller.scope)
    version = tiles.version(known, caller.scope)
    where = reach(store)
    return tilejson(
        known,
        url=f"{base_of(request)}/tiles/{known}/{{z}}/{{x}}/{{y}}.mvt?v={version}",
        bounds=None if where is None else lonlat(where, systems(store.workspace.crs)[CRS84]),
        min_zoom=least,
        max_zoom=most,
    )


@router.get(
    "/{layer}/{z}/{x}/{y}.mvt",
    response_class=Response,
    responses={
        200: {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}}},
        204: {"description": "空瓦片"},
        304: {"description": "没有变化"},
        **problems(404),
    },
)
def read_tile(  # noqa: PLR0913, PLR0917 - what an address is made of
    layer: str,
    z: int,
    x: int,
    y: int,
    request: Request,
    store: StoreDep,
    caller: CallerDep,
    tiles: TilesDep,
    v: str | None = None,
) -> Response:
    """One tile.

    Raises
    ------
    ConditionError
        If there is no such tile.
    """
    known = _layer(store, layer, caller.scope)
    wanted = Tile(z, x, y)
    if not wanted.valid:
        raise ConditionError(f"没有这样的瓦片：{z}/{x}/{y}")
    version = tiles.version(known, caller.scope)
    tag = f'"{hashlib.sha256(f"{known}|{version}|{z}/{x}/{y}".encode()).hexdigest()[:24]}"'
    kept = "private, max-age=31536000, immutable" if v == version else "private, no-cache"
    headers = {"ETag": tag, "Cache-Control": kept, "Vary": "Accept-Encoding, Cookie, Authorization"}
    if same_tag(request, tag):
        return Response(status_code=304, headers=headers)
    body = tiles.tile(known, wanted, caller.scope)
    if body is None:
        return Response(status_code=204, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(body, media_type=MEDIA_TYPE, headers=headers | {"Content-Encoding": "gzip"})
    return Response(gzip.decompress(body), media_type=MEDIA_TYPE, headers=headers)


def _layer(store: Store, name: str, scope: Scope) -> str:
    if name not in TILE_COLUMNS:
        raise NotFoundError(f"图层 {name[:40]} 没有瓦片；可用：{'、'.join(TILE_COLUMNS)}")
    return layer_of(store, name, scope)
