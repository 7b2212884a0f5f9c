"""Conditions, scopes, order and pages as SQL, every value bound; the same for both databases.

What a caller may not see is no column to them: a filter on it is refused like
one on a column that is not there, for answers would tell what it holds.
"""

import base64
import json
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any as Anything
from typing import Final, Protocol

from shapely import is_valid_reason as explain_validity
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Column, ColumnElement, Table, and_, false, not_, or_, true
from sqlalchemy.sql.elements import UnaryExpression

from geo import schema
from geo.errors import ConditionError
from geo.store.query import (
    All,
    Any,
    Between,
    Box,
    Compare,
    Condition,
    In,
    Intersects,
    IsNull,
    Like,
    Not,
    Operator,
    Value,
    Within,
)
from geo.store.scope import Scope, visible_columns
from geo.workspace import GEOMETRIES
from geo.workspace.layout import FID

_WORDS: Final = {"str": "文字", "float": "数", "Int64": "整数", "bool": "true 或 false"}
_OPERATORS: Final = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_INT64: Final = 2**63
_MOST_DEEP: Final = 60  # conditions within conditions
_MOST_VALUES: Final = 10_000  # of one list


class Spatial(Protocol):
    """How a database asks for rows by place."""

    def touching(self, layer: str, table: Table, box: Box) -> ColumnElement[bool]:
        """Bounds of the geometry touch the box, to the last bit."""

    def intersecting(self, layer: str, table: Table, shape: BaseGeometry) -> ColumnElement[bool]:
        """The geometry has a point in common with the shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a condition is put to: a layer, its table, who asks, and how the database asks by place."""

    layer: str
    table: Table
    scope: Scope
    spatial: Spatial


def clause(condition: Condition, asked: Asked) -> ColumnElement[bool]:
    """A condition on a layer as SQL.

    Raises
    ------
    ConditionError
        If a column is not there or not the caller's to see, a value is of the
        wrong kind, or the condition is nested beyond reason.
    """
    return _clause(condition, asked, 0)


def _clause(condition: Condition, asked: Asked, depth: int) -> ColumnElement[bool]:
    if depth > _MOST_DEEP:
        raise ConditionError(f"条件嵌套超过 {_MOST_DEEP} 层：请简化")
    match condition:
        case All(conditions):
            return and_(true(), *(_clause(part, asked, depth + 1) for part in conditions))
        case Any(conditions):
            return or_(false(), *(_clause(part, asked, depth + 1) for part in conditions))
        case Not(part):
            return not_(_clause(part, asked, depth + 1))
        case Within(box):
            return asked.spatial.touching(asked.layer, asked.table, _box(asked.layer, box))
        case Intersects(shape):
            return _intersecting(shape, asked)
    return _of_column(condition, asked)


def _of_column(condition: Compare | Between | In | Like | IsNull, asked: Asked) -> ColumnElement[bool]:
    def column(name: str, *values: Value) -> ColumnElement[Anything]:
        _check(asked.layer, name, values, asked.scope)
        return asked.table.c[name]

    match condition:
        case Compare(name, op, value):
            return _compared(column(name, value), op, value)
        case Between(name, low, high):
            held = column(name, low, high)
            return and_(held >= low, held <= high)
        case In(name, values):
            if len(values) > _MOST_VALUES:
                raise ConditionError(f"一次最多比较 {_MOST_VALUES} 个值，现有 {len(values)} 个")
            return column(name, *values).in_(list(values)) if values else false()
        case Like(name, pattern):
            return _like(column(name, pattern), asked.layer, name, pattern)
        case IsNull(name):
            return column(name).is_(None)
    raise ConditionError(f"不认识的条件 {type(condition).__name__}")


def _intersecting(shape: BaseGeometry, asked: Asked) -> ColumnElement[bool]:
    if asked.layer not in GEOMETRIES:
        raise ConditionError(f"图层 {asked.layer} 没有图形，不能按范围查询")
    if not isinstance(shape, BaseGeometry) or shape.is_empty or not all(map(math.isfinite, shape.bounds)):
        raise ConditionError("查询范围不是图形，或为空")
    if not shape.is_valid:
        raise ConditionError(f"查询范围的图形无效（{explain_validity(shape)}）：请改正")
    return asked.spatial.intersecting(asked.layer, asked.table, shape)


def _compared(column: ColumnElement[Anything], op: Operator, value: Value) -> ColumnElement[bool]:
    if op not in _OPERATORS:
        raise ConditionError(f"不认识的比较符号 {op}：可用 {' '.join(_OPERATORS)}")
    compared: ColumnElement[bool] = _OPERATORS[op](column, value)
    return compared


def _like(column: ColumnElement[Anything], layer: str, name: str, pattern: str) -> ColumnElement[bool]:
    if _dtype(layer, name) != "str":
        raise ConditionError(f"列 {name} 不是文字，不能用 LIKE")
    bare = pattern.replace("\\\\", "")
    if bare.endswith("\\"):
        raise ConditionError(f"LIKE 的样式 {pattern} 以 \\ 结尾：请去掉，或写成 \\\\")
    return column.like(pattern, escape="\\")


