"""Attribute tables beside the map: Access databases, workbooks, CSV, tables of a geodatabase.

A table is known by its standard name (CBDKXX, FBF, CBF) or its Chinese one, in
whatever holds it. Columns of persons are not read unless asked for.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd
import pyogrio
from python_calamine import CalamineWorkbook

from geo.errors import GeoError, InputError
from geo.exchange import access, coded, encoding, fields
from geo.exchange.sources import told, unpack
from geo.findings import findings

ACCESS: Final = (".mdb", ".accdb")
WORKBOOKS: Final = (".xlsx", ".xls", ".xlsm")
SUFFIXES: Final = (*ACCESS, *WORKBOOKS, ".csv", ".gpkg", ".gdb", ".dbf")

ROLES: Final = {
    "rights": (r"CBDKXX\d*", r"\d+CBDKXX", r"承包地块信息.*", r".*承包地块信息表?"),
    "issuers": (r"FBF\d*", r"发包方(信息)?(表)?", r".*权属单位代码表?"),
    "contractors": (r"CBF\d*", r"承包方(信息)?(表)?"),
    "household_file": (r".*(住户|户表|名册|房屋|人口).*",),
}
ROLE_TITLES: Final = {
    "rights": "承包地块信息 CBDKXX",
    "issuers": "发包方 FBF",
    "contractors": "承包方 CBF",
    "household_file": "住户",
}

_HEADER_ROWS: Final = 10  # a workbook may carry a title above its header
_MISSED: Final = {"rights": ("FBFBM", "SFQQQG")}  # fields the work can do without, but does worse


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSource:
    """One table of one file."""

    file: Path
    table: str
    label: str
    origin: Path


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """A table as read: matched columns under the layer's names, and what was inferred."""

    table: pd.DataFrame
    findings: pd.DataFrame
    files: tuple[Path, ...]


