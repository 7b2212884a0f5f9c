"""What every request passes and every answer carries, whatever the route: sizes, hosts, headers.

Source: OWASP HTTP Security Response Headers Cheat Sheet; W3C Content Security Policy Level 3.
"""

import re
import secrets
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access import OPEN_FOLDERS, OPEN_PATHS, Caller
from api.accounts import ROLES
from api.errors import TooLargeError, answer_to
from api.settings import Settings

# Packed already, or not to be held back: a second packing costs time and gains nothing.
NOT_PACKED: Final = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "application/octet-stream",
    "application/pdf",
    "application/vnd.apache.parquet",
    "application/vnd.mapbox-vector-tile",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.pmtiles",
    "application/x-protobuf",
)
# Ends of paths that take more than a form's worth of bytes: from which role, and how much.
_LARGE: Final = {
    "/uploads": ("reviewer", "max_upload"),
    "/returns": ("officer", "max_upload"),
    "/attachments": ("officer", "max_attachment"),
}
_HOST: Final = re.compile(r"(?P<name>[A-Za-z0-9._\-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
_FIXED: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(self), camera=(), microphone=(), payment=(), usb=()",
}


def content_security_policy(nonce: str) -> str:
    """What a page may load: its own files, scripts and styles with this nonce; nothing of another host.

    Style attributes stay allowed: map libraries place their panes by them.
    """
    own = f"'self' 'nonce-{nonce}'"
    return (
        f"default-src 'none'; script-src {own}; style-src {own}; style-src-attr 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
        "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


class SafeHeaders:
    """Middleware that gives every answer its headers; a page finds its nonce in ``request.state.nonce``.

    An answer that says nothing of keeping is kept by nobody; one given to somebody
    logged in is kept by no one in between.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and add to the answer what it lacks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce
        is_open = scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_FOLDERS)

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _FIXED.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", content_security_policy(nonce))
                headers.setdefault("Cache-Control", "no-store")
                if not is_open:
                    headers.add_vary_header("Cookie")
                    headers.add_vary_header("Authorization")
                    headers["Cache-Control"] = headers["Cache-Control"].replace("public", "private")
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self._app(scope, receive, safe)


class Gate:
    """Middleware that lets in what came to the right host in a size that can be read."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the address it came from; answer 400, 413 or 421 here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = self._as_seen_by_the_proxy(scope)
        headers = Headers(scope=scope)
        role, limit = self._limit(scope["path"])
        try:
            self._check_host(headers)
            said = headers.get("content-length", "0")
            if not said.isdecimal() or int(said[:20]) > limit:
                raise _too_large(limit)
        except (HTTPException, TooLargeError) as error:
            await answer_to(Request(scope), error)(scope, receive, send)
            return
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            if message["type"] == "http.request":
                got += len(message.get("body", b""))
                # Bodies are read before a route asks who may: only who may send much can send much.
                caller: Caller | None = scope["state"].get("caller")
                most = limit if caller is not None and caller.may(role) else self._settings.max_body
                if got > min(most, limit):
                    raise _too_large(most)
            return message

        await self._app(scope, counted, send)

    def _limit(self, path: str) -> tuple[str, int]:
        """Bytes a request to a path may bring at most, and the role from which it may."""
        for end, (role, setting) in _LARGE.items():
            if path.endswith(end):
                return role, int(getattr(self._settings, setting))
        return ROLES[0], self._settings.max_body

    def _check_host(self, headers: Headers) -> None:
        host = _HOST.fullmatch(headers.get("host", ""))
        if host is None:
            raise HTTPException(HTTPStatus.BAD_REQUEST)
        if not self._settings.answers_to(host["name"].strip("[]")):
            raise HTTPException(HTTPStatus.MISDIRECTED_REQUEST)

    def _as_seen_by_the_proxy(self, scope: Scope) -> Scope:
        """Change ``scope`` to who asked a proxy that is believed; the word of any other peer is nothing."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not self._settings.proxies or not self._settings.is_proxy(peer):
            return scope
        headers = Headers(scope=scope)
        for address in reversed(_parts(headers.getlist("x-forwarded-for"))):
            scope["client"] = (address[:64], 0)
            if not self._settings.is_proxy(address):
                break
        proto = _parts(headers.getlist("x-forwarded-proto"))[-1:]
        if proto and proto[0] in {"http", "https"}:
            scope["scheme"] = proto[0]
        if host := _parts(headers.getlist("x-forwarded-host"))[-1:]:
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [*others, (b"host", host[0].encode("latin-1"))]
        return scope


class _RequestTooLargeError(TooLargeError, HTTPException):
    """Raised where a body is read: the framework passes on what is an answer already."""

    def __init__(self, message: str) -> None:
        HTTPException.__init__(self, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)


def _too_large(limit: int) -> TooLargeError:
    return _RequestTooLargeError(f"请求内容超过上限 {limit / 1024 / 1024:.0f} MB")


def _parts(values: Iterable[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]
