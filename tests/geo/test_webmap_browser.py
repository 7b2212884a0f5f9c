"""The page in a real browser with the network off: what an officer sees and clicks."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

from geo.webmap import county_map, save
from tests.conftest import CHROMIUM
from tests.geo.county import (
    D_CODE,
    LOWER,
    REASON,
    SLIVER_CODE,
    STRIP_CODE,
    UPPER,
    W_CODE,
    X_CODE,
    county_tables,
    moved_county_tables,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.html"
    save(county_map(county_tables(), title="样例县"), path)
    return path


@pytest.fixture(scope="module")
def moved_file(tmp_path_factory):
    """The page of a county with one village moved and another in doubt."""
    path = tmp_path_factory.mktemp("moved") / "map.html"
    save(county_map(moved_county_tables(), title="样例县"), path)
    return path


@pytest.fixture
def page(browser, file):
    with watched(browser, file) as opened:
        yield opened


@pytest.fixture
def moved(browser, moved_file):
    with watched(browser, moved_file) as opened:
        yield opened


@contextmanager
def watched(browser, file):
    """The page, opened from its file; any request elsewhere and any word on the console fail the test."""
    context = browser.new_context(offline=True, viewport={"width": 1366, "height": 768})
    opened = context.new_page()
    opened.set_default_timeout(10_000)
    wrong = []
    opened.on("console", lambda message: wrong.append(f"console: {message.text}"))
    opened.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    opened.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    opened.on(
        "request", lambda request: request.url == file.as_uri() or wrong.append(f"asked: {request.url[:80]}")
    )
    opened.goto(file.as_uri())
    yield opened
    context.close()
    assert [line for line in wrong if not line.startswith("asked: data:")] == []


def drawn(page):
    """Number of shapes on the canvas, layer by layer that is on."""
    return page.evaluate(
        """() => Object.fromEntries(Object.entries(taotu.groups)
            .filter(([, group]) => taotu.map.hasLayer(group)).map(([key, group]) => [key, group.getLayers().length]))"""
    )


def search(page, words):
    page.fill("#search input", words)
    page.press("#search input", "Enter")


def still(page, cards):
    """Wait until the map has stopped panning and so many cards are open: a closed one fades for a while."""
    page.wait_for_function(
        """cards => !taotu.map._panAnim?._inProgress
            && document.querySelectorAll(".leaflet-popup .card").length === cards""",
        arg=cards,
    )


def card(page):
    still(page, 1)
    return page.inner_text(".leaflet-popup .card")


def pixel(page, code):
    """Where on the screen a piece lies."""
    return page.evaluate(
        """code => {
            const [{ key, row }] = taotu.find(code);
            const { points, origin } = taotu.data.layers[key];
            const at = taotu.map.latLngToContainerPoint(
              L.latLng((origin[1] + points[row][1]) / 1e7, (origin[0] + points[row][0]) / 1e7));
            const box = taotu.map.getContainer().getBoundingClientRect();
            return [box.left + at.x, box.top + at.y];
        }""",
        code,
    )


def canvas_colour(page, x, y):
    return page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector(".leaflet-overlay-pane canvas");
            const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
            const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
            pen.drawImage(canvas, -(x - box.left) * scale, -(y - box.top) * scale);
            return [...pen.getImageData(0, 0, 1, 1).data];
        }""",
        [x, y],
    )


def test_blocks_patches_and_villages_are_drawn_at_first_and_the_lesser_layers_are_not(page):
    assert drawn(page) == {
        "villages": 2, "unconfirmed": 1, "newly_added": 1, "undetermined": 1,
        "patches": 4, "patches_state": 1, "patches_share": 1,
    }  # fmt: skip


def test_each_class_has_its_colour_on_the_canvas(page):
    red, green, blue, alpha = canvas_colour(page, *pixel(page, W_CODE))
    assert alpha == 255
    assert red > green > blue
    red, _, blue, _ = canvas_colour(page, *pixel(page, X_CODE))
    assert blue > red


@pytest.mark.parametrize(
    ("label", "key", "count"),
    [
        ("细条", "strips", 1),
        ("碎屑", "slivers", 1),
        ("承包地块", "parcels", 4),
        ("问题（错误）", "findings_error", 0),
    ],
)
def test_a_layer_turned_on_in_the_control_is_drawn_and_turned_off_is_gone(page, label, key, count):
    box = page.locator(".leaflet-control-layers-overlays label", has_text=label).locator("input")
    box.check()
    assert drawn(page)[key] == count
    box.uncheck()
    assert key not in drawn(page)


@pytest.mark.parametrize("code", [W_CODE, X_CODE, D_CODE, STRIP_CODE, SLIVER_CODE])
def test_a_piece_found_by_its_code_shows_what_the_table_says(page, code):
    row = county_tables()["pieces"].set_index("piece_code").loc[code]
    search(page, code)
    said = card(page)
    assert code in said
    assert REASON in said
    assert f"{row['area_mu']:,.2f} 亩" in said
    assert f"{row['area_m2']:,.2f} m²" in said
    assert f"{row['net_area_mu']:,.2f} 亩" in said
    assert f"{row['net_area_m2']:,.2f} m²" in said
    for words in (row["patch_code"], row["sheet_code"], "待核实", row["group_code"]):
        assert words in said


def test_the_first_acceptance_case_reads_six_mu_gross(page):
    search(page, W_CODE)
    said = card(page)
    assert "6.00 亩" in said
    assert "4,000.00 m²" in said
    assert "3,728.00 m²" in said


def test_a_code_is_found_however_its_dashes_and_letters_are_typed(page):
    search(page, W_CODE.replace("-", "－").lower())
    assert W_CODE in card(page)


