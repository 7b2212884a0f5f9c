"""Boundary points: where rings begin, which way they run, whose number a shared point has, and what files say."""

import openpyxl
import pandas as pd
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import affinity

from geo import schema
from geo.errors import GeometryTypeError, InputError, MissingDatumError, OutputError
from geo.sheets.handover import corner_table, export_fields, write_pieces, write_points
from geo.sheets.points import boundary_points, exchange_text
from tests.helpers import layer

CRS = "EPSG:4526"
X0, Y0 = 38_429_600.0, 4_196_700.0
GROUP = "14072510220101"


def square(x, y, size=20.0):
    return shapely.box(X0 + x, Y0 + y, X0 + x + size, Y0 + y + size)


def pieces(*shapes, crs=CRS, **columns):
    codes = [f"{GROUP}-W-{at:04d}" for at in range(1, len(shapes) + 1)]
    rest = {"area_m2": 400.05, "net_area_m2": 380.0, "piece_class": "UNCONFIRMED", "piece_shape": "BLOCK"}
    rest |= {"land_class": "0103", "sheet_code": "J49I303500", "patch_code": "p", "village_name": "柳沟村"}
    return layer(*shapes, crs=crs, **({"piece_code": codes} | rest | columns))


def numbers(points, code=f"{GROUP}-W-0001", ring=1):
    rows = points.corners
    return rows[(rows["piece_code"] == code) & (rows["ring"] == ring)]["number"].tolist()


POND = shapely.Polygon(square(0, 0, 60).exterior, [square(20, 20, 10).exterior.coords])


# Order, direction, numbers


def test_a_ring_begins_in_the_north_west_and_runs_clockwise():
    points = boundary_points(pieces(square(0, 0)))
    rows = points.corners
    assert rows["x_m"].tolist() == [Y0 + 20, Y0 + 20, Y0, Y0]  # x is the northing
    assert rows["y_m"].tolist() == [X0, X0 + 20, X0 + 20, X0]
    assert rows["edge_m"].tolist() == [20.0] * 4
    assert rows["next_number"].tolist() == ["J2", "J3", "J4", "J1"]


def test_a_hole_comes_after_the_outer_ring_and_runs_the_other_way():
    rows = boundary_points(pieces(POND)).corners
    assert rows["ring"].tolist() == [1] * 4 + [2] * 4
    hole = rows[rows["ring"] == 2]
    assert list(zip(hole["x_m"] - Y0, hole["y_m"] - X0, strict=True)) == [
        (30, 20),
        (20, 20),
        (20, 30),
        (30, 30),
    ]


def test_neighbours_share_the_numbers_of_their_common_points():
    points = boundary_points(pieces(square(0, 0), square(20, 0)))
    assert numbers(points) == ["J1", "J2", "J3", "J4"]
    assert numbers(points, f"{GROUP}-W-0002") == ["J2", "J5", "J6", "J3"]
    assert points.points["number"].tolist() == [f"J{at}" for at in range(1, 7)]


def test_points_rounded_apart_by_the_last_decimal_are_one():
    points = boundary_points(pieces(square(0, 0), square(20.0004, 0), square(40.0011, 0)))
    assert set(numbers(points)) & set(numbers(points, f"{GROUP}-W-0002")) == {"J2", "J3"}
    assert len(points.points) == 8


def test_points_two_millimetres_apart_are_two():
    assert len(boundary_points(pieces(square(0, 0), square(20.002, 0))).points) == 8


def test_parts_of_a_piece_are_listed_from_the_north_west():
    apart = shapely.MultiPolygon([square(100, 0), square(0, 50)])
    rows = boundary_points(pieces(apart)).corners
    assert rows.groupby("ring")["y_m"].min().tolist() == [X0, X0 + 100]


stars = st.lists(st.floats(5, 50), min_size=3, max_size=12).map(
    lambda radii: shapely.Polygon(
        [
            shapely.get_coordinates(
                affinity.rotate(shapely.Point(X0 + r, Y0), 360 * at / len(radii), origin=(X0, Y0))
            )[0]
            for at, r in enumerate(radii)
        ]
    )
)


