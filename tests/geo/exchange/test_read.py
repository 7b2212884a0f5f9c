import shutil

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import LineString, Point

from geo import schema
from geo.errors import MismatchError
from geo.exchange import read, vector
from geo.exchange.sources import Source
from tests.geo.exchange.jet4 import write_mdb
from tests.geo.exchange.small import (
    CM_114,
    CONTRACTORS,
    ISSUERS,
    RIGHTS,
    VILLAGE,
    ZONE_38,
    E,
    N,
    message,
    parcels,
    patches,
    rights_frame,
    rights_rows,
    rules,
    save,
)

SQUARE = [(0, 0), (10, 0), (10, 10), (0, 10), (0, 0)]


@pytest.fixture
def survey(tmp_path):
    return read.survey(save(patches(), tmp_path / "DLTB.shp")).table


@pytest.fixture
def mdb(tmp_path):
    issuers = [(VILLAGE + "01", "南坡村第一组", "王五")]
    contractors = [(row[2], "1", "张三", "140725199001010000", 4) for row in rights_rows()]
    tables = {"CBDKXX": (RIGHTS, rights_rows()), "FBF": (ISSUERS, issuers), "CBF": (CONTRACTORS, contractors)}
    return write_mdb(tmp_path / "1407252016.mdb", tables)


@pytest.mark.parametrize("name", ["DLTB.shp", "DLTB.gpkg", "county.gdb", "DLTB.parquet", "DLTB.geojson"])
def test_every_format_gives_the_same_survey(tmp_path, name):
    path = tmp_path / name
    if name.endswith("parquet"):
        patches().to_parquet(path)
    elif name.endswith("geojson"):
        save(patches(crs="EPSG:4326"), path)
    else:
        save(patches(), path, layer="DLTB", driver="OpenFileGDB" if name.endswith("gdb") else None)
    reading = read.survey(path)
    table = reading.table
    assert list(table.columns) == [*schema.column_names("survey"), "geometry"]
    assert table["patch_code"].tolist() == [f"{VILLAGE}-{i:04d}" for i in range(4)]
    assert set(table["patch_area_m2"]) == {10_000.0}
    assert set(table["location_unit_name"]) == {"南坡村"}
    assert reading.findings.empty
    assert reading.files
    assert all(file.is_file() for file in reading.files)
    expected = patches(crs=table.crs).geometry.to_numpy()
    assert shapely.hausdorff_distance(table.geometry.to_numpy(), expected).max() < 1e-6


def test_a_zip_is_read_as_what_it_holds_with_chinese_names(tmp_path):
    save(patches(), tmp_path / "in" / "三调" / "DLTB.shp")
    archive = shutil.make_archive(str(tmp_path / "寿阳"), "zip", tmp_path / "in")
    reading = read.survey(archive)
    assert len(reading.table) == 4
    assert set(reading.table["source_file"]) == {"寿阳.zip/三调/DLTB.shp"}
    assert [file.name for file in reading.files] == ["寿阳.zip"]


def test_the_survey_layer_is_found_among_others(tmp_path):
    path = tmp_path / "寿阳县.gpkg"
    for name in ("XZQ", "DLTBGX", "DLTB", "DLTBZJ"):
        save(patches(2 if name == "DLTB" else 1), path, layer=name)
    assert len(read.survey(path).table) == 2


def test_ridge_ratio_is_zero_where_empty(tmp_path):
    path = save(patches(KCXS=[0.068, None, 0.0, np.nan]), tmp_path / "DLTB.gpkg", layer="DLTB")
    assert read.survey(path).table["ridge_ratio"].tolist() == [0.068, 0, 0, 0]


def test_a_survey_without_area_is_read_and_told(tmp_path):
    reading = read.survey(save(patches().drop(columns="TBMJ"), tmp_path / "DLTB.shp"))
    assert reading.table["patch_area_m2"].isna().all()
    assert "TBMJ" in message(reading, "field_missing")


def test_one_county_of_a_province_can_be_asked_for(tmp_path):
    other = patches(ZLDWDM="1407241002020000000")
    both = pd.concat([patches(), other], ignore_index=True)
    path = save(both, tmp_path / "DLTB.gpkg", layer="DLTB")
    assert len(read.survey(path, county="140725").table) == 4
    with pytest.raises(MismatchError, match="没有代码 110101 的图斑；坐落单位县代码有：140724、140725"):
        read.survey(path, county="110101")


