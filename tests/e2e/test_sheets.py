"""Sheets by their page: made by a job, found in a list and on the map, opened and saved."""

import time

import pytest

from tests.e2e.conftest import until
from tests.geo.county import UPPER

READ = "() => document.querySelectorAll('#list .pages button').length"


def test_before_there_are_sheets_the_page_says_where_they_come_from(opened):
    page = opened("/sheets")
    page.route(
        "**/collections/sheets/items*",
        lambda route: route.fulfill(json={"type": "FeatureCollection", "features": [], "links": []}),
    )
    page.reload()
    page.get_by_text("还没有图幅").wait_for()
    assert (
        page.locator("#list").get_by_role("link", name="去出图").get_attribute("href")
        == "/tasks?process=sheets"
    )


@pytest.fixture(scope="module")
def made(standing):
    """A set of sheets of both villages, made once."""
    from tests.api.conftest import PASSWORD, PageClient  # noqa: PLC0415

    client = PageClient(standing.app, base_url=standing.address)
    client.log_in("主任", PASSWORD)
    asked = {"inputs": {"by": "village", "formats": ["pdf"]}}
    job = client.post(
        "/processes/sheets/execution", json=asked, headers={"Idempotency-Key": "e2e-sheets"}
    ).json()["jobID"]
    for _ in range(600):
        status = client.get(f"/jobs/{job}").json()
        if status["status"] in {"successful", "failed", "dismissed"}:
            break
        time.sleep(0.1)
    assert status["status"] == "successful", status["message"]
    return job


@pytest.mark.usefixtures("made")
def test_a_sheet_is_chosen_in_the_list_shown_on_the_map_and_saved(opened, tmp_path):
    page = opened(f"/sheets?village={UPPER}", "经办")
    until(page, READ)
    button = page.locator("#list .pages button").filter(has_text="块").last
    key = button.get_attribute("data-key")
    assert key.startswith(UPPER)
    button.click()
    page.locator("#chosen h2").wait_for()
    assert page.evaluate("() => taotuMap.layers.get('sheets').lit") == key
    assert f"sheet={key}" in page.url
    with page.expect_download() as told:
        page.locator("#chosen").get_by_role("link", name="下载", exact=False).first.click()
    told.value.save_as(tmp_path / "sheet.pdf")
    assert (tmp_path / "sheet.pdf").read_bytes()[:4] == b"%PDF"
    page.get_by_role("button", name="收起").click()
    assert page.locator("#chosen").inner_text() == ""
    assert "sheet=" not in page.url


@pytest.mark.usefixtures("made")
def test_a_sheet_of_an_address_is_open_when_the_page_is(opened):
    page = opened(f"/sheets?village={UPPER}")
    until(page, READ)
    key = page.locator("#list .pages button").last.get_attribute("data-key")
    page.goto(page.url.split("/sheets", maxsplit=1)[0] + f"/sheets?sheet={key}")
    page.locator("#chosen h2").wait_for()
    assert page.locator(f"[data-key='{key}']").get_attribute("aria-pressed") == "true"
    page.get_by_label("查图号、单元").fill("没有这样的图号")
    page.get_by_text("没有符合的图幅").wait_for()
