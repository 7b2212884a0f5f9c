import math
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from geo import pipeline
from geo.crs import BEIJING54, CGCS2000, XIAN80, gauss_kruger
from geo.datum import convert, moved, planar
from geo.errors import GeoError, InputError, MismatchError, MissingColumnError
from geo.exchange import control_file, read
from geo.exchange.datum_file import read_datum
from geo.pipeline import Inputs, read_layers
from geo.provenance import Run
from tests.geo.exchange.small import E, N, parcels, patches, save

OLD, NEW = gauss_kruger(XIAN80, 38, prefixed=False), gauss_kruger(CGCS2000, 38, prefixed=False)
TRUE = planar(OLD, NEW, {"north_m": 30.0, "east_m": 95.0, "rotation_arcsec": 1.2, "scale_ppm": 3.0})
PLACES = [(-9, -8), (-6, 7), (-1, -3), (2, 5), (4, -9), (8, 1)]  # kilometres north and east of the village
SEVEN = """
model = "helmert"
source = "西安80"
dx_m = 24.0
dy_m = -123.0
dz_m = -94.0
rx_arcsec = -0.02
ry_arcsec = 0.25
rz_arcsec = 0.13
scale_ppm = 1.1
convention = "position_vector"
accuracy_m = 0.5
provenance = "省测绘院 2012 年提供"
"""
FOUR = """
model = "平面四参数"
source = "EPSG:2383"
target = "EPSG:4547"
north_m = 30.0
east_m = 95.0
rotation_arcsec = 1.2
scale_ppm = 3.0
"""


def control(shift=TRUE, places=PLACES, zone=None):
    """Rows of a control file: name, old X and Y, new X and Y, as surveyors write them."""
    old = np.array([(E - 38e6 + east * 1000, N + north * 1000) for north, east in places])
    new = moved(shift, old)
    prefix = np.array([(zone or 0) * 1e6, 0])
    old, new = old + prefix, new + prefix
    return pd.DataFrame(
        {
            "点名": [f"K{number}" for number in range(len(places))],
            "西安80_X": old[:, 1],
            "西安80_Y": old[:, 0],
            "2000_X": new[:, 1],
            "2000_Y": new[:, 0],
        }
    )


def written(table, path, encoding="utf-8-sig"):
    path.write_bytes(table.to_csv(index=False).encode(encoding))
    return path


def toml(text, path):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def survey(tmp_path):
    return read.survey(save(patches(), tmp_path / "三调" / "DLTB.shp")).table


def same(shift, true=TRUE):
    """Whether two shifts move the village alike, within a millimetre."""
    here = gpd.GeoDataFrame(geometry=gpd.points_from_xy([E - 38e6, E - 38e6 + 5000], [N, N - 5000]), crs=OLD)
    one, other = convert(here, shift, NEW), convert(here, true, NEW)
    return one.geometry.distance(other.geometry).max() < 0.001


# Parameters.


def test_seven_parameters_are_read_with_their_giver(tmp_path, survey):
    (shift,) = read_datum(toml(SEVEN, tmp_path / "d.toml"), near=survey).shifts
    assert (shift.datum, shift.kind, shift.accuracy_m) == (XIAN80, "helmert7", 0.5)
    assert shift.provenance == "省测绘院 2012 年提供"
    assert shift.parameters["dy_m"] == -123


def test_four_parameters_are_read_by_code_or_by_zone(tmp_path, survey):
    (by_code,) = read_datum(toml(FOUR, tmp_path / "a.toml"), near=survey).shifts
    text = FOUR.replace('"EPSG:2383"', '"西安80"\nsource_zone = 38').replace(
        '"EPSG:4547"', '"CGCS2000"\ntarget_zone = 38'
    )
    (by_zone,) = read_datum(toml(text, tmp_path / "b.toml"), near=survey).shifts
    assert by_code.pipeline == by_zone.pipeline
    assert same(by_code)


def test_one_file_may_speak_of_both_datums(tmp_path, survey):
    text = "[[shift]]" + SEVEN + "[[shift]]" + SEVEN.replace("西安80", "北京54")
    shifts = read_datum(toml(text, tmp_path / "d.toml"), near=survey).shifts
    assert {shift.datum for shift in shifts} == {XIAN80, BEIJING54}
    with pytest.raises(InputError, match="对西安80给了不止一套参数"):
        read_datum(toml(("[[shift]]" + SEVEN) * 2, tmp_path / "e.toml"))


