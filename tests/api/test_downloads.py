"""A collection as a file: the same rows and numbers in every form, none of what the caller may not see."""

import io
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest

from api.routes import downloads
from geo import schema
from geo.exchange.handout import FORMS, field_names
from geo.store import EVERYTHING, Query
from geo.store.query import Compare
from tests.api.test_edits import PIECE, SEEN
from tests.api.test_items import problem
from tests.geo.county import D_CODE, LOWER, UPPER, W_CODE, X_CODE, county_tables


def get(client, layer="pieces", **asked):
    answer = client.get(f"/collections/{layer}/download", params=asked)
    assert answer.status_code == 200, answer.text
    return answer


def table(answer, form):
    held = io.BytesIO(answer.content)
    if form == "parquet":
        return (gpd if b"primary_column" in answer.content else pd).read_parquet(held)
    if form == "gpkg":  # GDAL goes by the ending
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "rows.gpkg")
            path.write_bytes(answer.content)
            return gpd.read_file(path)
    if form == "csv":
        return pd.read_csv(held, dtype=str, encoding="utf-8-sig")
    if form == "xlsx":
        return pd.read_excel(held, header=2, dtype=str, engine="calamine")
    return gpd.read_file(held)


@pytest.fixture
def client(reading):
    return reading


@pytest.mark.parametrize("form", ["gpkg", "parquet", "fgb", "shp"])
@pytest.mark.parametrize("layer", ["pieces", "parcels", "villages", "findings"])
def test_a_file_for_programs_holds_every_row_where_it_lies(client, layer, form):
    rows = table(get(client, layer, f=form), form)
    stored = county_tables()[layer]
    assert len(rows) == len(stored)
    assert rows.crs.to_epsg() == 4526
    code = {
        "pieces": "piece_code",
        "parcels": "parcel_code",
        "villages": "village_code",
        "findings": "finding_id",
    }[layer]
    name = field_names(layer, schema.column_names(layer))[code] if form == "shp" else code
    rows, stored = rows.sort_values(name), stored.sort_values(code)
    assert list(rows[name]) == list(stored[code])
    for one, other in zip(rows.geometry, stored.geometry, strict=True):
        assert (one is None) == (other is None)
        assert one is None or one.hausdorff_distance(other) < 1e-9
    if form != "shp":
        assert set(rows.columns) == {*schema.column_names(layer), "geometry"}


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_table_for_people_has_chinese_titles_and_codes_as_text(client, form):
    rows = table(get(client, f=form), form)
    assert list(rows.columns) == list(schema.titles("pieces").values())
    assert list(rows["图块编号"].dropna()) == list(county_tables()["pieces"]["piece_code"])
    assert rows["组代码"][0] == f"{UPPER}01"
    assert float(rows["面积"][0]) == 4000.0


def test_a_csv_opens_in_excel_as_it_is(client):
    content = get(client, f="csv").content
    assert content.startswith("\ufeff图块键".encode())
    assert content.count(b"\r\n") == 6


def test_a_shapefile_has_the_standards_names_and_says_its_encoding(client):
    archive = zipfile.ZipFile(io.BytesIO(get(client, f="shp").content))
    names = set(archive.namelist())
    assert {"pieces.shp", "pieces.shx", "pieces.dbf", "pieces.prj", "pieces.cpg", "字段说明.txt"} <= names
    assert archive.read("pieces.cpg").strip() == b"UTF-8"
    fields = field_names("pieces", schema.column_names("pieces"))
    assert (fields["piece_code"], fields["land_class"], fields["area_m2"]) == ("TKBH", "DLBM", "MJ")
    for layer in schema.LAYER_TITLES:
        told = list(field_names(layer, schema.column_names(layer)).values())
        assert len(set(told)) == len(told)
        assert max(map(len, told)) <= 10


@pytest.mark.parametrize("form", FORMS)
def test_a_filter_holds_for_a_file_too(client, form):
    rows = table(get(client, f=form, filter="area_m2 > 4500", sortby="-area_m2"), form)
    code = {"shp": "TKBH", "csv": "图块编号", "xlsx": "图块编号"}.get(form, "piece_code")
    assert sorted(rows[code].dropna()) == sorted([X_CODE, D_CODE])


