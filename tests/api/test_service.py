"""The service over a small workspace of known content."""

import re

import pytest
from fastapi.testclient import TestClient
from shapely.geometry import box, shape

from api.errors import PROBLEM, STATUS
from api.main import app_from_environment, create_app
from geo import errors
from geo.webmap import outside_references
from tests.api.conftest import GONE
from tests.geo.county import (
    D_CODE,
    REASON,
    SLIVER_CODE,
    STRIP_CODE,
    UPPER,
    W_CODE,
    X_CODE,
    county_tables,
)

@pytest.fixture
def client(reading):
    return reading


def problem(answer, status):
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    body = answer.json()
    assert body["status"] == status
    assert re.search(r"[\u4e00-\u9fff]", body["title"])
    return body


def test_a_standing_service_says_so(client):
    assert client.get("/healthz").json() == {"status": "ok"}


def test_the_first_page_is_the_map_and_needs_nothing_from_outside(client):
    answer = client.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert outside_references(answer.text) == []
    assert W_CODE in answer.text


def test_a_browser_that_has_the_page_gets_it_not_again(client):
    tag = client.get("/").headers["etag"]
    again = client.get("/", headers={"If-None-Match": f'W/{tag}, "x"'})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/", headers={"If-None-Match": '"x"'}).status_code == 200


def test_collections_say_how_many_rows_they_have(client):
    listed = {one["id"]: one["numberMatched"] for one in client.get("/collections").json()["collections"]}
    assert listed == {"pieces": 5, "patches": 6, "villages": 2, "findings": 4, "balance": 5}


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
def test_pages_of_any_size_give_every_piece_once_in_order(client, limit):
    seen, following = [], f"/collections/pieces/items?limit={limit}"
    while following:
        answer = client.get(following)
        assert answer.headers["content-type"] == "application/geo+json"
        body = answer.json()
        assert body["numberMatched"] == 5
        assert body["numberReturned"] == len(body["features"]) <= limit
        seen += [feature["id"] for feature in body["features"]]
        following = next((link["href"] for link in body["links"] if link["rel"] == "next"), None)
    assert seen == sorted([W_CODE, X_CODE, STRIP_CODE, D_CODE, SLIVER_CODE])


def test_a_feature_has_the_table_s_numbers_and_its_place_in_degrees(client):
    (feature,) = client.get("/collections/pieces/items?limit=1").json()["features"]
    assert feature["properties"]["area_m2"] == 4000.00
    assert feature["properties"]["class_reason"] == REASON
    assert feature["properties"]["baseline_farmland_share"] is None
    piece = county_tables()["pieces"].to_crs("EPSG:4490").geometry[0]
    assert shape(feature["geometry"]).hausdorff_distance(piece) < 2e-7


def test_a_box_in_degrees_finds_what_lies_in_it_and_no_more(client):
    west, south, east, north = county_tables()["pieces"].to_crs("EPSG:4490").geometry[3].bounds
    inside = f"{west + 1e-5},{south + 1e-5},{east - 1e-5},{north - 1e-5}"
    body = client.get("/collections/pieces/items", params={"bbox": inside}).json()
    assert [feature["id"] for feature in body["features"]] == [D_CODE]
    assert (
        client.get("/collections/pieces/items", params={"bbox": "100,30,100.1,30.1"}).json()["features"] == []
    )


def test_balance_rows_come_without_a_place(client):
    body = client.get("/collections/balance/items").json()
    assert {feature["geometry"] for feature in body["features"]} == {None}
    assert body["numberReturned"] == 5


@pytest.mark.parametrize("bbox", ["1,2,3", "a,b,c,d", "10,0,5,1", "0,0,400,1", "nan,0,1,1", ""])
def test_a_box_that_means_nothing_is_refused(client, bbox):
    assert "bbox" in problem(client.get("/collections/pieces/items", params={"bbox": bbox}), 422)["detail"]


def test_a_box_over_a_table_without_places_is_refused(client):
    problem(client.get("/collections/balance/items?bbox=1,2,3,4"), 422)


@pytest.mark.parametrize("limit", ["0", "1001", "x"])
def test_a_limit_out_of_bounds_is_refused_by_name(client, limit):
    body = problem(client.get(f"/collections/pieces/items?limit={limit}"), 422)
    assert [flaw["field"] for flaw in body["errors"]] == ["limit"]