def test_fields_by_other_names_are_read_and_listed(tmp_path):
    renamed = patches().rename(
        columns={"DLBM": "dlbm", "TBBH": "图斑编号", "KCXS": "TKXS", "ZLDWDM": "坐落单位代码"}
    )
    reading = read.survey(save(renamed, tmp_path / "DLTB.shp"))
    assert reading.table["patch_code"].tolist()[0] == f"{VILLAGE}-0000"
    assert reading.table["ridge_ratio"].tolist() == [0.068] * 4
    assert rules(reading).count("field_matched_by_alias") == 1
    said = message(reading, "field_matched_by_alias")
    assert all(pair in said for pair in ("dlbm→DLBM", "图斑编号→TBBH", "TKXS→KCXS", "坐落单位代→ZLDWDM"))


def test_second_survey_fields_are_read_as_baseline(tmp_path):
    older = patches(DLBM="013").rename(columns={"ZLDWDM": "XZQDM"}).drop(columns="KCXS")
    table = read.baseline(save(older, tmp_path / "DLTB.shp")).table
    assert set(table["land_class"]) == {"013"}
    assert set(table["location_unit_code"]) == {VILLAGE + "0000000"}
    assert list(table.columns) == [*schema.column_names("baseline"), "geometry"]


def test_villages_and_groups_are_read(tmp_path):
    village = patches(1)[["BSM", "ZLDWDM", "ZLDWMC", "geometry"]].assign(DCMJ=10_000.0)
    table = read.villages(save(village, tmp_path / "CJDCQ.shp")).table
    assert table["village_code"].tolist() == [VILLAGE]
    group = patches(1)[["geometry"]].assign(ZJQYDM=VILLAGE + "01", ZJQYMC="第一组")
    assert read.groups(save(group, tmp_path / "ZJQY1407252016.shp")).table["group_code"].tolist() == [
        VILLAGE + "01"
    ]


def test_the_order_of_rows_does_not_change_which_code_a_row_gets(tmp_path):
    table = patches(TBBH="0001", BSM="7")
    turned = table.iloc[[2, 0, 3, 1]].reset_index(drop=True)
    one = read.survey(save(table, tmp_path / "a" / "DLTB.shp"))
    other = read.survey(save(turned, tmp_path / "b" / "DLTB.shp"))
    place = {
        code: shape.bounds for code, shape in zip(one.table["patch_code"], one.table.geometry, strict=True)
    }
    assert sorted(place) == [f"{VILLAGE}-0001", *(f"{VILLAGE}-0001~{n}" for n in (2, 3, 4))]
    assert place == {
        code: shape.bounds
        for code, shape in zip(other.table["patch_code"], other.table.geometry, strict=True)
    }
    assert rules(one).count("duplicate_code") == 4


def test_the_identifier_stands_in_for_a_missing_number(tmp_path):
    reading = read.survey(save(patches(TBBH=["0001", None, "", "0004"]), tmp_path / "DLTB.shp"))
    assert reading.table["patch_code"].tolist()[1] == f"{VILLAGE}-140725200100000001"


def test_a_row_without_any_number_is_a_finding(tmp_path):
    reading = read.survey(save(patches(2, TBBH=None, BSM=None), tmp_path / "DLTB.gpkg", layer="DLTB"))
    assert rules(reading).count("code_missing") == 2
    assert reading.table["patch_code"].is_unique


# Geometry: every row stays.


def test_a_row_without_geometry_stays_and_is_a_finding(tmp_path):
    table = patches()
    table.loc[1, "geometry"] = None
    table.loc[2, "geometry"] = shapely.Polygon()
    reading = read.survey(save(table, tmp_path / "DLTB.gpkg", layer="DLTB"))
    assert reading.table.geometry.isna().tolist() == [False, True, True, False]
    assert reading.findings["source_row"].tolist() == [1, 2]
    assert rules(reading) == ["geometry_missing"] * 2
    assert "第 2 行没有图形" in message(reading, "geometry_missing")


def drawn(tmp_path, kind, wkt):
    """A layer of one row drawn by WKT of any kind, through GDAL."""
    (tmp_path / "drawn.csv").write_text(f'DLBM,WKT\n0103,"{wkt}"\n')
    file = tmp_path / "drawn.vrt"
    file.write_text(
        f'<OGRVRTDataSource><OGRVRTLayer name="drawn"><SrcDataSource>{tmp_path / "drawn.csv"}</SrcDataSource>'
        f"<GeometryType>{kind}</GeometryType><LayerSRS>EPSG:4526</LayerSRS>"
        '<GeometryField encoding="WKT" field="WKT"/></OGRVRTLayer></OGRVRTDataSource>'
    )
    return vector.read(Source(file=file, layer=None, label="drawn", origin=file))


