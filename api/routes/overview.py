"""The county at a glance: sums of villages, and their outlines to colour by them.

::

  GET /api/v1/overview
      → {"county": {figure: number...}, "villages": [{"village_code", "village_name", figure: number...}...],
         "versions": {layer: v}}: v is the caller's ?v= of the layer's tiles. Figures in m² with mu beside them:
         farmland covered block strip sliver state share_based net_block residual, and by class (unconfirmed
         newly_added undetermined), shape (block strip sliver) and state (candidate identified ...) _count, _m2, _mu;
         piece_count. block_m2 is of the balance; so are strip_m2 and sliver_m2: they equal the pieces' sums.
  GET /api/v1/overview/villages
      → GeoJSON of the villages' simplified outlines in degrees, the same figures as properties

A caller of some villages gets these alone, and sums of these.
"""

import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

import geopandas as gpd
import pandas as pd
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from api import features
from api.access import CallerDep, StoreDep
from api.routes.items import same_tag
from api.routes.tiles import TilesDep
from api.systems import CRS84, systems
from geo.overview import outlines, village_figures, whole
from geo.store import Condition, Query, Scope, Store
from geo.store.query import Compare
from geo.tiles import TILE_COLUMNS

router = APIRouter(prefix="/api/v1/overview", tags=["overview"])

_PAGE: Final = 10_000
_KEPT: Final = 32  # scopes
# Figures of a large county take a second: while officers edit, a quarter of the time goes into them at most.
_REST: Final = 3.0
_PIECES: Final = ("village_code", "piece_class", "piece_shape", "state", "area_m2")
_lock = threading.Lock()


@router.get("", response_class=JSONResponse)
def read_overview(request: Request, store: StoreDep, caller: CallerDep, tiles: TilesDep) -> Response:
    """Figures of the county and of each village."""
    versions = {
        layer: tiles.version(layer, caller.scope) for layer in TILE_COLUMNS if layer in store.workspace.layers
    }
    tag, figures = _figures(request, store, caller.scope)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    body = {"county": whole(figures), "villages": features.records(figures), "versions": versions}
    return JSONResponse(body, headers=headers)


@router.get(
    "/villages",
    response_class=Response,
    responses={
        200: {"content": {features.MEDIA_TYPE: {"schema": {"type": "object"}}}},
        304: {"description": "没有变化"},
    },
)
def read_outlines(request: Request, store: StoreDep, caller: CallerDep) -> Response:
    """Outlines of villages with their figures."""
    tag, figures = _figures(request, store, caller.scope)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if same_tag(request, tag):
        return Response(status_code=304, headers=headers)
    drawn = _outlines(request, store, caller.scope)
    of = systems(store.workspace.crs)[CRS84]
    table = drawn.merge(figures, on="village_code", how="left", validate="many_to_one")
    made = features.features(table, "village_code", of, shown=list(figures.columns))
    body = b"".join(features.collection(made, {"numberReturned": len(made), "links": []}))
    return Response(body, media_type=features.MEDIA_TYPE, headers=headers)


def _outlines(request: Request, store: Store, scope: Scope) -> gpd.GeoDataFrame:
    """Outlines of the villages of a scope: figures change with every edit, these do not."""
    seen = None if scope.villages is None else tuple(sorted(scope.villages))
    edition = store.edition("villages")
    with _lock:
        kept: OrderedDict[Any, tuple[str, gpd.GeoDataFrame]] = request.app.state.__dict__.setdefault(
            "outlines", OrderedDict()
        )
        if (held := kept.get(seen)) is not None and held[0] == edition:
            kept.move_to_end(seen)
            return held[1]
    drawn = outlines(_all(store, "villages", scope, geometry=True)[["village_code", "geometry"]])
    with _lock:
        kept[seen] = (edition, drawn)
        while len(kept) > _KEPT:
            kept.popitem(last=False)
    return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """Figures of a scope, and until when edits need not be seen in them."""

    tag: str
    figures: pd.DataFrame
    good_until: float


def _figures(request: Request, store: Store, scope: Scope) -> tuple[str, pd.DataFrame]:
    """Figures of the villages of a scope, and the tag that changes when they may."""
    state = request.app.state
    seen = None if scope.villages is None else tuple(sorted(scope.villages))
    key = (store.edition("pieces"), store.edition("balance"), store.edition("villages"), seen)
    tag = f'"{features.digest(json.dumps(key))}"'
    with _lock:
        kept: OrderedDict[Any, _Made] = state.__dict__.setdefault("figures", OrderedDict())
        held = kept.get(seen)
        if held is not None and (held.tag == tag or time.monotonic() < held.good_until):
            kept.move_to_end(seen)
            return held.tag, held.figures
    begun = time.monotonic()
    made = village_figures(
        _all(store, "villages", scope, columns=("village_code", "village_name")),
        _all(store, "balance", scope, where=Compare("level", "=", "village")),
        _all(store, "pieces", scope, columns=_PIECES),
    )
    now = time.monotonic()
    with _lock:
        kept[seen] = _Made(tag=tag, figures=made, good_until=now + _REST * (now - begun))
        while len(kept) > _KEPT:
            kept.popitem(last=False)
    return tag, made


def _all(  # noqa: PLR0913 - what may be asked
    store: Store,
    layer: str,
    scope: Scope,
    *,
    columns: tuple[str, ...] | None = None,
    where: Condition | None = None,
    geometry: bool = False,
) -> Any:  # noqa: ANN401 - a GeoDataFrame where there is geometry
    frames, after = [], None
    while True:
        query = Query(columns=columns, where=where, geometry=geometry, limit=_PAGE, after=after)
        page = store.query(layer, query, scope)
        frames.append(page.rows)
        if (after := page.after) is None:
            return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