@pytest.mark.parametrize("layer", ["parcels", "contractors", "meta", "sqlite_master", "pieces'--"])
def test_layers_of_persons_and_of_the_program_are_not_served(client, layer):
    problem(client.get(f"/collections/{layer}/items"), 404)


def test_a_piece_answers_to_its_code_with_its_findings(client):
    body = client.get(f"/pieces/{W_CODE}").json()
    properties = body["properties"]
    assert properties["piece_code"] == W_CODE
    assert (properties["area_m2"], properties["net_area_m2"], properties["area_mu"]) == (
        4000.00,
        3728.00,
        6.00,
    )
    assert properties["register_status"] == "ISSUED"
    assert [one["rule"] for one in properties["findings"]] == ["parcel_overlap"]
    assert shape(body["geometry"]).area > 0


def test_a_code_printed_under_another_class_leads_to_the_piece(client):
    properties = client.get(f"/pieces/{W_CODE.replace('-W-', '-D-')}").json()["properties"]
    assert properties["piece_code"] == W_CODE
    assert properties["asked_code"] == W_CODE.replace("-W-", "-D-")


def test_a_superseded_code_still_resolves(client):
    answer = client.get(f"/pieces/{GONE}")
    assert answer.status_code == 200
    body = answer.json()
    assert body["geometry"] is None
    assert body["properties"]["piece_code"] == GONE
    assert body["properties"]["register_status"] == "SUPERSEDED"
    assert body["properties"]["state"] == "superseded"
    assert body["properties"]["patch_code"] == f"{UPPER}-00001"


def test_a_code_never_printed_is_not_found(client):
    assert f"{UPPER}01-W-0777" in problem(client.get(f"/pieces/{UPPER}01-W-0777"), 404)["detail"]


@pytest.mark.parametrize("code", ["1", "x' OR '1'='1", f"{UPPER}01-Z-0001"])
def test_what_is_no_code_is_refused(client, code):
    assert problem(client.get(f"/pieces/{code}"), 422)["title"] == "编号不合规则"


def test_the_balance_adds_up_on_every_row_of_every_level(client):
    for level, count in (("county", 1), ("village", 2), ("group", 2), ("township", 0)):
        rows = client.get(f"/balance/{level}").json()["rows"]
        assert len(rows) == count
        for row in rows:
            parts = row["covered_m2"] + row["block_m2"] + row["strip_m2"] + row["sliver_m2"]
            assert parts == pytest.approx(row["farmland_m2"], abs=0.005)
    assert client.get("/balance/county").json()["rows"][0]["farmland_mu"] == 60.00


@pytest.mark.parametrize("address", ["/balance/planet", "/docs", "/redoc", "/nowhere"])
def test_what_is_not_there_is_a_problem_in_chinese(client, address):
    problem(client.get(address), 404)


def test_a_method_that_is_not_meant_is_a_problem_in_chinese(client):
    problem(client.post("/healthz"), 405)


def test_the_description_of_the_service_names_no_outside_host(client):
    answer = client.get("/openapi.json")
    assert {"/", "/healthz", "/balance/{level}", "/pieces/{piece_code}"} <= set(answer.json()["paths"])
    assert "://" not in answer.text


def test_a_service_does_not_start_without_a_workspace(tmp_path, monkeypatch):
    with pytest.raises(errors.InputError):
        create_app(tmp_path / "none.gpkg")
    (tmp_path / "bad.gpkg").write_bytes(b"x")
    with pytest.raises(errors.WorkspaceError):
        create_app(tmp_path / "bad.gpkg")
    monkeypatch.delenv("TAOTU_WORKSPACE", raising=False)
    with pytest.raises(errors.InputError, match="TAOTU_WORKSPACE"):
        app_from_environment()


def test_a_service_starts_from_the_environment(path, monkeypatch):
    monkeypatch.setenv("TAOTU_WORKSPACE", str(path))
    with TestClient(app_from_environment()) as client:
        assert client.get("/healthz").status_code == 200


def test_every_error_has_its_row_in_the_table():
    kinds = [
        one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.GeoError)
    ]
    assert len(kinds) > 5
    for kind in kinds:
        assert any(parent in STATUS for parent in kind.__mro__)


def test_pieces_of_a_box_are_those_that_touch_it():
    tables = county_tables()
    touching = tables["pieces"].geometry.intersects(box(*tables["pieces"].geometry[3].bounds))
    assert list(tables["pieces"]["piece_code"][touching]) == [D_CODE]  # what the box test above rests on
