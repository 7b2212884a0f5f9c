"""Figures of villages are sums of cents, whatever the order of rows; outlines stay one line between neighbours."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from geo.area import to_cents
from geo.overview import outlines, village_figures, whole
from geo.standards import code_list
from tests.geo.county import LOWER, UPPER, county_tables

PIECE = st.fixed_dictionaries({
    "village_code": st.sampled_from([UPPER, LOWER, None]),
    "piece_class": st.sampled_from(list(code_list("piece_class"))),
    "piece_shape": st.sampled_from(list(code_list("piece_shape"))),
    "state": st.sampled_from([*code_list("state"), None]),
    "area_m2": st.integers(0, 10**9).map(lambda cents: cents / 100),
})  # fmt: skip


def figures(pieces):
    tables = county_tables()
    balance = tables["balance"][tables["balance"]["level"] == "village"]
    frame = pd.DataFrame(pieces, columns=["village_code", "piece_class", "piece_shape", "state", "area_m2"])
    return village_figures(tables["villages"], balance, frame.astype({"area_m2": "float64"}))


@given(pieces=st.lists(PIECE, max_size=30), seed=st.integers(0, 99))
def test_every_piece_of_a_village_counts_once_in_each_list(pieces, seed):
    table = figures(pieces)
    inside = [one for one in pieces if one["village_code"]]
    for names in ("piece_class", "state"):
        codes = [code.lower() for code in code_list(names)]
        assert sum(to_cents(table[f"{code}_m2"]).sum() for code in codes) == sum(
            round(one["area_m2"] * 100) for one in inside
        )
        assert (
            sum(table[f"{code}_count"].sum() for code in codes) == len(inside) == table["piece_count"].sum()
        )
    shuffled = [pieces[at] for at in np.random.default_rng(seed).permutation(len(pieces))]
    pd.testing.assert_frame_equal(figures(shuffled), table)
    total = whole(table)
    assert total["piece_count"] == len(inside)
    assert to_cents(total["candidate_m2"]) == to_cents(table["candidate_m2"]).sum()


def test_the_balance_is_what_the_balance_says():
    table = figures([]).set_index("village_code")
    assert table["farmland_m2"].tolist() == [20_000.0, 20_000.0]
    assert table["residual_m2"].tolist() == [11_500.01, 5_120.0]
    assert (table["residual_mu"][UPPER], table["village_name"][UPPER]) == (17.25, "上庄村")


def test_a_village_without_a_boundary_is_there_by_its_code():
    tables = county_tables()
    table = village_figures(tables["villages"].iloc[:1], tables["balance"].iloc[1:3], tables["pieces"])
    assert table["village_code"].tolist() == [UPPER, LOWER]
    assert table["village_name"].tolist() == ["上庄村", "<i>柳沟</i>村"]


def test_outlines_have_fewer_corners_and_no_gaps():
    y = np.arange(0, 1001, 5.0)
    border = np.column_stack((500 + 3 * np.sin(y / 7), y))
    west = shapely.polygons(np.vstack([[[0, 0]], border, [[0, 1000]]]))
    east = shapely.polygons(np.vstack([[[1000, 0], [1000, 1000]], border[::-1]]))
    villages = gpd.GeoDataFrame(
        {"village_code": ["1", "2", "3"]}, geometry=[west, east, None], crs="EPSG:4526"
    )
    drawn = outlines(villages)
    assert shapely.get_num_coordinates(drawn.geometry[0]) < 60 < shapely.get_num_coordinates(west)
    assert shapely.union_all(drawn.geometry[:2].to_numpy()).area == pytest.approx(1e6, rel=1e-9)
    assert drawn.geometry[0].intersection(drawn.geometry[1]).area == pytest.approx(0, abs=1e-6)
    assert drawn.geometry[2] is None
    assert villages.geometry[0].equals(west), "what came in stays as it was"
    assert outlines(villages.set_geometry([box(0, 0, 1, 1)] * 3, crs="EPSG:4526")).geometry.is_valid.all()
