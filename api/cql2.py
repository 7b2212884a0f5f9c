"""A filter in the words of CQL2 text, as conditions of the store.

A small part of the language is read: comparisons of a column with a value,
AND, OR, NOT, IN, LIKE, BETWEEN, IS NULL and S_INTERSECTS with a geometry in
well-known text or a BBOX; values are text, numbers, TRUE, FALSE, DATE and TIMESTAMP.
Nothing of the text ever becomes SQL: it is read into conditions whose values are
bound. Length, depth and number of terms have bounds, so hostile text costs no more
than honest text.

Source: OGC 21-065r2, Common Query Language (CQL2), 2024.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import shapely
from shapely.geometry.base import BaseGeometry

from geo.errors import ConditionError
from geo.store.query import (
    All,
    Between,
    Compare,
    Condition,
    In,
    Intersects,
    IsNull,
    Like,
    Not,
    Operator,
)
from geo.store.query import (
    Any as Either,
)

LONGEST: Final = 8_000  # characters of a filter
DEEPEST: Final = 40  # brackets and NOTs within each other
MOST_TERMS: Final = 1_000  # comparisons and values
GEOMETRY_NAMES: Final = frozenset({"geometry", "geom"})

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^']|'')*')
    | (?P<quoted>"[^"]+")
    | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d]\w*)
    | (?P<sign><=|>=|<>|=|<|>|\(|\)|,)
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_MIRRORED: Final[Mapping[str, Operator]] = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "IS", "NULL", "TRUE", "FALSE"})
_LITERALS: Final = frozenset({"TRUE", "FALSE", "DATE", "TIMESTAMP"})
# Days and times stand in columns as ISO 8601, which sorts as text.
_INSTANTS: Final = {
    "DATE": r"'\d{4}-\d{2}-\d{2}'",
    "TIMESTAMP": r"'\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z'",
}
_SHAPES: Final = frozenset(
    {"POINT", "LINESTRING", "POLYGON", "MULTIPOINT", "MULTILINESTRING", "MULTIPOLYGON", "GEOMETRYCOLLECTION"}
)

Geometry = BaseGeometry
Place = Callable[[Geometry], Geometry]


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


@dataclass(slots=True)
class _Reader:
    """Where reading has come to in the text."""

    text: str
    tokens: list[_Token]
    columns: Mapping[str, str]
    place: Place | None
    at: int = 0
    depth: int = 0
    terms: int = 0


def condition(text: str, columns: Mapping[str, str], place: Place | None) -> Condition:
    """What a filter asks for.

    Parameters
    ----------
    text : str
        CQL2 text, ``"piece_class = 'UNCONFIRMED' AND area_m2 > 400"``.
    columns : mapping of name to dtype
        Columns that may be asked about: str, float, Int64 or bool.
    place : function, optional
        Brings a geometry of the filter into the system of the workspace; None for a
        layer without geometry.

    Returns
    -------
    Condition
        For `geo.store`; values are of the kind of their columns.

    Raises
    ------
    ConditionError
        If the text is too long or too deep, is none of the part of CQL2 that
        is read, names an unknown column, or compares it with another kind of value.
    """
    if len(text) > LONGEST:
        raise ConditionError(f"filter 太长：{len(text)} 个字符，最多 {LONGEST} 个")
    reader = _Reader(text=text, tokens=_tokens(text), columns=columns, place=place)
    found = _alternatives(reader)
    if _next(reader).kind != "end":
        raise _unread(reader)
    return found


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while True:
        match = _TOKEN.match(text, at)
        if match is None:
            raise ConditionError(f"filter 第 {at + 1} 个字符起读不懂：{text[at : at + 20]}")
        kind = match.lastgroup or ""
        found.append(_Token(kind, match[kind], match.start(kind), match.end()))
        if kind == "end":
            return found
        at = match.end()


def _alternatives(reader: _Reader) -> Condition:
    parts = [_together(reader)]
    while _word(reader, "OR"):
        parts.append(_together(reader))
    return parts[0] if len(parts) == 1 else Either(tuple(parts))


def _together(reader: _Reader) -> Condition:
    parts = [_negated(reader)]
    while _word(reader, "AND"):
        parts.append(_negated(reader))
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _negated(reader: _Reader) -> Condition:
    reader.depth += 1
    if reader.depth > DEEPEST:
        raise ConditionError(f"filter 嵌套太深：最多 {DEEPEST} 层")
    if _word(reader, "NOT"):
        found: Condition = Not(_negated(reader))
    elif _sign(reader, "("):
        found = _alternatives(reader)
        _expect(reader, ")")
    else:
        found = _predicate(reader)
    reader.depth -= 1
    return found


def _predicate(reader: _Reader) -> Condition:
    _count(reader)
    token = _next(reader)
    if token.kind == "word" and token.text.upper() == "S_INTERSECTS":
        reader.at += 1
        return _intersects(reader)
    if token.kind in {"text", "number"} or token.text.upper() in _LITERALS:
        value = _literal(reader)
        if isinstance(value, bool) and _next(reader).text not in _MIRRORED:
            return All(()) if value else Either(())
        sign = _comparison(reader)
        name = _column(reader)
        return Compare(name, _MIRRORED[sign], _of_kind(reader, name, value))
    return _about(reader, _column(reader))


def _about(reader: _Reader, name: str) -> Condition:
    """What is said of a column, after its name."""
    if _word(reader, "IS"):
        no = _word(reader, "NOT")
        if not _word(reader, "NULL"):
            raise _unread(reader)
        return Not(IsNull(name)) if no else IsNull(name)
    if _next(reader).kind == "sign":
        sign = _comparison(reader)
        return Compare(name, sign, _of_kind(reader, name, _literal(reader)))
    no = _word(reader, "NOT")
    found: Condition
    if _word(reader, "IN"):
        _expect(reader, "(")
        values = [_of_kind(reader, name, _literal(reader))]
        while _sign(reader, ","):
            _count(reader)
            values.append(_of_kind(reader, name, _literal(reader)))
        _expect(reader, ")")
        found = In(name, tuple(values))
    elif _word(reader, "LIKE"):
        pattern = _literal(reader)
        if reader.columns[name] != "str" or not isinstance(pattern, str):
            raise ConditionError(f"LIKE 只用于文字：列 {name}")
        found = Like(name, pattern)
    elif _word(reader, "BETWEEN"):
        low = _of_kind(reader, name, _literal(reader))
        if not _word(reader, "AND"):
            raise _unread(reader)
        found = Between(name, low, _of_kind(reader, name, _literal(reader)))
    else:
        raise _unread(reader)
    return Not(found) if no else found


def _intersects(reader: _Reader) -> Condition:
    _expect(reader, "(")
    found: Geometry | None = None
    named = False
    for end in ",)":
        token = _next(reader)
        if token.text.upper() in _SHAPES | {"BBOX"}:
            found = _shape(reader)
        elif _name(token) in GEOMETRY_NAMES:
            named = True
            reader.at += 1
        else:
            raise _unread(reader)
        _expect(reader, end)
    if found is None or not named:
        raise ConditionError("S_INTERSECTS 需要一个图形列和一个图形：S_INTERSECTS(geometry, POLYGON((…)))")
    if reader.place is None:
        raise ConditionError("这个图层没有图形，不能用 S_INTERSECTS")
    return Intersects(reader.place(found))


def _shape(reader: _Reader) -> Geometry:
    """The geometry that begins here, up to the bracket that closes it."""
    first = _next(reader)
    reader.at += 1
    _expect(reader, "(")
    depth = 1
    while depth:
        token = _next(reader)
        if token.kind == "end":
            raise _unread(reader)
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        reader.at += 1
    text = reader.text[first.start : reader.tokens[reader.at - 1].end]
    if first.text.upper() == "BBOX":
        return _box(text)
    try:
        shape = shapely.from_wkt(text)
    except shapely.GEOSException as error:
        raise ConditionError(f"filter 中的图形读不懂：{text[:40]}") from error
    if shapely.is_empty(shape) or not shapely.is_valid(shape):
        raise ConditionError(f"filter 中的图形是空的或自相交：{text[:40]}")
    return shape


def _box(text: str) -> Geometry:
    parts = text.partition("(")[2].rstrip(")").split(",")
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError:
        raise ConditionError(f"filter 中的范围应为四个数：{text[:40]}") from None
    if not (west <= east and south <= north):
        raise ConditionError(f"filter 中的范围须西不大于东、南不大于北：{text[:40]}")
    return shapely.box(west, south, east, north)


def _column(reader: _Reader) -> str:
    name = _name(_next(reader))
    if not name or name.upper() in _KEYWORDS:
        raise _unread(reader)
    if name not in reader.columns:
        raise ConditionError(f"没有列 {name[:40]}；可用的列：{'、'.join(reader.columns)}")
    reader.at += 1
    return name


def _name(token: _Token) -> str:
    if token.kind == "quoted":
        return token.text[1:-1]
    return token.text if token.kind == "word" else ""


def _comparison(reader: _Reader) -> Operator:
    token = _next(reader)
    if token.text not in _MIRRORED:
        raise _unread(reader)
    reader.at += 1
    return _MIRRORED[_MIRRORED[token.text]]


def _literal(reader: _Reader) -> str | float | bool:
    token = _next(reader)
    reader.at += 1
    if token.kind == "text":
        return token.text[1:-1].replace("''", "'")
    if token.kind == "number":
        number = float(token.text)
        if not math.isfinite(number):
            raise ConditionError(f"filter 中的数太大：{token.text[:20]}")
        return int(token.text) if re.fullmatch(r"[+-]?\d{1,18}", token.text) else number
    if token.kind == "word" and token.text.upper() in {"TRUE", "FALSE"}:
        return token.text.upper() == "TRUE"
    if token.kind == "word" and token.text.upper() in _INSTANTS and _sign(reader, "("):
        instant = _next(reader)
        reader.at += 1
        _expect(reader, ")")
        if not re.fullmatch(_INSTANTS[token.text.upper()], instant.text):
            raise ConditionError(f"filter 中的日期或时刻应如 DATE('2026-05-31')：{instant.text[:40]}")
        return instant.text[1:-1]
    reader.at -= 1
    raise _unread(reader)


def _of_kind(reader: _Reader, name: str, value: str | float | bool) -> Any:  # noqa: ANN401, FBT001 - a value of any kind
    return of_kind(name, reader.columns[name], value)


def of_kind(name: str, dtype: str, value: str | float | bool) -> Any:  # noqa: ANN401, FBT001 - a value of any kind
    """The value if a column of ``dtype`` can hold it.

    Raises
    ------
    ConditionError
        If it is text for a number, or the like.
    """
    fits = {
        "str": isinstance(value, str),
        "bool": isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "Int64": isinstance(value, int | float) and not isinstance(value, bool),
    }[dtype]
    if not fits:
        kind = {"str": "文字，写在单引号中", "bool": "TRUE 或 FALSE"}.get(dtype, "数")
        raise ConditionError(f"列 {name} 的值应为{kind}：{str(value)[:40]}")
    if dtype == "Int64" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _count(reader: _Reader) -> None:
    reader.terms += 1
    if reader.terms > MOST_TERMS:
        raise ConditionError(f"filter 的条件太多：最多 {MOST_TERMS} 项")


def _next(reader: _Reader) -> _Token:
    return reader.tokens[reader.at]


def _word(reader: _Reader, word: str) -> bool:
    token = _next(reader)
    met = token.kind == "word" and token.text.upper() == word
    reader.at += met
    return met


def _sign(reader: _Reader, sign: str) -> bool:
    token = _next(reader)
    met = token.kind == "sign" and token.text == sign
    reader.at += met
    return met


def _expect(reader: _Reader, sign: str) -> None:
    if not _sign(reader, sign):
        raise _unread(reader)


def _unread(reader: _Reader) -> ConditionError:
    token = _next(reader)
    if token.kind == "end":
        return ConditionError("filter 没有写完")
    return ConditionError(f"filter 第 {token.start + 1} 个字符处读不懂：{token.text[:20]}")
