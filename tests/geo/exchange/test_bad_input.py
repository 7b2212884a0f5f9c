"""Every bad input gets one clear line: what, where, what to do."""

import shutil

import pytest

from geo.errors import GeoError, InputError, MissingColumnError, MissingDatumError
from geo.exchange import read, tables
from tests.geo.exchange.small import CM_114, parcels, patches, rights_frame, save


def refused(call, *parts, kind=InputError):
    with pytest.raises(kind) as error:
        call()
    text = str(error.value)
    assert "\n" not in text
    assert "Traceback" not in text
    missing = [part for part in parts if part not in text]
    assert not missing, text


@pytest.fixture
def shp(tmp_path):
    return save(patches(), tmp_path / "DLTB.shp")


def test_a_missing_file(tmp_path):
    refused(lambda: read.survey(tmp_path / "没有.shp"), "找不到", "没有.shp", "请检查路径")


def test_a_folder_without_maps(tmp_path):
    (tmp_path / "说明.txt").write_text("x")
    refused(lambda: read.survey(tmp_path), "地类图斑 DLTB", "没有矢量文件")


def test_a_folder_without_the_layer(shp):
    refused(lambda: read.groups(shp.parent), "组级区域 ZJQY", "DLTB.shp")


@pytest.mark.parametrize("name", ["a.rar", "a.7z", "a.docx"])
def test_a_format_nobody_reads(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    refused(lambda: read.survey(tmp_path / name), name, ".gpkg", "" if name.endswith("docx") else "请先解压")


@pytest.mark.parametrize("suffix", [".dbf", ".shx"])
def test_a_shapefile_that_lacks_a_part(shp, suffix):
    shp.with_suffix(suffix).unlink()
    refused(lambda: read.survey(shp), f"DLTB{suffix}", "一并拷贝")


@pytest.mark.parametrize("suffix", [".shp", ".shx", ".dbf"])
def test_a_shapefile_cut_short(shp, suffix):
    part = shp.with_suffix(suffix)
    part.write_bytes(part.read_bytes()[:-10])
    refused(lambda: read.survey(shp), "DLTB", suffix.strip("."), "不完整", "请重新拷贝")


def test_a_shapefile_of_garbage(shp):
    shp.write_bytes(b"x" * 4000)
    refused(lambda: read.survey(shp), "DLTB.shp", "不是 shapefile")


@pytest.mark.parametrize("name", ["a.gpkg", "a.gdb", "a.parquet", "a.geojson", "a.zip"])
def test_a_file_of_garbage(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\3\4 garbage" * 400)
    refused(lambda: read.survey(tmp_path / name), name, "请重新")


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: data.replace(b"\x00\x00", b"\x07\x01")],
    ids=["cut short", "bytes flipped"],
)
def test_a_damaged_zip(tmp_path, shp, damage):
    archive = tmp_path / "a.zip"
    shutil.make_archive(str(archive.with_suffix("")), "zip", shp.parent, ".")
    archive.write_bytes(damage(archive.read_bytes()))
    refused(lambda: read.survey(archive), "a.zip", "请重新")


def test_an_empty_layer(tmp_path):
    path = save(patches().iloc[:0], tmp_path / "a.gpkg", layer="DLTB", geometry_type="Polygon")
    refused(lambda: read.survey(path), "a.gpkg/DLTB", "空图层")


def test_a_layer_name_that_is_not_there(tmp_path):
    path = save(patches(), tmp_path / "a.gpkg", layer="DLTB")
    save(patches(), path, layer="XZQ")
    refused(lambda: read.survey(path, layer="DLTB2019"), "没有图层 DLTB2019", "DLTB、XZQ")


def test_a_geodatabase_without_the_layer(tmp_path):
    path = save(patches(), tmp_path / "a.gpkg", layer="XZQ")
    save(patches(), path, layer="PDT")
    refused(lambda: read.survey(path), "地类图斑 DLTB", "现有图层：XZQ、PDT", "请用 layer 指定")


