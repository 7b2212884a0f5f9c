"""Every page in a real browser: it opens whole, asks nobody outside, fits its screen, and shows each role its own."""

import re

import pytest

from api.pages import PLACES
from tests.e2e.conftest import until
from tests.geo.county import LOWER, W_CODE

PATHS = [place.href for place in PLACES]
TABLET = {"width": 800, "height": 1280}
READY = "() => document.readyState === 'complete' && !document.querySelector('main [role=status].none')"


@pytest.mark.parametrize("path", PATHS)
def test_a_page_opens_without_a_word_on_the_console_and_asks_nobody_outside(opened, path):
    page = opened(path)
    until(page, READY)
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").count() == 1
    assert page.locator(".toast.wrong").count() == 0
    assert page.locator("nav a[aria-current=page]").get_attribute("href") == path
    # Text of the data stays text: a name with a tag in it makes no element.
    assert page.locator("main i:text-is('柳沟')").count() == 0
    for width, height in ((1024, 768), (1920, 1080), (800, 1280)):
        page.set_viewport_size({"width": width, "height": height})
        wide = page.evaluate(
            "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{path} is {wide} px wider than {width}"


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_a_name_for_every_control_and_targets_for_a_thumb(opened, path):
    page = opened(path, viewport=TABLET, has_touch=True, is_mobile=True)
    until(page, READY)
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, a[href], input, select, textarea')]
            .filter((one) => one.checkVisibility() && !one.closest('[hidden]'))
            .filter((one) => !(one.innerText || '').trim() && !one.getAttribute('aria-label'))
            .filter((one) => !one.labels?.length && !one.title)
            .map((one) => one.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
    small = page.evaluate(
        """() => [...document.querySelectorAll('main button, main select, .top a')]
            .filter((one) => one.checkVisibility() && !one.closest('.taotu-map, .table'))
            .filter((one) => one.getBoundingClientRect().height < 38)
            .map((one) => [one.outerHTML.slice(0, 120), one.getBoundingClientRect().height])"""
    )
    assert small == []


def test_a_viewer_sees_no_page_and_no_control_that_changes_anything(opened):
    page = opened(f"/map?piece={W_CODE}", "查看")
    page.get_by_role("heading", name=W_CODE).wait_for()
    named = page.locator("nav[aria-label=主导航] a").all_inner_texts()
    assert named == ["总览", "地块", "比对", "网格", "图幅", "台账"]
    assert page.get_by_role("link", name="核查").count() == 0
    assert page.locator("form button:visible, .danger:visible").count() == 0
    for path in ("/review", "/tasks", "/audit", "/system", "/conflicts"):
        assert page.request.get(page.url.split("/map")[0] + path).status == 403


def test_an_officer_sees_the_own_villages_only(opened):
    page = opened("/", "经办")
    until(page, "() => document.querySelectorAll('#villages tbody tr').length > 0")
    assert page.locator("#villages tbody tr").count() == 1
    assert LOWER not in page.content()


def test_the_skip_link_is_the_first_stop_and_leads_to_the_content(opened):
    page = opened("/tasks")
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "跳到正文"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "main"


@pytest.mark.parametrize("path", ["/", "/ledger", "/audit"])
def test_on_paper_there_are_neither_navigation_nor_buttons(opened, path):
    page = opened(path)
    until(page, READY)
    page.emulate_media(media="print")
    assert page.locator(".top").is_hidden()
    assert page.locator("main .acts:visible").count() == 0
    assert page.locator("h1").is_visible()
    assert page.pdf(prefer_css_page_size=True)[:4] == b"%PDF"


def test_a_page_with_a_map_prints_the_map_on_one_sheet_or_what_stands_beside_it(opened):
    page = opened("/")
    until(page, "() => document.querySelectorAll('#villages tbody tr').length === 2")
    until(page, "() => taotuMap.overview?.features?.length === 2")
    assert len(re.findall(rb"/Type /Page\b", page.pdf(prefer_css_page_size=True))) == 1
    page.evaluate("() => { window.print = () => {}; }")
    page.get_by_role("button", name="打印此栏").click()
    page.emulate_media(media="print")
    assert page.locator("#villages").is_visible()
    assert page.locator(".taotu-map").is_hidden()


def test_texts_stand_off_from_their_ground(opened):
    page = opened(f"/review?piece={W_CODE}")
    page.get_by_role("heading", name=W_CODE).wait_for()
    faint = page.evaluate(
        """() => {
            const light = (colour) => {
                const part = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
                const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(part);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const ground = (node) => {
                for (let at = node; at; at = at.parentElement) {
                    const colour = getComputedStyle(at).backgroundColor;
                    if (!/rgba\\(.*, 0\\)|transparent/.test(colour)) return colour;
                }
                return "rgb(255, 255, 255)";
            };
            const told = (one) => [...one.childNodes].some((part) => part.nodeType === 3 && part.data.trim());
            const apart = (one) => {
                const [a, b] = [light(getComputedStyle(one).color), light(ground(one))].sort((x, y) => y - x);
                return (a + 0.05) / (b + 0.05);
            };
            return [...document.querySelectorAll('.side *, .top *')]
                .filter((one) => one.checkVisibility() && !one.disabled && told(one))
                .map((one) => [apart(one), one.textContent.slice(0, 30)]).filter(([ratio]) => ratio < 4.5);
        }"""
    )
    assert faint == []


def test_an_address_that_is_none_is_told_in_words(opened):
    page = opened("/map?piece=14072510020199-W-9999", expected=("404",))
    page.get_by_text("没有编号为 14072510020199-W-9999 的图块").wait_for()


def test_a_page_says_what_to_do_when_the_service_does_not_answer(opened):
    page = opened("/tasks", expected=("ERR_FAILED", "Failed to load"))
    until(page, READY)
    page.route("**/processes/report", lambda route: route.abort())
    page.get_by_role("button", name=re.compile("汇总报告")).click()
    page.get_by_role("alert").get_by_text("连不上服务").wait_for()
