import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.errors import InputError
from geo.exchange import coded, read, tables
from tests.geo.exchange.small import VILLAGE, message, parcels, patches, rights_frame, rules, save

CODES = [1407251002020100001 + i for i in range(3)]


def wide(text):
    return text.translate(str.maketrans("0123456789", "０１２３４５６７８９"))


@pytest.mark.parametrize("name", ["DK.gpkg", "DK.gdb", "DK.parquet", "DK.geojson", "high.gpkg"])
def test_codes_kept_as_integers_stay_whole_though_one_is_missing(tmp_path, name):
    table = parcels(DKBM=pd.array([*CODES, None], dtype="Int64"))
    path = tmp_path / name
    if name == "high.gpkg":  # heights are read another way
        table = table.set_geometry(table.geometry.force_3d(1))
    if name.endswith("parquet"):
        table.to_parquet(path)
    else:
        table = table.to_crs(4490) if name.endswith("json") else table
        modern = {"driver": "OpenFileGDB", "TARGET_ARCGIS_VERSION": "ARCGIS_PRO_3_2_OR_LATER"}
        save(table, path, layer="DK", **(modern if name.endswith("gdb") else {}))  # else it writes doubles
    found = read.parcels(path).table
    assert found["parcel_code"].tolist()[:3] == [str(code) for code in CODES]


def test_integers_of_a_database_table_stay_whole_and_are_no_error(tmp_path):
    frame = rights_frame().assign(DKBM=pd.array([*CODES, None], dtype="Int64"))
    path = tmp_path / "a.gpkg"
    save(frame, path, layer="CBDKXX")
    found = tables.read(path, "rights")
    assert found.table["parcel_code"].tolist()[:3] == [str(code) for code in CODES]
    assert "code_precision_lost" not in list(found.findings["rule"])


@pytest.mark.parametrize("name", ["DK.shp", "DK.gpkg"])
def test_parcel_codes_kept_as_doubles_are_refused(tmp_path, name):
    path = save(parcels(DKBM=[*map(float, CODES), np.nan]), tmp_path / name)
    with pytest.raises(
        InputError, match=r"^DK\.[^\n]*（图层 DK）的字段 DKBM 存为数字[^\n]*请将该字段改为文本型"
    ):
        read.parcels(path)


@pytest.mark.parametrize("field", ["ZLDWDM", "QSDWDM", "BSM"])
def test_survey_codes_kept_as_doubles_are_refused(tmp_path, field):
    path = save(patches(**{field: 1407251002020000000.0}), tmp_path / "DLTB.gpkg", layer="DLTB")
    with pytest.raises(InputError, match=rf"DLTB\.gpkg[^\n]*图层 DLTB[^\n]*字段 {field} 存为数字"):
        read.survey(path)


def test_short_codes_kept_as_doubles_lose_nothing(tmp_path):
    table = parcels(DKLB=[10.0, 21.0, np.nan, 99.0])
    found = read.parcels(save(table, tmp_path / "DK.gpkg")).table
    assert found["parcel_class"].fillna("").tolist() == ["10", "21", "", "99"]
    villages = patches(ZLDWDM=float(VILLAGE))
    found = read.survey(save(villages, tmp_path / "DLTB.gpkg", layer="DLTB")).table
    assert set(found["location_unit_code"]) == {VILLAGE}


@pytest.mark.parametrize("values", [[103, 101, 201, 1001], [103.0, 101.0, 201.0, 1001.0]])
def test_land_classes_kept_as_numbers_get_their_zero_back_and_it_is_told(tmp_path, values):
    reading = read.survey(save(patches(DLBM=values), tmp_path / "DLTB.gpkg", layer="DLTB"))
    assert reading.table["land_class"].tolist() == ["0103", "0101", "0201", "1001"]
    note = reading.findings[reading.findings["rule"] == "code_zero_restored"]
    assert note["severity"].tolist() == ["warning"]
    assert "DLBM" in note["message"].iloc[0]
    assert "3 行" in note["message"].iloc[0]