def test_a_file_saved_as_gbk_is_read(tmp_path):
    path = tmp_path / "d.toml"
    path.write_bytes(SEVEN.encode("gbk"))
    assert read_datum(path).shifts[0].provenance == "省测绘院 2012 年提供"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('convention = "position_vector"', "", r"d.toml：七参数有旋转角，必须写明 convention"),
        ('convention = "position_vector"', 'convention = "bursa"', "必须写明 convention"),
        ("dx_m = 24.0", "", "缺少 dx_m"),
        ("dx_m = 24.0", 'dx_m = "24 米"', "dx_m 应为数字，写的是 '24 米'"),
        ("dx_m = 24.0", "dx_m = nan", "dx_m 应为数字"),
        ("dx_m = 24.0", "dx_m = true", "dx_m 应为数字"),
        ("scale_ppm", "scale", "不认识 scale；可写的有"),
        ("accuracy_m = 0.5", "accuracy_m = -1", "accuracy_m 应大于 0"),
        ('"helmert"', '"二十参数"', "model 应为 helmert"),
        ('source = "西安80"', "", "缺少 source"),
        ('source = "西安80"', 'source = "新京一九四一"', "不认识基准“新京一九四一”"),
        ('source = "西安80"', 'source = "CGCS2000"', "已是 CGCS2000"),
        ('source = "西安80"', 'source = "EPSG:999999"', "不认识坐标系"),
        ('source = "西安80"', 'source = "西安80"\ntarget = "北京54"', "target 应为 CGCS2000"),
        ("dx_m = 24.0", "dx_m = 24.0.0", "不是有效的 TOML"),
    ],
)
def test_seven_parameters_that_leave_something_open_are_refused(tmp_path, old, new, what):
    with pytest.raises(GeoError, match=what):
        read_datum(toml(SEVEN.replace(old, new), tmp_path / "d.toml"))


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"EPSG:4547"', '"EPSG:4546"', r"114°.*111°，不在同一带"),
        ('"EPSG:4547"', '"CGCS2000"', "没有带号"),
        ('"EPSG:4547"', '"CGCS2000"\ntarget_zone = 99', "第 99 带"),
        ('"EPSG:4547"', '"EPSG:2383"', "目标坐标系应为 CGCS2000"),
        ('"EPSG:4547"', '"EPSG:0"', "不认识 target 的坐标系"),
        ("north_m", "dx_m", "平面四参数的平移请写 north_m"),
    ],
)
def test_four_parameters_between_the_wrong_systems_are_refused(tmp_path, old, new, what):
    with pytest.raises(GeoError, match=what):
        read_datum(toml(FOUR.replace(old, new), tmp_path / "d.toml"))


def test_four_parameters_of_another_zone_are_refused(tmp_path, survey):
    text = FOUR.replace("2383", "2382").replace("4547", "4546")
    with pytest.raises(MismatchError, match=r"中央经线 111° 的带，而本县在东经 113\.2"):
        read_datum(toml(text, tmp_path / "d.toml"), near=survey)


def test_parameters_that_throw_the_county_out_of_its_place_are_refused(tmp_path, survey):
    text = SEVEN.replace("rz_arcsec = 0.13", "rz_arcsec = 25.0")
    with pytest.raises(MismatchError, match=r"移动 \d+ m.*不会超过 300 m；请核对参数方向"):
        read_datum(toml(text, tmp_path / "d.toml"), near=survey)
    upside_down = FOUR.replace("north_m = 30.0", "north_m = 3030.0").replace(
        "scale_ppm = 3.0", "scale_ppm = 700.0"
    )
    with pytest.raises(MismatchError, match=r"尺度疑似不是 ppm|请核对"):
        read_datum(toml(upside_down, tmp_path / "e.toml"), near=survey)


@pytest.mark.parametrize("name", ["d.xlsx", "d.txt"])
def test_other_files_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"应为 .toml（参数）或 .csv（控制点）"):
        read_datum(toml("", tmp_path / name))


