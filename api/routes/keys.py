"""API keys, by which scripts and QGIS ask in their owner's name."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.access import AccountsDep, Caller, CallerDep, StoreDep
from api.accounts import Key
from api.errors import problems
from api.routes.auth import Asked
from api.routes.users import Role, Villages
from geo.errors import ForbiddenError

router = APIRouter(prefix="/api/v1/keys", tags=["access"])


class KeyMade(Asked):
    """A key to be made for oneself; what is left out is as the owner's."""

    label: str = Field(title="用途", min_length=1, max_length=80, pattern=r"^[^\x00-\x1f\x7f]+$")
    role: Role | None = None
    villages: Villages = None
    days: int | None = Field(default=None, title="有效天数", ge=1, le=3650)


class KeyShown(BaseModel):
    """A key without its text."""

    key_id: str
    name: str
    label: str
    role: str
    villages: list[str] | None
    created_at: str
    expires_at: str
    used_at: str | None
    revoked_at: str | None


class KeyWithText(KeyShown):
    """A key with its text, shown this once."""

    key: str


class Keys(BaseModel):
    """Keys, by the time they were made."""

    keys: list[KeyShown]


def _fields(key: Key) -> dict[str, Any]:
    return {**asdict(key), "villages": None if key.villages is None else sorted(key.villages)}


def _in_person(caller: Caller) -> Caller:
    # A key that could make keys would outlive its own end and its own limits.
    if caller.key is not None:
        raise ForbiddenError("密钥不能管理密钥：请用用户名和密码登录")
    return caller


@router.get("")
def read_keys(
    caller: CallerDep,
    accounts: AccountsDep,
    everyone: Annotated[bool, Query(alias="all", description="of all users; administrators only")] = False,  # noqa: FBT002 - a query parameter
) -> Keys:
    """One's own keys.

    Raises
    ------
    ForbiddenError
        If all are asked for by somebody else than an administrator.
    """
    if everyone and not caller.may("admin"):
        raise ForbiddenError("只有管理员能看所有人的密钥")
    return Keys(keys=[KeyShown(**_fields(key)) for key in accounts.keys(None if everyone else caller.name)])


@router.post("", status_code=201, responses=problems(404))
def create_key(wanted: KeyMade, caller: CallerDep, store: StoreDep, accounts: AccountsDep) -> KeyWithText:
    """A new key of the caller; its text is shown this once."""
    key, text = accounts.add_key(
        _in_person(caller).name,
        label=wanted.label,
        role=wanted.role,
        villages=wanted.villages,
        days=wanted.days,
    )
    after = {field: _fields(key)[field] for field in ("label", "role", "villages", "expires_at")}
    with store.write(actor=caller.actor) as change:
        change.note("key_created", row_key=key.key_id, after=after)
    return KeyWithText(**_fields(key), key=text)


@router.delete("/{key_id}", responses=problems(404))
def revoke_key(key_id: str, caller: CallerDep, store: StoreDep, accounts: AccountsDep) -> KeyShown:
    """End a key of one's own; administrators end anybody's."""
    owner = None if caller.may("admin") else caller.name
    key = accounts.revoke_key(key_id, owner=owner) if caller.key != key_id else accounts.revoke_key(key_id)
    with store.write(actor=caller.actor) as change:
        change.note("key_revoked", row_key=key.key_id)
    return KeyShown(**_fields(key))
