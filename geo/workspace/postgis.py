"""A workspace in a PostGIS database: the same layers as tables of one schema.

A layer is written beside its place, indexed, and takes the place of the old one
in the same transaction: whoever reads sees the whole old layer or the whole new one.

Source: PostgreSQL 15 documentation, COPY and ALTER TABLE; PostGIS 3.3 manual, 4.5 (spatial_ref_sys).
"""

import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import geopandas as gpd
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.csv as pacsv
import shapely
from pyproj import CRS
from sqlalchemy import Connection, Engine, MetaData, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateTable

from geo import schema
from geo.errors import InputError, MismatchError, OutputError, WorkspaceError
from geo.workspace.layout import APPEND_ONLY, FID, SHAPE, indexes, table_of, tables_of
from geo.workspace.records import EDITIONS, STEPS
from geo.workspace.tables import GEOMETRIES, arrow_table, laid_out, meta_table, name_of, simple

SCHEMA: Final = "taotu"
LOCK: Final = 0x74616F74  # of every writer; any number that is always the same
_OWN_SRID: Final = 910_000  # first of those for systems the database does not know
_FRESH: Final = "new_"
_SRID_FLAG: Final = 0x20000000  # of well-known binary that names its system
_COLLATION: Final = "C"
_BATCH: Final = 20_000


def engine_of(url: str, **options: Any) -> Engine:  # noqa: ANN401 - as SQLAlchemy takes them
    """An engine on the database of a URL."""
    return create_engine(make_url(url).set(drivername="postgresql+psycopg"), **options)


def shown(url: str) -> str:
    """A URL as messages may have it: without its password."""
    return make_url(url).render_as_string(hide_password=True)


def name(url: str) -> str:
    """Name of the database."""
    return make_url(url).database or "taotu"


def stands(url: str) -> bool:
    """Whether a database has a workspace."""
    with _connected(url, "读取") as connection:
        return "meta" in tables_in(connection)


@contextmanager
def told(url: str, doing: str) -> Iterator[None]:
    """Have errors of the database say in Chinese what could not be done.

    Raises
    ------
    InputError
        If the database cannot be reached.
    OutputError
        If it refuses.
    """
    place = shown(url)
    try:
        yield
    except OperationalError as error:
        raise InputError(
            f"数据库 {place} {doing}失败（{_first_line(error)}）：请核对地址、账号和服务状态"
        ) from error
    except (DBAPIError, psycopg.Error) as error:
        raise OutputError(f"数据库 {place} {doing}失败（{_first_line(error)}）：原有数据未改动") from error


def _driver(connection: Connection) -> Any:  # noqa: ANN401 - of psycopg
    return connection.connection.driver_connection


def _first_line(error: DBAPIError | psycopg.Error) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(cause).strip().partition("\n")[0]


@contextmanager
def _connected(url: str, doing: str) -> Iterator[Connection]:
    engine = engine_of(url, poolclass=NullPool)
    try:
        with told(url, doing), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


# --- reading ---------------------------------------------------------------------------------------


def opened(url: str) -> tuple[CRS, tuple[str, ...]]:
    """CRS and layers of a workspace.

    Raises
    ------
    InputError
        If the database cannot be reached.
    WorkspaceError
        If it holds no workspace, or one of another schema version.
    """
    place = shown(url)
    with _connected(url, "读取") as connection:
        present = tables_in(connection)
        if "meta" not in present:
            raise WorkspaceError(f"数据库 {place} 里没有工作区：请先用 taotu reconcile --out {place} 生成")
        asked = text(f"SELECT key, value FROM {SCHEMA}.meta")  # noqa: S608 - a name of ours
        meta: dict[str, str] = {row.key: row.value for row in connection.execute(asked)}
    version = str(meta.get("schema_version"))
    if version != str(schema.WORKSPACE_VERSION) or "crs" not in meta:
        raise WorkspaceError(
            f"数据库 {place} 里是第 {version} 版的工作区，本程序只读第 {schema.WORKSPACE_VERSION} 版："
            "请用本版程序重新生成，或改用生成它的程序版本"
        )
    return CRS.from_user_input(meta["crs"]), tuple(layer for layer in schema.LAYER_TITLES if layer in present)


def tables_in(connection: Connection) -> dict[str, set[str]]:
    """Tables of the workspace's schema, and their columns."""
    rows = connection.execute(
        text(
            "SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE n.nspname = :schema AND c.relkind = 'r'"
        ),
        {"schema": SCHEMA},
    )
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(table, set()).add(column)
    return found