def test_no_file_and_no_parameters_are_refused(tmp_path):
    with pytest.raises(InputError, match="找不到转换参数文件"):
        read_datum(tmp_path / "d.toml")
    with pytest.raises(InputError, match="没有转换参数"):
        read_datum(toml("shift = []", tmp_path / "e.toml"))


# Control points.


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "gbk"])
def test_control_points_give_the_shift_they_were_made_with(tmp_path, survey, encoding):
    reading = read_datum(written(control(), tmp_path / "控制点.csv", encoding), near=survey)
    assert same(reading.shifts[0])
    assert reading.findings.empty
    assert [file.name for file in reading.files] == ["控制点.csv"]


@pytest.mark.parametrize(
    "names",
    [
        ["点名", "X80", "Y80", "X2000", "Y2000"],  # of layer KZD in a delivery
        ["点号", "西安80 X坐标（北）", "西安80 Y坐标（东）", "CGCS2000 X坐标（北）", "CGCS2000 Y坐标（东）"],
        ["name", "xian80_north", "xian80_east", "cgcs2000_north", "cgcs2000_east"],
        ["ID", "Xi'an 1980 N", "Xi'an 1980 E", "new N (m)", "new E (m)"],
        [
            "名称",
            "1980西安坐标系纵坐标",
            "1980西安坐标系横坐标",
            "2000国家大地坐标系纵坐标",
            "2000国家大地坐标系横坐标",
        ],
    ],
)
def test_headers_are_known_as_people_write_them(tmp_path, survey, names):
    path = written(control().set_axis(names, axis=1), tmp_path / "k.csv")
    assert same(read_datum(path, near=survey).shifts[0])


@pytest.mark.parametrize(
    "names",
    [
        ["点名", "旧X", "旧Y", "新X", "新Y", "基准"],
        ["name", "old_northing", "old_easting", "new_northing", "new_easting", "datum"],
        ["控制点名称", "原坐标X(m)", "原坐标Y(m)", "目标坐标X(m)", "目标坐标Y(m)", "原坐标系"],
        ["点名", "转换前北坐标", "转换前东坐标", "转换后北坐标", "转换后东坐标", "旧基准"],
    ],
)
def test_a_column_may_name_the_datum(tmp_path, survey, names):
    table = control().assign(datum="1980西安坐标系").set_axis(names, axis=1)
    assert same(read_datum(written(table, tmp_path / "k.csv"), near=survey).shifts[0])


def test_columns_may_come_in_any_order_with_others_between(tmp_path, survey):
    table = control().assign(备注="完好", 等级="Ⅲ")[
        ["2000_Y", "备注", "西安80_X", "等级", "2000_X", "西安80_Y", "点名"]
    ]
    assert same(read_datum(written(table, tmp_path / "k.csv"), near=survey).shifts[0])


def test_points_without_names_are_told_by_their_rows(tmp_path, survey):
    table = control().drop(columns="点名")
    table.loc[1, "2000_X"] += 9
    reading = read_datum(written(table, tmp_path / "k.csv"), near=survey)
    assert (
        reading.findings["message"].item().startswith("k.csv 第 3 行未参与解算：与其余点解算的位置相差 9.0")
    )


def test_the_zone_may_be_in_the_easting(tmp_path):
    """Then no county is needed to know it."""
    assert same(read_datum(written(control(zone=38), tmp_path / "k.csv")).shifts[0])


@pytest.mark.parametrize(
    ("name", "value"), [("带号", 38), ("中央经线", 114), ("zone", 38), ("中央子午线", 114)]
)
def test_the_zone_may_be_in_a_column(tmp_path, name, value):
    assert same(read_datum(written(control().assign(**{name: value}), tmp_path / "k.csv")).shifts[0])


def test_without_zone_and_county_it_is_asked_for(tmp_path):
    with pytest.raises(InputError, match="没有带号，带无法判断；请加一列“带号”或“中央经线”"):
        read_datum(written(control(), tmp_path / "k.csv"))


