"""Everything of the county in one file, to be carried to another disk.

GET /api/v1/backup → a zip: the workspace as it stood (records and audit log in it), the attachments, and a text
    with the last entry of the log. Administrators only; each is told in the log. Users and keys are not in it.
"""

import shutil
import tempfile
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import iterate_in_threadpool

from api.access import Caller, SettingsDep, StoreDep, needs
from api.errors import NotReadyError
from api.zipping import Pipe
from geo.store import Store

router = APIRouter(prefix="/api/v1/backup", tags=["operation"])

ATTACHMENTS: Final = "attachments"
_PREFIX: Final = "backup-"
_OLD_S: Final = 86_400.0
_CHUNK: Final = 1024 * 1024
_CHINA: Final = timezone(timedelta(hours=8))


@router.get("", response_class=StreamingResponse, responses={200: {"content": {"application/zip": {}}}})
def read_backup(
    caller: Annotated[Caller, needs("admin")], store: StoreDep, settings: SettingsDep
) -> StreamingResponse:
    """A copy of the workspace and its attachments; others go on working meanwhile.

    Raises
    ------
    NotReadyError
        If the disk has no room for the copy that is made first.
    """
    held = Path(store.url) if "://" not in store.url else None
    needed = settings.min_free + (held.stat().st_size if held is not None else 0)
    if shutil.disk_usage(store.folder).free < needed:
        raise NotReadyError("磁盘空间不足，做不了备份：请先清理，再重试")
    with store.write(actor=caller.actor, why="下载备份") as change:
        change.note("backup")
    for left in store.folder.glob(f"{_PREFIX}*"):  # of a service that was cut off
        if time.time() - left.stat().st_mtime > _OLD_S:
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=store.folder))
    try:
        copy = folder / "workspace.gpkg"
        seq, hashed = store.head()  # before the copy, so that the copy has this entry
        store.backup(copy)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    at = settings.clock().astimezone(_CHINA)
    text = f"套图备份\n时间 {at:%Y-%m-%d %H:%M}（北京时间）\n审计记录第 {seq} 条的哈希 {hashed}\n"
    name = f"套图备份_{at:%Y%m%d_%H%M}.zip"
    return StreamingResponse(
        _sent(store, copy, text, at),
        media_type="application/zip",
        headers={
            "Content-Disposition": f"attachment; filename=\"backup.zip\"; filename*=UTF-8''{quote(name)}",
            "Cache-Control": "private, no-store",
        },
        background=BackgroundTask(shutil.rmtree, folder, ignore_errors=True),
    )


async def _sent(store: Store, copy: Path, text: str, at: datetime) -> AsyncIterator[bytes]:
    """The zip; the copy goes also when whoever asked has left before its end."""
    try:
        async for part in iterate_in_threadpool(_zipped(store, copy, text, at)):
            yield part
    finally:
        shutil.rmtree(copy.parent, ignore_errors=True)


def _zipped(store: Store, copy: Path, text: str, at: datetime) -> Iterator[bytes]:
    """The zip while it is made; a half-sent one has no end and opens nowhere."""
    pipe = Pipe()
    day = (at.year, at.month, at.day, at.hour, at.minute, at.second)
    root = store.folder / ATTACHMENTS
    files = [
        (copy, copy.name),
        *((one, one.relative_to(store.folder).as_posix()) for one in sorted(root.rglob("*"))),
    ]
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:  # type: ignore[call-overload] # it needs but write and flush
        bundle.writestr(zipfile.ZipInfo("说明.txt", day), text)
        for path, name in files:
            if not path.is_file():
                continue
            entry = zipfile.ZipInfo(name, date_time=day)
            # Photos are packed already.
            entry.compress_type = zipfile.ZIP_DEFLATED if path == copy else zipfile.ZIP_STORED
            with path.open("rb") as source, bundle.open(entry, "w", force_zip64=path == copy) as target:
                while chunk := source.read(_CHUNK):
                    target.write(chunk)
                    yield pipe.taken()
    yield pipe.taken()
