"""The shells of the pages: made here, complete, for the right eyes, with nothing from outside."""

import re

import pytest

from api.pages import PLACES
from geo.assets import OWN_FOLDERS, static_files
from tests.geo.county import LOWER, UPPER

HREFS = [place.href for place in PLACES]
OUTSIDE = re.compile(r"(?:https?:)?//[a-z0-9][^\s\"'`)]*", re.IGNORECASE)
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, which nothing asks for
HTML = {"Accept": "text/html"}


def outside(text):
    """Addresses in markup, styles and scripts that lead away, comments of scripts left out."""
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"^\s*//.*$|(?<=[\s;])// .*$", "", text, flags=re.MULTILINE)
    return [one for one in OUTSIDE.findall(text.replace(NAMESPACE, "")) if one.startswith(("http", "//"))]


@pytest.mark.parametrize("href", HREFS)
def test_a_page_and_all_it_loads_come_from_the_service(reading, href):
    page = reading.get(href, headers=HTML)
    assert page.status_code == 200
    assert outside(page.text) == []
    loaded = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert any(one.startswith("/static/service/service.js") for one in loaded)
    for address in loaded:
        asset = reading.get(address)
        assert asset.status_code == 200, address
        assert "immutable" in asset.headers["cache-control"], address
        if "/service/" in address or "/map/" in address:
            assert outside(asset.text) == [], address


@pytest.mark.parametrize("href", HREFS)
def test_every_script_in_a_page_bears_the_nonce_of_its_answer(reading, href):
    page = reading.get(href, headers=HTML)
    (nonce,) = re.findall(r"script-src [^;]*'nonce-([^']+)'", page.headers["content-security-policy"])
    inline = re.findall(r"<script(?![^>]*\ssrc=)(?![^>]*application/json)([^>]*)>", page.text)
    assert all(f'nonce="{nonce}"' in attributes for attributes in inline)
    assert page.headers["cache-control"].startswith("no-store")
    # Attributes that run script would be refused by the policy: there are none.
    assert not re.search(r"<[^>]+\son[a-z]+=", page.text)


def test_no_script_of_ours_makes_markup_of_text():
    for folder in OWN_FOLDERS:
        for path in (static_files() / folder).glob("*.js"):
            text = path.read_text(encoding="utf-8")
            made = re.findall(
                r"insertAdjacentHTML|outerHTML\s*=|innerHTML\s*=|document\.write|\beval\(", text
            )
            assert made == [], path.name


@pytest.mark.parametrize("role", ["viewer", "officer", "reviewer", "admin"])
def test_each_role_is_given_its_pages_and_refused_the_others(as_role, role):
    client = as_role(role)
    rank = ("viewer", "officer", "reviewer", "admin")
    for place in PLACES:
        answer = client.get(place.href, headers=HTML)
        may = rank.index(role) >= rank.index(place.role)
        assert answer.status_code == (200 if may else 403), place.href
        assert (f'href="{place.href}"' in client.get("/", headers=HTML).text) is may


def test_a_refusal_is_told_on_a_page_to_people_and_as_a_problem_to_programs(as_role):
    viewer = as_role("viewer")
    page = viewer.get("/system", headers=HTML)
    assert page.status_code == 403
    assert page.headers["content-type"].startswith("text/html")
    assert "需要管理员权限" in page.text
    assert 'href="/"' in page.text
    assert viewer.get("/system").headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("href", HREFS)
def test_who_has_not_logged_in_is_led_to_the_way_in_and_back(nobody, href):
    answer = nobody.get(href, headers=HTML, follow_redirects=False)
    assert answer.status_code in {302, 303, 307}
    assert answer.headers["location"].startswith("/login")


def test_a_page_holds_no_land_when_it_is_sent(reading):
    for href in HREFS:
        text = reading.get(href, headers=HTML).text
        assert UPPER not in text
        assert "上庄村" not in text


def test_tiles_of_a_page_have_the_version_of_whoever_asks(as_role):
    marks = {}
    for name, villages in (("whole", None), ("upper", [UPPER]), ("lower", [LOWER])):
        text = as_role("officer", villages).get("/map", headers=HTML).text
        (marks[name],) = set(re.findall(r"/tiles/pieces/\{z\}/\{x\}/\{y\}\.mvt\?v=([^\"]+)", text))
    assert len(set(marks.values())) == 3


@pytest.mark.parametrize("of", ["survey", "pieces", "shift", "nothing", "<script>"])
def test_a_comparison_nobody_knows_is_the_usual_one(reading, of):
    page = reading.get("/compare", params={"of": of}, headers=HTML)
    assert page.status_code == 200
    assert "<script>&lt;" not in page.text
    assert page.text.count('aria-current="true"') == 1


def test_texts_of_data_cannot_end_their_element(reading, monkeypatch):
    hostile = "</script><b>"
    monkeypatch.setattr("api.routes.pages.county_name", lambda _: hostile)
    monkeypatch.setattr("api.routes.pages.codes_told", lambda *_: {"state": {"x": hostile}})
    text = reading.get("/", headers=HTML).text
    assert hostile not in text
    assert "&lt;/script&gt;&lt;b&gt;" in text
    assert '"x":"\\u003c/script' in text
