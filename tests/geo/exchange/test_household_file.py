"""Houses as counties keep them: every format, every name of a column, nobody's name, no row lost."""

import zipfile

import geopandas as gpd
import pandas as pd
import pytest
import shapely
import xlsxwriter
from shapely.geometry import LineString, MultiPoint, Point, box

from geo.errors import InputError, MissingDatumError
from geo.exchange.household_file import read_households
from tests.geo.exchange.small import CM_114, VILLAGE, ZONE_38, E, N, message, patches, rules, save


def houses(count=3, crs=ZONE_38, **columns):
    table = gpd.GeoDataFrame(
        {"户数": [n + 1 for n in range(count)], "地址": [f"南坡一组{n + 1}号" for n in range(count)]},
        geometry=[box(E + n * 20, N, E + n * 20 + 10, N + 8) for n in range(count)],
        crs=ZONE_38,
    )
    return table.assign(**columns).to_crs(crs)


def points(*places, crs=ZONE_38, **columns):
    return gpd.GeoDataFrame(columns, geometry=[place and Point(place) for place in places], crs=crs)


def sheet(path, **sheets):
    """A workbook; each sheet a list of rows."""
    with xlsxwriter.Workbook(path) as book:
        for name, rows in sheets.items():
            page = book.add_worksheet(name)
            for at, row in enumerate(rows):
                page.write_row(at, 0, row)
    return path


def csv(path, text, encoding="gb18030"):
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("name", ["房屋.shp", "a.gpkg", "a.geojson", "a.gdb"])
def test_footprints_of_any_format_are_read_with_counts_and_addresses(tmp_path, name):
    driver = {"driver": "OpenFileGDB"} if name.endswith("gdb") else {}
    table = houses()
    path = save(table.to_crs(4326) if name.endswith("json") else table, tmp_path / name, **driver)
    read = read_households(path, near=patches())
    assert list(read.table["households"]) == [1, 2, 3]
    assert list(read.table["address"]) == ["南坡一组1号", "南坡一组2号", "南坡一组3号"]
    assert read.table.crs == ZONE_38
    assert shapely.hausdorff_distance(read.table.geometry.to_numpy(), table.geometry.to_numpy()).max() < 0.01
    assert list(read.table["source_row"]) == [0, 1, 2]


def test_geoparquet_is_read(tmp_path):
    houses().to_parquet(tmp_path / "房屋.parquet")
    assert read_households(tmp_path / "房屋.parquet").table["households"].sum() == 6


def test_points_are_homes_as_they_are(tmp_path):
    path = save(points((E, N), (E + 9, N), 户数=[4, 5]), tmp_path / "住户.gpkg")
    read = read_households(path)
    assert list(read.table.geom_type) == ["Point", "Point"]
    assert not {"geometry_kind", "geometry_missing"} & set(rules(read))


def test_rows_without_geometry_stay(tmp_path):
    path = save(points((E, N), None, 户数=[4, 5]), tmp_path / "住户.gpkg")
    read = read_households(path)
    assert list(read.table["households"]) == [4, 5]
    assert read.table.geometry.isna().tolist() == [False, True]


def test_a_line_is_a_home_at_one_of_its_points_and_said(tmp_path):
    shapes = [LineString([(E, N), (E + 10, N)]), MultiPoint([(E + 50, N), (E + 50, N + 1)])]
    path = save(gpd.GeoDataFrame({"户数": [1, 2]}, geometry=shapes, crs=ZONE_38), tmp_path / "a.gpkg")
    read = read_households(path)
    assert list(read.table.geom_type) == ["Point", "Point"]
    assert message(read, "household_geometry") == "a.gpkg/a 第 1 行是线，按其中一点计"


def test_without_a_column_of_counts_each_row_is_one_household_and_said(tmp_path):
    read = read_households(save(houses().drop(columns="户数"), tmp_path / "a.gpkg"))
    assert list(read.table["households"]) == [1, 1, 1]
    assert "没有户数字段，每行按 1 户计（共 3 行）" in message(read, "household_count_absent")


@pytest.mark.parametrize("name", ["户数", "总户数", "HS", "户数（户）", "households", "ZTS"])
def test_counts_are_known_by_many_names(tmp_path, name):
    read = read_households(save(houses().rename(columns={"户数": name}), tmp_path / "a.gpkg"))
    assert list(read.table["households"]) == [1, 2, 3]


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("building", ["楼栋", "栋", "自然幢号", "building"]),
        ("stair", ["单元", "单元号", "DYH"]),
        ("group_name", ["组", "村民小组", "所在组"]),
        ("village_name", ["村", "行政村", "ZLDWMC"]),
        ("village_code", ["村代码", "ZLDWDM", "行政村代码"]),
        ("group_code", ["组代码", "ZJQYDM"]),
        ("household_key", ["住户编号", "房屋编码", "不动产单元号"]),
        ("address", ["地址", "门牌号", "坐落", "住址"]),
    ],
)
def test_columns_are_known_by_many_names(tmp_path, column, names):
    for name in names:
        table = houses().drop(columns="地址").assign(**{name: "１４a"})
        read = read_households(save(table, tmp_path / f"{names.index(name)}.gpkg"))
        assert set(read.table[column]) == {"14a"}, name