def test_a_text_of_three_digits_gets_no_zero(tmp_path):
    reading = read.survey(save(patches(DLBM="103"), tmp_path / "DLTB.gpkg", layer="DLTB"))
    assert set(reading.table["land_class"]) == {"103"}
    assert "code_zero_restored" not in rules(reading)


def test_an_older_surveys_classes_of_three_digits_stay(tmp_path):
    reading = read.baseline(save(patches(DLBM=113), tmp_path / "DLTB.gpkg", layer="DLTB"))
    assert set(reading.table["land_class"]) == {"113"}


def test_wide_digits_and_blanks_are_taken_off_and_counted_once_a_file(tmp_path):
    table = patches(DLBM=["0103 ", "０１０３", "\u30000103", "0103"], ZLDWDM=wide(VILLAGE + "0000000"))
    reading = read.survey(save(table, tmp_path / "DLTB.gpkg", layer="DLTB"))
    assert set(reading.table["land_class"]) == {"0103"}
    assert reading.table["patch_code"].tolist() == [f"{VILLAGE}-{i:04d}" for i in range(4)]
    assert rules(reading) == ["code_normalised"]
    said = message(reading, "code_normalised")
    assert "DLBM 3 个" in said
    assert "ZLDWDM 4 个" in said


def test_wide_codes_of_parcels_meet_their_registration(tmp_path):
    table = parcels(DKLB="１０")
    table["DKBM"] = table["DKBM"].map(wide)
    path = tmp_path / "CBDKXX.csv"
    frame = rights_frame()
    frame.assign(FBFBM=frame["FBFBM"].map(wide), SFQQQG="１").to_csv(path, index=False)
    reading = read.parcels(save(table, tmp_path / "DK.shp"), rights=path)
    assert reading.table["has_rights"].all()
    assert reading.table["share_based"].all()
    assert set(reading.table["parcel_class"]) == {"10"}
    assert set(reading.table["issuer_code"]) == {VILLAGE + "01"}
    assert rules(reading).count("code_normalised") == 2


@given(
    st.lists(st.one_of(st.none(), st.from_regex(r"[ 　]?[0-9０-９]{0,19}[ 　]?", fullmatch=True)), min_size=1)
)
def test_tidy_codes_are_tidy(values):
    once, count = coded.tidy(pd.Series(values, dtype="str"))
    twice, none = coded.tidy(once)
    pd.testing.assert_series_equal(once, twice)
    assert none == 0
    assert count <= len(values)
    assert once.dropna().str.fullmatch("[0-9]+").all()


def test_registrations_without_issuer_or_shares_say_so_and_the_parcels_code_stands_in(tmp_path):
    path = tmp_path / "CBDKXX.csv"
    rights_frame().drop(columns=["FBFBM", "SFQQQG"]).to_csv(path, index=False)
    reading = read.parcels(save(parcels(), tmp_path / "DK.shp"), rights=path)
    said = message(reading, "field_missing")
    assert "CBDKXX.csv" in said
    assert "没有字段 FBFBM、SFQQQG" in said
    assert set(reading.rights["issuer_code"]) == {VILLAGE + "01"}


def test_a_blank_issuer_of_a_registration_is_the_one_its_parcel_names(tmp_path):
    path = tmp_path / "CBDKXX.csv"
    frame = rights_frame()
    frame.loc[1, "FBFBM"] = ""
    frame.loc[2, ["DKBM", "FBFBM"]] = ["123", ""]
    frame.to_csv(path, index=False)
    reading = read.parcels(save(parcels(), tmp_path / "DK.shp"), rights=path)
    named = reading.rights.set_index("parcel_code")["issuer_code"]
    assert named[f"{VILLAGE}0100001"] == VILLAGE + "01"
    assert pd.isna(named["123"])
    assert "field_missing" not in rules(reading)


def test_a_file_read_without_a_role_keeps_its_integers_whole(tmp_path):
    table = gpd.GeoDataFrame({"N": pd.array([CODES[0], None], dtype="Int64")}, geometry=parcels(2).geometry)
    found = read.vector(save(table, tmp_path / "a.gpkg")).table
    assert found["N"].iloc[0] == CODES[0]
