"""Outlines tile the village, each in one piece, and their measures are what a ruler would say."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from geo.area import ellipsoidal_area
from geo.errors import BalanceError, GraphError
from geo.grids.outline import outline, require_tiling
from tests.geo.grids.lands import CODE, X0, Y0, connected, homes_at, l_shaped, land_of, scene, village


def square_scene():
    """Four homes at the corners of a square, whose cells are its quarters."""
    place = village(box(X0, Y0, X0 + 200, Y0 + 200))
    corners = [(X0 + 50, Y0 + 50), (X0 + 150, Y0 + 50), (X0 + 50, Y0 + 150), (X0 + 150, Y0 + 150)]
    homes = homes_at(corners, [1, 2, 3, 4]).assign(group_code=[f"{CODE}01", f"{CODE}01", f"{CODE}02", None])
    return place, land_of(place, homes)


def test_two_halves_of_a_square_have_the_measures_of_a_ruler():
    place, land = square_scene()
    land.borders["natural_m"] = land.borders["length_m"] * (land.borders["b"] - land.borders["a"] == 2)
    grids = outline(land, [0, 0, 1, 1], village=place)
    assert grids["households"].tolist() == [3, 7]
    assert grids["homes"].tolist() == [2, 2]
    assert grids["neighbours"].tolist() == [(1,), (0,)]
    assert grids["group_codes"].tolist() == [f"{CODE}01", f"{CODE}02"]
    assert grids["natural_share"].tolist() == [1, 1]
    assert grids["radius_m"].tolist() == [100, 100]
    assert grids["mean_distance_m"].tolist() == pytest.approx([100 / 3, 300 / 7])
    assert grids[["centre_x", "centre_y"]].to_numpy().tolist() == [[X0 + 150, Y0 + 50], [X0 + 150, Y0 + 150]]
    assert shapely.equals(grids.geometry[0], box(X0, Y0, X0 + 200, Y0 + 100))
    assert grids["area_m2"].tolist() == ellipsoidal_area(grids).tolist()


def test_borders_off_natural_lines_are_not_counted_as_natural():
    place, land = square_scene()
    land.borders["natural_m"] = land.borders["length_m"] * (land.borders["b"] - land.borders["a"] == 2)
    grids = outline(land, [0, 0, 0, 1], village=place)
    assert grids["natural_share"].tolist() == pytest.approx([0.5, 0.5])
    alone = outline(land, [0, 0, 0, 0], village=place)
    assert alone["natural_share"].isna().all()
    assert alone["neighbours"].tolist() == [()]


def test_borders_that_must_not_be_crossed_are_borders_too():
    place, land = square_scene()
    shut = land.borders["b"] - land.borders["a"] == 2
    land = replace(land, borders=land.borders[~shut], closed=land.borders[shut])
    grids = outline(land, [0, 0, 1, 1], village=place)
    assert grids["neighbours"].tolist() == [(1,), (0,)]
    assert grids["natural_share"].tolist() == [0, 0]


def test_the_centre_is_chosen_as_the_land_counts_ways():
    place = village(box(X0, Y0, X0 + 300, Y0 + 100))
    land = land_of(place, homes_at([(X0 + 50, Y0 + 50), (X0 + 120, Y0 + 50), (X0 + 250, Y0 + 50)], [5, 1, 5]))
    assert outline(land, [0, 0, 0], village=place)["centre_x"].item() == X0 + 120
    land = replace(land, sides=np.array([[0], [0], [1]]), tolls=np.array([500.0]))
    assert outline(land, [0, 0, 0], village=place)["centre_x"].item() == X0 + 120
    land = replace(land, sides=np.array([[0], [1], [0]]))
    assert outline(land, [0, 0, 0], village=place)["centre_x"].item() == X0 + 50
    land = replace(land, distances=np.array([[0, 9, 9], [9, 0, 9], [1.0, 1, 0]]).T)
    assert outline(land, [0, 0, 0], village=place)["centre_x"].item() == X0 + 250


@settings(max_examples=25, deadline=None)
@given(count=st.integers(4, 45), parts=st.integers(1, 9), seed=st.integers(0, 10_000), bent=st.booleans())
def test_whatever_the_labels_grids_tile_the_village_each_in_one_piece(count, parts, seed, bent):
    place, homes, land, labels = scene(count, min(parts, count), seed, l_shaped() if bent else None)
    assert connected(land, labels)
    grids = outline(land, labels, village=place)
    whole = place.geometry.iloc[0]
    assert (grids.geom_type == "Polygon").all()
    assert grids.area.sum() == pytest.approx(whole.area, rel=1e-8)
    assert shapely.union_all(grids.geometry.to_numpy()).symmetric_difference(whole).area <= 1e-8 * whole.area
    assert shapely.coverage_is_valid(grids.geometry.to_numpy())
    assert grids["households"].sum() == homes["households"].sum()
    assert grids["homes"].sum() == len(homes)
    joined = gpd.sjoin(homes, grids[["geometry"]], predicate="within")
    assert joined["label"].sort_index().tolist() == labels.tolist()
    for label, near in grids["neighbours"].items():
        own = grids.geometry[label]
        touching = {
            at
            for at, other in grids.geometry.items()
            if at != label and own.intersection(other).length > 1e-6
        }
        assert touching == set(near)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_order_of_units_changes_no_byte_of_a_polygon(seed):
    place, _, land, labels = scene(25, 3, seed, l_shaped())
    order = np.random.default_rng(seed).permutation(len(labels))
    back = np.argsort(order)
    first = outline(land, labels, village=place)
    land = replace(
        land,
        units=land.units.iloc[order].reset_index(drop=True),
        borders=land.borders.assign(a=back[land.borders["a"]], b=back[land.borders["b"]]),
        sides=land.sides[order],
        centres=land.centres[order],
    )
    again = outline(land, labels[order], village=place)
    assert first.geometry.to_wkb().tolist() == again.geometry.to_wkb().tolist()
    assert first.drop(columns="geometry").equals(again.drop(columns="geometry")) or np.allclose(
        first.select_dtypes("number").fillna(-1), again.select_dtypes("number").fillna(-1), rtol=1e-12
    )


def test_a_grid_around_another_has_a_hole_and_is_one_piece():
    place = village(box(X0, Y0, X0 + 300, Y0 + 300))
    around = [(x, y) for x in (50, 150, 250) for y in (50, 150, 250)]
    land = land_of(place, homes_at([(X0 + x, Y0 + y) for x, y in around], [1] * 9))
    labels = [int((x, y) == (150, 150)) for x, y in around]
    grids = outline(land, labels, village=place)
    assert [len(shape.interiors) for shape in grids.geometry] == [1, 0]


def test_homes_without_households_still_have_a_centre():
    place, land = square_scene()
    land.units["households"] = 0
    grids = outline(land, [0, 0, 0, 0], village=place)
    assert grids["centre_x"].item() == X0 + 50
    assert grids["group_codes"].item() == f"{CODE}01;{CODE}02"


def test_exclusive_land_is_told_from_ordinary_and_never_mixed_with_it():
    place, land = square_scene()
    land.units["is_exclusive"] = [False, False, False, True]
    assert outline(land, [0, 0, 0, 1], village=place)["is_exclusive"].tolist() == [False, True]
    with pytest.raises(BalanceError, match="专属"):
        outline(land, [0, 0, 1, 1], village=place)


def test_a_grid_in_two_pieces_is_refused():
    place, land = square_scene()
    with pytest.raises(BalanceError, match="一整片"):
        outline(land, [0, 1, 1, 0], village=place)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda shapes: [*shapes[:3], shapes[3].buffer(-0.01)], "未覆盖"),
        (lambda shapes: [*shapes[:3], shapely.box(X0 + 99.99, Y0 + 100, X0 + 200, Y0 + 200)], "重叠"),
        (lambda shapes: [*shapes[:3], shapely.box(X0 + 100, Y0 + 100, X0 + 200.01, Y0 + 200)], "超出村界"),
    ],
)
def test_a_centimetre_of_gap_overlap_or_excess_is_seen(change, word):
    place, land = square_scene()
    land.units.geometry = change(land.units.geometry.tolist())
    with pytest.raises(BalanceError, match=word):
        outline(land, [0, 1, 2, 3], village=place)


def test_a_gap_that_coverage_validity_overlooks_is_seen():
    whole = box(X0, Y0, X0 + 300, Y0 + 100)
    shapes = np.array([box(X0, Y0, X0 + 100, Y0 + 100), box(X0 + 100.5, Y0, X0 + 300, Y0 + 100)])
    assert shapely.coverage_is_valid(shapes)
    with pytest.raises(BalanceError, match="未覆盖 50"):
        require_tiling(shapes, np.array([whole]))


def test_a_vertex_that_only_one_unit_has_leaves_no_seam():
    place, land = square_scene()
    low = land.units.geometry.iloc[0]
    bent = shapely.segmentize(low, 30.0)
    land.units.geometry = [bent, *land.units.geometry.iloc[1:]]
    grids = outline(land, [0, 0, 1, 1], village=place)
    assert grids.geometry[0].area == 20_000
    assert len(grids.geometry[0].interiors) == 0


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 2, 2], [-1, 0, 0, 0], [0.0, 0.0, 1.0, 1.0]])
def test_labels_that_are_none_are_refused(labels):
    place, land = square_scene()
    with pytest.raises(GraphError, match="标号"):
        outline(land, labels, village=place)
