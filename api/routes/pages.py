"""Pages for people. What they show comes from the routes that programs use; a page is only their shell."""

import platform
import shutil
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute

from api.access import Caller, CallerDep, SettingsDep, StoreDep, needs
from api.extent import reach
from api.pages import answer
from api.routes.basemap import Pictures, PicturesDep, list_basemaps
from api.routes.tiles import TilesDep
from api.systems import CRS84, lonlat, systems
from api.tiling import Tiles
from geo.errors import ForbiddenError
from geo.schema import LAYER_TITLES, titles
from geo.servedmap import MapClass, MapLayer, MapSpec, Swipe, base_maps, county_overview, county_tiles
from geo.standards import code_list
from geo.store import EVERYTHING, Store
from geo.tiles import TILE_COLUMNS


class _Page(APIRoute):
    """A route whose refusal is a page, too: who follows a link is not shown a program's answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler; a refusal is told on a page with the way back."""
        handle = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                return await handle(request)
            except ForbiddenError as error:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                return await run_in_threadpool(_refused, request, str(error))

        return shown


router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse, route_class=_Page)

_CHINA: Final = (73.5, 18.0, 135.1, 53.6)  # a workspace without land still opens
_PIECE_CODES: Final = ("state", "piece_class", "piece_shape", "DLBM")
_CASE_CODES: Final = ("identified_as", "measured_how", "owner_kind", "reject_reason")
_LIBRARIES: Final = ("taotu", "geopandas", "shapely", "pyogrio", "fastapi", "uvicorn", "sqlalchemy", "folium")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """What is laid beside what; what both sides have is drawn on both."""

    title: str
    left: tuple[str, ...]
    left_title: str
    right: tuple[str, ...]
    right_title: str
    both: tuple[str, ...] = ("patches",)


_COMPARISONS: Final = {
    "pieces": _Comparison(
        title="承包地块 / 剩余图块",
        left=("parcels",), left_title="承包地块", right=("pieces",), right_title="剩余图块",
    ),
    "survey": _Comparison(
        title="耕地图斑 / 承包地块",
        left=("patches",), left_title="耕地图斑", right=("parcels",), right_title="承包地块", both=(),
    ),
    # Where they lie now is seen on both sides, or the left would be empty where nothing was moved.
    "shift": _Comparison(
        title="地块改正前 / 改正后",
        left=("parcels_original",), left_title="改正前", right=(), right_title="改正后", both=("patches", "parcels"),
    ),
}  # fmt: skip

Officer = Annotated[Caller, needs("officer")]
Reviewer = Annotated[Caller, needs("reviewer")]
Admin = Annotated[Caller, needs("admin")]


def county_name(store: Store) -> str:
    """What the workspace calls itself."""
    return _meta(store).get("title") or "剩余耕地图块"


def map_bounds(store: Store) -> tuple[float, float, float, float]:
    """West, south, east and north of the county in degrees."""
    found = reach(store)
    if found is None:
        return _CHINA
    west, south, east, north = lonlat(found, systems(store.workspace.crs)[CRS84])
    return west, south, east, north


def codes_told(*names: str) -> dict[str, dict[str, str]]:
    """Chinese titles of codes, for a page's script."""
    return {name: dict(code_list(name)) for name in names}


def map_layers(
    store: Store, caller: Caller, tiles: Tiles, *, on: Collection[str], off: Collection[str] = ()
) -> tuple[MapLayer, ...]:
    """Layers of tiles at the caller's edition: those of ``on`` shown at once, those of ``off`` to be turned on."""
    versions = {
        layer: tiles.version(layer, caller.scope) for layer in TILE_COLUMNS if layer in store.workspace.layers
    }
    return tuple(
        replace(layer, show=layer.key in on)
        for layer in county_tiles(version=versions)
        if layer.key in on or layer.key in off
    )


def _meta(store: Store) -> dict[str, str]:
    table = store.raw("meta", scope=EVERYTHING)[1]
    return dict(zip(table["key"], table["value"], strict=True))


def _spec(store: Store, caller: Caller, pictures: Pictures, label: str, **more: Any) -> MapSpec:  # noqa: ANN401
    bases = base_maps(list_basemaps(caller, pictures)["basemaps"])
    return MapSpec(bounds=map_bounds(store), label=label, bases=bases, overview=county_overview(), **more)


def _refused(request: Request, words: str) -> HTMLResponse:
    store, caller = request.app.state.store, request.state.caller
    page = answer(request, "refused", title="没有权限", county=county_name(store), caller=caller, words=words)
    page.status_code = HTTPStatus.FORBIDDEN
    return page


