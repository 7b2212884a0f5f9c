"""A collection, or what a filter leaves of it, as a file.

::

  GET /collections/{id}/download?f=gpkg|parquet|fgb|csv|shp|xlsx
      with the filters of /collections/{id}/items (bbox, filter, sortby, properties, <column>=value)
      → the file; Content-Disposition with a Chinese name. Coordinates are the county's own.
        Columns that tell of persons only for officers, of their villages; each such download is in the audit log.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pandas as pd
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from api.access import CallerDep, StoreDep
from api.asking import DOWNLOAD, MOST, Asked, asked, layer_of
from api.errors import TooLargeError, problems
from api.extent import reach
from api.routes.items import PARAMETERS
from geo import schema
from geo.errors import ConditionError
from geo.exchange.handout import FORMS, write
from geo.store import Scope, Store
from geo.workspace import GEOMETRIES

router = APIRouter(prefix="/collections", tags=["ogc"])

_TABLES: Final = frozenset({"csv", "xlsx"})  # forms that hold no geometry
_FORM: Final = {
    "name": "f", "in": "query", "required": True, "description": "文件格式",
    "schema": {"type": "string", "enum": list(FORMS)},
}  # fmt: skip
_HERE: Final = [_FORM, *(one for one in PARAMETERS if one["name"] in DOWNLOAD)]


@router.get(
    "/{layer}/download",
    response_class=FileResponse,
    responses={200: {"content": {form.media_type: {} for form in FORMS.values()}}, **problems(404, 413)},
    openapi_extra={"parameters": _HERE},
)
def download(layer: str, request: Request, store: StoreDep, caller: CallerDep) -> FileResponse:
    """The rows as a file.

    Raises
    ------
    ConditionError
        If the form is unknown or needs geometry, or a parameter cannot mean anything.
    TooLargeError
        If there are more rows than the form is made for.
    """
    known = layer_of(store, layer, caller.scope)
    name = request.query_params.get("f", "")
    if name not in FORMS:
        raise ConditionError(f"f={name[:20]} 不可用；可用：{'、'.join(FORMS)}")
    if FORMS[name].spatial and known not in GEOMETRIES:
        raise ConditionError(f"{schema.LAYER_TITLES[known]}没有图形，不能下载为 {FORMS[name].title}")
    wanted = asked(
        known,
        request.query_params,
        home=store.workspace.crs,
        scope=caller.scope,
        reach=reach(store),
        known=DOWNLOAD,
    )
    if not wanted.shown:
        raise ConditionError("properties 是空的：至少要一列")
    rows = store.count(known, wanted.query.where, caller.scope)
    if rows > FORMS[name].most:
        raise TooLargeError(
            f"{rows} 行太多：{FORMS[name].title} 一次最多 {FORMS[name].most} 行，请缩小范围，或改用 GeoPackage"
        )
    if told := sorted(schema.personal_columns(known) & set(wanted.shown)):
        with store.write(actor=caller.actor, why="下载") as change:
            asked_for = {"columns": told, "rows": rows, "format": name, "query": request.url.query[:2000]}
            change.note("download", layer=known, after=asked_for)
    folder = Path(tempfile.mkdtemp(prefix="taotu-download-"))
    try:
        path = folder / f"file{FORMS[name].suffix}"
        write(
            lambda: _frames(store, wanted, caller.scope, geometry=name not in _TABLES),
            path,
            form=name,
            layer=known,
            columns=wanted.shown,
            crs=store.workspace.crs,
            geometry=GEOMETRIES.get(known),
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    title = f"{schema.LAYER_TITLES[known]}{FORMS[name].suffix}"
    headers = {
        "Content-Disposition": f"attachment; filename=\"{known}{FORMS[name].suffix}\"; filename*=UTF-8''{quote(title)}",
        "Cache-Control": "private, no-store",
    }
    done = BackgroundTask(shutil.rmtree, folder, ignore_errors=True)
    return FileResponse(path, media_type=FORMS[name].media_type, headers=headers, background=done)


def _frames(store: Store, wanted: Asked, scope: Scope, *, geometry: bool) -> Iterator[pd.DataFrame]:
    """All rows, a page at a time."""
    query = replace(wanted.query, limit=MOST, geometry=geometry and wanted.layer in GEOMETRIES, after=None)
    while True:
        page = store.query(wanted.layer, query, scope)
        if len(page.rows):
            yield page.rows
        if page.after is None:
            return
        query = replace(query, after=page.after)