def test_heights_are_taken_off(tmp_path):
    table = patches()
    table = table.set_geometry(gpd.GeoSeries(shapely.force_3d(table.geometry, 900), crs=ZONE_38))
    reading = read.survey(save(table, tmp_path / "DLTB.gpkg", layer="DLTB"))
    assert not reading.table.has_z.any()
    assert rules(reading) == ["geometry_flattened"]
    assert reading.table.area.tolist() == pytest.approx([10_000] * 4)


@pytest.mark.parametrize("kind", ["wkbPolygonM", "wkbPolygonZM"])
def test_measures_are_taken_off(tmp_path, kind):
    ring = ", ".join(
        f"{E + x} {N + y} 5 7" if kind == "wkbPolygonZM" else f"{E + x} {N + y} 7" for x, y in SQUARE
    )
    read_layer = drawn(tmp_path, kind, f"POLYGON {'ZM' if kind == 'wkbPolygonZM' else 'M'} (({ring}))")
    shape = read_layer.table.geometry.item()
    assert (shape.has_z, shape.has_m) == (False, False)
    assert shape.area == 100
    assert read_layer.findings["rule"].tolist() == ["geometry_flattened"]


@pytest.mark.parametrize("kind", ["wkbCurvePolygon", "wkbUnknown"])
def test_arcs_are_read_as_lines(tmp_path, kind):
    turns = [(-50, 0), (0, 50), (50, 0), (0, -50), (-50, 0)]
    arc = ", ".join(f"{E + x} {N + y}" for x, y in turns)
    read_layer = drawn(tmp_path, kind, f"CURVEPOLYGON (CIRCULARSTRING ({arc}))")
    assert read_layer.table.geom_type.tolist() == ["Polygon"]
    assert read_layer.table["DLBM"].tolist() == ["0103"]
    assert read_layer.table.area.item() == pytest.approx(np.pi * 50**2, rel=1e-3)
    told = ["geometry_flattened"] if kind == "wkbCurvePolygon" else []  # else GDAL has done it unasked
    assert read_layer.findings["rule"].tolist() == told


def test_points_and_lines_among_polygons_are_errors(tmp_path):
    table = patches()
    table.loc[1, "geometry"] = Point(E, N)
    table.loc[2, "geometry"] = LineString([(E, N), (E + 1, N)])
    reading = read.survey(save(table, tmp_path / "DLTB.gpkg", layer="DLTB"))
    assert len(reading.table) == 4
    assert reading.findings["severity"].tolist() == ["error", "error"]
    assert "第 2 行是点" in message(reading, "geometry_kind")
    assert "第 3 行是线" in message(reading, "geometry_kind")


def test_a_ring_that_crosses_itself_is_left_as_drawn(tmp_path):
    table = patches(1)
    bow = shapely.Polygon([(E, N), (E + 10, N + 10), (E + 10, N), (E, N + 10)])
    table.loc[0, "geometry"] = bow
    assert read.survey(save(table, tmp_path / "DLTB.gpkg", layer="DLTB")).table.geometry.item().wkb == bow.wkb


# Coordinate systems.


def test_without_prj_the_zone_prefix_is_taken_and_told(tmp_path):
    reading = read.survey(save(patches(), tmp_path / "DLTB.shp", drop=[".prj"]))
    assert reading.table.crs.to_epsg() == 4526
    assert rules(reading) == ["crs_inferred"]


def test_a_prj_that_lies_is_found_out(tmp_path):
    path = save(patches().set_crs(CM_114, allow_override=True), tmp_path / "DLTB.shp")
    reading = read.survey(path)
    assert reading.table.crs.to_epsg() == 4526
    assert "CM 114E" in message(reading, "crs_inferred")


def test_a_layer_drawn_north_first_is_turned_round(tmp_path):
    table = patches()
    table = table.set_geometry(
        shapely.transform(table.geometry.to_numpy(), lambda xy: xy[:, ::-1]), crs=ZONE_38
    )
    reading = read.survey(save(table, tmp_path / "DLTB.shp", drop=[".prj"]))
    assert sorted(rules(reading)) == ["axis_swapped", "crs_inferred"]
    assert reading.table.total_bounds.tolist() == patches().total_bounds.tolist()


