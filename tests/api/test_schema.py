"""The service does as its description says: every route, with values it asks for and with values it does not.

Routes of a router in ``api.main.ROUTERS`` are found here by themselves. No answer may be
a fault of the server, none of a status or form the description does not name.
"""

import shutil

import hypothesis
import pytest
import schemathesis
from fastapi.testclient import TestClient
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.limits import JobSettings
from api.main import ROUTERS, create_app
from api.settings import Settings
from tests.api.conftest import PASSWORD, QUICK
from tests.geo.county import UPPER, W_CODE

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = 5  # of each kind and route: the machine of the tests is small
# Values that lead somewhere; a random one is not found.
KNOWN = {
    "layer": "pieces",
    "collection_id": "pieces",
    "name": "chief",
    "piece_code": W_CODE,
    "level": "village",
}

OPERATIONS = sorted(
    {
        (route.path.replace(":path}", "}"), method.lower())
        for router in ROUTERS
        for route in router.routes
        for method in route.methods - {"HEAD"}
        if route.include_in_schema
    }
)


@pytest.fixture(scope="module")
def app(county, tmp_path_factory):
    path = shutil.copy(county, tmp_path_factory.mktemp("schema") / "county.gpkg")
    made = create_app(
        path, Settings(tries_of_address=10**9, tries_of_name=10**9, jobs=JobSettings(workers=0), **QUICK)
    )
    with TestClient(made):
        made.state.accounts.add_user("chief", role="admin", by="test", password=PASSWORD, must_change=False)
        made.state.accounts.add_user("li", role="officer", by="test", villages=[UPPER], password=PASSWORD)
        yield made


@pytest.fixture(scope="module")
def keys(app):
    """Headers of the administrator, and of an officer of one village."""
    made = {name: app.state.accounts.add_key(name, label="trial")[1] for name in ("chief", "li")}
    return {name: {"Authorization": f"Bearer {text}"} for name, text in made.items()}


@pytest.fixture(scope="module")
def description(app, keys):
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers=dict(keys["chief"]))


def tried(strategy, headers, examples):
    @hypothesis.settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def ask(case):
        case.validate_response(case.call(headers=dict(headers)), checks=CHECKS)

    ask()


@pytest.mark.parametrize(("address", "method"), OPERATIONS, ids=[f"{m.upper()} {p}" for p, m in OPERATIONS])
def test_every_answer_is_one_the_description_names(description, keys, address, method):
    operation = description[address][method]
    asked = operation.as_strategy(GenerationMode.POSITIVE)
    tried(asked, keys["chief"], EXAMPLES)
    if any(operation.iter_parameters()) or operation.body:
        tried(operation.as_strategy(GenerationMode.NEGATIVE), keys["chief"], EXAMPLES)
    named = {one.name for one in operation.path_parameters}
    if named and named <= set(KNOWN):
        known = {name: KNOWN[name] for name in named}
        asked = operation.as_strategy(GenerationMode.POSITIVE, path_parameters=known)
        tried(asked, keys["chief"], EXAMPLES)
    tried(asked, keys["li"], EXAMPLES // 2)


def test_routes_of_every_resource_are_tried():
    assert {"/api/v1/users", "/collections/{layer}/items", "/processes/report/execution"} <= {
        address for address, _ in OPERATIONS
    }
