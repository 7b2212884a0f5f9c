"""Codes of grids: in reading order, on top of all that were issued, never twice."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import CodeError, CodesExhaustedError
from geo.grids.grid_code import code_fault, grid_codes, grid_names, reading_order

VILLAGE = "140725100201"
GRID = f"{VILLAGE}007"
places = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=0, max_size=40, unique=True)


def serials(codes, digits=3):
    return [int(code[-digits:]) for code in codes]


def test_a_square_village_is_read_as_a_page_is():
    three_rows = [(x, y) for y in (900, 500, 100) for x in (100, 500, 900)]
    assert serials(grid_codes(three_rows, VILLAGE, ())) == list(range(1, 10))


def test_a_long_village_is_read_along_its_length():
    eastwards = [(3000, 10), (1000, 40), (2000, 0), (4000, 20)]
    assert serials(grid_codes(eastwards, VILLAGE, ())) == [3, 1, 2, 4]
    southwards = [(10, 1000), (40, 3000), (0, 2000)]
    assert serials(grid_codes(southwards, VILLAGE, ())) == [3, 1, 2]


def test_new_codes_follow_the_highest_ever_issued_of_the_village():
    issued = [f"{VILLAGE}001", f"{VILLAGE}009", "140725100299099", f"{VILLAGE}01201", "手绘3", ""]
    assert grid_codes([(0, 0)], VILLAGE, issued) == [f"{VILLAGE}013"]


def test_when_serials_reach_999_those_never_issued_are_taken():
    issued = [f"{VILLAGE}{serial:03d}" for serial in range(3, 1000)]
    assert grid_codes([(0, 0), (9, 0)], VILLAGE, issued) == [f"{VILLAGE}001", f"{VILLAGE}002"]
    with pytest.raises(CodesExhaustedError, match="只剩 2 个"):
        grid_codes([(0, 0), (9, 0), (18, 0)], VILLAGE, issued)


def test_a_micro_grid_has_two_digits_more_and_99_at_most():
    assert grid_codes([(0, 0)], GRID, [f"{GRID}04"], digits=2) == [f"{GRID}05"]
    many = [(x, 0) for x in range(100)]
    with pytest.raises(CodesExhaustedError):
        grid_codes(many, GRID, (), digits=2)
    assert serials(grid_codes(many[:99], GRID, (), digits=2), 2) == list(range(1, 100))


@pytest.mark.parametrize(
    ("parent", "digits"), [("14072510020", 3), (GRID, 3), (VILLAGE, 2), ("一四〇七二五一〇〇二〇一", 3)]
)
def test_a_parent_of_another_length_is_refused(parent, digits):
    with pytest.raises(CodeError):
        grid_codes([(0, 0)], parent, (), digits=digits)


@given(places, st.sets(st.integers(1, 900)))
def test_a_code_is_never_issued_twice(centres, gone):
    issued = [f"{VILLAGE}{serial:03d}" for serial in gone]
    codes = grid_codes(centres, VILLAGE, issued)
    assert len({*codes, *issued}) == len(centres) + len(issued)
    assert not any(code_fault(code) for code in codes)


@given(places, st.randoms())
def test_the_order_centres_come_in_does_not_matter(centres, random):
    codes = dict(zip(centres, grid_codes(centres, VILLAGE, ()), strict=True))
    mixed = list(centres)
    random.shuffle(mixed)
    assert dict(zip(mixed, grid_codes(mixed, VILLAGE, ()), strict=True)) == codes


@given(places)
def test_a_later_row_is_never_north_of_an_earlier_one(centres):
    order = reading_order(centres)
    assert sorted(order.tolist()) == list(range(len(centres)))
    xy = np.array(centres).reshape(-1, 2)[order]
    breaks = np.flatnonzero(np.diff(xy[:, 0]) < 0) + 1
    rows = np.split(xy[:, 1], breaks)  # at least as fine as the rows: a step back west begins a new one
    assert all(upper.min() >= lower.max() for upper, lower in pairwise(rows))


def test_names_say_the_serial():
    assert grid_names("上庄村", [f"{VILLAGE}003", f"{VILLAGE}120"]) == ["上庄村第3网格", "上庄村第120网格"]
    assert grid_names("上庄村第3网格", [f"{VILLAGE}00309"]) == ["上庄村第3网格第9微网格"]


@pytest.mark.parametrize(
    ("code", "micro", "words"),
    [
        (f"{VILLAGE}003", False, ""),
        (f"{VILLAGE}00311", True, ""),
        ("", False, "没有编码"),
        (f"{VILLAGE}03", False, "不是 15 位数字"),
        (f"{VILLAGE}A03", False, "不是 15 位数字"),
        (f"{VILLAGE}003", True, "不是 17 位数字"),
        (f"{VILLAGE}000", False, "序号为零"),
    ],
)
def test_a_code_of_another_form_says_why(code, micro, words):
    said = code_fault(code, micro=micro)
    assert (said == "") == (words == "")
    assert words in said
