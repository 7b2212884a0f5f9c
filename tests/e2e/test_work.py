"""What officers do all day, in a real browser: log in, find, filter, decide, meet each other's changes, run jobs."""

import base64
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.api.conftest import GONE, PASSWORD
from tests.e2e.conftest import until
from tests.geo.county import D_CODE, STRIP_CODE, UPPER, W_CODE, X_CODE

LOADED = """() => {
    const layer = taotuMap.layers.get('pieces');
    return Object.keys(layer._vectorTiles).length && !layer.isLoading();
}"""
DRAWN = """() => Object.values(taotuMap.layers.get('pieces')._vectorTiles)
    .flatMap((tile) => [...tile.shapes()].filter((shape) => shape.options.stroke !== false))
    .map((shape) => shape.properties.piece_code)"""
# A place of the screen where a piece is on top.
SPOT = """() => {
    const { map, container } = taotuMap, steps = [0, 40, -40, 80, -80];
    for (const dx of steps) for (const dy of steps) {
        const at = map.latLngToContainerPoint(map.getCenter()).add([dx, dy]), frame = container.getBoundingClientRect();
        const [hit] = taotuMap.hits(map.containerPointToLatLng(at));
        if (hit?.layer === 'pieces') return [frame.left + at.x, frame.top + at.y];
    }
}"""
ASKED = """(part) => performance.getEntriesByType('resource')
    .filter((one) => new URL(one.name).pathname.endsWith(part)).map((one) => one.duration)"""


def test_a_wrong_password_is_told_and_the_right_one_leads_where_one_wanted_to_go(opened, standing):
    page = opened("/ledger", None, expected=("401",))
    assert page.url.endswith("/login?next=%2Fledger") or "/login?next=/ledger" in page.url
    page.get_by_label("用户名").fill("查看")
    page.locator("#login [name=password]").fill("not the password")
    page.get_by_role("button", name="登录").click()
    page.get_by_role("alert").filter(has_text=re.compile("密码")).wait_for()
    page.locator("#login [name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{standing.address}/ledger")
    page.get_by_role("button", name="退出").click()
    page.wait_for_url(f"{standing.address}/login")
    assert page.request.get(f"{standing.address}/api/v1/me").status == 401


def test_a_login_leads_to_no_other_site(opened, standing):
    page = opened("/login?next=https://example.invalid/", None)
    page.get_by_label("用户名").fill("查看")
    page.locator("#login [name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{standing.address}/")


