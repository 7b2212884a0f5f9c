"""Pictures under the map: the county's own orthophoto, and 天地图 through the service, which keeps its key.

GET /basemap                      {"basemaps": [{"name", "title", "url", "min_zoom", "max_zoom"}...]}: what is set up
GET /basemap/{name}/{z}/{x}/{y}   a picture of Web Mercator; 204 where there is none, 404 for a name not set up
Names: orthophoto; tianditu-img tianditu-cia tianditu-vec tianditu-cva tianditu-ter tianditu-cta.
"""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response

from api.access import CallerDep, SettingsDep, StoreDep
from api.errors import NotFoundError, problems
from api.tianditu import LAYERS, Tianditu
from geo.errors import ConditionError
from geo.orthophoto import MEDIA_TYPES, Orthophoto
from geo.tiles import Tile

router = APIRouter(prefix="/basemap", tags=["tiles"])

_OWN: Final = "orthophoto"
_PREFIX: Final = "tianditu-"
_HEADERS: Final = {"Cache-Control": "private, max-age=86400"}


class Pictures:
    """Sources of pictures that a county has set up."""

    def __init__(self, own: Orthophoto | None, proxy: Tianditu | None) -> None:
        self.own = own
        self.proxy = proxy


def pictures_of(request: Request, store: StoreDep, settings: SettingsDep) -> Pictures:
    """The service's pictures, opened at the first request."""
    state = request.app.state
    if getattr(state, "pictures", None) is None:
        own = Orthophoto(list(settings.orthophoto)) if settings.orthophoto else None
        proxy = None
        if settings.tianditu_url:
            proxy = Tianditu(settings.tianditu_url, settings.tianditu_key, store.folder / "basemap")
        state.pictures = Pictures(own, proxy)
        if own is not None:
            state.lifetime.closing.append(own.close)
    return state.pictures  # type: ignore[no-any-return] # put there above


PicturesDep = Annotated[Pictures, Depends(pictures_of)]


@router.get("")
def list_basemaps(caller: CallerDep, pictures: PicturesDep) -> dict[str, Any]:  # noqa: ARG001 - who asks is known
    """Backgrounds that are set up."""
    found = []
    if pictures.own is not None:
        least, most = pictures.own.zooms
        found.append({"name": _OWN, "title": "本县影像", "min_zoom": least, "max_zoom": most})
    if pictures.proxy is not None:
        found += [
            {"name": f"{_PREFIX}{name}", "title": title, "min_zoom": 1, "max_zoom": 18}
            for name, title in LAYERS.items()
        ]
    return {"basemaps": [one | {"url": f"/basemap/{one['name']}/{{z}}/{{x}}/{{y}}"} for one in found]}


@router.get(
    "/{name}/{z}/{x}/{y}",
    response_class=Response,
    responses={
        200: {"content": {kind: {} for kind in ("image/webp", "image/png", "image/jpeg")}},
        204: {"description": "没有影像"},
        **problems(404),
    },
)
def read_picture(  # noqa: PLR0913, PLR0917 - what an address is made of
    name: str,
    z: int,
    x: int,
    y: int,
    caller: CallerDep,  # noqa: ARG001 - who asks is known
    pictures: PicturesDep,
) -> Response:
    """One picture.

    Raises
    ------
    ConditionError
        If there is no such tile.
    NotFoundError
        If the background is not set up.
    """
    if not Tile(z, x, y).valid:
        raise ConditionError(f"没有这样的瓦片：{z}/{x}/{y}")
    if name == _OWN and pictures.own is not None:
        body = pictures.own.tile(z, x, y)
        kind = MEDIA_TYPES["webp"]
    elif name.removeprefix(_PREFIX) in LAYERS and name.startswith(_PREFIX) and pictures.proxy is not None:
        body, kind = pictures.proxy.tile(name.removeprefix(_PREFIX), z, x, y)
    else:
        raise NotFoundError("没有设置这个底图")
    if body is None:
        return Response(status_code=204, headers=_HEADERS)
    return Response(body, media_type=kind, headers=_HEADERS)
