"""Units of small villages whose right answer can be drawn by hand."""

import pickle
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
import shapely.ops

from geo.errors import (
    GeometryTypeError,
    InputError,
    MismatchError,
    MissingColumnError,
    MissingDatumError,
)
from geo.grids.units import Land, UnitSettings, land_units
from geo.sample import SampleSettings, county
from tests.geo.grids.villages import CODE, at, cut_up, homes, patches, village
from tests.helpers import X0, Y0, layer

SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "village_bubenec"
LAND = shapely.box(0, 0, 400, 300)
WAY = shapely.LineString([(-50, 150), (450, 150)])
FOUR = [(50, 50), (350, 50), (50, 250), (350, 250)]


def area_at(land: Land, x: float, y: float) -> int:
    """The unit that holds a place."""
    return int(np.flatnonzero(land.units.intersects(shapely.Point(X0 + x, Y0 + y)))[0])


# --- down to points and a boundary ------------------------------------------------------------------------


def test_without_any_line_land_is_divided_between_homes_where_they_are_equally_far():
    land = land_units(village(LAND), homes([(100, 150), (300, 150)]))
    assert land.units.area.tolist() == pytest.approx([60_000, 60_000])
    assert land.borders[["a", "b", "natural", "barrier"]].to_numpy().tolist() == [[0, 1, "", ""]]
    assert land.borders["length_m"].item() == pytest.approx(300)
    assert land.findings["rule"].tolist() == ["grid_no_natural_lines"]


def test_homes_of_one_building_are_one_unit():
    land = land_units(
        village(LAND), homes([(100, 150)] * 3 + [(100.02, 150)] + [(300, 150)], [4, 5, 6, 7, 1])
    )
    assert land.units["households"].tolist() == [22, 1]
    assert land.units["homes"].tolist() == [4, 1]
    assert land.home_unit.tolist() == [0, 0, 0, 0, 1]


def test_all_homes_in_one_place_are_one_unit_of_all_land():
    land = land_units(village(LAND), homes([(10, 10)] * 9))
    assert land.units["households"].tolist() == [9]
    assert land.units.area.item() == pytest.approx(LAND.area)


def test_a_village_without_homes_is_one_unit():
    land = land_units(village(LAND), homes([]))
    assert land.units[["households", "homes"]].to_numpy().tolist() == [[0, 0]]


def test_a_home_on_the_border_between_blocks_is_in_one_of_them():
    fields = patches(c0103=[shapely.box(0, 0, 200, 300), shapely.box(200, 0, 400, 300)])
    land = land_units(village(LAND), homes([(200, 150), (200, 20), (100, 100), (300, 100)]), survey=fields)
    assert land.units["homes"].sum() == 4


def test_a_home_beyond_the_border_goes_to_the_nearest_land_and_is_said():
    land = land_units(village(LAND), homes([(100, 150), (430, 150)]))
    assert land.units["homes"].tolist() == [1, 1]
    said = land.findings.set_index("rule").loc["grid_home_off_land"]
    assert "30.0 米" in said["message"]
    assert said["village_code"] == CODE


def test_an_island_is_a_part_of_its_own():
    shape = shapely.MultiPolygon([LAND, shapely.box(500, 0, 600, 100)])
    land = land_units(village(shape), homes([(100, 150), (300, 150), (550, 50)]))
    assert land.parts == 2
    assert land.borders[["a", "b"]].to_numpy().tolist() == [[0, 1]]
    assert "2 片" in land.findings.set_index("rule").loc["grid_land_in_parts", "message"]


def test_an_island_without_homes_is_kept_and_said():
    shape = shapely.MultiPolygon([LAND, shapely.box(500, 0, 600, 100)])
    land = land_units(village(shape), homes([(100, 150)]))
    assert land.units["homes"].tolist() == [1, 0]
    assert "10000 平方米" in land.findings.set_index("rule").loc["grid_part_without_homes", "message"]


# --- along natural lines -----------------------------------------------------------------------------------


def test_land_without_homes_joins_the_homes_it_is_nearest_to_and_stays_whole():
    fields = patches(c0103=[shapely.box(x, 0, x + 100, 300) for x in (0, 100, 200, 300)])
    land = land_units(village(LAND), homes([(50, 150), (350, 150)]), survey=fields)
    assert land.units.area.tolist() == pytest.approx([60_000, 60_000])
    assert land.borders["natural"].tolist() == ["patch"]
    assert land.borders["natural_m"].item() == pytest.approx(300)


@pytest.mark.parametrize("width", [0.8, 5.0, 30.0])
def test_a_road_is_divided_along_its_middle(width):
    land = land_units(village(LAND), homes([(200, 40), (200, 260)]), survey=cut_up(LAND, [WAY], width))
    assert land.units.area.tolist() == pytest.approx([60_000, 60_000], rel=1e-3)
    assert land.borders["natural"].tolist() == ["road"]
    assert land.borders["length_m"].item() == pytest.approx(400, rel=0.01)


