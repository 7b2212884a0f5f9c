"""All that is known of one piece: its columns, what the field found out, its findings, photos and past.

A code once printed always leads somewhere: the class letter may have changed since, and the key decides.
"""

from typing import Any

from api.access import Caller
from api.errors import NotFoundError
from api.features import records
from geo.codes import key_of
from geo.field import next_states
from geo.store import Query, Scope, Store
from geo.store.query import Compare, In


def piece_of(store: Store, code: str, scope: Scope) -> dict[str, Any] | None:
    """The piece a printed code names, by its key; None if it is not there or not to be seen.

    Raises
    ------
    CodeError
        If it is no piece code.
    """
    key = key_of(code)
    found = store.row("pieces", code, scope)  # as it is printed today
    if found is not None:
        return found
    page = store.query("pieces", Query(where=Compare("piece_key", "=", key), limit=1), scope)
    if page.rows.empty:
        return None
    (row,) = records(page.rows.drop(columns="geometry"))
    return row | {"geometry": page.rows.geometry.iloc[0]}


def known_piece(store: Store, code: str, scope: Scope) -> dict[str, Any]:
    """As `piece_of`, but not finding it is an error.

    Raises
    ------
    NotFoundError
        If there is none the caller may see.
    CodeError
        If it is no piece code.
    """
    piece = piece_of(store, code, scope)
    if piece is None:
        raise NotFoundError(f"没有编号为 {code} 的图块")
    return piece


def piece_document(store: Store, code: str, caller: Caller) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Row of a piece, what there is beside it, and the version of its case (0 if nobody has touched it).

    Raises
    ------
    NotFoundError
        If the code was never given out, or names what the caller may not see.
    CodeError
        If it is no piece code.
    """
    scope, key = caller.scope, key_of(code)
    piece = piece_of(store, code, scope)
    register = _rows(store, "code_register", "piece_key", [key], scope)
    if piece is None:
        if not register:
            raise NotFoundError(f"没有编号为 {code} 的图块，也没有发过这个编号")
        last = register[-1]
        piece = {name: last[name] for name in ("piece_key", "piece_code", "group_code", "patch_code")}
        piece |= {"fid": 0, "state": "superseded", "village_code": (last["group_code"] or "")[:12]}
    case = store.row("cases", key, scope)
    codes = [piece[name] for name in ("piece_code", "piece_key", "patch_code") if piece.get(name)]
    more = {
        "asked_code": code,
        "register_status": register[-1]["status"] if register else None,
        "case": None if case is None else {name: value for name, value in case.items() if name != "fid"},
        "findings": _rows(store, "findings", "row_code", codes, scope),
        "attachments": _rows(store, "attachments", "piece_key", [key], scope),
        "next_states": next_states(piece["state"] or "candidate", caller.role)
        if caller.may("officer")
        else [],
    }
    return piece, more, 0 if case is None else int(case["version"])


def _rows(store: Store, layer: str, column: str, values: list[str], scope: Scope) -> list[dict[str, Any]]:
    # Without tables: for a row or two they cost many times the reading.
    _, held = store.raw(layer, where=In(column, tuple(values)), scope=scope, limit=500)
    del held["fid"]
    return [dict(zip(held, row, strict=True)) for row in zip(*held.values(), strict=True)]