def test_a_password_somebody_else_made_is_changed_first(opened, standing):
    standing.app.state.accounts.add_user(
        "新人", role="officer", by="test", villages=None, password=PASSWORD, must_change=True
    )
    page = opened("/login", None)
    page.get_by_label("用户名").fill("新人")
    page.locator("#login [name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    for label, text in (("新密码", "another horse battery"), ("再输一遍", "another horse battery")):
        page.get_by_label(label).fill(text)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{standing.address}/")
    page.get_by_text("新人").wait_for()


def test_a_code_is_found_while_it_is_typed_and_the_map_goes_there(opened):
    page = opened("/map")
    until(page, "() => taotuMap.overview?.features?.length === 2")
    box = page.get_by_role("combobox", name="查编号或村名")
    box.press_sequentially(W_CODE[-6:], delay=5)
    page.locator("#found li").filter(has_text=W_CODE).wait_for()
    assert page.evaluate(ASKED, "/search")[-1] < 1000
    box.press("Enter")
    page.get_by_role("heading", name=W_CODE).wait_for()
    assert page.get_by_text("4,000.00 m²").first.is_visible()
    assert page.get_by_text("6.00亩").first.is_visible()
    assert page.evaluate("() => taotuMap.map.getZoom()") >= 16
    assert page.evaluate("() => taotuMap.layers.get('pieces').lit") == W_CODE
    box.fill("上庄")
    page.locator("#found li").filter(has_text="上庄村").first.wait_for()
    box.press("Escape")
    assert page.locator("#found").is_hidden()


def test_an_old_code_leads_to_what_is_known_of_it(opened):
    page = opened(f"/map?piece={GONE}")
    page.get_by_role("heading", name=GONE).wait_for()
    page.get_by_text("此编号已不再使用").wait_for()


def drawn(page):
    """Codes of pieces the canvas shows."""
    return set(page.evaluate(DRAWN))


def near(page):
    until(page, "() => taotuMap.overview?.features?.length === 2")
    page.evaluate("() => { taotuMap.map.setZoom(15, { animate: false }); }")
    until(page, LOADED)


def test_filters_leave_on_the_map_what_they_say(opened):
    page = opened("/map")
    near(page)
    assert drawn(page) == {W_CODE, X_CODE, D_CODE}
    page.get_by_label("新增地", exact=True).first.check()
    assert drawn(page) == {X_CODE}
    page.get_by_role("button", name="清除筛选").click()
    page.locator("#filters").get_by_label("细条", exact=True).check()
    assert STRIP_CODE in drawn(page)
    page.locator("#village").select_option(UPPER)
    assert D_CODE not in drawn(page)
    with page.expect_download() as saving:
        page.get_by_role("link", name="导出 Excel").click()
    assert zipfile.is_zipfile(saving.value.path())


def test_a_click_on_land_tells_of_it_at_the_spot_and_at_the_side(opened):
    page = opened(f"/map?piece={X_CODE}")
    page.get_by_role("heading", name=X_CODE).wait_for()
    until(page, "() => !taotuMap.layers.get('pieces').isLoading()")
    spot = page.evaluate(SPOT)
    page.mouse.click(*spot)
    card = page.locator(".taotu-card")
    card.wait_for()
    assert X_CODE in card.inner_text()
    assert "10.50 亩" in card.inner_text()
    assert "核查" in card.inner_text()


@pytest.fixture
def photo(tmp_path):
    made = np.zeros((60, 80, 3), dtype=np.uint8)
    made[:, :, 1] = np.arange(80) * 3
    path = tmp_path / "现场.jpg"
    Image.fromarray(made).save(path)
    return path


def test_a_piece_is_decided_on_with_a_photo_and_the_state_follows_the_facts(opened, photo, standing):
    page = opened(f"/review?piece={W_CODE}", "经办")
    page.get_by_role("heading", name=W_CODE).wait_for()
    page.get_by_label("认定结果").select_option("FARMLAND")
    page.get_by_label("认定人").fill("王五")
    page.get_by_label("实测面积（亩）").fill("6.1")
    assert "4,066.67 m²" in page.locator("#f-m2").inner_text()
    page.get_by_label("拍照或选文件").set_input_files(photo)
    page.get_by_alt_text("预览").wait_for()
    page.get_by_role("button", name="上传").click()
    until(page, "() => document.querySelector('.photos img')?.naturalWidth > 0")
    # What was typed before the photo went is still there.
    assert page.get_by_label("实测面积（亩）").input_value() == "6.1"
    page.get_by_role("button", name="保存", exact=True).click()
    page.get_by_text("待核实 → 已实测").wait_for()
    assert page.locator("#form-side .tag").first.inner_text() == "已实测"
    page.get_by_text("修改历史").click()
    page.locator(".past > li").filter(has_text="实测面积").wait_for()
    row = standing.app.state.store.row("cases", f"{W_CODE[:14]}-{W_CODE[-4:]}", everything())
    assert (row["state"], row["measured_m2"], row["updated_by"]) == ("measured", 4066.67, "经办")
    # Only the moves of an officer are offered.
    offered = page.locator("#form-side [data-state]").evaluate_all(
        "(all) => all.map((one) => one.dataset.state)"
    )
    assert "published" not in offered
    assert "disputed" in offered


def everything():
    from geo.store import EVERYTHING  # noqa: PLC0415 - beside its only use

    return EVERYTHING


def test_two_who_change_one_piece_choose_between_what_was_what_is_and_what_they_want(opened):
    mine = opened(f"/review?piece={X_CODE}", "主任", expected=("412",))
    theirs = opened(f"/review?piece={X_CODE}", "审核")
    for page in (mine, theirs):
        page.get_by_role("heading", name=X_CODE).wait_for()
    theirs.get_by_label("认定结果").select_option("GARDEN")
    theirs.get_by_label("地名").fill("南坡")
    theirs.get_by_role("button", name="保存", exact=True).click()
    theirs.get_by_text("待核实 → 已认定").wait_for()
    mine.get_by_label("认定结果").select_option("FARMLAND")
    mine.get_by_label("备注").fill("<b>看过</b>")
    mine.get_by_role("button", name="保存", exact=True).click()
    asked = mine.get_by_role("dialog", name="这一块刚被别人改过")
    asked.wait_for()
    rows = [[cell.strip() for cell in row.split("\t")] for row in asked.locator("tbody tr").all_inner_texts()]
    assert ["认定结果", "空", "园地", "耕地"] in rows
    assert ["地名", "空", "南坡", "未改"] in rows
    asked.get_by_role("button", name="按选择保存").click()
    asked.get_by_text("还有项目没有选。").wait_for()
    asked.get_by_label("耕地").check()
    asked.get_by_role("button", name="按选择保存").click()
    mine.locator(".toast.done").first.wait_for()
    asked.wait_for(state="detached")
    # Theirs that nobody contested stays; the chosen one stands.
    assert mine.get_by_label("认定结果").input_value() == "FARMLAND"
    assert mine.get_by_label("地名").input_value() == "南坡"
    assert mine.get_by_label("备注").input_value() == "<b>看过</b>"


def test_leaving_with_something_typed_asks_first(opened):
    page = opened(f"/review?piece={D_CODE}")
    page.get_by_role("heading", name=D_CODE).wait_for()
    page.get_by_label("备注").fill("未保存")
    page.get_by_role("button", name="返回列表").click()
    page.get_by_role("dialog", name="还没有保存").get_by_role("button", name="取消").click()
    assert page.get_by_label("备注").input_value() == "未保存"
    page.get_by_role("button", name="返回列表").click()
    page.get_by_role("button", name="放弃修改").click()
    page.get_by_role("heading", name="核查").wait_for()


def test_a_piece_is_reviewed_by_keyboard_alone(opened):
    page = opened("/review")
    until(page, "() => document.querySelector('.queue button')")
    page.locator("#code").focus()
    page.keyboard.type(D_CODE[-6:])
    until(page, "() => document.querySelectorAll('.queue button').length === 1")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.dataset.code") == D_CODE
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=D_CODE).wait_for()
    until(page, f"() => document.activeElement.textContent === '{D_CODE}'")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.name") == "identified_as"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("李四")
    page.keyboard.press("Control+Enter")
    page.get_by_text("待核实 → 已认定").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="核查").wait_for()
    assert page.locator("#form-side").is_hidden()


