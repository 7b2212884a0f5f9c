"""Pages for people. What they show comes from the routes that programs use; a page is only their shell."""

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.access import CallerDep, StoreDep
from api.extent import reach
from api.pages import answer
from api.systems import CRS84, lonlat, systems
from geo.schema import LAYER_TITLES
from geo.servedmap import MapSpec, Overview, VillageFigure
from geo.standards import code_list
from geo.store import EVERYTHING, Store

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_FIGURES: Final = (
    VillageFigure(column="block_mu", title="剩余图块面积"),
    VillageFigure(column="unconfirmed_mu", title="未确权地面积"),
    VillageFigure(column="newly_added_mu", title="新增地面积"),
    VillageFigure(column="undetermined_mu", title="待定面积"),
    VillageFigure(column="candidate_mu", title="待核查面积"),
    VillageFigure(column="farmland_mu", title="集体耕地面积"),
    VillageFigure(column="piece_count", title="图块数", unit="块", decimals=0),
)
_CHINA: Final = (73.5, 18.0, 135.1, 53.6)  # a workspace without land still opens


def county_name(store: Store) -> str:
    """What the workspace calls itself."""
    meta = store.raw("meta", scope=EVERYTHING)[1]
    return str(dict(zip(meta["key"], meta["value"], strict=True)).get("title") or "剩余耕地图块")


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


@router.get("/login")
def login_page(request: Request, store: StoreDep) -> HTMLResponse:
    """The way in; whoever is in already changes the password here."""
    return answer(request, "login", title="登录", county=county_name(store))


@router.get("/")
def overview_page(request: Request, store: StoreDep, caller: CallerDep) -> HTMLResponse:
    """The county at a glance."""
    spec = MapSpec(
        bounds=map_bounds(store),
        label="各村剩余图块",
        overview=Overview(url="/api/v1/overview/villages", figures=_FIGURES),
    )
    told = {"codes": codes_told("state", "piece_class", "piece_shape"), "layers": LAYER_TITLES}
    return answer(
        request, "overview", title="总览", county=county_name(store), caller=caller, told=told, spec=spec
    )