@pytest.mark.parametrize("side", ["old", "new", "both"])
def test_degrees_do_as_well(tmp_path, side):
    table = control(zone=38)
    for of_side, crs, (north, east), titles in (
        ("old", 2362, ("西安80_X", "西安80_Y"), ("旧纬度", "旧经度")),
        ("new", 4526, ("2000_X", "2000_Y"), ("新纬度", "新经度")),
    ):
        if side in {of_side, "both"}:
            system = CRS.from_epsg(crs)
            into = Transformer.from_crs(system, system.geodetic_crs, always_xy=True)
            lon, lat = into.transform(table[east], table[north])
            table = table.drop(columns=[north, east]).assign(**{titles[0]: lat, titles[1]: lon})
    shift = read_datum(written(table.assign(基准="西安80"), tmp_path / "k.csv")).shifts[0]
    assert same(shift)


def test_six_degree_zones_are_known_by_their_prefix(tmp_path):
    """Zone 19 has its meridian at 111°: the county lies in it, two degrees east."""
    old, new = CRS.from_epsg(2333), CRS.from_epsg(4497)
    table = control(zone=38)
    for north, east, system, three in (("西安80_X", "西安80_Y", old, 2362), ("2000_X", "2000_Y", new, 4526)):
        table[east], table[north] = Transformer.from_crs(three, system, always_xy=True).transform(
            table[east], table[north]
        )
    assert table["西安80_Y"].between(19e6, 20e6).all()
    shift = read_datum(written(table, tmp_path / "k.csv")).shifts[0]
    here = gpd.GeoDataFrame(geometry=gpd.points_from_xy([E - 38e6], [N]), crs=OLD)
    there, truly = convert(here, shift, NEW), convert(here, TRUE, NEW)
    assert (
        there.geometry.distance(truly.geometry).item() < 0.1
    )  # a similarity in one zone is nearly one in another


def test_both_datums_may_stand_in_one_table(tmp_path, survey):
    other = planar(gauss_kruger(BEIJING54, 38, prefixed=False), NEW, {"north_m": -45.0, "east_m": 20.0})
    names = ["点名", "旧X", "旧Y", "新X", "新Y"]
    tables = [
        control().set_axis(names, axis=1).assign(基准="西安80"),
        control(other).set_axis(names, axis=1).assign(基准="北京54"),
    ]
    shifts = read_datum(written(pd.concat(tables), tmp_path / "k.csv"), near=survey).shifts
    assert [shift.datum for shift in shifts] == sorted([XIAN80, BEIJING54])
    by_datum = {shift.datum: shift for shift in shifts}
    assert same(by_datum[XIAN80])
    assert by_datum[BEIJING54].parameters["north_m"] == pytest.approx(-45)


def test_a_model_and_limits_may_be_given_beside_the_points(tmp_path, survey):
    table = control().rename(columns={"西安80_X": "旧X", "西安80_Y": "旧Y"})
    table.loc[:, "2000_X"] += [0.2, -0.2, 0.2, -0.2, 0.2, -0.2]
    written(table, tmp_path / "k.csv")
    text = 'points = "k.csv"\nsource = "西安80"\n'
    reading = read_datum(toml(text, tmp_path / "d.toml"), near=survey)
    assert [file.name for file in reading.files] == ["d.toml", "k.csv"]
    with pytest.raises(MismatchError, match=r"d.toml：k.csv .*超过 0.1 m"):
        read_datum(toml(text + "limit_m = 0.1", tmp_path / "d.toml"), near=survey)
    with pytest.raises(InputError, match="没有两套大地高"):
        read_datum(toml(text + 'model = "七参数"', tmp_path / "d.toml"), near=survey)
    with pytest.raises(InputError, match=r"应大于 0"):
        read_datum(toml(text + "sigma_m = 0", tmp_path / "d.toml"), near=survey)
    with pytest.raises(InputError, match=r"找不到控制点文件 l\.csv"):
        read_datum(toml(text.replace("k.csv", "l.csv"), tmp_path / "d.toml"), near=survey)


# Control points that are wrong.


@pytest.mark.parametrize("side", ["西安80", "2000"])
def test_axes_turned_in_one_row_are_found_and_named(tmp_path, survey, side):
    table = control()
    columns = [f"{side}_X", f"{side}_Y"]
    table.loc[3, columns] = table.loc[3, columns[::-1]].tolist()
    reading = read_datum(written(table, tmp_path / "控制点.csv"), near=survey)
    assert same(reading.shifts[0])
    (row,) = reading.findings.to_dict("records")
    assert (row["rule"], row["severity"], row["row_code"]) == ("control_point_outlier", "warning", "K3")
    assert row["message"] == "控制点.csv 第 5 行（点 K3）未参与解算：X（北）、Y（东）疑似颠倒"


