"""Users, for administrators: who may log in, as what, and for which villages."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.access import AccountsDep, Caller, StoreDep, needs
from api.accounts import User
from api.errors import problems
from api.routes.auth import Asked, Name, Password

router = APIRouter(prefix="/api/v1/users", tags=["access"])

Admin = Annotated[Caller, needs("admin")]
Role = Annotated[Literal["viewer", "officer", "reviewer", "admin"], Field(title="角色")]
Village = Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,19}$")]
Villages = Annotated[
    list[Village] | None, Field(title="村", max_length=5000, description="null: the whole county")
]


class UserMade(Asked):
    """A user to be made; without a password one is made and shown once."""

    name: Name
    role: Role
    villages: Villages = None
    password: Password | None = None


class UserChange(Asked):
    """What of a user is to change."""

    role: Role | None = None
    villages: Villages = None
    active: bool | None = None


class UserShown(BaseModel):
    """A user, without anything that opens a door."""

    name: str
    role: str
    villages: list[str] | None
    active: bool
    must_change: bool
    created_at: str
    created_by: str
    last_login_at: str | None


class UserWithPassword(UserShown):
    """A user with the password that was made, shown this once."""

    password: str | None = Field(description="null if it was given")


class Users(BaseModel):
    """All users."""

    users: list[UserShown]


class MadePassword(BaseModel):
    """A password that was made, shown this once."""

    name: str
    password: str


def _fields(user: User) -> dict[str, Any]:
    return {**asdict(user), "villages": None if user.villages is None else sorted(user.villages)}


@router.get("")
def read_users(caller: Admin, accounts: AccountsDep) -> Users:  # noqa: ARG001 - asked for its role
    """All users, by name."""
    return Users(users=[UserShown(**_fields(user)) for user in accounts.users()])


@router.post("", status_code=201, responses=problems(409))
def create_user(wanted: UserMade, caller: Admin, store: StoreDep, accounts: AccountsDep) -> UserWithPassword:
    """A new user, who has to change the password at first login."""
    user, made = accounts.add_user(
        wanted.name, role=wanted.role, by=caller.name, villages=wanted.villages, password=wanted.password
    )
    with store.write(actor=caller.actor) as change:
        change.note("user_created", row_key=user.name, after=_rights(user))
    return UserWithPassword(**_fields(user), password=made if wanted.password is None else None)


@router.get("/{name}", responses=problems(404))
def read_user(name: str, caller: Admin, accounts: AccountsDep) -> UserShown:  # noqa: ARG001 - asked for its role
    """One user."""
    return UserShown(**_fields(accounts.user(name)))


@router.patch("/{name}", responses=problems(404, 409))
def change_user(
    name: str, wanted: UserChange, caller: Admin, store: StoreDep, accounts: AccountsDep
) -> UserShown:
    """Other rights, or switched off or on; sessions end, and keys can do no more than their owner."""
    changes = wanted.model_dump(exclude_unset=True)
    changes = {field: value for field, value in changes.items() if field == "villages" or value is not None}
    user = accounts.change_user(name, changes)
    with store.write(actor=caller.actor) as change:
        change.note("user_changed", row_key=user.name, after=_rights(user))
    return UserShown(**_fields(user))


@router.post("/{name}/password", responses=problems(404))
def reset_password(name: str, caller: Admin, store: StoreDep, accounts: AccountsDep) -> MadePassword:
    """A new password for somebody who lost theirs; all their sessions end."""
    user = accounts.user(name)
    made = accounts.reset_password(user.name)
    with store.write(actor=caller.actor) as change:
        change.note("password_reset", row_key=user.name)
    return MadePassword(name=user.name, password=made)


def _rights(user: User) -> dict[str, Any]:
    shown = _fields(user)
    return {field: shown[field] for field in ("role", "villages", "active")}
