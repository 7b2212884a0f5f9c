"""The map of the service: what is kept of it beside the code, and the page it becomes."""

import hashlib
import json
import re
import tomllib
from dataclasses import replace
from fnmatch import fnmatch
from html.parser import HTMLParser

import folium
import pytest
from folium.plugins import Fullscreen, VectorGridProtobuf

from geo.assets import OWN_FOLDERS, STATIC, asset_url, static_files, vendored
from geo.errors import InputError, OutputError
from geo.overview import village_figures
from geo.servedmap import (
    BaseMap,
    MapSpec,
    Overview,
    Swipe,
    VillageFigure,
    base_maps,
    county_overview,
    county_tiles,
    map_html,
    map_parts,
    served_map,
)
from geo.standards import code_list
from geo.tiles import TILE_COLUMNS
from geo.webdata import LAYERS
from tests.geo.county import county_tables
from tests.helpers import ROOT

NONCE = "bm9uY2Utb2YtYS10ZXN0"
BOUNDS = (114.0, 34.6, 114.1, 34.7)
FIGURE = VillageFigure(column="block_m2", title="剩余图块", factor=0.0015)
SPEC = MapSpec(
    bounds=BOUNDS,
    label="剩余耕地图块",
    bases=(BaseMap(key="ortho", title="正射影像", urls=("/basemap/ortho/{z}/{x}/{y}",)),),
    tiles=county_tiles(version="7"),
    overview=Overview(url="/api/v1/overview", figures=(FIGURE,)),
    swipe=Swipe(left_title="改正前", left=("parcels_original",), right_title="改正后", right=("parcels",)),
)
FILES = sorted(path for path in static_files().rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
# A namespace is a name; the library's home page stands in its licence line and in a prefix that is turned off.
KNOWN = re.compile(r"http://www\.w3\.org/(2000/svg|1999/xhtml)|https://leafletjs\.com|https://bug[\w./?=&]+")


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.all = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.all.append((tag, dict(attrs)))


def name(path):
    return path.relative_to(static_files()).as_posix()


# -- what is kept beside the code


def test_every_vendored_file_is_the_one_of_the_manifest_and_none_is_beside_it():
    listed = {file: digest for library in vendored() for file, digest in library.files.items()}
    kept = {
        name(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FILES
        if name(path).split("/")[0] not in {*OWN_FOLDERS, "manifest.json"}
    }
    assert kept == listed


def test_every_library_says_its_release_licence_and_package():
    for library in vendored():
        folder = f"{library.name}-{library.version}"
        assert library.source == f"{folder}.tgz"
        assert re.fullmatch(r"[0-9a-f]{64}", library.source_sha256)
        licence = (static_files() / folder / "LICENSE.txt").read_text(encoding="utf-8")
        assert library.licence
        assert "retain this notice" in licence or "retain the above copyright" in licence


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix in {".js", ".css", ".svg"}], ids=name)
def test_no_asset_names_an_outside_host(path):
    content = path.read_text(encoding="utf-8")
    assert re.findall(r"(?:https?|wss?|ftp)://[^\s'\"<>)]+", KNOWN.sub("", content)) == []
    assert "@import" not in content


@pytest.mark.parametrize("path", [p for p in FILES if p.suffix == ".css"], ids=name)
def test_every_picture_of_a_style_is_there(path):
    for target in re.findall(r"url\(['\"]?([^)'\"]+)", path.read_text(encoding="utf-8")):
        assert target.startswith(("data:", "#")) or (path.parent / target).is_file()


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_no_script_makes_code_of_text(path):
    content = path.read_text(encoding="utf-8")
    assert not re.search(r"\beval\(|\bnew Function\b|[^.\w]Function\(|setTimeout\(['\"]", content)


@pytest.mark.parametrize("path", [p for p in SCRIPTS if name(p).startswith("map/")], ids=name)
def test_the_map_s_own_scripts_make_no_markup_of_texts(path):
    content = path.read_text(encoding="utf-8")
    assert not re.search(r"\.innerHTML\s*=|insertAdjacentHTML|outerHTML|document\.write", content)


def test_every_asset_goes_with_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["geo"]
    left = [
        name(path) for path in FILES if not any(fnmatch(path.name, p.removeprefix("**/")) for p in patterns)
    ]
    assert left == []


def test_an_address_changes_with_the_file():
    address = asset_url("map/map.js")
    digest = hashlib.sha256((static_files() / "map" / "map.js").read_bytes()).hexdigest()
    assert address == f"{STATIC}/map/map.js?v={digest[:12]}"


