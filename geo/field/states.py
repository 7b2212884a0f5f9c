"""The life of a piece: which state may follow which, what must be known first, and who may move it.

candidate → identified → measured → confirmed → published → let runs forward by
facts; reserved, rejected, disputed and superseded stand beside it. A pure
table: it hears of no database and no clock.
"""

from collections.abc import Mapping
from typing import Any, Final

from geo.errors import ForbiddenError, TransitionError
from geo.standards import code_list

STATES: Final = tuple(code_list("state"))
ROLES: Final = ("viewer", "officer", "reviewer", "admin")  # each may do what those before it may
OWN_KINDS: Final = frozenset({"GROUP", "VILLAGE", "TOWNSHIP"})  # owners whose land is the collective's to let

# Facts in the order in which they carry a piece forward.
_BY_FACTS: Final = ("candidate", "identified", "measured", "confirmed")

# From, to: the least role that may move a piece so. "letting" stands for the part of the
# product that lets land; "lineage" for the one that divides and joins pieces.
MOVES: Final[Mapping[tuple[str, str], str]] = {
    ("candidate", "identified"): "officer",
    ("identified", "measured"): "officer",
    ("measured", "confirmed"): "officer",
    ("confirmed", "published"): "reviewer",
    ("published", "let"): "letting",
    ("confirmed", "reserved"): "reviewer",
    ("published", "reserved"): "reviewer",
    ("reserved", "confirmed"): "reviewer",
    ("published", "confirmed"): "reviewer",  # a publication is taken back
    ("let", "published"): "letting",  # a contract has ended
    ("rejected", "candidate"): "reviewer",  # looked at once more
    ("disputed", "candidate"): "reviewer",
    ("disputed", "identified"): "reviewer",
    ("disputed", "measured"): "reviewer",
    ("disputed", "confirmed"): "reviewer",
    ("disputed", "rejected"): "reviewer",
    # A fact is taken back by whoever may state it.
    ("identified", "candidate"): "officer",
    ("measured", "identified"): "officer",
    ("measured", "candidate"): "officer",
    ("confirmed", "measured"): "reviewer",
    ("confirmed", "identified"): "reviewer",
    ("confirmed", "candidate"): "reviewer",
    **{(state, "rejected"): "officer" for state in ("candidate", "identified", "measured")},
    ("confirmed", "rejected"): "reviewer",
    ("published", "rejected"): "reviewer",
    **{(state, "disputed"): "officer" for state in ("candidate", "identified", "measured", "confirmed")},
    ("published", "disputed"): "reviewer",  # an objection is upheld
    ("reserved", "disputed"): "reviewer",
    **{
        (state, "superseded"): "lineage"
        for state in ("candidate", "identified", "measured", "confirmed", "published", "reserved", "disputed")
    },
}

_PARTS: Final = {"letting": "由发包环节办理", "lineage": "由图块拆分、合并办理"}
_ROLE_TITLES: Final = {"officer": "经办员", "reviewer": "审核员"}


def reached(facts: Mapping[str, Any]) -> str:
    """How far facts alone carry a piece: each counts only after the one before it."""
    state = "candidate"
    for following in _BY_FACTS[1:]:
        if lacking(following, facts):
            return state
        state = following
    return state


def next_states(state: str, role: str) -> list[str]:
    """States a caller of this role may choose next, in the order of a piece's life."""
    return [to for to in STATES if may_move(state, to, role)]


def may_move(state: str, to: str, role: str) -> bool:
    """Whether the table has this move and the role may make it; what must be known first is not asked."""
    least = MOVES.get((state, to))
    if least is None:
        return False
    if least in _PARTS:
        return role == least
    return role in ROLES and ROLES.index(role) >= ROLES.index(least)


def check_move(piece_code: str, state: str, to: str, facts: Mapping[str, Any], role: str) -> None:
    """Refuse a move that may not be made, and say why.

    Parameters
    ----------
    piece_code : str
        For the message.
    state, to : str
        Where the piece is and where it shall go.
    facts : mapping
        Columns of ``cases`` as they will stand after the move.
    role : str
        ``officer``, ``reviewer``, ``admin``; ``letting`` and ``lineage`` for those parts of the product.

    Raises
    ------
    TransitionError
        If the state cannot follow, or a fact it rests on is missing.
    ForbiddenError
        If somebody of a higher role has to do it.
    """
    titles = code_list("state")
    if to not in titles:
        raise TransitionError(f"没有状态“{str(to)[:20]}”；可用：{'、'.join(titles)}")
    least = MOVES.get((state, to))
    if least is None:
        raise TransitionError(f"图块 {piece_code} 现为“{titles[state]}”，不能直接改为“{titles[to]}”")
    if least in _PARTS and role != least:
        raise TransitionError(f"图块 {piece_code} 改为“{titles[to]}”{_PARTS[least]}，不能直接改")
    if missing := lacking(to, facts):
        raise TransitionError(f"图块 {piece_code} 不能改为“{titles[to]}”：{missing}")
    if not may_move(state, to, role):
        raise ForbiddenError(f"把图块从“{titles[state]}”改为“{titles[to]}”需要{_ROLE_TITLES[least]}权限")


def lacking(to: str, facts: Mapping[str, Any]) -> str:  # noqa: PLR0911 - a return a state
    """What must be known before a piece is in this state and is not, in Chinese; empty if nothing."""
    if to in {"identified", "measured", "confirmed", "published", "let"} and not facts.get("identified_as"):
        return "还没有认定结果（identified_as）"
    if to in {"measured", "confirmed", "published", "let"} and facts.get("measured_m2") is None:
        return "还没有实测面积（measured_m2）"
    if to in {"confirmed", "published", "let"}:
        if not facts.get("owner_kind"):
            return "还没有权利人类型（owner_kind）"
        if facts["owner_kind"] not in OWN_KINDS:
            return f"权利人为“{code_list('owner_kind')[facts['owner_kind']]}”，不属集体可发包的地，应剔除并写明原因"
        if not facts.get("owner_basis"):
            return "还没有权属依据（owner_basis）"
    if to == "rejected" and not facts.get("reject_reason"):
        return "须写明剔除原因（reject_reason）"
    if to == "disputed" and not facts.get("dispute_reason"):
        return "须写明争议原因（dispute_reason）"
    return ""