@contextmanager
def table_sources(path: Path | str) -> Iterator[list[TableSource]]:
    """Every table behind a path: a file, a folder of files, or a zip of them.

    Raises
    ------
    InputError
        If there is nothing at ``path`` or a file cannot be opened.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"找不到 {path}；请检查路径")
    if path.suffix.lower() == ".zip":
        with TemporaryDirectory(prefix="taotu-") as folder:
            unpack(path, Path(folder))
            yield [
                TableSource(file=s.file, table=s.table, label=f"{path.name}/{s.label}", origin=path)
                for s in _listed(Path(folder))
            ]
        return
    yield _listed(path)


def _listed(path: Path) -> list[TableSource]:
    if path.is_dir() and path.suffix.lower() != ".gdb":
        children = sorted(path.rglob("*"), key=lambda p: p.relative_to(path).as_posix())
        inside = [
            p for p in children if ".gdb" not in {q.suffix.lower() for q in p.relative_to(path).parents}
        ]
        return [
            source
            for child in inside
            if child.suffix.lower() in SUFFIXES and not child.name.startswith((".", "~"))
            for source in _listed(child)
        ]
    return [TableSource(file=path, table=n, label=f"{path.name}/{n}", origin=path) for n in _names(path)]


def _names(file: Path) -> list[str]:
    suffix = file.suffix.lower()
    if suffix in ACCESS:
        return access.table_names(file)
    if suffix in (".csv", ".dbf"):
        return [file.stem]
    try:
        if suffix in WORKBOOKS:
            return [str(name) for name in CalamineWorkbook.from_path(file).sheet_names]
        if suffix in (".gpkg", ".gdb"):
            return [str(name) for name, kind in pyogrio.list_layers(file) if kind is None]
    except Exception as error:  # whatever the format's library raises on a damaged file
        raise InputError(f"{file.name} 打不开或已损坏（{told(error)}）；请重新拷贝或重新导出") from error
    raise InputError(f"不认识 {file.name} 的格式；属性表可读 {'、'.join(SUFFIXES)}、.zip 或文件夹")


def find(found: Sequence[TableSource], role: str) -> TableSource | None:
    """The table that plays a role, by its name; None where there is none."""
    for pattern in ROLES[role]:
        for source in found:
            if re.fullmatch(pattern, source.table, flags=re.IGNORECASE):
                return source
    # A workbook or CSV of one table may have any sheet name: then its file's name says what it is.
    for pattern in ROLES[role]:
        for source in found:
            if source.file.suffix.lower() in WORKBOOKS and re.fullmatch(
                pattern, source.file.stem, flags=re.IGNORECASE
            ):
                return source
    return None


def read(
    path: Path | str, role: str, *, needed: Sequence[str] = (), personal: bool = False, optional: bool = False
) -> Table | None:
    """The table of a role with its columns under the layer's names, all as text.

    Parameters
    ----------
    path : Path
        Access database, workbook, CSV, geodatabase, folder or zip.
    role : str
        ``rights``, ``issuers`` or ``contractors``.
    needed : sequence of str
        Fields of the standard the table cannot do without.
    personal : bool
        Whether to read the columns of persons.
    optional : bool
        Whether a missing table is None instead of an error.

    Raises
    ------
    InputError
        If the file cannot be read or (unless ``optional``) has no such table; the message lists those there are.
    MissingColumnError
        If a needed field is missing.
    """
    with table_sources(path) as found:
        return read_one(found, role, Path(path).name, needed=needed, personal=personal, optional=optional)


def read_one(  # noqa: PLR0913 - as `read`, of files already listed
    found: Sequence[TableSource],
    role: str,
    name: str,
    *,
    needed: Sequence[str] = (),
    personal: bool = False,
    optional: bool = False,
) -> Table | None:
    """As `read`, from tables already listed: a workbook is then opened once to list it, not once a role.

    Raises
    ------
    InputError
        As `read`; ``name`` is what the message calls the place.
    """
    source = find(found, role)
    if source is not None:
        return _read(source, role, needed=needed, personal=personal)
    if optional:
        return None
    there = "、".join(s.table for s in found) or "（没有表）"
    raise InputError(f"{name} 里没有{ROLE_TITLES[role]}表；现有的表：{there}；请确认导出时包含该表")


def _read(source: TableSource, role: str, *, needed: Sequence[str], personal: bool) -> Table:
    notes: list[pd.DataFrame] = []
    raw, renamed, by_alias = _matched(source, role, needed=needed, personal=personal, notes=notes)
    if by_alias:
        notes.append(alias_finding(by_alias, source.label))
    table = pd.DataFrame({column: raw[name] for column, name in renamed.items()})
    tidied: dict[str, int] = {}
    for column in map(str, table.columns):
        if column.endswith("_code") and _past_exact(table[column]):
            message = f"{source.label} 的列 {renamed[column]} 存为数字，15 位以后的数字已失真"
            notes.append(
                findings("code_precision_lost", message, layer=source.label, source_file=source.label)
            )
        if coded.is_code(column):
            table[column], tidied[renamed[column]] = coded.tidy(table[column])
        else:
            table[column] = fields.as_text(table[column])
    notes += coded.tidied(tidied, source.label)
    table = table.dropna(how="all").reset_index(drop=True)
    out = pd.concat(notes, ignore_index=True) if notes else findings("code_precision_lost", [], layer="")
    return Table(table=table, findings=out, files=(source.origin,))


def _past_exact(values: pd.Series) -> bool:
    """Whether a column holds numbers too long for a sheet's cell; a database's integers are exact."""
    if pd.api.types.is_integer_dtype(values.dtype):
        return False
    return any(abs(value) >= coded.EXACT_DIGITS for value in values if type(value) in (int, float))


def _matched(
    source: TableSource, role: str, *, needed: Sequence[str], personal: bool, notes: list[pd.DataFrame]
) -> tuple[pd.DataFrame, dict[str, str], tuple[tuple[str, str], ...]]:
    """The raw table, which of its fields is which column, and those known by an alias."""
    raw = as_filed(source, role)
    names = [str(name) for name in raw.columns]
    found = fields.match(names, role)
    fields.require(found, needed, file=source.origin.name, layer=source.table, present=names)
    if lacking := [field for field in found.missing if field in _MISSED.get(role, ())]:
        message = f"{source.label} 没有字段 {'、'.join(lacking)}"
        notes.append(findings("field_missing", message, layer=source.label, source_file=source.label))
    renamed = {
        column: name for column, name in found.fields.items() if personal or not fields.is_personal(name)
    }
    by_alias = list(found.by_alias)
    if role == "rights":
        for column, field in (("contract_area_mu", "HTMJM"), ("former_contract_area_mu", "YHTMJM")):
            if (name := fields.find(field, names)) is not None:
                renamed[column] = name
                by_alias += [(name, field)] if name != field else []
    if personal:
        taken = set(renamed.values())
        renamed |= {fields.personal_column(name): name for name in found.personal if name not in taken}
    elif found.personal:
        message = f"未读取个人信息字段：{'、'.join(found.personal)}"
        notes.append(
            findings("personal_columns_dropped", message, layer=source.label, source_file=source.label)
        )
    return raw, renamed, tuple(pair for pair in by_alias if pair[0] in renamed.values())


def alias_finding(by_alias: Sequence[tuple[str, str]], label: str) -> pd.DataFrame:
    """One finding that lists the fields of a file known by another name."""
    message = "按别名识别字段：" + "、".join(f"{name}→{field}" for name, field in by_alias)
    return findings("field_matched_by_alias", message, layer=label, source_file=label)


def as_filed(source: TableSource, role: str) -> pd.DataFrame:
    """A table as its file has it, under the file's own names; a sheet begins below the row that names fields.

    Raises
    ------
    InputError
        If it cannot be read, or no row of a sheet names the role's fields.
    """
    suffix = source.file.suffix.lower()
    try:
        if suffix in ACCESS:
            return access.read(source.file, source.table)
        if suffix in WORKBOOKS:
            return _sheet(source, role)
        if suffix == ".csv":
            return _csv(source.file)
        options: dict[str, Any] = {}
        if suffix == ".dbf":
            guess = encoding.of_dbf(source.file, _beside(source.file, ".cpg"))
            options = {"encoding": guess.name} if guess.name else {}
        return _of_gdal(source.file, None if suffix == ".dbf" else source.table, **options)
    except GeoError:
        raise
    except Exception as error:  # whatever the format's library raises on a damaged file
        raise InputError(f"{source.label} 打不开或已损坏（{told(error)}）；请重新拷贝或重新导出") from error


def _of_gdal(file: Path, layer: str | None, **options: str) -> pd.DataFrame:
    """A table of a database or .dbf, its integers exact."""
    table = pd.DataFrame(pyogrio.read_dataframe(file, layer=layer, read_geometry=False, **options))
    coded.whole_of_file(table, pyogrio.read_info(file, layer=layer, **options), file, layer, **options)
    return table


def _beside(file: Path, suffix: str) -> Path | None:
    return next(
        (p for p in file.parent.iterdir() if p.stem == file.stem and p.suffix.lower() == suffix), None
    )


def _csv(file: Path) -> pd.DataFrame:
    data = file.read_bytes()
    try:
        data.decode("utf-8")
        name = "utf-8-sig"
    except UnicodeDecodeError:
        name = "gb18030"
    return pd.read_csv(file, dtype=str, keep_default_na=False, encoding=name)


def _cells(file: Path, sheet: str | None) -> pd.DataFrame:
    """All cells of a sheet; empty ones missing, whole numbers as integers.

    Calamine reads .xlsx and .xls alike, a county's registrations thirteen times as fast as openpyxl.
    """
    rows = CalamineWorkbook.from_path(file).get_sheet_by_name(str(sheet)).to_python(skip_empty_area=False)
    return pd.DataFrame(
        {at: _column(cells) for at, cells in enumerate(zip(*rows, strict=True))}, dtype=object
    )


def _column(cells: Sequence[object]) -> pd.Series:
    if float in set(map(type, cells)):
        cells = [int(v) if isinstance(v, float) and v.is_integer() else v for v in cells]
    return pd.Series([None if v == "" else v for v in cells], dtype=object)


def _sheet(source: TableSource, role: str) -> pd.DataFrame:
    """A sheet below its header row, which is the first that names the role's fields."""
    cells = _cells(source.file, source.table)
    for row in range(min(_HEADER_ROWS, len(cells))):
        names = [str(cell).strip() if pd.notna(cell) else f"_{at}" for at, cell in enumerate(cells.iloc[row])]
        if len(fields.match(names, role).fields) >= 2:  # noqa: PLR2004 - one could be chance
            body = cells.iloc[row + 1 :].reset_index(drop=True)
            body.columns = pd.Index(names)
            return body.loc[:, ~body.columns.duplicated()]
    raise InputError(
        f"{source.label} 的前 {_HEADER_ROWS} 行里找不到{ROLE_TITLES[role]}的表头；请确认工作表的第一行是字段名"
    )
