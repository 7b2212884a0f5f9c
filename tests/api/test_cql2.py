"""CQL2 text is read into conditions; hostile text costs no more than honest text."""

import time

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from api.cql2 import condition
from geo.errors import ConditionError
from geo.store.query import All, Between, Compare, In, Intersects, IsNull, Like, Not
from geo.store.query import Any as Either

COLUMNS = {"name": "str", "area": "float", "count": "Int64", "open": "bool", "day": "str"}


def read(text):
    return condition(text, COLUMNS, lambda shape: shape)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("name = 'it''s'", Compare("name", "=", "it's")),
        ("area>=-1.5e3", Compare("area", ">=", -1500.0)),
        ("3 < area", Compare("area", ">", 3)),
        ("count = 2.0", Compare("count", "=", 2)),
        ("open = true", Compare("open", "=", value=True)),
        ("day > DATE('2026-05-31')", Compare("day", ">", "2026-05-31")),
        ("day = TIMESTAMP('2026-05-31T00:00:00Z')", Compare("day", "=", "2026-05-31T00:00:00Z")),
        ("name IN ('a','b')", In("name", ("a", "b"))),
        ("area not between 1 and 2", Not(Between("area", 1, 2))),
        ("NAME LIKE 'x'", None),
        ("name like 'x%'", Like("name", "x%")),
        ("name IS NOT NULL", Not(IsNull("name"))),
        (
            "area=1 OR area=2 AND area=3",
            Either((Compare("area", "=", 1), All((Compare("area", "=", 2), Compare("area", "=", 3))))),
        ),
        (
            "NOT area=1 AND area=2",
            All((Not(Compare("area", "=", 1)), Compare("area", "=", 2))),
        ),
        ("S_INTERSECTS(geometry, POINT (1 2))", Intersects(shapely.Point(1, 2))),
    ],
)
def test_each_form_is_read_as_the_standard_means_it(text, wanted):
    if wanted is None:
        with pytest.raises(ConditionError):
            read(text)
    else:
        assert read(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["(" * 50_000, "NOT " * 25_000, "area = 1 OR " * 9_000, "'" * 100_000, "name = '" + "x" * 100_000 + "'",
     "area IN (" + "1," * 40_000 + "1)", "(" * 3_999 + "area=1" + ")" * 3_999, "''" * 3_999 + "'", "a" * 7_999,
     "S_INTERSECTS(geometry, POLYGON((" + "0 0," * 1_900 + "0 0)))", "1e" + "9" * 7_000, "- " * 3_999],
    ids=range(12),
)  # fmt: skip
def test_hostile_text_is_refused_at_once(text):
    begun = time.process_time()
    with pytest.raises(ConditionError):
        read(text)
    assert time.process_time() - begun < 0.5


LITERALS = {
    "name": st.text(max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'"),
    "area": st.floats(-1e9, 1e9).map(lambda number: f"{number:.6f}"),
    "open": st.sampled_from(["TRUE", "FALSE"]),
}
TERMS = st.sampled_from(list(LITERALS)).flatmap(
    lambda name: LITERALS[name].map(lambda value: f"{name} = {value}")
)
TEXTS = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda text: f"NOT ({text})"),
    ),
    max_leaves=8,
)


@given(text=TEXTS)
def test_brackets_and_blanks_more_change_nothing(text):
    assert read(f"(( {text} ))") == read(text)
    assert read(f" {text}\n") == read(text)
