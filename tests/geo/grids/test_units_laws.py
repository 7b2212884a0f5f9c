"""Laws of units: whatever the village, they tile it and no home is lost."""

import numpy as np
import pytest
import scipy.sparse
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from scipy.sparse.csgraph import connected_components

from geo.grids.units import land_units
from tests.geo.grids.villages import scenes

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def shapes(land):
    return land.units.geometry.to_numpy()


@few
@given(scenes())
def test_units_tile_the_village(scene):
    land, whole = land_units(**scene), scene["village"].geometry.iloc[0]
    polygons = shapes(land)
    assert set(shapely.get_type_id(polygons)) == {3}
    assert shapely.is_valid(polygons).all()
    assert shapely.area(polygons).sum() == pytest.approx(whole.area, rel=1e-8)
    assert shapely.union_all(polygons).symmetric_difference(whole).area <= 1e-8 * whole.area
    assert shapely.coverage_is_valid(polygons)


@few
@given(scenes())
def test_each_home_is_in_one_unit_where_it_stands(scene):
    land, homes = land_units(**scene), scene["homes"]
    assert land.units["households"].sum() == homes["households"].sum()
    assert land.units["homes"].tolist() == np.bincount(land.home_unit, minlength=len(land.units)).tolist()
    on_land = shapely.distance(scene["village"].geometry.iloc[0], homes.geometry.to_numpy()) == 0
    away = shapely.distance(shapes(land)[land.home_unit], homes.geometry.to_numpy())
    assert (away[on_land] < 0.15).all()  # a decimetre: homes so near each other are one place


@few
@given(scenes())
def test_every_unit_has_a_home_or_is_exclusive_unless_nothing_joins_it_to_one(scene):
    land = land_units(**scene)
    _, part = connected_components(matrix(land), directed=False)
    bare = (land.units["homes"] == 0) & ~land.units["is_exclusive"]
    lived_in = set(part[(land.units["homes"] > 0) & ~land.units["is_exclusive"]])
    assert not lived_in & set(part[bare])


@few
@given(scenes())
def test_the_graph_is_that_of_land_that_touches_along_a_line(scene):
    land = land_units(**scene)
    polygons = shapes(land)
    one, two = np.triu_indices(len(polygons), 1)
    common = shapely.length(
        shapely.intersection(shapely.boundary(polygons[one]), shapely.boundary(polygons[two]))
    )
    touching = {(a, b) for a, b, m in zip(one, two, common, strict=True) if m > 0.01}
    told = dict(
        zip(zip(land.borders["a"], land.borders["b"], strict=True), land.borders["length_m"], strict=True)
    )
    assert touching <= set(told)
    assert all(length < 0.02 for pair, length in told.items() if pair not in touching)
    assert land.parts == connected_components(matrix(land), directed=False)[0]


@few
@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_of_rows_makes_no_difference(scene, random):
    shuffled, order = {}, None
    for name, table in scene.items():
        rows = list(range(len(table)))
        random.shuffle(rows)
        shuffled[name] = table.iloc[rows]
        order = rows if name == "homes" else order
    one, two = land_units(**scene), land_units(**shuffled)
    assert_frame_equal(one.units.drop(columns="geometry"), two.units.drop(columns="geometry"))
    assert shapely.to_wkb(shapes(one)).tolist() == shapely.to_wkb(shapes(two)).tolist()
    assert_frame_equal(one.borders, two.borders)
    assert one.home_unit[order].tolist() == two.home_unit.tolist()
    assert one.centres.tobytes() == two.centres.tobytes()
    assert one.sides.tolist() == two.sides.tolist()


@few
@given(scenes())
def test_natural_and_whole_lengths_fit(scene):
    land = land_units(**scene)
    assert (land.borders["natural_m"] <= land.borders["length_m"] + 1e-9).all()
    assert (land.borders["a"] < land.borders["b"]).all()
    assert not land.borders.duplicated(["a", "b"]).any()
    assert land.units["unit_key"].is_unique
    assert len(land.centres) == len(land.sides) == len(land.units)
    if land.distances is not None:
        straight = np.hypot(*(land.centres[:, None] - land.centres[None]).transpose(2, 0, 1))
        assert (land.distances >= straight - 1e-6).all()
        assert np.allclose(land.distances, land.distances.T)


def matrix(land):
    n = len(land.units)
    ends = land.borders["a"].to_numpy(), land.borders["b"].to_numpy()
    return scipy.sparse.csr_array((np.ones(len(land.borders)), ends), shape=(n, n))
