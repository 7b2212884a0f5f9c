"""Users, their sessions and their keys, in the private database: what a password, a token or a key stands for.

A token is never kept, only its SHA-256: whoever reads the database can log in as
no one. Times are ISO 8601 in UTC, so that they compare as texts.

Source: OWASP Session Management and Password Storage Cheat Sheets.
"""

import hashlib
import hmac
import json
import re
import secrets
import threading
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from api.recent import Recent
from api.settings import Settings
from api.tries import Tries, time_text
from geo.errors import GeoError

ROLES: Final = ("viewer", "officer", "reviewer", "admin")  # each may do what those before it may
ROLE_TITLES: Final = {"viewer": "查阅员", "officer": "经办员", "reviewer": "审核员", "admin": "管理员"}
KEY_PREFIX: Final = "taotu_"
FIRST_ADMIN: Final = "admin"
OPEN_NAME: Final = "本机"  # who acts where nobody logs in

_NAME: Final = re.compile(r"[\w][\w.\-]{0,39}")
_LONGEST_PASSWORD: Final = 128  # what is hashed must not grow at a stranger's will
_COMMON: Final = frozenset({
    "0123456789", "1234567890", "12345678910", "password123", "qwertyuiop", "qwerty12345", "1q2w3e4r5t",
    "1qaz2wsx3edc", "a123456789", "aa12345678", "abc1234567", "admin12345", "admin123456", "woaini1314520",
})  # fmt: skip
_SEEN_EVERY: Final = timedelta(
    minutes=1
)  # last use is written no more often: reading must not write each time

