"""Photos, signatures and papers of a piece.

::

  POST /collections/pieces/items/{piece_code}/attachments   multipart: file, kind (photo signature document),
      taken_on (YYYY-MM-DD, optional; else the camera's), note
      → 201 row of attachments and Location: /attachments/{key}; 200 if the piece has this very file already
        409 if the file is attached to another piece · 422 if it is not what it should be
  GET /attachments/{attachment_key}[?original=true]
      → the image without what the camera wrote into it, or the PDF; ?original=true the file as it came (reviewers).
        Signatures and papers are for officers.

What a piece has: "attachments" of the piece, or /collections/attachments/items?piece_key=...
"""

from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Form, Response, UploadFile
from fastapi.responses import FileResponse

from api.access import Caller, CallerDep, StoreDep, needs
from api.errors import ConflictError, NotFoundError, TooLargeError, problems
from api.pieces import known_piece
from geo.errors import FactError, ForbiddenError
from geo.field import Evidence, evidence, kept, plain_facts, served
from geo.field.evidence import LARGEST
from geo.store import EVERYTHING

router = APIRouter(tags=["attachments"])

_OPEN_KINDS: Final = frozenset({"photo"})  # viewers may see these; the others tell of persons
_HEADERS: Final = {
    "Cache-Control": "private, max-age=86400",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
}


@router.post(
    "/collections/pieces/items/{piece_code}/attachments",
    status_code=201,
    responses={200: {"description": "已有这个文件"}, **problems(404, 409)},
)
def attach(  # noqa: PLR0913, PLR0917 - what a form is made of
    piece_code: str,
    file: UploadFile,
    response: Response,
    store: StoreDep,
    caller: Annotated[Caller, needs("officer")],
    kind: Annotated[str, Form(max_length=20)] = "photo",
    taken_on: Annotated[str, Form(max_length=10)] = "",
    note: Annotated[str, Form(max_length=400)] = "",
) -> dict[str, Any]:
    """Attach a file to a piece.

    Raises
    ------
    TooLargeError
        If the file is larger than its kind may be.
    ConflictError
        If it is attached to another piece.
    """
    piece = known_piece(store, piece_code, caller.scope)
    most = LARGEST.get(kind, max(LARGEST.values()))
    content = file.file.read(most + 1)
    if len(content) > most:
        raise TooLargeError(f"附件太大：最多 {most // 2**20} MB")
    found = evidence(content, kind, file.filename or "")
    day = plain_facts({"identified_on": taken_on})["identified_on"] if taken_on else found.taken_on
    if (held := _held(store, found, piece)) is not None:
        response.status_code = 200
        return held
    kept(store.folder, content, found)
    row = {
        "attachment_key": found.attachment_key,
        "piece_key": piece["piece_key"],
        "village_code": piece["village_code"],
        "kind": found.kind,
        "file_name": found.file_name,
        "media_type": found.media_type,
        "byte_count": found.byte_count,
        "taken_on": day,
        "note": note.strip() or None,
    }
    with store.write(actor=caller.actor, why="附件") as change:
        made = change.row("attachments", found.attachment_key)
        if made is None:
            made = change.insert("attachments", row)
    if made["piece_key"] != piece["piece_key"]:
        raise ConflictError("这个文件已附在另一图块上")
    response.headers["Location"] = f"/attachments/{found.attachment_key}"
    return {name: value for name, value in made.items() if name != "fid"}


@router.get(
    "/attachments/{attachment_key}",
    response_class=FileResponse,
    responses={200: {"content": {"image/jpeg": {}, "image/png": {}, "application/pdf": {}}}, **problems(404)},
)
def read_attachment(
    attachment_key: str, store: StoreDep, caller: CallerDep, *, original: bool = False
) -> FileResponse:
    """One file.

    Raises
    ------
    NotFoundError
        If there is none the caller may see.
    ForbiddenError
        If its kind, or the original, is for a higher role.
    """
    row = store.row("attachments", attachment_key, caller.scope)
    if row is None:
        raise NotFoundError("没有这个附件")
    if row["kind"] not in _OPEN_KINDS and not caller.scope.personal:
        raise ForbiddenError("签名和文件涉及个人信息，需要经办员权限")
    if original and not caller.may("reviewer"):
        raise ForbiddenError("原件需要审核员权限")
    try:
        path, media_type = served(store.folder, row, original=original)
    except FactError as error:
        raise NotFoundError("没有这个附件") from error
    if not path.is_file():
        raise NotFoundError("附件的文件已不在，请联系管理员")
    name = row.get("file_name") or "附件"  # a viewer does not see what it was called
    where = "inline" if media_type.startswith("image/") and not original else "attachment"
    headers = _HEADERS | {"Content-Disposition": f"{where}; filename*=UTF-8''{quote(name, safe='')}"}
    return FileResponse(path, media_type=media_type, headers=headers)


def _held(store: StoreDep, found: Evidence, piece: dict[str, Any]) -> dict[str, Any] | None:
    """The row of this very file, if the piece has it already.

    Raises
    ------
    ConflictError
        If another piece has it.
    """
    row = store.row("attachments", found.attachment_key, EVERYTHING)
    if row is None:
        return None
    if row["piece_key"] != piece["piece_key"]:
        raise ConflictError("这个文件已附在另一图块上")
    return {name: value for name, value in row.items() if name != "fid"}