@given(row=st.integers(0, len(PLACES) - 1), far=st.floats(3, 90), angle=st.floats(0, 2 * math.pi))
def test_a_gross_error_is_named_whichever_row_it_is_in(tmp_path_factory, row, far, angle):
    table = control(zone=38)
    table.loc[row, "2000_X"] += far * math.sin(angle)
    table.loc[row, "2000_Y"] += far * math.cos(angle)
    reading = read_datum(written(table, tmp_path_factory.mktemp("k") / "k.csv"))
    assert reading.findings["row_code"].tolist() == [f"K{row}"]
    assert f"第 {row + 2} 行" in reading.findings["message"].item()


def test_axes_turned_in_all_rows_are_refused(tmp_path, survey):
    table = control().rename(columns={"西安80_X": "西安80_Y", "西安80_Y": "西安80_X"})
    with pytest.raises(MismatchError, match="X 为北、Y 为东，请改表头"):
        read_datum(written(table, tmp_path / "k.csv"), near=survey)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"2000_Y": "新东西"}, r"缺少列 新Y（东）；现有的列：点名、西安80_X、西安80_Y、2000_X、新东西"),
        ({"西安80_X": "X", "西安80_Y": "Y"}, r"缺少列 旧X（北）、旧Y（东）"),
    ],
)
def test_a_header_that_does_not_say_side_and_axis_is_refused(tmp_path, survey, change, what):
    with pytest.raises(MissingColumnError, match=what):
        read_datum(written(control().rename(columns=change), tmp_path / "k.csv"), near=survey)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("约4196700", r"k.csv 第 4 行的“西安80_X”不是数：“约4196700”"),
        ("", r"第 4 行的“西安80_X”是空的"),
        ("37°54′20″", "不是数：“37°54.*请改为数字（经纬度用十进制度）"),
        ("inf", "不是数"),
        ("４１９６７００", None),
        (" 4195000.0 ", None),
    ],
)
def test_text_among_the_numbers_is_refused_with_its_row(tmp_path, survey, value, what):
    table = control().astype(str)
    table.loc[2, "西安80_X"] = value
    path = written(table, tmp_path / "k.csv")
    if what is None:
        assert read_datum(path, near=survey).shifts[0].kind == "planar4"
        return
    with pytest.raises(InputError, match=what):
        read_datum(path, near=survey)


def test_blank_rows_do_not_shift_the_numbering(tmp_path, survey):
    lines = (
        control()
        .assign(西安80_X=["4196700", "", *control()["西安80_X"].iloc[2:].astype(str)])
        .to_csv(index=False)
    )
    head, *rest = lines.splitlines()
    path = toml("\n".join([head, ",,,,", *rest, "", ",,,,"]), tmp_path / "k.csv")
    with pytest.raises(InputError, match="第 4 行的“西安80_X”是空的"):
        read_datum(path, near=survey)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_two_points_are_too_few(tmp_path, survey, count):
    with pytest.raises(InputError, match=r"没有控制点|有 [12] 个西安80控制点"):
        read_datum(written(control().iloc[:count], tmp_path / "k.csv"), near=survey)


def test_points_in_a_line_are_refused(tmp_path, survey):
    table = control(places=[(k, 1.5 * k) for k in range(-3, 4)])
    with pytest.raises(InputError, match="几乎在一条直线上"):
        read_datum(written(table, tmp_path / "k.csv"), near=survey)


def test_two_zones_in_one_column_are_refused_with_the_row(tmp_path, survey):
    table = control(zone=38)
    table.loc[4, "西安80_Y"] -= 1e6
    with pytest.raises(MismatchError, match=r"旧坐标带有两个带号 37、38（第 6 行为 37）"):
        read_datum(written(table, tmp_path / "k.csv"), near=survey)
    table = control().assign(带号=[38, 38, 38, 37, 38, 38])
    with pytest.raises(MismatchError, match=r"带号列有两个带 37、38（第 5 行为 37）"):
        read_datum(written(table, tmp_path / "k.csv"), near=survey)