def test_of_a_file_of_many_layers_the_one_of_houses_is_read(tmp_path):
    path = tmp_path / "county.gpkg"
    for name in ("streets", "Buildings2020", "plots"):
        save(houses(), path, layer=name, append=path.exists())
    assert set(read_households(path).table["source_file"]) == {"county.gpkg/Buildings2020"}
    assert set(read_households(path, layer="plots").table["source_file"]) == {"county.gpkg/plots"}


def test_many_layers_of_which_none_is_called_after_houses_are_refused(tmp_path):
    path = tmp_path / "county.gpkg"
    for name in ("a", "b"):
        save(houses(), path, layer=name, append=path.exists())
    with pytest.raises(InputError, match=r"看不出哪个图层是住户或房屋；现有图层：a、b；请用 layer"):
        read_households(path)


def test_a_folder_and_a_zip_are_read_whole(tmp_path):
    save(houses(), tmp_path / "f" / "房屋1.shp")
    save(houses(2), tmp_path / "f" / "房屋2.shp")
    assert len(read_households(tmp_path / "f").table) == 5
    with zipfile.ZipFile(tmp_path / "房屋.zip", "w") as bundle:
        for file in sorted((tmp_path / "f").iterdir()):
            bundle.write(file, file.name)
    read = read_households(tmp_path / "房屋.zip")
    assert len(read.table) == 5
    assert [file.name for file in read.files] == ["房屋.zip"]


def test_a_zip_of_a_table_is_read(tmp_path):
    csv(tmp_path / "住户.csv", f"户数,东坐标,北坐标\n2,{E},{N}\n")
    with zipfile.ZipFile(tmp_path / "住户.zip", "w") as bundle:
        bundle.write(tmp_path / "住户.csv", "住户.csv")
    assert read_households(tmp_path / "住户.zip", near=patches()).table["households"].tolist() == [2]


# --- nobody's name


@pytest.mark.parametrize("kind", ["shp", "csv"])
def test_columns_of_persons_stay_at_the_door_unless_asked_for(tmp_path, kind):
    table = houses(户主="张三", 联系电话="130", 身份证号="1407")
    if kind == "shp":
        path = save(table, tmp_path / "房屋.shp")
    else:
        path = tmp_path / "住户.csv"
        pd.DataFrame(table.drop(columns="geometry")).to_csv(path, index=False, encoding="gb18030")
    read = read_households(path)
    assert not read.table.astype("str").isin(["张三", "130", "1407"]).any().any()
    assert "户主、联系电话、身份证号" in message(read, "personal_columns_dropped")
    asked = read_households(path, personal=True).table
    assert set(asked["householder_name"]) == {"张三"}
    assert set(asked["phone"]) == {"130"}


# --- tables


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8", "utf-8-sig"])
def test_a_csv_with_coordinates_gives_points(tmp_path, encoding):
    path = csv(
        tmp_path / "a.csv", f"地址,户数,东坐标,北坐标\n甲,2,{E + 5},{N}\n乙,3户,,\n丙,1,0,0\n", encoding
    )
    read = read_households(path, near=patches())
    assert read.table.crs == ZONE_38
    assert list(read.table["households"]) == [2, 3, 1]
    assert read.table.geometry.isna().tolist() == [False, True, True]
    assert read.table.geometry.iloc[0].equals(Point(E + 5, N))
    assert not {"x", "y", "lon", "lat"} & set(read.table.columns)


def test_degrees_come_out_in_the_system_of_the_county(tmp_path):
    place = gpd.GeoSeries([Point(E, N)], crs=ZONE_38).to_crs(4490).iloc[0]
    path = csv(tmp_path / "a.csv", f"地址,经度,纬度\n甲,{place.x:.9f}°,{place.y:.9f}\n")
    read = read_households(path, near=patches())
    assert read.table.geometry.iloc[0].distance(Point(E, N)) < 0.01


def test_northing_in_the_column_x_is_understood(tmp_path):
    path = csv(tmp_path / "a.csv", f"地址,X,Y\n甲,{N},{E}\n")
    read = read_households(path, near=patches())
    assert read.table.geometry.iloc[0].equals(Point(E, N))
    assert "已对调" in message(read, "axis_swapped")


