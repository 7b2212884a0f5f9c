"""Values that two people gave for the same field of a piece, and the choice between them.

::

  GET /api/v1/conflicts?status=open|resolved&village=&limit=&after=
      → {"conflicts": [row of conflicts with piece_code, place_name, current_value, case_version...], "after", "open"}
  POST /api/v1/conflicts/{conflict_key}/resolve
      header If-Match: "<version>" of the conflict; 428 without
      body {"chosen": "base"|"theirs"|"yours"|"other", "value": only with other, "why", "case_version"}
      → 200 the conflict, resolved, and the case it was written to, in one transaction
        404 no such conflict for the caller · 409 it is resolved already, or the state forbids the value
        412 the conflict or the case was changed since · 422 the field cannot have that value
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access import Caller, StoreDep, needs
from api.errors import ConflictError, NotFoundError, QueryError, problems
from api.features import records
from api.routes.edits import seen_version
from geo.errors import UnknownRowError
from geo.field import decide
from geo.store import Change, Scope, Store
from geo.store import Query as RowQuery
from geo.store.query import All, Compare, In

router = APIRouter(prefix="/api/v1/conflicts", tags=["edits"])

Officer = Annotated[Caller, needs("officer")]
_SIDES: Final = {"base": "base_value", "theirs": "theirs_value", "yours": "yours_value"}
_NUMBERS: Final = frozenset({"measured_m2"})


class ConflictsPage(BaseModel):
    """Conflicts by village and piece."""

    conflicts: list[dict[str, Any]]
    after: str | None = Field(description="for the next page; null at the end")
    open: int = Field(description="how many wait in all of the caller's villages")


class Choice(BaseModel):
    """Which value holds, and why."""

    model_config = ConfigDict(extra="forbid")

    chosen: Literal["base", "theirs", "yours", "other"]
    value: str | float | None = Field(
        default=None, description="with other: the value that holds; null clears"
    )
    why: str = Field(title="理由", min_length=1, max_length=400)
    case_version: int = Field(
        title="核查登记的版本", ge=0, le=10**9, description="the version that was seen; 0 of none"
    )


class Resolved(BaseModel):
    """The conflict as it now stands, and the row it was written to."""

    conflict: dict[str, Any]
    case: dict[str, Any]


@router.get("")
def read_conflicts(  # noqa: PLR0913, PLR0917 - a filter a parameter
    caller: Officer,
    store: StoreDep,
    status: Annotated[Literal["open", "resolved"], Query()] = "open",
    village: Annotated[str | None, Query(pattern=r"^\d{12}$")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    after: Annotated[str | None, Query(max_length=400)] = None,
) -> ConflictsPage:
    """What two people saw differently, each with what the case says now."""
    conditions = [Compare("status", "=", status)]
    if village is not None:
        conditions.append(Compare("village_code", "=", village))
    order = ("village_code", "piece_key", "field")
    query = RowQuery(where=All(tuple(conditions)), sort=order, limit=limit, after=after, geometry=False)
    page = store.query("conflicts", query, caller.scope)
    rows = records(page.rows.drop(columns="fid"))
    waiting = store.count("conflicts", Compare("status", "=", "open"), caller.scope)
    return ConflictsPage(conflicts=_told(store, rows, caller.scope), after=page.after, open=waiting)


@router.post("/{conflict_key}/resolve", responses=problems(404, 409, 412, 428))
def resolve_conflict(  # noqa: PLR0913, PLR0917 - what a choice is made of
    conflict_key: str,
    choice: Choice,
    response: Response,
    store: StoreDep,
    caller: Officer,
    if_match: Annotated[str | None, Header()] = None,
) -> Resolved:
    """Write the value that holds to the case, and close the conflict, both or neither.

    Raises
    ------
    NotFoundError
        If there is no such conflict within the caller's villages.
    ConflictError
        If it is resolved already.
    QueryError
        If a value stands beside a choice that has one, or there is no reason.
    """
    if store.row("conflicts", conflict_key, caller.scope) is None:
        raise NotFoundError("没有这条冲突，或不在您的村")
    seen = seen_version(if_match)
    why = choice.why.strip()
    if not why:
        raise QueryError("请写明采用的理由（why）")
    if choice.chosen != "other" and choice.value is not None:
        raise QueryError("只有另填（chosen=other）时才给 value")
    with store.write(actor=caller.actor, why=why) as change:
        held = change.row("conflicts", conflict_key)
        if held is None:
            raise NotFoundError("没有这条冲突")
        if held["status"] != "open" and held["version"] != seen:
            raise ConflictError(f"这条冲突已由 {held['updated_by']} 处理")
        if held["status"] != "open":
            raise ConflictError("这条冲突已处理过")
        value = choice.value if choice.chosen == "other" else held[_SIDES[choice.chosen]]
        patch = {held["field"]: _plain(held["field"], value)}
        code = _piece_code(change, held["piece_key"])
        made = decide(change, code, patch, base=choice.case_version, actor_role=caller.role)
        settled = {
            "status": "resolved",
            "chosen": choice.chosen,
            "chosen_value": None if value is None or value == "" else str(value),
            "why": why,
        }
        closed = change.update("conflicts", conflict_key, settled, base=seen)
    response.headers["ETag"] = f'"{closed["version"]}"'
    return Resolved(conflict=_open(closed), case=_open(made.case))


def _plain(field: str, value: Any) -> Any:  # noqa: ANN401 - text of a record, or what was sent
    """The value as the field holds it: the record keeps every value as text."""
    if field not in _NUMBERS or value is None or value == "":
        return value if value is None or isinstance(value, str) else str(value)
    try:
        return float(value)
    except ValueError:
        raise QueryError(f"{field} 应为数：{str(value)[:40]}") from None


def _piece_code(change: Change, piece_key: str) -> str:
    found = change.rows("pieces", Compare("piece_key", "=", piece_key))
    if not found:
        raise UnknownRowError(f"没有图块 {piece_key}：它已被替代，请在替代它的图块上登记")
    return str(found[0]["piece_code"])


def _told(store: Store, rows: list[dict[str, Any]], scope: Scope) -> list[dict[str, Any]]:
    """Rows with the printed code of their piece and with what its case says now."""
    keys = tuple({str(row["piece_key"]) for row in rows})
    cases = _by_key(store, "cases", keys, scope)
    pieces = _by_key(store, "pieces", keys, scope)
    told = []
    for row in rows:
        case, piece = cases.get(row["piece_key"], {}), pieces.get(row["piece_key"], {})
        state = case.get("state") or piece.get("state")
        told.append(
            {
                **row,
                "piece_code": piece.get("piece_code"),
                "area_m2": piece.get("area_m2"),
                "place_name": case.get("place_name"),
                "state": state,
                "current_value": state if row["field"] == "state" else case.get(row["field"]),
                "case_version": case.get("version", 0),
            }
        )
    return told


def _by_key(store: Store, layer: str, keys: tuple[str, ...], scope: Scope) -> dict[str, dict[str, Any]]:
    query = RowQuery(where=In("piece_key", keys), limit=max(len(keys), 1), geometry=False)
    rows = records(store.query(layer, query, scope).rows.drop(columns="fid"))
    return {str(row["piece_key"]): row for row in rows}


def _open(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "fid"}
