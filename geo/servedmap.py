"""The map of the service's pages: a Folium map, a value, that loads everything from the service itself.

A page takes it in three parts, made for one answer with its nonce. What there
is to draw comes later, by addresses of this same service: village outlines
with figures for the whole county, vector tiles from close by.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import folium
from branca.element import Figure
from folium.template import Template

from geo.assets import asset_url
from geo.errors import InputError, OutputError
from geo.standards import code_list
from geo.webdata import LAYERS
from geo.webpage import Verbatim, localise, number_elements

TILES_FROM_ZOOM: Final = 14  # below, a county's outlines are a grey block
TILES_TO_ZOOM: Final = 19  # real tiles to here: stretched ones blur

_STYLES: Final = ("map/map.css",)
_SCRIPTS: Final = (
    "map/core.js", "map/geodesy.js", "map/style.js", "map/tiles.js", "map/overview.js",
    "map/measure.js", "map/swipe.js", "map/panel.js", "map/map.js",
)  # fmt: skip
_NONCE: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_OWN_ADDRESS: Final = re.compile(r"/(?![/\\])[^\s\"'<>\\]*")
_OUTSIDE: Final = re.compile(
    r"(?:https?|wss?|ftp)://[^\s'\"<>)]*|(?:src|href)\s*=\s*['\"]//[^'\"]+|@import[^;]+;"
)
_INLINE: Final = re.compile(r"<(script|style)(?=[\s>])(?![^>]*\ssrc=)")

_SHEET: Final = {"color": "#5a4632", "weight": 1.4, "fillColor": "#fffdf6", "fillOpacity": 0.35}
_BACKGROUNDS: Final = (
    (("orthophoto",), "本县影像", ""),
    (("tianditu-img", "tianditu-cia"), "天地图影像", "天地图"),
    (("tianditu-vec", "tianditu-cva"), "天地图电子地图", "天地图"),
    (("tianditu-ter", "tianditu-cta"), "天地图地形", "天地图"),
)
# From the light of what waits to the depth of what is done; told apart by lightness as well as by hue.
_STATE_COLOURS: Final[tuple[tuple[str, str, str, dict[str, Any]], ...]] = (
    ("candidate", "#f3d27a", "#8a6d1a", {}),
    ("identified", "#8cc4e8", "#2b6a94", {}),
    ("measured", "#3b8fd4", "#0b4f8a", {}),
    ("confirmed", "#3f9e5f", "#1b6b3a", {}),
    ("published", "#1d6b58", "#0c3d31", {}),
    ("let", "#6a4c93", "#3f2b5c", {}),
    ("reserved", "#c3afdc", "#6a4c93", {}),
    ("disputed", "#d9483b", "#8f1d1d", {}),
    ("rejected", "#c4c8c6", "#6d7471", {"hatch": "lines", "hatchColor": "#8d9491"}),
    ("superseded", "#eceeec", "#8d9491", {"hatch": "cross", "hatchColor": "#b5bab7", "dashArray": "4 3"}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapClass:
    """One line of a legend: which rows it is of, and how they are drawn."""

    key: str
    title: str
    when: Mapping[str, str] = field(default_factory=dict)  # property of the tile and the value it must have
    style: Mapping[str, Any] = field(
        default_factory=dict
    )  # Leaflet's path options, hatch and hatchColor beside
    show: bool = True  # at the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """One way to colour a layer: the first class that fits a row draws it, a row that fits none is not drawn."""

    key: str
    title: str
    classes: tuple[MapClass, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapLayer:
    """A layer of vector tiles, fetched only while it is on and the map is close enough."""

    key: str
    title: str
    url: str  # /tiles/pieces/{z}/{x}/{y}.mvt?v=…
    code: str  # property that names a row
    themes: tuple[Theme, ...]  # the first is shown first
    label: str = ""  # property said beside the code when the pointer rests on a shape
    show: bool = False
    min_zoom: int = TILES_FROM_ZOOM
    max_zoom: int = TILES_TO_ZOOM


@dataclass(frozen=True, slots=True, kw_only=True)
class VillageFigure:
    """A figure of a village to colour the county by."""

    column: str
    title: str
    unit: str = "亩"
    factor: float = 1.0  # the column times this is in ``unit``
    decimals: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """Villages, one GeoJSON of the service (further pages by its ``next`` links), coloured by a figure."""

    url: str
    figures: tuple[VillageFigure, ...]  # the first is shown first
    code: str = "village_code"
    name: str = "village_name"


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseMap:
    """A background of pictures through the service; of several addresses the later lie above."""

    key: str
    title: str
    urls: tuple[str, ...]
    attribution: str = ""
    max_zoom: int = 18  # pictures exist to here, and are stretched above
    show: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Swipe:
    """Two sides of a curtain: layers by key. What both sides have, or neither, is drawn on both."""

    left_title: str
    left: tuple[str, ...]
    right_title: str
    right: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSpec:
    """What a map shows and with what tools."""

    bounds: tuple[float, float, float, float]  # west, south, east, north in degrees
    label: str = "地图"  # read out to who cannot see it
    bases: tuple[BaseMap, ...] = ()  # beside the blank one
    tiles: tuple[MapLayer, ...] = ()  # from the lowest to the highest
    overview: Overview | None = None
    swipe: Swipe | None = None
    measure: bool = True
    printing: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MapParts:
    """A map as a page takes it in, each part whole HTML."""

    head: str  # styles and libraries: into <head>
    body: str  # the map and what it is told: where the map stands, in an element with a height
    script: str  # sets it going: at the end of <body>; scripts that use ``taotuMap`` come after it


class _ServedMap(folium.Map):
    """Folium's map without styles and switches in the page's head, which a strict policy would refuse."""

    _template = Template("""
        {% macro html(this, kwargs) %}
        <div class="taotu-map" id="{{ this.get_name() }}" role="application" aria-label="{{ this.label|e }}"></div>
        {% endmacro %}
        {% macro script(this, kwargs) %}
        var {{ this.get_name() }} = taotuMap.create("{{ this.get_name() }}", {{ this.options|tojavascript }});
        {% endmacro %}
    """)

    def __init__(self, label: str) -> None:
        super().__init__(tiles=None, zoom_control=False, zoomSnap=1, max_zoom=TILES_TO_ZOOM)
        self.label = label


def served_map(spec: MapSpec) -> folium.Map:
    """A full-size map of the service; Folium's own elements may be added to it.

    Parameters
    ----------
    spec : MapSpec
        Addresses begin with ``/``: everything comes from the service itself.

    Returns
    -------
    folium.Map
        The same map for the same ``spec``, byte for byte.

    Raises
    ------
    InputError
        If an address leads elsewhere or has no place for zoom, column and row,
        two layers have one key, the bounds are none, or a curtain names a layer that is not there.
    """
    _check(spec)
    served = _ServedMap(spec.label)
    served.default_css = [
        ("leaflet_css", asset_url("leaflet-1.9.4/leaflet.css")),
        *((f"taotu_{name}", asset_url(name)) for name in _STYLES),
    ]
    served.default_js = [
        ("leaflet", asset_url("leaflet-1.9.4/leaflet.js")),
        ("vectorGrid", asset_url("leaflet.vectorgrid-1.3.0/Leaflet.VectorGrid.bundled.min.js")),
        *((f"taotu_{name}", asset_url(name)) for name in _SCRIPTS),
    ]
    figure = _figure(served)
    figure.html.add_child(Verbatim(_config(spec)), name="config")
    return served


def map_parts(served: folium.Map, *, nonce: str) -> MapParts:
    """The map as parts of one answer.

    Parameters
    ----------
    served : folium.Map
        Made by `served_map`; left as it is but for names of its elements.
    nonce : str
        The answer's own word in its Content-Security-Policy, 16 or more
        letters of base64; every script and style that stands in the page bears it.

    Raises
    ------
    InputError
        If ``nonce`` is no such word.
    OutputError
        If an element was added that needs a library not kept here, or an outside address.
    """
    if not _NONCE.fullmatch(nonce):
        raise InputError("页面的一次性口令（nonce）不合规：应为 16 位以上的 Base64 字符")
    figure = _figure(served)
    localise(figure)
    number_elements(figure)
    figure.render()
    head = "\n".join(
        child.render()
        for name, child in figure.header._children.items()  # noqa: SLF001 - branca has no other way to list them
        if name != "meta_http"
    )
    body = figure.html.render()
    script = f"<script>\n{figure.script.render()}\ntaotuMap.start();\n</script>"
    parts = MapParts(head=_signed(head, nonce), body=_signed(body, nonce), script=_signed(script, nonce))
    _check_inside(parts)
    return parts


def map_html(served: folium.Map, *, nonce: str) -> str:
    """The map alone on a page; see `map_parts` for its arguments.

    Raises
    ------
    InputError, OutputError
        As `map_parts`.
    """
    parts = map_parts(served, nonce=nonce)
    return (
        '<!DOCTYPE html>\n<html lang="zh-CN">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>地图</title>\n'
        f'{parts.head}\n</head>\n<body class="taotu-alone">\n{parts.body}\n{parts.script}\n</body>\n</html>\n'
    )


def county_tiles(*, version: str | Mapping[str, str] = "") -> tuple[MapLayer, ...]:
    """The layers of a workspace as vector tiles, from the lowest to the highest, drawn as on the offline map.

    ``patches``, ``parcels`` and ``parcels_original`` (where they lay before a shift), ``grids`` and
    ``micro_grids``, ``pieces`` by class or by state, ``sheets``, ``households``, ``findings``. All off
    at the start; a page picks those it shows and turns some on with ``dataclasses.replace(layer, show=True)``.

    Parameters
    ----------
    version : str, or mapping of layer name to str
        Goes into the addresses, so that tiles of another edition are never taken from a browser's store;
        a layer that a mapping does not have goes without.
    """
    return tuple(_county_layer(version, *parts) for parts in _county_layers())


def county_overview() -> Overview:
    """Villages with the sums of the service's overview, in mu."""
    figures = (
        ("residual_mu", "剩余耕地"), ("block_mu", "剩余图块"), ("unconfirmed_mu", "未确权地"),
        ("newly_added_mu", "新增地"), ("undetermined_mu", "待定"), ("candidate_mu", "待核实"),
        ("confirmed_mu", "已确认"), ("covered_mu", "已确权到户"), ("farmland_mu", "集体耕地"),
    )  # fmt: skip
    return Overview(
        url="/api/v1/overview/villages",
        figures=tuple(VillageFigure(column=column, title=title) for column, title in figures),
    )