def test_parcels_come_in_the_surveys_system(tmp_path, survey):
    path = save(parcels(crs=CM_114), tmp_path / "DK.shp", drop=[".prj"])
    reading = read.parcels(path, near=survey)
    assert reading.table.crs == survey.crs
    assert {"crs_inferred", "crs_converted"} <= set(rules(reading))
    assert reading.table.total_bounds == pytest.approx(parcels().total_bounds, abs=1e-6)


def test_another_datum_is_an_error_and_not_shifted(tmp_path, survey):
    xian80 = parcels(crs="EPSG:4490").set_crs("EPSG:4610", allow_override=True).to_crs("EPSG:2362")
    reading = read.parcels(save(xian80, tmp_path / "DK.shp"), near=survey)
    found = reading.findings[reading.findings["rule"] == "datum_differs"]
    assert found["severity"].tolist() == ["error"]
    assert "西安80" in found["message"].item()
    assert reading.table.total_bounds == pytest.approx(parcels().total_bounds, abs=1e-3)


def test_parcels_of_another_county_are_refused(tmp_path, survey):
    path = save(parcels(village="140724100202", east=200_000), tmp_path / "DK.shp")
    with pytest.raises(MismatchError, match=r"县代码 140724，范围 .*与三调（县代码 140725，范围 .*不相交"):
        read.parcels(path, near=survey)


def test_one_township_that_lies_elsewhere_is_a_finding(tmp_path, survey):
    save(parcels(), tmp_path / "in" / "DK140725100.shp")
    save(parcels(village="140725101202", east=200_000), tmp_path / "in" / "DK140725101.shp")
    reading = read.parcels(tmp_path / "in", near=survey)
    assert len(reading.table) == 8
    assert "DK140725101.shp" in message(reading, "file_elsewhere")


def test_another_county_code_on_the_same_land_is_a_finding(tmp_path, survey):
    reading = read.parcels(save(parcels(village="140724100202"), tmp_path / "DK.shp"), near=survey)
    assert "140724" in message(reading, "county_differs")


# Registrations.


def test_parcels_are_joined_with_their_registration(tmp_path, mdb):
    reading = read.parcels(save(parcels(), tmp_path / "DK.shp"), rights=mdb)
    table = reading.table
    assert list(table.columns) == [*schema.column_names("parcels"), "geometry"]
    assert table["has_rights"].all()
    assert table["contractor_code"].tolist() == [row[2] for row in rights_rows()]
    assert table["contract_area_m2"].tolist() == [row[4] for row in rights_rows()]
    assert not table["share_based"].any()
    assert list(reading.rights.columns) == schema.column_names("rights")
    assert reading.issuers["issuer_name"].tolist() == ["南坡村第一组"]
    assert reading.contractors["member_count"].tolist() == [4] * 4
    assert {file.name for file in reading.files} >= {"DK.shp", "DK.dbf", "1407252016.mdb"}


@pytest.mark.parametrize("kind", ["mdb", "xlsx", "csv", "gbk.csv", "gpkg"])
def test_registrations_are_the_same_from_any_table(tmp_path, mdb, kind):
    frame = rights_frame()
    if kind == "mdb":
        path = mdb
    elif kind == "xlsx":
        path = tmp_path / "权属.xlsx"
        frame.to_excel(path, sheet_name="CBDKXX", index=False)
    elif kind == "gpkg":
        path = tmp_path / "权属.gpkg"
        save(frame, path, layer="CBDKXX")
    else:
        path = tmp_path / "CBDKXX.csv"
        frame.to_csv(path, index=False, encoding="gb18030" if kind == "gbk.csv" else "utf-8-sig")
    shapes = save(parcels(), tmp_path / "DK.shp")
    expected, reading = read.parcels(shapes, rights=mdb), read.parcels(shapes, rights=path)
    pd.testing.assert_frame_equal(reading.rights, expected.rights)
    pd.testing.assert_frame_equal(
        reading.table.drop(columns="geometry"), expected.table.drop(columns="geometry")
    )


def test_without_registrations_no_parcel_has_one_and_it_is_an_error(tmp_path):
    reading = read.parcels(save(parcels(), tmp_path / "DK.shp"))
    assert not reading.table["has_rights"].any()
    found = reading.findings[reading.findings["rule"] == "rights_missing"]
    assert found["severity"].tolist() == ["error"]
    assert reading.table["issuer_code"].tolist() == [VILLAGE + "01"] * 4  # DKBM's first fourteen digits


