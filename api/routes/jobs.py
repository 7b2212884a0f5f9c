"""Jobs: what became of what was asked for, as it happens: ``/jobs``.

``GET /jobs?process=&status=&before=&limit=`` → ``{"jobs": [status…], "links": [next]}``, the newest first.

``GET /jobs/{id}`` → status: ``{type, jobID, processID, title, status, statusTitle, progress, step, message,
note, created, started, finished, updated, createdBy, dismissedBy, attempt, seq, cancellable, links, inputs}``;
``status`` is accepted, running, successful, failed or dismissed.

``DELETE /jobs/{id}`` → the status, dismissed; 409 if it has ended or its result is being published.

``GET /jobs/{id}/results`` → ``{jobID, processID, status, code, message, numbers, published, kept, files:
[{name, bytes, type, village, href}], links: [{rel: "archive", href}]}``; 404 while it runs. Of a failed job
``code`` says why (``shift``: a table of shifts waits to be decided on, among ``files``).

``GET /jobs/{id}/events`` → server-sent events ``status`` with the change's ``seq`` as id and data
``{seq, at, status, progress, step, message}``. ``Last-Event-ID`` goes on from there; the stream ends with
the job; asked again after its last event the answer is 204, and a browser asks no more.

Source: OGC 18-062r2, OGC API - Processes Part 1: Core, 7.12-7.15; HTML Living Standard, 9.2 Server-sent events.
"""
# ruff: noqa: FAST003 - JobDep takes the job's id from the address

import asyncio
import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from api import jobs as table
from api.access import CallerDep, StoreDep
from api.asker import JobDep, PoolDep, files_of, href, may_cancel, status_of, whole
from api.errors import NotFoundError, NotReadyError, problems
from api.jobs import ENDED, Job
from api.pool import Pool
from geo.errors import ForbiddenError

router = APIRouter(prefix="/jobs", tags=["jobs"])

_LOOK_EVERY_S: Final = 0.25
_KEEP_ALIVE_S: Final = 15.0
_LONGEST_S: Final = 600.0  # then the browser asks again, and is asked who it is
_RETRY_MS: Final = 2000


class EventStream(StreamingResponse):
    """Server-sent events, or none at all: FastAPI's own class cannot answer 204."""

    media_type = "text/event-stream"


@router.get("")
def read_jobs(  # noqa: PLR0913, PLR0917 - a filter a parameter
    caller: CallerDep,
    pool: PoolDep,
    process: Annotated[str | None, Query(pattern=r"^[a-z]{1,20}$", description="只要这一种")] = None,
    status: Annotated[
        Literal["accepted", "running", "successful", "failed", "dismissed"] | None, Query()
    ] = None,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="上一页给出的序号")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Jobs the caller may know of, the newest first."""
    found = table.listed(
        pool.engine,
        actor=None if caller.villages is None else caller.name,
        process=process,
        statuses={status} if status else (),
        before=before,
        limit=limit + 1,
    )
    links = [{"rel": "self", "href": "/jobs", "type": "application/json"}]
    if len(found) > limit:
        chosen = {"process": process, "status": status, "limit": limit, "before": found[limit - 1].serial}
        query = "&".join(f"{name}={value}" for name, value in chosen.items() if value is not None)
        links.append({"rel": "next", "href": f"/jobs?{query}", "type": "application/json"})
    return {"jobs": [status_of(job, caller) for job in found[:limit]], "links": links}


@router.get("/{job_id}", responses=problems(404))
def read_job(job: JobDep, caller: CallerDep) -> dict[str, Any]:
    """One job, with what it was asked with if that lies within the caller's villages."""
    return {**status_of(job, caller), "inputs": job.asked if whole(job, caller) else None}


@router.delete("/{job_id}", responses=problems(404, 409))
def dismiss_job(job: JobDep, caller: CallerDep, pool: PoolDep, store: StoreDep) -> dict[str, Any]:
    """Cancel a job; nothing of it stays.

    Raises
    ------
    ForbiddenError
        If it is somebody else's, and the caller no reviewer of the county.
    """
    if not may_cancel(job, caller):
        raise ForbiddenError("只能取消自己的任务；别人的任务由县级审核员或管理员取消")
    ended = pool.cancel(job.id, actor=caller.name)
    if job.status != "dismissed":
        with store.write(actor=caller.actor, why="取消任务") as change:
            change.note("job_dismissed", after={"job": job.id, "process": job.process})
    return status_of(ended, caller)


@router.get("/{job_id}/results", responses=problems(404))
def read_results(job: JobDep, caller: CallerDep, pool: PoolDep) -> dict[str, Any]:
    """What came of a job: numbers, and links to its files."""
    if job.results is None or job.status not in {"successful", "failed"}:
        raise NotFoundError(f"任务{table.STATUSES[job.status]}，没有结果")
    files = [{**one, "href": href(job, one["name"])} for one in files_of(pool, job, caller)]
    archive = {"rel": "archive", "href": f"/jobs/{job.id}/archive", "type": "application/zip"}
    told = whole(job, caller)
    return {
        "jobID": job.id,
        "processID": job.process,
        "status": job.status,
        "code": job.results.get("code"),
        "message": job.message,
        "numbers": job.results["numbers"] if told else None,
        "published": job.results["publish"] if job.status == "successful" else [],
        "kept": job.kept,
        "files": files,
        "links": [archive] if files else [],
    }


@router.get(
    "/{job_id}/events",
    response_class=EventStream,
    responses={204: {"description": "任务已结束，没有新的进度"}, **problems(404)},
)
async def read_events(
    job: JobDep,
    pool: PoolDep,
    last: Annotated[str | None, Header(alias="Last-Event-ID", max_length=40)] = None,
) -> Response:
    """Changes of a job as they come."""
    after = int(last) if last is not None and last.isascii() and last.isdigit() else 0
    if job.status in ENDED and after >= job.seq:
        return Response(status_code=204)
    if pool.streams >= pool.settings.most_streams:
        raise NotReadyError("同时查看进度的太多；请稍后再试，或刷新任务列表")
    return EventStream(
        _changes(pool, job, after), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


async def _changes(pool: Pool, job: Job, after: int) -> AsyncIterator[bytes]:
    start = said = monotonic()
    beat = -1
    pool.streams += 1
    try:
        yield format_sse_event(retry=_RETRY_MS)
        while not pool.stopping.is_set() and monotonic() - start < _LONGEST_S:
            if beat != pool.beat:
                beat = pool.beat
                for change in await run_in_threadpool(table.changes, pool.engine, job.id, after):
                    after = change["seq"]
                    text = json.dumps(change, ensure_ascii=False)
                    yield format_sse_event(event="status", id=str(after), data_str=text)
                    said = monotonic()
                    if change["status"] in ENDED:
                        return
            if monotonic() - said >= _KEEP_ALIVE_S:
                said = monotonic()
                yield KEEPALIVE_COMMENT
            await asyncio.sleep(_LOOK_EVERY_S)
    finally:
        pool.streams -= 1