def _box(layer: str, box: Box) -> Box:
    if layer not in GEOMETRIES:
        raise ConditionError(f"图层 {layer} 没有图形，不能按范围查询")
    if len(box) != 4 or not all(math.isfinite(side) for side in box):  # noqa: PLR2004 - sides of a box
        raise ConditionError("范围应为四个数：xmin, ymin, xmax, ymax")
    if box[0] > box[2] or box[1] > box[3]:
        raise ConditionError(f"范围 {box} 的最小值大于最大值")
    return box


def _dtype(layer: str, name: str) -> str:
    return next(column.dtype for column in schema.columns(layer) if column.name == name)


def _check(layer: str, name: str, values: Sequence[Value], scope: Scope) -> None:
    known = visible_columns(layer, scope)
    if name not in known:
        raise ConditionError(f"图层 {layer} 没有列 {name}；可用的列：{'、'.join(known)}")
    dtype = _dtype(layer, name)
    for value in values:
        if not fits(value, dtype):
            raise ConditionError(f"列 {name} 应与{_WORDS[dtype]}比较，不能与 {value!r} 比较")


def fits(value: object, dtype: str) -> bool:
    """Whether a value, not None, may stand in a column of a dtype in either database."""
    match dtype:
        case "str":
            if not isinstance(value, str) or "\x00" in value:
                return False
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                return False
            return True
        case "bool":
            return isinstance(value, bool)
        case "Int64":
            return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64
        case _:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number and -1e308 < value < 1e308  # type: ignore[operator]  # noqa: PLR2004 - a double holds it


def scoped(layer: str, table: Table, scope: Scope) -> ColumnElement[bool]:
    """Rows of a layer that a scope may see; `geo.store.scope.check_layer` has let the layer pass."""
    if scope.villages is None:
        return true()
    name, how = schema.SCOPES[layer]
    column = table.c[name]
    codes = sorted(code for code in scope.villages if code)
    if not codes:
        return false()
    if how == "equal":
        return column.in_(codes)
    return or_(*(and_(column >= code, column < _next(code)) for code in codes))


def _next(code: str) -> str:
    """The least text greater than every text that begins with ``code``."""
    return code[:-1] + chr(ord(code[-1]) + 1)


def ordered(layer: str, table: Table, sort: Sequence[str], scope: Scope) -> list[UnaryExpression[Anything]]:
    """The order of rows as SQL: an empty cell is the greatest, and ``fid`` decides between equal rows.

    Raises
    ------
    ConditionError
        If a column is not there, not the caller's to see, or named twice.
    """
    order: list[UnaryExpression[Anything]] = []
    names = [name.removeprefix("-") for name in sort]
    if len(set(names)) < len(names):
        raise ConditionError("排序的列重复")
    for name, down in zip(names, (key.startswith("-") for key in sort), strict=True):
        if name != FID:
            _check(layer, name, (), scope)
        column = table.c[name]
        if name == FID:
            order.append(column.desc() if down else column.asc())
        else:
            order.append(column.desc().nulls_first() if down else column.asc().nulls_last())
    if FID not in names:
        order.append(table.c[FID].asc())
    return order


def keys(sort: Sequence[str]) -> list[str]:
    """Columns whose values say where a page ended."""
    names = [name.removeprefix("-") for name in sort]
    return names if FID in names else [*names, FID]


def token(sort: Sequence[str], values: Sequence[Value | None]) -> str:
    """Where a page ended, as opaque text."""
    text = json.dumps([list(sort), list(values)], ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def beyond(layer: str, table: Table, sort: Sequence[str], after: str) -> list[ColumnElement[bool]]:
    """Rows behind those of the page that gave this token, in parts that follow on one another.

    Each part is a range that an index can find; all at once, joined by OR, they would be a scan.

    Raises
    ------
    ConditionError
        If the token is none, or of another order.
    """
    values = _values(layer, sort, after)
    names = keys(sort)
    signs = [name.startswith("-") for name in sort]
    signs += [False] * (len(names) - len(signs))
    equal: list[ColumnElement[bool]] = []
    parts: list[ColumnElement[bool]] = []
    for name, value, down in zip(names, values, signs, strict=True):
        column = table.c[name]
        parts = [*(and_(*equal, greater) for greater in _greater(column, value, down=down)), *parts]
        equal.append(column.is_(None) if value is None else column == value)
    return parts


def _greater(column: Column[Anything], value: Value | None, *, down: bool) -> list[ColumnElement[bool]]:
    """What comes behind a value of one column; an empty cell is the greatest."""
    if down:
        return [column.is_not(None) if value is None else column < value]
    if value is None:
        return []
    return [column > value] if column.primary_key else [column > value, column.is_(None)]


def _values(layer: str, sort: Sequence[str], after: str) -> list[Value | None]:
    broken = ConditionError("翻页标记无效：请从第一页重新查询")
    try:
        held = json.loads(base64.urlsafe_b64decode(after.encode("ascii") + b"=" * (-len(after) % 4)))
    except (ValueError, UnicodeError) as error:
        raise broken from error
    names = keys(sort)
    if not isinstance(held, list) or len(held) != 2 or held[0] != list(sort):  # noqa: PLR2004 - order and values
        raise broken
    values = held[1]
    if not isinstance(values, list) or len(values) != len(names):
        raise broken
    for name, value in zip(names, values, strict=True):
        dtype = "Int64" if name == FID else _dtype(layer, name)
        if (value is None and name == FID) or (value is not None and not fits(value, dtype)):
            raise broken
    return values
