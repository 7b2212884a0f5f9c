"""A service over a small county in a thread of its own and one browser, for all tests of a worker; pages by role."""

import uuid
from urllib.parse import urlsplit

import pytest

from api.main import create_app
from api.settings import Settings
from geo import workspace
from tests.api.conftest import PASSWORD, QUICK, tables_with_register
from tests.geo.county import CRS, UPPER, moved_county_tables
from tests.geo.map_service import served

DESK = {"width": 1440, "height": 900}
PEOPLE = {
    "主任": ("admin", None),
    "审核": ("reviewer", None),
    "经办": ("officer", [UPPER]),
    "查看": ("viewer", None),
}


class Standing:
    """The service: its address, its app, and the sessions that were opened."""

    def __init__(self, address, app):
        self.address = address
        self.app = app
        self.cookies = {}


@pytest.fixture(scope="session")
def standing(tmp_path_factory):
    path = tmp_path_factory.mktemp("e2e") / "county.gpkg"
    moved = moved_county_tables()
    shifted = {name: moved[name] for name in ("parcels", "parcels_original", "shifts")}
    workspace.write(path, tables_with_register() | shifted, crs=CRS)
    app = create_app(path, Settings(**QUICK))
    for name, (role, villages) in PEOPLE.items():
        app.state.accounts.add_user(
            name, role=role, by="test", villages=villages, password=PASSWORD, must_change=False
        )
    with served(app) as address:
        yield Standing(address, app)


@pytest.fixture
def opened(standing, browser):
    """``opened(path, who, …)``: a page, logged in; what goes wrong on it or leaves the service fails the test."""
    watched = []

    def open_page(path, who="主任", *, viewport=None, expected=(), **kind):
        context = browser.new_context(locale="zh-CN", viewport=viewport or DESK, **kind)
        context.set_default_timeout(30_000)  # a busy machine starts a page slowly
        if who is not None:
            context.add_cookies([_cookie(standing, who)])
        page = context.new_page()
        wrong, asked = [], []
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", lambda request: asked.append(request.url))
        watched.append((context, wrong, asked, list(expected)))
        page.wrong, page.asked = wrong, asked
        page.goto(standing.address + path)
        return page

    yield open_page
    host = urlsplit(standing.address).netloc
    for context, wrong, asked, expected in watched:
        context.close()
        outside = [
            url for url in asked if not url.startswith(("data:", "blob:")) and urlsplit(url).netloc != host
        ]
        assert outside == []
        assert [line for line in wrong if not any(word in line for word in expected)] == []


def _cookie(standing, who):
    """A session of somebody, made without the login page."""
    if who not in standing.cookies:
        _, token = standing.app.state.accounts.login(who, PASSWORD, address=f"test-{uuid.uuid4().hex[:6]}")
        standing.cookies[who] = token
    return {"name": "taotu_session", "value": standing.cookies[who], "url": standing.address}


def until(page, expression, *given):
    """Wait for what is asked; Playwright's own waiting makes code of texts in the page, which the policy bars."""
    for _ in range(1000):
        if page.evaluate(expression, *given):
            return
        page.wait_for_timeout(20)
    raise AssertionError(expression)