def test_a_code_that_is_not_there_is_said(page):
    search(page, "99999999999999-W-0001")
    assert "没有找到" in page.inner_text("#found")


def test_a_click_on_a_piece_opens_its_card_and_leads_to_its_patch(page):
    page.mouse.click(*pixel(page, X_CODE))
    assert X_CODE in card(page)
    page.click(".card a")
    assert "图斑面积" in card(page)
    assert f"{UPPER}-00002" in card(page)


def test_a_click_in_a_pond_inside_a_piece_finds_the_patch_below(page):
    search(page, X_CODE)
    page.evaluate("void taotu.map.closePopup()")
    still(page, 0)
    spot = page.evaluate(
        """code => {
            const [{ key, row }] = taotu.find(code);
            const at = taotu.map.latLngToContainerPoint(taotu.groups[key].byRow[row].getBounds().getCenter());
            const box = taotu.map.getContainer().getBoundingClientRect();
            return [box.left + at.x, box.top + at.y];
        }""",
        X_CODE,
    )
    page.mouse.click(*spot)
    assert "图斑面积" in card(page)


def test_a_pointed_at_piece_is_lifted_out_and_named(page):
    at = pixel(page, D_CODE)
    before = page.evaluate("code => taotu.groups.undetermined.byRow[0].options.weight", D_CODE)
    page.mouse.move(*at)
    page.wait_for_selector(".leaflet-tooltip")
    assert page.inner_text(".leaflet-tooltip") == f"{D_CODE}　7.50 亩"
    assert page.evaluate("taotu.groups.undetermined.byRow[0].options.weight") > before


def test_texts_of_the_data_are_shown_as_text(page):
    search(page, W_CODE)
    said = card(page)
    assert "与 <script>alert(1)</script> 重复，见 http://example.invalid/" in said
    assert "<i>柳沟</i>村" in page.inner_text(".villages")
    assert page.locator("i").count() == 0


def test_a_village_in_the_list_is_gone_to(page):
    page.click(f'tr[data-village="{LOWER}"]')
    west, east = page.evaluate("[taotu.map.getBounds().getWest(), taotu.map.getBounds().getEast()]")
    assert east - west < 0.025  # the village is 1 km wide, the county two
    assert page.evaluate("taotu.map.getBounds().contains(taotu.groups.undetermined.getBounds())")


def test_a_moved_village_says_its_shift_when_gone_to(moved):
    moved.click(f'tr[data-village="{UPPER}"]')
    said = card(moved)
    assert said.startswith("上庄村")
    assert "本村确权地块整体偏东南偏东 1.8 m，已改正（西移 1.66 m，北移 0.69 m）" in said
    search(moved, LOWER)
    assert "未作移动" in card(moved)


def test_a_card_of_a_moved_parcel_says_by_how_much(moved):
    box = moved.locator(".leaflet-control-layers-overlays label", has_text="承包地块").first.locator("input")
    box.check()
    at = moved.evaluate(
        """() => {
            const at = taotu.map.latLngToContainerPoint(taotu.groups.parcels.byRow[1].getBounds().getCenter());
            const box = taotu.map.getContainer().getBoundingClientRect();
            return [box.left + at.x, box.top + at.y];
        }"""
    )
    moved.mouse.click(*at)
    said = card(moved)
    assert "套合偏移" in said
    assert "按 1.8 m 偏东南偏东改正" in said


def test_parcels_before_are_drawn_when_turned_on_and_catch_no_click(moved):
    assert "parcels_original" not in drawn(moved)
    label = moved.locator(".leaflet-control-layers-overlays label", has_text="改正前")
    assert "4 块" in label.inner_text()
    label.locator("input").check()
    assert drawn(moved)["parcels_original"] == 4
    moved.mouse.click(*pixel(moved, W_CODE))
    assert W_CODE in card(moved)


def test_a_village_that_was_not_moved_opens_no_card(page):
    page.click(f'tr[data-village="{LOWER}"]')
    still(page, 0)


def test_a_legend_with_the_further_layer_still_fits_a_small_screen(moved):
    legend = moved.locator(".leaflet-control-layers").bounding_box()
    assert legend["y"] + legend["height"] < 768


def test_an_address_with_a_code_opens_the_piece(browser, file):
    with browser.new_context(offline=True, viewport={"width": 1366, "height": 768}) as context:
        opened = context.new_page()
        opened.goto(f"{file.as_uri()}#{SLIVER_CODE}")
        assert SLIVER_CODE in card(opened)


def test_the_page_is_chinese_and_metric(page):
    assert page.inner_text(".leaflet-control-attribution") == "底图：无（离线）"
    assert page.inner_text(".leaflet-control-scale").strip().endswith(("m", "km"))
    assert "ft" not in page.inner_text(".leaflet-control-scale")
    assert page.inner_text("#panel h1") == "样例县"


def test_the_page_fits_a_small_office_screen(page):
    assert page.evaluate(
        "document.documentElement.scrollWidth <= 1366 && document.documentElement.scrollHeight <= 768"
    )
    legend = page.locator(".leaflet-control-layers").bounding_box()
    assert legend["y"] + legend["height"] < 768
    for code in (W_CODE, D_CODE):
        x, _ = pixel(page, code)
        assert 336 < x < legend["x"]  # nothing lies below the panel or the legend


def test_the_page_opens_where_there_is_no_network_at_all(file):
    """In a network namespace of its own not even the loopback is up."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("unshare") or CHROMIUM is None:
        pytest.skip("a network namespace needs Linux, unshare and root")
    if subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow network namespaces")
    shown = subprocess.run(
        ["unshare", "--net", CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu",
         "--virtual-time-budget=5000", "--dump-dom", f"{file.as_uri()}#{W_CODE}"],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "6.00 亩" in shown.stdout
    assert 'class="card"' in shown.stdout
