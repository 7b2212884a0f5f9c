"""Names of layers and columns: one data file, read once.

Every table that passes between two steps has its columns in
``standards/columns.csv``: layer, column, dtype, the field of the national
standard it comes from (empty where it is ours), its Chinese title and a note.
Standards' field names end where files are read and begin again where they are
written.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Literal, TypeVar

import geopandas as gpd
import pandas as pd

Table = TypeVar("Table", bound=pd.DataFrame)

WORKSPACE_VERSION: Final = 1  # of the layers and columns promised to users; kept in ``meta``

LAYER_TITLES: Final = {
    "patches": "耕地图斑",
    "parcels": "承包地块",
    "parcels_original": "承包地块（改正前）",
    "pieces": "剩余图块",
    "villages": "村界",
    "findings": "问题清单",
    "shifts": "套合偏移",
    "balance": "面积平衡",
    "sheets": "图幅",
    "grids": "网格",
    "grid_villages": "各村网格",
    "households": "住户",
    "grid_lineage": "网格沿革",
    "code_register": "编号登记",
    "runs": "运行批次",
    "meta": "元数据",
    "cases": "核查登记",
    "attachments": "附件",
    "conflicts": "冲突",
    "audit": "审计日志",
}

# Layers that people change, and the column that names a row of each; a run neither makes nor drops them.
RECORD_LAYERS: Final = {
    "cases": "piece_key",
    "attachments": "attachment_key",
    "conflicts": "conflict_key",
    "audit": "seq",
}
# Layers that a run makes: a workspace always has them all.
RUN_LAYERS: Final = tuple(layer for layer in LAYER_TITLES if layer not in RECORD_LAYERS)
# Every record layer but the append-only log has these last, filled in by the store alone.
RECORD_COLUMNS: Final = ("version", "updated_at", "updated_by")

# The column that names a row of a layer. In ``parcels`` and ``balance`` it may name several.
LAYER_KEYS: Final = {
    "patches": "patch_code",
    "parcels": "parcel_code",
    "parcels_original": "parcel_code",
    "pieces": "piece_code",
    "villages": "village_code",
    "findings": "finding_id",
    "shifts": "shift_key",
    "balance": "code",
    "sheets": "sheet_key",
    "grids": "grid_code",
    "grid_villages": "village_code",
    "households": "household_key",
    "code_register": "piece_code",
    "runs": "run_id",
    "meta": "key",
    **RECORD_LAYERS,
}

# How a row tells its village: a column that is the village's code, or one that begins with it.
# Who may see only some villages is refused a layer that does not stand here.
SCOPES: Final[dict[str, tuple[str, Literal["equal", "prefix"]]]] = {
    "patches": ("village_code", "equal"),
    "parcels": ("parcel_code", "prefix"),
    "parcels_original": ("parcel_code", "prefix"),
    "pieces": ("village_code", "equal"),
    "villages": ("village_code", "equal"),
    "findings": ("village_code", "equal"),
    "shifts": ("village_code", "equal"),
    "balance": ("code", "prefix"),
    "sheets": ("unit_code", "prefix"),
    "grids": ("village_code", "equal"),
    "grid_villages": ("village_code", "equal"),
    "households": ("village_code", "equal"),
    "grid_lineage": ("village_code", "equal"),
    "code_register": ("group_code", "prefix"),
    **dict.fromkeys(RECORD_LAYERS, ("village_code", "equal")),
}

GRID_LAYERS: Final = (
    "grids",
    "grid_villages",
    "households",
    "grid_lineage",
)  # another work than the main job's
GRID_FINDINGS: Final = "G"  # first letter of its findings' numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a layer: its name, dtype, standard field, Chinese title and note."""

    name: str
    dtype: str
    field: str
    title: str
    note: str


@cache
def _dictionary() -> pd.DataFrame:
    with (files("geo.standards") / "columns.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)


@cache
def columns(layer: str) -> tuple[Column, ...]:
    """Columns of a layer, in their order.

    Raises
    ------
    KeyError
        If no layer has that name.
    """
    rows = _dictionary()
    rows = rows[rows["layer"] == layer]
    if rows.empty:
        raise KeyError(layer)
    return tuple(
        Column(name=r.column, dtype=r.dtype, field=r.field, title=r.title, note=r.note)  # type: ignore[arg-type]
        for r in rows.itertuples()
    )


def column_names(layer: str) -> list[str]:
    """Names of a layer's columns, in their order."""
    return [column.name for column in columns(layer)]


def titles(layer: str) -> dict[str, str]:
    """Chinese title of each column of a layer."""
    return {column.name: column.title for column in columns(layer)}


@cache
def personal_columns(layer: str) -> frozenset[str]:
    """Columns of a layer that tell of persons: those whose note begins with ``personal``."""
    return frozenset(column.name for column in columns(layer) if column.note.startswith("personal"))


def conform(table: Table, layer: str) -> Table:
    """A copy of ``table`` with the layer's columns first, in order and of their dtype.

    A column that is missing is added empty; columns the layer does not name
    (geometry among them) stay behind the named ones.
    """
    # One dictionary and one frame: setting columns one by one costs many times more.
    data: dict[str, pd.Series] = {}
    for column in columns(layer):
        if column.name in table:
            data[column.name] = _cast(table[column.name], column.dtype)
        else:
            blank = "bool" if column.dtype == "bool" else _empty_dtype(column.dtype)
            fill = False if column.dtype == "bool" else None
            data[column.name] = pd.Series(fill, index=table.index, dtype=blank)
    data |= {str(name): table[name] for name in table.columns if name not in data}
    if isinstance(table, gpd.GeoDataFrame) and table.active_geometry_name is not None:
        return gpd.GeoDataFrame(data, index=table.index, geometry=table.active_geometry_name, crs=table.crs)  # type: ignore[return-value]
    return pd.DataFrame(data, index=table.index)  # type: ignore[return-value]


def _empty_dtype(dtype: str) -> str:
    return {"str": "str", "float": "float64", "bool": "boolean", "Int64": "Int64"}[dtype]


def _cast(values: pd.Series, dtype: str) -> pd.Series:
    if dtype == "bool":
        return values.astype("boolean").fillna(value=False).astype("bool")
    if dtype == "float":
        return pd.to_numeric(values, errors="coerce").astype("float64")
    return values.astype(_empty_dtype(dtype))  # type: ignore[call-overload, no-any-return] # the stubs want a literal
