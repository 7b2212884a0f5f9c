"""The service as OGC API - Features describes it: landing document, conformance, its own description.

GET /             {"title", "description", "links": [...]}; browsers get the page 总览 from routes/pages.py
GET /conformance  {"conformsTo": [...]}
GET /api          the OpenAPI document, as /openapi.json
"""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from api import ogc
from api.access import CallerDep, StoreDep
from geo.store import EVERYTHING


class _ForPrograms(APIRoute):
    """A route that leaves browsers to the pages."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """No match where the caller would rather have HTML."""
        if scope["type"] == "http" and b"text/html" in dict(scope["headers"]).get(b"accept", b""):
            return Match.NONE, {}
        return super().matches(scope)


router = APIRouter(tags=["ogc"])
programs = APIRouter(tags=["ogc"], route_class=_ForPrograms)


def base_of(request: Request) -> str:
    """Address of the service as the caller wrote it, without a slash at its end."""
    return str(request.base_url).rstrip("/")


def landing_document(request: Request, store: StoreDep) -> dict[str, Any]:
    """The landing document, for whichever route answers ``/``."""
    meta = store.raw("meta", scope=EVERYTHING)[1]
    title = dict(zip(meta["key"], meta["value"], strict=True)).get("title") or "套图"
    return ogc.landing(base_of(request), title)


@programs.get("/")
def read_landing(request: Request, store: StoreDep, caller: CallerDep) -> dict[str, Any]:  # noqa: ARG001 - who asks is known
    """What the service is and where its parts are."""
    return landing_document(request, store)


@router.get("/conformance")
def read_conformance(caller: CallerDep) -> dict[str, list[str]]:  # noqa: ARG001 - who asks is known
    """Classes of the standards that tests prove."""
    return {"conformsTo": list(ogc.CONFORMANCE)}


@router.get("/api", responses={200: {"content": {ogc.OPENAPI: {}}}}, response_class=JSONResponse)
def read_description(request: Request, caller: CallerDep) -> JSONResponse:  # noqa: ARG001 - who asks is known
    """The service in OpenAPI."""
    return JSONResponse(request.app.openapi(), media_type=ogc.OPENAPI)
