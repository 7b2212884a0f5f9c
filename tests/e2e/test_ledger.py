"""The ledger by its page: sums that are those above them, at every level, and as files."""

import pandas as pd

from tests.e2e.conftest import until
from tests.geo.county import LOWER, UPPER

READ = "() => document.querySelectorAll('#rows tbody tr').length && !document.querySelector('main [role=status].none')"


def test_villages_add_up_to_the_county_and_one_leads_to_its_groups(opened):
    page = opened("/ledger")
    until(page, READ)
    page.get_by_text("面积平衡。").wait_for()
    assert "各行之和等于寿阳县的数" in page.locator("#proof").inner_text()
    assert "60.00" in page.locator("#rows tfoot").inner_text()  # 40,000 m²
    page.locator("#rows tbody tr").filter(has_text="上庄村").click()
    page.wait_for_url(f"**level=group&within={UPPER}")
    until(page, "() => document.querySelectorAll('#rows tbody tr').length === 1")
    assert "第一村民小组" in page.locator("#rows").inner_text()
    page.get_by_role("button", name="平方米").click()
    until(page, "() => document.querySelector('#rows').textContent.includes('20,000.00')")
    page.get_by_role("button", name="全部").click()
    until(page, "() => document.querySelectorAll('#rows tbody tr').length === 2")


def test_areas_that_do_not_add_up_are_told_loudly(opened):
    page = opened("/ledger?level=county")
    until(page, READ)

    def spoilt(route):
        answer = route.fetch()
        rows = answer.json()
        rows["rows"][0]["covered_m2"] += 0.01
        route.fulfill(response=answer, json=rows)

    page.route("**/api/v1/balance/village", spoilt)
    page.get_by_role("button", name="村", exact=True).click()
    page.get_by_role("alert").get_by_text("面积不平衡").wait_for()


def test_an_officer_begins_with_the_own_village(opened):
    page = opened("/ledger", "经办")
    until(page, READ)
    assert page.locator("#rows tbody tr").count() == 1
    assert LOWER not in page.content()


def test_the_list_of_a_village_is_saved_as_a_workbook(opened, tmp_path):
    page = opened(f"/ledger?level=group&within={UPPER}")
    until(page, READ)
    with page.expect_download() as told:
        page.locator("#files li").filter(has_text="图块清单").get_by_role("link", name="Excel").click()
    told.value.save_as(tmp_path / "pieces.xlsx")
    table = pd.read_excel(tmp_path / "pieces.xlsx", dtype=str, header=None, engine="openpyxl")
    text = table.to_csv()
    assert f"{UPPER}01-W-0001" in text
    assert LOWER not in text


def test_a_viewer_gets_the_lists_but_no_button_to_start_a_job(opened):
    page = opened("/ledger", "查看")
    until(page, READ)
    assert page.locator("#files li").count() == 2
    assert page.get_by_role("link", name="去生成").count() == 0
