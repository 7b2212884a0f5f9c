"""The service over a PostGIS database: the same doors, the same log."""

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.settings import Settings
from geo import workspace
from tests.api.conftest import PASSWORD, QUICK, PageClient, tables_with_register, user_client
from tests.geo.county import CRS, UPPER


@pytest.fixture
def url(postgis):
    made = postgis.database()
    workspace.write(made, tables_with_register(), crs=CRS)
    return made


def test_the_doors_and_the_log_are_those_of_a_file(url, tmp_path):
    settings = Settings(folder=tmp_path / "service", **QUICK)
    made = create_app(url, settings)
    with TestClient(made):
        chief = user_client(made, "admin", name="chief")
        assert chief.get("/readyz").json() == {"status": "ready"}
        made_user = chief.post("/api/v1/users", json={"name": "li", "role": "officer", "villages": [UPPER]})
        assert made_user.status_code == 201
        key = chief.post("/api/v1/keys", json={"label": "QGIS", "role": "reviewer"}).json()["key"]
        script = PageClient(made, headers={"Authorization": f"Bearer {key}"})
        actions = [row["action"] for row in script.get("/api/v1/audit").json()["rows"]]
        assert actions == ["key_created", "user_created", "login"]
        assert script.get("/api/v1/audit/verify").json()["whole"] is True
        assert PageClient(made).log_in("chief", "not the password").status_code == 401
        for odd in ("%00", "%F0%9F%92%A9", "%ff"):
            assert chief.get(f"/api/v1/users/{odd}").status_code == 404
            assert chief.delete(f"/api/v1/keys/{odd}").status_code == 404
            assert chief.get(f"/api/v1/audit?row_key={odd}").status_code in {200, 400}
    again = create_app(url, settings)
    with TestClient(again):
        assert PageClient(again).log_in("chief", PASSWORD).status_code == 200
        assert dict(chief.cookies)
        assert PageClient(again, cookies=dict(chief.cookies)).get("/api/v1/me").json()["name"] == "chief"
