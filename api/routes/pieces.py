"""One piece by its printed code; a code once printed always leads somewhere."""

from typing import Any

import pandas as pd
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.errors import NotFoundError
from api.features import MEDIA_TYPE, features, records
from api.routes.collections import quoted
from api.source import SourceDep
from geo import schema
from geo.codes import key_of
from geo.workspace import Workspace

router = APIRouter(prefix="/pieces", tags=["pieces"])


@router.get("/{piece_code}", response_class=JSONResponse)
def read_piece(piece_code: str, source: SourceDep) -> JSONResponse:
    """The piece a printed code names, with its class, reason, areas and findings.

    The class letter may have changed since printing: the key decides, and
    ``piece_code`` in the answer is the code of today. A code no longer in use
    is answered with what the register knows: ``register_status`` SUPERSEDED,
    no geometry.
    """
    opened = source.open()
    same_key = f"piece_key = {quoted(key_of(piece_code))}"
    register = opened.read("code_register", where=same_key)
    found = opened.read("pieces", where=same_key)
    if found.empty and register.empty:
        raise NotFoundError(f"没有编号为 {piece_code} 的图块，也没有发过这个编号")
    (feature,) = features(found if len(found) else _no_longer(register), "piece_code")
    properties = feature["properties"]
    properties["asked_code"] = piece_code
    properties["register_status"] = register["status"].iloc[0] if len(register) else None
    properties["findings"] = _findings(opened, properties)
    return JSONResponse(feature, media_type=MEDIA_TYPE)


def _no_longer(register: pd.DataFrame) -> pd.DataFrame:
    """What is left of a piece that is gone: its code, and that another took its place."""
    known = register[["piece_key", "piece_code", "group_code", "patch_code"]].iloc[[-1]]
    return schema.conform(known.assign(state="superseded"), "pieces")


def _findings(opened: Workspace, properties: dict[str, Any]) -> list[dict[str, Any]]:
    codes = [properties[name] for name in ("piece_code", "piece_key", "patch_code") if properties[name]]
    where = f"row_code IN ({', '.join(quoted(code) for code in codes)})"
    return records(opened.read("findings", where=where, geometry=False))
