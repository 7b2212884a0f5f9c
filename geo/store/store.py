"""A workspace that people work on: paged questions to any layer, and records that change under versions."""

import hashlib
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from sqlalchemy import Connection, Engine, Table, and_, func, literal_column, select, true
from sqlalchemy.exc import DBAPIError

from geo import schema, workspace
from geo.atomic import whole_file
from geo.errors import ConditionError, InputError, MismatchError, StaleError
from geo.store import audit, sql
from geo.store.backend import Backend
from geo.store.change import Change, bump, head, mappings, selected
from geo.store.gpkg import GeoPackage
from geo.store.postgis import PostGIS
from geo.store.query import All, Box, Condition, Page, Query, Within
from geo.store.scope import Scope, check_layer, visible_columns
from geo.store.steps import complete, mirror_states
from geo.workspace import GEOMETRIES, Workspace
from geo.workspace.layout import APPEND_ONLY, FID
from geo.workspace.records import EDITIONS

_MOST: Final = 10_000  # rows of a page
_CHUNK: Final = 5_000  # entries of the log that are held at once


def now_utc() -> datetime:
    """The present time."""
    return datetime.now(UTC)


def open_store(
    url: str | os.PathLike[str],
    *,
    clock: Callable[[], datetime] = now_utc,
    folder: str | os.PathLike[str] | None = None,
) -> "Store":
    """A workspace opened to be worked on.

    What records, columns and indexes it lacks are added. Several processes may
    have it open at once.

    Parameters
    ----------
    url : path or ``postgresql://`` URL
        A workspace that stands.
    clock : callable
        Gives the time that records are stamped with.
    folder : path, optional
        Where private data and attachments lie; by default beside a GeoPackage,
        ``county.gpkg`` and ``county.service``, and ``./taotu.service`` for a database.

    Raises
    ------
    InputError, WorkspaceError
        If there is no workspace, or one of another version.
    OutputError
        If it cannot be written.
    """
    return Store(workspace.open(url), clock=clock, folder=folder)


