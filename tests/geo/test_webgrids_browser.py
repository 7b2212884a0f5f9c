"""Grids in a real browser with the network off: colours, cards, homes that appear from close by."""

import pytest

from geo.webmap import county_map, save
from tests.geo.county import LOWER, UPPER, county_tables
from tests.geo.grid_tables import SMALL_REASON, grid_tables
from tests.geo.test_webmap_browser import (
    canvas_colour,
    card,
    drawn,
    pixel,
    search,
    watched,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("grids") / "grids.html"
    save(county_map(grid_tables()), path)
    return path


@pytest.fixture
def page(browser, file):
    with watched(browser, file) as opened:
        yield opened


def test_grids_are_drawn_by_balance_and_homes_not_from_afar(page):
    page.evaluate("void taotu.map.setZoom(14, { animate: false })")
    assert drawn(page) == {
        "villages": 2, "grids_in_band": 1, "grids_under": 1, "grids_over": 1, "grids_exclusive": 1,
        "homes": 0, "homes_lost": 2,
    }  # fmt: skip


@pytest.mark.parametrize(("code", "strongest"), [(f"{UPPER}001", 1), (f"{UPPER}002", 2), (f"{LOWER}001", 0)])
def test_each_balance_has_its_colour_on_the_canvas(page, code, strongest):
    page.evaluate("taotu.groups.homes_lost.remove() && undefined")
    x, y = pixel(page, code)
    colour = canvas_colour(page, x + 15, y + 25)[:3]
    assert colour.index(max(colour)) == strongest


def test_a_grid_found_by_name_or_code_shows_its_card(page):
    search(page, "上庄村第2网格")
    said = card(page)
    for words in (f"{UPPER}002", "不足", "6 户", SMALL_REASON, "合并", "第1网格", "321 m", "90 %"):
        assert words in said
    search(page, f"{LOWER}002")
    assert "专属网格" in card(page)


def test_homes_appear_from_close_by_and_say_their_grid(page):
    search(page, f"{UPPER}002")
    page.evaluate("void taotu.map.closePopup()")
    page.evaluate(
        "void taotu.map.setView(taotu.groups.grids_under.getBounds().getCenter(), 18, { animate: false })"
    )
    assert drawn(page)["homes"] == 2
    spot = page.evaluate(
        """() => {
            const at = taotu.map.latLngToContainerPoint(taotu.groups.homes.getLayers()[0].getLatLng());
            const box = taotu.map.getContainer().getBoundingClientRect();
            return [box.left + at.x, box.top + at.y];
        }"""
    )
    page.mouse.click(*spot)
    said = card(page)
    assert f"{UPPER}002" in said
    assert "4 户" in said
    page.evaluate("void taotu.map.closePopup()")
    page.evaluate("void taotu.map.setZoom(14, { animate: false })")
    assert drawn(page)["homes"] == 0


def test_homes_turned_off_stay_off_when_the_map_moves(page):
    page.locator(".leaflet-control-layers-overlays label", has_text="住户").first.locator("input").uncheck()
    page.evaluate(
        "void taotu.map.setView(taotu.groups.grids_under.getBounds().getCenter(), 18, { animate: false })"
    )
    assert "homes" not in drawn(page)
    page.locator(".leaflet-control-layers-overlays label", has_text="住户").first.locator("input").check()
    assert drawn(page)["homes"] == 2


def test_a_village_in_the_list_is_gone_to(page):
    page.click(f'tr[data-village="{LOWER}"]')
    assert page.evaluate("taotu.map.getBounds().contains(taotu.groups.grids_over.getBounds())")


def test_names_of_grids_are_texts(page):
    search(page, f"{LOWER}001")
    assert '=HYPERLINK("http://example.invalid/","看")' in card(page)
    assert page.locator("i").count() == 0


def test_beside_pieces_grids_are_turned_on_in_the_control(browser, tmp_path):
    path = tmp_path / "both.html"
    save(county_map(county_tables() | grid_tables()), path)
    with watched(browser, path) as opened:
        assert "grids_in_band" not in drawn(opened)
        opened.locator(".leaflet-control-layers-overlays label", has_text="合格网格").locator("input").check()
        assert drawn(opened)["grids_in_band"] == 1
        legend = opened.locator(".leaflet-control-layers").bounding_box()
        assert legend["y"] + legend["height"] < 768