@given(
    st.lists(st.tuples(stars, st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=5),
    st.sampled_from([2, 3]),
)
@settings(max_examples=40)
def test_signed_corners_enclose_the_pieces_plane_area(land, decimals):
    shapes = [affinity.translate(shape, 37 * dx, 41 * dy) for shape, dx, dy in land]
    table = boundary_points(pieces(*shapes), decimals=decimals).pieces
    for shape, area in zip(shapes, table["plane_area_m2"], strict=True):
        # each corner moves by half a last decimal and, where two are one, by another
        assert area == pytest.approx(shape.area, abs=2 * 10.0**-decimals * shape.length + 0.01)


@given(st.permutations(range(6)))
@settings(max_examples=20)
def test_the_order_of_rows_changes_nothing(order):
    land = pieces(*(square(20 * (at % 3), 20 * (at // 3)) for at in range(6)))
    first, other = boundary_points(land), boundary_points(land.iloc[list(order)])
    assert exchange_text(first) == exchange_text(other)
    pd.testing.assert_frame_equal(first.corners, other.corners)


@given(st.lists(stars, min_size=1, max_size=4))
@settings(max_examples=20)
def test_every_corner_has_a_number_and_every_number_a_corner(shapes):
    points = boundary_points(pieces(*shapes))
    assert set(points.corners["number"]) == set(points.corners["next_number"]) == set(points.points["number"])
    assert points.points["number"].is_unique
    places = points.corners[["number", "x_m", "y_m"]].drop_duplicates()
    assert len(places) == len(points.points)


def test_a_sliver_thinner_than_a_decimal_keeps_its_corners():
    thin = shapely.box(X0, Y0, X0 + 0.0001, Y0 + 10)
    points = boundary_points(pieces(thin))
    assert len(points.corners) >= 3
    assert points.pieces["area_m2"].tolist() == [400.05]


def test_a_piece_without_geometry_keeps_its_row():
    points = boundary_points(pieces(square(0, 0), None))
    assert points.pieces["point_count"].tolist() == [4, 0]
    assert f"0,0.040005,{GROUP}-W-0002" in exchange_text(points)


def test_no_piece_gives_empty_tables():
    points = boundary_points(pieces().iloc[:0])
    assert (len(points.points), len(points.corners), len(points.pieces)) == (0, 0, 0)
    assert exchange_text(points).endswith("[地块坐标]\r\n")


# The exchange text


def test_the_exchange_text_is_as_approval_software_reads_it():
    text = exchange_text(boundary_points(pieces(POND)), producer="寿阳县,测绘队", date="2024-05-01")
    assert text.split("\r\n")[:-1] == [
        "[属性描述]", "格式版本号=1.01版本", "数据产生单位=寿阳县，测绘队", "数据产生日期=2024-05-01",
        "坐标系=2000国家大地坐标系", "几度分带=3", "投影类型=高斯克吕格", "计量单位=米", "带号=38",
        "精度=0.001", "转换参数=,,,,,,", "[地块坐标]",
        f"10,0.040005,{GROUP}-W-0001,未确权地,面,J49I303500,,0103,@",
        "J1,1,4196760.000,38429600.000", "J2,1,4196760.000,38429660.000", "J3,1,4196700.000,38429660.000",
        "J4,1,4196700.000,38429600.000", "J1,1,4196760.000,38429600.000",
        "J5,2,4196730.000,38429620.000", "J6,2,4196720.000,38429620.000", "J7,2,4196720.000,38429630.000",
        "J8,2,4196730.000,38429630.000", "J5,2,4196730.000,38429620.000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("crs", "system", "zone"),
    [
        ("EPSG:4547", "2000国家大地坐标系", "38"),  # without zone in the easting
        ("EPSG:2362", "1980西安坐标系", "38"),
        ("EPSG:4497", "2000国家大地坐标系", "19"),  # 6-degree
    ],
)
def test_the_text_names_datum_and_zone(crs, system, zone):
    text = exchange_text(boundary_points(pieces(square(0, 0), crs=crs)))
    assert f"坐标系={system}\r\n" in text
    assert f"带号={zone}\r\n" in text
    assert f"几度分带={'6' if crs == 'EPSG:4497' else '3'}\r\n" in text


# Files


def test_the_three_files_say_the_same(tmp_path):
    points = boundary_points(pieces(POND, square(60, 0)))
    text, table, book = write_points(points, tmp_path / "柳沟村_界址点", title="柳沟村")
    assert text.read_bytes().decode("gbk") == exchange_text(points)
    assert table.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = pd.read_csv(table, dtype=str, encoding="utf-8-sig")
    assert list(rows.columns) == [column.title for column in schema.columns("corners")]
    assert rows["X坐标（北）"].iloc[0] == "4196760.000"
    assert rows["图块面积"].astype(float).unique().tolist() == [400.05]
    sheets = openpyxl.load_workbook(book, data_only=True)
    assert sheets.sheetnames == ["界址点成果表", "图块面积"]
    cells = [row[3] for row in sheets["界址点成果表"].iter_rows(min_row=4, values_only=True)]
    assert cells == corner_table(points)["number"].tolist()
    areas = [row[5] for row in sheets["图块面积"].iter_rows(min_row=4, values_only=True)]
    assert areas == [400.05, 400.05, 800.10]  # and their sum


def test_files_are_the_same_bytes_twice(tmp_path):
    land = pieces(POND, square(60, 0))
    for folder in ("a", "b"):
        write_points(boundary_points(land), tmp_path / folder / "p", title="柳沟村")
        write_pieces(land, tmp_path / folder / "TK.shp")
        land = land.iloc[::-1]
    first = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "b").iterdir()}
    assert {"TK.shp", "TK.dbf", "TK.shx", "TK.prj", "TK.cpg"} <= set(first)


def test_the_shapefile_is_gbk_with_short_names_and_comes_back_whole(tmp_path):
    land = pieces(POND, shapely.MultiPolygon([square(100, 0), square(200, 0)]), class_reason="基期为耕地")
    write_pieces(land, tmp_path / "TK.shp")
    assert (tmp_path / "TK.cpg").read_text() == "GBK"
    assert all(len(field.name) <= 10 and field.name.isascii() for field in export_fields())
    read = pyogrio.read_dataframe(tmp_path / "TK.shp")
    assert list(read.columns[:-1]) == [column.field for column in schema.columns("piece_export")]
    assert read["TKFL"].tolist() == ["未确权地"] * 2
    assert read["CJQYMC"].tolist() == ["柳沟村"] * 2
    assert read["MJ"].tolist() == [400.05] * 2
    assert read.crs == CRS
    assert shapely.equals(read.geometry.to_numpy(), land.geometry.to_numpy()).all()


def test_an_empty_village_has_an_empty_shapefile(tmp_path):
    write_pieces(pieces(None), tmp_path / "TK.shp")
    assert len(pyogrio.read_dataframe(tmp_path / "TK.shp")) == 0


# Refusals


def test_what_cannot_be_numbered_is_refused(tmp_path):
    with pytest.raises(InputError, match="2 或 3"):
        boundary_points(pieces(POND), decimals=4)
    with pytest.raises(MissingDatumError, match="平面"):
        boundary_points(pieces(shapely.box(113, 37, 113.1, 37.1), crs="EPSG:4490"))
    with pytest.raises(GeometryTypeError, match="第 0 行"):
        boundary_points(pieces(shapely.Point(X0, Y0)))
    (tmp_path / "f").write_text("")
    with pytest.raises(OutputError, match="f"):
        write_pieces(pieces(POND), tmp_path / "f" / "TK.shp")


def test_a_ring_does_not_cross_itself_for_being_rounded():
    nearly = shapely.Polygon([(0, 0), (10, 0), (10, 10), (5.02, 0.004), (5.01, 0.002), (0, 10)])
    assert nearly.is_valid
    points = boundary_points(pieces(affinity.translate(nearly, X0, Y0)), decimals=2)
    rings = [shapely.Polygon(rows[["y_m", "x_m"]].to_numpy()) for _, rows in points.corners.groupby("ring")]
    assert all(ring.is_valid for ring in rings)
    assert sum(ring.area for ring in rings) == pytest.approx(nearly.area, abs=0.11)


def test_a_piece_narrower_than_the_last_decimal_keeps_its_corners():
    hair = shapely.box(X0, Y0 + 0.001, X0 + 10, Y0 + 0.003)
    assert boundary_points(pieces(hair), decimals=2).pieces["point_count"].item() >= 2