@pytest.mark.parametrize(
    "lost", ["map/none.js", "../errors.py", "manifest.json", "map", "../webassets/../schema.py"]
)
def test_what_is_no_asset_has_no_address(lost):
    with pytest.raises(OutputError, match="不在安装包中"):
        asset_url(lost)


# -- the page


def test_the_same_map_is_the_same_text_however_often_it_is_made():
    served = served_map(SPEC)
    first = map_html(served, nonce=NONCE)
    assert map_html(served, nonce=NONCE) == first
    assert map_html(served_map(SPEC), nonce=NONCE) == first


def test_every_script_and_style_of_the_page_comes_from_the_service_or_bears_the_nonce():
    tags = Tags(map_html(served_map(SPEC), nonce=NONCE)).all
    for tag, attributes in tags:
        if tag in {"script", "style"} and "src" not in attributes:
            assert attributes["nonce"] == NONCE
        for address in (attributes.get("src"), attributes.get("href")):
            assert address is None or re.fullmatch(rf"{STATIC}/[\w./-]+\?v=[0-9a-f]{{12}}", address)
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
    assert len([tag for tag, attributes in tags if tag == "script" and "src" in attributes]) == 11


def test_the_three_parts_are_the_whole_page():
    served = served_map(SPEC)
    parts, whole = map_parts(served, nonce=NONCE), map_html(served, nonce=NONCE)
    assert all(part in whole for part in (parts.head, parts.body, parts.script))
    assert "<script" not in re.sub(r"<script src=.*?</script>", "", parts.head)


def test_another_answer_has_another_nonce_and_nothing_of_the_first():
    served = served_map(SPEC)
    map_html(served, nonce=NONCE)
    assert NONCE not in map_html(served, nonce="another-nonce-of-a-test")


@pytest.mark.parametrize(
    "nonce", ["", "short", 'x" onload="alert(1)', "<script>aaaaaaaaaaaaaaaa", NONCE + "\n"]
)
def test_a_nonce_that_is_none_is_refused(nonce):
    with pytest.raises(InputError, match="nonce"):
        map_parts(served_map(SPEC), nonce=nonce)


def test_texts_of_a_layer_cannot_end_the_script_that_holds_them():
    evil = replace(SPEC, label="</script><script>alert(1)</script>\"'", bases=())
    tags = Tags(map_html(served_map(evil), nonce=NONCE)).all
    assert len([tag for tag, _ in tags if tag == "script"]) == 13
    (area,) = [attributes for tag, attributes in tags if attributes.get("role") == "application"]
    assert area["aria-label"] == evil.label


def test_what_the_page_is_told_is_the_spec():
    body = map_parts(served_map(SPEC), nonce=NONCE).body
    told = json.loads(re.search(r'id="taotu-map-config">(.*?)</script>', body)[1])
    assert told["bounds"] == list(BOUNDS)
    assert [layer["key"] for layer in told["tiles"]] == [layer.key for layer in SPEC.tiles]
    assert not any(layer["show"] for layer in told["tiles"])


# -- what an analyst may add


def test_folium_s_own_elements_may_be_added_and_load_from_the_service():
    served = served_map(SPEC)
    folium.CircleMarker([34.65, 114.05], tooltip="村部").add_to(served)
    VectorGridProtobuf("/tiles/roads/{z}/{x}/{y}.mvt", show=False).add_to(served)
    whole = map_html(served, nonce=NONCE)
    assert "L.circleMarker(" in whole
    assert "unpkg" not in whole
    assert all(url.startswith("https://") for _, url in folium.Map.default_js + VectorGridProtobuf.default_js)


def test_an_element_whose_library_is_not_here_is_refused_by_name():
    served = served_map(SPEC)
    Fullscreen().add_to(served)
    with pytest.raises(OutputError, match=r"Control\.Fullscreen\.js"):
        map_parts(served, nonce=NONCE)


def test_a_base_map_from_outside_is_refused():
    served = served_map(SPEC)
    folium.TileLayer("https://tiles.example.invalid/{z}/{x}/{y}.png", attr="x").add_to(served)
    with pytest.raises(OutputError, match=r"tiles\.example\.invalid"):
        map_parts(served, nonce=NONCE)


def test_an_element_that_needs_jquery_is_refused_before_a_browser_meets_it():
    served = served_map(SPEC)
    folium.Marker([34.65, 114.05], popup="村部").add_to(served)
    with pytest.raises(OutputError, match="jQuery"):
        map_parts(served, nonce=NONCE)


# -- what a spec may not be

