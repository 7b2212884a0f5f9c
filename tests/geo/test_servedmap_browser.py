"""The map of the service in a real browser, against a small service: what an officer sees, clicks and types."""

import re
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import geopandas as gpd
import pandas as pd
import pyproj
import pytest
from shapely import Polygon, affinity
from shapely.geometry import box

from geo.area import ellipsoidal_area
from geo.servedmap import BaseMap, MapSpec, Overview, Swipe, VillageFigure, county_tiles
from tests.geo.county import (
    D_CODE,
    LOWER,
    SLIVER_CODE,
    STRIP_CODE,
    UPPER,
    W_CODE,
    X0,
    X_CODE,
    Y0,
    county_tables,
)
from tests.geo.map_service import served, service

DESK = {"viewport": {"width": 1366, "height": 768}}
TABLET = {
    "viewport": {"width": 820, "height": 1180},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}

TABLES = county_tables()
FIGURES = pd.DataFrame(
    {"village_code": [UPPER, LOWER], "block_m2": [11000.0, 0.0], "covered_m2": [8500.0, 14880.0]}
)
TO_DEGREES = pyproj.Transformer.from_crs(TABLES["pieces"].crs, 4490, always_xy=True)
WEST, SOUTH = TO_DEGREES.transform(X0, Y0)
EAST, NORTH = TO_DEGREES.transform(X0 + 2000, Y0 + 1000)


def layers(*shown):
    wanted = ("patches", "parcels", "pieces", "findings")
    return tuple(
        replace(layer, show=layer.key in shown) for layer in county_tiles(version="1") if layer.key in wanted
    )


SPEC = MapSpec(
    bounds=(WEST, SOUTH, EAST, NORTH),
    label="剩余耕地图块",
    bases=(
        BaseMap(
            key="ortho", title="正射影像", urls=("/basemap/ortho/{z}/{x}/{y}",), attribution="<b>县</b>影像"
        ),
    ),
    tiles=layers("patches", "pieces"),
    overview=Overview(
        url="/overview",
        figures=(
            VillageFigure(column="block_m2", title="剩余图块", factor=0.0015),
            VillageFigure(column="covered_m2", title="已确权到户", factor=0.0015),
        ),
    ),
)
COMPARED = replace(
    SPEC,
    tiles=layers("patches"),
    swipe=Swipe(left_title="剩余图块", left=("pieces",), right_title="承包地块", right=("parcels",)),
)


@pytest.fixture(scope="module")
def address():
    with served(service(SPEC, TABLES, FIGURES)) as base:
        yield base


@pytest.fixture(scope="module")
def compared_address():
    with served(service(COMPARED, TABLES, FIGURES)) as base:
        yield base