def test_several_layers_where_one_is_meant(tmp_path):
    path = save(patches(), tmp_path / "a.gpkg", layer="XZQ")
    save(patches(), path, layer="PDT")
    refused(lambda: read.vector(path), "有多个图层", "请用 layer 指定")


@pytest.mark.parametrize("field", ["DKBM", "DKLB"])
def test_a_parcel_layer_without_what_is_needed(tmp_path, field):
    path = save(parcels().drop(columns=field), tmp_path / "DK1407252016.shp")
    refused(
        lambda: read.parcels(path),
        "DK1407252016",
        f"缺少字段 {field}",
        "现有字段",
        "SCMJ",
        kind=MissingColumnError,
    )


def test_a_survey_without_land_classes(tmp_path):
    path = save(patches().drop(columns="DLBM"), tmp_path / "DLTB.shp")
    refused(lambda: read.survey(path), "缺少字段 DLBM", "TBMJ", kind=MissingColumnError)


def test_a_table_without_geometry(tmp_path):
    path = tmp_path / "a.gpkg"
    save(rights_frame(), path, layer="DLTB")
    refused(lambda: read.survey(path), "a.gpkg")


def test_a_bare_easting_without_prj(tmp_path):
    path = save(patches(crs=CM_114), tmp_path / "DLTB.shp", drop=[".prj"])
    refused(lambda: read.survey(path), "DLTB.shp", "中央经线", ".prj", kind=MissingDatumError)
    assert read.survey(path, crs=CM_114).table.crs.to_epsg() == 4547  # what the message asks for


def test_coordinates_of_no_place_without_prj(tmp_path):
    table = patches()
    table = table.set_geometry(table.translate(-38_000_000, -4_000_000))
    path = save(table, tmp_path / "DLTB.shp", drop=[".prj"])
    refused(lambda: read.survey(path), "DLTB.shp", ".prj", kind=MissingDatumError)


def test_a_system_nobody_knows(shp):
    refused(lambda: read.survey(shp, crs="EPSG:1"), "不认识坐标系 EPSG:1", "EPSG:4526")


def test_townships_where_villages_are_meant(tmp_path):
    table = patches(1)[["geometry"]].assign(XZQDM="140725100", XZQMC="朝阳镇")
    refused(lambda: read.villages(save(table, tmp_path / "XZQ.shp")), "XZQ.shp", "140725100", "CJDCQ")


def test_a_workbook_without_the_sheet(tmp_path):
    path = tmp_path / "权属.xlsx"
    rights_frame().to_excel(path, sheet_name="Sheet1", index=False)
    refused(lambda: tables.read(path, "rights"), "权属.xlsx", "承包地块信息 CBDKXX", "现有的表：Sheet1")


def test_a_sheet_without_a_header(tmp_path):
    path = tmp_path / "权属.xlsx"
    rights_frame().to_excel(path, sheet_name="CBDKXX", index=False, header=False)
    refused(lambda: tables.read(path, "rights"), "CBDKXX", "表头")


@pytest.mark.parametrize("name", ["a.xlsx", "a.xls", "a.mdb", "a.accdb", "a.gpkg"])
def test_a_table_file_of_garbage(tmp_path, name):
    (tmp_path / name).write_bytes(b"garbage" * 3000)
    refused(lambda: tables.read(tmp_path / name, "rights"), name, "请重新")


def test_registrations_without_parcel_codes(tmp_path):
    path = tmp_path / "CBDKXX.csv"
    rights_frame().drop(columns="DKBM").to_csv(path, index=False)
    refused(
        lambda: tables.read(path, "rights", needed=["DKBM"]), "CBDKXX.csv", "DKBM", kind=MissingColumnError
    )


def test_a_missing_table_file(tmp_path):
    shapes = save(parcels(), tmp_path / "DK.shp")
    refused(lambda: read.parcels(shapes, rights=tmp_path / "2016.mdb"), "找不到", "2016.mdb")


def test_every_refusal_is_of_one_family(tmp_path):
    with pytest.raises(GeoError):
        read.survey(tmp_path / "nothing")
