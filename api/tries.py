"""How often a name or an address has failed to log in, and how long it has to wait for it.

Source: OWASP Authentication Cheat Sheet, login throttling.
"""

import threading
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from api.settings import Settings
from geo.errors import GeoError

_FORGOTTEN_AFTER: Final = timedelta(hours=1)
_tables = sa.MetaData()
_failures = sa.Table(
    "login_failures", _tables,
    sa.Column("what", sa.String(80), primary_key=True),  # "name …" or "address …"
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("last_at", sa.String(32), nullable=False),
    sa.Column("until", sa.String(32), nullable=False),
)  # fmt: skip


class TooManyTriesError(GeoError):
    """Too many failed logins; ``retry_after`` seconds have to pass."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Tries:
    """Failed logins, kept in the private database: a restart forgives nobody."""

    def __init__(self, engine: sa.Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._lock = threading.Lock()
        _tables.create_all(engine)

    def count(self, name: str, address: str) -> None:
        """Count a try before it is made, so that many at once are all counted.

        Raises
        ------
        TooManyTriesError
            If the name or the address has still to wait.
        """
        free = dict(
            zip(
                _both(name, address),
                (self._settings.tries_of_name, self._settings.tries_of_address),
                strict=True,
            )
        )
        now = self._settings.clock()
        with self._lock, self._engine.begin() as db:
            # Written first: the transaction then has the right to write before it reads.
            db.execute(sa.delete(_failures).where(_failures.c.last_at < time_text(now - _FORGOTTEN_AFTER)))
            query = sa.select(_failures).where(_failures.c.what.in_(free))
            held = {row["what"]: row for row in db.execute(query).mappings()}
            until = max((row["until"] for row in held.values()), default="")
            if until > time_text(now):
                wait = int((datetime.fromisoformat(until) - now).total_seconds()) + 1
                raise TooManyTriesError(f"登录失败次数过多，请 {wait} 秒后再试", retry_after=wait)
            for what, most in free.items():
                count = held[what]["count"] + 1 if what in held else 1
                wait_s = min(2.0 ** min(count - most, 30), self._settings.longest_wait.total_seconds())
                blocked = now + timedelta(seconds=wait_s) if count >= most else now
                values = {"count": count, "last_at": time_text(now), "until": time_text(blocked)}
                if what in held:
                    db.execute(sa.update(_failures).where(_failures.c.what == what).values(values))
                else:
                    db.execute(sa.insert(_failures).values(what=what, **values))

    def forgive(self, name: str, address: str) -> None:
        """A success clears the name; of the address only this try: one good login must not hide a search."""
        by_name, by_address = _both(name, address)
        with self._lock, self._engine.begin() as db:
            db.execute(sa.delete(_failures).where(_failures.c.what == by_name))
            values = {"count": _failures.c.count - 1, "until": time_text(self._settings.clock())}
            db.execute(sa.update(_failures).where(_failures.c.what == by_address).values(values))


def _both(name: str, address: str) -> tuple[str, str]:
    return f"name {name}", f"address {address[:64]}"


def time_text(at: datetime) -> str:
    """A time in UTC as the private tables hold it, so that texts compare as times do."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
