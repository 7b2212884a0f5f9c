"""Grids on the page: a layer each balance, names for codes, lines bounded, and no home's address."""

import json
import re

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from geo.errors import InputError
from geo.grids.outline import outline
from geo.webdata import page_layers
from geo.webgrids import with_grids
from geo.webmap import GRID_TITLE, TITLE, county_map, default_title, outside_references, save
from tests.geo.county import LOWER, UPPER, county_tables
from tests.geo.grid_tables import SMALL_REASON, grid_tables
from tests.geo.grids.lands import CODE, CRS, l_shaped, scene


def layers_of(tables, **more):
    layers = page_layers(tables, **{"max_polygons": 999, "max_findings": 9} | more)
    return {layer.kind.key: layer for layer in layers}


def column(layer, name):
    values = layer.data["columns"][name]
    return values if isinstance(values, list) else [values["values"][i] for i in values["index"]]


def test_grids_stand_by_their_balance_with_their_households():
    layers = layers_of(grid_tables())
    counted = {
        key: (layer.count, layer.households) for key, layer in layers.items() if layer.households is not None
    }
    assert counted == {
        "grids_in_band": (1, 27), "grids_under": (1, 6), "grids_over": (1, 70), "grids_exclusive": (1, 0),
        "micro_grids": (2, 27), "homes": (30, 103), "homes_lost": (2, 4),
    }  # fmt: skip
    shown = {key for key, layer in layers.items() if layer.kind.show}
    assert shown == {
        "villages",
        "grids_in_band",
        "grids_under",
        "grids_over",
        "grids_exclusive",
        "homes",
        "homes_lost",
    }


def test_a_card_says_size_reason_change_and_neighbours_by_name():
    layers = layers_of(grid_tables())
    under = layers["grids_under"]
    assert column(under, "reason") == [SMALL_REASON]
    assert column(under, "change") == ["合并"]
    assert column(under, "balance") == ["不足"]
    assert column(under, "neighbours") == ["第1网格"]
    titles = {title for title, _, _ in under.data["fields"]}
    assert {"户数", "住处数", "规模标准", "超限原因", "变动", "半径", "自然边界占比"} <= titles


def test_colours_tell_the_balance():
    fill = {
        key: layer.kind.style["fillColor"]
        for key, layer in layers_of(grid_tables()).items()
        if "grids_" in key
    }

    def strongest(key):
        parts = [int(fill[key][at : at + 2], 16) for at in (1, 3, 5)]
        return "grey" if len(set(parts)) == 1 else ["red", "green", "blue"][int(np.argmax(parts))]

    assert {key: strongest(key) for key in fill} == {
        "grids_in_band": "green", "grids_under": "blue", "grids_over": "red", "grids_exclusive": "grey",
    }  # fmt: skip


def test_beside_pieces_grids_are_there_and_off():
    layers = layers_of(county_tables() | {name: grid_tables()[name] for name in ("grids", "households")})
    assert layers["grids_in_band"].count == 1
    assert not any(layer.kind.show for key, layer in layers.items() if "grid" in key or "homes" in key)
    assert layers["unconfirmed"].kind.show
    page = county_map(county_tables() | grid_tables()).get_root().render()
    assert TITLE in page
    assert "平衡检核" in page
    assert "合格网格" in page


def test_a_county_without_grids_has_no_layer_of_them():
    layers = layers_of(county_tables() | {"grids": grid_tables()["grids"].iloc[:0]})
    assert not any("grid" in key or "homes" in key for key in layers)
    with pytest.raises(InputError):
        page_layers({"grids": grid_tables()["grids"].iloc[:0]}, max_polygons=1, max_findings=1)


def test_a_page_of_grids_alone_speaks_of_grids_alone(tmp_path):
    tables = grid_tables() | {"pieces": county_tables()["pieces"].iloc[:0]}
    assert default_title(tables) == GRID_TITLE
    save(county_map(tables), tmp_path / "g.html")
    page = (tmp_path / "g.html").read_text(encoding="utf-8")
    assert outside_references(page) == []
    assert f"<h1>{GRID_TITLE}</h1>" in page
    assert "2 个村中 0 个村的网格全部合格，1 个村的超限户数已证明不能更少" in page
    assert "最大 1.25%" in page
    assert "剩余图块" not in re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "&lt;i&gt;柳沟&lt;/i&gt;村" in page
    assert "example.invalid" not in re.sub(
        r'<script type="application/json".*?</script>', "", page, flags=re.DOTALL
    )


