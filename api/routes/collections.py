"""Layers of the workspace as collections: which there are, where they lie, what may be asked of them.

GET /collections                  {"links", "crs", "collections": [collection...]}
GET /collections/{id}             {"id", "title", "itemType", "crs", "storageCrs", "extent", "links"}
GET /collections/{id}/queryables  JSON Schema: properties with title, type, enum and names of codes
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api import ogc
from api.access import CallerDep, StoreDep
from api.asking import layer_of, layers
from api.errors import problems
from api.extent import reach
from api.routes.landing import base_of

router = APIRouter(prefix="/collections", tags=["ogc"])


@router.get("")
def list_collections(request: Request, store: StoreDep, caller: CallerDep) -> dict[str, Any]:  # noqa: ARG001 - who asks is known
    """Every collection, with extent and coordinate systems."""
    return ogc.collections(store, layers(store), base_of(request), reach(store))


@router.get("/{layer}", responses=problems(404))
def read_collection(layer: str, request: Request, store: StoreDep, caller: CallerDep) -> dict[str, Any]:
    """One collection."""
    return ogc.collection(store, layer_of(store, layer, caller.scope), base_of(request), reach(store))


@router.get(
    "/{layer}/queryables",
    responses={**problems(404), 200: {"content": {ogc.SCHEMA: {}}}},
    response_class=JSONResponse,
)
def read_queryables(layer: str, request: Request, store: StoreDep, caller: CallerDep) -> JSONResponse:
    """Columns a filter may name, as a JSON Schema."""
    known = layer_of(store, layer, caller.scope)
    return JSONResponse(ogc.queryables(known, base_of(request), caller.scope), media_type=ogc.SCHEMA)