class Store:
    """Questions and changes to one workspace; safe to use from many threads."""

    def __init__(
        self,
        opened: Workspace,
        *,
        clock: Callable[[], datetime] = now_utc,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        self._clock = clock
        self.url = opened.url
        database = workspace.is_database(opened.url)
        self._backend: Backend = PostGIS(opened) if database else GeoPackage(opened)
        beside = Path("taotu.service") if database else opened.path.with_suffix(".service")
        self.folder = beside if folder is None else Path(folder)
        self._private: Engine | None = None
        try:
            complete(self._backend)
        except BaseException:
            self._backend.close()
            raise
        self.workspace: Workspace = workspace.open(self.url)
        self._name = "" if database else str(opened.path.resolve())
        if hasattr(os, "register_at_fork"):  # a connection is its own process's alone
            os.register_at_fork(after_in_child=partial(_forget, weakref.ref(self)))
        if self._name:
            workspace.READERS.setdefault(self._name, []).append(self._read)

    # --- questions ---------------------------------------------------------------------------------

    def edition(self, layer: str) -> str:
        """A short text that changes whenever rows of a layer may have: for ETags and keys of caches."""
        runs = self._table("runs")
        with self._backend.reading() as connection:
            names = connection.execute(select(runs.c.run_id).order_by(runs.c[FID])).scalars().all()
            serial = self._serial(connection, layer)
        run = hashlib.sha256("\n".join(map(str, names)).encode()).hexdigest()[:12]
        return f"{run}-{serial}"

    def _serial(self, connection: Connection, layer: str) -> int:
        editions = self._backend.tables[EDITIONS]
        return connection.execute(select(editions.c.serial).where(editions.c.layer == layer)).scalar() or 0

    def query(self, layer: str, query: Query, scope: Scope) -> Page:
        """One page of a layer.

        Raises
        ------
        ConditionError
            If a condition, the order or the page's mark cannot mean anything here.
        ForbiddenError
            If the layer is none for callers of some villages.
        InputError
            If there is no such layer.
        """
        if not 0 < query.limit <= _MOST:
            raise ConditionError(f"每页行数应在 1 与 {_MOST} 之间，不能是 {query.limit}")
        table = self._table(layer)
        check_layer(layer, scope)
        shown = _columns(layer, query.columns, scope)
        sorted_by = [name for name in sql.keys(query.sort) if name != FID]
        order = sql.ordered(layer, table, query.sort, scope)
        condition = self._where(layer, table, _both(query.where, query.bbox), scope)
        spatial = query.geometry and layer in GEOMETRIES
        names = [*shown, *(name for name in sorted_by if name not in shown)]
        statement = selected(self._backend, layer, table, names, shape=spatial).where(condition)
        statement = statement.order_by(*order)
        rest = [true()] if query.after is None else sql.beyond(layer, table, query.sort, query.after)
        rows: list[Any] = []
        with self._backend.reading() as connection:
            for part in rest:
                if len(rows) <= query.limit:
                    more = statement.where(part).limit(query.limit + 1 - len(rows))
                    rows += connection.execute(more).all()
            matched = self._matched(connection, layer, query, scope, len(rows), condition)
        after = None
        if len(rows) > query.limit:
            rows = rows[: query.limit]
            at = {name: number for number, name in enumerate([FID, *names])}
            after = sql.token(query.sort, [rows[-1][at[name]] for name in sql.keys(query.sort)])
        return Page(
            rows=self._frame(layer, shown, names, rows, spatial=spatial), after=after, matched=matched
        )

    def raw(  # noqa: PLR0913 - a question by its parts
        self,
        layer: str,
        columns: Sequence[str] | None = None,
        *,
        bbox: Box | None = None,
        scope: Scope,
        where: Condition | None = None,
        limit: int | None = None,
    ) -> tuple[np.ndarray[Any, Any], dict[str, list[Any]]]:
        """Rows of a layer without tables and shapes: what tiles are made of.

        Parameters
        ----------
        layer : str
            With geometry or without.
        columns : sequence of str, optional
            By default all the scope may see; those it may not are left out.
        bbox : (xmin, ymin, xmax, ymax), optional
            In the workspace's CRS. By the index alone: a few rows just outside may come along.
        scope, where, limit
            As of `Query`; without a limit all rows. Rows come in the order of ``fid``.

        Returns
        -------
        (array of n bytes or None, mapping of name to list of n values)
            Well-known binary, and the columns, ``fid`` first.

        Raises
        ------
        ConditionError, ForbiddenError, InputError
            As of `query`.
        """
        table = self._table(layer)
        check_layer(layer, scope)
        names = _columns(layer, columns, scope)
        statement = selected(self._backend, layer, table, names).where(
            self._where(layer, table, where, scope)
        )
        if bbox is not None:
            statement = statement.where(self._backend.near(layer, table, bbox))
        statement = statement.order_by(table.c[FID])
        if limit is not None:
            statement = statement.limit(limit)
        with self._backend.reading() as connection:
            rows = connection.execute(statement).all()
        held: list[Any] = list(zip(*rows, strict=True)) or [()] * (len(names) + 2)
        spatial = layer in GEOMETRIES
        shapes = self._backend.wkb(list(held[-1])) if spatial else np.full(len(rows), None, dtype=object)
        return shapes, {name: list(held[at]) for at, name in enumerate([FID, *names])}

    def count(self, layer: str, where: Condition | None, scope: Scope) -> int:
        """How many rows of a layer meet a condition.

        Raises
        ------
        ConditionError, ForbiddenError, InputError
            As of `query`.
        """
        table = self._table(layer)
        check_layer(layer, scope)
        condition = self._where(layer, table, where, scope)
        with self._backend.reading() as connection:
            if where is None and scope.villages is None:
                known = self._backend.count(connection, layer)
                if known is not None:
                    return known
            return connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()

    def row(self, layer: str, key: str | int, scope: Scope) -> dict[str, Any] | None:
        """A row by its key in `geo.schema.LAYER_KEYS`, the first if several share it.

        None if it is not there or not to be seen. A row is a mapping of ``fid``,
        the columns and, of a layer with geometry, ``geometry``.

        Raises
        ------
        InputError
            If there is no such layer, or it has no key.
        ForbiddenError
            As of `query`.
        """
        table = self._table(layer)
        if layer not in schema.LAYER_KEYS:
            raise InputError(f"图层 {layer} 没有键，不能按键查找")
        name = schema.LAYER_KEYS[layer]
        dtype = next(column.dtype for column in schema.columns(layer) if column.name == name)
        if not sql.fits(key, dtype):
            return None
        return self._one(layer, table.c[name] == key, scope)

    def at(self, layer: str, fid: int, scope: Scope) -> dict[str, Any] | None:
        """A row by its ``fid``; None if not there or not to be seen.

        Raises
        ------
        InputError, ForbiddenError
            As of `row`.
        """
        return self._one(layer, self._table(layer).c[FID] == fid, scope) if sql.fits(fid, "Int64") else None

    def history(self, layer: str, key: str | int, scope: Scope) -> list[dict[str, Any]]:
        """Entries of the log about one row, the oldest first, without names of persons the scope may not see.

        Raises
        ------
        ForbiddenError
            As of `query`.
        """
        log = self._table(APPEND_ONLY)
        check_layer(layer, scope)
        statement = (
            select(*(log.c[name] for name in schema.column_names(APPEND_ONLY)))
            .where(log.c.layer == layer, log.c.row_key == str(key), sql.scoped(APPEND_ONLY, log, scope))
            .order_by(log.c.seq)
        )
        with self._backend.reading() as connection:
            rows = connection.execute(statement).mappings().all()
        return [audit.shown(dict(row), personal=scope.personal) for row in rows]

    # --- changes -----------------------------------------------------------------------------------

    @contextmanager
    def write(self, *, actor: str, why: str = "") -> Iterator[Change]:
        """One transaction; it is committed at the end, and an exception leaves nothing of it.

        Not to be entered again within itself.

        Raises
        ------
        OutputError
            If others write for longer than anybody would wait.
        """
        with self._backend.writing() as connection:
            change = Change(connection, self._backend, actor=actor, why=why, clock=self._clock)
            yield change
            change.finish()

    def replace_layers(
        self,
        source: Workspace,
        *,
        actor: str,
        why: str,
        layers: Sequence[str] | None = None,
        since: Mapping[str, str] | None = None,
    ) -> None:
        """Put layers of another workspace in place of those here, all in one transaction; records stay.

        Parameters
        ----------
        source : Workspace
            A GeoPackage in the same CRS: what a job made.
        actor, why : str
            For the log.
        layers : sequence of str, optional
            By default all the source has that a run makes.
        since : mapping of layer to edition, optional
            What the source rests on: where one of these has changed, nothing is replaced.

        Raises
        ------
        StaleError
            If a layer of ``since`` has changed.
        MismatchError
            If the CRS differ.
        InputError
            If the source lacks a layer.
        """
        if source.crs != self.workspace.crs:
            raise MismatchError(
                f"新成果的坐标系（{source.crs.name}）与工作区（{self.workspace.crs.name}）不同，不能发布"
            )
        wanted = list(layers) if layers is not None else [n for n in schema.RUN_LAYERS if n in source.layers]
        if lacking := [
            layer for layer in wanted if layer not in source.layers or layer not in schema.RUN_LAYERS
        ]:
            raise InputError(f"{source.path} 没有图层 {'、'.join(lacking)}")
        with self._backend.replacing(source, wanted) as connection:
            for layer, edition in (since or {}).items():
                then, now = int(edition.rpartition("-")[2]), self._serial(connection, layer)
                if then != now:
                    told = {"edition": now}
                    raise StaleError(f"图层 {layer} 在此期间已有变动", base=then, theirs=told, yours={})
            change = Change(connection, self._backend, actor=actor, why=why, clock=self._clock)
            if "pieces" in wanted:
                mirror_states(connection, self._backend.tables)
            change.note("replace", after={"layers": wanted})
            change.finish()
            bump(connection, self._backend.tables[EDITIONS], set(wanted))

    # --- the log -----------------------------------------------------------------------------------

    def verify_audit(self, *, head: tuple[int, str] | None = None) -> list[str]:
        """What is wrong with the log, in Chinese; nothing if it is whole.

        Parameters
        ----------
        head : (seq, hash), optional
            As `head` gave it at some time, from paper: shows a tail that was cut off.
        """
        with self._backend.reading() as connection:
            return audit.flaws(self._log(connection), head=head)

    def head(self) -> tuple[int, str]:
        """Number and hash of the last entry of the log, to be printed on paper."""
        with self._backend.reading() as connection:
            return head(connection, self._table(APPEND_ONLY))

    def _log(self, connection: Connection) -> Iterator[dict[str, Any]]:
        log = self._table(APPEND_ONLY)
        statement = select(*(log.c[name] for name in schema.column_names(APPEND_ONLY))).order_by(
            log.c.seq, log.c[FID]
        )
        with connection.execution_options(yield_per=_CHUNK).execute(statement) as rows:
            for row in rows.mappings():
                yield dict(row)

    # --- the rest ----------------------------------------------------------------------------------

    def backup(self, target: str | os.PathLike[str]) -> None:
        """A copy of the workspace as it stands, records and all, as a GeoPackage; others may write meanwhile.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        with whole_file(target) as scratch:
            self._backend.backup(scratch)

    def private(self) -> Engine:
        """Database of what is never handed out: users, keys, sessions, jobs. See `geo.store`."""
        if self._private is None:
            self._private = self._backend.private(self.folder)
        return self._private

    def close(self) -> None:
        """Let go of the database; the last to do so leaves a GeoPackage as one plain file."""
        if self._private is not None:
            self._private.dispose()
            self._private = None
        readers = workspace.READERS.get(self._name, [])
        if self._read in readers:
            readers.remove(self._read)
        self._backend.close()

    def __enter__(self) -> Self:
        """The store itself: ``with open_store(url) as store``."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    # --- within ------------------------------------------------------------------------------------

    def _read(
        self, layer: str, *, where: str | None, bbox: Box | None, columns: list[str], spatial: bool
    ) -> pd.DataFrame:
        """As `Workspace.read` has it, through this process's own connections to the file."""
        table = self._table(layer)
        statement = selected(self._backend, layer, table, columns, shape=spatial).order_by(table.c[FID])
        if where is not None:
            statement = statement.where(literal_column(f"({where})"))
        if bbox is not None:
            statement = statement.where(self._backend.touching(layer, table, bbox))
        try:
            with self._backend.reading() as connection:
                rows = connection.execute(statement).all()
        except DBAPIError as error:
            asked = f"，条件 {where}" if where else ""
            raise InputError(f"读不了 {self.url} 的图层 {layer}{asked}（{error.orig}）") from error
        return self._frame(layer, columns, columns, rows, spatial=spatial).drop(columns=FID)

    def _table(self, layer: str) -> Table:
        if layer not in schema.LAYER_TITLES:
            raise InputError(f"工作区没有图层 {layer}；可用的图层：{'、'.join(schema.LAYER_TITLES)}")
        return self._backend.tables[layer]

    def _where(self, layer: str, table: Table, where: Condition | None, scope: Scope) -> Any:  # noqa: ANN401 - SQL
        seen = sql.scoped(layer, table, scope)
        if where is None:
            return seen
        asked = sql.Asked(layer=layer, table=table, scope=scope, spatial=self._backend)
        return and_(seen, sql.clause(where, asked))

    def _one(self, layer: str, where: Any, scope: Scope) -> dict[str, Any] | None:  # noqa: ANN401 - SQL
        check_layer(layer, scope)
        table = self._table(layer)
        statement = selected(self._backend, layer, table, visible_columns(layer, scope))
        statement = statement.where(where, sql.scoped(layer, table, scope)).order_by(table.c[FID]).limit(1)
        with self._backend.reading() as connection:
            found = mappings(connection, self._backend, layer, statement)
        return found[0] if found else None

    def _matched(  # noqa: PLR0913, PLR0917 - what is known of a page
        self,
        connection: Connection,
        layer: str,
        query: Query,
        scope: Scope,
        fetched: int,
        condition: Any,  # noqa: ANN401
    ) -> int | None:
        if query.after is None and fetched <= query.limit:
            return fetched
        if query.where is None and query.bbox is None and scope.villages is None:
            known = self._backend.count(connection, layer)
            if known is not None:
                return known
        if not query.count:
            return None
        table = self._table(layer)
        return connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one()

    def _frame(
        self, layer: str, shown: list[str], names: list[str], rows: Sequence[Any], *, spatial: bool
    ) -> pd.DataFrame:
        width = 1 + len(names) + spatial
        held: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * width
        kinds = {column.name: column.dtype for column in schema.columns(layer)}
        data: dict[str, Any] = {FID: np.array(held[0], dtype="int64")}
        for at, name in enumerate(names, start=1):
            if name in shown:
                data[name] = _array(held[at], kinds[name])
        if not spatial:
            return pd.DataFrame(data)
        shapes = workspace.simple(shapely.from_wkb(self._backend.wkb(list(held[-1]))))
        data["geometry"] = gpd.array.from_shapely(shapes, crs=self.workspace.crs)
        return gpd.GeoDataFrame(data)


def _forget(reference: "weakref.ref[Store]") -> None:
    """In a process that was forked off: leave the connections to the one they belong to."""
    if (store := reference()) is not None:
        store._backend.engine.dispose(close=False)  # noqa: SLF001 - of this module
        if store._private is not None:  # noqa: SLF001 - of this module
            store._private.dispose(close=False)  # noqa: SLF001 - of this module


def _columns(layer: str, wanted: Sequence[str] | None, scope: Scope) -> list[str]:
    """Columns that were asked for and may be seen, in the order they were asked for."""
    seen = visible_columns(layer, scope)
    if wanted is None:
        return seen
    if absent := [name for name in wanted if name not in schema.column_names(layer)]:
        raise ConditionError(f"图层 {layer} 没有列 {'、'.join(absent)}；可用的列：{'、'.join(seen)}")
    return [name for name in dict.fromkeys(wanted) if name in seen]


def _both(where: Condition | None, box: Box | None) -> Condition | None:
    if box is None:
        return where
    return Within(box) if where is None else All((Within(box), where))


def _array(values: Sequence[Any], dtype: str) -> Any:  # noqa: ANN401 - of pandas or numpy
    if dtype == "str":
        return pd.array(values, dtype="str")
    if dtype == "float":
        return np.array(values, dtype="float64")
    if dtype == "bool":
        return np.array([bool(value) for value in values], dtype="bool")
    return pd.array(values, dtype="Int64")
