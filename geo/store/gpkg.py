"""The store in a GeoPackage: connections, locks, and what the standard and GDAL want beside each row.

The file is in WAL mode while anybody has it open as a store, and goes back to a
single plain file when the last one closes it. SQLite in Python and SQLite in
GDAL do not know of each other's locks within one process, so a process that
holds a store reads the file through the store alone.

Source: OGC 12-128r19, GeoPackage 1.4, clauses 2.1.3 (blobs) and F.3 (R-tree).
"""

import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Exists,
    MetaData,
    Table,
    and_,
    case,
    create_engine,
    event,
    exists,
    func,
    select,
    text,
)
from sqlalchemy import column as sql_column
from sqlalchemy import table as sql_table
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.pool import QueuePool
from sqlalchemy.schema import CreateTable

from geo import schema
from geo.errors import OutputError
from geo.store.query import Box
from geo.workspace import GEOMETRIES, Workspace
from geo.workspace.base import body, bounds, bring_functions
from geo.workspace.layout import APPEND_ONLY, FID, SHAPE, indexes, tables_of
from geo.workspace.styles import DATE, STYLE_ROW, style_row

_WAIT_S: Final = 30.0  # for another process that writes
_MAGIC: Final = b"GP"
_WIDE: Final = 0.02  # a box of more than this share of the layer is tested row by row
_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=NORMAL",
    "case_sensitive_like=ON",
    "cache_size=-16000",
    "secure_delete=OFF",  # some builds write zeros over all that goes
    "mmap_size=1073741824",
)
_KINDS: Final = {"str": "TEXT", "float": "REAL", "bool": "BOOLEAN", "Int64": "INTEGER"}

_writers: dict[str, threading.Lock] = {}
_writers_guard: Final = threading.Lock()


class _Connection(sqlite3.Connection):
    """A connection that knows which file it was opened on, for another may take its name."""

    file: tuple[int, int] | None = None


