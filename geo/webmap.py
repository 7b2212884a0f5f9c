"""A county's tables as one web page that needs no network: a Folium map, a value.

Everything the page uses is inside it: the map library, its pictures, the data.
`save` refuses a page that names an outside address, and the page itself tells
the browser to load nothing from elsewhere.
"""

import base64
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from os import PathLike
from typing import Any, Final
from urllib.parse import urlsplit

import folium
import pandas as pd
from branca.element import Figure, MacroElement
from folium.map import Layer
from folium.template import Template

from geo import schema
from geo.atomic import whole_file
from geo.errors import InputError, OutputError
from geo.webdata import MAX_HOMES, PageLayer, of_grids_alone, page_layers
from geo.webpage import Verbatim, number_elements
from geo.webpanel import legend_name, panel, text

MAX_POLYGONS: Final = 60_000  # a page of more takes many seconds to open on an office computer
MAX_FINDINGS: Final = 20_000
TITLE: Final = "剩余耕地图块分布图"
GRID_TITLE: Final = "网格分布图"

_ASSETS: Final = files("geo") / "webassets"
_LEAFLET: Final = "leaflet-1.9.4"
_LEGEND: Final = (
    "villages", "grids_in_band", "grids_under", "grids_over", "grids_exclusive", "micro_grids", "homes", "homes_lost",
    "unconfirmed", "newly_added", "undetermined", "strips", "slivers",
    "patches", "patches_state", "patches_share", "parcels", "parcels_original",
    "findings_error", "findings_warning", "findings_info",
)  # fmt: skip
_NO_BASE_MAP: Final = "底图：无（离线）"
_CHINA: Final = (73.0, 18.0, 135.0, 54.0)  # shown when nothing has a shape
# A namespace is a name, never fetched; any other address in the page would be.
_OUTSIDE: Final = re.compile(
    r"(?:https?|wss?|ftp)://(?!www\.w3\.org/2000/svg['\"])[^\s'\"<>)]*"
    r"|(?:src|href)\s*=\s*['\"]//[^'\"]+"
    r"|url\(\s*['\"]?(?!data:|#)[^)]+\)"
    r"|@import[^;]+;"
)


class _CompactLayer(Layer):
    """A layer the page draws from its own compact data."""

    _template = Template("""
        {% macro script(this, kwargs) %}
            var {{ this.get_name() }} = taotu.layer({{ this.key|tojson }});
            {%- if this.show %}
            {{ this.get_name() }}.addTo({{ this._parent.get_name() }});
            {%- endif %}
        {% endmacro %}
    """)

    def __init__(self, layer: PageLayer) -> None:
        super().__init__(name=legend_name(layer), overlay=True, control=True, show=layer.kind.show)
        self._name = "CompactLayer"
        self.key = layer.kind.key

    def render(self, **kwargs: Any) -> str:  # noqa: ANN401 - branca's signature
        # Folium's own would add a child of random name at every call, so that no two pages were alike.
        MacroElement.render(self, **kwargs)  # type: ignore[no-untyped-call]
        return ""  # what there is to say was put into the figure


class _Start(MacroElement):
    """Sets the page going once its layers are there."""

    _template = Template("""
        {% macro script(this, kwargs) %}
            taotu.start({{ this._parent.get_name() }});
        {% endmacro %}
    """)


