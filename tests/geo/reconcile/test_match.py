import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given
from hypothesis import settings as options
from hypothesis import strategies as st
from shapely import MultiPolygon, Point, Polygon, box

from geo.movement import Movement
from geo.reconcile.edges import edges
from geo.reconcile.match import match
from tests.geo.reconcile.askew import land, nearest, off, turned, village

X0, Y0 = 38_420_000, 4_196_000
NO_SHAPE = Polygon()
POND = Polygon(box(0, 0, 100, 80).exterior, [box(20, 20, 50, 60).exterior])
SEVERAL = MultiPolygon([box(200, 0, 230, 30), box(300, 0, 310, 70)])

# Villages are made once and only looked at; a match takes a fifth of a second.
slow = options(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
far = st.floats(-100, 100)


def shapes(*these):
    return np.array(these, dtype=object)


# --- edges


def test_a_square_of_eight_metres_is_four_edges_that_point_out():
    got = edges(shapes(box(0, 0, 8, 8)))
    assert sorted(map(tuple, got.point)) == [(0, 4), (4, 0), (4, 8), (8, 4)]
    assert got.length.tolist() == [8, 8, 8, 8]
    assert np.allclose(got.point + got.out * 4, 4 + 2 * (got.point - 4))


@given(st.lists(st.sampled_from([POND, SEVERAL, NO_SHAPE, None, box(5, 5, 6, 90), Point(0, 0).buffer(30)]), max_size=6),
       st.floats(0.5, 50))  # fmt: skip
def test_edges_add_up_to_the_outline_are_short_and_know_their_polygon(these, step):
    got = edges(np.array([*these, None], dtype=object)[:-1], step)
    assert (got.length <= step + 1e-9).all()
    assert np.allclose(np.hypot(*got.out.T), 1)
    for row, shape in enumerate(these):
        length = 0.0 if shape is None else shape.length
        assert got.length[got.of == row].sum() == pytest.approx(length)


@pytest.mark.parametrize("shape", [POND, shapely.reverse(POND), SEVERAL, Point(0, 0).buffer(30)])
def test_a_step_along_the_normal_leaves_the_polygon_whichever_way_its_rings_run(shape):
    got = edges(shapes(shape))
    inside = shapely.contains_xy(shape, *(got.point - 0.01 * got.out).T)
    outside = ~shapely.contains_xy(shape, *(got.point + 0.01 * got.out).T)
    assert inside.all()
    assert outside.all()


@pytest.mark.parametrize("none", [[], [None], [NO_SHAPE], [None, NO_SHAPE]])
def test_nothing_has_no_edges(none):
    got = edges(np.array([*none, None], dtype=object)[:-1])
    assert (len(got.of), got.point.shape, got.out.shape) == (0, (0, 2), (0, 2))


# --- movements


@given(far, far, st.floats(-180, 180), st.floats(0.9, 1.1))
def test_a_movement_keeps_its_origin_but_for_the_shift_and_scales_every_distance(east, north, degrees, scale):
    move = Movement(
        dx_m=east, dy_m=north, rotation_rad=np.deg2rad(degrees), scale=scale, origin_x=X0, origin_y=Y0
    )
    points = np.array([[X0, Y0], [X0 + 300.0, Y0 + 400.0]])
    here, there = move(points)
    assert here == pytest.approx([X0 + east, Y0 + north], abs=1e-6)
    assert np.hypot(*(there - here)) == pytest.approx(500 * scale, abs=1e-6)


def test_a_quarter_turn_runs_against_the_clock():
    move = Movement(rotation_rad=np.pi / 2)
    assert move(np.array([[1.0, 0.0]]))[0] == pytest.approx([0.0, 1.0])


# --- what is planted is found


@pytest.mark.parametrize("number", [0, 1])
def test_a_village_that_lies_right_is_found_to_lie_right(laid_county, number):
    mine = village(laid_county, number)
    got = match(mine, land(laid_county))
    assert off(mine, got.movement) < 0.2
    assert off(mine, got.movement) < 3 * got.error_m
    assert got.model == "translation"


@pytest.mark.parametrize(
    ("numbers", "model"),
    [
        ((1.2, -0.9), "translation"),
        ((-63.0, 58.0), "translation"),
        ((95.0, 20.0), "translation"),
        ((-4.0, 3.0, 0.4), "rigid"),
        ((100.0, -100.0, -0.5), "rigid"),
        ((2.0, 2.0, 0.3, 2500.0), "similarity"),
    ],
    ids=str,
)
def test_a_planted_movement_is_undone_and_its_kind_is_told(laid_county, numbers, model):
    mine = village(laid_county)
    planted = turned(mine, *numbers)
    got = match(shapely.transform(mine, planted), land(laid_county))
    assert off(mine, got.movement, planted) < min(0.2, 3 * got.error_m)
    assert got.model == model
    assert got.second_peak < 0.6


@slow
@given(far, far, st.floats(-0.5, 0.5), st.integers(0, 1))
def test_any_shift_to_100_m_and_turn_to_half_a_degree_is_undone_to_20_cm(
    laid_county, east, north, degrees, number
):
    mine = village(laid_county, number)
    planted = turned(mine, east, north, degrees)
    got = match(shapely.transform(mine, planted), land(laid_county))
    assert off(mine, got.movement, planted) < min(0.2, 3 * got.error_m)


# --- laws


@slow
@given(st.floats(-3e6, 3e6), st.floats(-3e6, 3e6))
def test_it_does_not_matter_where_in_the_zone_a_village_lies(laid_county, east, north):
    mine, all_land = nearest(village(laid_county), 200, to=40), land(laid_county)
    here = match(mine, all_land)

    away = Movement(dx_m=east, dy_m=north)
    there = match(shapely.transform(mine, away), shapely.transform(all_land, away))
    assert (there.movement.dx_m, there.movement.dy_m) == pytest.approx(
        (here.movement.dx_m, here.movement.dy_m), abs=0.002
    )
    assert there.error_m == pytest.approx(here.error_m, rel=0.02)


@slow
@given(far, far)
def test_what_lies_further_off_is_moved_further_back(laid_county, east, north):
    mine, all_land = nearest(village(laid_county), 300, to=40), land(laid_county)
    here = match(mine, all_land).movement
    there = match(shapely.transform(mine, Movement(dx_m=east, dy_m=north)), all_land).movement
    assert (there.dx_m + east, there.dy_m + north) == pytest.approx((here.dx_m, here.dy_m), abs=0.03)


@slow
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(laid_county, seed):
    mine, all_land = village(laid_county), land(laid_county)
    rng = np.random.default_rng(seed)
    assert match(rng.permutation(mine), rng.permutation(all_land)) == match(mine, all_land)


def test_labels_tell_where_each_part_still_lies(laid_county):
    mine = village(laid_county)
    east = shapely.get_coordinates(shapely.centroid(mine))[:, 0]
    labels = (east > np.quantile(east, 0.75)).astype(np.intp)
    moved = mine.copy()
    moved[labels == 1] = shapely.transform(mine[labels == 1], Movement(dx_m=-1.5, dy_m=0.8))
    parts = match(moved, land(laid_county), labels=labels).parts
    assert [part.label for part in parts] == [0, 1]
    apart = np.array([parts[1].dx_m - parts[0].dx_m, parts[1].dy_m - parts[0].dy_m])
    assert apart == pytest.approx([1.5, -0.8], abs=0.8)
    assert (apart * [1, -1] > 0.5).all()


def test_standard_errors_are_neither_boast_nor_modesty(laid_county):
    """Of 60 hamlets moved at random: misses measured in their own standard errors."""
    rng = np.random.default_rng(11)
    all_land = land(laid_county)
    ratio = []
    for count in range(60):
        mine = village(laid_county, count % 2)
        mine = nearest(mine, int(rng.integers(60, 400)), to=rng.integers(len(mine)))
        planted = turned(mine, *rng.uniform(-80, 80, 2), rng.uniform(-0.4, 0.4))
        got = match(shapely.transform(mine, planted), all_land)
        if got is not None and got.second_peak < 0.6:
            ratio.append(off(mine, got.movement, planted) / got.error_m)
    assert len(ratio) > 50
    assert 0.5 < np.sqrt(np.mean(np.square(ratio))) < 1.6
    assert (np.array(ratio) > 3).mean() <= 0.02
