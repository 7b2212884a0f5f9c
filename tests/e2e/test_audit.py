"""The log by its page: found by what it is asked for, each change before and after, proved whole."""

from tests.e2e.conftest import until
from tests.geo.county import SLIVER_CODE

READ = "() => document.querySelectorAll('#rows tbody tr').length && !document.querySelector('main [role=status].none')"


def _changed(standing):
    """Two changes of one piece, in the log from now on."""
    key = f"{SLIVER_CODE[:14]}-{SLIVER_CODE[-4:]}"
    store = standing.app.state.store
    with store.write(actor="审计试验", why="试验") as change:
        case = change.row("cases", key)
        if case is None:
            change.insert(
                "cases",
                {
                    "piece_key": key,
                    "piece_code": SLIVER_CODE,
                    "village_code": SLIVER_CODE[:12],
                    "state": "candidate",
                    "note": "初看",
                },
            )
        change.update("cases", key, {"note": "复看<b>粗</b>", "measured_m2": 133.34}, base=None)
    return key


def test_a_change_is_shown_before_and_after_in_words_and_in_mu(opened, standing):
    key = _changed(standing)
    page = opened("/audit?actor=审计试验&action=update")
    until(page, READ)
    row = page.locator("#rows tbody tr").first
    assert key in row.inner_text()
    row.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    assert "0.20 亩" in dialog.locator("tr").filter(has_text="实测面积").inner_text()
    assert "复看<b>粗</b>" in dialog.locator("tr").filter(has_text="备注").inner_text()
    assert dialog.locator("td b").count() == 0
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    assert page.evaluate("() => document.activeElement.tagName") == "TR"


def test_a_printed_code_finds_the_changes_of_its_piece(opened, standing):
    _changed(standing)
    page = opened("/audit")
    until(page, READ)
    page.get_by_label("编号").fill(SLIVER_CODE)
    page.keyboard.press("Enter")
    page.wait_for_url("**row_key=**")
    until(page, READ)
    shown = page.locator("#rows tbody tr").all_inner_texts()
    assert shown
    assert all(SLIVER_CODE[-4:] in text for text in shown)
    page.get_by_role("button", name="清除").click()
    page.wait_for_url(lambda address: "row_key" not in address)


def test_the_log_is_proved_whole_with_a_hash_to_be_kept_on_paper(opened, standing):
    page = opened("/audit", "审核")
    page.get_by_role("button", name="核验全部记录").click()
    page.get_by_text("记录完整").wait_for()
    assert standing.app.state.store.head()[1] in page.locator("#verdict").inner_text()


def test_older_rows_come_when_they_are_asked_for(opened, standing):
    with standing.app.state.store.write(actor="多") as change:
        for number in range(130):
            change.note("login", row_key=f"多{number}")
    page = opened("/audit?actor=多")
    until(page, READ)
    assert page.locator("#rows tbody tr").count() == 100
    page.get_by_role("button", name="更早的记录").click()
    until(page, "() => document.querySelectorAll('#rows tbody tr').length === 130")
    assert page.get_by_role("button", name="更早的记录").is_hidden()
