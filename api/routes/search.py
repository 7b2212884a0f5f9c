"""Whatever has a code or a name, found while it is typed.

::

  GET /api/v1/search?q=&limit=20
      → {"results": [{"kind", "code", "title", "village_code", "bbox": [west, south, east, north] | null,
         "href", "state"?}...]}

kind: piece parcel patch grid sheet village. q: a code or its beginning, for pieces, patches, grids and villages
any part of it (3 signs at least), for villages, grids and sheets a name; a printed piece code whose class letter
has changed since, or that is no longer in use, leads to what became of it. Best first: whole codes, beginnings, parts.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter
from fastapi import Query as Parameter

from api.access import CallerDep, StoreDep
from api.features import records
from api.systems import CRS84, lonlat, systems
from geo.codes import key_of
from geo.errors import CodeError
from geo.standards import code_list
from geo.store import Query, Scope, Store
from geo.store.query import All, Compare, Condition, In, Like
from geo.workspace import GEOMETRIES

router = APIRouter(prefix="/api/v1/search", tags=["search"])

_LEAST_PART: Final = 3  # signs of a part of a code
_LONG: Final = 12  # signs: what begins with so many is what was meant, and holds them nowhere else
_LETTERS: Final = frozenset("0123456789-_XWDxwd")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Where:
    """A layer that is searched: its codes, its names, and what stands in the title."""

    kind: str
    layer: str
    code: str
    codes: tuple[str, ...]  # searched by their beginning
    parts: bool  # and by any part
    names: tuple[str, ...] = ()
    titles: tuple[str, ...] = ()
    village: str | None = "village_code"


_WHERE: Final = (
    _Where(
        kind="village", layer="villages", code="village_code", codes=("village_code",), parts=True,
        names=("village_name",), titles=("village_name",),
    ),
    _Where(
        kind="piece", layer="pieces", code="piece_code", codes=("piece_code", "piece_key"), parts=True,
        titles=("village_name", "piece_class", "area_mu", "state"),
    ),
    _Where(
        kind="patch", layer="patches", code="patch_code", codes=("patch_code",), parts=True,
        titles=("village_name", "land_class"),
    ),
    _Where(
        kind="grid", layer="grids", code="grid_code", codes=("grid_code",), parts=True, names=("grid_name",),
        titles=("village_name", "grid_name"),
    ),
    _Where(
        kind="sheet", layer="sheets", code="sheet_key", codes=("sheet_number",), parts=False, names=("unit_name",),
        titles=("unit_name", "sheet_number"), village=None,
    ),
    _Where(
        kind="parcel", layer="parcels", code="parcel_code", codes=("parcel_code",), parts=False,
        titles=("parcel_name",), village=None,
    ),
)  # fmt: skip


@router.get("")
def search(
    store: StoreDep,
    caller: CallerDep,
    q: Annotated[str, Parameter(min_length=1, max_length=60)],
    limit: Annotated[int, Parameter(ge=1, le=50)] = 20,
) -> dict[str, Any]:
    """What has this code or name, or one that begins with it or holds it."""
    text = q.strip()
    found: dict[tuple[str, str], dict[str, Any]] = {}
    if text and "\x00" not in text:
        for one in _found(store, text, caller.scope, limit):
            found.setdefault((one["kind"], one["code"]), one)
            if len(found) >= limit:
                break
    return {"results": list(found.values())}


def _found(store: Store, text: str, scope: Scope, limit: int) -> Iterator[dict[str, Any]]:
    whole = list(_printed(store, text, scope))
    yield from whole
    if whole:
        return  # a printed code means one piece
    layers = [where for where in _WHERE if where.layer in store.workspace.layers]
    if set(text) <= _LETTERS:
        yield from _coded(store, layers, text.upper(), scope, limit)
    for where in layers:
        for column in where.names:
            yield from _rows(store, where, Like(column, f"%{_escaped(text)}%"), scope, limit)


def _coded(
    store: Store, layers: list[_Where], text: str, scope: Scope, limit: int
) -> Iterator[dict[str, Any]]:
    """Codes that begin with the text, then codes that hold it."""
    found = False
    for where in layers:
        for column in where.codes:
            for one in _rows(store, where, _begins(column, text), scope, limit):
                found = True
                yield one
    if len(text) < _LEAST_PART or (found and len(text) >= _LONG):
        return
    for where in layers:
        if where.parts:
            yield from _holding(store, where, text, scope, limit)


def _printed(store: Store, text: str, scope: Scope) -> Iterator[dict[str, Any]]:
    """What a printed piece code leads to."""
    try:
        key = key_of(text.upper())
    except CodeError:
        return
    pieces = next(where for where in _WHERE if where.kind == "piece")
    now = list(_rows(store, pieces, Compare("piece_key", "=", key), scope, 1))
    yield from now
    if not now:
        register = store.query("code_register", Query(where=Compare("piece_key", "=", key), limit=1), scope)
        for row in records(register.rows):
            yield {
                "kind": "piece", "code": row["piece_code"], "title": "已替代的编号",
                "village_code": (row["group_code"] or "")[:12], "bbox": None, "state": "superseded",
                "href": f"/collections/pieces/items/{row['piece_code']}",
            }  # fmt: skip


def _holding(store: Store, where: _Where, text: str, scope: Scope, limit: int) -> Iterator[dict[str, Any]]:
    """Rows whose code holds the text: codes first, from their index alone, then the rows of these."""
    code = where.codes[0]
    like = Like(code, f"%{_escaped(text)}%")
    query = Query(columns=[code], where=like, sort=(code,), limit=limit, geometry=False)
    codes = tuple(store.query(where.layer, query, scope).rows[code].tolist())
    if codes:
        yield from _rows(store, where, In(code, codes), scope, limit)


def _rows(
    store: Store, where: _Where, condition: Condition, scope: Scope, limit: int
) -> Iterator[dict[str, Any]]:
    columns = dict.fromkeys([where.code, *where.titles, *([where.village] if where.village else [])])
    page = store.query(where.layer, Query(columns=list(columns), where=condition, limit=limit), scope)
    of = systems(store.workspace.crs)[CRS84]
    boxes = page.rows.geometry.bounds.to_numpy().tolist() if where.layer in GEOMETRIES else []
    for row, box in zip(records(page.rows.drop(columns="geometry")), boxes, strict=True):
        placed = not any(map(math.isnan, box))
        bounds = [round(side, 7) for side in lonlat(tuple(box), of)] if placed else None
        item = row["fid"] if where.kind == "parcel" else row[where.code]
        told = {
            "kind": where.kind,
            "code": row[where.code],
            "title": _title(row, where),
            "village_code": (row[where.village] if where.village else (row[where.code] or "")[:12]) or None,
            "bbox": bounds,
            "href": f"/collections/{where.layer}/items/{item}",
        }
        yield told | ({"state": row["state"]} if "state" in row else {})


def _title(row: dict[str, Any], where: _Where) -> str:
    said = []
    for name in where.titles:
        value = row[name]
        if value is None:
            continue
        if name in {"piece_class", "state"}:
            said.append(code_list(name).get(value, value))
        elif name == "land_class":
            said.append(code_list("DLBM").get(value, value))
        else:
            said.append(f"{value:.2f} 亩" if name.endswith("_mu") else str(value))
    return " ".join(said) or str(row[where.code])


def _begins(column: str, text: str) -> Condition:
    """As a range, which every index serves."""
    after = text[:-1] + chr(ord(text[-1]) + 1)
    return All((Compare(column, ">=", text), Compare(column, "<", after)))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
