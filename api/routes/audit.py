"""The audit log: who did what, and whether the log is whole."""

from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import Caller, StoreDep, needs
from api.features import records
from geo.errors import ForbiddenError
from geo.store.query import All, Compare
from geo.store.query import Query as RowQuery

router = APIRouter(prefix="/api/v1/audit", tags=["audit"])

Reviewer = Annotated[Caller, needs("reviewer")]
Text = Annotated[str | None, Query(max_length=100)]


class AuditPage(BaseModel):
    """Rows of the log, the newest first."""

    rows: list[dict[str, Any]]
    after: str | None = Field(description="for the page of older rows; null at the end")


class Head(BaseModel):
    """The last row: whoever has it on paper can tell a log that was rewritten."""

    seq: int
    hash: str


class Verdict(BaseModel):
    """Whether every row of the log is as it was written."""

    whole: bool
    problems: list[str]
    head: Head


@router.get("")
def read_audit(  # noqa: PLR0913, PLR0917 - a filter a parameter
    caller: Reviewer,
    store: StoreDep,
    since: Annotated[
        datetime | date | None, Query(description="a date or a time; without zone it is UTC")
    ] = None,
    layer: Text = None,
    row_key: Text = None,
    actor: Text = None,
    action: Text = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> AuditPage:
    """The log, the newest first; a reviewer of some villages sees what was done there."""
    wanted = {"layer": layer, "row_key": row_key, "actor": actor, "action": action}
    conditions = [Compare(column, "=", value) for column, value in wanted.items() if value is not None]
    if since is not None:
        conditions.append(Compare("at", ">=", _utc_text(since)))
    query = RowQuery(where=All(tuple(conditions)), sort=("-seq",), limit=limit, after=after, geometry=False)
    page = store.query("audit", query, caller.scope)
    return AuditPage(rows=records(page.rows.drop(columns="fid", errors="ignore")), after=page.after)


@router.get("/verify")
def verify_audit(caller: Reviewer, store: StoreDep) -> Verdict:
    """Every hash of the log computed again.

    Raises
    ------
    ForbiddenError
        If the caller may see some villages only: the chain is the county's.
    """
    if caller.villages is not None:
        raise ForbiddenError("核验审计记录须由全县权限的人员进行")
    flaws = store.verify_audit()
    seq, hashed = store.head()
    return Verdict(whole=not flaws, problems=flaws, head=Head(seq=seq, hash=hashed))


def _utc_text(at: datetime | date) -> str:
    """A time as the log writes it, without the last letter: a part of a second is no later text."""
    moment = at if isinstance(at, datetime) else datetime.combine(at, time())
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%S")
