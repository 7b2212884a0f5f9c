"""Files that jobs made: sheets page by page, ledgers, reports, and all of a job in one zip.

``GET /jobs/{id}/files/{name}`` → the file; ``HEAD`` and ranges too. ``?download=1`` saves instead of shows.

``GET /jobs/{id}/archive?village=`` → a zip of those the caller may have, made as it is sent.

``GET /api/v1/sheets/{sheet_key}`` → ``{sheet_key, job, files: [{name, type, bytes, href}]}``: the files of a
page of the layer ``sheets``, from the newest whole set that has them.

Who has only some villages gets the files of these villages, whoever asked for the set.
"""
# ruff: noqa: FAST003 - JobDep takes the job's id from the address

import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.responses import FileResponse, StreamingResponse

from api import jobs as table
from api.access import CallerDep, StoreDep
from api.asker import JobDep, PoolDep, files_of, href, visible
from api.errors import NotFoundError, QueryError, problems
from api.jobs import Job
from api.pool import Pool
from api.processes import PROCESSES
from api.task import FILES
from api.uploads import within
from api.zipping import Pipe

router = APIRouter(tags=["files"])

_CHUNK: Final = 1024 * 1024
_SHOWN: Final = frozenset({"application/pdf", "image/png", "text/plain"})  # by the browser itself


@router.api_route(
    "/jobs/{job_id}/files/{name:path}",
    methods=["GET", "HEAD"],
    response_class=FileResponse,
    responses=problems(404),
)
def read_file(
    job: JobDep,
    name: Annotated[str, InPath(max_length=400)],
    caller: CallerDep,
    pool: PoolDep,
    download: Annotated[bool, Query(description="保存，而不在浏览器里打开")] = False,  # noqa: FBT002 - a parameter of the request
) -> FileResponse:
    """One file of a job."""
    listed = next((one for one in files_of(pool, job, caller) if one["name"] == name), None)
    if listed is None:
        raise NotFoundError(f"任务 {job.id} 没有文件 {name[:80]}，或不在您的权限内")
    path = _file(pool, job, name)
    shown = listed["type"] in _SHOWN and not download
    return FileResponse(
        path,
        media_type=listed["type"],
        filename=path.name,
        content_disposition_type="inline" if shown else "attachment",
        headers={"Cache-Control": "private, no-cache"},
    )


@router.get("/jobs/{job_id}/archive", response_class=StreamingResponse, responses=problems(404))
def read_archive(
    job: JobDep,
    caller: CallerDep,
    pool: PoolDep,
    village: Annotated[str | None, Query(pattern=r"^[0-9]{12}$", description="只要这个村的")] = None,
) -> StreamingResponse:
    """All files of a job that the caller may have, or those of one village."""
    names = [
        one["name"] for one in files_of(pool, job, caller) if village is None or one["village"] == village
    ]
    if not names:
        raise NotFoundError(f"任务 {job.id} 没有您可以下载的文件")
    title = f"{PROCESSES[job.process].title}_{village or job.created[:10]}_{job.id[:6]}.zip"
    return StreamingResponse(
        _zipped(pool, job, names),
        media_type="application/zip",
        headers={
            "Content-Disposition": f"attachment; filename*=utf-8''{quote(title)}",
            "Cache-Control": "private, no-store",
        },
    )


@router.get("/api/v1/sheets/{sheet_key}", responses=problems(404))
def read_sheet(
    sheet_key: Annotated[str, InPath(max_length=80)], caller: CallerDep, pool: PoolDep, store: StoreDep
) -> dict[str, Any]:
    """Files of one page of the set."""
    row = store.row("sheets", sheet_key, caller.scope)
    if row is None:
        raise NotFoundError(f"没有图幅 {sheet_key}")
    wanted = [name for name in (row["file"] or "").split(";") if name]
    done = table.listed(pool.engine, process="sheets", statuses={"successful"}, limit=200)
    for job in done:
        if job.villages is not None or not job.kept or not visible(job, caller):
            continue
        held = {one["name"]: one for one in files_of(pool, job, caller)}
        if files := [
            {**{key: held[name][key] for key in ("name", "type", "bytes")}, "href": href(job, name)}
            for name in wanted
            if name in held
        ]:
            return {"sheet_key": sheet_key, "job": job.id, "files": files}
    return {"sheet_key": sheet_key, "job": None, "files": []}


def _file(pool: Pool, job: Job, name: str) -> Path:
    try:
        path = within(pool.folder(job.id) / FILES, name)
    except QueryError:
        raise NotFoundError(f"任务 {job.id} 的文件 {name[:80]} 已被清理；请重新运行") from None
    if not path.is_file():
        raise NotFoundError(f"任务 {job.id} 没有文件 {name[:80]}")
    return path


def _zipped(pool: Pool, job: Job, names: Iterable[str]) -> Iterator[bytes]:
    """A zip of files as it comes into being; sheets are packed already, so they are stored as they are."""
    pipe = Pipe()
    at = datetime.fromisoformat(job.finished or job.created).timetuple()[:6]
    with pool.reading(job.id):
        with zipfile.ZipFile(pipe, "w", zipfile.ZIP_STORED) as bundle:  # type: ignore[call-overload] # it needs but write and flush
            for name in names:
                entry = zipfile.ZipInfo(name, date_time=at)
                with _file(pool, job, name).open("rb") as source, bundle.open(entry, "w") as target:
                    while chunk := source.read(_CHUNK):
                        target.write(chunk)
                        yield pipe.taken()
        yield pipe.taken()