@router.get("/login")
def login_page(request: Request, store: StoreDep) -> HTMLResponse:
    """The way in; whoever is in already changes the password here."""
    return answer(request, "login", title="登录", county=county_name(store))


@router.get("/")
def overview_page(
    request: Request, store: StoreDep, caller: CallerDep, pictures: PicturesDep
) -> HTMLResponse:
    """The county at a glance."""
    told = {
        "codes": codes_told("state", "piece_class", "piece_shape"),
        "colours": {name: _colours(name) for name in ("state", "piece_class")},
    }
    spec = _spec(store, caller, pictures, "各村剩余图块")
    return answer(
        request, "overview", title="总览", county=county_name(store), caller=caller, told=told, spec=spec
    )


@router.get("/map")
def land_page(
    request: Request, store: StoreDep, caller: CallerDep, tiles: TilesDep, pictures: PicturesDep
) -> HTMLResponse:
    """All land close by, searched and filtered."""
    layers = map_layers(
        store, caller, tiles, on=("patches", "pieces"), off=("parcels", "findings", "sheets", "grids")
    )
    told = {"codes": codes_told(*_PIECE_CODES, "patch_kind", *_CASE_CODES), "titles": titles("pieces")}
    spec = _spec(store, caller, pictures, "地块", tiles=layers)
    return answer(
        request, "land", title="地块", county=county_name(store), caller=caller, told=told, spec=spec
    )


@router.get("/review")
def review_page(
    request: Request, store: StoreDep, caller: Officer, tiles: TilesDep, pictures: PicturesDep
) -> HTMLResponse:
    """Pieces to be decided on, one after another."""
    layers = map_layers(store, caller, tiles, on=("patches", "pieces"), off=("parcels", "grids"))
    layers = tuple(_by_state(layer) if layer.key == "pieces" else layer for layer in layers)
    told = {
        "codes": codes_told(*_PIECE_CODES, *_CASE_CODES),
        "titles": {**titles("pieces"), **titles("cases")},
        "actions": {"insert": "登记", "update": "修改"},
    }
    spec = _spec(store, caller, pictures, "核查", tiles=layers)
    return answer(
        request, "review", title="核查", county=county_name(store), caller=caller, told=told, spec=spec
    )


@router.get("/compare")
def compare_page(  # noqa: PLR0913, PLR0917 - what a page is made of
    request: Request,
    store: StoreDep,
    caller: CallerDep,
    tiles: TilesDep,
    pictures: PicturesDep,
    of: Annotated[str, Query(max_length=20)] = "pieces",
) -> HTMLResponse:
    """Two states of the land, laid side by side."""
    chosen = of if of in _COMPARISONS else "pieces"
    told_of = _COMPARISONS[chosen]
    layers = map_layers(store, caller, tiles, on=(*told_of.left, *told_of.right, *told_of.both))
    if chosen == "shift":
        layers = tuple(_outlined(layer) if layer.key in told_of.left else layer for layer in layers)
    swipe = Swipe(
        left_title=told_of.left_title, left=told_of.left, right_title=told_of.right_title, right=told_of.right
    )
    label = f"比对：{told_of.left_title}与{told_of.right_title}"
    spec = _spec(store, caller, pictures, label, tiles=layers, swipe=swipe)
    told = {"chosen": chosen, "left": told_of.left_title, "right": told_of.right_title}
    modes = [(name, one.title, name == chosen) for name, one in _COMPARISONS.items()]
    return answer(
        request, "compare", title="比对", county=county_name(store), caller=caller, told=told, spec=spec,
        modes=modes,
    )  # fmt: skip


@router.get("/grids")
def grids_page(
    request: Request, store: StoreDep, caller: CallerDep, tiles: TilesDep, pictures: PicturesDep
) -> HTMLResponse:
    """Grids, how even they are and why."""
    layers = map_layers(store, caller, tiles, on=("grids",), off=("micro_grids", "households", "patches"))
    told = {
        "codes": codes_told("grid_kind", "grid_balance", "grid_change"),
        "titles": {**titles("grids"), **titles("grid_villages")},
    }
    spec = _spec(store, caller, pictures, "网格", tiles=layers)
    return answer(
        request, "grids", title="网格", county=county_name(store), caller=caller, told=told, spec=spec
    )