def test_a_rejection_wants_its_reason(opened):
    page = opened(f"/review?piece={STRIP_CODE}")
    page.get_by_role("heading", name=STRIP_CODE).wait_for()
    page.locator("[data-state=rejected]").click()
    asked = page.get_by_role("dialog", name="改为“已剔除”")
    asked.get_by_role("button", name="确定").click()
    assert asked.locator("select").get_attribute("aria-invalid") == "true"
    asked.locator("select").select_option("NOT_FARMLAND")
    asked.get_by_role("button", name="确定").click()
    page.get_by_text("待核实 → 已剔除").wait_for()


def test_a_job_is_started_by_its_form_watched_to_its_end_and_its_files_saved(opened):
    page = opened("/tasks")
    page.get_by_role("button", name=re.compile("汇总报告")).click()
    asked = page.get_by_role("dialog", name="汇总报告")
    asked.get_by_role("button", name="开始").click()
    job = page.locator(".job").first
    job.wait_for()
    job.get_by_text("已完成").wait_for(timeout=90_000)
    assert len(page.evaluate(ASKED, "/events")) == 1
    job.get_by_role("button", name="查看结果").click()
    found = page.get_by_role("dialog", name="汇总报告：结果")
    with page.expect_download() as saving:
        found.get_by_role("link", name=re.compile("全部下载")).click()
    assert zipfile.is_zipfile(saving.value.path())


def test_a_file_is_sent_and_chosen_for_a_job(opened, tmp_path):
    path = tmp_path / "住户.csv"
    path.write_text("村代码,户数\n140725100201,3\n", encoding="utf-8")
    page = opened("/tasks")
    page.get_by_role("button", name=re.compile("网格划分")).click()
    asked = page.get_by_role("dialog", name="网格划分", exact=True)
    asked.get_by_role("button", name="选择…").first.click()
    page.get_by_label("上传文件").set_input_files(path)
    page.get_by_text("已上传 住户.csv").wait_for()
    page.locator(".browse summary").first.click()
    page.locator(".browse").get_by_role("button", name=re.compile("住户.csv")).click()
    assert asked.get_by_text("住户.csv").is_visible()


def test_a_job_that_lacks_a_file_is_not_started(opened):
    page = opened("/tasks")
    page.get_by_role("button", name=re.compile("套合比对")).click()
    page.get_by_role("dialog").get_by_role("button", name="开始").click()
    page.get_by_text("还缺资料").wait_for()
    assert page.locator("dialog [aria-invalid=true]").count() == 1


def test_what_is_compared_is_drawn_on_its_side_of_the_curtain(opened):
    page = opened("/compare?of=shift")
    until(page, "() => taotuMap.overview?.features?.length === 2")
    assert page.get_by_text("已改正").count() == 1
    page.get_by_label("只看改正后").check()
    assert page.evaluate("() => taotuMap.swiping.share") == 0
    page.keyboard.press("t")
    assert page.evaluate("() => taotuMap.swiping.share") == 1
    page.evaluate("() => { taotuMap.map.setZoom(16, { animate: false }); }")
    page.get_by_role("link", name="承包地块 / 剩余图块").click()
    until(page, "() => window.taotuMap?.map?.getZoom() === 16")


def test_the_told_json_cannot_end_its_element(opened, standing):
    page = opened("/", "查看")
    told = json.loads(page.locator("#told").text_content())
    assert told["role"] == "viewer"
    assert base64.b64encode(PASSWORD.encode()).decode() not in page.content()
    assert standing.cookies["查看"] not in page.content()
