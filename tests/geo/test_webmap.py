"""The page as a value and as a file: what is in it, what never is, and that it is the same each time."""

import hashlib
import json
import re
from importlib.resources import files

import folium
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from folium.map import Layer
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import LineString, MultiPolygon, box

from geo.errors import (
    GeometryTypeError,
    InputError,
    MismatchError,
    MissingColumnError,
    MissingDatumError,
    OutputError,
)
from geo.webdata import page_layers
from geo.webmap import county_map, outside_references, save
from tests.geo.county import (
    CRS,
    DOUBT,
    LOWER,
    SLIVER_CODE,
    UPPER,
    W_CODE,
    X0,
    Y0,
    county_tables,
    moved_county_tables,
)


def page_of(county):
    return county.get_root().render()


def data_of(county):
    raw = re.search(
        r'<script type="application/json" id="taotu-data">(.*?)</script>', page_of(county), re.DOTALL
    )[1]
    return json.loads(raw)


def column(layer, name):
    values = layer["columns"][name]
    return values if isinstance(values, list) else [values["values"][i] for i in values["index"]]


def polygons_of(layer):
    """The shapes as the page's own code reads them: running sums of steps from the layer's origin."""
    x0, y0 = layer["origin"]
    out = []
    for shape in layer["shapes"]:
        parts = []
        for polygon in shape:
            rings = []
            for steps in polygon:
                x, y, ring = x0, y0, []
                for dx, dy in zip(steps[::2], steps[1::2], strict=True):
                    x, y = x + dx, y + dy
                    ring.append((x / 1e7, y / 1e7))
                rings.append(ring)
            parts.append((rings[0], rings[1:]))
        out.append(MultiPolygon(parts))
    return out