_tables = sa.MetaData()
_users = sa.Table(
    "users", _tables,
    sa.Column("name", sa.String(40), primary_key=True),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("role", sa.String(10), nullable=False),
    sa.Column("villages", sa.Text),  # JSON list; NULL is the whole county
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("must_change", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("created_by", sa.String(40), nullable=False),
    sa.Column("last_login_at", sa.String(32)),
)  # fmt: skip
_sessions = sa.Table(
    "sessions", _tables,
    sa.Column("token_hash", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(40), nullable=False, index=True),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("seen_at", sa.String(32), nullable=False),
    sa.Column("address", sa.String(64), nullable=False),
)  # fmt: skip
_keys = sa.Table(
    "api_keys", _tables,
    sa.Column("key_id", sa.String(16), primary_key=True),
    sa.Column("key_hash", sa.String(64), nullable=False, unique=True),
    sa.Column("name", sa.String(40), nullable=False, index=True),  # whose
    sa.Column("label", sa.String(80), nullable=False),
    sa.Column("role", sa.String(10), nullable=False),
    sa.Column("villages", sa.Text),
    sa.Column("created_at", sa.String(32), nullable=False),
    sa.Column("expires_at", sa.String(32), nullable=False),
    sa.Column("used_at", sa.String(32)),
    sa.Column("revoked_at", sa.String(32)),
)  # fmt: skip


class AccountError(GeoError):
    """A user or key cannot be made or changed so: the name is taken, the password weak, the role unknown."""


class AccountConflictError(AccountError):
    """The name is taken, or the only administrator would be gone."""


class UnknownAccountError(GeoError):
    """No user or key has that name."""


class LoginError(GeoError):
    """Name and password do not belong together; which of them is wrong is not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who may log in."""

    name: str
    role: str
    villages: frozenset[str] | None  # None: the whole county
    active: bool
    must_change: bool  # the password was made by somebody else
    created_at: str
    created_by: str
    last_login_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key: what is known of it after it was shown once."""

    key_id: str
    name: str  # of its owner
    label: str
    role: str
    villages: frozenset[str] | None
    created_at: str
    expires_at: str
    used_at: str | None
    revoked_at: str | None


def allowed(role: str, wanted: str) -> bool:
    """Whether ``role`` may do what ``wanted`` may."""
    return ROLES.index(role) >= ROLES.index(wanted)


def csrf_of(token: str) -> str:
    """The CSRF token of a session: made of its token, so that it is no other session's."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


class Accounts:
    """Users, sessions and keys of one service, over the store's private database."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._hasher = PasswordHasher(
            time_cost=settings.hash_passes, memory_cost=settings.hash_memory_kib, parallelism=1
        )
        # Verifying takes memory on purpose: a flood of logins must not take all of it.
        self._hashing = threading.BoundedSemaphore(2)
        # A name nobody has is verified against this: as slow as a name somebody has.
        self._decoy = self._hasher.hash(secrets.token_urlsafe(16))
        self._changing = threading.Lock()
        self._recent: Recent[User | tuple[User, Key]] = Recent(settings.clock)
        self._tries = Tries(engine, settings)
        _tables.create_all(engine)

    # --- users

    def users(self) -> list[User]:
        """All users, by name."""
        with self._engine.connect() as db:
            return [_user(row) for row in db.execute(sa.select(_users).order_by(_users.c.name)).mappings()]

    def user(self, name: str) -> User:
        """One user.

        Raises
        ------
        UnknownAccountError
            If there is none of that name.
        """
        with self._engine.connect() as db:
            return self._user(db, name)

    def add_user(  # noqa: PLR0913 - a user has as many properties
        self,
        name: str,
        *,
        role: str,
        by: str,
        villages: Iterable[str] | None = None,
        password: str | None = None,
        must_change: bool = True,
    ) -> tuple[User, str]:
        """A new user and the password, which is made here if none is given.

        Raises
        ------
        AccountConflictError
            If the name is taken.
        AccountError
            If the name is none, the role unknown, an administrator limited to villages, or the
            password weak.
        """
        name = _checked_name(name)
        _check_role(role, villages)
        chosen = made_password() if password is None else self._checked_password(password, name)
        row = {
            "name": name,
            "password_hash": self._hash(chosen),
            "role": role,
            "villages": _as_json(villages),
            "active": True,
            "must_change": must_change,
            "created_at": self._now(),
            "created_by": by,
        }
        try:
            with self._engine.begin() as db:
                db.execute(sa.insert(_users).values(row))
                return self._user(db, name), chosen
        except sa.exc.IntegrityError:
            raise AccountConflictError(f"已有用户 {name}：请换一个名字") from None

    def change_user(self, name: str, changes: Mapping[str, Any]) -> User:
        """A user with another ``role``, other ``villages``, or ``active`` or not.

        Whoever loses rights loses the sessions too.

        Raises
        ------
        UnknownAccountError
            If there is none of that name.
        AccountConflictError
            If no administrator would be left.
        AccountError
            If the change makes no user.
        """
        with self._changing, self._engine.begin() as db:
            before = self._user(db, name)
            role = changes.get("role", before.role)
            villages = changes.get("villages", before.villages)
            villages = None if villages is None else frozenset(villages)
            active = changes.get("active", before.active)
            _check_role(role, villages)
            if before.active and before.role == "admin" and not (active and role == "admin"):
                others = sa.select(sa.func.count()).where(
                    _users.c.role == "admin", _users.c.active.is_(other=True), _users.c.name != before.name
                )
                if not db.execute(others).scalar_one():
                    raise AccountConflictError(f"{before.name} 是唯一的管理员：请先另设一名管理员")
            values = {"role": role, "villages": _as_json(villages), "active": active}
            db.execute(sa.update(_users).where(_users.c.name == before.name).values(values))
            if (role, villages, active) != (before.role, before.villages, before.active):
                db.execute(sa.delete(_sessions).where(_sessions.c.name == before.name))
            after = self._user(db, name)
        self._recent.forget()
        return after

    def reset_password(self, name: str) -> str:
        """A new password for a user, who has to change it; all sessions end.

        Raises
        ------
        UnknownAccountError
            If there is none of that name.
        """
        made = made_password()
        self._set_password(self.user(name).name, made, must_change=True, keep=None)
        return made

    def change_password(self, name: str, old: str, new: str, *, token: str | None, address: str) -> None:
        """A user's own change of password; all other sessions end.

        Raises
        ------
        LoginError
            If the old password is wrong.
        TooManyTriesError
            If it was wrong too often.
        AccountError
            If the new one is weak or the old one again.
        """
        self.verify(name, old, address)
        chosen = self._checked_password(new, name)
        if chosen == _normal(old):
            raise AccountError("新密码不能与原密码相同")
        self._set_password(name, chosen, must_change=False, keep=token)

    def first_admin(self) -> str | None:
        """Password of the administrator made because there was no user at all; None if there was one."""
        with self._engine.connect() as db:
            if db.execute(sa.select(sa.func.count()).select_from(_users)).scalar_one():
                return None
        return self.add_user(FIRST_ADMIN, role="admin", by="首次启动")[1]

    # --- sessions

    def login(self, name: str, password: str, *, address: str) -> tuple[User, str]:
        """The user, and the token of a new session.

        Raises
        ------
        LoginError
            If there is no such active user or the password is another.
        TooManyTriesError
            If the name or the address has failed too often.
        """
        user = self.verify(name, password, address)
        token = secrets.token_urlsafe(32)
        now = self._now()
        with self._engine.begin() as db:
            db.execute(
                sa.insert(_sessions).values(
                    token_hash=_digest(token),
                    name=user.name,
                    created_at=now,
                    seen_at=now,
                    address=address[:64],
                )
            )
            db.execute(sa.update(_users).where(_users.c.name == user.name).values(last_login_at=now))
            db.execute(sa.delete(_sessions).where(self._ended()))
        return user, token

    def verify(self, name: str, password: str, address: str) -> User:
        """The user a name and a password belong to; a failure makes the next try wait.

        Raises
        ------
        LoginError
            If there is no such active user or the password is another.
        TooManyTriesError
            If the name or the address has failed too often.
        """
        known = _known(name)
        self._tries.count(known, address)
        with self._engine.connect() as db:
            row = db.execute(sa.select(_users).where(_users.c.name == known)).mappings().one_or_none()
        right = self._matches(row["password_hash"] if row else self._decoy, password)
        if row is None or not right or not row["active"]:
            raise LoginError("用户名或密码不对")
        self._tries.forgive(known, address)
        if self._hasher.check_needs_rehash(row["password_hash"]):
            with self._engine.begin() as db:
                stronger = self._hash(_normal(password))
                db.execute(sa.update(_users).where(_users.c.name == known).values(password_hash=stronger))
        return _user(row)

    def recent(self, secret: str) -> User | tuple[User, Key] | None:
        """What a session's token or a key opened a moment ago, without asking the database; None if not known."""
        return self._recent.get(_digest(secret))

    def of_session(self, token: str) -> User | None:
        """Whose session a token is; None if it is none, has ended or its user is switched off."""
        digest = _digest(token)
        generation = self._recent.generation
        query = (
            sa.select(_users, _sessions.c.seen_at)
            .join_from(_sessions, _users, _sessions.c.name == _users.c.name)
            .where(_sessions.c.token_hash == digest, _users.c.active.is_(other=True), sa.not_(self._ended()))
        )
        with self._engine.connect() as db:
            row = db.execute(query).mappings().one_or_none()
        if row is None:
            return None
        if row["seen_at"] < time_text(self._settings.clock() - _SEEN_EVERY):
            with self._engine.begin() as db:
                db.execute(
                    sa.update(_sessions).where(_sessions.c.token_hash == digest).values(seen_at=self._now())
                )
        user = _user(row)
        self._recent.keep(digest, user, generation)
        return user

    def logout(self, token: str) -> None:
        """End the session of a token."""
        with self._engine.begin() as db:
            db.execute(sa.delete(_sessions).where(_sessions.c.token_hash == _digest(token)))
        self._recent.forget()

    def open_sessions(self) -> int:
        """How many sessions have not ended."""
        query = sa.select(sa.func.count()).select_from(_sessions).where(sa.not_(self._ended()))
        with self._engine.connect() as db:
            return int(db.execute(query).scalar_one())

    # --- keys

    def keys(self, name: str | None = None) -> list[Key]:
        """All keys, or those of one user, by their time."""
        query = sa.select(_keys).order_by(_keys.c.created_at, _keys.c.key_id)
        if name is not None:
            query = query.where(_keys.c.name == name)
        with self._engine.connect() as db:
            return [_key(dict(row)) for row in db.execute(query).mappings()]

    def add_key(
        self,
        owner: str,
        *,
        label: str,
        role: str | None = None,
        villages: Iterable[str] | None = None,
        days: int | None = None,
    ) -> tuple[Key, str]:
        """A new key of a user, and the text of it, which is shown once and not kept.

        Without ``role`` and ``villages`` it may do what its owner may, never more:
        what the owner loses later, the key loses too. An administrator's key is of the whole county.

        Raises
        ------
        UnknownAccountError
            If there is no such user.
        AccountError
            If the key would do more than its owner, or live too long.
        """
        user = self.user(owner)
        role = role or user.role
        if role not in ROLES or not allowed(user.role, role):
            raise AccountError(f"密钥的角色不能高于本人（{ROLE_TITLES[user.role]}）")
        limit = user.villages if villages is None else frozenset(villages)
        if role == "admin" and limit is not None:
            raise AccountError("限定村的密钥不能有管理员角色")
        if user.villages is not None and limit is not None and not limit <= user.villages:
            raise AccountError("密钥的村不能超出本人的范围：" + "、".join(sorted(limit - user.villages)))
        longest = self._settings.key_lifetime.days
        days = longest if days is None else days
        if not 1 <= days <= longest:
            raise AccountError(f"密钥的有效期应为 1 至 {longest} 天")
        text, key_id, now = (
            KEY_PREFIX + secrets.token_urlsafe(32),
            secrets.token_hex(4),
            self._settings.clock(),
        )
        row = {
            "key_id": key_id,
            "key_hash": _digest(text),
            "name": user.name,
            "label": label[:80],
            "role": role,
            "villages": _as_json(limit),
            "created_at": time_text(now),
            "expires_at": time_text(now + timedelta(days=days)),
        }
        with self._engine.begin() as db:
            db.execute(sa.insert(_keys).values(row))
        return _key({**row, "used_at": None, "revoked_at": None}), text

    def of_key(self, text: str) -> tuple[User, Key] | None:
        """Whose key it is, the key cut down to what its owner may now; None if it opens nothing."""
        now, digest, generation = self._now(), _digest(text), self._recent.generation
        query = (
            sa.select(*(column.label(f"key_{column.name}") for column in _keys.c), _users)
            .join_from(_keys, _users, _keys.c.name == _users.c.name)
            .where(
                _keys.c.key_hash == digest,
                _keys.c.revoked_at.is_(None),
                _keys.c.expires_at > now,
                _users.c.active.is_(other=True),
            )
        )
        with self._engine.connect() as db:
            row = db.execute(query).mappings().one_or_none()
        if row is None:
            return None
        key = _key({column.name: row[f"key_{column.name}"] for column in _keys.c})
        if key.used_at is None or key.used_at < time_text(self._settings.clock() - _SEEN_EVERY):
            with self._engine.begin() as db:
                db.execute(sa.update(_keys).where(_keys.c.key_id == key.key_id).values(used_at=now))
        found = _user(row), key
        self._recent.keep(digest, found, generation)
        return found

    def revoke_key(self, key_id: str, *, owner: str | None = None) -> Key:
        """End a key, of ``owner`` only if that is given.

        Raises
        ------
        UnknownAccountError
            If there is none.
        """
        query = sa.select(_keys).where(_keys.c.key_id == (key_id if key_id.isalnum() else ""))
        if owner is not None:
            query = query.where(_keys.c.name == owner)
        with self._engine.begin() as db:
            row = db.execute(query).mappings().one_or_none()
            if row is None:
                raise UnknownAccountError(f"没有密钥 {key_id}")
            ended = row["revoked_at"] or self._now()
            db.execute(sa.update(_keys).where(_keys.c.key_id == key_id).values(revoked_at=ended))
        self._recent.forget()
        return _key({**row, "revoked_at": ended})

    # --- inside

    def _user(self, db: sa.Connection, name: str) -> User:
        row = db.execute(sa.select(_users).where(_users.c.name == _known(name))).mappings().one_or_none()
        if row is None:
            raise UnknownAccountError(f"没有用户 {name[:40]}")
        return _user(row)

    def _set_password(self, name: str, chosen: str, *, must_change: bool, keep: str | None) -> None:
        hashed = self._hash(chosen)
        ended = _sessions.c.name == name
        if keep is not None:
            ended &= _sessions.c.token_hash != _digest(keep)
        with self._engine.begin() as db:
            values = {"password_hash": hashed, "must_change": must_change}
            db.execute(sa.update(_users).where(_users.c.name == name).values(values))
            db.execute(sa.delete(_sessions).where(ended))
        self._recent.forget()

    def _checked_password(self, password: str, name: str) -> str:
        chosen = _normal(password)
        if not self._settings.password_length <= len(chosen) <= _LONGEST_PASSWORD:
            raise AccountError(f"密码应有 {self._settings.password_length} 至 {_LONGEST_PASSWORD} 个字符")
        if chosen.lower() in _COMMON or name.lower() in chosen.lower() or len(set(chosen)) < 4:  # noqa: PLR2004 - aaabbb
            raise AccountError("密码太好猜：不要用常见密码、用户名或几个重复的字符")
        return chosen

    def _hash(self, password: str) -> str:
        with self._hashing:
            return self._hasher.hash(password)

    def _matches(self, hashed: str, password: str) -> bool:
        with self._hashing:
            try:
                return self._hasher.verify(hashed, _normal(password[: 4 * _LONGEST_PASSWORD]))
            except (VerificationError, InvalidHashError):
                return False

    def _ended(self) -> sa.ColumnElement[bool]:
        now = self._settings.clock()
        return sa.or_(
            _sessions.c.seen_at < time_text(now - self._settings.idle),
            _sessions.c.created_at < time_text(now - self._settings.lifetime),
        )

    def _now(self) -> str:
        return time_text(self._settings.clock())


def made_password() -> str:
    """A password of four groups that can be read out over the telephone: 80 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"  # without those that look alike
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", errors="replace")).hexdigest()


def _normal(password: str) -> str:
    # The same characters typed on another keyboard are the same password.
    return unicodedata.normalize("NFKC", password)


def _as_json(villages: Iterable[str] | None) -> str | None:
    return None if villages is None else json.dumps(sorted(set(villages)))


def _villages(kept: str | None) -> frozenset[str] | None:
    return None if kept is None else frozenset(json.loads(kept))


def _known(name: str) -> str:
    """A name as it is kept; empty if it can be nobody's, so that no odd letter reaches the database."""
    known = unicodedata.normalize("NFKC", name[:200]).lower()
    return known if _NAME.fullmatch(known) else ""


def _checked_name(name: str) -> str:
    known = _known(name)
    if not known or known == OPEN_NAME:
        raise AccountError(f"用户名 {name!r} 不可用：1 至 40 个汉字、字母、数字，可含 . _ -")
    return known


def _check_role(role: str, villages: Iterable[str] | None) -> None:
    if role not in ROLES:
        raise AccountError(f"没有角色 {role}；可用：{'、'.join(ROLES)}")
    if role == "admin" and villages is not None:
        raise AccountError("管理员不能只限于几个村")


def _user(row: sa.RowMapping) -> User:
    fields = ("name", "role", "active", "must_change", "created_at", "created_by", "last_login_at")
    return User(villages=_villages(row["villages"]), **{field: row[field] for field in fields})


def _key(row: Mapping[str, Any]) -> Key:
    fields = ("key_id", "name", "label", "role", "created_at", "expires_at", "used_at", "revoked_at")
    return Key(villages=_villages(row["villages"]), **{field: row[field] for field in fields})
