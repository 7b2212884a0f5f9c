"""The service over a small workspace of known content."""

import re

import pytest
from fastapi.testclient import TestClient

from api.errors import PROBLEM, STATUS
from api.main import app_from_environment, create_app
from geo import errors
from geo.webmap import outside_references

BROWSER = {"Accept": "text/html"}


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


def test_the_first_page_needs_nothing_from_outside(client):
    answer = client.get("/", headers=BROWSER)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert outside_references(answer.text) == []


def test_the_balance_adds_up_on_every_row_of_every_level(client):
    for level, count in (("county", 1), ("village", 2), ("group", 2), ("township", 0)):
        rows = client.get(f"/api/v1/balance/{level}").json()["rows"]
        assert len(rows) == count
        for row in rows:
            parts = row["covered_m2"] + row["block_m2"] + row["strip_m2"] + row["sliver_m2"]
            assert parts == pytest.approx(row["farmland_m2"], abs=0.005)
    assert client.get("/api/v1/balance/county").json()["rows"][0]["farmland_mu"] == 60.00


@pytest.mark.parametrize(
    "address", ["/api/v1/balance/planet", "/balance/county", "/pieces/1", "/docs", "/redoc", "/nowhere"]
)
def test_what_is_not_there_is_a_problem_in_chinese(client, address):
    problem(client.get(address), 404)


def test_a_method_that_is_not_meant_is_a_problem_in_chinese(client):
    problem(client.post("/healthz"), 405)


def test_the_description_of_the_service_names_no_outside_host(client):
    answer = client.get("/openapi.json")
    assert {"/", "/healthz", "/api/v1/balance/{level}", "/collections/pieces/items/{piece_code}"} <= set(
        answer.json()["paths"]
    )
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
