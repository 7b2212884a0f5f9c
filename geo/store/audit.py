"""The log of all that was done to records: append-only, each row sealed with the hash of the one before.

Whoever changes, removes, inserts or moves a row breaks the chain behind it. A
tail that was cut off shows only against a head kept elsewhere, on paper: that
is what the head is printed for.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from geo import schema
from geo.errors import InputError

ORIGIN: Final = "0" * 64  # the hash before the first row
_SEALED: Final = tuple(
    name for name in schema.column_names("audit") if name not in {"previous_hash", "hash"}
)  # in the order of the dictionary


def text_of(values: Mapping[str, Any]) -> str:
    """Columns that changed, as canonical JSON."""
    return json.dumps(
        dict(values), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def sealed(row: Mapping[str, Any], previous: str) -> str:
    """Hash of a row that follows one of hash ``previous``."""
    text = text_of({name: row[name] for name in _SEALED})
    return hashlib.sha256((previous + text).encode()).hexdigest()


def flaws(rows: Iterable[Mapping[str, Any]], *, head: tuple[int, str] | None = None) -> list[str]:
    """What is wrong with a log, in Chinese; nothing if it is whole.

    Parameters
    ----------
    rows : iterable of mappings
        All rows in the order they stand in.
    head : (seq, hash), optional
        The last row as it was noted down at some time; the log must still hold it.
    """
    found: list[str] = []
    previous, expected, held = ORIGIN, 1, None
    for row in rows:
        seq = row["seq"]
        if seq != expected:
            found.append(f"第 {expected} 条处是第 {seq} 条：有记录被删去、插入或调换")
        if row["previous_hash"] != previous:
            found.append(f"第 {seq} 条与上一条接不上：此处有记录被改动、删去、插入或调换")
        if not _holds(row):
            found.append(f"第 {seq} 条的内容与其哈希不符：被改动过")
        previous, expected = row["hash"], (seq if isinstance(seq, int) else expected) + 1
        if head is not None and seq == head[0]:
            held = row["hash"]
    if head is not None and head[0] and held != head[1]:
        lost = f"末尾缺少记录：应有第 {head[0]} 条" if held is None else f"第 {head[0]} 条的哈希与留存的不同"
        found.append(lost)
    return found


def _holds(row: Mapping[str, Any]) -> bool:
    try:
        return bool(sealed(row, row["previous_hash"]) == row["hash"])
    except (TypeError, ValueError):  # nothing the log ever wrote
        return False


def replay(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Records as the log alone tells them: layer, key, columns.

    Raises
    ------
    InputError
        If the log changes a row it never told of.
    """
    state: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        layer, key = row["layer"], row["row_key"]
        if row["action"] == "insert":
            state.setdefault(layer, {})[key] = json.loads(row["after"])
        elif row["action"] == "update":
            if key not in state.get(layer, {}):
                raise InputError(f"审计日志第 {row['seq']} 条改动了从未登记的行 {layer} {key}")
            state[layer][key] |= json.loads(row["after"])
    return state


def shown(row: Mapping[str, Any], *, personal: bool) -> dict[str, Any]:
    """An entry as a caller may see it: without names of persons if they are not theirs to read."""
    out = dict(row)
    if personal:
        return out
    layer = row["layer"]
    hidden = schema.personal_columns(layer) if layer in schema.LAYER_TITLES else frozenset()
    for side in ("before", "after"):
        if row[side]:
            held = json.loads(row[side])
            out[side] = text_of({name: value for name, value in held.items() if name not in hidden})
    return out
