"""Tables of a database, made from the dictionary of columns.

Each layer is one table with a whole-number ``fid`` beside the layer's own
columns, and ``geom`` where it has geometry: as a GeoPackage wants it.
"""

from typing import Any, Final

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine, UserDefinedType

from geo import schema
from geo.workspace.records import EDITIONS, STEPS
from geo.workspace.tables import GEOMETRIES

FID: Final = "fid"
SHAPE: Final = "geom"
APPEND_ONLY: Final = "audit"

# The only names of types that a GeoPackage knows.
_WHOLE: Final = BigInteger().with_variant(Integer(), "sqlite")
# Beside keys and scopes: what pages and jobs look rows up by.
_LOOKED_UP: Final = {
    "pieces": ("piece_key", "patch_code"),
    "code_register": ("piece_key",),
    "findings": ("row_code",),
    "attachments": ("piece_key",),
    "conflicts": ("piece_key",),
    "audit": ("row_key",),
}


class Shape(UserDefinedType[bytes]):
    """Geometry as the database holds it."""

    cache_ok = True

    def __init__(self, kind: str, srid: int | None = None) -> None:
        self.kind = kind
        self.srid = srid

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401 - as SQLAlchemy calls it
        """The column's type in SQL."""
        return self.kind.upper() if self.srid is None else f"geometry({self.kind},{self.srid})"


def table_of(
    layer: str, metadata: MetaData, *, srid: int | None = None, collation: str | None = None
) -> Table:
    """The table of one layer.

    Parameters
    ----------
    layer : str
        A layer of `geo.schema`.
    metadata : MetaData
        Gets the table.
    srid : int, optional
        Of the geometry, in PostGIS; a GeoPackage keeps it in a table of its own.
    collation : str, optional
        Of texts, so that they sort by their code points as SQLite's do.
    """
    kinds: dict[str, TypeEngine[Any]] = {
        "str": Text(collation=collation),
        "float": Double().with_variant(REAL(), "sqlite"),
        "bool": Boolean(create_constraint=False),
        "Int64": _WHOLE,
    }
    columns: list[Column[Any]] = [Column(FID, _WHOLE, primary_key=True, autoincrement=True)]
    if layer in GEOMETRIES:
        columns.append(Column(SHAPE, Shape(GEOMETRIES[layer], srid), nullable=True))
    columns += [Column(column.name, kinds[column.dtype], nullable=True) for column in schema.columns(layer)]
    return Table(layer, metadata, *columns, sqlite_autoincrement=True)


def tables_of(
    metadata: MetaData, *, srid: int | None = None, collation: str | None = None
) -> dict[str, Table]:
    """Tables of every layer, and beside them those of editions and steps, by name."""
    tables = {
        layer: table_of(layer, metadata, srid=srid, collation=collation) for layer in schema.LAYER_TITLES
    }
    tables[EDITIONS] = Table(
        EDITIONS,
        metadata,
        Column("layer", Text, primary_key=True),
        Column("serial", _WHOLE, nullable=False),
    )
    tables[STEPS] = Table(
        STEPS,
        metadata,
        Column("number", Integer, nullable=False),
        Column("title", Text, nullable=False),
        UniqueConstraint("number"),
    )
    return tables


def indexes(layer: str) -> dict[str, bool]:
    """Columns of a layer to be indexed, and whether their values must differ from row to row."""
    found: dict[str, bool] = {}
    if layer in schema.LAYER_KEYS:
        found[schema.LAYER_KEYS[layer]] = layer in schema.RECORD_LAYERS
    if layer in schema.SCOPES:
        found.setdefault(schema.SCOPES[layer][0], False)
    for column in _LOOKED_UP.get(layer, ()):
        found.setdefault(column, False)
    names = set(schema.column_names(layer))
    return {column: unique for column, unique in found.items() if column in names}