@contextmanager
def watched(browser, address, *, expected=(), **kind):
    """The page; any request to another host and any word on the console or error of the page fail the test."""
    context = browser.new_context(locale="zh-CN", **kind)
    page = context.new_page()
    page.set_default_timeout(60_000)  # a busy machine starts a page slowly
    wrong, page.asked = [], []
    page.on("console", lambda message: wrong.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(f"{address}/map")
    until(page, "taotuMap.overview.features && taotuMap.overview.features.length === 2")
    page.evaluate("() => { window.told = []; taotuMap.on('pick', (d) => told.push(d)); }")
    settled(page)
    yield page
    host = urlsplit(address).netloc
    outside = [
        url for url in page.asked if not url.startswith(("data:", "blob:")) and urlsplit(url).netloc != host
    ]
    context.close()
    assert outside == []
    assert [line for line in wrong if not any(word in line for word in expected)] == []


@pytest.fixture
def page(browser, address):
    with watched(browser, address, **DESK) as opened:
        yield opened


@pytest.fixture
def compared(browser, compared_address):
    with watched(browser, compared_address, **DESK) as opened:
        yield opened


@pytest.fixture
def tablet(browser, address):
    with watched(browser, address, **TABLET) as opened:
        yield opened


def until(page, expression):
    """Wait for what is asked; Playwright's own waiting makes code of texts in the page, which the policy bars."""
    for _ in range(1500):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(expression)


def settled(page):
    until(page, "[...taotuMap.layers.values()].every((l) => !l._map || !l.isLoading())")


def zoom(page, level):
    page.evaluate("(z) => { taotuMap.map.setZoom(z, { animate: false }); }", level)
    settled(page)


def centre(code):
    """A point inside a piece, in degrees."""
    rows = TABLES["pieces"].set_index("piece_code").geometry
    return TO_DEGREES.transform(*rows[code].representative_point().coords[0])


def pixel(page, code):
    lon, lat = centre(code)
    return page.evaluate(
        """([lon, lat]) => {
            const at = taotuMap.map.latLngToContainerPoint([lat, lon]);
            const frame = taotuMap.container.getBoundingClientRect();
            return [frame.left + at.x, frame.top + at.y];
        }""",
        [lon, lat],
    )


def hits(page, code):
    lon, lat = centre(code)
    found = page.evaluate("([lon, lat]) => taotuMap.hits(L.latLng(lat, lon))", [lon, lat])
    return [(hit["layer"], hit["code"]) for hit in found]


def colour(page, layer, code):
    """What the canvas of a layer's tile shows inside a piece."""
    lon, lat = centre(code)
    return page.evaluate(
        """([key, lon, lat]) => {
            const layer = taotuMap.layers.get(key), z = layer._tileZoom;
            const at = taotuMap.map.project([lat, lon], z), x = Math.floor(at.x / 256), y = Math.floor(at.y / 256);
            const tile = layer._vectorTiles[`${x}:${y}:${z}`].getContainer(), scale = tile.width / 256;
            const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
            pen.drawImage(tile, -Math.floor((at.x - x * 256) * scale), -Math.floor((at.y - y * 256) * scale));
            return [...pen.getImageData(0, 0, 1, 1).data];
        }""",
        [layer, lon, lat],
    )


def tiles_asked(page, since=0):
    return [url for url in page.asked[since:] if "/tiles/" in url]


# -- tiles


def test_a_click_tells_the_piece_and_what_lies_below_it(page):
    page.mouse.click(*pixel(page, W_CODE))
    until(page, "told.length === 1")
    (picked,) = page.evaluate("told")
    assert [(hit["layer"], hit["code"]) for hit in picked["hits"]] == [
        ("pieces", W_CODE), ("patches", f"{UPPER}-00001"),
    ]  # fmt: skip
    assert picked["hits"][0]["properties"]["village_code"] == UPPER
    assert picked["lng"] == pytest.approx(centre(W_CODE)[0], abs=5e-5)  # a pixel


def test_every_level_of_tiles_is_real_and_can_be_clicked(page):
    lon, lat = centre(X_CODE)
    for level in (14, 15, 16, 17, 18, 19):
        page.evaluate(
            "([at, z]) => { taotuMap.map.setView(at, z, { animate: false }); }", [[lat, lon], level]
        )
        settled(page)
        assert hits(page, X_CODE) == [("pieces", X_CODE), ("patches", f"{UPPER}-00002")]
        assert any(f"/tiles/pieces/{level}/" in url for url in tiles_asked(page))


def test_a_pond_in_a_piece_is_none_of_it(page):
    pond = next(iter(TABLES["pieces"].set_index("piece_code").geometry[X_CODE].interiors))
    lon, lat = TO_DEGREES.transform(*Polygon(pond).centroid.coords[0])
    found = page.evaluate("([lon, lat]) => taotuMap.hits(L.latLng(lat, lon))", [lon, lat])
    assert [hit["layer"] for hit in found] == ["patches"]


def test_each_class_has_the_colour_of_its_legend(page):
    assert colour(page, "pieces", W_CODE) == pytest.approx([0xD5, 0x5E, 0x00, 191], abs=3)
    assert colour(page, "pieces", X_CODE) == pytest.approx([0x00, 0x72, 0xB2, 191], abs=3)


def test_strips_and_slivers_are_off_until_their_box_is_ticked(page):
    zoom(page, 19)
    assert ("pieces", STRIP_CODE) not in hits(page, STRIP_CODE)
    page.get_by_label("细条").check()
    zoom(page, 16)
    assert hits(page, STRIP_CODE)[0] == ("pieces", STRIP_CODE)
    assert hits(page, SLIVER_CODE) == [("patches", f"{LOWER}-00002")]


def test_colours_by_state_need_no_further_tile(page):
    before = len(page.asked)
    page.get_by_label("剩余图块的着色").select_option("state")
    assert colour(page, "pieces", W_CODE) == pytest.approx([0xF3, 0xD2, 0x7A, 191], abs=3)
    assert page.get_by_label("待核实").is_checked()
    assert tiles_asked(page, before) == []


def test_a_filter_hides_rows_from_eye_and_click_without_a_further_tile(page):
    before = len(page.asked)
    page.evaluate(f"taotuMap.filter({{ village_code: ['{LOWER}'] }}, ['pieces'])")
    assert colour(page, "pieces", W_CODE)[3] == 0
    assert hits(page, W_CODE) == [("patches", f"{UPPER}-00001")]
    assert hits(page, D_CODE)[0] == ("pieces", D_CODE)
    page.evaluate("taotuMap.filter({ village_code: null })")
    assert hits(page, W_CODE)[0] == ("pieces", W_CODE)
    assert tiles_asked(page, before) == []


def test_a_layer_that_is_off_and_a_map_that_is_far_ask_for_no_tile(page):
    assert not [url for url in tiles_asked(page) if "/parcels/" in url]
    zoom(page, 13)
    before = len(page.asked)
    page.evaluate("() => { taotuMap.map.panBy([200, 0], { animate: false }); }")
    page.wait_for_timeout(200)
    assert tiles_asked(page, before) == []
    assert page.locator(".taotu-closer").inner_text() == "放大查看耕地图斑、剩余图块"
    page.click(".taotu-closer")
    until(page, "taotuMap.map.getZoom() === 14")
    page.wait_for_selector(".taotu-closer", state="hidden")


def test_a_code_is_gone_to_and_lifted_out(page):
    west, south, east, north = TABLES["pieces"].to_crs(4490).set_index("piece_code").geometry[D_CODE].bounds
    page.evaluate(
        "(to) => { taotuMap.goTo(to); }",
        {"bbox": [west, south, east, north], "layer": "pieces", "code": D_CODE},
    )
    settled(page)
    x, y = pixel(page, D_CODE)
    assert 0 < x < 1366 - 276
    assert 0 < y < 768
    assert page.evaluate("taotuMap.map.getZoom()") >= 17
    lifted = page.evaluate(
        """Object.values(taotuMap.layers.get("pieces")._vectorTiles).flatMap((tile) => [...tile.shapes()])
            .filter((shape) => shape.options.lifted).map((shape) => shape.properties.piece_code)"""
    )
    assert set(lifted) == {D_CODE}
    page.evaluate("taotuMap.highlight()")
    assert page.evaluate("taotuMap.layers.get('pieces').lit") is None


def test_a_tile_that_fails_is_said_and_leaves_the_map_in_use(browser):
    broken = replace(SPEC, tiles=(replace(layers()[2], url="/tiles/broken/{z}/{x}/{y}.mvt", show=True),))
    with (
        served(service(broken, TABLES, FIGURES)) as base,
        watched(browser, base, expected=["503"], **DESK) as opened,
    ):
        opened.wait_for_selector(".taotu-words:not([hidden])")
        assert opened.inner_text(".taotu-words") == "部分“剩余图块”没有载入，请稍后移动地图再试"
        assert opened.evaluate("taotuMap.hits(taotuMap.map.getCenter())") == []


def test_points_are_drawn_and_found_within_their_dot(page):
    row = (
        TABLES["findings"]
        .to_crs(4490)
        .loc[lambda rows: ~rows.geometry.is_empty & rows.geometry.notna()]
        .iloc[0]
    )
    lon, lat = row.geometry.x, row.geometry.y
    page.evaluate("([lat, lon]) => { taotuMap.map.setView([lat, lon], 18, { animate: false }); }", [lat, lon])
    page.locator('[data-layer="findings"] .taotu-layer input').check()
    settled(page)
    ask = """([lon, lat, dx]) => { const { map } = taotuMap;
        return taotuMap.hits(map.containerPointToLatLng(map.latLngToContainerPoint([lat, lon]).add([dx, 0])))
            .filter((hit) => hit.layer === "findings").map((hit) => hit.code); }"""
    assert row["finding_id"] in page.evaluate(ask, [lon, lat, 2])
    assert row["finding_id"] not in page.evaluate(ask, [lon, lat, 12])


# -- villages


def test_the_county_opens_coloured_by_a_figure_with_a_legend_in_mu(page):
    zoom(page, 13)
    fills = page.evaluate(
        "Object.fromEntries([...taotuMap.overview.byCode].map(([code, shape]) => [code, shape.options.fillColor]))"
    )
    assert fills[LOWER] == "#fafaf6"
    assert fills[UPPER] != fills[LOWER]
    assert page.locator(".taotu-legend").inner_text().split() == ["亩", "村数", "0", "1", "16.50", "1"]
    page.get_by_label("着色指标").select_option("covered_m2")
    assert page.locator(".taotu-legend").inner_text().split() == ["亩", "村数", "12.75", "1", "22.32", "1"]


def test_quantile_classes_hold_about_as_many_villages_each(page):
    classes = page.evaluate("taotuMap.style.quantiles(Array.from({ length: 100 }, (_, i) => (i * 37) % 100))")
    assert sum(item["count"] for item in classes) == 99  # nought stands apart
    assert {item["count"] for item in classes} <= {19, 20}
    assert [item["from"] for item in classes][1:] > [item["to"] for item in classes][:-1]
    equal = page.evaluate("taotuMap.style.quantiles([5, 5, 5, 5, 9])")
    assert [(item["from"], item["to"], item["count"]) for item in equal] == [(5, 5, 4), (9, 9, 1)]


def test_a_village_is_told_when_clicked_from_far_and_gives_way_to_tiles_from_near(page):
    page.evaluate("() => { window.villages = []; taotuMap.on('village', (d) => villages.push(d)); }")
    page.mouse.click(*pixel(page, W_CODE))
    until(page, "told.length === 1")
    zoom(page, 13)
    page.mouse.click(*pixel(page, W_CODE))
    until(page, "villages.length === 1")
    assert page.evaluate("[villages[0].code, villages[0].name]") == [UPPER, "上庄村"]
    assert page.evaluate("told.length") == 1


def test_names_of_villages_are_shown_as_texts(page):
    assert set(page.locator(".taotu-name").all_inner_texts()) == {"上庄村", "<i>柳沟</i>村"}
    assert page.locator(".taotu-map i").count() == 0


def test_no_two_names_of_villages_run_into_one_another(page):
    for level in (9, 10, 11, 12, 13):
        zoom(page, level)
        boxes = [element.bounding_box() for element in page.locator(".taotu-name > span").all()]
        frames = [box(b["x"], b["y"], b["x"] + b["width"], b["y"] + b["height"]) for b in boxes]
        assert frames
        assert not any(a.intersects(b) for i, a in enumerate(frames) for b in frames[:i])


# -- measuring

SHAPES = [
    affinity.rotate(box(114 + i, 20 + 3 * i, 114 + i + size, 20 + 3 * i + size * 0.7), 17 * i)
    for i, size in enumerate([0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03])
]


def test_measured_areas_are_those_on_the_ellipsoid(page):
    exact = ellipsoidal_area(gpd.GeoDataFrame(geometry=SHAPES, crs=4490))
    rings = [list(shape.exterior.coords)[:-1] for shape in SHAPES]
    measured = page.evaluate("(rings) => rings.map(taotuMap.geodesy.area)", rings)
    assert measured == pytest.approx(exact.tolist(), rel=2e-6)
    turned = page.evaluate("(rings) => rings.map((ring) => taotuMap.geodesy.area(ring.reverse()))", rings)
    assert turned == pytest.approx(measured, rel=1e-9)


def test_measured_lengths_are_those_on_the_ellipsoid(page):
    geod = pyproj.CRS(4490).get_geod()
    for shape in SHAPES:
        points = list(shape.exterior.coords)
        assert page.evaluate("(p) => taotuMap.geodesy.length(p)", points) == pytest.approx(
            geod.geometry_length(shape.exterior), rel=1e-6
        )


def test_a_field_is_measured_in_mu_by_clicks_and_escape_clears_it(page):
    page.click("button[aria-label='量面积（亩）']")
    west, south = pixel(page, W_CODE)
    for x, y in ((0, 0), (150, 0), (150, 150)):
        page.mouse.click(west + x, south + y)
        page.wait_for_timeout(350)
    page.mouse.dblclick(west, south + 150)
    words = page.inner_text(".taotu-measured")
    assert re.search(r"参考面积 [\d,]+\.\d\d 亩", words)
    assert "平方米" in words
    points = page.evaluate("taotuMap.measuring.points.map(({ lng, lat }) => [lng, lat])")
    assert len(points) == 4
    area = ellipsoidal_area(gpd.GeoDataFrame(geometry=[Polygon(points)], crs=4490)).item()
    assert f"{area * 0.0015:,.2f} 亩" in words
    assert page.evaluate("told") == []  # a click that measures opens nothing
    page.keyboard.press("Escape")
    assert page.locator(".taotu-measured").is_hidden()
    page.mouse.click(*pixel(page, W_CODE))
    until(page, "told.length === 1")


def test_a_length_grows_with_the_pointer_and_needs_no_mouse(page):
    page.click("button[aria-label='量长度']")
    assert page.get_by_label("量长度").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Enter")
    page.evaluate("() => { taotuMap.map.panBy([120, 0], { animate: false }); }")
    page.keyboard.press("Enter")
    assert re.match(r"参考长度 [\d.]+ 米", page.inner_text(".taotu-measured"))
    page.keyboard.press("Backspace")
    assert "依次点出路线" in page.inner_text(".taotu-measured")
    page.click("button[aria-label='量长度']")
    assert page.locator(".taotu-measured").is_hidden()


# -- the curtain


def clip(page, side):
    return page.evaluate(f"taotuMap.map.getPane('taotu-{side}').style.clip")


def test_each_side_of_the_curtain_shows_and_tells_its_own_layers(compared):
    settled(compared)
    for share, found in ((1.0, "pieces"), (0.0, "parcels")):
        compared.evaluate("(share) => taotuMap.swiping.place(share)", share)
        assert {layer for layer, _ in hits(compared, W_CODE)} - {"patches"} <= {found}
    parcel = TABLES["parcels"].geometry.iloc[1].representative_point()
    lon, lat = TO_DEGREES.transform(parcel.x, parcel.y)
    found = compared.evaluate("([lon, lat]) => taotuMap.hits(L.latLng(lat, lon))", [lon, lat])
    assert [hit["layer"] for hit in found] == ["parcels", "patches"]
    compared.evaluate("taotuMap.swiping.place(1)")
    found = compared.evaluate("([lon, lat]) => taotuMap.hits(L.latLng(lat, lon))", [lon, lat])
    assert [hit["layer"] for hit in found] == ["patches"]


def test_the_curtain_follows_keys_and_hand_and_can_be_put_away(compared):
    curtain = compared.get_by_role("slider")
    curtain.focus()
    for _ in range(5):
        compared.keyboard.press("ArrowLeft")
    assert curtain.get_attribute("aria-valuenow") == "40"
    frame = curtain.bounding_box()
    compared.mouse.move(frame["x"] + 22, 300)
    compared.mouse.down()
    compared.mouse.move(400, 320)
    compared.mouse.up()
    assert float(curtain.get_attribute("aria-valuenow")) == pytest.approx(400 / 1366 * 100, abs=1)
    assert clip(compared, "left") != clip(compared, "right")
    before = compared.evaluate("taotuMap.view().bbox")
    compared.click("button[aria-label='左右比对']")
    assert curtain.is_hidden()
    assert (clip(compared, "left"), clip(compared, "right")) == ("", "") or clip(compared, "left") == "auto"
    assert compared.evaluate("taotuMap.view().bbox") == before
    settled(compared)
    assert {layer for layer, _ in hits(compared, W_CODE)} >= {"pieces", "patches"}


# -- cards, base maps, furniture


def test_a_card_shows_texts_as_texts_and_leads_nowhere_outside(page):
    evil = "<img src=x onerror=alert(1)>"
    card = {
        "title": evil, "subtitle": evil, "figures": [{"label": "面积", "value": "6.00 亩"}], "fields": [[evil, evil]],
        "links": [
            {"label": "历史", "href": "/map#a"}, {"label": "外", "href": "https://example.invalid/"},
            {"label": "脚本", "href": "javascript:alert(1)"}, {"label": "双斜", "href": "//example.invalid/"},
        ],
    }  # fmt: skip
    lon, lat = centre(W_CODE)
    page.evaluate("([at, card]) => { taotuMap.popup(at, card); }", [{"lat": lat, "lng": lon}, card])
    shown = page.locator(".taotu-card")
    assert shown.inner_text().count(evil) == 4
    assert "6.00 亩" in shown.inner_text()
    assert shown.locator("img").count() == 0
    assert shown.locator("a").all_inner_texts() == ["历史"]


def test_pictures_lie_below_and_shine_through(page):
    before = colour(page, "patches", W_CODE)[3]
    page.get_by_label("正射影像").check()
    page.wait_for_selector(".taotu-pictures img.leaflet-tile-loaded")
    assert colour(page, "patches", W_CODE)[3] < before
    assert page.inner_text(".leaflet-control-attribution") == "<b>县</b>影像"
    page.get_by_label("空白").check()
    assert page.locator(".taotu-pictures img").count() == 0
    assert colour(page, "patches", W_CODE)[3] == before


def test_the_map_is_chinese_metric_and_flies_no_flag(page):
    assert page.inner_text(".leaflet-control-scale").strip().endswith(("m", "km"))
    assert "ft" not in page.inner_text(".leaflet-control-scale")
    assert page.locator(".leaflet-attribution-flag").count() == 0
    assert not re.search(r"[A-Za-z]{3,}", page.inner_text(".taotu-map"))


def test_every_control_is_reached_by_tab_and_says_what_it_is(page):
    page.evaluate("() => document.body.focus()")
    names = []
    for _ in range(40):
        page.keyboard.press("Tab")
        name = page.evaluate(
            """() => { const at = document.activeElement; return at === document.body ? null :
                at.getAttribute("aria-label") || (at.labels && at.labels[0] && at.labels[0].innerText.trim())
                || at.innerText; }"""
        )
        if name is None:
            break
        names.append(name.split("\n")[0])
    assert {
        "剩余耕地图块",
        "放大",
        "缩小",
        "显示全部范围",
        "量长度",
        "量面积（亩）",
        "打印",
        "图层与图例",
        "着色指标",
    } <= set(names)
    assert {"未确权地", "新增地", "待定", "细条", "碎屑", "国有耕地"} <= set(names)
    assert "" not in names
    assert len(names) < 30  # a village is no stop on the way


def test_the_focus_is_seen_and_the_middle_of_the_map_can_be_asked_by_enter(page):
    lon, lat = centre(W_CODE)
    page.evaluate("([lat, lon]) => { taotuMap.map.setView([lat, lon], 17, { animate: false }); }", [lat, lon])
    settled(page)
    page.evaluate("() => document.body.focus()")
    page.keyboard.press("Tab")
    assert page.locator(".taotu-aim").is_visible()
    assert page.evaluate("getComputedStyle(taotuMap.container).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    until(page, "told.length === 1")
    assert page.evaluate("told[0].hits[0].code") == W_CODE
    page.evaluate("() => { window.villages = []; taotuMap.on('village', (d) => villages.push(d.code)); }")
    page.evaluate("([lat, lon]) => { taotuMap.map.setView([lat, lon], 13, { animate: false }); }", [lat, lon])
    page.keyboard.press("Enter")
    until(page, "villages.length === 1")
    assert page.evaluate("villages[0]") == UPPER
    page.mouse.click(600, 600)
    assert page.locator(".taotu-aim").is_hidden()


def test_a_thumb_finds_every_control(tablet):
    sizes = [element.bounding_box() for element in tablet.locator(".taotu-map button:visible").all()]
    assert len(sizes) >= 7
    assert min(min(size["width"], size["height"]) for size in sizes) >= 42
    tablet.click(".taotu-panel-head")
    rows = [row.bounding_box()["height"] for row in tablet.locator(".taotu-row:visible").all()]
    assert min(rows) >= 42


def test_tiles_are_as_sharp_as_the_screen(tablet):
    assert tablet.evaluate("document.querySelector('.taotu-map canvas.leaflet-tile').width") == 512
    assert hits(tablet, W_CODE)[0] == ("pieces", W_CODE)


def test_the_card_of_layers_is_folded_on_a_narrow_screen_and_opens(tablet):
    head = tablet.locator(".taotu-panel-head")
    assert head.get_attribute("aria-expanded") == "false"
    head.click()
    assert tablet.get_by_label("未确权地").is_visible()


def test_on_paper_the_map_is_one_sheet_of_a4_with_its_title(page):
    page.evaluate("() => { window.print = () => { window.printed = true; }; }")
    page.click("button[aria-label='打印']")
    until(page, "window.printed")
    settled(page)
    assert page.inner_text(".taotu-print-title b") == "剩余耕地图块"
    assert page.locator(".taotu-tools").is_hidden()
    inside = page.evaluate(
        "([w, s, e, n]) => taotuMap.map.getBounds().contains([[s, w], [n, e]])", SPEC.bounds
    )
    assert inside
    sheet = page.pdf(prefer_css_page_size=True, print_background=True)
    assert sheet.count(b"/Type /Page\n") + sheet.count(b"/Type /Page ") + sheet.count(b"/Type/Page/") == 1
    width, height = (float(n) for n in re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", sheet).groups())
    assert (width, height) == pytest.approx((841.9, 595.3), abs=1)
    assert page.locator(".taotu-tools").is_visible()
    assert page.evaluate("Number.isInteger(taotuMap.map.getZoom())")
