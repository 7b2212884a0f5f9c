"""One line of JSON a request: who, what route, how it went; never what was asked for or sent.

The path is given as its template and the query not at all: both may name a person
or a village. The request's id is in the answer and in every line about it.
"""

import json
import logging
import re
import time
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import answer_to, hide_values
from api.metrics import Metrics

REQUEST_ID: Final = "X-Request-ID"
UNROUTED: Final = "-"  # in place of a path no route has: it may hold anything
_SANE_ID: Final = re.compile(r"[A-Za-z0-9._\-]{8,64}")
_LOG: Final = logging.getLogger("api.request")


class RequestLog:
    """Middleware that numbers, times, counts and logs requests, and answers for those that fail unforeseen."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with ``request.state.request_id``."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began, status, started = time.perf_counter(), 500, False

        async def numbered(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        try:
            await self._app(scope, receive, numbered)
        except Exception as error:
            response = answer_to(Request(scope), error)
            if started:
                raise  # half an answer is out: the connection has to break, so that it is seen
            await response(scope, receive, numbered)
        finally:
            taken = time.perf_counter() - began
            route = route_of(scope)
            self._metrics.count(scope["method"], route, status, taken)
            caller = scope["state"].get("caller")
            _LOG.info(
                "request",
                extra={
                    "fields": {
                        "method": scope["method"],
                        "route": route,
                        "status": status,
                        "ms": round(taken * 1000, 1),
                        "user": caller.actor if caller else None,
                        "request_id": request_id,
                    }
                },
            )


def route_of(scope: Scope) -> str:
    """Template of the path a request was routed to, ``/pieces/{piece_code}``."""
    return str(getattr(scope.get("route"), "path", None) or UNROUTED)


class JsonLines(logging.Formatter):
    """Log records as lines of JSON; what breaks a line is escaped, so that no one can forge one."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            hide_values(record.exc_info[1])
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr() -> None:
    """Let all loggers, the server's own among them, write lines of JSON to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], name != "uvicorn.access"  # requests have their own line
