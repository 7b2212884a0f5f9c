"""Laws that hold for whatever rows and changes there are, in both databases."""

import itertools

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geo.errors import InputError, StaleError
from geo.store import EVERYTHING, Query, Scope, audit, open_store
from geo.store.query import All, Any, Between, Compare, In, IsNull, Like, Not
from tests.geo.county import LOWER, UPPER

# One store for all examples of a law: each begins with keys of its own.
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
fresh = itertools.count()
STATES = st.sampled_from(["a", "b", "ä", "村", "", None])
AREAS = st.one_of(st.none(), st.sampled_from([0.0, -1.5, 1e-9, 3.0, 1e300]))


@pytest.fixture(scope="module", params=("gpkg", "postgis"))
def shared(request, new_place, tmp_path_factory):
    with open_store(new_place(request.param), folder=tmp_path_factory.mktemp("laws")) as opened:
        yield opened


def cases(store, *conditions):
    with store.write(actor="reader") as change:
        return change.rows("cases", All(conditions))


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "update", "broken"]),
        st.integers(0, 3),  # which piece
        st.integers(-1, 1),  # how far the version is off that the caller has seen
        st.fixed_dictionaries({}, optional={"state": STATES, "measured_m2": AREAS, "note": STATES}),
    ),
    max_size=25,
)


@FEW
@given(changes=CHANGES)
def test_versions_count_changes_and_no_change_is_lost(shared, changes):  # noqa: C901 - with a model of it
    mark = f"v{next(fresh)}-"
    model = {}
    for kind, number, off, values in changes:
        key = f"{mark}{number}"
        try:
            with shared.write(actor="u", why=kind) as change:
                if kind == "insert":
                    change.insert("cases", {"piece_key": key, "village_code": UPPER, **values})
                else:
                    row = change.row("cases", key)
                    if row is not None:
                        change.update("cases", key, values, base=row["version"] + off)
                if kind == "broken":
                    raise ZeroDivisionError  # noqa: TRY301 - in the midst of it
        except ZeroDivisionError:
            continue
        except InputError:
            assert key in model
            continue
        except StaleError:
            assert off != 0
            continue
        if kind == "insert":
            assert key not in model
            model[key] = {"version": 1, **values}
        elif key in model:
            assert off == 0
            new = {name: value for name, value in values.items() if model[key].get(name) != value}
            model[key] |= new
            model[key]["version"] += bool(new)
    held = {row["piece_key"]: row for row in cases(shared, Like("piece_key", f"{mark}%"))}
    assert held.keys() == model.keys()
    for key, values in model.items():
        assert {name: held[key][name] for name in values} == values
    log = shared.query("audit", Query(limit=10_000), EVERYTHING).rows
    log = log[log["row_key"].str.startswith(mark)].astype(object).to_dict("records")
    told = audit.replay(log).get("cases", {})
    assert told.keys() == model.keys()
    for key, values in told.items():
        kept = {name: value for name, value in held[key].items() if name in values}
        assert kept == values
        assert held[key]["version"] == sum(row["row_key"] == key for row in log)
    assert shared.verify_audit() == []


ROWS = st.lists(st.tuples(STATES, AREAS), max_size=12)
SORTS = st.lists(st.sampled_from(["state", "measured_m2", "note"]), max_size=3, unique=True).flatmap(
    lambda names: st.tuples(*(st.sampled_from([name, f"-{name}"]) for name in names))
)


@FEW
@given(rows=ROWS, sort=SORTS, limit=st.integers(1, 5))
def test_pages_hold_every_row_once_in_one_order(shared, rows, sort, limit):
    mark = f"p{next(fresh)}-"
    values = [
        {"piece_key": f"{mark}{number}", "village_code": UPPER, "state": state, "measured_m2": area}
        for number, (state, area) in enumerate(rows)
    ]
    with shared.write(actor="u") as change:
        change.insert_many("cases", values)
    where, after, held, at_once = Like("piece_key", f"{mark}%"), None, [], []
    for _ in range(len(rows) + 2):
        page = shared.query("cases", Query(where=where, sort=sort, limit=limit, after=after), EVERYTHING)
        held += page.rows["piece_key"].tolist()
        after = page.after
        assert len(page.rows) == limit or after is None
        if after is None:
            break
    at_once = shared.query("cases", Query(where=where, sort=sort, limit=100), EVERYTHING).rows
    assert held == at_once["piece_key"].tolist()
    assert sorted(held) == sorted(row["piece_key"] for row in values)
    for name in sort:  # the first of them rules: an empty cell is the greatest
        cells = at_once[name.lstrip("-")].astype(object)
        cells = [(gone, "" if gone else cell) for cell, gone in zip(cells, cells.isna(), strict=True)]
        assert cells == sorted(cells, reverse=name.startswith("-"))
        break


OPERATORS = st.sampled_from(["=", "<>", "<", ">="])
TEXTS = st.text(max_size=3).filter(lambda text: "\x00" not in text)
LEAVES = st.one_of(
    st.builds(Compare, st.sampled_from(["state", "village_code"]), OPERATORS, TEXTS),
    st.builds(Compare, st.just("measured_m2"), st.sampled_from(["=", "<>", "<", ">="]), st.floats(-10, 10)),
    st.builds(In, st.just("village_code"), st.sampled_from([(), (UPPER,), (LOWER, UPPER)])),
    st.builds(Like, st.just("village_code"), st.sampled_from(["%", "14%", "_%"])),
    st.builds(Between, st.just("village_code"), st.just("0"), st.just("9")),
    st.builds(IsNull, st.sampled_from(["state", "note", "village_code"])),
)  # fmt: skip
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Any, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@FEW
@given(where=CONDITIONS, village=st.sampled_from([UPPER, LOWER, "999", f"{UPPER}0"]))
def test_no_condition_yields_a_row_of_another_village(shared, where, village):
    if not cases(shared, Compare("piece_key", "=", "law-1")):
        with shared.write(actor="u") as change:
            for number, of in enumerate([UPPER, LOWER, None, "", f"{UPPER}9"]):
                change.insert("cases", {"piece_key": f"law-{number}", "village_code": of, "state": "a"})
    scope = Scope(frozenset({village}), personal=True)
    rows = shared.query("cases", Query(where=where, limit=10_000), scope).rows
    assert set(rows["village_code"]) <= {village}
    assert shared.count("cases", where, scope) == len(rows)
    _, raw = shared.raw("cases", ["village_code"], scope=scope, where=where)
    assert raw["village_code"] == rows["village_code"].tolist()


@FEW
@given(where=CONDITIONS)
def test_both_databases_understand_a_condition_alike(where, twins):
    one, other = (
        store.query("cases", Query(where=where, limit=100, sort=("state", "-piece_key")), EVERYTHING).rows
        for store in twins
    )
    pd.testing.assert_frame_equal(one, other)


@pytest.fixture(scope="module")
def twins(new_place, tmp_path_factory):
    """The same rows in both databases."""
    rows = [
        {"piece_key": f"t{n}", "village_code": village, "state": state, "measured_m2": area}
        for n, (village, state, area) in enumerate(
            itertools.product([UPPER, LOWER, None, ""], ["a", "B", "ä", "村", "", None], [None, -1.5, 3.0])
        )
    ]
    stores = [
        open_store(
            new_place(kind), folder=tmp_path_factory.mktemp("twin"), clock=lambda: pd.Timestamp("2026-01-01")
        )
        for kind in ("gpkg", "postgis")
    ]
    for store in stores:
        with store.write(actor="u") as change:
            change.insert_many("cases", rows)
    yield stores
    for store in stores:
        store.close()
