"""The service: one workspace, its map and its layers, for a county's own network."""

import os
from os import PathLike
from pathlib import Path

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from api import errors
from api.routes import balance, collections, health, page, pieces
from api.source import Source
from geo.errors import InputError


def create_app(workspace_path: str | PathLike[str]) -> FastAPI:
    """A service over one workspace.

    Parameters
    ----------
    workspace_path : path
        A GeoPackage made by ``taotu reconcile``. A later run may replace it
        while the service stands.

    Raises
    ------
    InputError, WorkspaceError
        If it is not there, or is no workspace of this version.
    """
    # The usual documentation pages fetch their scripts from outside; /openapi.json is all inside.
    app = FastAPI(title="套图", summary="剩余耕地图块：地图、图层与面积平衡", docs_url=None, redoc_url=None)
    app.state.source = Source(Path(workspace_path))
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=4)
    errors.add_handlers(app)
    for resource in (health, page, collections, pieces, balance):
        app.include_router(resource.router)
    return app


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