def base_maps(found: Iterable[Mapping[str, Any]]) -> tuple[BaseMap, ...]:
    """Backgrounds of what a county has set up, 天地图 with its names above the pictures.

    Parameters
    ----------
    found : iterable of mappings
        ``name`` and ``max_zoom`` of each, as ``GET /basemap`` lists them.
    """
    most = {str(item["name"]): int(item["max_zoom"]) for item in found}
    return tuple(
        BaseMap(
            key=names[0],
            title=title,
            urls=tuple(f"/basemap/{name}/{{z}}/{{x}}/{{y}}" for name in names if name in most),
            attribution=attribution,
            max_zoom=most[names[0]],
        )
        for names, title, attribution in _BACKGROUNDS
        if names[0] in most
    )


def _county_layer(  # noqa: PLR0913, PLR0917 - a row of the list below
    version: str | Mapping[str, str], key: str, title: str, table: str, code: str, label: str,
    themes: tuple[Theme, ...],
) -> MapLayer:  # fmt: skip
    mark = version if isinstance(version, str) else version.get(table, "")
    url = f"/tiles/{table}/{{z}}/{{x}}/{{y}}.mvt" + (f"?v={mark}" if mark else "")
    near = TILES_FROM_ZOOM + 1 if table == "households" else TILES_FROM_ZOOM
    return MapLayer(key=key, title=title, url=url, code=code, label=label, themes=themes, min_zoom=near)


