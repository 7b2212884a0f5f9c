"""Who asks, and what they may: every request is given its caller before any route hears of it.

A request without a caller reaches the open paths only, so that a route nobody
thought of gives nothing away. Routes say what they need::

    def read(store: StoreDep, caller: CallerDep): ...  # anybody logged in; give caller.scope to the store
    def decide(store: StoreDep, caller: Annotated[Caller, needs("officer")]): ...
    router = APIRouter(dependencies=[needs("admin")])
"""

import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from api.accounts import KEY_PREFIX, OPEN_NAME, ROLE_TITLES, Accounts, User, allowed, csrf_of
from api.errors import CsrfError, MustChangeError, UnauthorizedError, answer_to
from api.settings import Settings, is_loopback
from geo.errors import ForbiddenError, GeoError
from geo.store import Scope, Store

COOKIE: Final = "taotu_session"
CSRF_HEADER: Final = "x-csrf-token"
# Reached without login: the way in, the service's own state, and files that belong to no county.
_LOGIN: Final = "/api/v1/login"
OPEN_PATHS: Final = frozenset({"/login", _LOGIN, "/healthz", "/readyz", "/metrics", "/favicon.ico"})
OPEN_FOLDERS: Final = ("/static/",)
_NOBODYS: Final = frozenset({"/healthz", "/readyz", "/favicon.ico"})  # no need to look who asks
# Reached by whoever has yet to change a password that somebody else made.
_BEFORE_CHANGE: Final = frozenset({"/api/v1/me", "/api/v1/password", "/api/v1/logout"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a user by session, by API key, or the one person of an open service."""

    name: str
    role: str
    villages: frozenset[str] | None  # None: the whole county
    csrf: str | None = None  # token a page sends back with a change; None for API keys
    key: str | None = None  # id of the API key
    must_change: bool = False  # the password, before anything else

    @property
    def scope(self) -> Scope:
        """What of the county the caller may see; viewers see no names of persons."""
        return Scope(self.villages, self.may("officer"))

    @property
    def actor(self) -> str:
        """Who did it, for the audit log: a key is told from its owner."""
        return self.name if self.key is None else f"{self.name}（密钥 {self.key}）"

    def may(self, role: str) -> bool:
        """Whether the caller's role is at least ``role``."""
        return allowed(self.role, role)


class Access:
    """Middleware that finds out who asks, and lets nobody past the open paths without an answer to that."""

    def __init__(self, app: ASGIApp, *, accounts: Accounts, settings: Settings) -> None:
        self._app = app
        self._accounts = accounts
        self._settings = settings
        self._open_csrf = secrets.token_hex(32)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answer 401 or 403 here, or pass the request on with ``request.state.caller``."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})  # there are none, so none is let in
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, path = Request(scope), scope["path"]
        try:
            if request.method not in _SAFE:
                check_origin(request)
            caller = (
                None if path in _NOBODYS or path.startswith(OPEN_FOLDERS) else await self._caller(request)
            )
            is_open = path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)
            if caller is None and not is_open:
                raise UnauthorizedError("没有登录，或登录已过期")
            if caller is not None and caller.must_change and not is_open and path not in _BEFORE_CHANGE:
                raise MustChangeError("密码由他人设定，请先修改密码")
        except GeoError as error:
            response = answer_to(request, error)
            by_key = "authorization" in request.headers  # then the cookie was not even looked at
            if isinstance(error, UnauthorizedError) and COOKIE in request.cookies and not by_key:
                response.delete_cookie(COOKIE, path="/")
            await response(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, send)

    async def _caller(self, request: Request) -> Caller | None:
        if self._settings.open_access:
            return self._open_caller(request)
        if given := request.headers.get("authorization"):
            # A wrong key is wrong: no cookie helps it.
            return await self._by_key(given)
        token = request.cookies.get(COOKIE)
        if not token:
            return None
        user = self._accounts.recent(token) or await run_in_threadpool(self._accounts.of_session, token)
        if not isinstance(user, User):
            return None
        csrf = csrf_of(token)
        sent = request.headers.get(CSRF_HEADER, "")
        changes = request.method not in _SAFE and request.scope["path"] != _LOGIN
        if changes and not secrets.compare_digest(sent.encode(), csrf.encode()):
            raise CsrfError("缺少或不符的 X-CSRF-Token：请刷新页面后重试")
        return _caller_of(user, csrf=csrf)

    async def _by_key(self, given: str) -> Caller:
        kind, _, text = given.partition(" ")
        found = None
        if kind.lower() == "bearer" and text.startswith(KEY_PREFIX):
            found = self._accounts.recent(text) or await run_in_threadpool(self._accounts.of_key, text)
        if not isinstance(found, tuple):
            raise UnauthorizedError("密钥无效、已过期或已停用")
        owner, key = found
        role = key.role if allowed(owner.role, key.role) else owner.role
        villages = key.villages
        if owner.villages is not None:
            villages = owner.villages if villages is None else villages & owner.villages
        return Caller(name=owner.name, role=role, villages=villages, key=key.key_id)

    def _open_caller(self, request: Request) -> Caller:
        peer = request.client.host if request.client else ""
        if _is_address(peer) and not is_loopback(peer):
            raise ForbiddenError("免登录的服务只答复本机")
        return Caller(name=OPEN_NAME, role="admin", villages=None, csrf=self._open_csrf)


def _caller_of(user: User, *, csrf: str) -> Caller:
    return Caller(
        name=user.name, role=user.role, villages=user.villages, csrf=csrf, must_change=user.must_change
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_origin(request: Request) -> None:
    """Refuse a change that a browser sends for a page of somebody else; programs send neither header.

    Raises
    ------
    CsrfError
        If the request says it comes from another site.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise CsrfError("请求来自其他网站，已拒绝")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise CsrfError("请求来自其他网站，已拒绝")


def _caller(request: Request) -> Caller:
    caller = getattr(request.state, "caller", None)
    if caller is None:
        raise UnauthorizedError("没有登录，或登录已过期")
    return cast("Caller", caller)


def _caller_or_none(request: Request) -> Caller | None:
    return getattr(request.state, "caller", None)


def _store(request: Request) -> Store:
    return cast("Store", request.app.state.store)


def _settings(request: Request) -> Settings:
    return cast("Settings", request.app.state.settings)


def _accounts(request: Request) -> Accounts:
    return cast("Accounts", request.app.state.accounts)


CallerDep = Annotated[Caller, Depends(_caller)]
MaybeCallerDep = Annotated[Caller | None, Depends(_caller_or_none)]  # on open paths
StoreDep = Annotated[Store, Depends(_store)]
SettingsDep = Annotated[Settings, Depends(_settings)]
AccountsDep = Annotated[Accounts, Depends(_accounts)]


def needs(role: str) -> Any:  # noqa: ANN401 - as of fastapi.Depends
    """A dependency that gives the caller and refuses, with 403, whoever is less than ``role``."""
    return Depends(_at_least(role))


@cache
def _at_least(role: str) -> Callable[[Caller], Caller]:
    def caller_of_role(caller: CallerDep) -> Caller:
        if not caller.may(role):
            raise ForbiddenError(f"需要{ROLE_TITLES[role]}权限，您是{ROLE_TITLES[caller.role]}")
        return caller

    return caller_of_role


def session_cookie(token: str, *, secure: bool) -> dict[str, str]:
    """The Set-Cookie header of a session: out of reach of scripts, never sent for another site's page."""
    made = f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"
    return {"Set-Cookie": made + ("; Secure" if secure else "")}
