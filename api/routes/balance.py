"""The proof that areas add up, by level."""

from typing import Any

from fastapi import APIRouter

from api.errors import NotFoundError
from api.features import records
from api.source import SourceDep
from geo.area import M2_PER_MU

router = APIRouter(prefix="/balance", tags=["balance"])

LEVELS = {"county": "县", "township": "乡镇", "village": "村", "group": "组"}


@router.get("/{level}")
def read_balance(level: str, source: SourceDep) -> dict[str, Any]:
    """Rows of one level in the order of their codes, m² as stored and mu made of them.

    On every row farmland = covered + block + strip + sliver.
    """
    if level not in LEVELS:
        raise NotFoundError(f"没有级别 {level}；可用的级别：{'、'.join(LEVELS)}")
    rows = source.open().read("balance", where=f"level = '{level}'").sort_values("code", kind="stable")
    for name in [name for name in rows.columns.astype(str) if name.endswith("_m2")]:
        rows[f"{name[:-3]}_mu"] = (rows[name] / M2_PER_MU).round(2)
    return {"level": level, "title": LEVELS[level], "rows": records(rows)}
