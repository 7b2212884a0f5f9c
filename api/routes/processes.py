"""What can be run, and running it: ``/processes``.

``GET /processes`` → ``{"processes": [{id, title, description, allowed, jobControlOptions, links}], "links"}``

``GET /processes/{id}`` → the same with ``inputs: {name: {title, description, minOccurs, maxOccurs, schema}}``

``POST /processes/{id}/execution`` with ``{"inputs": {…}}`` and, if a repetition must not start
another job, ``Idempotency-Key`` → 201, ``Location: /jobs/{jobID}`` and the job as ``GET /jobs/{jobID}`` tells it.
A file among the inputs is ``{"upload": id, "path": "三调/DLTB.shp"}`` (an empty path is the whole upload)
or ``{"server": "2024/三调"}``, below the folder of inputs the administrator set.

Source: OGC 18-062r2, OGC API - Processes Part 1: Core, 7.9-7.11.
"""

from collections.abc import Callable
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from api import uploads
from api.access import CallerDep, StoreDep
from api.asker import PoolDep, check_start, may_start, status_of
from api.errors import NotFoundError, problems
from api.processes import PROCESSES, Asked, OnServer, Process, Uploaded, description, summary

router = APIRouter(prefix="/processes", tags=["processes"])

Inputs = TypeVar("Inputs", bound=Asked)
ProcessId = Annotated[str, Path(pattern=r"^[a-z]{1,20}$")]
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", pattern=r"^[\x21-\x7e]{1,200}$", description="同一键只建一个任务"),
]


class Execution(BaseModel, Generic[Inputs]):
    """What a job is asked with. ``outputs``, ``response`` and ``subscriber`` of the standard are passed over."""

    model_config = ConfigDict(extra="ignore")
    inputs: Inputs = Field(title="输入")


@router.get("")
def read_processes(caller: CallerDep) -> dict[str, Any]:
    """All processes; ``allowed`` says which of them the caller may start."""
    listed = [summary(process, allowed=may_start(process, caller)) for process in PROCESSES.values()]
    return {
        "processes": listed,
        "links": [{"rel": "self", "href": "/processes", "type": "application/json"}],
    }


@router.get("/{process_id}", responses=problems(404))
def read_process(process_id: ProcessId, caller: CallerDep) -> dict[str, Any]:
    """One process, its inputs as JSON Schema."""
    if process_id not in PROCESSES:
        raise NotFoundError(f"没有处理 {process_id}；可用的：{'、'.join(PROCESSES)}")
    process = PROCESSES[process_id]
    return description(process, allowed=may_start(process, caller))


def _execution(process: Process) -> Callable[..., dict[str, Any]]:
    model = Execution[process.inputs]  # type: ignore[name-defined] # made for each process

    def execute(  # noqa: PLR0913, PLR0917 - what a request is made of
        body: model,
        response: Response,
        caller: CallerDep,
        pool: PoolDep,
        store: StoreDep,
        key: Key = None,
    ) -> dict[str, Any]:
        asked: Asked = body.inputs
        check_start(process, caller, asked.model_dump())
        folder, inputs = store.folder / "uploads", pool.settings.inputs
        # Places are looked up before the job is stored: what is not there is told now.
        placed = _placed(asked, lambda one: str(uploads.place(one, folder, inputs)))
        job, new = pool.submit(
            process.id,
            placed,
            asked=asked.model_dump(mode="json"),
            actor=caller.name,
            villages=caller.villages,
            key=key,
        )
        if new:
            with store.write(actor=caller.actor, why=process.title) as change:
                change.note("job", after={"job": job.id, "process": process.id})
        response.headers["Location"] = f"/jobs/{job.id}"
        return status_of(job, caller)

    execute.__doc__ = f"{process.title}：{process.description}"
    return execute


def _placed(value: Any, place: Callable[[Uploaded | OnServer], str]) -> Any:  # noqa: ANN401 - any input
    """Inputs as plain values, with the places of files."""
    if isinstance(value, Uploaded | OnServer):
        return place(value)
    if isinstance(value, BaseModel):
        return {name: _placed(getattr(value, name), place) for name in type(value).model_fields}
    return [_placed(one, place) for one in value] if isinstance(value, tuple) else value


for _process in PROCESSES.values():
    router.add_api_route(
        f"/{_process.id}/execution",
        _execution(_process),
        methods=["POST"],
        status_code=201,
        summary=_process.title,
        operation_id=f"execute_{_process.id}",
        responses=problems(404, 409),
    )


@router.post("/{process_id}/execution", status_code=404, include_in_schema=False)
def execute_unknown(process_id: ProcessId) -> None:
    """Any other name is none.

    Raises
    ------
    NotFoundError
        Always.
    """
    raise NotFoundError(f"没有处理 {process_id}；可用的：{'、'.join(PROCESSES)}")