def county_map(  # noqa: PLR0913 - bounds of a page, each by name
    tables: Mapping[str, pd.DataFrame],
    *,
    title: str | None = None,
    tiles: str | None = None,
    max_polygons: int = MAX_POLYGONS,
    max_findings: int = MAX_FINDINGS,
    max_homes: int = MAX_HOMES,
) -> folium.Map:
    """The county's map: every piece with its class, the reason for it, m² and mu.

    Layers: village boundaries, farmland patches by kind, contract parcels (off
    at first, no personal data) and where they lay before a shift was mended
    (off), blocks of each class, strips and slivers (off), findings by severity
    (off), grids by their balance, micro-grids (off) and homes, which are drawn
    from close by. Beside it totals, the proof of the balance, a list of villages, and a search by code.

    Parameters
    ----------
    tables : mapping of layer name to DataFrame or GeoDataFrame
        Layers of a workspace: ``pieces``, and of ``patches``, ``parcels``, ``parcels_original``,
        ``shifts``, ``villages``, ``findings``, ``balance``, ``grids``, ``grid_villages``,
        ``households`` those there are; or no ``pieces`` but ``grids``: then it is a map
        of grids, and layers of the main job are left out. In any CRS,
        all on one datum; shown in that datum's longitude and latitude. Left as
        they are; the order of their rows does not matter.
    title : str, optional
        Heading of the page; `default_title` if it is not given.
    tiles : str, optional
        Address of a county's own tile server, ``http(s)://…/{z}/{x}/{y}``. It
        is then the only outside address; by default there is none.
    max_polygons, max_findings, max_homes : int
        Above this many, parcels, slivers, strips, patches and micro-grids (in this
        order), findings of the lesser severities, or homes are left out, and the
        page says so. Blocks and grids never are.

    Returns
    -------
    folium.Map
        The same page for the same tables, byte for byte.

    Raises
    ------
    InputError
        If there are neither pieces nor grids, a column is missing, or ``tiles`` is no web address.
    MissingDatumError, MismatchError, GeometryTypeError
        If a layer has no CRS, another datum than the rest, or no polygons.
    """
    layers = page_layers(tables, max_polygons=max_polygons, max_findings=max_findings, max_homes=max_homes)
    title = default_title(tables) if title is None else title
    shifts = schema.conform(pd.DataFrame(tables.get("shifts", {})), "shifts")
    proofs = schema.conform(pd.DataFrame(tables.get("grid_villages", {})), "grid_villages")
    words = panel(layers, tables.get("balance"), shifts, proofs, title=title, tiles=bool(tiles))
    host = _host(tiles)
    bounds = _bounds(layers)
    county = folium.Map(
        location=[(bounds[1] + bounds[3]) / 2, (bounds[0] + bounds[2]) / 2],
        tiles=None,
        zoom_control=False,
        prefer_canvas=True,
        maxZoom=20,
        zoomSnap=0.25,
    )
    county.default_js, county.default_css = [], []  # of this map only: what the page needs is inside it
    if tiles:
        folium.TileLayer(
            tiles, attr=f"底图：{text(urlsplit(tiles).netloc)}", name="底图", control=False
        ).add_to(county)
    figure = county.get_root()
    if not isinstance(figure, Figure):
        raise TypeError(figure)
    figure.title = text(title)
    figure.header.add_child(Verbatim(_policy(host)), name="policy", index=0)
    figure.header.add_child(Verbatim(_styles()), name="styles")
    figure.header.add_child(Verbatim(f"<script>{_leaflet()}</script>"), name="leaflet")
    figure.html.add_child(Verbatim(words), name="panel")
    figure.html.add_child(Verbatim(_data(layers, bounds, offline=not tiles)), name="data")
    figure.html.add_child(Verbatim(f"<script>{_asset('page/page.js')}</script>"), name="page")
    by_key = {layer.kind.key: layer for layer in layers if layer.data is not None}
    for key in _LEGEND:
        if key in by_key:
            _CompactLayer(by_key[key]).add_to(county)
    folium.LayerControl(collapsed=False).add_to(county)
    _Start().add_to(county)  # type: ignore[no-untyped-call]
    number_elements(figure)
    return county


def default_title(tables: Mapping[str, pd.DataFrame]) -> str:
    """What a page of these tables is called: a map of grids if there are no pieces but grids."""
    return GRID_TITLE if of_grids_alone(tables) else TITLE


