"""The county's map page."""

from typing import Annotated

from fastapi import APIRouter, Header, Response

from api.source import SourceDep

router = APIRouter(tags=["map"])


@router.get("/", response_class=Response)
def read_page(source: SourceDep, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """The whole map in one page; 304 if the browser has it already."""
    page, tag = source.page()
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    known = {name.strip().removeprefix("W/") for name in (if_none_match or "").split(",")}
    if tag in known:
        return Response(status_code=304, headers=headers)
    return Response(page, media_type="text/html; charset=utf-8", headers=headers)
