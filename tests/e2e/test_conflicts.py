"""Conflicts by their page: chosen with a reason, written at once, never over what somebody else did meanwhile."""

import uuid

import pytest

from geo.store import EVERYTHING
from tests.e2e.conftest import until
from tests.geo.county import D_CODE, SLIVER_CODE

KEY = f"{SLIVER_CODE[:14]}-{SLIVER_CODE[-4:]}"
READ = "() => !document.querySelector('#list > [role=status].none') && document.querySelector('#list').children.length"


@pytest.fixture
def conflict(standing):
    """``conflict(field, theirs, yours)``: its key; what is still open at the end is closed."""
    store, made = standing.app.state.store, []

    def make(field, theirs, yours, code=SLIVER_CODE):
        key = f"e2e-{uuid.uuid4().hex[:8]}"
        row = {
            "conflict_key": key, "piece_key": f"{code[:14]}-{code[-4:]}", "village_code": code[:12],
            "field": field, "theirs_value": theirs, "yours_value": yours, "theirs_by": "甲", "yours_by": "乙",
            "source": "回传包", "status": "open",
        }  # fmt: skip
        with store.write(actor="回传") as change:
            change.insert("conflicts", row)
        made.append(key)
        return key

    yield make
    with store.write(actor="test") as change:
        for key in made:
            change.update("conflicts", key, {"status": "resolved"}, base=None)


def _case(standing):
    return standing.app.state.store.row("cases", KEY, EVERYTHING) or {}


def test_a_value_is_chosen_by_keyboard_with_a_reason_and_stands_in_the_case(opened, standing, conflict):
    key = conflict("place_name", "前坡", "<img src=x onerror=alert(1)>后沟")
    page = opened("/conflicts", "审核")
    until(page, READ)
    form = page.get_by_role("form", name=f"{SLIVER_CODE} 地名")
    assert form.locator("img").count() == 0
    form.get_by_role("radio", name="现值").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    form.get_by_role("alert").get_by_text("请写明理由").wait_for()
    assert page.evaluate("() => document.activeElement.name") == "why"
    page.keyboard.type("现场复核")
    page.keyboard.press("Enter")
    page.get_by_text("已采用").wait_for()
    assert _case(standing)["place_name"] == "前坡"
    assert standing.app.state.store.row("conflicts", key, EVERYTHING)["why"] == "现场复核"
    page.get_by_role("button", name="已处理").click()
    until(page, "() => document.querySelectorAll('#list tbody tr').length")
    assert "现场复核" in page.locator("#list tbody").inner_text()


def test_another_area_is_given_in_mu_and_kept_in_square_metres(opened, standing, conflict):
    conflict("measured_m2", "110", "130")
    page = opened("/conflicts")
    until(page, READ)
    form = page.get_by_role("form", name=f"{SLIVER_CODE} 实测面积")
    form.get_by_label("另填的亩数").fill("0.18")
    form.get_by_label("理由").fill("重测")
    form.get_by_role("button", name="采用").click()
    page.get_by_text("已采用").wait_for()
    assert _case(standing)["measured_m2"] == pytest.approx(120.0, abs=0)


def test_what_somebody_else_changed_meanwhile_is_shown_before_anything_is_written(opened, standing, conflict):
    key = conflict("note", "旧说法", "新说法")
    page = opened("/conflicts", expected=("412",))
    until(page, READ)
    with standing.app.state.store.write(actor="别人") as change:
        held = {
            "piece_key": KEY,
            "piece_code": SLIVER_CODE,
            "village_code": SLIVER_CODE[:12],
            "state": "candidate",
        }
        if change.row("cases", KEY) is None:
            change.insert("cases", held)
        change.update("cases", KEY, {"note": f"别人的话{key}"}, base=None)
    form = page.get_by_role("form", name=f"{SLIVER_CODE} 备注")
    form.get_by_role("radio", name="新值").check()
    form.get_by_label("理由").fill("核实")
    form.get_by_role("button", name="采用").click()
    form.get_by_text(f"别人的话{key}").wait_for()
    assert form.get_by_text("此后又改过").is_visible()
    assert _case(standing)["note"] == f"别人的话{key}"
    form.get_by_role("radio", name="新值").check()
    form.get_by_label("理由").fill("核实")
    form.get_by_role("button", name="采用").click()
    page.get_by_text("已采用").wait_for()
    assert _case(standing)["note"] == "新说法"


def test_two_conflicts_of_one_piece_are_closed_one_after_the_other(opened, standing, conflict):
    conflict("owner_basis", "村里的账", "组里的账")
    conflict("current_user", "张三", "李四")
    page = opened("/conflicts")
    until(page, READ)
    for title, why in (("权属依据", "查账"), ("现使用人", "问过本人")):
        form = page.get_by_role("form", name=f"{SLIVER_CODE} {title}")
        form.get_by_role("radio", name="新值").check()
        form.get_by_label("理由").fill(why)
        form.get_by_role("button", name="采用").click()
        form.wait_for(state="detached")
    page.get_by_text("没有待处理的冲突").wait_for()
    assert (_case(standing)["owner_basis"], _case(standing)["current_user"]) == ("组里的账", "李四")


def test_what_was_typed_for_one_piece_stays_when_a_conflict_of_another_is_closed(opened, conflict):
    conflict("place_name", "前坡", "后沟")
    conflict("place_name", "河滩", "河边", code=D_CODE)
    page = opened("/conflicts")
    until(page, READ)
    other = page.get_by_role("form", name=f"{D_CODE} 地名")
    other.get_by_role("radio", name="新值").check()
    other.get_by_label("理由").fill("还没问")
    form = page.get_by_role("form", name=f"{SLIVER_CODE} 地名")
    form.get_by_role("radio", name="现值").check()
    form.get_by_label("理由").fill("问过")
    form.get_by_role("button", name="采用").click()
    form.wait_for(state="detached")
    until(page, "() => document.activeElement.type === 'radio'")
    assert other.get_by_label("理由").input_value() == "还没问"
    assert other.get_by_role("radio", name="新值").is_checked()


def test_a_value_that_may_not_be_is_told_beside_its_form_and_the_conflict_stays(opened, standing, conflict):
    key = conflict("state", "candidate", "published")
    page = opened("/conflicts", expected=("409",))
    until(page, READ)
    form = page.get_by_role("form", name=f"{SLIVER_CODE} 状态")
    form.get_by_role("radio", name="新值").check()
    form.get_by_label("理由").fill("试试")
    form.get_by_role("button", name="采用").click()
    form.get_by_role("alert").wait_for()
    assert standing.app.state.store.row("conflicts", key, EVERYTHING)["status"] == "open"


def test_an_officer_of_another_village_has_none(opened, conflict):
    conflict("place_name", "甲说", "乙说")
    page = opened("/conflicts", "经办")
    page.get_by_text("没有待处理的冲突").wait_for()