def test_of_several_registrations_the_first_contractor_counts_and_all_are_told(tmp_path):
    rows = [*rights_rows(), (*rights_rows()[1][:2], VILLAGE + "010000", *rights_rows()[1][3:])]
    file = write_mdb(tmp_path / "a.mdb", {"CBDKXX": (RIGHTS, rows)})
    reading = read.parcels(save(parcels(), tmp_path / "DK.shp"), rights=file)
    assert len(reading.table) == 4
    assert reading.table["contractor_code"].tolist()[1] == VILLAGE + "010000"
    assert len(reading.rights) == 5
    assert rules(reading).count("rights_duplicate") == 1


def test_registrations_without_a_parcel_are_counted_by_village(tmp_path):
    shares = [(*row[:7], "1") for row in rights_rows(3, village="140725100203")]
    file = write_mdb(tmp_path / "a.mdb", {"CBDKXX": (RIGHTS, [*rights_rows(6), *shares])})
    reading = read.parcels(save(parcels(), tmp_path / "DK.shp"), rights=file)
    found = reading.findings[reading.findings["rule"] == "rights_without_parcel"]
    assert found["village_code"].tolist() == [VILLAGE, "140725100203"]
    assert "有 2 条" in found["message"].iloc[0]
    assert "确权确股 3 条" in found["message"].iloc[1]
    assert reading.rights["share_based"].sum() == 3


def test_contract_area_is_taken_from_mu_where_there_is_no_other(tmp_path):
    path = tmp_path / "CBDKXX.csv"
    rights_frame().drop(columns="HTMJ").assign(HTMJM=[9.0, 1.5, 0, 3]).to_csv(path, index=False)
    reading = read.parcels(save(parcels(), tmp_path / "DK.shp"), rights=path)
    assert reading.table["contract_area_m2"].tolist() == [6000, 1000, 0, 2000]
    assert "contract_area_from_mu" in rules(reading)


def test_duplicated_parcels_all_stay_with_their_registration(tmp_path, mdb):
    twice = parcels(DKBM=[f"{VILLAGE}0100001"] * 2 + [f"{VILLAGE}0100002", f"{VILLAGE}0100003"])
    reading = read.parcels(save(twice, tmp_path / "DK.shp"), rights=mdb)
    assert reading.table["parcel_code"].tolist()[:2] == [f"{VILLAGE}0100001", f"{VILLAGE}0100001~2"]
    assert reading.table["has_rights"].all()
    assert reading.table["contractor_code"].nunique() == 3
    assert rules(reading).count("duplicate_code") == 2


@given(order=st.permutations(range(6)))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_registrations_does_not_matter(tmp_path, order):
    rows = [*rights_rows(), *((*row[:2], row[2][:-1] + "9", *row[3:]) for row in rights_rows(2))]
    path = tmp_path / "CBDKXX.csv"
    frame = pd.DataFrame(rows, columns=[column.name for column in RIGHTS])
    frame.iloc[list(order)].to_csv(path, index=False)
    shapes = tmp_path / "DK.shp"
    if not shapes.exists():
        save(parcels(), shapes)
    table = read.parcels(shapes, rights=path).table
    assert table["contractor_code"].tolist() == [row[2] for row in rights_rows()]


# Persons.


def test_persons_stay_at_the_door(tmp_path, mdb):
    reading = read.parcels(save(parcels(), tmp_path / "DK.shp"), rights=mdb)
    for table in (reading.table, reading.rights, reading.issuers, reading.contractors):
        values = table.drop(columns="geometry", errors="ignore").astype("str").to_numpy().ravel()
        assert not set(values) & {"张三", "李四", "王五", "140725199001010000"}
    said = message(reading, "personal_columns_dropped")
    assert all(name in said for name in ("DKDZ", "ZJRXM", "CBFMC", "CBFZJHM", "FBFFZRXM"))
    assert "张三" not in said


def test_persons_come_in_when_asked_for(tmp_path, mdb):
    reading = read.parcels(save(parcels(), tmp_path / "DK.shp"), rights=mdb, personal=True)
    assert set(reading.table["witness_name"]) == {"李四"}
    assert set(reading.table["neighbour_east"]) == {"张三"}
    assert set(reading.contractors["contractor_name"]) == {"张三"}
    assert "personal_columns_dropped" not in rules(reading)


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path, survey):
    for folder in ("甲镇", "乙镇"):
        save(parcels(), tmp_path / folder / "DK.shp")
    reading = read.parcels(tmp_path, near=survey)
    assert set(reading.table["source_file"]) == {"甲镇/DK.shp", "乙镇/DK.shp"}
    assert not reading.table.duplicated(["source_file", "source_row"]).any()
