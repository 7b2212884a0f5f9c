"""Users and keys by the page: what is made is shown once, what is taken away is gone."""

import zipfile

from tests.api.conftest import PASSWORD
from tests.e2e.conftest import until
from tests.geo.county import UPPER

READY = "() => document.querySelector('#users tbody tr') && document.querySelector('#keys tbody tr')"


def test_a_user_is_made_for_one_village_and_the_password_shown_once(opened, standing):
    page = opened("/system")
    until(page, READY)
    page.get_by_role("button", name="新增用户").click()
    dialog = page.get_by_role("dialog", name="新增用户")
    dialog.get_by_label("用户名").fill("新村干部")
    dialog.get_by_label("上庄村").check()
    page.keyboard.press("Enter")
    secret = page.get_by_role("dialog", name="新村干部 的密码")
    password = secret.locator("code").inner_text()
    assert standing.app.state.accounts.login("新村干部", password, address="here")[0].villages == frozenset(
        {UPPER}
    )
    page.keyboard.press("Escape")
    row = page.locator("#users tr").filter(has_text="新村干部")
    assert "上庄村" in row.inner_text()
    assert password not in page.content()


def test_a_name_that_is_taken_is_told_in_the_dialog_and_nothing_is_lost(opened):
    page = opened("/system", expected=("409",))
    until(page, READY)
    page.get_by_role("button", name="新增用户").click()
    dialog = page.get_by_role("dialog", name="新增用户")
    dialog.get_by_label("用户名").fill("查看")
    dialog.get_by_role("button", name="新增", exact=True).click()
    dialog.get_by_role("alert").wait_for()
    assert dialog.get_by_label("用户名").input_value() == "查看"


def test_somebody_who_has_left_is_shut_out(opened, standing):
    accounts = standing.app.state.accounts
    accounts.add_user("离任", role="viewer", by="test", villages=None, password=PASSWORD, must_change=False)
    page = opened("/system")
    until(page, READY)
    page.get_by_role("button", name="修改 离任").click()
    page.get_by_role("dialog").get_by_role("button", name="停用").click()
    until(
        page,
        "() => [...document.querySelectorAll('#users tr')].some((row) => /离任.*停用/s.test(row.textContent))",
    )
    assert accounts.user("离任").active is False


def test_a_key_opens_the_service_until_it_is_ended(opened, standing):
    page = opened("/system", expected=("401",))
    until(page, READY)
    page.get_by_role("button", name="新建密钥").click()
    page.get_by_label("用途").fill("夜间脚本")
    page.keyboard.press("Enter")
    key = page.get_by_role("dialog", name="密钥“夜间脚本”").locator("code").inner_text()
    page.keyboard.press("Escape")

    def ask():
        headers = {"Authorization": f"Bearer {key}", "Cookie": ""}
        return page.request.get(f"{standing.address}/api/v1/me", headers=headers).status

    assert ask() == 200
    page.get_by_role("button", name="停用 夜间脚本").click()
    page.get_by_role("dialog", name="停用密钥").get_by_role("button", name="停用").click()
    page.locator("#keys tr").filter(has_text="夜间脚本").get_by_text("已停用").wait_for()
    assert ask() == 401


def test_a_backup_is_saved_whole(opened, tmp_path):
    page = opened("/system")
    with page.expect_download() as told:
        page.get_by_role("link", name="下载备份").click()
    told.value.save_as(tmp_path / "backup.zip")
    assert told.value.suggested_filename.startswith("套图备份_")
    with zipfile.ZipFile(tmp_path / "backup.zip") as bundle:
        assert bundle.testzip() is None
        assert "workspace.gpkg" in bundle.namelist()