@router.get("/sheets")
def sheets_page(
    request: Request, store: StoreDep, caller: CallerDep, tiles: TilesDep, pictures: PicturesDep
) -> HTMLResponse:
    """Pages of the newest set of sheets, to be seen and saved."""
    layers = map_layers(store, caller, tiles, on=("pieces", "sheets"), off=("patches", "parcels"))
    layers = tuple(_clear(layer) if layer.key == "sheets" else layer for layer in layers)
    spec = _spec(store, caller, pictures, "图幅", tiles=layers)
    told = {"titles": titles("sheets")}
    return answer(
        request, "sheets", title="图幅", county=county_name(store), caller=caller, told=told, spec=spec
    )


@router.get("/tasks")
def tasks_page(request: Request, store: StoreDep, caller: Officer, settings: SettingsDep) -> HTMLResponse:
    """Jobs: started, watched, cancelled, their results."""
    told = {"inputs": settings.jobs.inputs is not None}  # whether the server has a folder to choose from
    return answer(request, "tasks", title="任务", county=county_name(store), caller=caller, told=told)


@router.get("/conflicts")
def conflicts_page(request: Request, store: StoreDep, caller: Officer) -> HTMLResponse:
    """Values that two people gave and one has to choose."""
    told = {
        "codes": codes_told("state", *_CASE_CODES),
        "titles": {**titles("pieces"), **titles("cases")},
    }
    return answer(request, "conflicts", title="冲突", county=county_name(store), caller=caller, told=told)


@router.get("/ledger")
def ledger_page(request: Request, store: StoreDep, caller: CallerDep) -> HTMLResponse:
    """The proof that areas add up, from the county to the group."""
    return answer(
        request, "ledger", title="台账", county=county_name(store), caller=caller,
        told={"titles": titles("balance")},
    )  # fmt: skip


@router.get("/audit")
def audit_page(request: Request, store: StoreDep, caller: Reviewer) -> HTMLResponse:
    """Who did what."""
    told = {
        "layers": LAYER_TITLES,
        "titles": {**titles("pieces"), **titles("attachments"), **titles("conflicts"), **titles("cases")},
        "codes": codes_told("state", *_CASE_CODES),
        "whole": caller.villages is None,
    }
    return answer(request, "audit", title="审计", county=county_name(store), caller=caller, told=told)


@router.get("/system")
def system_page(request: Request, store: StoreDep, caller: Admin) -> HTMLResponse:
    """Users, keys, and what the service stands on."""
    disk = shutil.disk_usage(store.folder)
    told = {
        "disk": {"total": disk.total, "free": disk.free},
        "folder": str(store.folder),
        "versions": {
            "Python": platform.python_version(),
            **_versions(_LIBRARIES),
        },
        "meta": {key: value for key, value in _meta(store).items() if key != "title"},
        "crs": store.workspace.crs.name if store.workspace.crs is not None else "",
        "runs": [
            {name: row[name] for name in ("run_id", "inputs", "settings", "versions")} for row in _runs(store)
        ],
    }
    return answer(request, "system", title="系统", county=county_name(store), caller=caller, told=told)


def _runs(store: Store) -> list[dict[str, Any]]:
    table = store.raw("runs", scope=EVERYTHING)[1]
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def _versions(names: Collection[str]) -> Mapping[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _colours(column: str) -> dict[str, str]:
    """Colour on the map of each value of a column of pieces, of blocks."""
    pieces = next(layer for layer in county_tiles() if layer.key == "pieces")
    return {
        one.when[column]: str(one.style["fillColor"])
        for theme in pieces.themes
        for one in theme.classes
        if column in one.when and one.when.get("piece_shape") == "BLOCK"
    }


def _by_state(layer: MapLayer) -> MapLayer:
    """The same layer with its colours by state first."""
    themes = sorted(layer.themes, key=lambda theme: theme.key != "state")
    return replace(layer, themes=tuple(themes))


def _clear(layer: MapLayer) -> MapLayer:
    """The same layer of frames with nothing laid over the land in them; a frame is picked anywhere in it."""
    (theme,) = layer.themes
    classes = tuple(replace(one, style={**one.style, "fillOpacity": 0}) for one in theme.classes)
    return replace(layer, themes=(replace(theme, classes=classes),))


def _outlined(layer: MapLayer) -> MapLayer:
    """The same layer in a colour that stands off from parcels where they lie now."""
    style = {
        "color": "#b0087a",
        "weight": 1.4,
        "fillColor": "#b0087a",
        "fillOpacity": 0.08,
        "dashArray": None,
    }
    old = MapClass(key="original", title="改正前的位置", style=style)
    return replace(layer, themes=(replace(layer.themes[0], classes=(old,)),))
