"""What is said of a piece: checked field by field, moving its state, under versions, told in the log."""

import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo import workspace
from geo.errors import FactError, ForbiddenError, StaleError, TransitionError, UnknownRowError
from geo.field import FIELDS, STATES, decide, plain_facts, reached
from geo.store import EVERYTHING, open_store
from tests.geo.county import CRS, UPPER, W_CODE, X_CODE, county_tables

KEY = f"{UPPER}01-0001"
OWNED = {"owner_kind": "GROUP", "owner_basis": "土地台账"}


@pytest.fixture(scope="module")
def county(tmp_path_factory):
    made = tmp_path_factory.mktemp("facts") / "county.gpkg"
    workspace.write(made, county_tables(), crs=CRS)
    return made


@pytest.fixture
def store(county, tmp_path):
    with open_store(shutil.copy(county, tmp_path / "county.gpkg")) as opened:
        yield opened


def say(store, patch, *, base=None, role="officer", code=W_CODE):
    with store.write(actor="王") as change:
        return decide(change, code, patch, base=base, actor_role=role)


def state_of(store, code=W_CODE):
    return store.row("pieces", code, EVERYTHING)["state"]


def test_facts_carry_the_piece_forward_and_the_piece_shows_it(store):
    assert say(store, {"identified_as": "FARMLAND"}, base=0).after == "identified"
    assert state_of(store) == "identified"
    decision = say(store, {"measured_mu": 6, "measured_how": "TAPE", **OWNED}, base=1)
    assert (decision.before, decision.after, state_of(store)) == ("identified", "confirmed", "confirmed")
    assert decision.case["measured_m2"] == 4000.00
    assert set(decision.changed) == {"measured_m2", "measured_how", "owner_kind", "owner_basis"}
    assert decision.case["version"] == 2


def test_facts_may_come_in_any_order(store):
    assert say(store, {"measured_m2": 4000.004}).after == "candidate"
    assert say(store, OWNED).after == "candidate"
    decision = say(store, {"identified_as": "FARMLAND"})
    assert (decision.after, decision.case["measured_m2"]) == ("confirmed", 4000.00)


def test_a_fact_that_is_taken_back_takes_the_piece_back(store):
    say(store, {"identified_as": "FARMLAND", "measured_m2": 1.0})
    assert say(store, {"measured_m2": None}).after == "identified"
    assert say(store, {"identified_as": ""}).after == "candidate"
    assert state_of(store) == "candidate"


def test_a_reason_leads_where_it_is_a_reason_for_and_goes_with_it(store):
    assert say(store, {"reject_reason": "NOT_FARMLAND"}).after == "rejected"
    back = say(store, {"state": "candidate"}, role="reviewer")
    assert (back.after, back.case["reject_reason"]) == ("candidate", None)
    assert say(store, {"dispute_reason": "两组相争"}).after == "disputed"
    say(store, {"identified_as": "FARMLAND"})
    assert state_of(store) == "disputed", "what is found out settles no dispute"
    assert say(store, {"state": "identified"}, role="reviewer").after == "identified"


def test_what_was_published_is_not_changed_under_its_readers_eyes(store):
    say(store, {"identified_as": "FARMLAND", "measured_m2": 4000.0, **OWNED})
    say(store, {"state": "published"}, role="reviewer")
    with pytest.raises(TransitionError, match="已公示"):
        say(store, {"measured_m2": 4001.0}, role="reviewer")
    assert say(store, {"note": "看过"}).after == "published"
    back = say(store, {"state": "confirmed", "measured_m2": 4001.0}, role="reviewer")
    assert (back.after, back.case["measured_m2"]) == ("confirmed", 4001.0)


def test_a_stale_decision_is_refused_and_both_sides_are_shown(store):
    say(store, {"place_name": "南坡"}, base=0)
    with pytest.raises(StaleError) as refused:
        say(store, {"place_name": "北坡"}, base=0)
    told = refused.value
    assert (told.base, told.theirs["place_name"], told.yours["place_name"]) == (0, "南坡", "北坡")
    with pytest.raises(StaleError):
        say(store, {"place_name": "北坡"}, base=2)
    assert store.row("cases", KEY, EVERYTHING)["place_name"] == "南坡"


def test_saying_the_same_twice_changes_nothing(store):
    say(store, {"identified_as": "FARMLAND", "note": " 坡地 "})
    before = store.head()
    decision = say(store, {"identified_as": "FARMLAND", "note": "坡地"}, base=1)
    assert (decision.changed, store.head()) == ((), before)
    assert store.row("cases", f"{UPPER}01-0002", EVERYTHING) is None