def read(  # noqa: PLR0913 - what may be asked of a layer
    url: str,
    layer: str,
    *,
    crs: CRS,
    where: str | None,
    bbox: tuple[float, float, float, float] | None,
    columns: list[str],
    spatial: bool,
) -> pd.DataFrame:
    """A layer, or a part of it; the caller has checked its name and those of the columns.

    Raises
    ------
    InputError
        If the database cannot be reached, or the condition is no SQL.
    """
    with _connected(url, "读取") as connection:
        there = tables_in(connection)[layer]
        names = [name for name in columns if name in there]
        listed = [f'"{name}"' for name in names] + ([f"ST_AsBinary({SHAPE})"] if spatial else [])
        conditions = [f"({where})"] if where else []
        if bbox is not None:
            x0, y0, x1, y1 = map(float, bbox)
            conditions.append(
                f"ST_XMin({SHAPE}) <= {x1!r} AND ST_XMax({SHAPE}) >= {x0!r}"
                f" AND ST_YMin({SHAPE}) <= {y1!r} AND ST_YMax({SHAPE}) >= {y0!r}"
                f" AND {SHAPE} && ST_MakeEnvelope({x0!r}, {y0!r}, {x1!r}, {y1!r}, {srid_in(connection)})"
            )
        chosen = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = f'SELECT {", ".join(listed) or "1"} FROM {SCHEMA}."{layer}"{chosen} ORDER BY {FID}'  # noqa: S608
        try:
            with _driver(connection).cursor(binary=True) as cursor:
                cursor.execute(statement)
                rows = cursor.fetchall()
        except Exception as error:
            asked = f"，条件 {where}" if where else ""
            raise InputError(
                f"读不了数据库的图层 {layer}{asked}（{str(error).partition(chr(10))[0]}）"
            ) from error
    held: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * max(len(listed), 1)
    plain = pd.DataFrame(
        {name: _series(layer, name, held[at]) for at, name in enumerate(names)}, index=range(len(rows))
    )
    table = schema.conform(plain, layer)[columns]
    if not spatial:
        return table
    return gpd.GeoDataFrame(table, geometry=simple(shapely.from_wkb(list(held[-1]))), crs=crs)


def _series(layer: str, name: str, values: Iterable[Any]) -> pd.Series:
    dtype = next(column.dtype for column in schema.columns(layer) if column.name == name)
    kind = {"str": "str", "float": "float64", "bool": "boolean", "Int64": "Int64"}[dtype]
    return pd.Series(list(values), dtype=kind)


# --- writing ---------------------------------------------------------------------------------------


def write(url: str, tables: Mapping[str, pd.DataFrame], crs: CRS) -> None:
    """Write all layers of a run; records of people stay.

    Raises
    ------
    InputError
        If the database cannot be reached.
    OutputError
        If it refuses; it is then as it was.
    MismatchError
        If records have geometry in another CRS.
    """
    name = name_of(crs)
    frames = {
        layer: laid_out(tables.get(layer), layer, crs) for layer in schema.RUN_LAYERS if layer != "meta"
    }
    frames["meta"] = meta_table(tables, name)
    _write(url, {layer: arrow_table(frame, layer) for layer, frame in frames.items()}, crs)


def amend(url: str, tables: Mapping[str, pd.DataFrame], crs: CRS) -> None:
    """Write some layers of a run anew.

    Raises
    ------
    InputError, OutputError
        As of `write`.
    """
    _write(
        url, {layer: arrow_table(laid_out(table, layer, crs), layer) for layer, table in tables.items()}, crs
    )


def _write(url: str, tables: Mapping[str, pa.Table], crs: CRS) -> None:
    with _connected(url, "写入") as connection:
        prepare(connection)
        srid = srid_of(connection, crs)
        _same_system(connection, srid)
        for layer, table in tables.items():
            fill(connection, layer, table.to_batches(max_chunksize=_BATCH), srid)
        swap(connection, tables)


