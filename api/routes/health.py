"""Whether the service stands, whether it can work, and what it counts."""

import shutil
from typing import Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from api.access import MaybeCallerDep, SettingsDep, StoreDep
from api.errors import NotReadyError, UnauthorizedError, problems
from api.metrics import MEDIA_TYPE, Metrics
from api.settings import is_loopback
from geo.errors import ForbiddenError, GeoError
from geo.store import EVERYTHING, Query, Store

router = APIRouter(tags=["health"])

_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")


class Standing(BaseModel):
    """That the service stands."""

    status: str


@router.get("/healthz")
async def read_health() -> Standing:  # in the event loop itself: what it says is that this turns
    """``ok`` as long as the service answers at all; it looks at no data."""
    return Standing(status="ok")


@router.get("/readyz", responses=problems(503))
def read_readiness(store: StoreDep, settings: SettingsDep) -> Standing:
    """``ready`` if the workspace and the audit log can be read and the disk has room; else 503 says what not.

    Raises
    ------
    NotReadyError
        If one of them is not so.
    """
    lacking = [said for said, stands in _checks(store, settings.min_free).items() if not stands]
    if lacking:
        raise NotReadyError("；".join(lacking))
    return Standing(status="ready")


def _checks(store: Store, min_free: int) -> dict[str, bool]:
    try:
        store.query("villages", Query(limit=1, geometry=False), EVERYTHING)
        readable = True
    except (GeoError, OSError, SQLAlchemyError):
        readable = False
    try:
        store.head()
        audited = True
    except (GeoError, OSError, SQLAlchemyError):
        audited = False
    try:
        room = shutil.disk_usage(store.folder).free >= min_free
    except OSError:
        room = False
    return {"工作区读不了": readable, "审计记录读不了": audited, "磁盘空间不足": room}


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def read_metrics(request: Request, settings: SettingsDep, caller: MaybeCallerDep) -> Response:
    """Counters in Prometheus' text form, for administrators and, if so set, this machine itself.

    Raises
    ------
    ForbiddenError, UnauthorizedError
        If somebody else asks.
    """
    peer = request.client.host if request.client else ""
    # What a proxy on this machine hands on is from elsewhere.
    local = is_loopback(peer) and not any(name in request.headers for name in _FORWARDED)
    if not (settings.local_metrics and local):
        if caller is None:
            raise UnauthorizedError("没有登录，或登录已过期")
        if not caller.may("admin"):
            raise ForbiddenError("运行指标只供管理员查看")
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.text(), media_type=MEDIA_TYPE)
