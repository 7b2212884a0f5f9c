"""Records of people, carried from a workspace that is replaced into the one that takes its place.

A run makes its layers anew; what people entered is copied table by table, with
its indexes and triggers, so that every value is the same and the log still refuses changes.
"""

import os
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from geo import schema
from geo.errors import MismatchError, OutputError
from geo.workspace.base import bring_functions, cause, connection
from geo.workspace.tables import GEOMETRIES

_WAIT_MS: Final = 30_000
STEPS: Final = "store_steps"
EDITIONS: Final = "store_editions"
_LISTED: Final = {  # where a layer is told of, and by which column
    "gpkg_contents": "table_name",
    "gpkg_geometry_columns": "table_name",
    "gpkg_extensions": "table_name",
    "gpkg_ogr_contents": "table_name",
    "gpkg_data_columns": "table_name",
    "layer_styles": "f_table_name",
}


def stand_in(path: Path) -> bool:
    """Whether a file is a workspace with records."""
    if not path.is_file():
        return False
    try:
        with connection(path) as base:
            return base.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (STEPS,)).fetchone() is not None
    except sqlite3.Error:  # whatever stands there is no workspace
        return False


@contextmanager
def carried(old: Path, new: Path, *, changed: Collection[str]) -> Iterator[None]:
    """Copy records from one file into another, and keep others off the old one until this ends.

    Parameters
    ----------
    old, new : path
        The workspace that stands, and the one that is to take its place.
    changed : collection of layer names
        Those that are written anew: their editions go up.

    Raises
    ------
    OutputError
        If someone has the old file open.
    MismatchError
        If records have geometry in another CRS than the new file.
    """
    with closing(
        sqlite3.connect(f"{old.resolve().as_uri()}?mode=rw", uri=True, isolation_level=None)
    ) as base:
        try:
            base.execute(f"PRAGMA busy_timeout={_WAIT_MS}")
            base.execute("PRAGMA main.journal_mode=DELETE")
            base.execute("PRAGMA main.locking_mode=EXCLUSIVE")
            base.execute("BEGIN EXCLUSIVE")
            base.execute("COMMIT")  # the lock stays until the connection is closed
        except sqlite3.Error as error:
            raise OutputError(
                f"工作区 {old} 正被其他程序打开（{cause(error)}）：请关闭服务和打开它的程序后重试"
            ) from error
        bring_functions(base)
        base.execute("ATTACH DATABASE ? AS fresh", (f"{new.resolve().as_uri()}?mode=rw",))
        base.execute("PRAGMA fresh.synchronous=OFF")
        base.execute("BEGIN")
        _same_system(base, old)
        for table in (*schema.RECORD_LAYERS, STEPS, EDITIONS):
            _copy(base, table)
        _after(base, changed)
        base.execute("COMMIT")
        base.execute("DETACH DATABASE fresh")
        if os.name == "nt":  # there an open file cannot be replaced
            base.close()
        yield


def _copy(base: sqlite3.Connection, table: str) -> None:
    made = base.execute(
        "SELECT sql FROM main.sqlite_master WHERE type = 'table' AND name = ?", (table,)
    ).fetchone()
    if made is None:
        return
    base.execute(_in_fresh(made[0]))
    base.execute(f'INSERT INTO fresh."{table}" SELECT * FROM main."{table}" ORDER BY rowid')  # noqa: S608 - names of ours
    if table in GEOMETRIES:
        tree = f'"rtree_{table}_geom"'
        base.execute(f"CREATE VIRTUAL TABLE fresh.{tree} USING rtree(id, minx, maxx, miny, maxy)")
        base.execute(f"INSERT INTO fresh.{tree} SELECT id, minx, maxx, miny, maxy FROM main.{tree}")  # noqa: S608
    rest = base.execute(
        "SELECT sql FROM main.sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql NOT NULL"
        " ORDER BY rowid",
        (table,),
    )
    for (statement,) in rest.fetchall():
        base.execute(_in_fresh(statement))
    if table not in schema.RECORD_LAYERS:
        return
    for listed, column in _LISTED.items():
        names = [row[1] for row in base.execute(f'PRAGMA main.table_info("{listed}")') if row[1] != "id"]
        if names and base.execute("SELECT 1 FROM fresh.sqlite_master WHERE name = ?", (listed,)).fetchone():
            columns = ", ".join(f'"{name}"' for name in names)
            base.execute(
                f'INSERT INTO fresh."{listed}" ({columns})'  # noqa: S608 - names of ours
                f' SELECT {columns} FROM main."{listed}" WHERE "{column}" = ? ORDER BY rowid',
                (table,),
            )


def _in_fresh(statement: str) -> str:
    """A statement that makes something, making it in the other file."""
    words = statement.split(maxsplit=3 if statement.upper().startswith("CREATE UNIQUE") else 2)
    return " ".join([*words[:-1], f"fresh.{words[-1]}"])


def _same_system(base: sqlite3.Connection, old: Path) -> None:
    """Geometry of records is in the CRS of its workspace; a new CRS would put it elsewhere."""
    asked = "SELECT srs_id FROM {}.gpkg_geometry_columns WHERE table_name = 'pieces'"
    systems = [base.execute(asked.format(name)).fetchone() for name in ("main", "fresh")]
    drawn = [layer for layer in schema.RECORD_LAYERS if layer in GEOMETRIES]
    there = {name for (name,) in base.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")}
    rows = any(base.execute(f'SELECT 1 FROM main."{layer}"').fetchone() for layer in drawn if layer in there)  # noqa: S608
    if rows and systems[0] != systems[1]:
        raise MismatchError(f"{old} 里已有登记的图形，新成果的坐标系与之不同：请用原坐标系，或换一个文件名")


def _after(base: sqlite3.Connection, changed: Collection[str]) -> None:
    """What records say of the rows that are new: states of pieces, editions of layers, the number of styles."""
    base.execute(
        "UPDATE fresh.pieces SET state = (SELECT state FROM fresh.cases WHERE piece_key = pieces.piece_key)"
        " WHERE piece_key IN (SELECT piece_key FROM fresh.cases WHERE state IS NOT NULL)"
    )
    base.executemany(
        f"INSERT INTO fresh.{EDITIONS} (layer, serial) VALUES (?, 1)"  # noqa: S608 - a name of ours
        " ON CONFLICT (layer) DO UPDATE SET serial = serial + 1",
        [(layer,) for layer in sorted(changed)],
    )
    base.execute(
        "UPDATE fresh.gpkg_ogr_contents SET feature_count = (SELECT count(*) FROM fresh.layer_styles)"
        " WHERE table_name = 'layer_styles'"
    )