OUTSIDE = "https://example.invalid/{z}/{x}/{y}"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"bounds": (114.1, 34.6, 114.0, 34.7)}, "范围"),
        ({"bounds": (114.0, 34.6, 114.1, float("nan"))}, "范围"),
        ({"bases": (BaseMap(key="a", title="影像", urls=(OUTSIDE,)),)}, "不在本系统内"),
        (
            {"bases": (BaseMap(key="a", title="影像", urls=("//example.invalid/{z}/{x}/{y}",)),)},
            "不在本系统内",
        ),
        ({"bases": (BaseMap(key="a", title="影像", urls=("/basemap/a/{z}/{x}",)),)}, "应含"),
        ({"bases": SPEC.bases * 2}, "重复"),
        ({"tiles": SPEC.tiles[:1] * 2, "swipe": None}, "重复"),
        ({"tiles": (replace(SPEC.tiles[0], themes=()),), "swipe": None}, "没有图例"),
        ({"overview": Overview(url="https://example.invalid/", figures=(FIGURE,))}, "不在本系统内"),
        ({"overview": Overview(url="/overview", figures=())}, "没有指标"),
        ({"tiles": ()}, "不在地图上"),
    ],
)
def test_a_spec_that_cannot_be_shown_is_refused(change, word):
    with pytest.raises(InputError, match=word):
        served_map(replace(SPEC, **change))


# -- one legend on both maps


def test_classes_are_drawn_as_on_the_offline_map():
    offline = {kind.key: (kind.title, dict(kind.style), dict(kind.rows)) for kind in LAYERS}
    for layer in county_tiles():
        for item in layer.themes[0].classes:
            if item.key in offline:
                title, style, rows = offline[item.key]
                assert (item.title, dict(item.style)) == (title, style)
                assert dict(item.when) in (rows, {})  # {}: that column is of the offline page alone


def test_every_state_has_its_own_colour():
    (pieces,) = [layer for layer in county_tiles() if layer.key == "pieces"]
    _, states = pieces.themes
    blocks = [item for item in states.classes if item.when["piece_shape"] == "BLOCK"]
    assert {item.key: item.title for item in blocks} == code_list("state")
    assert [item.show for item in states.classes if item not in blocks] == [False, False]
    looks = {(item.style["fillColor"], item.style.get("hatch")) for item in states.classes}
    assert len(looks) == len(states.classes)


def test_every_piece_has_a_class_to_be_drawn_by():
    (pieces,) = [layer for layer in county_tiles() if layer.key == "pieces"]
    for shape in code_list("piece_shape"):
        for kind in code_list("piece_class"):
            row = {"piece_shape": shape, "piece_class": kind}
            fits = [item for item in pieces.themes[0].classes if item.when.items() <= row.items()]
            assert len(fits) == 1


def test_the_edition_stands_in_every_address_of_tiles():
    assert all(layer.url.endswith(".mvt?v=7") for layer in county_tiles(version="7"))
    own = {layer.key: layer.url for layer in county_tiles(version={"grids": "a1"})}
    assert own["micro_grids"].endswith("/tiles/grids/{z}/{x}/{y}.mvt?v=a1")
    assert own["pieces"].endswith(".mvt")


def test_what_a_layer_is_drawn_and_named_by_is_in_its_tiles():
    for layer in county_tiles():
        carried = TILE_COLUMNS[layer.url.split("/")[2]]
        asked = {name for theme in layer.themes for item in theme.classes for name in item.when}
        assert {layer.code, *asked, *filter(None, [layer.label])} <= set(carried)


def test_every_figure_of_the_overview_is_one_the_service_gives():
    tables = county_tables()
    balance = tables["balance"]
    given = village_figures(tables["villages"], balance[balance["level"] == "village"], tables["pieces"])
    assert {figure.column for figure in county_overview().figures} <= set(given.columns)


def test_backgrounds_are_those_that_are_set_up():
    listed = [
        {"name": "orthophoto", "max_zoom": 20},
        {"name": "tianditu-cia", "max_zoom": 18},
        {"name": "tianditu-img", "max_zoom": 18},
        {"name": "tianditu-vec", "max_zoom": 18},
    ]
    assert [(base.key, base.urls, base.max_zoom) for base in base_maps(listed)] == [
        ("orthophoto", ("/basemap/orthophoto/{z}/{x}/{y}",), 20),
        ("tianditu-img", ("/basemap/tianditu-img/{z}/{x}/{y}", "/basemap/tianditu-cia/{z}/{x}/{y}"), 18),
        ("tianditu-vec", ("/basemap/tianditu-vec/{z}/{x}/{y}",), 18),
    ]
    assert base_maps([]) == ()