def test_only_the_columns_that_were_asked_for_are_in_the_file(client):
    assert list(table(get(client, f="csv", properties="piece_code"), "csv").columns) == ["图块编号"]


@pytest.mark.parametrize("form", ["gpkg", "parquet", "csv", "xlsx"])
def test_a_collection_without_rows_or_places_is_a_file_too(client, form):
    assert get(client, "grids", f=form).content
    assert len(get(client, "balance", f=form).content) > 100


@pytest.mark.parametrize("form", FORMS)
def test_a_file_has_a_chinese_name_and_leaves_nothing_behind(client, form, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.tempfile, "tempdir", str(tmp_path))
    answer = get(client, f=form)
    assert f'filename="pieces{FORMS[form].suffix}"' in answer.headers["content-disposition"]
    assert "filename*=UTF-8''%E5%89%A9" in answer.headers["content-disposition"]
    assert answer.headers["cache-control"] == "private, no-store"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_nothing_behind(client, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(downloads, "write", lambda *_, **__: 1 / 0)
    assert client.get("/collections/pieces/download?f=csv").status_code == 500
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "asked",
    [{"f": "exe"}, {}, {"f": ""}, {"f": "../x"}, {"f": "csv", "limit": "5"}, {"f": "csv", "crs": "EPSG:4490"},
     {"f": "csv", "piece": "x"}, {"f": "csv", "filter": "1 ="}, {"f": "csv", "properties": ""}],
)  # fmt: skip
def test_a_download_that_means_nothing_is_refused(client, asked):
    problem(client.get("/collections/pieces/download", params=asked), 400)


@pytest.mark.parametrize("form", ["fgb", "shp"])
def test_a_table_without_places_is_no_map_file(client, form):
    problem(client.get(f"/collections/balance/download?f={form}"), 400)


def test_more_rows_than_a_form_is_made_for_are_refused(client, monkeypatch):
    few = {name: replace(form, most=4) for name, form in FORMS.items()}
    monkeypatch.setattr(downloads, "FORMS", few)
    assert "GeoPackage" in problem(client.get("/collections/pieces/download?f=xlsx"), 413)["detail"]


EVIL = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")']


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_no_text_becomes_a_formula(as_role, app, form):
    officer = as_role("officer")
    with app.state.store.write(actor="test") as change:
        for number, text in enumerate(EVIL):
            row = {
                "piece_key": f"{UPPER}01-{number:04d}",
                "village_code": UPPER,
                "state": "candidate",
                "place_name": text,
            }
            change.insert("cases", row)
    rows = table(get(officer, "cases", f=form), form)
    assert len(rows) == len(EVIL)
    for text in rows["地名"]:
        assert text.startswith("'")


def test_names_are_for_officers_of_the_village_and_their_download_is_in_the_log(as_role, app):
    officer, other, viewer = as_role("officer", [UPPER]), as_role("officer", [LOWER]), as_role("viewer")
    officer.patch(PIECE, json={"owner_name": "张三丰"}, headers=SEEN)
    for form in FORMS:
        if FORMS[form].spatial:
            continue
        assert len(table(get(viewer, "cases", f=form), form)) == 1
        assert "张三丰".encode() not in get(viewer, "cases", f=form).content
        assert b"owner_name" not in get(viewer, "cases", f=form).content
    assert "张三丰" not in get(other, "cases", f="csv").content.decode("utf-8-sig")
    before = app.state.store.head()[0]
    assert "张三丰" in get(officer, "cases", f="csv", state="candidate").content.decode("utf-8-sig")
    (entry,) = app.state.store.query(
        "audit", Query(where=Compare("seq", ">", before)), EVERYTHING
    ).rows.to_dict("records")
    assert (entry["action"], entry["layer"]) == ("download", "cases")
    assert "owner_name" in entry["after"]
    get(officer, "pieces", f="csv")
    assert app.state.store.head()[0] == before + 1, "a file without names is not told"


@pytest.mark.parametrize("form", FORMS)
def test_an_officer_gets_the_own_village_alone(as_role, form):
    rows = table(get(as_role("officer", [LOWER]), f=form), form)
    code = {"shp": "TKBH", "csv": "图块编号", "xlsx": "图块编号"}.get(form, "piece_code")
    assert W_CODE not in set(rows[code])
    assert len(rows) >= 2