def test_where_roads_cross_each_corner_has_its_quarter():
    ways = [WAY, shapely.LineString([(200, -50), (200, 350)])]
    land = land_units(village(LAND), homes(FOUR), survey=cut_up(LAND, ways, 6))
    assert land.units.area.tolist() == pytest.approx([30_000] * 4, rel=0.01)
    assert set(land.borders["natural"]) == {"road"}


def test_a_road_that_ends_in_a_field_ends_no_unit():
    road = shapely.LineString([(-50, 150), (200, 150)])
    land = land_units(village(LAND), homes([(50, 150)]), survey=cut_up(LAND, [road], 6))
    assert len(land.units) == 1


def test_a_road_along_the_village_border_belongs_to_the_land_beside_it():
    survey = patches(c1006=[shapely.box(0, 0, 400, 8)], c0103=[shapely.box(0, 8, 400, 300)])
    land = land_units(village(LAND), homes([(100, 150), (300, 150)]), survey=survey)
    assert land.units.area.tolist() == pytest.approx([60_000, 60_000])


def test_cuts_between_homes_reach_the_middle_of_the_road():
    land = land_units(
        village(LAND), homes([(100, 40), (300, 40), (200, 260)]), survey=cut_up(LAND, [WAY], 10)
    )
    told = land.borders.set_index(["a", "b"])["natural"].to_dict()
    low = [area_at(land, x, 40) for x in (100, 300)]
    assert told[tuple(sorted(low))] == ""
    assert land.units.area.iloc[low].tolist() == pytest.approx([30_000, 30_000], rel=0.01)


def test_a_crumb_between_two_drawings_of_one_line_joins_a_neighbour():
    fields = patches(c0103=[shapely.box(0, 0, 200, 300), shapely.box(200, 0, 400, 300)])
    wavy = shapely.LineString([(200.2, -10), (199.8, 100), (200.2, 200), (199.8, 310)])
    left, right = shapely.get_parts(shapely.polygonize([shapely.union_all([LAND.exterior, wavy])]))
    groups = layer(at(left), at(right), group_code=[CODE + "01", CODE + "02"])
    land = land_units(village(LAND), homes([(190, 150), (210, 150)]), survey=fields, groups=groups)
    assert len(land.units) == 2
    assert shapely.get_num_coordinates(land.units.geometry.to_numpy()).max() < 20


def test_walls_divide_homes_where_they_are_given():
    wall = layer(at(shapely.LineString([(150, 0), (150, 300)])), kind=["wall"])
    land = land_units(village(LAND), homes([(100, 150), (300, 150)]), lines=wall)
    assert land.units.area.tolist() == pytest.approx([45_000, 75_000])
    assert land.borders["natural"].tolist() == ["wall"]


def test_old_borders_cut_land_but_are_nothing_natural():
    old = layer(at(shapely.LineString([(150, 0), (150, 300)])))
    land = land_units(village(LAND), homes([(100, 150), (300, 150)]), cut_by=old)
    assert land.units.area.tolist() == pytest.approx([45_000, 75_000])
    assert land.borders["natural"].tolist() == [""]


# --- barriers, groups, sites -------------------------------------------------------------------------------


def test_land_of_an_old_grid_stays_in_it_even_across_roads():
    road = [shapely.LineString([(-10, 140), (410, 170)])]
    border = shapely.LineString([(120, -10), (180.3, 150.7), (230.1, 310)])
    halves = shapely.get_parts(shapely.ops.split(LAND, border).geoms)
    old = layer(*[at(half) for half in halves], grid_code=["A", "B"])
    spots = [(60, 60), (60, 250), (200, 40), (330, 60), (340, 250)]
    land = land_units(village(LAND), homes(spots), survey=cut_up(LAND, road, 9), cut_by=old)
    for half in old.geometry:
        own = shapely.within(land.units.geometry.centroid, half)
        grown = shapely.union_all(land.units.geometry[own].to_numpy())
        assert shapely.symmetric_difference(grown, half).area < 1e-5  # m²: as fine as such coordinates are
    apart = shapely.intersects(land.units.geometry, old.geometry[0].buffer(-1e-6)) & shapely.intersects(
        land.units.geometry, old.geometry[1].buffer(-1e-6)
    )
    assert not apart.any()


def river_scene():
    survey = cut_up(LAND, [WAY], 20).replace({"land_class": {"1006": "1101"}})
    return {"village": village(LAND), "homes": homes(FOUR), "survey": survey}