def test_eastings_with_and_without_zone_do_not_mix(tmp_path, survey):
    table = control(zone=38)
    table.loc[1, "2000_Y"] -= 38e6
    with pytest.raises(MismatchError, match=r"混有带号坐标和不带带号的坐标（第 3 行是不带带号的坐标）"):
        read_datum(written(table, tmp_path / "k.csv"), near=survey)


@pytest.mark.parametrize("zone", [0, 24, 99, 38.5])
def test_a_zone_there_is_not_is_refused(tmp_path, zone):
    with pytest.raises(InputError, match="带号列写的是"):
        read_datum(written(control().assign(带号=zone), tmp_path / "k.csv"))


def test_points_of_another_county_are_refused_with_rows(tmp_path, survey):
    table = control(places=[(north + 150, east) for north, east in PLACES])
    with pytest.raises(
        MismatchError, match=r"不在本县：第 2 行、第 3 行、第 4 行等在东经 113\.\d+°、北纬 39\."
    ):
        read_datum(written(table, tmp_path / "k.csv"), near=survey)


def test_one_point_of_another_county_is_refused_too(tmp_path, survey):
    table = control(places=[*PLACES, (90, 10)])
    with pytest.raises(MismatchError, match=r"不在本县：第 8 行在"):
        read_datum(written(table, tmp_path / "k.csv"), near=survey)


def test_points_of_the_wrong_zone_column_are_not_of_this_county(tmp_path, survey):
    with pytest.raises(MismatchError, match=r"不在本县.*中央经线"):
        read_datum(written(control().assign(带号=37), tmp_path / "k.csv"), near=survey)


def test_points_that_lie_too_far_apart_are_no_datum(tmp_path, survey):
    table = control()
    table["2000_X"] += 450
    with pytest.raises(MismatchError, match=r"移动 \d+ m"):
        read_datum(written(table, tmp_path / "k.csv"), near=survey)


def test_a_datum_that_is_not_named_is_asked_for(tmp_path, survey):
    table = control().rename(columns={"西安80_X": "旧X", "西安80_Y": "旧Y"})
    with pytest.raises(InputError, match="没有写明旧坐标的基准"):
        read_datum(written(table, tmp_path / "k.csv"), near=survey)
    with pytest.raises(InputError, match="第 2 行：不认识基准“一九八〇”"):
        read_datum(written(table.assign(基准="一九八〇"), tmp_path / "k.csv"), near=survey)
    with pytest.raises(InputError, match="第 2 行的旧基准是 CGCS2000"):
        read_datum(written(table.assign(基准="CGCS2000"), tmp_path / "k.csv"), near=survey)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xfe\x00\x01", "点名,旧X\n1,2,3,4\n".encode(), b"\x00\x01\x02,\n\n"]
)
def test_what_is_no_table_is_refused(tmp_path, data):
    path = tmp_path / "k.csv"
    path.write_bytes(data)
    with pytest.raises(GeoError, match=r"k\.csv"):
        read_datum(path)


@given(data=st.binary(max_size=300))
def test_no_bytes_bring_the_reader_down(tmp_path_factory, data):
    for suffix in (".csv", ".toml"):
        path = tmp_path_factory.mktemp("d") / f"d{suffix}"
        path.write_bytes(data)
        with pytest.raises(GeoError, match=r"d\."):
            read_datum(path)


@given(text=st.text(max_size=30))
def test_no_header_brings_the_reader_down(text):
    role, datum = control_file._role(text)
    assert role is None or role.partition("_")[0] in {"old", "new", "point", "datum", "zone", "meridian"}
    assert datum in {None, XIAN80, BEIJING54, CGCS2000}


# Layers that are read.


def xian80(table):
    """The layer as it would have been drawn on 西安80."""
    flat = table.to_crs(NEW)
    shapes = flat.geometry.transform(lambda xy: moved(TRUE, xy, back=True))
    return flat.set_geometry(shapes.set_crs(OLD, allow_override=True)).to_crs(2362)