def test_nothing_said_of_an_untouched_piece_leaves_it_untouched(store):
    decision = say(store, {"note": ""}, code=X_CODE, base=0)
    assert (decision.before, decision.after, decision.changed) == ("candidate", "candidate", ())
    assert store.row("cases", f"{UPPER}01-0002", EVERYTHING) is None


@pytest.mark.parametrize(("reason", "value"), [("reject_reason", "STATE_LAND"), ("dispute_reason", "相争")])
def test_a_reason_is_not_taken_away_from_the_state_that_rests_on_it(store, reason, value):
    say(store, {reason: value})
    with pytest.raises(TransitionError, match="原因"):
        say(store, {reason: None})


def test_a_refused_decision_leaves_nothing(store):
    before = store.head()
    with pytest.raises(TransitionError):
        say(store, {"note": "好", "state": "published"}, role="reviewer")
    assert store.row("cases", KEY, EVERYTHING) is None
    assert store.head() == before


def test_a_piece_that_is_not_there_has_no_facts(store):
    with pytest.raises(UnknownRowError):
        say(store, {"note": "x"}, code=f"{UPPER}01-W-0999")


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"identified_as": "MOON"}, "identified_as"),
        ({"owner_kind": 5}, "owner_kind"),
        ({"measured_m2": 0}, "measured_m2"),
        ({"measured_m2": -1.0}, "measured_m2"),
        ({"measured_m2": float("nan")}, "measured_m2"),
        ({"measured_m2": True}, "数"),
        ({"measured_m2": float("inf")}, "measured_m2"),
        ({"measured_mu": 1e9}, "measured_mu"),
        ({"measured_m2": "4000"}, "数"),
        ({"identified_on": "31.5.2026"}, "identified_on"),
        ({"identified_on": "1999-01-01"}, "2000"),
        ({"note": "x" * 1001}, "note"),
        ({"owner_name": "a\x00b"}, "owner_name"),
        ({"state_": "x"}, "没有字段"),
        ({"piece_key": "x"}, "没有字段"),
        ({"version": 9}, "没有字段"),
        ({"village_code": "1"}, "没有字段"),
        ({"measured_m2": 1.0, "measured_mu": 1.0}, "只能给一个"),
    ],
)
def test_a_fact_that_cannot_be_is_refused_by_name(patch, said):
    with pytest.raises(FactError, match=said):
        plain_facts(patch)


def test_every_flaw_is_named_at_once():
    with pytest.raises(FactError) as refused:
        plain_facts({"identified_as": "x", "measured_m2": -1, "measured_on": "x"})
    assert str(refused.value).count("；") >= 2


def test_a_name_in_a_script_stays_text():
    text = "<script>alert(1)</script>'; DROP TABLE cases; --"
    assert plain_facts({"owner_name": text}) == {"owner_name": text}


PATCHES = st.fixed_dictionaries({}, optional={
    "identified_as": st.sampled_from([None, "FARMLAND", "FOREST"]),
    "measured_m2": st.sampled_from([None, 1.0, 4000.0]),
    "owner_kind": st.sampled_from([None, "GROUP", "STATE"]),
    "owner_basis": st.sampled_from([None, "证明"]),
    "reject_reason": st.sampled_from([None, "NOT_FARMLAND"]),
    "dispute_reason": st.sampled_from([None, "相争"]),
    "state": st.sampled_from(STATES),
})  # fmt: skip


@settings(max_examples=10)
@given(
    moves=st.lists(
        st.tuples(PATCHES, st.sampled_from(["officer", "reviewer", "letting", "lineage"])), max_size=12
    )
)
def test_after_any_moves_the_piece_shows_the_case_and_stands_on_its_facts(county, tmp_path_factory, moves):
    path = shutil.copy(county, tmp_path_factory.mktemp("moves") / "county.gpkg")
    with open_store(path) as store:
        for patch, role in moves:
            held = store.row("cases", KEY, EVERYTHING)
            try:
                say(store, patch, role=role)
            except (TransitionError, ForbiddenError):
                assert store.row("cases", KEY, EVERYTHING) == held
            case = store.row("cases", KEY, EVERYTHING)
            assert state_of(store) == ("candidate" if case is None else case["state"])
            if case is not None:
                if case["state"] in {"confirmed", "published", "let", "reserved"}:
                    assert reached(case) == "confirmed"
                elif case["state"] in {"candidate", "identified", "measured"}:
                    assert STATES.index(reached(case)) >= STATES.index(case["state"])
                assert (case["state"] != "rejected") or case["reject_reason"]
                assert set(FIELDS) <= set(case)
        assert store.verify_audit() == []