def page(county: folium.Map) -> str:
    """The map as the text of one HTML page; the same map gives the same text.

    Raises
    ------
    OutputError
        If the page names an outside address other than that of its own tile layers.
    """
    whole = county.get_root().render()
    own = {child.tiles for child in county._children.values() if isinstance(child, folium.TileLayer)}  # noqa: SLF001 - no other way to list them
    hosts = tuple(f"{urlsplit(url).scheme}://{urlsplit(url).netloc}" for url in own)
    outside = [found for found in outside_references(whole) if not found.startswith(hosts or ("\0",))]
    if outside:
        raise OutputError(f"网页引用了外部地址 {outside[0]}，不能离线打开")
    return whole


def save(county: folium.Map, path: str | PathLike[str]) -> None:
    """Write a map to one HTML file, whole or not at all; the same map gives the same bytes.

    Raises
    ------
    OutputError
        If the file cannot be written, or the page names an outside address
        other than that of its own tile layers; what stood there stays.
    """
    whole = page(county)
    with whole_file(path) as scratch:
        scratch.write_text(whole, encoding="utf-8", newline="\n")


def outside_references(whole: str) -> list[str]:
    """Every address in a page that a browser could try to fetch from elsewhere; of an offline page none.

    XML namespaces (``www.w3.org/2000/svg``) are names and do not count.
    """
    return _OUTSIDE.findall(whole)


def _host(tiles: str | None) -> str:
    if not tiles:
        return ""
    parts = urlsplit(tiles)
    if (
        parts.scheme not in ("http", "https")
        or not parts.netloc
        or not {"{z}", "{x}", "{y}"} <= set(re.findall(r"\{\w+\}", tiles))
    ):
        raise InputError(f"底图地址 {tiles} 不可用：应为 http(s) 地址，并含 {{z}}、{{x}}、{{y}}")
    return f"{parts.scheme}://{parts.netloc.replace('{s}', '*')}"


def _bounds(layers: list[PageLayer]) -> tuple[float, float, float, float]:
    boxes = [layer.bounds for layer in layers if layer.bounds]
    if not boxes:
        return _CHINA
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


def _policy(host: str) -> str:
    """What the browser may load: what is in the page, and the pictures of the county's own tile server."""
    rules = f"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: {host}"
    return f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{rules.strip()}">'


def _data(layers: list[PageLayer], bounds: tuple[float, float, float, float], *, offline: bool) -> str:
    west, south, east, north = bounds
    content = {
        "order": [layer.kind.key for layer in layers if layer.data is not None],
        "layers": {layer.kind.key: layer.data for layer in layers if layer.data is not None},
        "left_out": [layer.kind.title for layer in layers if layer.data is None],
        "bounds": [[south, west], [north, east]],
        "attribution": _NO_BASE_MAP if offline else "",
    }
    dump = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # A text of the data can end the script element no more than it can be taken for an address.
    dump = dump.replace("<", "\\u003c").replace("://", ":\\u002f/")
    return f'<script type="application/json" id="taotu-data">{dump}</script>'


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _leaflet() -> str:
    code = _asset(f"{_LEAFLET}/leaflet.js")
    code = code.replace("https://leafletjs.com", "#")  # in its licence line and in a prefix we do not show
    code = re.sub(r"//# sourceMappingURL=\S+\s*$", "", code)
    # Every page is a copy of the library, and its licence asks to go with each.
    return f"/*\n{_asset(f'{_LEAFLET}/LICENSE.txt')}*/\n{code}"


def _styles() -> str:
    css = re.sub(r"/\*.*?\*/", "", _asset(f"{_LEAFLET}/leaflet.css"), flags=re.DOTALL)

    def inline(match: re.Match[str]) -> str:
        picture = (_ASSETS / _LEAFLET / match[1]).read_bytes()
        return f"url(data:image/png;base64,{base64.b64encode(picture).decode()})"

    css = re.sub(r"url\((images/[^)]+)\)", inline, css)
    return f"<style>{css}</style><style>{_asset('page/page.css')}</style>"