def test_the_same_tables_give_the_same_bytes_whatever_the_order_of_rows(tmp_path):
    save(county_map(grid_tables()), tmp_path / "a.html")
    mixed = {name: table.iloc[::-1] for name, table in reversed(grid_tables().items())}
    save(county_map(mixed), tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_addresses_and_keys_of_homes_stay_out_of_the_page():
    page = county_map(grid_tables()).get_root().render()
    data = json.loads(re.search(r'id="taotu-data">(.*?)</script>', page, re.DOTALL)[1])
    assert set(data["layers"]["homes"]["columns"]) == {
        "grid_code", "households", "building", "stair", "group_code", "located_by",
    }  # fmt: skip
    assert "上庄村中街" not in page
    assert "住001" not in page


def test_too_many_homes_are_left_out_and_it_is_said():
    layers = layers_of(grid_tables(), max_homes=29)
    assert layers["homes"].data is None
    assert layers["homes"].households == 103
    assert layers["homes_lost"].data is not None
    page = county_map(grid_tables(), max_homes=29).get_root().render()
    assert "未放入：住户 30 个" in page


def test_micro_grids_go_before_grids_do():
    layers = layers_of(grid_tables(), max_polygons=1)
    assert layers["micro_grids"].data is None
    assert all(layers[key].data is not None for key in ("grids_in_band", "grids_under", "grids_over"))


def drawn():
    place, _, land, labels = scene(60, 6, 5, l_shaped())
    grids = outline(land, labels, village=place)
    dense = shapely.segmentize(grids.geometry.to_numpy(), 0.4)
    dense = shapely.set_precision(dense, 0.001, mode="pointwise")  # both sides of an edge alike
    assert shapely.coverage_is_valid(dense)
    codes = [f"{CODE}{at + 1:03d}" for at in range(len(grids))]
    table = pd.DataFrame(
        {"grid_code": codes, "grid_name": codes, "grid_kind": "ORDINARY", "neighbours": None}
    )
    return gpd.GeoDataFrame(table, geometry=dense, crs=CRS)


@pytest.mark.parametrize("most", [250_000, 400, 100])
def test_lines_get_fewer_points_and_neighbours_keep_one_line_between_them(most):
    grids = drawn()
    before = shapely.get_num_coordinates(grids.geometry.to_numpy()).sum()
    shown = with_grids({"grids": grids}, max_vertices=most)["grids"].geometry.to_numpy()
    assert shapely.get_num_coordinates(shown).sum() < before / 20
    assert shapely.get_num_coordinates(shown).sum() <= most or most == 100
    assert shapely.is_valid(shown).all()
    assert shapely.coverage_is_valid(shown)
    assert not shapely.is_empty(shown).any()
    off = shapely.hausdorff_distance(shapely.union_all(shown), shapely.union_all(grids.geometry.to_numpy()))
    assert off <= 16 * 2
    assert grids.geometry.equals(drawn().geometry)


def test_overlapping_grids_drawn_by_hand_are_shown_as_they_are_at_worst():
    grids = drawn()
    grids.geometry = [shape.buffer(3) for shape in grids.geometry]
    shown = with_grids({"grids": grids})["grids"].geometry
    assert shown.is_valid.all()
    assert (shown.symmetric_difference(grids.geometry).area < 0.05 * grids.area).all()


def test_a_village_s_grids_are_found_by_name_and_code():
    layers = layers_of(grid_tables())
    assert layers["grids_in_band"].data["search"] == "grid_name"
    assert column(layers["grids_in_band"], "grid_code") == [f"{UPPER}001"]
    assert column(layers["grids_exclusive"], "grid_code") == [f"{LOWER}002"]