def prepare(connection: Connection) -> None:
    """Keep other writers off until the transaction ends, and see to it that there is a schema and PostGIS."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    if connection.execute(text("SELECT 1 FROM pg_extension WHERE extname = 'postgis'")).first() is None:
        connection.execute(text("CREATE EXTENSION postgis"))
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))


def srid_of(connection: Connection, crs: CRS) -> int:
    """Number of a CRS in the database; one it does not know is told to it under a number of ours."""
    authority = crs.to_authority(min_confidence=100)
    if authority is not None and authority[0] == "EPSG":
        known = connection.execute(
            text("SELECT srid FROM spatial_ref_sys WHERE auth_name = 'EPSG' AND auth_srid = :code"),
            {"code": int(authority[1])},
        ).scalar()
        if known is not None:
            return int(known)
    wkt = crs.to_wkt("WKT1_GDAL")
    held = connection.execute(
        text("SELECT srid FROM spatial_ref_sys WHERE auth_name = 'taotu' AND srtext = :wkt"), {"wkt": wkt}
    ).scalar()
    if held is not None:
        return int(held)
    last = connection.execute(
        text("SELECT max(srid) FROM spatial_ref_sys WHERE auth_name = 'taotu'")
    ).scalar()
    srid = _OWN_SRID if last is None else int(last) + 1
    connection.execute(
        text("INSERT INTO spatial_ref_sys VALUES (:srid, 'taotu', :srid, :wkt, :proj)"),
        {"srid": srid, "wkt": wkt, "proj": _proj4(crs)},
    )
    return srid


def _proj4(crs: CRS) -> str:
    operation = crs.coordinate_operation
    text_ = crs.to_wkt() if operation is None else operation.to_proj4()
    return text_[:2048]


def srid_in(connection: Connection) -> int:
    """Number of the CRS of the workspace that stands there."""
    found = connection.execute(
        text("SELECT srid FROM geometry_columns WHERE f_table_schema = :schema AND f_table_name = 'pieces'"),
        {"schema": SCHEMA},
    ).scalar_one()
    return int(found)


def fill(connection: Connection, layer: str, batches: Iterable[pa.RecordBatch], srid: int) -> None:
    """Write a layer beside its place, with its indexes."""
    fresh = _FRESH + layer
    connection.execute(text(f'DROP TABLE IF EXISTS {SCHEMA}."{fresh}"'))
    table = table_of(layer, MetaData(schema=SCHEMA), srid=srid, collation=_COLLATION)
    table.name = fresh
    connection.execute(CreateTable(table))
    names = [*schema.column_names(layer), *([SHAPE] if layer in GEOMETRIES else [])]
    listed = ", ".join(f'"{name}"' for name in names)
    with (
        _driver(connection).cursor() as cursor,
        cursor.copy(f'COPY {SCHEMA}."{fresh}" ({listed}) FROM STDIN (FORMAT csv)') as copy,
    ):
        for batch in batches:
            copy.write(_csv(batch.select(names), srid))
    for column, unique in indexes(layer).items():
        make_index(connection, layer, column, unique=unique, table=fresh, prefix=_FRESH)
    if layer in GEOMETRIES:
        connection.execute(
            text(f'CREATE INDEX "{_FRESH}{tree_name(layer)}" ON {SCHEMA}."{fresh}" USING gist ({SHAPE})')
        )
    connection.execute(text(f'ANALYZE {SCHEMA}."{fresh}"'))


def make_index(  # noqa: PLR0913 - an index by its parts
    connection: Connection,
    layer: str,
    column: str,
    *,
    unique: bool,
    table: str | None = None,
    prefix: str = "",
) -> None:
    """One index; rows of equal values stand in it in the order of ``fid``."""
    name = f"{prefix}{index_name(layer, column)}"
    word, then = ("UNIQUE INDEX", "") if unique else ("INDEX", f", {FID}")
    connection.execute(text(f'CREATE {word} "{name}" ON {SCHEMA}."{table or layer}" ("{column}"{then})'))


def index_name(layer: str, column: str) -> str:
    """Name of an index on a column."""
    return f"idx_{layer}_{column}"


def tree_name(layer: str) -> str:
    """Name of the index on a layer's geometry."""
    return f"idx_{layer}_{SHAPE}"