def test_a_river_is_a_barrier_with_a_toll():
    land = land_units(**river_scene(), settings=UnitSettings(river_m=99.0))
    south, north = [area_at(land, x, 50) for x in (50, 350)], [area_at(land, x, 250) for x in (50, 350)]
    across = land.borders[land.borders["barrier"] == "river"]
    assert {frozenset(pair) for pair in across[["a", "b"]].to_numpy().tolist()} >= {
        frozenset([south[0], north[0]]),
        frozenset([south[1], north[1]]),
    }
    assert land.side_names == ("river",)
    assert land.tolls.tolist() == [99.0]
    side = land.sides[:, 0]
    assert side[south[0]] == side[south[1]] != side[north[0]] == side[north[1]]


def test_a_river_that_must_not_be_crossed_is_no_edge():
    land = land_units(**river_scene(), settings=UnitSettings(forbid=frozenset({"river"})))
    assert land.parts == 2
    assert set(land.borders["barrier"]) == {""}
    assert set(land.closed["barrier"]) == {"river"}


def test_land_without_homes_crosses_no_river_to_reach_them():
    fields = [shapely.box(0, 0, 190, 100), shapely.box(0, 100, 190, 300), shapely.box(210, 0, 400, 300)]
    survey = patches(c0103=fields, c1101=[shapely.box(190, 0, 210, 300)])
    land = land_units(village(LAND), homes([(20, 20), (230, 290)]), survey=survey)
    assert land.units.area.tolist() == pytest.approx([60_000, 60_000])


def test_a_bridge_does_not_open_the_river():
    river = shapely.LineString([(200, -50), (200, 350)]).buffer(12, cap_style="flat")
    road = WAY.buffer(3, cap_style="flat").intersection(LAND)
    rest = LAND.difference(shapely.union(river, road))
    water = river.intersection(LAND).difference(road)
    survey = patches(c1101=list(water.geoms), c1006=[road], c0103=list(rest.geoms))
    land = land_units(village(LAND), homes(FOUR), survey=survey)
    assert land.side_names == ("river",)
    west, east = (area_at(land, x, 50) for x in (50, 350))
    assert land.sides[west] != land.sides[east]


def test_a_river_line_is_a_barrier_too():
    line = layer(at(WAY), kind=["river"])
    land = land_units(village(LAND), homes(FOUR), lines=line)
    assert land.side_names == ("river",)


def test_groups_part_units_and_cost_a_toll():
    halves = [shapely.box(0, 0, 180, 300), shapely.box(180, 0, 400, 300)]
    groups = layer(*[at(half) for half in halves], group_code=[CODE + "01", CODE + "02"])
    land = land_units(village(LAND), homes([(100, 150), (300, 150)]), groups=groups)
    assert land.units.area.tolist() == pytest.approx([54_000, 66_000])
    assert land.units["group_code"].tolist() == [CODE + "01", CODE + "02"]
    assert land.borders["natural"].tolist() == ["group"]
    assert (land.side_names, land.tolls.tolist()) == (("group",), [60.0])


def test_what_homes_say_of_their_group_goes_before_the_polygon():
    groups = layer(at(LAND), group_code=[CODE + "01"])
    told = homes([(100, 150), (300, 150)], 1, group_code=[CODE + "07", ""])
    land = land_units(village(LAND), told, groups=groups)
    assert land.units["group_code"].tolist() == [CODE + "07", CODE + "01"]


def test_an_exclusive_site_is_a_unit_to_its_own_line():
    school = layer(at(shapely.box(150, 100, 250, 200)), name=["石榆小学"])
    land = land_units(village(LAND), homes([(50, 150), (350, 150), (200, 150)]), exclusive=school)
    site = land.units[land.units["is_exclusive"]]
    assert site["site_name"].tolist() == ["石榆小学"]
    assert site.geometry.item().equals(school.geometry.item())
    assert site["homes"].tolist() == [1]
    assert land.units["homes"].sum() == 3


# --- along roads -------------------------------------------------------------------------------------------


def test_distance_follows_the_roads_where_they_are_given():
    roads = layer(at(shapely.LineString([(100, 50), (100, 250), (300, 250), (300, 50)])), kind=["road"])
    land = land_units(village(LAND), homes([(100, 50), (300, 50)]), lines=roads)
    assert land.distances[0, 1] == pytest.approx(600, abs=0.01)
    assert np.diag(land.distances).tolist() == [0, 0]


def test_neighbours_are_as_far_as_straight_if_the_road_is_no_way_between_them():
    roads = layer(at(shapely.LineString([(0, 0), (400, 0)])), kind=["lane"])
    land = land_units(village(LAND), homes([(100, 250), (130, 250)]), lines=roads)
    assert land.distances[0, 1] == pytest.approx(30)


def test_without_roads_distance_is_left_to_centres_and_tolls():
    assert land_units(village(LAND), homes(FOUR)).distances is None


