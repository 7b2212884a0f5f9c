"""What a store asks of its database, beyond what SQLAlchemy makes the same for all."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from shapely.geometry.base import BaseGeometry
from sqlalchemy import ColumnElement, Connection, Engine, Table

from geo import schema
from geo.store.query import Box
from geo.workspace import Workspace


class Backend(Protocol):
    """One of the two databases."""

    engine: Engine
    tables: dict[str, Table]

    def reading(self) -> AbstractContextManager[Connection]:
        """A connection that sees one state of the database for as long as it lasts."""

    def writing(self) -> AbstractContextManager[Connection]:
        """One transaction; others wait for its end, and an exception leaves nothing of it."""

    def shape(self, table: Table) -> ColumnElement[Any]:
        """The column of geometry, as it is read."""

    def wkb(self, held: list[Any]) -> np.ndarray[Any, Any]:
        """Well-known binary of what `shape` gave; None where there is no geometry."""

    def stored(self, shape: BaseGeometry | None) -> Any:  # noqa: ANN401 - what the column takes
        """A geometry as the column takes it."""

    def near(self, layer: str, table: Table, box: Box) -> ColumnElement[bool]:
        """Rows whose bounds touch a box, as far as the index knows."""

    def touching(self, layer: str, table: Table, box: Box) -> ColumnElement[bool]:
        """Rows whose bounds touch a box."""

    def intersecting(self, layer: str, table: Table, shape: BaseGeometry) -> ColumnElement[bool]:
        """Rows whose geometry has a point in common with a shape."""

    def count(self, connection: Connection, layer: str) -> int | None:
        """Rows of a layer without a scan, if that is known."""

    def widen(self, connection: Connection, layer: str, box: Box) -> None:
        """Have the layer's told bounds hold a box."""

    def present(self, connection: Connection) -> dict[str, set[str]]:
        """Tables that are there, and their columns."""

    def create(self, connection: Connection, name: str) -> None:
        """Make a table."""

    def add_column(self, connection: Connection, name: str, column: schema.Column) -> None:
        """Give a layer a column that came later."""

    def unindexed(self, connection: Connection) -> list[tuple[str, str, bool]]:
        """Indexes that should be there and are not: layer, column, unique."""

    def index(self, connection: Connection, layer: str, column: str, *, unique: bool) -> None:
        """Make one index."""

    def replacing(self, source: Workspace, layers: list[str]) -> AbstractContextManager[Connection]:
        """A transaction in which the rows of layers have been replaced by those of another workspace."""

    def backup(self, target: Path) -> None:
        """A copy as a single plain file."""

    def private(self, folder: Path) -> Engine:
        """The database of what is never handed out."""

    def close(self) -> None:
        """Let go of the database."""
