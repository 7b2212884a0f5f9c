"""The log: whoever changes, removes, inserts or moves an entry is found out."""

import copy
import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from geo import schema
from geo.errors import InputError
from geo.store import EVERYTHING, Query, audit, open_store
from tests.geo.county import UPPER


def chain(count):
    """A log of some entries, made by hand."""
    rows, previous = [], audit.ORIGIN
    for seq in range(1, count + 1):
        row = {
            "seq": seq, "at": "2026-03-01T08:00:00Z", "actor": "李", "action": "insert", "layer": "cases",
            "row_key": f"k{seq}", "village_code": UPPER, "why": "", "before": None,
            "after": audit.text_of({"piece_key": f"k{seq}"}),
        }  # fmt: skip
        row |= {"previous_hash": previous, "hash": audit.sealed(row, previous)}
        previous = row["hash"]
        rows.append(row)
    return rows


def test_a_whole_log_has_no_flaw():
    rows = chain(5)
    assert audit.flaws(rows) == []
    assert audit.flaws([]) == []
    assert audit.flaws(rows, head=(5, rows[-1]["hash"])) == []
    assert audit.flaws(rows, head=(3, rows[2]["hash"])) == []
    assert audit.flaws([], head=(0, audit.ORIGIN)) == []


@given(
    at=st.integers(0, 7),
    column=st.sampled_from([*chain(1)[0]]),
    value=st.one_of(st.none(), st.text(), st.integers()),
)
def test_a_changed_entry_is_found(at, column, value):
    rows = chain(8)
    if value == rows[at][column]:
        return
    rows[at][column] = value
    assert audit.flaws(rows)


@given(at=st.integers(0, 6))
def test_a_removed_entry_is_found(at):
    rows = chain(8)
    del rows[at]
    assert audit.flaws(rows)


@given(one=st.integers(0, 7), other=st.integers(0, 7))
def test_entries_that_changed_places_are_found(one, other):
    rows = chain(8)
    rows[one], rows[other] = rows[other], rows[one]
    assert bool(audit.flaws(rows)) == (one != other)


@given(at=st.integers(0, 8), of=st.integers(0, 7))
def test_an_inserted_entry_is_found(at, of):
    rows = chain(8)
    rows.insert(at, copy.copy(rows[of]))
    assert audit.flaws(rows)


@given(at=st.integers(0, 7))
def test_an_entry_that_was_changed_and_sealed_anew_is_found_by_the_next(at):
    rows = chain(8)
    rows[at]["why"] = "anders"
    rows[at]["hash"] = audit.sealed(rows[at], rows[at]["previous_hash"])
    assert bool(audit.flaws(rows)) == (at < 7)
    assert audit.flaws(rows, head=(8, chain(8)[-1]["hash"]))  # and of the last by the paper


@given(left=st.integers(0, 7))
def test_a_tail_that_was_cut_off_is_found_by_the_head_on_paper(left):
    rows = chain(8)
    head = (8, rows[-1]["hash"])
    assert audit.flaws(rows[:left]) == []  # without paper nobody can tell
    assert "末尾缺少记录" in audit.flaws(rows[:left], head=head)[0]


def test_a_log_that_changes_what_it_never_told_of_cannot_be_replayed():
    rows = chain(1)
    rows[0]["action"] = "update"
    with pytest.raises(InputError, match="从未登记"):
        audit.replay(rows)


def fill(store):
    with store.write(actor="李") as change:
        for number in range(4):
            change.insert("cases", {"piece_key": f"k{number}", "village_code": UPPER, "state": "identified"})


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {audit} SET why = 'x' WHERE seq = 2",
        "DELETE FROM {audit} WHERE seq = 4",
        "DELETE FROM {audit}",
    ],
)
def test_the_database_itself_refuses_to_change_the_log(store, statement):
    fill(store)
    table = store._backend.tables["audit"]
    name = table.name if table.schema is None else f"{table.schema}.{table.name}"
    with pytest.raises(DBAPIError, match="append only"), store._backend.writing() as connection:
        connection.execute(text(statement.format(audit=name)))
    assert store.head()[0] == 4
    assert store.verify_audit() == []


def test_who_goes_round_the_refusal_is_found(new_place):
    path = new_place("gpkg")
    with open_store(path) as store:
        fill(store)
        head = store.head()
    with closing(sqlite3.connect(path)) as thief:
        thief.execute("DROP TRIGGER audit_no_delete")
        thief.execute("DELETE FROM audit WHERE seq = 4")
        thief.commit()
    with open_store(path) as store:
        assert store.verify_audit() == []
        assert "末尾缺少记录" in store.verify_audit(head=head)[0]


def test_the_log_tells_the_rows_as_they_are(store):
    fill(store)
    with store.write(actor="王") as change:
        change.update("cases", "k1", {"state": "disputed", "measured_m2": 4.25, "owner_name": "张三"}, base=1)
        change.update("cases", "k1", {"measured_m2": None}, base=2)
    told = audit.replay(store.query("audit", Query(), EVERYTHING).rows.astype(object).to_dict("records"))
    with store.write(actor="x") as change:
        rows = {row["piece_key"]: row for row in change.rows("cases")}
    for key, row in rows.items():
        held = {name: row[name] for name in row.keys() - {"fid", *schema.RECORD_COLUMNS}}
        assert {name: told["cases"][key].get(name) for name in held} == held
    assert json.loads(store.history("cases", "k1", EVERYTHING)[-1]["before"]) == {"measured_m2": 4.25}
