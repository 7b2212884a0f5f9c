"""The county's database: every layer of a run, in one GeoPackage or in a PostGIS database.

Layers, columns and their Chinese titles are those of `geo.schema`; all layers
of a run are always there, an empty one with no rows. QGIS finds default styles
in the file. A workspace that was good before stays good when writing fails, and
what people entered (`geo.store`) outlives every run.
"""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import pandas as pd
from pyproj import CRS

from geo import schema
from geo.atomic import alone
from geo.errors import InputError, WorkspaceError
from geo.workspace import geopackage
from geo.workspace.styles import style
from geo.workspace.tables import GEOMETRIES, refuse_unknown, simple, system_of

__all__ = [
    "GEOMETRIES",
    "READERS",
    "Reader",
    "Workspace",
    "amend",
    "beside",
    "exists",
    "is_database",
    "open",
    "shown",
    "simple",
    "style",
    "write",
]


class Reader(Protocol):
    """Reads a layer of one workspace; names were checked."""

    def __call__(  # noqa: D102 - told above
        self,
        layer: str,
        *,
        where: str | None,
        bbox: tuple[float, float, float, float] | None,
        columns: list[str],
        spatial: bool,
    ) -> pd.DataFrame: ...


# Files that this process has open to be worked on, read through that connection: GDAL has an
# SQLite of its own, and closing a file in one takes away the other's locks.
READERS: Final[dict[str, list[Reader]]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A workspace that was opened: what it is, and its layers when asked for.

    It holds no file open, so it may be kept, copied and sent to other processes.
    """

    url: str  # a path, or where the database is
    version: int  # of layers and columns
    crs: CRS  # of every layer with geometry
    layers: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file.

        Raises
        ------
        InputError
            If the workspace is a database.
        """
        if is_database(self.url):
            raise InputError(f"{shown(self.url)} 是数据库，不是文件：此操作需要 GeoPackage 工作区")
        return Path(self.url)

    def read(
        self,
        layer: str,
        *,
        where: str | None = None,
        bbox: tuple[float, float, float, float] | None = None,
        columns: list[str] | None = None,
        geometry: bool = True,
    ) -> pd.DataFrame:
        """One layer, or a part of it, in the order it was written.

        Parameters
        ----------
        layer : str
            A name in ``layers``.
        where : str, optional
            Condition in SQL on the layer's columns, ``"village_code = '140725102202'"``.
        bbox : (xmin, ymin, xmax, ymax), optional
            In ``crs``; rows whose bounds touch it. Only for layers with geometry.
        columns : list of str, optional
            Columns to read; all by default.
        geometry : bool
            Whether the geometry comes along, of a layer that has one.

        Returns
        -------
        DataFrame, or GeoDataFrame in ``crs``
            Columns and dtypes of `geo.schema`; ``geometry`` last. A multipolygon
            of one part comes as a polygon.

        Raises
        ------
        InputError
            If the layer or a column is not there, the condition is no SQL, or
            the file cannot be read.
        """
        if layer not in self.layers:
            raise InputError(f"工作区没有图层 {layer}；可用的图层：{'、'.join(self.layers)}")
        names = schema.column_names(layer)
        wanted = names if columns is None else list(dict.fromkeys(columns))
        if absent := [name for name in wanted if name not in names]:
            raise InputError(f"图层 {layer} 没有列 {'、'.join(absent)}；可用的列：{'、'.join(names)}")
        if bbox is not None and layer not in GEOMETRIES:
            raise InputError(f"图层 {layer} 没有图形，不能按范围读取")
        spatial = geometry and layer in GEOMETRIES
        reader = _reader(self)
        return reader(layer, where=where, bbox=bbox, columns=wanted, spatial=spatial)


def write(
    path: str | os.PathLike[str],
    tables: Mapping[str, pd.DataFrame],
    *,
    crs: Any,  # noqa: ANN401 - whatever pyproj takes
    held: bool = False,
) -> None:
    """Write a whole workspace in place of any that stands there; records of people stay.

    Parameters
    ----------
    path : path or ``postgresql://`` URL
        A ``.gpkg`` file, missing folders are made; or a database that is there.
    tables : mapping of layer name to DataFrame
        Rows in the order they shall have. Columns the layer does not name are
        left out; a layer that is not given is written without rows. ``meta``
        rows (``key``, ``value``) given here are kept beside ``schema_version``,
        ``crs``, ``title`` and ``county_code``.
    crs : CRS
        Of the workspace. Layers with geometry must be in it.
    held : bool
        The caller already keeps others off it by `geo.atomic.alone`.

    Raises
    ------
    OutputError
        If it cannot be written, another run is writing it, or a service stands on
        it; what stood there before is untouched.
    WorkspaceError
        If ``tables`` names a layer a run does not make.
    MissingDatumError, MismatchError
        If ``crs`` or that of a layer is missing, or they differ.
    GeometryTypeError
        If a geometry is not of the layer's kind; the message names its row.
    """
    system = system_of(crs)
    refuse_unknown(tables)
    if is_database(path):
        from geo.workspace import postgis  # noqa: PLC0415 - 20 MB of drivers that a file does without

        postgis.write(str(path), tables, system)
        return
    with nullcontext() if held else alone(path):
        geopackage.write(Path(path), tables, system)


def amend(path: str | os.PathLike[str], tables: Mapping[str, pd.DataFrame], *, held: bool = False) -> None:
    """Write some layers of a workspace anew and leave the others, and records, as they are.

    Parameters
    ----------
    path : path or URL
        A workspace. It is replaced whole or not at all.
    tables : mapping of layer name to DataFrame
        As in `write`.
    held : bool
        As in `write`.

    Raises
    ------
    InputError, WorkspaceError
        If there is no workspace.
    OutputError
        If another run is writing it, or it cannot be written; it is then untouched.
    """
    if is_database(path):
        refuse_unknown(tables)
        from geo.workspace import postgis  # noqa: PLC0415 - as above

        postgis.amend(str(path), tables, open(path).crs)
        return
    with nullcontext() if held else alone(path):
        before = open(path)
        refuse_unknown(tables)
        geopackage.amend(Path(path), tables, before.crs, before.layers)


def open(url: str | os.PathLike[str]) -> Workspace:  # noqa: A001 - workspace.open reads as it should
    """A workspace, ready to read.

    Parameters
    ----------
    url : path or ``postgresql://`` URL
        A GeoPackage or a database written by `write`.

    Raises
    ------
    InputError
        If there is no such file, or the database cannot be reached.
    WorkspaceError
        If it is no workspace, is damaged, or has another schema version.
    """
    if is_database(url):
        from geo.workspace import postgis  # noqa: PLC0415 - as above

        crs, layers = postgis.opened(str(url))
    elif "://" in str(url):
        raise WorkspaceError(f"不能打开 {url}：工作区是 {geopackage.SUFFIX} 文件，或 postgresql:// 数据库")
    else:
        crs, layers = geopackage.opened(Path(url))
    return Workspace(url=str(url), version=schema.WORKSPACE_VERSION, crs=crs, layers=layers)


def is_database(url: str | os.PathLike[str]) -> bool:
    """Whether a workspace of that name is a PostGIS database."""
    return str(url).startswith(("postgresql://", "postgres://"))


def exists(url: str | os.PathLike[str]) -> bool:
    """Whether anything stands there that `open` could be tried on.

    Raises
    ------
    InputError
        If the database cannot be reached.
    """
    if not is_database(url):
        return Path(url).exists()
    from geo.workspace import postgis  # noqa: PLC0415 - as above

    return postgis.stands(str(url))


def shown(url: str | os.PathLike[str]) -> str:
    """A path or URL as messages may have it: without a password."""
    if not is_database(url):
        return str(url)
    from geo.workspace import postgis  # noqa: PLC0415 - as above

    return postgis.shown(str(url))


def beside(url: str | os.PathLike[str]) -> Path:
    """The path that what lies beside a workspace is named after: of a database, in the working folder."""
    if not is_database(url):
        return Path(url)
    from geo.workspace import postgis  # noqa: PLC0415 - as above

    return Path(f"{postgis.name(str(url))}.gpkg")


def _reader(workspace: Workspace) -> Reader:
    if is_database(workspace.url):
        from geo.workspace import postgis  # noqa: PLC0415 - as above

        return partial(postgis.read, workspace.url, crs=workspace.crs)
    path = workspace.path
    by_store = READERS.get(str(path.resolve()))
    return by_store[-1] if by_store else partial(geopackage.read, path, crs=workspace.crs)
