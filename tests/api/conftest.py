"""A service over a small county, and clients of every role.

``app`` and what hangs on it is made anew for each test; a module that only reads may
ask for ``reading`` instead, a client of the administrator that stands for the whole module.
"""

import secrets
import shutil
from datetime import UTC, datetime

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.settings import Settings
from geo import schema, workspace
from geo.store import open_store
from tests.geo.county import CRS, UPPER, county_tables

GONE = f"{UPPER}01-W-0009"  # printed once, then another piece took its place
PASSWORD = "correct horse battery"  # noqa: S105 - of every user made here

# Hashing is slow on purpose; tests of it make their own.
QUICK = {"hash_memory_kib": 8, "hash_passes": 1}


def tables_with_register():
    """Layers of the small county with the register of its codes."""
    tables = county_tables()
    rows = [
        {"piece_key": f"{code[:14]}-{code[-4:]}", "piece_code": code, "group_code": code[:14],
         "serial": int(code[-4:]), "patch_code": f"{UPPER}-00001", "status": status}
        for code, status in [*((code, "ISSUED") for code in tables["pieces"]["piece_code"]), (GONE, "SUPERSEDED")]
    ]  # fmt: skip
    return tables | {"code_register": schema.conform(pd.DataFrame(rows), "code_register")}


class Clock:
    """A clock that stands until it is told how much time passes by."""

    def __init__(self):
        self.now = datetime(2026, 3, 2, 8, 0, 0, 250, tzinfo=UTC)

    def __call__(self):
        """The time."""
        return self.now

    def pass_by(self, time):
        """Let some time pass by."""
        self.now += time


class PageClient(TestClient):
    """A client that, as the pages do, sends back the CSRF token of its session."""

    def log_in(self, name, password=PASSWORD):
        """Log in; the answer."""
        answer = self.post("/api/v1/login", json={"name": name, "password": password})
        if answer.status_code == 200:
            self.headers["X-CSRF-Token"] = answer.json()["csrf"]
        return answer


@pytest.fixture(scope="session")
def county(tmp_path_factory):
    """A workspace to copy, never to write to."""
    made = tmp_path_factory.mktemp("county") / "county.gpkg"
    workspace.write(made, tables_with_register(), crs=CRS)
    open_store(made).close()  # with its records, so that each copy need not add them
    return made


@pytest.fixture
def path(county, tmp_path):
    """A workspace of the test's own."""
    return shutil.copy(county, tmp_path / "county.gpkg")


@pytest.fixture
def settings():
    """Settings of the service; a module may override this fixture."""
    return Settings(**QUICK)


@pytest.fixture
def app(path, settings):
    """The service, standing: started, and closed at the end."""
    made = create_app(path, settings)
    with TestClient(made):
        yield made


def user_client(app, role, villages=None, *, name=None):
    """A logged-in client of a new user."""
    name = name or f"{role}-{secrets.token_hex(4)}"
    app.state.accounts.add_user(
        name, role=role, by="test", villages=villages, password=PASSWORD, must_change=False
    )
    client = PageClient(app, raise_server_exceptions=False)
    assert client.log_in(name).status_code == 200
    return client


@pytest.fixture
def as_role(app):
    """``as_role(role, villages=None, name=None)``: a logged-in client of a new user of that role."""
    return lambda role, villages=None, name=None: user_client(app, role, villages, name=name)


@pytest.fixture
def client(app):
    """A logged-in administrator."""
    return user_client(app, "admin", name="chief")


@pytest.fixture
def nobody(app):
    """A client that has not logged in."""
    return PageClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def reading(county, tmp_path_factory):
    """An administrator's client for tests of a module that change nothing."""
    path = shutil.copy(county, tmp_path_factory.mktemp("reading") / "county.gpkg")
    made = create_app(path, Settings(**QUICK))
    with TestClient(made):
        yield user_client(made, "admin", name="chief")
