"""The delivery is in the standards' form, always the same bytes, and the one in the repository is this one."""

import struct
from dataclasses import replace

import pandas as pd
import pyogrio
import pytest
import shapely

from geo.exchange.dbf import Field, write_dbf
from geo.sample import SampleSettings, county, deliver
from tests.helpers import ROOT

COMMITTED = ROOT / "data_samples"
LIMIT_BYTES = 5_000_000


@pytest.fixture(scope="session")
def folder(messy, tmp_path_factory):
    target = tmp_path_factory.mktemp("样例县")
    deliver(messy, target)
    return target


def contents(folder):
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def shape_bytes(path):
    """Bytes of a file; a GeoPackage by its rows, as its pages depend on the library that wrote it."""
    if path.suffix == ".gpkg":
        layers = [pyogrio.read_dataframe(path, layer=name) for name, _ in pyogrio.list_layers(path)]
        return [
            (table.drop(columns="geometry").to_csv(), shapely.to_wkb(table.geometry.to_numpy()).tolist())
            for table in layers
        ]
    return path.read_bytes()


def test_the_same_county_gives_the_same_bytes(messy, folder, tmp_path):
    deliver(messy, tmp_path)
    one, other = contents(folder), contents(tmp_path)
    assert list(one) == list(other)
    assert [name for name in one if one[name].read_bytes() != other[name].read_bytes()] == []


def test_the_county_in_the_repository_is_what_the_generator_makes(folder):
    made = contents(folder)
    kept = {name: path for name, path in contents(COMMITTED).items() if not name.startswith(("README", "."))}
    assert list(kept) == list(made)
    assert [name for name in made if shape_bytes(made[name]) != shape_bytes(kept[name])] == []


def test_the_county_in_the_repository_is_small():
    assert sum(path.stat().st_size for path in contents(COMMITTED).values()) < LIMIT_BYTES


def test_delivering_again_over_a_delivery_changes_nothing(messy, folder):
    before = {name: path.read_bytes() for name, path in contents(folder).items()}
    deliver(messy, folder)
    assert {name: path.read_bytes() for name, path in contents(folder).items()} == before


def test_files_are_named_and_placed_as_deliveries_are(folder):
    names = set(contents(folder))
    assert {
        "三调/DLTB.shp", "三调/CJDCQ.shp", "三调/140725三调.gpkg", "二调/DLTB.shp",
        "140725寿阳县/矢量数据/DK140725100.shp", "140725寿阳县/矢量数据/DK140725101.shp",
        "140725寿阳县/权属数据/1407252016.xlsx", "140725寿阳县/权属数据/1407252016权属单位代码表.xlsx",
        "truth/truth.gpkg", "truth/truth_flaws.csv", "说明.txt",
    } <= names  # fmt: skip
    assert not any(name.endswith(".cpg") for name in names)  # one of the flaws
    assert "140725寿阳县/矢量数据/DK140725101.prj" not in names


def test_a_shapefile_reads_back_as_it_was(messy, folder):
    read = pyogrio.read_dataframe(folder / "三调" / "DLTB.shp", encoding="GBK")
    assert list(read["DLBM"]) == list(messy.survey["land_class"])
    assert list(read["ZLDWMC"]) == list(messy.survey["location_unit_name"])
    assert list(read["TBMJ"]) == list(messy.survey["patch_area_m2"])
    assert read.crs.to_epsg() == 4526
    same = shapely.area(
        shapely.symmetric_difference(read.geometry.to_numpy(), messy.survey.geometry.to_numpy())
    )
    assert same.max() < 0.001


def test_one_township_is_three_dimensional_the_other_has_no_zone_in_its_eastings(messy, folder):
    parcels = folder / "140725寿阳县" / "矢量数据"
    first = pyogrio.read_dataframe(parcels / "DK140725100.shp", encoding="GBK")
    second = pyogrio.read_dataframe(parcels / "DK140725101.shp", encoding="GBK")
    assert first.geometry.dropna().has_z.all()
    assert 38e6 < first.total_bounds[0] < 39e6
    assert 0 < second.total_bounds[0] < 1e6
    assert second.crs is None
    assert len(first) + len(second) == len(messy.parcels)


def test_tables_keep_long_codes_as_text(messy, folder):
    book = folder / "140725寿阳县" / "权属数据" / "1407252016.xlsx"
    rights = pd.read_excel(book, sheet_name="CBDKXX", dtype=str, engine="openpyxl")
    assert list(rights["DKBM"]) == list(messy.rights["parcel_code"])
    assert (rights["SFQQQG"] == "1").sum() == messy.rights["share_based"].sum()
    assert pd.read_excel(book, sheet_name="CBF", dtype=str, engine="openpyxl")["CBFBM"].str.len().eq(18).all()


def test_a_clean_delivery_says_its_encoding_and_can_hold_group_borders(tmp_path):
    made = county(SampleSettings(villages=1, seed=2, patches_per_village=50))
    deliver(made, tmp_path, groups=True)
    assert (tmp_path / "三调" / "DLTB.cpg").read_text() == "GBK"
    groups = pyogrio.read_dataframe(tmp_path / "140725寿阳县" / "矢量数据" / "ZJQY1407252016.shp")
    assert list(groups["ZJQYDM"]) == list(made.groups["group_code"])
    assert not pd.read_csv(tmp_path / "truth" / "truth_flaws.csv").size


def test_a_village_in_another_datum_has_a_file_of_its_own(messy, tmp_path):
    code = messy.parcels["survey_village"].iloc[0]
    row = {"kind": "xian80_village", "layer": "parcels", "code": code, "note": ""}
    other = replace(messy, truth_flaws=pd.concat([messy.truth_flaws, pd.DataFrame([row])], ignore_index=True))
    deliver(other, tmp_path)
    path = tmp_path / "140725寿阳县" / "矢量数据" / f"DK{code[:9]}-2.shp"
    assert "Xian_1980" in path.with_suffix(".prj").read_text()
    assert pyogrio.read_info(path)["features"] == (messy.parcels["survey_village"] == code).sum()


def test_a_table_has_the_lengths_and_the_date_it_was_given(tmp_path):
    fields = (Field("NAME", "C", 4, 0, "name"), Field("AREA", "N", 8, 2, "area"), Field("NONE", "C", 2, 0))
    write_dbf(pd.DataFrame({"name": ["甲乙丙", None], "area": [1.005, None]}), fields, tmp_path / "t.dbf")
    data = (tmp_path / "t.dbf").read_bytes()
    assert data[1:4] == bytes((120, 1, 1))
    assert struct.unpack("<IHH", data[4:12]) == (2, 33 + 3 * 32, 15)
    rows = data[33 + 3 * 32 :]
    assert rows[:15] == b" " + "甲乙".encode("gbk") + b"    1.00" + b"  "
    assert rows[15:30] == b" " * 15
    assert rows.endswith(b"\x1a")
