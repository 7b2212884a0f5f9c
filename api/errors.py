"""What the world hears when something is wrong: one table from error to status, one form of answer.

An answer holds ``title`` (Chinese), ``detail``, a stable ``code`` for programs,
``request_id`` to find it in the log and, where fields are at fault, ``errors``.

Source: RFC 9457, Problem Details for HTTP APIs.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel
from sqlalchemy.exc import DataError, OperationalError, StatementError
from starlette.exceptions import HTTPException

from api.accounts import (
    AccountConflictError,
    AccountError,
    LoginError,
    UnknownAccountError,
)
from api.tries import TooManyTriesError
from geo.errors import (
    CodeError,
    ConditionError,
    FactError,
    ForbiddenError,
    GeoError,
    InputError,
    OutputError,
    StaleError,
    TransitionError,
    UnknownRowError,
    WorkspaceError,
)

PROBLEM: Final = "application/problem+json"
_LOG: Final = logging.getLogger("api")


class NotFoundError(GeoError):
    """Nothing has the name that was asked for."""


class QueryError(GeoError):
    """A parameter of the request cannot mean anything."""


class UnauthorizedError(GeoError):
    """Nobody is logged in, or the token that came is of no session and no key."""


class MustChangeError(GeoError):
    """The password was made by somebody else and has to be changed before anything else."""


class CsrfError(GeoError):
    """A change came without proof that a page of this service asked for it."""


class ConditionMissingError(GeoError):
    """A change came without If-Match: it could undo what it has not seen."""


class ConflictError(GeoError):
    """What is asked for does not go together with what is there."""


class TooLargeError(GeoError):
    """A request or a file in it is larger than the service takes."""


class MediaTypeError(GeoError):
    """A request came in a form the service does not read."""


class NotReadyError(GeoError):
    """Something the service stands on is not there."""


# Every error of the service: its status, its code, its title. An error is answered by the row of the
# nearest of its parents. Codes are a contract; titles may change.
STATUS: Final[dict[type[Exception], tuple[HTTPStatus, str, str]]] = {
    QueryError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_parameter", "参数不合要求"),
    RequestValidationError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_parameter", "参数不合要求"),
    CodeError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_code", "编号不合规则"),
    AccountConflictError: (HTTPStatus.CONFLICT, "conflict", "与现状冲突"),
    AccountError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_account", "用户或密钥设置不当"),
    FactError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_fact", "填写内容不合要求"),
    ConditionError: (HTTPStatus.BAD_REQUEST, "invalid_filter", "筛选条件不可用"),
    UnauthorizedError: (HTTPStatus.UNAUTHORIZED, "unauthorized", "请先登录"),
    LoginError: (HTTPStatus.UNAUTHORIZED, "login_failed", "登录失败"),
    TooManyTriesError: (HTTPStatus.TOO_MANY_REQUESTS, "too_many_tries", "尝试过多"),
    ForbiddenError: (HTTPStatus.FORBIDDEN, "forbidden", "没有权限"),
    MustChangeError: (HTTPStatus.FORBIDDEN, "password_must_change", "请先修改密码"),
    CsrfError: (HTTPStatus.FORBIDDEN, "csrf", "请求来源不可信"),
    NotFoundError: (HTTPStatus.NOT_FOUND, "not_found", "没有找到"),
    UnknownRowError: (HTTPStatus.NOT_FOUND, "not_found", "没有找到"),
    UnknownAccountError: (HTTPStatus.NOT_FOUND, "not_found", "没有找到"),
    TransitionError: (HTTPStatus.CONFLICT, "state_conflict", "状态不允许"),
    ConflictError: (HTTPStatus.CONFLICT, "conflict", "与现状冲突"),
    StaleError: (HTTPStatus.PRECONDITION_FAILED, "stale", "已被他人修改"),
    TooLargeError: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "内容过大"),
    MediaTypeError: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "不支持的内容类型"),
    ConditionMissingError: (HTTPStatus.PRECONDITION_REQUIRED, "precondition_required", "缺少版本条件"),
    WorkspaceError: (HTTPStatus.SERVICE_UNAVAILABLE, "workspace_unavailable", "工作区不可用"),
    InputError: (HTTPStatus.SERVICE_UNAVAILABLE, "workspace_unavailable", "工作区读不了"),
    OutputError: (HTTPStatus.SERVICE_UNAVAILABLE, "cannot_write", "写不了"),
    NotReadyError: (HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "服务未就绪"),
    # A value no column of the database takes, such as a text with a null character in it.
    DataError: (HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_parameter", "参数不合要求"),
    OperationalError: (HTTPStatus.SERVICE_UNAVAILABLE, "workspace_unavailable", "数据库不可用"),
    GeoError: (HTTPStatus.INTERNAL_SERVER_ERROR, "failed", "处理失败"),
    Exception: (HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "服务出错"),
}
# What the framework itself refuses.
_HTTP: Final[dict[int, tuple[str, str]]] = {
    400: ("bad_request", "请求无法读取"),
    401: ("unauthorized", "请先登录"),
    403: ("forbidden", "没有权限"),
    404: ("not_found", "没有找到"),
    405: ("method_not_allowed", "不支持这种请求方法"),
    406: ("not_acceptable", "没有所要的格式"),
    409: ("conflict", "与现状冲突"),
    410: ("gone", "已不存在"),
    412: ("stale", "已被他人修改"),
    413: ("too_large", "内容过大"),
    415: ("unsupported_media_type", "不支持的内容类型"),
    416: ("range_not_satisfiable", "所要的部分不存在"),
    421: ("misdirected", "主机名不对"),
    422: ("invalid_parameter", "参数不合要求"),
    428: ("precondition_required", "缺少版本条件"),
    429: ("too_many_tries", "尝试过多"),
    500: ("internal", "服务出错"),
    501: ("not_implemented", "未提供"),
    503: ("not_ready", "服务未就绪"),
}


class FieldFlaw(BaseModel):
    """One field of a request that is not as it should be."""

    field: str
    message: str


class Problem(BaseModel):
    """Form of every answer that is no success."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str | None = None
    errors: list[FieldFlaw] | None = None


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a router or route may answer besides success, for its ``responses=``: in the form of Problem."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {
        status: {"description": _HTTP[status][1], "content": {PROBLEM: {"schema": schema}}}
        for status in statuses
    }