def swap(connection: Connection, layers: Collection[str]) -> None:
    """Layers that were filled take the place of those that stand, and editions and states follow."""
    for layer in layers:
        fresh = _FRESH + layer
        connection.execute(text(f'DROP TABLE IF EXISTS {SCHEMA}."{layer}"'))
        connection.execute(text(f'ALTER TABLE {SCHEMA}."{fresh}" RENAME TO "{layer}"'))
        connection.execute(text(f'ALTER SEQUENCE {SCHEMA}."{fresh}_{FID}_seq" RENAME TO "{layer}_{FID}_seq"'))
        renamed = connection.execute(
            text("SELECT indexname FROM pg_indexes WHERE schemaname = :schema AND tablename = :layer"),
            {"schema": SCHEMA, "layer": layer},
        )
        for (name,) in renamed.all():
            if name.startswith(_FRESH):
                connection.execute(
                    text(f'ALTER INDEX {SCHEMA}."{name}" RENAME TO "{name.removeprefix(_FRESH)}"')
                )
        comment(connection, layer)
    there = tables_in(connection)
    if "cases" in there and "pieces" in layers:
        connection.execute(
            text(
                f"UPDATE {SCHEMA}.pieces p SET state = c.state FROM {SCHEMA}.cases c"  # noqa: S608 - names of ours
                " WHERE c.piece_key = p.piece_key AND c.state IS NOT NULL"
            )
        )
    if EDITIONS in there:
        connection.execute(
            text(
                f"INSERT INTO {SCHEMA}.{EDITIONS} AS e (layer, serial) VALUES (:layer, 1)"  # noqa: S608
                " ON CONFLICT (layer) DO UPDATE SET serial = e.serial + 1"
            ),
            [{"layer": layer} for layer in sorted(layers)],
        )


def create(connection: Connection, name: str, srid: int) -> None:
    """Make one table as it should be, without rows."""
    table = tables_of(MetaData(schema=SCHEMA), srid=srid, collation=_COLLATION)[name]
    connection.execute(CreateTable(table))
    if name in GEOMETRIES:
        connection.execute(
            text(f'CREATE INDEX "{tree_name(name)}" ON {SCHEMA}."{name}" USING gist ({SHAPE})')
        )
    if name == APPEND_ONLY:
        connection.execute(
            text(
                f"CREATE OR REPLACE FUNCTION {SCHEMA}.append_only() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RAISE EXCEPTION '%: append only', TG_TABLE_NAME; END $$"
            )
        )
        connection.execute(
            text(
                f'CREATE TRIGGER "{name}_append_only" BEFORE UPDATE OR DELETE OR TRUNCATE ON {SCHEMA}."{name}"'
                f" FOR EACH STATEMENT EXECUTE FUNCTION {SCHEMA}.append_only()"
            )
        )
    if name in schema.LAYER_TITLES:
        comment(connection, name)


def comment(connection: Connection, layer: str) -> None:
    """Chinese titles where QGIS and people at the database look for them."""
    words = [f"COMMENT ON TABLE {SCHEMA}.\"{layer}\" IS '{schema.LAYER_TITLES[layer]}'"]
    words += [
        f'COMMENT ON COLUMN {SCHEMA}."{layer}"."{column.name}" IS \'{column.title}\''
        for column in schema.columns(layer)
    ]
    connection.exec_driver_sql("; ".join(words))


def kind_of(dtype: str) -> str:
    """Type of a column in SQL."""
    kinds = {"str": f'text COLLATE "{_COLLATION}"', "float": "double precision", "bool": "boolean"}
    return kinds.get(dtype, "bigint")


def _csv(batch: pa.RecordBatch, srid: int) -> bytes:
    """Rows as COPY takes them: an empty cell is nothing, an empty text stands in quotes."""
    if SHAPE in batch.schema.names:
        at = batch.schema.get_field_index(SHAPE)
        shapes = pa.array([_named(blob, srid) for blob in batch.column(at).to_pylist()], type=pa.string())
        batch = batch.set_column(at, SHAPE, shapes)
    out = io.BytesIO()
    pacsv.write_csv(batch, out, pacsv.WriteOptions(include_header=False, quoting_style="needed"))
    return out.getvalue()


def _named(blob: bytes | None, srid: int) -> str | None:
    """Little-endian well-known binary with the number of its system, in hexadecimal."""
    if blob is None:
        return None
    kind = int.from_bytes(blob[1:5], "little") | _SRID_FLAG
    return (blob[:1] + kind.to_bytes(4, "little") + srid.to_bytes(4, "little") + blob[5:]).hex()


def named(blob: bytes, srid: int) -> str:
    """As a column of geometry takes well-known binary from a statement."""
    return _named(blob, srid) or ""


def _same_system(connection: Connection, srid: int) -> None:
    """Geometry of records is in the CRS of its workspace; a new CRS would put it elsewhere."""
    there = tables_in(connection)
    if "pieces" not in there or STEPS not in there or srid_in(connection) == srid:
        return
    drawn = [layer for layer in schema.RECORD_LAYERS if layer in GEOMETRIES and layer in there]
    if any(connection.execute(text(f'SELECT 1 FROM {SCHEMA}."{layer}" LIMIT 1')).first() for layer in drawn):  # noqa: S608
        raise MismatchError("数据库里已有登记的图形，新成果的坐标系与之不同：请用原坐标系，或换一个数据库")