def test_the_centre_is_where_the_households_are():
    wall = layer(at(shapely.LineString([(0, 299), (400, 299)])), kind=["wall"])
    land = land_units(village(LAND), homes([(100, 100), (100.04, 100)], [1, 3]), lines=wall)
    assert land.centres[0].tolist() == pytest.approx([X0 + 100.03, Y0 + 100])


# --- refusals ----------------------------------------------------------------------------------------------


def test_two_villages_at_once_are_refused():
    with pytest.raises(InputError, match="2 个"):
        land_units(pd.concat([village(LAND), village(LAND)]), homes(FOUR))


def test_a_village_without_datum_is_refused():
    with pytest.raises(MissingDatumError):
        land_units(village(LAND).set_crs(None, allow_override=True), homes(FOUR))


def test_degrees_are_refused():
    with pytest.raises(MismatchError, match="经纬度"):
        land_units(village(LAND).to_crs(4490), homes(FOUR))


def test_homes_in_another_system_are_converted():
    moved = homes([(100, 150), (300, 150)]).to_crs(4490)
    assert land_units(village(LAND), moved).units.area.tolist() == pytest.approx([60_000, 60_000], rel=1e-6)


def test_a_home_that_is_no_point_is_refused():
    with pytest.raises(GeometryTypeError, match="第 0 行"):
        land_units(village(LAND), layer(at(LAND), households=[1]))


@pytest.mark.parametrize("count", [-1, None, 1.5])
def test_a_number_of_households_that_is_none_is_refused(count):
    wrong = homes(FOUR).assign(households=[1, 2, 3, count])
    with pytest.raises(InputError, match="第 3 行"):
        land_units(village(LAND), wrong)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("survey", patches(c0103=[LAND]).drop(columns="land_class")),
        ("lines", layer(at(WAY))),
        ("groups", layer(at(LAND))),
    ],
)
def test_a_layer_without_its_column_is_refused(name, table):
    with pytest.raises(MissingColumnError, match=name):
        land_units(village(LAND), homes(FOUR), **{name: table})


# --- whole villages ----------------------------------------------------------------------------------------


def random_homes(residential, count, seed, crs):
    rng, low, high = np.random.default_rng(seed), residential.bounds[:2], residential.bounds[2:]
    spots = shapely.points(rng.uniform(low, high, (count * 60, 2)))
    spots = spots[shapely.contains(residential, spots)][:count]
    return gpd.GeoDataFrame({"households": rng.integers(1, 4, len(spots))}, geometry=spots, crs=crs)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_sample_village_is_tiled_and_its_fields_part_along_natural_lines(number):
    sample = county(SampleSettings.small())
    place = sample.villages.iloc[[number]]
    whole = place.geometry.item()
    residential = sample.survey[sample.survey["land_class"] == "0702"].union_all().intersection(whole)
    people = random_homes(residential, 120, number, place.crs)
    land = land_units(place, people, survey=sample.survey, groups=sample.groups)
    shapes = land.units.geometry.to_numpy()
    assert len(shapes) == len(people)
    assert shapely.area(shapes).sum() == pytest.approx(whole.area, rel=1e-9)
    assert shapely.coverage_is_valid(shapes)
    assert land.parts == 1
    inside = shapely.buffer(residential, 15)
    lines = shapely.intersection(
        shapely.boundary(shapes[land.borders["a"]]), shapely.boundary(shapes[land.borders["b"]])
    )
    open_land = shapely.length(shapely.difference(lines, inside))
    bare = land.borders["natural"] == ""
    assert open_land[bare].sum() < 0.02 * open_land.sum()


@pytest.mark.skipif(not SHARED.exists(), reason="needs the shared village")
def test_a_real_quarter_is_tiled_along_its_streets_and_plots():
    file = SHARED / "bubenec.gpkg"
    buildings, streets, plots, cells = (
        gpd.read_file(file, layer=name).to_crs(5514)
        for name in ("buildings", "streets", "plots", "tessellation")
    )
    whole = shapely.buffer(shapely.union_all(shapely.buffer(cells.geometry.to_numpy(), 0.5)), -0.5)
    place = gpd.GeoDataFrame({"village_code": ["1"]}, geometry=[whole], crs=5514)
    people = buildings.assign(households=1).set_geometry(buildings.representative_point())
    lines = pd.concat([streets.assign(kind="road"), plots.assign(kind="wall")])
    land = land_units(place, people, lines=lines)
    assert land.units["homes"].tolist() == [1] * 144
    assert land.units.area.sum() == pytest.approx(whole.area, rel=1e-8)
    assert land.borders["natural_m"].sum() > 0.95 * land.borders["length_m"].sum()
    assert land.distances.shape == (144, 144)


def test_land_travels_to_another_process():
    land = land_units(village(LAND), homes(FOUR))
    assert pickle.loads(pickle.dumps(land)).units.equals(land.units)  # noqa: S301, our own bytes