class GeoPackage:
    """A GeoPackage as the database of a store."""

    kind: Final = "gpkg"

    def __init__(self, workspace: Workspace) -> None:
        self.path = workspace.path.resolve()
        self.crs = workspace.crs
        self.tables: dict[str, Table] = tables_of(MetaData())
        with _writers_guard:
            self._turn = _writers.setdefault(str(self.path), threading.Lock())
        self.engine: Engine = create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=56,
            pool_timeout=_WAIT_S,
        )
        event.listen(self.engine, "begin", _begin)
        event.listen(self.engine, "checkout", self._same_file)
        with self.engine.connect() as connection:
            (self._srs_id,) = connection.execute(
                text("SELECT srs_id FROM gpkg_geometry_columns ORDER BY table_name = 'pieces' DESC LIMIT 1")
            ).one()

    # --- connections -------------------------------------------------------------------------------

    def _connect(self) -> "_Connection":
        while True:
            file = _identity(self.path)
            connection = self._connected()
            connection.file = file
            if file == _identity(self.path):
                return connection
            connection.close()  # replaced just now

    def _connected(self) -> "_Connection":
        try:
            connection = sqlite3.connect(
                f"{self.path.as_uri()}?mode=rw",
                uri=True,
                timeout=_WAIT_S,
                isolation_level=None,
                check_same_thread=False,
                factory=_Connection,
            )
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise OutputError(
                f"工作区 {self.path} 打不开，不能写入（{error}）：请核对权限，或关闭占用它的程序"
            ) from error
        bring_functions(connection)
        connection.create_function("taotu_touches", 5, _touches, deterministic=True)
        connection.create_function("taotu_intersects", 2, _intersects, deterministic=True)
        return connection

    def _same_file(self, dbapi: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401 - of SQLAlchemy
        """A connection to a file that was replaced is given up for one to the new file."""
        if dbapi.file != _identity(self.path):
            raise DisconnectionError

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the file for as long as it lasts."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction; others wait for its end, and an exception leaves nothing of it."""
        with self._in_turn(), self._locked() as connection:
            yield connection

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Writers of this process wait in a queue, not by asking SQLite again and again."""
        if not self._turn.acquire(timeout=_WAIT_S * 4):
            raise OutputError(f"工作区 {self.path} 一直有人在写：请稍后重试")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _locked(self) -> Iterator[Connection]:
        while True:
            with self.engine.connect().execution_options(taotu_write=True) as connection:
                try:
                    transaction = connection.begin()
                except (DBAPIError, sqlite3.Error) as error:
                    raise OutputError(f"工作区 {self.path} 正被其他程序写入：请稍后重试") from error
                # Whoever replaces the file holds this lock meanwhile: what was opened may be gone by now.
                if _driver(connection).file != _identity(self.path):
                    transaction.rollback()
                    connection.invalidate()
                    continue
                with transaction:
                    yield connection
                return

    def close(self) -> None:
        """Let go of the file; the last to do so leaves one plain file."""
        self.engine.dispose()
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True)) as base,
        ):
            base.execute("PRAGMA journal_mode=DELETE")

    # --- rows --------------------------------------------------------------------------------------

    def shape(self, table: Table) -> ColumnElement[Any]:
        """The column of geometry, as it is read."""
        return table.c[SHAPE]

    def wkb(self, held: list[Any]) -> np.ndarray[Any, Any]:
        """Well-known binary of what `shape` gave; None where there is no geometry."""
        out = np.empty(len(held), dtype=object)
        out[:] = [None if blob is None else body(blob) for blob in held]
        return out

    def stored(self, shape: BaseGeometry | None) -> Any:  # noqa: ANN401 - what the column takes
        """A geometry as the column takes it."""
        return None if shape is None else _blob(shape, self._srs_id)

    def touching(self, layer: str, table: Table, box: Box) -> ColumnElement[bool]:
        """Rows whose bounds touch a box; the index knows bounds in single precision only."""
        return _then(self.near(layer, table, box), func.taotu_touches(table.c[SHAPE], *box))

    def near(self, layer: str, table: Table, box: Box) -> ColumnElement[bool]:
        """Rows whose bounds touch a box, as far as the index knows."""
        tree = sql_table(
            f"rtree_{layer}_{SHAPE}", *(sql_column(name) for name in ("id", "minx", "maxx", "miny", "maxy"))
        )
        touches = and_(
            tree.c.minx <= box[2], tree.c.maxx >= box[0], tree.c.miny <= box[3], tree.c.maxy >= box[1]
        )
        if self._share(layer, box) > _WIDE:
            return exists(select(1).select_from(tree).where(tree.c.id == table.c[FID], touches))
        return table.c[FID].in_(select(tree.c.id).where(touches))

    def _share(self, layer: str, box: Box) -> float:
        """Which share of the layer's bounds a box is, roughly."""
        with self.engine.connect() as connection:
            bounds = connection.exec_driver_sql(
                "SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = ?", (layer,)
            ).one()
        if None in bounds:
            return 0.0
        x0, y0, x1, y1 = bounds
        width = max(0.0, min(x1, box[2]) - max(x0, box[0]))
        height = max(0.0, min(y1, box[3]) - max(y0, box[1]))
        whole = (x1 - x0) * (y1 - y0)
        return width * height / whole if whole > 0 else 1.0

    def intersecting(self, layer: str, table: Table, shape: BaseGeometry) -> ColumnElement[bool]:
        """Rows whose geometry has a point in common with a shape."""
        meets = func.taotu_intersects(table.c[SHAPE], shapely.to_wkb(shape))
        return _then(self.near(layer, table, shape.bounds), meets)

    def count(self, connection: Connection, layer: str) -> int:
        """Rows of a layer, without a scan."""
        return int(
            connection.exec_driver_sql(
                "SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = ?", (layer,)
            ).scalar_one()
        )

    def widen(self, connection: Connection, layer: str, box: Box) -> None:
        """Have the layer's told bounds hold a box: QGIS zooms to them."""
        connection.exec_driver_sql(
            "UPDATE gpkg_contents SET min_x = min(coalesce(min_x, ?1), ?1), min_y = min(coalesce(min_y, ?2), ?2),"
            " max_x = max(coalesce(max_x, ?3), ?3), max_y = max(coalesce(max_y, ?4), ?4) WHERE table_name = ?5",
            (*box, layer),
        )

    # --- tables ------------------------------------------------------------------------------------

    def present(self, connection: Connection) -> dict[str, set[str]]:
        """Tables that are there, and their columns."""
        rows = connection.exec_driver_sql(
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
            " AND m.name NOT LIKE 'rtree\\_%' ESCAPE '\\' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        found: dict[str, set[str]] = {}
        for table, column in rows:
            found.setdefault(table, set()).add(column)
        return found

    def create(self, connection: Connection, name: str) -> None:
        """Make a table; a layer is listed where the standard, GDAL and QGIS look for it."""
        connection.execute(CreateTable(self.tables[name]))
        if name not in schema.LAYER_TITLES:
            return
        title = schema.LAYER_TITLES[name]
        kind = "features" if name in GEOMETRIES else "attributes"
        run = connection.exec_driver_sql
        run(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description, last_change, srs_id)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (name, kind, title, title, DATE, self._srs_id if name in GEOMETRIES else 0),
        )
        for column in schema.columns(name):
            self._describe(connection, name, column)
        if name in GEOMETRIES:
            run(
                "INSERT INTO gpkg_geometry_columns VALUES (?, ?, ?, ?, 0, 0)",
                (name, SHAPE, GEOMETRIES[name].upper(), self._srs_id),
            )
            run(
                "INSERT INTO gpkg_extensions VALUES (?, ?, 'gpkg_rtree_index',"
                " 'http://www.geopackage.org/spec120/#extension_rtree', 'write-only')",
                (name, SHAPE),
            )
            run(f'CREATE VIRTUAL TABLE "rtree_{name}_{SHAPE}" USING rtree(id, minx, maxx, miny, maxy)')
            for statement in _tree_triggers(name):
                run(statement)
        run("INSERT OR REPLACE INTO gpkg_ogr_contents VALUES (?, 0)", (name,))
        for statement in _count_triggers(name):
            run(statement)
        if name == APPEND_ONLY:
            for what in ("UPDATE", "DELETE"):
                run(
                    f'CREATE TRIGGER "{name}_no_{what.lower()}" BEFORE {what} ON "{name}"'
                    f" BEGIN SELECT RAISE(ABORT, '{name}: append only'); END"
                )
        self._default_style(connection, name)

    @staticmethod
    def _default_style(connection: Connection, name: str) -> None:
        run = connection.exec_driver_sql
        if not run("SELECT 1 FROM sqlite_master WHERE name = 'layer_styles'").first():
            return
        run(STYLE_ROW, style_row(name))
        run(
            "UPDATE gpkg_ogr_contents SET feature_count = (SELECT count(*) FROM layer_styles)"
            " WHERE table_name = 'layer_styles'"
        )

    @staticmethod
    def _describe(connection: Connection, name: str, column: schema.Column) -> None:
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO gpkg_data_columns (table_name, column_name, name, title, description)"
            " VALUES (?, ?, ?, ?, ?)",
            (name, column.name, column.title, column.title, column.note or None),
        )

    def add_column(self, connection: Connection, name: str, column: schema.Column) -> None:
        """Give a layer a column that came later than the file."""
        connection.exec_driver_sql(f'ALTER TABLE "{name}" ADD COLUMN "{column.name}" {_KINDS[column.dtype]}')
        self._describe(connection, name, column)

    def unindexed(self, connection: Connection) -> list[tuple[str, str, bool]]:
        """Indexes that should be there and are not: layer, column, unique."""
        there = set(
            connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index'").scalars()
        )
        return [
            (layer, column, unique)
            for layer in schema.LAYER_TITLES
            for column, unique in indexes(layer).items()
            if _index_name(layer, column) not in there
        ]

    def index(self, connection: Connection, layer: str, column: str, *, unique: bool) -> None:
        """Make one index."""
        word = "UNIQUE INDEX" if unique else "INDEX"
        connection.exec_driver_sql(
            f'CREATE {word} IF NOT EXISTS "{_index_name(layer, column)}" ON "{layer}" ("{column}")'
        )

    @contextmanager
    def replacing(self, source: Workspace, layers: list[str]) -> Iterator[Connection]:
        """A transaction in which the rows of layers have been replaced by those of another workspace."""
        with self._in_turn(), self.engine.connect().execution_options(taotu_write=True) as connection:
            dbapi = _driver(connection)
            dbapi.execute("ATTACH DATABASE ? AS source", (f"{source.path.resolve().as_uri()}?mode=ro",))
            try:
                with connection.begin():
                    for layer in layers:
                        self._replace(connection, layer)
                    yield connection
            finally:
                dbapi.execute("DETACH DATABASE source")
            dbapi.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # a county's layers lie in the journal as well

    def _replace(self, connection: Connection, layer: str) -> None:
        run = connection.exec_driver_sql
        held = {row[1] for row in run(f'PRAGMA source.table_info("{layer}")')}
        names = [column.name for column in schema.columns(layer) if column.name in held]
        listed = ", ".join(f'"{name}"' for name in [FID, *([SHAPE] if layer in GEOMETRIES else []), *names])
        rest = run(
            "SELECT type, name, sql FROM main.sqlite_master WHERE tbl_name = ? AND type IN ('trigger', 'index')"
            " AND sql NOT NULL",
            (layer,),
        ).all()
        for kind, name, _ in rest:  # row by row, a county would take minutes
            run(f'DROP {kind} main."{name}"')
        run(f'DELETE FROM main."{layer}"')  # noqa: S608 - names of ours
        run(f'INSERT INTO main."{layer}" ({listed}) SELECT {listed} FROM source."{layer}" ORDER BY fid')  # noqa: S608
        if layer in GEOMETRIES:
            for part in ("node", "parent", "rowid"):  # the tree as it is, not built anew
                tree = f'"rtree_{layer}_{SHAPE}_{part}"'
                run(f"DELETE FROM main.{tree}")  # noqa: S608 - names of ours
                run(f"INSERT INTO main.{tree} SELECT * FROM source.{tree}")  # noqa: S608
            told = "min_x, min_y, max_x, max_y"
            run(
                f"UPDATE gpkg_contents SET ({told}) = (SELECT {told} FROM source.gpkg_contents"  # noqa: S608
                " WHERE table_name = ?1) WHERE table_name = ?1",
                (layer,),
            )
        run(
            f'UPDATE gpkg_ogr_contents SET feature_count = (SELECT count(*) FROM main."{layer}")'  # noqa: S608
            " WHERE table_name = ?",
            (layer,),
        )
        for _, _, statement in rest:
            run(statement)

    def backup(self, target: Path) -> None:
        """A copy of the file as it stands, made while others write; one plain file."""
        with self.engine.connect() as connection, closing(sqlite3.connect(target)) as copy:
            _driver(connection).backup(copy, pages=4096, sleep=0)
            copy.execute("PRAGMA journal_mode=DELETE")

    def private(self, folder: Path) -> Engine:
        """The database of what is never handed out, a file in the folder beside the workspace."""
        return private_engine(folder / "service.db")


