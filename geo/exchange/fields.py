"""Fields of a file matched to columns of a layer: by name, else by alias, and said so.

The standards' names come in any case, in Chinese, in the words of older
standards, and cut to the ten bytes a .dbf has for a name. Names of persons,
their papers, phones and neighbours are known by name too, so that they can
stay at the door.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

import pandas as pd

from geo import schema
from geo.errors import MissingColumnError

_DBF_NAME_BYTES: Final = 10
_INT64_LIMIT: Final = 2.0**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which field of a file is which column: column to field, those by alias, those not found."""

    fields: Mapping[str, str]  # column of the layer -> field as the file calls it
    by_alias: tuple[tuple[str, str], ...]  # (field as the file calls it, field of the standard)
    missing: tuple[str, ...]  # fields of the standard that no field of the file matches
    personal: tuple[str, ...]  # fields of the file that tell of persons


@cache
def _aliases() -> dict[str, tuple[str, ...]]:
    with (files("geo.standards") / "aliases.csv").open(encoding="utf-8") as file:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    return {str(field): tuple(group) for field, group in rows.groupby("field", sort=False)["alias"]}


@cache
def _personal() -> dict[str, str]:
    """Every plain name of a personal field, to the column it becomes where it is asked for."""
    with (files("geo.standards") / "personal.csv").open(encoding="utf-8") as file:
        rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    return {
        plain(name): column
        for key in ("field", "alias")
        for name, column in zip(rows[key], rows["column"], strict=True)
    }


def plain(name: str) -> str:
    """A field's name without case, width of its letters, blanks, or the table's name before a dot."""
    name = unicodedata.normalize("NFKC", name).strip().upper()
    name = name.rsplit(".", 1)[-1]
    return "".join(name.split()).replace("_", "").replace("-", "")


def is_personal(name: str) -> bool:
    """Whether a field of this name tells of a person."""
    return plain(name) in _personal() or _personal_cut(name) is not None


def personal_column(name: str) -> str:
    """Column a personal field becomes where it was asked for."""
    column = _personal().get(plain(name)) or _personal_cut(name)
    if column is None:
        raise KeyError(name)
    return column


def _personal_cut(name: str) -> str | None:
    """A personal Chinese name cut to ten bytes: better one column too many held back than a person shown."""
    if name.isascii():
        return None
    return next((column for full, column in _personal().items() if plain(name) in _cuts(full)), None)


@cache
def _cuts(name: str) -> frozenset[str]:
    """What is left of a Chinese name in the ten bytes of a .dbf header, in either encoding."""
    if name.isascii():
        return frozenset()
    cuts = {
        name.encode(encoding)[:_DBF_NAME_BYTES].decode(encoding, errors="ignore")
        for encoding in ("gb18030", "utf-8")
    }
    return frozenset(plain(cut) for cut in cuts if len(cut) < len(name) and len(cut) > 1)


def match(present: Sequence[str], layer: str) -> Match:
    """Match a file's fields to a layer's columns.

    The standard's own name comes first, then the same in another case, then
    aliases in the order of ``standards/aliases.csv``, then aliases cut to ten
    bytes if no other field could be meant. A field is used once.
    """
    wanted = [column for column in schema.columns(layer) if column.field]
    left = [name for name in present if name != "geometry"]
    fields: dict[str, str] = {}
    by_alias: list[tuple[str, str]] = []

    def take(column: schema.Column, name: str) -> None:
        fields[column.name] = name
        left.remove(name)
        if name != column.field:
            by_alias.append((name, column.field))

    searches: tuple[Callable[[str], str | None], ...] = (
        lambda field: field if field in left else None,
        lambda field: _alike((field,), left),
        lambda field: _alike(_alias_names(field), left),
        lambda field: _cut_match(field, left, wanted),
    )
    for search in searches:
        for column in wanted:
            if column.name not in fields and (name := search(column.field)) is not None:
                take(column, name)
    return Match(
        fields=fields,
        by_alias=tuple(by_alias),
        missing=tuple(column.field for column in wanted if column.name not in fields),
        personal=tuple(name for name in present if is_personal(name)),
    )


def _alike(names: Iterable[str], left: Sequence[str]) -> str | None:
    """The first of ``names`` that a field is called, but for case and width."""
    return next((name for alias in names for name in left if plain(name) == plain(alias)), None)


def _alias_names(field: str) -> tuple[str, ...]:
    return _aliases().get(field, ())


def _cut_match(field: str, left: Iterable[str], wanted: Iterable[schema.Column]) -> str | None:
    """The one field whose name is a cut alias of ``field`` and of no other field of the layer."""
    for name in left:
        owners = {
            column.field
            for column in wanted
            for alias in _alias_names(column.field)
            if plain(name) in _cuts(alias)
        }
        if owners == {field}:
            return name
    return None


def require(found: Match, needed: Iterable[str], *, file: str, layer: str, present: Sequence[str]) -> None:
    """Refuse a layer without the fields the work cannot do without.

    Raises
    ------
    MissingColumnError
        Names file, layer, missing fields and those there are.
    """
    lacking = [field for field in needed if field in found.missing]
    if lacking:
        there = "、".join(name for name in present if name != "geometry") or "（没有任何字段）"
        raise MissingColumnError(
            f"{file} 的图层 {layer} 缺少字段 {'、'.join(lacking)}；现有字段：{there}；"
            "请补充该字段，或把相应字段改为标准名称后重试"
        )


def as_text(values: pd.Series) -> pd.Series:
    """Values of a code or name as text: blanks and empty ones missing, no ``.0`` behind whole numbers."""
    if pd.api.types.is_bool_dtype(values.dtype):
        values = values.astype("Int64")
    if pd.api.types.is_float_dtype(values.dtype):
        whole = (values % 1 == 0) & (values.abs() < _INT64_LIMIT)
        digits = values.where(whole).astype("Float64").astype("Int64").astype("str")
        values = values.astype("str").mask(whole, digits)
    text = values.astype("str").str.replace("\x00", "", regex=False).str.strip()
    return text.mask(text == "")


def as_number(values: pd.Series) -> pd.Series:
    """Values as float64; text that is no number is missing."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("float64")
    return pd.to_numeric(values.astype("str").str.replace(",", "", regex=False).str.strip(), errors="coerce")


def as_flag(values: pd.Series) -> pd.Series:
    """Values of a yes-or-no field: true for 1, 是, Y, T; the standards write 2 (or 0) for no."""
    return as_text(values).str.normalize("NFKC").str.upper().isin(["1", "是", "Y", "YES", "T", "TRUE"])


def find(field: str, present: Sequence[str]) -> str | None:
    """The field of a file that is ``field`` by name or alias; None where there is none."""
    names = {plain(name): name for name in reversed(present)}
    return next(
        (names[plain(alias)] for alias in (field, *_alias_names(field)) if plain(alias) in names), None
    )