def _county_layers() -> Iterator[tuple[str, str, str, str, str, tuple[Theme, ...]]]:
    ordinary = tuple(item for item in _classes("grids") if item.key != "micro_grids")
    micro = tuple(item for item in _classes("grids") if item.key == "micro_grids")
    homes = tuple(replace(item, when={}) for item in _classes("households") if item.key == "homes")
    sheet = MapClass(key="sheet", title="图幅", style=_SHEET)
    parcels, original = _theme("按分类", _classes("parcels")), _theme("按分类", _classes("parcels_original"))
    pieces = Theme(key="class", title="按分类", classes=_classes("pieces"))
    yield (
        "patches",
        "耕地图斑",
        "patches",
        "patch_code",
        "patch_area_m2",
        (_theme("按分类", _classes("patches")),),
    )
    yield "parcels", "承包地块", "parcels", "parcel_code", "surveyed_area_mu", (parcels,)
    yield "parcels_original", "改正前地块", "parcels_original", "parcel_code", "", (original,)
    yield "grids", "网格", "grids", "grid_code", "households", (_theme("按规模", ordinary),)
    yield "micro_grids", "微网格", "grids", "grid_code", "households", (_theme("按类型", micro),)
    yield "pieces", "剩余图块", "pieces", "piece_code", "area_mu", (pieces, _states())
    yield "sheets", "图幅", "sheets", "sheet_key", "sheet_number", (_theme("图幅", (sheet,)),)
    yield "households", "住户", "households", "household_key", "households", (_theme("住户", homes),)
    yield (
        "findings",
        "问题",
        "findings",
        "finding_id",
        "title",
        (_theme("按程度", _classes("findings")[::-1]),),
    )


