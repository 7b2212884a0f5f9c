"""What is known of a piece: what it is, how large, whose; and the state these facts lead to.

One decision is one row of ``cases``, checked field by field, its state moved by
the table of `geo.field.states` and shown in ``pieces`` in the same transaction.
"""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from geo.area import M2_PER_MU
from geo.errors import FactError, StaleError, TransitionError, UnknownRowError
from geo.field.states import check_move, lacking, reached
from geo.standards import code_list
from geo.store import Change

_CODES: Final = {
    "identified_as": "identified_as",
    "measured_how": "measured_how",
    "owner_kind": "owner_kind",
    "reject_reason": "reject_reason",
}
_TEXTS: Final = {
    "identified_by": 40, "measured_by": 40, "owner_name": 80, "owner_basis": 400, "current_user": 80,
    "place_name": 80, "dispute_reason": 400, "note": 1000,
}  # fmt: skip
_DATES: Final = ("identified_on", "measured_on")
FIELDS: Final = (
    "identified_as", "identified_by", "identified_on", "measured_m2", "measured_how", "measured_by", "measured_on",
    "owner_kind", "owner_name", "owner_basis", "current_user", "place_name", "reject_reason", "dispute_reason", "note",
)  # fmt: skip
"""Columns of ``cases`` that a decision may fill; ``state`` may stand beside them, and ``measured_mu`` for m²."""

