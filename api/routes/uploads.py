"""Files sent to the service for its jobs: ``/api/v1/uploads``, for reviewers of the county and administrators.

``POST /api/v1/uploads`` (multipart, field ``file``) → 201, ``Location``,
``{id, name, bytes, sha256, files: [{path, bytes}], skipped: [name], created, created_by}``

``GET /api/v1/uploads`` → ``{"uploads": […]}``, the newest first; ``GET`` and ``DELETE /api/v1/uploads/{id}``.

``GET /api/v1/inputs?path=`` → ``{path, entries: [{name, path, kind: "folder"|"file", bytes}]}``: the server's
folder of inputs, to choose from; 404 if the administrator set none.
"""

from dataclasses import asdict, replace
from typing import Annotated, Any

from fastapi import APIRouter, File, Path, Query, Response, UploadFile

from api import jobs as table
from api import uploads
from api.access import Caller, SettingsDep, StoreDep, needs
from api.asker import PoolDep
from api.errors import NotFoundError, QueryError, problems
from api.processes import UPLOAD_ID
from geo.errors import ForbiddenError

router = APIRouter(prefix="/api/v1", tags=["uploads"])

Reviewer = Annotated[Caller, needs("reviewer")]
UploadId = Annotated[str, Path(pattern=UPLOAD_ID)]
_MOST_ENTRIES = 2000


def _check(caller: Caller) -> None:
    if caller.villages is not None:
        raise ForbiddenError("上传的是全县资料，您的权限只到所辖村：请由县级人员上传")


@router.post("/uploads", status_code=201)
def send_upload(  # noqa: PLR0913, PLR0917 - what a request is made of
    file: Annotated[UploadFile, File(title="文件")],
    response: Response,
    caller: Reviewer,
    store: StoreDep,
    settings: SettingsDep,
    pool: PoolDep,
) -> dict[str, Any]:
    """Take in a file: a zip is unpacked, and everything looked through."""
    _check(caller)
    made = uploads.receive(
        store.folder / "uploads",
        file.filename or "",
        file.file,
        by=caller.name,
        at=pool.now(),
        settings=replace(settings.uploads, max_bytes=min(settings.uploads.max_bytes, settings.max_upload)),
    )
    with store.write(actor=caller.actor, why="上传") as change:
        change.note("upload", after={"upload": made.id, "name": made.name, "sha256": made.sha256})
    response.headers["Location"] = f"/api/v1/uploads/{made.id}"
    return asdict(made)


@router.get("/uploads")
def read_uploads(caller: Reviewer, store: StoreDep) -> dict[str, Any]:
    """All uploads."""
    _check(caller)
    return {"uploads": [asdict(one) for one in uploads.uploads(store.folder / "uploads")]}


@router.get("/uploads/{upload_id}", responses=problems(404))
def read_upload(upload_id: UploadId, caller: Reviewer, store: StoreDep) -> dict[str, Any]:
    """One upload."""
    _check(caller)
    return asdict(uploads.upload(store.folder / "uploads", upload_id))


@router.delete("/uploads/{upload_id}", status_code=204, responses=problems(404, 409))
def delete_upload(upload_id: UploadId, caller: Reviewer, store: StoreDep, pool: PoolDep) -> None:
    """Remove an upload that no open job needs."""
    _check(caller)
    open_jobs = table.listed(pool.engine, statuses=table.OPEN)
    used = any(upload_id in uploads.named(job.asked) for job in open_jobs)
    uploads.delete(store.folder / "uploads", upload_id, used=used)
    with store.write(actor=caller.actor, why="删除上传") as change:
        change.note("upload_deleted", after={"upload": upload_id})


@router.get("/inputs", responses=problems(404))
def read_inputs(
    caller: Reviewer,
    pool: PoolDep,
    path: Annotated[str, Query(max_length=400, description="数据目录下的路径，空为目录本身")] = "",
) -> dict[str, Any]:
    """What lies in the server's folder of inputs."""
    _check(caller)
    root = pool.settings.inputs
    if root is None:
        raise NotFoundError("管理员没有设置服务器数据目录；请改用上传")
    folder = uploads.within(root, path)
    if not folder.is_dir():
        raise QueryError(f"{path} 是一个文件，不是文件夹")
    home = root.resolve()
    entries = [
        {
            "name": one.name,
            "path": one.relative_to(home).as_posix(),
            "kind": "folder" if one.is_dir() else "file",
            "bytes": one.stat().st_size if one.is_file() else None,
        }
        for one in sorted(folder.iterdir())
        if not one.name.startswith(".") and one.resolve().is_relative_to(home) and one.exists()
    ]
    return {"path": path, "entries": entries[:_MOST_ENTRIES]}