def _theme(title: str, classes: tuple[MapClass, ...]) -> Theme:
    return Theme(key="class", title=title, classes=tuple(replace(item, show=True) for item in classes))


def _classes(table: str) -> tuple[MapClass, ...]:
    """Classes of a table as the offline map has them: one legend on both."""
    kinds = [kind for kind in LAYERS if kind.table == table]
    if table == "pieces":
        kinds.reverse()  # drawn from the least to the most, read the other way
    return tuple(
        MapClass(
            key=kind.key,
            title=kind.title,
            when=dict(kind.rows),
            style=dict(kind.style),
            show=kind.show,
        )
        for kind in kinds
    )


def _states() -> Theme:
    """Blocks by state; strips and slivers, which have one state until they are looked at, stay apart and off."""
    titles = code_list("state")
    blocks = tuple(
        MapClass(
            key=state,
            title=titles[state],
            when={"piece_shape": "BLOCK", "state": state},
            style={"color": edge, "weight": 1.2, "fillColor": fill, "fillOpacity": 0.75} | more,
        )
        for state, fill, edge, more in _STATE_COLOURS
    )
    rest = tuple(item for item in _classes("pieces") if item.when["piece_shape"] != "BLOCK")
    return Theme(key="state", title="按状态", classes=blocks + rest)


def _figure(served: folium.Map) -> Figure:
    figure = served.get_root()
    if not isinstance(figure, Figure):
        raise TypeError(figure)
    return figure


def _config(spec: MapSpec) -> str:
    dump = json.dumps(asdict(spec), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # No text of it can end the element.
    dump = dump.replace("<", "\\u003c")
    return f'<script type="application/json" id="taotu-map-config">{dump}</script>'


def _signed(html: str, nonce: str) -> str:
    return _INLINE.sub(rf'<\1 nonce="{nonce}"', html)


def _check(spec: MapSpec) -> None:
    west, south, east, north = spec.bounds
    if not (-180 <= west < east <= 180 and -85 <= south < north <= 85):  # noqa: PLR2004 - degrees a web map has
        raise InputError(f"地图范围 {spec.bounds} 不可用：应为西、南、东、北四个经纬度")
    _check_addresses(spec)
    for keys in ([item.key for item in spec.bases], [item.key for item in spec.tiles]):
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise InputError(f"图层 {min(twice)} 重复：每个图层只列一次")
    for layer in spec.tiles:
        if not layer.themes or not all(theme.classes for theme in layer.themes):
            raise InputError(f"图层“{layer.title}”没有图例：至少要有一个分类")
    if spec.overview and not spec.overview.figures:
        raise InputError("村级概览没有指标：至少要有一个")
    if spec.swipe and (lost := {*spec.swipe.left, *spec.swipe.right} - {item.key for item in spec.tiles}):
        raise InputError(f"比对用的图层 {min(lost)} 不在地图上")


def _check_addresses(spec: MapSpec) -> None:
    tiled = [(item.title, url) for item in spec.bases for url in item.urls]
    tiled += [(item.title, item.url) for item in spec.tiles]
    for title, url in tiled:
        if not {"{z}", "{x}", "{y}"} <= set(re.findall(r"\{\w+\}", url)):
            raise InputError(f"图层“{title}”的地址 {url} 不可用：应含 {{z}}、{{x}}、{{y}}")
    if spec.overview:
        tiled.append(("村界", spec.overview.url))
    for title, url in tiled:
        if not _OWN_ADDRESS.fullmatch(url):
            raise InputError(f"图层“{title}”的地址 {url} 不在本系统内：应以 / 开头")


def _check_inside(parts: MapParts) -> None:
    whole = parts.head + parts.body + parts.script
    if outside := _OUTSIDE.search(whole):
        raise OutputError(f"网页引用了外部地址 {outside[0]}，不能离线打开")
    if "$(" in parts.script or "jQuery" in parts.script:
        raise OutputError(
            "地图上有要用 jQuery 的元素（如 folium.Popup），本系统不带该库：请改用提示框或页面自己的卡片"
        )
