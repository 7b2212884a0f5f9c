"""Real layers of other countries, read as they are: counts, systems and flaws are known."""

import json

import geopandas as gpd
import pandas as pd
import pytest
from pyproj import CRS

from geo.errors import InputError
from geo.exchange import read


@pytest.mark.parametrize("country", ["fi", "bg", "si", "hr", "ch", "at"])
def test_farm_parcels_come_with_their_count_system_and_validity(shared, country):
    expected = pd.read_csv(shared / "lpis_samples" / "expected.csv").set_index("file").loc[country]
    table = read.vector(shared / "lpis_samples" / f"{country}.gpkg").table
    assert len(table) == expected["n"]
    assert table.crs == CRS(expected["crs"])
    assert (~table.geometry.is_valid).sum() == expected["invalid"]
    assert table.area.sum() == pytest.approx(expected["area_sum_m2"], abs=0.01)


def test_invalid_buildings_are_all_kept_as_drawn(shared):
    path = shared / "be_flanders_parcels" / "polygon-invalid.gpkg"
    table = read.vector(path).table
    assert len(table) == 70
    assert not table.geometry.is_valid.any()
    drawn = gpd.read_file(path)
    assert table.geometry.to_wkb().tolist() == drawn.geometry.to_wkb().tolist()


def test_the_one_empty_geometry_is_found(shared):
    reading = read.vector(shared / "be_flanders_parcels" / "polygon-parcel.gpkg")
    assert len(reading.table) == 48
    assert reading.table.geometry.isna().sum() == 1
    assert reading.findings["rule"].tolist().count("geometry_missing") == 1
    assert (reading.table["OPPERVL"] - reading.table.area).abs().max() < 1e-3


@pytest.mark.parametrize("village", ["252400", "246300", "249800", "245600"])
def test_swiss_villages_come_with_their_areas(shared, village):
    folder = shared / "ch_solothurn_villages"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))[village]
    path = folder / f"{village}.gpkg"
    for layer, name in (("landcover", "landcover"), ("parcels", "parcel")):
        table = read.vector(path, layer).table
        assert len(table) == expected[f"n_{layer}"]
        assert table.area.sum() == pytest.approx(expected[f"{name}_area_m2"], abs=0.01)
    with pytest.raises(InputError, match="有多个图层"):
        read.vector(path)


def test_a_french_commune_comes_with_its_areas(shared):
    folder = shared / "fr_cadastre_luxiol"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    table = read.vector(folder / "luxiol.gpkg", "parcels").table
    assert len(table) == expected["n_parcels"]
    assert table.area.sum() == pytest.approx(expected["parcel_area_m2"], abs=0.01)
