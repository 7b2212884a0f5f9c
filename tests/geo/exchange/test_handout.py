"""Rows written as files piece by piece: whole, of one kind, and safe to open in a spreadsheet."""

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from geo import schema
from geo.errors import InputError
from geo.exchange.handout import FORMS, field_names, neutral, write
from tests.geo.county import CRS, county_tables

PIECES = schema.column_names("pieces")


def frames(table, size):
    return lambda: (table.iloc[at : at + size] for at in range(0, len(table), size))


def put(path, table, form, *, size=2):
    return write(
        frames(table, size),
        path,
        form=form,
        layer="pieces",
        columns=PIECES,
        crs=table.crs,
        geometry="MultiPolygon",
    )


@pytest.mark.parametrize(
    ("form", "read"), [("gpkg", gpd.read_file), ("fgb", gpd.read_file), ("parquet", gpd.read_parquet)]
)
def test_frames_of_any_size_make_one_file(tmp_path, form, read):
    pieces = county_tables()["pieces"]
    rows = []
    for size in (1, 2, 100):
        path = tmp_path / f"{size}{FORMS[form].suffix}"
        assert put(path, pieces, form, size=size) == 5
        rows.append(read(path).sort_values("piece_code").reset_index(drop=True))
    assert rows[0].geom_type.unique().tolist() == ["MultiPolygon"]
    for one in rows[1:]:
        assert one.drop(columns="geometry").equals(rows[0].drop(columns="geometry"))
        assert shapely.equals_exact(one.geometry.to_numpy(), rows[0].geometry.to_numpy(), tolerance=0).all()


@pytest.mark.parametrize("form", ["gpkg", "fgb", "parquet"])
def test_rows_without_a_place_are_rows_all_the_same(tmp_path, form):
    pieces = county_tables()["pieces"]
    shapes = pieces.geometry.to_numpy().copy()
    shapes[0], shapes[1] = None, shapely.MultiPolygon()
    path = tmp_path / f"rows{FORMS[form].suffix}"
    assert put(path, pieces.set_geometry(gpd.GeoSeries(shapes, crs=CRS)), form) == 5
    assert len((gpd.read_parquet if form == "parquet" else gpd.read_file)(path)) == 5


def test_a_text_too_long_for_a_shapefile_is_cut_between_letters(tmp_path):
    pieces = county_tables()["pieces"]
    pieces["class_reason"] = "长" * 200
    path = tmp_path / "pieces.zip"
    put(path, pieces, "shp")
    reasons = gpd.read_file(path)[field_names("pieces", PIECES)["class_reason"]]
    assert set(reasons) == {"长" * 84}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("=1", "'=1"), ("+1", "'+1"), ("@x", "'@x"), ("\tx", "'\tx"), ("村 =1", "村 =1"), ("", "")],
)
def test_what_a_spreadsheet_would_run_gets_an_apostrophe(text, wanted):
    assert neutral(text) == wanted


def test_a_form_nobody_knows_or_without_places_is_refused(tmp_path):
    with pytest.raises(InputError, match="格式"):
        put(tmp_path / "x", county_tables()["pieces"], "dwg")
    empty = lambda: iter([pd.DataFrame()])  # noqa: E731 - a function of no rows
    with pytest.raises(InputError, match="没有图形"):
        write(empty, tmp_path / "x", form="shp", layer="balance", columns=["code"], crs=None, geometry=None)
