"""The proof that areas add up, by level.

GET /api/v1/balance/{county|township|village|group}
    → {"level", "title", "rows": [{"code", "name", "farmland_m2", "covered_m2", ..., "farmland_mu", ...}...]}
"""

from typing import Any

from fastapi import APIRouter

from api.access import CallerDep, StoreDep
from api.errors import NotFoundError, problems
from api.features import records
from geo.area import M2_PER_MU
from geo.store import Query, Scope, Store
from geo.store.query import Compare

router = APIRouter(prefix="/api/v1/balance", tags=["balance"])

LEVELS = {"county": "县", "township": "乡镇", "village": "村", "group": "组"}
_PAGE = 10_000


@router.get("/{level}", responses=problems(404))
def read_balance(level: str, store: StoreDep, caller: CallerDep) -> dict[str, Any]:
    """Rows of one level in the order of their codes, m² as stored and mu made of them.

    On every row farmland = covered + block + strip + sliver. A caller of some villages gets these only.
    """
    if level not in LEVELS:
        raise NotFoundError(f"没有级别 {level[:20]}；可用的级别：{'、'.join(LEVELS)}")
    return {"level": level, "title": LEVELS[level], "rows": balance_rows(store, level, caller.scope)}


def balance_rows(store: Store, level: str, scope: Scope) -> list[dict[str, Any]]:
    """Rows of the balance of one level, with mu beside m²."""
    query = Query(where=Compare("level", "=", level), sort=("code",), limit=_PAGE)
    rows: list[dict[str, Any]] = []
    while True:
        page = store.query("balance", query, scope)
        rows += records(page.rows.drop(columns="fid"))
        if page.after is None:
            break
        query = Query(where=query.where, sort=query.sort, limit=_PAGE, after=page.after)
    return [row | _mu(row) for row in rows]


def _mu(row: dict[str, Any]) -> dict[str, float | None]:
    return {
        f"{name[:-3]}_mu": None if value is None else round(value / M2_PER_MU, 2)
        for name, value in row.items()
        if name.endswith("_m2")
    }