_LARGEST_M2: Final = 1e8  # 150,000 mu: no piece of a village is as large
_FORWARD: Final = ("candidate", "identified", "measured", "confirmed")
_SETTLED: Final = ("identified_as", "measured_m2", "owner_kind", "owner_name", "owner_basis")
_CLOSED: Final = {
    "published": "已公示，不能改认定、面积和权属：请审核员先撤回公示（改为已确认）",
    "let": "已发包，不能改认定、面积和权属：请先在发包环节终止合同",
    "reserved": "已预留，不能改认定、面积和权属：请审核员先取消预留（改为已确认）",
    "superseded": "已被替代，不能再改：请改替代它的图块",
}
_EARLIEST: Final = dt.date(2000, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What became of a decision."""

    case: dict[str, Any]  # row of cases as it now stands
    before: str  # state of the piece
    after: str
    changed: tuple[str, ...]  # fields


def decide(
    change: Change,
    piece_code: str,
    patch: Mapping[str, Any],
    *,
    base: int | None,
    actor_role: str,
) -> Decision:
    """Write what was found out about a piece and move its state.

    Without ``state`` in the patch the state follows the facts: a reason to reject
    or to dispute leads there; else identified, measured and confirmed are reached
    as soon as all they rest on is known, and left when it is taken back. Later
    states stay as they are.

    Parameters
    ----------
    change : Change
        A transaction of the store; the caller has checked that the village is in scope.
    piece_code : str
        Of a piece in ``pieces``; a printed code with an older class letter is resolved before.
    patch : mapping
        Some of `FIELDS`; None or empty text clears a field. ``measured_mu`` instead of
        ``measured_m2`` is turned into m² to 0.01. ``state`` asks for a state.
    base : int or None
        Version of the row the caller saw, 0 if there was none; None only for logic that
        has just read it in this transaction.
    actor_role : str
        As in `geo.field.states.check_move`.

    Returns
    -------
    Decision

    Raises
    ------
    UnknownRowError
        If there is no such piece.
    FactError
        If a field is unknown or cannot have that value; the message names it.
    StaleError
        If somebody changed the case since.
    TransitionError, ForbiddenError
        As `geo.field.states.check_move`.
    """
    piece = change.row("pieces", piece_code)
    if piece is None:
        raise UnknownRowError(f"没有编号为 {piece_code} 的图块")
    facts = plain_facts({name: value for name, value in patch.items() if name != "state"})
    wanted = patch.get("state")
    if wanted is not None and not isinstance(wanted, str):
        raise FactError("state 应为状态代码")
    held = change.row("cases", piece["piece_key"])
    version = 0 if held is None else int(held["version"])
    _refuse_stale(piece, held, base, dict(patch))
    before = str((held or {}).get("state") or piece["state"] or "candidate")
    known = {name: (held or {}).get(name) for name in FIELDS}
    after_facts = known | facts
    after = _follow(before, known, after_facts) if wanted is None else wanted
    if after == before:
        _refuse_settled(piece_code, after, known, facts)
    else:
        _check_way(piece_code, before, after, after_facts, actor_role, asked=wanted is not None)
        facts |= _leaving(before, after, facts)
    changed = tuple(name for name in facts if facts[name] != known[name])
    if held is None:
        if not changed and after == before:
            return Decision(case=_blank(piece), before=before, after=after, changed=())
        case = change.insert("cases", _blank(piece) | facts | {"state": after})
    else:
        case = change.update("cases", piece["piece_key"], facts | {"state": after}, base=version)
    return Decision(case=case, before=before, after=after, changed=changed)


def plain_facts(patch: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a patch, each checked, as ``cases`` holds them; empty text is None.

    Raises
    ------
    FactError
        If a field is unknown or cannot have that value; every flaw is named.
    """
    flaws: list[str] = []
    facts: dict[str, Any] = {}
    for name, value in patch.items():
        try:
            if name == "measured_mu":
                area = _number("实测亩数（measured_mu）", value, _LARGEST_M2 / M2_PER_MU)
                facts["measured_m2"] = None if area is None else round(area * M2_PER_MU, 2)
            else:
                facts[name] = _fact(name, value)
        except FactError as flaw:
            flaws.append(str(flaw))
    if "measured_mu" in patch and "measured_m2" in patch:
        flaws.append("measured_mu 与 measured_m2 只能给一个")
    if flaws:
        raise FactError("；".join(flaws))
    return facts


def _fact(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever was sent
    if name not in FIELDS:
        raise FactError(f"没有字段 {str(name)[:40]}；可用：{'、'.join(FIELDS)}")
    title = _TITLES[name]
    if name == "measured_m2":
        area = _number(title, value, _LARGEST_M2)
        return None if area is None else round(area, 2)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise FactError(f"{title} 应为文字")
    text = value.strip()
    if not text:
        return None
    if name in _CODES:
        codes = code_list(_CODES[name])
        if text not in codes:
            listed = "、".join(f"{code} {said}" for code, said in codes.items())
            raise FactError(f"{title} 没有“{text[:20]}”；可用：{listed}")
        return text
    if name in _DATES:
        return _date(title, text)
    return _text(title, text, _TEXTS[name])


def _text(title: str, text: str, most: int) -> str:
    if len(text) > most:
        raise FactError(f"{title} 太长：最多 {most} 个字")
    if not text.isprintable() and any(not letter.isprintable() and letter not in "\n\r\t" for letter in text):
        raise FactError(f"{title} 有不能显示的字符")
    return text


_TITLES: Final = {
    "identified_as": "认定结果（identified_as）",
    "identified_by": "认定人（identified_by）",
    "identified_on": "认定日期（identified_on）",
    "measured_m2": "实测面积（measured_m2）",
    "measured_how": "测量方式（measured_how）",
    "measured_by": "测量人（measured_by）",
    "measured_on": "测量日期（measured_on）",
    "owner_kind": "权利人类型（owner_kind）",
    "owner_name": "权利人（owner_name）",
    "owner_basis": "权属依据（owner_basis）",
    "current_user": "现使用人（current_user）",
    "place_name": "地名（place_name）",
    "reject_reason": "剔除原因（reject_reason）",
    "dispute_reason": "争议原因（dispute_reason）",
    "note": "备注（note）",
}


def _number(title: str, value: Any, most: float) -> float | None:  # noqa: ANN401 - whatever was sent
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FactError(f"{title} 应为数")
    if not math.isfinite(value) or not 0 < value <= most:
        raise FactError(f"{title} 应大于 0、不大于 {most:.0f}")
    return float(value)


def _date(title: str, text: str) -> str:
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise FactError(f"{title} 应写作 2026-05-31") from None
    if day < _EARLIEST:
        raise FactError(f"{title} 早于 2000 年")
    return day.isoformat()


def _refuse_stale(
    piece: Mapping[str, Any], held: Mapping[str, Any] | None, base: int | None, yours: dict[str, Any]
) -> None:
    version = 0 if held is None else int(held["version"])
    if base is not None and base != version:
        theirs = dict(held) if held is not None else _blank(piece) | {"version": 0}
        raise StaleError(
            f"图块 {piece['piece_code']} 已被他人改过（现为第 {version} 版，您看到的是第 {base} 版）：请核对后再改",
            base=base,
            theirs=theirs,
            yours=yours,
        )


def _follow(before: str, known: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """The state that facts lead to when none is asked for."""
    if facts["reject_reason"] and not known["reject_reason"]:
        return "rejected"
    if facts["dispute_reason"] and not known["dispute_reason"]:
        return "disputed"
    return reached(facts) if before in _FORWARD else before


def _check_way(  # noqa: PLR0913 - a move is what it is made of
    piece_code: str, before: str, after: str, facts: Mapping[str, Any], role: str, *, asked: bool
) -> None:
    """One step where a state was asked for; facts that came together carry a piece step by step."""
    states = [after]
    if not asked and {before, after} <= set(_FORWARD) and _FORWARD.index(before) < _FORWARD.index(after):
        states = list(_FORWARD[_FORWARD.index(before) + 1 : _FORWARD.index(after) + 1])
    for state in states:
        check_move(piece_code, before, state, facts, role)
        before = state


def _refuse_settled(piece_code: str, state: str, known: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """What was published or let is not changed under its readers' eyes; a reason stays as long as its state."""
    settled = FIELDS if state == "superseded" else _SETTLED
    if state in _CLOSED and any(name in facts and facts[name] != known[name] for name in settled):
        raise TransitionError(f"图块 {piece_code} {_CLOSED[state]}")
    if state in {"rejected", "disputed"} and (missing := lacking(state, {**known, **facts})):
        raise TransitionError(f"图块 {piece_code} 现为“{code_list('state')[state]}”：{missing}")


def _leaving(before: str, after: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Reasons go when the state they stand for is left, so that they may be given anew."""
    gone: dict[str, Any] = {}
    if before == "rejected" and after != "rejected" and "reject_reason" not in facts:
        gone["reject_reason"] = None
    if before == "disputed" and after != "disputed" and "dispute_reason" not in facts:
        gone["dispute_reason"] = None
    return gone


def _blank(piece: Mapping[str, Any]) -> dict[str, Any]:
    """The case of a piece nobody has touched."""
    known = {name: piece[name] for name in ("piece_key", "piece_code", "village_code", "group_code")}
    return known | dict.fromkeys(FIELDS) | {"state": piece["state"] or "candidate", "parent_key": None}
