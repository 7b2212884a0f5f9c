"""Which state may follow which, who may move a piece, and what must be known first."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import ForbiddenError, TransitionError
from geo.field import MOVES, STATES, check_move, may_move, next_states, reached
from geo.standards import code_list

CODE = "14072510020101-W-0001"
ROLES = ("viewer", "officer", "reviewer", "admin", "letting", "lineage")
WHOLE = {
    "identified_as": "FARMLAND", "measured_m2": 4000.0, "owner_kind": "GROUP", "owner_basis": "土地台账",
    "reject_reason": "NOT_FARMLAND", "dispute_reason": "两组都说是自己的",
}  # fmt: skip


def test_the_states_are_those_of_the_dictionary():
    assert set(STATES) == set(code_list("state")) == {state for move in MOVES for state in move}


def test_the_way_forward_is_the_one_of_the_domain():
    way = ["candidate", "identified", "measured", "confirmed", "published", "let"]
    for before, after in itertools.pairwise(way):
        assert (before, after) in MOVES
    for at, before in enumerate(way):
        for after in way[at + 2 :]:
            assert (before, after) not in MOVES, f"{before} leaps to {after}"


@pytest.mark.parametrize("role", ROLES)
def test_a_disputed_piece_is_never_let_and_a_superseded_one_stays(role):
    assert not may_move("disputed", "let", role)
    assert not may_move("disputed", "published", role)
    assert not [to for to in STATES if may_move("superseded", to, role)]


def test_who_looks_only_moves_nothing_and_letting_and_lineage_do_only_their_own():
    for state in STATES:
        assert next_states(state, "viewer") == []
    assert {to for _, to in MOVES if MOVES[_, to] == "lineage"} == {"superseded"}
    with pytest.raises(TransitionError, match="发包"):
        check_move(CODE, "published", "let", WHOLE, "admin")
    check_move(CODE, "published", "let", WHOLE, "letting")
    with pytest.raises(TransitionError, match="拆分"):
        check_move(CODE, "candidate", "superseded", WHOLE, "admin")


def test_an_officer_does_not_publish():
    with pytest.raises(ForbiddenError, match="审核员"):
        check_move(CODE, "confirmed", "published", WHOLE, "officer")
    check_move(CODE, "confirmed", "published", WHOLE, "reviewer")


@pytest.mark.parametrize(
    ("state", "to", "missing", "said"),
    [
        ("candidate", "identified", "identified_as", "认定"),
        ("identified", "measured", "measured_m2", "实测"),
        ("measured", "confirmed", "owner_kind", "权利人"),
        ("measured", "confirmed", "owner_basis", "依据"),
        ("candidate", "rejected", "reject_reason", "原因"),
        ("measured", "disputed", "dispute_reason", "原因"),
    ],
)
def test_a_fact_that_is_missing_holds_the_piece_back_and_is_named(state, to, missing, said):
    check_move(CODE, state, to, WHOLE, "reviewer")
    with pytest.raises(TransitionError, match=said):
        check_move(CODE, state, to, WHOLE | {missing: None}, "reviewer")


@pytest.mark.parametrize("kind", ["HOUSEHOLD", "STATE", "OTHER"])
def test_land_of_others_is_not_confirmed(kind):
    with pytest.raises(TransitionError, match="剔除"):
        check_move(CODE, "measured", "confirmed", WHOLE | {"owner_kind": kind}, "reviewer")


def test_a_state_nobody_knows_is_refused():
    with pytest.raises(TransitionError, match="没有状态"):
        check_move(CODE, "candidate", "sold", WHOLE, "admin")


@given(facts=st.fixed_dictionaries({
    "identified_as": st.sampled_from([None, "", "FARMLAND"]),
    "measured_m2": st.sampled_from([None, 1.0]),
    "owner_kind": st.sampled_from([None, "GROUP", "STATE"]),
    "owner_basis": st.sampled_from([None, "证明"]),
}))  # fmt: skip
def test_facts_carry_a_piece_as_far_as_the_table_would_step_by_step(facts):
    state = "candidate"
    for after in ("identified", "measured", "confirmed"):
        try:
            check_move(CODE, state, after, facts, "officer")
        except TransitionError:
            break
        state = after
    assert reached(facts) == state
