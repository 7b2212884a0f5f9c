import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely import Polygon, box

from geo.movement import Movement
from geo.reconcile.agreement import agreement

FIELDS = np.array([box(60 * k, 0, 60 * k + 40 + k, 90 - k) for k in range(6)], dtype=object)


def test_outlines_lie_wholly_on_themselves():
    assert agreement(FIELDS, FIELDS, Movement()) == pytest.approx(1)


@given(way=st.floats(0, 2 * np.pi), metres=st.floats(3, 14))
def test_away_from_their_place_they_lie_worse(way, metres):
    off = Movement(dx_m=metres * np.cos(way), dy_m=metres * np.sin(way))
    assert agreement(FIELDS, FIELDS, off) < 0.9


def test_the_far_side_of_a_narrow_gap_is_no_partner():
    left, right = box(0, 0, 50, 50), box(51, 0, 101, 50)
    beside = Movement(dx_m=51.0)
    assert agreement(
        np.array([left], dtype=object), np.array([right], dtype=object), beside
    ) == pytest.approx(1)
    assert agreement(np.array([left], dtype=object), np.array([right], dtype=object), Movement()) < 0.5


@pytest.mark.parametrize("nothing", [np.array([], dtype=object), np.array([Polygon(), None], dtype=object)])
def test_nothing_lies_on_nothing(nothing):
    assert agreement(nothing, FIELDS, Movement()) == 0
    assert agreement(FIELDS, nothing, Movement()) == 0
