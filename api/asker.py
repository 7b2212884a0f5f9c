"""What of a job its asker may see and start: the rights of every route of processes, jobs and their files."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, cast
from urllib.parse import quote

from fastapi import Depends, Path, Request

from api import jobs as table
from api.access import Caller, CallerDep
from api.errors import NotFoundError
from api.jobs import STATUSES, Job
from api.pool import Pool
from api.processes import PROCESSES, Process
from api.task import INDEX
from geo.errors import ForbiddenError

_VILLAGE_DIGITS: Final = 12


def _pool(request: Request) -> Pool:
    return cast("Pool", request.app.state.pool)


PoolDep = Annotated[Pool, Depends(_pool)]


def may_start(process: Process, caller: Caller) -> bool:
    """Whether a caller may start a process at all."""
    return caller.may(process.role) and (caller.villages is None or process.limited)


def check_start(process: Process, caller: Caller, inputs: Mapping[str, Any]) -> None:
    """Refuse a job that the caller may not have.

    Raises
    ------
    ForbiddenError
        If the role is too low, or what is asked for goes beyond the caller's villages.
    """
    if not may_start(process, caller):
        raise ForbiddenError(f"您没有运行“{process.title}”的权限")
    if caller.villages is None:
        return
    if not caller.villages:
        raise ForbiddenError("您没有所辖的村，无图可出、无表可报")
    if inputs.get("by") == "sheet":
        raise ForbiddenError("国家标准图幅跨村：请按组或按村出图，或由县级人员出图")
    if inputs.get("photo"):
        raise ForbiddenError("影像由县级人员选用：请不带影像出图")
    for code in inputs.get("only", ()):
        if not _inside(code, caller.villages):
            raise ForbiddenError(f"{code} 不在您所辖的村内")


def _inside(code: str, villages: Collection[str]) -> bool:
    """Whether a code of a village, a group, a page or a piece lies in one of the villages."""
    head = code[:_VILLAGE_DIGITS]
    return re.fullmatch(r"\d{12}", head) is not None and head in villages


def visible(job: Job, caller: Caller) -> bool:
    """Whether a caller may know of a job: their own; all, if the county is theirs; and finished sets of sheets."""
    if caller.villages is None or job.created_by == caller.name:
        return True
    return job.process == "sheets" and job.status == "successful" and job.villages is None


def whole(job: Job, caller: Caller) -> bool:
    """Whether all that came of a job lies within what the caller may see now."""
    return caller.villages is None or (job.villages is not None and job.villages <= caller.villages)


def job_of(
    job_id: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="任务编号")],
    pool: PoolDep,
    caller: CallerDep,
) -> Job:
    """The job of the address, if the caller may know of it.

    Raises
    ------
    NotFoundError
        If there is none, for this caller.
    """
    job = table.load(pool.engine, job_id)
    if job is None or not visible(job, caller):
        raise NotFoundError(f"没有任务 {job_id}")
    return job


JobDep = Annotated[Job, Depends(job_of)]


def may_cancel(job: Job, caller: Caller) -> bool:
    """Whether a caller may cancel a job: their own, or, with the county, any."""
    own = job.created_by == caller.name and caller.may("officer")
    return own or (caller.may("reviewer") and caller.villages is None)


def status_of(job: Job, caller: Caller) -> dict[str, Any]:
    """A job as it is told: OGC's statusInfo, with Chinese titles and whether it can be cancelled."""
    process = PROCESSES[job.process]
    address = f"/jobs/{job.id}"
    links = [
        {"rel": "self", "href": address, "type": "application/json", "title": "状态"},
        {"rel": "events", "href": f"{address}/events", "type": "text/event-stream", "title": "进度"},
    ]
    if job.status in {"successful", "failed"}:
        rel = "http://www.opengis.net/def/rel/ogc/1.0/results"
        links.append({"rel": rel, "href": f"{address}/results", "type": "application/json", "title": "结果"})
    return {
        "type": "process",
        "jobID": job.id,
        "processID": job.process,
        "title": process.title,
        "status": job.status,
        "statusTitle": STATUSES[job.status],
        "progress": job.progress,
        "step": job.step,
        "message": job.message,
        "note": job.note,
        "created": job.created,
        "started": job.started,
        "finished": job.finished,
        "updated": job.updated,
        "createdBy": job.created_by,
        "dismissedBy": job.dismissed_by,
        "attempt": job.attempt,
        "seq": job.seq,
        "cancellable": job.status in table.OPEN and not job.phase and may_cancel(job, caller),
        "links": links,
    }


def files_of(pool: Pool, job: Job, caller: Caller) -> list[dict[str, Any]]:
    """Files of a job that the caller may have: ``name, bytes, type, village``."""
    try:
        listed = json.loads((pool.folder(job.id) / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    if whole(job, caller):
        return cast("list[dict[str, Any]]", listed)
    villages = caller.villages or frozenset()
    return [one for one in listed if one["village"] in villages]


def href(job: Job, name: str) -> str:
    """Address of a file."""
    return f"/jobs/{job.id}/files/{quote(name)}"