def _then(near: ColumnElement[bool], exact: ColumnElement[Any]) -> ColumnElement[bool]:
    """Ask the index first: where it is asked row by row SQLite would call the function before it, for every row."""
    if isinstance(near, Exists):
        asked: ColumnElement[Any] = case((near, exact), else_=0)
        return asked == 1
    return and_(near, exact == 1)


def private_engine(file: Path) -> Engine:
    """The database of what is never handed out, beside the workspace; made if it is not there."""
    file.parent.mkdir(parents=True, exist_ok=True)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=8, max_overflow=56)
    event.listen(engine, "begin", _begin_private)
    return engine


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("taotu_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _begin_private(connection: Connection) -> None:
    read = connection.get_execution_options().get("read_only")
    connection.exec_driver_sql("BEGIN" if read else "BEGIN IMMEDIATE")


def _driver(connection: Connection) -> Any:  # noqa: ANN401 - of sqlite3
    return connection.connection.driver_connection


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _index_name(layer: str, column: str) -> str:
    return f"idx_{layer}_{column}"


def _count_triggers(layer: str) -> list[str]:
    """Those by which GDAL knows how many rows a layer has."""
    return [
        f'CREATE TRIGGER "trigger_{word}_feature_count_{layer}" AFTER {word.upper()} ON "{layer}" BEGIN UPDATE'  # noqa: S608
        f" gpkg_ogr_contents SET feature_count = feature_count {sign} 1 WHERE lower(table_name) = lower('{layer}'); END"
        for word, sign in (("insert", "+"), ("delete", "-"))
    ]


def _tree_triggers(layer: str) -> list[str]:
    """Those of the standard, as GDAL writes them."""
    tree = f'"rtree_{layer}_{SHAPE}"'
    put = (
        f'INSERT OR REPLACE INTO {tree} VALUES (NEW."fid", ST_MinX(NEW."geom"), ST_MaxX(NEW."geom"),'  # noqa: S608
        ' ST_MinY(NEW."geom"), ST_MaxY(NEW."geom"))'
    )
    some, none = (
        '(NEW."geom" NOTNULL AND NOT ST_IsEmpty(NEW."geom"))',
        '(NEW."geom" ISNULL OR ST_IsEmpty(NEW."geom"))',
    )
    drop = f'DELETE FROM {tree} WHERE id = OLD."fid"'  # noqa: S608 - names of ours, as all here
    same, other = 'OLD."fid" = NEW."fid"', 'OLD."fid" != NEW."fid"'
    bodies = {
        "insert": f'AFTER INSERT ON "{layer}" WHEN {some} BEGIN {put}; END',
        "update1": f'AFTER UPDATE OF "geom" ON "{layer}" WHEN {same} AND {some} BEGIN {put}; END',
        "update2": f'AFTER UPDATE OF "geom" ON "{layer}" WHEN {same} AND {none} BEGIN {drop}; END',
        "update3": f'AFTER UPDATE ON "{layer}" WHEN {other} AND {some} BEGIN {drop}; {put}; END',
        "update4": f'AFTER UPDATE ON "{layer}" WHEN {other} AND {none} BEGIN DELETE FROM {tree}'  # noqa: S608
        ' WHERE id IN (OLD."fid", NEW."fid"); END',
        "delete": f'AFTER DELETE ON "{layer}" WHEN OLD."geom" NOT NULL BEGIN {drop}; END',
    }
    return [f'CREATE TRIGGER "rtree_{layer}_{SHAPE}_{name}" {body}' for name, body in bodies.items()]


# --- blobs -----------------------------------------------------------------------------------------


def _blob(shape: BaseGeometry, srs_id: int) -> bytes:
    """A GeoPackage's blob: little-endian, with an envelope but for points and empty ones, as GDAL writes them."""
    empty = shape.is_empty
    envelope = not empty and shape.geom_type != "Point"
    flags = 1 | (2 if envelope else 0) | (16 if empty else 0)
    head = struct.pack("<2sBBi", _MAGIC, 0, flags, srs_id)
    if envelope:
        x0, y0, x1, y1 = shape.bounds
        head += struct.pack("<4d", x0, x1, y0, y1)
    return head + bytes(shapely.to_wkb(shape, byte_order=1))


def _touches(blob: bytes | None, x0: float, y0: float, x1: float, y1: float) -> int:
    held = bounds(blob)
    return int(held is not None and held[0] <= x1 and held[1] >= x0 and held[2] <= y1 and held[3] >= y0)


def _intersects(blob: bytes | None, other: bytes) -> int:
    if blob is None:
        return 0
    return int(shapely.intersects(_prepared(other), shapely.from_wkb(body(blob))))


_kept = threading.local()


def _prepared(wkb: bytes) -> BaseGeometry:
    """The shape of a question, read and prepared once for all its rows."""
    if getattr(_kept, "wkb", None) != wkb:
        _kept.wkb, _kept.shape = wkb, shapely.from_wkb(wkb)
        shapely.prepare(_kept.shape)
    shape: BaseGeometry = _kept.shape
    return shape