def test_the_page_names_no_outside_address(tmp_path):
    save(county_map(county_tables()), tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert outside_references(page) == []
    assert page.replace("http://www.w3.org/2000/svg", "").count("://") == 0
    assert "default-src 'none'" in page


@pytest.mark.parametrize(
    "reference",
    [
        '<script src="https://example.invalid/a.js">',
        '<link href="//example.invalid/a.css">',
        "background: url(images/a.png)",
        "@import 'a.css';",
        "fetch('http://example.invalid/')",
        "new WebSocket('wss://example.invalid/')",
        "xmlns:x='http://www.w3.org/2000/svg.evil.invalid/'",
    ],
)
def test_every_kind_of_outside_reference_is_seen(reference):
    assert outside_references(reference)


def test_a_page_with_an_outside_reference_is_not_written(tmp_path):
    county = county_map(county_tables())
    county.default_js = [("x", "https://example.invalid/x.js")]
    with pytest.raises(OutputError, match=r"example\.invalid"):
        save(county, tmp_path / "map.html")
    assert list(tmp_path.iterdir()) == []


def test_the_county_s_own_tile_server_is_the_one_outside_address(tmp_path):
    tiles = "http://10.1.2.3/tiles/{z}/{x}/{y}.png"
    save(county_map(county_tables(), tiles=tiles), tmp_path / "map.html")
    outside = outside_references((tmp_path / "map.html").read_text(encoding="utf-8"))
    assert {found.split("/")[2].rstrip(";") for found in outside} == {"10.1.2.3"}


@pytest.mark.parametrize(
    "tiles", ["tiles/{z}/{x}/{y}.png", "http://10.1.2.3/map.png", "file:///a/{z}/{x}/{y}.png"]
)
def test_a_tile_address_that_cannot_work_is_refused(tiles):
    with pytest.raises(InputError, match="底图"):
        county_map(county_tables(), tiles=tiles)


def test_the_same_tables_give_the_same_bytes_whatever_the_order_of_rows(tmp_path):
    tables = county_tables()
    save(county_map(tables), tmp_path / "a.html")
    county = county_map({name: table.iloc[::-1] for name, table in reversed(tables.items())})
    save(county, tmp_path / "b.html")
    save(county, tmp_path / "c.html")
    first = (tmp_path / "a.html").read_bytes()
    assert first == (tmp_path / "b.html").read_bytes()
    assert first == (tmp_path / "c.html").read_bytes()


def test_the_tables_are_left_as_they_were():
    tables, before = county_tables(), county_tables()
    county_map(tables)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(pd.DataFrame(table), pd.DataFrame(before[name]))


def test_a_map_is_a_folium_map_and_other_maps_keep_their_libraries():
    assert isinstance(county_map(county_tables()), folium.Map)
    assert folium.Map().default_js


def test_a_shape_in_the_page_is_the_shape_in_the_table_to_a_centimetre():
    tables = county_tables()
    data = data_of(county_map(tables))
    drawn = {}
    for key in ("unconfirmed", "newly_added", "undetermined", "strips", "slivers"):
        layer = data["layers"][key]
        drawn |= dict(zip(column(layer, "piece_code"), polygons_of(layer), strict=True))
    assert set(drawn) == set(tables["pieces"]["piece_code"])
    shown = gpd.GeoSeries(list(drawn.values()), crs="EPSG:4490").to_crs(CRS)
    true = tables["pieces"].set_index("piece_code").geometry.loc[list(drawn)]
    assert (shapely.hausdorff_distance(shown.to_numpy(), true.to_numpy()) < 0.012).all()


@given(
    st.lists(
        st.tuples(st.integers(0, 900), st.integers(0, 900), st.integers(5, 90), st.booleans()),
        min_size=1,
        max_size=6,
    )
)
def test_any_mix_of_parts_and_holes_comes_back_from_the_page(parts):
    shapes = []
    for x, y, size, double in parts:
        land = box(X0 + x, Y0 + y, X0 + x + size, Y0 + y + size)
        land = land.difference(box(X0 + x + 1, Y0 + y + 1, X0 + x + 3, Y0 + y + 3))
        shapes.append(MultiPolygon([land, box(X0 + x + 2000, Y0, X0 + x + 2100, Y0 + 9)]) if double else land)
    codes = [f"{number:04d}" for number in range(len(parts))]
    pieces = gpd.GeoDataFrame(
        {"piece_code": codes, "piece_shape": "BLOCK", "piece_class": "NEWLY_ADDED"}, geometry=shapes, crs=CRS
    )
    layers = page_layers({"pieces": pieces}, max_polygons=99, max_findings=0)
    (layer,) = [layer for layer in layers if layer.count]
    shown = gpd.GeoSeries(polygons_of(layer.data), crs="EPSG:4490").to_crs(CRS)
    assert (shapely.hausdorff_distance(shown.to_numpy(), np.array(shapes)) < 0.012).all()


def test_legend_and_totals_add_up_the_stored_square_metres():
    county = county_map(county_tables())
    names = [child.layer_name for child in county._children.values() if isinstance(child, Layer)]
    assert any("未确权地" in name and "1 块 · 6.00 亩" in name for name in names)  # the piece of 4000.00 m²
    page = page_of(county)
    assert '<tr class="sum"><td>图块合计</td><td>3</td><td>24.00</td></tr>' in page
    assert '<tr class="sum"><td>集体耕地</td><td>40,000.00</td><td>60.00</td></tr>' in page
    assert "差 0.00 m²" in page


def test_a_balance_that_does_not_add_up_is_said():
    tables = county_tables()
    tables["balance"].loc[0, "covered_m2"] += 0.01
    page = page_of(county_map(tables))
    assert "平衡检核不通过：差 -0.01 m²" in page


def test_no_personal_column_reaches_the_page():
    tables = county_tables()
    tables["parcels"]["contractor_name"] = "张某某"
    tables["pieces"]["phone"] = "13900000000"
    page = page_of(county_map(tables))
    assert "张某某" not in page
    assert "13900000000" not in page
    assert str(tables["parcels"]["contractor_code"][0]) not in page


def test_texts_of_the_data_are_never_markup():
    page = page_of(county_map(county_tables(), title="<b>县</b>{{ 7 * 7 }}"))
    assert "<script>alert(1)" not in page
    assert "<i>柳沟" not in page
    assert "<b>县" not in page
    assert "{{ 7 * 7 }}" in page  # shown as written, run by no template


def test_parcels_and_villages_carry_what_their_shift_was():
    layers = data_of(county_map(moved_county_tables()))["layers"]
    assert set(column(layers["parcels"], "shift_note")) == {"按 1.8 m 偏东南偏东改正"}
    said = dict(
        zip(column(layers["villages"], "village_code"), column(layers["villages"], "shift_note"), strict=True)
    )
    assert said[UPPER].startswith("本村确权地块整体偏东南偏东 1.8 m，已改正")
    assert said[LOWER] == f"本村确权地块{DOUBT}"


def test_the_layer_of_parcels_before_is_off_at_first_and_carries_their_shapes_only():
    tables = moved_county_tables()
    county = county_map(tables)
    (layer,) = [
        child
        for child in county._children.values()
        if isinstance(child, Layer) and "改正前" in child.layer_name
    ]
    assert not layer.show
    before = data_of(county)["layers"]["parcels_original"]
    assert (before["columns"], before["points"], before["count"]) == ({}, [], 4)
    shown = gpd.GeoSeries(polygons_of(before), crs="EPSG:4490").to_crs(CRS).to_numpy()
    laid = tables["parcels"].geometry.translate(1.66, -0.69).to_numpy()
    assert (shapely.hausdorff_distance(shown, laid) < 0.012).all()


def test_a_county_in_which_nothing_was_moved_has_no_such_layer_and_carries_no_word_of_it():
    tables = moved_county_tables()
    tables["parcels_original"] = tables["parcels_original"].iloc[:0]
    tables["shifts"] = tables["shifts"].iloc[:0]
    tables["parcels"] = tables["parcels"].assign(shift_key="")
    county = county_map(tables)
    assert page_of(county) == page_of(county_map(county_tables()))
    assert "改正前" not in "".join(
        child.layer_name for child in county._children.values() if isinstance(child, Layer)
    )


def test_a_moved_village_is_marked_in_the_list_and_said_beside_the_map():
    page = page_of(county_map(moved_county_tables()))
    assert "1 个村的承包地块已按整体偏移改正；1 个村拿不准是否偏移，未作移动。" in page
    assert page.count('class="mark"') == 2
    assert 'class="mark"' not in page_of(county_map(county_tables()))


def test_parcels_before_are_the_first_to_be_left_out():
    assert data_of(county_map(moved_county_tables(), max_polygons=20))["left_out"] == ["承包地块（改正前）"]


def test_a_county_too_large_for_a_page_leaves_the_lesser_layers_out_and_says_so():
    tables = county_tables()
    county = county_map(tables, max_polygons=13)  # there are 17, 4 of them parcels
    assert "以下图层未放入：承包地块 4 个。" in page_of(county)
    assert data_of(county)["left_out"] == ["承包地块"]
    least = data_of(county_map(tables, max_polygons=1))
    assert set(least["left_out"]) == {"承包地块", "碎屑", "细条", "集体耕地图斑"}
    assert {"unconfirmed", "newly_added", "undetermined"} <= set(least["layers"])


def test_findings_of_the_lesser_severities_are_left_out_first():
    data = data_of(county_map(county_tables(), max_findings=3))
    assert "findings_info" not in data["layers"]
    assert {"findings_warning", "findings_error"} <= set(data["layers"])


def test_rows_without_a_shape_are_counted_and_said():
    tables = county_tables()
    tables["pieces"].loc[tables["pieces"]["piece_code"] == SLIVER_CODE, "geometry"] = None
    county = county_map(tables)
    assert data_of(county)["layers"]["slivers"]["shapes"] == [None]
    assert "碎屑 1 个" in page_of(county)


def test_a_workspace_of_pieces_alone_or_of_none_still_makes_a_page():
    pieces = county_tables()["pieces"]
    assert data_of(county_map({"pieces": pieces}))["layers"]["newly_added"]["count"] == 1
    empty = data_of(county_map({"pieces": pieces.iloc[:0]}))
    assert {layer["count"] for layer in empty["layers"].values()} == {0}


def test_without_pieces_there_is_no_map():
    tables = county_tables()
    del tables["pieces"]
    with pytest.raises(InputError, match="pieces"):
        county_map(tables)


def test_a_table_without_its_key_is_refused():
    tables = county_tables()
    tables["pieces"] = tables["pieces"].drop(columns="piece_class")
    with pytest.raises(MissingColumnError, match="piece_class"):
        county_map(tables)


def test_a_layer_without_a_crs_is_refused():
    tables = county_tables()
    tables["pieces"] = tables["pieces"].set_crs(None, allow_override=True)
    with pytest.raises(MissingDatumError, match="pieces"):
        county_map(tables)


def test_layers_on_two_datums_are_refused():
    tables = county_tables()
    tables["parcels"] = tables["parcels"].set_crs("EPSG:2350", allow_override=True)  # 西安80
    with pytest.raises(MismatchError, match="大地基准"):
        county_map(tables)


def test_two_zones_of_one_datum_go_together():
    tables = county_tables()
    tables["parcels"] = tables["parcels"].to_crs("EPSG:4546")
    assert data_of(county_map(tables))["layers"]["parcels"]["count"] == 4


def test_a_line_among_the_pieces_is_refused():
    tables = county_tables()
    tables["pieces"].loc[0, "geometry"] = LineString([(X0, Y0), (X0 + 9, Y0)])
    with pytest.raises(GeometryTypeError, match=W_CODE):
        county_map(tables)


def test_an_old_map_survives_a_failed_writing(tmp_path):
    target = tmp_path / "map.html"
    target.write_text("old", encoding="utf-8")
    county = county_map(county_tables())
    county.default_js = [("x", "https://example.invalid/x.js")]
    with pytest.raises(OutputError):
        save(county, target)
    assert target.read_text(encoding="utf-8") == "old"


def test_the_library_s_licence_goes_with_every_page():
    licence = (files("geo") / "webassets" / "leaflet-1.9.4" / "LICENSE.txt").read_text(encoding="utf-8")
    assert "Redistribution and use" in licence
    assert licence in page_of(county_map(county_tables()))


def test_vendored_files_are_those_of_the_manifest():
    folder = files("geo") / "webassets"
    for package in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        assert any(name.endswith("LICENSE.txt") for name in package["files"])
        for name, sha256 in package["files"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256, name