@pytest.fixture
def inputs(tmp_path):
    """A survey on CGCS2000, and parcels and an older survey on 西安80."""
    return Inputs(
        survey=save(patches(), tmp_path / "三调" / "DLTB.shp"),
        parcels=save(xian80(parcels()), tmp_path / "DK.shp"),
        baseline=save(xian80(patches()), tmp_path / "二调" / "DLTB.shp"),
        datum=written(control(), tmp_path / "控制点.csv"),
    )


def found(reading, rule):
    return reading.findings.loc[reading.findings["rule"] == rule]


def test_layers_on_an_old_datum_come_to_lie_where_they_belong(inputs):
    layers = read_layers(inputs)
    for reading, truth in ((layers.parcels, parcels()), (layers.baseline, patches())):
        apart = reading.table.geometry.centroid.distance(truth.geometry.centroid)
        assert apart.max() < 0.001
        assert found(reading, "datum_differs").empty
        (note,) = found(reading, "datum_converted").to_dict("records")
        assert note["severity"] == "info"
        for said in (
            "平面四参数，由 控制点.csv 的控制点解算，控制点 6 个",
            "残差均方根 0.000 m",
            "点位精度 ±0.0",
        ):
            assert said in note["message"]


def test_without_a_file_they_stay_off_and_that_is_said_with_what_to_do(inputs):
    layers = read_layers(replace(inputs, datum=None))
    apart = layers.parcels.table.geometry.centroid.distance(parcels().geometry.centroid)
    assert apart.min() > 90
    (note,) = found(layers.parcels, "datum_differs").to_dict("records")
    assert note["severity"] == "error"
    assert "--datum" in note["message"]
    assert "--datum" in note["advice"]
    assert "对齐" in note["advice"]
    assert "逐村估计" in note["message"]
    (baseline,) = found(layers.baseline, "datum_differs").to_dict("records")
    assert "不会自动改正" in baseline["message"]  # nothing ever moves it


def test_a_survey_on_an_old_datum_is_converted_and_the_rest_follows(inputs, tmp_path):
    old = save(xian80(patches()), tmp_path / "旧三调" / "DLTB.shp")
    layers = read_layers(replace(inputs, survey=old, baseline=None))
    assert layers.survey.table.crs.to_epsg() == 4526
    for reading, truth in ((layers.survey, patches()), (layers.parcels, parcels())):
        assert reading.table.geometry.centroid.distance(truth.geometry.centroid).max() < 0.001
        assert len(found(reading, "datum_converted")) == 1


def test_a_file_for_a_datum_no_layer_has_is_said(inputs, tmp_path):
    path = toml(SEVEN.replace("西安80", "北京54"), tmp_path / "d.toml")
    layers = read_layers(replace(inputs, datum=path))
    notes = pd.concat(layers.chosen)
    assert notes["rule"].tolist() == ["datum_unused"]
    assert "北京54" in notes["message"].item()
    assert len(found(layers.parcels, "datum_differs")) == 1


def test_a_point_left_out_is_among_the_findings_of_the_run(inputs, tmp_path):
    table = control()
    table.loc[0, "2000_Y"] += 25
    layers = read_layers(replace(inputs, datum=written(table, tmp_path / "k.csv")))
    assert pd.concat(layers.chosen)["rule"].tolist() == ["control_point_outlier"]
    assert "（另有 1 个粗差点未用）" in found(layers.parcels, "datum_converted")["message"].item()


def test_the_run_depends_on_what_the_file_says_and_not_on_where_it_lies(inputs, tmp_path):
    def described(datum):
        layers = read_layers(replace(inputs, datum=datum))
        return Run.of(pipeline._described(layers, inputs), "").run_id

    (tmp_path / "b").mkdir()
    first = described(inputs.datum)
    assert described(written(control(), tmp_path / "b" / "控制点.csv")) == first
    changed = control()
    changed.loc[0, "2000_X"] += 0.01
    assert described(written(changed, tmp_path / "控制点.csv")) != first
    assert described(None) != first
    written(control(), tmp_path / "控制点.csv")
    toml('points = "控制点.csv"', tmp_path / "d.toml")
    by_name = described(tmp_path / "d.toml")
    written(changed, tmp_path / "控制点.csv")
    assert described(tmp_path / "d.toml") != by_name