def test_eastings_without_zone_come_out_in_the_system_of_the_county(tmp_path):
    place = gpd.GeoSeries([Point(E + 50, N + 50)], crs=ZONE_38).to_crs(CM_114).iloc[0]
    path = csv(tmp_path / "a.csv", f"地址,东坐标,北坐标\n甲,{place.x},{place.y}\n")
    read = read_households(path, near=patches())
    assert read.table.geometry.iloc[0].distance(Point(E + 50, N + 50)) < 0.001


def test_coordinates_of_no_known_system_are_refused(tmp_path):
    path = csv(tmp_path / "a.csv", "地址,东坐标,北坐标\n甲,12,7\n")
    with pytest.raises(MissingDatumError):
        read_households(path)


def test_a_list_without_coordinates_keeps_its_rows_without_a_place(tmp_path):
    path = csv(tmp_path / "a.csv", "村,组,地址,户数\n南坡,一组,1号,2\n南坡,二组,2号,1\n")
    read = read_households(path, near=patches())
    assert read.table.geometry.isna().all()
    assert list(read.table["group_name"]) == ["一组", "二组"]
    assert read.table.crs == ZONE_38


def test_every_sheet_with_a_header_is_read_and_others_are_named(tmp_path):
    path = sheet(
        tmp_path / "住户.xlsx",
        一组=[["南坡村住户表"], ["地址", "户数"], ["1号", 2], ["2号", 3], [], ["合计", 5]],
        二组=[["地址", "户数"], ["3号", 1]],
        说明=[["由村会计填写"]],
    )
    read = read_households(path)
    assert list(read.table["households"]) == [2, 3, 1]
    assert list(read.table["source_file"]) == ["住户.xlsx/一组", "住户.xlsx/一组", "住户.xlsx/二组"]
    assert message(read, "household_total_row") == "住户.xlsx/一组 第 4 行是合计行，未作住户计"
    assert "住户.xlsx/说明 未读取" in message(read, "household_sheet_skipped")


def test_a_sum_is_left_out_wherever_in_the_row_it_says_so(tmp_path):
    path = sheet(tmp_path / "a.xlsx", 表=[["序号", "地址", "户数"], [1, "甲", 2], ["总 计：", "", 2]])
    assert list(read_households(path).table["households"]) == [2]


def test_a_house_called_after_a_sum_is_kept_where_it_has_a_place(tmp_path):
    path = csv(tmp_path / "a.csv", f"地址,户数,东坐标,北坐标\n合计,2,{E},{N}\n")
    assert list(read_households(path, near=patches()).table["households"]) == [2]


def test_counts_that_are_no_whole_numbers_are_missing_and_the_rows_stay(tmp_path):
    path = csv(tmp_path / "a.csv", "地址,户数\n甲,2.5\n乙,很多\n丙,-3\n丁,1e30\n戊,２户\n")
    counts = read_households(path).table["households"]
    assert counts.isna().tolist() == [True, True, False, True, False]
    assert counts.dropna().tolist() == [-3, 2]


def test_keys_too_long_for_a_number_are_not_taken_as_keys(tmp_path):
    path = sheet(
        tmp_path / "a.xlsx", 表=[["住户编号", "地址"], [140725100202010001, "甲"], [140725100202010002, "乙"]]
    )
    read = read_households(path)
    assert read.table["household_key"].isna().all()
    assert "未采用为住户编号" in message(read, "code_precision_lost")


def test_codes_of_villages_and_groups_are_text(tmp_path):
    path = sheet(
        tmp_path / "a.xlsx", 表=[["村代码", "组代码", "户数"], [int(VILLAGE), int(VILLAGE + "01"), 3]]
    )
    table = read_households(path).table
    assert table["village_code"].item() == VILLAGE
    assert table["group_code"].item() == VILLAGE + "01"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "甲,乙\n1,2\n", "没有住户的字段"),
        ("a.csv", "地址,户数\n合计,3\n", "没有任何住户"),
        ("a.zip", "no zip", "不是完好的 zip"),
        ("a.rar", "x", "不认识 a.rar"),
        ("a.xlsx", "no workbook", "打不开"),
    ],
)
def test_what_tells_of_no_houses_is_refused(tmp_path, name, content, words):
    with pytest.raises(InputError, match=words):
        read_households(csv(tmp_path / name, content))


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="找不到"):
        read_households(tmp_path / "a.csv")


def test_buildings_of_a_real_quarter_are_found_among_its_layers(shared):
    read = read_households(shared / "village_bubenec" / "bubenec.gpkg")
    assert len(read.table) == 144
    assert set(read.table.geom_type) == {"Polygon"}
    assert read.table["source_file"].iloc[0] == "bubenec.gpkg/buildings"
