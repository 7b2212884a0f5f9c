"""Logging in and out, one's own account and password."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.access import COOKIE, AccountsDep, Caller, CallerDep, StoreDep, session_cookie
from api.accounts import LoginError, UnknownAccountError, csrf_of
from api.errors import problems
from api.metrics import Metrics
from api.tries import TooManyTriesError
from geo.errors import ForbiddenError

router = APIRouter(prefix="/api/v1", tags=["access"])

Name = Annotated[str, Field(title="用户名", min_length=1, max_length=64)]
Password = Annotated[str, Field(title="密码", min_length=1, max_length=512)]


class Asked(BaseModel):
    """A body in which nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid")


class Credentials(Asked):
    """What somebody logs in with."""

    name: Name
    password: Password


class NewPassword(Asked):
    """A change of one's own password."""

    old: Password
    new: Password


class Me(BaseModel):
    """Who is logged in, and what they may."""

    name: str
    role: str
    villages: list[str] | None = Field(description="null: the whole county")
    csrf: str | None = Field(description="to be sent as X-CSRF-Token with every change; null for API keys")
    must_change: bool = Field(description="the password has to be changed before anything else")


def me(caller: Caller) -> Me:
    """What a page may know of its user."""
    return Me(
        name=caller.name,
        role=caller.role,
        villages=None if caller.villages is None else sorted(caller.villages),
        csrf=caller.csrf,
        must_change=caller.must_change,
    )


@router.post("/login", responses=problems(401, 429))
def login(
    credentials: Credentials, request: Request, response: Response, store: StoreDep, accounts: AccountsDep
) -> Me:
    """A new session in the cookie ``taotu_session``; one that came along ends.

    Raises
    ------
    LoginError, TooManyTriesError
        If name and password do not belong together, or that was so too often.
    """
    metrics: Metrics = request.app.state.metrics
    address = request.client.host if request.client else ""
    try:
        user, token = accounts.login(credentials.name, credentials.password, address=address)
    except TooManyTriesError:
        metrics.login("limited")
        raise
    except LoginError:
        metrics.login("failed")
        try:
            # A name nobody has may be a password typed into the wrong field.
            known = accounts.user(credentials.name).name
        except UnknownAccountError:
            known = "未知用户"
        with store.write(actor=known) as change:
            change.note("login_failed", row_key=known, after={"address": address})
        raise
    metrics.login("ok")
    if old := request.cookies.get(COOKIE):
        accounts.logout(old)
    with store.write(actor=user.name) as change:
        change.note("login", row_key=user.name, after={"address": address})
    response.headers.update(session_cookie(token, secure=request.url.scheme == "https"))
    return me(
        Caller(
            name=user.name,
            role=user.role,
            villages=user.villages,
            csrf=csrf_of(token),
            must_change=user.must_change,
        )
    )


@router.post("/logout", status_code=204)
def logout(
    request: Request, response: Response, caller: CallerDep, store: StoreDep, accounts: AccountsDep
) -> None:
    """End the session; its token opens nothing any more."""
    if token := request.cookies.get(COOKIE):
        accounts.logout(token)
        with store.write(actor=caller.actor) as change:
            change.note("logout", row_key=caller.name)
    response.delete_cookie(COOKIE, path="/")


@router.get("/me")
def read_me(caller: CallerDep) -> Me:
    """Who is logged in."""
    return me(caller)


@router.post("/password", status_code=204, responses=problems(429))
def change_password(
    wanted: NewPassword, request: Request, caller: CallerDep, store: StoreDep, accounts: AccountsDep
) -> None:
    """Another password for oneself; all other sessions end.

    Raises
    ------
    ForbiddenError
        If an API key asks, or the service is open.
    """
    token = request.cookies.get(COOKIE)
    if caller.key is not None or token is None:
        raise ForbiddenError("修改密码须用用户名和密码登录")
    address = request.client.host if request.client else ""
    accounts.change_password(caller.name, wanted.old, wanted.new, token=token, address=address)
    with store.write(actor=caller.actor) as change:
        change.note("password_changed", row_key=caller.name)
