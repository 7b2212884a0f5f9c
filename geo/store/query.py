"""A question to a layer: conditions, order, page; values only, no SQL.

Conditions are checked against the layer's columns and their kinds before any
database hears of them; `geo.store.sql` turns them into SQL with bound values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from shapely.geometry.base import BaseGeometry

Value = str | int | float | bool
Box = tuple[float, float, float, float]
Operator = Literal["=", "<>", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Compare:
    """A column against a value; an empty cell matches nothing, as in SQL."""

    column: str
    op: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Between:
    """A column within two values, both included."""

    column: str
    low: Value
    high: Value


@dataclass(frozen=True, slots=True)
class In:
    """A column is one of several values; of none, it matches nothing."""

    column: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Like:
    r"""A text column against a pattern: ``%`` any text, ``_`` any letter, ``\`` before either for itself.

    Case counts. In a pattern that begins with letters the layer's index helps.
    """

    column: str
    pattern: str


@dataclass(frozen=True, slots=True)
class IsNull:
    """A cell is empty."""

    column: str


@dataclass(frozen=True, slots=True)
class Within:
    """The bounds of a row's geometry touch a box (xmin, ymin, xmax, ymax) in the workspace's CRS."""

    bbox: Box


@dataclass(frozen=True, slots=True)
class Intersects:
    """A row's geometry has a point in common with this one, in the workspace's CRS."""

    geometry: BaseGeometry


@dataclass(frozen=True, slots=True)
class All:
    """Every one of several conditions; of none, it is always met."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Any:
    """At least one of several conditions; of none, it is never met."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition; where that is unknown for an empty cell, so is this, as in SQL."""

    condition: "Condition"


Condition = Compare | Between | In | Like | IsNull | Within | Intersects | All | Any | Not


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is wanted of a layer.

    ``sort`` names columns, with ``-`` before one that runs downward; an empty cell
    counts as the greatest. Rows of equal cells come in the order of ``fid``, so that
    every order is whole and pages neither lose nor repeat a row.
    """

    columns: Sequence[str] | None = None  # all the scope may see
    where: Condition | None = None
    bbox: Box | None = None  # in the workspace's CRS; as `Within`
    sort: Sequence[str] = ()
    limit: int = 100
    after: str | None = None  # `Page.after` of the page before, of the same layer and sort
    geometry: bool = True
    count: bool = False  # how many match, even if it costs a scan


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Page:
    """Rows in the workspace's CRS with their ``fid`` first, and where the next page begins."""

    rows: pd.DataFrame  # a GeoDataFrame of a layer with geometry, if it was wanted
    after: str | None  # None at the end
    matched: int | None  # rows of all pages; None where counting was not asked for and would cost a scan
