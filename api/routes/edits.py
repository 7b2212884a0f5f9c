"""What officers find out about a piece, and all that was ever changed about it.

::

  PATCH /collections/pieces/items/{piece_code}
      header If-Match: "<version>" (ETag of the piece; "0" if nobody has touched it); 428 without
      body, every field optional: identified_as identified_by identified_on measured_m2 | measured_mu
        measured_how measured_by measured_on owner_kind owner_name owner_basis current_user place_name
        reject_reason dispute_reason note, state (asks for a state; else it follows the facts), why
      → 200 the piece as GET gives it, with its new ETag
        404 no such piece · 403 not in role · 409 the state may not follow, and why · 422 a field cannot be so
        412 somebody changed it since: base (version you saw), theirs (the case as it stands), yours (your fields)
  GET /collections/pieces/items/{piece_code}/history
      → {"piece_code", "piece_key", "entries": [{"seq", "at", "actor", "action", "layer", "why", "before": {...},
         "after": {...}, "hash"}...]}, the oldest first
"""

import json
import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api import features, ogc
from api.access import Caller, CallerDep, StoreDep, needs
from api.errors import ConditionMissingError, problems
from api.pieces import known_piece, piece_document
from api.routes.items import feature_text
from api.routes.landing import base_of
from api.systems import CRS84, systems
from geo.codes import key_of
from geo.errors import ConditionError
from geo.field import decide
from geo.store import Query
from geo.store.query import Compare

router = APIRouter(prefix="/collections/pieces/items", tags=["edits"])

_VERSION: Final = re.compile(r'\s*(?:W/)?"(\d{1,9})"\s*')
_MOST_ATTACHED: Final = 500

Text = Annotated[str | None, Field(default=None, max_length=1000)]


class Found(BaseModel):
    """What was found out about a piece; only the fields that are sent are changed, null clears one."""

    model_config = ConfigDict(extra="forbid")

    identified_as: Text
    identified_by: Text
    identified_on: Text
    measured_m2: float | None = None
    measured_mu: float | None = None
    measured_how: Text
    measured_by: Text
    measured_on: Text
    owner_kind: Text
    owner_name: Text
    owner_basis: Text
    current_user: Text
    place_name: Text
    reject_reason: Text
    dispute_reason: Text
    note: Text
    state: Text
    why: Annotated[str, Field(default="", max_length=400)]


@router.patch(
    "/{piece_code}",
    response_class=Response,
    responses={
        200: {"content": {ogc.GEOJSON: {"schema": {"type": "object"}}}},
        **problems(404, 409, 412, 428),
    },
)
def decide_piece(  # noqa: PLR0913, PLR0917 - what a change is made of
    piece_code: str,
    found: Found,
    request: Request,
    store: StoreDep,
    caller: Annotated[Caller, needs("officer")],
    if_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Write what was found out, and move the state of the piece."""
    piece = known_piece(store, piece_code, caller.scope)
    base = seen_version(if_match)
    patch = found.model_dump(exclude_unset=True)
    why = patch.pop("why", "")
    with store.write(actor=caller.actor, why=why) as change:
        decide(change, piece["piece_code"], patch, base=base, actor_role=caller.role)
    row, more, version = piece_document(store, piece["piece_code"], caller)
    of = systems(store.workspace.crs)[CRS84]
    text = feature_text("pieces", row, of, caller, base_of(request), more)
    return Response(text, media_type=features.MEDIA_TYPE, headers={"ETag": f'"{version}"'})


@router.get("/{piece_code}/history", responses=problems(404))
def read_history(piece_code: str, store: StoreDep, caller: CallerDep) -> dict[str, Any]:
    """Every change of what is known of a piece, from the log."""
    piece, _, _ = piece_document(store, piece_code, caller)
    key, scope = key_of(piece_code), caller.scope
    rows = store.history("cases", key, scope)
    attached = Query(where=Compare("piece_key", "=", key), limit=_MOST_ATTACHED)
    for one in store.query("attachments", attached, scope).rows["attachment_key"].tolist():
        rows += store.history("attachments", one, scope)
    rows.sort(key=lambda row: int(row["seq"]))
    return {
        "piece_code": piece["piece_code"],
        "piece_key": key,
        "entries": [_entry(row, personal=scope.personal) for row in rows],
    }


def seen_version(if_match: str | None) -> int:
    """The version a change rests on.

    Raises
    ------
    ConditionMissingError
        If the request does not say which it has seen.
    ConditionError
        If it names none.
    """
    if if_match is None or not if_match.strip():
        raise ConditionMissingError('修改须带 If-Match: "版本"，取自图块的 ETag，以免盖掉他人的修改')
    match = _VERSION.fullmatch(if_match)
    if match is None:
        raise ConditionError(f'If-Match: {if_match[:40]} 不可用：应为带引号的版本号，如 "3"')
    return int(match[1])


def _entry(row: dict[str, Any], *, personal: bool) -> dict[str, Any]:
    told = {name: row[name] for name in ("seq", "at", "actor", "action", "layer", "row_key", "hash")}
    # A reason is free text and may name persons.
    told["why"] = row["why"] if personal else None
    for side in ("before", "after"):
        told[side] = json.loads(row[side]) if row[side] else None
    return told
