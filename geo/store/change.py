"""One transaction on records: rows, versions and the log move together or not at all."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, Table, bindparam, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from geo import schema
from geo.errors import GeometryTypeError, InputError, StaleError, UnknownRowError
from geo.store import audit, sql
from geo.store.backend import Backend
from geo.store.query import Condition
from geo.store.scope import EVERYTHING
from geo.workspace import GEOMETRIES
from geo.workspace.layout import APPEND_ONLY, FID, SHAPE
from geo.workspace.records import EDITIONS

GEOMETRY: Final = "geometry"  # of a row as a mapping: a shape of shapely
_KEPT: Final = frozenset({FID, *schema.RECORD_COLUMNS})  # filled in by the store alone


class Change:
    """What may be done within one transaction of `Store.write`."""

    def __init__(
        self, connection: Connection, backend: Backend, *, actor: str, why: str, clock: Callable[[], datetime]
    ) -> None:
        self.actor = actor
        self.why = why
        self._connection = connection
        self._backend = backend
        self._at = stamp(clock())
        self._entries: list[dict[str, Any]] = []
        self._touched: set[str] = set()
        self._head = head(connection, backend.tables[APPEND_ONLY])

    @property
    def at(self) -> str:
        """Time of the transaction as the records get it."""
        return self._at

    def row(self, layer: str, key: str | int) -> dict[str, Any] | None:
        """A row by its key, as it stands in this transaction; the first if several share the key."""
        return one(
            self._connection, self._backend, layer, self._table(layer).c[schema.LAYER_KEYS[layer]] == key
        )

    def rows(
        self, layer: str, where: Condition | None = None, order: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Rows of a layer, as they stand in this transaction, in an order as `Query.sort` names it."""
        table = self._table(layer)
        statement = selected(self._backend, layer, table, schema.column_names(layer))
        if where is not None:
            statement = statement.where(
                sql.clause(
                    where, sql.Asked(layer=layer, table=table, scope=EVERYTHING, spatial=self._backend)
                )
            )
        statement = statement.order_by(*sql.ordered(layer, table, order, EVERYTHING))
        return mappings(self._connection, self._backend, layer, statement)

    def insert(self, layer: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """A new row of a record layer, of version 1, told in the log.

        Raises
        ------
        InputError
            If the layer is none of records, a column is not there or a value of
            the wrong kind, or a row of that key is there already.
        """
        self.insert_many(layer, [values])
        row = self.row(layer, values[schema.RECORD_LAYERS[layer]])
        assert row is not None  # noqa: S101 - it was put there a line above
        return row

    def insert_many(self, layer: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Many new rows of a record layer, each told in the log.

        Raises
        ------
        InputError
            As of `insert`; none of them is then there.
        """
        key = self._records(layer)
        stored, entries = [], []
        for values in rows:
            row = checked(layer, values)
            if row.get(key) in {None, ""}:
                raise InputError(f"图层 {layer} 的新行缺少 {key}")
            blank = {column.name: row.get(column.name) for column in schema.columns(layer)}
            blank |= {
                c.name: False for c in schema.columns(layer) if c.dtype == "bool" and blank[c.name] is None
            }
            told = {
                name: value
                for name, value in (row | blank).items()
                if value is not None and name not in _KEPT
            }
            stored.append(
                self._held(layer, row | blank)
                | {"version": 1, "updated_at": self._at, "updated_by": self.actor}
            )
            entries.append((layer, str(row[key]), row.get("village_code") or "", "insert", None, told))
        if not stored:
            return
        try:
            with self._connection.begin_nested():  # a caller may go on after a key that is there already
                self._connection.execute(insert(self._table(layer)), stored)
        except IntegrityError as error:
            raise InputError(f"图层 {layer} 已有键相同的行：请刷新后修改原有的行") from error
        for entry in entries:
            self._log(*entry)
        self._touch(layer)
        self._widen(layer, [row.get(GEOMETRY) for row in rows])
        if layer == "cases":
            self._mirror([(row["piece_key"], row["state"]) for row in stored if row["state"] is not None])

    def update(
        self, layer: str, key: str | int, values: Mapping[str, Any], *, base: int | None
    ) -> dict[str, Any]:
        """Change columns of a row of a record layer; its version goes up by one, and the log tells what changed.

        Parameters
        ----------
        layer, key
            The row.
        values : mapping
            Columns to change. Values that are there already change nothing.
        base : int or None
            Version the caller has seen. None only where this transaction has just read the row.

        Returns
        -------
        dict
            The row as it now is.

        Raises
        ------
        StaleError
            If the row was changed since ``base``.
        UnknownRowError
            If there is no such row.
        InputError
            As of `insert`.
        """
        key_column = self._records(layer)
        row = self.row(layer, key)
        if row is None:
            raise UnknownRowError(f"{schema.LAYER_TITLES[layer]}没有 {key}")
        if base is not None and row["version"] != base:
            raise StaleError(
                f"{schema.LAYER_TITLES[layer]} {key} 已被 {row['updated_by']} 改动（第 {row['version']} 版），"
                f"您看到的是第 {base} 版：请核对后重新提交",
                base=base,
                theirs=row,
                yours=dict(values),
            )
        wanted = checked(layer, values)
        if key_column in wanted and wanted[key_column] != row[key_column]:
            raise InputError(f"{key_column} 是行的键，不能改")
        changed = {name: value for name, value in wanted.items() if not _same(row.get(name), value)}
        if not changed:
            return row
        kept = {"version": row["version"] + 1, "updated_at": self._at, "updated_by": self.actor}
        table = self._table(layer)
        self._connection.execute(
            update(table).where(table.c[FID] == row[FID]).values(self._held(layer, changed) | kept)
        )
        before = {name: row.get(name) for name in changed}
        after = row | changed | kept
        self._log(layer, str(key), after.get("village_code") or "", "update", before, changed)
        self._touch(layer)
        self._widen(layer, [changed.get(GEOMETRY)])
        if layer == "cases" and "state" in changed:
            self._mirror([(after["piece_key"], after["state"])])
        return after

    def note(
        self,
        action: str,
        *,
        layer: str = "",
        row_key: str = "",
        village_code: str = "",
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """An entry of the log alone: a login, a job, a download of personal data.

        Raises
        ------
        InputError
            If ``action`` is one that tells of rows.
        """
        if action in {"insert", "update", "put", "drop"}:
            raise InputError(f"操作名 {action} 留给记录的改动")
        self._log(layer, row_key, village_code, action, None, dict(after or {}))
        self._touched.add(APPEND_ONLY)

    def put(self, layer: str, frame: pd.DataFrame) -> None:
        """Rows of a layer that a run makes: those whose key is there are changed, others added; told in the log.

        Parameters
        ----------
        layer : str
            ``pieces``, ``code_register``, ...; no record layer.
        frame : DataFrame or GeoDataFrame
            Columns of the layer, all or some, with its key; geometry in the workspace's CRS.
            A row is found by ``piece_key`` where the layer has one, else by `geo.schema.LAYER_KEYS`.

        Raises
        ------
        InputError
            If the layer is one of records, or a column or value is wrong.
        """
        if layer in schema.RECORD_LAYERS or layer not in schema.LAYER_KEYS:
            raise InputError(f"图层 {layer} 不能这样写入")
        key = run_key(layer)
        table = self._table(layer)
        for values in _records_of(frame):
            row = checked(layer, values)
            if row.get(key) in {None, ""}:
                raise InputError(f"图层 {layer} 的行缺少 {key}")
            old = one(self._connection, self._backend, layer, table.c[key] == row[key])
            changed = {name: v for name, v in row.items() if old is None or not _same(old.get(name), v)}
            if not changed:
                continue
            held = self._held(layer, changed)
            if old is None:
                self._connection.execute(insert(table).values(held))
            else:
                self._connection.execute(update(table).where(table.c[FID] == old[FID]).values(held))
            before = None if old is None else {name: old.get(name) for name in changed}
            told = {name: value for name, value in changed.items() if old is not None or value is not None}
            village = (row if old is None else old | row).get("village_code") or ""
            self._log(layer, str(row[key]), village, "put", before, told)
            self._touch(layer)
        self._widen(layer, frame.geometry if isinstance(frame, gpd.GeoDataFrame) else ())

    def put_pieces(self, frame: gpd.GeoDataFrame) -> None:
        """Pieces changed or added, such as the children of a piece that was divided: `put` of ``pieces``."""
        self.put("pieces", frame)

    def drop(self, layer: str, key: str) -> None:
        """Take a row of a layer that a run makes out of it; the log keeps what it was.

        Raises
        ------
        InputError
            If the layer is one of records: those are never removed.
        UnknownRowError
            If there is no such row.
        """
        if layer in schema.RECORD_LAYERS or layer not in schema.LAYER_KEYS:
            raise InputError(f"图层 {layer} 的行不能删除")
        table = self._table(layer)
        old = one(self._connection, self._backend, layer, table.c[run_key(layer)] == key)
        if old is None:
            raise UnknownRowError(f"{schema.LAYER_TITLES[layer]}没有 {key}")
        self._connection.execute(table.delete().where(table.c[FID] == old[FID]))
        told = {name: value for name, value in old.items() if value is not None and name != FID}
        self._log(layer, str(key), old.get("village_code") or "", "drop", told, None)
        self._touch(layer)

    # --- within ------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Write the log and the editions; `Store.write` calls it before it commits."""
        if self._entries:
            self._connection.execute(insert(self._backend.tables[APPEND_ONLY]), self._entries)
            self._touched.add(APPEND_ONLY)
            self._entries = []
        bump(self._connection, self._backend.tables[EDITIONS], self._touched)
        self._touched = set()

    def _touch(self, layer: str) -> None:
        self._touched |= {layer, APPEND_ONLY}

    def _table(self, layer: str) -> Table:
        if layer not in schema.LAYER_TITLES:
            raise InputError(f"没有图层 {layer}")
        return self._backend.tables[layer]

    def _records(self, layer: str) -> str:
        if layer not in schema.RECORD_LAYERS or layer == APPEND_ONLY:
            raise InputError(f"图层 {layer} 不是可登记的图层")
        return schema.RECORD_LAYERS[layer]

    def _held(self, layer: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row as the table takes it."""
        held = {name: value for name, value in row.items() if name not in {GEOMETRY, FID}}
        if GEOMETRY in row and layer in GEOMETRIES:
            held[SHAPE] = self._backend.stored(row[GEOMETRY])
        return held

    def _log(  # noqa: PLR0913, PLR0917 - columns of the log
        self,
        layer: str,
        key: str,
        village: str,
        action: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        seq, previous = self._head
        entry: dict[str, Any] = {
            "seq": seq + 1,
            "at": self._at,
            "actor": self.actor,
            "action": action,
            "layer": layer,
            "row_key": key,
            "village_code": village,
            "why": self.why,
            "before": None if before is None else audit.text_of(_plain(before)),
            "after": None if after is None else audit.text_of(_plain(after)),
        }
        entry |= {"previous_hash": previous, "hash": audit.sealed(entry, previous)}
        self._entries.append(entry)
        self._head = (seq + 1, entry["hash"])

    def _widen(self, layer: str, shapes: Iterable[BaseGeometry | None]) -> None:
        if layer in GEOMETRIES:
            x0, y0, x1, y1 = (
                float(side) for side in shapely.total_bounds(np.array(list(shapes), dtype=object))
            )
            if not math.isnan(x0):
                self._backend.widen(self._connection, layer, (x0, y0, x1, y1))

    def _mirror(self, states: Sequence[tuple[str, str | None]]) -> None:
        """What the record says of a piece's state, the piece says too: it is what QGIS shows."""
        if not states:
            return
        pieces = self._backend.tables["pieces"]
        statement = (
            update(pieces).where(pieces.c.piece_key == bindparam("key")).values(state=bindparam("new_state"))
        )
        self._connection.execute(statement, [{"key": key, "new_state": state} for key, state in states])
        self._touched.add("pieces")


def stamp(moment: datetime) -> str:
    """A time as records hold it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def head(connection: Connection, table: Table) -> tuple[int, str]:
    """Number and hash of the last entry of the log; 0 and the origin of one without entries."""
    last = connection.execute(select(table.c.seq, table.c.hash).order_by(table.c.seq.desc()).limit(1)).first()
    return (0, audit.ORIGIN) if last is None else (last.seq, last.hash)


def bump(connection: Connection, table: Table, layers: set[str]) -> None:
    """Count one more edition of each layer."""
    if layers:
        name = table.name if table.schema is None else f"{table.schema}.{table.name}"
        statement = text(
            f"INSERT INTO {name} (layer, serial) VALUES (:layer, 1)"  # noqa: S608 - a name of ours
            f" ON CONFLICT (layer) DO UPDATE SET serial = {table.name}.serial + 1"
        )
        connection.execute(statement, [{"layer": layer} for layer in sorted(layers)])


def run_key(layer: str) -> str:
    """The column by which a run's row is found to be changed: a piece keeps its key, not its code."""
    return "piece_key" if layer in {"pieces", "code_register"} else schema.LAYER_KEYS[layer]


def selected(backend: Backend, layer: str, table: Table, names: Sequence[str], *, shape: bool = True) -> Any:  # noqa: ANN401 - a Select of many columns
    """The statement for rows of a layer: ``fid``, the columns, and the geometry last."""
    columns: list[Any] = [table.c[FID], *(table.c[name] for name in names)]
    if shape and layer in GEOMETRIES:
        columns.append(backend.shape(table).label(SHAPE))
    return select(*columns)


def mappings(connection: Connection, backend: Backend, layer: str, statement: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a Select
    """Rows of a statement of `selected`, as mappings of plain values; geometry as a shape."""
    found = [dict(row) for row in connection.execute(statement).mappings()]
    flags = {column.name for column in schema.columns(layer) if column.dtype == "bool"}
    if layer in GEOMETRIES:
        shapes = shapely.from_wkb(backend.wkb([row.pop(SHAPE) for row in found]))
        for row, shape in zip(found, shapes, strict=True):
            row[GEOMETRY] = shape
    for row in found:
        row.update({name: bool(row[name]) for name in flags & row.keys()})
    return found


def one(connection: Connection, backend: Backend, layer: str, where: Any) -> dict[str, Any] | None:  # noqa: ANN401 - a condition in SQL
    """The first row that meets a condition."""
    table = backend.tables[layer]
    statement = selected(backend, layer, table, schema.column_names(layer))
    found = mappings(connection, backend, layer, statement.where(where).order_by(table.c[FID]).limit(1))
    return found[0] if found else None


def checked(layer: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a row as plain ones of their columns' kinds.

    Raises
    ------
    InputError
        If a column is not there, is the store's own, or a value is of another kind.
    GeometryTypeError
        If a geometry is not of the layer's kind.
    """
    kinds = {column.name: column.dtype for column in schema.columns(layer)}
    own = _KEPT if layer in schema.RECORD_LAYERS else {FID}
    row: dict[str, Any] = {}
    for name, value in values.items():
        if name == GEOMETRY and layer in GEOMETRIES:
            row[name] = _shape(layer, value)
            continue
        if name not in kinds or name in own:
            raise InputError(f"图层 {layer} 没有可填的列 {name}")
        row[name] = _value(layer, name, kinds[name], value)
    return row


def _blank(layer: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Every column of a layer, empty where the row has none; of true and false, false."""
    return {
        column.name: bool(row.get(column.name)) if column.dtype == "bool" else row.get(column.name)
        for column in schema.columns(layer)
    }


def _value(layer: str, name: str, dtype: str, value: Any) -> Any:  # noqa: ANN401 - whatever a column holds
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if dtype == "Int64" and isinstance(value, float) and value.is_integer():
        value = int(value)
    if not sql.fits(value, dtype):
        raise InputError(f"图层 {layer} 的列 {name} 不能填 {value!r}")
    return float(value) if dtype == "float" else value


def _shape(layer: str, value: Any) -> BaseGeometry | None:  # noqa: ANN401 - None, or a shape
    if value is None:
        return None
    kind = GEOMETRIES[layer]
    if isinstance(value, BaseGeometry):
        flat: Any = shapely.force_2d(value)
        if kind == "MultiPolygon" and flat.geom_type == "Polygon":
            flat = shapely.multipolygons([flat]) if not flat.is_empty else shapely.MultiPolygon()
        if isinstance(flat, BaseGeometry) and flat.geom_type == kind:
            return flat
    raise GeometryTypeError(f"图层 {layer} 的图形应为 {kind}，不能是 {getattr(value, 'geom_type', value)!r}")


def _same(old: Any, new: Any) -> bool:  # noqa: ANN401 - values of any column
    if isinstance(old, BaseGeometry) and isinstance(new, BaseGeometry):
        return bool(shapely.equals_exact(old, new, tolerance=0.0))
    return type(old) is type(new) and bool(old == new)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON takes them: a shape as the hexadecimal of its bytes."""
    return {
        name: shapely.to_wkb(value, hex=True, byte_order=1) if isinstance(value, BaseGeometry) else value
        for name, value in values.items()
    }


def _records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    table = pd.DataFrame(frame).drop(columns=FID, errors="ignore")
    if isinstance(frame, gpd.GeoDataFrame) and frame.active_geometry_name not in {None, GEOMETRY}:
        table = table.rename(columns={frame.active_geometry_name: GEOMETRY})
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
