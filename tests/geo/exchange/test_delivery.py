import shutil

import pandas as pd
import pytest

from geo.errors import InputError
from geo.exchange import delivery, read, tables
from tests.geo.exchange.jet4 import write_mdb
from tests.geo.exchange.small import (
    RIGHTS,
    VILLAGE,
    message,
    parcels,
    patches,
    rights_frame,
    rights_rows,
    rules,
    save,
)


@pytest.fixture
def folder(tmp_path):
    """Survey and confirmation side by side, as a county keeps them."""
    root = tmp_path / "资料"
    save(patches(), root / "三调" / "140725.gpkg", layer="DLTB")
    village = patches(1)[["ZLDWDM", "ZLDWMC", "geometry"]]
    save(village, root / "三调" / "140725.gpkg", layer="CJDCQ")
    save(patches(DLBM="013"), root / "二调" / "DLTB.shp")
    given = root / "140725寿阳县"
    save(parcels(2), given / "矢量数据" / "DK1407252016-1.shp")
    save(parcels(4).iloc[2:], given / "矢量数据" / "DK1407252016-2.shp")
    save(
        patches(1)[["geometry"]].assign(ZJQYDM=VILLAGE + "01", ZJQYMC="一组"),
        given / "矢量数据" / "ZJQY1407252016.shp",
    )
    save(parcels(1)[["geometry"]], given / "矢量数据" / "JZD1407252016.shp")
    (given / "权属数据").mkdir()
    write_mdb(given / "权属数据" / "1407252016.mdb", {"CBDKXX": (RIGHTS, rights_rows())})
    units = pd.DataFrame({"权属单位代码": [VILLAGE + "01"], "权属单位名称": ["南坡村一组"]})
    units.to_excel(given / "权属数据" / "1407252016权属单位代码表.xlsx", index=False)
    return root


def test_each_layer_and_table_is_found_by_its_name(folder):
    found = delivery.find(folder)
    assert found.survey.name == "140725.gpkg"
    assert found.villages.name == "140725.gpkg"
    assert found.baseline.relative_to(folder).as_posix() == "二调/DLTB.shp"
    assert [path.name for path in found.parcels] == ["DK1407252016-1.shp", "DK1407252016-2.shp"]
    assert found.groups.name == "ZJQY1407252016.shp"
    assert found.rights.name == "1407252016.mdb"
    assert found.issuers.name == "1407252016权属单位代码表.xlsx"
    assert found.findings.empty


def test_a_delivery_is_read_from_its_root(folder):
    reading = read.parcels(folder / "140725寿阳县", near=read.survey(folder).table)
    assert len(reading.table) == 4
    assert reading.table["has_rights"].all()
    assert set(reading.table["source_file"]) == {"DK1407252016-1.shp", "DK1407252016-2.shp"}
    assert reading.issuers["issuer_name"].tolist() == ["南坡村一组"]


def test_a_zipped_delivery_is_read_with_its_registrations(folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "140725寿阳县"), "zip", folder / "140725寿阳县")
    reading = read.parcels(archive)
    assert reading.table["has_rights"].tolist() == [True] * 4
    assert {file.name for file in reading.files} == {"140725寿阳县.zip"}


def test_an_older_survey_is_not_taken_for_the_present_one(folder):
    assert set(read.survey(folder).table["land_class"]) == {"0103"}
    assert set(read.baseline(folder).table["land_class"]) == {"013"}


def test_files_per_township_are_all_read(tmp_path):
    for number in (3, 1, 2):
        save(parcels(2, village=f"14072510{number}202"), tmp_path / f"DK14072510{number}.shp")
    table = read.parcels(tmp_path).table
    assert len(table) == 6
    assert table["source_file"].is_monotonic_increasing


def test_parts_in_different_systems_come_in_one(tmp_path):
    save(parcels(2), tmp_path / "DK140725100.shp")
    save(parcels(2, village="140725101202", crs="EPSG:4547"), tmp_path / "DK140725101.shp")
    reading = read.parcels(tmp_path)
    assert reading.table.crs.to_epsg() == 4526
    assert "crs_converted" in rules(reading)
    assert reading.table.total_bounds == pytest.approx(parcels(2).total_bounds, abs=1e-6)


def test_of_several_formats_one_is_taken_and_told(tmp_path):
    save(patches(3), tmp_path / "DLTB.shp")
    save(patches(3), tmp_path / "寿阳.gpkg", layer="DLTB")
    reading = read.survey(tmp_path)
    assert len(reading.table) == 3
    said = message(reading, "source_chosen")
    assert "选用 寿阳.gpkg" in said
    assert "未用 DLTB.shp" in said
    chosen = reading.findings[reading.findings["rule"] == "source_chosen"]
    assert chosen["source_file"].tolist() == ["寿阳.gpkg"]
    assert chosen["row_code"].tolist() == ["寿阳.gpkg"]


def test_two_different_surveys_are_not_chosen_between(tmp_path):
    save(patches(), tmp_path / "东" / "DLTB.shp")
    save(patches(), tmp_path / "西" / "DLTB.shp")
    with pytest.raises(InputError, match=r"有多个地类图斑 DLTB：东/DLTB\.shp、西/DLTB\.shp"):
        delivery.find(tmp_path)


def test_two_databases_are_not_chosen_between(folder):
    database = folder / "140725寿阳县" / "权属数据" / "1407252016.mdb"
    shutil.copy(database, database.with_name("1407252017.mdb"))
    with pytest.raises(InputError, match="有多个权属数据库"):
        delivery.find(folder)


def test_what_is_not_there_is_none(tmp_path):
    save(patches(), tmp_path / "DLTB.shp")
    found = delivery.find(tmp_path)
    assert (found.parcels, found.rights, found.villages, found.groups, found.baseline) == (
        (),
        None,
        None,
        None,
        None,
    )


def test_a_title_above_the_header_of_a_workbook_is_passed_over(tmp_path):
    frame = rights_frame()
    path = tmp_path / "a.xlsx"
    frame.to_excel(path, sheet_name="承包地块信息", index=False, startrow=2)
    read_table = tables.read(path, "rights")
    assert read_table.table["parcel_code"].tolist() == frame["DKBM"].tolist()


def test_codes_kept_as_numbers_in_a_workbook_are_an_error(tmp_path):
    frame = rights_frame().assign(DKBM=[1407251002020100001 + i for i in range(4)])
    path = tmp_path / "a.xlsx"
    frame.to_excel(path, sheet_name="CBDKXX", index=False)
    found = tables.read(path, "rights").findings
    assert found.loc[found["rule"] == "code_precision_lost", "severity"].tolist() == ["error"]
