"""The pages of the service: a shell made here, filled by a script of its own from the routes that scripts use too.

A page holds no figures of the county when it is sent: it opens at once, and
what a caller may not see never was in it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.access import Caller
from api.accounts import ROLE_TITLES
from geo.assets import asset_url
from geo.servedmap import MapSpec, map_parts, served_map

_TEMPLATES: Final = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One page in the navigation."""

    name: str  # of its template and script
    href: str
    title: str
    role: str = "viewer"  # the least that sees it


PLACES: Final = (
    Place(name="overview", href="/", title="总览"),
    Place(name="land", href="/map", title="地块"),
    Place(name="compare", href="/compare", title="比对"),
    Place(name="grids", href="/grids", title="网格"),
    Place(name="sheets", href="/sheets", title="图幅"),
    Place(name="review", href="/review", title="核查", role="officer"),
    Place(name="conflicts", href="/conflicts", title="冲突", role="officer"),
    Place(name="ledger", href="/ledger", title="台账"),
    Place(name="tasks", href="/tasks", title="任务", role="officer"),
    Place(name="audit", href="/audit", title="审计", role="reviewer"),
    Place(name="system", href="/system", title="系统", role="admin"),
)


def answer(  # noqa: PLR0913 - what a page is made of
    request: Request,
    name: str,
    *,
    title: str,
    county: str,
    caller: Caller | None = None,
    told: Mapping[str, Any] | None = None,
    spec: MapSpec | None = None,
    **more: Any,  # noqa: ANN401 - whatever the template names
) -> HTMLResponse:
    """One page.

    Parameters
    ----------
    request : Request
        Whose nonce the page's scripts bear.
    name : str
        Of the template and of the script under ``geo/webassets/service``.
    title, county : str
        What the page is and which county it is of.
    caller : Caller, optional
        Who reads it; nobody on the way in.
    told : mapping, optional
        Plain values its script finds in ``taotu.told``.
    spec : MapSpec, optional
        The map on it, if it has one.
    **more
        What else the template shows.
    """
    nonce = request.state.nonce
    parts = map_parts(served_map(spec), nonce=nonce) if spec else None
    html = (
        _environment()
        .get_template(f"{name}.html")
        .render(
            name=name,
            title=title,
            county=county,
            caller=caller,
            role_title=ROLE_TITLES[caller.role] if caller else "",
            places=[place for place in PLACES if caller and caller.may(place.role)],
            nonce=nonce,
            told=_plain(
                {"role": caller.role if caller else "", "name": caller.name if caller else "", **(told or {})}
            ),
            map_head=Markup(parts.head) if parts else "",  # noqa: S704 - made here, with its texts escaped
            map_body=Markup(parts.body) if parts else "",  # noqa: S704
            map_script=Markup(parts.script) if parts else "",  # noqa: S704
            **more,
        )
    )
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


def _plain(told: Mapping[str, Any]) -> Markup:
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - no text of it can end its element


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["asset"] = asset_url
    return made