# Any route may say these; routes add their own, as 404, 409, 412 and 428.
COMMON: Final = problems(400, 401, 403, 413, 415, 422, 503)


def problem(  # noqa: PLR0913 - an answer has as many parts
    status: HTTPStatus,
    title: str,
    detail: str,
    request: Request,
    *,
    code: str = "",
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> JSONResponse:
    """An answer in the form of RFC 9457."""
    body = {
        "type": "about:blank",
        "title": title,
        "status": int(status),
        "detail": detail,
        "instance": request.url.path,
        "code": code or _HTTP.get(int(status), ("failed",))[0],
        "request_id": request.scope.get("state", {}).get("request_id"),
        **more,
    }
    return JSONResponse(body, status_code=status, media_type=PROBLEM, headers=dict(headers or {}))


def add_handlers(app: FastAPI) -> None:
    """Let every error of ``app`` be answered by the table."""
    for kind in (*STATUS, HTTPException):
        app.add_exception_handler(kind, _handle)


async def _handle(request: Request, error: Exception) -> Response:  # not in a thread of its own
    return answer_to(request, error)


def answer_to(request: Request, error: Exception) -> Response:
    """What an error is answered by: a problem; a browser that has to log in is led to where it can."""
    if isinstance(error, HTTPException) and not isinstance(error, GeoError):
        return _http_error(request, error)
    if isinstance(error, UnauthorizedError | MustChangeError) and _is_page(request):
        return RedirectResponse(_login_page(request), status_code=HTTPStatus.SEE_OTHER)
    if isinstance(error, RequestValidationError):
        return _invalid_request(request, error)
    status, code, title = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    detail = str(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or not isinstance(error, GeoError):
        hide_values(error)
        _LOG.error("%s", code, exc_info=error)
    if not isinstance(error, GeoError):
        # Not a word of what is wrong: the message may quote anything.
        detail = "请求没有办成，已记入日志；请把请求编号告诉管理员"
    headers: dict[str, str] = {}
    rows: dict[str, Any] = {}
    if isinstance(error, UnauthorizedError | LoginError):
        headers["WWW-Authenticate"] = 'Bearer realm="taotu"'
    if isinstance(error, TooManyTriesError):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, StaleError):
        rows = jsonable_encoder({"base": error.base, "theirs": error.theirs, "yours": error.yours})
    return problem(status, title, detail, request, code=code, headers=headers, **rows)


def hide_values(error: BaseException | None) -> None:
    """Let errors of the database name their statement without its values: those may be a person's."""
    while error is not None:
        if isinstance(error, StatementError):
            error.hide_parameters = True
        error = error.__cause__ or error.__context__


def _is_page(request: Request) -> bool:
    """Whether a browser's user waits for a page, rather than a program for an answer."""
    return (
        request.method in {"GET", "HEAD"}
        and "text/html" in request.headers.get("accept", "")
        and request.headers.get("sec-fetch-mode", "navigate") == "navigate"
        and not request.url.path.startswith("/api/")
    )


def _login_page(request: Request) -> str:
    query = f"?{request.url.query}" if request.url.query else ""
    return f"/login?next={quote(local_address(request.url.path + query), safe='')}"


def local_address(wanted: str | None) -> str:
    """``wanted`` if it is a place on this service, else its first page: no login leads elsewhere."""
    # Browsers read \ as /, and skip control characters and spaces.
    text = wanted or "/"
    if not text.startswith("/") or text[1:2] in {"/", "\\"} or "\\" in text:
        return "/"
    if any(ord(letter) <= 0x20 or ord(letter) == 0x7F for letter in text):  # noqa: PLR2004 - control characters
        return "/"
    return text


def _http_error(request: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    code, title = _HTTP.get(status, ("failed", "请求不成"))
    detail = f"{title}：{request.method} {request.url.path}"
    return problem(status, title, detail, request, code=code, headers=error.headers)


def _invalid_request(request: Request, error: RequestValidationError) -> Response:
    flaws = error.errors()
    if any(flaw["loc"] == ("body",) and flaw["type"] in _NO_OBJECT for flaw in flaws):
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            return answer_to(request, MediaTypeError("请求内容应为 JSON（Content-Type: application/json）"))
    status, code, title = STATUS[RequestValidationError]
    said = [{"field": _field(flaw["loc"]), "message": _in_chinese(flaw)} for flaw in flaws]
    detail = "请检查：" + "；".join(f"{flaw['field'] or '内容'} {flaw['message']}" for flaw in said)
    return problem(status, title, detail, request, code=code, errors=said)


_NO_OBJECT: Final = frozenset({"model_attributes_type", "model_type", "dict_type", "bytes_type", "list_type"})


def _field(place: tuple[int | str, ...]) -> str:
    return ".".join(map(str, place[1:]))


def _in_chinese(flaw: Mapping[str, Any]) -> str:
    said = _MESSAGES.get(flaw["type"])
    if said is None:
        # A validator of our own speaks Chinese already.
        own = flaw.get("ctx", {}).get("error")
        return str(own) if flaw["type"] in {"value_error", "assertion_error"} and own else "不合要求"
    choice = str(flaw.get("ctx", {}).get("expected", "")).replace(" or ", "、").replace(", ", "、")
    return said.format_map(_Filled(flaw.get("ctx", {}), expected=choice))


class _Filled(dict[str, Any]):
    """Values of a message; one that is not there stays empty."""

    def __missing__(self, key: str) -> str:
        return ""


_MESSAGES: Final = {
    "missing": "必填",
    "extra_forbidden": "没有这一项",
    "json_invalid": "不是有效的 JSON",
    "json_type": "应为 JSON",
    "greater_than": "应大于 {gt}",
    "greater_than_equal": "应不小于 {ge}",
    "less_than": "应小于 {lt}",
    "less_than_equal": "应不大于 {le}",
    "multiple_of": "应为 {multiple_of} 的倍数",
    "finite_number": "应为有限的数",
    "too_short": "至少 {min_length} 项",
    "too_long": "至多 {max_length} 项",
    "string_type": "应为文字",
    "string_unicode": "文字编码不对",
    "string_too_short": "至少 {min_length} 个字符",
    "string_too_long": "至多 {max_length} 个字符",
    "string_pattern_mismatch": "格式不对，应符合 {pattern}",
    "enum": "应为 {expected} 之一",
    "literal_error": "应为 {expected} 之一",
    "dict_type": "应为一组名和值",
    "model_type": "应为一组名和值",
    "model_attributes_type": "应为一组名和值",
    "mapping_type": "应为一组名和值",
    "list_type": "应为列表",
    "tuple_type": "应为列表",
    "set_type": "应为列表",
    "frozen_set_type": "应为列表",
    "set_item_not_hashable": "各项应为单个的值",
    "bool_type": "应为 true 或 false",
    "bool_parsing": "应为 true 或 false",
    "int_type": "应为整数",
    "int_parsing": "应为整数",
    "int_parsing_size": "整数过大",
    "int_from_float": "应为整数",
    "float_type": "应为数",
    "float_parsing": "应为数",
    "decimal_type": "应为数",
    "decimal_parsing": "应为数",
    "decimal_max_digits": "至多 {max_digits} 位数字",
    "decimal_max_places": "至多 {decimal_places} 位小数",
    "none_required": "应为空",
    "date_type": "应为日期，如 2024-05-31",
    "date_parsing": "应为日期，如 2024-05-31",
    "date_from_datetime_parsing": "应为日期，如 2024-05-31",
    "date_from_datetime_inexact": "应为日期，不带时刻",
    "date_past": "应为过去的日期",
    "date_future": "应为将来的日期",
    "datetime_type": "应为时间，如 2024-05-31T08:00:00+08:00",
    "datetime_parsing": "应为时间，如 2024-05-31T08:00:00+08:00",
    "datetime_from_date_parsing": "应为时间，如 2024-05-31T08:00:00+08:00",
    "datetime_object_invalid": "应为时间，如 2024-05-31T08:00:00+08:00",
    "timezone_aware": "时间应带时区",
    "timezone_naive": "时间不应带时区",
    "time_type": "应为时刻",
    "time_parsing": "应为时刻",
    "uuid_type": "应为 UUID",
    "uuid_parsing": "应为 UUID",
    "union_tag_invalid": "应为 {expected_tags} 之一",
    "union_tag_not_found": "缺少 {discriminator}",
    "bytes_type": "应为文件",
    "bytes_too_long": "至多 {max_length} 字节",
    "url_parsing": "应为网址",
    "url_type": "应为网址",
    "recursion_loop": "嵌套过深",
}
