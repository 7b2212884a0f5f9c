"""The service: one workspace, its map, its layers and its records, for a county's own network."""

import os
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from os import PathLike
from typing import Any, Final

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.openapi.utils import get_openapi
from starlette.middleware.gzip import GZipMiddleware

from api import errors
from api.access import COOKIE, Access
from api.accounts import Accounts
from api.lifetime import EndStreams, Lifetime
from api.logs import RequestLog
from api.metrics import Metrics
from api.pool import attach
from api.routes import (
    attachments,
    audit,
    auth,
    backup,
    balance,
    basemap,
    collections,
    conflicts,
    downloads,
    edits,
    files,
    health,
    items,
    jobs,
    keys,
    landing,
    overview,
    pages,
    processes,
    search,
    tiles,
    uploads,
    users,
)
from api.routes.static import static_app
from api.security import NOT_PACKED, Gate, SafeHeaders
from api.settings import Settings
from geo.assets import STATIC
from geo.errors import InputError
from geo.store import open_store

# Every resource of the service. A router here is behind the login, the limits and the log by itself,
# and its routes are tried by tests/api/test_schema.py.
ROUTERS: Final = (
    health.router,
    auth.router,
    users.router,
    keys.router,
    audit.router,
    backup.router,
    landing.programs,
    landing.router,
    pages.router,
    collections.router,
    edits.router,
    conflicts.router,
    attachments.router,
    downloads.router,
    items.router,
    balance.router,
    tiles.router,
    basemap.router,
    search.router,
    overview.router,
    processes.router,
    jobs.router,
    files.router,
    uploads.router,
)


def create_app(url: str | PathLike[str], settings: Settings | None = None) -> FastAPI:
    """A service over one workspace.

    ``app.state`` holds ``store``, ``settings``, ``accounts``, ``metrics`` and ``lifetime``; the
    store closes when the app's lifespan ends.

    Parameters
    ----------
    url : str or path
        A GeoPackage made by ``taotu reconcile``, or ``postgresql://…``.
    settings : Settings, optional
        Those of a county's intranet by default.

    Raises
    ------
    InputError, WorkspaceError
        If it is not there, or is no workspace of this version.
    """
    settings = settings or Settings()
    # The usual documentation pages fetch their scripts from outside; /openapi.json is all inside.
    app = FastAPI(
        title="套图",
        version="1",
        summary="剩余耕地图块：地图、图层、核查与面积平衡",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    store = open_store(url, folder=settings.folder, clock=settings.clock)
    accounts = Accounts(store.private(), settings)
    app.state.settings = settings
    app.state.store = store
    app.state.accounts = accounts
    app.state.metrics = Metrics(accounts.open_sessions)
    app.state.lifetime = Lifetime()
    attach(app, settings.jobs)
    # From the innermost to the outermost: what is added last hears of a request first.
    app.add_middleware(Access, accounts=accounts, settings=settings)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=4, exclude_content_types=NOT_PACKED)
    app.add_middleware(EndStreams, lifetime=app.state.lifetime)
    app.add_middleware(Gate, settings=settings)
    app.add_middleware(RequestLog, metrics=app.state.metrics)
    app.add_middleware(SafeHeaders)
    errors.add_handlers(app)
    for router in ROUTERS:
        app.include_router(router, responses=errors.COMMON)
    app.mount(STATIC, static_app())
    app.openapi = lambda: _description(app)  # type: ignore[method-assign] # as FastAPI's guide has it
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    lifetime: Lifetime = app.state.lifetime
    try:
        for start in lifetime.starting:
            await run_in_threadpool(start)
        yield
    finally:
        for close in reversed(lifetime.closing):
            await run_in_threadpool(close)
        await run_in_threadpool(app.state.store.close)


def _description(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI of the service, with the one form of its errors and the two ways to log in."""
    if app.openapi_schema is None:
        with warnings.catch_warnings():  # a route of GET and HEAD is told of twice under one id
            warnings.filterwarnings("ignore", "Duplicate Operation ID")
            made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        for methods in made["paths"].values():
            if "get" in methods:
                methods.pop("head", None)  # HTTP says what it is: the same without its body
        parts = made.setdefault("components", {})
        form = errors.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        parts.setdefault("schemas", {}).update(form.pop("$defs", {}), Problem=form)
        parts["securitySchemes"] = {
            "key": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        }
        made["security"] = [{"key": []}, {"session": []}]
        app.openapi_schema = made
    return app.openapi_schema


def app_from_environment() -> FastAPI:
    """The service over the workspace named by ``TAOTU_WORKSPACE``, for servers that start one by name.

    Raises
    ------
    InputError
        If the variable is not set.
    """
    path = os.environ.get("TAOTU_WORKSPACE")
    if not path:
        raise InputError("没有指定工作区：请用 taotu serve 工作区.gpkg 启动，或设置环境变量 TAOTU_WORKSPACE")
    return create_app(path)
