"""The store in a PostGIS database: connections, locks and questions by place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from sqlalchemy import ColumnElement, Connection, Engine, MetaData, Table, and_, event, func, text
from sqlalchemy.pool import ConnectionPoolEntry

from geo import schema, workspace
from geo.store.query import Box
from geo.workspace import GEOMETRIES, Workspace, geopackage, postgis
from geo.workspace.layout import SHAPE, indexes, tables_of
from geo.workspace.records import STEPS

_PRIVATE: Final = "taotu_private"


class PostGIS:
    """A PostGIS database as that of a store."""

    kind: Final = "postgis"

    def __init__(self, opened: Workspace) -> None:
        self.url = opened.url
        self.crs = opened.crs
        self.engine: Engine = postgis.engine_of(opened.url, pool_size=8, max_overflow=24, pool_pre_ping=True)
        self._let_go = False
        event.listen(self.engine, "checkin", self._returned)
        with postgis.told(self.url, "读取"), self.engine.connect() as connection:
            self._srid = postgis.srid_in(connection)
        self.tables: dict[str, Table] = tables_of(
            MetaData(schema=postgis.SCHEMA), srid=self._srid, collation="C"
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection; each statement sees one state of the database."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction; others wait for its end, and an exception leaves nothing of it."""
        with self.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": postgis.LOCK})
            yield connection

    def close(self) -> None:
        """Let go of the database."""
        self._let_go = True
        self.engine.dispose()

    def _returned(self, _connection: object, record: ConnectionPoolEntry) -> None:
        """A connection that a thread held over the close: nobody would look for it in the pool any more."""
        if self._let_go:
            record.invalidate()

    # --- rows --------------------------------------------------------------------------------------

    def shape(self, table: Table) -> ColumnElement[Any]:
        """The column of geometry, as it is read."""
        return func.ST_AsBinary(table.c[SHAPE])

    def wkb(self, held: list[Any]) -> np.ndarray[Any, Any]:
        """Well-known binary of what `shape` gave; None where there is no geometry."""
        out = np.empty(len(held), dtype=object)
        out[:] = [None if blob is None else bytes(blob) for blob in held]
        return out

    def stored(self, shape: BaseGeometry | None) -> Any:  # noqa: ANN401 - what the column takes
        """A geometry as the column takes it."""
        return None if shape is None else postgis.named(shapely.to_wkb(shape, byte_order=1), self._srid)

    def near(self, _layer: str, table: Table, box: Box) -> ColumnElement[bool]:
        """Rows whose bounds touch a box, as far as the index knows."""
        return table.c[SHAPE].op("&&", is_comparison=True)(func.ST_MakeEnvelope(*map(float, box), self._srid))

    def touching(self, layer: str, table: Table, box: Box) -> ColumnElement[bool]:
        """Rows whose bounds touch a box; the index knows bounds in single precision only."""
        held = table.c[SHAPE]
        return and_(
            self.near(layer, table, box),
            func.ST_XMin(held) <= float(box[2]),
            func.ST_XMax(held) >= float(box[0]),
            func.ST_YMin(held) <= float(box[3]),
            func.ST_YMax(held) >= float(box[1]),
        )

    def intersecting(self, _layer: str, table: Table, shape: BaseGeometry) -> ColumnElement[bool]:
        """Rows whose geometry has a point in common with a shape."""
        return func.ST_Intersects(table.c[SHAPE], func.ST_GeomFromWKB(shapely.to_wkb(shape), self._srid))

    def count(self, _connection: Connection, _layer: str) -> int | None:
        """Not known without a scan."""
        return None

    def widen(self, _connection: Connection, _layer: str, _box: Box) -> None:
        """Nothing to do: bounds are told by the rows."""

    # --- tables ------------------------------------------------------------------------------------

    def present(self, connection: Connection) -> dict[str, set[str]]:
        """Tables that are there, and their columns."""
        return postgis.tables_in(connection)

    def create(self, connection: Connection, name: str) -> None:
        """Make a table."""
        postgis.create(connection, name, self._srid)

    def add_column(self, connection: Connection, name: str, column: schema.Column) -> None:
        """Give a layer a column that came later."""
        connection.execute(
            text(
                f'ALTER TABLE {postgis.SCHEMA}."{name}" ADD COLUMN "{column.name}" {postgis.kind_of(column.dtype)}'
            )
        )
        postgis.comment(connection, name)

    def unindexed(self, connection: Connection) -> list[tuple[str, str, bool]]:
        """Indexes that should be there and are not: layer, column, unique."""
        there = set(
            connection.execute(
                text("SELECT indexname FROM pg_indexes WHERE schemaname = :schema"),
                {"schema": postgis.SCHEMA},
            ).scalars()
        )
        return [
            (layer, column, unique)
            for layer in schema.LAYER_TITLES
            for column, unique in indexes(layer).items()
            if postgis.index_name(layer, column) not in there
        ]

    def index(self, connection: Connection, layer: str, column: str, *, unique: bool) -> None:
        """Make one index."""
        postgis.make_index(connection, layer, column, unique=unique)

    @contextmanager
    def replacing(self, source: Workspace, layers: list[str]) -> Iterator[Connection]:
        """A transaction in which layers have been replaced by those of another workspace."""
        with self.engine.begin() as connection:
            postgis.prepare(connection)
            for layer in layers:
                with geopackage.stream(source.path, layer) as rows:
                    postgis.fill(connection, layer, rows, self._srid)
            postgis.swap(connection, layers)
            yield connection

    # --- the rest ----------------------------------------------------------------------------------

    def backup(self, target: Path) -> None:
        """A GeoPackage of all layers, records among them, as they stand."""
        from geo.store.gpkg import GeoPackage  # noqa: PLC0415 - only here one database meets the other
        from geo.store.steps import complete  # noqa: PLC0415

        opened = workspace.open(self.url)
        workspace.write(
            target,
            {layer: opened.read(layer) for layer in schema.RUN_LAYERS if layer in opened.layers},
            crs=self.crs,
        )
        copy = GeoPackage(workspace.open(target))
        try:
            complete(copy)
            with self.reading() as ours, copy.writing() as theirs:
                for name in (*schema.RECORD_LAYERS, STEPS):
                    _copied(self, copy, name, ours, theirs)
        finally:
            copy.close()

    def private(self, _folder: Path) -> Engine:
        """The schema of what is never handed out."""
        with self.engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {_PRIVATE}"))
        return self.engine.execution_options(schema_translate_map={None: _PRIVATE})


def _copied(source: PostGIS, copy: Any, name: str, ours: Connection, theirs: Connection) -> None:  # noqa: ANN401 - a GeoPackage
    """Rows of a table from one database into the other, number by number."""
    table = source.tables[name]
    columns = [
        source.shape(table).label(SHAPE) if column.name == SHAPE else column for column in table.columns
    ]
    order = table.c[next(iter(table.c.keys()))]
    rows = [
        dict(row)
        for row in ours.execute(table.select().with_only_columns(*columns).order_by(order)).mappings()
    ]
    if name in GEOMETRIES:
        for row in rows:
            row[SHAPE] = copy.stored(None if row[SHAPE] is None else shapely.from_wkb(bytes(row[SHAPE])))
    if name == STEPS:
        theirs.execute(copy.tables[name].delete())
    if rows:
        theirs.execute(copy.tables[name].insert(), rows)
