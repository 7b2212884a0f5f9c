"""What the world hears when something is wrong: one table from error to status, one form of answer.

Source: RFC 9457, Problem Details for HTTP APIs.
"""

import logging
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from geo.errors import CodeError, GeoError, InputError, WorkspaceError

PROBLEM: Final = "application/problem+json"
_LOG: Final = logging.getLogger("api")


class NotFoundError(GeoError):
    """Nothing has the name that was asked for."""


class QueryError(GeoError):
    """A parameter of the request cannot mean anything."""


STATUS: Final[dict[type[Exception], tuple[HTTPStatus, str]]] = {
    NotFoundError: (HTTPStatus.NOT_FOUND, "没有找到"),
    QueryError: (HTTPStatus.UNPROCESSABLE_ENTITY, "参数不合要求"),
    CodeError: (HTTPStatus.UNPROCESSABLE_ENTITY, "编号不合规则"),
    RequestValidationError: (HTTPStatus.UNPROCESSABLE_ENTITY, "参数不合要求"),
    WorkspaceError: (HTTPStatus.SERVICE_UNAVAILABLE, "工作区不可用"),
    InputError: (HTTPStatus.SERVICE_UNAVAILABLE, "工作区读不了"),
    GeoError: (HTTPStatus.INTERNAL_SERVER_ERROR, "处理失败"),
    Exception: (HTTPStatus.INTERNAL_SERVER_ERROR, "服务出错"),
}
_HTTP_TITLES: Final = {HTTPStatus.NOT_FOUND: "没有找到", HTTPStatus.METHOD_NOT_ALLOWED: "不支持这种请求方法"}


def problem(status: HTTPStatus, title: str, detail: str, request: Request, **more: object) -> JSONResponse:
    """An answer in the form of RFC 9457."""
    body = {
        "type": "about:blank",
        "title": title,
        "status": int(status),
        "detail": detail,
        "instance": request.url.path,
        **more,
    }
    return JSONResponse(body, status_code=status, media_type=PROBLEM)


def add_handlers(app: FastAPI) -> None:
    """Let every error of ``app`` be answered by the table."""
    app.add_exception_handler(GeoError, _geo_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)


def _row(error: Exception) -> tuple[HTTPStatus, str]:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def _geo_error(request: Request, error: Exception) -> JSONResponse:
    return problem(*_row(error), str(error), request)


def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    flaws = error.errors() if isinstance(error, RequestValidationError) else []
    said = [{"field": ".".join(map(str, flaw["loc"][1:])), "message": flaw["msg"]} for flaw in flaws]
    detail = "请检查参数 " + "、".join(flaw["field"] for flaw in said)
    return problem(*_row(error), detail, request, errors=said)


def _http_error(request: Request, error: Exception) -> JSONResponse:
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else 500)
    title = _HTTP_TITLES.get(status, "请求不成")
    return problem(status, title, f"{title}：{request.method} {request.url.path}", request)


def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    return problem(*_row(error), "服务器内部出错，已记入日志；请联系管理员", request)
